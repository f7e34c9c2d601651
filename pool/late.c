/* pool/late.c - rows that are late, and members that make them so.
 *
 * One slow disk must not stop the log.  A row that is not stored in time by
 * the standard of its peers is written again, under the same number, to
 * another segment that has no unit on the disks that it waits for:
 *
 *   row sent --> LATE_MIN_NS, or 8 x the median of the last rows, passes
 *        |       some unit is not down, though k others are, or though a row
 *        |       that was sent later is stored
 *        v
 *   members that it waits for are slow for a while; a copy is written
 *        |
 *        +--> the row is stored first: the copy is dead
 *        +--> the copy is stored first: row and copy change places (segment,
 *             offset, buffer, units), so that the row in the list is always
 *             the one that counts; then the copy is dead
 *
 * A dead copy holds its segment (segment.rows) and its buffer until none of
 * its writes is in flight and the row is stable: a segment in which one may
 * still arrive is never sealed, let alone freed, and a commit can tell
 * recovery where to look for all copies of a row that it does not hold.
 * Recovery takes the copy with more valid units; both say the same.
 *
 * While members are slow, or not usable but not recorded out, new rows avoid
 * them: each class has, beside its open segments, one that is opened for this
 * (the last of pool.open[]).  It is filled afterwards like any other.
 *
 * What limits it: with no more domains than k+m there is no other segment, and
 * a row waits until its disk answers or is recorded out.  Segments are only
 * opened that the last commit lists, and never those that commits need.  One
 * row in a hundred may be written twice, or ten a second if that is more, and
 * as many at once as can be in flight; while the median itself is late only
 * one each LATE_PAUSE_NS.
 */
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define LATE_MIN_NS    (100 * NS_PER_MS)
#define LATE_MAX_NS    (1000 * NS_PER_MS)
#define LATE_MEDIANS   8u
#define LATE_AGAIN_NS  (50 * NS_PER_MS)
#define LATE_PAUSE_NS  (250 * NS_PER_MS)
#define REFILL_ROWS    100u
#define REFILL_NS      (100 * NS_PER_MS)
/* How long a member is avoided, after it answers again; twice as long each
 * time that it is late again soon after. */
#define SLOW_MIN_NS    (2 * NS_PER_S)
#define SLOW_MAX_NS    (64 * NS_PER_S)

/* --- slow members -------------------------------------------------------- */

bool late_member_slow(const struct pool *p, const struct member *m)
{
	return !member_usable(m) || m->late_units > 0 ||
	       io_now_ns(p->io) < m->slow_until_ns;
}

static void member_mark_slow(struct pool *p, struct member *m)
{
	uint64_t now_ns = io_now_ns(p->io);

	if (now_ns < m->slow_until_ns)
		return;
	if (now_ns - m->slow_until_ns < 2 * m->slow_ns)
		m->slow_ns = min_u64(2 * m->slow_ns, SLOW_MAX_NS);
	else
		m->slow_ns = SLOW_MIN_NS;
	m->slow_until_ns = now_ns + m->slow_ns;
}

static bool seg_is_slow(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m != NULL && m->in && late_member_slow(p, m))
			return true;
	}
	return false;
}

/* Is there a slow member, and are there enough domains without it? */
static bool slow_avoidable(const struct pool *p)
{
	bool     fast[DOMAINS_MAX] = {false};
	uint32_t n = 0;
	bool     any = false;

	if (p->ndomains <= p->units || p->last_commit ||
	    (p->state != POOL_ST_ACTIVE && p->state != POOL_ST_CLOSING))
		return false;
	for (uint32_t i = 0; i < p->nmembers && !any; i++)
		any = p->members[i]->in &&
		      late_member_slow(p, p->members[i]);
	for (uint32_t i = 0; any && i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->in || late_member_slow(p, m))
			continue;
		n += !fast[m->domain];
		fast[m->domain] = true;
	}
	return n >= p->units;
}

/* --- segments without them ----------------------------------------------- */

/* The first openable segment without a slow member.  Recovery finds out which
 * segments may have been opened by their order (recover_segments.c), so only a
 * few are passed over. */
static struct segment *find_openable(const struct pool *p,
				     enum log_class class)
{
	uint32_t passed = 0;

	if (p->openable <= max_u32(segs_keep(p, class), segs_reserve(p)))
		return NULL;
	for (uint32_t i = 1; i <= p->nsegs && passed <= LATE_PASSED_MAX; i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_OPENABLE)
			continue;
		if (s->missing == 0 && seg_writable(p, s) &&
		    !seg_is_slow(p, s))
			return s;
		passed++;
	}
	return NULL;
}

struct segment *late_segment(struct pool *p, enum log_class class,
			     uint32_t unit_blocks, uint32_t index_bytes)
{
	struct segment **slot = &p->open[class][SEG_ASIDE];
	struct segment  *s = *slot, *other = NULL;
	bool             avoid = slow_avoidable(p);

	for (uint32_t i = 0; avoid && i < segs_open_max(p, class); i++) {
		struct segment *o = p->open[class][i];

		if (o != NULL && o != s &&
		    seg_has_room(p, o, unit_blocks, index_bytes) &&
		    seg_writable(p, o) && !seg_is_slow(p, o))
			return o;
	}
	if (s != NULL && seg_has_room(p, s, unit_blocks, index_bytes) &&
	    seg_writable(p, s) && !(avoid && seg_is_slow(p, s)))
		return s;
	if (avoid)
		other = find_openable(p, class);
	if (s != NULL && (other != NULL || !avoid)) {
		*slot = NULL;
		seg_seal(p, s);
	}
	if (other != NULL) {
		seg_open(p, other, class);
		*slot = other;
	}
	return other;
}

/* --- how many ------------------------------------------------------------ */

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median_ns(const struct late *l)
{
	uint32_t us[LATE_RING];
	uint32_t n = (uint32_t)min_u64(l->rows, LATE_RING);

	if (n == 0)
		return 0;
	memcpy(us, l->ring_us, n * sizeof(us[0]));
	qsort(us, n, sizeof(us[0]), cmp_u32);
	return us[n / 2] * NS_PER_US;
}

/* May one more row be written again now? */
static bool allowed(struct pool *p, uint64_t median)
{
	struct late *l = &p->late;
	uint64_t     now_ns = io_now_ns(p->io);
	uint64_t     n = (now_ns - l->refill_ns) / REFILL_NS;

	if (CANARY(late_never))
		return false;
	l->tokens = (uint32_t)min_u64(l->tokens + n, LATE_TOKENS_MAX);
	l->refill_ns += n * REFILL_NS;
	if (l->tokens > 0 && median <= LATE_MIN_NS)
		return true;
	return now_ns - l->last_ns >= LATE_PAUSE_NS;
}

static void take_token(struct pool *p)
{
	struct late *l = &p->late;

	l->last_ns = io_now_ns(p->io);
	l->tokens -= l->tokens > 0;
}

/* --- copies -------------------------------------------------------------- */

static bool unit_waits(const struct pool *p, const struct row_unit *unit)
{
	return unit->state == UNIT_INFLIGHT ||
	       (unit->state == UNIT_IDLE && p->members[unit->member]->in);
}

/* The copy counts no longer; it is given back when it has come to rest. */
static void copy_kill(struct row *copy)
{
	struct row *row = copy->copy;

	assert(copy->is_copy && row != NULL && row->copy == copy);
	row->copy = NULL;
	copy->copy = NULL;
	io_defer(copy->pool->io, &copy->pool->advance);
}

/* The copy is stored: from here on it is the row. */
static void copy_win(struct row *copy)
{
	struct row      *row = copy->copy;
	struct pool     *p = row->pool;
	struct segment  *seg = row->seg;
	uint32_t         off = row->off;
	uint8_t         *buf = row->buf;
	struct row_unit *units = row->units;

	assert(row->state == ROW_WRITING);
	assert(row->buf_bytes == copy->buf_bytes);
	if (CANARY(late_counted_twice))
		pool_place_ref(p, place_make(p, seg->no, 0, off),
			       row->payload_blocks);
	row->seg = copy->seg;
	row->off = copy->off;
	row->buf = copy->buf;
	row->units = copy->units;
	copy->seg = seg;
	copy->off = off;
	copy->buf = buf;
	copy->units = units;
	for (uint32_t u = 0; u < p->units; u++) {
		row->units[u].row = row;
		copy->units[u].row = copy;
	}
	row->sent_ns = copy->sent_ns;
	copy_kill(copy);
	log_row_check_stored(row);
}

void late_unit_done(struct row_unit *unit)
{
	struct row  *copy = unit->row;
	struct pool *p = copy->pool;

	assert(copy->is_copy);
	if (copy->copy == NULL) {
		io_defer(p->io, &p->advance);
		return;
	}
	if (unit->state != UNIT_WRITTEN) {
		copy_kill(copy);
		return;
	}
	for (uint32_t u = 0; u < p->units; u++) {
		if (copy->units[u].state != UNIT_WRITTEN)
			return;
	}
	copy_win(copy);
}

void late_member_lost(struct pool *p, const struct member *m)
{
	list_for_each(l, &p->late.copies) {
		struct row *copy = list_entry(l, struct row, link);

		for (uint32_t u = 0; copy->copy != NULL && u < p->units; u++) {
			if (copy->units[u].member == m->index)
				copy_kill(copy);
		}
	}
}

static bool copy_at_rest(const struct row *copy)
{
	const struct pool *p = copy->pool;

	if (copy->copy != NULL || copy->no > p->stable_row)
		return false;
	for (uint32_t u = 0; u < p->units; u++) {
		if (copy->units[u].state == UNIT_INFLIGHT)
			return false;
	}
	return true;
}

void late_reap(struct pool *p)
{
	if (!pool_running(p))
		return;
	for (struct list *l = p->late.copies.next, *next;
	     l != &p->late.copies; l = next) {
		struct row *copy = list_entry(l, struct row, link);

		next = l->next;
		if (!copy_at_rest(copy))
			continue;
		seg_row_applied(p, copy->seg);
		log_release_row(copy);
	}
}

bool late_idle(const struct pool *p)
{
	return list_empty(&p->late.copies);
}

bool late_waits(const struct pool *p)
{
	bool any = !late_idle(p);

	for (uint32_t i = 0; i < p->nmembers; i++)
		any |= p->members[i]->late_units > 0;
	return any;
}

/* Same bytes, but for what the header says about its place. */
static void copy_fill(struct row *copy, const struct row *row)
{
	struct pool    *p = copy->pool;
	struct row_info info;
	int             r;

	memcpy(copy->buf, row->buf, row->buf_bytes);
	r = row_header_validate(&p->geom, row_unit_buf(row, 0),
				row->header_blocks * TARN_BLOCK, &info, NULL);
	assert(r == 0 && info.row_no == row->no);
	seg_index_add(copy->seg, copy, (const uint8_t *)info.crcs, info.recs);
	info.segment = copy->seg->no;
	info.generation = copy->seg->generation;
	info.off_blocks = copy->off;
	for (uint32_t u = 0; u < (p->k == 1 ? 1 : p->units); u++) {
		if (!CANARY(late_header_kept))
			row_header_encode(&p->geom, &info, u,
					  row_unit_buf(copy, u));
	}
}

/* False: there is nowhere to write it now. */
static bool row_copy(struct row *row)
{
	struct pool    *p = row->pool;
	struct segment *seg;
	struct row     *copy;

	if (!slow_avoidable(p))
		return false;
	copy = log_row_get(p, row->unit_blocks,
			   2 * p->params.rows_memory_bytes);
	if (copy == NULL)
		return false;
	seg = late_segment(p, (enum log_class)row->class, row->unit_blocks,
			   seg_index_entry_bytes(row->payload_blocks,
						 row->recs_bytes));
	if (seg == NULL || seg == row->seg) {
		log_release_row(copy);
		return false;
	}
	assert(copy->buf_bytes == row->buf_bytes);
	copy->no = row->no;
	copy->state = ROW_WRITING;
	copy->class = row->class;
	copy->empty = row->empty;
	copy->is_copy = true;
	copy->copy = row;
	row->copy = copy;
	copy->header_blocks = row->header_blocks;
	copy->payload_blocks = row->payload_blocks;
	copy->slice_blocks = row->slice_blocks;
	copy->unit_blocks = row->unit_blocks;
	copy->nrecs = row->nrecs;
	copy->recs_bytes = row->recs_bytes;
	list_init(&copy->appends);
	log_row_place(copy, seg);
	copy_fill(copy, row);
	list_push(&p->late.copies, &copy->link);
	p->counters.late_rows++;
	log_row_submit(copy);
	return true;
}

/* --- looking for them ---------------------------------------------------- */

/* Are its peers done: enough units of it, or a row that was sent later? */
static bool peers_done(const struct row *row)
{
	const struct pool *p = row->pool;
	uint32_t           written = 0;

	for (uint32_t u = 0; u < p->units; u++)
		written += row->units[u].state == UNIT_WRITTEN;
	return written >= p->k || p->late.newest_sent_ns > row->sent_ns;
}

/* The members that it waits for are slow. */
static void mark_waiting(struct row *row)
{
	struct pool *p = row->pool;

	for (uint32_t u = 0; u < p->units; u++) {
		struct row_unit *unit = &row->units[u];
		struct member   *m;

		if (!unit_waits(p, unit))
			continue;
		m = p->members[unit->member];
		member_mark_slow(p, m);
		if (unit->state == UNIT_INFLIGHT && !unit->late) {
			unit->late = true;
			m->late_units++;
		}
	}
}

static void row_late(struct row *row, uint64_t after_ns, uint64_t median)
{
	struct pool *p = row->pool;
	struct row  *copy = row->copy;

	if (!peers_done(row))
		return;
	mark_waiting(row);
	if (copy != NULL) {
		if (io_now_ns(p->io) < copy->sent_ns + after_ns ||
		    !peers_done(copy))
			return;
		/* The copy is late, too. */
		mark_waiting(copy);
		if (!allowed(p, median) || !slow_avoidable(p))
			return;
		copy_kill(copy);
	}
	if (allowed(p, median) && row_copy(row))
		take_token(p);
}

static void late_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, late.timer);
	uint64_t     now_ns = io_now_ns(p->io), next_ns = UINT64_MAX;
	uint64_t     median = median_ns(&p->late);
	uint64_t     after_ns = min_u64(max_u64(LATE_MEDIANS * median,
						LATE_MIN_NS),
					LATE_MAX_NS);

	if (!pool_running(p))
		return;
	for (struct row *row = log_first_unstable(p); row != NULL;
	     row = log_next_row(row)) {
		if (row->state != ROW_WRITING)
			continue;
		if (row->sent_ns + after_ns <= now_ns) {
			row_late(row, after_ns, median);
			next_ns = min_u64(next_ns, now_ns + LATE_AGAIN_NS);
		} else {
			next_ns = min_u64(next_ns, row->sent_ns + after_ns);
		}
	}
	if (next_ns != UINT64_MAX)
		io_timer_arm(p->io, t, next_ns);
}

void late_row_sent(struct row *row)
{
	struct pool *p = row->pool;

	row->sent_ns = io_now_ns(p->io);
	if (!row->is_copy && p->ndomains > p->units &&
	    !io_timer_armed(&p->late.timer))
		io_timer_arm(p->io, &p->late.timer,
			     row->sent_ns + LATE_MIN_NS);
}

void late_row_stored(struct row *row)
{
	struct late *l = &row->pool->late;
	uint64_t     us = (io_now_ns(row->pool->io) - row->sent_ns) / NS_PER_US;

	l->ring_us[l->rows++ % LATE_RING] =
		(uint32_t)min_u64(us, UINT32_MAX);
	if (l->rows % REFILL_ROWS == 0 && l->tokens < LATE_TOKENS_MAX)
		l->tokens++;
	l->newest_sent_ns = max_u64(l->newest_sent_ns, row->sent_ns);
	if (row->copy != NULL)
		copy_kill(row->copy);
}

void late_init(struct pool *p)
{
	list_init(&p->late.copies);
	io_timer_init(&p->late.timer, late_fn);
	p->late.tokens = LATE_TOKENS_MAX;
	p->late.refill_ns = io_now_ns(p->io);
}

void late_fini(struct pool *p)
{
	for (;;) {
		struct list *l = list_pop(&p->late.copies);

		if (l == NULL)
			break;
		bufpool_put(p->row_bufs,
			    list_entry(l, struct row, link)->buf);
	}
	io_timer_cancel(p->io, &p->late.timer);
}
