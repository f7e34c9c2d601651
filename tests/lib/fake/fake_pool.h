/* tests/lib/fake/fake_pool.h - a pool in memory, to test the volumes alone.
 *
 * Implements pool.h as far as volume/ uses it: a log of rows of one record
 * each, in order, after a random number of turns; blocks by place; reference
 * counts that must be 0 or 1; commits; a crash, which keeps the last commit
 * and the rows up to a chosen one.
 *
 * The test program includes fake_pool.c, so that nothing of the real pool is
 * linked.
 */
#ifndef TARN_TESTS_FAKE_POOL_H
#define TARN_TESTS_FAKE_POOL_H

#include "base/prng.h"
#include "pool/pool.h"
#include "volume/volume.h"

#define FAKE_ZONE_SHIFT 9u
/* A program may want less. */
#ifndef FAKE_PLACES
#define FAKE_PLACES    (1u << 17)
#endif
#ifndef FAKE_PAGES_MAX
#define FAKE_PAGES_MAX 4096u
#endif

struct fake_block {
	uint8_t *data;      /* 4096 bytes; NULL: the place is free */
	uint32_t crc;
	bool     live;      /* pointed to now */
	bool     frozen;    /* … in the state that is being committed */
	bool     committed; /* … in the state of the last commit */
	bool     lost;      /* reads fail */
};

struct fake_row {
	struct rec rec;
	uint8_t   *body;    /* of a CATALOG */
	place_t   *places;
	uint32_t  *crcs;
	uint8_t  **data;    /* contents, for the model */
	bool       flushed;
};

struct fake_table {
	uint32_t npages;
	place_t  place[FAKE_PAGES_MAX];
	uint32_t crc[FAKE_PAGES_MAX];
};

struct pool {
	struct io   io;           /* the engine */
	struct prng rng;
	const struct log_client_ops *client;
	void       *client_arg;
	struct fake_block *blocks;
	uint32_t    next_place;
	uint64_t    live_total;
	uint64_t    reserved;
	uint64_t    kept;
	uint64_t    usable;       /* blocks */
	uint64_t    recycled;     /* blocks whose place was used again */
	/* The log; row numbers start at 1. */
	struct fake_row *rows;
	uint32_t    nrows, rows_cap;
	struct list appends;      /* struct log_append, in order */
	struct list fua;          /* applied, to be flushed before done() */
	struct list syncs;
	struct list reads;        /* struct pool_read */
	int         append_error; /* what the next appends fail with */
	int         append_error_class; /* … of this class and below */
	bool        ours;
	bool        hostile;      /* the map says what it likes: counts are
				   * not checked */
	/* Commits. */
	struct fake_table tables[TABLE_KINDS];
	struct fake_table committed_tables[TABLE_KINDS];
	uint8_t     root[1024];
	uint32_t    root_bytes;
	uint32_t    commit_row;   /* state of the last commit */
	uint32_t    freeze_row;
	bool        committing, ready, want;
	bool        crowded;      /* pool_commit_is_crowded() */
	bool        auto_commit;  /* when wanted */
	uint32_t    commits;
	/* Opening. */
	bool        loaded;
	int         load_res;
	uint32_t    redo_pending;
	int         redo_res;
};

struct pool *fake_pool_new(uint64_t seed);
void fake_pool_free(struct pool *p);
/* Volumes on it, formatted, with a first commit. */
struct volumes *fake_format(struct pool *p,
			    const struct volumes_params *params);
/* Forget all that is not durable: the last commit and the rows up to keep_row
 * stay.  Closes vols. */
void fake_crash(struct pool *p, struct volumes *vols, uint32_t keep_row);
/* Open, redo, commit. -errno of load(). */
int fake_open(struct pool *p, const struct volumes_params *params,
	      struct volumes **ret_vols);
/* One turn of the loop. */
void fake_turn(struct pool *p);
/* Turns until nothing is under way. */
void fake_settle(struct pool *p);
/* A commit, to its end. */
void fake_commit(struct pool *p);
/* Start one; false: one is under way. */
bool fake_commit_start(struct pool *p);
/* Rows up to this one would survive a power loss. */
uint32_t fake_flushed_row(const struct pool *p);
/* Nothing live or under way is in the block: its place is used for others. */
void fake_recycle(struct pool *p);
/* Have the client empty all places below the current one; returns blocks
 * moved. */
uint64_t fake_clean(struct pool *p, uint32_t percent);

#endif
