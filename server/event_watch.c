/* server/event_watch.c - what changes by itself: looked at when the pool says
 * something, and at its heartbeats; compared with how it was, a difference is
 * an event.
 *
 * Fullness has a hysteresis: a level that was reached is left when it is two
 * percent less full.  How fast the pool fills is the growth from heartbeat to
 * heartbeat, smoothed over ten minutes.
 */
#include <string.h>

#include "server/bgjob.h"
#include "server/event.h"

const unsigned space_levels[SPACE_LEVELS] = { 85, 90, 95 };

#define HYSTERESIS_PERCENT 2u
#define FULL_BLOCKS        256u /* less free than this is full */
#define REFUSED_NS         (60 * NS_PER_S)
#define SMOOTH_S           600.0

/* --- disks --------------------------------------------------------------- */

static const struct {
	const char *what;
	uint8_t     severity;
} state_events[] = {
	[MEMBER_ONLINE] = { "disk.online", EVENT_INFO },
	[MEMBER_SUSPECT] = { "disk.suspect", EVENT_WARNING },
	[MEMBER_OUT] = { "disk.out", EVENT_WARNING },
	[MEMBER_RETURNING] = { "disk.returning", EVENT_INFO },
	[MEMBER_MISSING] = { "disk.missing", EVENT_WARNING },
	[MEMBER_FAULTED] = { "disk.refused", EVENT_WARNING },
	[MEMBER_REMOVED] = { "disk.removed", EVENT_INFO },
};

static const char *member_name(const struct member_info *m, char *text)
{
	return m->place[0] != '\0' ? m->place : uuid_text(&m->uuid, text);
}

static void look_at_speed(struct tarnd *t, const struct member_info *m,
			  const struct watch_member *w, const char *name)
{
	if (!t->watch.named)
		return;
	if (m->slow && !w->slow)
		event_say(t, EVENT_WARNING, "disk.slow", name, 0, 0,
			  "it is late by the standard of the others and is "
			  "avoided for a while");
	if (m->slow_reads && !w->slow_reads)
		event_say(t, EVENT_WARNING, "disk.slow_reads", name,
			  m->reads_us, m->peers_us,
			  "reads take about %u us, those of the others %u us: "
			  "they go round it", m->reads_us, m->peers_us);
	if ((w->slow && !m->slow && m->state == MEMBER_ONLINE) ||
	    (w->slow_reads && !m->slow_reads))
		event_say(t, EVENT_INFO, "disk.not_slow", name,
			  m->reads_us, m->peers_us,
			  w->slow_reads && !m->slow_reads ?
				  "it is read from again" :
				  "it is written to again like the others");
}

static void look_at_member(struct tarnd *t, uint32_t i)
{
	struct watch_member *w = &t->watch.members[i];
	struct member_info m;
	char uuid[UUID_TEXT_BYTES];
	const char *name;
	uint64_t errors;

	pool_get_member(t->hosted.pool, i, &m);
	name = member_name(&m, uuid);
	errors = m.errors_read + m.errors_write + m.errors_cksum;
	if (m.offline && m.state == MEMBER_OUT &&
	    (!t->watch.named || m.state != w->state))
		event_say(t, EVENT_INFO, "disk.taken_offline", name, 0, 0,
			  "it was taken offline");
	else if (m.state < ARRAY_LEN(state_events) &&
		 (t->watch.named ? m.state != w->state
				 : m.state != MEMBER_ONLINE &&
					   m.state != MEMBER_REMOVED))
		event_say(t, state_events[m.state].severity,
			  state_events[m.state].what, name, 0, 0, "%s",
			  inventory_reason(m.place, m.why));
	if (t->watch.named && errors > w->errors)
		event_say(t, EVENT_WARNING, "disk.errors", name, errors,
			  m.errors_cksum,
			  "%ju of reading, %ju of writing, %ju wrong checksums "
			  "since the pool was opened",
			  (uintmax_t)m.errors_read, (uintmax_t)m.errors_write,
			  (uintmax_t)m.errors_cksum);
	look_at_speed(t, &m, w, name);
	w->state = m.state;
	w->slow = m.slow;
	w->slow_reads = m.slow_reads;
	w->errors = errors;
}

static void look_at_members(struct tarnd *t, const struct pool_info *info)
{
	uint64_t mark = pool_members_mark(t->hosted.pool);

	if (t->watch.named && mark == t->watch.mark)
		return;
	t->watch.mark = mark;
	for (uint32_t i = 0; i < info->nmembers; i++)
		look_at_member(t, i);
	t->watch.named = true;
}

/* --- health -------------------------------------------------------------- */

static void look_at_health(struct tarnd *t, const struct pool_info *info)
{
	struct watch *w = &t->watch;

	if (info->health != w->health) {
		if (info->health == POOL_SUSPENDED)
			event_say(t, EVENT_CRITICAL, "pool.suspended",
				  info->name, 0, 0, "%.200s", info->why);
		else if (info->health == POOL_DEGRADED)
			event_say(t, EVENT_WARNING, "pool.degraded",
				  info->name, 0, 0, "%.200s", info->why);
		else if (info->health == POOL_ONLINE)
			event_say(t, EVENT_INFO, "pool.online", info->name, 0,
				  0, "all of its redundancy is there");
		w->health = info->health;
	}
	if (info->lost_blocks > w->lost_blocks)
		event_say(t, EVENT_CRITICAL, "pool.damage", info->name,
			  info->lost_blocks, 0,
			  "%ju blocks are known to be lost",
			  (uintmax_t)info->lost_blocks);
	else if (info->lost_blocks == 0 && w->lost_blocks > 0)
		event_say(t, EVENT_INFO, "pool.no_damage", info->name, 0, 0,
			  "nothing is known to be lost any more");
	w->lost_blocks = info->lost_blocks;
}

/* --- space --------------------------------------------------------------- */

/* There may be room by the numbers and yet a write finds none: while zones are
 * in quarantine, the cleaner has not caught up, or what is deleted is not given
 * back yet. */
static bool was_refused(struct tarnd *t)
{
	uint64_t last_ns;

	return vols_refused(t->hosted.vols, &last_ns) > 0 &&
	       io_now_ns(t->io) - last_ns < REFUSED_NS;
}

/* With what is kept for volumes: nobody else can have it. */
static uint64_t taken_blocks(const struct pool_info *info)
{
	return info->used_blocks + info->kept_blocks;
}

static uint64_t free_blocks(const struct pool_info *info)
{
	return info->usable_blocks -
	       min_u64(taken_blocks(info), info->usable_blocks);
}

static bool above(const struct pool_info *info, unsigned percent)
{
	return taken_blocks(info) * 100 >= info->usable_blocks * percent;
}

static unsigned level_of(const struct pool_info *info, unsigned before)
{
	while (before < SPACE_LEVELS && above(info, space_levels[before]))
		before++;
	while (before > 0 && !above(info, space_levels[before - 1] -
						  HYSTERESIS_PERCENT))
		before--;
	return before;
}

static void level_event(struct tarnd *t, const struct pool_info *info,
			unsigned level)
{
	unsigned percent = level > 0 ? space_levels[level - 1] : 0;

	if (level > t->watch.level)
		event_say(t, level == SPACE_LEVELS ? EVENT_CRITICAL :
						     EVENT_WARNING,
			  "pool.nearly_full", info->name, percent,
			  blocks_to_bytes(free_blocks(info)),
			  "%u %% of its space is used", percent);
	else if (level < t->watch.level)
		event_say(t, EVENT_INFO, "pool.room", info->name, percent,
			  blocks_to_bytes(free_blocks(info)),
			  "less than %u %% of its space is used again",
			  space_levels[level]);
	t->watch.level = level;
}

static void look_at_space(struct tarnd *t, const struct pool_info *info)
{
	struct watch *w = &t->watch;
	bool full = info->available_blocks <
		    (w->full ? 2 * FULL_BLOCKS : FULL_BLOCKS);
	bool refused = was_refused(t);
	bool before = w->full || w->refused;

	if (info->usable_blocks == 0)
		return;
	level_event(t, info, level_of(info, w->level));
	if (full && !w->full)
		event_say(t, EVENT_CRITICAL, "pool.full", info->name, 0, 0,
			  "new data gets ENOSPC; reading, trimming and "
			  "deleting go on");
	else if (!full && refused && !before)
		event_say(t, EVENT_CRITICAL, "pool.full", info->name, 0,
			  info->segments_quarantined,
			  "writes found no space: %s",
			  info->segments_quarantined > 0 ?
				  "some is being given back, as disks settle" :
				  "what is free is too little for them, or is "
				  "being cleaned");
	else if (!full && !refused && before)
		event_say(t, EVENT_INFO, "pool.room", info->name, 100,
			  blocks_to_bytes(free_blocks(info)),
			  "there is room for new data again");
	w->full = full;
	w->refused = refused;
}

/* One step of the average: it weighs what came since the last one by how long
 * that was. */
static void look_at_rate(struct tarnd *t, const struct pool_info *info)
{
	struct watch *w = &t->watch;
	uint64_t now_ns = io_now_ns(t->io);
	double s = (double)(now_ns - w->used_ns) / (double)NS_PER_S;
	double grown = (double)info->used_blocks - (double)w->used;

	if (w->used_ns != 0 && s < 1)
		return;
	if (w->used_ns != 0)
		w->rate += (grown / s - w->rate) * (s / (s + SMOOTH_S));
	w->used = info->used_blocks;
	w->used_ns = now_ns;
}

uint64_t watch_full_s(const struct watch *w, const struct pool_info *info)
{
	double s;

	if (!w->on || w->rate <= 0)
		return 0;
	s = (double)free_blocks(info) / w->rate;
	/* Beyond a year it is no news, and no estimate. */
	return s < 365 * 86400.0 ? (uint64_t)s + 1 : 0;
}

/* --- when ---------------------------------------------------------------- */

static void look(struct io_work *work)
{
	struct watch *w = container_of(work, struct watch, work);
	struct tarnd *t = container_of(w, struct tarnd, watch);
	struct pool_info info;

	if (!w->on || t->hosted.state != HOSTED_OPEN)
		return;
	pool_get_info(t->hosted.pool, &info);
	look_at_members(t, &info);
	look_at_health(t, &info);
	look_at_space(t, &info);
	look_at_rate(t, &info);
	scrub_watch(t);
	rebuild_watch(t, &info);
	bgjobs_look(t);
}

void watch_news(struct tarnd *t)
{
	if (t->watch.on)
		io_defer(t->io, &t->watch.work);
}

void watch_start(struct tarnd *t)
{
	struct watch *w = &t->watch;

	memset(w, 0, sizeof(*w));
	io_work_init(&w->work, look);
	w->on = true;
	w->health = POOL_ONLINE;
	watch_news(t);
}

void watch_stop(struct tarnd *t)
{
	if (t->watch.on)
		io_undefer(&t->watch.work);
	t->watch.on = false;
}
