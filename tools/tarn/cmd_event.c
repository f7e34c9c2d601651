/* tools/tarn/cmd_event.c - tarn events: what happened.
 *
 * Following is a call that the server answers when there is something new; with
 * --json every event is a line of its own then.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* The server answers when something happens, whenever that is. */
#define PATIENCE_S (10ull * 365 * 86400)

static void print_event(json_t *e)
{
	char date[CMD_DATE_BYTES], first[CMD_DATE_BYTES], severity[16];
	char object[800], text[1000], times[80] = "";
	const char *action = js_string(e, "action");

	text_escape(js_string(e, "object"), object, sizeof(object));
	text_escape(js_string(e, "text"), text, sizeof(text));
	if (js_int(e, "count") > 1)
		snprintf(times, sizeof(times), " (%jd times since %s)",
			 (intmax_t)js_int(e, "count"),
			 cmd_date(e, "first_s", first));
	printf("%s  %-11s  %s%s%s%s%s%s\n", cmd_date(e, "last_s", date),
	       cmd_upper(js_string(e, "severity"), severity, sizeof(severity)),
	       js_string(e, "event"), object[0] != '\0' ? " " : "", object,
	       text[0] != '\0' ? ": " : "", text, times);
	if (action[0] != '\0')
		printf("                       what to do: %s\n", action);
}

static void print_events(const struct cli *cli, json_t *r)
{
	json_t *e;
	size_t  i;

	json_array_foreach(json_object_get(r, "events"), i, e) {
		if (!cli->json)
			print_event(e);
		else if (json_dumpf(e, stdout, JSON_COMPACT) == 0)
			putchar('\n');
	}
	fflush(stdout);
}

static enum cli_exit follow(const struct cli *cli, uint64_t since_s)
{
	struct cli patient = *cli;
	json_int_t after = 0;
	enum cli_exit r;

	for (;;) {
		json_t *result = rpc_call(
			&patient, "event.list",
			json_pack("{s:I, s:I, s:b}", "after", after, "since",
				  (json_int_t)since_s, "wait", after != 0),
			&r);

		if (result == NULL)
			return r;
		print_events(cli, result);
		after = js_int(result, "next");
		json_decref(result);
		/* Nothing ever happened: still wait for it. */
		after = after == 0 ? 1 : after;
		since_s = 0;
		patient.timeout_s = PATIENCE_S;
		if (ferror(stdout))
			return CLI_FAILED;
	}
}

enum cli_exit cmd_events(struct cli *cli)
{
	uint64_t since_s = 0;
	enum cli_exit r;
	json_t *result;

	if (cli->since != NULL &&
	    when_parse(cli->since, (uint64_t)time(NULL), &since_s) < 0) {
		out_error(cli, "EINVAL",
			  "--since: '%.80s' is neither a span of time, as in "
			  "30m, 2h or 7d, nor a date, as in 2026-01-31 or "
			  "'2026-01-31 18:00' (UTC)", cli->since);
		return CLI_USAGE;
	}
	if (cli->given & CLI_OPT_FOLLOW)
		return follow(cli, since_s);
	result = rpc_call(cli, "event.list",
			  json_pack("{s:I}", "since", (json_int_t)since_s), &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	print_events(cli, result);
	json_decref(result);
	return CLI_OK;
}
