/* tools/tarn/cmd_change.c - what the commands about volumes, snapshots and
 * checkpoints share: calls that change one, and lists that come in pages.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

void cmd_print_done(const struct cli *cli, const char *noun, json_t *object,
		    const char *what)
{
	char name[2300], size[SIZE_TEXT_BYTES];

	text_escape(js_string(object, "name"), name, sizeof(name));
	printf("%s '%s' %s", noun, name, what);
	if (json_object_get(object, "size_bytes") != NULL)
		printf(", %s", out_size(cli, object, "size_bytes", size));
	putchar('\n');
}

enum cli_exit cmd_change(struct cli *cli, const char *method, json_t *params,
			 const char *done, const char *was_so)
{
	enum cli_exit r;
	json_t *result = rpc_call(cli, method, params, &r);
	char    noun[16];

	if (result == NULL)
		return r;
	out_warnings(result);
	if (cli->json)
		return out_json(result);
	snprintf(noun, sizeof(noun), "%.*s", (int)strcspn(method, "."),
		 method);
	cmd_print_done(cli, noun, result,
		       js_bool(result, "already") ? was_so : done);
	json_decref(result);
	return CLI_OK;
}

json_t *cmd_name_params(const struct cli *cli)
{
	json_t *params = json_pack("{s:s}", "name", cli->args[0]);

	if (cli->nargs > 1)
		json_object_set_new(params, "new_name",
				    json_string(cli->args[1]));
	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	return params;
}

/* Counting what each snapshot alone has takes time: then that of the rest is
 * not asked for. */
#define USED_S 30

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* What was not asked for is not known. */
static void used_unknown(json_t *items)
{
	json_t *s;
	size_t  i;

	json_array_foreach(items, i, s)
		if (json_object_get(s, "used_bytes") == NULL)
			json_object_set_new(s, "used_bytes", json_null());
}

static json_t *fetch(const struct cli *cli, const char *noun,
		     const char *cursor, bool used, enum cli_exit *ret_exit)
{
	json_t *all = json_array(), *after = NULL;
	time_t  begun = now_s();
	char    method[32], member[32];
	bool    more = true;

	snprintf(method, sizeof(method), "%s.list", noun);
	snprintf(member, sizeof(member), "%ss", noun);
	while (more) {
		json_t *params, *page, *items;
		size_t  n;

		params = json_pack("{s:o*}", "after", after);
		if (cli->nargs > 0)
			json_object_set_new(params, "volume",
					    json_string(cli->args[0]));
		if (used && now_s() - begun < USED_S)
			json_object_set_new(params, "used", json_true());
		page = rpc_call(cli, method, params, ret_exit);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		items = json_object_get(page, member);
		n = json_array_size(items);
		if (used)
			used_unknown(items);
		json_array_extend(all, items);
		more = js_bool(page, "more") && n > 0;
		after = n == 0 ? NULL
			       : json_object_get(json_array_get(items, n - 1),
						 cursor);
		after = more ? json_incref(after) : NULL;
		json_decref(page);
	}
	return json_pack("{s:o}", member, all);
}

json_t *cmd_fetch_all(const struct cli *cli, const char *noun,
		      const char *cursor, enum cli_exit *ret_exit)
{
	return fetch(cli, noun, cursor, strcmp(noun, "snapshot") == 0,
		     ret_exit);
}

json_t *cmd_fetch_names(const struct cli *cli, enum cli_exit *ret_exit)
{
	return fetch(cli, "snapshot", "id", false, ret_exit);
}
