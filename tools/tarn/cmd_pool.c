/* tools/tarn/cmd_pool.c - tarn pool create, import, export, list. */
#include <stdio.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* Print what was done to a pool; takes result. */
static enum cli_exit report(const struct cli *cli, json_t *result,
			    const char *done, const char *was_so)
{
	char name[256];

	out_warnings(result);
	if (cli->json)
		return out_json(result);
	text_escape(js_string(result, "name"), name, sizeof(name));
	printf("pool '%s' %s\n", name,
	       js_bool(result, "already") ? was_so : done);
	json_decref(result);
	return CLI_OK;
}

enum cli_exit cmd_pool_create(struct cli *cli)
{
	enum cli_exit r;
	json_t *disks, *result;

	if (cli->redundancy == NULL) {
		out_error(cli, "EINVAL",
			  "pool create: say --redundancy K+M, as in 2+1 (any "
			  "one of three may be lost) or 1+1 (a mirror)");
		return CLI_USAGE;
	}
	disks = cmd_places(cli, cli->args + 1, cli->nargs - 1);
	if (disks == NULL)
		return CLI_USAGE;
	result = rpc_call(cli, "pool.create",
			  json_pack("{s:s, s:s, s:o, s:s*, s:b}", "name",
				    cli->args[0], "redundancy",
				    cli->redundancy, "disks", disks, "domain",
				    cli->domain, "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	if (result == NULL)
		return r;
	return report(cli, result, "created", "exists already");
}

enum cli_exit cmd_pool_import(struct cli *cli)
{
	enum cli_exit r;
	json_t *disks, *result;

	disks = cmd_places(cli, cli->disks, cli->ndisks);
	if (disks == NULL)
		return CLI_USAGE;
	result = rpc_call(cli, "pool.import",
			  json_pack("{s:s*, s:o, s:b, s:b}", "name",
				    cli->nargs > 0 ? cli->args[0] : NULL,
				    "disks", disks, "read_only",
				    (cli->given & CLI_OPT_READ_ONLY) != 0,
				    "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	if (result == NULL)
		return r;
	return report(cli, result, "imported", "is open already");
}

enum cli_exit cmd_pool_export(struct cli *cli)
{
	enum cli_exit r;
	json_t *result;

	result = rpc_call(cli, "pool.export",
			  json_pack("{s:s*, s:b}", "name",
				    cli->nargs > 0 ? cli->args[0] : NULL,
				    "force",
				    (cli->given & CLI_OPT_FORCE) != 0),
			  &r);
	if (result == NULL)
		return r;
	return report(cli, result, "exported", "was not open");
}

enum cli_exit cmd_pool_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "STATE", "REDUNDANCY",
					     "-DISKS", "UUID" };
	enum cli_exit r;
	json_t      *result = rpc_call(cli, "pool.list", NULL, &r), *pools;
	struct table t;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	pools = json_object_get(result, "pools");
	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < json_array_size(pools); i++) {
		json_t *p = json_array_get(pools, i);
		char    state[16], disks[64];
		const char *row[] = {
			js_string(p, "name"),
			cmd_upper(js_string(p, "state"), state, sizeof(state)),
			js_string(p, "redundancy"),
			disks,
			js_string(p, "uuid"),
		};

		if (js_int(p, "disks") == js_int(p, "disks_found"))
			snprintf(disks, sizeof(disks), "%jd",
				 (intmax_t)js_int(p, "disks"));
		else
			snprintf(disks, sizeof(disks), "%jd of %jd",
				 (intmax_t)js_int(p, "disks_found"),
				 (intmax_t)js_int(p, "disks"));
		table_row(&t, row);
	}
	if (t.nrows > 0)
		table_print(&t, cli->bare, "");
	else
		fprintf(stderr, "tarn: there is no pool on the disks that the "
				"server knows\n");
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}
