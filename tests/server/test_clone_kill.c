/* A real tarnd over files, killed in the middle of cloning, rolling back,
 * taking and deleting: each was done or was not, and can be asked for again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tarnd_nbd.h"

#define MIB (1u << 20)

/* Ask, and kill tarnd some time later; true: it had answered well. */
static bool asked_and_killed(struct world *w, const char *method,
			     const char *params, unsigned us)
{
	char    line[500];
	int     fd = tarnd_dial(w);
	json_t *reply;
	bool    done;

	text(line, sizeof(line),
	     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}"
	     "\n", method, params);
	tarnd_put(fd, line, strlen(line));
	usleep(us);
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	reply = tarnd_get_line(fd);
	done = reply != NULL && json_object_get(reply, "result") != NULL;
	if (reply != NULL && !done)
		fail_msg("%s: %s", method, json_dumps(reply, 0));
	json_decref(reply);
	close(fd);
	tarnd_start(w);
	tank_wait_state(w, "online");
	return done;
}

/* What a method says about `name`: is it there? */
static bool there(const struct world *w, const char *method, const char *name)
{
	char    p[100];
	json_t *r;
	bool    yes;

	text(p, sizeof(p), "{\"name\":\"%s\"}", name);
	r = tarnd_call(w, method, p);
	yes = json_object_get(r, "result") != NULL;
	json_decref(r);
	return yes;
}

/* Before it, in the middle and after it. */
static const unsigned pauses_us[] = { 300, 3000, 8000, 20000, 60000 };
#define ROUNDS ARRAY_LEN(pauses_us)

/* Every round has a world of its own: a server that was killed twice within
 * seconds waits for what may still be on its way. */
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

static void test_clone(void **state)
{
	static const char p[] = "{\"name\":\"v@a\",\"new_name\":\"c\"}";

	for (size_t i = 0; i < ROUNDS; i++) {
		struct world *w = world_new(state);
		bool done = asked_and_killed(w, "volume.clone", p,
					     pauses_us[i]);

		assert_true(!done || there(w, "volume.show", "c"));
		/* Again, whether it was done or not. */
		must_do(w, "volume.clone", p);
		holds_in(w, "c", 'a', 0, MIB);
		fill_in(w, "c", 'c', 0, 4096);
		holds_in(w, "v@a", 'a', 0, MIB);
		holds_in(w, "v", 'a', 0, MIB);
		holds_in(w, "c", 'a', 4096, MIB - 4096);
	}
}

/* All of it or nothing, under a client that is writing. */
static void test_rollback(void **state)
{
	static const char p[] = "{\"name\":\"v@a\",\"keep_as\":\"k\","
				"\"force\":true}";

	for (size_t i = 0; i < ROUNDS; i++) {
		struct world      *w = world_new(state);
		struct nbd_handle *v = attach(w, "v");
		bool done, kept;

		fill(v, 'b', 4096, MIB);
		done = asked_and_killed(w, "snapshot.rollback", p,
					pauses_us[i]);
		nbd_close(v);
		kept = there(w, "snapshot.show", "v@k");
		assert_true(kept || !done);
		holds_in(w, "v", kept ? 'a' : 'b', 4096, MIB - 4096);
		must_do(w, "snapshot.rollback", p);
		holds_in(w, "v", 'a', 0, MIB);
		holds_in(w, "v", 0, MIB, 3 * MIB);
		holds_in(w, "v@k", 'a', 0, 4096);
		holds_in(w, "v@k", 'b', 4096, MIB);
	}
}

/* Groups of snapshots and checkpoints, and deletes of what clones share. */
static void test_others(void **state)
{
	static const char group[] = "{\"names\":[\"w#s\",\"v@s\"]}";

	for (size_t i = 0; i < ROUNDS; i++) {
		struct world *w = world_new(state);
		bool done, s, c;

		done = asked_and_killed(w, "snapshot.create", group,
					pauses_us[i]);
		s = there(w, "snapshot.show", "v@s");
		c = there(w, "checkpoint.show", "w#s");
		assert_true(s == c && (s || !done));
		if (!s)
			must_do(w, "snapshot.create", group);
		must_do(w, "volume.clone",
			"{\"name\":\"v@s\",\"new_name\":\"c\"}");
		done = asked_and_killed(w, "snapshot.delete",
					"{\"name\":\"v@s\"}", pauses_us[i]);
		assert_false(done && there(w, "snapshot.show", "v@s"));
		holds_in(w, "c", 'a', 0, MIB);
		fill_in(w, "c", 'c', 0, MIB / 2);
		holds_in(w, "v", 'a', 0, MIB);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_clone), T(test_rollback), T(test_others),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
