/* server/rebuild_job.c - making units again, emptying disks, and evening them
 * out, as jobs and events.
 *
 * Of a rebuild the pool knows what is left, and how much it has done since it was
 * opened; what it had done when there was last nothing left is noted, so that
 * the job counts from there.  After a restart it counts from the restart.
 */
#include <string.h>

#include "server/bgjob.h"
#include "server/event.h"

/* Why it does not go on. */
static const char *stuck_text(const struct pool_info *i)
{
	if (i->rebuild_damaged == i->rebuild_units)
		return "waits for lost blocks to be healed, overwritten or "
		       "deleted ('tarn status -v' names them)";
	return "waits for room, or for a domain";
}

/* --- rebuild ------------------------------------------------------------- */

static bool rebuild_get(struct tarnd *t, unsigned n, struct bgjob *ret)
{
	struct pool_info i;

	pool_get_info(t->hosted.pool, &i);
	if (n > 0 || i.rebuild_units == 0)
		return false;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "rebuild");
	ret->kind = "rebuild";
	snprintf(ret->object, sizeof(ret->object), "%s", t->hosted.name);
	ret->state = i.rebuild_stuck ? BGJOB_WAITING : BGJOB_RUNNING;
	ret->done = i.rebuilt_units -
		    min_u64(t->watch.rebuilt, i.rebuilt_units);
	ret->total = ret->done + i.rebuild_units;
	ret->unit = "units";
	snprintf(ret->text, sizeof(ret->text), "%s",
		 i.rebuild_stuck ? stuck_text(&i) : "");
	return true;
}

const struct bgjob_source bgjob_rebuild = { .ids = "rebuild",
					   .get = rebuild_get };

/* --- disks that are drained ---------------------------------------------- */

static bool drain_get(struct tarnd *t, unsigned n, struct bgjob *ret)
{
	struct pool *pool = t->hosted.pool;
	struct pool_info info;
	struct member_info m;
	char uuid[UUID_TEXT_BYTES];
	bool stuck;
	uint32_t i;

	pool_get_info(pool, &info);
	for (i = 0; i < info.nmembers; i++) {
		pool_get_member(pool, i, &m);
		if (m.state != MEMBER_REMOVED && m.drains && n-- == 0)
			break;
	}
	if (i == info.nmembers)
		return false;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "drain-%s",
		 uuid_text(&m.uuid, uuid));
	ret->kind = "drain";
	snprintf(ret->object, sizeof(ret->object), "%.*s", (int)TREE_NAME_MAX,
		 m.place[0] != '\0' ? m.place : uuid);
	stuck = info.rebuild_stuck && m.zones_used > 0;
	/* Empty, and to stay so. */
	ret->state = stuck || (m.zones_used == 0 && !m.leaves) ?
			     BGJOB_WAITING : BGJOB_RUNNING;
	ret->done = m.zones - m.zones_used;
	ret->total = m.zones;
	ret->unit = "zones";
	snprintf(ret->text, sizeof(ret->text), "%s",
		 stuck		     ? stuck_text(&info) :
		 m.leaves	     ? "then it is removed from the pool" :
		 m.zones_used == 0 ? "nothing is on it any more" :
				       "");
	return true;
}

const struct bgjob_source bgjob_drains = { .ids = "drain-",
					  .get = drain_get };

/* --- disks that are evened out ------------------------------------------- */

static bool rebalance_get(struct tarnd *t, unsigned n, struct bgjob *ret)
{
	struct pool_info i;

	pool_get_info(t->hosted.pool, &i);
	if (n > 0 || i.move_units == 0)
		return false;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "rebalance");
	ret->kind = "rebalance";
	snprintf(ret->object, sizeof(ret->object), "%s", t->hosted.name);
	ret->state = BGJOB_RUNNING;
	ret->done = i.moved_units - min_u64(t->watch.moved, i.moved_units);
	ret->total = ret->done + i.move_units;
	ret->unit = "units";
	return true;
}

const struct bgjob_source bgjob_rebalance = { .ids = "rebalance",
					     .get = rebalance_get };

/* --- events -------------------------------------------------------------- */

/* As below. */
static void rebalance_watch(struct tarnd *t, const struct pool_info *info)
{
	struct watch *w = &t->watch;
	bool moves = info->move_units > 0;
	uint64_t moved = info->moved_units - w->moved;

	if (!w->moves && (moves || moved > 0))
		event_say(t, EVENT_INFO, "rebalance.started", t->hosted.name,
			  info->move_units + moved, 0,
			  "about %ju units of segments move to disks with more "
			  "room",
			  (uintmax_t)(info->move_units + moved));
	if (!moves && (w->moves || moved > 0))
		event_say(t, EVENT_INFO, "rebalance.finished", t->hosted.name,
			  moved, 0, "%ju units have moved", (uintmax_t)moved);
	w->moves = moves;
	if (!moves)
		w->moved = info->moved_units;
}

void rebuild_watch(struct tarnd *t, const struct pool_info *info)
{
	struct watch *w = &t->watch;
	bool lacks = info->rebuild_units > 0;
	uint64_t made = info->rebuilt_units - w->rebuilt;

	/* It may have begun and ended since it was looked at last. */
	if (!w->rebuilds && (lacks || made > 0))
		event_say(t, EVENT_INFO, "rebuild.started", t->hosted.name,
			  info->rebuild_units + made, 0,
			  "%ju units of segments are made again, or moved",
			  (uintmax_t)(info->rebuild_units + made));
	if (!lacks && (w->rebuilds || made > 0))
		event_say(t, EVENT_INFO, "rebuild.finished", t->hosted.name,
			  made, 0,
			  "%ju units were made again, or moved; the others "
			  "died, or came back",
			  (uintmax_t)made);
	w->rebuilds = lacks;
	if (!lacks)
		w->rebuilt = info->rebuilt_units;
	rebalance_watch(t, info);
}
