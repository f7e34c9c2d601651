/* tools/check/check_tree.h - a volume and its snapshots: a chain of trees, as
 * the commit has them, and what the log makes of them.
 *
 *   oldest snapshot <-- origin -- ... <-- newest snapshot <-- volume
 *                    -- next -->
 *
 * Private to tools/check/.  A tree that is being deleted holds nothing at
 * leaves below its cursor.  So who is next to whom in the chain depends on
 * where one looks: it is the next tree that still holds something there.
 *
 * What the log changes lies in layers over the commit's trees.  A layer is
 * changed by one tree, until a snapshot of it is taken: then it is the
 * snapshot's as well, never changes again, and the volume goes on in a layer
 * of its own.  A block that was moved is moved for all trees at once: its old
 * place stands for the new one.
 */
#ifndef TARN_TOOLS_CHECK_CHECK_TREE_H
#define TARN_TOOLS_CHECK_CHECK_TREE_H

#include "tools/check/check_state.h"

/* --- chains (check_tree.c) ----------------------------------------------- */

/* Leaves that a node of this level covers. */
static inline uint64_t ck_leaves_below(unsigned level)
{
	return 1ull << (9 * level);
}

/* "volume 1", "snapshot 2 of volume 1". */
struct ck_text ck_tree_text(const struct ck_volume *t);
/* The id of the volume that it belongs to: what records of its data say. */
static inline uint32_t ck_tree_head(const struct ck_volume *t)
{
	return t->volume != 0 ? t->volume : t->id;
}

/* Join what the catalog says; what contradicts itself is said and not joined,
 * and its origin counts as lost.  -ENOMEM. */
int  ck_trees_link(struct ck *ck);
/* s is a new snapshot of v. */
void ck_tree_insert(struct ck *ck, uint32_t s, uint32_t v);
/* t leaves its chain. */
void ck_tree_remove(struct ck *ck, struct ck_volume *t);

/* Does t hold anything of what is at (level, index)?  All of it? */
bool ck_tree_holds(const struct ck_volume *t, unsigned level, uint64_t index);
bool ck_tree_whole(const struct ck_volume *t, unsigned level, uint64_t index);
/* The next older tree that holds something there; NULL: none, or with
 * *ret_unknown: it cannot be known. */
const struct ck_volume *ck_tree_older(const struct ck *ck,
				      const struct ck_volume *t,
				      unsigned level, uint64_t index,
				      bool *ret_unknown);
/* The next younger one; NULL: none. */
const struct ck_volume *ck_tree_younger(const struct ck *ck,
					const struct ck_volume *t,
					unsigned level, uint64_t index);

/* --- the commit's trees (check_path.c) ----------------------------------- */

/* Is node id really the one at (level, index) of t's family? */
bool ck_node_is(const struct ck *ck, const struct ck_volume *t, uint32_t id,
		unsigned level, uint64_t index);
/* Node id at (level, index) of a tree that holds it; 0: none.  0; -EBADMSG:
 * what is above cannot be had. */
int  ck_tree_node(struct ck *ck, const struct ck_volume *t, unsigned level,
		  uint64_t index, uint32_t *ret_id);
/* The node's block, until the next one of its level is asked for; NULL: not to
 * be had. */
const uint8_t *ck_node_block(struct ck *ck, const struct ck_volume *t,
			     uint32_t id, unsigned level, uint64_t index);
void ck_path_free(struct ck *ck);

/* --- the log's layers (check_layer.c) ------------------------------------ */

struct ck_leaf {
	struct ck_leaf *next;
	uint32_t        layer;
	uint64_t        index;
	uint64_t        places[LEAF_ENTRIES]; /* ck_moved() says where now */
};

int  ck_layers_init(struct ck *ck);
void ck_layers_free(struct ck *ck);

/* Where t has the blocks of a leaf, as of now: 0; -EBADMSG: cannot be had, and
 * all zero. */
int  ck_leaf_places(struct ck *ck, const struct ck_volume *t, uint64_t index,
		    uint64_t places[LEAF_ENTRIES]);
/* The leaf, to be changed by t alone; NULL: no memory. */
struct ck_leaf *ck_leaf_get(struct ck *ck, struct ck_volume *t,
			    uint64_t index);
/* Snapshot s starts with what v has. */
void ck_layer_share(struct ck *ck, struct ck_volume *s,
		    const struct ck_volume *v);

/* Call fn for each leaf from .. to-1 that t may have, once or more often for
 * those that fn gets for changing.  shared: also for leaves of which the next
 * older tree has the very node.  0, or what fn returned. */
typedef int (*ck_leaf_fn)(struct ck *ck, struct ck_volume *t, uint64_t index,
			  void *arg);
struct ck_leaves {
	uint64_t   from, to;
	bool       shared;
	ck_leaf_fn fn;
	void      *arg;
};
int  ck_leaves_each(struct ck *ck, struct ck_volume *t,
		    const struct ck_leaves *range);

/* All that is at one place is at another one from now on.  -ENOMEM, -EINVAL:
 * something was moved away from there before. */
int  ck_move_add(struct ck *ck, uint64_t from, uint64_t to);
/* Where what was at that place is now. */
uint64_t ck_moved(const struct ck *ck, uint64_t place);

/* Check what leaves of the log hold, once it was replayed. */
void ck_layers_check(struct ck *ck);

/* --- changes by the log (check_replay.c, check_replay_catalog.c) --------- */

/* Blocks from .. to-1 of a volume are unmapped.  -ENOMEM. */
int  ck_replay_unmap(struct ck *ck, struct ck_volume *v, uint64_t from,
		     uint64_t to);
/* A tree that is being deleted drops leaves from .. to-1.  -ENOMEM. */
int  ck_replay_drop(struct ck *ck, struct ck_volume *t, uint64_t from,
		    uint64_t to);
int  ck_replay_catalog(struct ck *ck, const struct ck_row *row,
		       const struct ck_rec *r);

#endif
