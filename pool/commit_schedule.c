/* pool/commit_schedule.c - when a commit starts.
 *
 * One is due when somebody wants it, when the log after the last one is long
 * (or what is dirty is much), and when few segments are openable and a commit
 * would list more.  What only frees dead segments may wait a while for company.
 * Whoever may have changed that calls commit_consider(); the commit starts in
 * a later turn.
 *
 * What is dirty must fit into the segments that are openable, at any moment, or
 * there could be no commit, and without one nothing is ever freed.  So one is
 * also due while there still is room for somewhat more; when there is hardly any
 * nothing more becomes dirty before it has ended (pool_commit_is_crowded()),
 * and nobody else opens a segment that it needs (commit_spares()).
 *
 * The way to fail: a commit that would run out of room could not end, so none
 * is started (pool_commit_is_blocked()) until zones are freed.
 */
#include "pool/cleaner.h"
#include "pool/commit.h"

#define IDLE_COMMIT_NS  (2 * NS_PER_S)

/* Dead segments whose zones a commit would really give back. */
static uint32_t freeable(const struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t i = 1; p->sealed_dead > 0 && i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		n += s->dead && s->pins == 0 && !s->victim &&
		     !seg_must_quarantine(p, s);
	}
	return n;
}

/* Would a commit free segments, or list more of them? */
static bool commit_gains(const struct pool *p)
{
	uint32_t zones = segs_free_possible(p);

	return freeable(p) > 0 || zones > segs_unlisted(p) ||
	       (p->openable <= 1 && zones > 0);
}

bool pool_is_closing(const struct pool *p)
{
	return p->state == POOL_ST_CLOSING;
}

/* How many blocks a commit may have: rows of few blocks have as much header, so
 * half of what there is room for. */
static uint64_t commit_blocks_max(const struct pool *p, uint32_t openable)
{
	static const unsigned slots[] = { 0, SEG_ASIDE };
	uint64_t room = (uint64_t)openable * p->zone_blocks;

	for (unsigned i = 0; i < ARRAY_LEN(slots); i++) {
		const struct segment *s = p->open[LOG_COMMIT][slots[i]];

		if (s != NULL && s->write_off < p->zone_blocks)
			room += p->zone_blocks - s->write_off;
	}
	return room * p->k / 2;
}

static uint64_t commit_needs(const struct pool *p)
{
	return p->client->commit_blocks(p->client_arg) + p->tables_total +
	       seg_pages(p) + 16;
}

bool commit_fits(const struct pool *p, uint32_t openable)
{
	return commit_blocks_max(p, openable) >= commit_needs(p);
}

uint64_t pool_commit_room(const struct pool *p)
{
	uint64_t max = commit_blocks_max(p, p->openable);

	return max - min_u64(max, commit_needs(p));
}

/* Would a commit make much more room for the next one? */
static bool dirty_is_much(const struct pool *p)
{
	return p->client->commit_blocks(p->client_arg) >=
	       p->seg_data_blocks / 4;
}

static bool crowded(const struct pool *p, uint64_t more)
{
	return dirty_is_much(p) && pool_commit_room(p) < more;
}

bool pool_commit_is_crowded(const struct pool *p)
{
	return crowded(p, p->seg_data_blocks / 2);
}

bool commit_spares(const struct pool *p)
{
	return !dirty_is_much(p) || !commit_fits(p, p->openable) ||
	       commit_fits(p, p->openable - 1);
}

/* The last openable segment is for a commit that lists more. */
bool pool_commit_is_blocked(const struct pool *p)
{
	return p->state == POOL_ST_ACTIVE && !commit_running(p) &&
	       ((p->openable <= 1 && !commit_gains(p)) || !commit_fits(p, p->openable));
}

uint32_t commit_openable_kept(const struct pool *p)
{
	return segs_reserve(p) + 3;
}

/* The next segments are needed soon.  A commit costs all leaves that were
 * changed, so before it is urgent it is to free more than are left. */
static bool segs_due(const struct pool *p)
{
	uint32_t have = segs_openable_whole(p);
	uint32_t kept = commit_openable_kept(p);

	if (have <= kept)
		return commit_gains(p);
	return have <= kept + segs_low(p) / 4 && freeable(p) > have - kept;
}

static bool commit_due(struct pool *p)
{
	uint64_t log = p->log_blocks * TARN_BLOCK;

	if (pool_commit_is_blocked(p))
		return false;
	if (p->commit.wanted || log >= p->params.commit_log_bytes)
		return true;
	if (2 * p->client->commit_blocks(p->client_arg) >=
		    p->params.rows_memory_bytes / TARN_BLOCK * 8)
		return true;
	if (crowded(p, p->seg_data_blocks))
		return true;
	return segs_due(p);
}

bool commit_pending(struct pool *p)
{
	return commit_running(p) ||
	       (p->state == POOL_ST_ACTIVE && commit_due(p));
}

void commit_consider(struct pool *p)
{
	if (p->state != POOL_ST_ACTIVE || commit_running(p))
		return;
	if (commit_due(p) || p->commit.wanted)
		io_defer(p->io, &p->commit.work);
	else if (p->sealed_dead > 0 && !io_timer_armed(&p->commit_timer))
		io_timer_arm(p->io, &p->commit_timer,
			     io_now_ns(p->io) + IDLE_COMMIT_NS);
}

void pool_commit_want(struct pool *p)
{
	p->commit.wanted = true;
	commit_consider(p);
}

void commit_want_later(struct pool *p)
{
	p->commit.wanted_later = true;
	if (!io_timer_armed(&p->commit_timer))
		io_timer_arm(p->io, &p->commit_timer,
			     io_now_ns(p->io) + IDLE_COMMIT_NS);
}

static void commit_timer_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, commit_timer);

	if (p->sealed_dead > 0 || p->commit.wanted_later)
		pool_commit_want(p);
}

static void commit_work_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, commit.work);

	if (commit_running(p) || p->state != POOL_ST_ACTIVE)
		return;
	if (commit_due(p))
		commit_start(p);
	else if (p->commit.wanted && pool_commit_is_blocked(p) &&
		 p->client->commit_blocked != NULL)
		p->client->commit_blocked(p->client_arg);
}

void commit_schedule_init(struct pool *p)
{
	io_timer_init(&p->commit_timer, commit_timer_fn);
	io_work_init(&p->commit.work, commit_work_fn);
}

void commit_schedule_fini(struct pool *p)
{
	io_timer_cancel(p->io, &p->commit_timer);
	io_undefer(&p->commit.work);
}
