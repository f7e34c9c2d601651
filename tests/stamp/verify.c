/* tests/stamp/verify.c - compare a volume with its journal.
 *
 * For each block the journal gives its writes in order.  The one that must be
 * there at least is the last acknowledged (or, after loss of power, the last
 * flushed); any later one may be there instead.
 *
 * Found wrong:
 *  - lost: an older write, or nothing, is there;
 *  - torn: the block is no whole stamp of this place;
 *  - split: of one write in flight some blocks are there and some not, though
 *    nothing later covers them;
 *  - order: a write is there that was submitted after the acknowledgement of
 *    one that is not.
 */
#include "tests/stamp/stamp.h"

#include <inttypes.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>

#define REPORTS_MAX 20

/* Entry in a block's chain, newest first. */
struct step {
	uint32_t write; /* index in the journal */
	uint32_t next;  /* older one, or NONE */
};
#define NONE UINT32_MAX

struct verify {
	struct journal              j;
	const struct stamp_options *o;
	uint32_t    *heads;    /* newest step of each block, or NONE */
	struct step *steps;
	uint32_t     nsteps;
	uint32_t    *seen;     /* per write: blocks where it is */
	uint32_t    *unseen;   /* per write: blocks where it could be and an
				* older one is */
	uint64_t     lost, torn, split, order, reports;
	uint64_t     newest_there;   /* submit_pos of the newest visible */
	uint64_t     oldest_missing; /* ack_pos of the oldest missing */
};

static void report(struct verify *v, const char *what, uint64_t block,
		   uint64_t found, const struct stamp_write *want)
{
	if (v->reports++ >= REPORTS_MAX)
		return;
	printf("%s: block %" PRIu64 " holds ", what, block);
	if (found == UINT64_MAX)
		printf("no whole stamp");
	else if (found == 0)
		printf("zeros");
	else
		printf("write %" PRIu64, found);
	if (want != NULL)
		printf(", but write %" PRIu64 " (%s) must be there",
		       want->id, want->state == WRITE_FLUSHED ? "flushed"
							      : "acked");
	printf("\n");
}

static void index_writes(struct verify *v)
{
	uint64_t total = 0;

	for (size_t i = 0; i < v->j.nwrites; i++)
		total += v->j.writes[i].n;
	v->heads = malloc(v->j.nblocks * sizeof(v->heads[0]));
	v->steps = calloc(total + 1, sizeof(v->steps[0]));
	v->seen = calloc(v->j.nwrites + 1, sizeof(v->seen[0]));
	v->unseen = calloc(v->j.nwrites + 1, sizeof(v->unseen[0]));
	if (v->heads == NULL || v->steps == NULL || v->seen == NULL ||
	    v->unseen == NULL)
		abort();
	memset(v->heads, 0xff, v->j.nblocks * sizeof(v->heads[0]));
	for (size_t i = 0; i < v->j.nwrites; i++) {
		const struct stamp_write *w = &v->j.writes[i];

		for (uint32_t b = 0; b < w->n; b++) {
			v->steps[v->nsteps].write = (uint32_t)i;
			v->steps[v->nsteps].next = v->heads[w->block + b];
			v->heads[w->block + b] = v->nsteps++;
		}
	}
}

static bool matches(const struct stamp_write *w, uint64_t found)
{
	return w->zero ? found == 0 : found == w->id;
}

/* Would the block read the same if step s had never happened?  True of a
 * zeroing of what was zeros before. */
static bool ambiguous(const struct verify *v, uint32_t s, uint64_t found,
		      uint8_t enough)
{
	if (found != 0)
		return false;
	while (v->j.writes[v->steps[s].write].state < enough) {
		s = v->steps[s].next;
		if (s == NONE || v->j.writes[v->steps[s].write].zero)
			return true;
	}
	return false;
}

static void check_block(struct verify *v, uint64_t block, const uint8_t *buf)
{
	uint64_t found = stamp_id(buf, v->j.seed, block);
	uint8_t  enough = v->o->flushed ? WRITE_FLUSHED : WRITE_ACKED;

	if (found == UINT64_MAX) {
		v->torn++;
		report(v, "torn", block, found, NULL);
		return;
	}
	for (uint32_t s = v->heads[block]; s != NONE; s = v->steps[s].next) {
		uint32_t                  i = v->steps[s].write;
		const struct stamp_write *w = &v->j.writes[i];

		if (matches(w, found)) {
			if (ambiguous(v, s, found, enough))
				return;
			v->seen[i]++;
			if (w->submit_pos > v->newest_there)
				v->newest_there = w->submit_pos;
			return;
		}
		v->unseen[i]++;
		if (w->ack_pos != 0 && w->ack_pos < v->oldest_missing)
			v->oldest_missing = w->ack_pos;
		if (w->state >= enough) {
			v->lost++;
			report(v, "lost", block, found, w);
			return;
		}
	}
	if (found != 0) {
		v->lost++;
		report(v, "unknown", block, found, NULL);
	}
}

/* Also tells the journal what never happened, so that it stays so: what was
 * read once must not change by itself. */
static void check_writes(struct verify *v)
{
	for (size_t i = 0; i < v->j.nwrites; i++) {
		const struct stamp_write *w = &v->j.writes[i];

		if (w->n == 0 || v->unseen[i] == 0)
			continue;
		if (v->seen[i] != 0) {
			v->split++;
			if (v->reports++ < REPORTS_MAX)
				printf("split: write %" PRIu64 " at block %"
				       PRIu64 " + %" PRIu32 ": %" PRIu32
				       " blocks are there, %" PRIu32
				       " are not\n", w->id, w->block, w->n,
				       v->seen[i], v->unseen[i]);
		} else {
			journal_line(&v->j, 'L', w->id, 0, 0);
		}
	}
	/* What was in flight and is there happened: from now on it must. */
	for (size_t i = 0; i < v->j.nwrites; i++) {
		const struct stamp_write *w = &v->j.writes[i];

		if (w->state == WRITE_INFLIGHT && v->seen[i] != 0)
			journal_line(&v->j, 'A', w->id, 0, 0);
	}
	if (v->newest_there > v->oldest_missing) {
		v->order++;
		printf("order: a write is there that was submitted after the"
		       " acknowledgement of one that is not (journal lines"
		       " %" PRIu64 " and %" PRIu64 ")\n", v->newest_there,
		       v->oldest_missing);
	}
}

static int read_all(struct verify *v, struct nbd_handle *nbd)
{
	const uint32_t chunk = 256;
	uint8_t       *buf = malloc((size_t)chunk * STAMP_BLOCK);
	uint64_t       b, n, i;
	int            r = 0;

	if (buf == NULL)
		abort();
	for (b = 0; b < v->j.nblocks && r == 0; b += n) {
		n = v->j.nblocks - b < chunk ? v->j.nblocks - b : chunk;
		if (nbd_pread(nbd, buf, n * STAMP_BLOCK, b * STAMP_BLOCK,
			      0) < 0) {
			fprintf(stderr, "stamp: reading blocks %" PRIu64
				" to %" PRIu64 ": %s\n", b, b + n - 1,
				nbd_get_error());
			r = -1;
			break;
		}
		for (i = 0; i < n; i++)
			check_block(v, b + i, buf + i * STAMP_BLOCK);
	}
	free(buf);
	return r;
}

int stamp_verify_run(const struct stamp_options *o)
{
	struct verify      v = { .o = o, .oldest_missing = UINT64_MAX };
	struct nbd_handle *nbd = nbd_create();
	int64_t            size;
	int                r = 2;

	if (nbd == NULL || nbd_connect_uri(nbd, o->uri) < 0 ||
	    (size = nbd_get_size(nbd)) < 0) {
		fprintf(stderr, "stamp: %s: %s\n", o->uri, nbd_get_error());
		goto out;
	}
	if (journal_open(&v.j, o->journal, (uint64_t)size / STAMP_BLOCK) < 0)
		goto out;
	index_writes(&v);
	r = 1;
	if (read_all(&v, nbd) < 0)
		goto out;
	check_writes(&v);
	nbd_shutdown(nbd, 0);
	r = v.lost + v.torn + v.split + v.order == 0 ? 0 : 1;
	printf("verified %" PRIu64 " blocks after %zu writes: %" PRIu64
	       " lost, %" PRIu64 " torn, %" PRIu64 " split, %" PRIu64
	       " out of order\n", v.j.nblocks, v.j.nwrites, v.lost, v.torn,
	       v.split, v.order);
out:
	nbd_close(nbd);
	free(v.heads);
	free(v.steps);
	free(v.seen);
	free(v.unseen);
	journal_close(&v.j);
	return r;
}
