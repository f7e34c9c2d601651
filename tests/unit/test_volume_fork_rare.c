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
#include "tests/lib/fake/vol_kit.c"
#include "volume/catalog.h"
#include "volume/node_validate.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct pool    *P;
static struct volumes *V;

static int setup(void **state)
{
	(void)state;
	P = fake_pool_new(7);
	V = fake_format(P, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

static void put(const char *name, uint64_t off, uint32_t what)
{
	uint32_t *block = calloc(1, TARN_BLOCK);

	block[0] = what;
	assert_int_equal(kit_req(P, vols_find(V, name), VOL_WRITE, off,
				 TARN_BLOCK, block, 0), 0);
	free(block);
}

/* -errno, or what put() wrote. */
static int64_t get(const char *name, uint64_t off)
{
	uint32_t got;
	uint8_t *buf;
	int r;

	assert_non_null(vols_find(V, name));
	buf = kit_read(P, vols_find(V, name), off, TARN_BLOCK, &r);
	memcpy(&got, buf, sizeof(got));
	free(buf);
	return r < 0 ? r : (int64_t)got;
}

static int ctl_run(const char *name, const char *new_name, uint64_t size,
		   uint8_t uuid,
		   void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r = 0;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->size_bytes = size;
	ctl->uuid.b[0] = uuid;
	kit_ctl_run(P, V, ctl, op);
	if (ctl->res < 0)
		r = ctl->res;
	free(ctl);
	return r;
}

static void snap(const char *name)
{
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
}

static void reopen(void)
{
	fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
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
 * its snapshot cannot be read for a moment: the snapshot and the volume lose
 * it for good. */
static void test_raised_root_forgotten(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put("v", 0, 11);
	put("v", 600 * MIB, 12);
	snap("v@s");
	assert_int_equal(ctl_run("v@s", "c", 0, 1, vol_clone), 0);
	assert_int_equal(kit_resize(P, V, "c", 300 * GIB, false), 0);
	fake_commit(P);
	place = node_place("v", 2);
	reopen();
	P->blocks[place].lost = true;
	assert_int_equal(kit_delete(P, V, "c", false), 0);
	fake_settle(P);
	P->blocks[place].lost = false;
	assert_int_equal(get("v@s", 0), 11);
	assert_int_equal(get("v", 600 * MIB), 12);
}

/* The same without a clone: the volume grew between two snapshots. */
static void test_raised_root_forgotten_snap(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put("v", 0, 11);
	put("v", 600 * MIB, 12);
	snap("v@a");
	assert_int_equal(kit_resize(P, V, "v", 300 * GIB, false), 0);
	snap("v@b");
	put("v", 0, 13); /* a copy of all above it */
	fake_commit(P);
	assert_int_equal(get("v@a", 0), 11); /* into memory */
	place = node_place("v@a", 2);
	reopen();
	P->blocks[place].lost = true;
	assert_int_equal(kit_delete(P, V, "v@b", false), 0);
	fake_settle(P);
	P->blocks[place].lost = false;
	assert_int_equal(get("v@a", 0), 11);
	assert_int_equal(get("v@a", 600 * MIB), 12);
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

static bool write_ended;

static void write_done(struct vol_req *req)
{
	(void)req;
	write_ended = true;
}

/* The rollback's record is on its way; a client attaches (nothing says that it
 * must not) and writes.  keep: what the volume was becomes a snapshot. */
static void attach_and_write(const char *keep, int *ret_res)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	uint32_t *block = calloc(1, TARN_BLOCK);
	struct vol_user user = { .gone = NULL };
	struct vol_req req;
	struct volume *v = vols_find(V, "v");

	block[0] = 99;
	ctl->name = "v@s";
	ctl->new_name = keep;
	ctl->done = kit_ctl_done;
	ctl->uuid.b[0] = 5;
	kit_done = write_ended = false;
	vol_rollback(V, ctl);
	io_run(&P->io, 0); /* its record is handed in */
	assert_true(rollback_is_queued() && !kit_done);
	/* What export_volume.c does. */
	assert_ptr_equal(vols_find(V, "v"), v);
	if (vol_is_detaching(v)) {
		*ret_res = -EBUSY; /* that would be right */
		kit_wait(P);
		goto out;
	}
	vol_get(v, &user);
	req = kit_req_make(v, VOL_WRITE, 0, TARN_BLOCK, block, 0);
	req.done = write_done;
	vol_submit(&req);
	while (!write_ended || !kit_done)
		fake_turn(P);
	*ret_res = req.res;
	vol_put(v, &user);
	assert_int_equal(ctl->res, 0);
out:
	free(ctl);
	free(block);
}

static void rollback_race(const char *keep)
{
	int64_t live, redone;
	int res;

	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put("v", 0, 1);
	snap("v@s");
	put("v", 0, 2);
	fake_settle(P);
	attach_and_write(keep, &res);
	fake_settle(P);
	live = get("v", 0);
	print_message("write: %d; v: %d\n", res, (int)live);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	redone = get("v", 0);
	assert_int_equal(live, redone);
	if (res == 0)
		assert_int_equal(redone, 99);
}

/* The kept snapshot is written to (P11); after a crash the same write is in the
 * volume instead. */
static void test_rollback_attach_keep(void **state)
{
	(void)state;
	rollback_race("k");
}

/* The write fails; after a crash it is there. */
static void test_rollback_attach(void **state)
{
	(void)state;
	rollback_race(NULL);
}

/* --- a lost leaf of a clone ------------------------------------------------ */

/* A leaf that all share cannot be read for a moment, while a write to a clone is
 * redone: the volume and the snapshot, of which nothing is lost, lose it for
 * good. */
static void test_poison_shared(void **state)
{
	place_t place;

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put("v", 0, 11);
	put("v", TARN_BLOCK, 12);
	snap("v@s");
	assert_int_equal(ctl_run("v@s", "c", 0, 1, vol_clone), 0);
	fake_commit(P);
	place = node_place("v", 0);
	put("c", 0, 21);
	P->blocks[place].lost = true;
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	P->blocks[place].lost = false;
	assert_int_equal(get("v", TARN_BLOCK), 12);
	assert_int_equal(get("v@s", 0), 11);
	assert_int_equal(get("c", 0), -EBADMSG);
	/* What is lost to one tree can be written to again, and goes with it. */
	assert_int_equal(kit_delete(P, V, "c", false), 0);
	kit_check_counts(P, V);
}

/* --- waiting for a reaper that does not come ------------------------------ */

/* A commit fails; who waits for the reaper waits for ever, and so does closing
 * (hosted_end_step() waits for vol_calls). */
static void test_rollback_failed_pool(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

	(void)state;
	assert_int_equal(kit_create(P, V, "v", 640 * MIB), 0);
	put("v", 0, 1);
	put("v", 600 * MIB, 7);
	snap("v@s");
	put("v", 0, 2);
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

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

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
