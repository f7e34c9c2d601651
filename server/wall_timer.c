/* server/wall_timer.c - see wall_timer.h.
 *
 * A timerfd of CLOCK_REALTIME, polled by the engine; when the clock is set, it
 * becomes readable, too, and the read says ECANCELED.
 */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/util.h"
#include "server/wall_timer.h"

/* The kernel's own limit of time_t is beyond any calendar. */
#define AT_MAX_S (1ull << 40)

static void look(struct wall_timer *w)
{
	if (w->req.inflight)
		return;
	w->req.op = IO_POLL;
	w->req.fd = w->fd;
	w->req.len = POLLIN;
	io_submit(w->io, &w->req);
}

static void readable(struct io_req *req)
{
	struct wall_timer *w = container_of(req, struct wall_timer, req);
	uint64_t times;

	if (w->fd < 0)
		return;
	/* Armed anew before we came to look. */
	if (read(w->fd, &times, sizeof(times)) < 0 && errno == EAGAIN) {
		look(w);
		return;
	}
	wall_timer_arm(w, UINT64_MAX);
	w->fn(w);
}

int wall_timer_open(struct wall_timer *w, struct io *io,
		    void (*fn)(struct wall_timer *w))
{
	w->io = io;
	w->fn = fn;
	w->req.done = readable;
	w->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	return w->fd < 0 ? -errno : 0;
}

void wall_timer_arm(struct wall_timer *w, uint64_t at_s)
{
	struct itimerspec at = { .it_value = { .tv_sec = 0 } };
	int flags = 0;

	if (at_s != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)min_u64(at_s, AT_MAX_S);
		flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
		look(w);
	}
	/* The clock was set just now: it has to be read first.  It is armed
	 * all the same. */
	timerfd_settime(w->fd, flags, &at, NULL);
}

void wall_timer_close(struct wall_timer *w)
{
	int fd = w->fd;

	w->fd = -1;
	io_cancel(w->io, &w->req);
	while (w->req.inflight)
		if (io_run(w->io, NS_PER_S) < 0)
			return;
	if (fd >= 0)
		close(fd);
}
