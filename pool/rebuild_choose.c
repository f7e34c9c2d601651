/* pool/rebuild_choose.c - which units are made again next, and on which disks.
 *
 * Made again are units marked missing, units that never had a zone, those on a
 * member that is out and has been waited for, and those on a member that is
 * drained; the segments that lack most first.  Each goes to the domain with the
 * most free zones of those that the segment is not in.
 *
 * A segment with little in it is left to the cleaner, which costs less, and so
 * is one of which not all rows can be had, or that fits in no domain.
 *
 * All of this only looks; rebuild_commit.c reserves and gives.
 */
#include "base/canary.h"
#include "pool/rebuild.h"

/* --- what is lacking ----------------------------------------------------- */

bool rebuild_source(const struct pool *p, const struct segment *s, uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	return m != NULL && (s->missing & (1u << u)) == 0 &&
	       member_readable(m);
}

/* It is out, and has been waited for. */
bool rebuild_waited(const struct pool *p, const struct member *m)
{
	return !m->in && (m->rebuild_now || member_drains(m) ||
			  (!member_is_offline(m) &&
			   io_now_ns(p->io) >=
				   m->out_since_ns +
					   p->params.rebuild_delay_ns));
}

/* Must unit u be made again now? */
bool rebuild_lacks(const struct pool *p, const struct segment *s,
		       uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	if (m == NULL)
		return true;
	if (!m->in)
		return rebuild_waited(p, m);
	return (s->missing & (1u << u)) != 0 || member_drains(m);
}

uint32_t rebuild_units_lacking(const struct pool *p, const struct segment *s)
{
	uint32_t n = 0;

	for (uint32_t u = 0; u < p->units; u++)
		n += rebuild_lacks(p, s, u);
	return n;
}

bool rebuild_holds(const struct segment *s)
{
	return s->state == SEG_SEALED && s->live + s->tables > 0;
}

/* Can unit u be made, of itself or of k others? */
bool rebuild_makeable(const struct pool *p, const struct segment *s,
			  uint32_t u)
{
	uint32_t n = 0;

	if (rebuild_source(p, s, u))
		return true;
	for (uint32_t v = 0; v < p->units; v++)
		n += rebuild_source(p, s, v);
	return n >= p->k;
}

/* The member with most free zones in the domain with most of them, of those
 * domains that no other unit of the segment is in, or will be in; NULL if there
 * is none. */
struct member *rebuild_target(const struct pool *p,
				    const struct segment *s, uint32_t u)
{
	bool           taken[DOMAINS_MAX] = {false};
	uint32_t       free[DOMAINS_MAX] = {0};
	struct member *best = NULL;

	for (uint32_t v = 0; v < p->units; v++) {
		const struct member *m = seg_member(p, s, v);

		if (v != u && m != NULL)
			taken[m->domain] = true;
	}
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		const struct unit_rebuild *x = &p->rebuild->units[i];

		if (x->state != REBUILD_NONE && x->seg == s && x->unit != u)
			taken[x->target->domain] = true;
	}
	for (uint32_t i = 0; i < p->nmembers; i++)
		free[p->members[i]->domain] += member_free_zones(p->members[i]);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (member_free_zones(m) == 0 || taken[m->domain])
			continue;
		if (best == NULL || free[m->domain] > free[best->domain] ||
		    (best->domain == m->domain &&
		     member_free_zones(m) > member_free_zones(best)))
			best = m;
	}
	return best;
}

bool rebuild_mostly_dead(const struct pool *p, const struct segment *s)
{
	return s->live + s->tables <= p->seg_data_blocks / 4;
}

static bool in_vain(const struct pool *p, const struct segment *s)
{
	return s->rebuild_after > p->last.commit;
}

bool rebuild_damaged(const struct pool *p, const struct segment *s)
{
	return in_vain(p, s) || damage_in_seg(p, s);
}

/* Are there as many domains as units, without those that are away or go? */
static bool domains_suffice(const struct pool *p)
{
	bool     stays[DOMAINS_MAX] = {false};
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		stays[m->domain] |= m->in && !member_drains(m);
	}
	for (uint32_t d = 0; d < p->ndomains; d++)
		n += stays[d];
	return n >= p->units;
}

bool rebuild_leaves(const struct pool *p, const struct segment *s)
{
	if (!rebuild_holds(s) || rebuild_units_lacking(p, s) == 0 ||
	    !domains_suffice(p) || !pool_space_fits(p))
		return false;
	if (rebuild_mostly_dead(p, s) || in_vain(p, s))
		return true;
	for (uint32_t u = 0; u < p->units; u++) {
		if (rebuild_lacks(p, s, u) && rebuild_target(p, s, u) != NULL)
			return false;
	}
	return true;
}

/* --- choosing ------------------------------------------------------------ */

static bool is_chosen(const struct rebuild *r, const struct segment *s,
		      uint32_t u)
{
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		const struct unit_rebuild *x = &r->units[i];

		if (x->state != REBUILD_NONE && x->seg == s && x->unit == u)
			return true;
	}
	return false;
}

static bool may_choose(const struct pool *p, const struct segment *s)
{
	return rebuild_holds(s) && !s->victim && !in_vain(p, s) &&
	       !(rebuild_mostly_dead(p, s) && domains_suffice(p));
}

/* Can something be done about one of its units?  The unit, or UINT32_MAX. */
uint32_t rebuild_unit_choose(const struct rebuild *r, const struct segment *s)
{
	struct pool *p = r->pool;

	for (uint32_t u = 0; u < p->units; u++) {
		if (rebuild_lacks(p, s, u) && !is_chosen(r, s, u) &&
		    rebuild_makeable(p, s, u) && rebuild_target(p, s, u) != NULL)
			return u;
	}
	return UINT32_MAX;
}

/* Is no unit lacking, but those that segments are marked with? */
static bool all_stay(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->removed && (!m->in || member_drains(m)))
			return false;
	}
	return true;
}

/* Up to n segments with units to make, those that lack most first; returns how
 * many there are. */
uint32_t rebuild_choose(struct rebuild *r, uint32_t n,
		       struct segment **ret_segs)
{
	struct pool *p = r->pool;
	bool         stay = all_stay(p);
	uint32_t     lacking[REBUILD_MAX], found = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        lacks, at;

		if ((stay && s->missing == 0) || !may_choose(p, s))
			continue;
		lacks = rebuild_units_lacking(p, s);
		if (lacks == 0 || (found == n && lacks <= lacking[n - 1]))
			continue;
		/* This commit flushes them. */
		if (s->unflushed) {
			r->vain = false;
			continue;
		}
		if (rebuild_unit_choose(r, s) == UINT32_MAX)
			continue;
		found += found < n;
		for (at = found - 1; at > 0 && lacking[at - 1] < lacks; at--) {
			lacking[at] = lacking[at - 1];
			ret_segs[at] = ret_segs[at - 1];
		}
		lacking[at] = lacks;
		ret_segs[at] = s;
	}
	return found;
}

bool rebuild_any(const struct rebuild *r)
{
	const struct pool *p = r->pool;
	bool               stay = all_stay(p);

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if ((s->missing != 0 || !stay) && may_choose(p, s) &&
		    rebuild_units_lacking(p, s) > 0)
			return true;
	}
	return false;
}
