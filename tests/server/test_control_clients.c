/* A real tarnd and its control socket: whose it is, clients that misbehave or
 * are many, and every method with nonsense.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "server/control.h"
#include "tarnd_kit.h"
#include "volume/volume.h"

static void test_sockets(void **state)
{
	struct world *w = *state;
	const char   *none[] = { NULL };
	struct stat   st;
	int           fd;

	tarnd_start(w);
	assert_int_equal(stat(w->control, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* A live socket is not taken over. */
	assert_int_equal(tarnd_wait_exit(tarnd_spawn(w, none)), 1);
	must_do(w, "server.info", "{}");
	/* A stale one is. */
	tarnd_stop(w, SIGKILL);
	assert_int_equal(access(w->control, F_OK), 0);
	tarnd_start(w);
	tarnd_stop(w, SIGKILL);
	/* What is no socket is left alone. */
	unlink(w->control);
	fd = open(w->control, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_int_equal(tarnd_wait_exit(tarnd_spawn(w, none)), 1);
	assert_int_equal(access(w->control, F_OK), 0);
	unlink(w->control);
}

static void test_signals(void **state)
{
	struct world *w = *state;
	int           fds[8];

	tarnd_start(w);
	for (int i = 0; i < 50; i++)
		kill(w->pid, i % 2 == 0 ? SIGHUP : SIGPIPE);
	must_do(w, "server.info", "{}");
	tank_create(w, "1+1", 2);
	/* Clients in every state do not hold it up. */
	for (int i = 0; i < 8; i++) {
		fds[i] = tarnd_dial(w);
		if (i % 2 == 1)
			tarnd_put(fds[i], "{\"jsonrpc\":", 11);
	}
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(tarnd_get_byte(fds[i]), -1);
		close(fds[i]);
	}
}

/* There is room for clients again once the server has noticed. */
static void room_comes(const struct world *w)
{
	const char *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			   "\"server.info\"}\n";

	for (int i = 0; i < PATIENCE_S * 20; i++) {
		int     fd = tarnd_dial(w);
		json_t *r;
		bool    ok;

		send(fd, line, strlen(line), MSG_NOSIGNAL);
		r = tarnd_get_line(fd);
		ok = r != NULL && json_object_get(r, "result") != NULL;
		json_decref(r);
		close(fd);
		if (ok)
			return;
		pause_ms(50);
	}
	fail_msg("no room for a client any more");
}

static void test_many_clients(void **state)
{
	struct world *w = *state;
	int           fds[CTL_CONNECTIONS_MAX + 4];
	unsigned      refusals = 0;
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"server.info\"}\n";

	tarnd_start(w);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = tarnd_dial(w);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		json_t *r;

		/* Those over the limit are told and closed. */
		send(fds[i], line, strlen(line), MSG_NOSIGNAL);
		r = tarnd_get_line(fds[i]);
		refusals += r == NULL || json_object_get(r, "error") != NULL;
		json_decref(r);
	}
	assert_true(refusals >= 4 && refusals < ARRAY_LEN(fds));
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	room_comes(w);
}

/* Those that wait for what may never come are no longer counted either when
 * they go away, however much they asked for. */
static void test_gone_clients(void **state)
{
	struct world *w = *state;
	int           fds[CTL_CONNECTIONS_MAX];
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"event.list\",\"params\":{\"wait\":true,"
			     "\"since\":99999999999}}\n";

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		unsigned calls = i % 2 == 0 ? 1 : CTL_SESSION_CALLS + 4;

		fds[i] = tarnd_dial(w);
		for (unsigned k = 0; k < calls; k++)
			tarnd_put(fds[i], line, strlen(line));
	}
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	room_comes(w);
	/* What they asked ends with the pool at the latest. */
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

static void test_hostile(void **state)
{
	struct world *w = *state;
	char         *junk = malloc(1 << 20);
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"server.methods\"}\n";
	int           fd, deaf;

	tarnd_start(w);
	/* A client that asks a lot and reads nothing... */
	deaf = tarnd_dial(w);
	fcntl(deaf, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 20000; i++)
		if (send(deaf, line, strlen(line), MSG_NOSIGNAL) < 0)
			break;
	/* ... does not disturb one that sends rubbish... */
	for (unsigned i = 0; i < 1 << 20; i++)
		junk[i] = (char)(i * 2654435761u >> 13);
	fd = tarnd_dial(w);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	fd = tarnd_dial(w);
	memset(junk, 'x', 1 << 20);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	fd = tarnd_dial(w);
	memset(junk, '[', 1 << 20);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	/* ... and neither disturbs us. */
	must_do(w, "server.info", "{}");
	close(deaf);
	/* Half a message, then the end. */
	for (size_t n = 0; n < strlen(line); n += 7) {
		fd = tarnd_dial(w);
		tarnd_put(fd, line, n);
		close(fd);
	}
	must_do(w, "server.info", "{}");
	free(junk);
}

static void test_half_close(void **state)
{
	struct world *w = *state;
	const char   *lines = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			      "\"disk.discover\"}\n"
			      "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":"
			      "\"server.info\"}\n";
	json_t       *a, *b;
	int           fd;

	tarnd_start(w);
	/* As `socat` does: send, close for writing, read to the end. */
	fd = tarnd_dial(w);
	tarnd_put(fd, lines, strlen(lines));
	shutdown(fd, SHUT_WR);
	a = tarnd_get_line(fd);
	b = tarnd_get_line(fd);
	assert_non_null(a);
	assert_non_null(b);
	/* Pipelined calls end in any order. */
	assert_int_equal(json_integer_value(json_object_get(a, "id")) +
			 json_integer_value(json_object_get(b, "id")), 3);
	assert_null(tarnd_get_line(fd));
	json_decref(a);
	json_decref(b);
	close(fd);
}

/* Every method but these gets each of the parameters. */
static void nonsense(const struct world *w, json_t *methods, const char *but)
{
	static const char *const params[] = {
		"{}", "[]", "null", "{\"name\":\"\"}",
		"{\"name\":\"x\",\"size\":0}",
		"{\"name\":\"x\",\"size\":9223372036854775807}",
		"{\"name\":\"x\",\"new_name\":\"x/y\"}",
		"{\"name\":\"\\u0001\"}", "{\"places\":[]}",
		"{\"places\":[\"\"]}", "{\"after\":\"zzz\"}",
		"{\"names\":[]}", "{\"names\":[\"x\",\"\"]}",
		"{\"job\":\"x\",\"wait\":true}", "{\"volume\":\"x\"}",
		"{\"volume\":\"\",\"size\":1}",
		"{\"export\":\"x\",\"size\":1}",
		"{\"from\":\"x@y\",\"to\":\"x\"}",
		"{\"alarm\":\"pool.full\",\"seconds\":1}",
	};
	json_t *m;
	size_t  i;

	json_array_foreach(methods, i, m) {
		if (strcmp(reply_str(m, "name"), but) == 0)
			continue;
		for (size_t j = 0; j < ARRAY_LEN(params); j++)
			json_decref(tarnd_call(w, reply_str(m, "name"),
					       params[j]));
	}
}

/* Every method that there is takes nonsense without harm, with a pool and
 * without one. */
static void test_every_method(void **state)
{
	struct world *w = *state;
	json_t       *r, *methods;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	r = must(w, "server.methods", "{}");
	methods = json_object_get(r, "methods");
	assert_true(json_array_size(methods) >= 15);
	nonsense(w, methods, "pool.export");
	tank_wait_state(w, "online");
	must_do(w, "pool.export", "{}");
	nonsense(w, methods, "pool.import");
	json_decref(r);
	must_do(w, "server.stats", "{}");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* What makes no sense is refused in one sentence that names it. */
static void test_wrong_values(void **state)
{
	static const struct {
		const char *method, *params, *err, *says;
	} cases[] = {
		{ "pool.export", "{\"name\":\"\"}", "EINVAL", "''" },
		{ "pool.import", "{\"name\":\"\"}", "EINVAL", "''" },
		{ "pool.import", "{\"read_only\":true}", "EBUSY",
		  "'tank' is open for writing" },
		{ "pool.import", "{\"disks\":[\"\"]}", "EINVAL",
		  "'' is no place" },
		{ "pool.import", "{\"disks\":[\"a b\"]}", "EINVAL",
		  "'a b' is no place" },
		{ "alarm.mute", "{\"alarm\":\"bogus\",\"seconds\":1}", "EINVAL",
		  "no alarm 'bogus'" },
		{ "alarm.mute", "{\"alarm\":\"pool.full\",\"object\":\"\","
		  "\"seconds\":1}", "EINVAL", "leave it out" },
		{ "alarm.mute", "{\"alarm\":\"pool.full\","
		  "\"seconds\":99999999}", "EINVAL", "a year" },
		{ "job.show", "{\"job\":\"delete-99\"}", "ENOENT",
		  "'delete-99'" },
		{ "job.cancel", "{\"job\":\"\"}", "ENOENT", "''" },
		{ "receive.abort", "{\"export\":\"x\"}", "ENOENT", "'x'" },
		{ "receive.begin", "{\"volume\":\"n\",\"size\":1048576,"
		  "\"base\":\"x\"}", "EINVAL", "base: this is no UUID" },
		{ "snapshot.diff", "{\"from\":\"v\",\"to\":\"w\"}", "EINVAL",
		  "'v' and 'w'" },
		{ "schedule.set", "{\"name\":\"v\"}", "EINVAL", "'v'" },
		{ "schedule.set", "{\"name\":\"v\",\"daily\":10001}", "EINVAL",
		  "10001" },
		{ "volume.du", "{\"names\":[\"v\",\"nope\"]}", "ENOENT",
		  "'nope'" },
		{ "volume.freed", "{\"names\":[\"v\",\"v#c\"]}", "EINVAL",
		  "'v#c'" },
		{ "trash.empty", "{\"names\":[\"v\"]}", "ENOENT",
		  "'v' in the trash" },
		{ "volume.undelete", "{\"name\":\"a/b\"}", "EINVAL", "'a/b'" },
		{ "snapshot.create", "{\"names\":[]}", "EINVAL", "" },
	};
	struct world *w = *state;

	tank_with_volumes(w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refused(w, cases[i].method, cases[i].params, cases[i].err,
			cases[i].says);
	/* Nothing of it did anything, or is remembered. */
	tank_wait_state(w, "online");
	must_do(w, "disk.discover", "{\"places\":[\"\",\"a b\"]}");
	json_decref(must(w, "pool.list", "{}"));
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

/* An alarm of an object with a long name is muted by what it ends with. */
static void test_mute(void **state)
{
	struct world *w = *state;
	char    object[301], params[600];
	json_t *r, *events, *e;

	tank_with_volumes(w);
	memset(object, 'x', sizeof(object));
	memcpy(object + EVENT_OBJECT_MAX - 4, "last", 4);
	object[300] = '\0';
	for (int seconds = 60; seconds >= -60; seconds -= 60) {
		text(params, sizeof(params), "{\"alarm\":\"disk.errors\","
		     "\"object\":\"%s\",\"seconds\":%d}", object,
		     seconds > 0 ? seconds : 0);
		r = must(w, "alarm.mute", params);
		assert_true(json_is_false(json_object_get(r, "holds")));
		assert_int_equal(json_is_true(json_object_get(r, "already")),
				 seconds < 0);
		json_decref(r);
	}
	r = must(w, "event.list", "{}");
	events = json_object_get(r, "events");
	e = json_array_get(events, json_array_size(events) - 1);
	assert_string_equal(reply_str(e, "event"), "alarm.mute");
	assert_non_null(strstr(reply_str(e, "object"), "xlast"));
	json_decref(r);
}

/* The document describes every method and every parameter. */
static void test_documented(void **state)
{
	struct world *w = *state;
	FILE         *f = fopen("docs/control-api.md", "r");
	char         *doc = calloc(1, 1 << 17);
	json_t       *r, *m, *p;
	size_t        i, j;

	if (f == NULL)
		fail_msg("run it at the top of the tree");
	assert_true(fread(doc, 1, (1 << 17) - 1, f) > 1000);
	fclose(f);
	tarnd_start(w);
	r = must(w, "server.methods", "{}");
	json_array_foreach(json_object_get(r, "methods"), i, m) {
		char  head[100], *section, *end;

		text(head, sizeof(head), "\n## %s\n", reply_str(m, "name"));
		section = strstr(doc, head);
		if (section == NULL) {
			fail_msg("no section '%s'", reply_str(m, "name"));
			return;
		}
		end = strstr(section + 4, "\n## ");
		if (end != NULL)
			*end = '\0';
		json_array_foreach(json_object_get(m, "params"), j, p) {
			text(head, sizeof(head), "| `%s` |",
			     reply_str(p, "name"));
			if (strstr(section, head) == NULL)
				fail_msg("%s: no parameter %s",
					 reply_str(m, "name"),
					 reply_str(p, "name"));
		}
		text(head, sizeof(head), "\"method\":\"%s\"",
		     reply_str(m, "name"));
		if (strstr(section, head) == NULL)
			fail_msg("%s: no example", reply_str(m, "name"));
		if (end != NULL)
			*end = '\n';
	}
	json_decref(r);
	free(doc);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_sockets),      T(test_signals),
		T(test_many_clients), T(test_gone_clients),
		T(test_hostile),      T(test_half_close),
		T(test_every_method), T(test_wrong_values),
		T(test_mute),         T(test_documented),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
