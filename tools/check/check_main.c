/* tools/check/check_main.c - tarn-check: verify a stopped pool, offline. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/check/check.h"
#include "tools/check/check_place.h"

#define EXIT_USAGE 2

struct output {
	bool    json;
	bool    verbose;
	json_t *findings; /* array, with json */
};

static const char *const severity_names[] = {
	[CHECK_INFO] = "info",
	[CHECK_DAMAGE] = "damage",
	[CHECK_LOST] = "lost",
	[CHECK_ERROR] = "error",
};

/* Names come from the disks and may be no UTF-8. */
static json_t *text_json(const char *text)
{
	json_t *o = json_string(text);
	char    plain[1024];
	size_t  i;

	if (o != NULL)
		return o;
	for (i = 0; text[i] != '\0' && i + 1 < sizeof(plain); i++)
		plain[i] = (text[i] & 0x80) != 0 ? '?' : text[i];
	plain[i] = '\0';
	return json_string(plain);
}

static void report(void *arg, enum check_severity severity, const char *text)
{
	struct output *out = arg;
	json_t *o;

	if (!out->json) {
		printf("%s: %s\n", severity_names[severity], text);
		return;
	}
	o = json_pack("{s:s, s:o}", "severity", severity_names[severity],
		      "text", text_json(text));
	json_array_append_new(out->findings, o);
}

static void usage(FILE *f)
{
	fputs("Usage: tarn-check [OPTION]... DISK...\n"
	      "Verify a stopped pool.  DISK is a file, a block device or an "
	      "NBD URI; give all\n"
	      "disks of the pool, in any order.  Nothing is written.\n\n"
	      "  -q, --quick        do not read data, only what describes it\n"
	      "  -j, --json         print the result as one JSON object\n"
	      "  -v, --verbose      say more\n"
	      "      --tls-dir DIR  certificates for nbds (" CHECK_TLS_DIR ")\n"
	      "  -h, --help         print this\n\n"
	      "Exit: 0 the pool is clean, 1 there are problems, 2 wrong "
	      "usage.\n",
	      f);
}

static void print_text(const struct check_report *r)
{
	char uuid[UUID_TEXT_BYTES];

	printf("pool \"%s\" (%s), redundancy %" PRIu32 "+%" PRIu32 ", %" PRIu32
	       " members, %" PRIu32 " out, %" PRIu32 " not given\n",
	       r->name, uuid_text(&r->pool, uuid), r->k, r->m, r->members,
	       r->members_out, r->members_missing);
	printf("claim %" PRIu64 ", label %" PRIu64 ", %s\n", r->claim,
	       r->label_no,
	       r->released ? "closed cleanly" : "not closed cleanly");
	printf("commit %" PRIu64 " at row %" PRIu64 "; log ends at row %" PRIu64
	       ", %" PRIu64 " rows replayed, %" PRIu64 " dropped\n",
	       r->commit, r->commit_row, r->log_end, r->rows_replayed,
	       r->rows_after_end);
	printf("%" PRIu64 " segments: %" PRIu64 " free, %" PRIu64 " open, %"
	       PRIu64 " sealed, %" PRIu64 " quarantined; %" PRIu64 " of %"
	       PRIu64 " zones used, %" PRIu64 " free\n",
	       r->segments, r->segments_free, r->segments_open,
	       r->segments_sealed, r->segments_quarantined, r->zones_used,
	       r->zones, r->zones_free);
	printf("%" PRIu64 " volumes, %" PRIu64 " snapshots, %" PRIu64
	       " checkpoints, %" PRIu64 " blocks of data, %" PRIu64
	       " nodes, %" PRIu64 " table blocks\n",
	       r->volumes, r->snapshots, r->checkpoints, r->mapped_blocks,
	       r->node_blocks, r->table_blocks);
	printf("checked %" PRIu64 " rows, %" PRIu64 " blocks; %" PRIu64
	       " units damaged, %" PRIu64 " blocks lost\n",
	       r->rows_checked, r->blocks_checked, r->damaged_units,
	       r->lost_blocks);
	printf("%" PRIu64 " errors, %" PRIu64 " losses, %" PRIu64
	       " damages\n",
	       r->nerrors, r->nlost, r->ndamage);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void print_json(const struct check_report *r, struct output *out,
		       const char *failed)
{
	const struct {
		const char *name;
		uint64_t    value;
	} numbers[] = {
		{ "errors", r->nerrors },
		{ "losses", r->nlost },
		{ "damages", r->ndamage },
		{ "k", r->k },
		{ "m", r->m },
		{ "members", r->members },
		{ "members_out", r->members_out },
		{ "members_missing", r->members_missing },
		{ "claim", r->claim },
		{ "label", r->label_no },
		{ "labels_valid", r->labels_valid },
		{ "labels_damaged", r->labels_damaged },
		{ "commit", r->commit },
		{ "commit_row", r->commit_row },
		{ "log_end", r->log_end },
		{ "flushed_row", r->flushed_row },
		{ "rows_replayed", r->rows_replayed },
		{ "rows_dropped", r->rows_after_end },
		{ "segments", r->segments },
		{ "segments_free", r->segments_free },
		{ "segments_open", r->segments_open },
		{ "segments_sealed", r->segments_sealed },
		{ "segments_quarantined", r->segments_quarantined },
		{ "zones", r->zones },
		{ "zones_used", r->zones_used },
		{ "zones_free", r->zones_free },
		{ "volumes", r->volumes },
		{ "snapshots", r->snapshots },
		{ "checkpoints", r->checkpoints },
		{ "mapped_blocks", r->mapped_blocks },
		{ "node_blocks", r->node_blocks },
		{ "table_blocks", r->table_blocks },
		{ "rows_checked", r->rows_checked },
		{ "blocks_checked", r->blocks_checked },
		{ "lost_blocks", r->lost_blocks },
		{ "damaged_units", r->damaged_units },
	};
	json_t *o = json_object();
	char uuid[UUID_TEXT_BYTES];

	json_object_set_new(o, "pool", text_json(r->name));
	json_object_set_new(o, "uuid",
			    json_string(uuid_text(&r->pool, uuid)));
	json_object_set_new(o, "released", json_boolean(r->released));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		json_object_set_new(o, numbers[i].name,
				    number(numbers[i].value));
	json_object_set_new(o, "clean",
			    json_boolean(failed == NULL &&
					 r->nerrors + r->nlost + r->ndamage ==
						 0));
	if (failed != NULL)
		json_object_set_new(o, "error", json_string(failed));
	json_object_set_new(o, "findings", out->findings);
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
}

static const char *run_error(int r)
{
	switch (r) {
	case -ENODATA:
		return "none of these disks carries a label of a Tarn pool";
	case -ENOTSUP:
		return "the pool's format is newer than this tarn-check";
	case -EINVAL:
		return "these disks cannot be checked together";
	case -ENOMEM:
		return "too little memory";
	default:
		return "the check cannot be done";
	}
}

static int check(struct check_source *const *disks, unsigned n, bool quick,
		 struct output *out)
{
	struct check_options opt = { .quick = quick,
				     .verbose = out->verbose,
				     .report = report,
				     .arg = out };
	struct check_report rep;
	int r = tarn_check_run(disks, n, &opt, &rep);

	if (out->json)
		print_json(&rep, out, r < 0 ? run_error(r) : NULL);
	else if (r >= 0)
		print_text(&rep);
	if (r < 0 && !out->json)
		fprintf(stderr, "tarn-check: %s\n", run_error(r));
	return r == 0 ? 0 : 1;
}

static int open_and_check(char *const *places, unsigned n, const char *tls_dir,
			  bool quick, struct output *out)
{
	struct check_source **disks;
	char err[512];
	int r;

	if (check_places_open(places, n, tls_dir, &disks, err) < 0) {
		fprintf(stderr, "tarn-check: %s\n", err);
		return 1;
	}
	r = check(disks, n, quick, out);
	check_places_close(disks, n);
	return r;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "json", no_argument, NULL, 'j' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "tls-dir", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct output out = { .json = false };
	const char *tls_dir = CHECK_TLS_DIR;
	bool quick = false;
	int c;

	while ((c = getopt_long(argc, argv, "qjvh", options, NULL)) != -1) {
		switch (c) {
		case 'q':
			quick = true;
			break;
		case 'j':
			out.json = true;
			break;
		case 'v':
			out.verbose = true;
			break;
		case 't':
			tls_dir = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		fputs("tarn-check: name at least one disk\n", stderr);
		usage(stderr);
		return EXIT_USAGE;
	}
	if (out.json)
		out.findings = json_array();
	return open_and_check(argv + optind, (unsigned)(argc - optind),
			      tls_dir, quick, &out);
}
