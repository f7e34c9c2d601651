/* tools/tarn/send_lane.c - see send_lane.h.
 *
 * The data of a reply goes where it belongs, without a copy, but for what came
 * in one receive with the end of the reply before it: that is in `in`.
 *
 * What a server sends is not trusted: a reply to what was not asked, or that is
 * none, ends the connection.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/endian.h"
#include "base/util.h"
#include "tools/tarn/send.h"

#define MAGIC_REQUEST 0x25609513u
#define MAGIC_REPLY   0x67446698u
#define CMD_READ      0u

/* Big-endian; the NBD project's proto.md has it all. */
struct lane_request {
	be32 magic;
	be16 flags;
	be16 type;
	be64 cookie; /* comes back in the reply */
	be64 off;
	be32 len;
};
static_assert(sizeof(struct lane_request) == LANE_WIRE_BYTES, "lane_request");

/* Followed by the data, if there is no error. */
struct lane_reply {
	be32 magic;
	be32 error;
	be64 cookie;
};
static_assert(sizeof(struct lane_reply) == 16, "lane_reply");

int send_lane_open(struct send_lane *lane, const char *listen,
		   const char *export_name, char *ret_error)
{
	memset(lane, 0, sizeof(*lane));
	lane->nbd = nbd_create();
	if (lane->nbd == NULL ||
	    nbd_set_request_structured_replies(lane->nbd, false) < 0) {
		snprintf(ret_error, SEND_ERROR_BYTES,
			 "cannot set up a connection: %s", nbd_get_error());
		return -1;
	}
	if (send_connect(lane->nbd, listen, export_name, ret_error) < 0)
		return -1;
	lane->fd = nbd_aio_get_fd(lane->nbd);
	if (lane->fd >= 0 &&
	    nbd_get_structured_replies_negotiated(lane->nbd) == 0 &&
	    nbd_get_tls_negotiated(lane->nbd) == 0)
		return 0;
	snprintf(ret_error, SEND_ERROR_BYTES,
		 "what %.110s says when it is connected to makes no sense: is "
		 "it tarnd?", listen);
	return -1;
}

/* Nothing is in flight: a word of good-bye. */
static bool is_quiet(const struct send_lane *lane)
{
	for (unsigned i = 0; i < LANE_READS_MAX; i++)
		if (lane->reads[i].buf != NULL)
			return false;
	return !lane->cut;
}

void send_lane_close(struct send_lane *lane)
{
	if (lane->nbd != NULL && nbd_aio_is_ready(lane->nbd) == 1 &&
	    is_quiet(lane))
		nbd_shutdown(lane->nbd, 0);
	nbd_close(lane->nbd);
	lane->nbd = NULL;
}

void send_lane_read(struct send_lane *lane, unsigned i, uint64_t off_bytes,
		    void *buf, uint32_t len_bytes)
{
	struct lane_request req = {
		.magic = be32_of(MAGIC_REQUEST),
		.type = be16_of(CMD_READ),
		.cookie = be64_of(i),
		.off = be64_of(off_bytes),
		.len = be32_of(len_bytes),
	};

	assert(i < LANE_READS_MAX && lane->reads[i].buf == NULL);
	lane->reads[i].buf = buf;
	lane->reads[i].len_bytes = len_bytes;
	if (lane->out_bytes + sizeof(req) > sizeof(lane->out)) {
		lane->out_bytes -= lane->out_at;
		memmove(lane->out, lane->out + lane->out_at, lane->out_bytes);
		lane->out_at = 0;
	}
	/* What is there is of reads in flight, as none ends before it was
	 * sent. */
	assert(lane->out_bytes + sizeof(req) <= sizeof(lane->out));
	memcpy(lane->out + lane->out_bytes, &req, sizeof(req));
	lane->out_bytes += sizeof(req);
	lane->reads[i].sent_at = lane->sent + lane->out_bytes - lane->out_at;
}

short send_lane_events(const struct send_lane *lane)
{
	return lane->out_bytes > lane->out_at ? POLLIN | POLLOUT : POLLIN;
}

static int cut(struct send_lane *lane)
{
	lane->cut = true;
	return -1;
}

int send_lane_send(struct send_lane *lane)
{
	while (lane->out_at < lane->out_bytes) {
		ssize_t n = send(lane->fd, lane->out + lane->out_at,
				 lane->out_bytes - lane->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return cut(lane);
		lane->out_at += (size_t)n;
		lane->sent += (size_t)n;
	}
	lane->out_at = lane->out_bytes = 0;
	return 0;
}

/* --- replies ------------------------------------------------------------- */

static void read_end(struct send_lane *lane, struct lane_read *rd, int error,
		     send_lane_done_fn done, void *user)
{
	rd->buf = NULL;
	lane->now = NULL;
	done(user, (unsigned)(rd - lane->reads), error);
}

/* n more bytes of its data are where they belong. */
static void data_came(struct send_lane *lane, size_t n, send_lane_done_fn done,
		      void *user)
{
	lane->now_have += n;
	if (lane->now_have == lane->now->len_bytes)
		read_end(lane, lane->now, 0, done, user);
}

/* The numbers of NBD are those of Linux. */
static int errno_of(uint32_t error)
{
	switch (error) {
	case EPERM:
	case EIO:
	case ENOMEM:
	case EINVAL:
	case EOVERFLOW:
	case EOPNOTSUPP:
	case ESHUTDOWN:
		return (int)error;
	default:
		return EIO;
	}
}

/* A reply's head.  False: nonsense. */
static bool head_take(struct send_lane *lane, const struct lane_reply *head,
		      send_lane_done_fn done, void *user)
{
	uint64_t i = be64_get(head->cookie);

	if (be32_get(head->magic) != MAGIC_REPLY || i >= LANE_READS_MAX ||
	    lane->reads[i].buf == NULL || lane->reads[i].sent_at > lane->sent)
		return false;
	if (be32_get(head->error) != 0) {
		read_end(lane, &lane->reads[i],
			 errno_of(be32_get(head->error)), done, user);
		return true;
	}
	lane->now = &lane->reads[i];
	lane->now_have = 0;
	return true;
}

/* What is in `in`.  False: nonsense. */
static bool in_take(struct send_lane *lane, send_lane_done_fn done, void *user)
{
	for (;;) {
		size_t n = lane->in_bytes - lane->in_at;
		const uint8_t    *p = lane->in + lane->in_at;
		struct lane_reply head;

		if (lane->now != NULL && n > 0) {
			n = min_u64(n, lane->now->len_bytes - lane->now_have);
			memcpy((uint8_t *)lane->now->buf + lane->now_have, p,
			       n);
			lane->in_at += n;
			data_came(lane, n, done, user);
		} else if (lane->now == NULL && n >= sizeof(head)) {
			memcpy(&head, p, sizeof(head));
			lane->in_at += sizeof(head);
			if (!head_take(lane, &head, done, user))
				return false;
		} else {
			memmove(lane->in, p, n);
			lane->in_at = 0;
			lane->in_bytes = n;
			return true;
		}
	}
}

/* What the data at hand lacks, then whatever comes.  As recv(); ret_room: how
 * much could have come. */
static ssize_t receive(struct send_lane *lane, size_t *ret_direct,
		       size_t *ret_room)
{
	struct iovec  iov[2];
	struct msghdr msg = { .msg_iov = iov };

	*ret_direct = 0;
	if (lane->now != NULL) {
		*ret_direct = lane->now->len_bytes - lane->now_have;
		iov[msg.msg_iovlen++] = (struct iovec){
			.iov_base = (uint8_t *)lane->now->buf + lane->now_have,
			.iov_len = *ret_direct,
		};
	}
	iov[msg.msg_iovlen++] = (struct iovec){
		.iov_base = lane->in + lane->in_bytes,
		.iov_len = sizeof(lane->in) - lane->in_bytes,
	};
	*ret_room = *ret_direct + sizeof(lane->in) - lane->in_bytes;
	return recvmsg(lane->fd, &msg, MSG_DONTWAIT);
}

int send_lane_receive(struct send_lane *lane, send_lane_done_fn done,
		      void *user, bool *ret_nonsense)
{
	for (;;) {
		size_t  direct, room, rest;
		ssize_t n = receive(lane, &direct, &room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return cut(lane);
		rest = (size_t)n - min_u64((size_t)n, direct);
		lane->in_bytes += rest;
		if (direct > 0)
			data_came(lane, (size_t)n - rest, done, user);
		if (!in_take(lane, done, user)) {
			*ret_nonsense = true;
			return cut(lane);
		}
		if ((size_t)n < room)
			return 0;
	}
}
