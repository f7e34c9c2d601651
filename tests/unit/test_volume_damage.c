/* What cannot be read: exactly its range is an error, all else goes on, and
 * nothing old ever comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

static int setup(void **state)
{
	(void)state;
	one_open(11, NULL);
	assert_int_equal(kit_create(P, V, "v", 700 * MIB), 0);
	for (unsigned i = 0; i < 20; i++)
		put_block("v", i * MIB, (uint8_t)(i + 1));
	put_block("v", 600 * MIB, 99);
	kit_check_counts(P, V);
	return 0;
}

/* Place of the node at a position, from the table in memory. */
static place_t node_place(unsigned level, uint64_t index)
{
	struct map_pos pos;
	struct volume *v = vols_find(V, "v");

	for (unsigned i = 0; i < 1000; i++) {
		enum map_pos_kind k = map_find(v, level, index, 0, &pos);

		if (k == POS_NODE)
			return pos.node->node->place;
		assert_int_equal(k, POS_LOADING);
		fake_turn(P);
	}
	fail();
	return 0;
}

static void test_data(void **state)
{
	struct volume *v = vols_find(V, "v");
	struct map_pos pos;
	place_t place;
	uint8_t byte = 7;

	(void)state;
	assert_int_equal(map_find(v, 0, 3, 0, &pos), POS_NODE);
	place = entry_place(leaf_entries(pos.node));
	P->blocks[place].lost = true;
	assert_int_equal(get_byte("v", 3 * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 3 * MIB + 4096), 0);
	assert_int_equal(get_byte("v", 4 * MIB), 5);
	/* A partial write needs it, a whole one mends it. */
	assert_int_equal(kit_req(P, v, VOL_WRITE, 3 * MIB + 5, 1, &byte, 0),
			 -EBADMSG);
	put_block("v", 3 * MIB, 42);
	assert_int_equal(get_byte("v", 3 * MIB), 42);
	kit_check_counts(P, V);
}

static void test_leaf(void **state)
{
	struct vol_extent x[8];
	struct vol_req req = { .op = VOL_STATUS, .len_bytes = MIB,
			       .off_bytes = 3 * MIB, .extents = x,
			       .extents_max = 8 };
	uint8_t *buf = aligned_alloc(4096, 4096);
	place_t place = node_place(0, 3);

	(void)state;
	P->blocks[place].lost = true;
	one_reopen(false);
	memset(buf, 0, 4096);
	assert_int_equal(get_byte("v", 3 * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 3 * MIB + 9000), -EBADMSG);
	assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_WRITE, 3 * MIB,
				 4096, buf, 0), -EBADMSG);
	assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_TRIM, 3 * MIB,
				 MIB, NULL, 0), -EBADMSG);
	req.vol = vols_find(V, "v");
	assert_int_equal(kit_submit(P, &req), -EBADMSG);
	assert_int_equal(get_byte("v", 4 * MIB), 5);
	assert_int_equal(get_byte("v", 600 * MIB), 99);
	put_block("v", 4 * MIB, 50);
	/* Disks come back: so does the leaf. */
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v", 3 * MIB), 4);
	free(buf);
	kit_check_counts(P, V);
}

static void test_inner(void **state)
{
	place_t place = node_place(1, 0);

	(void)state;
	P->blocks[place].lost = true;
	one_reopen(false);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(get_byte("v", i * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 511 * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 512 * MIB), 0);
	assert_int_equal(get_byte("v", 600 * MIB), 99);
	put_block("v", 601 * MIB, 98);
	assert_int_equal(get_byte("v", 601 * MIB), 98);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v", 19 * MIB), 20);
	kit_check_counts(P, V);
}

/* A change that could not be redone: the old content must not come back. */
static void test_redo(void **state)
{
	place_t place = node_place(0, 3);

	(void)state;
	put_block("v", 3 * MIB, 77);
	put_block("v", 4 * MIB, 78);
	P->blocks[place].lost = true;
	one_reopen(false);
	assert_int_equal(P->redo_res, -EBADMSG);
	assert_int_equal(get_byte("v", 3 * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 4 * MIB), 78);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v", 3 * MIB), -EBADMSG);
	one_reopen(false);
	assert_int_equal(get_byte("v", 3 * MIB), -EBADMSG);
	assert_int_equal(get_byte("v", 4 * MIB), 78);
	/* The volume can be deleted nevertheless, and others made. */
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	fake_settle(P);
	fake_commit(P);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->ids.used, 0);
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	put_block("v", 0, 1);
}

static void test_delete_damaged(void **state)
{
	(void)state;
	P->blocks[node_place(0, 3)].lost = true;
	P->blocks[node_place(1, 1)].lost = true;
	one_reopen(false);
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	fake_settle(P);
	fake_commit(P);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, 0);
	/* What was below the inner node is unknown, so it stays. */
	assert_int_equal(V->ids.used, 1);
}

/* A page of the node table is damaged: its nodes are lost, but not those that
 * are in memory and changed, and commits go on. */
static void test_table_page(void **state)
{
	place_t place;

	(void)state;
	one_reopen(false);
	assert_int_equal(get_byte("v", 5 * MIB), 6);
	put_block("v", 5 * MIB, 66);
	place = P->tables[TABLE_NODES].place[0];
	fake_crash(P, V, P->nrows);
	P->blocks[place].lost = true;
	assert_int_equal(fake_open(P, NULL, &V), 0);
	assert_int_equal(get_byte("v", 5 * MIB), -EBADMSG);
	assert_int_equal(kit_create(P, V, "w", 4 * MIB), 0);
	put_block("w", 0, 3);
	put_block("w", MIB, 4);
	fake_commit(P);
	assert_int_equal(get_byte("w", MIB), 4);
	one_reopen(false);
	assert_int_equal(get_byte("w", 0), 3);
	assert_int_equal(get_byte("w", MIB), 4);
	assert_true(get_byte("v", 5 * MIB) < 0);
}

/* The table page is evicted while nodes of it are changed in memory. */
static void test_table_page_partial(void **state)
{
	place_t place;

	(void)state;
	put_block("v", 5 * MIB, 66);
	/* As eviction would, but at once. */
	fake_commit(P);
	fake_settle(P);
	put_block("v", 5 * MIB, 67);
	put_block("v", 6 * MIB, 68);
	place = P->tables[TABLE_NODES].place[0];
	P->blocks[place].lost = true;
	fake_commit(P);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v", 5 * MIB), 67);
	one_reopen(false);
	assert_int_equal(get_byte("v", 5 * MIB), 67);
	assert_int_equal(get_byte("v", 6 * MIB), 68);
	kit_check_counts(P, V);
}

/* Opening refuses what it cannot believe. */
static void test_open(void **state)
{
	uint8_t root[sizeof(P->root)];
	place_t place;
	struct volumes *v2;

	(void)state;
	fake_crash(P, V, P->nrows);
	memcpy(root, P->root, sizeof(root));
	P->root[0] ^= 1;
	assert_int_equal(fake_open(P, NULL, &v2), -EBADMSG);
	memcpy(P->root, root, sizeof(root));
	P->root_bytes = VOLS_ROOT_MIN - 1;
	assert_int_equal(fake_open(P, NULL, &v2), -EBADMSG);
	P->root_bytes = sizeof(struct vols_root);
	P->root[12] = 0xff; /* slots */
	assert_int_equal(fake_open(P, NULL, &v2), -EBADMSG);
	memcpy(P->root, root, sizeof(root));
	place = P->tables[TABLE_CATALOG].place[0];
	P->blocks[place].lost = true;
	assert_int_equal(fake_open(P, NULL, &v2), -EBADMSG);
	P->blocks[place].lost = false;
	place = P->tables[TABLE_NODE_MAP].place[0];
	P->blocks[place].lost = true;
	assert_int_equal(fake_open(P, NULL, &v2), -EBADMSG);
	P->blocks[place].lost = false;
	assert_int_equal(fake_open(P, NULL, &V), 0);
	assert_int_equal(get_byte("v", 600 * MIB), 99);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_data), TEST(test_leaf), TEST(test_inner),
		TEST(test_redo), TEST(test_delete_damaged),
		TEST(test_table_page), TEST(test_table_page_partial),
		TEST(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
