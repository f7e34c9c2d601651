/* tools/tarn/send_pipe.c - reads what is to be sent, several pieces at once.
 *
 * The happy path:
 *
 *	ask() as long as there is a free slot and room in the ring
 *	all that was asked leaves at once
 *	wait for replies, or for the writer; read_done() makes slots ready
 *	when the source has no more, `ended`; when the writer has, over
 *
 * Extents are cut into slots of at most STREAM_DATA_MAX; a slot of data takes
 * its bytes from a ring, in order, and gives them back in order.  Reads end in
 * any order; the writer waits for the oldest.  When slots or ring are full,
 * nothing is asked for until the writer has made much room, so that requests
 * go out by the dozen; when --rate says so, neither.
 *
 * The first failure of either side ends both: what the reader still waits for
 * is let go with its connection, before the memory is.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/util.h"
#include "tools/tarn/send.h"

#define PACE_PIECES 8 /* a second, at least */
#define WAIT_MS     200

/* What the loop has in hand. */
struct reader {
	struct send_pipe  *pipe;
	struct progress   *progress;
	struct send_extent extent; /* what is left of it */
	bool   src_ended;
	char  *error;              /* SEND_ERROR_BYTES */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- slots --------------------------------------------------------------- */

/* Of the lane: read i is of slot i. */
static void read_done(void *user, unsigned i, int error)
{
	struct send_pipe *pipe = user;
	struct send_slot *s = &pipe->slots[i];

	pthread_mutex_lock(&pipe->lock);
	s->error = error;
	s->ready = true;
	if (s == &pipe->slots[pipe->tail % SEND_SLOTS])
		pthread_cond_signal(&pipe->more);
	pthread_mutex_unlock(&pipe->lock);
}

/* len bytes of the ring in one piece; false: not now. */
static bool ring_take(struct send_pipe *pipe, struct send_slot *s, size_t len)
{
	size_t rest = SEND_RING_BYTES - pipe->ring_head;
	bool   wrap = rest < len, room;
	size_t skip = wrap ? rest : 0;

	pthread_mutex_lock(&pipe->lock);
	room = SEND_RING_BYTES - pipe->ring_used >= skip + len;
	if (room)
		pipe->ring_used += skip + len;
	pipe->waits = !room;
	pthread_mutex_unlock(&pipe->lock);
	if (!room)
		return false;
	s->data = pipe->ring + (wrap ? 0 : pipe->ring_head);
	s->ring_bytes = skip + len;
	pipe->ring_head = (size_t)(s->data - pipe->ring) + len;
	return true;
}

/* A free slot, not yet taken; NULL: there is none now. */
static struct send_slot *slot_free(struct send_pipe *pipe)
{
	bool full;

	pthread_mutex_lock(&pipe->lock);
	full = pipe->head - pipe->tail == SEND_SLOTS;
	pipe->waits = full;
	pthread_mutex_unlock(&pipe->lock);
	return full ? NULL : &pipe->slots[pipe->head % SEND_SLOTS];
}

static void slot_take(struct send_pipe *pipe, struct send_slot *s)
{
	pthread_mutex_lock(&pipe->lock);
	s->ready = s->zero;
	pipe->head++;
	if (s->ready)
		pthread_cond_signal(&pipe->more);
	pthread_mutex_unlock(&pipe->lock);
}

static size_t piece_max(const struct send_pipe *pipe)
{
	uint64_t n = STREAM_DATA_MAX;

	if (pipe->rate_bytes_s > 0)
		n = min_u64(n, pipe->rate_bytes_s / PACE_PIECES);
	return max_u64(n & ~(uint64_t)(TARN_BLOCK - 1), TARN_BLOCK);
}

/* `len` are being read: when may the next be? */
static void pace(struct send_pipe *pipe, size_t len)
{
	if (pipe->rate_bytes_s == 0)
		return;
	/* What was not used is not made up for. */
	pipe->next_ns =
		max_u64(pipe->next_ns, now_ns() - NS_PER_S / PACE_PIECES) +
		(uint64_t)((double)len * (double)NS_PER_S /
			   (double)pipe->rate_bytes_s);
}

static int read_fail(struct reader *rd, uint64_t off, const char *why)
{
	if (rd->pipe->src->lane.cut)
		snprintf(rd->error, SEND_ERROR_BYTES,
			 "the connection to the server broke while offset %ju "
			 "was read; see 'tarn status'", (uintmax_t)off);
	else
		snprintf(rd->error, SEND_ERROR_BYTES,
			 "cannot read the snapshot at offset %ju: %s; see "
			 "'tarn status'", (uintmax_t)off, why);
	return -1;
}

/* One piece of the extent in hand.  1; 0: not now. */
static int piece_ask(struct reader *rd)
{
	struct send_pipe   *pipe = rd->pipe;
	struct send_extent *x = &rd->extent;
	struct send_slot   *s = slot_free(pipe);
	size_t len = min_u64(x->len_bytes, piece_max(pipe));

	if (s == NULL)
		return 0;
	s->off_bytes = x->off_bytes;
	s->len_bytes = x->zero ? x->len_bytes : len;
	s->zero = x->zero;
	s->error = 0;
	s->ring_bytes = 0;
	if (!x->zero) {
		if ((pipe->rate_bytes_s > 0 && pipe->next_ns > now_ns()) ||
		    !ring_take(pipe, s, len))
			return 0;
		pace(pipe, len);
	}
	slot_take(pipe, s);
	if (!s->zero)
		send_lane_read(&pipe->src->lane,
			       (unsigned)(s - pipe->slots), s->off_bytes,
			       s->data, (uint32_t)len);
	x->off_bytes += s->len_bytes;
	x->len_bytes -= s->len_bytes;
	return 1;
}

/* As much as there is room for. */
static int ask(struct reader *rd)
{
	int r = 1;

	while (r > 0) {
		if (rd->extent.len_bytes == 0) {
			if (rd->src_ended || slot_free(rd->pipe) == NULL)
				return 0;
			r = send_source_next(rd->pipe->src, &rd->extent);
			if (r < 0)
				snprintf(rd->error, SEND_ERROR_BYTES, "%s",
					 rd->pipe->src->error);
			rd->src_ended = r == 0;
		}
		if (r > 0)
			r = piece_ask(rd);
	}
	return r;
}

/* --- the loop ------------------------------------------------------------ */

/* Of the oldest slot. */
static uint64_t oldest_off(struct send_pipe *pipe)
{
	uint64_t off;

	pthread_mutex_lock(&pipe->lock);
	off = pipe->tail < pipe->head ?
		      pipe->slots[pipe->tail % SEND_SLOTS].off_bytes :
		      pipe->src->pos_bytes;
	pthread_mutex_unlock(&pipe->lock);
	return off;
}

/* Until something can go on: a reply, room, the time of the next read. */
static int wait_and_take(struct reader *rd)
{
	struct send_pipe *pipe = rd->pipe;
	struct send_lane *lane = &pipe->src->lane;
	struct pollfd fds[2] = {
		{ .fd = lane->fd, .events = send_lane_events(lane) },
		{ .fd = pipe->wake_fd, .events = POLLIN },
	};
	uint64_t  now = now_ns();
	int       ms = WAIT_MS;
	bool      nonsense = false;
	eventfd_t n;

	if (pipe->next_ns > now)
		ms = (int)min_u64((pipe->next_ns - now) / NS_PER_MS + 1,
				  WAIT_MS);
	if (poll(fds, 2, ms) < 0 && errno != EINTR) {
		snprintf(rd->error, SEND_ERROR_BYTES, "cannot wait: %s",
			 strerror(errno));
		return -1;
	}
	if ((fds[1].revents & POLLIN) != 0)
		eventfd_read(pipe->wake_fd, &n);
	if (fds[0].revents == 0 ||
	    send_lane_receive(lane, read_done, pipe, &nonsense) == 0)
		return 0;
	if (nonsense)
		lane->cut = false; /* so much is clear */
	return read_fail(rd, oldest_off(pipe),
			 "the server's reply makes no sense: is it tarnd?");
}

/* The oldest slot: has its read failed?  And is all of it over? */
static int look(struct reader *rd, bool *ret_over)
{
	struct send_pipe *pipe = rd->pipe;
	struct send_slot *s;
	int      error = 0;
	uint64_t done, pos, off;

	pthread_mutex_lock(&pipe->lock);
	s = &pipe->slots[pipe->tail % SEND_SLOTS];
	if (pipe->tail < pipe->head && s->ready)
		error = s->error;
	off = s->off_bytes;
	if (rd->src_ended && rd->extent.len_bytes == 0 && !pipe->ended) {
		pipe->ended = true;
		pthread_cond_signal(&pipe->more);
	}
	*ret_over = pipe->written;
	done = pipe->done_bytes;
	pos = pipe->pos_bytes;
	pthread_mutex_unlock(&pipe->lock);
	/* An increment's bar is where it is in the volume. */
	progress_update(rd->progress, pipe->src->changes ? pos : done);
	if (error == 0)
		return 0;
	return read_fail(rd, off,
			 error == ESHUTDOWN ? "it is served no longer"
					    : strerror(error));
}

static int loop(struct reader *rd)
{
	for (;;) {
		bool over = false;

		if (ask(rd) < 0 || look(rd, &over) < 0)
			return -1;
		if (over)
			return 0;
		if (send_lane_send(&rd->pipe->src->lane) < 0)
			return read_fail(rd, oldest_off(rd->pipe), "");
		if (wait_and_take(rd) < 0)
			return -1;
	}
}

static int run(struct reader *rd)
{
	struct send_pipe *pipe = rd->pipe;
	pthread_t writer;
	int       r;

	r = pthread_create(&writer, NULL, send_write, pipe);
	if (r != 0) {
		snprintf(rd->error, SEND_ERROR_BYTES,
			 "cannot start a thread: %s", strerror(r));
		return -1;
	}
	r = loop(rd);
	pthread_mutex_lock(&pipe->lock);
	pipe->failed = pipe->failed || r < 0;
	pthread_cond_signal(&pipe->more);
	pthread_mutex_unlock(&pipe->lock);
	pthread_join(writer, NULL);
	if (r == 0 && pipe->error[0] != '\0') {
		snprintf(rd->error, SEND_ERROR_BYTES, "%s", pipe->error);
		r = -1;
	}
	/* Nobody writes into the ring after this. */
	if (r == 0)
		nbd_shutdown(pipe->src->nbd, 0);
	send_source_close(pipe->src);
	return r;
}

int send_pipe_run(struct send_pipe *pipe, struct progress *progress,
		  char *ret_error)
{
	struct reader rd = { .pipe = pipe,
			     .progress = progress,
			     .error = ret_error };
	int r = -1;

	pthread_mutex_init(&pipe->lock, NULL);
	pthread_cond_init(&pipe->more, NULL);
	pipe->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pipe->ring = mem_map(SEND_RING_BYTES);
	pipe->buf = malloc(SEND_BUF_BYTES);
	if (pipe->wake_fd < 0 || pipe->ring == NULL || pipe->buf == NULL)
		snprintf(ret_error, SEND_ERROR_BYTES, "out of memory");
	else
		r = run(&rd);
	if (pipe->wake_fd >= 0)
		close(pipe->wake_fd);
	if (pipe->ring != NULL)
		mem_unmap(pipe->ring, SEND_RING_BYTES);
	free(pipe->buf);
	pthread_mutex_destroy(&pipe->lock);
	pthread_cond_destroy(&pipe->more);
	return r;
}
