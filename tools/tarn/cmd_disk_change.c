/* tools/tarn/cmd_disk_change.c - tarn disk add, drain, remove, replace and
 * rebuild.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

static void say_plan(const struct cli *cli, const char *what, const char *disk,
		     json_t *plan)
{
	char name[600], now[SIZE_TEXT_BYTES], after[SIZE_TEXT_BYTES];
	char used[SIZE_TEXT_BYTES];

	text_escape(disk, name, sizeof(name));
	printf("%s disk %s: usable capacity %s -> %s, of which %s are in "
	       "use\n", what, name, out_size(cli, plan, "usable_bytes", now),
	       out_size(cli, plan, "usable_after_bytes", after),
	       out_size(cli, plan, "used_bytes", used));
	if (!js_bool(plan, "possible"))
		printf("this is not possible: %s\n", js_string(plan, "why"));
}

/* One call about one disk; what it says when it was done.  NULL in done: with
 * -n. */
static enum cli_exit change(struct cli *cli, const char *method,
			    json_t *params, const char *verb, const char *done)
{
	const char   *disk = js_string(params, "disk");
	bool          dry = (cli->given & CLI_OPT_DRY_RUN) != 0;
	char          name[600];
	enum cli_exit r;
	json_t       *result;

	text_escape(disk, name, sizeof(name));
	if (dry)
		json_object_set_new(params, "dry_run", json_true());
	result = rpc_call(cli, method, params, &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	if (dry && json_object_get(result, "possible") != NULL) {
		say_plan(cli, verb, name, result);
		r = js_bool(result, "possible") ? CLI_OK : CLI_FAILED;
	} else if (js_bool(result, "already")) {
		printf("disk %s: already %s\n", name, done);
	} else {
		printf("disk %s: %s\n", name, done);
	}
	json_decref(result);
	return r;
}

static enum cli_exit add_one(struct cli *cli, const char *place)
{
	json_t       *places = cmd_places(cli, &place, 1), *params;

	if (places == NULL)
		return CLI_USAGE;
	params = json_pack("{s:O}", "disk", json_array_get(places, 0));
	json_decref(places);
	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	return change(cli, "disk.add", params, "adding", "added to the pool");
}

/* A member: a UUID, or a place as it is typed. */
static json_t *member_params(const struct cli *cli, const char *name)
{
	json_t *places, *params;

	/* A name without a slash, colon or dot is a UUID. */
	if (strpbrk(name, "/:.") == NULL)
		return json_pack("{s:s}", "disk", name);
	places = cmd_places(cli, &name, 1);
	if (places == NULL)
		return NULL;
	params = json_pack("{s:O}", "disk", json_array_get(places, 0));
	json_decref(places);
	return params;
}

static enum cli_exit remove_one(struct cli *cli, const char *name)
{
	json_t *params = member_params(cli, name);

	if (params == NULL)
		return CLI_USAGE;
	return change(cli, "disk.remove", params, "removing",
		      "being drained, then removed; 'tarn status' shows how "
		      "far that is");
}

enum cli_exit cmd_disk_add(struct cli *cli)
{
	for (unsigned i = 0; i < cli->nargs; i++) {
		enum cli_exit r = add_one(cli, cli->args[i]);

		if (r != CLI_OK)
			return r;
	}
	return CLI_OK;
}

enum cli_exit cmd_disk_remove(struct cli *cli)
{
	return remove_one(cli, cli->args[0]);
}

enum cli_exit cmd_disk_drain(struct cli *cli)
{
	json_t *params = member_params(cli, cli->args[0]);

	if (params == NULL)
		return CLI_USAGE;
	return change(cli, "disk.drain", params, "draining",
		      "being drained; 'tarn status' shows how far that is");
}

enum cli_exit cmd_disk_keep(struct cli *cli)
{
	json_t *params = member_params(cli, cli->args[0]);

	if (params == NULL)
		return CLI_USAGE;
	json_object_set_new(params, "stop", json_true());
	return change(cli, "disk.drain", params, "keeping",
		      "used like any other");
}

/* Each half is done once, however often this is repeated. */
enum cli_exit cmd_disk_replace(struct cli *cli)
{
	enum cli_exit r = add_one(cli, cli->args[1]);

	if (r != CLI_OK || (cli->given & CLI_OPT_DRY_RUN) != 0)
		return r;
	return remove_one(cli, cli->args[0]);
}

enum cli_exit cmd_disk_rebuild(struct cli *cli)
{
	enum cli_exit r;
	json_t       *result = rpc_call(cli, "disk.rebuild", NULL, &r);

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	if (js_int(result, "disks") == 0)
		printf("no disk is waited for\n");
	else
		printf("what was on %jd disk(s) is %smade again on the "
		       "others\n", (intmax_t)js_int(result, "disks"),
		       js_bool(result, "already") ? "already being " : "");
	json_decref(result);
	return CLI_OK;
}
