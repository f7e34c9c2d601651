/* What is in the trash goes when something new has no space, which waits for
 * it; and who waits stops nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/trash_kit.c"

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
		one_teardown(state);
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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_space),
		TEST(test_space_hopeless),
		TEST(test_space_many),
		TEST(test_space_reads),
		TEST(test_space_control),
		TEST(test_space_undelete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
