/* server/control_schedule.c - schedule.*: which snapshots are taken and deleted
 * by the server itself, and what has become of that.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/control_vol.h"

/* --- list ---------------------------------------------------------------- */

/* Of one kind: how many snapshots there are of it, and the newest. */
struct kind_now {
	size_t               taken;
	const struct volume *newest;
};

static void kinds_look(struct volume *v, struct kind_now *ret_kinds)
{
	struct volume *s = NULL;

	while ((s = vol_snap_next(v, s)) != NULL) {
		enum period p = vol_schedule_kind(s);

		if (p == PERIODS)
			continue;
		ret_kinds[p].taken++;
		ret_kinds[p].newest = s; /* the oldest one comes first */
	}
}

static json_t *kind_json(enum period p, uint16_t keep,
			 const struct kind_now *k, uint64_t now_s)
{
	struct volume_info i;
	char    name[TREE_NAME_MAX + 1];
	json_t *o = json_pack("{s:s, s:i, s:I, s:I, s:n, s:n}", "kind",
			      period_word(p), "keep", (int)keep, "taken",
			      (json_int_t)k->taken, "next_s",
			      (json_int_t)period_end(p, now_s), "newest",
			      "newest_s");

	if (k->newest == NULL)
		return o;
	vol_info(k->newest, &i);
	json_object_set_new(o, "newest",
			    json_string(vol_full_name(k->newest, name)));
	json_object_set_new(o, "newest_s",
			    json_integer((json_int_t)i.created_s));
	return o;
}

/* NULL: it has none. */
static json_t *schedule_json(struct volume *v)
{
	struct kind_now     kinds[PERIODS] = { { 0 } };
	struct vol_schedule s;
	uint64_t now_s = tarnd_now_s();
	char     name[TREE_NAME_MAX + 1];
	json_t  *a;

	if (!vol_schedule_get(v, &s))
		return NULL;
	kinds_look(v, kinds);
	a = json_array();
	for (enum period p = 0; p < PERIODS; p++)
		if (s.keep[p] > 0)
			json_array_append_new(a, kind_json(p, s.keep[p],
							   &kinds[p], now_s));
	return json_pack("{s:s, s:I, s:o}", "volume", vol_full_name(v, name),
			 "next_s", (json_int_t)schedule_next(&s, now_s),
			 "kinds", a);
}

/* Those behind `after`, in order of name. */
static json_t *schedules(struct volumes *vols, const char *after,
			 bool *ret_more)
{
	json_t *a = json_array();

	*ret_more = false;
	for (struct volume *v = vols_next(vols, NULL); v != NULL && !*ret_more;
	     v = vols_next(vols, v)) {
		struct vol_schedule s;
		struct volume_info  i;

		if (!vol_schedule_get(v, &s))
			continue;
		vol_info(v, &i);
		if (after != NULL && strcmp(i.name, after) <= 0)
			continue;
		*ret_more = json_array_size(a) == LIST_MAX;
		if (!*ret_more)
			json_array_append_new(a, schedule_json(v));
	}
	return a;
}

void ctl_schedule_list(struct ctl_call *call)
{
	struct tarnd  *t = ctl_arg(call);
	const char    *name = ctl_string(call, "volume");
	const char    *problem = t->schedule.problem;
	struct hosted *h = ctl_need_pool(call);
	struct volume *v;
	json_t *a, *one;
	bool    more = false;

	if (h == NULL)
		return;
	if (name == NULL) {
		a = schedules(h->vols, ctl_string(call, "after"), &more);
	} else {
		v = ctl_find_vol(call, h->vols, name, VOL_KIND_VOLUME);
		if (v == NULL)
			return;
		a = json_array();
		one = schedule_json(v);
		if (one != NULL)
			json_array_append_new(a, one);
	}
	ctl_reply(call, json_pack("{s:o, s:b, s:o}", "schedules", a, "more",
				  more, "problem",
				  problem[0] != '\0' ? ctl_text(problem)
						     : json_null()));
}

json_t *ctl_schedule_brief(const struct volume *v)
{
	struct vol_schedule s;
	json_t *o;

	if (!vol_schedule_get(v, &s))
		return json_null();
	o = json_object();
	for (enum period p = 0; p < PERIODS; p++)
		if (s.keep[p] > 0)
			json_object_set_new(o, period_word(p),
					    json_integer(s.keep[p]));
	return o;
}

/* --- changes ------------------------------------------------------------- */

static void followed(struct tarnd *t)
{
	schedule_wake(&t->schedule);
}

void ctl_schedule_set(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);
	bool some = false;

	if (c == NULL)
		return;
	for (enum period p = 0; p < PERIODS; p++) {
		uint64_t keep = ctl_uint(call, period_word(p), 0);

		if (keep > SCHEDULE_KEEP_MAX) {
			ctl_bad_param(call, period_word(p),
				      "%s snapshots cannot be %ju: from 0 to "
				      "%u can be kept", period_word(p),
				      (uintmax_t)keep, SCHEDULE_KEEP_MAX);
			free(c);
			return;
		}
		c->ctl.schedule.keep[p] = (uint16_t)keep;
		some |= keep > 0;
	}
	if (!some) {
		ctl_fail(call, -EINVAL, c->ctl.name,
			 "the schedule of volume '%s' keeps nothing: say how "
			 "many to keep of a kind, as in hourly=24, or end it "
			 "with none", c->ctl.name);
		free(c);
		return;
	}
	c->then = followed;
	change_run(c, vol_schedule_set);
}

void ctl_schedule_clear(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);

	if (c == NULL)
		return;
	c->then = followed;
	change_run(c, vol_schedule_set);
}
