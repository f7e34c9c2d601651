/* server/nbd_server.c - opening and closing, what takes too long, and who
 * waits for memory.
 *
 * Time limits need no timer of their own per connection: one timer looks at
 * all connections a few times per limit, and only while there is one that is
 * not idle.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <poll.h>

#include "server/nbd_conn.h"

/* Lines in the log in one second, so that clients cannot fill it. */
#define LOG_LINES_MAX 20u
/* A large receive buffer that was idle so long is given back. */
#define IDLE_NS NS_PER_S
/* While connections wait for memory that another user of the pool holds. */
#define WAIT_POLL_NS (5 * NS_PER_MS)

void nbd_log(struct nbd_server *srv, const char *fmt, ...)
{
	uint64_t now = io_now_ns(srv->io);
	char     line[400];
	va_list  ap;

	if (srv->log == NULL)
		return;
	if (now - srv->log_window_ns >= NS_PER_S) {
		srv->log_window_ns = now;
		srv->log_lines = 0;
		if (srv->log_lost > 0) {
			snprintf(line, sizeof(line),
				 "%u more lines like these were left out",
				 srv->log_lost);
			srv->log_lost = 0;
			srv->log(srv->log_arg, line);
		}
	}
	if (srv->log_lines == LOG_LINES_MAX) {
		srv->log_lost++;
		return;
	}
	srv->log_lines++;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	srv->log(srv->log_arg, line);
}

/* --- memory -------------------------------------------------------------- */

/* May c take len_bytes more?  Not more than its limit, and not more than
 * what remains for the others; but what the only request of a connection
 * needs is never too much. */
static bool pool_may(const struct nbd_conn *c, size_t len_bytes)
{
	const struct nbd_server *srv = c->srv;
	size_t total = bufpool_arena_bytes(srv->bufs);
	size_t unused = total - bufpool_used_bytes(srv->bufs);
	size_t wanted = c->pool_bytes + len_bytes;

	return c->alone ||
	       (wanted <= srv->params.inflight_bytes_max && wanted <= unused);
}

void *nbd_pool_get(struct nbd_conn *c, size_t len_bytes)
{
	void *buf;

	if (!pool_may(c, len_bytes))
		return NULL;
	buf = bufpool_get(c->srv->bufs, len_bytes);
	if (buf != NULL)
		c->pool_bytes += len_bytes;
	return buf;
}

void nbd_pool_put(struct nbd_conn *c, void *buf, size_t len_bytes)
{
	struct nbd_server *srv = c->srv;

	assert(c->pool_bytes >= len_bytes);
	bufpool_put(srv->bufs, buf);
	c->pool_bytes -= len_bytes;
	if (!list_empty(&srv->waiters))
		io_defer(srv->io, &srv->wake);
}

void nbd_pool_wait(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;

	if (list_empty(&c->wait_link))
		list_push(&srv->waiters, &c->wait_link);
	if (!io_timer_armed(&srv->wait_timer))
		io_timer_arm(srv->io, &srv->wait_timer,
			     io_now_ns(srv->io) + WAIT_POLL_NS);
}

/* All of them, in order; who gets nothing queues up again. */
static void wake_waiters(struct nbd_server *srv)
{
	struct list *l;

	while ((l = list_pop(&srv->waiters)) != NULL)
		nbd_conn_wake(list_entry(l, struct nbd_conn, wait_link));
}

static void wake_work(struct io_work *w)
{
	wake_waiters(container_of(w, struct nbd_server, wake));
}

static void wait_timer_fn(struct io_timer *t)
{
	wake_waiters(container_of(t, struct nbd_server, wait_timer));
}

/* --- what takes too long ------------------------------------------------- */

void nbd_sweep_arm(struct nbd_server *srv)
{
	if (!io_timer_armed(&srv->sweep))
		io_timer_arm(srv->io, &srv->sweep,
			     io_now_ns(srv->io) + srv->sweep_ns);
}

/* While nothing is received, because of requests that may wait for space for
 * days, has the client gone? */
static bool hung_up(const struct nbd_conn *c)
{
	struct pollfd fd = { .fd = c->fd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0;
}

static void sweep_conn(struct nbd_conn *c, uint64_t now)
{
	const struct nbd_server_params *p = &c->srv->params;
	bool partial = c->rx_pos != c->rx_end || c->filling != NULL ||
		       c->split != NULL || c->skip_bytes > 0;

	if (c->state == NBD_CONN_HANDSHAKE) {
		if (now - c->born_ns >= p->handshake_timeout_ns)
			nbd_conn_offence(c, "it took too long to negotiate");
		return;
	}
	if (c->send.inflight && now - c->tx_ns >= p->send_stall_timeout_ns) {
		nbd_conn_offence(c, "it does not read its replies");
		return;
	}
	if (c->state == NBD_CONN_OPEN && c->blocked && hung_up(c))
		nbd_conn_drain(c);
	if (c->state != NBD_CONN_OPEN || !c->recv.inflight)
		return;
	if (partial && now - c->rx_ns >= p->send_stall_timeout_ns)
		nbd_conn_offence(c, "it stopped in the middle of a request");
	else if (now - c->rx_ns >= IDLE_NS)
		nbd_receive_shrink(c);
}

static void sweep_fn(struct io_timer *t)
{
	struct nbd_server *srv = container_of(t, struct nbd_server, sweep);
	uint64_t           now = io_now_ns(srv->io);

	/* Killing defers the removal from the list.  A turn of each connection
	 * that is not idle arms the timer again. */
	list_for_each(l, &srv->conns) {
		struct nbd_conn *c = list_entry(l, struct nbd_conn, link);

		sweep_conn(c, now);
		nbd_conn_wake(c);
	}
}

/* --- opening and closing ------------------------------------------------- */

static uint64_t or_default(uint64_t v, uint64_t def)
{
	return v != 0 ? v : def;
}

static void closed_work(struct io_work *w);

static void set_params(struct nbd_server *srv,
		       const struct nbd_server_params *params)
{
	struct nbd_server_params *p = &srv->params;

	*p = *params;
	p->connections_max = (unsigned)or_default(p->connections_max, 256);
	p->handshakes_max = (unsigned)or_default(p->handshakes_max, 64);
	p->inflight_max = (unsigned)max_u64(or_default(p->inflight_max, 128),
					    2 * NBD_PARTS_MAX);
	p->handshake_timeout_ns =
		or_default(p->handshake_timeout_ns, 10 * NS_PER_S);
	p->send_stall_timeout_ns =
		or_default(p->send_stall_timeout_ns, 30 * NS_PER_S);
	p->inflight_bytes_max = or_default(p->inflight_bytes_max, 64u << 20);
	srv->sweep_ns = min_u64(NS_PER_S, min_u64(p->handshake_timeout_ns,
						  p->send_stall_timeout_ns) /
						  4 + 1);
}

static void drain_fn(struct io_timer *t)
{
	struct nbd_server *srv = container_of(t, struct nbd_server, drain);

	list_for_each(l, &srv->conns)
		nbd_conn_kill(list_entry(l, struct nbd_conn, link),
			      "the server is closing");
}

/* NOLINTNEXTLINE(readability-function-size): once, at start */
int nbd_server_open(struct io *io, struct bufpool *bufs,
		    struct export_source *src,
		    const struct nbd_server_params *params,
		    void (*log)(void *arg, const char *line), void *log_arg,
		    struct nbd_server **ret_srv)
{
	struct nbd_server *srv = calloc(1, sizeof(*srv));

	if (srv == NULL)
		return -ENOMEM;
	srv->io = io;
	srv->bufs = bufs;
	srv->src = src;
	srv->log = log;
	srv->log_arg = log_arg;
	set_params(srv, params);
	list_init(&srv->listeners);
	list_init(&srv->conns);
	list_init(&srv->waiters);
	io_work_init(&srv->wake, wake_work);
	io_work_init(&srv->closed, closed_work);
	io_timer_init(&srv->wait_timer, wait_timer_fn);
	io_timer_init(&srv->sweep, sweep_fn);
	io_timer_init(&srv->drain, drain_fn);
	srv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*ret_srv = srv;
	return 0;
}

static void closed_work(struct io_work *w)
{
	struct nbd_server *srv = container_of(w, struct nbd_server, closed);
	void (*done)(void *arg) = srv->done;
	void *arg = srv->done_arg;

	io_timer_cancel(srv->io, &srv->wait_timer);
	io_timer_cancel(srv->io, &srv->sweep);
	io_timer_cancel(srv->io, &srv->drain);
	io_undefer(&srv->wake);
	if (srv->spare_fd >= 0)
		close(srv->spare_fd);
	free(srv);
	done(arg);
}

void nbd_server_check(struct nbd_server *srv)
{
	if (srv->closing && srv->nconns == 0 && list_empty(&srv->listeners))
		io_defer(srv->io, &srv->closed);
}

void nbd_server_close(struct nbd_server *srv, uint64_t drain_ns,
		      void (*done)(void *arg), void *arg)
{
	assert(!srv->closing);
	srv->closing = true;
	srv->done = done;
	srv->done_arg = arg;
	list_for_each_safe(l, tmp, &srv->listeners)
		nbd_listener_close(list_entry(l, struct nbd_listener, link));
	list_for_each(c, &srv->conns)
		nbd_conn_drain(list_entry(c, struct nbd_conn, link));
	io_timer_arm(srv->io, &srv->drain, io_now_ns(srv->io) + drain_ns);
	nbd_server_check(srv);
}

void nbd_server_stats(const struct nbd_server *srv,
		      struct nbd_server_stats *ret_stats)
{
	*ret_stats = srv->stats;
}
