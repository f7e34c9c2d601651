/* volume/vol_schedule.c - schedules: which snapshots of a volume the server is
 * to take and keep, and which of those that there are it took.
 *
 * Both are in the catalog, and change with the record that says so: a snapshot
 * is its schedule's from the record on that takes it, which also says that the
 * schedule was followed at that time.  It is a person's when it is renamed, or
 * its kind is not kept any more: a schedule deletes nothing else.
 *
 * Taking and deleting is for who has a clock (server/schedule.h).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "base/period.h"
#include "volume/catalog.h"
#include "volume/volumes.h"

/* --- what there is ------------------------------------------------------- */

static bool is_some(const struct vol_schedule *s)
{
	for (unsigned p = 0; p < PERIODS; p++)
		if (s->keep[p] != 0)
			return true;
	return false;
}

bool vol_schedule_get(const struct volume *v, struct vol_schedule *ret_schedule)
{
	if (v->kind != CATALOG_VOLUME || !is_some(&v->schedule))
		return false;
	*ret_schedule = v->schedule;
	return true;
}

enum period vol_schedule_kind(const struct volume *s)
{
	enum period p = PERIOD_QUARTER;

	if ((s->flags & CATALOG_SCHEDULED) == 0)
		return PERIODS;
	while (p < PERIODS && s->schedule.keep[p] == 0)
		p++;
	return p;
}

bool vol_schedule_owns(const struct volume *s)
{
	if ((s->flags & CATALOG_SCHEDULED) == 0)
		return CANARY(prune_any);
	/* What is received on its base could not be published. */
	list_for_each(it, &s->kids)
		if (list_entry(it, struct volume, kid_link)->flags &
		    CATALOG_HIDDEN)
			return false;
	return true;
}

void catalog_schedule_encode(const struct vol_schedule *s,
			     struct catalog_schedule *ret_bytes)
{
	for (unsigned p = 0; p < PERIODS; p++)
		ret_bytes->keep[p] = le16_of(s->keep[p]);
	ret_bytes->last_min = le32_of(s->last_min);
}

void catalog_schedule_decode(const struct catalog_schedule *bytes,
			     struct vol_schedule *ret_schedule)
{
	for (unsigned p = 0; p < PERIODS; p++)
		ret_schedule->keep[p] = le16_get(bytes->keep[p]);
	ret_schedule->last_min = le32_get(bytes->last_min);
}

/* --- records ------------------------------------------------------------- */

static uint32_t to_minutes(uint64_t t_s)
{
	return (uint32_t)(min_u64(t_s, PERIOD_MAX_S) / 60);
}

void catalog_schedule_took(struct volume *s, enum period kind)
{
	assert(kind < PERIODS && s->of != NULL);
	if (!CANARY(schedule_flag_lost))
		s->flags |= CATALOG_SCHEDULED;
	memset(&s->schedule, 0, sizeof(s->schedule));
	if (s->flags & CATALOG_SCHEDULED)
		s->schedule.keep[kind] = 1;
	if (is_some(&s->of->schedule))
		s->of->schedule.last_min = to_minutes(s->created_s);
}

void catalog_schedule_let_go(struct volume *s)
{
	if ((s->flags & CATALOG_SCHEDULED) == 0)
		return;
	s->flags &= (uint8_t)~CATALOG_SCHEDULED;
	memset(&s->schedule, 0, sizeof(s->schedule));
	catalog_touch(s);
}

int catalog_apply_schedule(struct volume *v, const void *body)
{
	struct vol_schedule schedule;

	catalog_schedule_decode(body, &schedule);
	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY ||
	    v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED))
		return -EBADMSG;
	v->schedule = schedule;
	list_for_each(it, &v->snaps) {
		struct volume *s = list_entry(it, struct volume, of_link);
		enum period kind = vol_schedule_kind(s);

		if (kind < PERIODS && schedule.keep[kind] == 0)
			catalog_schedule_let_go(s);
	}
	catalog_touch(v);
	return 0;
}

/* --- the control operation ----------------------------------------------- */

/* A new schedule begins now.  One that is changed goes on, if some of it would
 * be late otherwise. */
static uint32_t last_of(const struct vol_schedule *was,
			const struct vol_schedule *s, uint64_t now_s)
{
	uint64_t last_s = was->last_min * 60ull;

	if (!is_some(s))
		return 0;
	for (enum period p = 0; p < PERIODS; p++)
		if (was->keep[p] != 0 && s->keep[p] != 0 &&
		    period_due(p, last_s, now_s, now_s))
			return was->last_min;
	return to_minutes(now_s);
}

void vol_schedule_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_schedule *rec = (struct catalog_schedule *)ctl->body;
	struct vol_schedule *s = &ctl->schedule;
	struct volume *v = vol_ctl_find(vols, ctl);

	if (v == NULL)
		return;
	if (v->flags & CATALOG_HIDDEN) {
		vol_ctl_refuse(vols, ctl, -EINVAL,
			       "'%.160s' is being received: give the volume a "
			       "schedule at the end.", vol_ctl_name(ctl));
		return;
	}
	if (memcmp(v->schedule.keep, s->keep, sizeof(s->keep)) == 0) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	s->last_min = last_of(&v->schedule, s, ctl->now_s);
	catalog_schedule_encode(s, rec);
	vol_ctl_append(vols, ctl, v, CATALOG_SCHEDULE, sizeof(*rec));
}

void vol_schedule_set(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_SCHEDULE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME));
}
