/* tests/stamp/stamp_main.c - the command line of tarn-stamp. */
#include "tests/stamp/stamp.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
	fputs("usage: tarn-stamp write URI JOURNAL --seconds S|--ops N [--qd N]"
	      " [--connections N]\n"
	      "                  [--run-blocks N] [--reads PERCENT]"
	      " [--zeros PERCENT] [--flush-every N]\n"
	      "                  [--prng N]\n"
	      "       tarn-stamp verify URI JOURNAL [--flushed]\n",
	      stderr);
	return 2;
}

static unsigned in_range(const char *text, unsigned low, unsigned high)
{
	char         *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end != '\0' || n < low || n > high) {
		fprintf(stderr, "tarn-stamp: %s: a number from %u to %u is"
			" wanted\n", text, low, high);
		exit(2);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "qd", required_argument, NULL, 'q' },
		{ "connections", required_argument, NULL, 'c' },
		{ "run-blocks", required_argument, NULL, 'b' },
		{ "reads", required_argument, NULL, 'r' },
		{ "zeros", required_argument, NULL, 'z' },
		{ "flush-every", required_argument, NULL, 'f' },
		{ "prng", required_argument, NULL, 'p' },
		{ "flushed", no_argument, NULL, 'F' },
		{ NULL, 0, NULL, 0 },
	};
	struct stamp_options o = {
		.qd = 8, .conns = 1, .run_max = 64, .reads = 20, .zeros = 5,
		.flush_every = 200,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			o.seconds = strtod(optarg, NULL);
			break;
		case 'o':
			o.ops = strtoull(optarg, NULL, 10);
			break;
		case 'q':
			o.qd = in_range(optarg, 1, STAMP_QD_MAX);
			break;
		case 'c':
			o.conns = in_range(optarg, 1, STAMP_CONNS_MAX);
			break;
		case 'b':
			o.run_max = in_range(optarg, 1, STAMP_RUN_MAX);
			break;
		case 'r':
			o.reads = in_range(optarg, 0, 100);
			break;
		case 'z':
			o.zeros = in_range(optarg, 0, 100);
			break;
		case 'f':
			o.flush_every = in_range(optarg, 0, 1u << 30);
			break;
		case 'p':
			o.prng = strtoull(optarg, NULL, 10);
			break;
		case 'F':
			o.flushed = true;
			break;
		default:
			return usage();
		}
	}
	if (argc - optind != 3)
		return usage();
	o.uri = argv[optind + 1];
	o.journal = argv[optind + 2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(argv[optind], "verify") == 0)
		return stamp_verify_run(&o);
	if (strcmp(argv[optind], "write") != 0 ||
	    (o.ops == 0 && o.seconds <= 0))
		return usage();
	return stamp_write_run(&o);
}
