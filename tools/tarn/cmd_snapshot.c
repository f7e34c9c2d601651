/* tools/tarn/cmd_snapshot.c - tarn snapshot create, list, show, rollback,
 * rename, hold, release.
 */
#include <stdio.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* --- create: snapshots and checkpoints ----------------------------------- */

static void print_created(const struct cli *cli, json_t *result,
			  const char *noun, const char *member)
{
	json_t *item;
	size_t  i;

	json_array_foreach(json_object_get(result, member), i, item)
		cmd_print_done(cli, noun, item, "created");
}

enum cli_exit cmd_take(struct cli *cli, const char *method)
{
	enum cli_exit r;
	json_t *names = json_array(), *result;

	for (unsigned k = 0; k < cli->nargs; k++)
		json_array_append_new(names, json_string(cli->args[k]));
	result = rpc_call(cli, method, json_pack("{s:o}", "names", names), &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	print_created(cli, result, "snapshot", "snapshots");
	print_created(cli, result, "checkpoint", "checkpoints");
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_create(struct cli *cli)
{
	return cmd_take(cli, "snapshot.create");
}

/* --- changes ------------------------------------------------------------- */

/* What is answered is the volume. */
enum cli_exit cmd_snapshot_rollback(struct cli *cli)
{
	json_t *params = cmd_name_params(cli), *result;
	char    snapshot[2300], what[2400];
	enum cli_exit r;

	if (cli->given & CLI_OPT_KEEP_AS)
		json_object_set_new(params, "keep_as",
				    json_string(cli->keep_as));
	result = rpc_call(cli, "snapshot.rollback", params, &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	text_escape(cli->args[0], snapshot, sizeof(snapshot));
	snprintf(what, sizeof(what), "%s '%s'%s",
		 js_bool(result, "already") ? "is as in" : "rolled back to",
		 snapshot, js_bool(result, "already") ? " already" : "");
	cmd_print_done(cli, "volume", result, what);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_rename(struct cli *cli)
{
	return cmd_change(cli, "snapshot.rename", cmd_name_params(cli),
			  "renamed", "has that name already");
}

enum cli_exit cmd_snapshot_hold(struct cli *cli)
{
	return cmd_change(cli, "snapshot.hold", cmd_name_params(cli),
			  "held", "is held already");
}

enum cli_exit cmd_snapshot_release(struct cli *cli)
{
	return cmd_change(cli, "snapshot.release", cmd_name_params(cli),
			  "released", "was not held");
}

/* --- list and show ------------------------------------------------------- */

void cmd_none(const struct cli *cli, const char *noun, const char *example)
{
	char name[1100];

	if (cli->nargs == 0) {
		fprintf(stderr, "tarn: there are no %ss: take one with 'tarn "
				"%s create VOL%s'\n", noun, noun, example);
		return;
	}
	text_escape(cli->args[0], name, sizeof(name));
	fprintf(stderr, "tarn: volume '%s' has no %ss: take one with 'tarn %s "
			"create %s%s'\n", name, noun, noun, name, example);
}

/* "-": some of its map cannot be read, or it took too long. */
static const char *used_size(const struct cli *cli, json_t *s, char *ret_text)
{
	if (!json_is_integer(json_object_get(s, "used_bytes")))
		return "-";
	return out_size(cli, s, "used_bytes", ret_text);
}

static const char *yes_no(json_t *s, const char *key)
{
	return js_bool(s, key) ? "yes" : "no";
}

enum cli_exit cmd_snapshot_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "-SIZE", "-REFERENCED",
					     "-USED", "CREATED", "-IN-USE",
					     "-CLONES", "HELD" };
	enum cli_exit r;
	json_t      *result = cmd_fetch_all(cli, "snapshot", "id", &r), *s;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "snapshots"), i, s) {
		char size[SIZE_TEXT_BYTES], referenced[SIZE_TEXT_BYTES];
		char used[SIZE_TEXT_BYTES], created[CMD_DATE_BYTES];
		char clients[24], clones[24];
		const char *row[] = {
			js_string(s, "name"),
			out_size(cli, s, "size_bytes", size),
			out_size(cli, s, "referenced_bytes", referenced),
			used_size(cli, s, used),
			cmd_date(s, "created_s", created),
			cmd_count(s, "clients", clients),
			cmd_count(s, "clones", clones),
			yes_no(s, "held"),
		};

		table_row(&t, row);
	}
	if (t.nrows > 0 || cli->bare)
		table_print(&t, cli->bare, "");
	else
		cmd_none(cli, "snapshot", "@SNAP");
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_show(struct cli *cli)
{
	static const char *const heads[] = { "PROPERTY", "VALUE" };
	enum cli_exit r;
	json_t *params = cmd_name_params(cli), *s;
	struct table t;
	char text[64];

	json_object_set_new(params, "used", json_true());
	s = rpc_call(cli, "snapshot.show", params, &r);
	if (s == NULL)
		return r;
	if (cli->json)
		return out_json(s);
	table_init(&t, heads, ARRAY_LEN(heads));
	cmd_property(&t, "name", js_string(s, "name"));
	cmd_property(&t, "size", out_size(cli, s, "size_bytes", text));
	cmd_property(&t, "referenced",
		     out_size(cli, s, "referenced_bytes", text));
	cmd_property(&t, "used", used_size(cli, s, text));
	cmd_property(&t, "created", cmd_date(s, "created_s", text));
	cmd_property(&t, "in-use", cmd_count(s, "clients", text));
	cmd_property(&t, "clones", cmd_count(s, "clones", text));
	cmd_property(&t, "held", yes_no(s, "held"));
	cmd_property(&t, "uuid", js_string(s, "uuid"));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(s);
	return CLI_OK;
}
