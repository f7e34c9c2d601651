/* tests/lib/fake/fake_log.c - the log of the fake pool: appends become rows of
 * one record each, in order; flushes; and reads of what is there.  Included by
 * fake_commit.c.
 */
#include "tests/lib/fake/fake_block.c"

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

static void row_free(struct fake_row *r)
{
	for (uint32_t i = 0; r->data != NULL && i < r->rec.n; i++)
		free(r->data[i]);
	free(r->data);
	free(r->places);
	free(r->crcs);
	free(r->body);
}

/* --- reads --------------------------------------------------------------- */

void pool_read_submit(struct pool *p, struct pool_read *r)
{
	r->res = 0;
	if (p->hostile && (r->place + r->n > FAKE_PLACES ||
			   r->place <= 1u << FAKE_ZONE_SHIFT ||
			   (r->place % (1u << FAKE_ZONE_SHIFT) == 0 &&
			    (r->skip == NULL || !r->skip[0])))) {
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
		bool wanted = r->skip == NULL || !r->skip[i];
		/* What is not wanted may be a row's header. */
		struct fake_block *b = wanted ? block_at(p, r->place + i)
					      : &p->blocks[r->place + i];
		bool ok = !wanted || (b->data != NULL && !b->lost &&
				      b->crc == r->crcs[i]);

		if (!wanted && (b->data == NULL || b->lost))
			memset((uint8_t *)r->buf + blocks_to_bytes(i), 0xee,
			       TARN_BLOCK);
		else if (ok)
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
