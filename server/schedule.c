/* server/schedule.c - see schedule.h.
 *
 *	        wake              nothing (more) is due
 *	IDLE ----------> TAKING -----------------------> DELETING ----> IDLE
 *	                 |    ^                          |      ^
 *	                 +----+ a record for each group  +------+ one at a time
 *
 * What is to be deleted is found out when all has been taken, or was tried to
 * be.  Volumes and snapshots that come, go or change names meanwhile make an
 * operation fail, at worst; nothing is remembered but names.
 *
 * A group that cannot be taken because of one of them is taken one by one. When
 * the pool is full, nothing more is tried to be taken, but what is beyond its
 * number is deleted all the same.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/util.h"
#include "server/schedule.h"

#define GROUP_VOLUMES    128u
#define BACKOFF_FIRST_NS (60 * NS_PER_S)
#define BACKOFF_MAX_NS   (1800 * NS_PER_S)
/* So many snapshots of one minute have been given names by now. */
#define NAMES_MAX        1000u

static void take_next(struct schedule *s);
static void delete_next(struct schedule *s);

/* --- the end ------------------------------------------------------------- */

static void plan_free(struct schedule *s)
{
	free(s->due);
	s->due = NULL;
	s->ndue = 0;
	for (size_t i = 0; i < s->nvictims; i++)
		free(s->victims[i]);
	free(s->victims);
	s->victims = NULL;
	s->nvictims = 0;
	s->at = 0;
	s->state = SCHEDULE_IDLE;
}

/* Said once, as long as nothing else comes. */
static void note_problem(struct schedule *s, const char *what)
{
	char line[sizeof(s->problem) + 100];

	if (s->failed)
		return;
	s->failed = true;
	if (strcmp(s->problem, what) == 0)
		return;
	snprintf(s->problem, sizeof(s->problem), "%s", what);
	snprintf(line, sizeof(line), "schedule: %s (it is tried again)",
		 s->problem);
	s->ops->log(s->arg, line);
}

static void no_memory(struct schedule *s)
{
	note_problem(s, "scheduled snapshots wait: the server is out of "
			"memory");
}

static uint64_t next_of_all(const struct schedule *s)
{
	uint64_t next_s = UINT64_MAX;

	for (struct volume *v = vols_next(s->vols, NULL); v != NULL;
	     v = vols_next(s->vols, v)) {
		struct vol_schedule vs;

		if (vol_schedule_get(v, &vs))
			next_s = min_u64(next_s, schedule_next(&vs, s->now_s));
	}
	return next_s;
}

static void finish(struct schedule *s)
{
	plan_free(s);
	s->seen_s = s->now_s;
	s->ops->arm(s->arg, next_of_all(s));
	if (s->failed) {
		s->backoff_ns = s->backoff_ns == 0 ?
					BACKOFF_FIRST_NS :
					min_u64(2 * s->backoff_ns,
						BACKOFF_MAX_NS);
		io_timer_arm(s->io, &s->retry,
			     io_now_ns(s->io) + s->backoff_ns);
	} else {
		s->backoff_ns = 0;
		io_timer_cancel(s->io, &s->retry);
		if (s->problem[0] != '\0')
			s->ops->log(s->arg, "schedule: snapshots are taken "
					    "and deleted again");
		s->problem[0] = '\0';
	}
	if (s->again)
		schedule_wake(s);
}

/* --- deleting ------------------------------------------------------------ */

static void stop_here(struct schedule *s)
{
	plan_free(s);
	s->again = false;
	s->ops->end(s->arg); /* it may begin to close the pool */
}

static void deleted(struct vol_ctl *ctl)
{
	struct schedule *s = container_of(ctl, struct schedule, ctl);

	if (s->vols == NULL) {
		stop_here(s);
		return;
	}
	s->at++;
	s->deleted += ctl->res == 0;
	/* Held, in use, or gone: another time. */
	if (ctl->res < 0 && ctl->res != -EBUSY && ctl->res != -ENOENT) {
		note_problem(s, ctl->error);
		s->at = s->nvictims;
	}
	delete_next(s);
	s->ops->end(s->arg);
}

static void ctl_prepare(struct schedule *s, void (*done)(struct vol_ctl *ctl))
{
	memset(&s->ctl, 0, sizeof(s->ctl));
	s->ctl.now_s = s->now_s;
	s->ctl.done = done;
	s->ops->begin(s->arg);
}

static void delete_next(struct schedule *s)
{
	if (s->at == s->nvictims) {
		finish(s);
		return;
	}
	ctl_prepare(s, deleted);
	s->ctl.name = s->victims[s->at];
	s->ctl.by_schedule = true;
	vol_delete(s->vols, &s->ctl);
}

/* -ENOMEM. */
static int victim_add(struct schedule *s, const struct volume *snap)
{
	char name[TREE_NAME_MAX + 1], *copy;
	void *p;

	copy = strdup(vol_full_name(snap, name));
	p = realloc(s->victims, (s->nvictims + 1) * sizeof(s->victims[0]));
	if (p != NULL)
		s->victims = p;
	if (p == NULL || copy == NULL) {
		free(copy);
		return -ENOMEM;
	}
	s->victims[s->nvictims++] = copy;
	return 0;
}

static int victims_of(struct schedule *s, struct volume *v,
		      const struct vol_schedule *vs)
{
	struct volume_info info;
	struct volume *snap = NULL;
	uint8_t *kinds;
	bool    *go;
	size_t   n = 0;
	int      r = 0;

	vol_info(v, &info);
	kinds = calloc(info.snapshots + 1u, sizeof(kinds[0]));
	go = calloc(info.snapshots + 1u, sizeof(go[0]));
	if (kinds == NULL || go == NULL)
		r = -ENOMEM;
	while (r == 0 && (snap = vol_snap_next(v, snap)) != NULL)
		kinds[n++] = (uint8_t)vol_schedule_kind(snap);
	assert(n <= info.snapshots);
	if (r == 0 && schedule_beyond(vs, kinds, n, go) > 0)
		for (size_t i = 0; i < n && r == 0; i++) {
			snap = vol_snap_next(v, snap);
			if (go[i])
				r = victim_add(s, snap);
		}
	free(kinds);
	free(go);
	return r;
}

static void delete_begin(struct schedule *s)
{
	int r = 0;

	s->state = SCHEDULE_DELETING;
	s->at = 0;
	for (struct volume *v = vols_next(s->vols, NULL); v != NULL && r == 0;
	     v = vols_next(s->vols, v)) {
		struct vol_schedule vs;

		if (vol_schedule_get(v, &vs))
			r = victims_of(s, v, &vs);
	}
	if (r < 0)
		no_memory(s);
	delete_next(s);
}

/* --- taking -------------------------------------------------------------- */

static void taken(struct vol_ctl *ctl)
{
	struct schedule *s = container_of(ctl, struct schedule, ctl);

	if (s->vols == NULL) {
		stop_here(s);
		return;
	}
	if (ctl->res == 0) {
		s->taken += ctl->nnames;
		s->at += s->group;
	} else if (ctl->res == -ENOSPC || ctl->res == -EROFS ||
		   ctl->res == -ESHUTDOWN) {
		note_problem(s, ctl->error);
		s->at = s->ndue;
	} else if (s->group > 1) {
		s->group_max = ctl->res == -E2BIG ? s->group / 2 : 1;
	} else {
		note_problem(s, ctl->error);
		s->at++;
	}
	take_next(s);
	s->ops->end(s->arg);
}

/* VOLUME@SNAPSHOT, which there is not yet. */
static void free_name(struct schedule *s, const char *volume, enum period kind,
		      char *ret_name)
{
	char snap[SCHEDULE_NAME_BYTES];

	for (unsigned i = 0; i < NAMES_MAX; i++) {
		snprintf(ret_name, TREE_NAME_MAX + 1, "%s@%s", volume,
			 schedule_name(kind, s->now_s, i, snap));
		if (vols_find(s->vols, ret_name) == NULL)
			return;
	}
}

struct group {
	const char *names[GROUP_VOLUMES * PERIODS];
	struct uuid uuids[GROUP_VOLUMES * PERIODS];
	uint8_t     kinds[GROUP_VOLUMES * PERIODS];
	char        text[GROUP_VOLUMES * PERIODS][TREE_NAME_MAX + 1];
	unsigned    n;
};

/* In order of kinds, so that names follow one another that are the same. */
static void group_fill(struct schedule *s, struct group *g)
{
	g->n = 0;
	for (enum period p = 0; p < PERIODS; p++)
		for (size_t i = s->at; i < s->at + s->group; i++) {
			if ((s->due[i].kinds & 1u << p) == 0)
				continue;
			free_name(s, s->due[i].volume, p, g->text[g->n]);
			g->names[g->n] = g->text[g->n];
			g->kinds[g->n] = (uint8_t)p;
			s->ops->uuid(s->arg, &g->uuids[g->n]);
			g->n++;
		}
}

static void take_next(struct schedule *s)
{
	struct group *g;

	if (s->at == s->ndue) {
		delete_begin(s);
		return;
	}
	g = malloc(sizeof(*g));
	if (g == NULL) {
		no_memory(s);
		delete_begin(s);
		return;
	}
	s->group = min_u64(s->ndue - s->at, s->group_max);
	group_fill(s, g);
	ctl_prepare(s, taken);
	s->ctl.names = g->names;
	s->ctl.uuids = g->uuids;
	s->ctl.kinds = g->kinds;
	s->ctl.nnames = g->n;
	vol_snapshot(s->vols, &s->ctl); /* copies what it needs */
	free(g);
}

/* --- what is due --------------------------------------------------------- */

static int due_add(struct schedule *s, const struct volume *v, unsigned kinds)
{
	void *p = realloc(s->due, (s->ndue + 1) * sizeof(s->due[0]));
	char  name[TREE_NAME_MAX + 1];

	if (p == NULL)
		return -ENOMEM;
	s->due = p;
	snprintf(s->due[s->ndue].volume, sizeof(s->due[0].volume), "%s",
		 vol_full_name(v, name));
	s->due[s->ndue].kinds = kinds;
	s->ndue++;
	return 0;
}

static void look(struct io_work *w)
{
	struct schedule *s = container_of(w, struct schedule, work);
	int r = 0;

	if (s->vols == NULL || s->state != SCHEDULE_IDLE)
		return;
	s->state = SCHEDULE_TAKING;
	s->again = false;
	s->failed = false;
	s->group_max = GROUP_VOLUMES;
	s->at = 0;
	s->now_s = s->ops->now_s(s->arg);
	if (s->seen_s == 0)
		s->seen_s = s->now_s;
	for (struct volume *v = vols_next(s->vols, NULL); v != NULL && r == 0;
	     v = vols_next(s->vols, v)) {
		struct vol_schedule vs;
		unsigned kinds = 0;

		if (vol_schedule_get(v, &vs))
			kinds = schedule_due(&vs, s->seen_s, s->now_s);
		if (kinds != 0)
			r = due_add(s, v, kinds);
	}
	if (r < 0)
		no_memory(s);
	take_next(s);
}

static void retry(struct io_timer *t)
{
	schedule_wake(container_of(t, struct schedule, retry));
}

void schedule_wake(struct schedule *s)
{
	if (s->vols == NULL)
		return;
	if (s->state == SCHEDULE_IDLE)
		io_defer(s->io, &s->work);
	else
		s->again = true;
}

void schedule_init(struct schedule *s, struct io *io,
		   const struct schedule_ops *ops, void *arg)
{
	memset(s, 0, sizeof(*s));
	s->io = io;
	s->ops = ops;
	s->arg = arg;
	io_timer_init(&s->retry, retry);
	io_work_init(&s->work, look);
}

void schedule_start(struct schedule *s, struct volumes *vols)
{
	assert(s->vols == NULL && s->state == SCHEDULE_IDLE);
	s->vols = vols;
	s->seen_s = 0;
	s->backoff_ns = 0;
	s->problem[0] = '\0';
	schedule_wake(s);
}

void schedule_stop(struct schedule *s)
{
	if (s->vols == NULL)
		return;
	s->vols = NULL;
	s->ops->arm(s->arg, UINT64_MAX);
	io_timer_cancel(s->io, &s->retry);
	io_undefer(&s->work);
}
