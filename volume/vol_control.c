/* volume/vol_control.c - what all control operations go through.
 *
 *   queued --> checked against the catalog (their own files) --> record
 *   appended (FUA) --> apply: catalog_apply() --> done
 *
 * What has to wait for the reaper, or for users to go, does so without holding
 * up the others; then it is queued again.
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

/* What frees space is asked for again when there was no room even for its
 * record: in a full pool the cleaner may have none left to itself for a
 * moment. */
#define RETRY_NS     (NS_PER_S / 2)
#define RETRY_FOR_NS (8 * NS_PER_S)

static void controls_work(struct io_work *w);
static void retry_fn(struct io_timer *t);

int vol_controls_init(struct volumes *vols)
{
	struct vol_controls *q = &vols->ctl;

	list_init(&q->queue);
	list_init(&q->waiting);
	io_work_init(&q->work, controls_work);
	io_timer_init(&q->retry, retry_fn);
	q->look = calloc(1, sizeof(*q->look));
	return q->look == NULL ? -ENOMEM : vol_still_init(vols);
}

void vol_controls_fini(struct volumes *vols)
{
	if (vols->ctl.work.fn != NULL) {
		io_undefer(&vols->ctl.work);
		io_timer_cancel(vols->io, &vols->ctl.retry);
	}
	vol_still_fini(vols);
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
	vol_pledges_drop(vols);
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
	for (unsigned i = 0; i < ARRAY_LEN(ctl->detached); i++) {
		if (ctl->detached[i] == NULL)
			continue;
		ctl->detached[i]->detaching--;
		vol_release(ctl->detached[i]);
	}
	vols->ctl.ops++;
	vols->ctl.ns += io_now_ns(vols->io) - ctl->asked_ns;
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
	[CTL_SNAPSHOT] = "snapshotted", [CTL_CLONE] = "cloned",
	[CTL_ROLLBACK] = "rolled back", [CTL_SETTLE] = "resized",
	[CTL_RECEIVE] = "received", [CTL_PUBLISH] = "received",
	[CTL_HOLD] = "held", [CTL_RELEASE] = "released",
	[CTL_UNDELETE] = "taken out of the trash",
	[CTL_PURGE] = "deleted",
	[CTL_SCHEDULE] = "given a schedule",
	[CTL_SET] = "changed",
};

const char *vol_ctl_word(const struct vol_ctl *ctl)
{
	return op_words[ctl->op];
}

bool vol_ctl_may_park(struct volumes *vols, const struct vol_ctl *ctl)
{
	return vol_trash_helps(vols) &&
	       io_now_ns(vols->io) - ctl->asked_ns <= RETRY_FOR_NS;
}

void vol_users_tell(struct volume *v, bool gone)
{
	struct list users;
	struct list *link;

	vol_pauses_kick(v->vols);
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
	vol_pledges_drop(vols);
}

/* What needs room may also wait for what is in the trash to go. */
static bool is_retried(struct volumes *vols, struct vol_ctl *ctl)
{
	uint64_t now = io_now_ns(vols->io);

	if (ctl->append.res != -ENOSPC || now - ctl->asked_ns > RETRY_FOR_NS)
		return false;
	if (ctl->append.class != LOG_CLEANER) {
		if (!vol_trash_helps(vols))
			return false;
		if (ctl->vol != NULL)
			vol_release(ctl->vol);
		ctl->vol = NULL;
		vol_trash_park(vols, ctl);
		return true;
	}
	io_timer_arm(vols->io, &vols->ctl.retry, now + RETRY_NS);
	return true;
}

static void retry_fn(struct io_timer *t)
{
	struct vol_controls *q = container_of(t, struct vol_controls, retry);

	log_append_submit(ctl_vols(q)->pool, &q->active->append);
}

static void ctl_append_done(struct log_append *a)
{
	struct vol_ctl *ctl = container_of(a, struct vol_ctl, append);
	struct volumes *vols = ctl->vols;
	struct volume  *v = ctl->vol;
	int res = a->res < 0 ? a->res : ctl->res;

	if (is_retried(vols, ctl))
		return;
	if (v != NULL && res == 0) {
		if (ctl->op == CTL_DELETE || v->flags & CATALOG_SHRUNK)
			vol_reaper_add(v);
		if (ctl->op == CTL_DELETE || ctl->op == CTL_PURGE)
			vol_trash_users_tell(v, a->rec.id);
		else if (ctl->op == CTL_RESIZE)
			vol_users_tell(v, false);
		vol_reaper_kick(vols);
	}
	if (v != NULL)
		vol_release(v);
	ctl->vol = NULL;
	if (res == 0 && ctl->op == CTL_RECEIVE)
		vol_ctl_again(vols, ctl); /* it may not be large enough yet */
	else if (res < 0)
		vol_ctl_refuse(vols, ctl, res, "%s '%.160s' was not %s: %s.",
			       vol_name_word(vol_ctl_name(ctl)),
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
		     ctl->op == CTL_ROLLBACK || ctl->op == CTL_RELEASE ||
		     ctl->op == CTL_PURGE || ctl->op == CTL_UNDELETE ||
		     ctl->op == CTL_SCHEDULE || ctl->op == CTL_SET ||
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

bool vol_ctl_no_room(struct volumes *vols, struct vol_ctl *ctl, uint32_t n)
{
	int r = catalog_reserve(&vols->catalog, n);

	if (r == -ENOSPC && vol_ctl_may_park(vols, ctl)) {
		vol_trash_park(vols, ctl);
		return true;
	}
	if (r < 0)
		vol_ctl_refuse(vols, ctl, r, "'%.160s' was not %s: %s.",
			       vol_ctl_name(ctl), op_words[ctl->op],
			       r == -ENOSPC ?
			       "the pool has as many volumes and snapshots as "
			       "it can hold; delete some" : "out of memory");
	return r < 0;
}

/* --- queue --------------------------------------------------------------- */

void vol_ctl_again(struct volumes *vols, struct vol_ctl *ctl)
{
	assert(vols->ctl.active == ctl);
	switch ((enum ctl_op)ctl->op) {
	case CTL_CREATE:
		vol_create_start(vols, ctl);
		return;
	case CTL_RESIZE:
		vol_resize_start(vols, ctl);
		return;
	case CTL_RENAME:
		vol_rename_start(vols, ctl);
		return;
	case CTL_DELETE:
		vol_delete_start(vols, ctl);
		return;
	case CTL_SNAPSHOT:
		vol_snapshot_start(vols, ctl);
		return;
	case CTL_CLONE:
		vol_clone_start(vols, ctl);
		return;
	case CTL_ROLLBACK:
		vol_rollback_start(vols, ctl);
		return;
	case CTL_RECEIVE:
		vol_receive_start(vols, ctl);
		return;
	case CTL_PUBLISH:
		vol_publish_start(vols, ctl);
		return;
	case CTL_HOLD:
	case CTL_RELEASE:
		vol_held_start(vols, ctl);
		return;
	case CTL_UNDELETE:
		vol_undelete_start(vols, ctl);
		return;
	case CTL_PURGE:
		vol_purge_start(vols, ctl);
		return;
	case CTL_SCHEDULE:
		vol_schedule_start(vols, ctl);
		return;
	case CTL_SET:
		vol_set_start(vols, ctl);
		return;
	case CTL_SETTLE:
		vol_settle_start(vols, ctl);
		return;
	}
}

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
	if (ctl->res < 0)
		vol_ctl_end(vols, ctl, ctl->res); /* refused at once */
	else
		vol_ctl_again(vols, ctl);
}

bool vol_ctl_cannot_write(struct volumes *vols, struct vol_ctl *ctl)
{
	struct pool_info info;

	pool_get_info(vols->pool, &info);
	if (info.health == POOL_READ_ONLY)
		vol_ctl_refuse(vols, ctl, -EROFS, "'%.160s' was not %s: %s.",
			       vol_ctl_name(ctl), op_words[ctl->op],
			       append_problem(-EROFS));
	else if (vols->failed)
		vol_ctl_refuse(vols, ctl, -ESHUTDOWN, "'%.160s' was not %s: "
			       "%s.", vol_ctl_name(ctl), op_words[ctl->op],
			       append_problem(-ESHUTDOWN));
	return info.health == POOL_READ_ONLY || vols->failed;
}

void vol_ctl_wait(struct volumes *vols, struct vol_ctl *ctl, struct volume *v)
{
	assert(vols->ctl.active == ctl);
	vols->ctl.active = NULL;
	ctl->vol = v;
	vol_hold(v);
	list_push(&vols->ctl.waiting, &ctl->link);
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
}

void vol_ctl_requeue(struct volumes *vols, struct vol_ctl *ctl)
{
	list_push(&vols->ctl.queue, &ctl->link);
	io_defer(vols->io, &vols->ctl.work);
}

/* Its turn comes again; res < 0: to be told that. */
static void wait_end(struct volumes *vols, struct vol_ctl *ctl, int res)
{
	list_remove(&ctl->link);
	vol_release(ctl->vol);
	ctl->vol = NULL;
	ctl->res = res;
	vol_ctl_requeue(vols, ctl);
}

void vol_controls_wake(struct volume *v, int res)
{
	struct volumes *vols = v->vols;
	struct vol_controls *q = &vols->ctl;

	list_for_each_safe(it, tmp, &q->waiting) {
		struct vol_ctl *ctl = list_entry(it, struct vol_ctl, link);

		if (ctl->vol != v || (res < 0 && v->nusers > 0))
			continue;
		if (res < 0)
			snprintf(ctl->error, sizeof(ctl->error),
				 "Volume '%.80s' cannot be %s yet: what it "
				 "lost when it was made smaller is not gone; "
				 "try again when the pool is healthy.", v->name,
				 op_words[ctl->op]);
		wait_end(vols, ctl, res);
	}
}

void vol_controls_fail(struct volumes *vols)
{
	list_for_each_safe(it, tmp, &vols->ctl.waiting)
		wait_end(vols, list_entry(it, struct vol_ctl, link), 0);
	vol_trash_kick(vols);
}

void vol_ctl_queue(struct volumes *vols, struct vol_ctl *ctl,
		      enum ctl_op op, int res)
{
	assert(ctl->done != NULL);
	ctl->op = (uint32_t)op;
	ctl->vols = vols;
	ctl->res = res;
	ctl->already = false;
	ctl->asked_ns = io_now_ns(vols->io);
	memset(ctl->detached, 0, sizeof(ctl->detached));
	if (res == 0)
		ctl->error[0] = '\0';
	list_init(&ctl->link);
	list_push(&vols->ctl.queue, &ctl->link);
	io_defer(vols->io, &vols->ctl.work);
}

/* --- names --------------------------------------------------------------- */

const char *vol_name_word(const char *name)
{
	switch (vol_name_kind(name)) {
	case VOL_KIND_SNAPSHOT:
		return "Snapshot";
	case VOL_KIND_CHECKPOINT:
		return "Checkpoint";
	case VOL_KIND_VOLUME:
		break;
	}
	return "Volume";
}

int vol_ctl_take_name(struct vol_ctl *ctl, const char *name, unsigned kinds)
{
	ctl->vol = NULL;
	vol_ctl_name(ctl)[0] = '\0';
	if (name == NULL)
		name = "";
	/* That of a hidden volume is none that anybody gives. */
	if (((kinds & VOL_KIND_VOLUME) == 0 || !catalog_name_is_hidden(name)) &&
	    vol_whole_name_problem(name, kinds, ctl->error) != NULL)
		return -EINVAL;
	memcpy(vol_ctl_name(ctl), name, strlen(name) + 1);
	return 0;
}

int vol_ctl_check_own_name(struct vol_ctl *ctl, const char *name)
{
	if (vol_name_kind(vol_ctl_name(ctl)) != VOL_KIND_VOLUME &&
	    vol_name_kind(name) != VOL_KIND_VOLUME) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "'%.160s' cannot be the new name: give it without its "
			 "volume and '@' or '#'.", name);
		return -EINVAL;
	}
	return vol_name_problem(name, ctl->error) != NULL ? -EINVAL : 0;
}

struct volume *vol_ctl_find(struct volumes *vols, struct vol_ctl *ctl)
{
	const char    *name = vol_ctl_name(ctl);
	struct volume *v = catalog_find_name(&vols->catalog, name);

	if (v != NULL)
		return v;
	if (strpbrk(name, "@#") == NULL)
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "There is no volume '%.80s': list the volumes "
			       "to see their names.", name);
	else
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "There is no %s '%.160s': list those of the "
			       "volume to see their names.",
			       strchr(name, '@') != NULL ? "snapshot" :
							   "checkpoint",
			       name);
	return NULL;
}

/* --- settling ------------------------------------------------------------ */

void vol_settle(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl->vol;

	memcpy(vol_ctl_name(ctl), v->name, strlen(v->name) + 1);
	vol_ctl_queue(vols, ctl, CTL_SETTLE, 0);
}
