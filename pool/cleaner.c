/* pool/cleaner.c - emptying segments so that their zones can be used again.
 *
 * Greedy: the sealed segment with the least that lives.  Its rows come from
 * its index (or from a scan); every run of blocks goes to the client, which
 * moves what is live (MOVE) or makes it dirty (nodes, table pages), so that
 * the next commit writes it elsewhere.  A segment is freed by a commit, when
 * nothing in it lives any more, never because a pass ended.
 *
 * Segments that lack units are emptied too, where that costs less than making
 * the units again, or is the only way (rebuild.c): what lives in them is whole
 * again where it goes.
 *
 * While a disk was away, segments were composed of the others.  Then it has
 * many free zones, and these are of no use when the others have none.  So when
 * space is low, and nothing else is left to do, segments that are not on it are
 * emptied however much lives in them, until what is promised fits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/scan.h"

#define RUN_BLOCKS 64u
/* Passes that may come to nothing before there is a pause. */
#define VAIN_PASSES 3u
/* Domains are uneven if one has that many more free zones than another. */
#define UNEVEN_ZONES 3u
/* A larger index is not read: the segment is scanned. */
#define INDEX_BLOCKS_MAX (1u << 18)

enum cleaner_state {
	CLEANER_IDLE,
	CLEANER_INDEX,  /* reading the index */
	CLEANER_SCAN,
	CLEANER_MOVE,
};

struct cleaner {
	struct pool     *pool;
	uint8_t          state;     /* enum cleaner_state */
	struct segment  *victim;
	uint32_t         unit;      /* whose index is being read */
	uint8_t         *index_buf;
	struct disk_req  req;
	struct seg_scan  scan;
	struct scan_row *rows;      /* of the victim */
	struct scan_row *row;       /* being handed out */
	uint32_t         pos;       /* in its records */
	uint32_t         payload;   /* blocks of it handed out */
	struct rec       rec;       /* record being cut into runs */
	uint32_t         rec_done;  /* blocks of it handed out */
	bool             rec_valid;
	struct reloc     relocs[CLEANER_RELOCS];
	uint64_t         free;      /* mask of relocs */
	unsigned         pending;
	bool             failed;    /* some run could not be moved */
	bool             no_space;  /* … for lack of space */
	bool             stuck;     /* no use to try before there is more */
	bool             need_commit;
	struct io_work   work;
};

/* --- choosing ------------------------------------------------------------ */

static bool all_online(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!p->members[i]->removed &&
		    p->members[i]->state != MEMBER_ONLINE)
			return false;
	}
	return true;
}

/* Segments that can be written now or after the next commit. */
static uint32_t segs_at_hand(const struct pool *p)
{
	return p->openable + segs_free_possible(p) + p->sealed_dead;
}

bool cleaner_space_is_low(const struct pool *p)
{
	return segs_at_hand(p) <=
	       segs_reserve(p) + segs_unlisted(p) +
		       max_u32(4, p->segs_possible / 16);
}

/* May it be emptied now? */
static bool may_choose(const struct pool *p, const struct segment *s)
{
	return s->state == SEG_SEALED && !s->victim &&
	       s->live + s->tables > 0 && s->cleaned_at <= p->last.commit;
}

/* The least of the free zones that its domains have; UINT32_MAX if one of them
 * is this. */
static uint32_t least_free(const struct pool *p, const struct segment *s,
			   const uint32_t *domain_free, uint32_t but)
{
	uint32_t least = UINT32_MAX;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m == NULL || m->domain == but)
			return UINT32_MAX;
		least = min_u32(least, domain_free[m->domain]);
	}
	return least;
}

/* One that has no unit in the domain with the most free zones, but in one with
 * few: what lives in it goes where it belongs, for new segments are composed of
 * the domains with the most. */
static struct segment *choose_uneven(const struct pool *p)
{
	uint32_t        domain_free[DOMAINS_MAX] = {0}, most = 0;
	uint32_t        best_least;
	struct segment *best = NULL;

	for (uint32_t d = 0; d < p->ndomains; d++) {
		domain_free[d] = domain_free_zones(p, d);
		if (domain_free[d] > domain_free[most])
			most = d;
	}
	if (domain_free[most] < UNEVEN_ZONES)
		return NULL;
	best_least = domain_free[most] - UNEVEN_ZONES + 1;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        least;

		if (!may_choose(p, s))
			continue;
		least = least_free(p, s, domain_free, most);
		if (least < best_least ||
		    (best != NULL && least == best_least &&
		     s->live < best->live)) {
			best = s;
			best_least = least;
		}
	}
	return best;
}

static struct segment *choose(struct pool *p)
{
	struct segment *best = NULL;
	bool            low = cleaner_space_is_low(p);
		uint32_t        best_live = UINT32_MAX;

	if (p->cleaner->stuck)
		return NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        live = s->live + s->tables;

		if (!may_choose(p, s))
			continue;
		if (!low && rebuild_leaves(p, s))
			return s;
		if (low && live < best_live &&
		    live <= p->seg_data_blocks - p->seg_data_blocks / 16) {
			best = s;
			best_live = live;
		}
	}
	if (best == NULL && low && all_online(p) && segs_stranded(p) > 0)
		best = choose_uneven(p);
	return best;
}

bool cleaner_can_help(const struct pool *p)
{
	return p->cleaner->victim != NULL ||
	       (p->state == POOL_ST_ACTIVE &&
		choose((struct pool *)(uintptr_t)p) != NULL);
}

bool cleaner_idle(const struct pool *p)
{
	return p->cleaner == NULL || p->cleaner->victim == NULL;
}

/* --- one victim ---------------------------------------------------------- */

static void cleaner_step(struct cleaner *c);

static void victim_end(struct cleaner *c)
{
	struct pool    *p = c->pool;
	struct segment *s = c->victim;
	bool            in_vain;

	scan_rows_free(c->rows);
	c->rows = NULL;
	free(c->index_buf);
	c->index_buf = NULL;
	c->victim = NULL;
	c->state = CLEANER_IDLE;
	s->victim = false;
	/* Not again before a commit has written what was made dirty; after a
	 * failure, or when something is in it that is not in its rows, a good
	 * while later. */
	if (c->no_space)
		s->clean_vain = 0;
	in_vain = s->clean_vain >= VAIN_PASSES;
	s->cleaned_at = p->last.commit +
			((c->failed && !c->no_space) || in_vain ? 16 : 1);
	p->counters.cleaned_segments++;
	seg_unpin(p, s);
	if (p->state != POOL_ST_ACTIVE)
		return;
	if (!in_vain && (c->need_commit || s->live + s->tables > 0))
		pool_commit_want(p);
	log_kick(p);
	cleaner_kick(p);
}

static void reloc_done(struct reloc *r)
{
	struct cleaner *c = r->priv_cleaner;

	c->free |= 1ull << (r - c->relocs);
	c->pending--;
	if (r->res < 0)
		c->failed = true;
	if (r->res == -ENOSPC) {
		c->no_space = true;
		c->stuck = true;
	}
	c->pool->counters.moved_blocks += r->moved;
	cleaner_step(c);
}

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

/* Places of a record's payload are consecutive up to the end of a slice. */
static uint32_t run_length(const struct cleaner *c)
{
	const struct row_info *i = &c->row->info;
	uint32_t left = c->rec.n - c->rec_done;
	uint32_t in_slice;

	if (c->pool->k == 1)
		in_slice = i->payload_blocks - c->payload;
	else
		in_slice = i->slice_blocks - c->payload % i->slice_blocks;
	return min_u32(min_u32(left, in_slice), RUN_BLOCKS);
}

static place_t payload_place(const struct cleaner *c)
{
	const struct row_info *i = &c->row->info;
	uint32_t unit = 0, in_slice = c->payload;

	if (c->pool->k > 1) {
		unit = c->payload / i->slice_blocks;
		in_slice = c->payload % i->slice_blocks;
	}
	return place_make(c->pool, c->victim->no, unit,
			  i->off_blocks + i->header_blocks + in_slice);
}

/* Make c->rec the next record with payload; false at the end of all rows. */
static bool next_record(struct cleaner *c)
{
	while (c->row != NULL) {
		const void *body;
		int r = row_rec_next(c->row->info.recs, c->row->info.recs_bytes,
				     &c->pos, &c->rec, &body);

		if (r == 1 && rec_payload_blocks(&c->rec) > 0) {
			c->rec_done = 0;
			c->rec_valid = true;
			return true;
		}
		if (r == 1)
			continue;
		c->row = c->row->next;
		c->pos = 0;
		c->payload = 0;
	}
	return false;
}

static void hand_out(struct cleaner *c)
{
	struct pool  *p = c->pool;
	unsigned      i = (unsigned)__builtin_ctzll(c->free);
	struct reloc *r = &c->relocs[i];
	uint32_t      n = run_length(c);
	place_t       place = payload_place(c);

	if (!own_table(c, &c->rec, place)) {
		c->free &= ~(1ull << i);
		memset(r, 0, sizeof(*r));
		r->rec = c->rec;
		r->first = c->rec_done;
		r->n = n;
		r->place = place;
		r->done = reloc_done;
		r->priv_cleaner = c;
		if (c->rec.type == REC_NODE || c->rec.type == REC_TABLE)
			c->need_commit = true;
		c->pending++;
		p->client->relocate(p->client_arg, r);
	}
	c->rec_done += n;
	c->payload += n;
	if (c->rec_done == c->rec.n)
		c->rec_valid = false;
}

static void cleaner_step(struct cleaner *c)
{
	struct pool *p = c->pool;

	if (c->state != CLEANER_MOVE)
		return;
	while (p->state == POOL_ST_ACTIVE && !c->failed && c->free != 0 &&
	       c->victim->live + c->victim->tables > 0 &&
	       (c->rec_valid || next_record(c)))
		hand_out(c);
	if (c->pending == 0)
		victim_end(c);
}

static void moving_start(struct cleaner *c)
{
	c->state = CLEANER_MOVE;
	c->row = c->rows;
	c->pos = 0;
	c->payload = 0;
	c->rec_valid = false;
	c->free = ~0ull;
	c->pending = 0;
	cleaner_step(c);
}

static void scan_done(struct seg_scan *s)
{
	struct cleaner *c = container_of(s, struct cleaner, scan);

	c->rows = s->rows;
	if (s->res < 0)
		c->failed = true;
	moving_start(c);
}

static void victim_scan(struct cleaner *c)
{
	c->state = CLEANER_SCAN;
	c->scan.pool = c->pool;
	c->scan.seg = c->victim;
	c->scan.done = scan_done;
	seg_scan_start(&c->scan, 0);
}

static void index_read(struct cleaner *c);

static void index_done(struct disk_req *req)
{
	struct cleaner *c = container_of(req, struct cleaner, req);
	struct pool    *p = c->pool;

	if (req->res == 0)
		c->rows = seg_index_rows(p, c->victim, c->index_buf,
					 p->zone_blocks - c->victim->index_off);
	if (c->rows != NULL) {
		moving_start(c);
		return;
	}
	c->unit++;
	index_read(c);
}

/* From the first unit that has it. */
static void index_read(struct cleaner *c)
{
	struct pool    *p = c->pool;
	struct segment *s = c->victim;

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

static void victim_start(struct cleaner *c, struct segment *s)
{
	struct pool *p = c->pool;

	c->victim = s;
	c->failed = false;
	c->no_space = false;
	c->need_commit = false;
	c->rows = NULL;
	c->unit = 0;
	note_pass(s);
	s->victim = true;
	s->pins++;
	if (s->index_off != 0 &&
	    p->zone_blocks - s->index_off <= INDEX_BLOCKS_MAX)
		c->index_buf = aligned_alloc(
			TARN_BLOCK, (size_t)(p->zone_blocks - s->index_off) *
					    TARN_BLOCK);
	if (c->index_buf == NULL) {
		victim_scan(c);
		return;
	}
	c->state = CLEANER_INDEX;
	index_read(c);
}

static void cleaner_fn(struct io_work *w)
{
	struct cleaner *c = container_of(w, struct cleaner, work);
	struct segment *s;

	if (c->pool->state != POOL_ST_ACTIVE || c->victim != NULL)
		return;
	s = choose(c->pool);
	if (s != NULL)
		victim_start(c, s);
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
	p->cleaner = c;
	return 0;
}

void cleaner_fini(struct pool *p)
{
	struct cleaner *c = p->cleaner;

	if (c == NULL)
		return;
	io_undefer(&c->work);
	scan_rows_free(c->rows);
	free(c->index_buf);
	free(c);
	p->cleaner = NULL;
}
