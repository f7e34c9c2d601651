/* tools/tarn/cmd_receive_list.c - tarn receive --list and --abort: what is
 * being received, or was left of it.
 */
#include <stdio.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"
#include "tools/tarn/sink.h"

/* A receiver is at work on it, or it waits for the rest. */
static const char *state_of(json_t *x)
{
	return js_int(x, "clients") > 0 ? "receiving" : "waiting";
}

/* Those that wait get a `token`, if there is one. */
static void tokens_add(const struct cli *cli, json_t *receives)
{
	char    token[STREAM_TOKEN_BYTES];
	json_t *x;
	size_t  i;

	json_array_foreach(receives, i, x)
		if (js_int(x, "clients") == 0 &&
		    sink_volume_token(cli, js_string(x, "export"), token))
			json_object_set_new(x, "token", json_string(token));
}

/* What to say to the sender. */
static void tokens_print(json_t *receives)
{
	json_t *x;
	size_t  i;
	char    name[1100];

	json_array_foreach(receives, i, x) {
		if (js_string(x, "token")[0] == '\0')
			continue;
		text_escape(js_string(x, "volume"), name, sizeof(name));
		printf("\nto go on with '%s', send the rest with --resume "
		       "'%s'\n", name, js_string(x, "token"));
	}
}

enum cli_exit cmd_receive_list(struct cli *cli)
{
	static const char *const heads[] = { "VOLUME", "BASE",  "-SIZE",
					     "-USED",  "SINCE", "STATE",
					     "EXPORT" };
	enum cli_exit r;
	json_t      *result = rpc_call(cli, "receive.list", NULL, &r), *x;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	tokens_add(cli, json_object_get(result, "receives"));
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "receives"), i, x) {
		char size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
		char since[CMD_DATE_BYTES];
		const char *base = js_string(x, "base");
		const char *row[] = {
			js_string(x, "volume"),
			base[0] != '\0' ? base : "-",
			out_size(cli, x, "size_bytes", size),
			out_size(cli, x, "used_bytes", used),
			cmd_date(x, "since_s", since),
			state_of(x),
			js_string(x, "export"),
		};

		table_row(&t, row);
	}
	table_end(&t, cli->bare, "nothing is being received");
	if (!cli->bare)
		tokens_print(json_object_get(result, "receives"));
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_receive_abort(struct cli *cli)
{
	enum cli_exit r;
	json_t *result = rpc_call(
		cli, "receive.abort",
		json_pack("{s:s, s:b}", "export", cli->args[0], "force",
			  (cli->given & CLI_OPT_FORCE) != 0), &r);
	char    name[1100];

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	text_escape(js_string(result, "export"), name, sizeof(name));
	printf("'%s' deleted\n", name);
	json_decref(result);
	return CLI_OK;
}
