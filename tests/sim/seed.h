/* tests/sim/seed.h - one seed: what it chooses, and its story. */
#ifndef TARN_TESTS_SIM_SEED_H
#define TARN_TESTS_SIM_SEED_H

#include "tests/sim/sim.h"

struct seed_options {
	uint64_t seed;
	uint64_t steps;      /* requests at least */
	uint32_t k, m;       /* 0 + 0: the seed chooses */
	bool     trace;
	bool     no_faults;  /* crashes only */
};

/* Runs the seed; returns its trace hash.  A failure ends the process. */
uint64_t seed_run(const struct seed_options *opt, struct sim_stats *stats);

#endif
