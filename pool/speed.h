/* pool/speed.h - how fast a disk answers, and what follows from it.  Private to
 * pool/.
 *
 *   latency.c  how long requests took: a histogram; pure
 *   speed.c    which disks are far slower than their peers
 *   hedge.c    reads that do not wait for them
 */
#ifndef TARN_POOL_SPEED_H
#define TARN_POOL_SPEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "io/disk.h"

struct member;
struct pool;
struct pool_read;
struct segment;

/* --- latency.c ----------------------------------------------------------- */

/* Half octaves of microseconds, up to 64 s. */
#define LATENCY_BUCKETS 52u
/* When there are so many, each counts half from then on. */
#define LATENCY_SAMPLES 1024u

struct latency {
	uint16_t buckets[LATENCY_BUCKETS];
	uint32_t n;         /* in all buckets */
	uint32_t since;     /* requests since max_us[0] began anew */
	uint32_t max_us[2]; /* the longest since then; and in as many before */
	uint64_t requests;  /* ever */
};

void latency_add(struct latency *l, uint64_t us);
/* So many in a thousand took no longer, of about the last LATENCY_SAMPLES; up to
 * half too high.  0: there was none. */
uint32_t latency_us(const struct latency *l, uint32_t permille);
/* The longest of the last LATENCY_SAMPLES to twice as many. */
uint32_t latency_max_us(const struct latency *l);

/* --- speed.c ------------------------------------------------------------- */

#define SPEED_RING   16u
#define SPEED_PROBES 5u

enum speed_state {
	SPEED_FAIR,  /* reads go to it */
	SPEED_DOUBT, /* reads go round it, to see how it is without them */
	SPEED_SLOW,  /* … and it is slow without them, too */
};

struct speed {
	struct latency read, write;
	uint8_t  state;                   /* enum speed_state */
	uint32_t ring_us[SPEED_RING];     /* the last reads of clients */
	uint32_t nring;                   /* … since it is in this state */
	uint32_t median_us;               /* of them; 0: too few */
	uint32_t probe_us[SPEED_PROBES];  /* the last probes */
	uint32_t nprobes;                 /* … since it is not */
	bool     probing;                 /* one is in flight */
	uint32_t skipped;                 /* reads since the last probe */
	uint64_t probed_ns;               /* when that was sent */
	uint64_t trust_ns, trust_until_ns; /* not in doubt again before */
	uint32_t owed;   /* reads in flight that are tried otherwise, too */
	uint32_t large;  /* … that cannot be, */
	uint64_t large_ns; /* … and when the first was sent, or a read ended */
	uint64_t around; /* reads that went round it, ever */
	uint64_t hedged; /* … that waited too long for it */
};

/* Blocks of a read that can be hedged, or is a probe; a larger one counts as if
 * that part of it had taken its part of the time. */
#define HEDGE_BLOCKS 16u

/* A read of n blocks was answered after so long. */
void speed_read_done(struct member *m, uint32_t n, uint64_t ns);
/* A read that is too large to be hedged was sent; it has ended. */
void speed_large_sent(struct member *m);
void speed_large_done(struct member *m);
/* A read has waited for so long and is tried otherwise; when it is answered, the
 * number that is returned says which one it was. */
uint32_t speed_read_hedged(struct member *m, uint64_t ns);
void speed_read_late(struct member *m, uint32_t no, uint64_t ns);
/* A probe was sent; it has ended, 0: without an answer. */
void speed_probe_sent(struct member *m);
void speed_probe_done(struct member *m, uint64_t ns);
/* A read went round it: is it time for a probe? */
bool speed_skipped(struct member *m);
/* Should a read of n blocks go round it? */
bool speed_avoids(const struct member *m, uint32_t n);
/* A read that waits longer than this is tried otherwise. */
uint64_t speed_bound_ns(const struct pool *p);
/* What a read of it takes, in the middle; of the others; 0: not known. */
uint32_t speed_us(const struct member *m);
uint32_t speed_peers_us(const struct member *m);

/* --- hedge.c ------------------------------------------------------------- */

struct direct;

struct hedges {
	struct direct  *mem;    /* all of them; NULL: none yet */
	struct list     free;
	struct list     list;   /* sent, not hedged yet, oldest first */
	uint64_t        bytes;  /* of their buffers */
	struct io_timer timer;  /* while the list is not empty */
	uint32_t        tokens; /* reads that may be hedged */
	uint32_t        reads;  /* since the last one was earned */
	uint64_t        refill_ns; /* … by time up to then */
};

int  hedges_init(struct pool *p);
void hedges_fini(struct pool *p);
/* Send a read to the disk that has unit r->unit by a buffer of ours, so that it
 * need not be waited for.  False: there is none, or the read is too large. */
bool hedge_send(struct pool_read *r, struct segment *s);
/* Read some of the same from there for nobody, to see how long it takes. */
void hedge_probe(struct pool_read *r, struct segment *s);
/* It was answered otherwise: what it was sent by answers to nobody. */
void hedge_forget(struct pool_read *r);

#endif
