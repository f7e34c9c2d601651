/* tests/lib/fake/fake_pool.c - see fake_pool.h.  Included by test programs.
 *
 * The engine, the loop and the life of the pool.  Below it, each including the
 * one before: fake_block.c, fake_log.c, fake_commit.c, fake_reopen.c.
 */
#include "tests/lib/fake/fake_reopen.c"

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

/* --- what the cleaner would do ------------------------------------------- */

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

/* --- what there is to be known ------------------------------------------- */

void pool_get_info(const struct pool *p, struct pool_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->usable_blocks = p->usable;
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

/* --- damage: a fake disk always gives what was written ------------------- */

void pool_damage_found(struct pool *p, const struct pool_damage *d)
{
	(void)p;
	(void)d;
}

void pool_damage_drop(struct pool *p, place_t place)
{
	(void)p;
	(void)place;
}

bool pool_damage_next(const struct pool *p, place_t place,
		      struct pool_damage *ret)
{
	(void)p;
	(void)place;
	(void)ret;
	return false;
}

uint64_t pool_damage_count(const struct pool *p, uint64_t *ret_more)
{
	(void)p;
	*ret_more = 0;
	return 0;
}
