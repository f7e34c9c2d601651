/* Trees that fork, in moments that are rare: a node that cannot be read just
 * then, a client that comes while a rollback is on its way, a pool that has
 * failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#define FAKE_PLACES (1u << 19)
#include "tests/lib/fake/one_pool.c"
#include "volume/catalog.h"
#include "volume/node_validate.h"

#define GIB (1ull << 30)

/* A clone, "c", of v@s. */
static void clone(void)
{
	assert_int_equal(one_run(vol_clone, (struct vol_ctl){
		.name = "v@s", .new_name = "c", .uuid.b[0] = 1 }).res, 0);
}

static place_t node_place(const char *name, unsigned level)
{
	struct map_pos pos;

	assert_int_equal(map_find(vols_find(V, name), level, 0, FIND_NOLOAD,
				  &pos), POS_NODE);
	assert_true(pos.node->node->place != PLACE_NONE);
	return pos.node->node->place;
}

/* A clone that was made larger is deleted while the root that it shares with
 * its snapshot cannot be read for a moment: the snapshot and the volume do not
 * lose it for that. */
static void test_raised_root_forgotten(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 11);
	put_block("v", 600 * MIB, 12);
	snap("v@s");
	clone();
	assert_int_equal(kit_resize(P, V, "c", 300 * GIB, false), 0);
	fake_commit(P);
	place = node_place("v", 2);
	one_reopen(true);
	P->blocks[place].lost = true;
	assert_int_equal(kit_delete(P, V, "c", false), 0);
	fake_settle(P);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v@s", 0), 11);
	assert_int_equal(get_byte("v", 600 * MIB), 12);
}

/* The same without a clone: the volume grew between two snapshots. */
static void test_raised_root_forgotten_snap(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 11);
	put_block("v", 600 * MIB, 12);
	snap("v@a");
	assert_int_equal(kit_resize(P, V, "v", 300 * GIB, false), 0);
	snap("v@b");
	put_block("v", 0, 13); /* a copy of all above it */
	fake_commit(P);
	assert_int_equal(get_byte("v@a", 0), 11); /* into memory */
	place = node_place("v@a", 2);
	one_reopen(true);
	P->blocks[place].lost = true;
	assert_int_equal(kit_delete(P, V, "v@b", false), 0);
	fake_settle(P);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v@a", 0), 11);
	assert_int_equal(get_byte("v@a", 600 * MIB), 12);
}

/* --- a client that comes while a rollback is on its way ------------------- */

static bool rollback_is_queued(void)
{
	list_for_each(l, &P->appends)
		if (list_entry(l, struct log_append, link)->rec.id ==
		    CATALOG_ROLLBACK)
			return true;
	return false;
}

/* The rollback's record is on its way when a client comes: the volume says that
 * it is not to be had (export_volume.c asks), and what it holds when the
 * rollback is done is the snapshot, before a crash and after it.  keep: what
 * the volume was becomes a snapshot. */
static void rollback_race(const char *keep)
{
	struct vol_ctl ctl = { .name = "v@s", .new_name = keep,
			       .uuid.b[0] = 5, .done = kit_ctl_done };
	struct volume *v;

	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 1);
	snap("v@s");
	put_block("v", 0, 2);
	fake_settle(P);
	v = vols_find(V, "v");
	kit_done = false;
	vol_rollback(V, &ctl);
	io_run(&P->io, 0); /* its record is handed in */
	assert_true(rollback_is_queued() && !kit_done);
	assert_ptr_equal(vols_find(V, "v"), v);
	assert_true(vol_is_detaching(v));
	kit_wait(P);
	assert_int_equal(ctl.res, 0);
	assert_false(vol_is_detaching(vols_find(V, "v")));
	for (unsigned again = 0; again < 2; again++) {
		assert_int_equal(get_byte("v", 0), 1);
		if (keep != NULL)
			assert_int_equal(get_byte("v@k", 0), 2);
		one_reopen(false);
	}
}

static void test_rollback_attach_keep(void **state)
{
	(void)state;
	rollback_race("k");
}

static void test_rollback_attach(void **state)
{
	(void)state;
	rollback_race(NULL);
}

/* --- a lost leaf of a clone ------------------------------------------------ */

/* A leaf that all share cannot be read for a moment, while a write to a clone is
 * redone: the clone has lost it, and the volume and the snapshot have not. */
static void test_poison_shared(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 11);
	put_block("v", TARN_BLOCK, 12);
	snap("v@s");
	clone();
	fake_commit(P);
	place = node_place("v", 0);
	put_block("c", 0, 21);
	P->blocks[place].lost = true;
	one_reopen(false);
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("v", TARN_BLOCK), 12);
	assert_int_equal(get_byte("v@s", 0), 11);
	assert_int_equal(get_byte("c", 0), -EBADMSG);
	/* What is lost to one tree can be written to again, and goes with it. */
	assert_int_equal(kit_delete(P, V, "c", false), 0);
	kit_check_counts(P, V);
}

/* --- waiting for a reaper that does not come ------------------------------ */

/* A commit fails: who waits for the reaper does not wait for ever, nor does
 * closing, which waits for him. */
static void test_rollback_failed_pool(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 1);
	put_block("v", 600 * MIB, 7);
	snap("v@s");
	put_block("v", 0, 2);
	fake_settle(P);
	vols_find(V, "v")->flags |= CATALOG_SHRUNK; /* the reaper has begun */
	vols_log_client_ops()->commit_done(V, -EIO);
	P->append_error = -ESHUTDOWN;
	P->append_error_class = LOG_COMMIT;
	ctl->name = "v@s";
	ctl->done = kit_ctl_done;
	kit_done = false;
	vol_rollback(V, ctl);
	for (unsigned i = 0; i < 100000 && !kit_done; i++)
		fake_turn(P);
	assert_true(kit_done);
	free(ctl);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, one_setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_raised_root_forgotten),
		TEST(test_raised_root_forgotten_snap),
		TEST(test_rollback_attach_keep),
		TEST(test_rollback_attach),
		TEST(test_poison_shared),
		TEST(test_rollback_failed_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
