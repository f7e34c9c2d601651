/* tests/lib/fake/fake_pool.c - see fake_pool.h.  Included by test programs. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/lib/fake/fake_pool.h"

/* --- engine -------------------------------------------------------------- */

static int fake_run(struct io *io, uint64_t max_wait_ns)
{
	(void)max_wait_ns;
	io->now_ns += NS_PER_MS;
	io_run_due(io);
	return 0;
}

static void fake_submit(struct io *io, struct io_req *req)
{
	(void)io;
	(void)req;
	abort();
}

static const struct io_ops fake_io_ops = {
	.submit = fake_submit,
	.cancel = fake_submit,
	.run = fake_run,
};

/* --- blocks -------------------------------------------------------------- */

static struct fake_block *block_at(struct pool *p, place_t place)
{
	assert(place > (1u << FAKE_ZONE_SHIFT) && place < FAKE_PLACES);
	assert((place & ((1u << FAKE_ZONE_SHIFT) - 1)) != 0);
	return &p->blocks[place];
}

static bool block_free(const struct fake_block *b)
{
	return b->data == NULL;
}

/* n consecutive free places, not over the end of a zone. */
static place_t places_get(struct pool *p, uint32_t n)
{
	uint32_t zone = 1u << FAKE_ZONE_SHIFT;

	for (uint32_t tries = 0; tries < 2 * FAKE_PLACES; tries++) {
		uint32_t at = p->next_place, i;

		if (at % zone == 0)
			at++;
		if (at % zone + n > zone)
			at = (at / zone + 1) * zone + 1;
		if (at + n >= FAKE_PLACES) {
			p->next_place = zone + 1;
			continue;
		}
		for (i = 0; i < n && block_free(&p->blocks[at + i]); i++)
			;
		p->next_place = at + i + 1;
		if (i == n)
			return at;
	}
	fprintf(stderr, "fake pool: no place left\n");
	abort();
}

static uint32_t block_store(struct pool *p, place_t place, const void *data)
{
	struct fake_block *b = block_at(p, place);

	assert(b->data == NULL);
	b->data = malloc(TARN_BLOCK);
	memcpy(b->data, data, TARN_BLOCK);
	b->crc = crc32c(0, data, TARN_BLOCK);
	b->lost = false;
	return b->crc;
}

void pool_place_ref(struct pool *p, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct fake_block *b = block_at(p, place + i);

		assert(b->data != NULL && !b->live);
		b->live = true;
		p->live_total++;
	}
}

void pool_place_unref(struct pool *p, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct fake_block *b;

		if (p->hostile && (place + i >= FAKE_PLACES ||
				   !p->blocks[place + i].live))
			continue;
		b = block_at(p, place + i);
		assert(b->live);
		b->live = false;
		p->live_total--;
	}
}

int pool_space_reserve(struct pool *p, uint64_t blocks)
{
	if (p->live_total + p->reserved + blocks > p->usable)
		return -ENOSPC;
	p->reserved += blocks;
	return 0;
}

void pool_space_unreserve(struct pool *p, uint64_t blocks)
{
	assert(p->reserved >= blocks);
	p->reserved -= blocks;
}

static void keep_mark(uint8_t *keep, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		keep[place + i] = 1;
}

void fake_recycle(struct pool *p)
{
	uint8_t *keep = calloc(FAKE_PLACES, 1);

	/* Rows that have their places but are not applied yet, and rows that
	 * would have to be redone. */
	list_for_each(l, &p->appends) {
		struct log_append *a = list_entry(l, struct log_append, link);

		if (a->row != NULL)
			keep_mark(keep, a->first, a->rec.n);
	}
	for (uint32_t i = p->commit_row + 1; i <= p->nrows; i++)
		if (p->rows[i].places != NULL)
			keep_mark(keep, p->rows[i].places[0],
				  p->rows[i].rec.n);
	for (uint32_t i = 0; i < FAKE_PLACES && !p->committing; i++) {
		struct fake_block *b = &p->blocks[i];

		if (b->data == NULL || b->live || b->committed || keep[i])
			continue;
		free(b->data);
		memset(b, 0, sizeof(*b));
		p->recycled++;
	}
	free(keep);
}

/* --- appends ------------------------------------------------------------- */

static bool has_payload(const struct rec *rec)
{
	return rec->type != REC_UNMAP && rec->type != REC_CATALOG;
}

static struct row *const placed_mark = (struct row *)1;

/* The data is taken from the pieces, at a place of its own. */
static void append_place(struct pool *p, struct log_append *a)
{
	uint8_t *flat, *at;
	size_t   total = 0;

	a->row = placed_mark;
	if (!has_payload(&a->rec))
		return;
	assert(a->rec.n > 0 && a->rec.n <= ROW_PAYLOAD_MAX);
	for (unsigned i = 0; i < a->niov; i++)
		total += a->iov[i].iov_len;
	assert(total == blocks_to_bytes(a->rec.n));
	flat = at = malloc(total + 1);
	for (unsigned i = 0; i < a->niov; i++) {
		memcpy(at, a->iov[i].iov_base, a->iov[i].iov_len);
		at += a->iov[i].iov_len;
	}
	a->first = (uint32_t)places_get(p, a->rec.n);
	for (uint32_t i = 0; i < a->rec.n; i++)
		block_store(p, a->first + i, flat + blocks_to_bytes(i));
	free(flat);
}

static struct pool *the_pool; /* log_append_crc() is not told */

place_t log_append_place(const struct log_append *a, unsigned i)
{
	assert(i < a->rec.n);
	return a->first + i;
}

uint32_t log_append_crc(const struct log_append *a, unsigned i)
{
	return block_at(the_pool, a->first + i)->crc;
}

void log_append_submit(struct pool *p, struct log_append *a)
{
	assert(a->apply != NULL && a->done != NULL);
	assert(a->rec.type != REC_CATALOG || a->rec.n <= CATALOG_BODY_MAX);
	a->row = NULL;
	a->res = 0;
	list_push(&p->appends, &a->link);
}

static void row_log(struct pool *p, const struct log_append *a)
{
	struct fake_row *r;

	if (p->nrows + 1 >= p->rows_cap) {
		p->rows_cap = p->rows_cap * 2 + 64;
		p->rows = realloc(p->rows, p->rows_cap * sizeof(p->rows[0]));
	}
	r = &p->rows[++p->nrows];
	memset(r, 0, sizeof(*r));
	r->rec = a->rec;
	if (a->rec.type == REC_CATALOG) {
		r->body = malloc(a->rec.n + 1u);
		if (a->rec.n > 0)
			memcpy(r->body, a->body, a->rec.n);
	}
	if (!has_payload(&a->rec))
		return;
	r->places = calloc(a->rec.n + 1u, sizeof(place_t));
	r->crcs = calloc(a->rec.n + 1u, sizeof(uint32_t));
	r->data = calloc(a->rec.n + 1u, sizeof(uint8_t *));
	for (uint32_t i = 0; i < a->rec.n; i++) {
		r->places[i] = a->first + i;
		r->crcs[i] = block_at(p, a->first + i)->crc;
		if (a->rec.type != REC_WRITE)
			continue;
		r->data[i] = malloc(TARN_BLOCK);
		memcpy(r->data[i], block_at(p, a->first + i)->data,
		       TARN_BLOCK);
	}
}

static void append_run(struct pool *p, struct log_append *a)
{
	if (p->append_error < 0 && a->class <= p->append_error_class) {
		a->res = p->append_error;
		a->done(a);
		return;
	}
	if (a->row == NULL)
		append_place(p, a);
	row_log(p, a);
	a->row_no = p->nrows;
	a->apply(a);
	if (a->fua) {
		list_push(&p->fua, &a->link);
		return;
	}
	a->done(a);
}

void log_sync_submit(struct pool *p, struct log_sync *s)
{
	s->row_no = p->nrows;
	s->res = 0;
	list_push(&p->syncs, &s->link);
}

uint32_t fake_flushed_row(const struct pool *p)
{
	uint32_t n = 0;

	while (n < p->nrows && p->rows[n + 1].flushed)
		n++;
	return n;
}

static void flush_all(struct pool *p)
{
	struct list *l;

	for (uint32_t i = p->nrows; i > 0 && !p->rows[i].flushed; i--)
		p->rows[i].flushed = true;
	while ((l = list_pop(&p->fua)) != NULL) {
		struct log_append *a = list_entry(l, struct log_append, link);

		a->done(a);
	}
	while ((l = list_pop(&p->syncs)) != NULL) {
		struct log_sync *s = list_entry(l, struct log_sync, link);

		s->done(s);
	}
}

/* --- reads --------------------------------------------------------------- */

void pool_read_submit(struct pool *p, struct pool_read *r)
{
	r->res = 0;
	if (p->hostile && (r->place + r->n > FAKE_PLACES ||
			   r->place <= 1u << FAKE_ZONE_SHIFT ||
			   r->place % (1u << FAKE_ZONE_SHIFT) == 0)) {
		r->res = -EBADMSG;
		if (r->bad != NULL)
			memset(r->bad, 1, r->n);
		list_push(&p->reads, &r->link);
		return;
	}
	assert((uintptr_t)r->buf % TARN_BLOCK == 0);
	assert(r->place % (1u << FAKE_ZONE_SHIFT) + r->n <=
	       1u << FAKE_ZONE_SHIFT);
	/* The segment is pinned: what is there now is what comes back. */
	for (uint32_t i = 0; i < r->n; i++) {
		struct fake_block *b = block_at(p, r->place + i);
		bool ok = b->data != NULL && !b->lost &&
			  b->crc == r->crcs[i];

		if (ok)
			memcpy((uint8_t *)r->buf + blocks_to_bytes(i), b->data,
			       TARN_BLOCK);
		else
			r->res = -EBADMSG;
		if (r->bad != NULL)
			r->bad[i] = !ok;
	}
	list_push(&p->reads, &r->link);
}

static void reads_run(struct pool *p)
{
	uint32_t n = (uint32_t)prng_below(&p->rng, 4);

	while (n-- > 0 && !list_empty(&p->reads)) {
		struct list *l = p->reads.next;

		/* In any order. */
		for (uint64_t skip = prng_below(&p->rng, 3); skip > 0; skip--)
			if (l->next != &p->reads)
				l = l->next;
		list_remove(l);
		struct pool_read *r = list_entry(l, struct pool_read, link);

		r->done(r);
	}
}

/* --- tables and commits -------------------------------------------------- */

uint32_t pool_table_pages(const struct pool *p, enum table_kind kind)
{
	return p->tables[kind].npages;
}

place_t pool_table_place(const struct pool *p, enum table_kind kind,
			 uint32_t page, uint32_t *ret_crc)
{
	const struct fake_table *t = &p->tables[kind];

	if (page >= t->npages)
		return PLACE_NONE;
	*ret_crc = t->crc[page];
	return t->place[page];
}

static void put_apply(struct log_append *a)
{
	struct commit_put *put = container_of(a, struct commit_put, append);
	struct pool *p = put->pool;
	place_t  place = a->first;
	uint32_t crc = block_at(p, place)->crc;

	if (put->type == REC_NODE) {
		assert(!block_at(p, place)->live);
		block_at(p, place)->live = true;
		block_at(p, place)->frozen = true;
		p->live_total++;
		put->placed(put, place, crc);
	} else {
		struct fake_table *t = &p->tables[put->id];

		assert(put->block < FAKE_PAGES_MAX);
		while (t->npages <= put->block) {
			t->place[t->npages] = PLACE_NONE;
			t->npages++;
		}
		if (t->place[put->block] != PLACE_NONE) {
			block_at(p, t->place[put->block])->frozen = false;
			pool_place_unref(p, t->place[put->block], 1);
		}
		t->place[put->block] = place;
		t->crc[put->block] = crc;
		pool_place_ref(p, place, 1);
		block_at(p, place)->frozen = true;
	}
}

static void put_done(struct log_append *a)
{
	struct commit_put *put = container_of(a, struct commit_put, append);

	put->done(put);
}

void pool_commit_put(struct pool *p, struct commit_put *put)
{
	assert(p->committing && !p->ready);
	put->pool = p;
	put->iov.iov_base = (void *)(uintptr_t)put->buf;
	put->iov.iov_len = TARN_BLOCK;
	memset(&put->append, 0, sizeof(put->append));
	put->append.rec.type = put->type;
	put->append.rec.n = 1;
	put->append.rec.id = put->id;
	put->append.rec.block = put->block;
	put->append.iov = &put->iov;
	put->append.niov = 1;
	put->append.class = LOG_COMMIT;
	put->append.apply = put_apply;
	put->append.done = put_done;
	log_append_submit(p, &put->append);
}

void pool_commit_unref_node(struct pool *p, place_t place)
{
	struct fake_block *b;

	if (p->hostile && (place >= FAKE_PLACES ||
			   !p->blocks[place].live ||
			   !p->blocks[place].frozen))
		return;
	b = block_at(p, place);
	assert(p->committing && b->frozen);
	b->frozen = false;
	pool_place_unref(p, place, 1);
}

void pool_commit_ready(struct pool *p)
{
	assert(p->committing && !p->ready);
	p->ready = true;
}

bool pool_commit_is_blocked(const struct pool *p)
{
	(void)p;
	return false;
}

void pool_commit_want(struct pool *p)
{
	p->want = true;
}

bool fake_commit_start(struct pool *p)
{
	if (p->committing)
		return false;
	p->committing = true;
	p->want = false;
	p->ready = false;
	p->freeze_row = p->nrows;
	for (uint32_t i = 0; i < FAKE_PLACES; i++)
		p->blocks[i].frozen = p->blocks[i].live;
	p->client->commit_freeze(p->client_arg);
	p->client->commit_write(p->client_arg);
	return true;
}

static void commit_finish(struct pool *p)
{
	p->root_bytes = p->client->commit_root(p->client_arg, p->root);
	assert(p->root_bytes <= sizeof(p->root));
	flush_all(p);
	memcpy(p->committed_tables, p->tables, sizeof(p->tables));
	for (uint32_t i = 0; i < FAKE_PLACES; i++)
		p->blocks[i].committed = p->blocks[i].frozen;
	p->commit_row = p->freeze_row;
	p->committing = false;
	p->ready = false;
	p->commits++;
	p->client->commit_done(p->client_arg, 0);
}

/* --- the loop ------------------------------------------------------------ */

void fake_turn(struct pool *p)
{
	uint64_t n = prng_below(&p->rng, 5);

	the_pool = p;
	io_run(&p->io, 0);
	reads_run(p);
	/* Rows may get their place before their turn comes. */
	if (!list_empty(&p->appends) && prng_below(&p->rng, 4) == 0)
		list_for_each(l, &p->appends) {
			struct log_append *a = list_entry(
				l, struct log_append, link);

			if (a->row == NULL && p->append_error == 0)
				append_place(p, a);
		}
	while (n-- > 0 && !list_empty(&p->appends)) {
		struct list *l = list_pop(&p->appends);

		append_run(p, list_entry(l, struct log_append, link));
	}
	if (prng_below(&p->rng, 4) == 0)
		flush_all(p);
	if (p->committing && p->ready && prng_below(&p->rng, 4) == 0)
		commit_finish(p);
	if (p->want && p->auto_commit && !p->committing)
		fake_commit_start(p);
}

static bool idle(const struct pool *p)
{
	return list_empty(&p->appends) && list_empty(&p->reads) &&
	       list_empty(&p->fua) && list_empty(&p->syncs) &&
	       list_empty(&p->io.deferred) && !p->committing &&
	       !(p->want && p->auto_commit);
}

void fake_settle(struct pool *p)
{
	for (unsigned i = 0; i < 2000000 && !idle(p); i++)
		fake_turn(p);
	assert(idle(p));
}

void fake_commit(struct pool *p)
{
	uint32_t before = p->commits;

	if (!fake_commit_start(p))
		before++; /* the one under way ends first */
	for (unsigned i = 0; i < 2000000 && p->commits <= before; i++) {
		if (!p->committing)
			fake_commit_start(p);
		fake_turn(p);
	}
	assert(p->commits > before);
}

/* --- life ---------------------------------------------------------------- */

struct pool *fake_pool_new(uint64_t seed)
{
	struct pool *p = calloc(1, sizeof(*p));

	io_common_init(&p->io, &fake_io_ops, seed);
	prng_init(&p->rng, seed);
	p->blocks = calloc(FAKE_PLACES, sizeof(p->blocks[0]));
	p->next_place = (1u << FAKE_ZONE_SHIFT) + 1;
	p->usable = FAKE_PLACES / 2;
	p->ours = true;
	p->auto_commit = true;
	list_init(&p->appends);
	list_init(&p->fua);
	list_init(&p->syncs);
	list_init(&p->reads);
	p->client = vols_log_client_ops();
	the_pool = p;
	return p;
}

static void row_free(struct fake_row *r)
{
	for (uint32_t i = 0; r->data != NULL && i < r->rec.n; i++)
		free(r->data[i]);
	free(r->data);
	free(r->places);
	free(r->crcs);
	free(r->body);
}

void fake_pool_free(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nrows; i++)
		row_free(&p->rows[i]);
	free(p->rows);
	for (uint32_t i = 0; i < FAKE_PLACES; i++)
		free(p->blocks[i].data);
	free(p->blocks);
	io_common_fini(&p->io);
	free(p);
}

struct volumes *fake_format(struct pool *p,
			    const struct volumes_params *params)
{
	struct volumes *vols;

	if (vols_open(&p->io, params, &vols) < 0)
		abort();
	vols_attach(vols, p);
	p->client_arg = vols;
	p->client->format(vols);
	fake_commit(p);
	return vols;
}

void fake_crash(struct pool *p, struct volumes *vols, uint32_t keep_row)
{
	assert(keep_row <= p->nrows && keep_row >= p->commit_row);
	while (list_pop(&p->appends) != NULL || list_pop(&p->reads) != NULL ||
	       list_pop(&p->fua) != NULL || list_pop(&p->syncs) != NULL ||
	       list_pop(&p->io.deferred) != NULL)
		;
	vols_close(vols);
	for (uint32_t i = keep_row + 1; i <= p->nrows; i++)
		row_free(&p->rows[i]);
	p->nrows = keep_row;
	memcpy(p->tables, p->committed_tables, sizeof(p->tables));
	p->committing = p->ready = p->want = false;
	p->reserved = 0;
	p->live_total = 0;
	for (uint32_t i = 0; i < FAKE_PLACES; i++) {
		p->blocks[i].live = p->blocks[i].committed;
		p->blocks[i].frozen = false;
		p->live_total += p->blocks[i].live ? 1 : 0;
	}
}

void pool_client_loaded(struct pool *p, int res)
{
	assert(!p->loaded);
	p->loaded = true;
	p->load_res = res;
}

void pool_redo_ready(struct redo *r, int res)
{
	assert(!r->ready);
	r->ready = true;
	r->res = res;
	r->pool->redo_pending--;
	if (res < 0 && r->pool->redo_res == 0)
		r->pool->redo_res = res;
}

/* Redo the log in windows: prepared together, applied in order. */
static void redo_all(struct pool *p)
{
	uint32_t at = p->commit_row + 1;

	while (at <= p->nrows) {
		uint32_t n = min_u32(1 + (uint32_t)prng_below(&p->rng, 300),
				     p->nrows - at + 1);
		struct redo *redo = calloc(n, sizeof(*redo));

		for (uint32_t i = 0; i < n; i++) {
			struct fake_row *row = &p->rows[at + i];

			redo[i].rec = row->rec;
			redo[i].body = row->body;
			redo[i].row_no = at + i;
			redo[i].places = row->places;
			redo[i].crcs = row->crcs;
			redo[i].pool = p;
			p->redo_pending++;
			p->client->redo_prepare(p->client_arg, &redo[i]);
		}
		for (uint32_t i = 0; i < n; i++) {
			while (!redo[i].ready)
				fake_turn(p);
			p->client->redo_apply(p->client_arg, &redo[i]);
		}
		assert(p->redo_pending == 0);
		free(redo);
		at += n;
	}
}

int fake_open(struct pool *p, const struct volumes_params *params,
	      struct volumes **ret_vols)
{
	struct volumes *vols;
	bool auto_commit = p->auto_commit;

	if (vols_open(&p->io, params, &vols) < 0)
		abort();
	vols_attach(vols, p);
	p->client_arg = vols;
	p->auto_commit = false;
	p->loaded = false;
	p->redo_res = 0;
	p->client->load(vols, p->root, p->root_bytes);
	assert(!p->loaded);
	while (!p->loaded)
		fake_turn(p);
	if (p->load_res < 0) {
		vols_close(vols);
		p->auto_commit = auto_commit;
		return p->load_res;
	}
	redo_all(p);
	fake_commit(p);
	p->auto_commit = auto_commit;
	*ret_vols = vols;
	return 0;
}

static uint32_t clean_pending;
static uint64_t clean_moved;

static void clean_done(struct reloc *r)
{
	assert(r->res == 0);
	clean_pending--;
	clean_moved += r->moved;
	free(r);
}

uint64_t fake_clean(struct pool *p, uint32_t percent)
{
	clean_moved = 0;
	for (uint32_t row = 1; row <= p->nrows; row++) {
		const struct rec *rec = &p->rows[row].rec;
		struct reloc *r;

		if (!has_payload(rec) || prng_below(&p->rng, 100) >= percent)
			continue;
		r = calloc(1, sizeof(*r));
		r->rec = *rec;
		r->first = (uint32_t)prng_below(&p->rng, rec->n);
		r->n = 1 + (uint32_t)prng_below(&p->rng, rec->n - r->first);
		r->place = p->rows[row].places[r->first];
		r->done = clean_done;
		clean_pending++;
		p->client->relocate(p->client_arg, r);
	}
	while (clean_pending > 0)
		fake_turn(p);
	return clean_moved;
}

void pool_get_info(const struct pool *p, struct pool_info *ret_info)
{
	(void)p;
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->zone_shift = FAKE_ZONE_SHIFT;
}

void pool_get_member(const struct pool *p, uint32_t i,
		     struct member_info *ret)
{
	(void)p;
	(void)i;
	memset(ret, 0, sizeof(*ret));
}

bool pool_is_ours(const struct pool *p)
{
	return p->ours;
}
