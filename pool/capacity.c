/* pool/capacity.c - how many segments the disks can hold, and so how many
 * blocks the clients can have.
 *
 * The idea: a formula over the zones of each domain says how many segments can
 * be; less those that commits, the cleaner and a recovery need, times what a
 * well-filled one holds, that is what may be promised.  Where there are more
 * domains than a segment has units, room is kept back to make again what any
 * one of them held, should it be lost.  A write reserves its
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

/* Zones of each domain, with every disk that the pool has, and that is not to
 * go. */
static void zones_whole(const struct pool *p, uint32_t *ret_zones)
{
	memset(ret_zones, 0, DOMAINS_MAX * sizeof(*ret_zones));
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->domain != DOMAIN_NONE && !member_drains(m))
			ret_zones[m->domain] += m->zones;
	}
}

/* Domains that have zones: not a witness, nor one whose disks went. */
static uint32_t domains_with(const uint32_t *zones, uint32_t ndomains)
{
	uint32_t n = 0;

	for (uint32_t d = 0; d < ndomains; d++)
		n += zones[d] > 0;
	return n;
}

/* What any one domain less would leave. */
static uint32_t capacity_less(const uint32_t *domains, uint32_t ndomains,
			      uint32_t units)
{
	uint32_t zones[DOMAINS_MAX];
	uint32_t least = UINT32_MAX;

	memcpy(zones, domains, ndomains * sizeof(zones[0]));
	for (uint32_t d = 0; d < ndomains; d++) {
		uint32_t had = zones[d];

		if (had == 0)
			continue;
		zones[d] = 0;
		least = min_u32(least, capacity_over(zones, ndomains, units));
		zones[d] = had;
	}
	return least;
}

/* … and all but the k+m largest: they share nothing else than the smallest of
 * them has. */
static uint32_t capacity_largest(const uint32_t *domains, uint32_t ndomains,
				 uint32_t units)
{
	uint32_t zones[DOMAINS_MAX];
	uint32_t largest = 0;

	memcpy(zones, domains, ndomains * sizeof(zones[0]));
	for (uint32_t u = 0; u < units; u++) {
		uint32_t at = 0;

		for (uint32_t d = 1; d < ndomains; d++)
			at = zones[d] > zones[at] ? d : at;
		largest = zones[at];
		zones[at] = 0;
	}
	return largest;
}

/* Segments of these domains that may be filled: so many that there is room to
 * make again what any one domain held, if it is lost.  But a domain that is
 * added never takes away what the largest k+m give by themselves. */
static uint32_t capacity_kept(const struct pool *p, const uint32_t *zones)
{
	uint32_t n = p->ndomains + 1; /* a new one is behind the others */

	if (p->m == 0 || domains_with(zones, n) <= p->units)
		return capacity_over(zones, n, p->units);
	return max_u32(capacity_less(zones, n, p->units),
		       capacity_largest(zones, n, p->units));
}

enum pool_rebuild pool_rebuild_room(const struct pool *p)
{
	uint32_t zones[DOMAINS_MAX];

	zones_whole(p, zones);
	if (domains_with(zones, p->ndomains) <= p->units || p->m == 0)
		return POOL_REBUILD_NONE;
	return p->segs_kept <= capacity_less(zones, p->ndomains, p->units) ?
		       POOL_REBUILD_ANY :
		       POOL_REBUILD_SOME;
}

void segs_capacity(struct pool *p)
{
	uint32_t zones[DOMAINS_MAX];
	uint32_t row = 1 + (uint32_t)div_up(p->row_blocks_max, p->k);
	uint32_t index = 2 + p->zone_blocks / 128;
	uint32_t avail;

	/* Full rows, as the cleaner writes them, less the index and the end
	 * that its longest run may leave unused. */
	avail = p->zone_blocks - index - (uint32_t)div_up(64, p->k) - 2;
	p->seg_data_blocks =
		(uint32_t)((uint64_t)avail * p->row_blocks_max / row);
	zones_whole(p, zones);
	p->segs_possible = capacity(p, zones, p->units);
	p->segs_kept = capacity_kept(p, zones);
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
	 * commit and the cleaner.  And what is open, partly filled: of those
	 * that may be filled, or a disk that is added would take away some. */
	uint32_t reserve = 11 + max_u32(p->segs_kept, segs) / 32;

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
	*ret_usable = usable_of(p, p->segs_kept);
	*ret_used = used_blocks(p);
}

uint64_t pool_space_rebuild(const struct pool *p)
{
	return usable_of(p, p->segs_possible) - usable_of(p, p->segs_kept);
}

/* While disks are out or zones in quarantine, no more than fits without them. */
static uint64_t usable_now(const struct pool *p, uint32_t segs)
{
	segs = min_u32(segs, p->segs_now);
	return usable_of(p, segs - min_u32(segs, p->quarantined));
}

bool pool_space_fits(const struct pool *p)
{
	/* The room that is kept for this is there for it. */
	return used_blocks(p) + p->reserved + TABLES_MARGIN <=
	       usable_now(p, p->segs_possible);
}

uint64_t pool_space_available(const struct pool *p)
{
	uint64_t usable = usable_now(p, p->segs_kept);
	uint64_t taken = used_blocks(p) + p->reserved + p->kept +
			 TABLES_MARGIN;

	if (CANARY(space_halved))
		usable /= 2;
	if (CANARY(space_unlimited))
		usable *= 2;
	return usable - min_u64(usable, taken);
}

int pool_space_reserve(struct pool *p, uint64_t blocks, uint64_t kept_blocks)
{
	if (blocks > kept_blocks &&
	    blocks - kept_blocks > pool_space_available(p))
		return -ENOSPC;
	p->reserved += blocks;
	return 0;
}

void pool_space_keep(struct pool *p, uint64_t blocks)
{
	p->kept = blocks;
}

void pool_space_unreserve(struct pool *p, uint64_t blocks)
{
	assert(p->reserved >= blocks);
	p->reserved -= blocks;
}

/* --- what would be ------------------------------------------------------- */

/* Zones without member `but` and with so many more in a domain; only_in: of the
 * disks that are in.  How many domains have some. */
static uint32_t zones_if(const struct pool *p, uint32_t but, uint32_t domain,
			 uint32_t more, bool only_in, uint32_t *ret_zones)
{
	memset(ret_zones, 0, DOMAINS_MAX * sizeof(*ret_zones));
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (i != but && m->domain != DOMAIN_NONE &&
		    !member_drains(m) && (m->in || !only_in))
			ret_zones[m->domain] += m->zones;
	}
	ret_zones[domain] += more;
	return domains_with(ret_zones, p->ndomains + 1);
}

/* The fewest units more than k that a segment with something in it has, without
 * member `but`. */
static int spare_domains(const struct pool *p, uint32_t but)
{
	int least = (int)p->m;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];
		int                   n = 0;

		if (!seg_may_live(s) || s->live + s->tables == 0)
			continue;
		for (uint32_t u = 0; u < p->units; u++) {
			const struct member *m = seg_member(p, s, u);

			n += m != NULL && m->index != but && m->in &&
			     m->state == MEMBER_ONLINE &&
			     (s->missing & (1u << u)) == 0;
		}
		if (n - (int)p->k < least)
			least = n - (int)p->k;
	}
	return least < 0 ? -1 : least;
}

static void plan_init(const struct pool *p, struct pool_plan *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->used_blocks = used_blocks(p) + p->reserved;
	ret->usable_blocks = usable_of(p, p->segs_kept);
	ret->spare = spare_domains(p, UINT32_MAX);
	ret->spare_after = ret->spare;
	for (uint32_t d = 0; d < p->ndomains; d++)
		ret->domains += domain_in(p, d);
}

void pool_plan_offline(const struct pool *p, uint32_t i, struct pool_plan *ret)
{
	struct member *m = p->members[i];
	bool           in = m->in;
	uint32_t       now;

	plan_init(p, ret);
	ret->spare_after = spare_domains(p, i);
	m->in = false;
	now = capacity_now(p, false);
	ret->domains -= in && m->domain < p->ndomains &&
			!domain_in(p, m->domain);
	m->in = in;
	ret->usable_blocks = usable_of(p, min_u32(p->segs_kept, now));
	if (!in)
		return;
	if (p->m == 0) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "redundancy %u+0 needs every disk; 'tarn disk drain' "
			 "moves what is on it to the others", p->k);
	} else if (!member_out_allowed(p, m)) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "redundancy %u+%u can do without %u domain%s, and "
			 "more would be away; bring back the others first",
			 p->k, p->m, p->m, p->m > 1 ? "s" : "");
	} else if (ret->spare_after < 0) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "some data could not be read without it; wait until "
			 "'tarn status' shows nothing that is made again");
	} else if (ret->used_blocks + p->kept + TABLES_MARGIN >
		   ret->usable_blocks) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "%llu MiB are in use or kept by reserves and %llu MiB "
			 "would be usable without it, so new data would get "
			 "ENOSPC; --force does it all the same",
			 (unsigned long long)(ret->used_blocks + p->kept) / 256,
			 (unsigned long long)ret->usable_blocks / 256);
	}
}

void pool_plan_online(const struct pool *p, uint32_t i, struct pool_plan *ret)
{
	struct member *m = p->members[i];
	bool           in = m->in;

	plan_init(p, ret);
	m->in = true;
	ret->usable_blocks = usable_of(p, min_u32(p->segs_kept,
						  capacity_now(p, false)));
	ret->domains = 0;
	for (uint32_t d = 0; d < p->ndomains; d++)
		ret->domains += domain_in(p, d);
	m->in = in;
	if (pool_domains_away(p) <= 1)
		ret->spare_after = (int)p->m;
}

void pool_plan_rebuild(const struct pool *p, bool offline,
		       struct pool_plan *ret)
{
	uint32_t zones[DOMAINS_MAX], left = 0;
	uint64_t now;

	plan_init(p, ret);
	ret->domains = zones_if(p, UINT32_MAX, DOMAIN_NONE, 0, true, zones);
	now = usable_of(p, capacity(p, zones, p->units));
	for (uint32_t i = 0; i < p->nmembers; i++)
		left += member_is_offline(p->members[i]) && !offline &&
			!p->members[i]->rebuild_now;
	if (ret->domains < p->units) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "redundancy %u+%u needs disks on %u different %s, and "
			 "there are %u now: add a disk, or bring back those "
			 "that are away", p->k, p->m, p->units,
			 p->flags & LABEL_FLAG_DOMAIN_DISK ? "disks" : "hosts",
			 ret->domains);
	} else if (ret->used_blocks + TABLES_MARGIN > now) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "what is stored does not fit on the disks that are "
			 "there: %llu MiB are in use and %llu MiB would be "
			 "usable; add a disk first, or delete something",
			 (unsigned long long)ret->used_blocks / 256,
			 (unsigned long long)now / 256);
	} else if (left == 0) {
		ret->spare_after = (int)p->m;
	}
}

void pool_plan_drain(const struct pool *p, uint32_t i, struct pool_plan *ret)
{
	uint32_t zones[DOMAINS_MAX];
	uint64_t more, now;

	plan_init(p, ret);
	zones_if(p, i, DOMAIN_NONE, 0, false, zones);
	ret->usable_blocks = usable_of(p, capacity_kept(p, zones));
	ret->domains = zones_if(p, i, DOMAIN_NONE, 0, true, zones);
	/* With room for the rebuild of a domain or without. */
	now = usable_of(p, capacity(p, zones, p->units));
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
	} else if (ret->used_blocks + more > now) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "what is on it does not fit on the others: %llu MiB "
			 "are in use and %llu MiB would be usable; add a disk "
			 "first, or delete something",
			 (unsigned long long)ret->used_blocks / 256,
			 (unsigned long long)now / 256);
	} else if (ret->used_blocks + more + p->kept > now) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "without it there would not be what is reserved for "
			 "volumes: %llu MiB are in use, %llu MiB more are kept "
			 "by reserves and %llu MiB would be usable; add a disk "
			 "first, delete something, or reserve less",
			 (unsigned long long)ret->used_blocks / 256,
			 (unsigned long long)p->kept / 256,
			 (unsigned long long)now / 256);
	} else {
		ret->spare_after = (int)p->m;
	}
}

void pool_plan_rescan(const struct pool *p, uint32_t i, uint64_t size_bytes,
		      struct pool_plan *ret)
{
	const struct member *m = p->members[i];
	uint32_t             all[DOMAINS_MAX];
	uint32_t             zones = member_is_witness(m) ?
					     0 :
					     disk_zones(p, size_bytes);

	plan_init(p, ret);
	ret->zones = zones;
	if (zones > m->zones) {
		ret->domains = zones_if(p, UINT32_MAX, m->domain,
					zones - m->zones, false, all);
		ret->usable_blocks = usable_of(p, capacity_kept(p, all));
	} else if (size_bytes < blocks_to_bytes(m->size_blocks)) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "it is smaller than its label says: %llu MiB of %llu; "
			 "make it as large as it was",
			 (unsigned long long)size_bytes >> 20,
			 (unsigned long long)m->size_blocks / 256);
	}
}

const char *pool_witness_vain(const struct pool *p, const char *domain)
{
	for (uint32_t d = 0; d < p->nvoters; d++) {
		if ((p->flags & LABEL_FLAG_DOMAIN_DISK) == 0 &&
		    strcmp(p->domains[d].name, domain) == 0)
			return p->domains[d].name;
	}
	return NULL;
}

static void plan_witness(const struct pool *p, uint64_t blocks,
			 const char *domain, struct pool_plan *ret)
{
	const char *other = pool_witness_vain(p, domain);

	if (blocks < 2 * LABEL_AREA_BLOCKS) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why), "it is too small");
	} else if (other != NULL) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "%s has a disk of the pool already, and a witness "
			 "there would fail with that", other);
	}
}

void pool_plan_add(const struct pool *p, uint64_t size_bytes,
		   const char *domain, unsigned how, uint32_t but,
		   struct pool_plan *ret)
{
	uint32_t all[DOMAINS_MAX], zones = disk_zones(p, size_bytes), d = 0;

	if (how & POOL_DISK_WITNESS)
		zones = 0;
	plan_init(p, ret);
	while (d < p->ndomains && ((p->flags & LABEL_FLAG_DOMAIN_DISK) != 0 ||
				   strcmp(p->domains[d].name, domain) != 0))
		d++;
	ret->domains = zones_if(p, but, d, zones, false, all);
	ret->usable_blocks = usable_of(p, capacity_kept(p, all));
	if (how & POOL_DISK_WITNESS) {
		plan_witness(p, size_bytes / TARN_BLOCK, domain, ret);
	} else if (zones == 0) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why), "it is too small");
	} else if (but != UINT32_MAX && ret->domains < p->units) {
		ret->res = -EINVAL;
		snprintf(ret->why, sizeof(ret->why),
			 "redundancy %u+%u needs %u domains, and there would "
			 "be %u: the new disk must be in another one",
			 p->k, p->m, p->units, ret->domains);
	} else if (but != UINT32_MAX &&
		   ret->used_blocks + p->kept > ret->usable_blocks) {
		ret->res = -ENOSPC;
		snprintf(ret->why, sizeof(ret->why),
			 "what is stored or reserved does not fit with the new "
			 "disk instead of the old one: take a larger one, or "
			 "delete something");
	} else if (but != UINT32_MAX) {
		ret->spare_after = (int)p->m;
	}
}
