/* volume/vol_trash.c - see vol_trash.h.
 *
 * One thing at a time is purged, always the one whose time ends first, and by a
 * control operation like any other.  For want of space, the next one only when
 * nothing is being deleted any more, or that does not get on.
 *
 * Time.  The wall clock is asked once, when the pool was opened: it says how
 * long a volume has been there by then (one from the future: not at all).  From then
 * on the engine's clock counts.  So a clock that is set while the server runs
 * deletes nothing early; nor does one that was wrong when a volume was put
 * into the trash, but by so much as it was wrong when the pool is opened.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/volumes.h"

/* A request that waited so long finds out soon what else it may have to wait
 * for: starve.c, OLD_NS. */
#define SPACE_WAIT_NS (5 * NS_PER_S)
/* What is kept for a volume will be there when others of its requests, or a
 * snapshot of it, have ended: in their time. */
#define RESERVE_WAIT_NS (9 * NS_PER_S)
/* What is being deleted and does not get on is not waited for. */
#define STUCK_NS      (1 * NS_PER_S)
/* A control operation looks again, at the latest. */
#define PARK_NS       (2 * NS_PER_S)
/* Purging failed, or waiting was in vain. */
#define PAUSE_NS      (10 * NS_PER_S)

static void trash_work(struct io_work *w);
static void timer_fn(struct io_timer *t);

void vol_trash_init(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	list_init(&t->waits);
	list_init(&t->parked);
	io_timer_init(&t->timer, timer_fn);
	io_work_init(&t->work, trash_work);
}

void vol_trash_fini(struct volumes *vols)
{
	if (vols->trash.work.fn == NULL)
		return;
	io_undefer(&vols->trash.work);
	io_timer_cancel(vols->io, &vols->trash.timer);
}

static struct volumes *trash_vols(struct vol_trash *t)
{
	return container_of(t, struct volumes, trash);
}

static void timer_fn(struct io_timer *timer)
{
	struct vol_trash *t = container_of(timer, struct vol_trash, timer);

	vol_trash_kick(trash_vols(t));
}

void vol_trash_kick(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	if (t->started || !list_empty(&t->waits) || !list_empty(&t->parked))
		io_defer(vols->io, &t->work);
}

void vol_trash_freed(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	t->freed++;
	t->hopeless_ns = 0;
	t->moved_ns = io_now_ns(vols->io);
	vols_room(vols);
	if (!list_empty(&t->waits) || !list_empty(&t->parked))
		vol_trash_kick(vols);
}

bool vol_trash_takes(const struct volume *v)
{
	const struct vol_trash *t = &v->vols->trash;

	return t->started && t->keep_ns > 0 && v->kind == CATALOG_VOLUME &&
	       (v->flags & CATALOG_HIDDEN) == 0;
}

/* --- time ---------------------------------------------------------------- */

uint64_t vol_trash_left_s(const struct volume *v)
{
	uint64_t now = io_now_ns(v->vols->io);

	return v->trash_until_ns <= now ?
		       0 :
		       div_up(v->trash_until_ns - now, NS_PER_S);
}

void vols_trash_start(struct volumes *vols, uint64_t keep_s, uint64_t now_s)
{
	struct vol_trash *t = &vols->trash;
	struct catalog *c = &vols->catalog;
	uint64_t now = io_now_ns(vols->io);

	t->started = true;
	t->keep_ns = keep_s * NS_PER_S;
	for (uint32_t i = 0; i < c->ntrashed; i++) {
		struct volume *v = c->trashed[i];
		uint64_t age_s = now_s - min_u64(now_s, v->trashed_s);

		v->trash_until_ns = now + (keep_s - min_u64(keep_s, age_s)) *
						  NS_PER_S;
	}
	catalog_trash_sort(c);
	vol_trash_kick(vols);
}

void vols_trash_watch(struct volumes *vols, vols_trash_went_fn went, void *arg)
{
	vols->trash.went = went;
	vols->trash.went_arg = arg;
}

void vols_trash_stop(struct volumes *vols)
{
	vols->trash.started = false;
	damage_stop(vols);
	vol_trash_kick(vols);
}

/* --- going --------------------------------------------------------------- */

static void purged(struct vol_ctl *ctl)
{
	struct vol_trash *t = container_of(ctl, struct vol_trash, ctl);
	struct volumes   *vols = trash_vols(t);
	uint64_t          now = io_now_ns(vols->io);

	t->busy = false;
	t->moved_ns = now;
	if (ctl->res == 0 && t->went != NULL)
		t->went(t->went_arg, t->old_name, &ctl->uuid, t->for_space);
	if (ctl->res == -EROFS || ctl->res == -ESHUTDOWN)
		t->started = false;
	/* Somebody else may have taken it out meanwhile. */
	if (ctl->res < 0 && ctl->res != -ENOENT)
		t->pause_ns = now + PAUSE_NS;
	vol_trash_kick(vols);
}

static void purge(struct volumes *vols, const struct volume *v)
{
	struct vol_trash *t = &vols->trash;

	uuid_text(&v->uuid, t->name);
	memcpy(t->old_name, v->name, sizeof(t->old_name));
	t->for_space = v->trash_until_ns > io_now_ns(vols->io);
	memset(&t->ctl, 0, sizeof(t->ctl));
	t->ctl.name = t->name;
	t->ctl.done = purged;
	t->busy = true;
	vol_purge(vols, &t->ctl);
}

/* Does something wait for space? */
static bool is_wanted(const struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;

	return !list_empty(&t->waits) || !list_empty(&t->parked) ||
	       vols->pauses.wants;
}

struct volume *vol_trash_due(struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;
	uint64_t now = io_now_ns(vols->io);
	struct volume *v = vols_trash_next(vols, NULL);
	bool stuck = vols->catalog.ndeleting == 0 ||
		     now >= t->moved_ns + STUCK_NS;

	if (v == NULL || !t->started || vols->failed || !vols->committed ||
	    now < t->pause_ns)
		return NULL;
	return (is_wanted(vols) && stuck) || v->trash_until_ns <= now ||
			       CANARY(trash_early) ?
		       v :
		       NULL;
}

/* --- waiting ------------------------------------------------------------- */

bool vol_trash_helps(const struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;

	uint64_t now = io_now_ns(vols->io);

	if (!t->started || now < t->hopeless_ns || vols->failed ||
	    !vols->committed)
		return false;
	return t->busy || vols->catalog.ndeleting > 0 ||
	       (vols->catalog.ntrashed > 0 && now >= t->pause_ns);
}

/* Or do others have more than they will need? */
static bool space_may_come(const struct volume *v)
{
	const struct volumes   *vols = v->vols;
	const struct vol_trash *t = &vols->trash;

	return vol_trash_helps(vols) || vol_reserve_settles(v) ||
	       (t->started && t->nreserved > 0 && !vols->failed &&
		io_now_ns(vols->io) >= t->hopeless_ns);
}

void vol_space_reserved(struct volumes *vols)
{
	vols->trash.nreserved++;
}

void vol_space_settled(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	assert(t->nreserved > 0);
	t->nreserved--;
	if (!list_empty(&t->waits))
		vol_trash_kick(vols);
}

bool vol_space_wait(struct volume *v, struct space_wait *w,
		    uint64_t blocks, uint64_t asked_ns,
		    void (*done)(struct space_wait *w, int res))
{
	struct volumes   *vols = v->vols;
	struct vol_trash *t = &vols->trash;
	uint64_t          wait_ns = vol_reserve_settles(v) ? RESERVE_WAIT_NS :
							     SPACE_WAIT_NS;

	if (!space_may_come(v) ||
	    io_now_ns(vols->io) - asked_ns >= wait_ns)
		return false;
	w->vol = v;
	w->blocks = blocks;
	w->until_ns = asked_ns + wait_ns;
	w->freed = t->freed;
	w->done = done;
	list_push(&t->waits, &w->link);
	vol_trash_kick(vols);
	return true;
}

void vol_trash_park(struct volumes *vols, struct vol_ctl *ctl)
{
	struct vol_trash *t = &vols->trash;

	assert(vols->ctl.active == ctl);
	vols->ctl.active = NULL;
	vol_pledges_drop(vols);
	if (list_empty(&t->parked)) {
		t->parked_freed = t->freed;
		t->parked_until_ns = io_now_ns(vols->io) + PARK_NS;
	}
	list_push(&t->parked, &ctl->link);
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
	vol_trash_kick(vols);
}

/* One has waited in vain.  If nothing goes on by itself, those that come later
 * are to find out whether it does now: nobody else asks for anything. */
static void hopeless(struct vol_trash *t, uint64_t now)
{
	if (now >= t->hopeless_ns)
		t->hopeless_ns = now < t->pause_ns ? t->pause_ns :
						     now + PAUSE_NS;
}

static void waits_look(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;
	uint64_t now = io_now_ns(vols->io);
	struct list all;
	struct list *link;

	/* Who goes on may come back and wait once more. */
	list_init(&all);
	list_splice(&all, &t->waits);
	while ((link = list_pop(&all)) != NULL) {
		struct space_wait *w = list_entry(link, struct space_wait,
						  link);
		bool late = now >= w->until_ns;

		if (vol_space_fits(w->vol, w->blocks)) {
			w->done(w, 0);
		} else if (late || !space_may_come(w->vol)) {
			if (late && w->freed == t->freed)
				hopeless(t, now);
			w->done(w, vols->failed ? -ESHUTDOWN : -ENOSPC);
		} else {
			list_push(&t->waits, &w->link);
		}
	}
}

/* They find out by themselves, and give up by themselves. */
static void parked_look(struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;
	struct list *link;

	if (t->freed == t->parked_freed && vol_trash_helps(vols) &&
	    io_now_ns(vols->io) < t->parked_until_ns)
		return;
	while ((link = list_pop(&vols->trash.parked)) != NULL)
		vol_ctl_requeue(vols, list_entry(link, struct vol_ctl, link));
}

/* --- what there is to do ------------------------------------------------- */

static uint64_t next_ns(struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;
	const struct volume *oldest = vols_trash_next(vols, NULL);
	uint64_t at = UINT64_MAX;

	list_for_each(it, &t->waits)
		at = min_u64(at, list_entry(it, struct space_wait,
					    link)->until_ns);
	if (!list_empty(&t->parked))
		at = min_u64(at, t->parked_until_ns);
	if (oldest == NULL || !t->started || t->busy || vols->failed ||
	    !vols->committed)
		return at;
	at = min_u64(at, oldest->trash_until_ns);
	if (is_wanted(vols))
		at = min_u64(at, t->moved_ns + STUCK_NS);
	return max_u64(at, t->pause_ns);
}

static void trash_work(struct io_work *work)
{
	struct vol_trash *t = container_of(work, struct vol_trash, work);
	struct volumes   *vols = trash_vols(t);
	uint64_t          now = io_now_ns(vols->io), at;
	struct volume    *v;

	waits_look(vols);
	parked_look(vols);
	v = t->busy ? NULL : vol_trash_due(vols);
	if (v != NULL)
		purge(vols, v);
	at = next_ns(vols);
	if (at != UINT64_MAX)
		io_timer_arm(vols->io, &t->timer, max_u64(at, now + 1));
}

/* --- control operations -------------------------------------------------- */

void vol_trash_users_tell(struct volume *v, uint32_t subtype)
{
	vol_users_tell(v, true);
	if (subtype == CATALOG_DELETE)
		return;
	vol_trash_kick(v->vols); /* it has its time */
	list_for_each(it, &v->snaps)
		vol_users_tell(list_entry(it, struct volume, of_link), true);
	/* Purged, it has none any more: they are being deleted. */
	if (subtype != CATALOG_PURGE)
		return;
	list_for_each(it, &v->vols->catalog.deleted) {
		struct volume *s = list_entry(it, struct volume, deleted_link);

		if (s->nusers > 0 && s->kind == CATALOG_SNAPSHOT)
			vol_users_tell(s, true);
	}
}
