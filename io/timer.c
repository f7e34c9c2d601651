/* io/timer.c - what every engine has in common: timers and deferred work.
 *
 * Timers are a binary heap of pointers, 1-based, each timer knowing its place,
 * so that arming, re-arming and cancelling are O(log n) without a search.
 * Deferred work is a queue.
 *
 * One turn is bounded, whatever the callbacks do:
 *  - a timer is never armed for a moment that this turn counts as past:
 *    deadlines are moved up to now + 1 ns, and `now` stands still during a
 *    turn, so a timer that re-arms itself fires in the next turn;
 *  - the queue is taken whole before the first item runs, so work that defers
 *    more work does it for the next turn.
 *
 * Links against nothing but the C library: the simulation uses it too.
 */
#include <errno.h>
#include <stdlib.h>

#include "io/io.h"

#define TIMERS_CAP_FIRST 64u

int io_common_init(struct io *io, const struct io_ops *ops, uint64_t seed)
{
	io->ops = ops;
	io->now_ns = 0;
	io->timers_len = 0;
	io->timers_cap = TIMERS_CAP_FIRST;
	/* Place 0 is never used. */
	io->timers = calloc(TIMERS_CAP_FIRST + 1u, sizeof(io->timers[0]));
	if (io->timers == NULL)
		return -ENOMEM;
	list_init(&io->deferred);
	prng_init(&io->prng, seed);
	return 0;
}

void io_common_fini(struct io *io)
{
	for (uint32_t i = 1; i <= io->timers_len; i++)
		io->timers[i]->heap_pos = 0;
	free(io->timers);
	io->timers = NULL;
	io->timers_len = 0;
	io->timers_cap = 0;
	while (list_pop(&io->deferred) != NULL)
		;
}

static void heap_put(struct io *io, uint32_t pos, struct io_timer *t)
{
	io->timers[pos] = t;
	t->heap_pos = pos;
}

static void heap_up(struct io *io, uint32_t pos, struct io_timer *t)
{
	while (pos > 1) {
		struct io_timer *parent = io->timers[pos / 2];

		if (parent->deadline_ns <= t->deadline_ns)
			break;
		heap_put(io, pos, parent);
		pos /= 2;
	}
	heap_put(io, pos, t);
}

static void heap_down(struct io *io, uint32_t pos, struct io_timer *t)
{
	while (2 * pos <= io->timers_len) {
		uint32_t child = 2 * pos;

		if (child < io->timers_len &&
		    io->timers[child + 1]->deadline_ns <
			    io->timers[child]->deadline_ns)
			child++;
		if (t->deadline_ns <= io->timers[child]->deadline_ns)
			break;
		heap_put(io, pos, io->timers[child]);
		pos = child;
	}
	heap_put(io, pos, t);
}

/* Put t, whose deadline has changed, where it belongs, starting at pos. */
static void heap_settle(struct io *io, uint32_t pos, struct io_timer *t)
{
	if (pos > 1 && io->timers[pos / 2]->deadline_ns > t->deadline_ns)
		heap_up(io, pos, t);
	else
		heap_down(io, pos, t);
}

static void heap_grow(struct io *io)
{
	uint32_t cap = io->timers_cap * 2;
	void	*p;

	p = realloc(io->timers, ((size_t)cap + 1) * sizeof(io->timers[0]));
	if (p == NULL)
		abort(); /* arming cannot fail; a few bytes per timer */
	io->timers = p;
	io->timers_cap = cap;
}

void io_timer_arm(struct io *io, struct io_timer *t, uint64_t deadline_ns)
{
	assert(t->fn != NULL);
	t->deadline_ns = max_u64(deadline_ns, io->now_ns + 1);
	if (t->heap_pos != 0) {
		assert(io->timers[t->heap_pos] == t);
		heap_settle(io, t->heap_pos, t);
		return;
	}
	if (io->timers_len == io->timers_cap)
		heap_grow(io);
	io->timers_len++;
	heap_up(io, io->timers_len, t);
}

void io_timer_cancel(struct io *io, struct io_timer *t)
{
	uint32_t	 pos = t->heap_pos;
	struct io_timer *last;

	if (pos == 0)
		return;
	assert(pos <= io->timers_len && io->timers[pos] == t);
	t->heap_pos = 0;
	last = io->timers[io->timers_len--];
	if (last != t)
		heap_settle(io, pos, last);
}

void io_defer(struct io *io, struct io_work *w)
{
	assert(w->fn != NULL);
	if (list_empty(&w->link))
		list_push(&io->deferred, &w->link);
}

uint64_t io_next_deadline_ns(const struct io *io)
{
	return io->timers_len > 0 ? io->timers[1]->deadline_ns : UINT64_MAX;
}

unsigned io_run_due(struct io *io)
{
	struct list  batch;
	struct list *link;
	unsigned     ran = 0;

	list_init(&batch);
	list_splice(&batch, &io->deferred);

	while (io->timers_len > 0 &&
	       io->timers[1]->deadline_ns <= io->now_ns) {
		struct io_timer *t = io->timers[1];

		io_timer_cancel(io, t);
		t->fn(t);
		ran++;
	}
	/* Items that a callback takes back with io_undefer() leave this list
	 * as they would leave the queue. */
	while ((link = list_pop(&batch)) != NULL) {
		struct io_work *w = list_entry(link, struct io_work, link);

		w->fn(w);
		ran++;
	}
	return ran;
}
