/* tests/lib/fake/bare_pool.c - a pool that has nothing but members, their zones
 * and segments: enough for what is decided by looking at them.  Included by
 * test programs.
 */
#include "pool/core.h"

#define BARE_DISKS_MAX 8u
#define BARE_ZONES     10u

static struct pool   *p;
static struct member  members[BARE_DISKS_MAX];
static struct member *list[BARE_DISKS_MAX];
static uint64_t       zone_maps[BARE_DISKS_MAX][(BARE_ZONES + 63) / 64];

/* All disks are there; so many are a domain.  What segs_init() says. */
static int bare_open(uint32_t k, uint32_t m, uint32_t ndisks, uint32_t a_domain)
{
	p = calloc(1, sizeof(*p));
	assert_non_null(p);
	memset(members, 0, sizeof(members));
	memset(zone_maps, 0, sizeof(zone_maps));
	p->k = k;
	p->m = m;
	p->units = k + m;
	p->ndomains = ndisks / a_domain;
	p->nvoters = p->ndomains;
	p->nmembers = ndisks;
	p->members = list;
	for (uint32_t i = 0; i < ndisks; i++) {
		members[i].index = i;
		members[i].domain = i / a_domain;
		members[i].in = true;
		members[i].state = MEMBER_ONLINE;
		members[i].zones = BARE_ZONES;
		members[i].zone_map = zone_maps[i];
		list[i] = &members[i];
	}
	return segs_init(p);
}

static int teardown(void **state)
{
	(void)state;
	segs_fini(p);
	free(p);
	return 0;
}

static void lose(uint32_t member, enum member_state to)
{
	members[member].in = false;
	members[member].state = to;
}
