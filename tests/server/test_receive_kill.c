/* A real tarnd over files, killed in the middle of beginning to receive a copy
 * and of publishing it: whoever asks again gets there, and there is one. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tarnd_nbd.h"

#define MIB (1u << 20)
#define ID  "33333333-3333-4333-8333-333333333333"
#define U1  "11111111-1111-4111-8111-111111111111"

/* Ask, and kill tarnd some time later; or with us < 0, hang up at once. */
static void ask_and_kill(struct world *w, const char *method,
			 const char *params, int us)
{
	char line[700];
	int  fd = tarnd_dial(w);

	text(line, sizeof(line),
	     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}"
	     "\n", method, params);
	tarnd_put(fd, line, strlen(line));
	if (us >= 0) {
		usleep((useconds_t)us);
		assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	}
	close(fd);
	if (us < 0)
		return;
	tarnd_start(w);
	tank_wait_state(w, "online");
}

/* Before it, in the middle and after it; a connection that is cut. */
static const int pauses_us[] = { -1, 300, 3000, 8000, 20000, 60000 };

static struct world *world_new(void **state)
{
	struct world *w;

	world_teardown(state);
	world_setup(state);
	w = *state;
	tank_with_volumes(w);
	fill_in(w, "v", 'a', 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	return w;
}

static void receives(const struct world *w, size_t want)
{
	json_t *r = must(w, "receive.list", "{}");

	assert_int_equal(json_array_size(json_object_get(r, "receives")),
			 want);
	json_decref(r);
}

/* An increment of v, after v@a. */
static void begin_params(const struct world *w, char *ret, size_t bytes)
{
	json_t *r = must(w, "snapshot.show", "{\"name\":\"v@a\"}");

	text(ret, bytes, "{\"volume\":\"v\",\"size\":4194304,\"base\":\"%s\","
	     "\"snapshot\":\"b\",\"uuid\":\"" U1 "\",\"id\":\"" ID "\"}",
	     reply_str(r, "uuid"));
	json_decref(r);
}

static void test_begin(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pauses_us); i++) {
		struct world *w = world_new(state);
		char p[400];
		json_t *r;

		begin_params(w, p, sizeof(p));
		ask_and_kill(w, "receive.begin", p, pauses_us[i]);
		r = must(w, "receive.begin", p);
		assert_string_equal(reply_str(r, "export"), "receive/" ID);
		json_decref(r);
		receives(w, 1);
		r = must(w, "receive.begin", p);
		assert_true(json_is_true(json_object_get(r, "already")));
		json_decref(r);
		receives(w, 1);
		assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	}
}

static void publish_killed(void **state, int us, bool whole)
{
	struct world *w = world_new(state);
	char b[400], p[400];
	json_t *r;

	begin_params(w, b, sizeof(b));
	must_do(w, "receive.begin", whole ?
		"{\"volume\":\"n\",\"size\":4194304,\"id\":\"" ID "\"}" : b);
	fill_in(w, "receive/" ID, 'b', MIB, MIB);
	text(p, sizeof(p), "{\"export\":\"receive/" ID "\",\"size\":4194304,"
	     "\"snapshot\":\"b\",\"uuid\":\"" U1 "\",\"volume\":\"%s\"}",
	     whole ? "n" : "v");
	ask_and_kill(w, "receive.publish", p, us);
	must_do(w, "receive.publish", p);
	r = must(w, "receive.publish", p);
	assert_true(json_is_true(json_object_get(r, "already")));
	json_decref(r);
	receives(w, 0);
	holds_in(w, whole ? "n@b" : "v@b", 'b', MIB, MIB);
	if (!whole)
		holds_in(w, "v@b", 'a', 0, MIB);
	assert_int_equal(asked(w, "volume.show", whole ? "n" : "v",
			       "size_bytes"), 4194304);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

static void test_publish(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pauses_us); i++)
		publish_killed(state, pauses_us[i], false);
}

static void test_publish_whole(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(pauses_us); i++)
		publish_killed(state, pauses_us[i], true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_begin, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_publish, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(test_publish_whole,
						world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
