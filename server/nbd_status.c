/* server/nbd_status.c - BLOCK_STATUS.
 *
 *   prepare --> the export is asked for the last context --> for the one
 *   before, over the ground that those behind have covered --> ... --> reply
 *
 * Bitmaps come first in this way: where little has changed, here and there, an
 * answer is full long before what base:allocation would have to say.
 *
 * In the end all are cut to the ground that the one asked last has covered: a
 * chunk for each context, and all over the same ground.
 */
#include "server/nbd_conn.h"

/* An extent of each context is enough. */
static bool is_one(const struct nbd_task *t)
{
	return t->cmd.op_flags & VOL_ONE;
}

/* The first context from `from` on; NBD_CTX_MAX: there is none. */
static unsigned next_context(const struct nbd_task *t, unsigned from)
{
	while (from < NBD_CTX_MAX && !(t->cmd.contexts & 1u << from))
		from++;
	return from;
}

/* The last context before `before`; NBD_CTX_MAX: there is none. */
static unsigned context_before(const struct nbd_task *t, unsigned before)
{
	while (before-- > 0)
		if (t->cmd.contexts & 1u << before)
			return before;
	return NBD_CTX_MAX;
}

/* Of all bitmaps of the connection. */
static uint64_t oldest_mark(const struct nbd_session *s)
{
	uint64_t mark = 0;

	for (unsigned i = NBD_CTX_BITMAP; i < NBD_CTX_MAX; i++)
		if (s->contexts & 1u << i && (mark == 0 || s->marks[i] < mark))
			mark = s->marks[i];
	return mark;
}

static void ask(struct nbd_task *t, unsigned context)
{
	const struct nbd_session *s = &t->conn->sess;
	struct export_req        *req = &t->req;
	bool                      bitmap = context >= NBD_CTX_BITMAP;

	t->aux->context = context;
	req->op = bitmap ? VOL_DIFF : VOL_STATUS;
	req->mark = bitmap ? s->marks[context] : oldest_mark(s);
	req->extents = t->aux->found[context].extents;
	req->nextents = 0;
}

bool nbd_status_prepare(struct nbd_task *t)
{
	unsigned n = (unsigned)__builtin_popcount(t->cmd.contexts), i = 0;
	struct vol_extent *room = NULL;

	assert(n > 0 && n <= NBD_CTX_MAX);
	t->aux = nbd_pool_get(t->conn, sizeof(*t->aux));
	if (t->aux == NULL)
		return false;
	t->req.extents_max = is_one(t) ? 1 : NBD_EXTENTS_MAX / n;
	if (!is_one(t)) {
		t->buf_bytes = NBD_EXTENTS_MAX * sizeof(struct vol_extent);
		t->buf = nbd_pool_get(t->conn, t->buf_bytes);
		if (t->buf == NULL)
			return false; /* nbd_task_free() gives aux back */
		room = t->buf;
	}
	for (unsigned c = next_context(t, 0); c < NBD_CTX_MAX;
	     c = next_context(t, c + 1), i++) {
		struct nbd_found *f = &t->aux->found[c];

		f->extents = is_one(t) ? &f->one :
					 room + i * t->req.extents_max;
		f->n = 0;
	}
	ask(t, context_before(t, NBD_CTX_MAX));
	return true;
}

static uint64_t ground_of(const struct export_req *req)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < req->nextents; i++)
		len += req->extents[i].len_bytes;
	return min_u64(len, req->len_bytes);
}

/* A chunk for each context, of what has been found in len_bytes. */
static void reply(struct nbd_task *t, uint64_t len_bytes)
{
	const struct nbd_session *s = &t->conn->sess;
	struct nbd_aux           *aux = t->aux;

	static_assert(sizeof(struct nbd_chunk_ext) +
			      sizeof(struct nbd_chunk_status_ext) <=
			      NBD_PIECE_HEAD_MAX, "a head fits");
	static_assert((int)NBD_CTX_MAX <= (int)NBD_PIECES_MAX, "pieces");
	t->npieces = 0;
	for (unsigned c = next_context(t, 0); c < NBD_CTX_MAX;) {
		struct nbd_found *f = &aux->found[c];
		struct nbd_piece *p = &aux->pieces[t->npieces];
		uint8_t          *head = aux->heads[t->npieces++];
		unsigned          next = next_context(t, c + 1);
		uint32_t          n;

		n = nbd_encode_extents(s, c, f->extents, f->n, len_bytes);
		p->head = head;
		p->head_len = (uint32_t)nbd_put_status(
			s, &t->cmd, c, n, next == NBD_CTX_MAX, head);
		p->data = (const uint8_t *)f->extents;
		p->data_len = n * (uint32_t)nbd_extent_bytes(s);
		c = next;
	}
	t->pieces = aux->pieces;
	nbd_reply_ready(t);
}

void nbd_status_done(struct nbd_task *t)
{
	struct nbd_aux *aux = t->aux;
	uint64_t        ground = ground_of(&t->req);
	unsigned        next = context_before(t, aux->context);

	if (ground == 0) {
		nbd_reply_end(t, NBD_EIO, NULL);
		return;
	}
	aux->found[aux->context].n = t->req.nextents;
	t->req.len_bytes = ground;
	if (next == NBD_CTX_MAX) {
		reply(t, ground);
		return;
	}
	ask(t, next);
	nbd_task_run(t);
}
