/* server/tarnd.c - start, signals, stop.
 *
 * Start: engine, identity, control socket, NBD listeners, then the search for
 * the pool; none of it waits for disks.
 * Stop (SIGTERM, SIGINT): the running job ends, clients are drained, the pool
 * is closed cleanly, the control socket goes last.  A second signal ends the
 * process at once, and so does a stop that takes too long: that is as safe as
 * a crash, which loses nothing acknowledged.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/event.h"
#include "server/tarnd.h"

#define RING_ENTRIES 1024u
#define CTL_DRAIN_NS NS_PER_S
/* How long stopping may take, beyond --drain; while a pool is being opened. */
#define STOP_NS         (30 * NS_PER_S)
#define STOP_OPENING_NS (3 * NS_PER_S)

/* --- log ----------------------------------------------------------------- */

void tarnd_log(const struct tarnd *t, const char *fmt, ...)
{
	char    line[1024], out[4 * sizeof(line) + 16];
	size_t  len;
	va_list ap;

	(void)t;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	len = (size_t)snprintf(out, sizeof(out), "tarnd: ");
	for (const char *p = line; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(out + len, 5, "\\x%02x", c);
		else
			out[len++] = (char)c;
	}
	out[len++] = '\n';
	/* One write, so that lines stay whole; nobody reads: never mind. */
	if (write(STDERR_FILENO, out, len) < 0)
		return;
}

static void core_log(void *arg, const char *line)
{
	tarnd_log(arg, "%s", line);
}

/* --- places -------------------------------------------------------------- */

void tarnd_add_place(struct tarnd *t, const char *place)
{
	for (unsigned i = 0; i < t->nplaces; i++)
		if (strcmp(t->places[i], place) == 0)
			return;
	if (t->nplaces == TARND_PLACES_MAX)
		return;
	t->places[t->nplaces] = strdup(place);
	if (t->places[t->nplaces] != NULL)
		t->nplaces++;
}

/* --- stopping ------------------------------------------------------------ */

static void control_closed(void *arg)
{
	struct tarnd *t = arg;

	t->ctl = NULL;
	t->stopped = true;
}

/* When nothing is under way any more the control socket goes, then we. */
void tarnd_check_stopped(struct tarnd *t)
{
	if (!t->stopping || t->ctl == NULL || t->closing_control)
		return;
	if (!list_empty(&t->jobs) || t->scans > 0 || t->disks_closing > 0 ||
	    t->nbd_closing || t->nbd != NULL)
		return;
	t->closing_control = true;
	ctl_server_close(t->ctl, CTL_DRAIN_NS, control_closed, t);
}

static void stop_late(struct io_timer *timer)
{
	struct tarnd *t = container_of(timer, struct tarnd, stop_timer);

	if (t->hosted.state == HOSTED_OPENING && !t->creating) {
		tarnd_log(t, "the pool was still being opened: ending");
		_exit(0);
	}
	tarnd_log(t, "stopping takes too long: ending without closing the "
		     "pool; nothing that was acknowledged is lost");
	_exit(1);
}

static void stop(struct tarnd *t)
{
	uint64_t    wait_ns = STOP_NS + t->cfg->drain_s * NS_PER_S;
	struct job *job;

	t->stopping = true;
	io_timer_cancel(t->io, &t->hosted.retry);
	io_timer_cancel(t->io, &t->nbd_retry);
	/* Opening may wait long for another server's heartbeats, and there is
	 * nothing to close yet. */
	if (t->hosted.state == HOSTED_OPENING && !t->creating)
		wait_ns = STOP_OPENING_NS;
	io_timer_arm(t->io, &t->stop_timer, io_now_ns(t->io) + wait_ns);
	control_unpark(t);
	job = job_new(t, JOB_STOP, NULL);
	if (job == NULL)
		_exit(1); /* no memory: as a crash */
	job_submit(job);
}

static void wait_for_signal(struct tarnd *t)
{
	t->signal_req.op = IO_POLL;
	t->signal_req.fd = t->signal_fd;
	t->signal_req.len = POLLIN;
	io_submit(t->io, &t->signal_req);
}

static void signalled(struct io_req *req)
{
	struct tarnd *t = container_of(req, struct tarnd, signal_req);
	struct signalfd_siginfo info;

	if (t->stopped)
		return; /* cancelled at the end */
	while (read(t->signal_fd, &info, sizeof(info)) ==
	       (ssize_t)sizeof(info)) {
		if (t->stopping) {
			tarnd_log(t, "second signal: ending at once");
			_exit(1);
		}
		tarnd_log(t, "signal %u: stopping", info.ssi_signo);
		stop(t);
	}
	wait_for_signal(t);
}

static int catch_signals(struct tarnd *t)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->signal_fd < 0)
		return -errno;
	t->signal_req.done = signalled;
	return 0;
}

/* --- starting ------------------------------------------------------------ */

static int start_engine(struct tarnd *t)
{
	int r = io_uring_engine_open(RING_ENTRIES, &t->io);

	io_uring_engine_patient();
	if (r == -ENOSYS || r == -EPERM || r == -EACCES)
		tarnd_log(t, "this kernel has no io_uring for us (%s): a "
			     "kernel from 5.11 on is needed, and permission "
			     "(sysctl kernel.io_uring_disabled, seccomp)",
			  strerror(-r));
	else if (r < 0)
		tarnd_log(t, "cannot set up io_uring: %s", strerror(-r));
	else
		io_uring_engine_poll(t->io, t->cfg->poll_us * NS_PER_US);
	if (r < 0)
		return r;
	r = bufpool_open(t->cfg->buffers_bytes, &t->bufs);
	if (r < 0)
		tarnd_log(t, "cannot get %ju bytes of buffers: %s",
			  (uintmax_t)t->cfg->buffers_bytes, strerror(-r));
	return r;
}

static int start_control(struct tarnd *t)
{
	char err[256];
	int  r;

	t->core.methods = tarnd_methods;
	t->core.nmethods = tarnd_nmethods;
	t->core.arg = t;
	t->core.log = core_log;
	t->core.changed = event_changed;
	r = ctl_server_open(t->io, &t->core, t->cfg->control, &t->ctl, err);
	if (r < 0)
		tarnd_log(t, "%s", err);
	return r;
}

/* Errors end the process, which gives everything back. */
int tarnd_start(struct tarnd *t, struct config *cfg)
{
	int r;

	memset(t, 0, sizeof(*t));
	t->cfg = cfg;
	t->lock_fd = -1;
	t->started_s = tarnd_now_s();
	for (unsigned i = 0; i < cfg->disks.n; i++)
		tarnd_add_place(t, cfg->disks.items[i]);
	r = catch_signals(t);
	if (r < 0)
		return r;
	r = tarnd_identity(t);
	if (r < 0)
		return r;
	r = start_engine(t);
	if (r < 0)
		return r;
	io_timer_init(&t->stop_timer, stop_late);
	r = tarnd_schedule_init(t);
	if (r < 0)
		return r;
	jobs_init(t);
	control_park_init(t);
	event_init(t);
	tarnd_exports_init(t);
	r = start_control(t);
	if (r < 0)
		return r;
	r = tarnd_nbd_start(t);
	if (r < 0) {
		unlink(cfg->control);
		return r;
	}
	wait_for_signal(t);
	hosted_init(t);
	tarnd_log(t, "ready");
	return 0;
}

/* Whatever the engine still holds ends first. */
static void end_engine(struct tarnd *t)
{
	io_timer_cancel(t->io, &t->stop_timer);
	wall_timer_close(&t->wall);
	io_cancel(t->io, &t->signal_req);
	while (t->signal_req.inflight)
		if (io_run(t->io, NS_PER_S) < 0)
			return;
	io_uring_engine_close(t->io);
	bufpool_close(t->bufs);
}

int tarnd_run(struct tarnd *t)
{
	int r = 0;

	while (!t->stopped && r == 0)
		r = io_run(t->io, UINT64_MAX);
	if (r < 0) {
		tarnd_log(t, "io_uring is broken: %s", strerror(-r));
		_exit(1);
	}
	end_engine(t);
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	close(t->signal_fd);
	for (unsigned i = 0; i < t->nplaces; i++)
		free(t->places[i]);
	return t->exit_code;
}
