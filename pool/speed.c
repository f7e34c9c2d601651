/* pool/speed.c - which disks are far slower than their peers.
 *
 *   FAIR  --- the middle of its last 16 reads is above 10 ms, and above eight
 *    ^  ^     times the middle of what the others take
 *    |  |     --> DOUBT: reads go round it but for probes, one at a time, one
 *    |  |         read in 32 or one a second
 *    |  +-- the middle of five probes is below three times the others, or 5 ms:
 *    |      it was only busy.  It is not doubted again for 10 s, twice as long
 *    |      each time that this comes again soon
 *    |      DOUBT --- that is above four times --> SLOW: an administrator is told
 *    +----- SLOW, as above: it is fast again
 *
 * A disk that is only the busiest one comes back from DOUBT before anybody hears
 * of it, for the probes find it at rest.  Nobody waits for them (hedge.c).
 *
 * A read that is hedged counts as one that took as long as it has waited until
 * it is answered, so a disk that does not answer comes into doubt, too.
 *
 * Reads go round the disks of at most m domains, so that there is always a way.
 *
 * The ways to fail: with nobody to compare with, or more slow disks than that,
 * reads wait for them as if nothing was known; so they do while units are
 * missing, and then those reads tell when it is fast again.  While nobody
 * reads there are no probes, and a slow disk stays one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define SLOW_FACTOR    8u
#define CONFIRM_FACTOR 4u
#define FAIR_FACTOR    3u
#define SLOW_MIN_US    10000u
#define FAIR_MAX_US    5000u
/* A median is made anew after so many reads. */
#define JUDGE_READS    8u
#define PROBE_READS    32u
#define PROBE_NS       NS_PER_S
#define TRUST_MIN_NS   (10 * NS_PER_S)
#define TRUST_MAX_NS   (640 * NS_PER_S)
/* How long a read may wait: between these, twice what hardly any takes. */
#define BOUND_MIN_NS   (20 * NS_PER_MS)
#define BOUND_MAX_NS   (1000 * NS_PER_MS)
#define BOUND_SAMPLES  32u
/* With large reads it is not waited for when it ends none for so long. */
#define LARGE_NS       (200 * NS_PER_MS)
#define BOUND_PERMILLE 990u

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The lower one of two. */
static uint32_t middle(uint32_t *us, uint32_t n)
{
	if (n == 0)
		return 0;
	qsort(us, n, sizeof(us[0]), cmp_u32);
	return us[(n - 1) / 2];
}

static uint32_t middle_of(const uint32_t *us, uint32_t n)
{
	uint32_t copy[SPEED_RING];

	memcpy(copy, us, n * sizeof(copy[0]));
	return middle(copy, n);
}

/* Segments have units on it, and it is not to go: what its reads take can be
 * compared. */
static bool is_peer(const struct member *m)
{
	return m->in && !m->removed && !m->joining && !m->leaving &&
	       m->speed.state == SPEED_FAIR && member_readable(m);
}

uint32_t speed_peers_us(const struct member *m)
{
	const struct pool *p = m->pool;
	uint32_t           us[POOL_MEMBERS_MAX], n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *o = p->members[i];

		if (o != m && o->speed.median_us > 0 && is_peer(o))
			us[n++] = o->speed.median_us;
	}
	return middle(us, n);
}

uint64_t speed_bound_ns(const struct pool *p)
{
	uint32_t us[POOL_MEMBERS_MAX], n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (is_peer(m) && m->speed.read.n >= BOUND_SAMPLES)
			us[n++] = latency_us(&m->speed.read, BOUND_PERMILLE);
	}
	return min_u64(max_u64(2ull * middle(us, n) * NS_PER_US, BOUND_MIN_NS),
		       BOUND_MAX_NS);
}

/* --- judging ------------------------------------------------------------- */

static void doubt(struct member *m)
{
	struct speed *s = &m->speed;

	s->state = SPEED_DOUBT;
	s->nprobes = 0;
	s->nring = 0;
	s->skipped = 0;
	s->probed_ns = io_now_ns(m->pool->io);
}

/* It is as fast as the others. */
static void believe(struct member *m)
{
	struct speed *s = &m->speed;
	uint64_t      now_ns = io_now_ns(m->pool->io);

	if (now_ns - min_u64(s->trust_until_ns, now_ns) < 2 * s->trust_ns)
		s->trust_ns = min_u64(2 * s->trust_ns, TRUST_MAX_NS);
	else
		s->trust_ns = TRUST_MIN_NS;
	s->trust_until_ns = s->state == SPEED_DOUBT ? now_ns + s->trust_ns : 0;
	s->state = SPEED_FAIR;
	s->nring = 0;
	s->median_us = 0;
}

/* Domains that reads go round, but for that of m.  No read goes to a disk that is
 * out or was removed, whatever was known of it. */
static uint32_t domains_avoided(const struct member *m)
{
	const struct pool *p = m->pool;
	bool               seen[DOMAINS_MAX] = {false};
	uint32_t           n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *o = p->members[i];

		if (o->speed.state == SPEED_FAIR || o->domain == m->domain ||
		    !o->in || o->removed)
			continue;
		n += !seen[o->domain];
		seen[o->domain] = true;
	}
	return n;
}

static bool is_fair(uint32_t us, uint32_t peers_us)
{
	return us < FAIR_MAX_US || us / FAIR_FACTOR < peers_us;
}

static void sample(struct member *m, uint64_t ns)
{
	struct speed *s = &m->speed;
	uint32_t      peers_us;

	s->ring_us[s->nring++ % SPEED_RING] =
		(uint32_t)min_u64(max_u64(ns / NS_PER_US, 1), UINT32_MAX);
	if (s->nring < SPEED_RING || s->nring % JUDGE_READS != 0)
		return;
	s->median_us = middle_of(s->ring_us, SPEED_RING);
	if (s->state == SPEED_FAIR && s->median_us < SLOW_MIN_US)
		return;
	peers_us = speed_peers_us(m);
	/* It was read all the same, for there was no way round it. */
	if (s->state != SPEED_FAIR) {
		if (is_fair(s->median_us, peers_us))
			believe(m);
		return;
	}
	if (peers_us > 0 && s->median_us / SLOW_FACTOR > peers_us &&
	    io_now_ns(m->pool->io) >= s->trust_until_ns &&
	    domains_avoided(m) < m->pool->m)
		doubt(m);
}

void speed_read_done(struct member *m, uint32_t n, uint64_t ns)
{
	latency_add(&m->speed.read, ns / NS_PER_US);
	sample(m, n <= HEDGE_BLOCKS ? ns : ns / n * HEDGE_BLOCKS);
}

void speed_large_sent(struct member *m)
{
	if (m->speed.large++ == 0)
		m->speed.large_ns = io_now_ns(m->pool->io);
}

void speed_large_done(struct member *m)
{
	assert(m->speed.large > 0);
	m->speed.large--;
	m->speed.large_ns = io_now_ns(m->pool->io);
}

uint32_t speed_read_hedged(struct member *m, uint64_t ns)
{
	uint32_t no = m->speed.nring;

	m->speed.hedged++;
	sample(m, ns);
	return no;
}

void speed_read_late(struct member *m, uint32_t no, uint64_t ns)
{
	struct speed *s = &m->speed;

	latency_add(&s->read, ns / NS_PER_US);
	if (s->nring > no &&
	    s->nring - no <= SPEED_RING)
		s->ring_us[no % SPEED_RING] =
			(uint32_t)min_u64(ns / NS_PER_US, UINT32_MAX);
}

uint32_t speed_us(const struct member *m)
{
	const struct speed *s = &m->speed;

	if (s->state == SPEED_FAIR || s->nprobes == 0)
		return s->median_us;
	return middle_of(s->probe_us, min_u32(s->nprobes, SPEED_PROBES));
}

/* --- probes -------------------------------------------------------------- */

void speed_probe_sent(struct member *m)
{
	m->speed.probing = true;
	m->speed.skipped = 0;
	m->speed.probed_ns = io_now_ns(m->pool->io);
}

void speed_probe_done(struct member *m, uint64_t ns)
{
	struct speed *s = &m->speed;
	uint32_t      us, peers_us;

	s->probing = false;
	if (ns == 0 || s->state == SPEED_FAIR)
		return;
	s->probe_us[s->nprobes++ % SPEED_PROBES] =
		(uint32_t)min_u64(ns / NS_PER_US, UINT32_MAX);
	peers_us = speed_peers_us(m);
	if (s->nprobes < SPEED_PROBES || peers_us == 0)
		return;
	us = middle_of(s->probe_us, SPEED_PROBES);
	if (is_fair(us, peers_us))
		believe(m);
	else if (us / CONFIRM_FACTOR > peers_us)
		s->state = SPEED_SLOW;
}

bool speed_skipped(struct member *m)
{
	struct speed *s = &m->speed;

	s->around++;
	s->skipped++;
	return s->state != SPEED_FAIR && !s->probing &&
	       (s->skipped >= PROBE_READS ||
		io_now_ns(m->pool->io) - s->probed_ns >= PROBE_NS);
}

bool speed_avoids(const struct member *m, uint32_t n)
{
	const struct speed *s = &m->speed;

	if (s->state != SPEED_FAIR)
		return true;
	return n > HEDGE_BLOCKS &&
	       (s->owed > 0 ||
		(s->large > 0 && io_now_ns(m->pool->io) - s->large_ns >
					 LARGE_NS));
}
