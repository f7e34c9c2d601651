/* Volumes over a fake pool against a model: random requests of any alignment,
 * many at once, with commits, cleaning, eviction and crashes.
 *
 * Two models: one is changed in order of submission (what clients may
 * expect), the other is made from the rows of the log alone (what a crash may
 * leave).  When nothing is in flight both and what is read must be the same;
 * after a crash, what is read must be what the kept rows say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/vol_kit.c"

#define VOLS      3u
#define WINDOWS   4u
#define SLOTS     24u
#define WIN_MAX   (3u << 20)

/* The parts of a volume that are used. */
struct window {
	uint64_t off, len;
	uint8_t *want;   /* by submission */
	uint8_t *logged; /* by the log */
};

struct mvol {
	char     name[16];
	uint64_t size;
	struct window win[WINDOWS];
	unsigned nwin;
};

struct slot {
	struct vol_req req;
	bool     busy;
	bool     blur;     /* READ: something changed meanwhile */
	uint8_t *mem;      /* data, or buffer */
	uint8_t *expect;   /* READ */
};

struct world {
	struct pool    *p;
	struct volumes *vols;
	struct volumes_params params;
	struct mvol     v[VOLS];
	struct slot     slots[SLOTS];
	struct prng     rng;
	uint64_t        stamp;
	uint64_t        verified;
};

static struct world *W;

static uint64_t rnd(uint64_t n)
{
	return prng_below(&W->rng, n);
}

static void vol_add(unsigned i, const char *name, uint64_t size,
		    const uint64_t *offs, unsigned n, uint64_t len)
{
	struct mvol *v = &W->v[i];

	snprintf(v->name, sizeof(v->name), "%s", name);
	v->size = size;
	v->nwin = n;
	for (unsigned k = 0; k < n; k++) {
		v->win[k].off = offs[k];
		v->win[k].len = min_u64(len, size - offs[k]);
		v->win[k].want = calloc(1, WIN_MAX);
		v->win[k].logged = calloc(1, WIN_MAX);
	}
}

static struct volume *handle(unsigned i)
{
	struct volume *v = vols_find(W->vols, W->v[i].name);

	assert_non_null(v);
	return v;
}

/* --- the log's model ----------------------------------------------------- */

static void logged_put(struct mvol *v, uint64_t off, const uint8_t *data)
{
	for (unsigned k = 0; k < v->nwin; k++) {
		struct window *w = &v->win[k];
		uint64_t end = min_u64(off + TARN_BLOCK, w->off + w->len);

		if (off < w->off || off >= w->off + w->len)
			continue;
		if (data != NULL)
			memcpy(w->logged + (off - w->off), data, end - off);
		else
			memset(w->logged + (off - w->off), 0, end - off);
		return;
	}
	assert_true(data == NULL); /* nothing is written elsewhere */
}

static void logged_unmap(struct mvol *v, uint64_t block, uint64_t n)
{
	for (unsigned k = 0; k < v->nwin; k++) {
		struct window *w = &v->win[k];
		uint64_t from = max_u64(block * TARN_BLOCK, w->off);
		uint64_t to = min_u64((block + n) * TARN_BLOCK,
				      w->off + w->len);

		if (from < to)
			memset(w->logged + (from - w->off), 0, to - from);
	}
}

static void logged_replay(void)
{
	struct pool *p = W->p;

	for (unsigned i = 0; i < VOLS; i++)
		for (unsigned k = 0; k < W->v[i].nwin; k++)
			memset(W->v[i].win[k].logged, 0, WIN_MAX);
	for (uint32_t r = 1; r <= p->nrows; r++) {
		const struct fake_row *row = &p->rows[r];
		const struct rec *rec = &row->rec;

		if (rec->type == REC_UNMAP)
			logged_unmap(&W->v[rec->id - 1], rec->block, rec->ext);
		for (uint32_t b = 0; rec->type == REC_WRITE && b < rec->n; b++)
			logged_put(&W->v[rec->id - 1],
				   (rec->block + b) * TARN_BLOCK, row->data[b]);
	}
}

/* --- requests ------------------------------------------------------------ */

static bool overlaps(const struct vol_req *a, const struct vol_req *b)
{
	return a->vol == b->vol &&
	       a->off_bytes < b->off_bytes + b->len_bytes &&
	       b->off_bytes < a->off_bytes + a->len_bytes;
}

static void slot_done(struct vol_req *req)
{
	struct slot *s = container_of(req, struct slot, req);

	assert_int_equal(req->res, 0);
	if (req->op == VOL_READ && !s->blur) {
		uint64_t skew = req->off_bytes % TARN_BLOCK;

		assert_memory_equal(s->mem + skew, s->expect, req->len_bytes);
		W->verified++;
	}
	free(s->mem);
	free(s->expect);
	s->mem = s->expect = NULL;
	s->busy = false;
}

static void fill(uint8_t *mem, uint64_t len)
{
	uint64_t stamp = ++W->stamp * 0x9e3779b97f4a7c15ull;

	for (uint64_t i = 0; i < len; i++)
		mem[i] = (uint8_t)((stamp >> (i % 8 * 8)) + i / 8);
}

static void choose(struct window *w, uint64_t *ret_off, uint64_t *ret_len)
{
	uint64_t len = 1 + rnd(1ull << (1 + rnd(21)));
	uint64_t off = rnd(w->len);

	if (rnd(2) == 0)
		off &= ~(uint64_t)4095;
	if (rnd(2) == 0)
		len = round_up(len, 4096);
	if (rnd(8) == 0)
		len = 1u << 20;
	*ret_off = w->off + off;
	*ret_len = min_u64(len, w->len - off);
}

static void want_change(struct slot *s, struct window *w)
{
	struct vol_req *req = &s->req;
	uint64_t from = req->off_bytes, to = from + req->len_bytes;

	if (req->op == VOL_WRITE) {
		memcpy(w->want + (from - w->off), req->buf, to - from);
	} else {
		if (req->op == VOL_TRIM) {
			from = round_up(from, TARN_BLOCK);
			to &= ~(uint64_t)(TARN_BLOCK - 1);
		}
		if (from < to)
			memset(w->want + (from - w->off), 0, to - from);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (W->slots[i].busy && W->slots[i].req.op == VOL_READ &&
		    overlaps(&W->slots[i].req, req))
			W->slots[i].blur = true;
}

static void submit_one(struct slot *s)
{
	static const uint8_t ops[] = {
		VOL_WRITE, VOL_WRITE, VOL_WRITE, VOL_WRITE, VOL_READ, VOL_READ,
		VOL_READ, VOL_TRIM, VOL_ZERO, VOL_FLUSH, VOL_CACHE,
	};
	unsigned i = (unsigned)rnd(VOLS);
	struct window *w = &W->v[i].win[rnd(W->v[i].nwin)];
	struct vol_req *req = &s->req;

	memset(req, 0, sizeof(*req));
	req->vol = handle(i);
	req->op = ops[rnd(ARRAY_LEN(ops))];
	req->flags = (uint8_t)(rnd(4) == 0 ? VOL_FUA : 0);
	choose(w, &req->off_bytes, &req->len_bytes);
	req->done = slot_done;
	s->busy = true;
	s->blur = false;
	if (req->op == VOL_WRITE) {
		req->buf = s->mem = malloc(req->len_bytes);
		fill(s->mem, req->len_bytes);
		want_change(s, w);
	} else if (req->op == VOL_ZERO || req->op == VOL_TRIM) {
		if (req->op == VOL_ZERO && rnd(3) == 0)
			req->flags |= VOL_NO_HOLE;
		want_change(s, w);
	} else if (req->op == VOL_READ) {
		uint64_t n = vol_read_buf_bytes(req->off_bytes,
						req->len_bytes);

		req->buf = s->mem = aligned_alloc(TARN_BLOCK, n);
		memset(s->mem, 0xee, n);
		s->expect = malloc(req->len_bytes);
		memcpy(s->expect, w->want + (req->off_bytes - w->off),
		       req->len_bytes);
		for (unsigned k = 0; k < SLOTS; k++) {
			const struct slot *o = &W->slots[k];

			if (o != s && o->busy && o->req.op != VOL_READ &&
			    overlaps(&o->req, req))
				s->blur = true;
		}
	}
	vol_submit(req);
	assert_true(s->busy);
}

static void verify_all(void)
{
	for (unsigned i = 0; i < VOLS; i++) {
		for (unsigned k = 0; k < W->v[i].nwin; k++) {
			struct window *w = &W->v[i].win[k];
			int res;
			uint8_t *got = kit_read(W->p, handle(i), w->off,
						w->len, &res);

			assert_int_equal(res, 0);
			assert_memory_equal(w->want, w->logged, w->len);
			assert_memory_equal(got, w->want, w->len);
			free(got);
		}
	}
}

/* STATUS must agree with what the tree says is mapped. */
static void verify_status(void)
{
	for (unsigned i = 0; i < VOLS; i++) {
		struct vol_extent x[7];
		uint64_t off = 0, data = 0;
		struct volume_info info;

		while (off < W->v[i].size) {
			struct vol_req req = {
				.vol = handle(i), .op = VOL_STATUS,
				.off_bytes = off,
				.len_bytes = W->v[i].size - off,
				.extents = x, .extents_max = 7,
			};

			assert_int_equal(kit_submit(W->p, &req), 0);
			assert_in_range(req.nextents, 1, 7);
			for (unsigned k = 0; k < req.nextents; k++) {
				assert_true(x[k].len_bytes > 0);
				data += x[k].hole ? 0 : x[k].len_bytes;
				off += x[k].len_bytes;
			}
			assert_true(off <= W->v[i].size);
		}
		vol_info(handle(i), &info);
		assert_int_equal(bytes_to_blocks_up(data), info.mapped_blocks);
	}
}

static void live(unsigned requests)
{
	for (unsigned n = 0; n < requests;) {
		struct slot *s = &W->slots[rnd(SLOTS)];

		if (!s->busy && rnd(3) != 0) {
			submit_one(s);
			n++;
		}
		if (rnd(4) == 0)
			fake_turn(W->p);
		if (rnd(150) == 0)
			fake_commit_start(W->p);
		if (rnd(300) == 0)
			fake_clean(W->p, 20);
		if (rnd(60) == 0)
			fake_recycle(W->p);
	}
}

static void crash(void)
{
	uint32_t from = max_u32(W->p->commit_row, fake_flushed_row(W->p));
	uint32_t keep = from + (uint32_t)rnd(W->p->nrows - from + 1);

	fake_crash(W->p, W->vols, keep);
	for (unsigned i = 0; i < SLOTS; i++) {
		free(W->slots[i].mem);
		free(W->slots[i].expect);
		memset(&W->slots[i], 0, sizeof(W->slots[i]));
	}
	assert_int_equal(fake_open(W->p, &W->params, &W->vols), 0);
	logged_replay();
	for (unsigned i = 0; i < VOLS; i++)
		for (unsigned k = 0; k < W->v[i].nwin; k++)
			memcpy(W->v[i].win[k].want, W->v[i].win[k].logged,
			       WIN_MAX);
}

static void world_run(uint64_t seed, const struct volumes_params *params)
{
	static const uint64_t small[] = { 0 };
	static const uint64_t mid[] = { 0, (511ull << 20) + 4096 };
	static const uint64_t big[] = { 0, (256ull << 30) - (1 << 20),
					(700ull << 30) + 12345 * 4096,
					(1ull << 40) - (2 << 20) };

	W = calloc(1, sizeof(*W));
	prng_init(&W->rng, seed);
	W->params = *params;
	W->p = fake_pool_new(seed);
	W->vols = fake_format(W->p, params);
	vol_add(0, "small", (2u << 20) + 512 * 3, small, 1, WIN_MAX);
	vol_add(1, "mid", (513ull << 20) + 512, mid, 2, 3u << 20);
	vol_add(2, "big", 1ull << 40, big, 4, 2u << 20);
	for (unsigned i = 0; i < VOLS; i++)
		assert_int_equal(kit_create(W->p, W->vols, W->v[i].name,
					    W->v[i].size), 0);
	for (unsigned round = 0; round < 4; round++) {
		live(250);
		fake_settle(W->p);
		logged_replay();
		verify_all();
		verify_status();
		kit_check_counts(W->p, W->vols);
		live(60);
		crash();
		verify_all();
		kit_check_counts(W->p, W->vols);
		fake_recycle(W->p);
	}
	assert_true(W->verified > 20);
	vols_close(W->vols);
	fake_pool_free(W->p);
	for (unsigned i = 0; i < VOLS; i++)
		for (unsigned k = 0; k < W->v[i].nwin; k++) {
			free(W->v[i].win[k].want);
			free(W->v[i].win[k].logged);
		}
	free(W);
}

static unsigned seeds(void)
{
	const char *s = getenv("SEEDS_VOLUME");

	return s != NULL ? (unsigned)atoi(s) : 3;
}

static void test_roomy(void **state)
{
	struct volumes_params params = { .node_budget_bytes = 16 << 20,
					 .cache_bytes = 300 << 10 };

	(void)state;
	for (unsigned i = 0; i < seeds(); i++)
		world_run(100 + i, &params);
}

/* Hardly any memory: everything is evicted all the time. */
static void test_tight(void **state)
{
	struct volumes_params params = { .node_budget_bytes = 64 << 10,
					 .dirty_nodes_max = 64 };

	(void)state;
	for (unsigned i = 0; i < seeds(); i++)
		world_run(200 + i, &params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roomy),
		cmocka_unit_test(test_tight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
