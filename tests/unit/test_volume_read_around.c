/* tests/unit/test_volume_read_around.c - small reads of a snapshot that come to
 * the same part of the log bring in what lies around; what they give is right
 * whatever was there, and who gains nothing by it does it no more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/vol_kit.c"

#define MIB    (1ull << 20)
#define BLOCKS 1024u
#define STEP   37u  /* blocks written one after the other are that far apart */
#define CACHE  (8 * MIB)

static struct pool    *P;
static struct volumes *V;
static struct volume  *A;
static uint8_t         block[TARN_BLOCK];

static const uint8_t *data_of(uint32_t lba, uint8_t gen)
{
	memset(block, (int)(lba % 251), sizeof(block));
	memcpy(block, &lba, sizeof(lba));
	block[8] = gen;
	return block;
}

/* All blocks once, in an order that is not theirs. */
static void write_all(uint8_t gen)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		uint32_t lba = i * STEP % BLOCKS;
		uint8_t *buf = malloc(TARN_BLOCK);

		memcpy(buf, data_of(lba, gen), TARN_BLOCK);
		assert_int_equal(kit_req(P, A, VOL_WRITE,
					 blocks_to_bytes(lba), TARN_BLOCK, buf,
					 0), 0);
		free(buf);
	}
}

static int setup(void **state)
{
	struct volumes_params params = { .node_budget_bytes = 16 * MIB,
					 .cache_bytes = CACHE };

	(void)state;
	P = fake_pool_new(29);
	V = fake_format(P, &params);
	assert_int_equal(kit_create(P, V, "a", 64 * MIB), 0);
	A = vols_find(V, "a");
	write_all(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

static struct volume *snapshot(const char *name)
{
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
	return vols_find(V, name);
}

/* Block by block, in order. */
static void read_all(struct volume *v, uint8_t gen)
{
	for (uint32_t lba = 0; lba < BLOCKS; lba++) {
		int      res;
		uint8_t *got = kit_read(P, v, blocks_to_bytes(lba), TARN_BLOCK,
					&res);

		assert_int_equal(res, 0);
		assert_memory_equal(got, data_of(lba, gen), TARN_BLOCK);
		free(got);
	}
}

/* Two reads in each region, and all of it is there. */
static void test_snapshot(void **state)
{
	struct volume *s = snapshot("a@s");

	(void)state;
	read_all(s, 1);
	assert_in_range(V->around.reads, 1, 3 * BLOCKS / AROUND_BLOCKS);
	assert_true(V->blocks.hits >= BLOCKS / 2);
	/* Once more: from memory, but for what was read by itself. */
	read_all(s, 1);
}

/* What is not asked for by a copy of a snapshot has its own rules. */
static void test_volume(void **state)
{
	(void)state;
	read_all(A, 1);
	assert_int_equal(V->around.reads, 0);
}

/* The same places hold something else: the old blocks are in the cache and are
 * given to nobody. */
static void test_reused(void **state)
{
	struct volume *s = snapshot("a@s");

	(void)state;
	read_all(s, 1);
	write_all(2);
	assert_int_equal(kit_delete(P, V, "a@s", false), 0);
	fake_settle(P);
	fake_commit(P);
	fake_recycle(P);
	assert_true(P->recycled > 0);
	write_all(3);
	s = snapshot("a@t");
	read_all(s, 3);
	assert_true(V->around.reads > 0);
}

/* A block nearby that cannot be had is no concern of who reads another one. */
static void test_lost_nearby(void **state)
{
	struct volume *s = snapshot("a@s");
	const place_t *place = NULL;
	uint32_t       lost = 0;
	int            res;

	(void)state;
	for (uint32_t i = P->nrows; place == NULL; i--) {
		if (P->rows[i].rec.type == REC_WRITE) {
			place = P->rows[i].places;
			lost = (uint32_t)P->rows[i].rec.block;
		}
	}
	P->blocks[*place].lost = true;
	for (uint32_t lba = 0; lba < BLOCKS; lba++) {
		uint8_t *got = kit_read(P, s, blocks_to_bytes(lba), TARN_BLOCK,
					&res);

		assert_int_equal(res, lba == lost ? -EBADMSG : 0);
		if (res == 0)
			assert_memory_equal(got, data_of(lba, 1), TARN_BLOCK);
		free(got);
	}
	assert_true(V->around.reads > 0);
	P->blocks[*place].lost = false;
	read_all(s, 1);
}

/* --- when it is worth while ------------------------------------------------ */

static uint32_t tries(struct read_around *a, place_t from, uint32_t n,
		      uint32_t apart)
{
	uint32_t started = 0;

	for (uint32_t i = 0; i < n; i++) {
		place_t             place = from + (place_t)i * apart;
		uint32_t            crc = 0;
		struct pool_read    rd = { .res = -EIO };
		struct around_slot *s;

		if (!read_around_due(a, place, 1))
			continue;
		s = read_around_start(a, &rd, place, 1, &crc, block);
		assert_non_null(s);
		assert_in_range(place, rd.place, rd.place + rd.n - 1);
		started++;
		read_around_end(a, s, &rd);
	}
	return started;
}

static void test_spread(void **state)
{
	struct read_around *a = &V->around;

	(void)state;
	/* One in each region: never. */
	assert_int_equal(tries(a, 1 << 20, 100000, AROUND_BLOCKS), 0);
	/* A run that two regions have: neither. */
	assert_false(read_around_due(a, AROUND_BLOCKS - 1, 2));
	assert_false(read_around_due(a, AROUND_BLOCKS - 1, 2));
}

/* Regions that are seen again, but nothing is found in the cache: that ends
 * after as many blocks as the cache has, and is tried again now and then. */
static void test_in_vain(void **state)
{
	struct read_around *a = &V->around;
	uint32_t            n, most = a->nseen + a->nseen / 2;

	(void)state;
	n = tries(a, 1 << 20, 64 * a->nseen, 2);
	assert_in_range(n, a->nseen / 2, most);
	n = tries(a, 1 << 21, 25600, 2);
	assert_in_range(n, 1, 110);
	for (unsigned i = 0; i < 400; i++)
		read_around_hit(a);
	n = tries(a, 1 << 22, 32, 2);
	assert_in_range(n, 1, 32);
}

/* All slots in use: the read is a small one. */
static void test_slots(void **state)
{
	struct read_around *a = &V->around;
	struct around_slot *s[AROUND_SLOTS];
	struct pool_read    rd = { .res = -EIO };
	uint32_t            crc = 0;

	(void)state;
	for (unsigned i = 0; i < AROUND_SLOTS; i++) {
		s[i] = read_around_start(a, &rd, 1 << 20, 1, &crc, block);
		assert_non_null(s[i]);
	}
	assert_null(read_around_start(a, &rd, 1 << 20, 1, &crc, block));
	for (unsigned i = 0; i < AROUND_SLOTS; i++)
		read_around_end(a, s[i], &rd);
	assert_non_null(read_around_start(a, &rd, 1 << 20, 1, &crc, block));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_snapshot), TEST(test_volume), TEST(test_reused),
		TEST(test_lost_nearby), TEST(test_spread), TEST(test_in_vain),
		TEST(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
