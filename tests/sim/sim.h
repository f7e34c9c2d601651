/* tests/sim/sim.h - what all parts of the simulation share: the seed's random
 * streams, the trace, the counters, and how a failure is told.
 *
 * One process runs one seed (sim_main.c forks), so a server that was "killed"
 * is simply forgotten, memory and all, and a failure ends the process.
 *
 * Everything is decided by streams of random numbers that come from the seed
 * alone: no address, no clock and no environment has a say, so a seed can be
 * run again and does exactly the same.  The trace hash proves it.
 */
#ifndef TARN_TESTS_SIM_SIM_H
#define TARN_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/prng.h"
#include "base/util.h"
#include "base/uuid.h"

/* Counters, summed over seeds and printed in this order. */
#define SIM_STATS(X)                                                     \
	X(requests) X(reads) X(writes) X(trims) X(zeroes) X(flushes)     \
	X(fua) X(statuses) X(controls) X(blocks_verified) \
	X(snapshots) X(snap_deletes) X(used_checks) X(holds)             \
	X(trashed) X(undeleted) X(purged) X(trash_went)                  \
	X(schedules) X(scheduled) X(reserves) X(paused) X(relieved) X(cancelled) \
	X(snap_blocks) X(clones) X(rollbacks) X(received) X(diffs)       \
	X(diff_blocks)                                                   \
	X(enospc) X(enospc_checks) X(enospc_whole) X(fills)              \
	X(lives) X(kills) X(power_losses) X(kills_in_recovery) X(moments) \
	X(clean_closes) X(unclean_closes)                                \
	X(forced_opens) X(refused_opens) X(checks)                       \
	X(audits)                                                        \
	X(disk_reads) X(disk_writes) X(disk_flushes) X(disk_trims)       \
	X(blocks_kept) X(blocks_dropped) X(blocks_torn)                  \
	X(late_writes) X(disk_power_losses) X(disk_drops) X(disk_gone)   \
	X(disk_back) X(disk_hangs) X(disk_slow) X(disk_timeouts)         \
	X(read_errors) X(write_errors) X(flush_failures)                 \
	X(bit_rot) X(phantom_writes) X(misdirected_writes)               \
	X(stale_reads) X(stale_blocks) X(label_rot) X(heals)             \
	X(takeovers) X(rows) X(replayed_rows) X(commits)                 \
	X(moved_blocks) X(cleaned_segments) X(late_rows) X(slow_checks)   \
	X(around_reads) X(hedged_reads) X(hedges_won) X(probes)          \
	X(disks_found_slow) X(slow_reads_checked) X(lost_checks)         \
	X(events) X(events_verified)                                     \
	X(scrubs) X(scrub_checks) X(scrub_repaired)                      \
	X(rebuilt_units) X(disk_removes) X(disk_adds) X(disk_offlines)   \
	X(disk_onlines) X(disk_rescans) X(moved_units) X(rests)

enum sim_stat {
#define X(n) STAT_##n,
	SIM_STATS(X) STAT_COUNT
#undef X
};

struct sim_stats {
	uint64_t v[STAT_COUNT];
};

#define SIM_DISKS_MAX 24

struct sim_media;
struct fault;
struct model;
struct life;
struct work;

/* What the seed chose. */
struct sim_config {
	uint32_t k, m;
	uint32_t ndisks;
	uint32_t disks_a_domain;  /* 1, or 2: domains are hosts */
	uint32_t zone_shift;
	uint32_t row_blocks_max;  /* what the pool was asked for */
	uint32_t disk_blocks;     /* of the smallest disk */
	uint64_t node_budget_bytes;
	uint64_t cache_bytes;
	uint64_t dirty_nodes_max;
	uint64_t commit_log_bytes;
	uint64_t rows_memory_bytes;
	uint64_t bufs_bytes;
	uint64_t rebuild_delay_ns;
};

struct sim {
	uint64_t          seed;
	uint64_t          steps;   /* requests that the seed is to make */
	uint64_t          step;    /* requests made so far */
	struct sim_config cfg;
	struct prng       rng;     /* work and the order of things */
	struct prng       disk_rng; /* latencies, crash images */
	struct prng       fault_rng; /* faults */
	struct sim_stats *stats;
	struct sim_media *media[SIM_DISKS_MAX];
	struct model     *model;
	struct life      *life;    /* the server that runs, NULL between */
	struct work      *work;
	bool              out[SIM_DISKS_MAX]; /* the server that was killed went
				     * on without the disk … */
	bool              out_told[SIM_DISKS_MAX]; /* … as the labels say */
	uint64_t          flushed_row; /* what that server had flushed … */
	uint64_t          flushed_claim; /* … under this claim */
	uint64_t          now_ns;  /* time that survives lives */
	struct uuid       pool_uuid;
	uint64_t          takeover; /* which machine serves */
	uint64_t          boots;   /* power losses so far */
	char              refusal[512]; /* why the pool would not open */
	struct fault     *fault;   /* what is broken now */
	uint8_t           moment;  /* enum moment: when the life is to end */
	uint64_t          hash;    /* of everything that was traced */
	bool              trace;   /* print it, too */
};

/* The seed that this process runs, for a failure's message. */
extern struct sim *sim_current;

#define STAT_ADD(sim, name, n) ((sim)->stats->v[STAT_##name] += (n))
#define STAT(sim, name)        STAT_ADD(sim, name, 1)

/* Ends the process: prints the sentence, seed, step and how to repeat it. */
__attribute__((format(printf, 2, 3), noreturn))
void sim_fail(struct sim *sim, const char *fmt, ...);

/* Seed, step, and how to have it again. */
void sim_say_where(const struct sim *sim);

uint64_t sim_now_ns(const struct sim *sim);

__attribute__((format(printf, 2, 3)))
void sim_print(struct sim *sim, const char *fmt, ...);

static inline void sim_hash(struct sim *sim, uint64_t a, uint64_t b,
			    uint64_t c)
{
	uint64_t h = sim->hash;

	h = (h ^ a) * 0x9fb21c651e98df25ull;
	h = ((h ^ (h >> 29)) ^ b) * 0xd6e8feb86659fd93ull;
	h = ((h ^ (h >> 32)) ^ c) * 0x9e3779b97f4a7c15ull;
	sim->hash = h ^ (h >> 31);
}

/* One thing that happened: three numbers into the hash, a line if asked. */
#define TRACE(sim, a, b, c, ...)                                         \
	do {                                                             \
		sim_hash(sim, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c)); \
		if (__builtin_expect((sim)->trace, 0))                   \
			sim_print(sim, __VA_ARGS__);                     \
	} while (0)

/* True in n of d cases. */
static inline bool chance(struct prng *p, uint64_t n, uint64_t d)
{
	return prng_below(p, d) < n;
}

/* Uniform in [lo, hi]. */
static inline uint64_t between(struct prng *p, uint64_t lo, uint64_t hi)
{
	return lo + prng_below(p, hi - lo + 1);
}

#endif
