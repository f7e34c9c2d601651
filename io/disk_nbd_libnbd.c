/* io/disk_nbd_libnbd.c - a lane whose requests go through libnbd: with TLS.
 *
 * Once a turn, everything queued is handed to libnbd, which sends it; on TCP a
 * batch is corked, so that it leaves in as few packets, and wakes the server
 * as seldom, as can be.  A poll for input is always armed.  When it fires,
 * what has arrived is taken, and only then, outside of libnbd, are the requests
 * ended.
 *
 * libnbd calls command_done() with its lock held: it must not call libnbd, nor
 * anything of the caller's.
 *
 * A request is in disk_watch.inflight by `link` from submit to its end, and by
 * `io.link` in one of: a lane's queue, nothing (libnbd has it), the list of
 * the ended.
 *
 * The same works for plain sockets too, which the tests use.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "io/disk_nbd.h"

/* --- to libnbd ----------------------------------------------------------- */

static int command_done(void *user_data, int *error)
{
	struct disk_req *req = user_data;
	struct nbd_disk *nd = nbd_disk_of(req->disk);

	req->res = *error > 0 ? -*error : 0;
	list_push(&nd->ended, &req->io.link);
	return 1; /* retire the command */
}

static int64_t issue_one(struct nbd_lane *lane, struct disk_req *req)
{
	nbd_completion_callback cb = {
		.callback = command_done,
		.user_data = req,
	};
	uint32_t len = nbd_piece_bytes(lane->disk, req);
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

static void lost(struct nbd_lane *lane)
{
	nbd_lane_break(lane, -ENOTCONN, "connection lost: %.110s",
		       nbd_dial_error());
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
	nbd_disk_operation(nd, &lane->out);
}

static bool libnbd_issue(struct nbd_lane *lane)
{
	bool corked = lane->corks && lane->queued.next != lane->queued.prev;
	bool ok = true;

	if (corked)
		cork(lane, 1);
	while (ok && !list_empty(&lane->queued)) {
		struct disk_req *req =
			list_first(&lane->queued, struct disk_req, io.link);

		list_remove(&req->io.link);
		ok = issue_one(lane, req) >= 0 &&
		     nbd_aio_is_dead(lane->h) == 0;
	}
	if (corked)
		cork(lane, 0);
	if (ok)
		watch_out(lane);
	else
		lost(lane);
	return ok;
}

/* --- from libnbd --------------------------------------------------------- */

/* Take what has arrived; something has.  libnbd must not be told of input when
 * there is none: it would wait for a reply from then on and send nothing before
 * it.  What is in the TLS layer already it takes by itself.  False when the
 * lane broke. */
static bool take_replies(struct nbd_lane *lane)
{
	return nbd_aio_notify_read(lane->h) >= 0 &&
	       nbd_aio_is_dead(lane->h) == 0 &&
	       nbd_aio_is_closed(lane->h) == 0;
}

static void arm_in(struct nbd_lane *lane)
{
	nbd_disk_operation(lane->disk, &lane->in);
}

static void in_done(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, in);
	struct nbd_disk *nd = lane->disk;

	nbd_disk_operation_ended(nd);
	if (nd->state != NBD_UP)
		return;
	if (req->res < 0 || !take_replies(lane)) {
		lost(lane);
		return;
	}
	watch_out(lane);
	arm_in(lane);
	nbd_disk_end_requests(nd);
}

static void out_done(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, out);
	struct nbd_disk *nd = lane->disk;

	nbd_disk_operation_ended(nd);
	if (nd->state != NBD_UP)
		return;
	/* Replies may have moved libnbd on since the poll was armed, and it
	 * takes a notification that it does not wait for as an error. */
	if (req->res < 0 ||
	    (wants_out(lane) && nbd_aio_notify_write(lane->h) < 0) ||
	    nbd_aio_is_dead(lane->h) != 0) {
		lost(lane);
		return;
	}
	watch_out(lane);
	nbd_disk_end_requests(nd);
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

static void libnbd_stop(struct nbd_lane *lane, bool polite)
{
	struct io *io = lane->disk->disk.io;

	if (polite)
		nbd_aio_disconnect(lane->h, 0);
	else
		shutdown(lane->fd, SHUT_RDWR);
	io_cancel(io, &lane->in);
	io_cancel(io, &lane->out);
	/* The polls hold the socket.  What libnbd aborts now is reported as
	 * ended, with an error. */
	nbd_close(lane->h);
	lane->h = NULL;
}

static const struct nbd_lane_ops libnbd_ops = {
	.issue = libnbd_issue,
	.stop = libnbd_stop,
};

void nbd_libnbd_start(struct nbd_lane *lane)
{
	int	  on;
	socklen_t len = sizeof(on);

	lane->ops = &libnbd_ops;
	lane->corks = getsockopt(lane->fd, IPPROTO_TCP, TCP_CORK, &on,
				 &len) == 0;
	prepare_poll(&lane->in, lane->fd, POLLIN, in_done);
	prepare_poll(&lane->out, lane->fd, POLLOUT, out_done);
	arm_in(lane);
}
