/* A real tarnd over files: snapshots by the control socket. What they hold:
 * test_snapshot_export.c.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tarnd_kit.h"

/* What snapshot.list says, as "v@a w@a". */
static void listed(const struct world *w, const char *params, const char *want)
{
	json_t *r = must(w, "snapshot.list", params), *s;
	char    got[1000] = "";
	size_t  i, at = 0;

	json_array_foreach(json_object_get(r, "snapshots"), i, s) {
		text(got + at, sizeof(got) - at, "%s%s", i > 0 ? " " : "",
		     reply_str(s, "name"));
		at = strlen(got);
	}
	json_decref(r);
	assert_string_equal(got, want);
}

static void test_life(void **state)
{
	struct world *w = *state;
	json_t       *r, *s;

	tarnd_start(w);
	refused(w, "snapshot.list", "{}", "ENODEV", "no pool is open");
	refused(w, "snapshot.create", "{\"names\":[\"v@a\"]}", "ENODEV",
		"no pool is open");
	refused(w, "snapshot.show", "{\"name\":\"v@a\"}", "ENODEV",
		"no pool is open");
	refused(w, "snapshot.delete", "{\"name\":\"v@a\"}", "ENODEV",
		"no pool is open");
	refused(w, "snapshot.rename", "{\"name\":\"v@a\",\"new_name\":\"b\"}",
		"ENODEV", "no pool is open");
	tarnd_stop(w, SIGTERM);
	tank_with_volumes(w);
	listed(w, "{}", "");
	r = must(w, "snapshot.create", "{\"names\":[\"v@z\"]}");
	s = json_array_get(json_object_get(r, "snapshots"), 0);
	assert_string_equal(reply_str(s, "name"), "v@z");
	assert_string_equal(reply_str(s, "volume"), "v");
	assert_string_equal(reply_str(s, "snapshot"), "z");
	assert_int_equal(strlen(reply_str(s, "uuid")), 36);
	assert_int_equal(reply_num(s, "size_bytes"), 4194304);
	assert_int_equal(reply_num(s, "referenced_bytes"), 0);
	assert_int_equal(reply_num(s, "clients"), 0);
	assert_true(reply_num(s, "created_s") > 1700000000);
	json_decref(r);
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\",\"w@b\"]}");
	must_do(w, "snapshot.create", "{\"names\":[\"w@a\"]}");
	/* Oldest first, also beyond volumes. */
	listed(w, "{}", "v@z v@b w@b w@a");
	listed(w, "{\"volume\":\"w\"}", "w@b w@a");
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 2);
	must_do(w, "snapshot.rename", "{\"name\":\"v@z\",\"new_name\":\"y\"}");
	r = must(w, "snapshot.rename",
		 "{\"name\":\"v@y\",\"new_name\":\"y\"}");
	assert_true(json_is_true(json_object_get(r, "already")));
	assert_string_equal(reply_str(r, "name"), "v@y");
	json_decref(r);
	/* Another name of the volume is another name of its snapshots. */
	must_do(w, "volume.rename", "{\"name\":\"w\",\"new_name\":\"u\"}");
	listed(w, "{}", "v@y v@b u@b u@a");
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	listed(w, "{}", "v@y v@b u@b u@a");
	must_do(w, "snapshot.delete", "{\"name\":\"v@b\"}");
	refused(w, "snapshot.delete", "{\"name\":\"v@b\"}", "ENOENT",
		"snapshot 'v@b' does not exist: 'tarn snapshot list v'");
	refused(w, "volume.delete", "{\"name\":\"u\"}", "ENOTEMPTY",
		"has 2 snapshots: delete them first with 'tarn snapshot");
	refused(w, "volume.delete", "{\"name\":\"u\",\"force\":true}",
		"ENOTEMPTY", "tarn snapshot delete u@");
	must_do(w, "snapshot.delete", "{\"name\":\"u@b\"}");
	must_do(w, "snapshot.delete", "{\"name\":\"u@a\",\"force\":true}");
	must_do(w, "volume.delete", "{\"name\":\"u\"}");
	listed(w, "{}", "v@y");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{\"read_only\":true}");
	tank_wait_state(w, "read-only");
	refused(w, "snapshot.create", "{\"names\":[\"v@q\"]}", "EROFS",
		"read-only");
	refused(w, "snapshot.delete", "{\"name\":\"v@y\"}", "EROFS",
		"read-only");
	listed(w, "{}", "v@y");
}

/* A call about a name of n letters behind "v@". */
static void long_name(struct world *w, size_t n, const char *err)
{
	char name[320] = "", p[400];

	memset(name, 'n', n);
	text(p, sizeof(p), "{\"names\":[\"v@%s\"]}", name);
	if (err != NULL)
		refused(w, "snapshot.create", p, err, "longer than 255");
	else
		must_do(w, "snapshot.create", p);
}

static void test_bad_names(void **state)
{
	static const struct {
		const char *name, *err, *says;
	} bad[] = {
		{ "v", "EINVAL", "'v' does not name a snapshot" },
		{ "", "EINVAL", "does not name a snapshot" },
		{ "v@a@b", "EINVAL", "'a@b' cannot be the name" },
		{ "@", "EINVAL", "is empty" },
		{ "@a", "EINVAL", "is empty" },
		{ "v@", "EINVAL", "is empty" },
		{ "x@a", "ENOENT", "volume 'x' does not exist" },
		{ "v@a\\u0001b", "EINVAL", "control character" },
		{ "v@a\\u007f", "EINVAL", "control character" },
		{ "v\\u000a@a", "EINVAL", "control character" },
		{ "v@a\\u202eb", "EINVAL", "control character" },
		{ "v@a/b", "EINVAL", "'a/b' cannot be the name" },
		{ "v@#a", "EINVAL", "cannot be the name" },
		{ "v@ a", "EINVAL", "white space" },
		{ "v@..", "EINVAL", "reserved" },
	};
	struct world *w = *state;
	char          p[200];

	tank_with_volumes(w);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text(p, sizeof(p), "{\"names\":[\"w@s\",\"%s\"]}",
		     bad[i].name);
		refused(w, "snapshot.create", p, bad[i].err, bad[i].says);
		text(p, sizeof(p), "{\"name\":\"%s\"}", bad[i].name);
		refused(w, "snapshot.show", p, bad[i].err, bad[i].says);
		refused(w, "snapshot.delete", p, bad[i].err, bad[i].says);
		text(p, sizeof(p), "{\"name\":\"%s\",\"new_name\":\"n\"}",
		     bad[i].name);
		refused(w, "snapshot.rename", p, bad[i].err, bad[i].says);
	}
	listed(w, "{}", "");
}

static void test_refusals(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@old\"]}");
	long_name(w, 256, "EINVAL");
	long_name(w, 300, "EINVAL");
	long_name(w, 255, NULL);
	refused(w, "snapshot.create", "{\"names\":[]}", "EINVAL",
		"No snapshot is named");
	refused(w, "snapshot.create", "{\"names\":[\"w@s\",\"v@s\",\"w@t\"]}",
		"EINVAL", "'w' is named twice");
	refused(w, "snapshot.create", "{\"names\":[\"w@s\",\"v@old\"]}",
		"EEXIST", "has a snapshot 'old' already");
	refused(w, "snapshot.rename",
		"{\"name\":\"v@old\",\"new_name\":\"v@n\"}", "EINVAL",
		"without its volume");
	refused(w, "snapshot.rename",
		"{\"name\":\"v@old\",\"new_name\":\"\"}", "EINVAL", "empty");
	must_do(w, "snapshot.create", "{\"names\":[\"v@new\"]}");
	refused(w, "snapshot.rename",
		"{\"name\":\"v@old\",\"new_name\":\"new\"}", "EEXIST",
		"'new' already");
	refused(w, "snapshot.list", "{\"volume\":\"x\"}", "ENOENT",
		"volume 'x' does not exist");
	refused(w, "snapshot.list", "{\"volume\":\"v@old\"}", "EINVAL",
		"names a snapshot, not a volume");
	/* What is for volumes leaves snapshots alone. */
	refused(w, "volume.show", "{\"name\":\"v@old\"}", "EINVAL",
		"use what is for snapshots");
	refused(w, "volume.delete", "{\"name\":\"v@old\"}", "EINVAL",
		"use what is for snapshots");
	refused(w, "volume.rename", "{\"name\":\"v@old\",\"new_name\":\"x\"}",
		"EINVAL", "use what is for snapshots");
	refused(w, "volume.resize", "{\"name\":\"v@old\",\"size\":512}",
		"EINVAL", "use what is for snapshots");
	refused(w, "volume.create", "{\"name\":\"v@x\",\"size\":512}",
		"EINVAL", "cannot be the name");
	/* None of the groups was taken in part. */
	listed(w, "{\"volume\":\"w\"}", "");
	assert_int_equal(asked(w, "volume.show", "v", "snapshots"), 3);
}

/* A volume whose last snapshot goes while it is being deleted itself. */
static void test_delete_all(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	for (int i = 0; i < 40; i++) {
		must_do(w, "volume.create", "{\"name\":\"x\",\"size\":65536}");
		must_do(w, "snapshot.create", "{\"names\":[\"x@a\"]}");
		must_do(w, "snapshot.create", "{\"names\":[\"x@b\"]}");
		must_do(w, "snapshot.delete", "{\"name\":\"x@a\"}");
		must_do(w, "snapshot.delete", "{\"name\":\"x@b\"}");
		must_do(w, "volume.delete", "{\"name\":\"x\"}");
	}
	listed(w, "{}", "");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* More than one page. */
static void test_pages(void **state)
{
	struct world *w = *state;
	json_int_t    after = 0;
	unsigned      n = 0, pages = 0;
	char          p[100];
	bool          more = true;

	tarnd_start(w);
	snapshots_many(w);
	for (; more; pages++) {
		json_t *r, *s;
		size_t  i;

		text(p, sizeof(p), "{\"after\":%lld}", (long long)after);
		r = must(w, "snapshot.list", p);
		json_array_foreach(json_object_get(r, "snapshots"), i, s) {
			assert_true(reply_num(s, "id") > after);
			after = reply_num(s, "id");
			n++;
		}
		more = json_is_true(json_object_get(r, "more"));
		json_decref(r);
	}
	assert_int_equal(n, 1040);
	assert_int_equal(pages, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_life), T(test_bad_names), T(test_refusals),
		T(test_delete_all), T(test_pages),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
