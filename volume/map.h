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

/* Since which birth has the tree shown what it shows at a leaf?  Of what is not
 * there: since it went; 0: nothing ever was.  False: that is not in memory. */
bool map_born(const struct volume *v, uint64_t leaf, uint32_t *ret_birth);

/* Leaves that need not be looked at. */
struct map_gap {
	uint64_t end;     /* leaf behind the last; 0: it is no gap */
	bool     changed; /* since the birth that was asked about */
};

/* Do the inner nodes in memory say that `leaf` and those behind it are all the
 * same as at birth `since`, or all trimmed since then?  With `holes`, only
 * where nothing is mapped.  False: that is to be found out. */
bool map_gap(const struct volume *v, uint64_t leaf, uint32_t since, bool holes,
	     struct map_gap *ret_gap);

/* The leaf if it is READY in memory: the hot path. */
struct mnode *map_leaf_cached(const struct volume *v, uint64_t leaf);

/* --- changing ------------------------------------------------------------ */

/* Point n entries of a leaf (READY or HOLE) at new places. */
void map_set(struct mnode *leaf, unsigned slot, unsigned n,
	     const place_t *places, const uint32_t *crcs);
/* Blocks that are not mapped among n entries of a leaf. */
unsigned map_count_unmapped(const struct mnode *leaf, unsigned slot,
			    unsigned n);
/* Blocks among n entries of a leaf that take space when they are written: not
 * mapped, or held by a snapshot too. */
unsigned map_count_fresh(const struct mnode *leaf, unsigned slot, unsigned n);
/* Changing the position makes a new node. */
bool map_needs_node(const struct mnode *n);
/* If nothing is left when n entries are unmapped, the leaf goes; otherwise it
 * stays. */
bool map_drops_leaf(const struct mnode *leaf, unsigned n);
/* Unmap n entries of a leaf. */
void map_unmap(struct mnode *leaf, unsigned slot, unsigned n);
/* Unmap blocks, in all leaves that are in memory. */
void map_unmap_range(struct volume *v, uint64_t block, uint64_t n);
/* The position shows the node of that id from now on: it cannot be had. */
void map_relink(struct mnode *n, uint32_t id);
/* A block was moved: where an entry for it says `from`, in whatever tree of the
 * family, it says `to` now; all of those leaves are in memory.  True if there
 * was one. */
bool map_move(struct volumes *vols, uint32_t family, uint64_t block,
	      place_t from, place_t to, uint32_t crc);
/* While the log is redone, a change for a node that cannot be read (POS_FAILED)
 * is lost.  So that what the node said before never comes back, it is
 * unreadable for good from now on: for all that show it, */
void map_poison(const struct map_pos *pos);
/* or for the one tree that was to change. */
void map_lose(const struct map_pos *pos);
/* One more level on top. */
void map_raise_root(struct volume *v);
/* For tree_reap.c, of a tree that is being deleted.  Blocks that only this leaf
 * has are dead, and so is the leaf: not those that an older tree has (born at
 * `shared` or before), nor those that `young` has (the next younger tree's leaf
 * there; NULL). */
void map_drop_own(struct mnode *leaf, const struct mnode *young,
		  uint32_t shared);
/* The same for an inner node, whatever it still says. */
void map_free_own(struct mnode *n);
/* For tree_thin.c: these entries of a leaf (bit i: entry i) go, but for their
 * births.  With the last one the leaf goes, and nothing above it.  Of a leaf that
 * an older tree shows too, none do. */
void map_thin(struct mnode *leaf, const uint8_t *slots);
/* Child i of n could not be read: its id is free again.  The blocks that it
 * pointed to stay counted. */
void map_forget_lost(struct mnode *n, unsigned i);

static inline uint64_t leaf_of_block(uint64_t block)
{
	return block / LEAF_ENTRIES;
}

static inline unsigned slot_of_block(uint64_t block)
{
	return (unsigned)(block % LEAF_ENTRIES);
}

#endif
