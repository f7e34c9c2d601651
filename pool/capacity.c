/* pool/capacity.c - how many segments the disks can hold, and so how many
 * blocks the clients can have.
 *
 * The idea: a formula over the zones of each domain says how many segments can
 * be; less those that commits, the cleaner and a recovery need, times what a
 * well-filled one holds, that is what may be promised.  A write reserves its
 * space before anything is taken, so that ENOSPC is said early.
 *
 * The way to fail: -ENOSPC, of pool_space_reserve().  While disks are out or
 * zones in quarantine that comes sooner.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

/* Blocks that tables may grow by before the next write is refused. */
#define TABLES_MARGIN 16u

/* design, section 5, Capacity: the largest r with
 * sum over domains of min(z_i, r) >= (k+m) * r. */
static uint32_t capacity_over(const uint32_t *zones, uint32_t ndomains,
			      uint32_t units)
{
	uint32_t lo = 0, hi = UINT32_MAX / 2;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;
		uint64_t sum = 0;

		for (uint32_t d = 0; d < ndomains; d++)
			sum += min_u32(zones[d], mid);
		if (sum >= (uint64_t)units * mid)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static uint32_t capacity(const struct pool *p, const uint32_t *zones,
			 uint32_t units)
{
	return capacity_over(zones, p->ndomains, units);
}

/* Segments that the disks that are in can hold, or their free zones; without
 * the domains that lack a disk, if only those that do not count. */
static uint32_t capacity_of(const struct pool *p, bool only_free,
			    bool only_whole)
{
	uint32_t zones[DOMAINS_MAX] = {0};
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->in && !member_drains(m) &&
		    !(only_whole && domain_lacks_disk(p, m->domain)))
			zones[m->domain] += only_free ? member_free_zones(m)
						      : m->zones;
	}
	for (uint32_t d = 0; d < p->ndomains; d++)
		n += domain_in(p, d) &&
		     (zones[d] > 0 || !domain_lacks_disk(p, d));
	if (n < p->k + p->min_parity)
		return 0;
	return capacity(p, zones, min_u32(n, p->units));
}

/* With fewer domains than units, segments have as many units as there are
 * domains (too few domains: design, section 5).  What is left of a domain that
 * lost a disk may be little; that must not be worse than if all of it were
 * lost, so segments do without it when it is full. */
static uint32_t capacity_now(const struct pool *p, bool only_free)
{
	return max_u32(capacity_of(p, only_free, false),
		       capacity_of(p, only_free, true));
}

/* With every disk that the pool has, and that is not to go. */
static uint32_t capacity_whole(const struct pool *p)
{
	uint32_t zones[DOMAINS_MAX] = {0};

	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!member_drains(p->members[i]))
			zones[p->members[i]->domain] += p->members[i]->zones;
	}
	return capacity(p, zones, p->units);
}

void segs_capacity(struct pool *p)
{
	uint32_t row = 1 + (uint32_t)div_up(p->row_blocks_max, p->k);
	uint32_t index = 2 + p->zone_blocks / 128;
	uint32_t avail;

	/* Full rows, as the cleaner writes them, less the index and the end
	 * that its longest run may leave unused. */
	avail = p->zone_blocks - index - (uint32_t)div_up(64, p->k) - 2;
	p->seg_data_blocks =
		(uint32_t)((uint64_t)avail * p->row_blocks_max / row);
	p->segs_possible = capacity_whole(p);
	p->segs_now = capacity_now(p, false);
	p->quarantined = 0;
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->quarantined += quarantine_holds(p, p->segs[i]);
}

uint32_t segs_free_possible(const struct pool *p)
{
	return capacity_now(p, true);
}

uint32_t segs_stranded(const struct pool *p)
{
	uint32_t have = segs_free_possible(p);

	for (uint32_t i = 1; i <= p->nsegs; i++)
		have += p->segs[i]->state != SEG_FREE &&
			p->segs[i]->state != SEG_RESERVED;
	return p->segs_now - min_u32(p->segs_now, have);
}

uint64_t segs_max(const struct pool *p)
{
	uint64_t zones = 0;

	/* Each has a zone; those without are few (being read, or quarantined
	 * by a recovery). */
	for (uint32_t i = 0; i < p->nmembers; i++)
		zones += p->members[i]->zones;
	return min_u64(zones + 4 * LABEL_EXTRA_MAX, UINT32_MAX / 4);
}

/* Segments that one commit may need.  That many zones are never listed as
 * openable: a recovery that cannot trust the last owner uses none that it
 * could open.  And as many openable ones are kept for the next commit. */
uint32_t segs_reserve(const struct pool *p)
{
	uint64_t commit = p->client->commit_blocks(p->client_arg) +
			  p->tables_total + seg_pages(p) + 16;

	return 1 + (uint32_t)div_up(commit, p->seg_data_blocks);
}

/* With those a recovery commits and its cleaner begins. */
uint32_t segs_unlisted(const struct pool *p)
{
	return segs_reserve(p) + 2;
}

static uint64_t usable_of(const struct pool *p, uint32_t segs)
{
	/* Never listed: for a recovery and its first cleaning.  Listed: for a
	 * commit and the cleaner.  And what is open, partly filled. */
	uint32_t reserve = 11 + max_u32(p->segs_possible, segs) / 32;

	return segs <= reserve ? 0
			       : (uint64_t)(segs - reserve) *
					 p->seg_data_blocks;
}

/* Blocks of tables that a commit has superseded are not counted twice. */
static uint64_t used_blocks(const struct pool *p)
{
	return p->live_total + p->tables_total -
	       min_u64(p->tables_total, p->commit.nold);
}

void pool_space(const struct pool *p, uint64_t *ret_usable,
		uint64_t *ret_used)
{
	*ret_usable = usable_of(p, p->segs_possible);
	*ret_used = used_blocks(p);
}

/* While disks are out or zones in quarantine, no more than fits without them. */
static uint64_t usable_now(const struct pool *p)
{
	uint32_t segs = min_u32(p->segs_possible, p->segs_now);

	return usable_of(p, segs - min_u32(segs, p->quarantined));
}

bool pool_space_fits(const struct pool *p)
{
	return used_blocks(p) + p->reserved + TABLES_MARGIN <= usable_now(p);
}

uint64_t pool_usable_less_domain(const struct pool *p)
{
	uint32_t zones[DOMAINS_MAX] = {0};
	uint32_t least = UINT32_MAX;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!member_drains(p->members[i]))
			zones[p->members[i]->domain] += p->members[i]->zones;
	}
	for (uint32_t d = 0; d < p->ndomains; d++) {
		uint32_t had = zones[d];

		zones[d] = 0;
		least = min_u32(least, capacity(p, zones, p->units));
		zones[d] = had;
	}
	return p->ndomains <= p->units ? 0 : usable_of(p, least);
}

uint64_t pool_space_available(const struct pool *p)
{
	uint64_t usable = usable_now(p);
	uint64_t taken = used_blocks(p) + p->reserved + TABLES_MARGIN;

	if (CANARY(space_halved))
		usable /= 2;
	if (CANARY(space_unlimited))
		usable *= 2;
	return usable - min_u64(usable, taken);
}

int pool_space_reserve(struct pool *p, uint64_t blocks)
{
	if (blocks > pool_space_available(p))
		return -ENOSPC;
	p->reserved += blocks;
	return 0;
}

void pool_space_unreserve(struct pool *p, uint64_t blocks)
{
	assert(p->reserved >= blocks);
	p->reserved -= blocks;
}

/* --- what would be ------------------------------------------------------- */

/* Without member `but` and with so many zones more in a domain; only_in: with
 * the disks that are in. */
static uint32_t capacity_if(const struct pool *p, uint32_t but,
			    uint32_t domain, uint32_t more, bool only_in,
			    uint32_t *ret_domains)
{
	uint32_t zones[DOMAINS_MAX] = {0}, n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (i != but && !m->removed && !member_drains(m) &&
		    (m->in || !only_in))
			zones[m->domain] += m->zones;
	}
	zones[domain] += more;
	/* A new domain is behind the others. */
	for (uint32_t d = 0; d <= p->ndomains && d < DOMAINS_MAX; d++)
		n += zones[d] > 0;
	*ret_domains = n;
	return n < p->units ? 0 : capacity_over(zones, p->ndomains + 1,
						p->units);
}

void pool_plan_drain(const struct pool *p, uint32_t i, struct pool_plan *ret)
{
	uint32_t domains, segs, now;
	uint64_t more;

	memset(ret, 0, sizeof(*ret));
	segs = capacity_if(p, i, DOMAIN_NONE, 0, false, &domains);
	now = capacity_if(p, i, DOMAIN_NONE, 0, true, &ret->domains);
	ret->usable_blocks = usable_of(p, segs);
	ret->used_blocks = used_blocks(p) + p->reserved;
	/* Nodes that are not written yet come on top. */
	more = p->client->commit_blocks(p->client_arg) + TABLES_MARGIN +
	       ret->used_blocks / 32;
	if (ret->domains < p->units) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "redundancy %u+%u needs disks on %u different %s, and "
			 "without it there would be %u: add a disk first",
			 p->k, p->m, p->units,
			 p->flags & LABEL_FLAG_DOMAIN_DISK ? "disks" : "hosts",
			 ret->domains);
	} else if (ret->used_blocks + more > usable_of(p, now)) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "what is on it does not fit on the others: %llu MiB "
			 "are in use and %llu MiB would be usable; add a disk "
			 "first, or delete something",
			 (unsigned long long)ret->used_blocks / 256,
			 (unsigned long long)usable_of(p, now) / 256);
	}
}

void pool_plan_add(const struct pool *p, uint64_t size_bytes,
		   const char *domain, struct pool_plan *ret)
{
	uint64_t blocks = size_bytes / TARN_BLOCK;
	uint32_t zones = 0, d = 0;

	memset(ret, 0, sizeof(*ret));
	if (blocks > 2 * LABEL_AREA_BLOCKS)
		zones = (uint32_t)min_u64((blocks - 2 * LABEL_AREA_BLOCKS) >>
						  p->zone_shift,
					  UINT32_MAX / 2);
	while (d < p->ndomains && ((p->flags & LABEL_FLAG_DOMAIN_DISK) != 0 ||
				   strcmp(p->domains[d].name, domain) != 0))
		d++;
	ret->used_blocks = used_blocks(p) + p->reserved;
	ret->usable_blocks =
		usable_of(p, capacity_if(p, UINT32_MAX, d, zones, false,
					 &ret->domains));
	if (zones == 0) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why), "it is too small");
	}
}
