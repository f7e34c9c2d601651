/* volume/vol_control.c - create, resize, rename, delete.
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

#define NAME_OFF 640u
static_assert(sizeof(struct catalog_create) + VOLUME_NAME_MAX < NAME_OFF,
	      "body of a create");
static_assert(NAME_OFF + VOLUME_NAME_MAX + 1 <= CATALOG_BODY_MAX, "name");

enum ctl_op {
	CTL_CREATE,
	CTL_RESIZE,
	CTL_RENAME,
	CTL_DELETE,
	CTL_SETTLE,
};

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

static char *ctl_name(struct vol_ctl *ctl)
{
	return (char *)ctl->body + NAME_OFF;
}

static struct volumes *ctl_vols(const struct vol_controls *q)
{
	return container_of((struct vol_controls *)(uintptr_t)q,
			    struct volumes, ctl);
}

/* --- the end ------------------------------------------------------------- */

static void ctl_end(struct volumes *vols, struct vol_ctl *ctl, int res)
{
	assert(vols->ctl.active == ctl);
	vols->ctl.active = NULL;
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
	ctl->res = res;
	ctl->done(ctl);
}

/* Refused: one sentence. */
__attribute__((format(printf, 4, 5)))
static void ctl_refuse(struct volumes *vols, struct vol_ctl *ctl, int res,
		       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ctl->error, sizeof(ctl->error), fmt, ap);
	va_end(ap);
	ctl_end(vols, ctl, res);
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
	[CTL_SETTLE] = "resized",
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
		ctl_refuse(vols, ctl, res, "Volume '%.80s' was not %s: %s.",
			   ctl_name(ctl), op_words[ctl->op],
			   append_problem(res));
	else
		ctl_end(vols, ctl, 0);
}

/* v: NULL for a create. */
static void ctl_append(struct volumes *vols, struct vol_ctl *ctl,
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

static bool size_is_bad(struct volumes *vols, struct vol_ctl *ctl)
{
	if (ctl->size_bytes > 0 && ctl->size_bytes <= VOLUME_BYTES_MAX &&
	    ctl->size_bytes % 512 == 0)
		return false;
	ctl_refuse(vols, ctl, -EINVAL,
		   "Volume '%.80s' cannot have %llu bytes: give a multiple of "
		   "512 from 512 bytes to 128 TiB.",
		   ctl_name(ctl), (unsigned long long)ctl->size_bytes);
	return true;
}

static void create_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_create *rec = (struct catalog_create *)ctl->body;
	const char *name = ctl_name(ctl);
	size_t len = strlen(name);
	struct volume *v;
	int r;

	if (size_is_bad(vols, ctl))
		return;
	v = catalog_find_name(&vols->catalog, name);
	if (v != NULL && v->size_bytes == ctl->size_bytes) {
		ctl->already = true;
		ctl_end(vols, ctl, 0);
		return;
	}
	if (v != NULL) {
		ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' exists with %llu bytes: resize it, "
			   "or take another name.",
			   name, (unsigned long long)v->size_bytes);
		return;
	}
	r = catalog_reserve(&vols->catalog);
	if (r == 0 && vols->catalog.next_volume == UINT32_MAX)
		r = -ENOSPC;
	if (r < 0) {
		ctl_refuse(vols, ctl, r, "Volume '%.80s' was not created: %s.",
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
	ctl_append(vols, ctl, NULL, CATALOG_CREATE, sizeof(*rec) + len);
}

/* --- finding ------------------------------------------------------------- */

/* NULL: refused. */
static struct volume *ctl_find(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = catalog_find_name(&vols->catalog, ctl_name(ctl));

	if (v == NULL)
		ctl_refuse(vols, ctl, -ENOENT,
			   "There is no volume '%.80s': list the volumes to "
			   "see their names.", ctl_name(ctl));
	return v;
}

/* --- resize -------------------------------------------------------------- */

static void resize_append(struct volumes *vols, struct vol_ctl *ctl,
			  struct volume *v)
{
	le64 size = le64_of(ctl->size_bytes);

	memcpy(ctl->body, &size, sizeof(size));
	ctl_append(vols, ctl, v, CATALOG_RESIZE, sizeof(size));
}

static void look_done(struct map_load *l);

/* Is anything mapped behind the new size?  True: yes, refused. */
static void look_loaded(struct volumes *vols, struct vol_look *look)
{
	struct map_load *l = &look->load;
	struct vol_ctl  *ctl = vols->ctl.active;
	struct volume   *v = l->vol;
	uint64_t block = ctl->size_bytes >> TARN_BLOCK_SHIFT;
	bool found = l->res < 0;

	for (unsigned i = 0; i < l->n; i++) {
		const struct mnode *leaf = l->slots[i].node;
		unsigned slot = 0;

		if (leaf == NULL)
			continue;
		if (leaf->index == leaf_of_block(block))
			slot = slot_of_block(block);
		found |= map_count_unmapped(leaf, slot, LEAF_ENTRIES - slot) <
			 LEAF_ENTRIES - slot;
	}
	map_load_release(l);
	if (found) {
		ctl_refuse(vols, ctl, -ENOTEMPTY,
			   "Volume '%.80s' has data beyond %llu bytes, which "
			   "would be lost: force it if that is meant.",
			   ctl_name(ctl),
			   (unsigned long long)ctl->size_bytes);
		return;
	}
	if (l->next < l->end) {
		l->n = 0;
		if (map_load_start(l))
			io_defer(vols->io, &look->work);
		return;
	}
	resize_append(vols, ctl, v);
}

static void look_done(struct map_load *l)
{
	look_loaded(l->vol->vols, container_of(l, struct vol_look, load));
}

static void look_work(struct io_work *w)
{
	struct vol_look *look = container_of(w, struct vol_look, work);

	look_loaded(look->load.vol->vols, look);
}

static void look_start(struct volumes *vols, struct vol_ctl *ctl,
		       struct volume *v)
{
	struct vol_look *look = vols->ctl.look;
	struct map_load *l = &look->load;

	memset(look, 0, sizeof(*look));
	io_work_init(&look->work, look_work);
	l->vol = v;
	l->next = leaf_of_block(ctl->size_bytes >> TARN_BLOCK_SHIFT);
	l->end = levels_to_leaves(v->levels);
	l->cap = LOOK_LEAVES;
	l->slots = look->slots;
	l->done = look_done;
	if (map_load_start(l))
		look_loaded(vols, look);
}

static void resize_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl_find(vols, ctl);

	if (v == NULL || size_is_bad(vols, ctl))
		return;
	if (v->size_bytes == ctl->size_bytes) {
		ctl->already = true;
		ctl_end(vols, ctl, 0);
		return;
	}
	if (ctl->size_bytes > v->size_bytes) {
		if (v->flags & CATALOG_SHRUNK) {
			/* What it lost must be gone before. */
			vols->ctl.active = NULL;
			ctl->vol = v;
			vol_hold(v);
			list_push(&vols->ctl.waiting, &ctl->link);
			vol_reaper_add(v);
			vol_reaper_kick(vols);
			io_defer(vols->io, &vols->ctl.work);
			return;
		}
		resize_append(vols, ctl, v);
		return;
	}
	if (v->nusers > 0 && !ctl->force) {
		ctl_refuse(vols, ctl, -EBUSY,
			   "Volume '%.80s' is in use and would get smaller: "
			   "detach it first, or force it.", v->name);
		return;
	}
	if (ctl->force)
		resize_append(vols, ctl, v);
	else
		look_start(vols, ctl, v);
}

/* --- rename, delete, settle ---------------------------------------------- */

static void rename_start(struct volumes *vols, struct vol_ctl *ctl)
{
	char    new_name[VOLUME_NAME_MAX + 1] = "";
	uint8_t *body = ctl->body;
	size_t  len = body[0] | (size_t)body[1] << 8;
	struct volume *v;

	memcpy(new_name, body + sizeof(le16), len);
	v = catalog_find_name(&vols->catalog, ctl_name(ctl));
	if (v != NULL && strcmp(v->name, new_name) == 0) {
		ctl->already = true;
		ctl_end(vols, ctl, 0);
		return;
	}
	if (v == NULL) {
		ctl_find(vols, ctl);
		return;
	}
	if (catalog_find_name(&vols->catalog, new_name) != NULL) {
		ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' cannot be renamed: there is a "
			   "volume '%.80s' already; take another name.",
			   v->name, new_name);
		return;
	}
	ctl_append(vols, ctl, v, CATALOG_RENAME, sizeof(le16) + len);
}

static void delete_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl_find(vols, ctl);

	if (v == NULL)
		return;
	if (v->nusers > 0 && !ctl->force) {
		ctl_refuse(vols, ctl, -EBUSY,
			   "Volume '%.80s' is in use by %u: detach it first, "
			   "or force it.", v->name, v->nusers);
		return;
	}
	ctl_append(vols, ctl, v, CATALOG_DELETE, 0);
}

static void settle_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl->vol;

	if (v->gone || v->state != CATALOG_READY ||
	    v->size_bytes != ctl->size_bytes) {
		ctl_end(vols, ctl, 0); /* overtaken */
		return;
	}
	resize_append(vols, ctl, v);
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
		ctl_end(vols, ctl, ctl->res); /* refused at once */
		return;
	}
	switch ((enum ctl_op)ctl->op) {
	case CTL_CREATE:
		create_start(vols, ctl);
		return;
	case CTL_RESIZE:
		resize_start(vols, ctl);
		return;
	case CTL_RENAME:
		rename_start(vols, ctl);
		return;
	case CTL_DELETE:
		delete_start(vols, ctl);
		return;
	case CTL_SETTLE:
		settle_start(vols, ctl);
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
				 ctl_name(ctl));
		list_push(&q->queue, &ctl->link);
		io_defer(vols->io, &q->work);
	}
}

static void ctl_queue(struct volumes *vols, struct vol_ctl *ctl,
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

/* The name goes where it stays; -EINVAL: it is none. */
static int take_name(struct vol_ctl *ctl, const char *name)
{
	ctl->vol = NULL;
	ctl_name(ctl)[0] = '\0';
	if (name == NULL)
		name = "";
	if (vol_name_problem(name, ctl->error) != NULL)
		return -EINVAL;
	memcpy(ctl_name(ctl), name, strlen(name) + 1);
	return 0;
}

void vol_create(struct volumes *vols, struct vol_ctl *ctl)
{
	ctl_queue(vols, ctl, CTL_CREATE, take_name(ctl, ctl->name));
}

void vol_resize(struct volumes *vols, struct vol_ctl *ctl)
{
	ctl_queue(vols, ctl, CTL_RESIZE, take_name(ctl, ctl->name));
}

void vol_rename(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	int r = take_name(ctl, ctl->name);

	if (r == 0 && vol_name_problem(new_name, ctl->error) != NULL)
		r = -EINVAL;
	if (r == 0) {
		size_t len = strlen(new_name);

		ctl->body[0] = (uint8_t)len;
		ctl->body[1] = (uint8_t)(len >> 8);
		memcpy(ctl->body + sizeof(le16), new_name, len);
	}
	ctl_queue(vols, ctl, CTL_RENAME, r);
}

void vol_delete(struct volumes *vols, struct vol_ctl *ctl)
{
	ctl_queue(vols, ctl, CTL_DELETE, take_name(ctl, ctl->name));
}

void vol_settle(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl->vol;

	memcpy(ctl_name(ctl), v->name, strlen(v->name) + 1);
	ctl_queue(vols, ctl, CTL_SETTLE, 0);
}
