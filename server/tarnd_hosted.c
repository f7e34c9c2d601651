/* server/tarnd_hosted.c - the one pool of this server: its objects, its state
 * and what follows when it fails.
 *
 *	            +--> SEARCHING --+
 *	            |        ^       v
 *	NONE -------+--------+--> OPENING --> OPEN --> CLOSING --> NONE
 *	                                       |
 *	                                       +--> FAILED --> NONE (export)
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/event.h"
#include "server/tarnd.h"

#define BACKOFF_FIRST_NS (250 * NS_PER_MS)
#define BACKOFF_MAX_NS   (10 * NS_PER_S)

static void pool_log(void *arg, const char *line)
{
	struct tarnd *t = arg;

	tarnd_log(t, "pool: %s", line);
	/* Perhaps a disk has gone: another path to it may exist. */
	hosted_watch(t, true);
	watch_news(t);
}

static void pool_beat(void *arg)
{
	watch_news(arg);
}

/* --- failure ------------------------------------------------------------- */

static void pool_failed(void *arg, int res, const char *why)
{
	struct tarnd  *t = arg;
	struct hosted *h = &t->hosted;

	tarnd_log(t, "pool '%s' stopped serving: %s", h->name, why);
	h->fail_res = res < 0 ? res : -EIO;
	snprintf(h->why, sizeof(h->why), "%s", why);
	io_defer(t->io, &h->fail_work);
}

/* Clients are cut off at once; what else has to end may take its turn. */
static void failed_later(struct io_work *w)
{
	struct hosted *h = container_of(w, struct hosted, fail_work);
	struct tarnd  *t = container_of(h, struct tarnd, hosted);
	struct job    *job;

	if (h->state != HOSTED_OPEN)
		return;
	pool_get_info(h->pool, &h->last);
	h->state = HOSTED_FAILED;
	h->failed = true;
	io_timer_cancel(t->io, &h->retry);
	snprintf(h->action, sizeof(h->action),
		 "find out what happened, then run 'tarn pool import %s'; "
		 "nothing that was acknowledged is lost by that", h->name);
	tarnd_nbd_stop(t, 0);
	job = job_new(t, JOB_FAIL, NULL);
	if (job == NULL)
		abort(); /* no memory even to stop: as good as a crash */
	job_submit(job);
}

static void fail_ended(struct job *job)
{
	struct hosted *h = &job->t->hosted;

	h->state = HOSTED_FAILED;
	job->res = 0;
	tarnd_nbd_restart(job->t);
	job_end(job);
}

void job_fail_run(struct job *job)
{
	hosted_end(job, 0, fail_ended);
}

/* --- objects ------------------------------------------------------------- */

/* "pool 'tank' is", or what to say when its name is not known. */
static const char *subject(const struct hosted *h, char *ret, size_t bytes)
{
	if (h->name[0] == '\0')
		snprintf(ret, bytes, "the pool is");
	else
		snprintf(ret, bytes, "pool '%s' is", h->name);
	return ret;
}

int hosted_make(struct tarnd *t)
{
	struct hosted *h = &t->hosted;
	struct volumes_params vp = {
		.node_budget_bytes = t->cfg->node_memory_bytes,
		.cache_bytes = t->cfg->cache_bytes,
	};
	struct pool_params pp = {
		.owner = t->owner,
		.client = vols_log_client_ops(),
		.rows_memory_bytes = t->cfg->row_memory_bytes,
		.rebuild_delay_ns = t->cfg->rebuild_delay_s * NS_PER_S,
		.commit_log_bytes = t->cfg->commit_log_bytes,
		.log = pool_log,
		.failed = pool_failed,
		.beat = pool_beat,
		.arg = t,
	};
	int r;

	assert(h->pool == NULL && h->vols == NULL);
	r = vols_open(t->io, &vp, &h->vols);
	if (r < 0)
		return r;
	pp.client_arg = h->vols;
	r = pool_new(t->io, &pp, &h->pool);
	if (r < 0) {
		vols_close(h->vols);
		h->vols = NULL;
		h->pool = NULL;
		return r;
	}
	vols_attach(h->vols, h->pool);
	h->state = HOSTED_OPENING;
	h->fail_res = 0;
	io_timer_cancel(t->io, &h->retry);
	return 0;
}

void hosted_unmake(struct tarnd *t)
{
	struct hosted *h = &t->hosted;

	watch_stop(t);
	if (h->source != NULL)
		export_volumes_close(h->source);
	h->source = NULL;
	if (h->vols != NULL)
		vols_close(h->vols);
	h->vols = NULL;
	if (h->pool != NULL)
		pool_free(h->pool);
	h->pool = NULL;
}

/* The trash has let go of a volume by itself. */
static void trash_went(void *arg, const char *name, const struct uuid *uuid,
		       bool for_space)
{
	char text[UUID_TEXT_BYTES];

	event_say(arg, for_space ? EVENT_WARNING : EVENT_INFO,
		  for_space ? "trash.pushed_out" : "trash.expired", name, 0, 0,
		  "%s; it was %s",
		  for_space ? "deleted before its time: the space was needed" :
			      "deleted for good: its time was over",
		  uuid_text(uuid, text));
}

static void paused(void *arg, const char *name, bool is_paused)
{
	if (is_paused)
		event_say(arg, EVENT_CRITICAL, "volume.paused", name, 0, 0,
			  "the pool is full: its writes wait for space");
	else
		event_say(arg, EVENT_INFO, "volume.resumed", name, 0, 0,
			  "no write of it waits for space any more");
}

int hosted_serve(struct tarnd *t, bool read_only)
{
	struct hosted   *h = &t->hosted;
	struct pool_info info;
	int r;

	r = export_volumes_open(h->vols, &h->source);
	if (r < 0)
		return r;
	pool_get_info(h->pool, &info);
	snprintf(h->name, sizeof(h->name), "%s", info.name);
	h->state = HOSTED_OPEN;
	memset(&h->trash_held, 0, sizeof(h->trash_held));
	h->read_only = read_only;
	h->why[0] = '\0';
	h->action[0] = '\0';
	h->backoff_ns = 0;
	h->wanted = false;
	h->failed = false;
	vols_trash_watch(h->vols, trash_went, t);
	vols_pause_watch(h->vols, paused, t);
	if (!read_only)
		vols_trash_start(h->vols, t->cfg->trash_hours * 3600,
				 tarnd_now_s());
	tarnd_log(t, "pool '%s' is open%s", h->name,
		  read_only ? ", read-only" : "");
	if (info.taken_over)
		event_say(t, EVENT_WARNING, "pool.taken_over", h->name,
			  info.claim, 0, "the last owner is on another "
			  "machine, or force was used; it was not heard of");
	if (info.replayed_rows > 0)
		event_say(t, EVENT_WARNING, "pool.recovered", h->name,
			  info.claim, info.replayed_rows,
			  "it was not closed: %ju rows of the log were redone",
			  (uintmax_t)info.replayed_rows);
	else
		event_say(t, EVENT_INFO, "pool.opened", h->name, info.claim, 0,
			  "%s", read_only ? "read-only" : "");
	watch_start(t);
	hosted_watch(t, true);
	if (!read_only)
		schedule_start(&t->schedule, h->vols);
	if (h->fail_res != 0)
		io_defer(t->io, &h->fail_work);
	return 0;
}

void hosted_none(struct tarnd *t)
{
	struct hosted *h = &t->hosted;

	if (h->wanted)
		h->state = HOSTED_SEARCHING;
	else
		h->state = h->failed ? HOSTED_FAILED : HOSTED_NONE;
	if (h->state == HOSTED_NONE) {
		h->name[0] = '\0';
		h->why[0] = '\0';
		h->action[0] = '\0';
	}
}

json_t *hosted_brief(const struct tarnd *t, bool already)
{
	struct pool_info info;
	char text[UUID_TEXT_BYTES];

	pool_get_info(t->hosted.pool, &info);
	return json_pack("{s:o, s:s, s:b}", "name", ctl_text(info.name),
			 "uuid", uuid_text(&info.uuid, text), "already",
			 already);
}

void hosted_why_not(const struct tarnd *t, char *ret_why, size_t why_bytes)
{
	const struct hosted *h = &t->hosted;
	char who[POOL_NAME_MAX + 32];

	subject(h, who, sizeof(who));
	switch ((enum hosted_state)h->state) {
	case HOSTED_NONE:
		snprintf(ret_why, why_bytes,
			 "no pool is open: make one with 'tarn pool create' "
			 "or open one with 'tarn pool import'");
		break;
	case HOSTED_SEARCHING:
		snprintf(ret_why, why_bytes, "%s not open yet: %s", who,
			 h->why);
		break;
	case HOSTED_OPENING:
		snprintf(ret_why, why_bytes,
			 "%s being opened: try again in a moment", who);
		break;
	case HOSTED_CLOSING:
		snprintf(ret_why, why_bytes, "%s being closed", who);
		break;
	case HOSTED_FAILED:
		snprintf(ret_why, why_bytes, "pool '%s' stopped serving: %s",
			 h->name, h->why);
		break;
	case HOSTED_OPEN:
		ret_why[0] = '\0';
		break;
	}
}

/* --- back-off ------------------------------------------------------------ */

static void retry_due(struct io_timer *timer)
{
	struct hosted *h = container_of(timer, struct hosted, retry);
	struct tarnd  *t = container_of(h, struct tarnd, hosted);
	struct job    *job;

	if (t->stopping)
		return;
	if (h->state == HOSTED_SEARCHING)
		job = job_new(t, JOB_OPEN, NULL);
	else if (h->state == HOSTED_OPEN)
		job = job_new(t, JOB_WATCH, NULL);
	else
		return;
	if (job != NULL && h->state == HOSTED_SEARCHING)
		snprintf(job->name, sizeof(job->name), "%s", h->name);
	if (job != NULL)
		job_submit(job);
	else
		io_timer_arm(t->io, &h->retry,
			     io_now_ns(t->io) + BACKOFF_MAX_NS);
}

static void arm_retry(struct tarnd *t, bool soon)
{
	struct hosted *h = &t->hosted;
	uint64_t now_ns = io_now_ns(t->io), when_ns;
	/* From then on missing disks are no longer waited for. */
	uint64_t waited_ns = h->search_ns + t->cfg->open_wait_s * NS_PER_S;

	if (t->stopping)
		return;
	if (soon || h->backoff_ns == 0)
		h->backoff_ns = BACKOFF_FIRST_NS;
	else
		h->backoff_ns = min_u64(2 * h->backoff_ns, BACKOFF_MAX_NS);
	when_ns = now_ns + h->backoff_ns;
	if (h->state == HOSTED_SEARCHING && now_ns < waited_ns)
		when_ns = min_u64(when_ns, waited_ns);
	io_timer_arm(t->io, &h->retry, when_ns);
}

void hosted_search(struct tarnd *t, bool soon)
{
	assert(t->hosted.wanted);
	t->hosted.state = HOSTED_SEARCHING;
	arm_retry(t, soon);
}

void hosted_watch(struct tarnd *t, bool soon)
{
	/* While a look is due anyway, more reasons do not bring it closer. */
	if (t->hosted.state != HOSTED_OPEN)
		return;
	if (soon && io_timer_armed(&t->hosted.retry))
		return;
	arm_retry(t, soon);
}

/* Does a job wait that will look for the same? */
static bool look_is_due(const struct tarnd *t)
{
	list_for_each(l, &t->jobs) {
		const struct job *job = list_entry(l, struct job, link);

		if ((job->kind == JOB_WATCH || job->kind == JOB_OPEN) &&
		    job->call == NULL &&
		    !(t->job_running && l == t->jobs.next))
			return true;
	}
	return false;
}

void hosted_hurry(struct tarnd *t)
{
	struct hosted *h = &t->hosted;

	if (t->stopping || look_is_due(t) ||
	    (h->state != HOSTED_OPEN && h->state != HOSTED_SEARCHING))
		return;
	h->backoff_ns = 0;
	io_timer_arm(t->io, &h->retry, io_now_ns(t->io));
}

void hosted_init(struct tarnd *t)
{
	struct hosted *h = &t->hosted;

	io_timer_init(&h->retry, retry_due);
	io_work_init(&h->fail_work, failed_later);
	if (t->cfg->pool == NULL && t->cfg->disks.n == 0)
		return;
	h->wanted = true;
	h->search_ns = io_now_ns(t->io);
	if (t->cfg->pool != NULL)
		snprintf(h->name, sizeof(h->name), "%s", t->cfg->pool);
	snprintf(h->why, sizeof(h->why), "its disks are being looked for");
	h->state = HOSTED_SEARCHING;
	retry_due(&h->retry);
}

void hosted_call_end(struct tarnd *t)
{
	assert(t->hosted.vol_calls > 0);
	t->hosted.vol_calls--;
	hosted_end_step(t);
}
