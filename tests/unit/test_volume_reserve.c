/* Reserves and pausing over a pool that others fill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

#define BLOCKS 256u /* of 1 MiB */

static uint8_t data[MIB];

static int set(const char *name, struct vol_props props)
{
	return one_run(vol_set, (struct vol_ctl){ .name = name,
						  .props = props }).res;
}

/* -ENOSPC, or 0. */
static int snapshot(const char *name)
{
	return kit_snapshot(P, V, &name, 1, NULL);
}

static int reserve(const char *name, uint64_t bytes)
{
	return set(name, (struct vol_props){ .mask = VOL_PROP_RESERVE,
					     .reserve_bytes = bytes });
}

static int pauses(const char *name, bool pause)
{
	return set(name, (struct vol_props){ .mask = VOL_PROP_PAUSE,
					     .pause = pause });
}

static int write_at(const char *name, uint64_t off, uint64_t len)
{
	return kit_req(P, vols_find(V, name), VOL_WRITE, off, len, data, 0);
}

/* Nobody without a reserve finds any more. */
static void fill_up(const char *name)
{
	uint64_t at = 0;

	while (write_at(name, at, TARN_BLOCK) == 0)
		at += TARN_BLOCK;
	assert_int_equal(write_at(name, at, TARN_BLOCK), -ENOSPC);
}

static void two_volumes(void)
{
	assert_int_equal(kit_create(P, V, "kept", MIB), 0);
	assert_int_equal(kit_create(P, V, "other", 16 * MIB), 0);
	fake_commit(P);
	fake_settle(P);
	P->usable = P->live_total + P->reserved + 1024;
}

static void test_reserve(void **state)
{
	struct volume_info info;

	(void)state;
	two_volumes();
	assert_int_equal(reserve("other", VOL_RESERVE_FULL), -ENOSPC);
	assert_int_equal(reserve("kept", VOL_RESERVE_FULL), 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_in_range(info.kept_blocks, BLOCKS, BLOCKS + 32);
	fill_up("other");
	/* Block by block, each in a request of its own. */
	for (uint64_t at = 0; at < MIB; at += TARN_BLOCK)
		assert_int_equal(write_at("kept", at, TARN_BLOCK), 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_in_range(info.kept_blocks, 0, 32);
	assert_int_equal(write_at("other", 8 * MIB, TARN_BLOCK), -ENOSPC);
	/* What it has would not be its own any more. */
	assert_int_equal(snapshot("kept@s"), -ENOSPC);
	assert_null(vols_find(V, "kept@s"));
	assert_int_equal(kit_req(P, vols_find(V, "other"), VOL_TRIM, 0, 16 * MIB,
				 NULL, 0), 0);
	assert_int_equal(snapshot("kept@s"), 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_in_range(info.kept_blocks, BLOCKS, BLOCKS + 32);
	fill_up("other");
	assert_int_equal(write_at("kept", 0, MIB), 0);
	assert_int_equal(reserve("kept", 0), 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_int_equal(info.kept_blocks, 0);
	kit_check_own(V);
}

/* --- pausing ------------------------------------------------------------- */

static struct vol_req  held;
static struct vol_user user;
static bool            ended;

static void held_done(struct vol_req *req)
{
	(void)req;
	ended = true;
}

static void hold_one(void)
{
	struct volume *v = vols_find(V, "kept");
	struct volume_info info;

	fill_up("other");
	memset(&user, 0, sizeof(user));
	vol_get(v, &user);
	held = kit_req_make(v, VOL_WRITE, 0, MIB, data, 0);
	held.user = &user;
	held.done = held_done;
	ended = false;
	vol_submit(&held);
	for (unsigned i = 0; i < 1000; i++)
		fake_turn(P);
	assert_false(ended);
	vol_info(v, &info);
	assert_int_equal(info.paused, 1);
	/* Others, and what it reads, go on. */
	assert_int_equal(kit_req(P, v, VOL_FLUSH, 0, 0, NULL, 0), 0);
	assert_int_equal(write_at("other", 0, TARN_BLOCK), 0);
	assert_int_equal(write_at("other", 8 * MIB, TARN_BLOCK), -ENOSPC);
}

static int let_end(void)
{
	for (unsigned i = 0; i < 100000 && !ended; i++)
		fake_turn(P);
	assert_true(ended);
	vol_put(held.vol, &user);
	return held.res;
}

static void test_pause(void **state)
{
	int r;

	(void)state;
	two_volumes();
	P->usable -= 512;
	assert_int_equal(pauses("kept", true), 0);
	hold_one();
	/* Room for all of it comes: it goes on by itself. */
	assert_int_equal(kit_req(P, vols_find(V, "other"), VOL_TRIM, 0, 16 * MIB,
				 NULL, 0), 0);
	fake_commit(P);
	assert_int_equal(let_end(), 0);
	assert_int_equal(kit_req(P, vols_find(V, "kept"), VOL_TRIM, 0, MIB, NULL,
				 0), 0);
	/* Its client leaves. */
	hold_one();
	vol_leave(held.vol, &user);
	assert_int_equal(let_end(), -ECANCELED);
	/* It pauses no more. */
	hold_one();
	assert_int_equal(pauses("kept", false), 0);
	assert_int_equal(let_end(), -ENOSPC);
	assert_int_equal(write_at("kept", 0, MIB), -ENOSPC);
	/* It goes. */
	assert_int_equal(pauses("kept", true), 0);
	hold_one();
	r = kit_delete(P, V, "kept", true);
	assert_int_equal(r, 0);
	assert_int_equal(let_end(), -ESHUTDOWN);
	kit_check_own(V);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reserve, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_pause, one_setup,
						one_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
