/* pool/rebalance.c - units move from disks with few free zones to those with
 * many.
 *
 * The idea: segments are composed of the domains that have the most free zones.
 * After a disk was added, or was away for a while, it has many more than the
 * others, and when those have none any more, all of its own are of no use.  So
 * when nothing is to be made again, units of sealed segments move: from the
 * domain with the fewest free zones that the segment is in to the one with the
 * most that it is not in; and then, within a domain, from disk to disk.  Each is
 * made on a zone that is reserved for it, and changes zones by a commit, as if
 * it were lacking (rebuild.c), so at no time has anything fewer units than
 * before.
 *
 * Why it ends: free zones count, not used shares, because that is what new
 * segments are composed by, and so nothing written later undoes it.  A move is
 * worth while only if the target has at least EVEN_MIN zones more, so each makes
 * the disks more even (by the sum of squares), the domains before the disks
 * within them.  It begins when they differ by an eighth of their zones, and goes
 * on until that is a thirty-second.  When space is low and there are segments
 * that could be composed if all were even, any difference will do.
 *
 * Each commit looks whether there is something to do, and when something is
 * under way, or a disk has come, there is one: an idle pool that is even looks
 * at nothing.
 *
 * The ways to fail: a disk goes out, or is to go: what is not written yet is
 * dropped, and made again is what is lacking.  There is no zone to spare:
 * nothing moves, and the cleaner makes room, by moving blocks if need be.
 */
#include <string.h>

#include "base/canary.h"
#include "pool/cleaner.h"
#include "pool/rebuild.h"

#define EVEN_MIN 3u
/* Shares of the zones by which disks differ when it begins, and ends. */
#define BEGIN_SHARE 8u
#define END_SHARE   32u

/* Before anything that stays in its domain. */
#define BETWEEN_DOMAINS (1u << 31)

/* Free zones, with those that have nothing in them: what is written next goes
 * to some, and others are about to be free.  If any difference will do, only
 * those that are free now. */
struct spread {
	const struct rebuild *rebuild;
	bool           any;     /* difference will do, that is not too small */
	uint32_t       free[POOL_MEMBERS_MAX];
	uint32_t       domain_free[DOMAINS_MAX];
	uint32_t       domain_zones[DOMAINS_MAX];
	struct member *best[DOMAINS_MAX]; /* with a zone for a unit; NULL: none */
	uint32_t       order[DOMAINS_MAX]; /* those that have one, by free */
	uint32_t       norder;
};

bool rebalance_allowed(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->removed || member_is_witness(m))
			continue;
		if (!m->in || m->state != MEMBER_ONLINE || m->flags != 0 ||
		    m->joining || m->leaving)
			return false;
	}
	return p->state == POOL_ST_ACTIVE && !p->last_commit;
}

bool rebalance_wanted(const struct pool *p, const struct unit_rebuild *x)
{
	const struct member *m = seg_member(p, x->seg, x->unit);

	return m != NULL && m->in && !member_drains(x->target) &&
	       (x->seg->missing & (1u << x->unit)) == 0;
}

uint32_t rebalance_count(const struct rebuild *r)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < REBUILD_MAX; i++)
		n += r->units[i].state != REBUILD_NONE && r->units[i].move;
	return n;
}

bool rebalance_hurries(const struct pool *p)
{
	return space_is_low(p) && rebalance_count(p->rebuild) > 0;
}

/* --- how uneven ---------------------------------------------------------- */

/* Nothing is in it.  When it is dead its zones are free as soon as a commit has
 * seen that, or they are trimmed. */
static bool is_empty(const struct pool *p, const struct segment *s)
{
	if (s->state == SEG_SEALED)
		return s->live + s->tables == 0;
	if (s->state == SEG_QUARANTINED)
		return (s->trim | s->trimming) != 0 &&
		       !seg_must_quarantine(p, s);
	return s->state == SEG_OPENABLE || s->state == SEG_NEXT;
}

static void count_empty(const struct pool *p, struct spread *sp)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if (!is_empty(p, s))
			continue;
		for (uint32_t u = 0; u < p->units; u++) {
			if (s->zones[u].member != ZONE_NONE)
				sp->free[s->zones[u].member]++;
		}
	}
}

static void count_chosen(const struct rebuild *r, struct spread *sp)
{
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		const struct unit_rebuild *x = &r->units[i];

		if (x->state == REBUILD_DROP)
			sp->free[x->target->index]++;
		else if (x->state != REBUILD_NONE && x->move)
			sp->free[x->seg->zones[x->unit].member]++;
	}
}

/* The domains that have a zone for a unit, those with the most free first. */
static void put_in_order(struct spread *sp)
{
	const struct pool *p = sp->rebuild->pool;

	memset(sp->domain_free, 0, sizeof(sp->domain_free));
	memset(sp->best, 0, sizeof(sp->best));
	sp->norder = 0;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];
		struct member *best = sp->best[m->domain];

		sp->domain_free[m->domain] += sp->free[i];
		if (member_free_zones(m) > 0 &&
		    (best == NULL || sp->free[i] > sp->free[best->index]))
			sp->best[m->domain] = m;
	}
	for (uint32_t d = 0; d < p->ndomains; d++) {
		uint32_t at = sp->norder;

		if (sp->best[d] == NULL)
			continue;
		for (; at > 0 && sp->domain_free[sp->order[at - 1]] <
					 sp->domain_free[d]; at--)
			sp->order[at] = sp->order[at - 1];
		sp->order[at] = d;
		sp->norder++;
	}
}

static void spread_look(const struct rebuild *r, struct spread *sp)
{
	const struct pool *p = r->pool;

	memset(sp, 0, sizeof(*sp));
	sp->rebuild = r;
	sp->any = space_is_low(p) && segs_stranded(p) > 0;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		sp->free[i] = member_free_zones(m);
		sp->domain_zones[m->domain] += m->zones;
	}
	if (!sp->any)
		count_empty(p, sp);
	count_chosen(r, sp);
	put_in_order(sp);
}

/* Is it worth while to move a unit between disks with so many zones, of which
 * so many are free?  Returns by how many they differ, or 0. */
static uint32_t worth(const struct spread *sp, uint32_t from_free,
		      uint32_t to_free, uint32_t zones)
{
	uint32_t least = zones / (sp->rebuild->evens ? END_SHARE : BEGIN_SHARE);

	if (sp->any)
		least = 0;
	least = CANARY(move_endless) ? 1 : max_u32(least, EVEN_MIN);
	return to_free >= from_free + least ? to_free - from_free : 0;
}

/* --- which --------------------------------------------------------------- */

static bool is_chosen(const struct rebuild *r, const struct segment *s)
{
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		if (r->units[i].state != REBUILD_NONE && r->units[i].seg == s)
			return true;
	}
	return false;
}

static bool may_move(const struct pool *p, const struct segment *s)
{
	if (!rebuild_holds(s) || s->victim || s->missing != 0 ||
	    rebuild_mostly_dead(p, s) || rebuild_damaged(p, s))
		return false;
	for (uint32_t u = 0; u < p->units; u++) {
		if (s->zones[u].member == ZONE_NONE)
			return false;
	}
	return true;
}

static bool is_in_domain(const struct pool *p, const struct segment *s,
			 uint32_t domain)
{
	for (uint32_t u = 0; u < p->units; u++) {
		if (seg_member(p, s, u)->domain == domain &&
		    !CANARY(move_same_domain))
			return true;
	}
	return false;
}

static uint32_t move_between(const struct spread *sp, struct segment *s,
			     struct move *ret)
{
	const struct pool *p = sp->rebuild->pool;
	uint32_t           from = DOMAIN_NONE, unit = 0, i = 0, to;

	for (uint32_t u = 0; u < p->units; u++) {
		uint32_t d = seg_member(p, s, u)->domain;

		if (from == DOMAIN_NONE ||
		    sp->domain_free[d] < sp->domain_free[from]) {
			from = d;
			unit = u;
		}
	}
	while (i < sp->norder && is_in_domain(p, s, sp->order[i]))
		i++;
	if (i == sp->norder)
		return 0;
	to = sp->order[i];
	*ret = (struct move){ s, unit, sp->best[to] };
	return worth(sp, sp->domain_free[from], sp->domain_free[to],
		     min_u32(sp->domain_zones[from], sp->domain_zones[to]));
}

static uint32_t move_within(const struct spread *sp, struct segment *s,
			    struct move *ret)
{
	const struct pool *p = sp->rebuild->pool;
	uint32_t           most = 0;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);
		struct member       *to = sp->best[m->domain];
		uint32_t             n = 0;

		if (to != NULL && to != m)
			n = worth(sp, sp->free[m->index], sp->free[to->index],
				  min_u32(m->zones, to->zones));
		if (n <= most)
			continue;
		most = n;
		*ret = (struct move){ s, u, to };
	}
	return most;
}

/* The best that can be done with one of its units; 0: nothing. */
static uint32_t best_move(const struct spread *sp, struct segment *s,
			  struct move *ret)
{
	uint32_t n;

	if (!may_move(sp->rebuild->pool, s))
		return 0;
	n = move_between(sp, s, ret);
	if (n > 0)
		return BETWEEN_DOMAINS + n;
	return move_within(sp, s, ret);
}

/* Up to n segments, the best ones; returns how many.  If there are only some
 * that this commit flushes, the next one is not in vain. */
static uint32_t choose(struct rebuild *r, const struct spread *sp, uint32_t n,
		       struct segment **ret_segs)
{
	const struct pool *p = r->pool;
	uint32_t           scores[REBUILD_MAX], found = 0;
	bool               unflushed = false;
	struct move        mv;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        score = best_move(sp, s, &mv), at;

		if (score == 0 || (found == n && score <= scores[n - 1]) ||
		    is_chosen(r, s))
			continue;
		if (s->unflushed) {
			unflushed = true;
			continue;
		}
		found += found < n;
		for (at = found - 1; at > 0 && scores[at - 1] < score; at--) {
			scores[at] = scores[at - 1];
			ret_segs[at] = ret_segs[at - 1];
		}
		scores[at] = score;
		ret_segs[at] = s;
	}
	r->moves_vain = found > 0 || !unflushed;
	return found;
}

void rebalance_reserve(struct rebuild *r, uint32_t n,
		       bool (*reserve)(struct rebuild *r,
				       const struct move *mv))
{
	struct segment *segs[REBUILD_MAX];
	struct spread   sp;
	struct move     mv;

	r->moves_vain = true;
	if (!rebalance_allowed(r->pool))
		return;
	spread_look(r, &sp);
	n = choose(r, &sp, n, segs);
	r->evens = n > 0 || !r->moves_vain || rebalance_count(r) > 0;
	for (uint32_t i = 0; i < n; i++) {
		/* Those before have changed it. */
		if (best_move(&sp, segs[i], &mv) == 0 || !reserve(r, &mv))
			continue;
		r->moves_vain = false;
		sp.free[mv.target->index]--;
		sp.free[segs[i]->zones[mv.unit].member]++;
		put_in_order(&sp);
	}
}

bool rebalance_any(const struct rebuild *r)
{
	const struct pool *p = r->pool;
	struct spread      sp;
	struct move        mv;

	if (!rebalance_allowed(p))
		return false;
	spread_look(r, &sp);
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (best_move(&sp, p->segs[i], &mv) > 0 &&
		    !is_chosen(r, p->segs[i]))
			return true;
	}
	return false;
}

bool rebalance_helps(const struct pool *p)
{
	const struct rebuild *r = p->rebuild;

	if (r == NULL)
		return false;
	return rebalance_count(r) > 0 || (!r->moves_vain && rebalance_any(r));
}

/* --- how much ------------------------------------------------------------ */

/* Zones that would have to be freed elsewhere for all to have the same. */
static uint64_t above_mean(const uint32_t *free, uint32_t n)
{
	uint64_t sum = 0, above = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += free[i];
	for (uint32_t i = 0; i < n; i++)
		above += free[i] - min_u64(free[i], sum / n);
	return above;
}

uint64_t rebalance_left(const struct pool *p)
{
	const struct rebuild *r = p->rebuild;
	uint64_t              moving = rebalance_count(r), between = 0;
	struct spread         sp;
	struct move           mv;

	if (moving == 0)
		return 0;
	spread_look(r, &sp);
	for (uint32_t i = 1; i <= p->nsegs; i++)
		between += best_move(&sp, p->segs[i], &mv) > BETWEEN_DOMAINS &&
			   !is_chosen(r, p->segs[i]);
	return moving + min_u64(between, above_mean(sp.domain_free,
						    p->ndomains));
}
