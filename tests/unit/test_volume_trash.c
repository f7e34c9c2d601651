/* The trash: in and out with all that a volume has, over crashes; for good when
 * its time is over, and when something new has no space, which waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

#define KEEP_S  1000u
#define START_S 5000u /* wall clock */

static char error[256];
static bool already, trashed;

static int run(const char *name, const char *new_name, bool with_snapshots,
	       bool at_once, void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->with_snapshots = with_snapshots;
	ctl->at_once = at_once;
	ctl->now_s = START_S;
	kit_ctl_run(P, V, ctl, op);
	r = ctl->res;
	already = ctl->already;
	trashed = ctl->trashed;
	assert_true(r == 0 || ctl->error[0] != '\0');
	memcpy(error, ctl->error, sizeof(error));
	free(ctl);
	return r;
}

static int trash(const char *name)
{
	return run(name, NULL, true, false, vol_delete);
}

static int undelete(const char *name, const char *as)
{
	return run(name, as, false, false, vol_undelete);
}

static int purge(const char *name)
{
	return run(name, NULL, false, false, vol_purge);
}

/* The name that the kit's trees are found by while they are in the trash. */
static void models_hide(unsigned volume, bool hide)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		if (i == volume || (trees[i].of == (int)volume &&
				    trees[i].name[0] != '\0'))
			trees[i].there = !hide;
}

static unsigned in_trash(void)
{
	unsigned n = 0;

	for (struct volume *v = vols_trash_next(V, NULL); v != NULL;
	     v = vols_trash_next(V, v))
		n++;
	assert_int_equal(n, V->catalog.ntrashed);
	return n;
}

static void reopen(bool commit, uint64_t now_s)
{
	do_reopen(commit);
	vols_trash_start(V, KEEP_S, now_s);
}

static void pass_s(uint64_t s)
{
	P->io.now_ns += s * NS_PER_S;
	for (unsigned i = 0; i < 20; i++)
		fake_turn(P);
	fake_settle(P);
}

static void begin(uint64_t seed)
{
	prng_init(&rng, seed);
	vols_trash_start(V, KEEP_S, START_S);
	make_one();
}

static void all_is_gone(void)
{
	kit_check_counts(P, V);
	kit_check_counts(P, V);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, 0);
	assert_int_equal(V->ids.used, 0);
}

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

/* With force, who uses the volume or a snapshot of it is told to go, and gets no
 * further meanwhile; what was done before is there when it comes back. */
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

/* --- time ---------------------------------------------------------------- */

static void test_time(void **state)
{
	(void)state;
	begin(6);
	assert_int_equal(kit_create(P, V, "w", MIB), 0);
	assert_int_equal(trash("v0"), 0);
	pass_s(KEEP_S / 2);
	assert_int_equal(trash("w"), 0);
	assert_string_equal(vols_trash_next(V, NULL)->name, "v0");
	assert_int_equal(in_trash(), 2);
	pass_s(KEEP_S / 2 - 10);
	assert_int_equal(in_trash(), 2);
	pass_s(20);
	assert_int_equal(in_trash(), 1);
	assert_string_equal(vols_trash_next(V, NULL)->name, "w");
	pass_s(KEEP_S / 2);
	assert_int_equal(in_trash(), 0);
	all_is_gone();
}

/* The server was down; its clock was set. */
static void test_clock(void **state)
{
	(void)state;
	begin(7);
	assert_int_equal(trash("v0"), 0); /* at START_S */
	/* The clock went backwards: it begins anew. */
	reopen(false, START_S - 4000);
	assert_int_equal(vol_trash_left_s(vols_trash_next(V, NULL)), KEEP_S);
	pass_s(KEEP_S - 10);
	assert_int_equal(in_trash(), 1);
	reopen(true, START_S + 400);
	pass_s(1);
	assert_int_equal(in_trash(), 1);
	assert_in_range(vol_trash_left_s(vols_trash_next(V, NULL)), 590, 600);
	pass_s(550);
	assert_int_equal(in_trash(), 1);
	/* Its time has passed meanwhile. */
	reopen(true, START_S + KEEP_S);
	pass_s(1);
	assert_int_equal(in_trash(), 0);
	all_is_gone();
}

/* --- space --------------------------------------------------------------- */

static void fill(const char *name)
{
	struct volume *v = vols_find(V, name);
	uint8_t *buf = aligned_alloc(TARN_BLOCK, MIB);
	int r = 0;

	memset(buf, 7, MIB);
	for (uint64_t off = 0; r == 0 && off < 8 * MIB; off += MIB)
		r = kit_req(P, v, VOL_WRITE, off, MIB, buf, 0);
	free(buf);
	assert_int_equal(r, 0);
}

static void test_space(void **state)
{
	uint8_t *buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	struct volume *v;
	uint64_t usable = P->usable;

	(void)state;
	begin(8);
	assert_int_equal(kit_create(P, V, "a", 64 * MIB), 0);
	assert_int_equal(kit_create(P, V, "b", 64 * MIB), 0);
	fill("a");
	fill("b");
	memset(buf, 9, TARN_BLOCK);
	assert_int_equal(trash("b"), 0);
	pass_s(5);
	assert_int_equal(trash("a"), 0);
	/* Full: the oldest one goes, and is enough. */
	P->usable = P->live_total + 1;
	v = tree_of(&trees[0]);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 600 * MIB, TARN_BLOCK, buf,
				 0), 0);
	fake_settle(P);
	assert_int_equal(in_trash(), 1);
	assert_string_equal(vols_trash_next(V, NULL)->name, "a");
	/* Some of the next one goes as well. */
	P->usable = P->live_total + 1;
	assert_int_equal(kit_req(P, v, VOL_ZERO, 601 * MIB, TARN_BLOCK, NULL,
				 0), 0);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 602 * MIB, TARN_BLOCK, buf,
				 0), 0);
	fake_settle(P);
	assert_int_equal(in_trash(), 0);
	/* And then nothing helps. */
	P->usable = P->live_total;
	assert_int_equal(kit_req(P, v, VOL_WRITE, 603 * MIB, TARN_BLOCK, buf,
				 0), -ENOSPC);
	P->usable = usable;
	free(buf);
	models_hide(0, true);
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	all_is_gone();
}

#define MANY 700u

static unsigned many_done, many_failed;

static void one_done(struct vol_req *req)
{
	many_done++;
	many_failed += req->res != 0;
}

/* More than there are parts for; reads go on meanwhile. */
static void test_space_many(void **state)
{
	struct vol_req *reqs = calloc(MANY, sizeof(reqs[0]));
	uint8_t *buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	struct volume *v;
	uint64_t usable = P->usable, begin_ns;

	(void)state;
	begin(10);
	assert_int_equal(kit_create(P, V, "a", 64 * MIB), 0);
	fill("a");
	assert_int_equal(trash("a"), 0);
	P->usable = P->live_total;
	v = tree_of(&trees[0]);
	memset(buf, 5, TARN_BLOCK);
	many_done = many_failed = 0;
	begin_ns = P->io.now_ns;
	for (unsigned i = 0; i < MANY; i++) {
		reqs[i] = (struct vol_req){ .vol = v, .op = VOL_WRITE,
					    .off_bytes = 602 * MIB +
							 i * TARN_BLOCK,
					    .len_bytes = TARN_BLOCK,
					    .buf = buf, .done = one_done };
		vol_submit(&reqs[i]);
	}
	verify(&trees[1]);
	for (unsigned i = 0; i < 100000 && many_done < MANY; i++)
		fake_turn(P);
	assert_int_equal(many_done, MANY);
	assert_int_equal(many_failed, 0);
	assert_int_equal(in_trash(), 0);
	assert_in_range(P->io.now_ns - begin_ns, 0, 10 * NS_PER_S);
	P->usable = usable;
	free(buf);
	free(reqs);
	models_hide(0, true);
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	all_is_gone();
}

/* A control operation waits, too; and gives up in time. */
static void test_space_control(void **state)
{
	uint64_t begin_ns;

	(void)state;
	begin(9);
	assert_int_equal(trash("v0"), 0);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	begin_ns = P->io.now_ns;
	assert_int_equal(kit_create(P, V, "w", MIB), -ENOSPC);
	assert_in_range(P->io.now_ns - begin_ns, 0, 11 * NS_PER_S);
	assert_int_equal(in_trash(), 0);
	P->append_error = 0;
	fake_settle(P);
	all_is_gone();
}

/* Taking something out of the trash does not wait for what is in it to go: that
 * could be what is wanted. */
static void test_space_undelete(void **state)
{
	(void)state;
	begin(12);
	assert_int_equal(trash("v0"), 0);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	assert_int_equal(undelete("v0", NULL), 0);
	P->append_error = 0;
	assert_int_equal(in_trash(), 0);
	verify_all();
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	all_is_gone();
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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_and_out),
		TEST(test_names),
		TEST(test_refusals),
		TEST(test_users),
		TEST(test_overtaken),
		TEST(test_clones),
		TEST(test_at_once),
		TEST(test_time),
		TEST(test_clock),
		TEST(test_space),
		TEST(test_space_many),
		TEST(test_space_control),
		TEST(test_space_undelete),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
