/* io/disk_nbd_lane.c - the data path of an NBD disk: requests to libnbd and
 * back.
 *
 * Submit queues a request in a lane.  Once a turn, everything
 * queued is handed to libnbd, which sends it; on TCP a batch is corked, so
 * that it leaves in as few packets, and wakes the server as seldom, as can be.
 * A poll for input is always armed, one per lane.  When it fires, replies are
 * taken until there are no more, and only then, outside of libnbd, are the
 * requests ended.
 *
 * libnbd calls command_done() with its lock held: it must not call libnbd, nor
 * anything of the caller's.
 *
 * A request is in disk_watch.inflight by `link` from submit to its end, and by
 * `io.link` in one of: a lane's queue, nothing (libnbd has it), the list of
 * the ended.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "io/disk_nbd.h"

/* A simple reply, without data. */
#define REPLY_HEADER_BYTES 16u

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

/* --- to libnbd ----------------------------------------------------------- */

/* Bytes of the piece of req that is (to be) sent now. */
static uint32_t piece_bytes(const struct nbd_disk *nd,
			    const struct disk_req *req)
{
	if (req->op != DISK_READ && req->op != DISK_WRITE)
		return req->len_bytes;
	return min_u32(req->len_bytes - req->progress_bytes,
		       nd->payload_bytes);
}

static int command_done(void *user_data, int *error)
{
	struct disk_req *req = user_data;
	struct nbd_disk *nd = nbd_disk_of(req->disk);
	struct nbd_lane *lane = &nd->lanes[req->lane];

	req->res = *error > 0 ? -*error : 0;
	lane->commands--;
	lane->taken_bytes += REPLY_HEADER_BYTES;
	if (req->op == DISK_READ && req->res == 0)
		lane->taken_bytes += piece_bytes(nd, req);
	list_push(&nd->ended, &req->io.link);
	return 1; /* retire the command */
}

static int64_t issue_one(struct nbd_lane *lane, struct disk_req *req)
{
	nbd_completion_callback cb = {
		.callback = command_done,
		.user_data = req,
	};
	uint32_t len = piece_bytes(lane->disk, req);
	uint64_t off = req->off_bytes + req->progress_bytes;
	char	*buf = (char *)req->buf + req->progress_bytes;

	switch ((enum disk_op)req->op) {
	case DISK_READ:
		return nbd_aio_pread(lane->h, buf, len, off, cb, 0);
	case DISK_WRITE:
		return nbd_aio_pwrite(lane->h, buf, len, off, cb, 0);
	case DISK_FLUSH:
		return nbd_aio_flush(lane->h, cb, 0);
	case DISK_TRIM:
		return nbd_aio_trim(lane->h, len, off, cb, 0);
	}
	return -1;
}

static void lane_break(struct nbd_lane *lane)
{
	struct disk *d = &lane->disk->disk;

	d->error = -ENOTCONN;
	snprintf(d->error_text, sizeof(d->error_text),
		 "%.60s: connection lost: %.110s", d->place, nbd_dial_error());
	nbd_disk_break(lane->disk, -ENOTCONN);
}

static void cork(struct nbd_lane *lane, int on)
{
	setsockopt(lane->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

static bool wants_out(struct nbd_lane *lane)
{
	return (nbd_aio_get_direction(lane->h) & LIBNBD_AIO_DIRECTION_WRITE) !=
	       0;
}

/* Wait for room to send if libnbd does. */
static void watch_out(struct nbd_lane *lane)
{
	struct nbd_disk *nd = lane->disk;

	if (lane->out.inflight || !wants_out(lane))
		return;
	nd->polls++;
	io_submit(nd->disk.io, &lane->out);
}

/* False when the lane broke. */
static bool issue_queued(struct nbd_lane *lane)
{
	bool corked = lane->corks && lane->queued.next != lane->queued.prev;
	bool ok = true;

	if (corked)
		cork(lane, 1);
	while (ok && !list_empty(&lane->queued)) {
		struct disk_req *req =
			list_first(&lane->queued, struct disk_req, io.link);

		list_remove(&req->io.link);
		lane->commands++;
		ok = issue_one(lane, req) >= 0 &&
		     nbd_aio_is_dead(lane->h) == 0;
	}
	if (corked)
		cork(lane, 0);
	if (ok)
		watch_out(lane);
	return ok;
}

void nbd_disk_issue(struct io_work *w)
{
	struct nbd_disk *nd = container_of(w, struct nbd_disk, issue);

	for (unsigned i = 0; i < nd->disk.lanes; i++) {
		struct nbd_lane *lane = &nd->lanes[i];

		if (list_empty(&lane->queued))
			continue;
		if (!issue_queued(lane)) {
			lane_break(lane);
			return;
		}
	}
}

/* --- from libnbd --------------------------------------------------------- */

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

/* End what libnbd is done with.  The list is taken whole: a callback may
 * submit, but nothing can end before the next turn. */
static void end_requests(struct nbd_disk *nd)
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

/* One notification that there is something to read, which takes one reply, or
 * a part of one.  False when the lane broke. */
static bool notify_in(struct nbd_lane *lane)
{
	return nbd_aio_notify_read(lane->h) >= 0 &&
	       nbd_aio_is_dead(lane->h) == 0 &&
	       nbd_aio_is_closed(lane->h) == 0;
}

/* Take all replies that have arrived; the first one is known to be there.
 * libnbd must not be told of input when there is none: it would wait for a
 * reply from then on and send nothing before it.  So the socket is asked how
 * much there is.  With TLS that would not tell; libnbd itself takes what is in
 * the TLS layer already.  False when the lane broke. */
static bool take_replies(struct nbd_lane *lane)
{
	uint64_t taken;
	int	 bytes = 0;

	if (!notify_in(lane))
		return false;
	if (lane->commands == 0 || lane->tls)
		return true;
	if (ioctl(lane->fd, FIONREAD, &bytes) < 0)
		return true;
	while (lane->commands > 0 && bytes >= (int)REPLY_HEADER_BYTES) {
		taken = lane->taken_bytes;
		if (!notify_in(lane))
			return false;
		taken = lane->taken_bytes - taken;
		if (taken == 0 || taken >= (uint64_t)bytes)
			break; /* a part; or that was all */
		bytes -= (int)taken;
	}
	return true;
}

static void arm_in(struct nbd_lane *lane)
{
	lane->disk->polls++;
	io_submit(lane->disk->disk.io, &lane->in);
}

static void in_done(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, in);
	struct nbd_disk *nd = lane->disk;

	nbd_disk_poll_ended(nd);
	if (nd->state != NBD_UP)
		return;
	if (req->res < 0 || !take_replies(lane)) {
		lane_break(lane);
		return;
	}
	watch_out(lane);
	arm_in(lane);
	end_requests(nd);
}

static void out_done(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, out);
	struct nbd_disk *nd = lane->disk;

	nbd_disk_poll_ended(nd);
	if (nd->state != NBD_UP)
		return;
	/* Replies may have moved libnbd on since the poll was armed, and it
	 * takes a notification that it does not wait for as an error. */
	if (req->res < 0 ||
	    (wants_out(lane) && nbd_aio_notify_write(lane->h) < 0) ||
	    nbd_aio_is_dead(lane->h) != 0) {
		lane_break(lane);
		return;
	}
	watch_out(lane);
	end_requests(nd);
}

/* --- a lane's life ------------------------------------------------------- */

static void prepare_poll(struct io_req *req, int fd, unsigned events,
			 io_done_fn done)
{
	assert(!req->inflight);
	req->op = IO_POLL;
	req->fd = fd;
	req->len = events;
	req->done = done;
}

void nbd_lane_start(struct nbd_lane *lane, struct nbd_disk *nd,
		    struct nbd_handle *h)
{
	int	  on;
	socklen_t len = sizeof(on);

	lane->disk = nd;
	lane->h = h;
	lane->fd = nbd_aio_get_fd(h);
	lane->tls = nd->dial.addr.tls;
	lane->taken_bytes = 0;
	lane->corks = getsockopt(lane->fd, IPPROTO_TCP, TCP_CORK, &on,
				 &len) == 0;
	lane->load_bytes = 0;
	lane->commands = 0;
	list_init(&lane->queued);
	prepare_poll(&lane->in, lane->fd, POLLIN, in_done);
	prepare_poll(&lane->out, lane->fd, POLLOUT, out_done);
	arm_in(lane);
}

void nbd_lane_stop(struct nbd_lane *lane, bool polite)
{
	struct io *io = lane->disk->disk.io;

	/* The polls hold the socket: it closes when they have ended. */
	if (polite)
		nbd_aio_disconnect(lane->h, 0);
	else
		shutdown(lane->fd, SHUT_RDWR);
	io_cancel(io, &lane->in);
	io_cancel(io, &lane->out);
	nbd_close(lane->h);
	lane->h = NULL;
	lane->fd = -1;
}
