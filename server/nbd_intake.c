/* server/nbd_intake.c - from received bytes to requests at the export.
 *
 * nbd_intake() takes one message after the other from the receive buffer
 * until something is missing:
 *   - bytes: rx_want says how many the next step needs in one piece;
 *   - a task, or room in a receive buffer: `blocked`, until a request ends;
 *   - memory: `blocked`, and the connection waits in the server's queue.
 * Nothing is consumed before everything that it needs is there, so trying
 * again is always right.  While blocked, nothing is received: the client's
 * socket fills up, and only that client waits.
 */
#include <errno.h>
#include <string.h>

#include "server/nbd_conn.h"

static uint32_t rx_avail(const struct nbd_conn *c)
{
	return c->rx_end - c->rx_pos;
}

/* --- starting requests --------------------------------------------------- */

static struct nbd_task *task_get(struct nbd_conn *c, const struct nbd_cmd *cmd)
{
	struct nbd_task *t;
	struct list     *l = list_pop(&c->free);

	if (l != NULL) {
		t = list_entry(l, struct nbd_task, link);
	} else if (c->tasks_used < c->srv->params.inflight_max) {
		t = &c->tasks[c->tasks_used++];
		list_init(&t->link);
		t->conn = c;
		t->buf = NULL;
		t->rx = NULL;
		t->aux = NULL;
	} else {
		return NULL;
	}
	c->inflight++;
	t->cmd = *cmd;
	t->req.exp = c->sess.exp;
	t->req.op = cmd->op;
	t->req.flags = cmd->op_flags;
	t->req.off_bytes = cmd->off_bytes;
	t->req.len_bytes = cmd->len_bytes;
	t->req.buf = NULL;
	t->req.holes = NULL;
	t->req.extents = NULL;
	t->req.extents_max = 0;
	t->req.nextents = 0;
	t->req.res = 0;
	t->req.done = nbd_reply_done;
	return t;
}

static bool task_buf(struct nbd_task *t, size_t len_bytes)
{
	t->buf = nbd_pool_get(t->conn, len_bytes);
	t->buf_bytes = (uint32_t)len_bytes;
	return t->buf != NULL;
}

static void task_run(struct nbd_task *t)
{
	t->conn->running++;
	t->conn->srv->stats.requests++;
	t->req.exp->ops->submit(&t->req);
}

/* Memory for a read, and where its holes are noted. */
static bool prepare_read(struct nbd_task *t)
{
	struct nbd_cmd *cmd = &t->cmd;
	uint64_t        bytes =
		vol_read_buf_bytes(cmd->off_bytes, cmd->len_bytes);

	if (!task_buf(t, bytes))
		return false;
	t->req.buf = t->buf;
	if (t->conn->sess.mode == NBD_MODE_SIMPLE || cmd->flags & NBD_CMD_DF)
		return true;
	if (bytes <= blocks_to_bytes(NBD_HOLES_INLINE)) {
		t->req.holes = t->holes;
		return true;
	}
	/* Without this memory holes are sent as zeros. */
	t->aux = nbd_pool_get(t->conn, sizeof(*t->aux));
	if (t->aux != NULL)
		t->req.holes = t->aux->holes;
	return true;
}

static bool prepare_status(struct nbd_task *t)
{
	t->req.extents_max = 1;
	t->req.extents = &t->extent;
	if (t->cmd.op_flags & VOL_ONE)
		return true;
	if (!task_buf(t, NBD_EXTENTS_MAX * sizeof(struct vol_extent)))
		return false;
	t->req.extents = t->buf;
	t->req.extents_max = NBD_EXTENTS_MAX;
	return true;
}

/* The memory that a task needs before it can run. */
static bool prepare(struct nbd_task *t)
{
	if (t->cmd.op == VOL_READ)
		return prepare_read(t);
	if (t->cmd.op == VOL_STATUS)
		return prepare_status(t);
	if (t->cmd.op == VOL_WRITE && t->cmd.payload_bytes > NBD_INPLACE_MAX)
		return task_buf(t, t->cmd.payload_bytes);
	return true;
}

/* --- taking messages ----------------------------------------------------- */

/* Put what is there of a large write's data into its buffer. */
static void fill(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;
	uint32_t         n = min_u32(t->cmd.payload_bytes - t->got_bytes,
				     rx_avail(c));

	memcpy((uint8_t *)t->buf + t->got_bytes, c->rx->buf + c->rx_pos, n);
	c->rx_pos += n;
	t->got_bytes += n;
}

static void fill_end(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;

	c->filling = NULL;
	c->rx_large = true;
	task_run(t);
}

/* No memory for this request now.  Giving up is for when others hold it: what
 * the connection's own requests hold comes back as fast as the client reads. */
static bool starve(struct nbd_conn *c, struct nbd_task *t, uint32_t head_bytes)
{
	uint64_t now = io_now_ns(c->srv->io);

	if (c->wait_ns == 0 || c->inflight > 1)
		c->wait_ns = now;
	if (now - c->wait_ns < NBD_MEMORY_WAIT_NS) {
		nbd_task_free(t);
		c->blocked = true;
		nbd_pool_wait(c);
		return false;
	}
	c->wait_ns = 0;
	c->rx_pos += head_bytes;
	c->skip_bytes = t->cmd.payload_bytes;
	nbd_reply_end(t, NBD_ENOMEM, "no memory for so large a request");
	return true;
}

/* A sound request whose header is at rx_pos: start it.  False: not now. */
static bool take_request(struct nbd_conn *c, struct nbd_cmd *cmd,
			 uint32_t head_bytes)
{
	bool     large = cmd->payload_bytes > NBD_INPLACE_MAX;
	uint32_t need = head_bytes + (large ? 0 : cmd->payload_bytes);
	uint8_t *payload = c->rx->buf + c->rx_pos + head_bytes;
	struct nbd_task *t;

	if (rx_avail(c) < need) {
		c->rx_want = need;
		return false;
	}
	if (cmd->op == VOL_STATUS && cmd->payload_bytes > 0)
		nbd_cmd_status_payload(&c->sess, cmd, payload);
	t = task_get(c, cmd);
	if (t == NULL) {
		c->blocked = true;
		return false;
	}
	if (cmd->verdict == NBD_DO_ANSWER) {
		c->rx_pos += need;
		nbd_reply_end(t, cmd->error, cmd->why);
		return true;
	}
	if (!prepare(t))
		return starve(c, t, head_bytes);
	c->wait_ns = 0;
	c->rx_pos += need;
	if (cmd->op != VOL_WRITE) {
		task_run(t);
		return true;
	}
	if (large) {
		t->req.buf = t->buf;
		t->got_bytes = 0;
		c->filling = t;
		return true;
	}
	c->rx_large = false;
	c->rx->refs++;
	t->rx = c->rx;
	t->req.buf = payload;
	task_run(t);
	return true;
}

/* A request that is answered at once.  False: not now. */
static bool take_answer(struct nbd_conn *c, struct nbd_cmd *cmd,
			uint32_t head_bytes)
{
	struct nbd_task *t = task_get(c, cmd);

	if (t == NULL) {
		c->blocked = true;
		return false;
	}
	c->rx_pos += head_bytes;
	c->skip_bytes = cmd->payload_bytes;
	nbd_reply_end(t, cmd->error, cmd->why);
	return true;
}

/* The message at rx_pos.  False: something is missing, or it was the last. */
static bool take(struct nbd_conn *c)
{
	uint32_t       head_bytes = (uint32_t)nbd_request_bytes(&c->sess);
	struct nbd_cmd cmd;

	if (c->filling != NULL) {
		fill(c);
		if (c->filling->got_bytes < c->filling->cmd.payload_bytes)
			return false;
		fill_end(c);
	}
	if (c->skip_bytes > 0) {
		uint32_t n = min_u32(c->skip_bytes, rx_avail(c));

		c->rx_pos += n;
		c->skip_bytes -= n;
		if (c->skip_bytes > 0)
			return false;
	}
	c->rx_want = head_bytes;
	if (rx_avail(c) < head_bytes)
		return false;
	nbd_cmd_parse(&c->sess, c->rx->buf + c->rx_pos, &cmd);
	switch ((enum nbd_verdict)cmd.verdict) {
	case NBD_DO_RUN:
		return take_request(c, &cmd, head_bytes);
	case NBD_DO_ANSWER:
		return take_answer(c, &cmd, head_bytes);
	case NBD_DO_END:
		nbd_conn_drain(c);
		return false;
	case NBD_DO_DROP:
		nbd_conn_offence(c, cmd.why);
		return false;
	}
	return false;
}

void nbd_intake(struct nbd_conn *c)
{
	/* A receive that goes straight to the data of a write comes first. */
	if (c->rx_direct && c->recv.inflight)
		return;
	c->blocked = false;
	/* Bounded: each round consumes bytes of the buffer. */
	while (c->state == NBD_CONN_OPEN && take(c))
		;
}

/* --- receiving ----------------------------------------------------------- */

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
	uint32_t       n = rx_avail(c);
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
	empty->buf = nbd_pool_get(c, NBD_RX_LARGE);
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
		memmove(c->rx->buf, c->rx->buf + c->rx_pos, rx_avail(c));
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
			 max_u32(want, rx_avail(c) + 1) <= NBD_RX_SMALL)
			rx_switch(c, &c->rxs[0]);
	}
	return c->rx_pos + want <= c->rx->cap && c->rx_end < c->rx->cap;
}

void nbd_intake_recv(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;

	if (c->recv.inflight || c->blocked || c->state > NBD_CONN_OPEN)
		return;
	if (t != NULL) {
		assert(rx_avail(c) == 0);
		c->rx_direct = true;
		c->recv.buf = (uint8_t *)t->buf + t->got_bytes;
		c->recv.len = t->cmd.payload_bytes - t->got_bytes;
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
		if (c->rx_large && rx_avail(c) == 0)
			c->recv.len = nbd_request_bytes(&c->sess);
	}
	c->recv.fd = c->fd;
	c->srv->stats.recv_calls++;
	io_submit(c->srv->io, &c->recv);
}

void nbd_intake_done(struct io_req *req)
{
	struct nbd_conn *c = container_of(req, struct nbd_conn, recv);
	bool             shrink = c->rx_shrink;

	c->rx_shrink = false;
	if (c->state > NBD_CONN_OPEN) {
		nbd_conn_wake(c);
		return;
	}
	if (req->res == -ECANCELED && shrink) {
		if (rx_avail(c) == 0 && c->rxs[0].refs == 0)
			rx_switch(c, &c->rxs[0]);
		nbd_intake_recv(c);
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
		assert(c->filling->got_bytes <= c->filling->cmd.payload_bytes);
		c->rx_direct = false;
	} else {
		c->rx_end += (uint32_t)req->res;
		c->rx_full = (uint64_t)req->res == req->len &&
			     c->rx_end == c->rx->cap;
	}
	nbd_conn_wake(c);
}

void nbd_intake_shrink(struct nbd_conn *c)
{
	if (c->state != NBD_CONN_OPEN || c->rx == &c->rxs[0] ||
	    c->inflight > 0 || rx_avail(c) > 0 || !c->recv.inflight ||
	    c->rx_direct || c->rx_shrink)
		return;
	c->rx_shrink = true;
	io_cancel(c->srv->io, &c->recv);
}

void nbd_intake_free(struct nbd_conn *c)
{
	assert(!c->recv.inflight && c->running == 0);
	if (c->filling != NULL)
		nbd_task_free(c->filling);
	c->filling = NULL;
	c->rx = &c->rxs[0];
	for (unsigned i = 0; i < NBD_RX_MAX; i++) {
		assert(c->rxs[i].refs == 0);
		rx_put(c, &c->rxs[i]);
	}
}
