/* tests/sim/sim_io.h - the simulated engine: time is a number that jumps to
 * the next event.
 *
 * Rules of use
 *  - It offers timers and deferred work as any engine does (io/timer.c), and
 *    events, which stand for completions from the outside world.
 *  - An event belongs to the caller and fires once, in a later turn; events
 *    of one moment fire in the order in which they were scheduled.
 *  - With `events_left` set, the engine stops between two events when that
 *    many have fired: run() returns -EINTR and nothing more ever runs.  That
 *    is where a server is killed.
 */
#ifndef TARN_TESTS_SIM_SIM_IO_H
#define TARN_TESTS_SIM_SIM_IO_H

#include "io/io.h"

struct sim_event {
	uint64_t due_ns;   /* when */
	uint64_t order;    /* tie-break: order of scheduling */
	uint32_t heap_pos; /* 1-based; 0: not scheduled */
	void (*fn)(struct sim_event *ev);
};

struct sim_io {
	struct io          io;
	struct sim_event **heap;  /* 1-based binary heap */
	uint32_t           len;   /* events in it */
	uint32_t           cap;   /* room in it */
	uint64_t           order; /* next event's tie-break */
	uint64_t           turns; /* turns run, ever */
	uint64_t           fired; /* events fired, ever */
	uint64_t           events_left; /* until the stop; ~0: none */
	uint64_t           writes_left; /* to be submitted; with the last one
					 * events_left is at most … */
	uint64_t           events_after; /* … this; writes_left 0: never */
	bool               stopped;
};

void sim_io_open(struct sim_io *s, uint64_t now_ns, uint64_t seed);
/* Forgets all timers, work and events: what a kill does. */
void sim_io_close(struct sim_io *s);

static inline void sim_event_init(struct sim_event *ev,
				  void (*fn)(struct sim_event *ev))
{
	ev->heap_pos = 0;
	ev->fn = fn;
}

/* (Re)schedule; never before the next turn. */
void sim_event_at(struct sim_io *s, struct sim_event *ev, uint64_t due_ns);
void sim_event_cancel(struct sim_io *s, struct sim_event *ev);

/* A disk was given a write that is not to its labels. */
void sim_io_written(struct sim_io *s);

#endif
