/* tools/tarn/cmd_trash.c - tarn trash list, trash empty, volume undelete. */
#include <stdio.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

enum cli_exit cmd_volume_undelete(struct cli *cli)
{
	json_t *params = cmd_name_params(cli);

	if (cli->given & CLI_OPT_AS)
		json_object_set_new(params, "as", json_string(cli->as));
	return cmd_change(cli, "volume.undelete", params,
			  "taken out of the trash", "is not in the trash");
}

enum cli_exit cmd_trash_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "UUID", "-SIZE", "-USED",
					     "-SNAPSHOTS", "-CHECKPOINTS",
					     "DELETED", "GOES" };
	enum cli_exit r;
	json_t      *result = rpc_call(cli, "trash.list", NULL, &r), *v;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "volumes"), i, v) {
		char size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
		char snapshots[24], checkpoints[24];
		char deleted[CMD_DATE_BYTES], goes[CMD_DATE_BYTES];
		const char *row[] = {
			js_string(v, "name"),
			js_string(v, "uuid"),
			out_size(cli, v, "size_bytes", size),
			out_size(cli, v, "used_bytes", used),
			cmd_count(v, "snapshots", snapshots),
			cmd_count(v, "checkpoints", checkpoints),
			cmd_date(v, "deleted_s", deleted),
			cmd_date(v, "goes_s", goes),
		};

		table_row(&t, row);
	}
	table_end(&t, cli->bare, "the trash is empty");
	if (js_bool(result, "more"))
		fprintf(stderr, "tarn: there are more\n");
	json_decref(result);
	return CLI_OK;
}

static void print_emptied(const struct cli *cli, json_t *result)
{
	json_t *volumes = json_object_get(result, "volumes"), *v;
	size_t  i;

	if (js_bool(result, "dry_run")) {
		printf("deleting %zu volume%s in the trash ",
		       json_array_size(volumes),
		       json_array_size(volumes) == 1 ? "" : "s");
		cmd_print_freed(cli, result);
		return;
	}
	json_array_foreach(volumes, i, v)
		cmd_print_done(cli, "volume", v, "deleted for good");
	if (json_array_size(volumes) == 0)
		fprintf(stderr, "tarn: the trash is empty\n");
}

enum cli_exit cmd_trash_empty(struct cli *cli)
{
	json_t *params = json_object(), *names = json_array(), *result;
	enum cli_exit r;

	for (unsigned i = 0; i < cli->nargs; i++)
		json_array_append_new(names, json_string(cli->args[i]));
	if (cli->nargs > 0)
		json_object_set(params, "names", names);
	json_decref(names);
	if (cli->given & CLI_OPT_DRY_RUN)
		json_object_set_new(params, "dry_run", json_true());
	result = rpc_call(cli, "trash.empty", params, &r);
	if (result == NULL)
		return r;
	if ((cli->given & CLI_OPT_DRY_RUN) == 0)
		r = cmd_delete_wait(cli, js_int(result, "deletion"));
	if (cli->json && r == CLI_OK)
		return out_json(result);
	if (r == CLI_OK)
		print_emptied(cli, result);
	json_decref(result);
	return r;
}
