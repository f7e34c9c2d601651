/* tools/tarn/cmd_diff.c - tarn diff: what has changed since a snapshot. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* A piece may begin with what the last one ended with. */
static void extents_join(json_t *all, json_t *more)
{
	json_t *x, *last;
	size_t  i;

	json_array_foreach(more, i, x) {
		size_t n = json_array_size(all);

		last = n > 0 ? json_array_get(all, n - 1) : NULL;
		if (last != NULL &&
		    js_int(last, "offset") + js_int(last, "length") ==
			    js_int(x, "offset") &&
		    js_bool(last, "zero") == js_bool(x, "zero"))
			json_object_set_new(
				last, "length",
				json_integer(js_int(last, "length") +
					     js_int(x, "length")));
		else
			json_array_append(all, x);
	}
}

/* All extents, piece after piece; NULL: reported. */
static json_t *fetch_all(const struct cli *cli, enum cli_exit *ret_exit)
{
	json_t    *all = json_array(), *piece;
	json_int_t next = 0, size = 0;
	bool       more = true;

	while (more) {
		json_int_t from = next;

		piece = rpc_call(cli, "snapshot.diff",
				 json_pack("{s:s, s:s, s:I}", "from",
					   cli->args[0], "to", cli->args[1],
					   "offset", next),
				 ret_exit);
		if (piece == NULL) {
			json_decref(all);
			return NULL;
		}
		extents_join(all, json_object_get(piece, "extents"));
		next = js_int(piece, "next");
		size = js_int(piece, "size_bytes");
		more = js_bool(piece, "more") && next > from;
		json_decref(piece);
	}
	return json_pack("{s:s, s:s, s:I, s:o}", "from", cli->args[0], "to",
			 cli->args[1], "size_bytes", size, "extents", all);
}

enum cli_exit cmd_diff(struct cli *cli)
{
	static const char *const heads[] = { "-OFFSET", "-LENGTH", "KIND" };
	enum cli_exit r;
	json_t      *result = fetch_all(cli, &r), *x;
	struct table t;
	size_t       i;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(json_object_get(result, "extents"), i, x) {
		char        off[24], length[SIZE_TEXT_BYTES];
		const char *row[] = {
			cmd_count(x, "offset", off),
			out_size(cli, x, "length", length),
			js_bool(x, "zero") ? "zero" : "data",
		};

		table_row(&t, row);
	}
	table_end(&t, cli->bare, "nothing has changed");
	json_decref(result);
	return CLI_OK;
}
