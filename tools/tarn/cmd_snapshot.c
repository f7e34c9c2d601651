/* tools/tarn/cmd_snapshot.c - tarn snapshot create, list, show, rename, delete.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* "snapshot 'v@s' created, 10.0G". */
static void print_done(const struct cli *cli, json_t *snapshot,
		       const char *what)
{
	char name[2300], size[SIZE_TEXT_BYTES];

	text_escape(js_string(snapshot, "name"), name, sizeof(name));
	printf("snapshot '%s' %s", name, what);
	if (json_object_get(snapshot, "size_bytes") != NULL)
		printf(", %s", out_size(cli, snapshot, "size_bytes", size));
	putchar('\n');
}

enum cli_exit cmd_snapshot_create(struct cli *cli)
{
	enum cli_exit r;
	json_t *names = json_array(), *result, *snapshot;
	size_t  i;

	for (unsigned k = 0; k < cli->nargs; k++)
		json_array_append_new(names, json_string(cli->args[k]));
	result = rpc_call(cli, "snapshot.create",
			  json_pack("{s:o}", "names", names), &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	json_array_foreach(json_object_get(result, "snapshots"), i, snapshot)
		print_done(cli, snapshot, "created");
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_rename(struct cli *cli)
{
	enum cli_exit r;
	json_t *result;

	result = rpc_call(cli, "snapshot.rename",
			  json_pack("{s:s, s:s}", "name", cli->args[0],
				    "new_name", cli->args[1]),
			  &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	print_done(cli, result,
		   js_bool(result, "already") ? "has that name already"
					      : "renamed");
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_delete(struct cli *cli)
{
	enum cli_exit r;
	json_t *result;

	result = rpc_call(cli, "snapshot.delete",
			  json_pack("{s:s, s:b}", "name", cli->args[0],
				    "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	print_done(cli, result, "deleted");
	json_decref(result);
	return CLI_OK;
}

/* --- list and show ------------------------------------------------------- */

/* All snapshots, page after page; NULL: reported. */
static json_t *fetch_all(const struct cli *cli, enum cli_exit *ret_exit)
{
	json_t    *all = json_array();
	json_int_t after = 0;
	bool       more = true;

	while (more) {
		json_t *params, *page, *snapshots;
		size_t  n;

		params = json_pack("{s:I}", "after", after);
		if (cli->nargs > 0)
			json_object_set_new(params, "volume",
					    json_string(cli->args[0]));
		page = rpc_call(cli, "snapshot.list", params, ret_exit);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		snapshots = json_object_get(page, "snapshots");
		n = json_array_size(snapshots);
		json_array_extend(all, snapshots);
		more = js_bool(page, "more") && n > 0;
		if (n > 0)
			after = js_int(json_array_get(snapshots, n - 1), "id");
		json_decref(page);
	}
	return json_pack("{s:o}", "snapshots", all);
}

static void none(const struct cli *cli)
{
	char name[1100];

	if (cli->nargs == 0) {
		fprintf(stderr, "tarn: there are no snapshots: take one with "
				"'tarn snapshot create VOL@SNAP'\n");
		return;
	}
	text_escape(cli->args[0], name, sizeof(name));
	fprintf(stderr, "tarn: volume '%s' has no snapshots: take one with "
			"'tarn snapshot create %s@SNAP'\n", name, name);
}

enum cli_exit cmd_snapshot_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "-SIZE", "-REFERENCED",
					     "CREATED", "-IN-USE" };
	enum cli_exit r;
	json_t      *result = fetch_all(cli, &r), *s;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "snapshots"), i, s) {
		char size[SIZE_TEXT_BYTES], referenced[SIZE_TEXT_BYTES];
		char clients[24], created[CMD_DATE_BYTES];
		const char *row[] = {
			js_string(s, "name"),
			out_size(cli, s, "size_bytes", size),
			out_size(cli, s, "referenced_bytes", referenced),
			cmd_date(s, "created_s", created),
			cmd_count(s, "clients", clients),
		};

		table_row(&t, row);
	}
	if (t.nrows > 0 || cli->bare)
		table_print(&t, cli->bare, "");
	else
		none(cli);
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_snapshot_show(struct cli *cli)
{
	static const char *const heads[] = { "PROPERTY", "VALUE" };
	enum cli_exit r;
	json_t *s = rpc_call(cli, "snapshot.show",
			     json_pack("{s:s}", "name", cli->args[0]), &r);
	struct table t;
	char text[64];

	if (s == NULL)
		return r;
	if (cli->json)
		return out_json(s);
	table_init(&t, heads, ARRAY_LEN(heads));
	cmd_property(&t, "name", js_string(s, "name"));
	cmd_property(&t, "size", out_size(cli, s, "size_bytes", text));
	cmd_property(&t, "referenced",
		     out_size(cli, s, "referenced_bytes", text));
	cmd_property(&t, "created", cmd_date(s, "created_s", text));
	cmd_property(&t, "in-use", cmd_count(s, "clients", text));
	cmd_property(&t, "uuid", js_string(s, "uuid"));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(s);
	return CLI_OK;
}
