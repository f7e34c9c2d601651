/* tools/tarn/cmd_job.c - tarn job list, show, wait and cancel. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

#define CELL_BYTES 48
/* A job takes as long as it takes. */
#define PATIENCE_S (10ull * 365 * 86400)

/* "37 %" or "-". */
static const char *percent(json_t *job, char *ret)
{
	json_int_t total = js_int(job, "total");

	if (total <= 0)
		snprintf(ret, CELL_BYTES, "-");
	else
		snprintf(ret, CELL_BYTES, "%.0f %%",
			 100.0 * (double)js_int(job, "done") / (double)total);
	return ret;
}

/* "1 h 20 min" or "-". */
static const char *left(json_t *job, char *ret)
{
	json_int_t s = js_int(job, "left_s");

	if (!json_is_integer(json_object_get(job, "left_s")))
		snprintf(ret, CELL_BYTES, "-");
	else if (s >= 3600)
		snprintf(ret, CELL_BYTES, "%jd h %jd min", (intmax_t)s / 3600,
			 (intmax_t)s / 60 % 60);
	else if (s >= 60)
		snprintf(ret, CELL_BYTES, "%jd min", (intmax_t)s / 60);
	else
		snprintf(ret, CELL_BYTES, "%jd s", (intmax_t)s);
	return ret;
}

static void print_jobs(const struct cli *cli, json_t *jobs)
{
	static const char *const heads[] = { "JOB",   "KIND",  "OBJECT",
					     "STATE", "-DONE", "-LEFT", "" };
	struct table t;
	json_t *job;
	size_t  i;

	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(jobs, i, job) {
		char done[CELL_BYTES], time_left[CELL_BYTES];
		const char *row[] = {
			js_string(job, "job"),	  js_string(job, "kind"),
			js_string(job, "object"), js_string(job, "state"),
			percent(job, done),	  left(job, time_left),
			js_string(job, "text"),
		};

		table_row(&t, row);
	}
	table_print(&t, cli->bare, "");
	table_fini(&t);
}

enum cli_exit cmd_job_list(struct cli *cli)
{
	enum cli_exit r;
	json_t *o = rpc_call(cli, "job.list", NULL, &r);

	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	if (json_array_size(json_object_get(o, "jobs")) == 0 && !cli->bare)
		printf("Nothing is under way.\n");
	else
		print_jobs(cli, json_object_get(o, "jobs"));
	json_decref(o);
	return CLI_OK;
}

static json_t *job_call(const struct cli *cli, const char *method, bool wait,
			enum cli_exit *ret_exit)
{
	json_t *params = json_pack("{s:s}", "job", cli->args[0]);

	if (wait)
		json_object_set_new(params, "wait", json_true());
	return rpc_call(cli, method, params, ret_exit);
}

enum cli_exit cmd_job_show(struct cli *cli)
{
	enum cli_exit r;
	json_t *o = job_call(cli, "job.show", false, &r);
	json_t *jobs;

	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	jobs = json_pack("[o]", o);
	print_jobs(cli, jobs);
	json_decref(jobs);
	return CLI_OK;
}

static enum cli_exit print_state(const struct cli *cli, json_t *o,
				 const char *state)
{
	char id[800];

	if (cli->json)
		return out_json(o);
	text_escape(cli->args[0], id, sizeof(id));
	printf("job '%s' %s\n", id, state);
	json_decref(o);
	return CLI_OK;
}

enum cli_exit cmd_job_wait(struct cli *cli)
{
	struct cli patient = *cli;
	enum cli_exit r;
	json_t *o;

	patient.timeout_s = PATIENCE_S;
	o = job_call(&patient, "job.show", true, &r);
	return o == NULL ? r : print_state(cli, o, "has ended");
}

enum cli_exit cmd_job_cancel(struct cli *cli)
{
	enum cli_exit r;
	json_t *o = job_call(cli, "job.cancel", false, &r);

	return o == NULL ? r : print_state(cli, o, "is cancelled");
}
