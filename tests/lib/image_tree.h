/* tests/lib/image_tree.h - trees of a hand-made pool: what taking a snapshot, a
 * clone or a rollback does to the model, and the records of them.
 *
 * Trees are named by their index in im->vols[], ids are counted by the caller,
 * who also makes nodes a tree's own before he changes what is in them, as long
 * as there is no commit.
 */
#ifndef TARN_TESTS_LIB_IMAGE_TREE_H
#define TARN_TESTS_LIB_IMAGE_TREE_H

#include "tests/lib/image_builder.h"

/* --- the model ----------------------------------------------------------- */

/* A volume of 590 blocks, with all its nodes. */
void image_tree_make(struct image *im, unsigned vol, uint32_t id,
		     const char *name);
/* A leaf is about to change: it, or it and the root, are the tree's own. */
void image_leaf_own(struct image *im, unsigned vol, uint32_t leaf);
void image_path_own(struct image *im, unsigned vol, uint32_t leaf);
/* `to` becomes a snapshot (kind 2) or checkpoint (3) of `vol`, or its clone. */
void image_tree_snap(struct image *im, unsigned vol, unsigned to, uint32_t id,
		     uint8_t kind, const char *name);
void image_tree_clone(struct image *im, unsigned snap, unsigned to,
		      uint32_t id, const char *name);
/* `vol` goes back to `snap`; what it was becomes `to`, deleting without a
 * name. */
void image_tree_back(struct image *im, unsigned vol, unsigned snap,
		     unsigned to, uint32_t id, const char *name);
/* Deleting, or a fork; a checkpoint is gone. */
void image_tree_delete(struct image *im, unsigned vol);
/* A tree that is being deleted drops leaves below the cursor; UINT64_MAX: all,
 * and it is gone. */
void image_tree_reap(struct image *im, unsigned vol, uint64_t cursor);

/* --- records; the model is the caller's ---------------------------------- */

struct img_member {
	uint32_t    volume; /* 0: ends the list */
	uint8_t     kind;
	const char *name;   /* "": the one before */
	uint8_t     schedule;
};
void image_log_group(struct image *im, uint32_t id,
		     const struct img_member *list);
/* op: 262 (id: of the clone) or 263 (id: of the volume). */
void image_log_branch(struct image *im, uint32_t op, uint32_t id,
		      uint32_t snapshot, const char *name);
void image_log_delete(struct image *im, uint32_t id);
void image_log_reap(struct image *im, uint32_t id, uint64_t cursor);

#endif
