/* io/disk_nbd_ring.c - a plain lane's life, and its table of requests.  How it
 * works is in disk_nbd_ring.h.
 *
 * libnbd has connected and negotiated.  It reads byte by byte no more than it
 * needs, so the socket is between two messages when the handle is ready.  From
 * then on the handle only owns the socket: it is not called again but to close
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "io/disk_nbd_ring.h"

static_assert(NBD_SLOTS <= UINT16_MAX, "an index fits");
static_assert(2 * NBD_BATCH <= 1024, "the kernel takes them at once");

/* --- the table ----------------------------------------------------------- */

struct nbd_slot *nbd_ring_find(struct nbd_ring *ring, uint64_t cookie)
{
	uint32_t	 i = (uint32_t)cookie;
	struct nbd_slot *slot;

	if (i >= NBD_SLOTS)
		return NULL;
	slot = &ring->slots[i];
	if (slot->state == NBD_SLOT_FREE || slot->uses != cookie >> 32)
		return NULL;
	return slot;
}

uint16_t nbd_ring_take(struct nbd_ring *ring, struct disk_req *req)
{
	struct nbd_slot *slot;
	uint16_t	 i;

	assert(ring->nfree > 0);
	i = ring->free[--ring->nfree];
	slot = &ring->slots[i];
	assert(slot->state == NBD_SLOT_FREE);
	slot->req = req;
	slot->uses++;
	slot->state = NBD_SLOT_SENDING;
	return i;
}

void nbd_ring_end(struct nbd_lane *lane, struct nbd_slot *slot)
{
	struct nbd_ring *ring = lane->ring;
	struct disk_req *req = slot->req;

	assert(slot->state != NBD_SLOT_FREE && ring->nfree < NBD_SLOTS);
	slot->req = NULL;
	slot->state = NBD_SLOT_FREE;
	ring->free[ring->nfree++] = (uint16_t)(slot - ring->slots);
	list_push(&lane->disk->ended, &req->io.link);
}

/* --- a lane's life ------------------------------------------------------- */

/* The ring waits by itself, unless the socket says that nobody shall. */
static int make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int nbd_ring_open(struct nbd_handle *h, struct nbd_ring **ret_ring)
{
	int		 r = make_blocking(nbd_aio_get_fd(h));
	struct nbd_ring *ring;

	if (r < 0)
		return r;
	ring = calloc(1, sizeof(*ring));
	if (ring == NULL)
		return -ENOMEM;
	/* The first ones are used first, and again and again. */
	for (unsigned i = 0; i < NBD_SLOTS; i++)
		ring->free[i] = (uint16_t)(NBD_SLOTS - 1 - i);
	ring->nfree = NBD_SLOTS;
	*ret_ring = ring;
	return 0;
}

void nbd_ring_close(struct nbd_ring *ring)
{
	free(ring);
}

static void ring_stop(struct nbd_lane *lane, bool polite)
{
	struct io *io = lane->disk->disk.io;

	if (polite)
		nbd_ring_disconnect(lane);
	shutdown(lane->fd, SHUT_RDWR);
	io_cancel(io, &lane->in);
	io_cancel(io, &lane->out);
}

static const struct nbd_lane_ops ring_ops = {
	.issue = nbd_ring_issue,
	.stop = ring_stop,
};

void nbd_ring_start(struct nbd_lane *lane)
{
	assert(!lane->in.inflight && !lane->out.inflight);
	lane->ops = &ring_ops;
	lane->in.op = IO_RECV;
	lane->in.fd = lane->fd;
	lane->in.done = nbd_ring_received;
	lane->out.op = IO_SEND;
	lane->out.fd = lane->fd;
	lane->out.done = nbd_ring_sent;
	nbd_ring_receive(lane);
}
