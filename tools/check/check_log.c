/* tools/check/check_log.c - the log after the commit: where it ends.
 *
 * Rows of the commit's claim that are younger than it are looked for where a
 * recovery looks: in the segments that the commit lists as open or openable,
 * and in those that the label adds.  They count in order of their numbers, as
 * long as one follows the other:
 *
 *  - up to the flushed mark (the highest that any of these rows carries, and
 *    the commit's own rows) a header is enough; a row that is missing there is
 *    damage, never the end;
 *  - above it, enough units must be whole to have all of the row; the first
 *    row of which that is not so ends the log.
 *
 * Of several copies of a row the one with more valid units counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

/* A row that may be of the log. */
struct cand {
	struct ck_segment *seg;
	struct ck_row     *row;
	bool               hidden; /* in a segment that is not looked at */
};

struct log {
	struct ck   *ck;
	struct cand *cands;  /* by number, the better copies first */
	uint32_t     ncands, cap;
	uint8_t     *buf;    /* a slice */
};

static bool slice_valid(struct log *log, const struct cand *c, uint32_t u)
{
	struct ck *ck = log->ck;
	const struct ck_row *row = c->row;
	uint32_t first = ck_unit_field(ck, u) * row->slice;

	if (row->slice == 0)
		return true;
	if (ck_read_unit(ck, c->seg, u, row->off + row->header_blocks,
			 log->buf, row->slice) < 0)
		return false;
	if (ck->k > 1 && u >= ck->k)
		return crc32c(0, log->buf, row->slice * TARN_BLOCK) ==
		       row->parity_crc[u - ck->k];
	for (uint32_t i = 0; i < row->slice; i++) {
		const uint8_t *p = log->buf + (size_t)i * TARN_BLOCK;

		if (first + i < row->payload_blocks ?
			    crc32c(0, p, TARN_BLOCK) != row->crcs[first + i] :
			    p[0] != 0 || memcmp(p, p + 1, TARN_BLOCK - 1) != 0)
			return false;
	}
	return true;
}

/* Units of the row that are whole. */
static uint32_t valid_units(struct log *log, const struct cand *c)
{
	uint32_t n = 0;

	for (uint32_t u = 0; u < log->ck->units; u++) {
		if ((c->row->units >> u & 1) != 0 && slice_valid(log, c, u))
			n++;
	}
	return n;
}

static int segment_collect(struct log *log, struct ck_segment *seg)
{
	struct ck *ck = log->ck;
	bool looked_at = seg->state == SEG_DISK_OPENABLE || seg->extra;

	for (uint32_t i = 0; i < seg->nrows; i++) {
		struct ck_row *row = seg->rows[i];
		struct cand *c;

		if (row->from_index || row->row <= ck->commit_row ||
		    row->claim.no != ck->commit_claim.no ||
		    !uuid_equal(&row->claim.id, &ck->commit_claim.id))
			continue;
		if (looked_at && !seg->extra && row->off < seg->scan_from)
			ck_error(ck, "segment %" PRIu32 ": row %" PRIu64
				 " at block %" PRIu32 " is younger than the "
				 "commit, but a recovery looks from block "
				 "%" PRIu32 " on", seg->no, row->row, row->off,
				 seg->scan_from);
		if (!ck_grow(ck, &log->cands, log->ncands, &log->cap,
			     sizeof(*log->cands)))
			return -ENOMEM;
		c = &log->cands[log->ncands++];
		c->seg = seg;
		c->row = row;
		c->hidden = !looked_at;
		if (looked_at && row->flushed > ck->flushed)
			ck->flushed = row->flushed;
	}
	return 0;
}

static int cand_order(const void *pa, const void *pb)
{
	const struct cand *a = pa, *b = pb;

	if (a->row->row != b->row->row)
		return a->row->row < b->row->row ? -1 : 1;
	if (a->hidden != b->hidden)
		return a->hidden ? 1 : -1;
	if (a->seg->no != b->seg->no)
		return a->seg->no < b->seg->no ? -1 : 1;
	return a->row->off < b->row->off ? -1 : 1;
}

static int collect(struct log *log)
{
	struct ck *ck = log->ck;
	int r = 0;

	ck->flushed = max_u64(ck->commit_row, ck->root_row);
	for (uint32_t i = 0; i < ck->nsegs && r == 0; i++) {
		if (ck->segs[i].state != SEG_DISK_FREE)
			r = segment_collect(log, &ck->segs[i]);
	}
	for (uint32_t i = 0; i < ck->nboot && r == 0; i++) {
		if (ck->boot[i].extra)
			r = segment_collect(log, &ck->boot[i]);
	}
	if (r == 0 && log->ncands > 0)
		qsort(log->cands, log->ncands, sizeof(*log->cands),
		      cand_order);
	return r;
}

/* The best copy of the row that cands[at..end-1] are copies of; NULL: none is
 * good enough.  Of copies with equally many whole units the one with more
 * headers counts. */
static const struct cand *best_copy(struct log *log, uint32_t at, uint32_t end)
{
	const struct cand *best = NULL;
	uint32_t best_rank = 0;

	for (uint32_t i = at; i < end; i++) {
		const struct cand *c = &log->cands[i];
		bool durable = c->row->row <= log->ck->flushed;
		uint32_t headers = (uint32_t)__builtin_popcount(c->row->units);
		uint32_t valid = 0, rank;

		if (c->hidden)
			continue;
		if (!durable || end - at > 1)
			valid = valid_units(log, c);
		rank = valid * (POOL_UNITS_MAX + 1) + headers;
		if ((durable || valid >= log->ck->k) && rank > best_rank) {
			best = c;
			best_rank = rank;
		}
	}
	return best;
}

static uint32_t copies_end(const struct log *log, uint32_t at)
{
	uint32_t end = at;

	while (end < log->ncands &&
	       log->cands[end].row->row == log->cands[at].row->row)
		end++;
	return end;
}

static void gap_report(struct ck *ck, uint64_t from, uint64_t to)
{
	if (from == to)
		ck_lost(ck, "row %" PRIu64 " of the log is missing, though a "
			"later one says that it was flushed: what it did is "
			"lost", from);
	else
		ck_lost(ck, "rows %" PRIu64 " to %" PRIu64 " of the log are "
			"missing, though later ones say that they were "
			"flushed: what they did is lost", from, to);
}

static void hidden_report(struct ck *ck, const struct cand *c)
{
	ck_error(ck, "row %" PRIu64 " of the log is in segment %" PRIu32
		 ", which the commit does not list as open: no recovery "
		 "finds it there", c->row->row, c->seg->no);
}

/* Accept rows in order, until one is missing; apply each. */
static int log_accept(struct log *log)
{
	struct ck *ck = log->ck;
	uint64_t next = ck->commit_row + 1;
	uint32_t at = 0, end;
	int r = 0;

	for (; at < log->ncands && r == 0; at = end) {
		uint64_t no = log->cands[at].row->row;
		const struct cand *c;

		end = copies_end(log, at);
		if (no > next && next <= ck->flushed) {
			uint64_t last = min_u64(no - 1, ck->flushed);

			gap_report(ck, next, last);
			next = last + 1;
		}
		if (no > next)
			break;
		c = best_copy(log, at, end);
		if (c == NULL && log->cands[at].hidden)
			hidden_report(ck, &log->cands[at]);
		if (c == NULL && no > ck->flushed)
			break;
		next = no + 1;
		if (c == NULL) {
			gap_report(ck, no, no);
			continue;
		}
		c->row->accepted = true;
		if (ck->opt->row != NULL)
			ck->opt->row(ck->opt->arg, c->row->claim.no, no,
				     valid_units(log, c));
		r = ck_replay_row(ck, c->seg, c->row);
	}
	if (next <= ck->flushed) {
		gap_report(ck, next, ck->flushed);
		next = ck->flushed + 1;
	}
	ck->rep->log_end = next - 1;
	for (; at < log->ncands; at = end) {
		end = copies_end(log, at);
		ck->rep->rows_after_end++;
	}
	return r;
}

int ck_log(struct ck *ck)
{
	struct log log = { .ck = ck };
	int r = -ENOMEM;

	log.buf = ck_alloc(ck, ROW_PAYLOAD_MAX, TARN_BLOCK);
	if (log.buf != NULL)
		r = collect(&log);
	if (r == 0)
		r = log_accept(&log);
	if (r == 0)
		r = ck_after_log(ck);
	ck->rep->flushed_row = ck->flushed;
	if (r == 0 && ck->rep->released && ck->rep->rows_replayed > 0)
		ck_error(ck, "the pool was closed cleanly, but %" PRIu64
			 " rows after its last commit change something: "
			 "nobody looks for them", ck->rep->rows_replayed);
	if (r == 0 && ck->rep->rows_after_end > 0)
		ck_verbose(ck, "%" PRIu64 " rows behind the end of the log "
			   "(row %" PRIu64 ") are dropped: they were never "
			   "acknowledged", ck->rep->rows_after_end,
			   ck->rep->log_end);
	free(log.cands);
	free(log.buf);
	return r;
}
