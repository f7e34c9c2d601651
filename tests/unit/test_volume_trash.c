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
static uint64_t wall_s = START_S;

static unsigned gone_time, gone_space;
static char gone_name[VOLUME_NAME_MAX + 1];

static void went(void *arg, const char *name, const struct uuid *uuid,
		 bool for_space)
{
	(void)arg;
	(void)uuid;
	gone_time += !for_space;
	gone_space += for_space;
	snprintf(gone_name, sizeof(gone_name), "%s", name);
}

static void watch(void)
{
	gone_time = gone_space = 0;
	gone_name[0] = '\0';
	vols_trash_watch(V, went, NULL);
}

static int run(const char *name, const char *new_name, bool with_snapshots,
	       bool at_once, void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->with_snapshots = with_snapshots;
	ctl->at_once = at_once;
	ctl->now_s = wall_s;
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

/* --- time ---------------------------------------------------------------- */

static void test_time(void **state)
{
	(void)state;
	begin(6);
	watch();
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
	assert_string_equal(gone_name, "v0");
	pass_s(KEEP_S / 2);
	assert_int_equal(in_trash(), 0);
	assert_string_equal(gone_name, "w");
	assert_int_equal(gone_time, 2);
	assert_int_equal(gone_space, 0);
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

/* It was to go, but came out and went in anew before that. */
static void test_overtaken_purge(void **state)
{
	struct vol_ctl *out = calloc(1, sizeof(*out));
	struct vol_ctl *in = calloc(1, sizeof(*in));

	(void)state;
	begin(14);
	assert_int_equal(trash("v0"), 0);
	P->io.now_ns += KEEP_S * NS_PER_S;
	out->name = in->name = "v0";
	out->done = in->done = kit_ctl_done;
	in->with_snapshots = true;
	vol_undelete(V, out);
	vol_delete(V, in);
	vol_trash_kick(V);
	fake_settle(P);
	assert_int_equal(out->res, 0);
	assert_int_equal(in->res, 0);
	assert_int_equal(in_trash(), 1);
	assert_in_range(vol_trash_left_s(vols_trash_next(V, NULL)), KEEP_S - 10,
			KEEP_S);
	assert_int_equal(undelete("v0", NULL), 0);
	verify_all();
	assert_int_equal(trash("v0"), 0);
	pass_s(KEEP_S);
	assert_int_equal(in_trash(), 0);
	free(out);
	free(in);
	all_is_gone();
}

#define SOME 60u

/* Whatever went in and came out, and when: they are found in the order in which
 * they go, and the walk goes on behind one that has gone. */
static void test_order(void **state)
{
	char name[16], uuid[UUID_TEXT_BYTES];
	struct volume_info info;
	unsigned n = 0;

	(void)state;
	begin(16);
	for (unsigned i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		assert_int_equal(kit_create(P, V, name, MIB), 0);
	}
	for (unsigned i = 0; i < 4 * SOME; i++) {
		struct volume *v, *next, *prev = NULL;

		snprintf(name, sizeof(name), "w%u",
			 (unsigned)prng_below(&rng, SOME));
		wall_s = START_S + prng_below(&rng, KEEP_S / 4);
		P->io.now_ns += prng_below(&rng, 3) * NS_PER_S / 4;
		if (vols_find(V, name) != NULL) {
			assert_int_equal(trash(name), 0);
			n++;
		} else {
			v = vols_trash_find(V, name, NULL);
			vol_info(v, &info);
			uuid_text(&info.uuid, uuid);
			next = vols_trash_next(V, v);
			assert_int_equal(undelete(uuid, NULL), 0);
			assert_ptr_equal(vols_trash_next(V, v), next);
			n--;
		}
		if (i % 40 == 39)
			reopen(i % 80 == 79, START_S + KEEP_S / 4);
		assert_int_equal(in_trash(), n);
		for (v = vols_trash_next(V, NULL); v != NULL;
		     prev = v, v = vols_trash_next(V, v))
			assert_true(prev == NULL ||
				    prev->trash_until_ns <= v->trash_until_ns);
	}
	assert_true(n > 10);
	wall_s = START_S;
	vols_trash_start(V, 0, START_S);
	pass_s(100);
	assert_int_equal(in_trash(), 0);
	verify_all();
	vols_trash_stop(V);
	for (unsigned i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		if (vols_find(V, name) != NULL)
			assert_int_equal(kit_delete(P, V, name, false), 0);
	}
	delete_all();
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

	uint64_t last_ns;

	(void)state;
	begin(8);
	watch();
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
	assert_string_equal(gone_name, "b");
	/* Some of the next one goes as well. */
	P->usable = P->live_total + 1;
	assert_int_equal(kit_req(P, v, VOL_ZERO, 601 * MIB, TARN_BLOCK, NULL,
				 0), 0);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 602 * MIB, TARN_BLOCK, buf,
				 0), 0);
	fake_settle(P);
	assert_int_equal(in_trash(), 0);
	assert_int_equal(gone_space, 2);
	assert_int_equal(gone_time, 0);
	assert_int_equal(vols_refused(V, &last_ns), 0);
	/* And then nothing helps. */
	P->usable = P->live_total;
	assert_int_equal(kit_req(P, v, VOL_WRITE, 603 * MIB, TARN_BLOCK, buf,
				 0), -ENOSPC);
	assert_int_equal(vols_refused(V, &last_ns), 1);
	assert_int_equal(last_ns, io_now_ns(&P->io));
	P->usable = usable;
	free(buf);
	models_hide(0, true);
	assert_int_equal(run("v0", NULL, true, true, vol_delete), 0);
	all_is_gone();
}

/* Waiting was in vain while nothing could be purged; it no longer is. */
static void test_space_hopeless(void **state)
{
	uint8_t *buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	uint64_t usable = P->usable, begin_ns;
	struct volume *v;

	(void)state;
	begin(15);
	memset(buf, 9, TARN_BLOCK);
	assert_int_equal(kit_create(P, V, "a", 64 * MIB), 0);
	fill("a");
	assert_int_equal(trash("a"), 0);
	P->usable = P->live_total;
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLEANER;
	v = tree_of(&trees[0]);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 600 * MIB, TARN_BLOCK, buf,
				 0), -ENOSPC);
	/* Others do not wait as long. */
	begin_ns = P->io.now_ns;
	assert_int_equal(kit_req(P, v, VOL_WRITE, 601 * MIB, TARN_BLOCK, buf,
				 0), -ENOSPC);
	assert_in_range(P->io.now_ns - begin_ns, 0, NS_PER_S);
	pass_s(9);
	P->append_error = 0;
	assert_int_equal(in_trash(), 1);
	pass_s(11);
	assert_int_equal(in_trash(), 1);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 602 * MIB, TARN_BLOCK, buf,
				 0), 0);
	assert_int_equal(in_trash(), 0);
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

static void many_submit(struct vol_req *reqs, struct volume *v, uint8_t op,
			const void *buf)
{
	many_done = many_failed = 0;
	for (unsigned i = 0; i < MANY; i++) {
		reqs[i] = (struct vol_req){ .vol = v, .op = op,
					    .off_bytes = 300 * MIB +
							 i * (MIB / 4),
					    .len_bytes = TARN_BLOCK,
					    .buf = (void *)(uintptr_t)buf,
					    .done = one_done };
		vol_submit(&reqs[i]);
	}
}

/* None finds space, and all wait: with a cold map, too, they leave reads and
 * questions what those need, and end in time. */
static void test_space_reads(void **state)
{
	static const uint8_t ops[] = { VOL_WRITE, VOL_ZERO };
	struct vol_req *reqs = calloc(MANY, sizeof(reqs[0]));
	uint8_t *buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	struct vol_extent extents[4];
	struct vol_req status;
	uint64_t usable, begin_ns;
	struct volume *v;

	(void)state;
	memset(buf, 5, TARN_BLOCK);
	for (unsigned k = 0; k < ARRAY_LEN(ops); k++) {
		begin(20 + k);
		v = tree_of(&trees[0]);
		many_submit(reqs, v, VOL_WRITE, buf);
		fake_settle(P);
		assert_int_equal(many_failed, 0);
		do_snapshot(&trees[0]);
		assert_int_equal(kit_create(P, V, "a", 64 * MIB), 0);
		fill("a");
		assert_int_equal(trash("a"), 0);
		reopen(true, START_S);
		v = tree_of(&trees[0]);
		usable = P->usable;
		P->usable = P->live_total;
		P->append_error = -ENOSPC; /* purging too */
		P->append_error_class = LOG_CLEANER;
		begin_ns = P->io.now_ns;
		many_submit(reqs, v, ops[k], buf);
		verify_all();
		status = (struct vol_req){ .vol = v, .op = VOL_STATUS,
					   .len_bytes = SIZE,
					   .extents = extents,
					   .extents_max = 4 };
		assert_int_equal(kit_submit(P, &status), 0);
		/* Both while all of them wait. */
		assert_int_equal(many_done, 0);
		assert_in_range(P->io.now_ns - begin_ns, 0, NS_PER_S);
		for (unsigned i = 0; i < 100000 && many_done < MANY; i++)
			fake_turn(P);
		assert_int_equal(many_failed, MANY);
		assert_in_range(P->io.now_ns - begin_ns, 4 * NS_PER_S,
				6 * NS_PER_S);
		P->append_error = 0;
		P->usable = usable;
		pass_s(20);
		vols_trash_stop(V);
		delete_all();
		teardown(state);
		setup(state);
	}
	free(buf);
	free(reqs);
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
		TEST(test_again),
		TEST(test_refusals),
		TEST(test_users),
		TEST(test_overtaken),
		TEST(test_overtaken_purge),
		TEST(test_clones),
		TEST(test_at_once),
		TEST(test_mark),
		TEST(test_time),
		TEST(test_clock),
		TEST(test_order),
		TEST(test_space),
		TEST(test_space_hopeless),
		TEST(test_space_many),
		TEST(test_space_reads),
		TEST(test_space_control),
		TEST(test_space_undelete),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
