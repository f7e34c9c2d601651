/* server/wall_timer.h - one instant of the wall clock to be told of, also when
 * somebody sets the clock meanwhile, or the machine sleeps.  It costs nothing
 * until then.
 */
#ifndef TARN_SERVER_WALL_TIMER_H
#define TARN_SERVER_WALL_TIMER_H

#include "io/io.h"

struct wall_timer {
	struct io    *io;
	int           fd;  /* a timerfd; -1: closed */
	struct io_req req;
	/* The instant has come, or the clock was set: once for each arming. */
	void        (*fn)(struct wall_timer *w);
};

/* -errno. */
int  wall_timer_open(struct wall_timer *w, struct io *io,
		     void (*fn)(struct wall_timer *w));
/* At at_s, seconds since 1970; ~0: never. */
void wall_timer_arm(struct wall_timer *w, uint64_t at_s);
/* Runs the loop until nothing of it is in flight; fn() is not called. */
void wall_timer_close(struct wall_timer *w);

#endif
