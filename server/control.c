/* server/control.c - the unix socket of the control protocol: connections
 * that move bytes between the engine and a session.
 *
 *	recv --> session --> calls --> session --> send
 *
 * Per connection one receive and one send are in flight at most.  While there
 * is no receive, because all was read or too much was asked, an epoll tells
 * when the client has gone: a call may wait for ever, and must not hold a
 * connection for nobody.  (A poll on the ring would not do: it also ends when
 * the client has only stopped sending.)  What goes wrong and what happens then:
 *  - too many connections: one line that says so, then the end;
 *  - a client that goes away: the connection ends, and what it asked goes on;
 *  - a client that does not read its replies for 30 s, or asks nothing for
 *    5 min: cut;
 *  - a client that stops sending (half-close) still gets its replies;
 *  - no descriptors left: accepting pauses for 100 ms.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/control.h"

#define STALL_NS        (30 * NS_PER_S)
#define IDLE_NS         (300 * NS_PER_S)
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

struct ctl_server {
	struct io       *io;
	struct ctl_core *core;
	struct ctl_listener listener;
	struct io_req    accept;
	struct io_timer  timer;    /* accepts again, or ends draining */
	int              gone_fd;  /* epoll: clients that have gone */
	struct io_req    gone;     /* it has something */
	struct list      conns;    /* struct ctl_conn */
	struct ctl_server_stats stats;
	bool             closing;
	struct io_work   close_work;
	void           (*closed)(void *arg);
	void            *closed_arg;
};

struct ctl_conn {
	struct ctl_server *srv;
	struct list        link;   /* in srv->conns */
	int                fd;
	struct ctl_session session;
	struct io_req      rx, tx;
	struct iovec       iov;    /* what is left to send */
	char              *out;    /* being sent */
	struct io_timer    timer;  /* nothing moves, or nothing is asked */
	bool               eof;    /* no more input */
	bool               watched; /* its fd is in gone_fd */
	bool               gone;   /* nobody reads any more */
	bool               cut;    /* end now */
};

static void conn_pump(struct ctl_conn *c);

/* --- connections --------------------------------------------------------- */

static void server_check_closed(struct ctl_server *srv)
{
	if (srv->closing && list_empty(&srv->conns) &&
	    !srv->accept.inflight && !srv->gone.inflight)
		io_defer(srv->io, &srv->close_work);
}

static void conn_free(struct ctl_conn *c)
{
	struct ctl_server *srv = c->srv;

	assert(!c->rx.inflight && !c->tx.inflight);
	io_timer_cancel(srv->io, &c->timer);
	ctl_session_fini(&c->session);
	list_remove(&c->link);
	if (c->watched)
		epoll_ctl(srv->gone_fd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	free(c->out);
	free(c);
	srv->stats.connections--;
	server_check_closed(srv);
}

static void conn_cut(struct ctl_conn *c)
{
	c->cut = true;
	io_cancel(c->srv->io, &c->rx);
	io_cancel(c->srv->io, &c->tx);
	shutdown(c->fd, SHUT_RDWR);
}

static bool conn_quiet(const struct ctl_conn *c)
{
	return c->session.ncalls == 0 && c->session.out_len == 0 &&
	       c->out == NULL;
}

static void arm_timer(struct ctl_conn *c)
{
	struct io *io = c->srv->io;

	if (c->tx.inflight)
		io_timer_arm(io, &c->timer, io_now_ns(io) + STALL_NS);
	else if (conn_quiet(c))
		io_timer_arm(io, &c->timer, io_now_ns(io) + IDLE_NS);
	else
		io_timer_cancel(io, &c->timer);
}

static void conn_timeout(struct io_timer *t)
{
	struct ctl_conn *c = container_of(t, struct ctl_conn, timer);

	c->srv->stats.cut++;
	conn_cut(c);
	conn_pump(c);
}

static void conn_sent(struct io_req *req)
{
	struct ctl_conn *c = container_of(req, struct ctl_conn, tx);

	if (req->res < 0 && req->res != -EINTR && req->res != -EAGAIN) {
		conn_cut(c);
	} else if (req->res > 0) {
		c->iov.iov_base = (char *)c->iov.iov_base + req->res;
		c->iov.iov_len -= (size_t)req->res;
	}
	if (c->iov.iov_len == 0) {
		free(c->out);
		c->out = NULL;
	}
	conn_pump(c);
}

static void conn_received(struct io_req *req)
{
	struct ctl_conn *c = container_of(req, struct ctl_conn, rx);

	if (req->res > 0)
		ctl_session_received(&c->session, (size_t)req->res);
	else if (req->res == 0)
		c->eof = true;
	else if (req->res != -EINTR && req->res != -EAGAIN)
		conn_cut(c);
	conn_pump(c);
}

static void start_send(struct ctl_conn *c)
{
	if (c->tx.inflight)
		return;
	if (c->out == NULL && c->session.out_len > 0) {
		c->iov.iov_len = ctl_session_take(&c->session, &c->out);
		c->iov.iov_base = c->out;
	}
	if (c->out == NULL)
		return;
	memset(&c->tx.msg, 0, sizeof(c->tx.msg));
	c->tx.msg.msg_iov = &c->iov;
	c->tx.msg.msg_iovlen = 1;
	io_submit(c->srv->io, &c->tx);
}

/* There is no receive that would end when the client goes away. */
static void watch_client(struct ctl_conn *c)
{
	struct epoll_event e = { .events = EPOLLET, .data.ptr = c };

	if (c->gone)
		conn_cut(c);
	else if (!c->watched)
		c->watched = epoll_ctl(c->srv->gone_fd, EPOLL_CTL_ADD, c->fd,
				       &e) == 0;
}

static void start_receive(struct ctl_conn *c)
{
	char  *buf;
	size_t len;

	if (c->rx.inflight)
		return;
	len = c->eof || c->srv->closing
		      ? 0 : ctl_session_space(&c->session, &buf);
	if (len == 0) {
		watch_client(c);
		return;
	}
	c->rx.buf = buf;
	c->rx.len = len;
	io_submit(c->srv->io, &c->rx);
}

/* Everything that can go on goes on; frees c when nothing can any more. */
static void conn_pump(struct ctl_conn *c)
{
	bool last;

	/* The session moves its input; not under a receive into it. */
	if (!c->cut && !c->rx.inflight)
		ctl_session_run(&c->session);
	if (!c->cut) {
		start_send(c);
		start_receive(c);
	}
	last = c->eof || c->session.ended || c->srv->closing;
	if (last && conn_quiet(c) && !c->cut)
		conn_cut(c);
	if (c->cut && !c->rx.inflight && !c->tx.inflight) {
		conn_free(c);
		return;
	}
	if (!c->cut)
		arm_timer(c);
}

static void session_wake(struct ctl_session *s)
{
	conn_pump(container_of(s, struct ctl_conn, session));
}

static uid_t peer_uid(int fd)
{
	struct ucred cred;
	socklen_t    len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return (uid_t)-1;
	return cred.uid;
}

static int conn_open(struct ctl_server *srv, int fd)
{
	struct ctl_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	if (ctl_session_init(&c->session, srv->core, session_wake) < 0) {
		free(c);
		return -ENOMEM;
	}
	c->session.uid = peer_uid(fd);
	c->srv = srv;
	c->fd = fd;
	c->rx.op = IO_RECV;
	c->rx.fd = fd;
	c->rx.done = conn_received;
	c->tx.op = IO_SEND;
	c->tx.fd = fd;
	c->tx.done = conn_sent;
	io_timer_init(&c->timer, conn_timeout);
	list_push(&srv->conns, &c->link);
	srv->stats.connections++;
	srv->stats.connections_ever++;
	conn_pump(c);
	return 0;
}

/* Hung up is all that the epoll tells, once of each. */
static void clients_gone(struct io_req *req)
{
	struct ctl_server *srv = container_of(req, struct ctl_server, gone);
	struct epoll_event e;

	while (epoll_wait(srv->gone_fd, &e, 1, 0) == 1) {
		struct ctl_conn *c = e.data.ptr;

		c->gone = true;
		conn_pump(c);
	}
	if (srv->closing)
		server_check_closed(srv);
	else
		io_submit(srv->io, &srv->gone);
}

/* --- accepting ----------------------------------------------------------- */

static void refuse(struct ctl_server *srv, int fd)
{
	static const char line[] =
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,"
		"\"message\":\"the server has too many control connections: "
		"try again later\",\"data\":{\"errno\":\"EBUSY\"}}}\n";

	srv->stats.refused++;
	send(fd, line, sizeof(line) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void accepted(struct io_req *req)
{
	struct ctl_server *srv = container_of(req, struct ctl_server, accept);

	if (srv->closing) {
		if (req->res >= 0)
			close(req->res);
		server_check_closed(srv);
		return;
	}
	if (req->res >= 0) {
		if (srv->stats.connections >= CTL_CONNECTIONS_MAX ||
		    conn_open(srv, req->res) < 0)
			refuse(srv, req->res);
	} else if (req->res != -EINTR && req->res != -ECONNABORTED &&
		   req->res != -EAGAIN) {
		io_timer_arm(srv->io, &srv->timer,
			     io_now_ns(srv->io) + ACCEPT_PAUSE_NS);
		return;
	}
	io_submit(srv->io, &srv->accept);
}

static void server_timer(struct io_timer *t)
{
	struct ctl_server *srv = container_of(t, struct ctl_server, timer);

	if (!srv->closing) {
		io_submit(srv->io, &srv->accept);
		return;
	}
	list_for_each_safe(l, tmp, &srv->conns) {
		struct ctl_conn *c = list_entry(l, struct ctl_conn, link);

		conn_cut(c);
		conn_pump(c);
	}
}

/* --- opening and closing ------------------------------------------------- */

static void server_closed(struct io_work *w)
{
	struct ctl_server *srv = container_of(w, struct ctl_server, close_work);
	void (*closed)(void *arg) = srv->closed;
	void       *arg = srv->closed_arg;

	ctl_unlisten(&srv->listener);
	close(srv->gone_fd);
	io_timer_cancel(srv->io, &srv->timer);
	free(srv);
	closed(arg);
}

int ctl_server_open(struct io *io, struct ctl_core *core, const char *path,
		    struct ctl_server **ret_srv, char *ret_err)
{
	struct ctl_server *srv;
	int r;

	srv = calloc(1, sizeof(*srv));
	if (srv == NULL) {
		snprintf(ret_err, 256, "control socket: out of memory");
		return -ENOMEM;
	}
	srv->io = io;
	srv->core = core;
	list_init(&srv->conns);
	io_timer_init(&srv->timer, server_timer);
	io_work_init(&srv->close_work, server_closed);
	srv->gone_fd = epoll_create1(EPOLL_CLOEXEC);
	if (srv->gone_fd < 0) {
		r = -errno;
		snprintf(ret_err, 256, "control socket: no epoll: %s",
			 strerror(-r));
		goto err_srv;
	}
	r = ctl_listen(&srv->listener, path, ret_err);
	if (r < 0)
		goto err_gone;
	srv->gone.op = IO_POLL;
	srv->gone.fd = srv->gone_fd;
	srv->gone.len = POLLIN;
	srv->gone.done = clients_gone;
	io_submit(io, &srv->gone);
	srv->accept.op = IO_ACCEPT;
	srv->accept.fd = srv->listener.fd;
	srv->accept.done = accepted;
	io_submit(io, &srv->accept);
	*ret_srv = srv;
	return 0;

err_gone:
	close(srv->gone_fd);
err_srv:
	free(srv);
	return r;
}

void ctl_server_close(struct ctl_server *srv, uint64_t drain_ns,
		      void (*done)(void *arg), void *arg)
{
	assert(!srv->closing);
	srv->closing = true;
	srv->closed = done;
	srv->closed_arg = arg;
	io_cancel(srv->io, &srv->accept);
	io_cancel(srv->io, &srv->gone);
	io_timer_arm(srv->io, &srv->timer, io_now_ns(srv->io) + drain_ns);
	list_for_each_safe(l, tmp, &srv->conns)
		conn_pump(list_entry(l, struct ctl_conn, link));
	server_check_closed(srv);
}

void ctl_server_stats(const struct ctl_server *srv,
		      struct ctl_server_stats *ret_stats)
{
	*ret_stats = srv->stats;
}
