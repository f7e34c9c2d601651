/* volume/node_cache.h - maps in memory: a tree of positions for each volume.
 *
 * A struct mnode stands for one position (volume, level, index) of a map and
 * shows the node that is there.  The node itself is a struct node (node.h),
 * which several trees may show.
 *
 *   HOLE ----- nothing is there, but somebody is about to write: a placeholder,
 *              so that all of them find the same object.  It has no node.
 *   LOADING -- the node is being read; whoever wants it waits in `waiters`.
 *   READY ---- the node is in memory.
 *   FAILED --- it could not be read; detached from the tree once nobody holds
 *              it (kept in it while the log is redone).
 *
 * Rules
 *  - A child in memory keeps its parent in memory.
 *  - A position that is pinned, shows a node that is dirty or part of the
 *    commit under way, or has children in memory, stays.  All others are in
 *    the LRU list, which so holds only what can be given back.
 *  - A position keeps its node in memory, not the other way round.
 */
#ifndef TARN_VOLUME_NODE_CACHE_H
#define TARN_VOLUME_NODE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/list.h"
#include "pool/pool.h"
#include "volume/node.h"
#include "volume/node_format.h"
#include "volume/objpool.h"
#include "volume/slab.h"

/* What the LRU list holds: positions and table pages. */
struct cached {
	struct list link;    /* in the LRU list, or in none */
	bool        is_page; /* struct tpage, else struct mnode */
	bool        ref;     /* used since it was looked at last */
};

enum mnode_state {
	MNODE_HOLE,
	MNODE_LOADING,
	MNODE_READY,
	MNODE_FAILED,
};

struct mnode {
	struct cached  cached;
	struct mnode **kids;        /* inner: children in memory; else NULL */
	struct node   *node;        /* what is there; NULL: HOLE */
	struct mnode  *parent;      /* NULL: the root, or detached */
	struct volume *vol;
	uint64_t       index;       /* in units of the level */
	uint32_t       parent_birth; /* as recorded in the parent */
	uint32_t       pins;        /* holders */
	uint32_t       nkids;       /* children in memory */
	uint8_t        level;
	uint8_t        state;       /* enum mnode_state */
	bool           attached;    /* in the tree */
	struct list    node_link;   /* in node->holders */
	struct list    waiters;     /* LOADING: struct node_waiter */
};

struct node_cache {
	struct objpool mnodes;
	struct nodes   nodes;
	struct list    lru;          /* struct cached, coldest first */
	uint64_t       budget_bytes;
	uint64_t       budget_slabs; /* buffers wanted at most */
	struct list    dirty;        /* struct node */
	uint64_t       ndirty;
	uint64_t       nodes_mem;    /* nodes that are READY */
	uint64_t       hits, misses;
};

int  node_cache_init(struct volumes *vols, uint64_t budget_bytes);
void node_cache_fini(struct volumes *vols);

/* A new object for a position, attached; id 0 makes a HOLE, else it shows that
 * node: READY if it is in memory, otherwise LOADING (or FAILED at once).
 * parent NULL: the root.  NULL: out of memory. */
struct mnode *node_new(struct volume *v, struct mnode *parent, unsigned level,
		       uint64_t index, uint32_t id);
void node_pin(struct mnode *n);
void node_unpin(struct mnode *n);
/* Nothing holds it any longer?  Then it goes, or into the LRU list. */
void node_settle(struct mnode *n);
/* For node.c: the node of a position was read, or could not be.  The first
 * takes note of it and holds the position, the second tells the waiters and
 * lets go. */
void mnode_loaded(struct mnode *n);
void mnode_tell(struct mnode *n, int res);
/* For node.c: the node of a position is no more. */
void mnode_make_hole(struct mnode *n);
/* Give back clean, unused buffers while over budget; bounded work.  What the
 * nodes have not needed of their budget yet, the block cache uses. */
void node_cache_trim(struct volumes *vols);
/* Forget the tree of a volume that is gone: no pins may be left. */
void node_tree_forget(struct volume *v);

static inline bool node_is_held(const struct mnode *n)
{
	return n->pins != 0 || n->nkids != 0 ||
	       (n->node != NULL && node_is_unwritten(n->node));
}

/* --- content, of what is READY ------------------------------------------- */

#define ENTRY_PLACE_MASK ((1ull << PLACE_BITS) - 1)

static inline struct leaf_entry *node_entries(const struct node *leaf)
{
	return (struct leaf_entry *)leaf->data;
}

static inline struct leaf_entry *leaf_entries(const struct mnode *n)
{
	return (struct leaf_entry *)n->node->data;
}

static inline place_t entry_place(const struct leaf_entry *e)
{
	uint64_t word;

	memcpy(&word, e, sizeof(word));
	return word & ENTRY_PLACE_MASK;
}

static inline void entry_set(struct leaf_entry *e, place_t place,
			     uint32_t birth, uint32_t crc)
{
	memcpy(e, &place, sizeof(place)); /* flags: zero */
	e->birth = le32_of(birth);
	e->crc32c = le32_of(crc);
}

static inline struct inner_child *inner_children(const struct mnode *n)
{
	return (struct inner_child *)n->node->data;
}

/* Which child of its parent a node is. */
static inline unsigned node_slot(const struct mnode *n)
{
	return (unsigned)(n->index & (INNER_CHILDREN - 1));
}

#endif
