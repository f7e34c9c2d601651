/* The trash: in and out with all that a volume has, over crashes; and for good.
 * When that is: test_volume_trash_time.c and test_volume_trash_space.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/trash_kit.c"

/* --- in and out ---------------------------------------------------------- */

static void test_in_and_out(void **state)
{
	const char *checkpoint = "v0#cp";
	struct volume_info info;

	(void)state;
	begin(1);
	assert_int_equal(kit_snapshot(P, V, &checkpoint, 1, NULL), 0);
	do_write(&trees[0]);
	assert_int_equal(run("v0", NULL, false, false, vol_delete),
			 -ENOTEMPTY);
	assert_int_equal(trash("v0"), 0);
	assert_true(trashed);
	for (unsigned turn = 0; turn < 3; turn++) {
		assert_int_equal(in_trash(), 1);
		assert_null(vols_next(V, NULL));
		assert_null(vols_find(V, "v0"));
		assert_null(vols_find(V, "v0@s1"));
		assert_null(vols_find(V, "v0#cp"));
		vol_info(vols_trash_find(V, "v0", NULL), &info);
		assert_int_equal(info.snapshots, 1);
		assert_int_equal(info.checkpoints, 1);
		assert_int_equal(info.trashed_s, START_S);
		kit_check_counts(P, V);
		if (turn < 2)
			reopen(turn == 1, START_S);
	}
	assert_int_equal(trash("v0"), -ENOENT);
	assert_int_equal(kit_delete(P, V, "v0@s1", true), -ENOENT);
	assert_int_equal(undelete("v0", NULL), 0);
	assert_false(already);
	assert_int_equal(in_trash(), 0);
	verify_all();
	assert_non_null(vols_find(V, "v0#cp"));
	assert_int_equal(undelete("v0", NULL), 0);
	assert_true(already);
	do_write(&trees[0]);
	reopen(false, START_S);
	verify_all();
	assert_int_equal(trash("v0"), 0);
	assert_int_equal(purge("v0"), 0);
	assert_int_equal(purge("v0"), -ENOENT);
	all_is_gone();
}

static void test_names(void **state)
{
	struct volume_info info;
	char uuid[UUID_TEXT_BYTES];
	bool several;

	(void)state;
	begin(2);
	assert_int_equal(trash("v0"), 0);
	vol_info(vols_trash_find(V, "v0", NULL), &info);
	/* The name is free at once. */
	assert_int_equal(kit_create(P, V, "other", MIB), 0);
	assert_int_equal(run("other", "v0", false, false, vol_rename), 0);
	assert_int_equal(undelete("v0", NULL), -EEXIST);
	assert_int_equal(trash("v0"), 0);
	assert_int_equal(in_trash(), 2);
	assert_null(vols_trash_find(V, "v0", &several));
	assert_true(several);
	assert_int_equal(undelete("v0", NULL), -ENOTUNIQ);
	assert_int_equal(purge("v0"), -ENOTUNIQ);
	reopen(false, START_S);
	uuid_text(&info.uuid, uuid);
	assert_int_equal(undelete(uuid, "bad/name"), -EINVAL);
	assert_int_equal(undelete(uuid, "back"), 0);
	snprintf(trees[0].name, sizeof(trees[0].name), "back");
	verify_all();
	assert_int_equal(undelete(uuid, NULL), 0);
	assert_true(already);
	assert_int_equal(undelete("none", NULL), -ENOENT);
	assert_int_equal(undelete("", NULL), -EINVAL);
	assert_int_equal(purge("v0"), 0);
	assert_int_equal(in_trash(), 0);
	vols_trash_stop(V);
	delete_all();
}

/* Asked for again, it is as it was asked for, or that is said. */
static void test_again(void **state)
{
	struct volume_info info;
	char uuid[UUID_TEXT_BYTES];

	(void)state;
	begin(13);
	vol_info(vols_find(V, "v0"), &info);
	uuid_text(&info.uuid, uuid);
	assert_int_equal(trash("v0"), 0);
	/* A live one of the old name is not what was asked for. */
	assert_int_equal(kit_create(P, V, "new", MIB), 0);
	assert_int_equal(run("new", "v0", false, false, vol_rename), 0);
	assert_int_equal(undelete("v0", "back"), 0);
	assert_false(already);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_int_equal(undelete("v0", "back"), 0);
		assert_true(already);
		assert_int_equal(undelete(uuid, "back"), 0);
		assert_true(already);
		assert_int_equal(undelete("v0", "v0"), 0);
		assert_true(already);
		reopen(turn == 1, START_S);
	}
	assert_int_equal(undelete("v0", "other"), -ENOENT);
	/* By its UUID it can be told that the name is another's. */
	assert_int_equal(undelete(uuid, "v0"), -ENOENT);
	assert_non_null(strstr(error, "'back'"));
	assert_int_equal(undelete(uuid, "other"), -ENOENT);
	assert_non_null(strstr(error, "'back'"));
	/* The old name is nobody's. */
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	assert_int_equal(undelete("v0", "back"), 0);
	assert_true(already);
	assert_int_equal(undelete("v0", "other"), -ENOENT);
	snprintf(trees[0].name, sizeof(trees[0].name), "back");
	verify_all();
	vols_trash_stop(V);
	delete_all();
}

/* Something stands in the way: it is named, and nothing has happened. */
static void test_refusals(void **state)
{
	struct vol_user user = { .gone = NULL };
	struct volume *s;

	(void)state;
	begin(3);
	assert_int_equal(run("v0@s1", NULL, false, false, vol_snapshot_hold),
			 0);
	assert_int_equal(trash("v0"), -EBUSY);
	assert_non_null(strstr(error, "v0@s1"));
	assert_int_equal(run("v0", NULL, true, true, vol_delete), -EBUSY);
	assert_int_equal(run("v0@s1", NULL, false, false,
			     vol_snapshot_release), 0);
	s = vols_find(V, "v0@s1");
	vol_get(s, &user);
	assert_int_equal(trash("v0"), -EBUSY);
	assert_non_null(strstr(error, "v0@s1"));
	vol_put(s, &user);
	verify_all();
	assert_int_equal(in_trash(), 0);
	/* In a full pool it can be done all the same. */
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	assert_int_equal(trash("v0"), 0);
	assert_int_equal(purge("v0"), 0);
	P->append_error = 0;
	all_is_gone();
}

/* A snapshot that was asked for just before. */
static void test_overtaken(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	struct vol_ctl *snap = calloc(1, sizeof(*snap));
	const char *name = "v0@late";
	struct uuid uuid = { .b = { 1 } };

	(void)state;
	begin(12);
	ctl->name = "v0";
	ctl->with_snapshots = true;
	ctl->done = kit_ctl_done;
	vol_delete(V, ctl);
	snap->names = &name;
	snap->nnames = 1;
	snap->uuids = &uuid;
	kit_done = false;
	snap->done = kit_ctl_done;
	vol_snapshot(V, snap);
	fake_settle(P);
	assert_int_equal(ctl->res, 0);
	assert_int_equal(snap->res, -ENOENT);
	assert_int_equal(undelete("v0", NULL), 0);
	verify_all();
	free(ctl);
	free(snap);
	vols_trash_stop(V);
	delete_all();
}

static unsigned told;

static void go(struct vol_user *u)
{
	(void)u;
	told++;
}

/* With force, who uses the volume or a snapshot of it is told to go, and gets
 * no further meanwhile; what was done before is there when it comes back. */
static void test_users(void **state)
{
	struct vol_user users[2] = { { .gone = go }, { .gone = go } };
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	uint8_t *buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	struct volume *v, *s;

	(void)state;
	begin(11);
	v = vols_find(V, "v0");
	s = vols_find(V, "v0@s1");
	vol_get(v, &users[0]);
	vol_get(s, &users[1]);
	told = 0;
	assert_int_equal(trash("v0"), -EBUSY);
	assert_int_equal(told, 0);
	ctl->name = "v0";
	ctl->with_snapshots = ctl->force = true;
	kit_ctl_run(P, V, ctl, vol_delete);
	assert_int_equal(ctl->res, 0);
	assert_int_equal(told, 2);
	memset(buf, 3, TARN_BLOCK);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 0, TARN_BLOCK, buf, 0),
			 -ESHUTDOWN);
	assert_int_equal(kit_req(P, v, VOL_READ, 0, TARN_BLOCK, buf, 0),
			 -ESHUTDOWN);
	assert_int_equal(kit_req(P, s, VOL_READ, 0, TARN_BLOCK, buf, 0),
			 -ESHUTDOWN);
	vol_put(v, &users[0]);
	assert_int_equal(undelete("v0", NULL), 0);
	verify_all();
	/* One is still there, and told again. */
	kit_ctl_run(P, V, ctl, vol_delete);
	assert_int_equal(ctl->res, 0);
	assert_int_equal(told, 3);
	assert_int_equal(purge("v0"), 0);
	vol_put(s, &users[1]);
	free(ctl);
	free(buf);
	all_is_gone();
}

/* --- for good ------------------------------------------------------------ */

/* What derives from its snapshots stays whole. */
static void test_clones(void **state)
{
	(void)state;
	begin(4);
	do_clone(&trees[1]);
	do_write(&trees[2]);
	do_write(&trees[0]);
	do_snapshot(&trees[0]);
	assert_int_equal(trash("v0"), 0);
	models_hide(0, true);
	verify_all();
	reopen(true, START_S);
	assert_int_equal(purge("v0"), 0);
	verify_all();
	fake_settle(P);
	reopen(false, START_S);
	verify_all();
	assert_int_equal(run(trees[2].name, NULL, true, true, vol_delete), 0);
	assert_false(trashed);
	trees[2].there = false;
	all_is_gone();
}

/* Deleted at once, with its snapshots. */
static void test_at_once(void **state)
{
	(void)state;
	begin(5);
	do_write(&trees[0]);
	do_snapshot(&trees[0]);
	assert_int_equal(run("v0", NULL, false, true, vol_delete), -ENOTEMPTY);
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	assert_false(trashed);
	assert_int_equal(in_trash(), 0);
	assert_null(vols_find(V, "v0"));
	reopen(false, START_S);
	all_is_gone();
}

static bool measured_all;

static void measured(struct vol_used *u)
{
	(void)u;
	measured_all = true;
}

/* What emptying it would free. */
static uint64_t held_blocks(void)
{
	struct volume *set[2 * TREES_MAX], *v, *s;
	struct vol_used u = { .set = set, .done = measured };

	for (v = vols_trash_next(V, NULL); v != NULL;
	     v = vols_trash_next(V, v)) {
		set[u.nset++] = v;
		for (s = vol_snap_next(v, NULL); s != NULL;
		     s = vol_snap_next(v, s))
			set[u.nset++] = s;
	}
	if (u.nset == 0)
		return 0;
	measured_all = false;
	vol_used_submit(&u);
	for (unsigned i = 0; i < 10000 && !measured_all; i++)
		fake_turn(P);
	assert_true(measured_all);
	assert_int_equal(u.res, 0);
	return u.data_blocks + u.node_blocks;
}

static bool mark_is(const struct vols_trash_mark *was)
{
	struct vols_trash_mark now = vols_trash_mark(V);

	return now.trees == was->trees && now.writes == was->writes;
}

/* As long as the mark is the same, so is what the trash holds; and what does
 * not concern it does not change the mark. */
static void test_mark(void **state)
{
	unsigned changed = 0, same = 0;
	struct vols_trash_mark mark;
	struct model *alone;
	uint64_t held;

	(void)state;
	begin(17);
	do_clone(&trees[1]);
	do_write(&trees[2]);
	alone = model_new(-1, NULL);
	assert_int_equal(kit_create(P, V, alone->name, SIZE), 0);
	assert_int_equal(trash("v0"), 0);
	models_hide(0, true);
	mark = vols_trash_mark(V);
	held = held_blocks();
	assert_true(held > 0);
	verify_all();
	do_write(alone);
	assert_true(mark_is(&mark));
	for (unsigned i = 0; i < 120; i++) {
		uint64_t now;
		bool is;

		switch (prng_below(&rng, 8)) {
		case 0: /* from then on its neighbour changes no more */
			if (i > 80)
				do_snapshot(&trees[2]);
			break;
		case 1:
			if (V->catalog.ndeleting == 0)
				fake_commit(P);
			break;
		case 2:
		case 3:
		case 4:
			do_write(&trees[2]);
			break;
		default:
			do_write(alone);
			break;
		}
		is = mark_is(&mark);
		now = held_blocks();
		if (is)
			assert_int_equal(now, held);
		same += is;
		changed += now != held;
		held = now;
		mark = vols_trash_mark(V);
	}
	assert_true(same > 20 && changed > 5);
	assert_int_equal(purge("v0"), 0);
	assert_false(mark_is(&mark));
	vols_trash_stop(V);
	delete_all();
}

/* --- at random ----------------------------------------------------------- */

/* Any history, and now and then a volume with all that it has is away for a
 * while, or for good. */
static void test_random(void **state)
{
	unsigned away = 0, gone = 0;

	(void)state;
	for (uint64_t seed = 100; seed < 112; seed++) {
		prng_init(&rng, seed);
		for (unsigned i = 0; i < 120; i++) {
			struct model *m;
			unsigned n;

			/* The kit deletes for good. */
			vols_trash_stop(V);
			step();
			vols_trash_start(V, KEEP_S, START_S);
			m = pick(0);
			if (m == NULL || m->of >= 0 || m->hidden ||
			    prng_below(&rng, 6) > 0)
				continue;
			n = (unsigned)(m - trees);
			assert_int_equal(trash(m->name), 0);
			away++;
			if (prng_below(&rng, 3) == 0)
				reopen(prng_below(&rng, 2) == 0, START_S);
			kit_check_counts(P, V);
			if (prng_below(&rng, 2) == 0) {
				assert_int_equal(undelete(m->name, NULL), 0);
			} else {
				assert_int_equal(purge(m->name), 0);
				models_hide(n, true);
				gone++;
			}
			verify_all();
		}
		vols_trash_stop(V);
		delete_all();
	}
	assert_true(away > 20 && gone > 5);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_and_out),
		TEST(test_names),
		TEST(test_again),
		TEST(test_refusals),
		TEST(test_overtaken),
		TEST(test_users),
		TEST(test_clones),
		TEST(test_at_once),
		TEST(test_mark),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
