/* pool/disk_offer.c - a disk that turns up when the pool is open.
 *
 * Its label says which member it is.  That one takes it, in place of a disk
 * that is not there any more or turned out to be another one (places were
 * exchanged), and then it is verified and made whole as after a reconnect
 * (member.c).
 *
 * The ways to fail: it is of no use (it cannot be read, is of another pool or
 * no member, its member has its disk) and is closed.  When the pool is
 * closed meanwhile, it is closed with the others.
 */
#include <stdlib.h>

#include "pool/core.h"

struct late_disk {
	struct list     link;   /* pool->late_disks */
	struct pool    *pool;
	struct disk    *disk;
	uint8_t        *area;
	struct disk_req req;
	bool            closing; /* the pool is; its closed() frees this */
	void          (*closed)(void *arg);
	void           *closed_arg;
};

static void late_free(struct late_disk *ld)
{
	list_remove(&ld->link);
	free(ld->area);
	free(ld);
}

static void late_end(struct late_disk *ld, bool keep)
{
	if (!keep)
		disk_close(ld->disk, disk_forgotten, NULL);
	late_free(ld);
}

static void late_closed(void *arg)
{
	struct late_disk *ld = arg;
	void (*closed)(void *) = ld->closed;
	void *closed_arg = ld->closed_arg;

	late_free(ld);
	closed(closed_arg);
}

unsigned late_disks_close(struct pool *p, void (*closed)(void *arg), void *arg)
{
	unsigned n = 0;

	list_for_each_safe(l, tmp, &p->late_disks) {
		struct late_disk *ld = list_entry(l, struct late_disk, link);

		ld->closing = true;
		ld->closed = closed;
		ld->closed_arg = arg;
		n++;
		disk_close(ld->disk, late_closed, ld);
	}
	return n;
}

static bool is_open(const struct pool *p)
{
	return p->state == POOL_ST_ACTIVE || p->state == POOL_ST_READ_ONLY;
}

/* Its own disk is there: up, and verified since. */
static bool has_disk(const struct member *m)
{
	return m->disk != NULL && m->disk->up && m->epoch == m->disk->epoch;
}

/* m takes the disk.  Of its connection nothing is known: epoch 0 is none. */
static void late_take(struct member *m, struct disk *d)
{
	if (m->disk != NULL)
		disk_close(m->disk, disk_forgotten, NULL);
	if (m->state == MEMBER_FAULTED || m->state == MEMBER_MISSING)
		m->state = m->in ? MEMBER_SUSPECT : MEMBER_OUT;
	member_attach(m, d);
	m->epoch = 0;
	d->event(d, DISK_EV_UP, m);
}

static void late_read(struct disk_req *req)
{
	struct late_disk *ld = container_of(req, struct late_disk, req);
	struct pool      *p = ld->pool;
	struct label     *l = NULL;
	unsigned          damaged;
	const char       *why;
	bool              keep = false;

	if (ld->closing)
		return;
	if (req->res < 0 || !is_open(p) ||
	    label_newest(ld->area, NULL, &l, &damaged, &why) < 0 ||
	    !uuid_equal(&l->pool, &p->uuid)) {
		free(l);
		late_end(ld, false);
		return;
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (!uuid_equal(&m->uuid, &l->disk) || m->removed ||
		    m->leaving)
			continue;
		if (has_disk(m)) {
			pool_log(p,
				 "disk %s is refused: disk %s carries the same "
				 "identity",
				 ld->disk->place, m->disk->place);
			continue;
		}
		keep = true;
		late_take(m, ld->disk);
	}
	free(l);
	late_end(ld, keep);
}

void pool_offer_disk(struct pool *p, struct pool_disk *disk)
{
	struct late_disk *ld = calloc(1, sizeof(*ld));

	disk->disk->event = disk_event_ignore;
	if (ld != NULL)
		ld->area = aligned_alloc(TARN_BLOCK, LABEL_AREA_BYTES);
	if (ld == NULL || ld->area == NULL || !is_open(p)) {
		disk_close(disk->disk, disk_forgotten, NULL);
		free(ld);
		return;
	}
	list_push(&p->late_disks, &ld->link);
	ld->pool = p;
	ld->disk = disk->disk;
	ld->req.op = DISK_READ;
	ld->req.off_bytes = 0;
	ld->req.len_bytes = LABEL_AREA_BYTES;
	ld->req.buf = ld->area;
	ld->req.done = late_read;
	disk_submit(disk->disk, &ld->req);
}
