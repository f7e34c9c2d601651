/* tools/tarn/cmd_delete.c - tarn volume delete, snapshot delete, and waiting
 * until what was deleted is gone.
 *
 * Several snapshots are deleted one after the other, with a result for each;
 * what stands in the way of one does not stop the others.  With -n, what all of
 * them together would free.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"
#include "tools/tarn/progress.h"

#define LOOK_NS 200000000

/* --- waiting ------------------------------------------------------------- */

static json_t *deleting(const struct cli *cli, json_int_t deletion,
			enum cli_exit *ret_exit)
{
	return rpc_call(cli, "volume.deleting",
			json_pack("{s:I}", "upto", deletion), ret_exit);
}

/* What is done is no longer counted: what was there at first is the whole. */
static uint64_t left_of(json_t *d)
{
	return (uint64_t)(js_int(d, "total_bytes") - js_int(d, "done_bytes"));
}

enum cli_exit cmd_delete_wait(const struct cli *cli, json_int_t deletion)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	struct progress p;
	enum cli_exit   r;
	uint64_t        total;
	json_t         *d;

	if ((cli->given & CLI_OPT_WAIT) == 0)
		return CLI_OK;
	d = deleting(cli, deletion, &r);
	if (d == NULL)
		return r;
	total = left_of(d);
	progress_begin(&p, cli, "deleting", 0, total);
	while (js_int(d, "count") > 0) {
		json_decref(d);
		nanosleep(&pause, NULL);
		d = deleting(cli, deletion, &r);
		if (d == NULL) {
			progress_end(&p, false);
			return r;
		}
		progress_update(&p, total - min_u64(total, left_of(d)));
	}
	json_decref(d);
	progress_end(&p, true);
	return CLI_OK;
}

/* --- volumes ------------------------------------------------------------- */

void cmd_print_freed(const struct cli *cli, json_t *result)
{
	char all[SIZE_TEXT_BYTES], map[SIZE_TEXT_BYTES];

	printf("would free %s, %s of it map%s\n",
	       out_size(cli, result, "freed_bytes", all),
	       out_size(cli, result, "freed_map_bytes", map),
	       js_bool(result, "kept_for_clones") ?
		       "; two or more volumes or snapshots that were made from "
		       "it need the rest" : "");
}

static enum cli_exit dry_run(struct cli *cli, const char *method,
			     const char *noun, json_t *params)
{
	enum cli_exit r;
	json_t *result = rpc_call(cli, method, params, &r);
	char    name[2300];

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	text_escape(cli->args[0], name, sizeof(name));
	if (cli->nargs == 1)
		printf("deleting %s '%s' ", noun, name);
	else
		printf("deleting these %u %ss ", cli->nargs, noun);
	cmd_print_freed(cli, result);
	json_decref(result);
	return CLI_OK;
}

static void print_trashed(const struct cli *cli, json_t *result)
{
	char name[2300], date[CMD_DATE_BYTES];

	(void)cli;
	text_escape(js_string(result, "name"), name, sizeof(name));
	if (js_bool(result, "trashed"))
		printf("volume '%s' is in the trash until %s, or until its "
		       "space is needed; 'tarn volume undelete' brings it "
		       "back\n", name, cmd_date(result, "goes_s", date));
	else
		printf("volume '%s' deleted\n", name);
}

enum cli_exit cmd_volume_delete(struct cli *cli)
{
	json_t *params = cmd_name_params(cli), *result;
	enum cli_exit r, waited;

	if (cli->given & CLI_OPT_WITH_SNAPSHOTS)
		json_object_set_new(params, "with_snapshots", json_true());
	if (cli->given & CLI_OPT_NOW)
		json_object_set_new(params, "now", json_true());
	if (cli->given & CLI_OPT_DRY_RUN) {
		json_object_set_new(params, "dry_run", json_true());
		return dry_run(cli, "volume.delete", "volume", params);
	}
	result = rpc_call(cli, "volume.delete", params, &r);
	if (result == NULL)
		return r;
	waited = js_bool(result, "trashed") ?
			 CLI_OK :
			 cmd_delete_wait(cli, js_int(result, "deletion"));
	if (waited != CLI_OK) {
		json_decref(result);
		return waited;
	}
	if (cli->json)
		return out_json(result);
	print_trashed(cli, result);
	json_decref(result);
	return CLI_OK;
}

/* --- snapshots ----------------------------------------------------------- */

/* VOL@FIRST%LAST, either of which may be missing: all of them, oldest first,
 * into names.  False: reported. */
static bool expand(const struct cli *cli, const char *range, json_t *names,
		   enum cli_exit *ret_exit)
{
	const char *at = strchr(range, '@');
	size_t first_len = strcspn(at + 1, "%");
	const char *last = at + 1 + first_len + 1;
	struct cli list = *cli;
	char    volume[1100];
	bool    in = first_len == 0, found_first = in;
	bool    found_last = *last == '\0';
	json_t *result, *s;
	size_t  i;

	snprintf(volume, sizeof(volume), "%.*s", (int)(at - range), range);
	list.nargs = 1;
	list.args[0] = volume;
	list.given = 0;
	result = cmd_fetch_names(&list, ret_exit);
	if (result == NULL)
		return false;
	json_array_foreach(json_object_get(result, "snapshots"), i, s) {
		const char *name = js_string(s, "snapshot");

		if (!in && strlen(name) == first_len &&
		    memcmp(name, at + 1, first_len) == 0)
			in = found_first = true;
		if (in)
			json_array_append_new(names, json_string(
						      js_string(s, "name")));
		if (in && strcmp(name, last) == 0) {
			found_last = true;
			in = false;
		}
	}
	json_decref(result);
	if (found_first && found_last)
		return true;
	out_error(cli, "ENOENT", "'%.200s' is no range of snapshots: volume "
		  "'%.100s' must have both, the first one older than the last; "
		  "'tarn snapshot list' lists them in order", range, volume);
	*ret_exit = CLI_FAILED;
	return false;
}

/* All that is named.  NULL: reported. */
static json_t *named(const struct cli *cli, enum cli_exit *ret_exit)
{
	json_t *names = json_array();

	for (unsigned i = 0; i < cli->nargs; i++) {
		const char *arg = cli->args[i];
		const char *at = strchr(arg, '@');

		if (at == NULL || strchr(at, '%') == NULL) {
			json_array_append_new(names, json_string(arg));
			continue;
		}
		if (!expand(cli, arg, names, ret_exit)) {
			json_decref(names);
			return NULL;
		}
	}
	return names;
}

static json_t *delete_params(const struct cli *cli, const char *name)
{
	json_t *params = json_pack("{s:s}", "name", name);

	if (cli->given & CLI_OPT_FORCE)
		json_object_set_new(params, "force", json_true());
	return params;
}

/* One after the other; results go to all, unless there is only one.  Exit as
 * the worst of them. */
static enum cli_exit delete_each(struct cli *cli, json_t *names, json_t *all,
				 json_int_t *ret_deletion)
{
	enum cli_exit worst = CLI_OK, r;
	json_t *name;
	size_t  i;

	json_array_foreach(names, i, name) {
		const char *text = json_string_value(name);
		struct cli_caught caught = { .code = "" };
		json_t *result;

		/* In JSON there is one answer for all. */
		cli->caught = cli->json && json_array_size(names) > 1 ?
				      &caught : NULL;
		result = rpc_call(cli, "snapshot.delete",
				  delete_params(cli, text), &r);
		cli->caught = NULL;
		if (result == NULL) {
			worst = worst < r ? r : worst;
			json_array_append_new(
				all, json_pack("{s:s, s:s, s:s}", "name", text,
					       "error", caught.text, "code",
					       caught.code));
			continue;
		}
		*ret_deletion = js_int(result, "deletion");
		if (!cli->json)
			cmd_print_done(cli, "snapshot", result, "deleted");
		json_array_append_new(all, result);
	}
	return worst;
}

enum cli_exit cmd_snapshot_delete(struct cli *cli)
{
	enum cli_exit r = CLI_FAILED, waited;
	json_t    *names = named(cli, &r), *all;
	json_int_t deletion = 0;

	if (names == NULL)
		return r;
	if (cli->given & CLI_OPT_DRY_RUN && json_array_size(names) == 1) {
		json_t *params = delete_params(cli, json_string_value(
					json_array_get(names, 0)));

		json_object_set_new(params, "dry_run", json_true());
		json_decref(names);
		return dry_run(cli, "snapshot.delete", "snapshot", params);
	}
	if (cli->given & CLI_OPT_DRY_RUN) {
		cli->nargs = (unsigned)json_array_size(names);
		return dry_run(cli, "volume.freed", "snapshot",
			       json_pack("{s:o}", "names", names));
	}
	all = json_array();
	r = delete_each(cli, names, all, &deletion);
	waited = cmd_delete_wait(cli, deletion);
	r = r < waited ? waited : r;
	if (cli->json && json_array_size(names) > 1)
		out_json(json_pack("{s:O}", "snapshots", all));
	else if (cli->json && r == CLI_OK)
		out_json(json_incref(json_array_get(all, 0)));
	json_decref(all);
	json_decref(names);
	return r;
}

/* --- what is being deleted ----------------------------------------------- */

enum cli_exit cmd_deleting_list(struct cli *cli)
{
	static const char *const heads[] = { "NAME", "WHAT", "-SIZE", "-DONE",
					     "-FREED", "STATE" };
	enum cli_exit r;
	json_t      *result = rpc_call(cli, "volume.deleting",
				       json_pack("{s:b}", "list", true), &r);
	json_t      *x;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "deleting"), i, x) {
		char size[SIZE_TEXT_BYTES], done[SIZE_TEXT_BYTES];
		char freed[SIZE_TEXT_BYTES];
		const char *row[] = {
			js_string(x, "name"),
			js_bool(x, "snapshot") ? "snapshot" : "volume",
			out_size(cli, x, "total_bytes", size),
			out_size(cli, x, "done_bytes", done),
			out_size(cli, x, "freed_bytes", freed),
			js_bool(x, "kept_for_clones") ? "kept for clones" :
							"going",
		};

		table_row(&t, row);
	}
	table_end(&t, cli->bare, "nothing is being deleted");
	json_decref(result);
	return CLI_OK;
}
