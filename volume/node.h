/* volume/node.h - a map node in memory, by what it is: node id, family, level
 * and index.
 *
 * A node is in memory once, however many trees show it.  Where it stands in a
 * tree is a struct mnode (node_cache.h); those are its holders.
 *
 *   LOADING -- being read; the holders' waiters wait.
 *   READY ---- the node.
 *   FAILED --- could not be read.  Not found any more, so that who comes next
 *              tries anew; goes with the holders that it has.
 *
 * Rules
 *  - A node that nobody holds stays as long as it is LOADING, dirty, part of
 *    the commit under way, or guarded; otherwise it goes with its last holder.
 *  - A guard keeps all nodes of a family in memory that cover some leaves and
 *    that are, or come to be, in memory while it is there: for who changes
 *    several trees at one instant (MOVE, the reaper) and finds their nodes
 *    before.  While the log is redone everything is guarded.
 *  - Content is changed only after node_touch(), which makes the node dirty
 *    and saves the frozen content for the commit under way; pointers into
 *    `data` do not outlive the function that took them.
 *  - A node that is freed is not found any more and has no holders.  If the
 *    commit under way needs it (its state points to the node), its frozen
 *    content stays until it has been written.
 */
#ifndef TARN_VOLUME_NODE_H
#define TARN_VOLUME_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "pool/pool.h"
#include "volume/node_format.h"
#include "volume/objpool.h"

struct mnode;
struct node_put;
struct volume;
struct volumes;

/* Somebody waits for a node or a table page.  fn is called once from the
 * loop; the waiter is out of the list by then. */
struct node_waiter {
	struct list   link;
	void (*fn)(struct node_waiter *w, int res);
	void         *owner; /* the waiter's own */
	struct mnode *node;  /* the waiter's own: what it has pinned */
};

enum node_state {
	NODE_LOADING,
	NODE_READY,
	NODE_FAILED,
};

/* Where a node stands in the commit under way. */
enum node_part {
	MCOMMIT_NONE,
	MCOMMIT_QUEUED, /* frozen, not yet handed in */
	MCOMMIT_PUT,    /* handed in, has no place yet */
	MCOMMIT_PLACED, /* has its place, the buffer is still in use */
};

struct node {
	struct volumes *vols;
	struct node    *hash_next;
	struct list     holders;     /* struct mnode, by node_link */
	struct list     waiters;     /* LOADING: struct node_waiter, of those
				      * who want the node at no position */
	uint8_t        *data;        /* 4096 bytes */
	uint8_t        *frozen_data; /* frozen content, if `data` moved on */
	uint64_t        index;       /* in units of the level */
	place_t         place;       /* where it is on disk; 0: not yet */
	uint32_t        nholders;    /* holders, and walks through them */
	uint32_t        id;          /* node id */
	uint32_t        family;      /* of the volumes that may show it */
	uint32_t        crc;         /* of what is at place */
	uint32_t        refs;        /* parents and roots on disk */
	uint32_t        birth;       /* when it was made */
	uint32_t        used;        /* mapped entries, or children on disk */
	int             error;       /* FAILED: why */
	uint8_t         level;
	uint8_t         state;       /* enum node_state */
	uint8_t         commit;      /* enum node_part */
	bool            hashed;      /* node_find() finds it */
	bool            dirty;       /* changed since the last freeze */
	bool            reserved;    /* holds a block of reserved space, until
				      * a commit gives it a place */
	bool            freed;       /* its id is free; frozen content only */
	bool            poisoned;    /* FAILED: a change to it was lost */
	struct node    *leaf_next;   /* READY leaves by family and index */
	struct list     kept_link;   /* nobody holds it, but it is guarded */
	struct node_put *put;        /* commit PUT, PLACED */
	struct list     dirty_link;
	struct list     commit_link;
	struct node_waiter page_wait; /* LOADING: for its table page */
	struct list     io_link;     /* LOADING: waiting for an I/O slot */
};

/* All nodes in memory. */
struct nodes {
	struct objpool objs;
	struct node  **buckets;      /* NODE_BUCKETS, chained */
	struct node  **leaves;       /* NODE_BUCKETS, chained by leaf_next */
	struct list    guards;       /* struct node_guard, of ranges */
	struct list   *leaf_guards;  /* … of single leaves, GUARD_BUCKETS */
	struct list    kept;         /* struct node */
};

/* Embedded in the operation; see above. */
struct node_guard {
	struct list link;
	uint32_t    family;
	bool        leaf;            /* only the leaf `first`, in all its
				      * versions, not what is above it: there
				      * may be thousands of those */
	uint64_t    first;           /* leaves first .. end-1 */
	uint64_t    end;
};

/* -ENOMEM. */
int  nodes_init(struct volumes *vols);
void nodes_fini(struct volumes *vols);

/* The node in memory if it is LOADING or READY; else NULL. */
struct node *node_find(struct volumes *vols, uint32_t family, unsigned level,
		       uint64_t index, uint32_t id);
/* The same; if it is not in memory, reading it has been started (or it is FAILED
 * at once).  NULL: out of memory.  Without a holder yet. */
struct node *node_get(struct volumes *vols, uint32_t family, unsigned level,
		      uint64_t index, uint32_t id);
/* One from node_get() that has not been given a holder may go. */
void node_unwanted(struct node *node);
/* A new node, READY and empty, with an id and an entry in the node table.
 * Cannot fail.  Without a holder yet. */
struct node *node_make(struct volume *v, unsigned level, uint64_t index);
/* The leaf's content, under a new id, for this tree alone.  Cannot fail.
 * Without a holder yet. */
struct node *node_copy(struct volume *v, const struct node *from);
/* READY leaves of a family at an index, of all trees, that are in memory; NULL:
 * no more.  prev NULL: the first one. */
struct node *node_next_leaf(struct volumes *vols, uint32_t family,
			    uint64_t index, const struct node *prev);
void node_guard_add(struct volumes *vols, struct node_guard *g);
/* Harmless when it was not added.  Nodes that nothing else keeps go. */
void node_guard_remove(struct volumes *vols, struct node_guard *g);
/* The log is redone: not everything is guarded any more. */
void nodes_redone(struct volumes *vols);
/* A position shows the node. */
void node_join(struct node *node, struct mnode *n);
/* … and does no longer.  The node may go. */
void node_leave(struct mnode *n);
/* About to change. */
void node_touch(struct node *node);
/* Nothing is left in it: its id and its place are free, and the positions that
 * show it are HOLEs. */
void node_free(struct node *node);
/* LOADING is over: holders and waiters are told. */
void node_loaded(struct node *node, int res);
/* The commit under way is done with its buffer. */
void node_written(struct node *node);
/* The node's entry of the node table. */
struct node_entry node_entry_of(const struct node *node);

/* What a commit has to write of it keeps it in memory. */
static inline bool node_is_unwritten(const struct node *node)
{
	return node->dirty || node->commit != MCOMMIT_NONE;
}

#endif
