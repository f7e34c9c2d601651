/* tools/tarn/cmd_alarm.c - tarn alarm list, tarn alarm mute; alarms in status.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

static void print_alarm(json_t *a)
{
	char severity[16], object[800], text[1700], date[CMD_DATE_BYTES];
	const char *risk = js_string(a, "risk");
	const char *action = js_string(a, "action");
	bool muted = json_is_integer(json_object_get(a, "muted_until_s"));

	text_escape(js_string(a, "object"), object, sizeof(object));
	text_escape(js_string(a, "text"), text, sizeof(text));
	printf("%-11s  %s %s%s%s\n             %s\n",
	       cmd_upper(js_string(a, "severity"), severity, sizeof(severity)),
	       js_string(a, "alarm"), object, muted ? "  muted until " : "",
	       muted ? cmd_date(a, "muted_until_s", date) : "", text);
	if (risk[0] != '\0') {
		text_escape(risk, text, sizeof(text));
		printf("             risk: %s\n", text);
	}
	if (action[0] != '\0') {
		text_escape(action, text, sizeof(text));
		printf("             what to do: %s\n", text);
	}
}

void cmd_print_alarms(json_t *o)
{
	json_t *a;
	size_t  i;

	json_array_foreach(json_object_get(o, "alarms"), i, a)
		print_alarm(a);
	if (js_int(o, "alarms_more") > 0)
		printf("… and %jd more\n", (intmax_t)js_int(o, "alarms_more"));
}

enum cli_exit cmd_alarm_list(struct cli *cli)
{
	enum cli_exit r;
	json_t *o = rpc_call(cli, "alarm.list", NULL, &r);

	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	if (json_array_size(json_object_get(o, "alarms")) == 0 && !cli->bare)
		printf("There is no alarm.\n");
	cmd_print_alarms(o);
	json_decref(o);
	return CLI_OK;
}

static void print_muted(json_t *o)
{
	char object[800], date[CMD_DATE_BYTES];
	bool one = json_is_string(json_object_get(o, "object"));

	text_escape(js_string(o, "object"), object, sizeof(object));
	printf("alarm '%s'%s%s%s is ", js_string(o, "alarm"),
	       one ? " of '" : "", object, one ? "'" : "");
	if (json_is_integer(json_object_get(o, "muted_until_s")))
		printf("muted until %s%s\n", cmd_date(o, "muted_until_s", date),
		       js_bool(o, "holds") ? "" : "; it does not hold now");
	else
		printf("not muted%s\n", js_bool(o, "already") ? "" :
							      " any more");
}

enum cli_exit cmd_alarm_mute(struct cli *cli)
{
	uint64_t seconds;
	enum cli_exit r;
	json_t *o;

	if (cli->span == NULL || span_parse(cli->span, &seconds) < 0) {
		out_error(cli, "EINVAL", "--for: say for how long, as in 30m, "
					 "4h or 7d; 0 ends it");
		return CLI_USAGE;
	}
	o = json_pack("{s:s, s:I}", "alarm", cli->args[0], "seconds",
		      (json_int_t)seconds);
	if (cli->nargs > 1)
		json_object_set_new(o, "object", json_string(cli->args[1]));
	o = rpc_call(cli, "alarm.mute", o, &r);
	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	print_muted(o);
	json_decref(o);
	return CLI_OK;
}

int cmd_severity_exit(json_t *status)
{
	const char *severity = js_string(status, "severity");

	if (strcmp(js_string(status, "state"), "none") == 0)
		return 3;
	if (strcmp(severity, "critical") == 0)
		return 2;
	return strcmp(severity, "warning") == 0 ? 1 : 0;
}
