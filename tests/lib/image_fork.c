/* tests/lib/image_fork.c - a hand-made pool whose trees fork.
 *
 * In the commit, volume 1 "alpha" was rolled back from "old", which is being
 * deleted and has nothing in leaf 0 any more, to snapshot 4 "tue"; volume 6
 * "beta" is a clone of snapshot 2 "mon", which is deleted, but a fork:
 *
 *   (mon, birth 1) <-- tue, 3 <-- alpha, 6
 *         ^               ^--- (old, 5)
 *         ^--- wed, 2 <-- beta, 3
 *
 *           leaf 0  leaf 1  leaf 2  root
 *   mon          1       2       3     4
 *   tue          5       2       3     6
 *   old        (5)       7       3     8
 *   wed          9       2       3    10
 *   beta         9       2      11    12
 *   alpha        5      13       3    14
 *
 * Checkpoint 3 "start" of alpha is older than tue, checkpoint 5 "late" was lost
 * by the rollback.
 *
 * In the log after it a group is taken of both, both volumes are rolled back
 * once more, "gamma" and "delta" are clones of wed and of a snapshot of the
 * group, and tue is deleted: it is a fork until old is gone.
 */
#include "tests/lib/image_put.h"
#include "tests/lib/image_tree.h"

/* Slots: of the commit, then of the log. */
enum { ALPHA, MON, START, TUE, LATE, BETA, WED, OLD };
enum { THU = OLD + 1, THU_B, THU_C, GAMMA, DELTA, WAS, GONE };

static void volumes_make(struct image *im)
{
	im->nvols = 8;
	image_tree_make(im, ALPHA, 1, "alpha");
	image_write(im, IMG_SEG_SEALED, ALPHA, 0, 20, 1);
	image_write(im, IMG_SEG_SEALED, ALPHA, 250, 12, 2);
	image_write(im, IMG_SEG_SEALED, ALPHA, 300, 30, 3);
	image_write(im, IMG_SEG_SEALED, ALPHA, 540, 33, 4);
	image_seal(im, IMG_SEG_SEALED);
	image_tree_snap(im, ALPHA, MON, 2, 2, "mon");
	image_tree_snap(im, ALPHA, START, 3, 3, "start");
	image_path_own(im, ALPHA, 0);
	image_write(im, IMG_SEG_DATA, ALPHA, 5, 4, 5);
	image_tree_snap(im, ALPHA, TUE, 4, 2, "tue");
	image_tree_snap(im, ALPHA, LATE, 5, 3, "late");
	image_path_own(im, ALPHA, 1);
	image_write(im, IMG_SEG_DATA, ALPHA, 310, 10, 6);
	image_tree_clone(im, MON, BETA, 6, "beta");
	image_path_own(im, BETA, 0);
	image_write(im, IMG_SEG_DATA, BETA, 5, 2, 7);
	image_tree_snap(im, BETA, WED, 7, 2, "wed");
	image_path_own(im, BETA, 2);
	image_write(im, IMG_SEG_DATA, BETA, 541, 1, 8);
	image_tree_back(im, ALPHA, TUE, OLD, 8, "");
	image_path_own(im, ALPHA, 1);
	image_write(im, IMG_SEG_DATA, ALPHA, 300, 5, 9);
	image_tree_delete(im, MON);
	image_tree_reap(im, OLD, 1);
}

static void log_group(struct image *im)
{
	static const struct img_member thu[] = {
		{ 1, 2, "thu", 0 }, { 6, 3, "", 0 }, { 1, 3, "", 0 }, { .volume = 0 }
	};

	image_log_group(im, 9, thu);
	image_tree_snap(im, ALPHA, THU, 9, 2, "thu");
	image_tree_snap(im, BETA, THU_B, 10, 3, "thu");
	image_tree_snap(im, ALPHA, THU_C, 11, 3, "thu");
	image_write(im, IMG_SEG_DATA, ALPHA, 2, 1, 52);
	image_write(im, IMG_SEG_DATA, BETA, 0, 1, 53);
}

static void log_clones(struct image *im)
{
	image_log_branch(im, 262, 12, 7, "gamma");
	image_tree_clone(im, WED, GAMMA, 12, "gamma");
	image_write(im, IMG_SEG_DATA, GAMMA, 13, 1, 54);
	image_unmap(im, GAMMA, 250, 5);
	image_log_branch(im, 262, 13, 9, "delta");
	image_tree_clone(im, THU, DELTA, 13, "delta");
	image_write(im, IMG_SEG_OPENABLE, DELTA, 7, 2, 55);
}

static void log_rollbacks(struct image *im)
{
	image_log_branch(im, 263, 6, 7, "was");
	image_tree_back(im, BETA, WED, WAS, 14, "was");
	image_write(im, IMG_SEG_DATA, BETA, 20, 1, 56);
	image_unmap(im, BETA, 300, 3);
	image_log_branch(im, 263, 1, 9, "");
	image_tree_back(im, ALPHA, THU, GONE, 15, "");
	image_write(im, IMG_SEG_DATA, ALPHA, 30, 1, 57);
	image_move(im, ALPHA, 7); /* of thu, gone and alpha, from the log */
	image_move(im, GONE, 2);  /* of gone alone, from the log */
	image_log_reap(im, 15, 2);
	image_tree_reap(im, GONE, 2);
}

static void log_deletes(struct image *im)
{
	image_log_delete(im, 3);
	image_tree_delete(im, START);
	image_log_delete(im, 4);
	image_tree_delete(im, TUE);
	image_log_reap(im, 8, UINT64_MAX);
	image_tree_reap(im, OLD, UINT64_MAX);
	image_log_reap(im, 4, 1);
	image_tree_reap(im, TUE, 1);
}

static void log_after(struct image *im)
{
	image_write(im, IMG_SEG_DATA, ALPHA, 7, 1, 50);
	image_write(im, IMG_SEG_DATA, BETA, 12, 2, 51);
	image_move(im, ALPHA, 1);  /* of all, in three leaves */
	image_move(im, BETA, 541); /* of beta alone */
	image_move(im, OLD, 312);  /* of old alone */
	log_group(im);
	log_clones(im);
	log_rollbacks(im);
	log_deletes(im);
	im->flushed = im->row;
	image_row(im, IMG_SEG_DATA, NULL, 0, NULL);
	image_write(im, IMG_SEG_DATA, GAMMA, 589, 1, 58);
}

static struct image *build(struct image *im, bool closed,
			   void (*log)(struct image *im))
{
	im->flushed = im->row;
	image_commit(im);
	if (closed)
		im->label_flags = 2;
	else
		log(im);
	image_labels(im);
	image_leases(im);
	return im;
}

struct image *image_build_forks(uint32_t k, uint32_t m, bool closed,
				img_hook fn, void *arg)
{
	struct image *im = image_new(k, m, fn, arg);

	volumes_make(im);
	return build(im, closed, log_after);
}

/* --- twins --------------------------------------------------------------- */

enum { TWIN, BASE, TRIED, COPY };

/* It all goes, but what the snapshot has. */
static void log_twins(struct image *im)
{
	image_log_reap(im, 3, UINT64_MAX);
	image_tree_reap(im, TRIED, UINT64_MAX);
	image_log_delete(im, 4);
	image_tree_delete(im, COPY);
	image_log_reap(im, 4, UINT64_MAX);
	image_tree_reap(im, COPY, UINT64_MAX);
	image_unmap(im, TWIN, 0, 600);
}

/* Volume 1 was made smaller and rolled back to snapshot 2 at once: snapshot 3,
 * which is that, is being deleted.  Volume 4 is a clone.  Nothing was written:
 * all have the same nodes, and 3 has a part of them. */
struct image *image_build_twins(uint32_t k, uint32_t m, bool closed,
				img_hook fn, void *arg)
{
	struct image *im = image_new(k, m, fn, arg);

	im->nvols = 4;
	image_tree_make(im, TWIN, 1, "twin");
	image_write(im, IMG_SEG_SEALED, TWIN, 250, 12, 1);
	image_write(im, IMG_SEG_SEALED, TWIN, 540, 33, 2);
	image_seal(im, IMG_SEG_SEALED);
	image_tree_snap(im, TWIN, BASE, 2, 2, "base");
	im->vols[TWIN].size_blocks = 100;
	im->vols[TWIN].flags = 2;
	image_tree_back(im, TWIN, BASE, TRIED, 3, "");
	image_tree_reap(im, TRIED, 1);
	image_tree_clone(im, BASE, COPY, 4, "copy");
	return build(im, closed, log_twins);
}
