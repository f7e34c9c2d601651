/* tests/sim/offline.c - see offline.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/offline.h"
#include "tests/sim/sim_late.h"
#include "tests/sim/sim_media.h"
#include "tools/check/check.h"

struct source {
	struct check_source src;
	struct sim_media   *media;
	bool                mended; /* read it as a scrub would leave it */
	char                name[32];
};

static int source_read(struct check_source *src, uint64_t off_bytes, void *buf,
		       size_t len_bytes)
{
	struct source    *s = container_of(src, struct source, src);
	struct sim_media *m = s->media;
	uint32_t          block = (uint32_t)(off_bytes / TARN_BLOCK);
	uint8_t          *dst = buf;

	for (size_t i = 0; i < len_bytes / TARN_BLOCK; i++) {
		page_t p = m->cur[block + i];

		if (s->mended)
			p = media_mended(m, block + i);
		else if (bitmap_test(m->bad, block + i))
			return -EIO;
		memcpy(dst + i * TARN_BLOCK, page_data(p), TARN_BLOCK);
	}
	return 0;
}

static void report(void *arg, enum check_severity severity, const char *text)
{
	struct sim *sim = arg;

	TRACE(sim, 70, severity, strlen(text), "check: %u %s", severity, text);
	if (severity >= CHECK_LOST && !sim->trace)
		sim_print(sim, "check: %u %s", severity, text);
}

/* Disks are given in the order of their numbers, all of them. */
static void zone(void *arg, unsigned disk, uint64_t first_block,
		 uint32_t nblocks, uint64_t claim)
{
	struct sim *sim = arg;

	sim_late_known(sim->media[disk], first_block, nblocks, claim);
}

static void out(void *arg, uint32_t member)
{
	struct sim *sim = arg;

	sim->out_told[member] = true;
}

/* Domains of which a disk is out, as the labels say. */
static uint32_t domains_out(const struct sim *sim)
{
	uint32_t n = 0, last = UINT32_MAX;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		if (!sim->out_told[i] || sim->media[i]->domain == last)
			continue;
		last = sim->media[i]->domain;
		n++;
	}
	return n;
}

/* A pool opens without so many domains as m less those that are out, so what
 * was flushed must be there without any of these. */
static void row(void *arg, uint64_t claim, uint64_t no, uint32_t units)
{
	struct sim *sim = arg;
	uint32_t    out = domains_out(sim);

	if (claim != sim->flushed_claim || no > sim->flushed_row ||
	    units + out >= sim->cfg.k + sim->cfg.m)
		return;
	sim_fail(sim, "P1: of row %llu, which was flushed (up to row %llu), "
		 "%u units are whole, and the labels say of %u domains only "
		 "that they are out", (unsigned long long)no,
		 (unsigned long long)sim->flushed_row, units, out);
}

static void run(struct sim *sim, bool mended, struct check_report *ret_rep)
{
	struct source        sources[SIM_DISKS_MAX];
	struct check_source *list[SIM_DISKS_MAX];
	struct check_options opt = { .report = report, .arg = sim };
	unsigned             n = 0;
	int                  r;

	if (mended) {
		opt.zone = zone;
		opt.out = out;
		opt.row = row;
	}
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];
		struct source    *s = &sources[n];

		if (!mended && (m->gone || m->hung))
			continue;
		s->media = m;
		s->mended = mended;
		snprintf(s->name, sizeof(s->name), "sim:%u", i);
		s->src.name = s->name;
		s->src.size_bytes = (uint64_t)m->nblocks * TARN_BLOCK;
		s->src.read = source_read;
		list[n++] = &s->src;
	}
	r = tarn_check_run(list, n, &opt, ret_rep);
	TRACE(sim, 71, r, ret_rep->nerrors, "check: %d, %llu damaged, %llu "
	      "lost, %llu errors", r, (unsigned long long)ret_rep->ndamage,
	      (unsigned long long)ret_rep->nlost,
	      (unsigned long long)ret_rep->nerrors);
	if (r < 0)
		sim_fail(sim, "the offline check could not run: %d", r);
	if (ret_rep->nlost > 0 || ret_rep->nerrors > 0)
		sim_fail(sim, "the offline check found %llu losses and %llu "
			 "errors", (unsigned long long)ret_rep->nlost,
			 (unsigned long long)ret_rep->nerrors);
}

void offline_check(struct sim *sim)
{
	struct check_report rep;

	STAT(sim, checks);
	run(sim, false, &rep);
}

void offline_audit(struct sim *sim)
{
	struct check_report rep;

	STAT(sim, audits);
	sim_late_forget_known();
	memset(sim->out_told, 0, sizeof(sim->out_told));
	run(sim, true, &rep);
	sim_late_check_known(sim);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		if (sim->out[i] && !sim->out_told[i])
			sim_fail(sim, "the server went on without disk %u, "
				 "and no label says so", i);
	}
	if (rep.damaged_commit > 0)
		sim_fail(sim, "P1: %llu units are not whole, although every "
			 "disk is there and nobody has recorded that they "
			 "are missing",
			 (unsigned long long)rep.damaged_commit);
}
