/* tools/check/check_tree.h - volumes and snapshots: trees that derive from one
 * another, as the commit has them, and what the log makes of them.
 *
 *                        <-- origin --
 *
 *   oldest snapshot <-- snapshot <-- ... <-- newest snapshot <-- volume
 *                          ^--- snapshot <-- a clone of the first one
 *                          ^--- snapshot of what was before a rollback
 *
 *                         -- kids -->
 *
 * Private to tools/check/.  From a volume nothing derives, from a snapshot that
 * is being deleted at most one tree, from a fork two or more, from a ready one
 * any number.  All trees that hang together are of one family.
 *
 * A tree that is being deleted holds nothing at leaves below its cursor.  So
 * who is next to whom depends on where one looks: it is the next tree that
 * still holds something there.  Towards older ones there is only one way; from
 * one that is being deleted there is one to younger ones, too.
 *
 * What the log changes lies in layers over the commit's trees.  A layer is
 * changed by one volume, until a snapshot of it is taken or it is rolled back:
 * then it is the snapshot's as well, never changes again, and the volume goes
 * on in a layer of its own.  So does a fork of which something is dropped.  A clone begins with what the snapshot has, which
 * may be the layer of many by then.  A block that was moved is moved for all
 * trees at once: its old place stands for the new one.
 *
 * A checkpoint has a slot in the catalog, but is no tree.
 */
#ifndef TARN_TOOLS_CHECK_CHECK_TREE_H
#define TARN_TOOLS_CHECK_CHECK_TREE_H

#include "tools/check/check_state.h"

/* --- who derives from whom (check_tree.c) -------------------------------- */

/* Leaves that a node of this level covers. */
static inline uint64_t ck_leaves_below(unsigned level)
{
	return 1ull << (9 * level);
}

/* "volume 1", "snapshot 2 of volume 1", "deleted snapshot 2 of family 1". */
struct ck_text ck_tree_text(const struct ck_volume *t);

static inline bool ck_is_tree(const struct ck_volume *v)
{
	return v->kind != CATALOG_CHECKPOINT;
}

/* Join what the catalog says; what contradicts itself is said and not joined,
 * and its origin counts as lost.  -ENOMEM. */
int  ck_trees_link(struct ck *ck);
/* The tree begins to derive from another one, and from nothing else; o:
 * CK_NO_TREE, from none. */
void ck_tree_derive(struct ck *ck, uint32_t t, uint32_t o);
/* s is new, and comes between v and v's origin: v derives from s, or from
 * `from`. */
void ck_tree_insert(struct ck *ck, uint32_t s, uint32_t v, uint32_t from);
/* t is gone: what derived from it derives from its origin.  A fork that has
 * lost all but one goes next. */
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
/* The next younger one, of a tree that is being deleted; NULL: none. */
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
/* Snapshot s starts with what volume v has; neither changes it any more. */
void ck_layer_keep(struct ck *ck, struct ck_volume *s,
		   const struct ck_volume *v);
/* Volume v starts, or goes on, with what snapshot s has. */
void ck_layer_start(struct ck_volume *v, const struct ck_volume *s);

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

/* --- changes by the log (check_replay*.c) -------------------------------- */

/* Blocks from .. to-1 of a volume are unmapped.  -ENOMEM. */
int  ck_replay_unmap(struct ck *ck, struct ck_volume *v, uint64_t from,
		     uint64_t to);
/* A tree that is being deleted drops leaves from .. to-1.  -ENOMEM. */
int  ck_replay_drop(struct ck *ck, struct ck_volume *t, uint64_t from,
		    uint64_t to);
/* A fork drops entries of a leaf (bit i: entry i), but for those that somebody
 * needs.  -ENOMEM. */
int  ck_replay_thin(struct ck *ck, struct ck_volume *t, uint64_t index,
		    const uint8_t *slots, bool *ret_needed);
int  ck_replay_catalog(struct ck *ck, const struct ck_row *row,
		       const struct ck_rec *r);

/* NULL, or what is wrong with the record. */
const char *ck_replay_snaps(struct ck *ck, const struct ck_rec *r);
const char *ck_replay_clone(struct ck *ck, const struct ck_rec *r);
const char *ck_replay_rollback(struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r);
const char *ck_replay_receive(struct ck *ck, const struct ck_rec *r);
const char *ck_replay_publish(struct ck *ck, struct ck_volume *h,
			      const struct ck_rec *r);
/* check_replay_trash.c */
const char *ck_replay_trash(const struct ck *ck, struct ck_volume *v,
			    const struct ck_rec *r);
const char *ck_replay_undelete(const struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r);
const char *ck_replay_purge(struct ck *ck, struct ck_volume *v);
/* Is it in the trash, by itself or with its volume? */
bool ck_replay_is_trashed(const struct ck *ck, const struct ck_volume *v);
/* A tree begins to go, or is kept while several derive from it. */
void ck_replay_tree_go(struct ck_volume *v);
/* A tree like this one, or its checkpoint; *ret_v: where that is now.  NULL: no
 * memory. */
struct ck_volume *ck_replay_copy(struct ck *ck, uint32_t id, uint8_t kind,
				 struct ck_volume **ret_v);
/* A READY snapshot of that id; NULL: there is none. */
struct ck_volume *ck_replay_snapshot(struct ck *ck, uint32_t id);
/* One more snapshot of v. */
struct ck_replay_snap {
	uint8_t            kind;
	const struct uuid *uuid;
	const char        *name; /* VOLUME_NAME_MAX + 1 bytes */
};
void ck_replay_snap_make(struct ck *ck, uint32_t id, struct ck_volume *v,
			 const struct ck_replay_snap *snap);
/* May the next n volumes have the ids from this one on?  Then they have. */
const char *ck_replay_ids(struct ck *ck, uint64_t id, uint32_t n);
/* The name in a body: { le16 length, bytes }.  false: none, or a bad one. */
bool ck_replay_name(const uint8_t *p, uint32_t bytes,
		    char name[VOLUME_NAME_MAX + 1]);
/* Has another one that is ready the name, among all volumes (volume 0), or the
 * snapshots or checkpoints of a volume? */
bool ck_replay_name_used(const struct ck *ck, uint8_t kind, uint32_t volume,
			 const char *name);

#endif
