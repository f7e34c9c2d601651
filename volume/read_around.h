/* volume/read_around.h - reading what lies around a block in the log.
 *
 * What was written in the same minutes lies together in the log, wherever it is
 * in its volume.  Who sends what has changed since a snapshot asks for it block
 * by block, in order of the volume: that is as many small reads of a disk, all
 * over a stretch of the log that is not large.  So when small reads of snapshots
 * come to the same AROUND_BLOCKS of the log again, all of these are read at
 * once, and what was not asked for goes to the block cache.
 *
 * Nobody knows which of these blocks live or what their checksums are.  They are
 * entered with the checksum of what was read, so only who finds the same one in
 * the map has them.
 *
 * That such reads are worth while is not known before.  Each costs credit, each
 * block that is found in the cache afterwards gives some; without any left there
 * are none for a while.  As many regions are remembered as the cache has room
 * for: what is spread more than that is seldom seen twice.
 */
#ifndef TARN_VOLUME_READ_AROUND_H
#define TARN_VOLUME_READ_AROUND_H

#include "volume/block_cache.h"

#define AROUND_BLOCKS 32u /* and so aligned; zones are multiples of it */
#define AROUND_SLOTS  16u /* of them at a time */

/* One that is under way. */
struct around_slot {
	struct list link;   /* free */
	uint8_t    *buf;    /* AROUND_BLOCKS blocks */
	uint8_t    *dest;   /* who asked: n blocks, from block `at` on */
	uint32_t    at, n;
	uint32_t    crcs[AROUND_BLOCKS]; /* by the map, of those */
	uint8_t     skip[AROUND_BLOCKS]; /* 1: not asked for */
};

struct read_around {
	struct block_cache *cache;
	struct around_slot *slots;
	struct list free;
	uint8_t    *mem;     /* buffers of the slots */
	uint64_t   *seen;    /* regions, by hash: that a read came to; 0: none */
	uint32_t    nseen;   /* room for that many */
	uint64_t    credit;  /* eighths of blocks that may be read in vain */
	uint64_t    reads;   /* ever */
};

/* For blocks that go to that cache; without a cache there are no such reads.
 * -ENOMEM. */
int  read_around_init(struct read_around *a, struct block_cache *cache);
void read_around_fini(struct read_around *a);
/* A small read of a snapshot misses n blocks at consecutive places, or has found
 * one in the cache. */
bool read_around_due(struct read_around *a, place_t place, uint32_t n);
void read_around_hit(struct read_around *a);
/* After that was due: rd becomes a read of all that is around; `dest` gets the n
 * blocks when it has ended (read_around_end()). NULL: not now. */
struct around_slot *read_around_start(struct read_around *a,
				      struct pool_read *rd, place_t place,
				      uint32_t n, const uint32_t *crcs,
				      void *dest);
/* rd has ended: with rd->res 0 the blocks are in dest. */
void read_around_end(struct read_around *a, struct around_slot *s,
		     const struct pool_read *rd);

#endif
