/* What a volume is promised when the pool is full: a reserve, or that its writes
 * wait.  By the control socket, with a real tarnd; the writing is in
 * tests/system/test-reserve.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/server/tarnd_kit.h"

#define MIB (1024 * 1024)

static json_int_t df(const struct world *w, const char *key)
{
	json_t    *o = must(w, "pool.df", "{}");
	json_int_t n = reply_num(o, key);

	json_decref(o);
	return n;
}

static void check_sums(const struct world *w)
{
	assert_int_equal(df(w, "usable_bytes"),
			 df(w, "data_bytes") + df(w, "map_bytes") +
				 df(w, "reserved_bytes") +
				 df(w, "free_bytes"));
}

static void volume_make(const struct world *w, const char *name,
			json_int_t size, const char *more)
{
	char params[300];

	text(params, sizeof(params), "{\"name\":\"%s\",\"size\":%lld%s}", name,
	     (long long)size, more);
	must_do(w, "volume.create", params);
}

static void test_set(void **state)
{
	struct world *w = *state;
	json_int_t free0, kept;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	free0 = df(w, "free_bytes");
	volume_make(w, "plain", 4 * MIB, "");
	volume_make(w, "full", 8 * MIB, ",\"reserve\":\"full\"");
	kept = asked(w, "volume.show", "full", "kept_bytes");
	assert_true(kept > 8 * MIB && kept < 9 * MIB);
	assert_int_equal(df(w, "reserved_bytes"), kept);
	assert_true(df(w, "free_bytes") <= free0 - kept);
	check_sums(w);
	assert_int_equal(asked(w, "volume.show", "plain", "kept_bytes"), 0);
	must_do(w, "volume.set", "{\"name\":\"plain\",\"reserve\":\"2097152\"}");
	assert_int_equal(asked(w, "volume.show", "plain", "reserve_bytes"),
			 2 * MIB);
	check_sums(w);
	/* What is so already is so. */
	{
		json_t *o = must(w, "volume.set", "{\"name\":\"plain\","
						  "\"reserve\":\"2097152\"}");

		assert_true(json_is_true(json_object_get(o, "already")));
		assert_string_equal(reply_str(o, "reserve"), "size");
		assert_string_equal(reply_str(o, "when_full"), "enospc");
		json_decref(o);
	}
	must_do(w, "volume.set", "{\"name\":\"plain\",\"reserve\":\"none\","
				 "\"when_full\":\"pause\"}");
	assert_int_equal(df(w, "reserved_bytes"), kept);
	must_do(w, "volume.delete", "{\"name\":\"full\",\"now\":true}");
	assert_int_equal(df(w, "reserved_bytes"), 0);
	assert_int_equal(tarnd_stop(w, 15), 0);
}

static void test_refused(void **state)
{
	struct world *w = *state;
	char params[200];
	json_int_t usable;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	usable = df(w, "usable_bytes");
	volume_make(w, "big", 4 * usable / MIB * MIB, "");
	refused(w, "volume.set", "{\"name\":\"big\",\"reserve\":\"full\"}",
		"ENOSPC", "for its reserve");
	refused(w, "volume.set", "{\"name\":\"big\",\"reserve\":\"some\"}",
		"EINVAL", "give full, none, or bytes");
	refused(w, "volume.set", "{\"name\":\"big\",\"reserve\":\"\"}",
		"EINVAL", "give full, none, or bytes");
	refused(w, "volume.set", "{\"name\":\"big\",\"reserve\":\"-5\"}",
		"EINVAL", "give full, none, or bytes");
	refused(w, "volume.set", "{\"name\":\"big\",\"when_full\":\"stop\"}",
		"EINVAL", "enospc or pause");
	refused(w, "volume.set", "{\"name\":\"big\"}", "EINVAL", "nothing");
	refused(w, "volume.set", "{\"name\":\"none\",\"reserve\":\"full\"}",
		"ENOENT", "does not exist");
	text(params, sizeof(params),
	     "{\"name\":\"big\",\"reserve\":\"%lld\"}",
	     (long long)(5 * usable / MIB * MIB));
	refused(w, "volume.set", params, "EINVAL", "more");
	refused(w, "volume.create", "{\"name\":\"new\",\"size\":1099511627776,"
				    "\"reserve\":\"full\"}",
		"ENOSPC", "for its reserve");
	refused(w, "volume.show", "{\"name\":\"new\"}", "ENOENT",
		"does not exist");
	/* A larger size, and what comes out of the trash. */
	volume_make(w, "grows", 4 * MIB, ",\"reserve\":\"full\"");
	text(params, sizeof(params), "{\"name\":\"grows\",\"size\":%lld}",
	     (long long)(2 * usable / MIB * MIB));
	refused(w, "volume.resize", params, "ENOSPC", "for its reserve");
	must_do(w, "volume.delete", "{\"name\":\"grows\"}");
	assert_int_equal(df(w, "reserved_bytes"), 0);
	text(params, sizeof(params),
	     "{\"name\":\"big\",\"reserve\":\"%lld\"}",
	     (long long)(usable / MIB * 9 / 10 * MIB));
	must_do(w, "volume.set", params);
	check_sums(w);
	assert_int_equal(tarnd_stop(w, 15), 0);
}

/* Kept by the pool: a crash, and another server. */
static void test_kept(void **state)
{
	struct world *w = *state;
	json_int_t kept;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	volume_make(w, "v", 8 * MIB,
		    ",\"reserve\":\"full\",\"when_full\":\"pause\"");
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	kept = asked(w, "volume.show", "v", "kept_bytes");
	tarnd_stop(w, 9);
	tarnd_start(w);
	tank_wait_state(w, "online");
	assert_int_equal(asked(w, "volume.show", "v", "kept_bytes"), kept);
	assert_int_equal(df(w, "reserved_bytes"), kept);
	{
		json_t *o = must(w, "volume.show", "{\"name\":\"v\"}");

		assert_string_equal(reply_str(o, "reserve"), "full");
		assert_string_equal(reply_str(o, "when_full"), "pause");
		json_decref(o);
	}
	/* A clone has neither. */
	must_do(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}");
	assert_int_equal(asked(w, "volume.show", "c", "kept_bytes"), 0);
	assert_int_equal(tarnd_stop(w, 15), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_refused, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_kept, world_setup,
						world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
