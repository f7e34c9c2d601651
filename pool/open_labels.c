/* pool/open_labels.c - reading the labels of the disks that a pool may be on.
 *
 * The first label area of every disk at once, then the last one, which is where
 * the disk ended when the first was written: it may have grown since.  The
 * newest valid label of either is what the disk says.  When all have answered,
 * open.c goes on.  That happens twice, the second time when the claim is on the
 * disks.
 *
 * The ways to fail are a disk's, which is refused with the reason: it cannot be
 * reached or read, is too small, has no usable label or one of another pool.
 */
#include <stdlib.h>

#include "pool/open.h"

static void disk_labels(struct opener *o, struct open_disk *d)
{
	unsigned    damaged = 0;
	const char *why = "";
	int         r;

	free(d->label);
	d->label = NULL;
	if (d->disk == NULL)
		return;
	if (!d->read_ok[0] && !d->read_ok[1]) {
		open_refuse(o, d, "its label areas cannot be read");
		return;
	}
	r = label_newest(d->read_ok[0] ? d->area[0] : NULL,
			 d->read_ok[1] ? d->area[1] : NULL, &d->label,
			 &damaged, &why);
	if (r < 0) {
		char text[200];

		snprintf(text, sizeof(text), "no usable label: %s", why);
		open_refuse(o, d, text);
		return;
	}
	if (damaged > 0 && !o->again)
		pool_log(o->pool, "disk %s: %u of its label copies are damaged",
			 d->disk->place, damaged);
	if (!uuid_equal(&d->label->pool, &o->pool->uuid)) {
		char text[200];

		snprintf(text, sizeof(text), "it belongs to pool %s",
			 d->label->name);
		free(d->label);
		d->label = NULL;
		open_refuse(o, d, text);
	}
}

void open_labels_put(struct opener *o)
{
	if (--o->pending > 0)
		return;
	if (o->pool->state == POOL_ST_FAILED || o->aborted)
		return;
	for (unsigned i = 0; i < o->ndisks; i++) {
		if (!o->disks[i].refused)
			disk_labels(o, &o->disks[i]);
	}
	if (o->again)
		open_labels_again(o);
	else
		open_labels_first(o);
}

static void label_tail_read(struct disk_req *req)
{
	struct open_disk *d = container_of(req, struct open_disk, reqs[1]);

	d->read_ok[1] = req->res == 0;
	open_labels_put(d->opener);
}

static void read_area(struct open_disk *d, unsigned i, uint64_t off_bytes,
		      void (*done)(struct disk_req *req))
{
	struct disk_req *req = &d->reqs[i];

	if (d->area[i] == NULL)
		d->area[i] = aligned_alloc(TARN_BLOCK, LABEL_AREA_BYTES);
	if (d->area[i] == NULL)
		return;
	req->op = DISK_READ;
	req->off_bytes = off_bytes;
	req->len_bytes = LABEL_AREA_BYTES;
	req->buf = d->area[i];
	req->done = done;
	d->opener->pending++;
	disk_submit(d->disk, req);
}

/* Without a label in the first area, where the disk ends now. */
static void read_tail(struct open_disk *d)
{
	uint64_t      blocks = d->disk->size_bytes / TARN_BLOCK;
	struct label *l = NULL;
	unsigned      damaged;
	const char   *why;

	if (blocks < 2 * LABEL_AREA_BLOCKS)
		return;
	if (d->read_ok[0] &&
	    label_newest(d->area[0], NULL, &l, &damaged, &why) == 0)
		blocks = min_u64(blocks, l->size_blocks);
	free(l);
	read_area(d, 1, blocks_to_bytes(blocks - LABEL_AREA_BLOCKS),
		  label_tail_read);
}

static void label_head_read(struct disk_req *req)
{
	struct open_disk *d = container_of(req, struct open_disk, reqs[0]);
	struct opener    *o = d->opener;

	d->read_ok[0] = req->res == 0;
	if (o->pool->state != POOL_ST_FAILED && !o->aborted)
		read_tail(d);
	open_labels_put(o);
}

void open_labels_read(struct opener *o)
{
	o->pending = 1;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];
		uint64_t          blocks;

		if (d->disk == NULL || d->refused)
			continue;
		blocks = d->disk->size_bytes / TARN_BLOCK;
		if (!d->disk->up || blocks < 2 * LABEL_AREA_BLOCKS) {
			open_refuse(o, d, d->disk->up ? "it is too small"
						      : "it cannot be reached");
			continue;
		}
		d->read_ok[0] = false;
		d->read_ok[1] = false;
		read_area(d, 0, 0, label_head_read);
	}
	io_defer(o->pool->io, &o->work);
}
