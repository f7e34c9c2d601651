/* tools/tarn/cmd_du.c - tarn volume du: what volumes take, in the words of
 * tarn df.
 *
 * Each is measured by a call of its own, with a bar, and then all of them
 * together: what several share is nobody's own, but theirs together.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"
#include "tools/tarn/progress.h"

/* The volumes, as volume.show has them.  NULL: reported. */
static json_t *volumes_of(const struct cli *cli, enum cli_exit *ret_exit)
{
	json_t *result, *a;

	if (cli->nargs == 0) {
		result = cmd_fetch_all(cli, "volume", "name", ret_exit);
		if (result == NULL)
			return NULL;
		a = json_incref(json_object_get(result, "volumes"));
		json_decref(result);
		return a;
	}
	a = json_array();
	for (unsigned i = 0; i < cli->nargs; i++) {
		result = rpc_call(cli, "volume.show",
				  json_pack("{s:s}", "name", cli->args[i]),
				  ret_exit);
		if (result == NULL) {
			json_decref(a);
			return NULL;
		}
		json_array_append_new(a, result);
	}
	return a;
}

static json_t *measure(const struct cli *cli, json_t *names,
		       enum cli_exit *ret_exit)
{
	json_t *params = json_object();

	if (names != NULL)
		json_object_set_new(params, "names", names);
	return rpc_call(cli, "volume.du", params, ret_exit);
}

/* Each of the volumes, into ret_each.  Of all volumes, one that has gone
 * meanwhile is left out. */
static enum cli_exit measure_each(struct cli *cli, json_t *volumes,
				  struct progress *p, json_t *ret_each)
{
	struct cli_caught caught;
	enum cli_exit r;
	uint64_t done = 0;
	json_t  *v, *o;
	size_t   i;

	json_array_foreach(volumes, i, v) {
		const char *name = js_string(v, "name");

		memset(&caught, 0, sizeof(caught));
		cli->caught = cli->nargs == 0 ? &caught : NULL;
		o = measure(cli, json_pack("[s]", name), &r);
		cli->caught = NULL;
		if (o == NULL && strcmp(caught.code, "ENOENT") != 0) {
			if (cli->nargs == 0)
				out_error(cli, caught.code, "%s", caught.text);
			return r;
		}
		if (o != NULL) {
			json_object_del(o, "volumes");
			json_object_set_new(o, "name", json_string(name));
			json_array_append_new(ret_each, o);
		}
		done += (uint64_t)js_int(v, "used_bytes");
		progress_update(p, done);
	}
	return CLI_OK;
}

static json_t *measure_all(struct cli *cli, json_t *volumes,
			   enum cli_exit *ret_exit)
{
	json_t *names = NULL, *v;
	size_t  i;

	if (cli->nargs > 0)
		names = json_array();
	json_array_foreach(volumes, i, v)
		if (names != NULL)
			json_array_append_new(names, json_string(
						      js_string(v, "name")));
	return measure(cli, names, ret_exit);
}

static void row_add(const struct cli *cli, struct table *t, json_t *o,
		    const char *name)
{
	char text[8][SIZE_TEXT_BYTES];
	const char *row[] = {
		name,
		out_size(cli, o, "size_bytes", text[0]),
		out_size(cli, o, "logical_bytes", text[1]),
		out_size(cli, o, "unique_bytes", text[2]),
		out_size(cli, o, "shared_bytes", text[3]),
		out_size(cli, o, "held_bytes", text[4]),
		out_size(cli, o, "reclaimable_bytes", text[5]),
		out_size(cli, o, "reclaimable_map_bytes", text[6]),
		out_size(cli, o, "reserved_bytes", text[7]),
	};

	table_row(t, row);
}

static void print(const struct cli *cli, json_t *each, json_t *total)
{
	static const char *const heads[] = {
		"NAME", "-SIZE", "-LOGICAL", "-UNIQUE", "-SHARED",
		"-HELD-BY-SNAPSHOTS", "-RECLAIMABLE", "-MAP",
		"-RESERVED" };
	struct table t;
	json_t *o;
	size_t  i;

	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(each, i, o)
		row_add(cli, &t, o, js_string(o, "name"));
	/* No volume has such a name beside the others: it has a '/'. */
	if (t.nrows > 1)
		row_add(cli, &t, total, "/");
	table_end(&t, cli->bare, "there are no volumes");
}

enum cli_exit cmd_volume_du(struct cli *cli)
{
	enum cli_exit r = CLI_FAILED;
	json_t  *volumes = volumes_of(cli, &r), *each, *total, *v;
	struct progress p;
	uint64_t all = 0;
	size_t   i;

	if (volumes == NULL)
		return r;
	json_array_foreach(volumes, i, v)
		all += (uint64_t)js_int(v, "used_bytes");
	each = json_array();
	progress_begin(&p, cli, "measuring", 0, 2 * all);
	r = measure_each(cli, volumes, &p, each);
	total = r == CLI_OK ? measure_all(cli, volumes, &r) : NULL;
	json_decref(volumes);
	if (total != NULL)
		progress_update(&p, 2 * all);
	progress_end(&p, total != NULL);
	if (total == NULL) {
		json_decref(each);
		return r;
	}
	if (cli->json)
		return out_json(json_pack("{s:o, s:o}", "volumes", each,
					  "total", total));
	print(cli, each, total);
	json_decref(each);
	json_decref(total);
	return CLI_OK;
}
