/* pool/segment.c - segments in memory: their zones, and what lives in them.
 *
 *   FREE -> NEXT -> OPENABLE -> OPEN -> SEALING -> SEALED -> FREE
 *                                                    |
 *                                       QUARANTINED <-+-> FREE
 *
 *   FREE -> RESERVED -> FREE, or QUARANTINED     (one zone, rebuild.c)
 *
 * A running commit takes free zones together (NEXT); they become OPENABLE
 * when it is done, and only those are ever opened, so that recovery knows
 * where to look.  A sealed segment in which nothing lives is freed by a
 * commit: its zones may go into NEXT segments of that same commit, since they
 * are opened only once it is durable.
 *
 * How many there can be: capacity.c.  Which one a row goes to:
 * segment_open.c.  How they end: segment_seal.c.  On disk: segment_table.c.
 *
 * The ways to fail: no zones, or no memory for a slot, and nothing is composed.
 * A map that does not agree with the table is damage: what it points to is
 * counted as lost, and a segment whose count is wrong is never freed.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/canary.h"
#include "pool/core.h"

/* --- slots --------------------------------------------------------------- */

int segs_init(struct pool *p)
{
	p->segs_cap = 64;
	p->segs = calloc(p->segs_cap, sizeof(*p->segs));
	return p->segs != NULL ? 0 : -ENOMEM;
}

void segs_fini(struct pool *p)
{
	if (p->segs == NULL)
		return;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		free(p->segs[i]->idx.buf);
		free(p->segs[i]->seal_writes);
		free(p->segs[i]);
	}
	free(p->segs);
	p->segs = NULL;
	p->nsegs = 0;
}

static int segs_grow(struct pool *p, uint32_t no)
{
	uint32_t         cap = p->segs_cap;
	struct segment **segs;

	if (no > UINT32_MAX / 2)
		return -ENOMEM;
	while (cap <= no)
		cap *= 2;
	if (cap == p->segs_cap)
		return 0;
	segs = realloc(p->segs, (size_t)cap * sizeof(*segs));
	if (segs == NULL)
		return -ENOMEM;
	p->segs = segs;
	p->segs_cap = cap;
	return 0;
}

struct segment *seg_slot(struct pool *p, uint32_t no)
{
	assert(no >= 1);
	if (segs_grow(p, no) < 0)
		return NULL;
	while (p->nsegs < no) {
		struct segment *s = calloc(1, sizeof(*s));

		if (s == NULL)
			return NULL;
		s->no = p->nsegs + 1;
		s->state = SEG_FREE;
		p->segs[++p->nsegs] = s;
	}
	return p->segs[no];
}

/* --- zones --------------------------------------------------------------- */

void zone_take(struct pool *p, const struct zone_ref *z)
{
	struct member *m = p->members[z->member];

	assert(!bitmap_test(m->zone_map, z->zone));
	bitmap_set(m->zone_map, z->zone);
	m->zones_used++;
}

void seg_zone_take(struct pool *p, struct segment *s, uint32_t u,
		   const struct zone_ref *z)
{
	s->zones[u] = *z;
	zone_take(p, z);
}

void seg_zone_put(struct pool *p, struct segment *s, uint32_t u)
{
	struct member *m = seg_member(p, s, u);

	if (m == NULL)
		return;
	assert(bitmap_test(m->zone_map, s->zones[u].zone));
	bitmap_clear(m->zone_map, s->zones[u].zone);
	m->zones_used--;
	s->zones[u].member = ZONE_NONE;
}

void seg_free_zones(struct pool *p, struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++)
		seg_zone_put(p, s, u);
	if (s->dead)
		p->sealed_dead--;
	s->dead = false;
	s->state = SEG_FREE;
	/* A commit that is under way and may give the zones to another segment
	 * must not say that this one has them too. */
	damage_seg_freed(p, s);
	s->frozen_state = SEG_DISK_FREE;
	s->frozen_index_off = 0;
	s->live = 0;
	s->live_frozen = 0;
	s->missing = 0;
	s->write_off = 0;
	s->scan_from = 0;
	s->index_off = 0;
	s->victim = false;
	s->stray = false;
	s->reserved = false;
	s->rebuild_after = 0;
	s->trim = 0;
	s->trimming = 0;
	s->miscounted = false;
	s->clean_vain = 0;
	s->sealed_row = 0;
	s->claim = 0;
}

uint32_t member_free_zones(const struct member *m)
{
	/* A recovery takes what there is. */
	if (!m->in || m->state != MEMBER_ONLINE ||
	    (member_drains(m) && m->pool->state != POOL_ST_OPENING))
		return 0;
	return m->zones - m->zones_used;
}

/* The member of a domain with the most free zones; NULL if none has any. */
static struct member *domain_best(const struct pool *p, uint32_t domain)
{
	struct member *best = NULL;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->domain == domain && member_free_zones(m) > 0 &&
		    (best == NULL ||
		     member_free_zones(m) > member_free_zones(best)))
			best = m;
	}
	return best;
}

uint32_t domain_free_zones(const struct pool *p, uint32_t domain)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->domain == domain)
			n += member_free_zones(p->members[i]);
	}
	return n;
}

/* The k+m domains with the most free zones, or as many as there are. */
static uint32_t pick_domains(const struct pool *p, uint32_t *ret_domains)
{
	bool     used[POOL_MEMBERS_MAX] = {false};
	uint32_t n = 0;

	while (n < p->units) {
		uint32_t best = 0, best_free = 0;

		for (uint32_t d = 0; d < p->ndomains; d++) {
			uint32_t f = used[d] ? 0 : domain_free_zones(p, d);

			if (f > best_free) {
				best = d;
				best_free = f;
			}
		}
		if (best_free == 0)
			break;
		used[best] = true;
		ret_domains[n++] = best;
	}
	return n;
}

/* Domains that a segment composed now must have a zone in.  One that has lost
 * a disk, and is full on those that it has left, counts as lost. */
static uint32_t domains_due(const struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t d = 0; d < p->ndomains; d++)
		n += domain_in(p, d) &&
		     (domain_free_zones(p, d) > 0 || !domain_lacks_disk(p, d));
	return min_u32(n, p->units);
}

struct segment *segs_free_slot(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (p->segs[i]->state == SEG_FREE && p->segs[i]->pins == 0 &&
		    p->segs[i]->tables == 0)
			return p->segs[i];
	}
	return seg_slot(p, p->nsegs + 1);
}

static bool seg_compose(struct pool *p, enum seg_state state)
{
	uint32_t        domains[POOL_UNITS_MAX];
	uint32_t        n = pick_domains(p, domains);
	struct segment *s;

	/* With fewer domains than units, the rest of the units is absent and
	 * made when disks are back; never below what a row needs, and never
	 * because a domain that lacks nothing is merely full. */
	if (n < p->k + p->min_parity || n < domains_due(p))
		return false;
	s = segs_free_slot(p);
	if (s == NULL)
		return false;
	if (!CANARY(generation_kept) || s->generation == 0)
		s->generation++;
	s->state = (uint8_t)state;
	s->claim = p->claim;
	s->frozen_state = SEG_DISK_OPENABLE;
	s->frozen_index_off = 0;
	s->live_frozen = 0;
	s->missing = 0;
	/* A segment that was free when the pool was opened still has those of
	 * its entry in the table. */
	if (!CANARY(write_off_kept))
		s->write_off = 0;
	s->scan_from = 0;
	s->index_off = 0;
	for (uint32_t i = 0; i < p->units; i++) {
		/* Rotate, so that parity moves over the disks. */
		uint32_t       u = (i + s->no) % p->units;
		struct member *m;

		if (i >= n) {
			s->zones[u].member = ZONE_NONE;
			s->zones[u].zone = 0;
			s->missing |= 1u << u;
			continue;
		}
		m = domain_best(p, domains[i]);
		s->zones[u].member = m->index;
		s->zones[u].zone = (uint32_t)bitmap_next_clear(
			m->zone_map, 0, m->zones);
		zone_take(p, &s->zones[u]);
	}
	if (state == SEG_OPENABLE)
		segs_openable_add(p, s);
	return true;
}

uint32_t segs_compose(struct pool *p, uint32_t n, enum seg_state state)
{
	uint32_t done = 0;

	while (done < n && seg_compose(p, state))
		done++;
	return done;
}

/* --- live blocks --------------------------------------------------------- */

void seg_check_dead(struct pool *p, struct segment *s)
{
	if (s->state != SEG_SEALED || s->live != 0 || s->tables != 0)
		return;
	if (!s->dead) {
		s->dead = true;
		p->sealed_dead++;
		cleaner_unstick(p);
	}
	commit_consider(p);
}

bool seg_may_live(const struct segment *s)
{
	return s->state == SEG_OPENABLE || s->state == SEG_OPEN ||
	       s->state == SEG_SEALING || s->state == SEG_SEALED;
}

uint32_t seg_live_max(const struct pool *p)
{
	return p->zone_blocks * p->k;
}

/* The map points to what cannot be: damage, or made up. */
static void place_wrong(struct pool *p, place_t place, uint32_t n)
{
	if (p->lost_blocks == 0)
		pool_log(p, "the map of a volume points to places that do not "
			    "exist (first: %llx): check the pool with "
			    "tarn-check",
			 (unsigned long long)place);
	p->lost_blocks += n;
}

/* The map and the segment table do not agree about what lives in s, so nobody
 * can know when nothing lives in it: it keeps a block that is never taken off,
 * and so it is never freed. */
static void miscounted(struct pool *p, struct segment *s)
{
	if (!s->miscounted)
		pool_log(p, "segment %u: its live blocks were counted wrong; "
			    "it is not used again",
			 s->no);
	s->miscounted = true;
	if (s->live > 0)
		return;
	s->live = 1;
	p->live_total++;
	if (s->dead)
		p->sealed_dead--;
	s->dead = false;
}

void pool_place_ref(struct pool *p, place_t place, uint32_t n)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	/* Nothing new is placed in a segment that was found dead. */
	assert(s != NULL && !s->dead);
	if (n > seg_live_max(p) - s->live) {
		/* The table gave it more than there are. */
		n = seg_live_max(p) - s->live;
		miscounted(p, s);
	}
	s->live += n;
	p->live_total += n;
}

void pool_place_unref(struct pool *p, place_t place, uint32_t n)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	if (s == NULL || !seg_may_live(s)) {
		place_wrong(p, place, n);
		return;
	}
	if (CANARY(unref_lost) && n > 1)
		return;
	if (s->live < n)
		miscounted(p, s);
	if (s->miscounted)
		n = min_u32(n, s->live - 1);
	s->live -= n;
	p->live_total -= n;
	if (p->damage.n > 0)
		damage_unref(p, place, n);
	/* Now it is worth emptying when the pool is idle. */
	if (s->live <= p->seg_data_blocks / 4 &&
	    s->live + n > p->seg_data_blocks / 4 && s->state == SEG_SEALED)
		cleaner_kick(p);
	seg_check_dead(p, s);
}

void seg_frozen_unref(struct pool *p, place_t place)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	if (s == NULL || !seg_may_live(s))
		return; /* pool_place_unref() says so */
	if (s->live_frozen > 0)
		s->live_frozen--;
	else
		miscounted(p, s);
}

void seg_unpin(struct pool *p, struct segment *s)
{
	assert(s->pins > 0);
	s->pins--;
	if (s->pins == 0)
		seg_check_dead(p, s);
}
