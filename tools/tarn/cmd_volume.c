/* tools/tarn/cmd_volume.c - tarn volume create, set, list, clone, show,
 * resize, rename.
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

static json_t *size_params(const struct cli *cli, uint64_t bytes)
{
	json_t *params = json_pack("{s:s, s:I}", "name", cli->args[0], "size",
				   (json_int_t)bytes);

	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	return params;
}

/* --reserve and --when-full; false after having reported. */
static bool add_props(const struct cli *cli, json_t *params)
{
	char     text[32];
	uint64_t bytes;

	if (cli->given & CLI_OPT_WHEN_FULL)
		json_object_set_new(params, "when_full",
				    json_string(cli->when_full));
	if ((cli->given & CLI_OPT_RESERVE) == 0)
		return true;
	if (strcmp(cli->reserve, "full") == 0 ||
	    strcmp(cli->reserve, "none") == 0) {
		json_object_set_new(params, "reserve",
				    json_string(cli->reserve));
		return true;
	}
	if (!take_size(cli, cli->reserve, &bytes))
		return false;
	snprintf(text, sizeof(text), "%ju", (uintmax_t)bytes);
	json_object_set_new(params, "reserve", json_string(text));
	return true;
}

enum cli_exit cmd_volume_create(struct cli *cli)
{
	uint64_t bytes;
	json_t  *params;

	if (!take_size(cli, cli->args[1], &bytes))
		return CLI_USAGE;
	params = size_params(cli, bytes);
	if (!add_props(cli, params)) {
		json_decref(params);
		return CLI_USAGE;
	}
	return cmd_change(cli, "volume.create", params, "created",
			  "exists already");
}

enum cli_exit cmd_volume_set(struct cli *cli)
{
	json_t *params = cmd_name_params(cli);

	if (cli->given == 0) {
		json_decref(params);
		out_error(cli, "EINVAL", "nothing is to be set of volume '%s': "
					 "give --reserve or --when-full",
			  cli->args[0]);
		return CLI_USAGE;
	}
	if (!add_props(cli, params)) {
		json_decref(params);
		return CLI_USAGE;
	}
	return cmd_change(cli, "volume.set", params, "changed",
			  "is so already");
}

enum cli_exit cmd_volume_clone(struct cli *cli)
{
	return cmd_change(cli, "volume.clone", cmd_name_params(cli), "created",
			  "exists already");
}

enum cli_exit cmd_volume_resize(struct cli *cli)
{
	uint64_t bytes;

	if (!take_size(cli, cli->args[1], &bytes))
		return CLI_USAGE;
	return cmd_change(cli, "volume.resize", size_params(cli, bytes),
			  "resized", "has that size already");
}

enum cli_exit cmd_volume_rename(struct cli *cli)
{
	return cmd_change(cli, "volume.rename", cmd_name_params(cli),
			  "renamed", "has that name already");
}

/* "full", "none" or a size; ret_text: SIZE_TEXT_BYTES. */
static const char *reserve_text(const struct cli *cli, json_t *v,
				char *ret_text)
{
	const char *reserve = js_string(v, "reserve");

	return strcmp(reserve, "size") == 0 ?
		       out_size(cli, v, "reserve_bytes", ret_text) : reserve;
}

/* --- list and show ------------------------------------------------------- */

enum cli_exit cmd_volume_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "-SIZE", "-USED",
					     "-CLIENTS", "-SNAPSHOTS",
					     "-CHECKPOINTS", "CREATED",
					     "-RESERVE", "CLONE-OF" };
	enum cli_exit r;
	json_t      *result, *volumes;
	struct table t;

	if (cli->given & CLI_OPT_DELETING)
		return cmd_deleting_list(cli);
	result = cmd_fetch_all(cli, "volume", "name", &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	volumes = json_object_get(result, "volumes");
	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < json_array_size(volumes); i++) {
		json_t *v = json_array_get(volumes, i);
		char    size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
		char    clients[24], snapshots[24], checkpoints[24];
		char    created[CMD_DATE_BYTES], reserve[SIZE_TEXT_BYTES];
		const char *row[] = {
			js_string(v, "name"),
			out_size(cli, v, "size_bytes", size),
			out_size(cli, v, "used_bytes", used),
			cmd_count(v, "clients", clients),
			cmd_count(v, "snapshots", snapshots),
			cmd_count(v, "checkpoints", checkpoints),
			cmd_date(v, "created_s", created),
			reserve_text(cli, v, reserve),
			js_string(v, "clone_of"),
		};

		table_row(&t, row);
	}
	table_end(&t, cli->bare, "there are no volumes: make one with 'tarn "
				 "volume create NAME SIZE'");
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
	cmd_property(&t, "reserve", reserve_text(cli, v, text));
	cmd_property(&t, "reserved", out_size(cli, v, "kept_bytes", text));
	cmd_property(&t, "when-full", js_int(v, "paused") > 0 ?
					      "pause (its writes wait now)" :
					      js_string(v, "when_full"));
	cmd_property(&t, "clients", cmd_count(v, "clients", text));
	cmd_property(&t, "snapshots", cmd_count(v, "snapshots", text));
	cmd_property(&t, "checkpoints", cmd_count(v, "checkpoints", text));
	if (*js_string(v, "clone_of") != '\0')
		cmd_property(&t, "clone-of", js_string(v, "clone_of"));
	cmd_property(&t, "read-only", js_bool(v, "read_only") ? "yes" : "no");
	cmd_property(&t, "created", cmd_date(v, "created_s", text));
	cmd_property(&t, "uuid", js_string(v, "uuid"));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(v);
	return CLI_OK;
}
