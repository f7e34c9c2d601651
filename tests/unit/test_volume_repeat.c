/* Asking again: what was done is said to be so already, also after a crash; and
 * what starts from a snapshot that was taken while its volume was being made
 * smaller. */
#include <errno.h>
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

#define U1  "receive/01000000-0000-0000-0000-000000000000"
#define U2  "receive/02000000-0000-0000-0000-000000000000"

static bool already;

static int run(const char *name, const char *new_name, uint64_t size,
	       uint8_t uuid, void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl c = one_run(op, (struct vol_ctl){
		.name = name, .new_name = new_name, .size_bytes = size,
		.uuid.b[0] = uuid });

	already = c.already;
	return c.res;
}

/* Of what was meant for `volume`. */
static int publish(const char *name, const char *new_name, uint8_t uuid,
		   const char *volume)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->uuid.b[0] = uuid;
	ctl->names = &volume;
	ctl->nnames = 1;
	kit_ctl_run(P, V, ctl, vol_publish);
	r = ctl->res;
	already = ctl->already;
	free(ctl);
	return r;
}

static void once(int r)
{
	assert_int_equal(r, 0);
	assert_false(already);
}

static void again(int r)
{
	assert_int_equal(r, 0);
	assert_true(already);
}

/* v is made smaller, and v@s is taken before its end has gone. */
static void make_shrunk(uint64_t size)
{
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put_block("v", 0, 11);
	put_block("v", 100 * MIB, 12);
	put_block("v", 300 * MIB, 13);
	put_block("v", 300 * MIB + TARN_BLOCK, 14);
	put_block("v", 600 * MIB, 15);
	fake_commit(P);
	V->committed = false; /* or the reaper would come first */
	assert_int_equal(kit_resize(P, V, "v", size, true), 0);
	snap("v@s");
	V->committed = true;
	vol_reaper_kick(V);
	fake_settle(P);
	assert_true(vols_find(V, "v@s")->flags & CATALOG_SHRUNK);
	assert_false(vols_find(V, "v")->flags & CATALOG_SHRUNK);
	assert_true(vols_find(V, "v")->root_id !=
		    vols_find(V, "v@s")->root_id);
}

static const uint64_t ends[] = {
	300 * MIB, 300 * MIB + TARN_BLOCK, 300 * MIB + 512,
	300 * MIB + TARN_BLOCK + 512, 512 * MIB, 300 * MIB - TARN_BLOCK,
};

static void test_shrunk_clone(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		make_shrunk(ends[i]);
		once(run("v@s", "c", 0, 1, vol_clone));
		fake_settle(P);
		again(run("v@s", "c", 0, 1, vol_clone));
		one_reopen(false);
		again(run("v@s", "c", 0, 1, vol_clone));
		put_block("c", 0, 21);
		assert_int_equal(run("v@s", "c", 0, 1, vol_clone), -EEXIST);
		one_teardown_checked(state);
		one_setup(state);
	}
}

/* The last bytes, which a block has that the end cuts. */
static void test_shrunk_last_bytes(void **state)
{
	uint32_t x = 77;

	(void)state;
	make_shrunk(300 * MIB + 512);
	once(run("v@s", "c", 0, 1, vol_clone));
	fake_settle(P);
	again(run("v@s", "c", 0, 1, vol_clone));
	assert_int_equal(kit_req(P, vols_find(V, "c"), VOL_WRITE,
				 300 * MIB + 508, 4, &x, 0), 0);
	assert_int_equal(run("v@s", "c", 0, 1, vol_clone), -EEXIST);
	assert_int_equal(get_byte("v", 300 * MIB), 13);
}

static void test_shrunk_rollback(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		make_shrunk(ends[i]);
		again(run("v@s", NULL, 0, 2, vol_rollback));
		put_block("v", 100 * MIB, 22);
		once(run("v@s", "kept", 0, 2, vol_rollback));
		fake_settle(P);
		again(run("v@s", "kept", 0, 2, vol_rollback));
		assert_int_equal(get_byte("v", 100 * MIB), 12);
		assert_int_equal(get_byte("v@kept", 100 * MIB), 22);
		one_teardown_checked(state);
		one_setup(state);
	}
}

static void test_shrunk_receive(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		uint64_t size = bytes_to_blocks_up(ends[i]) * TARN_BLOCK;

		make_shrunk(ends[i]);
		once(run("v@s", NULL, size + TARN_BLOCK, 1, vol_receive));
		assert_int_equal(vol_size_bytes(vols_find(V, U1)),
				 size + TARN_BLOCK);
		again(run("v@s", NULL, size + TARN_BLOCK, 1, vol_receive));
		/* What was behind the end does not come back. */
		assert_int_equal(get_byte(U1, size), 0);
		put_block(U1, 100 * MIB, 32);
		assert_int_equal(kit_resize(P, V, U1, ends[i], true), 0);
		once(publish(U1, "t", 9, "v"));
		one_reopen(false);
		again(publish(U1, "t", 9, "v"));
		assert_int_equal(get_byte("v@t", 100 * MIB), 32);
		assert_int_equal(get_byte("v", 100 * MIB), 32);
		assert_int_equal(vol_size_bytes(vols_find(V, "v")), ends[i]);
		/* Not after something else was written. */
		assert_int_equal(run("v@s", NULL, size, 2, vol_receive),
				 -ESTALE);
		one_teardown_checked(state);
		one_setup(state);
	}
}

/* Written to while it was received; and before. */
static void test_shrunk_stale(void **state)
{
	(void)state;
	make_shrunk(300 * MIB);
	once(run("v@s", NULL, 300 * MIB, 1, vol_receive));
	put_block("v", 299 * MIB, 5);
	assert_int_equal(publish(U1, "t", 9, "v"), -ESTALE);
	assert_int_equal(run("v@s", NULL, 300 * MIB, 2, vol_receive),
			 -ESTALE);
	assert_int_equal(kit_delete(P, V, U1, true), 0);
}

static bool published;

static void publish_done(struct vol_ctl *ctl)
{
	(void)ctl;
	published = true;
}

/* A client comes, if it may, writes and goes, `turns` after somebody asked to
 * publish.  Returns what became of that; *ret_wrote: the client was there. */
static int publish_beside(unsigned turns, uint64_t off, bool *ret_wrote)
{
	static const char *const volume = "v";
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	struct vol_user u = { .gone = NULL };
	struct volume  *v = vols_find(V, "v");
	uint8_t fives[512];
	int r;

	memset(fives, 5, sizeof(fives));
	ctl->name = U1;
	ctl->new_name = "t";
	ctl->uuid.b[0] = 9;
	ctl->names = &volume;
	ctl->nnames = 1;
	ctl->done = publish_done;
	published = false;
	vol_publish(V, ctl);
	for (unsigned i = 0; i < turns && !published; i++)
		fake_turn(P);
	*ret_wrote = !published && !vol_is_detaching(v);
	if (*ret_wrote) {
		vol_get(v, &u);
		assert_int_equal(kit_req(P, v, VOL_WRITE, off, sizeof(fives),
					 fives, 0), 0);
		vol_put(v, &u);
	}
	for (unsigned i = 0; i < 100000 && !published; i++)
		fake_turn(P);
	assert_true(published);
	r = ctl->res;
	free(ctl);
	return r;
}

/* What was written and acknowledged is not lost. */
static void test_shrunk_beside(void **state)
{
	static const uint64_t offs[] = { 299 * MIB, 300 * MIB };
	unsigned nwrote = 0, nkept_out = 0;

	for (unsigned i = 0; i < 2 * 40; i++) {
		bool wrote;
		int r;

		make_shrunk(300 * MIB + 512);
		once(run("v@s", NULL, 301 * MIB, 1, vol_receive));
		assert_int_equal(kit_resize(P, V, U1, 300 * MIB + 512, true),
				 0);
		fake_settle(P);
		fake_commit(P);
		one_reopen(false); /* all has to be read */
		r = publish_beside(i / 2, offs[i % 2], &wrote);
		if (wrote) {
			assert_true(r == -EBUSY || r == -ESTALE);
			assert_int_equal(get_byte("v", offs[i % 2]), 5);
		} else {
			assert_int_equal(r, 0);
		}
		nwrote += wrote;
		nkept_out += !wrote;
		one_teardown_checked(state);
		one_setup(state);
	}
	assert_true(nwrote > 0 && nkept_out > 2);
}

/* Killed between the record that makes it and the one that makes it larger. */
static void test_shrunk_receive_crash(void **state)
{
	bool seen = false;

	for (unsigned turns = 0; turns < 60; turns++) {
		struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

		make_shrunk(300 * MIB);
		ctl->name = "v@s";
		ctl->size_bytes = 300 * MIB + TARN_BLOCK;
		ctl->uuid.b[0] = 1;
		ctl->done = kit_ctl_done;
		kit_done = false;
		vol_receive(V, ctl);
		for (unsigned i = 0; i < turns && !kit_done; i++)
			fake_turn(P);
		seen |= !kit_done && vols_find(V, U1) != NULL &&
			vol_size_bytes(vols_find(V, U1)) == 300 * MIB;
		one_reopen(false);
		free(ctl);
		assert_int_equal(run("v@s", NULL, 300 * MIB + TARN_BLOCK, 1,
				     vol_receive), 0);
		assert_int_equal(get_byte(U1, 300 * MIB), 0);
		assert_int_equal(vol_size_bytes(vols_find(V, U1)),
				 300 * MIB + TARN_BLOCK);
		assert_null(vols_hidden_next(V, vols_find(V, U1)));
		one_teardown_checked(state);
		one_setup(state);
	}
	assert_true(seen);
}

static void test_begin(void **state)
{
	(void)state;
	once(run("n", NULL, 8 * MIB, 1, vol_receive));
	again(run("n", NULL, 8 * MIB, 1, vol_receive));
	one_reopen(false);
	again(run("n", NULL, 8 * MIB, 1, vol_receive));
	assert_null(vols_hidden_next(V, vols_find(V, U1)));
	/* The same identity for something else. */
	assert_int_equal(run("n", NULL, 4 * MIB, 1, vol_receive), -EEXIST);
	assert_int_equal(run("m", NULL, 8 * MIB, 1, vol_receive), -EEXIST);
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	snap("v@s");
	assert_int_equal(run("v@s", NULL, 8 * MIB, 1, vol_receive), -EEXIST);
	assert_int_equal(kit_delete(P, V, U1, false), 0);
}

static void test_publish(void **state)
{
	(void)state;
	once(run("n", NULL, MIB, 1, vol_receive));
	put_block(U1, 0, 5);
	once(publish(U1, "s", 9, "n"));
	again(publish(U1, "s", 9, "n"));
	one_reopen(false);
	again(publish(U1, "s", 9, ""));
	put_block("n", 0, 6);
	again(publish(U1, "s", 9, "n"));
	/* One that never was, though its snapshot would be there. */
	assert_int_equal(publish(U2, "s", 9, "m"), -ENOENT);
	assert_int_equal(publish(U2, "s", 9, ""), -ENOENT);
	assert_int_equal(publish(U2, "s", 8, "n"), -ENOENT);
	assert_int_equal(publish(U2, "t", 9, "n"), -ENOENT);
	assert_int_equal(publish(U2, NULL, 9, "n"), -ENOENT);
	assert_int_equal(get_byte("n@s", 0), 5);
	assert_int_equal(get_byte("n", 0), 6);
}

/* A commit has the hidden volume already, and nothing else changes before the
 * next one: that has what it has become. */
static void test_publish_after_commit(void **state)
{
	(void)state;
	once(run("n", NULL, MIB, 1, vol_receive));
	put_block(U1, 0, 5);
	fake_commit(P);
	once(publish(U1, NULL, 0, "n"));
	fake_commit(P);
	one_reopen(false);
	assert_null(vols_find(V, U1));
	assert_non_null(vols_find(V, "n"));
	again(publish(U1, NULL, 0, "n"));
	assert_int_equal(get_byte("n", 0), 5);
}

/* A copy of what has no snapshot here. */
static void test_publish_plain(void **state)
{
	(void)state;
	once(run("n", NULL, MIB, 1, vol_receive));
	put_block(U1, 0, 5);
	once(publish(U1, NULL, 0, "n"));
	again(publish(U1, NULL, 0, "n"));
	one_reopen(false);
	again(publish(U1, NULL, 0, ""));
	assert_null(vol_snap_next(vols_find(V, "n"), NULL));
	assert_int_equal(get_byte("n", 0), 5);
	assert_int_equal(vols_find(V, "n")->birth, 1);
	/* What a volume goes on with must have one. */
	snap("n@s");
	once(run("n@s", NULL, MIB, 2, vol_receive));
	assert_int_equal(publish(U2, NULL, 0, "n"), -EINVAL);
	assert_int_equal(kit_delete(P, V, U2, false), 0);
	fake_commit(P);
	one_reopen(false);
	assert_int_equal(get_byte("n", 0), 5);
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, one_setup, one_teardown_checked)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_shrunk_clone),
		TEST(test_shrunk_last_bytes),
		TEST(test_shrunk_rollback),
		TEST(test_shrunk_receive),
		TEST(test_shrunk_stale), TEST(test_shrunk_beside),
		TEST(test_shrunk_receive_crash),
		TEST(test_begin),
		TEST(test_publish),
		TEST(test_publish_after_commit),
		TEST(test_publish_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
