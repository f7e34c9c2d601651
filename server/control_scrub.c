/* server/control_scrub.c - scrub.*, the job that a scrub is, and what is said
 * about its end.
 *
 * The pool does the work and keeps how far it is; here is only talk.
 */
#include <errno.h>
#include <string.h>

#include "server/bgjob.h"
#include "server/event.h"

static const char *const states[] = {
	[POOL_SCRUB_NONE] = "none",
	[POOL_SCRUB_RUNNING] = "running",
	[POOL_SCRUB_PAUSED] = "paused",
};

/* --- methods ------------------------------------------------------------- */

static json_t *lost_json(const struct pool_scrub_info *i)
{
	json_t *a = json_array();

	for (uint32_t n = 0; n < min_u32(i->nlost, POOL_SCRUB_LOST); n++)
		json_array_append_new(
			a, json_pack("{s:I, s:I}", "segment",
				     (json_int_t)i->lost[n].segment, "blocks",
				     (json_int_t)i->lost[n].blocks));
	return a;
}

static json_t *disks_json(const struct pool *pool)
{
	struct pool_info info;
	json_t *a = json_array();

	pool_get_info(pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;
		char uuid[UUID_TEXT_BYTES];

		pool_get_member(pool, i, &m);
		json_array_append_new(
			a, json_pack("{s:s, s:o, s:I, s:I, s:I}", "uuid",
				     uuid_text(&m.uuid, uuid), "place",
				     ctl_text(m.place), "read_errors",
				     (json_int_t)m.errors_read,
				     "checksum_errors",
				     (json_int_t)m.errors_cksum,
				     "repaired_blocks",
				     (json_int_t)m.repaired));
	}
	return a;
}

static json_t *scrub_json(const struct pool *pool)
{
	struct pool_scrub_info i;

	pool_scrub_info(pool, &i);
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:o, s:I, s:o}",
			 "state", states[i.state], "segment", (json_int_t)i.at,
			 "last_segment", (json_int_t)i.end, "finished",
			 (json_int_t)i.finished, "read_bytes",
			 (json_int_t)blocks_to_bytes(i.blocks), "segments",
			 (json_int_t)i.segments, "found_blocks",
			 (json_int_t)i.found, "repaired_blocks",
			 (json_int_t)i.repaired, "unrepaired_blocks",
			 (json_int_t)i.unrepaired, "lost_blocks",
			 (json_int_t)i.lost_blocks, "skipped_units",
			 (json_int_t)i.skipped, "lost", lost_json(&i),
			 "lost_segments", (json_int_t)i.nlost, "disks",
			 disks_json(pool));
}

void ctl_scrub_status(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);

	if (h != NULL)
		ctl_reply(call, scrub_json(h->pool));
}

/* Answer: it is done, or was so already, or why not. */
static void answer(struct ctl_call *call, struct hosted *h, int res,
		   const char *state)
{
	if (res == -EROFS)
		ctl_fail(call, res, h->name, "pool '%s' takes no writes, so it "
			 "cannot be scrubbed: 'tarn status' says why", h->name);
	else if (res == -ENOENT)
		ctl_fail(call, res, h->name, "there is no scrub that could be "
			 "paused: 'tarn scrub start' starts one");
	else
		ctl_reply(call, json_pack("{s:s, s:b}", "state", state,
					  "already", res == -EALREADY));
}

void ctl_scrub_start(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);

	if (h != NULL)
		answer(call, h, pool_scrub_start(h->pool), "running");
}

void ctl_scrub_pause(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);

	if (h != NULL)
		answer(call, h, pool_scrub_pause(h->pool), "paused");
}

void ctl_scrub_stop(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);

	if (h != NULL)
		answer(call, h, pool_scrub_stop(h->pool), "none");
}

/* --- the job ------------------------------------------------------------- */

static bool scrub_get(struct tarnd *t, unsigned n, struct bgjob *ret)
{
	struct pool_scrub_info i;

	pool_scrub_info(t->hosted.pool, &i);
	if (n > 0 || i.state == POOL_SCRUB_NONE)
		return false;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "scrub");
	ret->kind = "scrub";
	snprintf(ret->object, sizeof(ret->object), "%s", t->hosted.name);
	ret->state = i.state == POOL_SCRUB_PAUSED ? BGJOB_PAUSED :
						    BGJOB_RUNNING;
	ret->done = min_u32(i.at > 0 ? i.at - 1 : 0, i.end);
	ret->total = i.end;
	ret->unit = "segments";
	snprintf(ret->text, sizeof(ret->text), "%ju wrong blocks, %ju repaired",
		 (uintmax_t)i.found, (uintmax_t)i.repaired);
	ret->cancellable = true;
	return true;
}

static int scrub_cancel(struct tarnd *t, const struct bgjob *job, char *ret_err)
{
	int r = pool_scrub_stop(t->hosted.pool);

	if (r == -EALREADY)
		return 0;
	if (r < 0)
		snprintf(ret_err, 256, "job '%s' cannot be cancelled now: the "
			 "pool takes no writes", job->id);
	return r;
}

const struct bgjob_source bgjob_scrub = {
	.ids = "scrub",
	.get = scrub_get,
	.cancel = scrub_cancel,
};

/* --- events -------------------------------------------------------------- */

void scrub_watch(struct tarnd *t)
{
	struct watch *w = &t->watch;
	struct pool_scrub_info i;

	pool_scrub_info(t->hosted.pool, &i);
	if (i.finished > w->scrubs)
		event_say(t, i.found + i.skipped > 0 ? EVENT_WARNING :
						       EVENT_INFO,
			  "scrub.finished", t->hosted.name, i.found,
			  i.repaired,
			  "%ju wrong or unreadable blocks, %ju repaired, %ju "
			  "not, %ju of data lost; %ju units not there to be "
			  "checked",
			  (uintmax_t)i.found, (uintmax_t)i.repaired,
			  (uintmax_t)i.unrepaired, (uintmax_t)i.lost_blocks,
			  (uintmax_t)i.skipped);
	w->scrubs = i.finished;
}
