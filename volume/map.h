/* volume/map.h - the map of a volume: finding a position, and changing it.
 *
 * Changing is synchronous and cannot fail: it happens in apply(), when the
 * change is already in the log.  What it needs must be in memory (map_load.h).
 */
#ifndef TARN_VOLUME_MAP_H
#define TARN_VOLUME_MAP_H

#include "volume/node_cache.h"

/* --- finding ------------------------------------------------------------- */

enum find_flag {
	FIND_CREATE = 1 << 0, /* make HOLEs where nothing is */
	FIND_NOLOAD = 1 << 1, /* only look at what is in memory */
};

enum map_pos_kind {
	POS_NODE,    /* node: READY (or HOLE, with FIND_CREATE) */
	POS_ABSENT,  /* nothing is mapped from there to `end` */
	POS_LOADING, /* node (there, or above it) is being read */
	POS_FAILED,  /* error; the position, to `end`, cannot be read */
	POS_UNKNOWN, /* FIND_NOLOAD: it is on disk, to `end` */
};

struct map_pos {
	struct mnode *node;
	uint64_t      end;   /* index, in units of the level asked for */
	int           error;
};

/* Look for node (level, index).  May start reading. */
enum map_pos_kind map_find(struct volume *v, unsigned level, uint64_t index,
			unsigned flags, struct map_pos *ret_pos);

/* The leaf if it is READY in memory: the hot path. */
struct mnode *map_leaf_cached(const struct volume *v, uint64_t leaf);

/* --- changing ------------------------------------------------------------ */

/* Point n entries of a leaf (READY or HOLE) at new places. */
void map_set(struct mnode *leaf, unsigned slot, unsigned n,
	     const place_t *places, const uint32_t *crcs);
/* Blocks that are not mapped among n entries of a leaf. */
unsigned map_count_unmapped(const struct mnode *leaf, unsigned slot,
			    unsigned n);
/* Unmap n entries of a leaf. */
void map_unmap(struct mnode *leaf, unsigned slot, unsigned n);
/* Unmap blocks, in all leaves that are in memory. */
void map_unmap_range(struct volume *v, uint64_t block, uint64_t n);
/* A block was moved: if the entry still says `from`, it says `to` now.  True if
 * so. */
bool map_move(struct mnode *leaf, unsigned slot, place_t from, place_t to,
	      uint32_t crc);
/* While the log is redone, a change for a node that cannot be read (POS_FAILED)
 * is lost.  So that what the node said before never comes back, it is
 * unreadable for good from now on. */
void map_poison(const struct map_pos *pos);
/* One more level on top. */
void map_raise_root(struct volume *v);
/* Whatever is left of a deleted volume's map in memory goes. */
void map_drop_all(struct volume *v);

static inline uint64_t leaf_of_block(uint64_t block)
{
	return block / LEAF_ENTRIES;
}

static inline unsigned slot_of_block(uint64_t block)
{
	return (unsigned)(block % LEAF_ENTRIES);
}

#endif
