/* A real tarnd over files: clones, rollbacks and checkpoints by the control
 * socket. What they hold: test_clone_export.c.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tarnd_kit.h"

/* A string that a method says about `name`. */
static void says(const struct world *w, const char *method, const char *name,
		 const char *key, const char *want)
{
	char    p[600];
	json_t *r;

	text(p, sizeof(p), "{\"name\":\"%s\"}", name);
	r = must(w, method, p);
	if (strcmp(reply_str(r, key), want) != 0)
		fail_msg("%s %s: %s is '%s', not '%s'", method, name, key,
			 reply_str(r, key), want);
	json_decref(r);
}

static bool flag(const struct world *w, const char *method, const char *params,
		 const char *key)
{
	json_t *r = must(w, method, params);
	bool    set = json_is_true(json_object_get(r, key));

	assert_true(json_is_boolean(json_object_get(r, key)));
	json_decref(r);
	return set;
}

static bool already(const struct world *w, const char *method,
		    const char *params)
{
	return flag(w, method, params, "already");
}

static bool lost(const struct world *w, const char *name)
{
	char p[100];

	text(p, sizeof(p), "{\"name\":\"%s\"}", name);
	return flag(w, "checkpoint.show", p, "lost");
}

/* What checkpoint.list says, as "v#a w#a". */
static void checkpoints(const struct world *w, const char *params,
			const char *want)
{
	json_t *r = must(w, "checkpoint.list", params), *c;
	char    got[1000] = "";
	size_t  i, at = 0;

	json_array_foreach(json_object_get(r, "checkpoints"), i, c) {
		text(got + at, sizeof(got) - at, "%s%s", i > 0 ? " " : "",
		     reply_str(c, "name"));
		at = strlen(got);
	}
	json_decref(r);
	assert_string_equal(got, want);
}

static void restart(struct world *w)
{
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
}

static void test_clones(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	says(w, "volume.show", "v", "clone_of", "");
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\"]}");
	assert_false(already(w, "volume.clone",
			     "{\"name\":\"v@b\",\"new_name\":\"c\"}"));
	assert_true(already(w, "volume.clone",
			    "{\"name\":\"v@b\",\"new_name\":\"c\"}"));
	says(w, "volume.show", "c", "clone_of", "v@b");
	assert_int_equal(asked(w, "volume.show", "c", "size_bytes"), 4194304);
	assert_int_equal(asked(w, "volume.show", "c", "snapshots"), 0);
	assert_int_equal(asked(w, "snapshot.show", "v@b", "clones"), 1);
	assert_int_equal(asked(w, "snapshot.show", "v@a", "clones"), 0);
	/* A clone of a clone, and a second one of the same. */
	must_do(w, "snapshot.create", "{\"names\":[\"c@x\"]}");
	must_do(w, "volume.clone", "{\"name\":\"c@x\",\"new_name\":\"d\"}");
	must_do(w, "volume.clone", "{\"name\":\"v@b\",\"new_name\":\"e\"}");
	assert_int_equal(asked(w, "snapshot.show", "v@b", "clones"), 2);
	must_do(w, "volume.rename", "{\"name\":\"v\",\"new_name\":\"u\"}");
	must_do(w, "volume.rename", "{\"name\":\"c\",\"new_name\":\"f\"}");
	restart(w);
	says(w, "volume.show", "f", "clone_of", "u@b");
	says(w, "volume.show", "d", "clone_of", "f@x");
	says(w, "volume.show", "e", "clone_of", "u@b");
	/* A clone has a size of its own; what it came from goes first. */
	must_do(w, "volume.resize", "{\"name\":\"d\",\"size\":8388608}");
	assert_int_equal(asked(w, "snapshot.show", "f@x", "size_bytes"),
			 4194304);
	must_do(w, "snapshot.delete", "{\"name\":\"u@b\"}");
	must_do(w, "snapshot.delete", "{\"name\":\"u@a\"}");
	must_do(w, "volume.delete", "{\"name\":\"u\"}");
	says(w, "volume.show", "e", "clone_of", "");
	says(w, "volume.show", "d", "clone_of", "f@x");
	restart(w);
	must_do(w, "snapshot.delete", "{\"name\":\"f@x\"}");
	must_do(w, "volume.delete", "{\"name\":\"f\"}");
	must_do(w, "volume.delete", "{\"name\":\"d\"}");
	must_do(w, "volume.delete", "{\"name\":\"e\"}");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

static void test_rollbacks(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	/* Nothing has changed since. */
	assert_true(already(w, "snapshot.rollback", "{\"name\":\"v@a\"}"));
	must_do(w, "volume.resize", "{\"name\":\"v\",\"size\":8388608}");
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\"]}");
	assert_false(already(w, "snapshot.rollback",
			     "{\"name\":\"v@a\",\"keep_as\":\"k\"}"));
	assert_int_equal(asked(w, "volume.show", "v", "size_bytes"), 4194304);
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 3);
	assert_int_equal(asked(w, "snapshot.show", "v@k", "size_bytes"),
			 8388608);
	assert_true(already(w, "snapshot.rollback",
			    "{\"name\":\"v@a\",\"keep_as\":\"k\"}"));
	assert_true(already(w, "snapshot.rollback", "{\"name\":\"v@a\"}"));
	restart(w);
	assert_true(already(w, "snapshot.rollback", "{\"name\":\"v@a\"}"));
	/* And forth again. */
	assert_false(already(w, "snapshot.rollback", "{\"name\":\"v@k\"}"));
	assert_int_equal(asked(w, "volume.show", "v", "size_bytes"), 8388608);
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 3);
	says(w, "volume.show", "v", "clone_of", "");
	/* The snapshots that it was taken back behind go in any order. */
	must_do(w, "snapshot.delete", "{\"name\":\"v@a\"}");
	must_do(w, "snapshot.delete", "{\"name\":\"v@k\"}");
	restart(w);
	must_do(w, "snapshot.delete", "{\"name\":\"v@b\"}");
	must_do(w, "volume.delete", "{\"name\":\"v\"}");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

static void test_checkpoints(void **state)
{
	struct world *w = *state;
	json_t       *r, *c;

	tank_with_volumes(w);
	checkpoints(w, "{}", "");
	r = must(w, "snapshot.create",
		 "{\"names\":[\"v@a\",\"v#a\",\"w#z\",\"w@y\"]}");
	assert_int_equal(json_array_size(json_object_get(r, "snapshots")), 2);
	assert_int_equal(json_array_size(json_object_get(r, "checkpoints")),
			 2);
	c = json_array_get(json_object_get(r, "checkpoints"), 0);
	assert_string_equal(reply_str(c, "name"), "v#a");
	assert_string_equal(reply_str(c, "volume"), "v");
	assert_string_equal(reply_str(c, "checkpoint"), "a");
	assert_int_equal(strlen(reply_str(c, "uuid")), 36);
	assert_int_equal(reply_num(c, "size_bytes"), 4194304);
	assert_true(reply_num(c, "created_s") > 1700000000);
	json_decref(r);
	must_do(w, "checkpoint.create", "{\"names\":[\"v#b\",\"w#b\"]}");
	checkpoints(w, "{}", "v#a w#z v#b w#b");
	checkpoints(w, "{\"volume\":\"w\"}", "w#z w#b");
	assert_int_equal(asked(w, "volume.show", "v", "checkpoints"), 2);
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 1);
	/* Names of checkpoints and of snapshots are apart. */
	must_do(w, "checkpoint.rename",
		"{\"name\":\"v#b\",\"new_name\":\"y\"}");
	assert_true(already(w, "checkpoint.rename",
			    "{\"name\":\"v#y\",\"new_name\":\"y\"}"));
	must_do(w, "volume.resize", "{\"name\":\"v\",\"size\":8388608}");
	must_do(w, "snapshot.rollback", "{\"name\":\"v@a\"}");
	restart(w);
	checkpoints(w, "{}", "v#a w#z v#y w#b");
	/* Taken at the same instant, and later. */
	assert_false(lost(w, "v#a"));
	assert_true(lost(w, "v#y"));
	assert_false(lost(w, "w#b"));
	must_do(w, "checkpoint.delete", "{\"name\":\"v#y\"}");
	refused(w, "checkpoint.delete", "{\"name\":\"v#y\"}", "ENOENT",
		"checkpoint 'v#y' does not exist: 'tarn checkpoint list v'");
	/* They keep no volume from being deleted. */
	must_do(w, "snapshot.delete", "{\"name\":\"w@y\"}");
	must_do(w, "volume.delete", "{\"name\":\"w\"}");
	checkpoints(w, "{}", "v#a");
	restart(w);
	checkpoints(w, "{}", "v#a");
}

static void test_pages(void **state)
{
	struct world *w = *state;
	char          p[100], names[6000];
	json_int_t    after = 0;
	unsigned      n = 0, pages = 0;
	bool          more = true;

	tank_with_volumes(w);
	for (unsigned i = 0; i < 40; i++) {
		text(p, sizeof(p), "{\"name\":\"x%u\",\"size\":65536}", i);
		must_do(w, "volume.create", p);
	}
	for (unsigned k = 0; k < 26; k++) {
		size_t at = (size_t)sprintf(names, "{\"names\":[");

		for (unsigned i = 0; i < 40; i++)
			at += (size_t)sprintf(names + at, "%s\"x%u#%u\"",
					      i > 0 ? "," : "", i, k);
		sprintf(names + at, "]}");
		must_do(w, "checkpoint.create", names);
	}
	for (; more; pages++) {
		json_t *r, *c;
		size_t  i;

		text(p, sizeof(p), "{\"after\":%lld}", (long long)after);
		r = must(w, "checkpoint.list", p);
		json_array_foreach(json_object_get(r, "checkpoints"), i, c) {
			assert_true(reply_num(c, "id") > after);
			after = reply_num(c, "id");
			n++;
		}
		more = json_is_true(json_object_get(r, "more"));
		json_decref(r);
	}
	assert_int_equal(n, 1040);
	assert_int_equal(pages, 2);
}

/* --- what is refused ----------------------------------------------------- */

static void test_bad_names(void **state)
{
	static const struct {
		const char *name, *err, *says;
	} bad[] = {
		{ "", "EINVAL", "is empty" },
		{ "x@y", "EINVAL", "'x@y' cannot be the name" },
		{ "x#y", "EINVAL", "'x#y' cannot be the name" },
		{ "x\\u0001", "EINVAL", "control character" },
		{ "x/y", "EINVAL", "cannot be the name" },
		{ " x", "EINVAL", "white space" },
		{ "..", "EINVAL", "reserved" },
		{ "w", "EEXIST", "there is a volume 'w' already" },
		{ "v", "EEXIST", "there is a volume 'v' already" },
	};
	struct world *w = *state;
	char          longest[301] = "", p[500];

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\",\"v#c\"]}");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text(p, sizeof(p), "{\"name\":\"v@a\",\"new_name\":\"%s\"}",
		     bad[i].name);
		refused(w, "volume.clone", p, bad[i].err, bad[i].says);
	}
	memset(longest, 'n', 300);
	text(p, sizeof(p), "{\"name\":\"v@a\",\"new_name\":\"%s\"}", longest);
	refused(w, "volume.clone", p, "EINVAL", "longer than 255");
	text(p, sizeof(p), "{\"names\":[\"v#%s\"]}", longest);
	refused(w, "checkpoint.create", p, "EINVAL", "longer than 255");
	text(p, sizeof(p), "{\"name\":\"v@a\",\"keep_as\":\"%s\"}", longest);
	refused(w, "snapshot.rollback", p, "EINVAL", "longer than 255");
	refused(w, "snapshot.rollback",
		"{\"name\":\"v@a\",\"keep_as\":\"v@k\"}", "EINVAL",
		"without its volume");
	refused(w, "snapshot.rollback", "{\"name\":\"v@a\",\"keep_as\":\"\"}",
		"EINVAL", "is empty");
	refused(w, "checkpoint.rename",
		"{\"name\":\"v#c\",\"new_name\":\"v#d\"}", "EINVAL",
		"without its volume");
	/* One kind for another. */
	refused(w, "checkpoint.create", "{\"names\":[\"v#d\",\"v@b\"]}",
		"EINVAL", "'v@b' names a snapshot, not a checkpoint");
	refused(w, "checkpoint.create", "{\"names\":[\"v\"]}", "EINVAL",
		"does not name a checkpoint: give VOLUME#CHECKPOINT");
	refused(w, "checkpoint.create", "{\"names\":[]}", "EINVAL",
		"No snapshot is named");
	refused(w, "checkpoint.delete", "{\"name\":\"v@a\"}", "EINVAL",
		"names a snapshot");
	refused(w, "snapshot.show", "{\"name\":\"v#c\"}", "EINVAL",
		"names a checkpoint, not a snapshot");
	refused(w, "snapshot.delete", "{\"name\":\"v#c\"}", "EINVAL",
		"names a checkpoint");
	refused(w, "volume.delete", "{\"name\":\"v#c\"}", "EINVAL",
		"names a checkpoint, not a volume");
	refused(w, "volume.clone", "{\"name\":\"v#c\",\"new_name\":\"n\"}",
		"EINVAL", "names a checkpoint");
	refused(w, "volume.clone", "{\"name\":\"v\",\"new_name\":\"n\"}",
		"EINVAL", "does not name a snapshot: give VOLUME@SNAPSHOT");
	refused(w, "snapshot.rollback", "{\"name\":\"v\"}", "EINVAL",
		"does not name a snapshot: give VOLUME@SNAPSHOT");
	checkpoints(w, "{}", "v#c");
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 1);
}

static void test_refusals(void **state)
{
	struct world *w = *state;

	tarnd_start(w);
	refused(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}",
		"ENODEV", "no pool is open");
	refused(w, "snapshot.rollback", "{\"name\":\"v@a\"}", "ENODEV",
		"no pool is open");
	refused(w, "checkpoint.list", "{}", "ENODEV", "no pool is open");
	refused(w, "checkpoint.create", "{\"names\":[\"v#a\"]}", "ENODEV",
		"no pool is open");
	tarnd_stop(w, SIGTERM);
	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\",\"w@b\",\"v#c\"]}");
	must_do(w, "volume.resize", "{\"name\":\"v\",\"size\":8388608}");
	must_do(w, "snapshot.create", "{\"names\":[\"v@old\"]}");
	refused(w, "volume.clone", "{\"name\":\"v@x\",\"new_name\":\"c\"}",
		"ENOENT", "snapshot 'v@x' does not exist: 'tarn snapshot list");
	refused(w, "volume.clone", "{\"name\":\"x@a\",\"new_name\":\"c\"}",
		"ENOENT", "volume 'x' does not exist: 'tarn volume list'");
	refused(w, "snapshot.rollback", "{\"name\":\"v@b\"}", "ENOENT",
		"snapshot 'v@b' does not exist: 'tarn snapshot list v'");
	refused(w, "snapshot.rollback",
		"{\"name\":\"v@a\",\"keep_as\":\"old\"}", "EEXIST",
		"'v' was not rolled back: it has a snapshot 'old' already");
	refused(w, "checkpoint.create", "{\"names\":[\"w#c\",\"v#c\"]}",
		"EEXIST", "'v' has a checkpoint 'c' already");
	refused(w, "checkpoint.create", "{\"names\":[\"w#c\",\"w#d\"]}",
		"EINVAL", "'w' is named twice");
	refused(w, "snapshot.create", "{\"names\":[\"w@c\",\"v#c\"]}",
		"EEXIST", "nothing was taken");
	refused(w, "snapshot.create", "{\"names\":[\"w@c\",\"x#c\"]}",
		"ENOENT", "volume 'x' does not exist");
	refused(w, "checkpoint.list", "{\"volume\":\"x\"}", "ENOENT",
		"volume 'x' does not exist");
	refused(w, "checkpoint.show", "{\"name\":\"v#x\"}", "ENOENT",
		"checkpoint 'v#x' does not exist: 'tarn checkpoint list v'");
	must_do(w, "checkpoint.create", "{\"names\":[\"v#d\"]}");
	refused(w, "checkpoint.rename",
		"{\"name\":\"v#d\",\"new_name\":\"c\"}", "EEXIST",
		"'c' already");
	/* None of it was done in part. */
	assert_int_equal(asked(w, "volume.show", "w", "snapshots"), 1);
	checkpoints(w, "{\"volume\":\"w\"}", "");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{\"read_only\":true}");
	tank_wait_state(w, "read-only");
	refused(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}",
		"EROFS", "read-only");
	refused(w, "snapshot.rollback", "{\"name\":\"v@a\"}", "EROFS",
		"read-only");
	refused(w, "checkpoint.create", "{\"names\":[\"v#e\"]}", "EROFS",
		"read-only");
	checkpoints(w, "{}", "v#c v#d");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_clones),      T(test_rollbacks), T(test_checkpoints),
		T(test_pages),       T(test_bad_names), T(test_refusals),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
