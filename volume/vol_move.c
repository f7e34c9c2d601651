/* volume/vol_move.c - moving the data of segments that are being emptied.
 *
 * In windows of up to MOVE_BLOCKS live blocks, one after the other:
 *
 *   LOOK    which blocks of the runs live?  (vol_move_look.c)
 *   READ    in order of place, with what is dead between them, so that a few
 *           large reads do; each block is checked against the map's checksum
 *   APPEND  in order of family and block, as MOVE; applied to all versions of
 *           the leaf that still say the old place
 *
 * So what is moved together lies in sequence afterwards, whichever segments it
 * came from, and cleaning defragments.  All versions of the leaves of a window
 * stay in memory from LOOK to the end, and become dirty; how many those are
 * bounds it, too.
 *
 * A block that cannot be read stays, and so does its segment.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/canary.h"
#include "volume/node_validate.h"
#include "volume/vol_move.h"

#define LOOKS_A_TURN     512u
#define READ_BLOCKS      256u
/* Dead blocks that are read rather than passed over. */
#define READ_GAP         8u
#define VERSIONS_MIN     64u

static void mover_step(struct mover *m);

/* --- LOOK ---------------------------------------------------------------- */

static bool window_has_room(const struct mover *m, const struct reloc *r)
{
	if (m->nblocks + m->promised == 0)
		return true;
	return m->nblocks + m->promised + r->n <= MOVE_BLOCKS &&
	       m->versions + m->nlooks < m->versions_now;
}

/* True when that is done. */
static bool look_all(struct mover *m)
{
	for (unsigned i = 0; i < LOOKS_A_TURN; i++) {
		struct reloc *r;

		if (list_empty(&m->queue) || list_empty(&m->looks_free))
			return m->nlooks == 0;
		r = list_first(&m->queue, struct reloc, link);
		if (!window_has_room(m, r))
			return m->nlooks == 0;
		list_remove(&r->link);
		list_push(&m->taken, &r->link);
		move_look_start(m, r);
	}
	mover_kick(m);
	return false;
}

/* --- READ ---------------------------------------------------------------- */

static int by_place(const void *a, const void *b, void *arg)
{
	const struct mover *m = arg;
	place_t x = m->runs[*(const uint32_t *)a].place;
	place_t y = m->runs[*(const uint32_t *)b].place;

	return (x > y) - (x < y);
}

static void order_set(struct mover *m,
		      int (*cmp)(const void *, const void *, void *))
{
	for (uint32_t i = 0; i < m->nruns; i++)
		m->order[i] = i;
	qsort_r(m->order, m->nruns, sizeof(m->order[0]), cmp, m);
	m->next = 0;
}

/* The run's place in the buffer, after `gap` blocks that nobody wants. */
static void buf_take(struct mover *m, struct move_run *run, uint32_t gap)
{
	memset(m->buf_skip + m->buf_used, 1, gap);
	m->buf_used += gap;
	run->buf_at = m->buf_used;
	memcpy(m->buf_crcs + m->buf_used, m->crcs + run->crc_at,
	       run->n * sizeof(m->crcs[0]));
	memset(m->buf_skip + m->buf_used, CANARY(move_unchecked) ? 1 : 0,
	       run->n);
	m->buf_used += run->n;
	m->unread -= run->n;
}

/* Does the run come so soon after `end` that one read has both? */
static bool read_goes_on(const struct mover *m, const struct move_run *run,
			 place_t start, place_t end)
{
	uint32_t gap = (uint32_t)(run->place - end);

	return run->place >= end && run->place - end <= READ_GAP &&
	       run->place + run->n - start <= READ_BLOCKS &&
	       (run->place & ~m->vols->zone_mask) ==
		       (start & ~m->vols->zone_mask) &&
	       m->buf_used + gap + m->unread <= MOVE_BUF;
}

static void read_done(struct pool_read *rd)
{
	struct move_read *q = container_of(rd, struct move_read, rd);
	struct mover     *m = q->mover;
	bool              any = false;

	for (uint32_t i = 0; i < rd->n; i++)
		any |= rd->bad[i] != 0;
	if (rd->res < 0 && !any)
		memset(rd->bad, 1, rd->n);
	m->nreads--;
	list_push_front(&m->reads_free, &q->link);
	mover_kick(m);
}

static void read_next(struct mover *m)
{
	struct move_read *q = list_first(&m->reads_free, struct move_read,
					 link);
	struct move_run  *run = &m->runs[m->order[m->next]];
	place_t           start = run->place, end = start;

	list_remove(&q->link);
	q->at = m->buf_used;
	do {
		buf_take(m, run, (uint32_t)(run->place - end));
		end = run->place + run->n;
		m->next++;
		run = &m->runs[m->order[m->next % MOVE_BLOCKS]];
	} while (m->next < m->nruns && read_goes_on(m, run, start, end));
	q->rd.place = start;
	q->rd.n = m->buf_used - q->at;
	q->rd.buf = m->buf + blocks_to_bytes(q->at);
	q->rd.crcs = m->buf_crcs + q->at;
	q->rd.skip = m->buf_skip + q->at;
	q->rd.bad = m->buf_bad + q->at;
	q->rd.done = read_done;
	m->nreads++;
	pool_read_submit(m->vols->pool, &q->rd);
}

static bool read_all(struct mover *m)
{
	while (m->next < m->nruns && !list_empty(&m->reads_free))
		read_next(m);
	return m->nreads == 0;
}

/* --- APPEND -------------------------------------------------------------- */

static int by_block(const void *a, const void *b, void *arg)
{
	const struct mover    *m = arg;
	const struct move_run *x = &m->runs[*(const uint32_t *)a];
	const struct move_run *y = &m->runs[*(const uint32_t *)b];

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return (x->block > y->block) - (x->block < y->block);
}

static void append_apply(struct log_append *a)
{
	struct move_run *run = container_of(a, struct move_run, append);

	for (uint32_t i = 0; i < run->n; i++)
		map_move(run->mover->vols, run->family, run->block + i,
			 run->place + i, log_append_place(a, i),
			 log_append_crc(a, i));
}

static void append_done(struct log_append *a)
{
	struct move_run *run = container_of(a, struct move_run, append);

	if (a->res == 0)
		run->r->moved += run->n;
	else if (run->r->res == 0)
		run->r->res = a->res;
	run->mover->nappends--;
	mover_kick(run->mover);
}

static void append(struct mover *m, struct move_run *run)
{
	struct log_append *a = &run->append;

	run->iov.iov_base = m->buf + blocks_to_bytes(run->buf_at);
	run->iov.iov_len = blocks_to_bytes(run->n);
	memset(a, 0, sizeof(*a));
	a->rec = (struct rec){
		.type = REC_MOVE,
		.n = (uint16_t)run->n,
		.id = run->family,
		.block = run->block,
		.ext = run->place,
	};
	a->iov = &run->iov;
	a->niov = 1;
	a->class = run->r->rec.type == REC_MOVE ? LOG_COLD : LOG_CLEANER;
	a->apply = append_apply;
	a->done = append_done;
	m->nappends++;
	log_append_submit(m->vols->pool, a);
}

/* Block i of the run: still there, and whole? */
static bool append_wants(const struct mover *m, const struct move_run *run,
			 uint32_t i)
{
	struct pool_damage lost = {
		.family = run->family,
		.block = run->block + i,
		.sure = true,
	};

	if (move_entry(m, run->family, run->block + i, run->place + i) == NULL)
		return false;
	if (!m->buf_bad[run->buf_at + i])
		return true;
	lost.place = run->place + i;
	pool_damage_found(m->vols->pool, &lost);
	if (run->r->res == 0)
		run->r->res = -EBADMSG;
	return false;
}

/* What was overwritten meanwhile, or cannot be read, is left out; the pieces
 * around it are runs of their own.  There is room for those: together they have
 * no more blocks than the window. */
static void append_run(struct mover *m, struct move_run *run)
{
	struct move_run whole = *run;
	bool            used = false;
	uint32_t        n;

	for (uint32_t i = 0; i < whole.n; i += n + 1) {
		struct move_run *piece = run;

		n = 0;
		while (i + n < whole.n && append_wants(m, &whole, i + n))
			n++;
		if (n == 0)
			continue;
		if (used) {
			piece = &m->runs[m->nruns++];
			*piece = whole;
			piece->guard.link.next = NULL;
		}
		used = true;
		piece->block = whole.block + i;
		piece->place = whole.place + i;
		piece->buf_at = whole.buf_at + i;
		piece->n = n;
		append(m, piece);
	}
}

static void append_all(struct mover *m)
{
	uint32_t nruns = m->nruns;

	for (uint32_t i = 0; i < nruns; i++)
		append_run(m, &m->runs[m->order[i]]);
}

/* --- the window ---------------------------------------------------------- */

static void window_start(struct mover *m)
{
	assert(m->nlooks == 0 && m->nreads == 0 && m->nappends == 0);
	m->state = MOVE_LOOK;
	m->promised = 0;
	m->versions = 0;
	/* All of them become dirty. */
	m->versions_now = (uint32_t)max_u64(
		VERSIONS_MIN, min_u64(m->versions_max,
				      pool_commit_room(m->vols->pool) / 2));
	m->nruns = 0;
	m->nblocks = 0;
	m->buf_used = 0;
}

static void window_end(struct mover *m)
{
	struct list  taken;
	struct list *link;

	for (uint32_t i = 0; i < m->nruns; i++)
		node_guard_remove(m->vols, &m->runs[i].guard);
	m->state = MOVE_IDLE;
	if (!list_empty(&m->queue))
		mover_kick(m);
	list_init(&taken);
	list_splice(&taken, &m->taken);
	while ((link = list_pop(&taken)) != NULL) {
		struct reloc *r = list_entry(link, struct reloc, link);

		r->done(r);
	}
}

static void mover_step(struct mover *m)
{
	switch ((enum move_state)m->state) {
	case MOVE_IDLE:
		if (list_empty(&m->queue) || vol_relocs_end(m->vols, &m->queue))
			return;
		m->throttled = vol_relocs_throttle(m->vols);
		if (m->throttled)
			return;
		window_start(m);
		__attribute__((fallthrough));
	case MOVE_LOOK:
		if (!look_all(m))
			return;
		m->state = MOVE_READ;
		m->unread = m->nblocks;
		order_set(m, by_place);
		__attribute__((fallthrough));
	case MOVE_READ:
		if (!read_all(m))
			return;
		m->state = MOVE_APPEND;
		order_set(m, by_block);
		append_all(m);
		__attribute__((fallthrough));
	case MOVE_APPEND:
		if (m->nappends == 0)
			window_end(m);
		return;
	}
}

static void mover_work(struct io_work *w)
{
	mover_step(container_of(w, struct mover, work));
}

void mover_kick(struct mover *m)
{
	io_defer(m->vols->io, &m->work);
}

void mover_unthrottle(struct mover *m)
{
	if (m->throttled)
		mover_kick(m);
}

bool mover_is_throttled(const struct mover *m)
{
	return m->throttled;
}

void mover_add(struct mover *m, struct reloc *r)
{
	list_push(&m->queue, &r->link);
	if (m->state == MOVE_IDLE || m->state == MOVE_LOOK)
		mover_kick(m);
}

/* --- memory -------------------------------------------------------------- */

static bool mover_alloc(struct mover *m)
{
	m->looks = calloc(MOVE_LOOKS, sizeof(m->looks[0]));
	m->reads = calloc(MOVE_READS, sizeof(m->reads[0]));
	m->runs = calloc(MOVE_BLOCKS, sizeof(m->runs[0]));
	m->order = calloc(MOVE_BLOCKS, sizeof(m->order[0]));
	m->crcs = calloc(MOVE_BLOCKS, sizeof(m->crcs[0]));
	m->buf_crcs = calloc(MOVE_BUF, sizeof(m->buf_crcs[0]));
	m->buf_skip = calloc(MOVE_BUF, 1);
	m->buf_bad = calloc(MOVE_BUF, 1);
	m->buf = mmap(NULL, blocks_to_bytes(MOVE_BUF), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->buf == MAP_FAILED)
		m->buf = NULL;
	return m->looks != NULL && m->reads != NULL && m->runs != NULL &&
	       m->order != NULL && m->crcs != NULL && m->buf_crcs != NULL &&
	       m->buf_skip != NULL && m->buf_bad != NULL && m->buf != NULL;
}

int mover_open(struct volumes *vols, struct mover **ret_mover)
{
	struct mover *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->vols = vols;
	io_work_init(&m->work, mover_work);
	list_init(&m->queue);
	list_init(&m->taken);
	list_init(&m->looks_free);
	list_init(&m->reads_free);
	*ret_mover = m; /* what there is of it is closed, too */
	if (!mover_alloc(m))
		return -ENOMEM;
	for (unsigned i = 0; i < MOVE_LOOKS; i++)
		list_push(&m->looks_free, &m->looks[i].link);
	for (unsigned i = 0; i < MOVE_READS; i++) {
		m->reads[i].mover = m;
		list_push(&m->reads_free, &m->reads[i].link);
	}
	m->versions_max = (uint32_t)max_u64(
		VERSIONS_MIN, min_u64(vols->cache.budget_slabs / 4, 65536));
	return 0;
}

void mover_close(struct mover *m)
{
	if (m == NULL)
		return;
	io_undefer(&m->work);
	if (m->buf != NULL)
		munmap(m->buf, blocks_to_bytes(MOVE_BUF));
	free(m->looks);
	free(m->reads);
	free(m->runs);
	free(m->order);
	free(m->crcs);
	free(m->buf_crcs);
	free(m->buf_skip);
	free(m->buf_bad);
	free(m);
}
