/* tools/tarn/cmd_disk.c - tarn disk discover, tarn disk list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

json_t *cmd_places(const struct cli *cli, const char *const *places,
		   unsigned n)
{
	char    cwd[4096], text[4096];
	json_t *a = json_array();

	if (getcwd(cwd, sizeof(cwd)) == NULL)
		snprintf(cwd, sizeof(cwd), ".");
	for (unsigned i = 0; i < n; i++) {
		bool exists = access(places[i], F_OK) == 0;
		json_t *s = NULL;

		if (place_absolute(places[i], cwd, exists, text) != NULL)
			s = json_string(text);
		if (s == NULL) {
			out_error(cli, "EINVAL",
				  "'%.100s' is no place of a disk: it is too "
				  "long or not valid UTF-8", places[i]);
			json_decref(a);
			return NULL;
		}
		json_array_append_new(a, s);
	}
	return a;
}

static const char *found_state(json_t *d, char *ret, size_t bytes)
{
	const char *state = js_string(d, "state");

	if (strcmp(state, "member") == 0)
		snprintf(ret, bytes, "member of pool %s",
			 js_string(json_object_get(d, "pool"), "name"));
	else if (strcmp(state, "foreign") == 0)
		snprintf(ret, bytes, "holds %s", js_string(d, "holds"));
	else if (strcmp(state, "unreachable") == 0)
		snprintf(ret, bytes, "unreachable: %s", js_string(d, "why"));
	else if (strcmp(state, "damaged") == 0)
		snprintf(ret, bytes, "damaged labels of a pool");
	else
		snprintf(ret, bytes, "%s", state);
	return ret;
}

/* Why not, when the state does not say it already. */
static const char *found_usable(json_t *d, char *ret, size_t bytes)
{
	const char *state = js_string(d, "state");

	if (js_bool(d, "usable"))
		return "yes";
	if (strcmp(state, "blank") != 0 && strcmp(state, "damaged") != 0)
		return "no";
	snprintf(ret, bytes, "no: %s", js_string(d, "why"));
	return ret;
}

static void print_found(const struct cli *cli, json_t *disks)
{
	static const char *const heads[] = { "PLACE", "HOST",  "EXPORT",
					     "-SIZE", "STATE", "USABLE" };
	struct table t;

	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < json_array_size(disks); i++) {
		json_t *d = json_array_get(disks, i);
		char    size[SIZE_TEXT_BYTES], state[512], usable[512];
		bool    away = json_is_false(json_object_get(d, "usable")) &&
			    js_int(d, "size_bytes") == 0;
		const char *row[] = {
			js_string(d, "place"),
			js_string(d, "host"),
			js_string(d, "export")[0] != '\0'
				? js_string(d, "export") : "-",
			away ? "-" : out_size(cli, d, "size_bytes", size),
			found_state(d, state, sizeof(state)),
			found_usable(d, usable, sizeof(usable)),
		};

		table_row(&t, row);
	}
	table_print(&t, cli->bare, "");
	table_fini(&t);
}

enum cli_exit cmd_disk_discover(struct cli *cli)
{
	enum cli_exit r;
	json_t *params = NULL, *result;

	if (cli->nargs > 0) {
		json_t *places = cmd_places(cli, cli->args, cli->nargs);

		if (places == NULL)
			return CLI_USAGE;
		params = json_pack("{s:o}", "places", places);
	}
	result = rpc_call(cli, "disk.discover", params, &r);
	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	if (json_array_size(json_object_get(result, "disks")) == 0)
		fprintf(stderr, "tarn: the server knows no disks: name places "
				"here, or start tarnd with --disks\n");
	else
		print_found(cli, json_object_get(result, "disks"));
	json_decref(result);
	return CLI_OK;
}

/* "0.3 / 2 / 15": half of them, 99 %, all take no longer; milliseconds. */
static const char *latency(json_t *speed, const char *key, char *ret,
			   size_t bytes)
{
	static const char *const keys[] = { "p50_us", "p99_us", "max_us" };
	json_t *l = json_object_get(speed, key);
	size_t  at = 0;

	snprintf(ret, bytes, "-");
	if (js_int(l, "requests") == 0)
		return ret;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_int_t us = js_int(l, keys[i]);
		int        n;

		n = snprintf(ret + at, bytes - at, "%s%.*f", i > 0 ? "/" : "",
			     (us < 10000) + (us < 1000), (double)us / 1000);
		if (n < 0 || (size_t)n >= bytes - at)
			break;
		at += (size_t)n;
	}
	return ret;
}

enum cli_exit cmd_disk_list(struct cli *cli)
{
	static const char *const heads[] = { "PLACE",  "DOMAIN", "STATE",
					     "-SIZE",  "-USED",  "-READ",
					     "-WRITE", "-CKSUM",
					     "-READ ms", "-WRITE ms", "" };
	enum cli_exit r;
	json_t      *result = rpc_call(cli, "disk.list", NULL, &r), *disks;
	struct table t;

	if (result == NULL)
		return r;
	if (cli->json)
		return out_json(result);
	disks = json_object_get(result, "disks");
	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < json_array_size(disks); i++) {
		json_t *d = json_array_get(disks, i);
		char    size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
		char    state[16], n[3][24], ms[2][48];
		json_t *speed = json_object_get(d, "speed");
		const char *row[] = {
			cmd_member_name(d),
			js_string(d, "domain"),
			cmd_upper(js_string(d, "state"), state, sizeof(state)),
			out_size(cli, d, "size_bytes", size),
			out_size(cli, d, "used_bytes", used),
			cmd_count(d, "read_errors", n[0]),
			cmd_count(d, "write_errors", n[1]),
			cmd_count(d, "checksum_errors", n[2]),
			latency(speed, "read", ms[0], sizeof(ms[0])),
			latency(speed, "write", ms[1], sizeof(ms[1])),
			js_bool(d, "witness")	       ? "witness"
			: js_bool(speed, "slow_reads") ? "read around"
						       : "",
		};

		table_row(&t, row);
	}
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(result);
	return CLI_OK;
}
