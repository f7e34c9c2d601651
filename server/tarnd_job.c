/* server/tarnd_job.c - what is done to the pool, one job at a time. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

struct job *job_new(struct tarnd *t, enum job_kind kind, struct ctl_call *call)
{
	static void (*const runs[])(struct job *job) = {
		[JOB_OPEN] = job_open_run,     [JOB_CREATE] = job_create_run,
		[JOB_EXPORT] = job_export_run, [JOB_WATCH] = job_watch_run,
		[JOB_DISK_ADD] = job_disk_add_run,
		[JOB_DISK_RESCAN] = job_disk_rescan_run,
		[JOB_FAIL] = job_fail_run,     [JOB_STOP] = job_stop_run,
	};
	struct job *job = NULL;

	if (call == NULL || t->njobs < TARND_JOBS_MAX)
		job = calloc(1, sizeof(*job));
	if (job == NULL) {
		if (call != NULL)
			ctl_fail(call, -EBUSY, NULL,
				 "too many pool commands are waiting: try "
				 "again later");
		return NULL;
	}
	job->t = t;
	job->kind = (uint8_t)kind;
	job->call = call;
	job->run = runs[kind];
	list_init(&job->link);
	return job;
}

int job_set_places(struct job *job, char **places, unsigned nplaces,
		   json_t *more)
{
	size_t n = nplaces + json_array_size(more);

	if (n == 0)
		return 0;
	job->places = calloc(n, sizeof(job->places[0]));
	if (job->places == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *p =
			i < nplaces ? places[i]
				    : json_string_value(json_array_get(
					      more, i - nplaces));

		job->places[i] = strdup(p);
		if (job->places[i] == NULL)
			return -ENOMEM;
		job->nplaces++;
	}
	return 0;
}

static void job_free(struct job *job)
{
	for (unsigned i = 0; i < job->nplaces; i++)
		free(job->places[i]);
	free(job->places);
	inventory_free(job->inv);
	connect_fini(&job->set);
	free(job->disks);
	json_decref(job->warnings);
	free(job);
}

void job_drop(struct job *job)
{
	ctl_fail(job->call, -ENOMEM, NULL, "the server is out of memory");
	job_free(job);
}

static void start_first(struct io_work *w)
{
	struct tarnd *t = container_of(w, struct tarnd, job_work);
	struct job   *job;

	if (t->job_running || list_empty(&t->jobs))
		return;
	t->job_running = true;
	job = list_first(&t->jobs, struct job, link);
	if (t->stopping && job->kind != JOB_FAIL && job->kind != JOB_STOP) {
		job_fail(job, -ESHUTDOWN, "the server is stopping");
		return;
	}
	job->run(job);
}

void jobs_init(struct tarnd *t)
{
	list_init(&t->jobs);
	io_work_init(&t->job_work, start_first);
}

void job_submit(struct job *job)
{
	struct tarnd *t = job->t;

	list_push(&t->jobs, &job->link);
	t->njobs++;
	io_defer(t->io, &t->job_work);
}

static void answer(struct job *job)
{
	struct ctl_call *call = job->call;
	const char      *object = job->name[0] != '\0' ? job->name : NULL;

	if (call == NULL) {
		json_decref(job->result);
		return;
	}
	if (job->res < 0) {
		json_decref(job->result);
		ctl_fail(call, job->res, object, "%s", job->error);
		return;
	}
	if (job->result == NULL)
		job->result = json_object();
	if (job->warnings != NULL)
		json_object_set(job->result, "warnings", job->warnings);
	ctl_reply(call, job->result);
}

void job_end(struct job *job)
{
	struct tarnd *t = job->t;

	assert(t->job_running);
	answer(job);
	list_remove(&job->link);
	job_free(job);
	t->njobs--;
	t->job_running = false;
	if (!list_empty(&t->jobs))
		io_defer(t->io, &t->job_work);
	else
		control_unpark(t);
	tarnd_check_stopped(t);
}

void job_fail(struct job *job, int err, const char *fmt, ...)
{
	va_list ap;

	assert(err < 0);
	job->res = err;
	va_start(ap, fmt);
	vsnprintf(job->error, sizeof(job->error), fmt, ap);
	va_end(ap);
	job_end(job);
}

void job_warn(struct job *job, const char *fmt, ...)
{
	char    line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	tarnd_log(job->t, "%s", line);
	if (job->warnings == NULL)
		job->warnings = json_array();
	if (job->warnings != NULL)
		json_array_append_new(job->warnings, ctl_text(line));
}
