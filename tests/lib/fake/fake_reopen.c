/* tests/lib/fake/fake_reopen.c - the fake pool is formatted, crashes, and is
 * opened again from its last commit and the log after it.  Included by
 * fake_pool.c.
 */
#include "tests/lib/fake/fake_commit.c"

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
