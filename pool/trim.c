/* pool/trim.c - telling disks that zones are free, so that a thin disk host gets
 * the space back.
 *
 *   commit N    frees segments that it does not need for new ones.  Those are
 *               not free yet: they go to quarantine, and its table says so
 *   N is done   (labels durable, claim still ours) each of their zones is
 *               trimmed, in pieces, one at a time on each disk
 *   answered    the zone is free in memory
 *   commit M>N  may compose a segment of it, which is opened when M is done
 *
 * So whoever opens the pool knows, from whichever commit he finds, all zones
 * that a trim may be on its way to: they are in quarantine with
 * SEG_CLAIM_STRAY, and are left alone until any trim must have arrived
 * (quarantine.c); then he trims them again.  And a trim is only sent when no
 * older commit, in which the zone may hold something, can be fallen back to.
 *
 * Segments that are needed are freed without that.  When space gets low, what
 * has not been sent is not sent any more.
 *
 * The ways to fail: none that stops anything.  A disk that refuses a trim gets
 * no more.  One that takes too long over one, or whose connection breaks with
 * it, gets none for ten minutes, and for twice as long each time that it
 * happens again before one was done well: perhaps it was the network, perhaps
 * the disk hangs with each.  A trim that failed with the connection may yet
 * arrive: its zone waits in quarantine like any with a stray write.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define PIECE_BLOCKS_MAX 1024u
/* A disk that takes longer for one has better things to do. */
#define SLOW_NS          (1 * NS_PER_S)
/* A shorter pause between two is none. */
#define PAUSE_MIN_NS     (1 * NS_PER_MS)
/* How long a disk gets none. */
#define OFF_MIN_NS       (600 * NS_PER_S)
#define OFF_MAX_NS       (86400 * NS_PER_S)

static void trim_next(struct member *m);

bool trim_possible(const struct pool *p, const struct segment *s, uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	/* One that is drained goes, and nobody waits for that. */
	return m != NULL && m->in && !member_drains(m) && m->disk != NULL &&
	       m->trim.off_until_ns <= io_now_ns(p->io) &&
	       m->disk->can_trim && !m->disk->read_only &&
	       p->state == POOL_ST_ACTIVE;
}

uint32_t trim_segs_max(const struct pool *p)
{
	return max_u32(2, p->segs_possible / 32);
}

/* --- one zone ------------------------------------------------------------ */

/* The zone is done with; its segment may be free now. */
static void trim_end(struct member *m)
{
	struct trim *t = &m->trim;

	t->seg->trim &= ~(1u << t->unit);
	t->seg->trimming &= ~(1u << t->unit);
	t->seg = NULL;
	quarantine_start(m->pool);
	if (!m->in)
		change_zones_freed(m->pool);
}

/* None for a while. */
static void trim_off(struct member *m)
{
	struct trim *t = &m->trim;

	t->off_ns = t->off_ns == 0 ? OFF_MIN_NS
				   : min_u64(2 * t->off_ns, OFF_MAX_NS);
	t->off_until_ns = io_now_ns(m->pool->io) + t->off_ns;
}

static void trim_fail(struct member *m, int res)
{
	struct trim *t = &m->trim;

	trim_off(m);
	if (res != -ENOTCONN && res != -ETIMEDOUT && res != -ECANCELED) {
		t->off_until_ns = UINT64_MAX;
		if (pool_running(m->pool))
			pool_log(m->pool, "disk %s: a trim failed (%s): it "
					  "gets no more",
				 m->disk != NULL ? m->disk->place : "?",
				 strerror(-res));
	}
	seg_stray_mark(m->pool, t->seg);
	trim_end(m);
}

static void trim_piece(struct member *m);

static void trim_done(struct disk_req *req)
{
	struct member *m = container_of(req, struct member, trim.req);
	struct pool   *p = m->pool;
	struct trim   *t = &m->trim;
	uint64_t       took_ns = io_now_ns(p->io) - t->sent_ns;

	t->inflight = false;
	if (req->res < 0) {
		trim_fail(m, req->res);
		return;
	}
	t->off_blocks += req->len_bytes / TARN_BLOCK;
	if (took_ns > SLOW_NS)
		trim_off(m);
	else
		t->off_ns = 0;
	/* The whole zone, or that is enough, or it is needed now. */
	if (t->off_blocks == p->zone_blocks || took_ns > SLOW_NS ||
	    (t->seg->trim & (1u << t->unit)) == 0)
		trim_end(m);
	/* No more than half of its time. */
	if (took_ns > PAUSE_MIN_NS)
		io_timer_arm(p->io, &t->timer, io_now_ns(p->io) + took_ns);
	else
		trim_next(m);
}

static void trim_piece(struct member *m)
{
	struct pool *p = m->pool;
	struct trim *t = &m->trim;
	uint32_t     n = min_u32(PIECE_BLOCKS_MAX, p->zone_blocks / 2);

	t->req.op = DISK_TRIM;
	t->req.off_bytes = zone_off_bytes(p, t->seg->zones[t->unit].zone,
					  t->off_blocks);
	t->req.len_bytes = min_u32(n, p->zone_blocks - t->off_blocks) *
			   TARN_BLOCK;
	t->req.buf = NULL;
	t->req.done = trim_done;
	t->sent_ns = io_now_ns(p->io);
	t->inflight = true;
	disk_submit(m->disk, &t->req);
}

/* --- which zone ---------------------------------------------------------- */

/* May its zones be trimmed by now? */
static bool seg_trimmable(const struct pool *p, const struct segment *s)
{
	return s->state == SEG_QUARANTINED && s->trim != 0 &&
	       (s->claim & CLAIM_DOUBT) == 0 && s->pins == 0 &&
	       (p->last.commit >= s->trim_commit || CANARY(trim_early));
}

/* The first zone of the disk that is to be trimmed. */
static bool trim_find(struct member *m)
{
	const struct pool *p = m->pool;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (!seg_trimmable(p, s))
			continue;
		for (uint32_t u = 0; u < p->units; u++) {
			if (seg_member(p, s, u) != m ||
			    (s->trim >> u & 1) == 0 ||
			    !trim_possible(p, s, u) ||
			    !zone_is_settled(p, s, u))
				continue;
			m->trim.seg = s;
			m->trim.unit = u;
			m->trim.off_blocks = 0;
			s->trimming |= 1u << u;
			return true;
		}
	}
	return false;
}

static void trim_next(struct member *m)
{
	struct trim *t = &m->trim;

	if (t->inflight || io_timer_armed(&t->timer))
		return;
	/* Between two pieces of a zone. */
	if (t->seg != NULL &&
	    (!trim_possible(m->pool, t->seg, t->unit) ||
	     (t->seg->trim >> t->unit & 1) == 0))
		trim_end(m);
	if (m->pool->state != POOL_ST_ACTIVE || !member_usable(m) ||
	    !pool_is_ours(m->pool))
		return;
	if (t->seg != NULL || trim_find(m))
		trim_piece(m);
}

static void timer_fn(struct io_timer *t)
{
	trim_next(container_of(t, struct member, trim.timer));
}

/* --- for the others ------------------------------------------------------ */

void trim_kick(struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++)
		trim_next(p->members[i]);
}

void seg_trim_want(struct pool *p, struct segment *s)
{
	s->trim = 0;
	for (uint32_t u = 0; u < p->units; u++) {
		if (seg_member(p, s, u) != NULL)
			s->trim |= 1u << u;
	}
	s->trim_commit = commit_running(p) ? p->commit.number
					   : p->last.commit + 1;
}

uint32_t trim_segs(const struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++)
		n += p->segs[i]->state == SEG_QUARANTINED &&
		     p->segs[i]->trim != 0;
	return n;
}

void trim_yield(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->trim &= p->segs[i]->trimming;
	quarantine_start(p);
}

void trim_init(struct member *m)
{
	io_timer_init(&m->trim.timer, timer_fn);
}

void trim_fini(struct member *m)
{
	io_timer_cancel(m->pool->io, &m->trim.timer);
}
