/* server/tarnd_close.c - the end of a pool's service.
 *
 *	NBD drained --> control calls inside the volumes ended -->
 *	pool_close() --> objects freed --> next()
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "server/event.h"
#include "server/tarnd.h"

static void pool_closed(struct pool_op *op)
{
	struct job   *job = container_of(op, struct job, op);
	struct tarnd *t = job->t;

	if (op->res < 0 && job->res == 0) {
		job->res = op->res;
		snprintf(job->error, sizeof(job->error), "%s", op->error);
	}
	hosted_unmake(t);
	job->next(job);
}

/* Goes on when nothing is in the way any more. */
void hosted_end_step(struct tarnd *t)
{
	struct job *job = t->ending;

	if (job == NULL || t->nbd_closing || t->hosted.vol_calls > 0)
		return;
	t->ending = NULL;
	if (t->hosted.pool == NULL) {
		job->next(job);
		return;
	}
	job->op.done = pool_closed;
	event_closing(t);
	pool_close(t->hosted.pool, &job->op);
}

void hosted_end(struct job *job, uint64_t drain_ns,
		void (*next)(struct job *job))
{
	struct tarnd *t = job->t;

	assert(t->ending == NULL);
	io_timer_cancel(t->io, &t->hosted.retry);
	event_say(t, EVENT_INFO, "pool.closed", t->hosted.name, 0, 0,
		  t->stopping ? "the server was stopped" : "exported");
	if (t->hosted.state == HOSTED_OPEN)
		vols_trash_stop(t->hosted.vols);
	schedule_stop(&t->schedule);
	if (t->hosted.pool != NULL)
		t->hosted.state = HOSTED_CLOSING;
	job->next = next;
	t->ending = job;
	tarnd_nbd_stop(t, drain_ns);
	hosted_end_step(t);
}

/* --- export -------------------------------------------------------------- */

static void export_ended(struct job *job)
{
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;
	json_t        *uuid = json_object_get(job->result, "uuid");

	if (job->res < 0) {
		tarnd_log(t, "pool '%s' could not be closed cleanly: %s",
			  h->name, job->error);
	} else {
		tarnd_log(t, "pool '%s' is exported", h->name);
		memcpy(h->exported, h->name, sizeof(h->exported));
		snprintf(h->exported_uuid, sizeof(h->exported_uuid), "%s",
			 json_string_value(uuid));
	}
	h->wanted = false;
	hosted_none(t);
	tarnd_nbd_restart(t);
	job_end(job);
}

static unsigned attached_clients(const struct hosted *h)
{
	unsigned n = 0;

	for (struct volume *v = vols_next(h->vols, NULL); v != NULL;
	     v = vols_next(h->vols, v)) {
		struct volume_info info;

		vol_info(v, &info);
		n += info.users;
	}
	return n;
}

static bool name_matches(const struct hosted *h, const char *name)
{
	struct pool_info info;
	char text[UUID_TEXT_BYTES];

	if (name[0] == '\0' || strcmp(name, h->name) == 0)
		return true;
	if (h->state != HOSTED_OPEN)
		return false;
	pool_get_info(h->pool, &info);
	return strcasecmp(name, uuid_text(&info.uuid, text)) == 0;
}

/* Exporting what was never open ends the search for it. */
static void export_closed(struct job *job)
{
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;
	char name[POOL_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%s", h->name);
	io_timer_cancel(t->io, &h->retry);
	h->wanted = false;
	h->failed = false;
	hosted_none(t);
	job->result = json_pack("{s:o, s:b}", "name",
				ctl_text(name[0] != '\0' ? name : "?"),
				"already", true);
	job_end(job);
}

/* There is none: is that because it was exported before? */
static void export_again(struct job *job)
{
	const struct hosted *h = &job->t->hosted;

	if (h->exported[0] == '\0' ||
	    (job->name[0] != '\0' && strcmp(job->name, h->exported) != 0 &&
	     strcasecmp(job->name, h->exported_uuid) != 0)) {
		job_fail(job, -ENODEV, "no pool is open, so there is none to "
				       "export");
		return;
	}
	job->result = json_pack("{s:o, s:s, s:b}", "name",
				ctl_text(h->exported), "uuid",
				h->exported_uuid, "already", true);
	job_end(job);
}

void job_export_run(struct job *job)
{
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;
	unsigned       clients;
	char           why[TARND_ERROR_BYTES];

	if (h->state == HOSTED_NONE) {
		export_again(job);
		return;
	}
	if (!name_matches(h, job->name)) {
		job_fail(job, -ENOENT, "pool '%s' is not open here: this "
				       "server has pool '%s'",
			 job->name, h->name);
		return;
	}
	if (h->state != HOSTED_OPEN) {
		hosted_why_not(t, why, sizeof(why));
		tarnd_log(t, "export: %s", why);
		export_closed(job);
		return;
	}
	clients = attached_clients(h);
	if (clients > 0 && !job->force) {
		job_fail(job, -EBUSY,
			 "pool '%s' is in use by %u client connection%s: "
			 "disconnect, or use --force to cut them off",
			 h->name, clients, clients == 1 ? "" : "s");
		return;
	}
	job->result = hosted_brief(t, false);
	hosted_end(job, t->cfg->drain_s * NS_PER_S, export_ended);
}

/* --- stop ---------------------------------------------------------------- */

static void stop_ended(struct job *job)
{
	struct tarnd *t = job->t;

	if (job->res < 0) {
		tarnd_log(t, "pool '%s' could not be closed cleanly: %s",
			  t->hosted.name, job->error);
		t->exit_code = 1;
	}
	t->hosted.wanted = false;
	hosted_none(t);
	job_end(job);
}

void job_stop_run(struct job *job)
{
	hosted_end(job, job->t->cfg->drain_s * NS_PER_S, stop_ended);
}
