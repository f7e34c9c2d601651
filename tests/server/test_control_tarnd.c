/* A real tarnd over files, by its control socket: the life of a pool, restarts
 * in good and bad order, and clients that misbehave.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <libnbd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "server/control.h"

/* Only so that a broken server ends the test; nothing passes by time. */
#define PATIENCE_S 60

struct world {
	char  dir[64];
	char  control[96];
	char  disk[4][96];
	pid_t pid; /* of tarnd; 0: none */
};

static void text(char *ret, size_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void text(char *ret, size_t bytes, const char *fmt, ...)
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

static void pause_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

/* Start tarnd with its usual arguments, and extra (NULL-ended). */
static pid_t spawn(struct world *w, const char *const *extra)
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

		dup2(fd, STDERR_FILENO);
		execv(path, (char *const *)argv);
		_exit(127);
	}
	return pid;
}

static int wait_exit(pid_t pid)
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

static void start(struct world *w)
{
	const char *extra[] = { "--disks", w->disk[0], w->disk[1], w->disk[2],
				"--open-wait", "1", NULL };
	int fd = -1;

	assert_int_equal(w->pid, 0);
	w->pid = spawn(w, extra);
	for (int i = 0; i < PATIENCE_S * 100 && fd < 0; i++) {
		pause_ms(10);
		fd = try_connect(w->control);
	}
	assert_true(fd >= 0);
	close(fd);
}

static int stop(struct world *w, int sig)
{
	pid_t pid = w->pid;

	assert_true(pid > 0);
	w->pid = 0;
	kill(pid, sig);
	return wait_exit(pid);
}

/* --- talking ------------------------------------------------------------- */

static int client(const struct world *w)
{
	int fd = try_connect(w->control);

	assert_true(fd >= 0);
	return fd;
}

static void put(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		buf += n;
		len -= (size_t)n;
	}
}

/* A byte, or -1 at the end of the stream. */
static int get_byte(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned char c;

	assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
	return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

/* The next line as JSON; NULL at the end of the stream. */
static json_t *get_line(int fd)
{
	size_t  cap = 1 << 20, n = 0;
	char   *line = malloc(cap);
	json_t *msg;
	int     c;

	while ((c = get_byte(fd)) >= 0 && c != '\n') {
		assert_true(n < cap);
		line[n++] = (char)c;
	}
	msg = c < 0 ? NULL : json_loadb(line, n, 0, NULL);
	assert_true(c < 0 || msg != NULL);
	free(line);
	return msg;
}

/* One call on a connection of its own; the whole reply. */
static json_t *call(const struct world *w, const char *method,
		    const char *params)
{
	char    line[8192];
	int     fd = client(w);
	json_t *reply;

	text(line, sizeof(line),
	     "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":%s}"
	     "\n", method, params);
	put(fd, line, strlen(line));
	reply = get_line(fd);
	assert_non_null(reply);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 7);
	close(fd);
	return reply;
}

/* A call that must succeed; its result. */
static json_t *must(const struct world *w, const char *method,
		    const char *params)
{
	json_t *reply = call(w, method, params), *result;

	result = json_object_get(reply, "result");
	if (result == NULL)
		fail_msg("%s: %s", method, json_dumps(reply, 0));
	json_incref(result);
	json_decref(reply);
	return result;
}

static void must_do(const struct world *w, const char *method,
		    const char *params)
{
	json_decref(must(w, method, params));
}

/* A call that must fail with this errno, in one sentence that says `says`. */
static void refused(const struct world *w, const char *method,
		    const char *params, const char *err, const char *says)
{
	json_t     *reply = call(w, method, params);
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

static const char *str(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Wait for a state of the pool. */
static void wait_state(const struct world *w, const char *state)
{
	for (int i = 0; i < PATIENCE_S * 20; i++) {
		json_t *s = must(w, "pool.status", "{}");
		bool    there = strcmp(str(s, "state"), state) == 0;

		json_decref(s);
		if (there)
			return;
		pause_ms(50);
	}
	fail_msg("the pool never became %s", state);
}

/* Wait until so many disks are online. */
static void wait_disks(const struct world *w, unsigned want)
{
	for (int i = 0; i < PATIENCE_S * 20; i++) {
		json_t  *r = must(w, "disk.list", "{}"), *d;
		unsigned n = 0;
		size_t   j;

		json_array_foreach(json_object_get(r, "disks"), j, d)
			n += strcmp(str(d, "state"), "online") == 0;
		json_decref(r);
		if (n == want)
			return;
		pause_ms(50);
	}
	fail_msg("there were never %u disks online", want);
}

/* --- set-up -------------------------------------------------------------- */

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/tarn-control.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
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

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->pid != 0)
		stop(w, SIGKILL);
	assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(w);
	return 0;
}

static void create(const struct world *w, const char *redundancy, int ndisks)
{
	char params[600];

	text(params, sizeof(params),
	     "{\"name\":\"tank\",\"redundancy\":\"%s\",\"domain\":\"disk\","
	     "\"disks\":[\"%s\",\"%s\"%s%s%s]}", redundancy, w->disk[0],
	     w->disk[1], ndisks == 3 ? ",\"" : "",
	     ndisks == 3 ? w->disk[2] : "", ndisks == 3 ? "\"" : "");
	must_do(w, "pool.create", params);
}

/* --- tests --------------------------------------------------------------- */

static void test_life(void **state)
{
	struct world *w = *state;
	json_t       *r;

	start(w);
	refused(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}",
		"ENODEV", "no pool is open");
	create(w, "2+1", 3);
	/* The same again has been done already. */
	create(w, "2+1", 3);
	wait_state(w, "online");
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	r = must(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	assert_true(json_is_true(json_object_get(r, "already")));
	json_decref(r);
	must_do(w, "volume.resize", "{\"name\":\"v\",\"size\":2097152}");
	must_do(w, "volume.rename", "{\"name\":\"v\",\"new_name\":\"w\"}");
	refused(w, "volume.show", "{\"name\":\"v\"}", "ENOENT",
		"'v' does not exist");
	refused(w, "volume.show", "{\"name\":\"a/b\"}", "EINVAL", "name");
	r = must(w, "volume.show", "{\"name\":\"w\"}");
	assert_int_equal(json_integer_value(json_object_get(r, "size_bytes")),
			 2097152);
	json_decref(r);
	r = must(w, "pool.df", "{}");
	assert_int_equal(
		json_integer_value(json_object_get(r, "provisioned_bytes")),
		2097152);
	assert_true(json_integer_value(json_object_get(r, "usable_bytes")) >
		    100 << 20);
	json_decref(r);
	assert_int_equal(stop(w, SIGTERM), 0);
	assert_int_equal(access(w->control, F_OK), -1);
}

static void test_restart(void **state)
{
	struct world *w = *state;
	json_t       *r;

	start(w);
	create(w, "1+1", 2);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	/* Killed or stopped: it opens again by itself, and a call that comes
	 * while it is being opened waits for that. */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(stop(w, i % 2 == 0 ? SIGKILL : SIGTERM),
				 i % 2 == 0 ? 128 + SIGKILL : 0);
		start(w);
		r = must(w, "volume.list", "{}");
		assert_int_equal(
			json_array_size(json_object_get(r, "volumes")), 1);
		json_decref(r);
	}
	/* Exported, it is found but not opened until it is imported. */
	must_do(w, "pool.export", "{\"name\":\"tank\"}");
	r = must(w, "pool.status", "{}");
	assert_string_equal(str(r, "state"), "none");
	json_decref(r);
	refused(w, "volume.list", "{}", "ENODEV", "no pool is open");
	refused(w, "pool.import", "{\"name\":\"pond\"}", "ENOENT",
		"'pond' was not found");
	must_do(w, "pool.import", "{\"read_only\":true}");
	wait_state(w, "read-only");
	refused(w, "volume.create", "{\"name\":\"x\",\"size\":1048576}",
		"EROFS", "read-only");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{\"name\":\"tank\"}");
	must_do(w, "volume.delete", "{\"name\":\"v\"}");
	assert_int_equal(stop(w, SIGINT), 0);
}

static void test_refusals(void **state)
{
	struct world *w = *state;
	char          p[900];
	const char   *a, *b;

	start(w);
	a = w->disk[0];
	b = w->disk[1];
#define CREATE(name, red, more, fmt, ...)                                  \
	text(p, sizeof(p),                                                 \
	     "{\"name\":\"" name "\",\"redundancy\":\"" red "\"" more     \
	     ",\"disks\":[" fmt "]}", ##__VA_ARGS__)
#define BY_DISK ",\"domain\":\"disk\""
	CREATE("t", "1+1", "", "\"%s\",\"%s\"", a, b);
	refused(w, "pool.create", p, "EINVAL", "--domain disk");
	CREATE("t", "2+1", BY_DISK, "\"%s\",\"%s\"", a, b);
	refused(w, "pool.create", p, "EINVAL", "at least 3 disks");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s\"", a, a);
	refused(w, "pool.create", p, "EEXIST", "twice");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s/../%s\"", a, w->dir,
	       a + strlen("/tmp/"));
	refused(w, "pool.create", p, "EEXIST", "same disk");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s\"", a, w->disk[3]);
	refused(w, "pool.create", p, "EINVAL", "too small");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s/none\"", a, w->dir);
	refused(w, "pool.create", p, "ENOTCONN", "none");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"ftp://x/\"", a);
	refused(w, "pool.create", p, "EINVAL", "no place");
	CREATE("t", "1+9", BY_DISK, "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "1+9");
	CREATE("t", "1+1", BY_DISK, "");
	refused(w, "pool.create", p, "EINVAL", "no disks");
	CREATE("t/u", "1+0", BY_DISK, "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "name");
	CREATE("t", "1+0", ",\"domain\":\"rack\"", "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "rack");
	refused(w, "pool.export", "{}", "ENODEV", "no pool is open");
	/* Nothing of that was written. */
	create(w, "1+1", 2);
	CREATE("other", "1+0", BY_DISK, "\"%s\"", w->disk[2]);
	refused(w, "pool.create", p, "EBUSY", "'tank' is open");
	refused(w, "pool.import", "{\"name\":\"other\"}", "EBUSY",
		"'tank' is open");
	refused(w, "pool.export", "{\"name\":\"other\"}", "ENOENT",
		"'other' is not open");
	must_do(w, "pool.export", "{}");
	/* Somebody's disks are not taken. */
	CREATE("other", "1+1", BY_DISK, "\"%s\",\"%s\"", a, w->disk[2]);
	refused(w, "pool.create", p, "EEXIST", "'tank'");
}

static void test_foreign_data(void **state)
{
	struct world *w = *state;
	char          p[400];
	int           fd = open(w->disk[0], O_WRONLY);
	json_t       *r;

	/* One byte in the last block is somebody's. */
	assert_int_equal(pwrite(fd, "x", 1, (256 << 20) - 1), 1);
	close(fd);
	start(w);
	text(p, sizeof(p), "{\"name\":\"t\",\"redundancy\":\"1+0\",\"domain\":"
			   "\"disk\",\"disks\":[\"%s\"]}", w->disk[0]);
	refused(w, "pool.create", p, "EEXIST", "unknown data");
	text(p, sizeof(p), "{\"name\":\"t\",\"redundancy\":\"1+0\",\"domain\":"
			   "\"disk\",\"force\":true,\"disks\":[\"%s\"]}",
	     w->disk[0]);
	r = must(w, "pool.create", p);
	assert_int_equal(json_array_size(json_object_get(r, "warnings")), 1);
	json_decref(r);
}

static void test_missing_disk(void **state)
{
	struct world *w = *state;
	char          hidden[120];

	start(w);
	create(w, "2+1", 3);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	assert_int_equal(stop(w, SIGTERM), 0);
	text(hidden, sizeof(hidden), "%s.away", w->disk[1]);
	assert_int_equal(rename(w->disk[1], hidden), 0);
	start(w);
	wait_state(w, "degraded");
	must_do(w, "volume.create", "{\"name\":\"u\",\"size\":1048576}");
	/* It turns up again, and is taken back without being asked for. */
	assert_int_equal(rename(hidden, w->disk[1]), 0);
	wait_disks(w, 3);
	assert_int_equal(stop(w, SIGTERM), 0);
	/* With too few, it says so, and opens when they are back. */
	assert_int_equal(rename(w->disk[1], hidden), 0);
	text(hidden, sizeof(hidden), "%s.away", w->disk[2]);
	assert_int_equal(rename(w->disk[2], hidden), 0);
	start(w);
	wait_state(w, "waiting");
	refused(w, "volume.list", "{}", "ENODEV", "not open yet");
	refused(w, "pool.import", "{\"name\":\"tank\"}", "EAGAIN",
		"bring them back");
	assert_int_equal(rename(hidden, w->disk[2]), 0);
	wait_state(w, "degraded");
}

static void test_sockets(void **state)
{
	struct world *w = *state;
	const char   *none[] = { NULL };
	struct stat   st;
	int           fd;

	start(w);
	assert_int_equal(stat(w->control, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* A live socket is not taken over. */
	assert_int_equal(wait_exit(spawn(w, none)), 1);
	must_do(w, "server.info", "{}");
	/* A stale one is. */
	stop(w, SIGKILL);
	assert_int_equal(access(w->control, F_OK), 0);
	start(w);
	stop(w, SIGKILL);
	/* What is no socket is left alone. */
	unlink(w->control);
	fd = open(w->control, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_int_equal(wait_exit(spawn(w, none)), 1);
	assert_int_equal(access(w->control, F_OK), 0);
	unlink(w->control);
}

static void test_signals(void **state)
{
	struct world *w = *state;
	int           fds[8];

	start(w);
	for (int i = 0; i < 50; i++)
		kill(w->pid, i % 2 == 0 ? SIGHUP : SIGPIPE);
	must_do(w, "server.info", "{}");
	create(w, "1+1", 2);
	/* Clients in every state do not hold it up. */
	for (int i = 0; i < 8; i++) {
		fds[i] = client(w);
		if (i % 2 == 1)
			put(fds[i], "{\"jsonrpc\":", 11);
	}
	assert_int_equal(stop(w, SIGTERM), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(get_byte(fds[i]), -1);
		close(fds[i]);
	}
}

static void test_many_clients(void **state)
{
	struct world *w = *state;
	int           fds[CTL_CONNECTIONS_MAX + 4];
	unsigned      refusals = 0;
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"server.info\"}\n";

	start(w);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = client(w);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		json_t *r;

		/* Those over the limit are told and closed. */
		send(fds[i], line, strlen(line), MSG_NOSIGNAL);
		r = get_line(fds[i]);
		refusals += r == NULL || json_object_get(r, "error") != NULL;
		json_decref(r);
	}
	assert_true(refusals >= 4 && refusals < ARRAY_LEN(fds));
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	/* There is room again once the server has noticed. */
	for (int i = 0; i < PATIENCE_S * 20; i++) {
		json_t *r = NULL;
		int     fd = client(w);
		bool    ok;

		send(fd, line, strlen(line), MSG_NOSIGNAL);
		r = get_line(fd);
		ok = r != NULL && json_object_get(r, "result") != NULL;
		json_decref(r);
		close(fd);
		if (ok)
			return;
		pause_ms(50);
	}
	fail_msg("no room for a client any more");
}

static void test_hostile(void **state)
{
	struct world *w = *state;
	char         *junk = malloc(1 << 20);
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"server.methods\"}\n";
	int           fd, deaf;

	start(w);
	/* A client that asks a lot and reads nothing... */
	deaf = client(w);
	fcntl(deaf, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 20000; i++)
		if (send(deaf, line, strlen(line), MSG_NOSIGNAL) < 0)
			break;
	/* ... does not disturb one that sends rubbish... */
	for (unsigned i = 0; i < 1 << 20; i++)
		junk[i] = (char)(i * 2654435761u >> 13);
	fd = client(w);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	fd = client(w);
	memset(junk, 'x', 1 << 20);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	fd = client(w);
	memset(junk, '[', 1 << 20);
	send(fd, junk, 1 << 20, MSG_NOSIGNAL);
	close(fd);
	/* ... and neither disturbs us. */
	must_do(w, "server.info", "{}");
	close(deaf);
	/* Half a message, then the end. */
	for (size_t n = 0; n < strlen(line); n += 7) {
		fd = client(w);
		put(fd, line, n);
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

	start(w);
	/* As `socat` does: send, close for writing, read to the end. */
	fd = client(w);
	put(fd, lines, strlen(lines));
	shutdown(fd, SHUT_WR);
	a = get_line(fd);
	b = get_line(fd);
	assert_non_null(a);
	assert_non_null(b);
	/* Pipelined calls end in any order. */
	assert_int_equal(json_integer_value(json_object_get(a, "id")) +
			 json_integer_value(json_object_get(b, "id")), 3);
	assert_null(get_line(fd));
	json_decref(a);
	json_decref(b);
	close(fd);
}

/* Attach to volume v. */
static struct nbd_handle *attach(const struct world *w)
{
	struct nbd_handle *nbd = nbd_create();
	char path[100];

	assert_non_null(nbd);
	text(path, sizeof(path), "%s/nbd", w->dir);
	nbd_set_export_name(nbd, "v");
	if (nbd_connect_unix(nbd, path) == 0)
		return nbd;
	nbd_close(nbd);
	return NULL;
}

static void test_in_use(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *nbd;
	char               buf[4096];
	json_t            *r;

	start(w);
	create(w, "1+1", 2);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	nbd = attach(w);
	assert_non_null(nbd);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(nbd_pwrite(nbd, buf, sizeof(buf), 0, 0), 0);
	r = must(w, "volume.show", "{\"name\":\"v\"}");
	assert_int_equal(json_integer_value(json_object_get(r, "clients")), 1);
	json_decref(r);
	refused(w, "volume.delete", "{\"name\":\"v\"}", "EBUSY", "use");
	refused(w, "pool.export", "{}", "EBUSY", "--force");
	/* Cut off by force; the pool is closed and can be opened again. */
	must_do(w, "pool.export", "{\"force\":true}");
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), -1);
	nbd_close(nbd);
	assert_null(attach(w));
	must_do(w, "pool.import", "{}");
	nbd = attach(w);
	assert_non_null(nbd);
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), 0);
	assert_int_equal(buf[4095], 'x');
	must_do(w, "volume.delete", "{\"name\":\"v\",\"force\":true}");
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), -1);
	nbd_close(nbd);
	/* A client that is attached does not hold up the end. */
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	nbd = attach(w);
	assert_non_null(nbd);
	assert_int_equal(stop(w, SIGTERM), 0);
	nbd_close(nbd);
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
		skip();
	assert_true(fread(doc, 1, (1 << 17) - 1, f) > 1000);
	fclose(f);
	start(w);
	r = must(w, "server.methods", "{}");
	json_array_foreach(json_object_get(r, "methods"), i, m) {
		char  head[100], *section, *end;

		text(head, sizeof(head), "\n## %s\n", str(m, "name"));
		section = strstr(doc, head);
		if (section == NULL)
			fail_msg("no section '%s'", str(m, "name"));
		end = strstr(section + 4, "\n## ");
		if (end != NULL)
			*end = '\0';
		json_array_foreach(json_object_get(m, "params"), j, p) {
			text(head, sizeof(head), "| `%s` |", str(p, "name"));
			if (strstr(section, head) == NULL)
				fail_msg("%s: no parameter %s",
					 str(m, "name"), str(p, "name"));
		}
		text(head, sizeof(head), "\"method\":\"%s\"",
		     str(m, "name"));
		if (strstr(section, head) == NULL)
			fail_msg("%s: no example", str(m, "name"));
		if (end != NULL)
			*end = '\n';
	}
	json_decref(r);
	free(doc);
}

/* Every method that there is takes nonsense without harm. */
static void test_every_method(void **state)
{
	struct world *w = *state;
	json_t       *r, *methods, *m;
	size_t        i;

	start(w);
	create(w, "1+1", 2);
	r = must(w, "server.methods", "{}");
	methods = json_object_get(r, "methods");
	assert_true(json_array_size(methods) >= 15);
	json_array_foreach(methods, i, m) {
		static const char *const params[] = {
			"{}", "[]", "null", "{\"name\":\"\"}",
			"{\"name\":\"x\",\"size\":0}",
			"{\"name\":\"x\",\"size\":9223372036854775807}",
			"{\"name\":\"x\",\"new_name\":\"x/y\"}",
			"{\"name\":\"\\u0001\"}", "{\"places\":[]}",
			"{\"places\":[\"\"]}", "{\"after\":\"zzz\"}",
		};

		for (size_t j = 0; j < ARRAY_LEN(params); j++)
			json_decref(call(w, str(m, "name"), params[j]));
	}
	json_decref(r);
	must_do(w, "server.stats", "{}");
	assert_int_equal(stop(w, SIGTERM), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_life),         T(test_restart),
		T(test_refusals),     T(test_foreign_data),
		T(test_missing_disk), T(test_sockets),
		T(test_signals),      T(test_many_clients),
		T(test_hostile),      T(test_half_close),
		T(test_every_method), T(test_documented),
		T(test_in_use),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
