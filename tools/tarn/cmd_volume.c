/* tools/tarn/cmd_volume.c - tarn volume create, list, show, resize, rename,
 * delete.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* A size as typed; false after having reported. */
static bool take_size(const struct cli *cli, const char *text,
		      uint64_t *ret_bytes)
{
	int r = size_parse(text, ret_bytes);

	if (r == -ERANGE)
		out_error(cli, "ERANGE", "size '%.40s' is too large: a volume "
					 "has at most 128T", text);
	else if (r < 0)
		out_error(cli, "EINVAL",
			  "'%.40s' is not a size: give bytes, or a number "
			  "with K, M, G or T, as in 10G", text);
	return r == 0;
}

/* Print what was done to a volume; takes result. */
static enum cli_exit report(const struct cli *cli, json_t *result,
			    const char *done, const char *was_so)
{
	char name[1100], size[SIZE_TEXT_BYTES];

	out_warnings(result);
	if (cli->json)
		return out_json(result);
	text_escape(js_string(result, "name"), name, sizeof(name));
	printf("volume '%s' %s", name,
	       js_bool(result, "already") ? was_so : done);
	if (json_object_get(result, "size_bytes") != NULL)
		printf(", %s", out_size(cli, result, "size_bytes", size));
	putchar('\n');
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_volume_create(struct cli *cli)
{
	enum cli_exit r;
	uint64_t bytes;
	json_t  *result;

	if (!take_size(cli, cli->args[1], &bytes))
		return CLI_USAGE;
	result = rpc_call(cli, "volume.create",
			  json_pack("{s:s, s:I}", "name", cli->args[0], "size",
				    (json_int_t)bytes),
			  &r);
	return result == NULL ? r
			      : report(cli, result, "created",
				       "exists already");
}

enum cli_exit cmd_volume_resize(struct cli *cli)
{
	enum cli_exit r;
	uint64_t bytes;
	json_t  *result;

	if (!take_size(cli, cli->args[1], &bytes))
		return CLI_USAGE;
	result = rpc_call(cli, "volume.resize",
			  json_pack("{s:s, s:I, s:b}", "name", cli->args[0],
				    "size", (json_int_t)bytes, "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	return result == NULL ? r
			      : report(cli, result, "resized",
				       "has that size already");
}

enum cli_exit cmd_volume_rename(struct cli *cli)
{
	enum cli_exit r;
	json_t *result;

	result = rpc_call(cli, "volume.rename",
			  json_pack("{s:s, s:s}", "name", cli->args[0],
				    "new_name", cli->args[1]),
			  &r);
	return result == NULL ? r
			      : report(cli, result, "renamed",
				       "has that name already");
}

enum cli_exit cmd_volume_delete(struct cli *cli)
{
	enum cli_exit r;
	json_t *result;

	result = rpc_call(cli, "volume.delete",
			  json_pack("{s:s, s:b}", "name", cli->args[0],
				    "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	return result == NULL ? r : report(cli, result, "deleted", "was gone");
}

/* --- list and show ------------------------------------------------------- */

/* All volumes, page after page; NULL: reported. */
static json_t *fetch_all(const struct cli *cli, enum cli_exit *ret_exit)
{
	json_t *all = json_array();
	char    after[4096] = "";
	bool    more = true;

	while (more) {
		json_t *page, *volumes;
		size_t  n;

		page = rpc_call(cli, "volume.list",
				after[0] == '\0'
					? NULL
					: json_pack("{s:s}", "after", after),
				ret_exit);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		volumes = json_object_get(page, "volumes");
		n = json_array_size(volumes);
		json_array_extend(all, volumes);
		more = js_bool(page, "more") && n > 0;
		if (n > 0)
			snprintf(after, sizeof(after), "%s",
				 js_string(json_array_get(volumes, n - 1),
					   "name"));
		json_decref(page);
	}
	return json_pack("{s:o}", "volumes", all);
}

enum cli_exit cmd_volume_list(struct cli *cli)
{
	static const char *const heads[] = {
		"NAME", "-SIZE", "-USED", "-CLIENTS", "-SNAPSHOTS", "CREATED"
	};
	enum cli_exit r;
	json_t      *result = fetch_all(cli, &r), *volumes;
	struct table t;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	volumes = json_object_get(result, "volumes");
	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < json_array_size(volumes); i++) {
		json_t *v = json_array_get(volumes, i);
		char    size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
		char    clients[24], snapshots[24], created[CMD_DATE_BYTES];
		const char *row[] = {
			js_string(v, "name"),
			out_size(cli, v, "size_bytes", size),
			out_size(cli, v, "used_bytes", used),
			cmd_count(v, "clients", clients),
			cmd_count(v, "snapshots", snapshots),
			cmd_date(v, "created_s", created),
		};

		table_row(&t, row);
	}
	if (t.nrows > 0 || cli->bare)
		table_print(&t, cli->bare, "");
	else
		fprintf(stderr, "tarn: there are no volumes: make one with "
				"'tarn volume create NAME SIZE'\n");
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_volume_show(struct cli *cli)
{
	static const char *const heads[] = { "PROPERTY", "VALUE" };
	enum cli_exit r;
	json_t *v = rpc_call(cli, "volume.show",
			     json_pack("{s:s}", "name", cli->args[0]), &r);
	struct table t;
	char text[64];

	if (v == NULL)
		return r;
	if (cli->json)
		return out_json(v);
	table_init(&t, heads, ARRAY_LEN(heads));
	cmd_property(&t, "name", js_string(v, "name"));
	cmd_property(&t, "size", out_size(cli, v, "size_bytes", text));
	cmd_property(&t, "used", out_size(cli, v, "used_bytes", text));
	cmd_property(&t, "clients", cmd_count(v, "clients", text));
	cmd_property(&t, "snapshots", cmd_count(v, "snapshots", text));
	cmd_property(&t, "read-only", js_bool(v, "read_only") ? "yes" : "no");
	cmd_property(&t, "created", cmd_date(v, "created_s", text));
	cmd_property(&t, "uuid", js_string(v, "uuid"));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(v);
	return CLI_OK;
}
