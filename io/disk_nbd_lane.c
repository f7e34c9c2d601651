/* io/disk_nbd_lane.c - requests on their way to a lane and back; what both
 * kinds of lane share.
 *
 * Submit queues a request in a lane.  Once a turn, all lanes with something
 * queued are told to issue it.  What a lane is done with it puts into the list
 * of the ended; when it has taken all that arrived, the owners are called.
 *
 * A request is in disk_watch.inflight by `link` from submit to its end, and by
 * `io.link` in one of: a lane's queue, nothing (it has been sent, or is being
 * sent), the list of the ended.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "io/disk_nbd.h"

/* A lane with this much to do is busy: 64 requests of 4 KiB. */
#define LANE_BUSY_BYTES (512u << 10)

/* --- from the caller ----------------------------------------------------- */

/* How much of a lane a request takes. */
static uint64_t load_bytes(const struct disk_req *req)
{
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		return TARN_BLOCK + (uint64_t)req->len_bytes;
	return TARN_BLOCK;
}

/* The first lane that is not busy: few lanes in use make large batches, which
 * cost less.  When all are, the least busy, so that small requests do not
 * queue behind large ones. */
static struct nbd_lane *choose_lane(struct nbd_disk *nd)
{
	struct nbd_lane *best = &nd->lanes[0];

	for (unsigned i = 0; i < nd->disk.lanes; i++) {
		if (nd->lanes[i].load_bytes < LANE_BUSY_BYTES)
			return &nd->lanes[i];
		if (nd->lanes[i].load_bytes < best->load_bytes)
			best = &nd->lanes[i];
	}
	return best;
}

static void enqueue(struct nbd_disk *nd, struct nbd_lane *lane,
		    struct disk_req *req)
{
	list_push(&lane->queued, &req->io.link);
	io_defer(nd->disk.io, &nd->issue);
}

void nbd_disk_submit(struct disk *d, struct disk_req *req)
{
	struct nbd_disk *nd = nbd_disk_of(d);
	struct nbd_lane *lane;
	int		 r = disk_req_check(d, req);

	d->inflight++;
	list_init(&req->link);
	if (r == 0 && ((req->op == DISK_TRIM && !d->can_trim) ||
		       (req->op == DISK_FLUSH && !d->can_flush))) {
		/* A hint; and what a server without flush can do about it.
		 * Whether such a disk is acceptable is decided elsewhere. */
		disk_ender_add(&nd->ender, req, 0);
		return;
	}
	if (r < 0) {
		disk_ender_add(&nd->ender, req, r);
		return;
	}
	lane = choose_lane(nd);
	lane->load_bytes += load_bytes(req);
	req->lane = (uint32_t)(lane - nd->lanes);
	req->progress_bytes = 0;
	disk_watch_add(&nd->watch, req);
	enqueue(nd, lane, req);
}

void nbd_disk_issue(struct io_work *w)
{
	struct nbd_disk *nd = container_of(w, struct nbd_disk, issue);

	for (unsigned i = 0; i < nd->disk.lanes; i++) {
		struct nbd_lane *lane = &nd->lanes[i];

		if (!list_empty(&lane->queued) && !lane->ops->issue(lane))
			return;
	}
}

/* --- to the caller ------------------------------------------------------- */

uint32_t nbd_piece_bytes(const struct nbd_disk *nd,
			 const struct disk_req *req)
{
	if (req->op != DISK_READ && req->op != DISK_WRITE)
		return req->len_bytes;
	return min_u32(req->len_bytes - req->progress_bytes,
		       nd->payload_bytes);
}

bool nbd_disk_req_has_more(const struct nbd_disk *nd,
			   const struct disk_req *req)
{
	return req->res == 0 &&
	       (req->op == DISK_READ || req->op == DISK_WRITE) &&
	       req->len_bytes - req->progress_bytes > nd->payload_bytes;
}

/* True if the request goes on with its next piece. */
static bool continue_req(struct nbd_disk *nd, struct disk_req *req)
{
	if (!nbd_disk_req_has_more(nd, req))
		return false;
	req->progress_bytes += nd->payload_bytes;
	enqueue(nd, &nd->lanes[req->lane], req);
	return true;
}

/* End what lanes are done with.  The list is taken whole: a callback may
 * submit, but nothing can end before the next turn. */
void nbd_disk_end_requests(struct nbd_disk *nd)
{
	struct list  batch;
	struct list *l;

	list_init(&batch);
	list_splice(&batch, &nd->ended);
	/* A callback may close the disk: that takes the rest away. */
	while ((l = list_pop(&batch)) != NULL) {
		struct disk_req *req =
			list_entry(l, struct disk_req, io.link);

		if (continue_req(nd, req))
			continue;
		if (req->op == DISK_TRIM && req->res == -EOPNOTSUPP) {
			nd->disk.can_trim = false;
			req->res = 0;
		}
		nd->lanes[req->lane].load_bytes -= load_bytes(req);
		disk_watch_remove(&nd->watch, req);
		disk_req_end(req, req->res);
	}
}

/* --- a lane's life ------------------------------------------------------- */

void nbd_lane_start(struct nbd_lane *lane, struct nbd_disk *nd,
		    struct nbd_handle *h, struct nbd_ring *ring)
{
	lane->disk = nd;
	lane->h = h;
	lane->fd = nbd_aio_get_fd(h);
	lane->ring = ring;
	lane->load_bytes = 0;
	list_init(&lane->queued);
	if (ring != NULL)
		nbd_ring_start(lane);
	else
		nbd_libnbd_start(lane);
}

void nbd_lane_fini(struct nbd_lane *lane)
{
	assert(!lane->in.inflight && !lane->out.inflight);
	nbd_close(lane->h); /* NULL is harmless */
	nbd_ring_close(lane->ring);
	lane->h = NULL;
	lane->ring = NULL;
	lane->fd = -1;
}

void nbd_lane_break(struct nbd_lane *lane, int error, const char *fmt, ...)
{
	struct disk *d = &lane->disk->disk;
	size_t	     size = sizeof(d->error_text);
	int	     n;
	va_list	     ap;

	d->error = error;
	n = snprintf(d->error_text, size, "%.60s: ", d->place);
	va_start(ap, fmt);
	vsnprintf(d->error_text + n, size - (size_t)n, fmt, ap);
	va_end(ap);
	nbd_disk_break(lane->disk, -ENOTCONN);
}
