/* tools/dump/dump_main.c - tarn-dump: look at the disks of a stopped pool. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_place.h"
#include "tools/dump/dump.h"

#define EXIT_USAGE 2

/* What can be asked for, behind the disks. */
struct command {
	const char *name;
	bool        number;  /* takes one */
	bool        opened;  /* needs a commit */
};

static const struct command commands[] = {
	{ "label", false, false },   { "leases", false, false },
	{ "root", false, true },     { "segments", false, true },
	{ "segment", true, true },   { "rows", true, true },
	{ "volumes", false, true },  { "node", true, true },
	{ "place", true, true },     { "events", false, true },
};

static void usage(FILE *f)
{
	fputs("Usage: tarn-dump [--tls-dir DIR] DISK... [COMMAND]\n"
	      "Print what is on the disks of a stopped pool.  DISK is a file, "
	      "a block device or\nan NBD URI.  Nothing is written.  "
	      "Commands:\n\n"
	      "  label       all labels (also without a command)\n"
	      "  leases      lease slots\n"
	      "  root        the newest commit's root, and where tables are\n"
	      "  segments    the segment table\n"
	      "  segment N   one segment and its rows\n"
	      "  rows N      one segment, its rows and their records\n"
	      "  volumes     the catalog\n"
	      "  node ID     a map node\n"
	      "  place P     what is at a place (0x...)\n"
	      "  events      what happened\n\n"
	      "A file that is named like a command: write ./label.\n",
	      f);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static void report(void *arg, enum check_severity severity, const char *text)
{
	(void)arg;
	if (severity != CHECK_INFO)
		fprintf(stderr, "tarn-dump: %s\n", text);
}

static int run(struct ck *ck, const struct command *c, uint64_t n)
{
	switch (c - commands) {
	case 2:
		return dump_root(ck);
	case 3:
		return dump_segments(ck);
	case 4:
		return dump_segment(ck, (uint32_t)n, false);
	case 5:
		return dump_segment(ck, (uint32_t)n, true);
	case 6:
		return dump_volumes(ck);
	case 7:
		return dump_node(ck, (uint32_t)n);
	case 9:
		return dump_events(ck);
	default:
		return dump_place(ck, n);
	}
}

static int dump(struct check_source *const *disks, unsigned ndisks,
		const struct command *c, uint64_t n)
{
	struct check_options opt = { .report = report };
	struct check_report rep;
	struct ck ck;
	int r = ck_init(&ck, disks, ndisks, &opt, &rep);

	if (r == 0 && c->opened)
		r = ck_open(&ck);
	else if (r == 0)
		r = ck_labels(&ck);
	if (r == -ENOMEM) {
		fputs("tarn-dump: too little memory\n", stderr);
	} else if (strcmp(c->name, "leases") == 0) {
		dump_leases(&ck);
		r = 0;
	} else if (!c->opened) {
		dump_labels(&ck);
		r = 0;
	} else if (r < 0 || !ck.rooted) {
		fputs("tarn-dump: no commit can be read from these disks; "
		      "`label` shows what they carry\n", stderr);
		r = -ENODATA;
	} else {
		r = run(&ck, c, n);
	}
	ck_fini(&ck);
	return r == 0 ? 0 : 1;
}

static int open_and_dump(char *const *places, unsigned n, const char *tls_dir,
			 const struct command *c, uint64_t number)
{
	struct check_source **disks;
	char err[512];
	int r;

	if (check_places_open(places, n, tls_dir, &disks, err) < 0) {
		fprintf(stderr, "tarn-dump: %s\n", err);
		return 1;
	}
	r = dump(disks, n, c, number);
	check_places_close(disks, n);
	return r;
}

/* Take the command off the end of the arguments; NULL: bad. */
static const struct command *command_take(int *argc, char **argv,
					  uint64_t *ret_number)
{
	const struct command *c;
	char *end;

	if (*argc >= 2) {
		c = command_find(argv[*argc - 2]);
		if (c != NULL && c->number) {
			errno = 0;
			*ret_number = strtoull(argv[*argc - 1], &end, 0);
			if (errno != 0 || *end != '\0' ||
			    end == argv[*argc - 1] ||
			    (strcmp(c->name, "place") != 0 &&
			     *ret_number > UINT32_MAX)) {
				fprintf(stderr, "tarn-dump: %s: is no number\n",
					argv[*argc - 1]);
				return NULL;
			}
			*argc -= 2;
			return c;
		}
	}
	c = *argc >= 1 ? command_find(argv[*argc - 1]) : NULL;
	if (c != NULL && c->number) {
		fprintf(stderr, "tarn-dump: %s: needs a number\n", c->name);
		return NULL;
	}
	if (c == NULL)
		return &commands[0];
	--*argc;
	return c;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "tls-dir", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct command *command;
	const char *tls_dir = CHECK_TLS_DIR;
	uint64_t number = 0;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (c != 't') {
			usage(stderr);
			return EXIT_USAGE;
		}
		tls_dir = optarg;
	}
	argc -= optind;
	argv += optind;
	command = command_take(&argc, argv, &number);
	if (command == NULL)
		return EXIT_USAGE;
	if (argc == 0) {
		fputs("tarn-dump: name at least one disk\n", stderr);
		usage(stderr);
		return EXIT_USAGE;
	}
	return open_and_dump(argv, (unsigned)argc, tls_dir, command, number);
}
