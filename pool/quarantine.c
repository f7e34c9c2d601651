/* pool/quarantine.c - zones that a stray write may still reach.
 *
 * The events that this prevents: a server sends a write and dies, or gives up
 * a connection; the zone becomes free and is used for something else; then
 * the disk host, which was slow, gets round to the old write, and it lands on
 * top of the new data, on as many disks as were slow.
 *
 * So a segment is *stray* from the moment when its sender died, or when the
 * connection was closed, until everything that had been sent must have
 * arrived: for each of its zones, STRAY_NS later, of which the disk was
 * connected all the time (a host that hangs may hold a write for as long as
 * it hangs).  Nobody frees a stray segment: when nothing lives in it, it goes
 * to quarantine, and each zone is given back when its time is over.
 *
 * It is recorded in the segment's entry (SEG_CLAIM_STRAY), and whoever opens
 * the pool starts the clock anew: nobody knows how long the last server has
 * been dead.  What a recovery wrote that never came to its commit is in the
 * labels' extra list, and stays in that list as long as it is stray.
 *
 * Zones that are trimmed before they are free wait here, too (trim.c).
 *
 * CLAIM_DOUBT: the owner of that claim, on another machine, may still be
 * alive.  No time helps; an operator says (--force) that it is off.
 */
#include "base/canary.h"
#include "pool/core.h"

/* How long a write may be on its way when its sender has died or closed the
 * connection, the host being there. */
#define STRAY_NS (10 * NS_PER_S)

/* When nothing can arrive in that zone any more; 0: no such zone, UINT64_MAX:
 * its disk is not there. */
static uint64_t zone_settled_ns(const struct pool *p, const struct segment *s,
				uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	if (m == NULL)
		return 0;
	if (CANARY(stray_ignored))
		return 1;
	if (!m->in || !member_usable(m))
		return UINT64_MAX;
	return max_u64(s->stray_since_ns, m->up_since_ns) + STRAY_NS;
}

bool zone_is_settled(const struct pool *p, const struct segment *s, uint32_t u)
{
	return zone_settled_ns(p, s, u) <= io_now_ns(p->io);
}

void seg_stray_mark(struct pool *p, struct segment *s)
{
	s->stray = true;
	s->stray_since_ns = io_now_ns(p->io);
	quarantine_start(p);
}

bool seg_is_stray(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; s->stray && u < p->units; u++) {
		if (io_now_ns(p->io) < zone_settled_ns(p, s, u))
			return true;
	}
	return false;
}

bool seg_must_quarantine(const struct pool *p, const struct segment *s)
{
	return (s->claim & CLAIM_DOUBT) != 0 || seg_is_stray(p, s);
}

void seg_quarantine(struct pool *p, struct segment *s)
{
	assert(s->live == 0 && s->tables == 0 && s->pins == 0);
	if (s->dead)
		p->sealed_dead--;
	s->dead = false;
	s->state = SEG_QUARANTINED;
	s->frozen_state = CANARY(trim_unrecorded) && !s->stray
				  ? SEG_DISK_FREE
				  : SEG_DISK_QUARANTINED;
	s->frozen_index_off = 0;
	seg_trim_want(p, s);
	quarantine_start(p);
}

/* Is a trim what the zone waits for? */
static bool zone_is_trimmed(const struct pool *p, struct segment *s, uint32_t u)
{
	if (!trim_possible(p, s, u))
		s->trim &= ~(1u << u) | s->trimming;
	return ((s->trim | s->trimming) >> u & 1) != 0 &&
	       !(CANARY(trim_reused) && (s->trimming >> u & 1));
}

/* Give back the zones whose time is over.  True when that freed any; next_ns
 * becomes the time when there is more to do, if that is earlier. */
static bool release_zones(struct pool *p, struct segment *s, uint64_t *next_ns)
{
	bool any = false, left = false;

	for (uint32_t u = 0; u < p->units; u++) {
		uint64_t at_ns = zone_settled_ns(p, s, u);

		if (at_ns > io_now_ns(p->io)) {
			left = true;
			*next_ns = min_u64(*next_ns, at_ns);
		} else if (at_ns > 0 && zone_is_trimmed(p, s, u)) {
			left = true;
		} else if (at_ns > 0) {
			seg_zone_put(p, s, u);
			any = true;
		}
	}
	if (!left) {
		seg_free_zones(p, s);
		any = true;
	}
	return any;
}

static bool waits_for_time(const struct segment *s)
{
	return s->state == SEG_QUARANTINED && (s->claim & CLAIM_DOUBT) == 0 &&
	       s->pins == 0;
}

/* When the last zone of a segment that is not (yet) in quarantine settles. */
static uint64_t seg_settled_ns(const struct pool *p, const struct segment *s)
{
	uint64_t at_ns = 0;

	for (uint32_t u = 0; u < p->units; u++)
		at_ns = max_u64(at_ns, zone_settled_ns(p, s, u));
	return at_ns;
}

static void quarantine_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, quarantine_timer);
	uint64_t     next_ns = UINT64_MAX;
	bool         any = false;

	if (p->state == POOL_ST_FAILED || p->state == POOL_ST_CLOSED)
		return;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (waits_for_time(s)) {
			any |= release_zones(p, s, &next_ns);
		} else if (s->stray && s->state != SEG_QUARANTINED) {
			s->stray = seg_is_stray(p, s);
			any |= !s->stray && s->dead;
			if (s->stray)
				next_ns = min_u64(next_ns,
						  seg_settled_ns(p, s));
		} else if (s->state == SEG_QUARANTINED && s->pins > 0) {
			next_ns = min_u64(next_ns,
					  io_now_ns(p->io) + NS_PER_S);
		}
	}
	if (next_ns != UINT64_MAX)
		io_timer_arm(p->io, t, next_ns);
	trim_kick(p);
	if (!any)
		return;
	segs_capacity(p);
	if (p->state == POOL_ST_ACTIVE) {
		cleaner_unstick(p);
		commit_consider(p);
		starve_hope(p);
		rebuild_hope(p);
		change_zones_freed(p);
	}
	recover_kick(p);
}

/* Will time give back any of its zones? */
static bool settles(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++) {
		uint64_t at_ns = zone_settled_ns(p, s, u);

		if (at_ns > 0 && at_ns != UINT64_MAX)
			return true;
	}
	return false;
}

bool quarantine_will_release(const struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (waits_for_time(p->segs[i]) && settles(p, p->segs[i]))
			return true;
	}
	return false;
}

bool quarantine_will_help(const struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if ((waits_for_time(s) || (s->dead && seg_is_stray(p, s))) &&
		    settles(p, s))
			return true;
	}
	return false;
}

bool quarantine_holds(const struct pool *p, const struct segment *s)
{
	if (s->state != SEG_QUARANTINED || settles(p, s))
		return s->state == SEG_QUARANTINED &&
		       (s->claim & CLAIM_DOUBT) != 0;
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m != NULL && m->in)
			return true;
	}
	return false;
}

bool quarantine_is_safe(const struct pool *p, const struct segment *s)
{
	if (s->state != SEG_QUARANTINED || (s->claim & CLAIM_DOUBT) != 0 ||
	    s->pins > 0)
		return false;
	for (uint32_t u = 0; u < p->units; u++) {
		if (!zone_is_settled(p, s, u))
			return false;
	}
	return true;
}

void quarantine_start(struct pool *p)
{
	io_timer_arm(p->io, &p->quarantine_timer, io_now_ns(p->io));
}

void quarantine_init(struct pool *p)
{
	io_timer_init(&p->quarantine_timer, quarantine_fn);
}
