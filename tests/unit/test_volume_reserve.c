/* Reserves and pausing over a pool that others fill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

#define BLOCKS 256u /* of 1 MiB */

static uint8_t data[3 * MIB];

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

/* Rolled back, nothing of what it shows is its own. */
static void test_rollback(void **state)
{
	struct volume_info info;

	(void)state;
	two_volumes();
	assert_int_equal(write_at("kept", 0, MIB), 0);
	assert_int_equal(reserve("kept", VOL_RESERVE_FULL), 0);
	assert_int_equal(snapshot("kept@s"), 0);
	assert_int_equal(write_at("kept", 0, MIB / 2), 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_in_range(info.kept_blocks, BLOCKS / 2, BLOCKS / 2 + 32);
	assert_int_equal(one_run(vol_rollback, (struct vol_ctl){
						.name = "kept@s" }).res, 0);
	vol_info(vols_find(V, "kept"), &info);
	assert_in_range(info.kept_blocks, BLOCKS, BLOCKS + 32);
	fill_up("other");
	for (uint64_t at = 0; at < MIB; at += TARN_BLOCK)
		assert_int_equal(write_at("kept", at, TARN_BLOCK), 0);
	kit_check_own(V);
}

/* One that was made smaller goes on to have what it had. */
static void test_shrunk(void **state)
{
	struct vol_props both = { .mask = VOL_PROP_RESERVE | VOL_PROP_PAUSE,
				  .reserve_bytes = MIB, .pause = true };

	(void)state;
	two_volumes();
	assert_int_equal(reserve("kept", MIB), 0);
	assert_int_equal(one_run(vol_resize, (struct vol_ctl){
				 .name = "kept", .size_bytes = MIB / 2 }).res, 0);
	assert_int_equal(set("kept", both), 0);
	both.reserve_bytes = MIB - TARN_BLOCK;
	assert_int_equal(set("kept", both), -EINVAL);
	assert_int_equal(reserve("kept", MIB / 2), 0);
	assert_int_equal(reserve("kept", MIB), -EINVAL);
}

/* Until what was cut off is gone it counts as the volume's own: its writes wait
 * for that. */
static void test_shrinks(void **state)
{
	(void)state;
	two_volumes();
	assert_int_equal(reserve("kept", VOL_RESERVE_FULL), 0);
	assert_int_equal(write_at("kept", MIB / 2, MIB / 2), 0);
	assert_int_equal(one_run(vol_resize, (struct vol_ctl){
				 .name = "kept", .size_bytes = MIB / 2,
				 .force = true }).res, 0);
	/* Others take all that they can. */
	P->usable = P->live_total + P->reserved + P->kept;
	assert_int_equal(write_at("kept", 0, MIB / 2), 0);
	assert_int_equal(write_at("other", 0, TARN_BLOCK), -ENOSPC);
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

static void turns(void)
{
	for (unsigned i = 0; i < 1000; i++)
		fake_turn(P);
}

static void hold(const char *name, uint64_t len)
{
	struct volume *v = vols_find(V, name);
	struct volume_info info;

	memset(&user, 0, sizeof(user));
	vol_get(v, &user);
	held = kit_req_make(v, VOL_WRITE, 0, len, data, 0);
	held.user = &user;
	held.done = held_done;
	ended = false;
	vol_submit(&held);
	turns();
	assert_false(ended);
	vol_info(v, &info);
	assert_int_equal(info.paused, 1);
}

static void hold_one(void)
{
	struct volume *v = vols_find(V, "kept");

	fill_up("other");
	hold("kept", MIB);
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

static uint64_t mapped(const char *name)
{
	struct volume_info info;

	vol_info(vols_find(V, name), &info);
	return info.mapped_blocks;
}

/* Space comes little by little, for a part of the request each time: nothing is
 * waited for but that. */
static void test_trickle(void **state)
{
	uint64_t before, now = 0;

	(void)state;
	two_volumes();
	assert_int_equal(kit_create(P, V, "big", 3 * MIB), 0);
	assert_int_equal(pauses("big", true), 0);
	fill_up("other");
	hold("big", 3 * MIB);
	for (unsigned i = 0; i < 2; i++) {
		before = mapped("big");
		assert_int_equal(kit_req(P, vols_find(V, "other"), VOL_TRIM,
					 i * 280 * TARN_BLOCK,
					 280 * TARN_BLOCK, NULL, 0), 0);
		turns();
		now = mapped("big");
		assert_in_range(now, before + BLOCKS, 3 * BLOCKS - 1);
		assert_int_equal(V->pauses.again_ns, 0);
	}
	assert_int_equal(now, 2 * BLOCKS);
	assert_int_equal(kit_req(P, vols_find(V, "other"), VOL_TRIM, 0,
				 16 * MIB, NULL, 0), 0);
	assert_int_equal(let_end(), 0);
	assert_int_equal(mapped("big"), 3 * BLOCKS);
	kit_check_own(V);
}

/* What is deleted then does not stay in the trash for its time. */
static void test_pause_trash(void **state)
{
	struct vol_ctl c;

	(void)state;
	two_volumes();
	P->usable -= 512;
	vols_trash_start(V, 86400, 0);
	assert_int_equal(kit_create(P, V, "spare", MIB), 0);
	assert_int_equal(write_at("spare", 0, TARN_BLOCK), 0);
	assert_int_equal(pauses("kept", true), 0);
	hold_one();
	c = one_run(vol_delete, (struct vol_ctl){ .name = "other" });
	assert_int_equal(c.res, 0);
	assert_true(c.trashed);
	assert_int_equal(let_end(), 0);
	/* … but what is not needed for it does. */
	c = one_run(vol_delete, (struct vol_ctl){ .name = "spare" });
	assert_true(c.trashed);
	turns();
	assert_int_equal(V->catalog.ntrashed, 1);
}

/* Nothing leaves the trash for a reserve that will never fit. */
static void test_trash_stays(void **state)
{
	(void)state;
	two_volumes();
	vols_trash_start(V, 86400, 0);
	assert_int_equal(kit_create(P, V, "spare", MIB), 0);
	assert_int_equal(write_at("spare", 0, MIB), 0);
	assert_true(one_run(vol_delete, (struct vol_ctl){
				    .name = "spare" }).trashed);
	assert_int_equal(kit_create(P, V, "huge",
				    (P->usable + 1) * TARN_BLOCK), 0);
	assert_int_equal(reserve("huge", VOL_RESERVE_FULL), -ENOSPC);
	turns();
	assert_int_equal(V->catalog.ntrashed, 1);
	P->usable -= 640;
	assert_int_equal(reserve("kept", VOL_RESERVE_FULL), 0);
	assert_int_equal(V->catalog.ntrashed, 0);
}

/* The log had no room for a write to a volume that has a reserve.  It goes on,
 * whatever waits before it for more space than there will be. */
static void test_pause_kept(void **state)
{
	static struct vol_req first[2];
	static struct vol_user who;

	(void)state;
	two_volumes();
	assert_int_equal(kit_create(P, V, "big", 4 * MIB), 0);
	assert_int_equal(pauses("big", true), 0);
	assert_int_equal(pauses("kept", true), 0);
	assert_int_equal(reserve("kept", VOL_RESERVE_FULL), 0);
	fill_up("other");
	vol_get(vols_find(V, "big"), &who);
	for (unsigned i = 0; i < 2; i++) {
		first[i] = kit_req_make(vols_find(V, "big"), VOL_WRITE, i * MIB,
					MIB, data, 0);
		first[i].user = &who;
		first[i].done = held_done;
		vol_submit(&first[i]);
	}
	turns();
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	hold("kept", MIB);
	P->append_error = 0;
	vols_room(V);
	assert_int_equal(let_end(), 0);
	assert_int_equal(mapped("big"), 0);
	vol_leave(first[0].vol, &who);
	turns();
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(first[i].res, -ECANCELED);
	vol_put(first[0].vol, &who);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reserve, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_rollback, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_shrunk, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_shrinks, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_pause, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_trickle, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_trash_stays, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_pause_trash, one_setup,
						one_teardown),
		cmocka_unit_test_setup_teardown(test_pause_kept, one_setup,
						one_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
