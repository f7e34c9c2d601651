/* server/alarm.c - what is wrong now.
 *
 * Alarms are not kept: they are read off the state when somebody asks.  Only
 * that one is muted is kept, as an event: the newest one about it says until
 * when.  If that is ever pushed out of the history, the alarm is heard again.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/event.h"

/* Members are known by their labels: to be shown one is enough. */
#define IF_MOVED "If it is at another place now: 'tarn disk discover PLACE'."

#define MUTE_NAME_MAX (EVENT_OBJECT_MAX - 8)

struct collect {
	struct tarnd *t;
	struct alarm *alarms;
	unsigned      n, more;
};

static const char *const known[] = {
	"disk.errors",	  "disk.missing",    "disk.taken_offline",
	"disk.refused",	  "disk.returning",  "disk.slow",
	"disk.slow_reads", "disk.suspect",
	"pool.absent",	  "pool.damage",     "pool.degraded",
	"pool.failed",	  "pool.full",	     "pool.no_rebuild_room",
	"pool.read_only", "pool.rebuild_waits", "pool.space_85",
	"pool.space_90",  "pool.space_95",   "pool.suspended",
	"scrub.damage",	  "volume.paused",
};

bool alarm_is_known(const char *id)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i], id) == 0)
			return true;
	return false;
}

/* The next one; NULL: there is no room. */
__attribute__((format(printf, 5, 6))) static struct alarm *
add(struct collect *c, enum event_severity severity, const char *id,
    const char *object, const char *fmt, ...)
{
	struct alarm *a = &c->alarms[c->n];
	va_list ap;

	if (c->n == ALARMS_MAX) {
		c->more++;
		return NULL;
	}
	c->n++;
	memset(a, 0, sizeof(*a));
	a->id = id;
	a->severity = (uint8_t)severity;
	snprintf(a->object, sizeof(a->object), "%.*s", (int)EVENT_OBJECT_MAX,
		 object);
	va_start(ap, fmt);
	vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
	return a;
}

static void risk(struct alarm *a, const char *text, const char *action)
{
	if (a == NULL)
		return;
	snprintf(a->risk, sizeof(a->risk), "%.*s", (int)sizeof(a->risk) - 1,
		 text);
	snprintf(a->action, sizeof(a->action), "%.*s",
		 (int)sizeof(a->action) - 1, action);
}

/* --- muting -------------------------------------------------------------- */

/* The history keeps it to the letter: short enough, and nothing in it that is
 * changed there. */
void alarm_mute_name(const char *id, const char *object,
		     char ret_name[EVENT_OBJECT_MAX + 1])
{
	size_t room = MUTE_NAME_MAX - strlen(id) - 1;
	size_t len = object != NULL ? strnlen(object, EVENT_OBJECT_MAX) : 0;
	size_t from = len > room ? len - room : 0;

	if (object == NULL)
		snprintf(ret_name, EVENT_OBJECT_MAX + 1, "%s", id);
	else
		snprintf(ret_name, EVENT_OBJECT_MAX + 1, "%s %.*s", id,
			 (int)(len - from), object + from);
	for (char *p = ret_name; *p != '\0'; p++)
		if (*p < 0x20 || *p >= 0x7f)
			*p = '?';
}

uint64_t alarm_muted(const struct tarnd *t, const char *id, const char *object)
{
	char     both[EVENT_OBJECT_MAX + 1];
	uint64_t until_s = 0, both_s = 0;
	struct vol_event e = { .change = 0 };

	alarm_mute_name(id, object, both);
	while (t->hosted.vols != NULL &&
	       vols_event_next(t->hosted.vols, e.change, &e)) {
		if (strcmp(e.what, "alarm.mute") != 0)
			continue;
		if (strcmp(e.object, id) == 0)
			until_s = e.numbers[0];
		else if (strcmp(e.object, both) == 0)
			both_s = e.numbers[0];
	}
	until_s = max_u64(until_s, both_s);
	return until_s > tarnd_now_s() ? until_s : 0;
}

/* --- what is wrong ------------------------------------------------------- */

static const char *loss_risk(const struct pool_info *info, uint32_t lost)
{
	if (lost > info->m)
		return "what is on them cannot be read until they are back";
	if (lost == info->m)
		return "one more failure loses data";
	return "there is less redundancy than there should be";
}

/* Domains with a disk that does not have all that it should, about. */
static uint32_t domains_away(const struct pool *pool,
			     const struct pool_info *info)
{
	char     seen[POOL_MEMBERS_MAX][DOMAIN_NAME_MAX + 1];
	uint32_t n = 0;

	for (uint32_t i = 0; i < info->nmembers; i++) {
		struct member_info m;
		bool known_domain = false;

		pool_get_member(pool, i, &m);
		if (m.state == MEMBER_ONLINE || m.zones == 0)
			continue;
		for (uint32_t k = 0; k < n && !info->domain_disk; k++)
			known_domain |= strcmp(seen[k], m.domain) == 0;
		if (!known_domain)
			memcpy(seen[n++], m.domain, sizeof(m.domain));
	}
	return n;
}

static void health_alarms(struct collect *c, const struct pool_info *info,
			  uint32_t away)
{
	switch ((enum pool_health)info->health) {
	case POOL_SUSPENDED:
		risk(add(c, EVENT_CRITICAL, "pool.suspended", info->name, "%s",
			 info->why), "writes wait", info->action);
		break;
	case POOL_DEGRADED:
		risk(add(c, away >= info->m ? EVENT_CRITICAL : EVENT_WARNING,
			 "pool.degraded", info->name, "%s", info->why),
		     away > 0 ? loss_risk(info, away) :
				"some of the data has less redundancy yet",
		     away > 0 ? info->action : "Wait; 'tarn status' shows it.");
		break;
	case POOL_READ_ONLY:
		risk(add(c, EVENT_INFO, "pool.read_only", info->name, "%s",
			 info->why), "", info->action);
		break;
	case POOL_FAILED:
		risk(add(c, EVENT_CRITICAL, "pool.failed", info->name, "%s",
			 info->why), "nothing is served", info->action);
		break;
	case POOL_ONLINE:
		break;
	}
	if (info->lost_blocks > 0)
		risk(add(c, EVENT_CRITICAL, "pool.damage", info->name,
			 "%ju blocks of data cannot be read",
			 (uintmax_t)info->lost_blocks),
		     "reading them gives EIO",
		     "'tarn status -v' names them: restore them from a "
		     "backup, overwrite them, or delete what has them.");
}

static void space_alarms(struct collect *c, const struct pool_info *info)
{
	static const char *const ids[SPACE_LEVELS] = { "pool.space_85",
						       "pool.space_90",
						       "pool.space_95" };
	const struct watch *w = &c->t->watch;
	uint64_t full_s = watch_full_s(w, info);
	char     when[80] = "new data will get ENOSPC when it is full";

	if (full_s > 0)
		snprintf(when, sizeof(when), "at the present rate it is full "
			 "in %ju h %ju min", (uintmax_t)full_s / 3600,
			 (uintmax_t)full_s / 60 % 60);
	if (w->full)
		risk(add(c, EVENT_CRITICAL, "pool.full", info->name,
			 "There is no room for new data."),
		     "new data gets ENOSPC",
		     "Delete what is not needed ('tarn snapshot list'), or "
		     "add disks.");
	else if (w->refused)
		risk(add(c, EVENT_CRITICAL, "pool.full", info->name,
			 "In the last minute writes found no space: %s.",
			 info->segments_quarantined > 0 ?
				 "some is being given back, as disks settle" :
				 "what is free is too little for them, or is "
				 "being cleaned"),
		     "new data may get ENOSPC until then",
		     "Wait; if it goes on, delete what is not needed, or add "
		     "disks.");
	else if (w->level > 0)
		risk(add(c, w->level == SPACE_LEVELS ? EVENT_CRITICAL :
						       EVENT_WARNING,
			 ids[w->level - 1], info->name,
			 "More than %u %% of its space is used.",
			 space_levels[w->level - 1]), when,
		     "Delete what is not needed ('tarn snapshot list'), or "
		     "add disks.");
	if (info->rebuild_room != POOL_REBUILD_NONE &&
	    info->used_blocks > info->usable_blocks)
		risk(add(c, EVENT_WARNING, "pool.no_rebuild_room", info->name,
			 "If a domain is lost, there is no room to make again "
			 "what was on it."),
		     "redundancy stays reduced until it is back",
		     "Delete what is not needed, or add disks.");
	if (info->rebuild_stuck &&
	    info->rebuild_damaged == info->rebuild_units)
		risk(add(c, EVENT_WARNING, "pool.rebuild_waits", info->name,
			 "%ju units of segments cannot be made again or moved, "
			 "for blocks in them are lost.",
			 (uintmax_t)info->rebuild_units),
		     "redundancy of what else is in them stays reduced, or a "
		     "disk that is drained stays full",
		     "'tarn status -v' names the blocks: restore or overwrite "
		     "them, or delete what has them.");
	else if (info->rebuild_stuck)
		risk(add(c, EVENT_WARNING, "pool.rebuild_waits", info->name,
			 "%ju units of segments are to be made again or moved, "
			 "and there is no room, or no domain, for them.",
			 (uintmax_t)info->rebuild_units),
		     "redundancy stays reduced, or a disk stays full",
		     "Add disks, bring back those that are away, or delete "
		     "what is not needed.");
}

static void disk_state_alarm(struct collect *c, const struct pool_info *info,
			     const struct member_info *m, const char *name,
			     uint32_t away)
{
	enum event_severity gravity = away >= info->m && !m->witness ?
					      EVENT_CRITICAL :
					      EVENT_WARNING;
	const char *loss = m->witness ? "if a disk is lost as well, the pool "
					"may not open by itself" :
					loss_risk(info, away);
	const char *why = inventory_reason(m->place, m->why);

	switch ((enum member_state)m->state) {
	case MEMBER_ONLINE:
	case MEMBER_REMOVED:
		break;
	case MEMBER_SUSPECT:
		risk(add(c, EVENT_WARNING, "disk.suspect", name,
			 "It is waited for: %s.", why),
		     loss,
		     "Nothing, if it comes back by itself; otherwise see to "
		     "its host. " IF_MOVED);
		break;
	case MEMBER_OUT:
	case MEMBER_MISSING:
		if (m->offline) {
			risk(add(c, EVENT_WARNING, "disk.taken_offline", name,
				 "It was taken offline, and stays so."),
			     loss,
			     "'tarn disk online' brings it back.");
			break;
		}
		risk(add(c, gravity, "disk.missing", name,
			 "It is not there: %s.", why),
		     loss,
		     "Bring it back: it then gets what it missed; or, if it is "
		     "lost, 'tarn disk replace' or 'tarn disk remove'. "
		     IF_MOVED);
		break;
	case MEMBER_RETURNING:
		risk(add(c, EVENT_INFO, "disk.returning", name,
			 "It is back and gets what it missed."),
		     loss, "Wait.");
		break;
	case MEMBER_FAULTED:
		risk(add(c, gravity, "disk.refused", name,
			 "It is not used: %s.", why), loss,
		     "See to it that the right disk is at that place.");
		break;
	}
}

static void speed_alarm(struct collect *c, const struct member_info *m,
			const char *name)
{
	risk(add(c, EVENT_WARNING, "disk.slow_reads", name,
		 "Reads take it %u.%u ms, the others about %u.%u ms: they go "
		 "round it, but for a few that see whether it is still so.",
		 m->reads_us / 1000, m->reads_us / 100 % 10, m->peers_us / 1000,
		 m->peers_us / 100 % 10),
	     "the other disks do its work, and it counts as redundancy still",
	     "Look at its host and the network to it ('tarn disk list' has "
	     "times); replace it if it stays so.");
}

static void disk_alarms(struct collect *c, const struct pool_info *info,
			uint32_t i, uint32_t away)
{
	char uuid[UUID_TEXT_BYTES];
	struct member_info m;
	const char *name;

	pool_get_member(c->t->hosted.pool, i, &m);
	if (m.state == MEMBER_REMOVED)
		return;
	name = m.place[0] != '\0' ? m.place : uuid_text(&m.uuid, uuid);
	disk_state_alarm(c, info, &m, name, away);
	if (m.errors_read + m.errors_write + m.errors_cksum > 0)
		risk(add(c, EVENT_WARNING, "disk.errors", name,
			 "It had %ju errors of reading, %ju of writing and "
			 "%ju wrong checksums since the pool was opened.",
			 (uintmax_t)m.errors_read, (uintmax_t)m.errors_write,
			 (uintmax_t)m.errors_cksum),
		     "it may be about to fail",
		     "If they go on, replace it; 'tarn events' has their "
		     "times.");
	if (m.slow)
		risk(add(c, EVENT_WARNING, "disk.slow", name,
			 "It is far slower than the others and is avoided."),
		     "", "Look at its host and the network to it.");
	if (m.slow_reads)
		speed_alarm(c, &m, name);
}

static int order_severity(const void *a, const void *b)
{
	const struct alarm *x = a, *y = b;

	return (x->severity < y->severity) - (x->severity > y->severity);
}

static void scrub_alarm(struct collect *c, const struct pool_info *info)
{
	struct pool_scrub_info i;

	pool_scrub_info(c->t->hosted.pool, &i);
	if (i.nlost > 0)
		risk(add(c, EVENT_WARNING, "scrub.damage", info->name,
			 "A scrub found blocks beyond repair, in %ju segments; "
			 "some may be in use no more.", (uintmax_t)i.nlost),
		     "reading those that are in use gives EIO",
		     "Restore them from a backup, or overwrite them; 'tarn "
		     "scrub status' shows where they are.");
}

static void pause_alarms(struct collect *c)
{
	struct volumes *vols = c->t->hosted.vols;
	struct volume  *v = NULL;

	while ((v = vols_next(vols, v)) != NULL) {
		struct volume_info i;

		vol_info(v, &i);
		if (i.paused > 0)
			risk(add(c, EVENT_CRITICAL, "volume.paused", i.name,
				 "Volume '%.80s' is paused: the pool is full.",
				 i.name),
			     "its writes wait until there is space",
			     "Delete what is not needed ('tarn snapshot "
			     "list'), or add disks; 'tarn volume set' with "
			     "--when-full enospc ends the waiting.");
	}
}

static void open_alarms(struct collect *c)
{
	const struct pool *pool = c->t->hosted.pool;
	struct pool_info info;
	uint32_t away;

	pool_get_info(pool, &info);
	away = domains_away(pool, &info);
	health_alarms(c, &info, away);
	scrub_alarm(c, &info);
	space_alarms(c, &info);
	pause_alarms(c);
	for (uint32_t i = 0; i < info.nmembers; i++)
		disk_alarms(c, &info, i, away);
}

unsigned alarm_collect(struct tarnd *t, struct alarm *ret, unsigned *ret_more)
{
	struct collect c = { .t = t, .alarms = ret };
	const struct hosted *h = &t->hosted;
	char why[TARND_ERROR_BYTES + 128];

	hosted_why_not(t, why, sizeof(why));
	if (h->state == HOSTED_OPEN)
		open_alarms(&c);
	else if (h->state == HOSTED_FAILED)
		risk(add(&c, EVENT_CRITICAL, "pool.failed", h->name, "%s",
			 h->why), "nothing is served", h->action);
	else if (h->state != HOSTED_NONE)
		risk(add(&c, EVENT_CRITICAL, "pool.absent", h->name, "%s",
			 why), "nothing is served", "See 'tarn status'.");
	if (c.n > 0)
		qsort(ret, c.n, sizeof(ret[0]), order_severity);
	for (unsigned i = 0; i < c.n; i++)
		ret[i].muted_until_s = alarm_muted(t, ret[i].id, ret[i].object);
	*ret_more = c.more;
	return c.n;
}

bool alarm_holds(struct tarnd *t, const char *id, const char *object)
{
	struct alarm *a = calloc(ALARMS_MAX, sizeof(a[0]));
	unsigned n = 0, more;
	bool     holds = false;

	if (a != NULL)
		n = alarm_collect(t, a, &more);
	for (unsigned i = 0; i < n && !holds; i++)
		holds = strcmp(a[i].id, id) == 0 &&
			(object == NULL || strncmp(a[i].object, object,
						   EVENT_OBJECT_MAX) == 0);
	free(a);
	return holds;
}
