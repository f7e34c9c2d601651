/* base/canary.h - bugs that are planted on purpose, so that the simulation can
 * prove that it would find them.
 *
 * CANARY(name) is 0 in every normal build: the compiler removes what hangs
 * from it.  `make canaries` builds with TARN_CANARIES, where it is true while
 * tarn-sim runs with --canary name, and demands that some seed fails.
 */
#ifndef TARN_BASE_CANARY_H
#define TARN_BASE_CANARY_H

#define CANARIES(X)                                                          \
	X(none, "no bug at all")

enum canary {
#define X(name, what) CANARY_##name,
	CANARIES(X)
#undef X
};

#ifdef TARN_CANARIES
extern int tarn_canary; /* enum canary, set by tarn-sim */
#define CANARY(name) (tarn_canary == CANARY_##name)
#else
#define CANARY(name) 0
#endif

#endif
