/* volume/block_cache.h - blocks of data that were read or merged lately.
 *
 * Known by place and CRC together: that is what the map says of a block, so a
 * hit is as good as a read that was checked, and nobody has to say when blocks
 * are moved or their segment is used again.  That a place is not mapped any
 * more may be said (block_cache_drop), to make room for others.
 *
 * Small reads and partial writes use it; large ones would only wash it out.
 * What was read once is only noted; it is taken in when it is read again before
 * about one and a half times as many others as the cache holds.  So blocks that
 * nobody comes back to cost no copy and drive out nothing.  As long as there is
 * room, what was read once is taken in, too, but for that of snapshots, which
 * are read by who copies them: memory that was never used costs more than a
 * read.
 */
#ifndef TARN_VOLUME_BLOCK_CACHE_H
#define TARN_VOLUME_BLOCK_CACHE_H

#include "pool/pool.h"

/* Reads of more blocks than this go past the cache. */
#define CACHED_READ_BLOCKS_MAX 16u

#define CACHE_WAYS  8u
#define CACHE_NOTES 12u

/* Places whose hash is the same.  A miss looks at the first 64 bytes alone. */
struct cache_set {
	place_t  place[CACHE_WAYS]; /* PLACE_NONE: empty */
	uint32_t crc[CACHE_WAYS];
	uint16_t notes[CACHE_NOTES]; /* of places read lately, a ring */
	uint8_t  note_next;          /* the oldest note */
	uint8_t  hand;               /* the next way to look at */
	uint8_t  ref; /* bit of a way: used since the hand came by */
	uint8_t  ahead; /* … taken in before it was asked for, and not used */
	uint8_t  unused[4];
};

struct block_cache {
	struct cache_set *sets;
	uint8_t          *blocks;   /* of way 0 of all sets, of way 1, ... */
	uint64_t          nslots;   /* blocks there is room for; 0: no cache */
	uint64_t          limit;    /* of them may be used: the first ones */
	uint32_t          nsets;
	uint64_t          used;     /* that are not empty */
	uint64_t          hits, misses;
};

/* Room for that many bytes; 0: no cache.  -ENOMEM. */
int  block_cache_init(struct block_cache *c, uint64_t bytes);
void block_cache_fini(struct block_cache *c);
/* Use at most that many bytes from now on, of those there is room for. */
void block_cache_limit(struct block_cache *c, uint64_t bytes);
/* The block's 4096 bytes, until the next call; NULL: not there. */
const void *block_cache_get(struct block_cache *c, place_t place,
			    uint32_t crc);
void block_cache_put(struct block_cache *c, place_t place, uint32_t crc,
		     const void *data);
/* The same for a block that will be used once, if at all: that does not keep it
 * longer.  If the cache has it, it stays as it is. */
void block_cache_put_ahead(struct block_cache *c, place_t place, uint32_t crc,
			   const void *data);
/* The block has been read: note it, or take it in if it was noted before or
 * there is an empty slot for it. */
void block_cache_offer(struct block_cache *c, place_t place, uint32_t crc,
		       const void *data);
/* The same where few blocks are read again: an empty slot is not enough. */
void block_cache_note(struct block_cache *c, place_t place, uint32_t crc,
		      const void *data);
/* The block at that place is not wanted any more. */
void block_cache_drop(struct block_cache *c, place_t place);

#endif
