/* tests/lib/image_snap.c - a hand-made pool with snapshots.
 *
 * In the commit, volume 1 "alpha" (birth 3) derives from snapshot 3 "tue"
 * (birth 2), which is being deleted and has nothing in leaf 0 any more, and
 * that from snapshot 2 "mon" (birth 1):
 *
 *           leaf 0  leaf 1  leaf 2  root
 *   alpha        8       7      10     9
 *   tue        (5)       7       3     6
 *   mon          1       2       3     4
 *
 * The log after it moves what is shared, takes snapshot 4 "wed", and deletes
 * "mon" in part and "tue" in full.
 */
#include "tests/lib/image_put.h"
#include "tests/lib/image_tree.h"

enum { ALPHA, MON, TUE, WED };

static void volumes_make(struct image *im)
{
	im->nvols = 3;
	image_tree_make(im, ALPHA, 1, "alpha");
	image_write(im, IMG_SEG_SEALED, ALPHA, 0, 20, 1);
	image_write(im, IMG_SEG_SEALED, ALPHA, 250, 12, 2);
	image_write(im, IMG_SEG_SEALED, ALPHA, 300, 30, 3);
	image_write(im, IMG_SEG_SEALED, ALPHA, 540, 33, 4);
	image_seal(im, IMG_SEG_SEALED);
	image_tree_snap(im, ALPHA, MON, 2, 2, "mon");
	image_path_own(im, ALPHA, 0);
	image_leaf_own(im, ALPHA, 1);
	image_write(im, IMG_SEG_DATA, ALPHA, 5, 4, 5);
	image_write(im, IMG_SEG_DATA, ALPHA, 310, 10, 6);
	image_tree_snap(im, ALPHA, TUE, 3, 2, "tue");
	image_path_own(im, ALPHA, 0);
	image_leaf_own(im, ALPHA, 2);
	image_write(im, IMG_SEG_DATA, ALPHA, 6, 2, 7);
	image_write(im, IMG_SEG_DATA, ALPHA, 550, 1, 8);
	image_tree_delete(im, TUE);
	image_tree_reap(im, TUE, 1);
}

static void log_after(struct image *im)
{
	static const struct img_member wed[] = { { 1, 2, "wed", 0 },
						 { .volume = 0 } };

	image_write(im, IMG_SEG_DATA, ALPHA, 7, 1, 50);
	image_move(im, ALPHA, 1);   /* of alpha and mon */
	image_move(im, ALPHA, 325); /* of all, in two leaves */
	image_log_group(im, 4, wed);
	image_tree_snap(im, ALPHA, WED, 4, 2, "wed");
	image_write(im, IMG_SEG_DATA, ALPHA, 2, 1, 51);
	image_write(im, IMG_SEG_OPENABLE, ALPHA, 260, 3, 52);
	image_log_delete(im, 2);
	image_tree_delete(im, MON);
	image_log_reap(im, 2, 2);
	image_tree_reap(im, MON, 2);
	image_move(im, WED, 2);     /* of wed alone */
	image_move(im, WED, 7);     /* of alpha and wed, from the log */
	image_log_reap(im, 3, UINT64_MAX);
	image_tree_reap(im, TUE, UINT64_MAX);
	image_unmap(im, ALPHA, 310, 3);
	image_unmap(im, ALPHA, 540, 100000);
	im->flushed = im->row;
	image_row(im, IMG_SEG_DATA, NULL, 0, NULL);
	image_write(im, IMG_SEG_DATA, ALPHA, 589, 1, 53);
}

struct image *image_build_snaps(uint32_t k, uint32_t m, bool closed,
				img_hook fn, void *arg)
{
	struct image *im = image_new(k, m, fn, arg);

	volumes_make(im);
	im->flushed = im->row;
	image_commit(im);
	if (closed)
		im->label_flags = 2;
	else
		log_after(im);
	image_labels(im);
	image_leases(im);
	return im;
}
