/* io/disk_nbd_ring.h - the inside of a plain lane; private to
 * disk_nbd_{ring,send,recv}.c.
 *
 * Requests.  One that is given to a send takes a slot of a table, and its
 * cookie names the slot and how often that has been used.  So a reply to
 * something that was never asked, or that has been answered, is noticed
 * whatever it says.  When all slots are taken requests stay queued.
 *
 *   FREE --send begins--> SENDING --its last byte is sent--> ASKED --+
 *    ^                        |                                      |
 *    |                      reply                                  reply
 *    |                        v                                      |
 *    +--<-- byte sent --- ANSWERED                                   |
 *    +--<------------------------------------------------------------+
 *
 * ANSWERED: a reply came while the request was being sent, which a server may
 * do and a socket's two directions always can.  It is kept until the request's
 * buffer is in no send any more.
 *
 * Bytes out.  One send at a time takes everything that is queued; meanwhile
 * more gathers.  Headers stand side by side in an array, so that those without
 * data between them are one piece of the send.
 *
 * Bytes in.  One receive is always in flight, into the lane's buffer; data of
 * reads is copied out of it.  When much of a read's data is still to come, the
 * next receive goes straight into the read's own buffer.
 */
#ifndef TARN_IO_DISK_NBD_RING_H
#define TARN_IO_DISK_NBD_RING_H

#include "io/disk_nbd.h"
#include "io/disk_nbd_format.h"

#define NBD_SLOTS 512u
/* Requests of one send. */
#define NBD_BATCH 128u
/* The receive buffer. */
#define NBD_RX_BYTES (128u << 10)
/* Data of a read that is still to come is worth a receive of its own. */
#define NBD_DIRECT_BYTES (32u << 10)

enum nbd_slot_state {
	NBD_SLOT_FREE,
	NBD_SLOT_SENDING,
	NBD_SLOT_ANSWERED, /* still being sent; req->res is set */
	NBD_SLOT_ASKED,
};

struct nbd_slot {
	struct disk_req *req;   /* NULL: free */
	uint32_t	 uses;  /* upper half of the cookie */
	uint8_t		 state; /* enum nbd_slot_state */
};

struct nbd_ring {
	struct nbd_slot slots[NBD_SLOTS];
	uint16_t	free[NBD_SLOTS]; /* a stack of indexes */
	uint32_t	nfree;
	/* The send in flight: */
	uint32_t	nbatch;     /* requests in it; 0: there is none */
	uint32_t	batch_next; /* first one not wholly sent */
	uint64_t	sent_bytes; /* of it */
	uint32_t	niov;
	uint16_t	batch[NBD_BATCH]; /* slots, in order */
	uint64_t	batch_end[NBD_BATCH]; /* bytes up to their last one */
	struct iovec	iov[2 * NBD_BATCH];
	struct dnbd_request heads[NBD_BATCH];
	/* The receive in flight: */
	struct nbd_slot *filling;   /* read whose data arrives, or NULL */
	uint32_t	 got_bytes; /* of filling's data, or its piece */
	uint32_t	 rx_bytes;  /* start of a reply header, in rx */
	bool		 direct;    /* it goes into filling's own buffer */
	uint8_t		 rx[NBD_RX_BYTES];
};

/* disk_nbd_ring.c */

/* The slot that a cookie names, or NULL. */
struct nbd_slot *nbd_ring_find(struct nbd_ring *ring, uint64_t cookie);
/* Take a free slot for req (there must be one): its index. */
uint16_t nbd_ring_take(struct nbd_ring *ring, struct disk_req *req);
static inline uint64_t nbd_ring_cookie(const struct nbd_ring *ring,
				       uint16_t i)
{
	return (uint64_t)ring->slots[i].uses << 32 | i;
}
/* The request is neither in the ring nor on the wire any more: it ends with
 * req->res when nbd_disk_end_requests() is called. */
void nbd_ring_end(struct nbd_lane *lane, struct nbd_slot *slot);

/* disk_nbd_send.c */

bool nbd_ring_issue(struct nbd_lane *lane);
void nbd_ring_sent(struct io_req *req);
/* Good-bye, as far as the socket takes it at once.  Nothing is in flight. */
void nbd_ring_disconnect(struct nbd_lane *lane);

/* disk_nbd_recv.c */

void nbd_ring_receive(struct nbd_lane *lane);
void nbd_ring_received(struct io_req *req);

#endif
