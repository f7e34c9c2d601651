/* tools/tarn/rpc.c - one request, one reply, over the control socket, with one
 * deadline for all of it.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/cli.h"

/* A reply that is longer is no reply of ours. */
#define REPLY_MAX (64u << 20)
/* So often a server that went away is asked again, twice a second. */
#define AGAIN_TIMES 40
#define AGAIN_MS    500

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

/* Until fd is ready; 0 or -errno. */
static int wait_ready(int fd, short events, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = now_ms();
		int r;

		if (now >= deadline_ms)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)min_u64(deadline_ms - now, 60000));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int connect_server(const char *path, uint64_t deadline_ms)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: the server's queue is full just now. */
	while ((r = connect(fd, (struct sockaddr *)&sa, sizeof(sa))) < 0 &&
	       errno == EAGAIN && now_ms() < deadline_ms)
		poll(NULL, 0, 20);
	if (r < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int send_all(int fd, const char *buf, size_t len, uint64_t deadline_ms)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			int r = wait_ready(fd, POLLOUT, deadline_ms);

			if (r < 0)
				return r;
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		} else if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* One line, without its newline, malloc'd. */
static int receive_line(int fd, char **ret_line, size_t *ret_len,
			uint64_t deadline_ms)
{
	size_t len = 0, cap = 0;
	char  *buf = NULL, *p;
	int    r;

	for (;;) {
		ssize_t n;

		if (len == cap) {
			cap = cap == 0 ? 65536 : 2 * cap;
			p = cap <= REPLY_MAX ? realloc(buf, cap) : NULL;
			r = -EMSGSIZE;
			if (p == NULL)
				goto err_buf;
			buf = p;
		}
		n = recv(fd, buf + len, cap - len, 0);
		r = n == 0 ? -ECONNRESET : -errno;
		if (n < 0 && errno == EAGAIN) {
			r = wait_ready(fd, POLLIN, deadline_ms);
			if (r < 0)
				goto err_buf;
			continue;
		}
		if (n <= 0 && !(n < 0 && errno == EINTR))
			goto err_buf;
		p = n > 0 ? memchr(buf + len, '\n', (size_t)n) : NULL;
		len += n > 0 ? (size_t)n : 0;
		if (p == NULL)
			continue;
		*ret_line = buf;
		*ret_len = (size_t)(p - buf);
		return 0;
	}

err_buf:
	free(buf);
	return r;
}

static void report_connect(const struct cli *cli, int r)
{
	out_error(cli, strerrorname_np(-r),
		  "cannot connect to the server at %s: %s: see to it that "
		  "tarnd is running, or name its control socket with --control "
		  "or $TARN_CONTROL",
		  cli->control, strerror(-r));
}

static char *make_request(const char *method, json_t *params, size_t *ret_len)
{
	json_t *msg = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id",
				1, "method", method, "params", params);
	char   *text = msg != NULL ? json_dumps(msg, JSON_COMPACT) : NULL;

	json_decref(msg);
	if (text == NULL)
		return NULL;
	*ret_len = strlen(text);
	text[(*ret_len)++] = '\n'; /* where its NUL was */
	return text;
}

/* The result of a reply, or NULL after having reported. */
static json_t *read_reply(const struct cli *cli, const char *line, size_t len,
			  enum cli_exit *ret_exit)
{
	json_t *reply = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *error = json_object_get(reply, "error");
	json_t *result = json_object_get(reply, "result");
	json_int_t code = js_int(error, "code");

	*ret_exit = code == -32601 || code == -32602 ? CLI_USAGE : CLI_FAILED;
	if (json_is_object(error))
		out_rpc_error(cli, error);
	else if (!json_is_object(result))
		out_error(cli, "EPROTO", "the server's reply makes no sense: "
					 "is %s the control socket of tarnd?",
			  cli->control);
	else
		*ret_exit = CLI_OK;
	json_incref(*ret_exit == CLI_OK ? result : NULL);
	result = *ret_exit == CLI_OK ? result : NULL;
	json_decref(reply);
	return result;
}

json_t *rpc_call(const struct cli *cli, const char *method, json_t *params,
		 enum cli_exit *ret_exit)
{
	uint64_t deadline_ms = now_ms() + cli->timeout_s * 1000;
	size_t   len = 0;
	char    *text = make_request(method, params, &len);
	char    *line = NULL;
	json_t  *result = NULL;
	int      fd, r;

	*ret_exit = CLI_FAILED;
	if (text == NULL || len > 65536) {
		out_error(cli, "EINVAL", "the arguments are too long");
		free(text);
		return NULL;
	}
	fd = connect_server(cli->control, deadline_ms);
	if (fd < 0) {
		report_connect(cli, fd);
		free(text);
		return NULL;
	}
	r = send_all(fd, text, len, deadline_ms);
	if (r == 0)
		r = receive_line(fd, &line, &len, deadline_ms);
	if (r < 0)
		out_error(cli, strerrorname_np(-r),
			  r == -ETIMEDOUT
				  ? "the server at %s did not answer within "
				    "the --timeout; what was asked may still "
				    "happen"
				  : "the server at %s ended the connection; "
				    "see its log, and 'tarn status'",
			  cli->control);
	else
		result = read_reply(cli, line, len, ret_exit);
	free(line);
	free(text);
	close(fd);
	return result;
}

static bool code_is(const struct cli *cli, const char *code)
{
	return strcmp(cli->caught->code, code) == 0;
}

json_t *rpc_call_again(const struct cli *cli, const char *method,
		       json_t *params, bool *ret_unknown)
{
	enum cli_exit exit;
	json_t *result = rpc_call(cli, method, json_incref(params), &exit);

	for (int i = 0; result == NULL && i < AGAIN_TIMES; i++) {
		/* First it must have taken the question; then it may be gone,
		 * or not be ready yet. */
		if (!code_is(cli, "ECONNRESET") && !code_is(cli, "EPIPE") &&
		    (i == 0 || (!code_is(cli, "ECONNREFUSED") &&
				!code_is(cli, "ENODEV"))))
			break;
		poll(NULL, 0, AGAIN_MS);
		result = rpc_call(cli, method, json_incref(params), &exit);
	}
	json_decref(params);
	*ret_unknown = result == NULL &&
		       (code_is(cli, "ECONNRESET") || code_is(cli, "EPIPE") ||
			code_is(cli, "ETIMEDOUT") ||
			code_is(cli, "ECONNREFUSED") ||
			code_is(cli, "ENODEV"));
	return result;
}
