/* tests/server/nbd_wire.c - the NBD server on an engine made of arrays. */
#include "tests/server/nbd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/nbd_conn.h"

#define BUFS_BYTES (128u << 20)

static struct wire *of_io(struct io *io)
{
	return container_of(io, struct wire, io);
}

static void wire_submit(struct io *io, struct io_req *req)
{
	struct wire *w = of_io(io);

	list_init(&req->link);
	if (req->op == IO_RECV) {
		assert(w->recv == NULL && req->len > 0);
		w->recv = req;
	} else {
		assert(req->op == IO_SEND && w->send == NULL);
		w->send = req;
	}
}

static void wire_cancel(struct io *io, struct io_req *req)
{
	struct wire *w = of_io(io);

	if (w->recv == req)
		w->recv = NULL;
	else if (w->send == req)
		w->send = NULL;
	else
		return;
	req->res = -ECANCELED;
	list_push(&w->cancelled, &req->link);
}

static void finish(struct io_req *req, int res)
{
	req->res = res;
	req->inflight = false;
	req->done(req);
}

static bool serve_recv(struct wire *w)
{
	struct io_req *req = w->recv;
	size_t         have = w->in_len < w->in_max ? w->in_len : w->in_max;
	size_t         n = have - w->in_pos;

	if (req == NULL)
		return false;
	if (n == 0 && (w->hang || have < w->in_len))
		return false;
	if (n > req->len)
		n = req->len;
	if (w->recv_max != 0 && n > w->recv_max)
		n = w->recv_max;
	if (n > 0)
		memcpy(req->buf, w->in + w->in_pos, n);
	w->in_pos += n;
	w->recv = NULL;
	finish(req, (int)n);
	return true;
}

static void out_put(struct wire *w, const void *p, size_t n)
{
	if (w->out_len + n > w->out_cap) {
		w->out_cap = 2 * (w->out_len + n);
		w->out = realloc(w->out, w->out_cap);
		assert(w->out != NULL);
	}
	memcpy(w->out + w->out_len, p, n);
	w->out_len += n;
}

static bool serve_send(struct wire *w)
{
	struct io_req *req = w->send;
	size_t         left = w->send_max != 0 ? w->send_max : SIZE_MAX;
	size_t         total = 0;

	if (req == NULL || w->stuck)
		return false;
	for (size_t i = 0; i < req->msg.msg_iovlen && left > 0; i++) {
		const struct iovec *v = &req->msg.msg_iov[i];
		size_t              n = v->iov_len < left ? v->iov_len : left;

		assert(v->iov_len > 0);
		out_put(w, v->iov_base, n);
		left -= n;
		total += n;
	}
	w->send = NULL;
	finish(req, (int)total);
	return true;
}

static bool serve_cancelled(struct wire *w)
{
	struct list *l = list_pop(&w->cancelled);

	if (l == NULL)
		return false;
	finish(list_entry(l, struct io_req, link), -ECANCELED);
	return true;
}

static int wire_turn(struct io *io, uint64_t max_wait_ns)
{
	struct wire *w = of_io(io);
	bool         moved = false;

	(void)max_wait_ns;
	moved |= serve_cancelled(w);
	moved |= serve_send(w);
	moved |= serve_recv(w);
	moved |= io_run_due(io) > 0;
	return moved ? 1 : 0;
}

static const struct io_ops wire_ops = {
	.submit = wire_submit,
	.cancel = wire_cancel,
	.run = wire_turn,
};

static void log_line(void *arg, const char *line)
{
	struct wire *w = arg;

	w->nlog++;
	snprintf(w->log, sizeof(w->log), "%s", line);
}

void wire_open(struct wire *w, struct mem_ctl *ctl,
	       const struct nbd_server_params *params)
{
	struct nbd_server_params p = { .extended_headers = true };
	int                      r;

	r = io_common_init(&w->io, &wire_ops, 1);
	assert(r == 0);
	w->io.now_ns = NS_PER_S;
	if (w->in_max == 0)
		w->in_max = SIZE_MAX;
	list_init(&w->cancelled);
	r = bufpool_open(w->bufs_bytes != 0 ? w->bufs_bytes : BUFS_BYTES,
			 &w->bufs);
	assert(r == 0);
	w->mem = mem_source_open(&w->io, ctl);
	r = nbd_server_open(&w->io, w->bufs, mem_source_src(w->mem),
			    params != NULL ? params : &p, log_line, w, &w->srv);
	assert(r == 0);
	nbd_conn_start(w->srv, open("/dev/null", O_RDWR | O_CLOEXEC));
}

void wire_run(struct wire *w)
{
	while (io_run(&w->io, 0) > 0)
		;
	if (w->srv != NULL)
		w->closed = list_empty(&w->srv->conns);
}

void wire_sleep(struct wire *w, uint64_t ns)
{
	uint64_t end = w->io.now_ns + ns;

	while (w->io.now_ns < end) {
		w->io.now_ns = min_u64(end, w->io.now_ns + 100 * NS_PER_MS);
		wire_run(w);
	}
}

static void server_closed(void *arg)
{
	struct wire *w = arg;

	w->srv_closed = true;
	w->srv = NULL;
}

void wire_close(struct wire *w)
{
	nbd_server_close(w->srv, NS_PER_S, server_closed, w);
	wire_run(w);
	wire_sleep(w, 2 * NS_PER_S);
	assert(w->srv_closed);
	mem_source_close(w->mem);
	assert(bufpool_used_bytes(w->bufs) == 0);
	bufpool_close(w->bufs);
	io_common_fini(&w->io);
	free(w->out);
	w->out = NULL;
}
