/* io/disk_nbd_send.c - a plain lane's requests: from its queue into one send.
 *
 *   queue -> slots, headers, iovecs -> send -> (the rest of it)... -> more
 *
 * A send that the socket takes only a part of goes on where it stopped.
 */
#include <errno.h>
#include <string.h>

#include "io/disk_nbd_ring.h"

static uint16_t cmd_of(enum disk_op op)
{
	switch (op) {
	case DISK_READ:
		return DNBD_READ;
	case DISK_WRITE:
		return DNBD_WRITE;
	case DISK_FLUSH:
		return DNBD_FLUSH;
	case DISK_TRIM:
		return DNBD_TRIM;
	}
	assert(false);
	return DNBD_DISC;
}

/* --- gathering ----------------------------------------------------------- */

/* Behind what is in the send already; one iovec with it, if it adjoins. */
static void gather(struct nbd_ring *ring, void *base, size_t len)
{
	struct iovec *v = &ring->iov[ring->niov];

	if (ring->niov > 0 && (char *)v[-1].iov_base + v[-1].iov_len == base) {
		v[-1].iov_len += len;
		return;
	}
	v->iov_base = base;
	v->iov_len = len;
	ring->niov++;
}

/* One more request into the send: how many bytes that is. */
static uint64_t gather_req(struct nbd_lane *lane, struct disk_req *req)
{
	struct nbd_ring	    *ring = lane->ring;
	uint16_t	     i = nbd_ring_take(ring, req);
	uint32_t	     len = nbd_piece_bytes(lane->disk, req);
	struct dnbd_request *head = &ring->heads[ring->nbatch];

	ring->batch[ring->nbatch] = i;
	head->magic = be32_of(DNBD_MAGIC_REQUEST);
	head->flags = be16_of(0);
	head->type = be16_of(cmd_of((enum disk_op)req->op));
	head->cookie = be64_of(nbd_ring_cookie(ring, i));
	head->off = be64_of(req->off_bytes + req->progress_bytes);
	head->len = be32_of(len);
	if (req->op == DISK_FLUSH)
		head->off = be64_of(0);
	gather(ring, head, sizeof(*head));
	if (req->op != DISK_WRITE)
		return sizeof(*head);
	gather(ring, (char *)req->buf + req->progress_bytes, len);
	return sizeof(*head) + (uint64_t)len;
}

static void submit(struct nbd_lane *lane)
{
	nbd_disk_operation(lane->disk, &lane->out);
}

bool nbd_ring_issue(struct nbd_lane *lane)
{
	struct nbd_ring *ring = lane->ring;
	uint64_t	 end = 0;

	if (ring->nbatch > 0)
		return true; /* when that has been sent */
	ring->niov = 0;
	ring->sent_bytes = 0;
	ring->batch_next = 0;
	while (!list_empty(&lane->queued) && ring->nbatch < NBD_BATCH &&
	       ring->nfree > 0) {
		struct disk_req *req =
			list_first(&lane->queued, struct disk_req, io.link);

		list_remove(&req->io.link);
		end += gather_req(lane, req);
		ring->batch_end[ring->nbatch++] = end;
	}
	if (ring->nbatch == 0)
		return true; /* when a reply has come */
	memset(&lane->out.msg, 0, sizeof(lane->out.msg));
	lane->out.msg.msg_iov = ring->iov;
	lane->out.msg.msg_iovlen = ring->niov;
	submit(lane);
	return true;
}

/* --- sent ---------------------------------------------------------------- */

/* Leave the first n bytes out of what is to be sent. */
static void skip_sent(struct msghdr *msg, size_t n)
{
	while (n > 0 && n >= msg->msg_iov->iov_len) {
		n -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		assert(msg->msg_iovlen > 0);
		msg->msg_iovlen--;
	}
	if (n > 0) {
		msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;
		msg->msg_iov->iov_len -= n;
	}
}

/* Requests that have been sent now. */
static void mark_sent(struct nbd_lane *lane)
{
	struct nbd_ring *ring = lane->ring;

	while (ring->batch_next < ring->nbatch &&
	       ring->batch_end[ring->batch_next] <= ring->sent_bytes) {
		struct nbd_slot *slot =
			&ring->slots[ring->batch[ring->batch_next++]];

		if (slot->state == NBD_SLOT_ANSWERED)
			nbd_ring_end(lane, slot);
		else
			slot->state = NBD_SLOT_ASKED;
	}
	if (ring->batch_next == ring->nbatch)
		ring->nbatch = 0;
}

void nbd_ring_sent(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, out);
	struct nbd_disk *nd = lane->disk;
	struct nbd_ring *ring = lane->ring;

	nbd_disk_operation_ended(nd);
	if (nd->state != NBD_UP)
		return;
	if (req->res == -EINTR) {
		submit(lane);
		return;
	}
	if (req->res <= 0) {
		nbd_lane_break(lane, -ENOTCONN, "connection lost: %s",
			       req->res == 0 ? "nothing can be sent" :
					       strerror(-req->res));
		return;
	}
	ring->sent_bytes += (uint64_t)req->res;
	skip_sent(&req->msg, (size_t)req->res);
	mark_sent(lane);
	if (ring->nbatch > 0)
		submit(lane);
	else if (!list_empty(&lane->queued))
		nbd_ring_issue(lane);
	nbd_disk_end_requests(nd);
}

/* --- the end ------------------------------------------------------------- */

void nbd_ring_disconnect(struct nbd_lane *lane)
{
	struct dnbd_request head = {
		.magic = be32_of(DNBD_MAGIC_REQUEST),
		.type = be16_of(DNBD_DISC),
	};

	assert(lane->ring->nbatch == 0);
	/* What does not go now need not: the server sees the end as well. */
	(void)!send(lane->fd, &head, sizeof(head),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
}
