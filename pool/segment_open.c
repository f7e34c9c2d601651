/* pool/segment_open.c - the segment that a row goes to.
 *
 * Each class of rows has one segment open, clients of a wide pool several in
 * turn.  When a row has no room in it, it is sealed and an openable one is
 * opened, as long as enough of them stay for those that may not wait: commits
 * before the cleaner, the cleaner before clients.
 *
 * What the cleaner moves is of two classes: what clients wrote, and what was
 * moved before (LOG_COLD).  That has lived longer, and will, so segments of it
 * stay full; mixed with what dies soon it would be moved again and again.  When
 * space is short for two open segments both go to one.
 *
 * The ways to fail: none may be opened, or only one that lacks a unit while a
 * commit is about to list whole ones; then the row waits (log.c).  The cleaner,
 * and what else makes room, may share the segment that commits write to instead.
 */
#include "pool/core.h"

bool seg_writable(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m == NULL || !m->in)
			return false;
	}
	return true;
}

static uint32_t seg_units_in(const struct pool *p, const struct segment *s)
{
	uint32_t n = 0;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		n += m != NULL && m->in;
	}
	return n;
}

bool seg_drains(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m != NULL && member_drains(m))
			return true;
	}
	return false;
}

bool seg_has_room(const struct pool *p, const struct segment *s,
		  uint32_t unit_blocks, uint32_t index_bytes)
{
	uint64_t index = bytes_to_blocks_up((uint64_t)s->idx.bytes +
					    index_bytes);

	return s->write_off + unit_blocks + index <= p->zone_blocks;
}

uint32_t segs_openable_whole(const struct pool *p)
{
	/* While a domain is away there are no whole ones to be had. */
	if (p->partial == 0 || pool_domains_away(p) > 0)
		return p->openable;
	return p->openable - p->partial;
}

void segs_openable_add(struct pool *p, struct segment *s)
{
	s->state = SEG_OPENABLE;
	p->openable++;
	p->partial += s->missing != 0;
}

void segs_openable_take(struct pool *p, struct segment *s)
{
	assert(s->state == SEG_OPENABLE && p->openable > 0);
	p->openable--;
	p->partial -= s->missing != 0;
	assert(p->partial <= p->openable);
}

uint32_t segs_keep(const struct pool *p, enum log_class class)
{
	if (class == LOG_CLIENT || class == LOG_COLD)
		return segs_reserve(p) + 2; /* two are the cleaner's */
	return class == LOG_CLEANER ? segs_reserve(p) - 1 : 0;
}

void seg_open(struct pool *p, struct segment *s, enum log_class class)
{
	segs_openable_take(p, s);
	s->state = SEG_OPEN;
	s->class = (uint8_t)class;
	s->idx.bytes = (uint32_t)sizeof(struct seg_index_header);
	s->idx.nrows = 0;
	s->scan_from = 0;
}

static struct segment *seg_open_next(struct pool *p, enum log_class class)
{
	struct segment *best = NULL;
	bool            best_whole = false;

	if (p->openable <= segs_keep(p, class) ||
	    (class != LOG_COMMIT && !commit_spares(p)))
		return NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		bool            whole;

		if (s->state != SEG_OPENABLE ||
		    seg_units_in(p, s) < p->k + p->min_parity)
			continue;
		whole = seg_writable(p, s) && !seg_drains(p, s);
		if (best == NULL || (whole && !best_whole)) {
			best = s;
			best_whole = whole;
		}
	}
	if (best == NULL)
		return NULL;
	/* What is written to a partial one lacks redundancy, although all
	 * disks are there: rather wait for a commit that lists whole ones. */
	if (!best_whole && class != LOG_COMMIT && pool_domains_away(p) == 0 &&
	    commit_pending(p))
		return NULL;
	seg_open(p, best, class);
	return best;
}

/* Blocks of each zone that stay for commits in the segment that they share with
 * the cleaner: one, rows of which have a block of header for each 16 at worst.
 * When nothing is openable there is none to follow it, so some more: what is on
 * its way makes it larger. */
static uint32_t share_kept(const struct pool *p)
{
	uint64_t commit = p->client->commit_blocks(p->client_arg) +
			  p->tables_total + seg_pages(p) + 16;
	uint64_t kept = 2 * commit / p->k;

	if (p->openable == 0)
		kept += p->zone_blocks / 4;
	return (uint32_t)min_u64(kept, p->zone_blocks);
}

/* When nothing may be opened for it, the cleaner may share the segment that
 * commits write to, as long as a commit fits behind it: it is about to free
 * more than it takes.  The last room of all is not used in mid-commit, as that
 * may need it itself. */
static struct segment *seg_share(struct pool *p, uint32_t unit_blocks,
				 uint32_t index_bytes)
{
	struct segment *s = p->open[LOG_COMMIT][0];

	if (s == NULL || (p->openable == 0 && commit_running(p)) ||
	    seg_units_in(p, s) < p->k + p->min_parity ||
	    !seg_has_room(p, s, unit_blocks + share_kept(p), index_bytes))
		return NULL;
	return s;
}

uint32_t seg_share_blocks(const struct pool *p)
{
	const struct segment *s = p->open[LOG_COMMIT][0];
	uint64_t used;

	if (s == NULL)
		return 0;
	used = (uint64_t)s->write_off + share_kept(p);
	return (uint32_t)((p->zone_blocks - min_u64(used, p->zone_blocks)) *
			  p->seg_data_blocks / p->zone_blocks);
}

/* One open segment per class keeps a small pool whole; a wide pool has
 * several, used in turn, so that all its disks work at once. */
uint32_t segs_open_max(const struct pool *p, enum log_class class)
{
	if (class != LOG_CLIENT)
		return 1;
	return min_u32(OPEN_SEGS_MAX, max_u32(1, p->ndomains / p->units));
}

const struct segment *seg_only_open(const struct pool *p, enum log_class class)
{
	if (p->open[class][SEG_ASIDE] != NULL)
		return p->open[class][SEG_ASIDE];
	return segs_open_max(p, class) == 1 ? p->open[class][0] : NULL;
}

static struct segment *seg_of_class(struct pool *p, enum log_class class,
				    uint32_t unit_blocks, uint32_t index_bytes)
{
	uint32_t nopen = segs_open_max(p, class);
	struct segment *aside =
		late_segment(p, class, unit_blocks, index_bytes);

	if (aside != NULL)
		return aside;
	for (uint32_t tries = 0; tries < nopen; tries++) {
		uint32_t        i = p->open_next[class]++ % nopen;
		struct segment *s = p->open[class][i];

		if (s != NULL && (!seg_has_room(p, s, unit_blocks,
						index_bytes) ||
				  (!seg_writable(p, s) &&
				   seg_units_in(p, s) <
					   p->k + p->min_parity))) {
			p->open[class][i] = NULL;
			seg_seal(p, s);
			s = NULL;
		}
		if (s == NULL) {
			s = seg_open_next(p, class);
			p->open[class][i] = s;
		}
		if (s != NULL)
			return s;
	}
	return NULL;
}

struct segment *seg_for_row(struct pool *p, enum log_class class,
			    uint32_t unit_blocks, uint32_t index_bytes)
{
	struct segment *s = seg_of_class(p, class, unit_blocks, index_bytes);

	if (s != NULL || !class_cleans(class))
		return s;
	/* What is hot and what is cold together, rather than not at all. */
	s = seg_of_class(p, class == LOG_COLD ? LOG_CLEANER : LOG_COLD,
			 unit_blocks, index_bytes);
	return s != NULL ? s : seg_share(p, unit_blocks, index_bytes);
}
