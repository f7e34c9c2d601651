/* tools/tarn/cmd_checkpoint.c - tarn checkpoint create, list, show, rename,
 * delete.
 */
#include <stdio.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

enum cli_exit cmd_checkpoint_create(struct cli *cli)
{
	return cmd_take(cli, "checkpoint.create");
}

enum cli_exit cmd_checkpoint_rename(struct cli *cli)
{
	return cmd_change(cli, "checkpoint.rename", cmd_name_params(cli),
			  "renamed", "has that name already");
}

enum cli_exit cmd_checkpoint_delete(struct cli *cli)
{
	return cmd_change(cli, "checkpoint.delete", cmd_name_params(cli),
			  "deleted", "was gone");
}

/* --- list and show ------------------------------------------------------- */

/* Is it still good for anything? */
static const char *state_of(json_t *checkpoint)
{
	return js_bool(checkpoint, "lost") ? "lost" : "ok";
}

enum cli_exit cmd_checkpoint_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "-SIZE", "CREATED",
					     "STATE" };
	enum cli_exit r;
	json_t      *result = cmd_fetch_all(cli, "checkpoint", "id", &r), *c;
	struct table t;
	size_t       i, lost = 0;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "checkpoints"), i, c) {
		char size[SIZE_TEXT_BYTES], created[CMD_DATE_BYTES];
		const char *row[] = {
			js_string(c, "name"),
			out_size(cli, c, "size_bytes", size),
			cmd_date(c, "created_s", created),
			state_of(c),
		};

		table_row(&t, row);
		lost += js_bool(c, "lost");
	}
	if (t.nrows > 0 || cli->bare)
		table_print(&t, cli->bare, "");
	else
		cmd_none(cli, "checkpoint", "#CP");
	if (lost > 0 && !cli->bare)
		fprintf(stderr, "tarn: those that are lost are of no use any "
				"more, their volumes were rolled back to "
				"before them: delete them\n");
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_checkpoint_show(struct cli *cli)
{
	static const char *const heads[] = { "PROPERTY", "VALUE" };
	enum cli_exit r;
	json_t *c = rpc_call(cli, "checkpoint.show", cmd_name_params(cli), &r);
	struct table t;
	char text[64];

	if (c == NULL)
		return r;
	if (cli->json)
		return out_json(c);
	table_init(&t, heads, ARRAY_LEN(heads));
	cmd_property(&t, "name", js_string(c, "name"));
	cmd_property(&t, "size", out_size(cli, c, "size_bytes", text));
	cmd_property(&t, "created", cmd_date(c, "created_s", text));
	cmd_property(&t, "state",
		     js_bool(c, "lost") ?
			     "lost: the volume was rolled back to before it" :
			     "ok");
	cmd_property(&t, "uuid", js_string(c, "uuid"));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(c);
	return CLI_OK;
}
