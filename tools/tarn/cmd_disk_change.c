/* tools/tarn/cmd_disk_change.c - tarn disk add, drain, remove, replace, offline,
 * online, rescan and rebuild.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

static const char *losable(json_t *plan, const char *key, char *text,
			   size_t size)
{
	int64_t n = js_int(plan, key);

	if (n < 0)
		return "some data cannot be read";
	snprintf(text, size, "%jd", (intmax_t)n);
	return text;
}

/* What would be of space and redundancy. */
static void say_plan(const struct cli *cli, const char *what, json_t *plan)
{
	char now[SIZE_TEXT_BYTES], after[SIZE_TEXT_BYTES];
	char used[SIZE_TEXT_BYTES], lose[2][24];

	printf("%s: usable capacity %s -> %s, of which %s are in use\n", what,
	       out_size(cli, plan, "usable_bytes", now),
	       out_size(cli, plan, "usable_after_bytes", after),
	       out_size(cli, plan, "used_bytes", used));
	printf("domains that may be lost before data is: %s -> %s\n",
	       losable(plan, "may_lose", lose[0], sizeof(lose[0])),
	       losable(plan, "may_lose_after", lose[1], sizeof(lose[1])));
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
		char what[700];

		snprintf(what, sizeof(what), "%s disk %s", verb, name);
		say_plan(cli, what, result);
		r = js_bool(result, "possible") ? CLI_OK : CLI_FAILED;
	} else if (js_bool(result, "already")) {
		printf("disk %s: already %s\n", name, done);
	} else {
		printf("disk %s: %s\n", name, done);
	}
	json_decref(result);
	return r;
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

/* old: the member that it replaces, or NULL; with -n that matters. */
static enum cli_exit add_one(struct cli *cli, const char *place,
			     const char *old)
{
	json_t *places = cmd_places(cli, &place, 1), *params, *member;

	if (places == NULL)
		return CLI_USAGE;
	params = json_pack("{s:O}", "disk", json_array_get(places, 0));
	json_decref(places);
	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	if (cli->given & CLI_OPT_WITNESS)
		json_object_set_new(params, "witness", json_true());
	if (old != NULL && (cli->given & CLI_OPT_DRY_RUN) != 0) {
		member = member_params(cli, old);
		if (member == NULL) {
			json_decref(params);
			return CLI_USAGE;
		}
		json_object_set(params, "replaces",
				json_object_get(member, "disk"));
		json_decref(member);
	}
	return change(cli, "disk.add", params,
		      old != NULL ? "replacing by" : "adding",
		      cli->given & CLI_OPT_WITNESS
			      ? "added to the pool as a witness"
			      : "added to the pool");
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
		enum cli_exit r = add_one(cli, cli->args[i], NULL);

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
	enum cli_exit r = add_one(cli, cli->args[1], cli->args[0]);

	if (r != CLI_OK || (cli->given & CLI_OPT_DRY_RUN) != 0)
		return r;
	return remove_one(cli, cli->args[0]);
}

enum cli_exit cmd_disk_offline(struct cli *cli)
{
	json_t *params = member_params(cli, cli->args[0]);

	if (params == NULL)
		return CLI_USAGE;
	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	return change(cli, "disk.offline", params, "taking offline",
		      "offline; 'tarn disk online' brings it back");
}

enum cli_exit cmd_disk_online(struct cli *cli)
{
	json_t *params = member_params(cli, cli->args[0]);

	if (params == NULL)
		return CLI_USAGE;
	return change(cli, "disk.online", params, "bringing back",
		      "not offline; it gets what it missed when it is there");
}

static enum cli_exit rescan_one(struct cli *cli, const char *name)
{
	json_t *params = member_params(cli, name);

	if (params == NULL)
		return CLI_USAGE;
	return change(cli, "disk.rescan", params, "looking again at",
		      "used to its end");
}

/* All that are online, and the worst of what comes of it. */
static enum cli_exit rescan_all(struct cli *cli)
{
	enum cli_exit r, worst = CLI_OK;
	json_t       *list = rpc_call(cli, "disk.list", NULL, &r), *d;
	size_t        i;

	if (list == NULL)
		return r;
	json_array_foreach(json_object_get(list, "disks"), i, d) {
		if (strcmp(js_string(d, "state"), "online") != 0)
			continue;
		r = rescan_one(cli, js_string(d, "uuid"));
		if (r != CLI_OK)
			worst = r;
	}
	json_decref(list);
	return worst;
}

enum cli_exit cmd_disk_rescan(struct cli *cli)
{
	return cli->nargs > 0 ? rescan_one(cli, cli->args[0])
			      : rescan_all(cli);
}

static void say_rebuild(json_t *result)
{
	intmax_t offline = js_int(result, "offline");

	if (js_int(result, "disks") == 0)
		printf("no disk is waited for\n");
	else
		printf("what was on %jd disk(s) is %smade again on the "
		       "others\n", (intmax_t)js_int(result, "disks"),
		       js_bool(result, "already") ? "already being " : "");
	if (offline > 0)
		printf("%jd disk(s) are offline, and stay as they are: --now "
		       "makes what is on them again, too\n", offline);
}

enum cli_exit cmd_disk_rebuild(struct cli *cli)
{
	bool          dry = (cli->given & CLI_OPT_DRY_RUN) != 0;
	json_t       *params = json_object();
	enum cli_exit r;
	json_t       *result;

	if (cli->given & CLI_OPT_NOW)
		json_object_set_new(params, "now", json_true());
	if (dry)
		json_object_set_new(params, "dry_run", json_true());
	result = rpc_call(cli, "disk.rebuild", params, &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	if (dry) {
		say_plan(cli, "making again what is on disks that are out",
			 result);
		r = js_bool(result, "possible") ? CLI_OK : CLI_FAILED;
	} else {
		say_rebuild(result);
	}
	json_decref(result);
	return r;
}
