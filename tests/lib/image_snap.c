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
#include <stdio.h>
#include <string.h>

#include "tests/lib/image_builder.h"
#include "tests/lib/image_put.h"

enum { ALPHA, MON, TUE, WED };

static uint32_t node_new(struct image *im, const struct img_vol *v)
{
	uint32_t id = ++im->next_node;

	im->node_birth[id] = v->birth;
	return id;
}

/* The volume gets nodes of its own for a leaf that is about to change. */
static void own_leaf(struct image *im, struct img_vol *v, uint32_t leaf)
{
	if (v->leaf[leaf] == 0 || im->node_birth[v->leaf[leaf]] != v->birth)
		v->leaf[leaf] = node_new(im, v);
}

static void own_root(struct image *im, struct img_vol *v)
{
	v->root = node_new(im, v);
}

static void snap(struct image *im, unsigned from, unsigned to, uint32_t id,
		 const char *name)
{
	struct img_vol *v = &im->vols[from], *s = &im->vols[to];

	*s = *v;
	s->id = id;
	s->volume = v->id;
	s->flags = 1;
	snprintf(s->name, sizeof(s->name), "%s", name);
	v->birth++;
	v->origin = id;
}

/* A tree that is being deleted drops leaves below the cursor. */
static void drop(struct image *im, unsigned vol, uint64_t cursor)
{
	struct img_vol *v = &im->vols[vol];

	v->state = 2;
	for (uint64_t b = 0; b < cursor * 256 && b < IMG_VOL_BLOCKS; b++)
		image_entry_set(im, &v->map[b], (struct img_entry){ 0 });
	v->cursor = cursor;
}

static void volumes_make(struct image *im)
{
	struct img_vol *v = &im->vols[ALPHA];

	im->nvols = 3;
	*v = (struct img_vol){ .id = 1, .birth = 1, .state = 1, .levels = 1,
			       .size_blocks = 590, .name = "alpha" };
	for (uint32_t l = 0; l < IMG_LEAVES; l++)
		own_leaf(im, v, l);
	own_root(im, v);
	image_write(im, IMG_SEG_SEALED, ALPHA, 0, 20, 1);
	image_write(im, IMG_SEG_SEALED, ALPHA, 250, 12, 2);
	image_write(im, IMG_SEG_SEALED, ALPHA, 300, 30, 3);
	image_write(im, IMG_SEG_SEALED, ALPHA, 540, 33, 4);
	image_seal(im, IMG_SEG_SEALED);
	snap(im, ALPHA, MON, 2, "mon");
	own_leaf(im, v, 0);
	own_root(im, v);
	own_leaf(im, v, 1);
	image_write(im, IMG_SEG_DATA, ALPHA, 5, 4, 5);
	image_write(im, IMG_SEG_DATA, ALPHA, 310, 10, 6);
	snap(im, ALPHA, TUE, 3, "tue");
	own_leaf(im, v, 0);
	own_root(im, v);
	own_leaf(im, v, 2);
	image_write(im, IMG_SEG_DATA, ALPHA, 6, 2, 7);
	image_write(im, IMG_SEG_DATA, ALPHA, 550, 1, 8);
	drop(im, TUE, 1);
}

static void put_cursor(struct image *im, uint32_t id, uint64_t cursor)
{
	uint8_t body[8];

	put64(body, cursor);
	image_catalog(im, 260, id, body, sizeof(body));
}

static void log_after(struct image *im)
{
	uint8_t body[64] = { 0 };

	image_write(im, IMG_SEG_DATA, ALPHA, 7, 1, 50);
	image_move(im, ALPHA, 1);   /* of alpha and mon */
	image_move(im, ALPHA, 325); /* of all, in two leaves */
	put64(body, 1700000001);
	put32(body + 8, 1);
	memset(body + 12, 0x77, 16);
	put16(body + 28, 3);
	put_text(body + 30, "wed", 3);
	image_catalog(im, 261, 4, body, 33);
	snap(im, ALPHA, WED, 4, "wed");
	image_write(im, IMG_SEG_DATA, ALPHA, 2, 1, 51);
	image_write(im, IMG_SEG_OPENABLE, ALPHA, 260, 3, 52);
	image_catalog(im, 259, 2, NULL, 0);
	put_cursor(im, 2, 2);
	drop(im, MON, 2);
	image_move(im, WED, 2);     /* of wed alone */
	image_move(im, WED, 7);     /* of alpha and wed, from the log */
	put_cursor(im, 3, UINT64_MAX);
	drop(im, TUE, 3);
	im->vols[TUE].id = 0;
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
