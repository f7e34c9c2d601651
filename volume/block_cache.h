/* volume/block_cache.h - blocks of data that were read or merged lately.
 *
 * Known by place and CRC together: that is what the map says of a block, so a
 * hit is as good as a read that was checked, and nothing has to be told when
 * blocks are overwritten, moved, or their segment is used again.
 *
 * Small reads and partial writes use it; large ones would only wash it out.
 * What was read once is only noted; it is taken in when it is read again before
 * about twice as many others as the cache holds.  So blocks that nobody comes
 * back to cost no copy and drive out nothing.
 */
#ifndef TARN_VOLUME_BLOCK_CACHE_H
#define TARN_VOLUME_BLOCK_CACHE_H

#include "pool/pool.h"

/* Reads of more blocks than this go past the cache. */
#define CACHED_READ_BLOCKS_MAX 16u

struct cache_slot {
	place_t  place; /* PLACE_NONE: empty */
	uint32_t crc;
	uint32_t next;  /* in the bucket: slot + 1; 0: the last */
	bool     ref;   /* used since the hand came by */
};

struct block_cache {
	uint8_t           *mem;     /* nslots blocks */
	struct cache_slot *slots;
	uint32_t          *buckets; /* slot + 1; 0: empty */
	uint32_t           nslots;  /* 0: there is no cache */
	uint32_t           mask;    /* of the hash */
	uint32_t           hand;    /* next slot to look at */
	uint32_t           used;    /* slots that are not empty */
	uint64_t          *noted;   /* bit of a hash: read lately */
	uint32_t           nnoted;  /* since it was cleared */
	uint64_t           hits, misses;
};

/* bytes 0: no cache.  -ENOMEM. */
int  block_cache_init(struct block_cache *c, uint64_t bytes);
void block_cache_fini(struct block_cache *c);
/* The block's 4096 bytes, until the next call; NULL: not there. */
const void *block_cache_get(struct block_cache *c, place_t place,
			    uint32_t crc);
void block_cache_put(struct block_cache *c, place_t place, uint32_t crc,
		     const void *data);
/* The block has been read: note it, or take it in if it was noted before or
 * there are empty slots. */
void block_cache_offer(struct block_cache *c, place_t place, uint32_t crc,
		       const void *data);

#endif
