/* tests/server/tarnd_kit.c - see tarnd_kit.h. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tarnd_kit.h"
#include "tests/lib/work_dir.h"

void text(char *ret, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	int     n;

	va_start(ap, fmt);
	n = vsnprintf(ret, bytes, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < bytes);
}

/* --- the server ---------------------------------------------------------- */

/* tarnd beside the folder of this program: BUILD/tests/server/x. */
static void tarnd_path(char *ret, size_t bytes)
{
	char   *slash;
	ssize_t n = readlink("/proc/self/exe", ret, bytes - 16);

	assert_true(n > 0);
	ret[n] = '\0';
	for (int i = 0; i < 3; i++) {
		slash = strrchr(ret, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	strncat(ret, "/tarnd", 8);
}

static int try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	text(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	close(fd);
	return -1;
}

void pause_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

void wait_above(atomic_uint *counter, unsigned than)
{
	for (int i = 0; atomic_load(counter) <= than; i++) {
		assert_true(i < PATIENCE_S * 1000);
		pause_ms(1);
	}
}

pid_t tarnd_spawn(struct world *w, const char *const *extra)
{
	char        path[4200], listen[120], log[120];
	const char *argv[32] = { path, "--listen", listen, "--control",
				 w->control, "--run-dir", w->dir };
	int         n = 7;
	pid_t       pid;

	tarnd_path(path, sizeof(path));
	text(listen, sizeof(listen), "unix:%s/nbd", w->dir);
	text(log, sizeof(log), "%s/log", w->dir);
	for (; *extra != NULL; extra++)
		argv[n++] = *extra;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		/* Also when the test crashes. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDERR_FILENO);
		execv(path, (char *const *)argv);
		_exit(127);
	}
	return pid;
}

int tarnd_wait_exit(pid_t pid)
{
	int status;

	for (int i = 0; i < PATIENCE_S * 100; i++) {
		pid_t r = waitpid(pid, &status, WNOHANG);

		assert_true(r >= 0);
		if (r == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : 128 + WTERMSIG(status);
		pause_ms(10);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fail_msg("tarnd did not end");
	return -1;
}

/* The socket of one that was killed may take a connection for a moment, until
 * the kernel is done with its ring; only the new one answers. */
static bool answers(int fd)
{
	static const char ask[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
				  "\"server.info\"}\n";

	return send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0 &&
	       tarnd_get_byte(fd) >= 0;
}

void tarnd_start(struct world *w)
{
	const char *extra[] = { "--disks", w->disk[0], w->disk[1], w->disk[2],
				"--open-wait", "1",
				/* What is deleted gives its space back. */
				"--trash-hours", "0", NULL };
	int fd = -1;

	assert_int_equal(w->pid, 0);
	w->pid = tarnd_spawn(w, extra);
	for (int i = 0; i < PATIENCE_S * 100 && fd < 0; i++) {
		pause_ms(10);
		fd = try_connect(w->control);
		if (fd >= 0 && !answers(fd)) {
			close(fd);
			fd = -1;
		}
	}
	assert_true(fd >= 0);
	close(fd);
}

/* A process has ended a moment before the kernel is done with its ring, and
 * what was under way in that keeps the disks open and locked.  Who starts
 * meanwhile finds them in use, says so, and tries again later; what is asked
 * of it then is refused. */
static void disks_wait_free(const struct world *w)
{
	for (int i = 0; i < 3; i++) {
		int fd = open(w->disk[i], O_RDWR | O_CLOEXEC);
		int tries = PATIENCE_S * 100;

		if (fd < 0)
			continue; /* the test has moved it away */
		while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			assert_true(tries-- > 0);
			pause_ms(10);
		}
		close(fd);
	}
}

int tarnd_stop(struct world *w, int sig)
{
	pid_t pid = w->pid;
	int   r;

	assert_true(pid > 0);
	w->pid = 0;
	kill(pid, sig);
	r = tarnd_wait_exit(pid);
	disks_wait_free(w);
	return r;
}

/* --- talking ------------------------------------------------------------- */

int tarnd_dial(const struct world *w)
{
	int fd = try_connect(w->control);

	assert_true(fd >= 0);
	return fd;
}

void tarnd_put(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		buf += n;
		len -= (size_t)n;
	}
}

int tarnd_get_byte(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned char c;

	assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
	return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

json_t *tarnd_get_line(int fd)
{
	size_t  cap = 1 << 20, n = 0;
	char   *line = malloc(cap);
	json_t *msg;
	int     c;

	while ((c = tarnd_get_byte(fd)) >= 0 && c != '\n') {
		assert_true(n < cap);
		line[n++] = (char)c;
	}
	msg = c < 0 ? NULL : json_loadb(line, n, 0, NULL);
	assert_true(c < 0 || msg != NULL);
	free(line);
	return msg;
}

json_t *tarnd_call(const struct world *w, const char *method,
		   const char *params)
{
	char    line[8192];
	int     fd = tarnd_dial(w);
	json_t *reply;

	text(line, sizeof(line),
	     "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}"
	     "\n", method, params);
	tarnd_put(fd, line, strlen(line));
	reply = tarnd_get_line(fd);
	assert_non_null(reply);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
	close(fd);
	return reply;
}

json_t *must(const struct world *w, const char *method, const char *params)
{
	json_t *reply = tarnd_call(w, method, params), *result;

	result = json_object_get(reply, "result");
	if (result == NULL)
		fail_msg("%s: %s", method, json_dumps(reply, 0));
	json_incref(result);
	json_decref(reply);
	return result;
}

void must_do(const struct world *w, const char *method, const char *params)
{
	json_decref(must(w, method, params));
}

void refused(const struct world *w, const char *method, const char *params,
	     const char *err, const char *says)
{
	json_t     *reply = tarnd_call(w, method, params);
	json_t     *error = json_object_get(reply, "error");
	const char *message, *name;

	if (error == NULL)
		fail_msg("%s succeeded: %s", method, json_dumps(reply, 0));
	message = json_string_value(json_object_get(error, "message"));
	name = json_string_value(json_object_get(
		json_object_get(error, "data"), "errno"));
	assert_non_null(message);
	if (strstr(message, says) == NULL || strchr(message, '\n') != NULL ||
	    strcmp(name != NULL ? name : "", err) != 0)
		fail_msg("%s: %s (%s)", method, message, name);
	json_decref(reply);
}

const char *reply_str(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

json_int_t reply_num(json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

json_int_t asked(const struct world *w, const char *method, const char *name,
		 const char *key)
{
	char       p[600];
	json_t    *r;
	json_int_t n;

	text(p, sizeof(p), "{\"name\":\"%s\"}", name);
	r = must(w, method, p);
	n = reply_num(r, key);
	json_decref(r);
	return n;
}

void tank_wait_state(const struct world *w, const char *state)
{
	for (int i = 0; i < PATIENCE_S * 20; i++) {
		json_t *s = must(w, "pool.status", "{}");
		bool    there = strcmp(reply_str(s, "state"), state) == 0;

		json_decref(s);
		if (there)
			return;
		pause_ms(50);
	}
	fail_msg("the pool never became %s", state);
}

void tank_wait_disks(const struct world *w, unsigned want)
{
	for (int i = 0; i < PATIENCE_S * 20; i++) {
		json_t  *r = must(w, "disk.list", "{}"), *d;
		unsigned n = 0;
		size_t   j;

		json_array_foreach(json_object_get(r, "disks"), j, d)
			n += strcmp(reply_str(d, "state"), "online") == 0;
		json_decref(r);
		if (n == want)
			return;
		pause_ms(50);
	}
	fail_msg("there were never %u disks online", want);
}

/* --- set-up -------------------------------------------------------------- */

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(work_dir_make(w->dir, sizeof(w->dir)), 0);
	text(w->control, sizeof(w->control), "%s/ctl", w->dir);
	for (int i = 0; i < 4; i++) {
		int fd;

		text(w->disk[i], sizeof(w->disk[i]), "%s/disk%d", w->dir, i);
		fd = open(w->disk[i], O_RDWR | O_CREAT, 0600);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, i == 3 ? 4 << 20 : 256 << 20),
				 0);
		close(fd);
	}
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	if (w->pid != 0)
		tarnd_stop(w, SIGKILL);
	assert_int_equal(work_dir_remove(w->dir), 0);
	free(w);
	return 0;
}

void tank_create(const struct world *w, const char *redundancy, int ndisks)
{
	char params[600];

	text(params, sizeof(params),
	     "{\"name\":\"tank\",\"redundancy\":\"%s\",\"domain\":\"disk\","
	     "\"disks\":[\"%s\",\"%s\"%s%s%s]}", redundancy, w->disk[0],
	     w->disk[1], ndisks == 3 ? ",\"" : "",
	     ndisks == 3 ? w->disk[2] : "", ndisks == 3 ? "\"" : "");
	must_do(w, "pool.create", params);
}

void tank_with_volumes(struct world *w)
{
	tarnd_start(w);
	tank_create(w, "1+1", 2);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":4194304}");
	must_do(w, "volume.create", "{\"name\":\"w\",\"size\":1048576}");
}

void snapshots_many(const struct world *w)
{
	char p[1500];

	tank_create(w, "1+1", 2);
	for (int v = 0; v < 40; v++) {
		text(p, sizeof(p), "{\"name\":\"v%02d\",\"size\":65536}", v);
		must_do(w, "volume.create", p);
	}
	for (int s = 0; s < 26; s++) {
		size_t at = (size_t)sprintf(p, "{\"names\":[");

		for (int v = 0; v < 40; v++)
			at += (size_t)sprintf(p + at, "%s\"v%02d@%d\"",
					      v > 0 ? "," : "", v, s);
		text(p + at, sizeof(p) - at, "]}");
		must_do(w, "snapshot.create", p);
	}
}
