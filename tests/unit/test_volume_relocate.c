/* Emptying runs of a segment: what is live moves, what is dead does not, what
 * cannot be read stays and is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

static uint8_t        *buf;
static uint32_t        row; /* of the write */

static int setup(void **state)
{
	(void)state;
	one_open(13, NULL);
	buf = malloc(MIB);
	for (unsigned i = 0; i < MIB; i++)
		buf[i] = (uint8_t)(i / 4096);
	assert_int_equal(kit_create(P, V, "v", 700 * MIB), 0);
	assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_WRITE,
				 200 * 4096, MIB, buf, 0), 0);
	row = P->nrows;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(buf);
	return one_teardown(state);
}

static bool ended;

static void reloc_done(struct reloc *r)
{
	(void)r;
	ended = true;
}

static int relocate(const struct rec *rec, uint32_t first, uint32_t n,
		    place_t place, uint32_t *ret_moved)
{
	struct reloc r = { .rec = *rec, .first = first, .n = n,
			   .place = place, .done = reloc_done };

	ended = false;
	P->client->relocate(P->client_arg, &r);
	assert_false(ended);
	while (!ended)
		fake_turn(P);
	*ret_moved = r.moved;
	return r.res;
}

/* Blocks first .. first+n-1 of the write. */
static int relocate_data(uint32_t first, uint32_t n, uint32_t *ret_moved)
{
	return relocate(&P->rows[row].rec, first, n,
			P->rows[row].places[first], ret_moved);
}

static void check_data(void)
{
	int res;
	uint8_t *got = kit_read(P, vols_find(V, "v"), 200 * 4096, MIB, &res);

	assert_int_equal(res, 0);
	assert_memory_equal(got, buf, MIB);
	free(got);
}

static void test_data(void **state)
{
	uint32_t moved;

	(void)state;
	assert_int_equal(relocate_data(0, 256, &moved), 0);
	assert_int_equal(moved, 256);
	check_data();
	/* They are not there any more. */
	assert_int_equal(relocate_data(0, 256, &moved), 0);
	assert_int_equal(moved, 0);
	kit_check_counts(P, V);
	fake_recycle(P);
	check_data();
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	check_data();
}

/* What was moved before goes apart from what was not. */
static void test_classes(void **state)
{
	uint32_t moved, first = row;

	(void)state;
	assert_int_equal(relocate_data(0, 100, &moved), 0);
	assert_int_equal(moved, 100);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLEANER;
	assert_int_equal(relocate_data(100, 100, &moved), -ENOSPC);
	for (row++; P->rows[row].rec.type != REC_MOVE; row++)
		assert_true(row < P->nrows);
	assert_int_equal(relocate_data(0, P->rows[row].rec.n, &moved), 0);
	assert_int_equal(moved, P->rows[row].rec.n);
	P->append_error_class = LOG_COLD;
	for (row++; P->rows[row].rec.type != REC_MOVE; row++)
		assert_true(row < P->nrows);
	assert_int_equal(relocate_data(0, P->rows[row].rec.n, &moved),
			 -ENOSPC);
	P->append_error = 0;
	row = first;
	assert_int_equal(relocate_data(100, 100, &moved), 0);
	check_data();
	kit_check_counts(P, V);
}

static void test_some_dead(void **state)
{
	struct volume *v = vols_find(V, "v");
	uint32_t moved;

	(void)state;
	kit_req(P, v, VOL_TRIM, 210 * 4096, 5 * 4096, NULL, 0);
	kit_req(P, v, VOL_WRITE, 300 * 4096, 4096, buf + 100 * 4096, 0);
	assert_int_equal(relocate_data(5, 200, &moved), 0);
	assert_int_equal(moved, 194);
	kit_req(P, v, VOL_WRITE, 210 * 4096, 5 * 4096, buf + 10 * 4096, 0);
	check_data();
	kit_check_counts(P, V);
}

static void test_lost_block(void **state)
{
	uint32_t moved;

	(void)state;
	P->blocks[P->rows[row].places[0]].lost = true;
	P->blocks[P->rows[row].places[70]].lost = true;
	P->blocks[P->rows[row].places[71]].lost = true;
	assert_int_equal(relocate_data(0, 256, &moved), -EBADMSG);
	assert_int_equal(moved, 253);
	P->blocks[P->rows[row].places[0]].lost = false;
	P->blocks[P->rows[row].places[70]].lost = false;
	P->blocks[P->rows[row].places[71]].lost = false;
	check_data();
	assert_int_equal(relocate_data(0, 256, &moved), 0);
	assert_int_equal(moved, 3);
	check_data();
	kit_check_counts(P, V);
}

static place_t leaf_place(uint64_t index)
{
	struct map_pos pos;

	assert_int_equal(map_find(vols_find(V, "v"), 0, index, 0, &pos),
			 POS_NODE);
	return pos.node->node->place;
}

static void test_lost_leaf(void **state)
{
	uint32_t moved;
	place_t  place;

	(void)state;
	fake_commit(P);
	place = leaf_place(0);
	P->blocks[place].lost = true;
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	/* What is in leaf 0 is left, the rest is moved. */
	assert_int_equal(relocate_data(0, 256, &moved), -EBADMSG);
	assert_int_equal(moved, 200);
	P->blocks[place].lost = false;
	check_data();
	kit_check_counts(P, V);
}

static void test_nodes(void **state)
{
	struct rec rec = { .type = REC_NODE, .n = 1 };
	uint32_t moved;
	place_t  place;

	(void)state;
	fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	for (uint32_t id = 1; id <= 4; id++) {
		const struct node_entry *e = (const void *)
			P->blocks[P->tables[TABLE_NODES].place[0]].data;

		place = le64_get(e[id].place);
		rec.id = id;
		/* Elsewhere: dead. */
		assert_int_equal(relocate(&rec, 0, 1, place + 1, &moved), 0);
		assert_int_equal(moved, 0);
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		assert_int_equal(moved, 1);
		assert_true(P->client->commit_blocks(P->client_arg) >= 2);
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		fake_commit(P);
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		assert_int_equal(moved, 0);
		check_data();
	}
	rec.id = 5;
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	assert_int_equal(moved, 0);
	rec.id = UINT32_MAX;
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	rec.id = 0;
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	kit_check_counts(P, V);
}

static void test_tables(void **state)
{
	static const enum table_kind kinds[] = { TABLE_NODES, TABLE_NODE_MAP,
						 TABLE_CATALOG };
	uint32_t moved;

	(void)state;
	fake_commit(P);
	fake_settle(P);
	for (unsigned i = 0; i < 3; i++) {
		struct rec rec = { .type = REC_TABLE, .n = 1,
				   .id = kinds[i] };
		place_t place = P->tables[kinds[i]].place[0];

		assert_int_equal(relocate(&rec, 0, 1, place + 1, &moved), 0);
		assert_int_equal(moved, 0);
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		assert_int_equal(moved, 1);
		fake_commit(P);
		assert_true(P->tables[kinds[i]].place[0] != place);
		rec.block = 99;
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		assert_int_equal(moved, 0);
		rec.id = TABLE_SEGMENTS;
		assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
		assert_int_equal(moved, 0);
	}
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	check_data();
	kit_check_counts(P, V);
}

static void test_odd(void **state)
{
	struct rec rec = P->rows[row].rec;
	place_t  place = P->rows[row].places[0];
	uint32_t moved;

	(void)state;
	rec.id = 99; /* no such volume */
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	assert_int_equal(moved, 0);
	rec = P->rows[row].rec;
	rec.block = UINT64_MAX - 3;
	assert_int_equal(relocate(&rec, 0, 200, place, &moved), 0);
	rec.block = (1ull << 35) - 1;
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	assert_int_equal(moved, 0);
	rec.type = REC_ROOT;
	assert_int_equal(relocate(&rec, 0, 1, place, &moved), 0);
	/* No room: said, and tried again later. */
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLEANER;
	assert_int_equal(relocate_data(0, 256, &moved), -ENOSPC);
	P->append_error = 0;
	assert_int_equal(relocate_data(0, 256, &moved), 0);
	assert_int_equal(moved, 256);
	check_data();
	/* Of a deleted volume, while it is reaped. */
	row = P->nrows;
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	relocate(&P->rows[row].rec, 0, P->rows[row].rec.n,
		 P->rows[row].places[0], &moved);
	kit_check_counts(P, V);
	assert_int_equal(V->ids.used, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_data), TEST(test_classes), TEST(test_some_dead),
		TEST(test_lost_block),
		TEST(test_lost_leaf), TEST(test_nodes), TEST(test_tables),
		TEST(test_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
