/* tools/tarn/cmd_status.c - tarn status, tarn df, tarn stats. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

/* Where long lines of status break, in characters. */
#define LINE_WIDTH 72u

const char *cmd_member_name(json_t *member)
{
	const char *place = js_string(member, "place");

	return place[0] != '\0' ? place : js_string(member, "uuid");
}

const char *cmd_upper(const char *text, char *ret, size_t bytes)
{
	size_t n = 0;

	for (; text[n] != '\0' && n + 1 < bytes; n++)
		ret[n] = (char)toupper((unsigned char)text[n]);
	ret[n] = '\0';
	return ret;
}

const char *cmd_count(json_t *object, const char *key, char *ret)
{
	snprintf(ret, 24, "%jd", (intmax_t)js_int(object, key));
	return ret;
}

const char *cmd_date(json_t *object, const char *key, char *ret)
{
	time_t    when = (time_t)js_int(object, key);
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(ret, CMD_DATE_BYTES, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
		snprintf(ret, CMD_DATE_BYTES, "-");
	return ret;
}

void cmd_property(struct table *t, const char *key, const char *value)
{
	const char *row[] = { key, value };

	table_row(t, row);
}

/* --- status -------------------------------------------------------------- */

/* "status: text", broken at blanks. */
static void print_wrapped(const char *label, const char *text)
{
	char   clean[4096];
	char  *p = clean;

	if (text[0] == '\0')
		return;
	text_escape(text, clean, sizeof(clean));
	printf("%6s:", label);
	while (*p != '\0') {
		size_t len = strlen(p), cut = len;

		if (len > LINE_WIDTH) {
			for (cut = LINE_WIDTH; cut > 0 && p[cut] != ' ';)
				cut--;
			if (cut == 0)
				cut = strcspn(p, " ");
		}
		printf("%s%.*s\n", p == clean ? " " : "\t", (int)cut, p);
		p += cut;
		while (*p == ' ')
			p++;
	}
}

static void config_row(struct table *t, json_t *d, const char *indent)
{
	char name[600], state[16], n[3][24];
	const char *row[] = {
		name,
		cmd_upper(js_string(d, "state"), state, sizeof(state)),
		cmd_count(d, "read_errors", n[0]),
		cmd_count(d, "write_errors", n[1]),
		cmd_count(d, "checksum_errors", n[2]),
		js_string(d, "why"),
	};

	snprintf(name, sizeof(name), "%s%s", indent, cmd_member_name(d));
	table_row(t, row);
}

static void config_head(struct table *t, const char *name, const char *state)
{
	const char *row[] = { name, state, "", "", "", "" };

	table_row(t, row);
}

/* Disks by domain, in order of first appearance. */
static void config_domains(struct table *t, json_t *disks)
{
	size_t n = json_array_size(disks);

	for (size_t i = 0; i < n; i++) {
		json_t     *d = json_array_get(disks, i);
		const char *domain = js_string(d, "domain");
		char        name[300];
		bool        seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = strcmp(js_string(json_array_get(disks, j),
						"domain"), domain) == 0;
		if (seen)
			continue;
		snprintf(name, sizeof(name), "  %s",
			 domain[0] != '\0' ? domain : "(unknown host)");
		config_head(t, name, "");
		for (size_t j = i; j < n; j++) {
			json_t *e = json_array_get(disks, j);

			if (strcmp(js_string(e, "domain"), domain) == 0)
				config_row(t, e, "    ");
		}
	}
}

static void print_config(const struct cli *cli, json_t *s, const char *state)
{
	static const char *const heads[] = { "NAME",   "STATE",  "-READ",
					     "-WRITE", "-CKSUM", "" };
	json_t      *disks = json_object_get(s, "disks");
	struct table t;
	char         name[300];

	table_init(&t, heads, ARRAY_LEN(heads));
	snprintf(name, sizeof(name), "%s (%s)", js_string(s, "name"),
		 js_string(s, "redundancy"));
	config_head(&t, name, state);
	if (strcmp(js_string(s, "domain"), "host") == 0)
		config_domains(&t, disks);
	else
		for (size_t i = 0; i < json_array_size(disks); i++)
			config_row(&t, json_array_get(disks, i), "  ");
	printf("config:\n\n");
	table_print(&t, cli->bare, "\t");
	putchar('\n');
	table_fini(&t);
}

static void print_rebuild(const struct cli *cli, json_t *rebuild)
{
	char    size[SIZE_TEXT_BYTES];
	int64_t wait_s = js_int(rebuild, "wait_s");

	if (js_int(rebuild, "units") > 0)
		printf("rebuild: %s to be made again or moved%s, %jd of %jd "
		       "units done\n", out_size(cli, rebuild, "bytes", size),
		       js_bool(rebuild, "running") ? "" : " (waits)",
		       (intmax_t)js_int(rebuild, "rebuilt_units"),
		       (intmax_t)(js_int(rebuild, "rebuilt_units") +
				  js_int(rebuild, "units")));
	if (wait_s > 0)
		printf("rebuild: starts in %jd:%02jd min if the disk is not "
		       "back; 'tarn disk rebuild' starts it now\n",
		       (intmax_t)wait_s / 60, (intmax_t)wait_s % 60);
}

static void print_rebalance(const struct cli *cli, json_t *r)
{
	char size[SIZE_TEXT_BYTES];

	if (js_int(r, "units") > 0)
		printf("rebalance: about %s to be moved to disks with more "
		       "room\n", out_size(cli, r, "bytes", size));
}

/* One line, while something is. */
static void print_deleting(const struct cli *cli, json_t *d)
{
	json_int_t n = js_int(d, "count"), total = js_int(d, "total_bytes");
	char       size[SIZE_TEXT_BYTES], text[200];

	if (n == 0)
		return;
	snprintf(text, sizeof(text), "deleting %jd volume%s or snapshot%s: "
		 "%d %% gone through, %s freed", (intmax_t)n, n > 1 ? "s" : "",
		 n > 1 ? "s" : "",
		 total == 0 ? 0 : (int)((double)js_int(d, "done_bytes") * 100 /
					(double)total),
		 out_size(cli, d, "freed_bytes", size));
	print_wrapped("freeing", text);
}

/* Which blocks of which volumes and snapshots are lost. */
static void print_damage(const struct cli *cli, json_t *d)
{
	static const char *const heads[] = { "LOST IN", "-FROM", "-BYTES", "" };
	json_t      *ranges = json_object_get(d, "ranges");
	struct table t;
	char         text[2][SIZE_TEXT_BYTES];

	if (json_array_size(ranges) > 0) {
		table_init(&t, heads, ARRAY_LEN(heads));
		for (size_t i = 0; i < json_array_size(ranges); i++) {
			json_t     *r = json_array_get(ranges, i);
			char        from[24];
			const char *row[] = {
				js_string(r, "name"),
				cmd_count(r, "offset", from),
				out_size(cli, r, "length", text[0]),
				js_bool(r, "trashed") ? "in the trash" : "",
			};

			table_row(&t, row);
		}
		putchar('\n');
		table_print(&t, cli->bare, "\t");
		table_fini(&t);
	}
	if (js_int(d, "more") > 0)
		printf("\tand %jd more\n", (intmax_t)js_int(d, "more"));
	if (js_int(d, "unnamed_bytes") > 0)
		printf("\t%s only in what is being deleted\n",
		       out_size(cli, d, "unnamed_bytes", text[1]));
}

static void print_status(const struct cli *cli, json_t *s)
{
	char        state[16], name[256], size[SIZE_TEXT_BYTES];
	const char *pool = js_string(s, "name");

	cmd_upper(js_string(s, "state"), state, sizeof(state));
	if (strcmp(state, "NONE") == 0) {
		print_wrapped("status", js_string(s, "status"));
		return;
	}
	text_escape(pool[0] != '\0' ? pool : "(any)", name, sizeof(name));
	printf("%6s: %s\n", "pool", name);
	printf("%6s: %s\n", "state", state);
	print_wrapped("status", js_string(s, "status"));
	print_wrapped("action", js_string(s, "action"));
	print_wrapped("rebuild", js_string(s, "rebuild_room"));
	print_deleting(cli, json_object_get(s, "deleting"));
	if (json_array_size(json_object_get(s, "disks")) == 0)
		return;
	print_config(cli, s, state);
	print_rebuild(cli, json_object_get(s, "rebuild"));
	print_rebalance(cli, json_object_get(s, "rebalance"));
	if (js_int(s, "lost_bytes") == 0)
		printf("errors: no known data errors\n");
	else
		printf("errors: %s of data cannot be read%s\n",
		       out_size(cli, s, "lost_bytes", size),
		       json_object_get(s, "damage") == NULL ?
			       "; 'tarn status -v' names it" : "");
	print_damage(cli, json_object_get(s, "damage"));
	if (json_array_size(json_object_get(s, "alarms")) > 0) {
		printf("\nalarms:\n\n");
		cmd_print_alarms(s);
	}
}

enum cli_exit cmd_status(struct cli *cli)
{
	enum cli_exit r;
	json_t *s = rpc_call(cli, "pool.status", NULL, &r);
	bool    monitoring = (cli->given & CLI_OPT_EXIT_CODE) != 0;
	int     exit_code;

	/* Monitoring knows this one as "unknown". */
	if (s == NULL)
		return monitoring ? (enum cli_exit)3 : r;
	if ((cli->given & CLI_OPT_VERBOSE) != 0 && js_int(s, "lost_bytes") > 0)
		json_object_set_new(s, "damage",
				    rpc_call(cli, "damage.list", NULL, &r));
	exit_code = monitoring ? cmd_severity_exit(s) : CLI_OK;
	if (cli->json) {
		r = out_json(s);
		return r == CLI_OK ? (enum cli_exit)exit_code : r;
	}
	print_status(cli, s);
	json_decref(s);
	return (enum cli_exit)exit_code;
}

/* --- df ------------------------------------------------------------------ */

/* Where it is: the words are those of the protocol. */
static void print_space(const struct cli *cli, json_t *d)
{
	static const struct {
		const char *key, *name, *what;
	} rows[] = {
		{ "logical_bytes", "logical",
		  "what volumes and snapshots show" },
		{ "data_bytes", "data", "of used: blocks of data, each once" },
		{ "map_bytes", "map", "of used: where they are" },
		{ "reserved_bytes", "reserved",
		  "of usable: kept for volumes that have a reserve" },
		{ "parity_bytes", "parity", "of raw: so that disks may fail" },
		{ "reserve_bytes", "reserve",
		  "of raw: for cleaning, commits, headers and a rebuild" },
		{ "rebuild_bytes", "rebuild",
		  "of reserve, less parity: for a domain that is lost" },
	};
	static const char *const heads[] = { "", "-", "" };
	struct table t;
	char text[SIZE_TEXT_BYTES];

	table_init(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *row[] = { rows[i].name,
				      out_size(cli, d, rows[i].key, text),
				      rows[i].what };

		table_row(&t, row);
	}
	table_print(&t, false, "");
	table_fini(&t);
}

enum cli_exit cmd_df(struct cli *cli)
{
	static const char *const heads[] = { "-USABLE", "-USED", "-FREE",
					     "-PROVISIONED", "-OVERCOMMIT",
					     "-RAW", "-TRASH", "POOL" };
	enum cli_exit r;
	json_t      *d = rpc_call(cli, "pool.df", NULL, &r);
	struct table t;
	char         text[6][SIZE_TEXT_BYTES], over[32];
	double       ratio;

	if (d == NULL)
		return r;
	if (cli->json)
		return out_json(d);
	ratio = json_number_value(json_object_get(d, "overcommit"));
	snprintf(over, sizeof(over), "%.2f", ratio);
	const char *row[] = {
		out_size(cli, d, "usable_bytes", text[0]),
		out_size(cli, d, "used_bytes", text[1]),
		out_size(cli, d, "free_bytes", text[2]),
		out_size(cli, d, "provisioned_bytes", text[3]),
		over,
		out_size(cli, d, "raw_bytes", text[4]),
		json_is_integer(json_object_get(d, "trash_bytes")) ?
			out_size(cli, d, "trash_bytes", text[5]) : "-",
		js_string(d, "name"),
	};

	table_init(&t, heads, ARRAY_LEN(heads));
	table_row(&t, row);
	table_print(&t, cli->bare, "");
	table_fini(&t);
	if (!cli->bare)
		print_space(cli, d);
	json_decref(d);
	return CLI_OK;
}

/* --- stats --------------------------------------------------------------- */

/* Numbers of nested objects as lines "nbd.requests  17". */
static void flatten(struct table *t, const char *prefix, json_t *o)
{
	const char *key;
	json_t     *value;

	json_object_foreach(o, key, value) {
		char name[200], text[32];
		const char *row[] = { name, text };

		snprintf(name, sizeof(name), "%s%s%s", prefix,
			 prefix[0] != '\0' ? "." : "", key);
		if (json_is_object(value) && strlen(prefix) < 64) {
			flatten(t, name, value);
			continue;
		}
		snprintf(text, sizeof(text), "%jd",
			 (intmax_t)json_integer_value(value));
		table_row(t, row);
	}
}

enum cli_exit cmd_stats(struct cli *cli)
{
	static const char *const heads[] = { "COUNTER", "-VALUE" };
	enum cli_exit r;
	json_t      *s = rpc_call(cli, "server.stats", NULL, &r);
	struct table t;

	if (s == NULL)
		return r;
	if (cli->json)
		return out_json(s);
	table_init(&t, heads, ARRAY_LEN(heads));
	flatten(&t, "", s);
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(s);
	return CLI_OK;
}
