/* tests/lib/mem_disk.c - see mem_disk.h. */
#include "tests/lib/mem_disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_NS 20000u

struct mem_disk {
	struct disk      d;
	struct sim_io   *io;
	uint8_t         *mem;
	struct list      queue; /* struct disk_req */
	struct sim_event ev;
	bool             closing;
	void (*closed)(void *arg);
	void            *closed_arg;
};

static void perform(struct mem_disk *md, struct disk_req *req)
{
	uint8_t *at = md->mem + req->off_bytes;

	req->res = 0;
	if (md->closing)
		req->res = -ECANCELED;
	else if (req->op == DISK_READ)
		memcpy(req->buf, at, req->len_bytes);
	else if (req->op == DISK_WRITE)
		memcpy(at, req->buf, req->len_bytes);
}

static void answer(struct sim_event *ev)
{
	struct mem_disk *md = container_of(ev, struct mem_disk, ev);
	struct list      now;
	struct list     *l;

	list_init(&now);
	list_splice(&now, &md->queue);
	while ((l = list_pop(&now)) != NULL) {
		struct disk_req *req = list_entry(l, struct disk_req, link);

		md->d.inflight--;
		perform(md, req);
		req->done(req);
	}
	if (!md->closing || !list_empty(&md->queue))
		return;
	sim_event_cancel(md->io, &md->ev);
	md->closed(md->closed_arg);
	free(md);
}

static void submit(struct disk *d, struct disk_req *req)
{
	struct mem_disk *md = container_of(d, struct mem_disk, d);

	if (req->len_bytes > d->size_bytes ||
	    req->off_bytes > d->size_bytes - req->len_bytes) {
		fprintf(stderr, "request beyond the end of %s\n", d->place);
		abort();
	}
	d->inflight++;
	list_push(&md->queue, &req->link);
	if (md->ev.heap_pos == 0)
		sim_event_at(md->io, &md->ev, md->io->io.now_ns + ANSWER_NS);
}

static void close_disk(struct disk *d, void (*closed)(void *arg), void *arg)
{
	struct mem_disk *md = container_of(d, struct mem_disk, d);

	if (md->closing) {
		fprintf(stderr, "%s is closed twice\n", d->place);
		abort();
	}
	md->closing = true;
	md->closed = closed;
	md->closed_arg = arg;
	d->up = false;
	sim_event_at(md->io, &md->ev, md->io->io.now_ns);
}

static const struct disk_ops mem_ops = {
	.submit = submit,
	.close = close_disk,
};

struct disk *mem_disk_open(struct sim_io *io, uint8_t *mem,
			   uint64_t size_bytes, const char *place)
{
	struct mem_disk *md = calloc(1, sizeof(*md));

	if (md == NULL)
		abort();
	md->d.ops = &mem_ops;
	md->d.io = &io->io;
	snprintf(md->d.place, sizeof(md->d.place), "%s", place);
	snprintf(md->d.host, sizeof(md->d.host), "local");
	md->d.size_bytes = size_bytes;
	md->d.epoch = 1;
	md->d.up = true;
	md->d.can_flush = true;
	md->d.lanes = 1;
	md->io = io;
	md->mem = mem;
	list_init(&md->queue);
	sim_event_init(&md->ev, answer);
	return &md->d;
}
