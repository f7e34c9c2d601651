/* What has changed since a snapshot: random writes, trims and zeroes of all
 * sizes, snapshots, commits and crashes against a model, which knows the
 * content at each snapshot and what requests have covered since.  A diff never
 * lacks a changed block, and has no other block but covered ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"
#include "base/bitmap.h"

#define BASES    6u
#define SIZES    4u
#define BLOCKS   (6u << 8) /* of the model, at two places of the volume */
#define HALF     (BLOCKS / 2)
#define EXTENTS  5u

/* A base: what was there, and what requests have covered since. */
struct mbase {
	bool     used;
	bool     there;          /* not deleted yet */
	char     name[16];
	uint32_t birth;
	uint32_t stamps[BLOCKS];
	uint64_t covered[BITMAP_WORDS(BLOCKS)];
	/* What had been since the others when it was taken. */
	uint64_t before[BASES][BITMAP_WORDS(BLOCKS)];
};

static struct prng     R;
static struct volumes_params params;
static uint64_t        size;
static uint32_t        now[BLOCKS]; /* stamp of each block; 0: zeros */
static struct mbase    bases[BASES];
static uint32_t        stamp, names;

static uint64_t rnd(uint64_t n)
{
	return prng_below(&R, n);
}

/* The volume's block of block i of the model: the second half lies at its
 * end. */
static uint64_t block_of(uint32_t i)
{
	uint64_t n = bytes_to_blocks_up(size);

	return i < HALF || n <= BLOCKS ? i : n - BLOCKS + i;
}

static uint32_t nblocks(void)
{
	return (uint32_t)min_u64(BLOCKS, bytes_to_blocks_up(size));
}

static struct volume *vol(void)
{
	return vols_find(V, "v");
}

static void cover(uint64_t off, uint64_t len)
{
	for (uint32_t i = 0; i < nblocks(); i++) {
		uint64_t at = block_of(i) * TARN_BLOCK;

		if (at + TARN_BLOCK <= off || at >= off + len)
			continue;
		for (unsigned k = 0; k < BASES; k++)
			bitmap_set(bases[k].covered, i);
	}
}

/* What the content of a block is after a change, if it is another one.  Of a
 * trim, only whole blocks go. */
static void put(enum vol_op op, uint64_t off, uint64_t len, uint32_t what)
{
	for (uint32_t i = 0; i < nblocks(); i++) {
		uint64_t at = block_of(i) * TARN_BLOCK, end = at + TARN_BLOCK;
		bool     whole = at >= off && end <= off + len;

		if (end <= off || at >= off + len)
			continue;
		if (op == VOL_WRITE || (op == VOL_ZERO && !whole && now[i] > 0))
			now[i] = what;
		else if (whole)
			now[i] = 0;
	}
}

/* A range in the model's half where block i is. */
static uint64_t choose(uint64_t *ret_len)
{
	uint32_t i = (uint32_t)rnd(nblocks());
	uint32_t end = nblocks() <= HALF || i >= HALF ? nblocks() : HALF;
	uint64_t n = 1 + rnd(1ull << rnd(11));

	if (rnd(6) == 0) {
		i -= i % 256;
		n = 256;
	}
	n = min_u64(n, end - i);
	*ret_len = min_u64(n * TARN_BLOCK,
			   size - block_of(i) * TARN_BLOCK);
	return block_of(i) * TARN_BLOCK;
}

static void change(void)
{
	static const enum vol_op ops[] = { VOL_WRITE, VOL_WRITE, VOL_TRIM,
					   VOL_ZERO };
	enum vol_op op = ops[rnd(ARRAY_LEN(ops))];
	uint64_t    len, off = choose(&len);
	uint32_t   *buf = malloc(len);
	bool        keep = op == VOL_ZERO && rnd(3) == 0;

	stamp++;
	for (uint64_t i = 0; i < len / 4; i++)
		buf[i] = stamp;
	if (rnd(4) == 0 && len > 1024) {
		off += 512;
		len -= 1024;
	}
	cover(off, len);
	put(op, off, len, stamp);
	assert_int_equal(kit_req(P, vol(), op, off, len, buf,
				 keep ? VOL_NO_HOLE : 0), 0);
	free(buf);
}

/* --- bases --------------------------------------------------------------- */

static void take(void)
{
	struct mbase *b = &bases[rnd(BASES)];
	const char   *name;
	char          full[32];
	struct vol_base got;

	if (b->there)
		return;
	snprintf(b->name, sizeof(b->name), "s%u", names++);
	snprintf(full, sizeof(full), "v@%s", b->name);
	name = full;
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
	b->used = b->there = true;
	memcpy(b->stamps, now, sizeof(now));
	for (unsigned i = 0; i < BASES; i++)
		memcpy(b->before[i], bases[i].covered, sizeof(b->covered));
	memset(b->covered, 0, sizeof(b->covered));
	assert_int_equal(vol_base(vol(), b->name, &got), 0);
	b->birth = got.birth;
	assert_int_equal(vol_base(vol(), NULL, &got), 0);
	assert_string_equal(got.name, b->name);
}

static void drop(void)
{
	struct mbase *b = &bases[rnd(BASES)];
	char          full[32];
	struct vol_base got;

	if (!b->there)
		return;
	snprintf(full, sizeof(full), "v@%s", b->name);
	assert_int_equal(kit_delete(P, V, full, false), 0);
	b->there = false; /* its birth is still a base */
	assert_int_equal(vol_base(vol(), b->name, &got), -ENOENT);
}

/* --- comparing ----------------------------------------------------------- */

/* One bit a block of the volume: changed, and a hole. */
static void diff_of(struct volume *v, enum vol_op op, uint32_t birth,
		    uint64_t *changed, uint64_t *hole)
{
	uint64_t off = 0, end = vol_size_bytes(v);

	while (off < end) {
		struct vol_extent x[EXTENTS];
		struct vol_req req = {
			.vol = v, .op = op, .off_bytes = off,
			.len_bytes = end - off, .extents = x,
			.flags = rnd(8) == 0 ? VOL_ONE : 0,
			.extents_max = 1 + (uint32_t)rnd(EXTENTS),
			.base_birth = birth,
		};

		assert_int_equal(kit_submit(P, &req), 0);
		assert_in_range(req.nextents, 1, req.extents_max);
		for (unsigned k = 0; k < req.nextents; k++) {
			uint64_t b = off / TARN_BLOCK;

			assert_true(x[k].len_bytes > 0);
			assert_true(op == VOL_STATUS || !x[k].hole ||
				    x[k].changed);
			assert_true(op == VOL_DIFF || !x[k].changed ||
				    x[k].hole);
			off += x[k].len_bytes;
			for (; b * TARN_BLOCK < off; b++) {
				if (x[k].changed)
					bitmap_set(changed, b);
				if (x[k].hole)
					bitmap_set(hole, b);
			}
		}
		assert_true(off <= end);
	}
}

struct bits {
	uint64_t *changed, *hole, *gone, *free;
};

static void check_block(const struct mbase *old, const uint32_t *new,
			const uint64_t *covered, const struct bits *x,
			uint32_t i)
{
	uint64_t b = block_of(i);
	bool     changed = bitmap_test(x->changed, b);

	if (old->stamps[i] != new[i] && !changed)
		fail_msg("a diff since %s lacks block %u", old->name, i);
	if (changed && !bitmap_test(covered, i))
		fail_msg("a diff since %s has block %u, which nothing covered",
			 old->name, i);
	/* Both walks know the same. */
	if (bitmap_test(x->gone, b) != (changed && bitmap_test(x->free, b)) ||
	    bitmap_test(x->hole, b) != bitmap_test(x->gone, b))
		fail_msg("STATUS and DIFF since %s differ at block %u",
			 old->name, i);
}

static void check_diff(const struct mbase *old, struct volume *v,
		       const uint32_t *new, const uint64_t *covered)
{
	size_t   words = BITMAP_WORDS(bytes_to_blocks_up(size));
	uint64_t outside = 0;
	struct bits x = { .changed = calloc(words, 8),
			  .hole = calloc(words, 8),
			  .gone = calloc(words, 8),
			  .free = calloc(words, 8) };

	diff_of(v, VOL_DIFF, old->birth, x.changed, x.hole);
	diff_of(v, VOL_STATUS, old->birth, x.gone, x.free);
	for (uint32_t i = 0; i < nblocks(); i++) {
		check_block(old, new, covered, &x, i);
		bitmap_clear(x.changed, block_of(i));
	}
	outside = bitmap_next_set(x.changed, 0, bytes_to_blocks_up(size));
	if (outside < bytes_to_blocks_up(size))
		fail_msg("a diff since %s has block %llu, where nothing ever "
			 "was", old->name, (unsigned long long)outside);
	free(x.changed);
	free(x.hole);
	free(x.gone);
	free(x.free);
}

/* Each base against the volume, and against younger snapshots. */
static void check_all(void)
{
	for (unsigned i = 0; i < BASES; i++) {
		const struct mbase *b = &bases[i];

		if (!b->used)
			continue;
		check_diff(b, vol(), now, b->covered);
		for (unsigned k = 0; k < BASES; k++) {
			const struct mbase *s = &bases[k];
			char full[32];

			if (!s->there || s->birth <= b->birth || rnd(3) != 0)
				continue;
			snprintf(full, sizeof(full), "v@%s", s->name);
			check_diff(b, vols_find(V, full), s->stamps,
				   s->before[i]);
		}
	}
}

/* Everything so far is kept, or only what the last commit and the log say. */
static void reopen(void)
{
	fake_settle(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, &params, &V), 0);
}

static void run(uint64_t seed, uint64_t bytes, uint64_t budget)
{
	params = (struct volumes_params){ .node_budget_bytes = budget,
					  .dirty_nodes_max = 64 };
	size = bytes;
	memset(now, 0, sizeof(now));
	memset(bases, 0, sizeof(bases));
	prng_init(&R, seed);
	P = fake_pool_new(seed);
	V = fake_format(P, &params);
	assert_int_equal(kit_create(P, V, "v", size), 0);
	for (unsigned step = 0; step < 300; step++) {
		change();
		if (rnd(12) == 0)
			take();
		if (rnd(20) == 0)
			drop();
		if (rnd(12) == 0)
			fake_commit(P);
		if (rnd(40) == 0)
			fake_clean(P, 30);
		if (rnd(30) == 0)
			reopen();
		if (rnd(15) == 0)
			check_all();
		fake_recycle(P);
	}
	check_all();
	kit_check_counts(P, V);
	vols_close(V);
	fake_pool_free(P);
}

static void test_random(void **state)
{
	/* A root that is a leaf, one inner level, two, with an odd end. */
	static const uint64_t sizes[SIZES] = { 700 << 10, 5 * MIB + 512,
					       900 * MIB + 4096 * 7,
					       MIB << 10 };
	const char *s = getenv("SEEDS_VOLUME");
	unsigned    seeds = s != NULL ? (unsigned)atoi(s) : 6;

	(void)state;
	for (unsigned i = 0; i < seeds; i++)
		run(500 + i, sizes[i % SIZES],
		    i % 3 == 2 ? 64 << 10 : 16 << 20);
}

/* --- one thing at a time ------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	params = (struct volumes_params){ .node_budget_bytes = 16 << 20 };
	one_open(7, &params);
	return 0;
}

static uint8_t data[2 * MIB];

static void write_at(uint64_t off, uint64_t len)
{
	assert_int_equal(kit_req(P, vol(), VOL_WRITE, off, len, data, 0), 0);
}

static void trim_at(uint64_t off, uint64_t len)
{
	assert_int_equal(kit_req(P, vol(), VOL_TRIM, off, len, NULL, 0), 0);
}

static uint32_t birth_of(const char *name)
{
	struct vol_base b;

	assert_int_equal(vol_base(vol(), name, &b), 0);
	return b.birth;
}

/* The changed ranges of all of the volume: off, len, hole … -1. */
static void expect(uint32_t birth, ...)
{
	static struct vol_extent x[64];
	struct vol_req req = { .vol = vol(), .op = VOL_DIFF,
			       .len_bytes = vol_size_bytes(vol()),
			       .extents = x, .extents_max = 64,
			       .base_birth = birth };
	uint64_t off = 0;
	va_list  ap;

	assert_int_equal(kit_submit(P, &req), 0);
	va_start(ap, birth);
	for (uint32_t i = 0; i < req.nextents; off += x[i++].len_bytes) {
		if (!x[i].changed)
			continue;
		assert_int_equal(off, va_arg(ap, unsigned long long));
		assert_int_equal(x[i].len_bytes,
				 va_arg(ap, unsigned long long));
		assert_int_equal(x[i].hole, va_arg(ap, int));
	}
	assert_int_equal(va_arg(ap, unsigned long long), ~0ull);
	va_end(ap);
	assert_int_equal(off, vol_size_bytes(vol()));
}

#define END ~0ull

/* The last block of a leaf goes: that block has changed, not all of the
 * leaf. */
static void test_last_block(void **state)
{
	(void)state;
	assert_int_equal(kit_create(P, V, "v", 8 * MIB), 0);
	write_at(MIB + 8192, 4096);
	write_at(3 * MIB, 4096);
	snap("v@a");
	trim_at(MIB + 8192, 4096);
	expect(birth_of("a"), MIB + 8192, 4096ull, 1, END);
	trim_at(3 * MIB - 4096, 8192);
	expect(birth_of("a"), MIB + 8192, 4096ull, 1, 3 * MIB, 4096ull, 1,
	       END);
	fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, &params, &V), 0);
	expect(birth_of("a"), MIB + 8192, 4096ull, 1, 3 * MIB, 4096ull, 1,
	       END);
	kit_check_counts(P, V);
}

/* A leaf that is emptied bit by bit stays until all of it is trimmed. */
static void test_empty_leaf(void **state)
{
	uint64_t nodes;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 8 * MIB), 0);
	snap("v@a");
	write_at(0, 4096);
	write_at(2 * MIB, 8192);
	nodes = V->ids.used;
	trim_at(2 * MIB, 4096);
	trim_at(2 * MIB + 4096, 4096);
	assert_int_equal(V->ids.used, nodes);
	expect(birth_of("a"), 0ull, 4096ull, 0, 2 * MIB, 8192ull, 1, END);
	trim_at(2 * MIB, MIB);
	assert_int_equal(V->ids.used, nodes - 1);
	expect(birth_of("a"), 0ull, 4096ull, 0, 2 * MIB, MIB, 1, END);
	kit_check_counts(P, V);
}

/* A volume whose root is a leaf. */
static void test_small(void **state)
{
	(void)state;
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	write_at(0, 3 * 4096);
	snap("v@a");
	trim_at(0, 3 * 4096);
	snap("v@b");
	expect(birth_of("a"), 0ull, 3 * 4096ull, 1, END);
	expect(birth_of("b"), END);
	write_at(4096, 4096);
	trim_at(0, MIB);
	expect(birth_of("b"), 4096ull, 4096ull, 1, END);
	/* Growing changes nothing. */
	assert_int_equal(kit_resize(P, V, "v", 600 * MIB, false), 0);
	expect(birth_of("b"), 4096ull, 4096ull, 1, END);
	write_at(599 * MIB, 4096);
	snap("v@c");
	expect(birth_of("c"), END);
	assert_int_equal(kit_resize(P, V, "v", 2ull << 40, false), 0);
	expect(birth_of("c"), END);
	expect(birth_of("a"), 0ull, 3 * 4096ull, 1, 599 * MIB, 4096ull, 0,
	       END);
	kit_check_counts(P, V);
}

/* Shrinking is a trim of what was there. */
static void test_shrink(void **state)
{
	(void)state;
	assert_int_equal(kit_create(P, V, "v", 8 * MIB), 0);
	write_at(5 * MIB, 8192);
	snap("v@a");
	assert_int_equal(kit_resize(P, V, "v", 5 * MIB + 4096, true), 0);
	expect(birth_of("a"), END);
	assert_int_equal(kit_resize(P, V, "v", 8 * MIB, false), 0);
	expect(birth_of("a"), 5 * MIB + 4096, 4096ull, 1, END);
	kit_check_counts(P, V);
}

/* A new leaf in a node that was copied for an older snapshot. */
static void test_between(void **state)
{
	uint32_t b;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 1024 * MIB), 0);
	write_at(0, 4096);
	snap("v@a");
	write_at(0, 4096);
	snap("v@b");
	b = birth_of("b");
	assert_int_equal(kit_delete(P, V, "v@b", false), 0);
	write_at(7 * MIB, 4096);
	expect(b, 7 * MIB, 4096ull, 0, END);
	trim_at(0, 4096);
	expect(b, 0ull, 4096ull, 1, 7 * MIB, 4096ull, 0, END);
	expect(birth_of("a"), 0ull, 4096ull, 1, 7 * MIB, 4096ull, 0, END);
}

/* What is the same is not even read. */
static void test_cost(void **state)
{
	uint64_t misses;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 4096 * MIB), 0);
	for (unsigned i = 0; i < 200; i++)
		write_at(i * 20 * MIB, 4096);
	snap("v@a");
	write_at(3 * 20 * MIB, 4096);
	fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, &params, &V), 0);
	misses = V->cache.misses;
	expect(birth_of("a"), 60 * MIB, 4096ull, 0, END);
	assert_int_equal(V->cache.misses, misses + 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_last_block), TEST(test_empty_leaf), TEST(test_small),
		TEST(test_shrink), TEST(test_between), TEST(test_cost),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
