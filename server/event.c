/* server/event.c - recording events, and reading them.
 *
 * Who follows has a call that waits here until there is something that it has
 * not seen.  Calls whose client has gone are ended when the next one comes, so
 * there are never more than the connections allow.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "server/bgjob.h"
#include "server/event.h"

/* What to do, by kind of event; those of control calls speak for themselves. */
static const struct {
	const char *what;
	const char *advice;
} advices[] = {
	{ "disk.errors", "If they go on, replace the disk; 'tarn status' "
			 "counts them." },
	{ "disk.missing", "Bring the disk back, or see to its host." },
	{ "disk.out", "Bring the disk back: it then gets what it missed." },
	{ "disk.refused", "See to it that the right disk is at that place." },
	{ "disk.slow", "Look at the disk's host and the network to it." },
	{ "disk.slow_reads", "Look at the disk's host and the network to it; "
			     "'tarn disk list' has times." },
	{ "disk.suspect", "Nothing, if it comes back by itself; otherwise see "
			  "to the disk's host." },
	{ "events.lost", "Nothing: there was no room to keep them." },
	{ "pool.damage", "Restore what 'tarn status -v' says is lost, or "
			 "overwrite it." },
	{ "pool.degraded", "See 'tarn status'." },
	{ "pool.full", "Delete what is not needed, or add disks." },
	{ "pool.nearly_full", "Delete what is not needed, or add disks." },
	{ "pool.suspended", "Bring back the disks that 'tarn status' names." },
	{ "trash.pushed_out", "Delete what is not needed, or add disks." },
	{ "rebuild.started", "Wait; 'tarn job list' says how far it is." },
	{ "scrub.finished", "See 'tarn scrub status'." },
};

const char *event_severity_name(uint8_t severity)
{
	static const char *const names[] = { "none", "information", "warning",
					     "critical" };

	return severity < ARRAY_LEN(names) ? names[severity] : "unknown";
}

const char *event_advice(const char *what)
{
	for (size_t i = 0; i < ARRAY_LEN(advices); i++)
		if (strcmp(advices[i].what, what) == 0)
			return advices[i].advice;
	return "";
}

/* --- recording ----------------------------------------------------------- */

/* NOLINTNEXTLINE(readability-function-size): 7 parameters */
void event_say(struct tarnd *t, enum event_severity severity, const char *what,
	       const char *object, uint64_t n0, uint64_t n1, const char *fmt,
	       ...)
{
	struct vol_event e = {
		.severity = (uint8_t)severity,
		.last_s = tarnd_now_s(),
		.numbers = { n0, n1 },
	};
	va_list ap;

	if (t->hosted.vols == NULL || t->hosted.state != HOSTED_OPEN)
		return;
	snprintf(e.what, sizeof(e.what), "%s", what);
	/* What is cut off here is cut off anyway. */
	snprintf(e.object, sizeof(e.object), "%.*s", (int)EVENT_OBJECT_MAX,
		 object);
	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	vols_event(t->hosted.vols, &e);
	if (!list_empty(&t->followers))
		io_defer(t->io, &t->follow_work);
}

/* --- reading ------------------------------------------------------------- */

static json_t *event_json(const struct vol_event *e)
{
	return json_pack("{s:I, s:b, s:s, s:o, s:o, s:o, s:[I, I], s:I, s:I, "
			 "s:I, s:s}",
			 "number", (json_int_t)e->seq, "stored", e->seq != 0,
			 "severity", event_severity_name(e->severity),
			 "event", ctl_text(e->what), "object",
			 ctl_text(e->object), "text", ctl_text(e->text),
			 "numbers", (json_int_t)(e->numbers[0] & INT64_MAX),
			 (json_int_t)(e->numbers[1] & INT64_MAX), "count",
			 (json_int_t)e->count, "first_s",
			 (json_int_t)e->first_s, "last_s",
			 (json_int_t)e->last_s, "action",
			 event_advice(e->what));
}

/* Answer with what the call has not seen; false: nothing, it can wait. */
static bool answer(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	uint64_t after = ctl_uint(call, "after", 0);
	uint64_t since_s = ctl_uint(call, "since", 0);
	struct vol_event e = { .change = after };
	json_t *a = json_array();

	while (vols_event_next(t->hosted.vols, e.change, &e))
		if (e.last_s >= since_s)
			json_array_append_new(a, event_json(&e));
	if (json_array_size(a) == 0 && ctl_bool(call, "wait")) {
		json_decref(a);
		return false;
	}
	ctl_reply(call, json_pack("{s:o, s:I}", "events", a, "next",
				  (json_int_t)e.change));
	return true;
}

static void sweep(struct tarnd *t)
{
	struct list keep, *l;

	list_init(&keep);
	while ((l = list_pop(&t->followers)) != NULL) {
		struct ctl_call *call = list_entry(l, struct ctl_call, parked);

		if (call->session == NULL)
			ctl_fail(call, -ECANCELED, NULL, "nobody listens");
		else
			list_push(&keep, l);
	}
	list_splice(&t->followers, &keep);
}

void ctl_event_list(struct ctl_call *call)
{
	struct tarnd  *t = ctl_arg(call);
	struct hosted *h = ctl_need_pool(call);

	if (h == NULL || answer(call))
		return;
	sweep(t);
	list_push(&t->followers, &call->parked);
}

static void follow(struct tarnd *t)
{
	struct list batch, *l;

	list_init(&batch);
	list_splice(&batch, &t->followers);
	while ((l = list_pop(&batch)) != NULL) {
		struct ctl_call *call = list_entry(l, struct ctl_call, parked);

		if (!answer(call))
			list_push(&t->followers, l);
	}
}

static void follow_work(struct io_work *w)
{
	struct tarnd *t = container_of(w, struct tarnd, follow_work);

	if (t->hosted.state == HOSTED_OPEN)
		follow(t);
}

void event_init(struct tarnd *t)
{
	list_init(&t->followers);
	list_init(&t->job_waiters);
	io_work_init(&t->follow_work, follow_work);
}

void event_closing(struct tarnd *t)
{
	struct pool_info info;
	struct list *l;

	if (t->hosted.vols == NULL)
		return;
	follow(t);
	while ((l = list_pop(&t->followers)) != NULL)
		ctl_fail(list_entry(l, struct ctl_call, parked), -ESHUTDOWN,
			 NULL, "the pool is being closed");
	bgjobs_closing(t);
	/* One that stopped by itself takes nothing more. */
	pool_get_info(t->hosted.pool, &info);
	if (info.health != POOL_FAILED)
		vols_events_flush(t->hosted.vols);
}
