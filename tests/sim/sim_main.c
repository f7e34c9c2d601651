/* tests/sim/sim_main.c - tarn-sim: run seeds, each in a process of its own,
 * and say what happened.
 *
 *	tarn-sim --seeds 1000 --jobs 2      many
 *	tarn-sim --seed 17 --trace          one again, with everything it does
 *
 * A child runs one seed and leaves counters and hash in shared memory.  What
 * it prints before it dies, and how it dies, is the failure.
 */
#include <errno.h>
#include <execinfo.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/canary.h"
#include "tests/sim/seed.h"

#define JOBS_MAX 64
/* A seed takes well under a second: this is for loops inside one callback,
 * which no count of turns can see. */
#define ALARM_S  300

struct result {
	struct sim_stats stats;
	uint64_t         hash;
};

struct options {
	struct seed_options seed;
	uint64_t            first;
	uint64_t            seeds;
	unsigned            jobs;
	bool                twice;  /* compare the hashes of two runs */
	bool                keep_going;
	const char         *canary;
};

/* --- failures ------------------------------------------------------------ */

/* An assertion, or worse. */
static void on_signal(int sig)
{
	void *frames[48];
	int   n = backtrace(frames, ARRAY_LEN(frames));

	signal(sig, SIG_DFL);
	printf("FAILED: signal %d\n", sig);
	if (sim_current != NULL)
		sim_say_where(sim_current);
	fflush(stdout);
	backtrace_symbols_fd(frames, n, STDOUT_FILENO);
	raise(sig);
}

/* --- running them -------------------------------------------------------- */

static void child(const struct options *opt, uint64_t seed,
		  struct result *ret_result)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE,
				       SIGALRM };
	struct seed_options so = opt->seed;

	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		signal(signals[i], on_signal);
	alarm(ALARM_S);
	/* Memory that is given back is used again: no page faults for it. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 8 << 20);
	so.seed = seed;
	ret_result->hash = seed_run(&so, &ret_result->stats);
	fflush(stdout);
	_exit(0);
}

static pid_t spawn(const struct options *opt, uint64_t seed,
		   struct result *ret_result)
{
	pid_t pid;

	memset(ret_result, 0, sizeof(*ret_result));
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(opt, seed, ret_result);
	if (pid < 0) {
		perror("tarn-sim: fork");
		exit(2);
	}
	return pid;
}

struct runner {
	pid_t    pid;
	uint64_t seed;
	uint64_t hash;   /* of the first of two runs */
	bool     second;
};

static void add(struct sim_stats *sum, const struct sim_stats *s)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		sum->v[i] += s->v[i];
}

static void print_stats(const struct sim_stats *s, uint64_t seeds,
			uint64_t failed)
{
	static const char *const names[] = {
#define X(n) #n,
		SIM_STATS(X)
#undef X
	};

	printf("seeds %llu, failed %llu\n", (unsigned long long)seeds,
	       (unsigned long long)failed);
	for (unsigned i = 0; i < STAT_COUNT; i++)
		printf("%20s %-12llu%s", names[i],
		       (unsigned long long)s->v[i],
		       i % 4 == 3 || i == STAT_COUNT - 1 ? "\n" : "");
}

/* A child has ended; true if the seed is through (not to be run again). */
static bool ended(const struct options *opt, struct runner *r,
		  const struct result *res, int status, bool *ret_ok)
{
	*ret_ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!*ret_ok || !opt->twice)
		return true;
	if (!r->second) {
		r->second = true;
		r->hash = res->hash;
		return false;
	}
	if (r->hash != res->hash) {
		printf("FAILED: seed %llu is not deterministic: %016llx, then "
		       "%016llx\n", (unsigned long long)r->seed,
		       (unsigned long long)r->hash,
		       (unsigned long long)res->hash);
		*ret_ok = false;
	}
	return true;
}

static int run_seeds(const struct options *opt)
{
	size_t           bytes = sizeof(struct result) * JOBS_MAX;
	struct result   *results = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct runner    runners[JOBS_MAX] = { 0 };
	struct sim_stats sum = { 0 };
	uint64_t         next = opt->first, end = opt->first + opt->seeds;
	uint64_t         done = 0, failed = 0;
	unsigned         running = 0;

	if (results == MAP_FAILED) {
		perror("tarn-sim: mmap");
		return 2;
	}
	while (running > 0 || next < end) {
		bool     stop = failed > 0 && !opt->keep_going;
		int      status;
		pid_t    pid;
		unsigned i;
		bool     ok;

		for (i = 0; i < opt->jobs && next < end && !stop; i++) {
			if (runners[i].pid != 0)
				continue;
			runners[i].seed = next++;
			runners[i].second = false;
			runners[i].pid =
				spawn(opt, runners[i].seed, &results[i]);
			running++;
		}
		if (running == 0)
			break;
		pid = wait(&status);
		for (i = 0; i < opt->jobs && runners[i].pid != pid; i++)
			;
		if (i == opt->jobs)
			continue;
		if (!ended(opt, &runners[i], &results[i], status, &ok)) {
			runners[i].pid =
				spawn(opt, runners[i].seed, &results[i]);
			continue;
		}
		runners[i].pid = 0;
		running--;
		done++;
		add(&sum, &results[i].stats);
		if (!ok) {
			failed++;
			printf("seed %llu failed\n",
			       (unsigned long long)runners[i].seed);
		}
		if (opt->seeds == 1)
			printf("hash %016llx\n",
			       (unsigned long long)results[i].hash);
	}
	print_stats(&sum, done, failed);
	return failed > 0 ? 1 : 0;
}

/* --- the command line ---------------------------------------------------- */

static void usage(FILE *f)
{
	fputs("usage: tarn-sim [--seed S | --seeds N [--first S]] [--jobs J]\n"
	      "                [--steps N] [--redundancy K+M] [--trace]\n"
	      "                [--twice] [--keep-going] [--canary NAME]\n"
	      "  --seed S        run one seed\n"
	      "  --seeds N       run seeds S to S+N-1 (default: 100 from 1)\n"
	      "  --jobs J        processes at a time (default 1)\n"
	      "  --steps N       requests of a seed (default 2000)\n"
	      "  --redundancy    instead of what the seed chooses\n"
	      "  --trace         print everything that happens\n"
	      "  --twice         run each seed twice: it must do the same\n"
	      "  --keep-going    do not stop at the first failure\n"
	      "  --canary NAME   with this bug planted (in a build with\n"
	      "                  canaries; `list` names them)\n",
	      f);
}

static uint64_t number(const char *text)
{
	char              *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "tarn-sim: \"%s\" is not a number\n", text);
		exit(2);
	}
	return v;
}

static void redundancy(struct seed_options *so, const char *text)
{
	if (sscanf(text, "%u+%u", &so->k, &so->m) != 2 || so->k < 1 ||
	    so->k > 16 || so->m > 4) {
		fprintf(stderr, "tarn-sim: \"%s\" is not a redundancy of "
			"1+0 to 16+4\n", text);
		exit(2);
	}
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "first", required_argument, NULL, 'f' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "steps", required_argument, NULL, 'N' },
		{ "redundancy", required_argument, NULL, 'r' },
		{ "trace", no_argument, NULL, 't' },
		{ "twice", no_argument, NULL, '2' },
		{ "keep-going", no_argument, NULL, 'k' },
		{ "canary", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->first = number(optarg);
			o->seeds = 1;
			break;
		case 'n':
			o->seeds = number(optarg);
			break;
		case 'f':
			o->first = number(optarg);
			break;
		case 'j':
			o->jobs = (unsigned)number(optarg);
			break;
		case 'N':
			o->seed.steps = number(optarg);
			break;
		case 'r':
			redundancy(&o->seed, optarg);
			break;
		case 't':
			o->seed.trace = true;
			break;
		case '2':
			o->twice = true;
			break;
		case 'k':
			o->keep_going = true;
			break;
		case 'c':
			o->canary = optarg;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc || o->jobs < 1 || o->jobs > JOBS_MAX) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options opt = {
		.seed = { .steps = 2000 },
		.first = 1,
		.seeds = 100,
		.jobs = 1,
	};

	parse(&opt, argc, argv);
	if (!canary_choose(opt.canary))
		return 2;
	return run_seeds(&opt);
}
