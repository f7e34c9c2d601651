/* tools/tarn/send_write.c - the thread that encodes and writes.
 *
 * Takes slots in order as they become ready, and gives them back when they are
 * written.  Small records gather in a buffer.  When reading has failed, what
 * had been read before is written still, and a mark behind it, so that little
 * must be sent again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/send.h"

#define SMALL (64u << 10)

static int write_all(struct send_pipe *pipe, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(pipe->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE) {
			snprintf(pipe->error, sizeof(pipe->error),
				 "who reads the stream has gone away; see "
				 "what it says");
			return -1;
		}
		if (n < 0) {
			snprintf(pipe->error, sizeof(pipe->error),
				 "cannot write the stream: %s",
				 strerror(errno));
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int buf_flush(struct send_pipe *pipe)
{
	size_t n = pipe->buf_bytes;

	pipe->buf_bytes = 0;
	return write_all(pipe, pipe->buf, n);
}

static int out_write(struct send_pipe *pipe, const struct stream_out *out)
{
	for (size_t i = 0; i < ARRAY_LEN(out->piece); i++) {
		const void *p = out->piece[i].buf;
		size_t      n = out->piece[i].bytes;

		if (n == 0)
			continue;
		if (n < SMALL && pipe->buf_bytes + n <= SEND_BUF_BYTES) {
			memcpy(pipe->buf + pipe->buf_bytes, p, n);
			pipe->buf_bytes += n;
		} else if (buf_flush(pipe) < 0 || write_all(pipe, p, n) < 0) {
			return -1;
		}
	}
	return 0;
}

static int slot_write(struct send_pipe *pipe, const struct send_slot *s)
{
	struct stream_out out;
	uint64_t end = s->off_bytes + s->len_bytes;
	int      r;

	if (s->zero)
		r = stream_encode_zero(pipe->enc, s->off_bytes, s->len_bytes,
				       &out);
	else
		r = stream_encode_data(pipe->enc, s->off_bytes, s->data,
				       s->len_bytes, &out);
	if (r < 0) {
		snprintf(pipe->error, sizeof(pipe->error),
			 "what the server says of offset %ju makes no sense: "
			 "is it tarnd?", (uintmax_t)s->off_bytes);
		return -1;
	}
	if (out_write(pipe, &out) < 0)
		return -1;
	if (!stream_encoder_mark_due(pipe->enc, end))
		return 0;
	if (stream_encode_mark(pipe->enc, end, &out) < 0)
		return 0;
	return out_write(pipe, &out);
}

/* The next slot in order, when it is ready; NULL: there will be none. */
static struct send_slot *slot_wait(struct send_pipe *pipe)
{
	struct send_slot *s = &pipe->slots[pipe->tail % SEND_SLOTS];

	pthread_mutex_lock(&pipe->lock);
	while (!pipe->failed && (pipe->tail == pipe->head || !s->ready)) {
		if (pipe->tail == pipe->head && pipe->ended)
			break;
		pthread_cond_wait(&pipe->more, &pipe->lock);
	}
	if (pipe->tail == pipe->head || !s->ready) {
		s = NULL;
	} else if (s->error != 0) {
		pipe->failed = true; /* so this is not the end */
		s = NULL;
	}
	pthread_mutex_unlock(&pipe->lock);
	return s;
}

static void slot_put(struct send_pipe *pipe, struct send_slot *s)
{
	bool wake;

	pthread_mutex_lock(&pipe->lock);
	pipe->done_bytes += s->zero ? 0 : s->len_bytes;
	pipe->pos_bytes = s->off_bytes + s->len_bytes;
	pipe->ring_used -= s->ring_bytes;
	s->ready = false;
	pipe->tail++;
	/* Once for much room; when all is written there is. */
	wake = pipe->waits && pipe->head - pipe->tail <= SEND_SLOTS / 2 &&
	       pipe->ring_used <= SEND_RING_BYTES / 2;
	if (wake)
		pipe->waits = false;
	pthread_mutex_unlock(&pipe->lock);
	if (wake)
		eventfd_write(pipe->wake_fd, 1);
}

/* The last record. */
static int stream_end(struct send_pipe *pipe)
{
	struct stream_out out;
	bool failed;

	pthread_mutex_lock(&pipe->lock);
	failed = pipe->failed;
	pthread_mutex_unlock(&pipe->lock);
	if (failed) {
		if (stream_encode_mark(pipe->enc, pipe->pos_bytes, &out) == 0 &&
		    out_write(pipe, &out) < 0)
			return -1;
		return buf_flush(pipe);
	}
	if (stream_encode_end(pipe->enc, &out) < 0) {
		snprintf(pipe->error, sizeof(pipe->error),
			 "the server has left out a part of the snapshot: is "
			 "it tarnd?");
		return -1;
	}
	return out_write(pipe, &out) < 0 ? -1 : buf_flush(pipe);
}

void *send_write(void *arg)
{
	struct send_pipe *pipe = arg;
	struct stream_out out;
	struct send_slot *s;
	int      r;

	stream_encode_header(pipe->enc, &out);
	r = out_write(pipe, &out);
	while (r == 0 && (s = slot_wait(pipe)) != NULL) {
		r = slot_write(pipe, s);
		slot_put(pipe, s);
	}
	if (r == 0)
		stream_end(pipe);
	pthread_mutex_lock(&pipe->lock);
	pipe->written = true;
	pthread_mutex_unlock(&pipe->lock);
	eventfd_write(pipe->wake_fd, 1);
	return NULL;
}
