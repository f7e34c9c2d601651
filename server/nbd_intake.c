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
		list_init(&t->parts);
		t->conn = c;
		t->parent = NULL;
		t->buf = NULL;
		t->rx = NULL;
		t->aux = NULL;
	} else {
		return NULL;
	}
	c->inflight++;
	c->srv->io->depth++;
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
	t->req.mark = 0;
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

void nbd_task_run(struct nbd_task *t)
{
	t->conn->running++;
	t->req.exp->ops->submit(&t->req);
}

/* Memory for a read, and where its holes are noted. */
static bool prepare_read(struct nbd_task *t)
{
	uint64_t bytes =
		vol_read_buf_bytes(t->req.off_bytes, t->req.len_bytes);

	assert(bytes <= NBD_PART_MAX);
	if (!task_buf(t, bytes))
		return false;
	t->req.buf = t->buf;
	if (t->conn->sess.mode != NBD_MODE_SIMPLE &&
	    !(t->cmd.flags & NBD_CMD_DF))
		t->req.holes = t->holes;
	return true;
}

/* Make t the parent of parts. */
static void make_parent(struct nbd_task *t)
{
	t->left = 1;
	t->res = 0;
	t->got_bytes = 0;
}

/* The next part of parent, from where the last one ended; NULL: no task. */
static struct nbd_task *next_part(struct nbd_task *parent)
{
	const struct nbd_cmd *cmd = &parent->cmd;
	struct nbd_task      *t = task_get(parent->conn, cmd);
	uint64_t              off = cmd->off_bytes + parent->got_bytes;

	if (t == NULL)
		return NULL;
	t->parent = parent;
	t->req.off_bytes = off;
	t->req.len_bytes = min_u64(cmd->len_bytes - parent->got_bytes,
				   NBD_PART_MAX - off % NBD_PART_MAX);
	return t;
}

/* All parts of a read at once, or none: two connections that each hold half
 * of what they need would wait for ever. */
static bool prepare_parts(struct nbd_task *parent)
{
	make_parent(parent);
	while (parent->got_bytes < parent->cmd.len_bytes) {
		struct nbd_task *t = next_part(parent);

		if (t != NULL && prepare_read(t)) {
			parent->got_bytes += (uint32_t)t->req.len_bytes;
			list_push(&parent->parts, &t->link);
			continue;
		}
		if (t != NULL)
			nbd_task_free(t);
		while (!list_empty(&parent->parts))
			nbd_task_free(list_first(&parent->parts,
						 struct nbd_task, link));
		return false;
	}
	return true;
}

static void run_parts(struct nbd_task *parent)
{
	list_for_each(l, &parent->parts) {
		parent->left++;
		nbd_task_run(list_entry(l, struct nbd_task, link));
	}
	nbd_reply_part(parent, 0);
}

static bool is_split(const struct nbd_cmd *cmd)
{
	if (cmd->op == VOL_READ)
		return vol_read_buf_bytes(cmd->off_bytes, cmd->len_bytes) >
		       NBD_PART_MAX;
	return cmd->op == VOL_WRITE && cmd->len_bytes > NBD_PART_MAX;
}

/* The memory that a task needs before it can run. */
static bool prepare(struct nbd_task *t)
{
	if (t->cmd.op == VOL_READ)
		return is_split(&t->cmd) ? prepare_parts(t) : prepare_read(t);
	if (t->cmd.op == VOL_STATUS)
		return nbd_status_prepare(t);
	if (t->cmd.op == VOL_WRITE && !is_split(&t->cmd) &&
	    t->cmd.payload_bytes > NBD_INPLACE_MAX)
		return task_buf(t, t->cmd.payload_bytes);
	return true;
}

/* --- taking messages ----------------------------------------------------- */

/* Put what is there of a large write's data into its buffer. */
static void fill(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;
	uint32_t         n = min_u32(nbd_fill_left(t), nbd_rx_avail(c));

	memcpy((uint8_t *)t->buf + t->got_bytes, c->rx->buf + c->rx_pos, n);
	c->rx_pos += n;
	t->got_bytes += n;
}

static void fill_start(struct nbd_conn *c, struct nbd_task *t)
{
	t->req.buf = t->buf;
	t->got_bytes = 0;
	c->filling = t;
}

static void fill_end(struct nbd_conn *c)
{
	struct nbd_task *t = c->filling;

	c->filling = NULL;
	c->rx_large = true;
	if (t->parent != NULL)
		t->parent->left++;
	nbd_task_run(t);
}

/* There is no memory: wait, true when that took too long.  That is for when
 * others hold it: what the connection's own requests hold comes back as fast
 * as the client reads.  mine: tasks of the request that waits. */
static bool starved(struct nbd_conn *c, unsigned mine)
{
	uint64_t now = io_now_ns(c->srv->io);

	if (c->wait_ns == 0 || c->inflight > mine)
		c->wait_ns = now;
	if (now - c->wait_ns >= NBD_MEMORY_WAIT_NS) {
		c->wait_ns = 0;
		return true;
	}
	c->blocked = true;
	nbd_pool_wait(c);
	return false;
}

/* No memory for this request now. */
static bool starve(struct nbd_conn *c, struct nbd_task *t, uint32_t head_bytes)
{
	if (!starved(c, 1)) {
		nbd_task_free(t);
		return false;
	}
	c->rx_pos += head_bytes;
	c->skip_bytes = t->cmd.payload_bytes;
	nbd_reply_end(t, NBD_ENOMEM, "no memory for so large a request");
	return true;
}

/* Give the write c->split its next part.  False: not now. */
static bool split_step(struct nbd_conn *c)
{
	struct nbd_task *parent = c->split;
	uint32_t         left = parent->cmd.payload_bytes - parent->got_bytes;
	struct nbd_task *t;

	if (left == 0) {
		c->split = NULL;
		nbd_reply_part(parent, 0);
		return true;
	}
	c->alone = c->inflight == 1;
	t = next_part(parent);
	if (t == NULL) {
		c->blocked = true;
		return false;
	}
	if (task_buf(t, t->req.len_bytes)) {
		c->wait_ns = 0;
		parent->got_bytes += (uint32_t)t->req.len_bytes;
		fill_start(c, t);
		return true;
	}
	nbd_task_free(t);
	if (!starved(c, 1))
		return false;
	c->split = NULL;
	c->skip_bytes = left;
	nbd_reply_part(parent, -ENOMEM);
	return true;
}

/* Everything that t needs is there, and its header (and data, if it is small)
 * is consumed: let it run. */
static void start(struct nbd_conn *c, struct nbd_task *t, uint8_t *payload)
{
	c->srv->stats.requests++;
	c->wait_ns = 0;
	if (t->cmd.op == VOL_READ && is_split(&t->cmd)) {
		run_parts(t);
	} else if (t->cmd.op != VOL_WRITE) {
		nbd_task_run(t);
	} else if (is_split(&t->cmd)) {
		make_parent(t);
		c->split = t;
	} else if (t->buf != NULL) {
		fill_start(c, t);
	} else {
		c->rx->refs++;
		t->rx = c->rx;
		t->req.buf = payload;
		nbd_task_run(t);
	}
}

/* A sound request whose header is at rx_pos: start it.  False: not now. */
static bool take_request(struct nbd_conn *c, struct nbd_cmd *cmd,
			 uint32_t head_bytes)
{
	bool     large = cmd->payload_bytes > NBD_INPLACE_MAX;
	uint32_t need = head_bytes + (large ? 0 : cmd->payload_bytes);
	uint8_t *payload = c->rx->buf + c->rx_pos + head_bytes;
	struct nbd_task *t;

	if (nbd_rx_avail(c) < need) {
		c->rx_want = need;
		return false;
	}
	if (cmd->op == VOL_STATUS && cmd->payload_bytes > 0)
		nbd_cmd_status_payload(&c->sess, cmd, payload);
	c->alone = c->inflight == 0;
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
	c->rx_pos += need;
	start(c, t, payload);
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
		if (nbd_fill_left(c->filling) > 0)
			return false;
		fill_end(c);
	}
	if (c->split != NULL)
		return split_step(c);
	if (c->skip_bytes > 0) {
		uint32_t n = min_u32(c->skip_bytes, nbd_rx_avail(c));

		c->rx_pos += n;
		c->skip_bytes -= n;
		if (c->skip_bytes > 0)
			return false;
	}
	c->rx_want = head_bytes;
	if (nbd_rx_avail(c) < head_bytes)
		return false;
	nbd_cmd_parse(&c->sess, c->rx->buf + c->rx_pos, &cmd);
	c->rx_large = false;
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
	/* Bounded: each round consumes bytes of the buffer, or gives a part to
	 * a write. */
	while (c->state == NBD_CONN_OPEN && take(c))
		;
	c->alone = false;
}
