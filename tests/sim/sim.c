/* tests/sim/sim.c - see sim.h. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/life.h"
#include "tests/sim/sim.h"

struct sim *sim_current;

uint64_t sim_now_ns(const struct sim *sim)
{
	return sim->life != NULL ? sim->life->io.io.now_ns : sim->now_ns;
}

void sim_print(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	printf("[%12.6f] ", (double)sim_now_ns(sim) / 1e9);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void sim_say_where(const struct sim *sim)
{
	char  git[64] = "unknown";
	FILE *f = popen("git describe --always --dirty 2>/dev/null", "r");

	if (f != NULL) {
		if (fgets(git, sizeof(git), f) != NULL)
			git[strcspn(git, "\n")] = '\0';
		pclose(f);
	}
	printf("seed=%llu git=%s step=%llu redundancy=%u+%u\n",
	       (unsigned long long)sim->seed, git,
	       (unsigned long long)sim->step, sim->cfg.k, sim->cfg.m);
	printf("again: tarn-sim --seed %llu --steps %llu --trace\n",
	       (unsigned long long)sim->seed, (unsigned long long)sim->steps);
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	fputs("FAILED: ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	sim_say_where(sim);
	fflush(stdout);
	_exit(1);
}
