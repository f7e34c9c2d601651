/* server/nbd_conn.c - life and death of a connection, and negotiation.
 *
 * Completions only note what happened and ask for a turn; conn_turn() then
 * does everything that is due, once, however much happened: take requests,
 * send replies, receive more.
 *
 * A connection is freed only in its turn, when nothing of it is in flight.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/nbd_conn.h"
#include "server/sockaddr.h"

/* Connections of one address that have not negotiated yet. */
#define HANDSHAKES_PER_ADDR 16u
/* With too many of them in all, one older than this makes room. */
#define HANDSHAKE_YIELD_NS NS_PER_S

void nbd_conn_wake(struct nbd_conn *c)
{
	io_defer(c->srv->io, &c->turn);
}

static void leave_handshake(struct nbd_conn *c)
{
	if (c->state == NBD_CONN_HANDSHAKE)
		c->srv->nhandshakes--;
}

/* No more answers are waited for. */
static void leave_export(struct nbd_conn *c)
{
	const struct export *exp = c->sess.exp;

	if (exp != NULL && exp->ops->leave != NULL)
		exp->ops->leave(c->sess.exp);
}

void nbd_conn_kill(struct nbd_conn *c, const char *why)
{
	if (c->state == NBD_CONN_DEAD)
		return;
	leave_export(c);
	if (why != NULL)
		nbd_log(c->srv, "client %s disconnected: %s", c->peer, why);
	leave_handshake(c);
	c->state = NBD_CONN_DEAD;
	/* Ends what waits in the kernel, also when the client does not. */
	shutdown(c->fd, SHUT_RDWR);
	io_cancel(c->srv->io, &c->recv);
	io_cancel(c->srv->io, &c->send);
	list_remove(&c->wait_link);
	nbd_conn_wake(c);
}

void nbd_conn_offence(struct nbd_conn *c, const char *why)
{
	if (c->state == NBD_CONN_DEAD)
		return;
	c->srv->stats.protocol_errors++;
	nbd_conn_kill(c, why);
}

void nbd_conn_drain(struct nbd_conn *c)
{
	if (c->state >= NBD_CONN_DRAIN)
		return;
	if (c->state == NBD_CONN_HANDSHAKE) {
		nbd_conn_kill(c, NULL);
		return;
	}
	c->state = NBD_CONN_DRAIN;
	leave_export(c);
	io_cancel(c->srv->io, &c->recv);
	list_remove(&c->wait_link);
	nbd_conn_wake(c);
}

static void conn_free(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;
	struct list       *l;

	list_splice(&c->ready, &c->sending);
	while ((l = c->ready.next) != &c->ready)
		nbd_task_free(list_entry(l, struct nbd_task, link));
	nbd_receive_free(c);
	assert(c->inflight == 0 && c->pool_bytes == 0);
	if (c->sess.exp != NULL)
		c->sess.exp->ops->put(c->sess.exp);
	close(c->fd);
	io_undefer(&c->turn);
	list_remove(&c->wait_link);
	list_remove(&c->link);
	srv->nconns--;
	srv->stats.connections = srv->nconns;
	free(c->neg);
	free(c->tasks);
	free(c);
	nbd_server_check(srv);
}

/* --- negotiation --------------------------------------------------------- */

static void export_gone(struct export *exp, void *arg)
{
	(void)exp;
	nbd_conn_kill(arg, "its export has gone");
}

/* The export is chosen: from here on, requests. */
static void conn_open(struct nbd_conn *c)
{
	struct nbd_server *srv = c->srv;

	leave_handshake(c);
	c->sess = c->neg->sess;
	free(c->neg);
	c->neg = NULL;
	c->state = NBD_CONN_OPEN;
	c->sess.exp->gone = export_gone;
	c->sess.exp->gone_arg = c;
	c->tasks = calloc(srv->params.inflight_max, sizeof(c->tasks[0]));
	if (c->tasks == NULL)
		nbd_conn_kill(c, "no memory for its requests");
}

static void handshake(struct nbd_conn *c)
{
	struct nbd_neg *neg = c->neg;
	uint32_t        len;

	if (c->send.inflight)
		return;
	c->rx_pos += (uint32_t)nbd_neg_feed(neg, c->rx->buf + c->rx_pos,
					    c->rx_end - c->rx_pos);
	len = neg->out_len;
	if (len > 0) {
		memcpy(c->tx_heads, neg->out, len);
		neg->out_len = 0;
		nbd_reply_send_heads(c, len);
	}
	if (neg->state == NBD_NEG_READY)
		conn_open(c);
	else if (neg->state == NBD_NEG_ENDED && neg->why != NULL)
		nbd_conn_offence(c, neg->why);
	else if (neg->state == NBD_NEG_ENDED && len == 0)
		nbd_conn_kill(c, NULL);
}

/* --- a turn -------------------------------------------------------------- */

/* Nothing that a time limit applies to, and nothing to give back. */
static bool conn_idle(const struct nbd_conn *c)
{
	return c->state == NBD_CONN_OPEN && c->inflight == 0 &&
	       !c->send.inflight && c->rx == &c->rxs[0] &&
	       c->rx_pos == c->rx_end && c->skip_bytes == 0;
}

static void conn_check(struct nbd_conn *c)
{
	unsigned arriving = (c->filling != NULL ? 1u : 0u) +
			    (c->split != NULL ? 1u : 0u);

	if (c->state == NBD_CONN_DRAIN && c->inflight == arriving &&
	    !c->send.inflight)
		nbd_conn_kill(c, NULL);
	if (c->state == NBD_CONN_DEAD) {
		if (!c->recv.inflight && !c->send.inflight && c->running == 0)
			conn_free(c);
		return;
	}
	if (!conn_idle(c))
		nbd_sweep_arm(c->srv);
}

static void conn_turn(struct io_work *w)
{
	struct nbd_conn *c = container_of(w, struct nbd_conn, turn);

	if (c->state == NBD_CONN_HANDSHAKE)
		handshake(c);
	if (c->state == NBD_CONN_OPEN || c->state == NBD_CONN_DRAIN) {
		nbd_reply_send(c); /* makes tasks free */
		nbd_intake(c);
		nbd_reply_send(c); /* what was answered at once */
		if (c->blocked && list_empty(&c->wait_link) &&
		    c->inflight < c->srv->params.inflight_max)
			nbd_conn_wake(c); /* that made tasks free */
	}
	nbd_receive(c);
	conn_check(c);
}

/* --- starting ------------------------------------------------------------ */

static void set_tcp_options(int fd)
{
	static const struct {
		int level;
		int name;
		int value;
	} opts[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 },      /* seconds */
		{ IPPROTO_TCP, TCP_KEEPINTVL, 10 },     /* seconds */
		{ IPPROTO_TCP, TCP_KEEPCNT, 6 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 60000 }, /* ms */
	};

	/* Each is an improvement only: failing does no harm. */
	for (size_t i = 0; i < ARRAY_LEN(opts); i++)
		(void)setsockopt(fd, opts[i].level, opts[i].name,
				 &opts[i].value, sizeof(opts[i].value));
}

static void identify(struct nbd_conn *c)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t               len = sizeof(ss);

	snprintf(c->peer, sizeof(c->peer), "(unknown)");
	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) < 0)
		return;
	sockaddr_text((struct sockaddr *)&ss, len, c->peer, sizeof(c->peer));
	if (ss.ss_family != AF_INET && ss.ss_family != AF_INET6)
		return;
	c->addr_known = true;
	sockaddr_key((struct sockaddr *)&ss, c->addr);
	set_tcp_options(c->fd);
}

/* Is there room for one more that negotiates?  c is not yet in the list. */
static bool admit(struct nbd_server *srv, struct nbd_conn *c)
{
	struct nbd_conn *oldest = NULL;
	unsigned         same = 0;

	if (srv->nconns >= srv->params.connections_max)
		return false;
	list_for_each(l, &srv->conns) {
		struct nbd_conn *o = list_entry(l, struct nbd_conn, link);

		if (o->state != NBD_CONN_HANDSHAKE)
			continue;
		if (oldest == NULL)
			oldest = o;
		if (c->addr_known && o->addr_known &&
		    memcmp(o->addr, c->addr, sizeof(c->addr)) == 0)
			same++;
	}
	if (same >= HANDSHAKES_PER_ADDR)
		return false;
	if (srv->nhandshakes < srv->params.handshakes_max)
		return true;
	if (oldest == NULL ||
	    io_now_ns(srv->io) - oldest->born_ns < HANDSHAKE_YIELD_NS)
		return false;
	nbd_conn_kill(oldest, "others wait to connect and it does nothing");
	return true;
}

static void conn_init(struct nbd_conn *c, struct nbd_server *srv, int fd)
{
	/* The large arrays at the end need no zeros. */
	memset(c, 0, offsetof(struct nbd_conn, tx_iov));
	c->srv = srv;
	c->fd = fd;
	c->state = NBD_CONN_HANDSHAKE;
	c->born_ns = c->rx_ns = io_now_ns(srv->io);
	list_init(&c->link);
	list_init(&c->wait_link);
	list_init(&c->free);
	list_init(&c->ready);
	list_init(&c->sending);
	io_work_init(&c->turn, conn_turn);
	c->recv.op = IO_RECV;
	c->recv.done = nbd_receive_done;
	list_init(&c->recv.link);
	c->send.op = IO_SEND;
	c->send.done = nbd_reply_sent;
	list_init(&c->send.link);
	c->rxs[0].buf = c->small;
	c->rxs[0].cap = sizeof(c->small);
	c->rx = &c->rxs[0];
}

void nbd_conn_start(struct nbd_server *srv, int fd)
{
	struct nbd_conn *c = malloc(sizeof(*c));

	if (c == NULL)
		goto err_fd;
	conn_init(c, srv, fd);
	c->neg = malloc(sizeof(*c->neg));
	if (c->neg == NULL)
		goto err_conn;
	identify(c);
	if (srv->closing || !admit(srv, c)) {
		nbd_log(srv, "client %s refused: too many connections",
			c->peer);
		goto err_neg;
	}
	nbd_neg_init(c->neg, srv->src, srv->params.extended_headers);
	list_push(&srv->conns, &c->link);
	srv->nconns++;
	srv->nhandshakes++;
	srv->stats.connections = srv->nconns;
	srv->stats.connections_ever++;
	nbd_conn_wake(c);
	return;

err_neg:
	free(c->neg);
err_conn:
	free(c);
err_fd:
	srv->stats.refused++;
	close(fd);
}
