/* io/disk_nbd_recv.c - a plain lane's replies: bytes received -> requests done.
 *
 *   receive -> header -> data -> header -> ... -> receive again -> end them
 *
 * Only simple replies were agreed on.  Anything else, and a reply to nothing
 * that was asked, breaks the connection: there is no telling where the next
 * reply would begin.  An error that NBD does not know is -EIO.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io/disk_nbd_ring.h"

/* --- replies ------------------------------------------------------------- */

static int res_of(uint32_t error)
{
	switch (error) {
	case 0:
		return 0;
	case 1:
		return -EPERM;
	case 12:
		return -ENOMEM;
	case 22:
		return -EINVAL;
	case 28:
		return -ENOSPC;
	case 75:
		return -EOVERFLOW;
	case 95:
		return -EOPNOTSUPP;
	case 108:
		return -ESHUTDOWN;
	default: /* EIO is 5 */
		return -EIO;
	}
}

/* A request has its answer. */
static void answered(struct nbd_lane *lane, struct nbd_slot *slot, int res)
{
	slot->req->res = res;
	if (slot->state == NBD_SLOT_ASKED)
		nbd_ring_end(lane, slot);
	else
		slot->state = NBD_SLOT_ANSWERED;
}

static bool offence(struct nbd_lane *lane, const char *what)
{
	nbd_lane_break(lane, -EPROTO,
		       "the server broke the protocol: %s", what);
	return false;
}

/* The header of a reply.  False when the lane broke. */
static bool take_header(struct nbd_lane *lane, const uint8_t *p)
{
	struct nbd_ring	 *ring = lane->ring;
	struct dnbd_reply head;
	struct nbd_slot	 *slot;
	int		  res;

	memcpy(&head, p, sizeof(head));
	if (be32_get(head.magic) == DNBD_MAGIC_CHUNK)
		return offence(lane, "a structured reply, which it was not "
				     "asked for");
	if (be32_get(head.magic) != DNBD_MAGIC_REPLY)
		return offence(lane, "no reply where one is due");
	slot = nbd_ring_find(ring, be64_get(head.cookie));
	if (slot == NULL)
		return offence(lane, "a reply to nothing that it was asked");
	if (slot->state == NBD_SLOT_ANSWERED)
		return offence(lane, "two replies to one request");
	res = res_of(be32_get(head.error));
	if (res == 0 && slot->req->op == DISK_READ) {
		ring->filling = slot;
		ring->got_bytes = 0;
	} else {
		answered(lane, slot, res);
	}
	return true;
}

/* --- data ---------------------------------------------------------------- */

static uint32_t left_bytes(const struct nbd_lane *lane)
{
	const struct nbd_ring *ring = lane->ring;

	assert(ring->filling != NULL);
	return nbd_piece_bytes(lane->disk, ring->filling->req) -
	       ring->got_bytes;
}

/* Where the next byte of data goes. */
static uint8_t *data_at(const struct nbd_ring *ring)
{
	const struct disk_req *req = ring->filling->req;

	return (uint8_t *)req->buf + req->progress_bytes + ring->got_bytes;
}

static void got(struct nbd_lane *lane, uint32_t n)
{
	struct nbd_ring *ring = lane->ring;
	struct nbd_slot *slot = ring->filling;

	ring->got_bytes += n;
	if (left_bytes(lane) > 0)
		return;
	ring->filling = NULL;
	answered(lane, slot, 0);
}

/* What is in the buffer: all of it but the start of a header.  False when the
 * lane broke. */
static bool take_bytes(struct nbd_lane *lane, uint32_t end)
{
	struct nbd_ring *ring = lane->ring;
	uint32_t	 pos = 0;
	uint32_t	 n;

	while (pos < end) {
		n = end - pos;
		if (ring->filling != NULL) {
			n = min_u32(n, left_bytes(lane));
			memcpy(data_at(ring), ring->rx + pos, n);
			got(lane, n);
		} else if (n >= sizeof(struct dnbd_reply)) {
			n = sizeof(struct dnbd_reply);
			if (!take_header(lane, ring->rx + pos))
				return false;
		} else {
			memmove(ring->rx, ring->rx + pos, n);
			break;
		}
		pos += n;
	}
	ring->rx_bytes = end - pos;
	return true;
}

/* --- receiving ----------------------------------------------------------- */

void nbd_ring_receive(struct nbd_lane *lane)
{
	struct nbd_ring *ring = lane->ring;

	ring->direct = ring->filling != NULL &&
		       left_bytes(lane) >= NBD_DIRECT_BYTES;
	if (ring->direct) {
		assert(ring->rx_bytes == 0);
		lane->in.buf = data_at(ring);
		lane->in.len = left_bytes(lane);
	} else {
		lane->in.buf = ring->rx + ring->rx_bytes;
		lane->in.len = NBD_RX_BYTES - ring->rx_bytes;
	}
	nbd_disk_operation(lane->disk, &lane->in);
}

/* The connection has ended, or what came is wrong.  False, always. */
static bool lost(struct nbd_lane *lane, int res)
{
	bool idle = list_empty(&lane->disk->watch.inflight);

	if (res < 0)
		nbd_lane_break(lane, -ENOTCONN, "connection lost: %s",
			       strerror(-res));
	else
		nbd_lane_break(lane, -ENOTCONN,
			       "the server ended the connection%s",
			       idle ? "" : " while requests waited");
	return false;
}

/* False when the lane broke. */
static bool take(struct nbd_lane *lane, int res)
{
	struct nbd_ring *ring = lane->ring;

	if (res == -EINTR)
		return true;
	if (res <= 0)
		return lost(lane, res);
	if (!ring->direct)
		return take_bytes(lane, ring->rx_bytes + (uint32_t)res);
	got(lane, (uint32_t)res);
	return true;
}

void nbd_ring_received(struct io_req *req)
{
	struct nbd_lane *lane = container_of(req, struct nbd_lane, in);
	struct nbd_disk *nd = lane->disk;

	nbd_disk_operation_ended(nd);
	if (nd->state != NBD_UP || !take(lane, req->res))
		return;
	nbd_ring_receive(lane);
	if (!list_empty(&lane->queued)) /* for a slot, perhaps */
		nbd_ring_issue(lane);
	nbd_disk_end_requests(nd);
}
