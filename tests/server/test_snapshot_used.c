/* A real tarnd over files: what a snapshot alone holds, what deleting would
 * free, and snapshots that are held.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tarnd_nbd.h"

#define MIB   1048576u
#define BLOCK 4096u

/* Data and map of all volumes, bytes. */
static json_int_t all_used(const struct world *w)
{
	json_t *r = must(w, "server.stats", "{}");
	json_t *v = json_object_get(r, "volumes");
	json_int_t n = reply_num(v, "mapped_blocks") +
		       reply_num(v, "node_blocks");

	json_decref(r);
	return n * BLOCK;
}

/* What snapshot.show says that only it has. */
static json_int_t used(const struct world *w, const char *name,
		       const char *key)
{
	char p[200];
	json_t *r;
	json_int_t n;

	text(p, sizeof(p), "{\"name\":\"%s\",\"used\":true}", name);
	r = must(w, "snapshot.show", p);
	n = reply_num(r, key);
	json_decref(r);
	return n;
}

static bool says(const struct world *w, const char *method, const char *params,
		 const char *key)
{
	json_t *r = must(w, method, params);
	bool    yes = json_is_true(json_object_get(r, key));

	assert_non_null(json_object_get(r, key));
	json_decref(r);
	return yes;
}

static void pool_with_data(struct world *w)
{
	tank_with_volumes(w);
	fill_in(w, "v", 1, 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
}

static void test_used(void **state)
{
	struct world *w = *state;
	json_int_t    freed, left;
	json_t       *r, *s;

	pool_with_data(w);
	assert_int_equal(used(w, "v@a", "used_bytes"), 0);
	fill_in(w, "v", 2, 8 * BLOCK, 3 * BLOCK);
	/* Three blocks, a leaf and the root above. */
	assert_int_equal(used(w, "v@a", "used_bytes"), 5 * BLOCK);
	assert_int_equal(used(w, "v@a", "used_map_bytes"), 2 * BLOCK);
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\"]}");
	fill_in(w, "v", 3, 10 * BLOCK, 2 * BLOCK);
	r = must(w, "snapshot.list", "{\"used\":true}");
	s = json_object_get(r, "snapshots");
	assert_int_equal(json_array_size(s), 2);
	assert_int_equal(reply_num(json_array_get(s, 0), "used_bytes"),
			 5 * BLOCK);
	assert_int_equal(reply_num(json_array_get(s, 1), "used_bytes"),
			 3 * BLOCK);
	assert_true(json_is_false(json_object_get(r, "more")));
	json_decref(r);
	/* Who does not ask does not wait. */
	r = must(w, "snapshot.list", "{}");
	s = json_array_get(json_object_get(r, "snapshots"), 0);
	assert_null(json_object_get(s, "used_bytes"));
	json_decref(r);
	r = must(w, "snapshot.delete", "{\"name\":\"v@a\",\"dry_run\":true}");
	assert_string_equal(reply_str(r, "name"), "v@a");
	assert_true(json_is_true(json_object_get(r, "dry_run")));
	freed = reply_num(r, "freed_bytes");
	json_decref(r);
	assert_int_equal(freed, 5 * BLOCK);
	left = all_used(w) - freed;
	must_do(w, "snapshot.delete", "{\"name\":\"v@a\"}");
	for (int i = 0; all_used(w) != left; i++) {
		assert_true(i < PATIENCE_S * 20);
		pause_ms(50);
	}
	/* What that shared with the other one is the other one's now. */
	assert_int_equal(used(w, "v@b", "used_map_bytes"), 2 * BLOCK);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	tarnd_start(w);
	tank_wait_state(w, "online");
	assert_int_equal(used(w, "v@b", "used_bytes"), 4 * BLOCK);
}

/* What was deleted has gone, or as much of it as may. */
static void deleted_wait(const struct world *w)
{
	json_int_t n = 1;

	for (int i = 0; i < PATIENCE_S * 100 && n > 0; i++) {
		json_t *r = must(w, "server.stats", "{}");

		n = reply_num(json_object_get(r, "volumes"), "deleting");
		json_decref(r);
		pause_ms(10);
	}
	assert_int_equal(n, 0);
}

static void test_dry_run(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *nbd;
	json_t *r;

	pool_with_data(w);
	refused(w, "volume.delete", "{\"name\":\"v\",\"dry_run\":true}",
		"ENOTEMPTY", "has 1 snapshot: delete them first");
	refused(w, "volume.delete", "{\"name\":\"x\",\"dry_run\":true}",
		"ENOENT", "volume 'x' does not exist");
	refused(w, "snapshot.delete", "{\"name\":\"v\",\"dry_run\":true}",
		"EINVAL", "does not name a snapshot");
	refused(w, "snapshot.delete", "{\"name\":\"v@x\",\"dry_run\":true}",
		"ENOENT", "snapshot 'v@x' does not exist");
	nbd = attach(w, "v@a");
	refused(w, "snapshot.delete", "{\"name\":\"v@a\",\"dry_run\":true}",
		"EBUSY", "in use");
	must_do(w, "snapshot.delete",
		"{\"name\":\"v@a\",\"dry_run\":true,\"force\":true}");
	/* It was not cut off. */
	holds(nbd, 1, 0, MIB);
	detach(nbd);
	r = must(w, "volume.delete", "{\"name\":\"w\",\"dry_run\":true}");
	assert_int_equal(reply_num(r, "freed_bytes"), 0);
	json_decref(r);
	must_do(w, "volume.show", "{\"name\":\"w\"}");
	/* Clones: what none of them has any more goes at once. */
	must_do(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}");
	fill_in(w, "c", 4, 0, MIB);
	fill_in(w, "v", 5, 0, MIB);
	r = must(w, "snapshot.delete", "{\"name\":\"v@a\",\"dry_run\":true}");
	assert_int_equal(reply_num(r, "freed_bytes") -
				 reply_num(r, "freed_map_bytes"), MIB);
	assert_true(json_is_true(json_object_get(r, "kept_for_clones")));
	json_decref(r);
	must_do(w, "snapshot.delete", "{\"name\":\"v@a\"}");
	deleted_wait(w);
	/* With the clone goes what was kept for it. */
	r = must(w, "volume.delete", "{\"name\":\"c\",\"dry_run\":true}");
	assert_int_equal(reply_num(r, "freed_bytes") -
				 reply_num(r, "freed_map_bytes"), MIB);
	json_decref(r);
}

static void test_hold(void **state)
{
	struct world *w = *state;

	pool_with_data(w);
	assert_false(says(w, "snapshot.show", "{\"name\":\"v@a\"}", "held"));
	assert_true(says(w, "snapshot.hold", "{\"name\":\"v@a\"}", "held"));
	assert_true(says(w, "snapshot.hold", "{\"name\":\"v@a\"}", "already"));
	refused(w, "snapshot.delete", "{\"name\":\"v@a\"}", "EBUSY",
		"is held: release it first with 'tarn snapshot release v@a'");
	refused(w, "snapshot.delete", "{\"name\":\"v@a\",\"force\":true}",
		"EBUSY", "tarn snapshot release v@a");
	refused(w, "snapshot.delete", "{\"name\":\"v@a\",\"dry_run\":true}",
		"EBUSY", "is held");
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
	assert_true(says(w, "snapshot.show", "{\"name\":\"v@a\"}", "held"));
	must_do(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}");
	fill_in(w, "v", 7, 0, BLOCK);
	must_do(w, "snapshot.rollback", "{\"name\":\"v@a\"}");
	holds_in(w, "v", 1, 0, MIB);
	must_do(w, "snapshot.rename", "{\"name\":\"v@a\",\"new_name\":\"z\"}");
	refused(w, "snapshot.delete", "{\"name\":\"v@z\"}", "EBUSY", "held");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{\"read_only\":true}");
	tank_wait_state(w, "read-only");
	refused(w, "snapshot.release", "{\"name\":\"v@z\"}", "EROFS",
		"read-only");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{}");
	tank_wait_state(w, "online");
	assert_false(says(w, "snapshot.release", "{\"name\":\"v@z\"}",
			  "already"));
	assert_true(says(w, "snapshot.release", "{\"name\":\"v@z\"}",
			 "already"));
	must_do(w, "snapshot.delete", "{\"name\":\"v@z\"}");
	refused(w, "snapshot.hold", "{\"name\":\"v@z\"}", "ENOENT",
		"snapshot 'v@z' does not exist");
	refused(w, "snapshot.hold", "{\"name\":\"v\"}", "EINVAL",
		"does not name a snapshot");
	refused(w, "snapshot.release", "{\"name\":\"v#z\"}", "EINVAL",
		"names a checkpoint, not a snapshot");
	refused(w, "snapshot.hold", "{\"name\":\"v@\"}", "EINVAL", "is empty");
}

/* Many in one call, and clients that go away meanwhile. */
static void test_many(void **state)
{
	struct world *w = *state;
	json_t       *r, *s;
	size_t        i;

	tarnd_start(w);
	snapshots_many(w);
	for (int turn = 0; turn < 5; turn++) {
		static const char ask[] =
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			"\"snapshot.list\",\"params\":{\"used\":true}}\n";
		int fd = tarnd_dial(w);

		tarnd_put(fd, ask, sizeof(ask) - 1);
		close(fd);
	}
	r = must(w, "snapshot.list", "{\"used\":true}");
	assert_int_equal(json_array_size(json_object_get(r, "snapshots")),
			 1000);
	assert_true(json_is_true(json_object_get(r, "more")));
	json_array_foreach(json_object_get(r, "snapshots"), i, s)
		assert_int_equal(reply_num(s, "used_bytes"), 0);
	json_decref(r);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_used), T(test_dry_run), T(test_hold), T(test_many),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
