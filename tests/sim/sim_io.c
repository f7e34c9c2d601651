/* tests/sim/sim_io.c - an engine without a clock: see sim_io.h. */
#include <errno.h>
#include <stdlib.h>

#include "tests/sim/sim_io.h"

/* What one turn of the loop costs, so that time always passes. */
#define TURN_NS 200u

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->order < b->order;
}

static void put(struct sim_io *s, uint32_t pos, struct sim_event *ev)
{
	s->heap[pos] = ev;
	ev->heap_pos = pos;
}

static void settle(struct sim_io *s, uint32_t pos, struct sim_event *ev)
{
	while (pos > 1 && before(ev, s->heap[pos / 2])) {
		put(s, pos, s->heap[pos / 2]);
		pos /= 2;
	}
	for (;;) {
		uint32_t child = 2 * pos;

		if (child > s->len)
			break;
		if (child < s->len &&
		    before(s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s->heap[child], ev))
			break;
		put(s, pos, s->heap[child]);
		pos = child;
	}
	put(s, pos, ev);
}

void sim_event_at(struct sim_io *s, struct sim_event *ev, uint64_t due_ns)
{
	assert(ev->fn != NULL);
	ev->due_ns = max_u64(due_ns, s->io.now_ns + 1);
	ev->order = s->order++;
	if (ev->heap_pos == 0) {
		if (s->len == s->cap) {
			s->cap = s->cap * 2;
			s->heap = realloc(s->heap, (s->cap + 1ul) *
							   sizeof(s->heap[0]));
			assert(s->heap != NULL);
		}
		s->len++;
		settle(s, s->len, ev);
		return;
	}
	settle(s, ev->heap_pos, ev);
}

void sim_event_cancel(struct sim_io *s, struct sim_event *ev)
{
	uint32_t          pos = ev->heap_pos;
	struct sim_event *last;

	if (pos == 0)
		return;
	assert(s->heap[pos] == ev);
	ev->heap_pos = 0;
	last = s->heap[s->len--];
	if (last != ev)
		settle(s, pos, last);
}

void sim_io_written(struct sim_io *s)
{
	if (s->writes_left > 0 && --s->writes_left == 0)
		s->events_left = min_u64(s->events_left, s->events_after);
}

static int sim_run(struct io *io, uint64_t max_wait_ns)
{
	struct sim_io *s = container_of(io, struct sim_io, io);
	uint64_t       next = io_next_deadline_ns(io);
	uint64_t       bound;

	if (s->stopped)
		return -EINTR;
	if (s->len > 0)
		next = min_u64(next, s->heap[1]->due_ns);
	bound = max_wait_ns > UINT64_MAX - io->now_ns ?
			UINT64_MAX :
			io->now_ns + max_wait_ns;
	if (!list_empty(&io->deferred))
		bound = io->now_ns;
	next = min_u64(next, bound);
	if (next == UINT64_MAX)
		return -EDEADLK; /* nothing will ever happen again */
	io->now_ns = max_u64(io->now_ns + TURN_NS, next);
	s->turns++;
	while (s->len > 0 && s->heap[1]->due_ns <= io->now_ns) {
		struct sim_event *ev = s->heap[1];

		if (s->events_left == 0) {
			s->stopped = true;
			return -EINTR;
		}
		if (s->events_left != UINT64_MAX)
			s->events_left--;
		s->fired++;
		sim_event_cancel(s, ev);
		ev->fn(ev);
	}
	io_run_due(io);
	return 0;
}

static void no_submit(struct io *io, struct io_req *req)
{
	(void)io;
	(void)req;
	assert(!"the core has no sockets and no files");
}

static const struct io_ops sim_ops = {
	.submit = no_submit,
	.cancel = no_submit,
	.run = sim_run,
};

void sim_io_open(struct sim_io *s, uint64_t now_ns, uint64_t seed)
{
	int r = io_common_init(&s->io, &sim_ops, seed);

	assert(r == 0);
	s->io.now_ns = now_ns;
	s->len = 0;
	s->cap = 256;
	s->heap = malloc((s->cap + 1ul) * sizeof(s->heap[0]));
	assert(s->heap != NULL);
	s->order = 0;
	s->turns = 0;
	s->fired = 0;
	s->events_left = UINT64_MAX;
	s->writes_left = 0;
	s->events_after = 0;
	s->stopped = false;
}

void sim_io_close(struct sim_io *s)
{
	io_common_fini(&s->io);
	free(s->heap);
	s->heap = NULL;
	s->len = 0;
}
