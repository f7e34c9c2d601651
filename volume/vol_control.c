/* volume/vol_control.c - create, resize, rename, snapshot, delete.
 *
 *   queued --> checked against the catalog --> record appended (FUA)
 *          --> apply: catalog_apply() --> done
 *
 * Two that would otherwise wait do so without holding up the others: growing
 * a volume that was shrunk waits until what was beyond is unmapped, and
 * shrinking without force looks for blocks that would be cut off.
 *
 * Names are kept in the unused end of ctl->body: the record's own body never
 * reaches there.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/map_load.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

static_assert(sizeof(struct catalog_create) + VOLUME_NAME_MAX < CTL_NAME_OFF,
	      "body of a create");

static void controls_work(struct io_work *w);

int vol_controls_init(struct volumes *vols)
{
	struct vol_controls *q = &vols->ctl;

	list_init(&q->queue);
	list_init(&q->waiting);
	io_work_init(&q->work, controls_work);
	q->look = calloc(1, sizeof(*q->look));
	return q->look == NULL ? -ENOMEM : 0;
}

void vol_controls_fini(struct volumes *vols)
{
	if (vols->ctl.work.fn != NULL)
		io_undefer(&vols->ctl.work);
	free(vols->ctl.look);
}

char *vol_ctl_name(struct vol_ctl *ctl)
{
	return (char *)ctl->body + CTL_NAME_OFF;
}

static struct volumes *ctl_vols(const struct vol_controls *q)
{
	return container_of((struct vol_controls *)(uintptr_t)q,
			    struct volumes, ctl);
}

/* --- the end ------------------------------------------------------------- */

void vol_ctl_end(struct volumes *vols, struct vol_ctl *ctl, int res)
{
	assert(vols->ctl.active == ctl);
	vols->ctl.active = NULL;
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
	ctl->res = res;
	ctl->done(ctl);
}

/* Refused: one sentence. */
void vol_ctl_refuse(struct volumes *vols, struct vol_ctl *ctl, int res,
		       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ctl->error, sizeof(ctl->error), fmt, ap);
	va_end(ap);
	vol_ctl_end(vols, ctl, res);
}

static const char *append_problem(int res)
{
	switch (res) {
	case -ENOSPC:
		return "the pool is full; free space or add disks";
	case -EROFS:
		return "the pool is open read-only; import it for writing";
	case -ESHUTDOWN:
		return "the pool is closing or no longer ours";
	default:
		return "the pool could not store it; see its status";
	}
}

/* --- the record ---------------------------------------------------------- */

static const char *const op_words[] = {
	[CTL_CREATE] = "created", [CTL_RESIZE] = "resized",
	[CTL_RENAME] = "renamed", [CTL_DELETE] = "deleted",
	[CTL_SNAPSHOT] = "snapshotted", [CTL_SETTLE] = "resized",
};

static void users_tell(struct volume *v, bool gone)
{
	struct list users;
	struct list *link;

	/* A user may put the volume, or others may, while they are told. */
	list_init(&users);
	list_splice(&users, &v->users);
	while ((link = list_pop(&users)) != NULL) {
		struct vol_user *u = list_entry(link, struct vol_user, link);

		list_push(&v->users, &u->link);
		if (gone && u->gone != NULL)
			u->gone(u);
		else if (!gone && u->resized != NULL)
			u->resized(u);
	}
}

static void ctl_apply(struct log_append *a)
{
	struct vol_ctl *ctl = container_of(a, struct vol_ctl, append);
	struct volumes *vols = ctl->vols;

	ctl->res = catalog_apply(vols, a->rec.id, a->rec.block, a->body,
				 a->rec.n);
}

static void ctl_append_done(struct log_append *a)
{
	struct vol_ctl *ctl = container_of(a, struct vol_ctl, append);
	struct volumes *vols = ctl->vols;
	struct volume  *v = ctl->vol;
	int res = a->res < 0 ? a->res : ctl->res;

	if (v != NULL && res == 0) {
		if (ctl->op == CTL_DELETE || v->flags & CATALOG_SHRUNK)
			vol_reaper_add(v);
		if (ctl->op == CTL_DELETE)
			users_tell(v, true);
		else if (ctl->op == CTL_RESIZE)
			users_tell(v, false);
		vol_reaper_kick(vols);
	}
	if (v != NULL)
		vol_release(v);
	ctl->vol = NULL;
	if (res < 0)
		vol_ctl_refuse(vols, ctl, res, "Volume '%.80s' was not %s: %s.",
			   vol_ctl_name(ctl), op_words[ctl->op],
			   append_problem(res));
	else
		vol_ctl_end(vols, ctl, 0);
}

/* v: NULL for a create. */
void vol_ctl_append(struct volumes *vols, struct vol_ctl *ctl,
		       struct volume *v, uint32_t subtype, size_t body_bytes)
{
	struct log_append *a = &ctl->append;
	bool frees = ctl->op == CTL_DELETE || ctl->op == CTL_SETTLE ||
		     (v != NULL && ctl->op == CTL_RESIZE &&
		      ctl->size_bytes < v->size_bytes);

	ctl->vol = v;
	if (v != NULL)
		vol_hold(v);
	a->rec = (struct rec){
		.type = REC_CATALOG,
		.flags = REC_MUST_UNDERSTAND,
		.n = (uint16_t)body_bytes,
		.id = subtype,
		.block = v != NULL ? v->id : vols->catalog.next_volume,
	};
	a->body = ctl->body;
	a->iov = NULL;
	a->niov = 0;
	a->class = frees ? LOG_CLEANER : LOG_CLIENT;
	a->fua = true;
	a->asked_ns = io_now_ns(vols->io);
	a->apply = ctl_apply;
	a->done = ctl_append_done;
	log_append_submit(vols->pool, a);
}

/* --- create -------------------------------------------------------------- */

bool vol_ctl_bad_size(struct volumes *vols, struct vol_ctl *ctl)
{
	if (ctl->size_bytes > 0 && ctl->size_bytes <= VOLUME_BYTES_MAX &&
	    ctl->size_bytes % 512 == 0)
		return false;
	vol_ctl_refuse(vols, ctl, -EINVAL,
		   "Volume '%.80s' cannot have %llu bytes: give a multiple of "
		   "512 from 512 bytes to 128 TiB.",
		   vol_ctl_name(ctl), (unsigned long long)ctl->size_bytes);
	return true;
}

static void create_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_create *rec = (struct catalog_create *)ctl->body;
	const char *name = vol_ctl_name(ctl);
	size_t len = strlen(name);
	struct volume *v;
	int r;

	if (vol_ctl_bad_size(vols, ctl))
		return;
	v = catalog_find_name(&vols->catalog, name);
	if (v != NULL && v->size_bytes == ctl->size_bytes) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (v != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' exists with %llu bytes: resize it, "
			   "or take another name.",
			   name, (unsigned long long)v->size_bytes);
		return;
	}
	r = catalog_reserve(&vols->catalog, 1);
	if (r == 0 && vols->catalog.next_volume == UINT32_MAX)
		r = -ENOSPC;
	if (r < 0) {
		vol_ctl_refuse(vols, ctl, r, "Volume '%.80s' was not created: %s.",
			   name, r == -ENOSPC ?
			   "the pool has as many volumes as it can hold; "
			   "delete some" : "out of memory");
		return;
	}
	rec->uuid = ctl->uuid;
	rec->size_bytes = le64_of(ctl->size_bytes);
	rec->created_s = le64_of(ctl->now_s);
	rec->name_len = le16_of((uint16_t)len);
	memcpy(rec->name, name, len);
	vol_ctl_append(vols, ctl, NULL, CATALOG_CREATE, sizeof(*rec) + len);
}

/* --- finding ------------------------------------------------------------- */

/* NULL: refused. */
struct volume *vol_ctl_find(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = catalog_find_name(&vols->catalog, vol_ctl_name(ctl));

	if (v == NULL && strchr(vol_ctl_name(ctl), '@') != NULL)
		vol_ctl_refuse(vols, ctl, -ENOENT,
			   "There is no snapshot '%.160s': list the snapshots "
			   "of the volume to see their names.", vol_ctl_name(ctl));
	else if (v == NULL)
		vol_ctl_refuse(vols, ctl, -ENOENT,
			   "There is no volume '%.80s': list the volumes to "
			   "see their names.", vol_ctl_name(ctl));
	return v;
}

/* --- rename, delete ----------------------------------------------------- */

static void rename_start(struct volumes *vols, struct vol_ctl *ctl)
{
	char    new_name[VOLUME_NAME_MAX + 1] = "";
	uint8_t *body = ctl->body;
	size_t  len = body[0] | (size_t)body[1] << 8;
	struct volume *v;

	memcpy(new_name, body + sizeof(le16), len);
	v = catalog_find_name(&vols->catalog, vol_ctl_name(ctl));
	if (v != NULL && strcmp(v->name, new_name) == 0) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (v == NULL) {
		vol_ctl_find(vols, ctl);
		return;
	}
	if (v->kind == CATALOG_SNAPSHOT &&
	    catalog_find_snap(v->of, new_name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			   "Snapshot '%.120s' cannot be renamed: its volume "
			   "has a snapshot '%.80s' already; take another name.",
			   vol_ctl_name(ctl), new_name);
		return;
	}
	if (v->kind == CATALOG_VOLUME &&
	    catalog_find_name(&vols->catalog, new_name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' cannot be renamed: there is a "
			   "volume '%.80s' already; take another name.",
			   v->name, new_name);
		return;
	}
	vol_ctl_append(vols, ctl, v, CATALOG_RENAME, sizeof(le16) + len);
}

static void delete_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = vol_ctl_find(vols, ctl);

	if (v == NULL)
		return;
	if (v->kind == CATALOG_VOLUME && vol_snap_next(v, NULL) != NULL) {
		vol_ctl_refuse(vols, ctl, -ENOTEMPTY,
			   "Volume '%.80s' has snapshots: delete them first.",
			   v->name);
		return;
	}
	if (v->nusers > 0 && !ctl->force) {
		vol_ctl_refuse(vols, ctl, -EBUSY,
			   "%s '%.160s' is in use by %u: detach it first, or "
			   "force it.",
			   v->kind == CATALOG_VOLUME ? "Volume" : "Snapshot",
			   vol_ctl_name(ctl), v->nusers);
		return;
	}
	vol_ctl_append(vols, ctl, v, CATALOG_DELETE, 0);
}

/* --- queue --------------------------------------------------------------- */

static void controls_work(struct io_work *w)
{
	struct vol_controls *q = container_of(w, struct vol_controls, work);
	struct volumes *vols = ctl_vols(q);
	struct list    *link;
	struct vol_ctl *ctl;

	if (q->active != NULL)
		return;
	link = list_pop(&q->queue);
	if (link == NULL)
		return;
	ctl = list_entry(link, struct vol_ctl, link);
	q->active = ctl;
	if (ctl->res < 0) {
		vol_ctl_end(vols, ctl, ctl->res); /* refused at once */
		return;
	}
	switch ((enum ctl_op)ctl->op) {
	case CTL_CREATE:
		create_start(vols, ctl);
		return;
	case CTL_RESIZE:
		vol_resize_start(vols, ctl);
		return;
	case CTL_RENAME:
		rename_start(vols, ctl);
		return;
	case CTL_DELETE:
		delete_start(vols, ctl);
		return;
	case CTL_SNAPSHOT:
		vol_snapshot_start(vols, ctl);
		return;
	case CTL_SETTLE:
		vol_settle_start(vols, ctl);
		return;
	}
}

void vol_controls_reaped(struct volume *v, int res)
{
	struct volumes *vols = v->vols;
	struct vol_controls *q = &vols->ctl;

	list_for_each_safe(it, tmp, &q->waiting) {
		struct vol_ctl *ctl = list_entry(it, struct vol_ctl, link);

		if (ctl->vol != v)
			continue;
		list_remove(&ctl->link);
		vol_release(v);
		ctl->vol = NULL;
		ctl->res = res;
		if (res < 0)
			snprintf(ctl->error, sizeof(ctl->error),
				 "Volume '%.80s' cannot grow yet: what it lost "
				 "when it was made smaller is not gone; try "
				 "again when the pool is healthy.",
				 vol_ctl_name(ctl));
		list_push(&q->queue, &ctl->link);
		io_defer(vols->io, &q->work);
	}
}

void vol_ctl_queue(struct volumes *vols, struct vol_ctl *ctl,
		      enum ctl_op op, int res)
{
	assert(ctl->done != NULL);
	ctl->op = (uint32_t)op;
	ctl->vols = vols;
	ctl->res = res;
	ctl->already = false;
	if (res == 0)
		ctl->error[0] = '\0';
	list_init(&ctl->link);
	list_push(&vols->ctl.queue, &ctl->link);
	io_defer(vols->io, &vols->ctl.work);
}

/* The name, VOLUME or VOLUME@SNAPSHOT, goes where it stays; -EINVAL: it is
 * none. */
int vol_ctl_take_name(struct vol_ctl *ctl, const char *name)
{
	char  volume[VOLUME_NAME_MAX + 1] = "";
	const char *at;

	ctl->vol = NULL;
	vol_ctl_name(ctl)[0] = '\0';
	if (name == NULL)
		name = "";
	at = strchr(name, '@');
	if (at == NULL && vol_name_problem(name, ctl->error) != NULL)
		return -EINVAL;
	if (at != NULL) {
		/* One that is too long is cut so that it stays too long. */
		memcpy(volume, name, min_u64((uint64_t)(at - name),
					     sizeof(volume) - 1));
		if (vol_name_problem(at - name > VOLUME_NAME_MAX ? name :
								    volume,
				     ctl->error) != NULL ||
		    vol_name_problem(at + 1, ctl->error) != NULL)
			return -EINVAL;
	}
	memcpy(vol_ctl_name(ctl), name, strlen(name) + 1);
	return 0;
}

/* A new volume's has no '@'. */
static int take_volume_name(struct vol_ctl *ctl, const char *name)
{
	int r = vol_ctl_take_name(ctl, name);

	if (r == 0 && vol_name_problem(name, ctl->error) != NULL)
		r = -EINVAL;
	return r;
}

void vol_create(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_CREATE, take_volume_name(ctl, ctl->name));
}

void vol_resize(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_RESIZE, vol_ctl_take_name(ctl, ctl->name));
}

void vol_rename(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	int r = vol_ctl_take_name(ctl, ctl->name);

	if (r == 0 && vol_name_problem(new_name, ctl->error) != NULL)
		r = -EINVAL;
	if (r == 0) {
		size_t len = strlen(new_name);

		ctl->body[0] = (uint8_t)len;
		ctl->body[1] = (uint8_t)(len >> 8);
		memcpy(ctl->body + sizeof(le16), new_name, len);
	}
	vol_ctl_queue(vols, ctl, CTL_RENAME, r);
}

void vol_delete(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_DELETE, vol_ctl_take_name(ctl, ctl->name));
}

void vol_settle(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl->vol;

	memcpy(vol_ctl_name(ctl), v->name, strlen(v->name) + 1);
	vol_ctl_queue(vols, ctl, CTL_SETTLE, 0);
}
