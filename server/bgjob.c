/* server/bgjob.c - the jobs of all sources.
 *
 * Rates are from when a job was seen first by this server, which is at the
 * first heartbeat after it began.  There is room to note so many; others are
 * listed without a rate.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/bgjob.h"
#include "server/event.h"

/* An answer has so many at most. */
#define LIST_JOBS_MAX 1000u

static const struct bgjob_source *const sources[] = {
	&bgjob_deletions,
	&bgjob_scrub,
	&bgjob_rebuild,
	&bgjob_drains,
	&bgjob_rebalance,
};

/* --- notes --------------------------------------------------------------- */

static struct bgjob_note *note_find(struct tarnd *t, const char *id)
{
	for (unsigned i = 0; i < BGJOB_NOTES; i++)
		if (strcmp(t->job_notes[i].id, id) == 0)
			return &t->job_notes[i];
	return NULL;
}

static void note(struct tarnd *t, const struct bgjob *job)
{
	struct bgjob_note *n = note_find(t, job->id);

	if (n == NULL) {
		n = note_find(t, "");
		if (n == NULL)
			return;
		memcpy(n->id, job->id, sizeof(n->id));
		n->seen_ns = io_now_ns(t->io);
		n->done = job->done;
	}
	n->there = true;
}

static void notes_take(struct tarnd *t)
{
	struct bgjob job;

	for (unsigned i = 0; i < BGJOB_NOTES; i++)
		t->job_notes[i].there = false;
	for (unsigned s = 0; s < ARRAY_LEN(sources); s++)
		for (unsigned i = 0; i < BGJOB_NOTES &&
				     sources[s]->get(t, i, &job); i++)
			note(t, &job);
	for (unsigned i = 0; i < BGJOB_NOTES; i++)
		if (!t->job_notes[i].there)
			t->job_notes[i].id[0] = '\0';
}

/* Seconds until it ends, as it goes; false: that cannot be told. */
static bool left_s(struct tarnd *t, const struct bgjob *job, uint64_t *ret_s)
{
	const struct bgjob_note *n = note_find(t, job->id);
	double s, todo;

	if (n == NULL || job->total < job->done || job->done <= n->done ||
	    job->state != BGJOB_RUNNING)
		return false;
	s = (double)(io_now_ns(t->io) - n->seen_ns) / (double)NS_PER_S;
	todo = (double)(job->total - job->done);
	*ret_s = (uint64_t)(todo * s / (double)(job->done - n->done)) + 1;
	return true;
}

/* --- answers ------------------------------------------------------------- */

static json_t *job_json(struct tarnd *t, const struct bgjob *job)
{
	static const char *const states[] = { "running", "waiting", "paused" };
	uint64_t s;
	bool     known = left_s(t, job, &s);

	return json_pack("{s:s, s:s, s:o, s:s, s:I, s:o, s:s, s:o, s:o, s:b}",
			 "job", job->id, "kind", job->kind, "object",
			 ctl_text(job->object), "state", states[job->state],
			 "done", (json_int_t)job->done, "total",
			 job->total == 0 ?
				 json_null() :
				 json_integer((json_int_t)job->total),
			 "unit", job->unit, "left_s",
			 known ? json_integer((json_int_t)s) : json_null(),
			 "text", ctl_text(job->text), "cancellable",
			 job->cancellable);
}

static const struct bgjob_source *job_find(struct tarnd *t, const char *id,
					   struct bgjob *ret)
{
	for (unsigned s = 0; s < ARRAY_LEN(sources); s++) {
		if (sources[s]->find != NULL) {
			if (sources[s]->find(t, id, ret))
				return sources[s];
			continue;
		}
		for (unsigned i = 0; sources[s]->get(t, i, ret); i++)
			if (strcmp(ret->id, id) == 0)
				return sources[s];
	}
	return NULL;
}

void ctl_job_list(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	json_t       *a;
	struct bgjob  job;

	if (ctl_need_pool(call) == NULL)
		return;
	a = json_array();
	for (unsigned s = 0; s < ARRAY_LEN(sources); s++)
		for (unsigned i = 0; json_array_size(a) < LIST_JOBS_MAX &&
				     sources[s]->get(t, i, &job); i++)
			json_array_append_new(a, job_json(t, &job));
	ctl_reply(call, json_pack("{s:o}", "jobs", a));
}

static void no_such_job(struct ctl_call *call, const char *id)
{
	ctl_fail(call, -ENOENT, id, "there is no job '%.80s': it has ended, or "
		 "there was none; 'tarn job list' shows those that there are",
		 id);
}

/* May there have been such a job? */
static bool is_id(const char *id)
{
	for (unsigned s = 0; s < ARRAY_LEN(sources); s++) {
		const char *ids = sources[s]->ids;

		assert(ids != NULL);
		if (strncmp(id, ids, strlen(ids)) == 0)
			return true;
	}
	return false;
}

/* True: answered. */
static bool show(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	const char   *id = ctl_string(call, "job");
	bool          wait = ctl_bool(call, "wait");
	struct bgjob  job;

	if (job_find(t, id, &job) == NULL) {
		if (wait && is_id(id))
			ctl_reply(call, json_pack("{s:o, s:s}", "job",
						  ctl_text(id), "state",
						  "ended"));
		else
			no_such_job(call, id);
		return true;
	}
	if (wait)
		return false;
	ctl_reply(call, job_json(t, &job));
	return true;
}

void ctl_job_show(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);

	if (ctl_need_pool(call) == NULL || show(call))
		return;
	bgjobs_look(t);
	list_push(&t->job_waiters, &call->parked);
}

void ctl_job_cancel(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	const char   *id = ctl_string(call, "job");
	const struct bgjob_source *s;
	struct bgjob  job;
	char          err[256];
	int           r;

	if (ctl_need_pool(call) == NULL)
		return;
	s = job_find(t, id, &job);
	if (s == NULL) {
		no_such_job(call, id);
		return;
	}
	if (s->cancel == NULL || !job.cancellable) {
		ctl_fail(call, -EOPNOTSUPP, id, "job '%s' cannot be cancelled: "
			 "it goes on until it is done", id);
		return;
	}
	r = s->cancel(t, &job, err);
	if (r < 0)
		ctl_fail(call, r, id, "%s", err);
	else
		ctl_reply(call, json_pack("{s:s, s:s, s:b}", "job", id, "state",
					  "cancelled", "already", false));
}

/* --- waiting ------------------------------------------------------------- */

static void waiters_look(struct tarnd *t)
{
	struct list batch, *l;

	list_init(&batch);
	list_splice(&batch, &t->job_waiters);
	while ((l = list_pop(&batch)) != NULL) {
		struct ctl_call *call = list_entry(l, struct ctl_call, parked);

		if (call->session == NULL)
			ctl_fail(call, -ECANCELED, NULL, "nobody listens");
		else if (!show(call))
			list_push(&t->job_waiters, l);
	}
}

void bgjobs_look(struct tarnd *t)
{
	if (t->hosted.state != HOSTED_OPEN)
		return;
	notes_take(t);
	waiters_look(t);
}

void bgjobs_closing(struct tarnd *t)
{
	struct list *l;

	while ((l = list_pop(&t->job_waiters)) != NULL)
		ctl_fail(list_entry(l, struct ctl_call, parked), -ESHUTDOWN,
			 NULL, "the pool is being closed; the job goes on when "
			 "it is open again");
	memset(t->job_notes, 0, sizeof(t->job_notes));
}
