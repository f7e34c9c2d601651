/* server/nbd_receive.c - receive buffers, and when to receive into which.
 *
 * A receive goes to the data of a large write if one is arriving, else behind
 * what has been received.  When that leaves little room, the buffer's
 * beginning is used again if no write in flight has its data there, else
 * another buffer is taken.  Large buffers come from the pool and go back when
 * the last write that has data in them ends, or the connection is idle.
 */
#include <errno.h>
#include <string.h>

#include "server/nbd_conn.h"

static void rx_put(struct nbd_conn *c, struct nbd_rx *rx)
{
	if (rx == &c->rxs[0] || rx->buf == NULL || rx->refs > 0)
		return;
	nbd_pool_put(c, rx->buf, rx->cap);
	rx->buf = NULL;
}

/* Go on in another buffer; what is not consumed moves there. */
static void rx_switch(struct nbd_conn *c, struct nbd_rx *rx)
{
	uint32_t       n = nbd_rx_avail(c);
	struct nbd_rx *old = c->rx;

	assert(rx->refs == 0 && n <= rx->cap);
	memcpy(rx->buf, old->buf + c->rx_pos, n);
	c->rx = rx;
	c->rx_pos = 0;
	c->rx_end = n;
	rx_put(c, old);
}

/* A large buffer that nobody uses, or NULL. */
static struct nbd_rx *rx_get(struct nbd_conn *c)
{
	struct nbd_rx *empty = NULL;

	if (c->state != NBD_CONN_OPEN)
		return NULL;
	for (unsigned i = 1; i < NBD_RX_MAX; i++) {
		struct nbd_rx *rx = &c->rxs[i];

		if (rx == c->rx)
			continue;
		rx_put(c, rx);
		if (rx->buf == NULL)
			empty = rx;
	}
	if (empty == NULL)
		return NULL;
	c->alone = c->inflight == 0;
	empty->buf = nbd_pool_get(c, NBD_RX_LARGE);
	c->alone = false;
	empty->cap = NBD_RX_LARGE;
	empty->refs = 0;
	return empty->buf != NULL ? empty : NULL;
}

/* Make room for the next receive; false: there is none now. */
static bool rx_room(struct nbd_conn *c)
{
	uint32_t want = max_u32(c->rx_want, 1);
	uint32_t room;
	bool     tight;

	if (c->rx->refs == 0 && c->rx_pos > 0) {
		/* At most one incomplete message is left: short. */
		memmove(c->rx->buf, c->rx->buf + c->rx_pos, nbd_rx_avail(c));
		c->rx_end -= c->rx_pos;
		c->rx_pos = 0;
	}
	room = c->rx->cap - c->rx_end;
	/* What fits as it is, and leaves a receive worth its while. */
	tight = c->rx_pos + want > c->rx->cap || room < c->rx->cap / 8 ||
		(c->rx == &c->rxs[0] && c->rx_full);
	if (tight) {
		struct nbd_rx *rx = rx_get(c);

		if (rx != NULL)
			rx_switch(c, rx);
		else if (c->rxs[0].refs == 0 && c->rx != &c->rxs[0] &&
			 max_u32(want, nbd_rx_avail(c) + 1) <= NBD_RX_SMALL)
			rx_switch(c, &c->rxs[0]);
	}
	return c->rx_pos + want <= c->rx->cap && c->rx_end < c->rx->cap;
}

void nbd_receive(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;

	if (c->recv.inflight || c->blocked || c->state > NBD_CONN_OPEN)
		return;
	if (t != NULL) {
		assert(nbd_rx_avail(c) == 0);
		c->rx_direct = true;
		c->recv.buf = (uint8_t *)t->buf + t->got_bytes;
		c->recv.len = nbd_fill_left(t);
	} else {
		c->rx_direct = false;
		if (!rx_room(c)) {
			/* HANDSHAKE: answers have to be sent first.  OPEN: a
			 * write in flight ends, or memory comes free. */
			if (c->state == NBD_CONN_OPEN) {
				c->blocked = true;
				nbd_pool_wait(c);
			}
			return;
		}
		c->recv.buf = c->rx->buf + c->rx_end;
		c->recv.len = c->rx->cap - c->rx_end;
		/* After a large write expect another: only its header, so
		 * that its data need not be copied. */
		if (c->rx_large && nbd_rx_avail(c) == 0)
			c->recv.len = nbd_request_bytes(&c->sess);
	}
	c->recv.fd = c->fd;
	c->srv->stats.recv_calls++;
	io_submit(c->srv->io, &c->recv);
}

void nbd_receive_done(struct io_req *req)
{
	struct nbd_conn *c = container_of(req, struct nbd_conn, recv);
	bool             shrink = c->rx_shrink;

	c->rx_shrink = false;
	if (c->state > NBD_CONN_OPEN) {
		nbd_conn_wake(c);
		return;
	}
	if (req->res == -ECANCELED && shrink) {
		if (nbd_rx_avail(c) == 0 && c->rxs[0].refs == 0)
			rx_switch(c, &c->rxs[0]);
		nbd_receive(c);
		return;
	}
	if (req->res < 0) {
		nbd_conn_kill(c, NULL);
		return;
	}
	if (req->res == 0) {
		nbd_conn_drain(c);
		return;
	}
	c->rx_ns = io_now_ns(c->srv->io);
	if (c->rx_direct) {
		c->filling->got_bytes += (uint32_t)req->res;
		assert(c->filling->got_bytes <= c->filling->req.len_bytes);
		c->rx_direct = false;
	} else {
		c->rx_end += (uint32_t)req->res;
		c->rx_full = (uint64_t)req->res == req->len &&
			     c->rx_end == c->rx->cap;
	}
	nbd_conn_wake(c);
}

void nbd_receive_shrink(struct nbd_conn *c)
{
	if (c->state != NBD_CONN_OPEN || c->rx == &c->rxs[0] ||
	    c->inflight > 0 || nbd_rx_avail(c) > 0 || !c->recv.inflight ||
	    c->rx_direct || c->rx_shrink)
		return;
	c->rx_shrink = true;
	io_cancel(c->srv->io, &c->recv);
}

void nbd_receive_free(struct nbd_conn *c)
{
	assert(!c->recv.inflight && c->running == 0);
	if (c->filling != NULL)
		nbd_task_free(c->filling);
	if (c->split != NULL)
		nbd_reply_part(c->split, 0);
	c->filling = c->split = NULL;
	c->rx = &c->rxs[0];
	for (unsigned i = 0; i < NBD_RX_MAX; i++) {
		assert(c->rxs[i].refs == 0);
		rx_put(c, &c->rxs[i]);
	}
}
