/* server/nbd_reply.c - from a request that is done to bytes on the wire.
 *
 *   export done -> build the reply's pieces -> conn->ready
 *   once a turn: all of ready -> iovecs -> one send -> conn->sending
 *   sent: give buffers back
 *
 * Heads are copied into the connection's tx_heads, so that neighbours without
 * data become one iovec and their tasks are free at once.  Data is never
 * copied: the read buffer itself is in the iovec.  A reply that does not fit
 * into a send goes on in the next one, piece by piece.
 */
#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "server/nbd_conn.h"

/* --- building ------------------------------------------------------------ */

void nbd_reply_ready(struct nbd_task *t)
{
	struct nbd_conn *c = t->conn;

	t->next_piece = 0;
	list_push(&c->ready, &t->link);
	nbd_conn_wake(c);
}

void nbd_reply_end(struct nbd_task *t, uint32_t error, const char *why)
{
	t->one.head = t->head;
	t->one.head_len = (uint32_t)nbd_put_end(&t->conn->sess, &t->cmd, error,
						why, t->head);
	t->one.data = NULL;
	t->one.data_len = 0;
	t->pieces = &t->one;
	t->npieces = 1;
	nbd_reply_ready(t);
}

/* Everything that t has read, as one piece of data behind head_len bytes of
 * head. */
static void reply_data(struct nbd_task *t, size_t head_len)
{
	t->one.head = t->head;
	t->one.head_len = (uint32_t)head_len;
	t->one.data = (uint8_t *)t->buf + t->req.off_bytes % TARN_BLOCK;
	t->one.data_len = (uint32_t)t->req.len_bytes;
	t->pieces = &t->one;
	t->npieces = 1;
	nbd_reply_ready(t);
}

/* The same, in a chunk of its own. */
static void reply_data_chunk(struct nbd_task *t, bool last)
{
	reply_data(t, nbd_put_data(&t->conn->sess, &t->cmd, t->req.off_bytes,
				   (uint32_t)t->req.len_bytes, last, t->head));
}

/* A walk over the data and holes of a read. */
struct runs {
	const uint64_t *holes;  /* bit per block of the buffer */
	uint64_t        nbits;  /* blocks */
	uint64_t        first_bytes; /* off of block 0 */
	uint64_t        pos_bytes;   /* where the next run starts */
	uint64_t        end_bytes;
};

static uint32_t run_next(struct runs *r, bool *ret_hole)
{
	uint64_t i = (r->pos_bytes - r->first_bytes) >> TARN_BLOCK_SHIFT;
	bool     hole = bitmap_test(r->holes, i);
	uint64_t next = hole ? bitmap_next_clear(r->holes, i, r->nbits) :
			       bitmap_next_set(r->holes, i, r->nbits);
	uint64_t end = min_u64(r->first_bytes + blocks_to_bytes(next),
			       r->end_bytes);
	uint32_t len = (uint32_t)(end - r->pos_bytes);

	*ret_hole = hole;
	r->pos_bytes = end;
	return len;
}

/* Zeros into every hole from where the walk is. */
static void fill_holes(struct nbd_task *t, struct runs r)
{
	while (r.pos_bytes < r.end_bytes) {
		uint64_t pos = r.pos_bytes - r.first_bytes;
		bool     hole;
		uint32_t len = run_next(&r, &hole);

		if (hole)
			memset((uint8_t *)t->buf + pos, 0, len);
	}
}

/* Cut into at most NBD_PIECES_MAX pieces; the last takes what is left. */
static void reply_pieces(struct nbd_task *t, struct runs r, bool last_part)
{
	struct nbd_session *s = &t->conn->sess;

	t->npieces = 0;
	while (r.pos_bytes < r.end_bytes) {
		struct nbd_piece *p = &t->aux->pieces[t->npieces];
		uint8_t          *head = t->aux->heads[t->npieces];
		uint64_t          pos = r.pos_bytes;
		struct runs       from = r;
		bool              hole, last;
		uint32_t          len = run_next(&r, &hole);

		if (++t->npieces == NBD_PIECES_MAX &&
		    r.pos_bytes < r.end_bytes) {
			fill_holes(t, from);
			len = (uint32_t)(r.end_bytes - pos);
			r.pos_bytes = r.end_bytes;
			hole = false;
		}
		last = last_part && r.pos_bytes == r.end_bytes;
		p->head = head;
		p->head_len = (uint32_t)(
			hole ? nbd_put_hole(s, &t->cmd, pos, len, last, head) :
			       nbd_put_data(s, &t->cmd, pos, len, last, head));
		p->data = hole ? NULL :
				 (uint8_t *)t->buf + (pos - r.first_bytes);
		p->data_len = hole ? 0 : len;
	}
	t->pieces = t->aux->pieces;
	nbd_reply_ready(t);
}

/* len_bytes from off_bytes are a hole; t has room for the chunk. */
static void reply_hole(struct nbd_task *t, uint64_t off_bytes,
		       uint64_t len_bytes, bool last)
{
	t->one.head = t->head;
	t->one.head_len = (uint32_t)nbd_put_hole(&t->conn->sess, &t->cmd,
						 off_bytes, (uint32_t)len_bytes,
						 last, t->head);
	t->one.data = NULL;
	t->one.data_len = 0;
	t->pieces = &t->one;
	t->npieces = 1;
	nbd_reply_ready(t);
}

static struct runs runs_of(const struct nbd_task *t)
{
	const struct export_req *req = &t->req;
	uint64_t                 skew = req->off_bytes % TARN_BLOCK;
	struct runs              r = { .holes = req->holes };

	r.nbits = bytes_to_blocks_up(skew + req->len_bytes);
	r.first_bytes = req->off_bytes - skew;
	r.pos_bytes = req->off_bytes;
	r.end_bytes = req->off_bytes + req->len_bytes;
	return r;
}

static bool all_data(const struct nbd_task *t)
{
	struct runs r = runs_of(t);

	return r.holes == NULL ||
	       bitmap_next_set(r.holes, 0, r.nbits) == r.nbits;
}

static bool all_hole(const struct nbd_task *t)
{
	struct runs r = runs_of(t);

	return r.holes != NULL &&
	       bitmap_next_clear(r.holes, 0, r.nbits) == r.nbits;
}

/* What t, a read or a part of one, has read.  last: nothing follows. */
static void reply_read(struct nbd_task *t, bool last)
{
	struct runs r = runs_of(t);

	if (all_data(t)) {
		reply_data_chunk(t, last);
		return;
	}
	if (all_hole(t)) {
		reply_hole(t, t->req.off_bytes, t->req.len_bytes, last);
		return;
	}
	t->aux = nbd_pool_get(t->conn, sizeof(*t->aux));
	if (t->aux == NULL) {
		fill_holes(t, r);
		reply_data_chunk(t, last);
		return;
	}
	reply_pieces(t, r, last);
}

/* All parts of a read are there: their replies, one behind the other. */
static void reply_parts(struct nbd_task *parent)
{
	struct nbd_session *s = &parent->conn->sess;
	struct nbd_cmd     *cmd = &parent->cmd;
	bool                data = true, hole = true, first = true;
	struct list        *l;

	list_for_each(i, &parent->parts) {
		data = data && all_data(list_entry(i, struct nbd_task, link));
		hole = hole && all_hole(list_entry(i, struct nbd_task, link));
	}
	while ((l = list_pop(&parent->parts)) != NULL) {
		struct nbd_task *t = list_entry(l, struct nbd_task, link);
		size_t           n = 0;

		t->parent = NULL;
		if (hole) {
			nbd_task_free(t);
			continue;
		}
		if (!data) {
			reply_read(t, list_empty(&parent->parts));
			continue;
		}
		/* One chunk: the first part has its head. */
		if (first)
			n = nbd_put_data(s, cmd, cmd->off_bytes,
					 (uint32_t)cmd->len_bytes, true,
					 t->head);
		reply_data(t, n);
		first = false;
	}
	if (hole)
		reply_hole(parent, cmd->off_bytes, cmd->len_bytes, true);
	else
		nbd_task_free(parent);
}

void nbd_reply_part(struct nbd_task *t, int res)
{
	struct list *l;

	assert(t->left > 0);
	if (res < 0 && t->res == 0)
		t->res = res;
	if (--t->left > 0)
		return;
	if (t->res == 0 && t->cmd.op == VOL_READ &&
	    t->conn->state != NBD_CONN_DEAD) {
		reply_parts(t);
		return;
	}
	while ((l = list_pop(&t->parts)) != NULL)
		nbd_task_free(list_entry(l, struct nbd_task, link));
	if (t->conn->state == NBD_CONN_DEAD)
		nbd_task_free(t);
	else
		nbd_reply_end(t, nbd_error_of(t->res), NULL);
}

/* Parts of a read stay with their data until all are there, those of a write
 * go. */
static void part_done(struct nbd_task *t)
{
	struct nbd_task *parent = t->parent;
	int              res = t->req.res;

	if (t->req.op == VOL_WRITE)
		nbd_task_free(t);
	nbd_reply_part(parent, res);
}

void nbd_reply_done(struct export_req *req)
{
	struct nbd_task         *t = container_of(req, struct nbd_task, req);
	struct nbd_conn         *c = t->conn;
	struct nbd_server_stats *st = &c->srv->stats;

	assert(c->running > 0);
	c->running--;
	nbd_conn_wake(c);
	if (t->rx != NULL) {
		assert(t->rx->refs > 0);
		t->rx->refs--;
		t->rx = NULL;
	}
	if (req->res == 0 && req->op == VOL_READ)
		st->bytes_read += req->len_bytes;
	if (req->res == 0 && req->op == VOL_WRITE)
		st->bytes_written += req->len_bytes;
	if (req->op == VOL_WRITE && t->buf != NULL) {
		nbd_pool_put(c, t->buf, t->buf_bytes);
		t->buf = NULL;
	}
	if (t->parent != NULL)
		part_done(t);
	else if (c->state == NBD_CONN_DEAD)
		nbd_task_free(t);
	else if (req->res < 0)
		nbd_reply_end(t, nbd_error_of(req->res), NULL);
	else if (req->op == VOL_READ)
		reply_read(t, true);
	else if (t->cmd.op == VOL_STATUS)
		nbd_status_done(t);
	else
		nbd_reply_end(t, 0, NULL);
}

void nbd_task_free(struct nbd_task *t)
{
	struct nbd_conn *c = t->conn;

	assert(c->inflight > 0 && t->rx == NULL);
	if (t->buf != NULL)
		nbd_pool_put(c, t->buf, t->buf_bytes);
	if (t->aux != NULL)
		nbd_pool_put(c, t->aux, sizeof(*t->aux));
	t->buf = NULL;
	t->aux = NULL;
	t->parent = NULL;
	list_remove(&t->link);
	list_push_front(&c->free, &t->link);
	c->inflight--;
	c->srv->io->depth--;
}

/* --- sending ------------------------------------------------------------- */

/* What a send has room for while it is put together. */
struct gather {
	uint32_t count; /* iovecs */
	uint32_t heads; /* bytes of tx_heads */
};

static void gather_head(struct nbd_conn *c, struct gather *g,
			const struct nbd_piece *p)
{
	uint8_t      *to = c->tx_heads + g->heads;
	struct iovec *v = g->count > 0 ? &c->tx_iov[g->count - 1] : NULL;

	if (p->head_len == 0)
		return;
	memcpy(to, p->head, p->head_len);
	g->heads += p->head_len;
	if (v != NULL && (uint8_t *)v->iov_base + v->iov_len == to) {
		v->iov_len += p->head_len;
		return;
	}
	v = &c->tx_iov[g->count++];
	v->iov_base = to;
	v->iov_len = p->head_len;
}

/* Put as much of a task's reply into the send as fits; true if all. */
static bool gather_task(struct nbd_conn *c, struct gather *g,
			struct nbd_task *t)
{
	for (; t->next_piece < t->npieces; t->next_piece++) {
		const struct nbd_piece *p = &t->pieces[t->next_piece];

		if (g->count + 2 > NBD_TX_IOV ||
		    g->heads + p->head_len > NBD_TX_HEADS)
			return false;
		gather_head(c, g, p);
		if (p->data_len == 0)
			continue;
		c->tx_iov[g->count].iov_base = (void *)(uintptr_t)p->data;
		c->tx_iov[g->count].iov_len = p->data_len;
		g->count++;
	}
	return true;
}

static void send_submit(struct nbd_conn *c)
{
	c->send.fd = c->fd;
	c->send.msg.msg_iov = c->tx_iov + c->tx_first;
	c->send.msg.msg_iovlen = c->tx_count - c->tx_first;
	c->tx_ns = io_now_ns(c->srv->io);
	c->srv->stats.send_calls++;
	io_submit(c->srv->io, &c->send);
}

void nbd_reply_send_heads(struct nbd_conn *c, uint32_t len)
{
	assert(!c->send.inflight && len <= NBD_TX_HEADS);
	c->tx_iov[0].iov_base = c->tx_heads;
	c->tx_iov[0].iov_len = len;
	c->tx_first = 0;
	c->tx_count = 1;
	send_submit(c);
}

void nbd_reply_send(struct nbd_conn *c)
{
	struct gather g = { 0 };

	if (c->send.inflight || list_empty(&c->ready))
		return;
	list_for_each_safe(l, tmp, &c->ready) {
		struct nbd_task *t = list_entry(l, struct nbd_task, link);

		if (!gather_task(c, &g, t))
			break;
		if (t->buf == NULL && t->cmd.op != VOL_STATUS) {
			nbd_task_free(t);
			continue;
		}
		list_remove(&t->link);
		list_push(&c->sending, &t->link);
	}
	assert(g.count > 0);
	c->tx_first = 0;
	c->tx_count = g.count;
	send_submit(c);
}

/* Forget the first n bytes of the iovecs; true if that was all. */
static bool send_advance(struct nbd_conn *c, size_t n)
{
	while (c->tx_first < c->tx_count) {
		struct iovec *v = &c->tx_iov[c->tx_first];

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= n;
			return false;
		}
		n -= v->iov_len;
		c->tx_first++;
	}
	return true;
}

void nbd_reply_sent(struct io_req *req)
{
	struct nbd_conn *c = container_of(req, struct nbd_conn, send);
	struct list     *l;

	if (req->res <= 0 && c->state != NBD_CONN_DEAD)
		nbd_conn_kill(c, NULL);
	if (c->state == NBD_CONN_DEAD) {
		nbd_conn_wake(c);
		return;
	}
	if (!send_advance(c, (size_t)req->res)) {
		send_submit(c);
		return;
	}
	c->tx_first = c->tx_count = 0;
	while ((l = c->sending.next) != &c->sending)
		nbd_task_free(list_entry(l, struct nbd_task, link));
	nbd_conn_wake(c);
}
