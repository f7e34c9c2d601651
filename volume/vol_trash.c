/* volume/vol_trash.c - see vol_trash.h.
 *
 * One thing at a time is purged, always the one whose time ends first, and by a
 * control operation like any other.  For want of space, the next one only when
 * nothing is being deleted any more, or that does not get on.
 *
 * Time.  The wall clock is asked once, when the pool was opened: it says how long
 * a volume has been there by then (one from the future: not at all).  From then
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
/* What is being deleted and does not get on is not waited for. */
#define STUCK_NS      (1 * NS_PER_S)
/* A control operation looks again, at the latest. */
#define PARK_NS       (2 * NS_PER_S)
/* Purging failed. */
#define PAUSE_NS      (10 * NS_PER_S)

static void trash_work(struct io_work *w);
static void timer_fn(struct io_timer *t);

void vol_trash_init(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	list_init(&t->waits);
	list_init(&t->reqs);
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

	if (t->started || !list_empty(&t->waits) || !list_empty(&t->reqs) ||
	    !list_empty(&t->parked))
		io_defer(vols->io, &t->work);
}

void vol_trash_freed(struct volumes *vols)
{
	struct vol_trash *t = &vols->trash;

	t->freed++;
	t->hopeless = false;
	t->moved_ns = io_now_ns(vols->io);
	if (!list_empty(&t->waits) || !list_empty(&t->parked))
		vol_trash_kick(vols);
}

bool vol_trash_takes(const struct volume *v)
{
	const struct vol_trash *t = &v->vols->trash;

	return t->started && t->keep_ns > 0 && v->kind == CATALOG_VOLUME &&
	       (v->flags & CATALOG_HIDDEN) == 0;
}

/* --- what there is ------------------------------------------------------- */

/* In the order in which they go. */
static bool is_before(const struct volume *a, const struct volume *b)
{
	if (a->trash_until_ns != b->trash_until_ns)
		return a->trash_until_ns < b->trash_until_ns;
	return a->id < b->id;
}

struct volume *vols_trash_next(struct volumes *vols, const struct volume *prev)
{
	const struct catalog *c = &vols->catalog;
	struct volume *next = NULL;

	for (uint32_t i = 0; c->ntrashed > 0 && i < c->nslots; i++) {
		struct volume *v = c->slots[i];

		if (v == NULL || (v->flags & CATALOG_TRASHED) == 0 ||
		    (prev != NULL && !is_before(prev, v)))
			continue;
		if (next == NULL || is_before(v, next))
			next = v;
	}
	return next;
}

static bool has_uuid(const struct volume *v, const char *text)
{
	char uuid[UUID_TEXT_BYTES];

	return strcmp(uuid_text(&v->uuid, uuid), text) == 0;
}

struct volume *vols_trash_find(struct volumes *vols, const char *name,
			       bool *ret_several)
{
	const struct catalog *c = &vols->catalog;
	struct volume *v, *found = NULL;
	unsigned n = 0;

	for (uint32_t i = 0; c->ntrashed > 0 && i < c->nslots; i++) {
		v = c->slots[i];
		if (v == NULL || (v->flags & CATALOG_TRASHED) == 0)
			continue;
		if (has_uuid(v, name)) {
			found = v;
			n = 1;
			break;
		}
		if (strcmp(v->name, name) == 0) {
			found = v;
			n++;
		}
	}
	if (ret_several != NULL)
		*ret_several = n > 1;
	return n == 1 ? found : NULL;
}

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
	const struct catalog *c = &vols->catalog;
	uint64_t now = io_now_ns(vols->io);

	t->started = true;
	t->keep_ns = keep_s * NS_PER_S;
	for (uint32_t i = 0; i < c->nslots; i++) {
		struct volume *v = c->slots[i];
		uint64_t age_s;

		if (v == NULL || (v->flags & CATALOG_TRASHED) == 0)
			continue;
		age_s = now_s - min_u64(now_s, v->trashed_s);
		v->trash_until_ns = now + (keep_s - min_u64(keep_s, age_s)) *
						  NS_PER_S;
	}
	vol_trash_kick(vols);
}

void vols_trash_stop(struct volumes *vols)
{
	vols->trash.started = false;
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
	memset(&t->ctl, 0, sizeof(t->ctl));
	t->ctl.name = t->name;
	t->ctl.done = purged;
	t->busy = true;
	vol_purge(vols, &t->ctl);
}

static bool can_purge(struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;

	return t->started && !t->busy && !vols->failed && vols->committed &&
	       vols->catalog.ntrashed > 0 &&
	       io_now_ns(vols->io) >= t->pause_ns;
}

/* --- waiting ------------------------------------------------------------- */

bool vol_trash_helps(const struct volumes *vols)
{
	const struct vol_trash *t = &vols->trash;

	if (!t->started || t->hopeless || vols->failed || !vols->committed)
		return false;
	return t->busy || vols->catalog.ndeleting > 0 ||
	       (vols->catalog.ntrashed > 0 &&
		io_now_ns(vols->io) >= t->pause_ns);
}

bool vol_space_wait(struct volumes *vols, struct space_wait *w,
		    uint64_t blocks, uint64_t asked_ns,
		    void (*done)(struct space_wait *w, int res))
{
	struct vol_trash *t = &vols->trash;

	if (!vol_trash_helps(vols) ||
	    io_now_ns(vols->io) - asked_ns >= SPACE_WAIT_NS)
		return false;
	w->blocks = blocks;
	w->until_ns = asked_ns + SPACE_WAIT_NS;
	w->freed = t->freed;
	w->done = done;
	list_push(&t->waits, &w->link);
	t->nwaits++;
	vol_trash_kick(vols);
	return true;
}

void vol_trash_park(struct volumes *vols, struct vol_ctl *ctl)
{
	struct vol_trash *t = &vols->trash;

	assert(vols->ctl.active == ctl);
	vols->ctl.active = NULL;
	if (list_empty(&t->parked)) {
		t->parked_freed = t->freed;
		t->parked_until_ns = io_now_ns(vols->io) + PARK_NS;
	}
	list_push(&t->parked, &ctl->link);
	if (!list_empty(&vols->ctl.queue))
		io_defer(vols->io, &vols->ctl.work);
	vol_trash_kick(vols);
}

/* Is there space for it by now? */
static bool fits(struct volumes *vols, const struct space_wait *w)
{
	if (pool_space_reserve(vols->pool, w->blocks) < 0)
		return false;
	pool_space_unreserve(vols->pool, w->blocks);
	return true;
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

		t->nwaits--;
		if (fits(vols, w)) {
			w->done(w, 0);
		} else if (late || !vol_trash_helps(vols)) {
			t->hopeless |= late && w->freed == t->freed;
			w->done(w, vols->failed ? -ESHUTDOWN : -ENOSPC);
		} else {
			list_push(&t->waits, &w->link);
			t->nwaits++;
		}
	}
	/* More of them, if these have gone on. */
	if (vol_parts_go_on(vols))
		vol_trash_kick(vols);
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

static uint64_t next_ns(const struct volumes *vols, const struct volume *oldest,
			bool wanted)
{
	const struct vol_trash *t = &vols->trash;
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
	if (wanted)
		at = min_u64(at, t->moved_ns + STUCK_NS);
	return max_u64(at, t->pause_ns);
}

static void trash_work(struct io_work *work)
{
	struct vol_trash *t = container_of(work, struct vol_trash, work);
	struct volumes   *vols = trash_vols(t);
	uint64_t          now = io_now_ns(vols->io), at;
	struct volume    *oldest;
	bool              wanted, stuck;

	waits_look(vols);
	parked_look(vols);
	oldest = vols_trash_next(vols, NULL);
	wanted = !list_empty(&t->waits) || !list_empty(&t->parked);
	stuck = vols->catalog.ndeleting == 0 || now >= t->moved_ns + STUCK_NS;
	if (can_purge(vols) && ((wanted && stuck) ||
				oldest->trash_until_ns <= now ||
				CANARY(trash_early)))
		purge(vols, oldest);
	at = next_ns(vols, oldest, wanted);
	if (at != UINT64_MAX)
		io_timer_arm(vols->io, &t->timer, max_u64(at, now + 1));
}

/* --- control operations -------------------------------------------------- */

void vol_trash_users_tell(struct volume *v, uint32_t subtype)
{
	const struct catalog *c = &v->vols->catalog;

	vol_users_tell(v, true);
	if (subtype == CATALOG_DELETE)
		return;
	vol_trash_kick(v->vols); /* it has its time */
	for (uint32_t i = 0; i < c->nslots; i++) {
		struct volume *s = c->slots[i];

		/* In the trash it has its snapshots, deleted no more. */
		if (s != NULL && s->nusers > 0 && s->kind == CATALOG_SNAPSHOT &&
		    (s->of == v || s->state != CATALOG_READY))
			vol_users_tell(s, true);
	}
}

/* What ctl->name is in the trash.  NULL: refused, or with *ret_already it has
 * been taken out. */
static struct volume *find(struct volumes *vols, struct vol_ctl *ctl,
			   bool *ret_already)
{
	const char *name = vol_ctl_name(ctl);
	const struct catalog *c = &vols->catalog;
	struct volume *v = NULL, *out;
	bool several;

	*ret_already = false;
	v = vols_trash_find(vols, name, &several);
	if (v != NULL)
		return v;
	if (several) {
		vol_ctl_refuse(vols, ctl, -ENOTUNIQ,
			       "The trash has several volumes '%.80s': say "
			       "which by its UUID.", name);
		return NULL;
	}
	out = catalog_find_name(c, name);
	for (uint32_t i = 0; i < c->nsorted && out == NULL; i++)
		if (has_uuid(c->sorted[i], name))
			out = c->sorted[i];
	*ret_already = out != NULL && ctl->op == CTL_UNDELETE;
	if (!*ret_already)
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "There is no volume '%.80s' in the trash: list "
			       "it to see what there is.", name);
	return NULL;
}

void vol_undelete_start(struct volumes *vols, struct vol_ctl *ctl)
{
	char   name[VOLUME_NAME_MAX + 1] = "";
	size_t len = ctl->body[0] | (size_t)ctl->body[1] << 8;
	bool   already;
	struct volume *v = find(vols, ctl, &already);

	if (v == NULL && !already)
		return;
	memcpy(name, ctl->body + sizeof(le16), len);
	if (already) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (len == 0) {
		len = strlen(v->name);
		memcpy(name, v->name, len + 1);
	}
	if (catalog_find_name(&vols->catalog, name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "There is a volume '%.80s' by now: give the one "
			       "in the trash another name.", name);
		return;
	}
	ctl->body[0] = (uint8_t)len;
	ctl->body[1] = (uint8_t)(len >> 8);
	memcpy(ctl->body + sizeof(le16), name, len);
	ctl->uuid = v->uuid;
	vol_ctl_append(vols, ctl, v, CATALOG_UNDELETE, sizeof(le16) + len);
}

void vol_undelete(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name;
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME);
	size_t len = 0;

	if (r == 0 && new_name != NULL) {
		r = vol_name_problem(new_name, ctl->error) != NULL ? -EINVAL :
								     0;
		len = r == 0 ? strlen(new_name) : 0;
	}
	ctl->body[0] = (uint8_t)len;
	ctl->body[1] = (uint8_t)(len >> 8);
	if (len > 0)
		memcpy(ctl->body + sizeof(le16), new_name, len);
	vol_ctl_queue(vols, ctl, CTL_UNDELETE, r);
}

void vol_purge_start(struct volumes *vols, struct vol_ctl *ctl)
{
	bool already;
	struct volume *v = find(vols, ctl, &already);

	if (v == NULL)
		return;
	ctl->uuid = v->uuid;
	vol_ctl_append(vols, ctl, v, CATALOG_PURGE, 0);
}

void vol_purge(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_PURGE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME));
}
