/* tests/stamp/write.c - write stamps, many at once, over one or more
 * connections, and check what is read in between.
 *
 * Each slot has one operation in flight.  A block is busy while an operation
 * on it is in flight; a new one looks for a free run.  The journal is told
 * before an operation is submitted and when it came back.
 */
#include "tests/stamp/stamp.h"

#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bitmap.h"
#include "base/prng.h"

#define UNKNOWN UINT64_MAX

enum slot_kind { SLOT_IDLE, SLOT_WRITE, SLOT_ZERO, SLOT_READ, SLOT_FLUSH };

struct writer;

struct slot {
	struct writer *w;
	uint8_t        kind;  /* enum slot_kind */
	uint64_t       id;    /* of the write, or of the flush */
	uint64_t       block; /* first */
	uint32_t       n;     /* blocks */
	uint8_t       *buf;   /* STAMP_RUN_MAX blocks */
};

struct writer {
	const struct stamp_options *o;
	struct journal     j;
	struct nbd_handle *conns[STAMP_CONNS_MAX];
	struct slot        slots[STAMP_QD_MAX];
	unsigned           inflight;
	bool               flushing; /* one flush at a time */
	uint64_t          *busy;     /* bitmap of blocks */
	uint64_t          *now;      /* id that a block holds; 0 zeros, UNKNOWN
				      * when one of several */
	struct prng        prng;
	uint64_t           ops, acked, flushes, reads, failed, wrong;
	struct timespec    t0;
};

static double elapsed_s(const struct writer *w)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - w->t0.tv_sec) +
	       (double)(t.tv_nsec - w->t0.tv_nsec) / 1e9;
}

static bool more(const struct writer *w)
{
	return w->failed == 0 && w->wrong == 0 &&
	       (w->o->ops == 0 || w->ops < w->o->ops) &&
	       (w->o->seconds <= 0 || elapsed_s(w) < w->o->seconds);
}

/* What each block holds by the journal, before we begin. */
static void know(struct writer *w)
{
	for (size_t i = 0; i < w->j.nwrites; i++) {
		const struct stamp_write *x = &w->j.writes[i];

		for (uint32_t b = 0; b < x->n; b++) {
			uint64_t *now = &w->now[x->block + b];

			if (x->state == WRITE_INFLIGHT)
				*now = UNKNOWN;
			else
				*now = x->zero ? 0 : x->id;
		}
	}
}

static bool take_run(struct writer *w, struct slot *s)
{
	for (unsigned tries = 0; tries < 16; tries++) {
		uint64_t at = prng_below(&w->prng, w->j.nblocks);
		/* Mostly small ones. */
		uint32_t n = prng_below(&w->prng, 4) != 0
				     ? 1
				     : 1 + prng_below(&w->prng, w->o->run_max);

		if (n > w->j.nblocks - at)
			n = w->j.nblocks - at;
		if (bitmap_next_set(w->busy, at, at + n) < at + n)
			continue;
		for (uint32_t b = 0; b < n; b++)
			bitmap_set(w->busy, at + b);
		s->block = at;
		s->n = n;
		return true;
	}
	return false;
}

static void check_read(struct slot *s)
{
	struct writer *w = s->w;

	for (uint32_t b = 0; b < s->n; b++) {
		uint64_t want = w->now[s->block + b];
		uint64_t found = stamp_id(s->buf + b * STAMP_BLOCK, w->j.seed,
					  s->block + b);

		if (want == UNKNOWN && found != UINT64_MAX)
			continue;
		if (found == want)
			continue;
		w->wrong++;
		printf("wrong: block %" PRIu64 " reads as write %" PRId64
		       ", not %" PRId64 "\n", s->block + b, (int64_t)found,
		       (int64_t)want);
	}
}

static void slot_succeeded(struct slot *s)
{
	struct writer *w = s->w;

	switch (s->kind) {
	case SLOT_WRITE:
	case SLOT_ZERO:
		journal_line(&w->j, 'A', s->id, 0, 0);
		for (uint32_t b = 0; b < s->n; b++)
			w->now[s->block + b] = s->kind == SLOT_ZERO ? 0
								    : s->id;
		w->acked++;
		break;
	case SLOT_FLUSH:
		journal_line(&w->j, 'F', s->id, 0, 0);
		w->flushes++;
		break;
	case SLOT_READ:
		check_read(s);
		w->reads++;
		break;
	default:
		abort();
	}
}

static int slot_done(void *arg, int *error)
{
	struct slot   *s = arg;
	struct writer *w = s->w;

	if (*error == 0) {
		slot_succeeded(s);
	} else {
		if (w->failed++ == 0)
			printf("stopped: an operation on block %" PRIu64
			       " failed: %s\n", s->block, strerror(*error));
		if (s->kind == SLOT_WRITE || s->kind == SLOT_ZERO)
			journal_line(&w->j, 'E', s->id, 0, *error);
	}
	if (s->kind == SLOT_FLUSH)
		w->flushing = false;
	for (uint32_t b = 0; b < s->n; b++)
		bitmap_clear(w->busy, s->block + b);
	s->kind = SLOT_IDLE;
	w->inflight--;
	return 1; /* retire the command by itself */
}

static void choose(struct slot *s)
{
	struct writer *w = s->w;
	unsigned       dice = prng_below(&w->prng, 100);

	s->n = 0;
	s->block = 0;
	if (w->o->flush_every != 0 && !w->flushing &&
	    prng_below(&w->prng, w->o->flush_every) == 0)
		s->kind = SLOT_FLUSH;
	else if (!take_run(w, s))
		s->kind = SLOT_IDLE;
	else if (dice < w->o->reads)
		s->kind = SLOT_READ;
	else if (dice < w->o->reads + w->o->zeros)
		s->kind = SLOT_ZERO;
	else
		s->kind = SLOT_WRITE;
}

/* Returns false when there is nothing to do just now. */
static bool slot_start(struct slot *s, struct nbd_handle *nbd)
{
	struct writer          *w = s->w;
	nbd_completion_callback cb = { .callback = slot_done, .user_data = s };
	uint64_t                off, len;
	int64_t                 r = -1;

	choose(s);
	if (s->kind == SLOT_IDLE)
		return false;
	off = s->block * STAMP_BLOCK;
	len = (uint64_t)s->n * STAMP_BLOCK;
	w->ops++;
	w->inflight++;
	switch (s->kind) {
	case SLOT_FLUSH:
		s->id = w->ops;
		w->flushing = true;
		journal_line(&w->j, 'f', s->id, 0, 0);
		r = nbd_aio_flush(nbd, cb, 0);
		break;
	case SLOT_READ:
		r = nbd_aio_pread(nbd, s->buf, len, off, cb, 0);
		break;
	case SLOT_WRITE:
		s->id = ++w->j.last_id;
		journal_line(&w->j, 'W', s->id, s->block, s->n);
		for (uint32_t b = 0; b < s->n; b++) {
			w->now[s->block + b] = UNKNOWN;
			stamp_fill(s->buf + b * STAMP_BLOCK, w->j.seed,
				   s->block + b, s->id);
		}
		r = nbd_aio_pwrite(nbd, s->buf, len, off, cb, 0);
		break;
	case SLOT_ZERO:
		s->id = ++w->j.last_id;
		journal_line(&w->j, 'Z', s->id, s->block, s->n);
		for (uint32_t b = 0; b < s->n; b++)
			w->now[s->block + b] = UNKNOWN;
		r = nbd_aio_zero(nbd, len, off, cb, 0);
		break;
	default:
		abort();
	}
	if (r < 0) {
		/* The callback is not called then: the command was refused
		 * before it was sent. */
		int error = nbd_get_errno() != 0 ? nbd_get_errno() : EIO;

		if (s->kind != SLOT_IDLE)
			slot_done(s, &error);
	}
	return true;
}

/* One round of poll over all connections; false when all are dead. */
static bool turn(struct writer *w)
{
	struct pollfd fds[STAMP_CONNS_MAX];
	bool          alive = false;

	for (unsigned c = 0; c < w->o->conns; c++) {
		unsigned dir;

		fds[c].fd = -1;
		fds[c].revents = 0;
		if (nbd_aio_is_dead(w->conns[c]) ||
		    nbd_aio_is_closed(w->conns[c]))
			continue;
		alive = true;
		dir = nbd_aio_get_direction(w->conns[c]);
		fds[c].fd = nbd_aio_get_fd(w->conns[c]);
		fds[c].events = 0;
		if (dir & LIBNBD_AIO_DIRECTION_READ)
			fds[c].events |= POLLIN;
		if (dir & LIBNBD_AIO_DIRECTION_WRITE)
			fds[c].events |= POLLOUT;
	}
	if (!alive || poll(fds, w->o->conns, 1000) < 0)
		return false;
	for (unsigned c = 0; c < w->o->conns; c++) {
		unsigned dir;

		if (fds[c].revents == 0)
			continue;
		dir = nbd_aio_get_direction(w->conns[c]);
		if ((dir & LIBNBD_AIO_DIRECTION_READ) &&
		    (fds[c].revents & (POLLIN | POLLHUP | POLLERR)))
			nbd_aio_notify_read(w->conns[c]);
		else if ((dir & LIBNBD_AIO_DIRECTION_WRITE) &&
			 (fds[c].revents & (POLLOUT | POLLHUP | POLLERR)))
			nbd_aio_notify_write(w->conns[c]);
	}
	return true;
}

static void run(struct writer *w)
{
	unsigned next = 0;

	clock_gettime(CLOCK_MONOTONIC, &w->t0);
	while (w->inflight > 0 || more(w)) {
		for (unsigned i = 0; i < w->o->qd && more(w); i++) {
			struct slot *s = &w->slots[i];

			if (s->kind != SLOT_IDLE)
				continue;
			if (!slot_start(s, w->conns[next++ % w->o->conns]))
				break;
		}
		if (w->inflight > 0 && !turn(w))
			break;
	}
	/* What is still in flight on dead connections is unknown. */
	if (w->inflight > 0 && w->failed == 0)
		w->failed = w->inflight;
}

static int begin(struct writer *w)
{
	int64_t size = 0;

	for (unsigned c = 0; c < w->o->conns; c++) {
		w->conns[c] = nbd_create();
		if (w->conns[c] == NULL ||
		    nbd_connect_uri(w->conns[c], w->o->uri) < 0 ||
		    (size = nbd_get_size(w->conns[c])) < 0) {
			fprintf(stderr, "stamp: %s: %s\n", w->o->uri,
				nbd_get_error());
			return -1;
		}
	}
	if (w->o->conns > 1 && nbd_can_multi_conn(w->conns[0]) != 1) {
		fprintf(stderr, "stamp: %s does not allow several"
			" connections\n", w->o->uri);
		return -1;
	}
	if ((uint64_t)size < STAMP_BLOCK) {
		fprintf(stderr, "stamp: %s is too small\n", w->o->uri);
		return -1;
	}
	if (journal_open(&w->j, w->o->journal,
			 (uint64_t)size / STAMP_BLOCK) < 0)
		return -1;
	w->busy = calloc(BITMAP_WORDS(w->j.nblocks), 8);
	w->now = calloc(w->j.nblocks, 8);
	if (w->busy == NULL || w->now == NULL)
		abort();
	know(w);
	prng_init(&w->prng, w->o->prng != 0 ? w->o->prng
					    : w->j.seed + w->j.last_id);
	for (unsigned i = 0; i < w->o->qd; i++) {
		w->slots[i].w = w;
		w->slots[i].buf = malloc((size_t)STAMP_RUN_MAX * STAMP_BLOCK);
		if (w->slots[i].buf == NULL)
			abort();
	}
	return 0;
}

int stamp_write_run(const struct stamp_options *o)
{
	struct writer *w = calloc(1, sizeof(*w));
	int            r = 2;

	if (w == NULL)
		abort();
	w->o = o;
	if (begin(w) == 0) {
		run(w);
		if (w->failed == 0)
			for (unsigned c = 0; c < o->conns; c++)
				nbd_shutdown(w->conns[c], 0);
		r = w->wrong != 0 ? 1 : w->failed != 0 ? 3 : 0;
		printf("%" PRIu64 " operations: %" PRIu64 " writes"
		       " acknowledged, %" PRIu64 " flushes, %" PRIu64
		       " reads checked, %" PRIu64 " wrong, %" PRIu64
		       " failed\n", w->ops, w->acked, w->flushes, w->reads,
		       w->wrong, w->failed);
	}
	for (unsigned c = 0; c < o->conns; c++) {
		/* Callbacks of commands that never ended come from here. */
		nbd_close(w->conns[c]);
	}
	journal_close(&w->j);
	for (unsigned i = 0; i < o->qd; i++)
		free(w->slots[i].buf);
	free(w->busy);
	free(w->now);
	free(w);
	return r;
}
