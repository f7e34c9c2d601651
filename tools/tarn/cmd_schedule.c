/* tools/tarn/cmd_schedule.c - tarn snapshot schedule: set, end, show. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/period.h"
#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* --- set and end --------------------------------------------------------- */

static void bad_kind(const struct cli *cli, const char *arg)
{
	out_error(cli, "EINVAL",
		  "'%.80s' is no part of a schedule: write KIND=N, as in "
		  "hourly=24, where KIND is frequent (each 15 minutes), "
		  "hourly, daily, weekly, monthly or yearly and N how many to "
		  "keep; or 'none' alone", arg);
}

/* Into params; false: reported. */
static bool take_kind(const struct cli *cli, const char *arg, json_t *params)
{
	size_t len = strcspn(arg, "=");
	char   word[16] = "", *end;
	unsigned long long n;

	if (len < sizeof(word))
		memcpy(word, arg, len);
	if (arg[len] != '=' || period_of_word(word) == PERIODS) {
		bad_kind(cli, arg);
		return false;
	}
	errno = 0;
	n = strtoull(arg + len + 1, &end, 10);
	if (arg[len + 1] < '0' || arg[len + 1] > '9' || *end != '\0' ||
	    errno != 0 || n == 0 || n > 10000) {
		out_error(cli, "EINVAL",
			  "'%.80s' cannot be: so many %s snapshots are kept, "
			  "from 1 to 10000; leave the kind out for none",
			  arg, word);
		return false;
	}
	if (json_object_get(params, word) != NULL) {
		out_error(cli, "EINVAL", "'%s' is given twice: once is enough",
			  word);
		return false;
	}
	json_object_set_new(params, word, json_integer((json_int_t)n));
	return true;
}

/* What is answered is the volume; takes params. */
static enum cli_exit change(struct cli *cli, const char *method, json_t *params,
			    const char *done, const char *was_so)
{
	enum cli_exit r;
	json_t *result = rpc_call(cli, method, params, &r);

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	cmd_print_done(cli, "volume", result,
		       js_bool(result, "already") ? was_so : done);
	json_decref(result);
	return CLI_OK;
}

static enum cli_exit set(struct cli *cli)
{
	json_t *params = json_pack("{s:s}", "name", cli->args[0]);

	for (unsigned i = 1; i < cli->nargs; i++)
		if (!take_kind(cli, cli->args[i], params)) {
			json_decref(params);
			return CLI_USAGE;
		}
	return change(cli, "schedule.set", params, "has a new schedule",
		      "has that schedule already");
}

static enum cli_exit clear(struct cli *cli)
{
	return change(cli, "schedule.clear",
		      json_pack("{s:s}", "name", cli->args[0]),
		      "has no schedule any more, its snapshots stay",
		      "has no schedule already");
}

/* --- show ---------------------------------------------------------------- */

static void volume_rows(struct table *t, json_t *schedule)
{
	json_t *kind;
	size_t  i;

	json_array_foreach(json_object_get(schedule, "kinds"), i, kind) {
		const char *newest = js_string(kind, "newest");
		char keep[24], taken[24], next[CMD_DATE_BYTES];
		const char *row[] = {
			js_string(schedule, "volume"),
			js_string(kind, "kind"),
			cmd_count(kind, "keep", keep),
			cmd_count(kind, "taken", taken),
			newest[0] != '\0' ? newest : "-",
			cmd_date(kind, "next_s", next),
		};

		table_row(t, row);
	}
}

static void print_none(const struct cli *cli)
{
	char name[1100];

	if (cli->nargs == 0) {
		fprintf(stderr, "tarn: no volume has a schedule: give it one "
				"with 'tarn snapshot schedule VOL hourly=24 "
				"daily=7'\n");
		return;
	}
	text_escape(cli->args[0], name, sizeof(name));
	fprintf(stderr, "tarn: volume '%s' has no schedule: give it one with "
			"'tarn snapshot schedule %s hourly=24 daily=7'\n", name,
		name);
}

/* All pages; NULL: reported. */
static json_t *fetch(struct cli *cli, enum cli_exit *ret_exit)
{
	json_t *all = json_array(), *page, *items;
	char   *after = NULL;

	for (;;) {
		json_t *params = json_pack("{s:s*, s:s*}", "after", after,
					   "volume", cli->nargs > 0 ?
						   cli->args[0] : NULL);
		bool more;

		free(after);
		page = rpc_call(cli, "schedule.list", params, ret_exit);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		items = json_object_get(page, "schedules");
		more = js_bool(page, "more") && json_array_size(items) > 0;
		json_array_extend(all, items);
		if (!more)
			break;
		after = strdup(js_string(
			json_array_get(items, json_array_size(items) - 1),
			"volume"));
		json_decref(page);
	}
	json_object_set_new(page, "schedules", all);
	json_object_del(page, "more");
	return page;
}

static enum cli_exit show(struct cli *cli)
{
	static const char *const heads[] = { "VOLUME", "KIND", "-KEEP",
					     "-TAKEN", "NEWEST", "NEXT" };
	enum cli_exit r;
	json_t      *result = fetch(cli, &r), *s;
	char         problem[2200];
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "schedules"), i, s)
		volume_rows(&t, s);
	if (t.nrows > 0 || cli->bare)
		table_print(&t, cli->bare, "");
	else
		print_none(cli);
	text_escape(js_string(result, "problem"), problem, sizeof(problem));
	if (problem[0] != '\0' && t.nrows > 0)
		fprintf(stderr, "tarn: the last time: %s\n", problem);
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_schedule(struct cli *cli)
{
	if (cli->nargs < 2)
		return show(cli);
	if (cli->nargs == 2 && strcmp(cli->args[1], "none") == 0)
		return clear(cli);
	return set(cli);
}
