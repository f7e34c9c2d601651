/* tools/tarn/cmd_scrub.c - tarn scrub start, pause, stop and status. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/cmd.h"

static enum cli_exit change(struct cli *cli, const char *method,
			    const char *done, const char *already)
{
	enum cli_exit r;
	json_t *o = rpc_call(cli, method, NULL, &r);

	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	printf("%s\n", json_is_true(json_object_get(o, "already")) ? already :
								    done);
	json_decref(o);
	return CLI_OK;
}

enum cli_exit cmd_scrub_start(struct cli *cli)
{
	return change(cli, "scrub.start",
		      "the scrub runs; 'tarn scrub status' shows how far it is",
		      "a scrub runs already");
}

enum cli_exit cmd_scrub_pause(struct cli *cli)
{
	return change(cli, "scrub.pause",
		      "the scrub is paused; 'tarn scrub start' goes on with it",
		      "the scrub is paused already");
}

enum cli_exit cmd_scrub_stop(struct cli *cli)
{
	return change(cli, "scrub.stop", "the scrub is stopped",
		      "no scrub runs; there is none to be stopped");
}

static void print_lost(json_t *o)
{
	json_t *l;
	size_t  i;

	if (js_int(o, "lost_segments") == 0)
		return;
	printf("lost:        ");
	json_array_foreach(json_object_get(o, "lost"), i, l)
		printf("%s%jd blocks in segment %jd", i > 0 ? ", " : "",
		       (intmax_t)js_int(l, "blocks"),
		       (intmax_t)js_int(l, "segment"));
	printf("%s\n             Those that are still in use give EIO, until "
	       "they are overwritten.\n",
	       js_int(o, "lost_segments") > (json_int_t)i ? ", ..." : "");
}

static void print_disks(const struct cli *cli, json_t *disks)
{
	static const char *const heads[] = { "-READ", "-CHECKSUM", "-REPAIRED",
					     "DISK" };
	static const char *const keys[] = { "read_errors", "checksum_errors",
					    "repaired_blocks" };
	struct table t;
	json_t *d;
	size_t  i;

	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(disks, i, d) {
		char n[ARRAY_LEN(keys)][24];
		const char *place = js_string(d, "place");
		const char *row[] = { n[0], n[1], n[2],
				      place[0] != '\0' ? place :
							 js_string(d, "uuid") };

		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			snprintf(n[k], sizeof(n[k]), "%jd",
				 (intmax_t)js_int(d, keys[k]));
		table_row(&t, row);
	}
	table_print(&t, cli->bare, "");
	table_fini(&t);
}

enum cli_exit cmd_scrub_status(struct cli *cli)
{
	enum cli_exit r;
	json_t *o = rpc_call(cli, "scrub.status", NULL, &r);
	const char *state;
	char size[SIZE_TEXT_BYTES];

	if (o == NULL)
		return r;
	if (cli->json)
		return out_json(o);
	state = js_string(o, "state");
	if (!cli->bare && strcmp(state, "none") == 0)
		printf("state:       none runs; %jd finished since the pool "
		       "was opened\n", (intmax_t)js_int(o, "finished"));
	else if (!cli->bare)
		printf("state:       %s, at segment %jd of %jd\n", state,
		       (intmax_t)js_int(o, "segment"),
		       (intmax_t)js_int(o, "last_segment"));
	if (!cli->bare) {
		printf("read:        %s of %jd segments\n",
		       out_size(cli, o, "read_bytes", size),
		       (intmax_t)js_int(o, "segments"));
		printf("wrong:       %jd blocks, %jd repaired, %jd not\n",
		       (intmax_t)js_int(o, "found_blocks"),
		       (intmax_t)js_int(o, "repaired_blocks"),
		       (intmax_t)js_int(o, "unrepaired_blocks"));
		if (js_int(o, "skipped_units") > 0)
			printf("not checked: %jd units of segments: their "
			       "disks were not there\n",
			       (intmax_t)js_int(o, "skipped_units"));
		print_lost(o);
	}
	print_disks(cli, json_object_get(o, "disks"));
	json_decref(o);
	return CLI_OK;
}
