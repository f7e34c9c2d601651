/* tests/lib/fake/fake_commit.c - tables and commits of the fake pool.  Included
 * by fake_reopen.c.
 */
#include "tests/lib/fake/fake_log.c"

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

bool pool_is_closing(const struct pool *p)
{
	(void)p;
	return false;
}

uint64_t pool_commit_room(const struct pool *p)
{
	return p->crowded ? 0 : UINT64_MAX;
}

bool pool_commit_is_crowded(const struct pool *p)
{
	return p->crowded;
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
