/* pool/cleaner_choose.c - which segments are emptied next.
 *
 * When few segments can be opened: those with the best ratio of what is gained,
 * free space times the age of what lives in it, to what it costs, reading and
 * writing what lives (cost-benefit, as in LFS).  What is old does not die soon
 * by itself, so waiting for it gains nothing; what is young does.  Age counts
 * somewhat less than in proportion: where all is overwritten alike it says
 * nothing, and where it is not, the power of 3/4 costs the least writes.  When
 * hardly any are left only the gain counts.  Several together, as many as can be
 * written without those that they free, so that what lies in the same range of
 * a volume comes together.
 *
 * Segments that lack units are emptied too, where that costs less than making
 * the units again, or is the only way (rebuild.c): what lives in them is whole
 * again where it goes.
 *
 * When clients have not written for a while, segments with little in them are
 * emptied, whether or not there is space, so that their zones can be trimmed;
 * then there are none, and the cleaner rests.
 *
 * A disk that was away, or was added, has many free zones, and these are of no
 * use when the others have none.  Units move to it (rebalance.c); where they
 * cannot, for there is no zone to spare, and space is low, and nothing else is
 * left to do, segments that are not on it are emptied however much lives in
 * them, until what is promised fits.
 */
#include "pool/cleaner.h"

/* Domains are uneven if one has that many more free zones than another. */
#define UNEVEN_ZONES 3u
/* Clients that have not written for so long leave the pool idle. */
#define IDLE_NS      (2 * NS_PER_S)

static bool all_online(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!p->members[i]->removed &&
		    p->members[i]->state != MEMBER_ONLINE)
			return false;
	}
	return true;
}

uint32_t segs_for_clients(const struct pool *p)
{
	uint32_t have = p->openable + segs_free_possible(p) + p->sealed_dead;
	uint32_t kept = segs_keep(p, LOG_CLIENT) + segs_unlisted(p);

	return have - min_u32(have, kept);
}

/* More of them make for fewer commits, but leave less for what dies by itself
 * before its segment is emptied. */
uint32_t segs_low(const struct pool *p)
{
	return max_u32(4, p->segs_possible / 32);
}

bool space_is_low(const struct pool *p)
{
	return segs_for_clients(p) <= segs_low(p);
}

static uint64_t idle_from_ns(const struct pool *p)
{
	return p->client_row_ns + IDLE_NS;
}

bool clients_idle(const struct pool *p)
{
	return io_now_ns(p->io) >= idle_from_ns(p);
}

/* When nothing is openable, what lives in it must all fit behind the last
 * commit: a part of it would take the last room and free nothing. */
static bool fits(const struct pool *p, const struct segment *s)
{
	return p->openable > 0 || seg_held(s) <= seg_share_blocks(p) / 2;
}

/* May it be emptied now? */
static bool may_choose(const struct pool *p, const struct segment *s)
{
	return s->state == SEG_SEALED && !s->victim && seg_held(s) > 0 &&
	       s->cleaned_at <= p->last.commit && fits(p, s);
}

/* --- domains that are uneven ------------------------------------------------ */

/* The least of the free zones that its domains have; UINT32_MAX if one of them
 * is this. */
static uint32_t least_free(const struct pool *p, const struct segment *s,
			   const uint32_t *domain_free, uint32_t but)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m == NULL || m->domain == but)
			return UINT32_MAX;
		least = min_u32(least, domain_free[m->domain]);
	}
	return least;
}

/* One that has no unit in the domain with the most free zones, but in one with
 * few: what lives in it goes where it belongs, for new segments are composed of
 * the domains with the most. */
static struct segment *choose_uneven(const struct pool *p)
{
	uint32_t        domain_free[DOMAINS_MAX] = {0}, most = 0;
	uint32_t        best_least;
	struct segment *best = NULL;

	for (uint32_t d = 0; d < p->ndomains; d++) {
		domain_free[d] = domain_free_zones(p, d);
		if (domain_free[d] > domain_free[most])
			most = d;
	}
	if (domain_free[most] < UNEVEN_ZONES)
		return NULL;
	best_least = domain_free[most] - UNEVEN_ZONES + 1;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        least;

		if (!may_choose(p, s))
			continue;
		least = least_free(p, s, domain_free, most);
		if (least < best_least ||
		    (best != NULL && least == best_least &&
		     s->live < best->live)) {
			best = s;
			best_least = least;
		}
	}
	return best;
}

/* --- by what it brings ------------------------------------------------------ */

/* The binary logarithm of x > 0, in 65536ths, linear between powers of two. */
static int64_t log2_of(uint64_t x)
{
	unsigned msb = 63u - (unsigned)__builtin_clzll(x);

	return (int64_t)(((uint64_t)msb << 16) +
			 ((x << (63 - msb) << 1) >> 48));
}

/* Gain x age^(3/4) / cost, as a logarithm; in haste the gain alone. */
static int64_t score(const struct pool *p, const struct segment *s, bool haste)
{
	uint64_t full = p->seg_data_blocks;
	uint64_t held = min_u64(seg_held(s), full);
	uint64_t gain = full - held;
	uint64_t age = p->next_row - min_u64(p->next_row, s->sealed_row);

	if (haste)
		return (int64_t)gain;
	return 4 * log2_of(gain + 1) + 3 * log2_of(age + 1) -
	       4 * log2_of(full + held);
}

/* The next best, of those with at most `most` blocks in them. */
static struct segment *choose_best(const struct pool *p, uint32_t most,
				   bool haste)
{
	struct segment *best = NULL;
	int64_t         best_score = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		int64_t         x;

		if (!may_choose(p, s) || seg_held(s) > most)
			continue;
		x = score(p, s, haste);
		if (best == NULL || x > best_score) {
			best = s;
			best_score = x;
		}
	}
	return best;
}

static struct segment *choose_degraded(const struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (may_choose(p, p->segs[i]) && rebuild_leaves(p, p->segs[i]))
			return p->segs[i];
	}
	return NULL;
}

/* What the cleaner can write before a commit has freed anything. */
static uint64_t cleaner_room(const struct pool *p)
{
	uint32_t keep = segs_keep(p, LOG_CLEANER);

	return (uint64_t)(p->openable - min_u32(p->openable, keep)) *
	       p->seg_data_blocks / 2;
}

static uint32_t choose_several(const struct pool *p, uint32_t most, bool haste,
			       struct segment **ret_victims)
{
	uint64_t room = cleaner_room(p), sum = 0;
	uint32_t n = 0;

	while (n < VICTIMS_MAX) {
		struct segment *s = choose_best(p, most, haste);

		if (s == NULL || (n > 0 && sum + seg_held(s) > room))
			break;
		sum += seg_held(s);
		s->victim = true;
		ret_victims[n++] = s;
	}
	for (uint32_t i = 0; i < n; i++)
		ret_victims[i]->victim = false;
	return n;
}

/* Nobody writes: those that are nearly empty. */
static uint32_t choose_idle(const struct pool *p, struct segment **ret_victims,
			    uint64_t *ret_again_ns)
{
	uint32_t most = p->seg_data_blocks / 4;
	if (choose_best(p, most, true) == NULL)
		return 0;
	if (!clients_idle(p)) {
		*ret_again_ns = idle_from_ns(p);
		return 0;
	}
	return choose_several(p, most, true, ret_victims);
}

uint32_t cleaner_choose(struct pool *p, struct segment **ret_victims,
			uint64_t *ret_again_ns)
{
	bool     low = space_is_low(p);
	uint32_t n;

	*ret_again_ns = 0;
	if (low) {
		n = choose_several(p,
				   p->seg_data_blocks - p->seg_data_blocks / 16,
				   segs_for_clients(p) <= segs_low(p) / 4,
				   ret_victims);
		if (n > 0 || !all_online(p))
			return n;
		ret_victims[0] = segs_stranded(p) > 0 && !rebalance_helps(p) ?
					 choose_uneven(p) :
					 NULL;
		return ret_victims[0] != NULL;
	}
	ret_victims[0] = choose_degraded(p);
	if (ret_victims[0] != NULL)
		return 1;
	if (!all_online(p))
		return 0;
	return choose_idle(p, ret_victims, ret_again_ns);
}
