/* server/nbd_listen.c - listening sockets and accepting.
 *
 * One accept is in flight per listener.  When the process is out of
 * descriptors, the spare one is given up for a moment to accept and close
 * what waits, so that clients see an end instead of hanging; then accepting
 * pauses.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/nbd_conn.h"
#include "server/sockaddr.h"

#define BACKLOG 128
/* Pause after accept() failed, and connections turned away before it. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define TURN_AWAY_MAX   16
/* Times that a place in use is tried again, with a pause between them. */
#define LISTEN_TRIES    20

static void listener_free(struct nbd_listener *l)
{
	struct nbd_server *srv = l->srv;
	struct stat        st;

	io_timer_cancel(srv->io, &l->retry);
	close(l->fd);
	if (l->path[0] != 0 && lstat(l->path, &st) == 0 &&
	    st.st_ino == l->ino)
		(void)unlink(l->path);
	list_remove(&l->link);
	free(l);
	nbd_server_check(srv);
}

void nbd_listener_close(struct nbd_listener *l)
{
	if (!l->accept.inflight) {
		listener_free(l);
		return;
	}
	io_cancel(l->srv->io, &l->accept);
}

static void turn_away(struct nbd_listener *l)
{
	struct nbd_server *srv = l->srv;
	struct pollfd      p = { .fd = l->fd, .events = POLLIN };

	if (srv->spare_fd < 0)
		return;
	close(srv->spare_fd);
	for (unsigned i = 0; i < TURN_AWAY_MAX; i++) {
		/* The socket blocks, as the ring wants it. */
		int fd = poll(&p, 1, 0) == 1 ?
				 accept4(l->fd, NULL, NULL, SOCK_CLOEXEC) :
				 -1;

		if (fd < 0)
			break;
		close(fd);
		srv->stats.refused++;
	}
	srv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_done(struct io_req *req)
{
	struct nbd_listener *l = container_of(req, struct nbd_listener, accept);
	struct nbd_server   *srv = l->srv;
	int                  r = req->res;

	if (r >= 0)
		nbd_conn_start(srv, r);
	if (srv->closing) {
		listener_free(l);
		return;
	}
	if (r >= 0 || r == -ECONNABORTED || r == -EINTR || r == -EPROTO) {
		io_submit(srv->io, req);
		return;
	}
	nbd_log(srv, "accepting on %s failed: %s", l->where, strerror(-r));
	if (r == -EMFILE || r == -ENFILE)
		turn_away(l);
	io_timer_arm(srv->io, &l->retry, io_now_ns(srv->io) + ACCEPT_RETRY_NS);
}

static void retry_fn(struct io_timer *t)
{
	struct nbd_listener *l = container_of(t, struct nbd_listener, retry);

	io_submit(l->srv->io, &l->accept);
}

/* Nobody listens on the unix socket at path any more: remove it. */
static int remove_stale(const struct sockaddr_place *place, const char *path,
			char *ret_err)
{
	struct stat st;
	int         fd, r;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "%s exists and is no socket: move it away or listen "
			 "elsewhere",
			 path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)&place->ss, place->len);
	r = r < 0 ? -errno : 0;
	close(fd);
	if (r == -ECONNREFUSED) {
		(void)unlink(path);
		return 0;
	}
	snprintf(ret_err, SOCKADDR_ERR_BYTES,
		 "another program listens on %s: stop it or listen elsewhere",
		 path);
	return -EADDRINUSE;
}

static int open_socket(const struct sockaddr_place *place, int *ret_fd)
{
	int family = place->ss.ss_family;
	int one = 1;
	int r;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
				 sizeof(one));
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
				 sizeof(one));
	if (bind(fd, (const struct sockaddr *)&place->ss, place->len) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int listen_once(struct nbd_server *srv, const char *where, char *ret_err)
{
	struct sockaddr_place place;
	struct nbd_listener  *l;
	struct stat           st;
	const char           *path = "";
	int                   r = sockaddr_parse(where, &place, ret_err);

	if (r < 0)
		return r;
	if (place.ss.ss_family == AF_UNIX) {
		path = where + strlen("unix:");
		r = remove_stale(&place, path, ret_err);
		if (r < 0)
			return r;
	}
	l = calloc(1, sizeof(*l));
	r = l == NULL ? -ENOMEM : open_socket(&place, &l->fd);
	if (r < 0) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "cannot listen on %.100s: %s", where, strerror(-r));
		free(l);
		return r;
	}
	l->srv = srv;
	snprintf(l->where, sizeof(l->where), "%s", where);
	snprintf(l->path, sizeof(l->path), "%s", path);
	if (path[0] != 0 && lstat(path, &st) == 0)
		l->ino = st.st_ino;
	io_timer_init(&l->retry, retry_fn);
	list_push(&srv->listeners, &l->link);
	l->accept.op = IO_ACCEPT;
	l->accept.fd = l->fd;
	l->accept.done = accept_done;
	io_submit(srv->io, &l->accept);
	return 0;
}

/* A ring outlives its process for a moment, and the socket that it accepts on
 * with it: a server that was just killed gets the time to be gone. */
int nbd_server_listen(struct nbd_server *srv, const char *where, char *ret_err)
{
	static const struct timespec pause = { .tv_nsec = 50 * NS_PER_MS };
	int                          r = listen_once(srv, where, ret_err);

	for (unsigned i = 0; r == -EADDRINUSE && i < LISTEN_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = listen_once(srv, where, ret_err);
	}
	return r;
}
