/* volume/node_cache.h - map nodes in memory, as a tree by position.
 *
 * A struct mnode stands for one position (volume, level, index) of a map.
 *
 *   HOLE ----- nothing is there, but somebody is about to write: a placeholder,
 *              so that all of them find the same object.  Not on disk.
 *   LOADING -- being read; whoever wants it waits in `waiters`.
 *   READY ---- the node.
 *   FAILED --- could not be read; detached from the tree once nobody holds it
 *              (kept in it while the log is redone).
 *
 * Rules
 *  - A child in memory keeps its parent in memory.
 *  - A node that is pinned, dirty, part of the commit under way, or has
 *    children in memory, stays.  All others are in the LRU list.
 *  - Content is changed only after node_touch(), which makes the node dirty
 *    and saves the frozen content for the commit under way; pointers into
 *    `data` do not outlive the function that took them.
 */
#ifndef TARN_VOLUME_NODE_CACHE_H
#define TARN_VOLUME_NODE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/list.h"
#include "pool/pool.h"
#include "volume/node_format.h"
#include "volume/objpool.h"
#include "volume/slab.h"

struct volume;
struct volumes;
struct node_put;

/* Somebody waits for a node or a table page.  fn is called once from the
 * loop; the waiter is out of the list by then. */
struct node_waiter {
	struct list   link;
	void (*fn)(struct node_waiter *w, int res);
	void         *owner; /* the waiter's own */
	struct mnode *node;  /* the waiter's own: what it has pinned */
};

/* What the LRU list holds: nodes and table pages. */
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

/* Where a node stands in the commit under way. */
enum mnode_commit {
	MCOMMIT_NONE,
	MCOMMIT_QUEUED, /* frozen, not yet handed in */
	MCOMMIT_PUT,    /* handed in, has no place yet */
	MCOMMIT_PLACED, /* has its place, the buffer is still in use */
};

struct mnode {
	struct cached  cached;
	uint8_t       *data;        /* 4096 bytes */
	struct mnode **kids;        /* inner: children in memory; else NULL */
	struct mnode  *parent;      /* NULL: the root, or detached */
	struct volume *vol;
	uint64_t       index;       /* in units of the level */
	place_t        place;       /* where it is on disk; 0: not yet */
	uint32_t       crc;         /* of what is at place */
	uint32_t       refs;        /* parents and roots on disk */
	uint32_t       birth;       /* when it was made */
	uint32_t       id;          /* node id; 0: HOLE */
	uint32_t       parent_birth; /* as recorded in the parent */
	uint32_t       pins;        /* holders */
	uint32_t       nkids;       /* children in memory */
	uint32_t       used;        /* mapped entries, or children on disk */
	uint8_t        level;
	uint8_t        state;       /* enum mnode_state */
	uint8_t        commit;      /* enum mnode_commit */
	bool           dirty;       /* changed since the last freeze */
	bool           attached;    /* in the tree */
	bool           reserved;    /* holds a block of reserved space, until a
				     * commit gives it a place */
	bool           zombie;      /* frozen content of a node freed since */
	bool           poisoned;    /* FAILED: a change to it was lost */
	int            error;       /* FAILED: why */
	uint8_t       *frozen_data; /* frozen content, if `data` has moved on */
	struct node_put *put;       /* commit PUT, PLACED */
	struct list    dirty_link;
	struct list    commit_link;
	struct list    waiters;     /* LOADING: struct node_waiter */
	struct node_waiter page_wait; /* LOADING: for its table page */
	struct list    io_link;     /* LOADING: waiting for an I/O slot */
};

struct node_cache {
	struct objpool mnodes;
	struct list    lru;          /* struct cached, coldest first */
	uint64_t       budget_bytes;
	uint64_t       budget_slabs; /* buffers wanted at most */
	struct list    dirty;        /* struct mnode */
	uint64_t       ndirty;
	uint64_t       nodes_mem;    /* mnodes that are READY */
	uint64_t       hits, misses;
};

int  node_cache_init(struct volumes *vols, uint64_t budget_bytes);
void node_cache_fini(struct volumes *vols);

/* A new object for a position, attached; id 0 makes a HOLE, else it is LOADING
 * (or FAILED at once).  parent NULL: the root.  NULL: out of memory. */
struct mnode *node_new(struct volume *v, struct mnode *parent, unsigned level,
		       uint64_t index, uint32_t id);
void node_pin(struct mnode *n);
void node_unpin(struct mnode *n);
/* Nothing holds it any longer?  Then it goes, or into the LRU list. */
void node_settle(struct mnode *n);
/* About to change. */
void node_touch(struct mnode *n);
/* No longer dirty, its content does not matter. */
void node_untouch(struct mnode *n);
/* The frozen content of a node that is being freed, if a commit still needs
 * it, gets an object of its own; `data` is fresh (undefined) then. */
void node_split_frozen(struct mnode *n);
/* LOADING is over. */
void node_loaded(struct mnode *n, int res);
/* The node's entry of the node table. */
struct node_entry node_entry_of(const struct mnode *n);
/* A zombie whose content has been written. */
void node_zombie_free(struct mnode *z);
/* Give back clean, unused buffers while over budget; bounded work.  What the
 * nodes have not needed of their budget yet, the block cache uses. */
void node_cache_trim(struct volumes *vols);
/* Forget the tree of a volume that is gone: no pins may be left. */
void node_tree_forget(struct volume *v);

static inline bool node_is_held(const struct mnode *n)
{
	return n->pins != 0 || n->nkids != 0 || n->dirty ||
	       n->commit != MCOMMIT_NONE;
}

/* --- content ------------------------------------------------------------- */

#define ENTRY_PLACE_MASK ((1ull << PLACE_BITS) - 1)

static inline struct leaf_entry *leaf_entries(const struct mnode *n)
{
	return (struct leaf_entry *)n->data;
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
	return (struct inner_child *)n->data;
}

/* Which child of its parent a node is. */
static inline unsigned node_slot(const struct mnode *n)
{
	return (unsigned)(n->index & (INNER_CHILDREN - 1));
}

#endif
