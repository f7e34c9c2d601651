/* Volumes as exports, over a pool in memory: listing, opening, requests, and
 * exports that go away under their user. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "server/export_volume.h"
#include "tests/lib/fake/vol_kit.c"

#define MIB (1ull << 20)

static struct pool          *P;
static struct volumes       *V;
static struct export_source *S;
static unsigned              gone;

static int setup(void **state)
{
	(void)state;
	P = fake_pool_new(21);
	V = fake_format(P, NULL);
	assert_int_equal(export_volumes_open(V, &S), 0);
	gone = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	export_volumes_close(S);
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

static void export_gone(struct export *x, void *arg)
{
	assert_ptr_equal(arg, &gone);
	assert_non_null(x);
	gone++;
}

static struct export *open_export(const char *name)
{
	struct export *x;

	assert_int_equal(S->ops->open(S, name, &x), 0);
	x->gone = export_gone;
	x->gone_arg = &gone;
	return x;
}

static void test_find(void **state)
{
	struct export_info info;
	struct export *x;
	uint64_t cursor = 0;

	(void)state;
	assert_false(S->ops->next(S, &cursor, &info));
	assert_int_equal(S->ops->info(S, "", &info), -ENOENT);
	kit_create(P, V, "b", 3 * MIB + 512);
	/* The only one is the default. */
	assert_int_equal(S->ops->info(S, "", &info), 0);
	assert_string_equal(info.name, "b");
	assert_int_equal(info.size_bytes, 3 * MIB + 512);
	assert_int_equal(info.block_min, 1);
	assert_int_equal(info.block_preferred, 4096);
	assert_true(info.multi_conn && info.can_flush && info.can_fua);
	kit_create(P, V, "a", MIB);
	assert_int_equal(S->ops->info(S, "", &info), -ENOENT);
	assert_int_equal(S->ops->open(S, "", &x), -ENOENT);
	assert_int_equal(S->ops->open(S, "c", &x), -ENOENT);
	assert_true(S->ops->next(S, &cursor, &info));
	assert_string_equal(info.name, "a");
	assert_true(S->ops->next(S, &cursor, &info));
	assert_string_equal(info.name, "b");
	assert_false(S->ops->next(S, &cursor, &info));
}

static int snapshot(const char *name)
{
	static const struct uuid uuid = { .b = { 7 } };
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->names = &name;
	ctl->uuids = &uuid;
	ctl->nnames = 1;
	kit_ctl_run(P, V, ctl, vol_snapshot);
	r = ctl->res;
	free(ctl);
	return r;
}

static void next_is(uint64_t *cursor, const char *name)
{
	struct export_info info;

	if (name == NULL) {
		assert_false(S->ops->next(S, cursor, &info));
		return;
	}
	assert_true(S->ops->next(S, cursor, &info));
	assert_string_equal(info.name, name);
}

static void test_snapshots(void **state)
{
	struct export_info info;
	uint64_t cursor = 0;

	(void)state;
	kit_create(P, V, "b", MIB);
	assert_int_equal(snapshot("b@z"), 0);
	/* The volume stays the default, though it is not alone. */
	assert_int_equal(S->ops->info(S, "", &info), 0);
	assert_string_equal(info.name, "b");
	assert_false(info.read_only);
	assert_int_equal(S->ops->info(S, "b@z", &info), 0);
	assert_true(info.read_only && info.multi_conn);
	assert_false(info.can_trim || info.can_zero || info.can_fast_zero);
	assert_non_null(strstr(info.description, "read-only snapshot"));
	assert_int_equal(S->ops->info(S, "b@", &info), -ENOENT);
	assert_int_equal(S->ops->info(S, "@z", &info), -ENOENT);
	assert_int_equal(S->ops->info(S, "b@z@z", &info), -ENOENT);
	kit_create(P, V, "a", MIB);
	assert_int_equal(snapshot("b@a"), 0);
	assert_int_equal(snapshot("b@m"), 0);
	kit_create(P, V, "c", MIB);
	assert_int_equal(snapshot("c@a"), 0);
	next_is(&cursor, "a");
	next_is(&cursor, "b");
	next_is(&cursor, "b@z");
	/* What was listed last goes away while the list is sent. */
	assert_int_equal(kit_delete(P, V, "b@z", false), 0);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	next_is(&cursor, "b@a");
	assert_int_equal(kit_delete(P, V, "b@m", false), 0);
	next_is(&cursor, "c");
	next_is(&cursor, "c@a");
	next_is(&cursor, NULL);
	next_is(&cursor, NULL);
}

static void test_checkpoints(void **state)
{
	struct export_info info;
	struct export *x;
	uint64_t cursor = 0;

	(void)state;
	kit_create(P, V, "b", MIB);
	assert_int_equal(snapshot("b#a"), 0);
	assert_int_equal(snapshot("b@a"), 0);
	assert_non_null(vols_find(V, "b#a"));
	assert_int_equal(S->ops->info(S, "b#a", &info), -ENOENT);
	assert_int_equal(S->ops->open(S, "b#a", &x), -ENOENT);
	assert_int_equal(S->ops->info(S, "b#b", &info), -ENOENT);
	assert_int_equal(S->ops->info(S, "b@a#a", &info), -ENOENT);
	next_is(&cursor, "b");
	next_is(&cursor, "b@a");
	next_is(&cursor, NULL);
}

static bool req_ended;

static void req_done(struct export_req *req)
{
	(void)req;
	req_ended = true;
}

static int run(struct export_req *req)
{
	req_ended = false;
	req->done = req_done;
	req->exp->ops->submit(req);
	assert_false(req_ended);
	while (!req_ended)
		fake_turn(P);
	return req->res;
}

static void test_requests(void **state)
{
	struct vol_extent ext[4];
	uint64_t holes[1];
	uint8_t *buf = aligned_alloc(4096, 8192);
	struct export_info info;
	struct export_req req;
	struct export *x;

	(void)state;
	kit_create(P, V, "v", MIB);
	x = open_export("v");
	x->ops->info(x, &info);
	assert_int_equal(info.size_bytes, MIB);
	memset(buf, 7, 8192);
	req = (struct export_req){ .exp = x, .op = VOL_WRITE,
				   .flags = VOL_FUA, .off_bytes = 100,
				   .len_bytes = 50, .buf = buf };
	assert_int_equal(run(&req), 0);
	req = (struct export_req){ .exp = x, .op = VOL_READ,
				   .off_bytes = 90, .len_bytes = 5000,
				   .buf = buf, .holes = holes };
	assert_int_equal(run(&req), 0);
	assert_int_equal(buf[99], 0);
	assert_int_equal(buf[100], 7);
	assert_int_equal(buf[149], 7);
	assert_int_equal(buf[150], 0);
	assert_int_equal(holes[0], 2);
	req = (struct export_req){ .exp = x, .op = VOL_STATUS,
				   .len_bytes = MIB, .extents = ext,
				   .extents_max = 4 };
	assert_int_equal(run(&req), 0);
	assert_int_equal(req.nextents, 2);
	assert_int_equal(ext[0].len_bytes, 4096);
	assert_false(ext[0].hole);
	req = (struct export_req){ .exp = x, .op = VOL_FLUSH };
	assert_int_equal(run(&req), 0);
	req = (struct export_req){ .exp = x, .op = VOL_READ,
				   .off_bytes = MIB, .len_bytes = 1,
				   .buf = buf };
	assert_int_equal(run(&req), -EINVAL);
	x->ops->put(x);
	free(buf);
}

static void test_gone(void **state)
{
	struct export *x, *y;
	struct export_req req;

	(void)state;
	kit_create(P, V, "v", 4 * MIB);
	x = open_export("v");
	assert_int_equal(vols_find(V, "v")->nusers, 1);
	assert_int_equal(kit_delete(P, V, "v", false), -EBUSY);
	/* Growing disturbs nobody, shrinking by force ends the connection. */
	assert_int_equal(kit_resize(P, V, "v", 8 * MIB, false), 0);
	assert_int_equal(gone, 0);
	y = open_export("v");
	assert_int_equal(kit_resize(P, V, "v", 5 * MIB, true), 0);
	assert_int_equal(gone, 1); /* y knew of 8 MiB, x of 4 */
	y->ops->put(y);
	assert_int_equal(kit_delete(P, V, "v", true), 0);
	assert_int_equal(gone, 2);
	req = (struct export_req){ .exp = x, .op = VOL_FLUSH };
	assert_int_equal(run(&req), -ESHUTDOWN);
	x->ops->put(x);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
}

static bool rolled_back;

static void rollback_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	rolled_back = true;
}

/* While its users are asked to go, there are no new ones. */
static void test_detaching(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	struct export *x, *y, *z;
	struct export_info info;

	(void)state;
	kit_create(P, V, "v", MIB);
	assert_int_equal(snapshot("v@a"), 0);
	assert_int_equal(kit_resize(P, V, "v", 2 * MIB, false), 0);
	x = open_export("v");
	y = open_export("v@a");
	ctl->name = "v@a";
	ctl->force = true;
	ctl->done = rollback_done;
	rolled_back = false;
	vol_rollback(V, ctl);
	while (gone == 0)
		fake_turn(P);
	fake_settle(P);
	assert_false(rolled_back);
	assert_int_equal(S->ops->open(S, "v", &z), -EBUSY);
	/* That is only what it was. */
	assert_int_equal(S->ops->info(S, "v", &info), 0);
	assert_int_equal(info.size_bytes, 2 * MIB);
	z = open_export("v@a");
	x->ops->put(x);
	while (!rolled_back)
		fake_turn(P);
	assert_int_equal(gone, 1);
	x = open_export("v");
	x->ops->info(x, &info);
	assert_int_equal(info.size_bytes, MIB);
	x->ops->put(x);
	y->ops->put(y);
	z->ops->put(z);
	free(ctl);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find), TEST(test_snapshots), TEST(test_requests),
		TEST(test_gone), TEST(test_checkpoints), TEST(test_detaching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
