/* pool/cleaner.c - emptying segments so that their zones can be used again.
 *
 * A pass empties the segments of cleaner_choose.c together:
 *
 *   IDLE -> ROWS   the rows of each victim, from its index or from a scan
 *        -> MOVE   nodes and tables first: the client makes them dirty, so that
 *                  the next commit writes them elsewhere; then data, in order of
 *                  volume and block: the client moves what is live (MOVE)
 *        -> IDLE
 *
 * A segment is freed by a commit, when nothing in it lives any more, never
 * because a pass ended.
 *
 * The ways to fail: a block cannot be moved, and its segment is left alone for a
 * while; there is no space, and the cleaner rests until there may be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/cleaner.h"

#define RUN_BLOCKS 64u
/* A larger index is not read: the segment is scanned. */
#define INDEX_BLOCKS_MAX (1u << 18)

enum cleaner_state {
	CLEANER_IDLE,
	CLEANER_ROWS,
	CLEANER_MOVE,
};

/* Blocks of a record at consecutive places. */
struct run {
	struct rec rec;
	uint32_t   first; /* block of the record */
	uint32_t   n;
	place_t    place;
};

struct victim {
	struct segment *seg;
	bool            failed;   /* some run could not be moved */
};

struct cleaner {
	struct pool     *pool;
	uint8_t          state;     /* enum cleaner_state */
	struct victim    victims[VICTIMS_MAX];
	uint32_t         nvictims;
	/* ROWS */
	uint32_t         reading;   /* victim whose rows are read */
	uint32_t         unit;      /* … whose index is being read */
	uint8_t         *index_buf;
	struct disk_req  req;
	struct seg_scan  scan;
	struct scan_row *rows;      /* of the victim */
	/* MOVE */
	struct run      *runs;
	uint32_t         nruns, runs_cap;
	uint32_t         next;      /* run that is handed out next */
	struct reloc    *relocs;    /* CLEANER_RELOCS */
	struct list      free;      /* of them */
	unsigned         pending;
	bool             no_space;
	bool             stuck;     /* no use to try before there is more */
	bool             need_commit;
	struct io_work   work;
	struct io_timer  timer;     /* choose again */
};

bool cleaner_can_help(const struct pool *p)
{
	struct segment *victims[VICTIMS_MAX];
	uint64_t        again_ns;

	return p->cleaner->nvictims > 0 ||
	       (p->state == POOL_ST_ACTIVE && !p->cleaner->stuck &&
		cleaner_choose((struct pool *)(uintptr_t)p, victims,
			       &again_ns) > 0);
}

bool cleaner_idle(const struct pool *p)
{
	return p->cleaner == NULL || p->cleaner->nvictims == 0;
}

/* --- the end of a pass --------------------------------------------------- */

static void cleaner_step(struct cleaner *c);

static void victim_end(struct cleaner *c, struct victim *v)
{
	struct pool    *p = c->pool;
	struct segment *s = v->seg;
	bool            in_vain;

	s->victim = false;
	/* Not again before a commit has written what was made dirty; after a
	 * failure, or when something is in it that is not in its rows, a good
	 * while later. */
	if (c->no_space)
		s->clean_vain = 0;
	in_vain = s->clean_vain >= VAIN_PASSES;
	s->cleaned_at = p->last.commit +
			((v->failed && !c->no_space) || in_vain ? 16 : 1);
	p->counters.cleaned_segments++;
	if (!in_vain && (c->need_commit || seg_held(s) > 0))
		c->need_commit = true;
	seg_unpin(p, s);
}

/* When clients write, one comes anyway before segments run out, and until then
 * the next pass may follow: each costs all leaves that were changed.  When
 * space is low and nothing waits to be freed, only a commit can help. */
static void commit_ask(struct pool *p)
{
	bool low = space_is_low(p);

	if (low && p->sealed_dead > 0)
		return;
	if (low || clients_idle(p))
		pool_commit_want(p);
	else
		commit_want_later(p);
}

static void pass_end(struct cleaner *c)
{
	struct pool *p = c->pool;
	uint32_t     n = c->nvictims;
	bool         vain = true;

	free(c->runs);
	c->runs = NULL;
	c->runs_cap = 0;
	c->state = CLEANER_IDLE;
	c->nvictims = 0;
	for (uint32_t i = 0; i < n; i++) {
		victim_end(c, &c->victims[i]);
		vain &= c->victims[i].seg->clean_vain >= VAIN_PASSES;
	}
	if (p->state != POOL_ST_ACTIVE)
		return;
	if (c->need_commit && !vain)
		commit_ask(p);
	log_kick(p);
	cleaner_kick(p);
}

static struct victim *victim_of(struct cleaner *c, place_t place)
{
	uint32_t no = place_seg(c->pool, place);

	for (uint32_t i = 0; i < c->nvictims; i++) {
		if (c->victims[i].seg->no == no)
			return &c->victims[i];
	}
	return NULL;
}

static void reloc_done(struct reloc *r)
{
	struct cleaner *c = r->priv_cleaner;
	struct victim  *v = victim_of(c, r->place);

	list_push_front(&c->free, &r->link);
	c->pending--;
	if (r->res < 0 && v != NULL)
		v->failed = true;
	if (r->res == -ENOSPC) {
		c->no_space = true;
		c->stuck = true;
	}
	c->pool->counters.moved_blocks += r->moved;
	/* The client may still be handing out others that are done. */
	io_defer(c->pool->io, &c->work);
}

/* --- MOVE ---------------------------------------------------------------- */

static void hand_out(struct cleaner *c, const struct run *run)
{
	struct pool  *p = c->pool;
	struct reloc *r = list_first(&c->free, struct reloc, link);

	list_remove(&r->link);
	memset(r, 0, sizeof(*r));
	r->rec = run->rec;
	r->first = run->first;
	r->n = run->n;
	r->place = run->place;
	r->done = reloc_done;
	r->priv_cleaner = c;
	c->pending++;
	p->client->relocate(p->client_arg, r);
}

static bool any_held(const struct cleaner *c)
{
	for (uint32_t i = 0; i < c->nvictims; i++) {
		if (seg_held(c->victims[i].seg) > 0)
			return true;
	}
	return false;
}

static void cleaner_step(struct cleaner *c)
{
	struct pool *p = c->pool;

	if (c->state != CLEANER_MOVE)
		return;
	while (p->state == POOL_ST_ACTIVE && !c->no_space &&
	       !list_empty(&c->free) && c->next < c->nruns && any_held(c)) {
		const struct run *run = &c->runs[c->next++];

		/* Nothing is left in that one. */
		if (seg_held(victim_of(c, run->place)->seg) > 0)
			hand_out(c, run);
	}
	if (c->pending == 0)
		pass_end(c);
}

static bool is_data(const struct run *run)
{
	return run->rec.type == REC_WRITE || run->rec.type == REC_MOVE;
}

/* Nodes and tables, then data by family and block. */
static int run_cmp(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	uint64_t          kx = is_data(x) ? 1ull + rec_family(&x->rec) : 0;
	uint64_t          ky = is_data(y) ? 1ull + rec_family(&y->rec) : 0;
	uint64_t          bx = x->rec.block + x->first;
	uint64_t          by = y->rec.block + y->first;

	if (kx != ky)
		return kx < ky ? -1 : 1;
	if (kx > 0 && bx != by)
		return bx < by ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static void moving_start(struct cleaner *c)
{
	uint64_t held = 0;

	for (uint32_t i = 0; i < c->nvictims; i++)
		held += seg_held(c->victims[i].seg);
	pace_pass(c->pool, held,
		  (uint64_t)c->nvictims * c->pool->seg_data_blocks -
			  min_u64(held, (uint64_t)c->nvictims *
						c->pool->seg_data_blocks));
	if (c->nruns > 0)
		qsort(c->runs, c->nruns, sizeof(c->runs[0]), run_cmp);
	c->state = CLEANER_MOVE;
	c->next = 0;
	cleaner_step(c);
}

/* --- ROWS: cutting them into runs ---------------------------------------- */

/* Our own tables: true when the pool deals with the record itself. */
static bool own_table(struct cleaner *c, const struct rec *rec, place_t place)
{
	struct pool *p = c->pool;
	uint32_t     kind = rec->id & 0xff;

	if (rec->type == REC_ROOT) {
		c->need_commit = true;
		return true;
	}
	if (rec->type != REC_TABLE)
		return false;
	if ((rec->id & TABLE_INDEX_BIT) && kind < TABLE_KINDS) {
		struct table *t = &p->tables[kind];

		if (rec->block < t->nindex &&
		    le64_get(t->index[rec->block].place) == place) {
			bitmap_set(t->index_dirty, rec->block);
			c->need_commit = true;
		}
		return true;
	}
	if (kind == TABLE_SEGMENTS) {
		c->need_commit = true; /* every commit writes all of them */
		return true;
	}
	return kind >= TABLE_KINDS;
}

/* Places of a row's payload are consecutive up to the end of a slice. */
static uint32_t run_length(const struct cleaner *c, const struct row_info *i,
			   uint32_t payload, uint32_t left)
{
	uint32_t in_slice = i->payload_blocks - payload;

	if (c->pool->k > 1)
		in_slice = i->slice_blocks - payload % i->slice_blocks;
	return min_u32(min_u32(left, in_slice), RUN_BLOCKS);
}

static place_t payload_place(const struct cleaner *c, const struct segment *s,
			     const struct row_info *i, uint32_t payload)
{
	uint32_t unit = 0;

	if (c->pool->k > 1) {
		unit = payload / i->slice_blocks;
		payload %= i->slice_blocks;
	}
	return place_make(c->pool, s->no, unit,
			  i->off_blocks + i->header_blocks + payload);
}

static bool run_add(struct cleaner *c, const struct run *run)
{
	if (own_table(c, &run->rec, run->place))
		return true;
	if (run->rec.type == REC_NODE || run->rec.type == REC_TABLE)
		c->need_commit = true;
	if (c->nruns == c->runs_cap) {
		uint32_t    cap = max_u32(1024, 2 * c->runs_cap);
		struct run *runs = realloc(c->runs, cap * sizeof(*runs));

		if (runs == NULL)
			return false;
		c->runs = runs;
		c->runs_cap = cap;
	}
	c->runs[c->nruns++] = *run;
	return true;
}

static bool row_cut(struct cleaner *c, const struct segment *s,
		    const struct row_info *i)
{
	uint32_t    pos = 0, payload = 0;
	const void *body;
	struct run  run;

	while (row_rec_next(i->recs, i->recs_bytes, &pos, &run.rec, &body) ==
	       1) {
		uint32_t blocks = rec_payload_blocks(&run.rec);

		for (run.first = 0; run.first < blocks; run.first += run.n) {
			run.n = run_length(c, i, payload, blocks - run.first);
			run.place = payload_place(c, s, i, payload);
			payload += run.n;
			if (!run_add(c, &run))
				return false;
		}
	}
	return true;
}

static void rows_next(struct cleaner *c);

/* The rows of the victim that is being read are there, or as many as could be
 * found. */
static void rows_done(struct cleaner *c, bool failed)
{
	struct victim *v = &c->victims[c->reading];

	v->failed = failed;
	for (struct scan_row *r = c->rows; r != NULL && !v->failed; r = r->next)
		v->failed = !row_cut(c, v->seg, &r->info);
	scan_rows_free(c->rows);
	c->rows = NULL;
	free(c->index_buf);
	c->index_buf = NULL;
	c->reading++;
	rows_next(c);
}

static void scan_done(struct seg_scan *s)
{
	struct cleaner *c = container_of(s, struct cleaner, scan);

	c->rows = s->rows;
	rows_done(c, s->res < 0);
}

static void victim_scan(struct cleaner *c)
{
	c->scan.pool = c->pool;
	c->scan.seg = c->victims[c->reading].seg;
	c->scan.done = scan_done;
	seg_scan_start(&c->scan, 0);
}

static void index_read(struct cleaner *c);

static void index_done(struct disk_req *req)
{
	struct cleaner *c = container_of(req, struct cleaner, req);
	struct pool    *p = c->pool;
	struct segment *s = c->victims[c->reading].seg;

	if (req->res == 0)
		c->rows = seg_index_rows(p, s, c->index_buf,
					 p->zone_blocks - s->index_off);
	if (c->rows != NULL) {
		rows_done(c, false);
		return;
	}
	c->unit++;
	index_read(c);
}

/* From the first unit that has it. */
static void index_read(struct cleaner *c)
{
	struct pool    *p = c->pool;
	struct segment *s = c->victims[c->reading].seg;

	for (; c->unit < p->units; c->unit++) {
		struct member *m = seg_member(p, s, c->unit);

		if (m == NULL || !member_readable(m) ||
		    (s->missing & (1u << c->unit)))
			continue;
		c->req.op = DISK_READ;
		c->req.off_bytes = zone_off_bytes(p, s->zones[c->unit].zone,
						  s->index_off);
		c->req.len_bytes =
			(p->zone_blocks - s->index_off) * TARN_BLOCK;
		c->req.buf = c->index_buf;
		c->req.done = index_done;
		disk_submit(m->disk, &c->req);
		return;
	}
	victim_scan(c);
}

static void rows_next(struct cleaner *c)
{
	struct pool    *p = c->pool;
	struct segment *s;

	if (c->reading == c->nvictims || p->state != POOL_ST_ACTIVE) {
		moving_start(c);
		return;
	}
	s = c->victims[c->reading].seg;
	c->unit = 0;
	if (s->index_off != 0 &&
	    p->zone_blocks - s->index_off <= INDEX_BLOCKS_MAX)
		c->index_buf = aligned_alloc(
			TARN_BLOCK, (size_t)(p->zone_blocks - s->index_off) *
					    TARN_BLOCK);
	if (c->index_buf == NULL)
		victim_scan(c);
	else
		index_read(c);
}

/* --- a pass -------------------------------------------------------------- */

/* A pass takes something out of it by the second commit after it at the latest,
 * or what is in it is not in its rows: then its count is wrong, or its rows
 * are. */
static void note_pass(struct segment *s)
{
	uint32_t now = s->live + s->tables;

	if (now != s->clean_start)
		s->clean_vain = 0;
	else if (s->clean_vain < VAIN_PASSES)
		s->clean_vain++;
	s->clean_start = now;
}

static void pass_start(struct cleaner *c, struct segment **victims, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct segment *s = victims[i];

		note_pass(s);
		s->victim = true;
		s->pins++;
		c->victims[i] = (struct victim){ .seg = s };
	}
	c->nvictims = n;
	c->no_space = false;
	c->need_commit = false;
	c->nruns = 0;
	c->reading = 0;
	c->state = CLEANER_ROWS;
	rows_next(c);
}

static void cleaner_fn(struct io_work *w)
{
	struct cleaner *c = container_of(w, struct cleaner, work);
	struct segment *victims[VICTIMS_MAX];
	uint64_t        again_ns;
	uint32_t        n;

	if (c->nvictims > 0) {
		cleaner_step(c);
		return;
	}
	if (c->pool->state != POOL_ST_ACTIVE || c->stuck)
		return;
	n = cleaner_choose(c->pool, victims, &again_ns);
	if (n > 0)
		pass_start(c, victims, n);
	else if (again_ns > 0)
		io_timer_arm(c->pool->io, &c->timer, again_ns);
}

static void cleaner_timer_fn(struct io_timer *t)
{
	cleaner_kick(container_of(t, struct cleaner, timer)->pool);
}

void cleaner_unstick(struct pool *p)
{
	if (p->cleaner != NULL)
		p->cleaner->stuck = false;
}

void cleaner_kick(struct pool *p)
{
	io_defer(p->io, &p->cleaner->work);
}

int cleaner_init(struct pool *p)
{
	struct cleaner *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->pool = p;
	io_work_init(&c->work, cleaner_fn);
	io_timer_init(&c->timer, cleaner_timer_fn);
	list_init(&c->free);
	p->cleaner = c;
	c->relocs = calloc(CLEANER_RELOCS, sizeof(c->relocs[0]));
	if (c->relocs == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < CLEANER_RELOCS; i++)
		list_push(&c->free, &c->relocs[i].link);
	return 0;
}

void cleaner_fini(struct pool *p)
{
	struct cleaner *c = p->cleaner;

	if (c == NULL)
		return;
	io_undefer(&c->work);
	io_timer_cancel(p->io, &c->timer);
	scan_rows_free(c->rows);
	free(c->index_buf);
	free(c->runs);
	free(c->relocs);
	free(c);
	p->cleaner = NULL;
}
