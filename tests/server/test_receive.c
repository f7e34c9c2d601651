/* A real tarnd over files: receive.*, by the control socket and libnbd, with
 * whatever somebody might ask for. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tarnd_kit.h"
#include "tarnd_nbd.h"

#define U1 "11111111-1111-4111-8111-111111111111"
#define U2 "22222222-2222-4222-8222-222222222222"
#define U0 "00000000-0000-0000-0000-000000000000"

static void begin(const struct world *w, const char *params, char *ret_export)
{
	json_t *r = must(w, "receive.begin", params);

	text(ret_export, 64, "%s", reply_str(r, "export"));
	json_decref(r);
}

/* "receive.publish" of an export, with more parameters. */
static void publish(const struct world *w, const char *export, json_int_t size,
		    const char *more, const char *err, const char *says)
{
	char p[600];

	text(p, sizeof(p), "{\"export\":\"%s\",\"size\":%ju%s}", export,
	     (uintmax_t)size, more);
	if (err != NULL)
		refused(w, "receive.publish", p, err, says);
	else
		must_do(w, "receive.publish", p);
}

/* It was done, and is there. */
static void published_before(const struct world *w, const char *export,
			     json_int_t size, const char *more)
{
	char p[600];
	json_t *r;

	text(p, sizeof(p), "{\"export\":\"%s\",\"size\":%ju%s}", export,
	     (uintmax_t)size, more);
	r = must(w, "receive.publish", p);
	assert_true(json_is_true(json_object_get(r, "already")));
	json_decref(r);
}

static void receives(const struct world *w, size_t want)
{
	json_t *r = must(w, "receive.list", "{}");

	assert_int_equal(json_array_size(json_object_get(r, "receives")),
			 want);
	json_decref(r);
}

static void test_begin_refused(void **state)
{
	static const struct {
		const char *params, *err, *says;
	} cases[] = {
		{ "{\"volume\":\"v\",\"size\":4096}", "EEXIST", "exists" },
		{ "{\"volume\":\"v@a\",\"size\":4096}", "EINVAL", "v@a" },
		{ "{\"volume\":\"v#a\",\"size\":4096}", "EINVAL", "v#a" },
		{ "{\"volume\":\"\",\"size\":4096}", "EINVAL", "name" },
		{ "{\"volume\":\"a/b\",\"size\":4096}", "EINVAL", "name" },
		{ "{\"volume\":\"receive/" U1 "\",\"size\":4096}", "EINVAL",
		  "name" },
		{ "{\"volume\":\"n\",\"size\":0}", "EINVAL", "multiple" },
		{ "{\"volume\":\"n\",\"size\":511}", "EINVAL", "multiple" },
		{ "{\"volume\":\"n\",\"size\":140737488355840}", "EINVAL",
		  "multiple" },
		{ "{\"volume\":\"n\",\"size\":9223372036854775807}", "EINVAL",
		  "multiple" },
		{ "{\"volume\":\"n\",\"size\":4096,\"base\":\"" U1 "\"}",
		  "ENOENT", "does not exist" },
		{ "{\"volume\":\"v\",\"size\":4096,\"base\":\"" U1 "\"}",
		  "ENOENT", "does not have the snapshot" },
		{ "{\"volume\":\"v\",\"size\":4096,\"base\":\"" U0 "\"}",
		  "EINVAL", "no UUID" },
		{ "{\"volume\":\"v\",\"size\":4096,\"base\":\"v@a\"}",
		  "EINVAL", "no UUID" },
		{ "{\"volume\":\"n\",\"size\":4096,\"uuid\":\"x\"}", "EINVAL",
		  "no UUID" },
		{ "{\"volume\":\"n\",\"size\":4096,\"snapshot\":\"a@b\"}",
		  "EINVAL", "name" },
		{ "{\"volume\":\"n\",\"size\":4096,\"snapshot\":\"\"}",
		  "EINVAL", "name" },
	};
	struct world *w = *state;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused(w, "receive.begin", cases[i].params, cases[i].err,
			cases[i].says);
	receives(w, 0);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

#define NAMES ",\"snapshot\":\"s\",\"uuid\":\"" U1 "\",\"created\":7"

static void test_wrong_exports(void **state)
{
	static const char *const names[] = {
		"v", "v@a", "v#c", "", "receive/", "receive", "/", "@",
		"receive/11111111-1111-4111-8111-111111111111",
	};
	struct world *w = *state;
	char export[64], p[300];

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\",\"v#c\"]}");
	begin(w, "{\"volume\":\"n\",\"size\":8192}", export);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		publish(w, names[i], 8192, NAMES, "ENOENT", "not being");
		text(p, sizeof(p), "{\"export\":\"%s\",\"force\":true}",
		     names[i]);
		refused(w, "receive.abort", p, "ENOENT", "not being");
	}
	text(p, sizeof(p), "{\"name\":\"%s\"}", export);
	refused(w, "volume.show", p, "EINVAL", "name");
	refused(w, "volume.delete", p, "EINVAL", "name");
	publish(w, export, 4096, NAMES, "EINVAL", "is not of 4096");
	publish(w, export, 16384, NAMES, "EINVAL", "is not of 16384");
	publish(w, export, 0, NAMES, "EINVAL", "is not of 0");
	publish(w, export, 8192, ",\"snapshot\":\"s\",\"uuid\":\"" U0 "\"",
		"EINVAL", "no UUID");
	publish(w, export, 8192, ",\"snapshot\":\"s/t\",\"uuid\":\"" U1 "\"",
		"EINVAL", "name");
	/* What was cut off for that is there again. */
	publish(w, export, 8192, NAMES, NULL, NULL);
	/* Who asks again is told that it is so. */
	published_before(w, export, 8192, NAMES);
	publish(w, export, 8192, ",\"snapshot\":\"s\"", "EINVAL", "uuid");
	must_do(w, "snapshot.delete", "{\"name\":\"n@s\"}");
	published_before(w, export, 8192, NAMES);
	must_do(w, "volume.delete", "{\"name\":\"n\"}");
	publish(w, export, 8192, NAMES, "ENOENT", "not being");
	begin(w, "{\"volume\":\"n\",\"size\":8192}", export);
	publish(w, export, 8192, NAMES, NULL, NULL);
	assert_int_equal(asked(w, "volume.show", "n", "size_bytes"), 8192);
	assert_int_equal(asked(w, "snapshot.show", "n@s", "created_s"), 7);
	receives(w, 0);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* Somebody takes the name meanwhile; kill -9; the client of a hidden volume. */
static void test_overtaken(void **state)
{
	struct world *w = *state;
	struct nbd_handle *nbd;
	char export[64], p[300], block[512] = "x";

	tank_with_volumes(w);
	begin(w, "{\"volume\":\"n\",\"size\":1048576}", export);
	nbd = attach(w, export);
	assert_int_equal(nbd_get_size(nbd), 1048576 + 4096);
	assert_int_equal(nbd_pwrite(nbd, block, sizeof(block), 1048064, 0), 0);
	assert_int_equal(nbd_pwrite(nbd, block, sizeof(block), 1048576, 0), 0);
	text(p, sizeof(p), "{\"export\":\"%s\"}", export);
	refused(w, "receive.abort", p, "EBUSY", "in use");
	must_do(w, "volume.create", "{\"name\":\"n\",\"size\":4096}");
	publish(w, export, 1048576, NAMES, "EEXIST", "by now");
	/* It was to be cut, so its client had to go. */
	assert_int_equal(nbd_pwrite(nbd, block, sizeof(block), 0, 0), -1);
	nbd_close(nbd);
	must_do(w, "volume.delete", "{\"name\":\"n\"}");
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
	receives(w, 1);
	nbd = attach(w, export);
	assert_int_equal(nbd_get_size(nbd), 1048576 + 4096);
	detach(nbd);
	publish(w, export, 1048576, NAMES, NULL, NULL);
	nbd = attach(w, "n@s");
	assert_int_equal(nbd_get_size(nbd), 1048576);
	assert_int_equal(nbd_pread(nbd, block, sizeof(block), 1048064, 0), 0);
	assert_int_equal(block[0], 'x');
	detach(nbd);
	receives(w, 0);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* A copy of which no snapshot is wanted. */
static void test_plain(void **state)
{
	struct world *w = *state;
	char export[64];
	json_t *r;

	tank_with_volumes(w);
	begin(w, "{\"volume\":\"n\",\"size\":8192}", export);
	fill_in(w, export, 'x', 0, 4096);
	publish(w, export, 8192, "", NULL, NULL);
	published_before(w, export, 8192, "");
	r = must(w, "volume.show", "{\"name\":\"n\"}");
	assert_int_equal(reply_num(r, "snapshots"), 0);
	json_decref(r);
	holds_in(w, "n", 'x', 0, 4096);
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
	published_before(w, export, 8192, "");
	must_do(w, "volume.delete", "{\"name\":\"n\"}");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* A base by its identity, or that of the checkpoint that was taken with it. */
static void test_bases(void **state)
{
	struct world *w = *state;
	struct nbd_handle *nbd;
	char export[64], p[400], uuid[64], block[512] = "y";
	json_t *r, *c;

	tank_with_volumes(w);
	must_do(w, "snapshot.create",
		"{\"names\":[\"v@a\",\"w@a\",\"w#c\",\"v#c\"]}");
	r = must(w, "snapshot.show", "{\"name\":\"v@a\"}");
	c = must(w, "checkpoint.show", "{\"name\":\"v#c\"}");
	text(uuid, sizeof(uuid), "%s", reply_str(c, "uuid"));
	assert_string_equal(reply_str(r, "uuid"), uuid);
	json_decref(r);
	json_decref(c);
	r = must(w, "snapshot.show", "{\"name\":\"w@a\"}");
	assert_string_not_equal(reply_str(r, "uuid"), uuid);
	json_decref(r);
	text(p, sizeof(p), "{\"volume\":\"v\",\"size\":4194304,\"base\":\"%s\","
	     "\"uuid\":\"%s\"}", uuid, uuid);
	refused(w, "receive.begin", p, "EEXIST", "has that snapshot already");
	text(p, sizeof(p), "{\"volume\":\"v\",\"size\":4194304,\"base\":\"%s\","
	     "\"snapshot\":\"a\",\"uuid\":\"" U2 "\"}", uuid);
	refused(w, "receive.begin", p, "EEXIST", "another snapshot 'v@a'");
	text(p, sizeof(p),
	     "{\"volume\":\"v\",\"size\":4194304,\"base\":\"%s\"}", uuid);
	begin(w, p, export);
	publish(w, export, 4194304, NAMES, NULL, NULL);
	refused(w, "receive.begin", p, "ESTALE", "changed since 'v@a'");
	text(p, sizeof(p), "{\"volume\":\"v\",\"size\":4194304,\"base\":\"" U1
			   "\"}");
	begin(w, p, export);
	nbd = attach(w, "v");
	publish(w, export, 4194304, ",\"snapshot\":\"t\",\"uuid\":\"" U2 "\"",
		"EBUSY", "in use by 1");
	assert_int_equal(nbd_pwrite(nbd, block, sizeof(block), 0, 0), 0);
	detach(nbd);
	publish(w, export, 4194304, ",\"snapshot\":\"t\",\"uuid\":\"" U2 "\"",
		"ESTALE", "changed since");
	receives(w, 1);
	text(p, sizeof(p), "{\"export\":\"%s\"}", export);
	must_do(w, "receive.abort", p);
	refused(w, "receive.abort", p, "ENOENT", "not being");
	receives(w, 0);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_begin_refused,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_wrong_exports,
						world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(test_overtaken, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_plain, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_bases, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
