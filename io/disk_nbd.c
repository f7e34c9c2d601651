/* io/disk_nbd.c - an NBD disk's life: connecting, breaking, connecting again,
 * closing.  The states are in disk_nbd.h, the data path begins in
 * disk_nbd_lane.c.
 *
 * Connections are made in a helper thread (names, TCP, negotiation, TLS: all
 * may block) and handed to the loop when they are ready.  There is one attempt
 * at a time; if it hangs in a name server the disk says so and waits for it.
 *
 * When one lane breaks, or one request is late, all of them are shut down, and
 * what is in flight on their sockets is cancelled.  When that has ended, at
 * once as a rule, the requests end: their buffers are free.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/disk_nbd.h"

/* An attempt that takes this much longer than it may is reported. */
#define DIAL_GRACE_NS NS_PER_S
/* Lanes after the first get less patience: a server that serves one client
 * leaves the second one waiting. */
#define EXTRA_LANE_NS NS_PER_S

/* --- in the helper thread ------------------------------------------------ */

static bool same_facts(const struct nbd_facts *a, const struct nbd_facts *b)
{
	return a->size_bytes == b->size_bytes &&
	       a->payload_bytes == b->payload_bytes &&
	       a->read_only == b->read_only && a->can_flush == b->can_flush &&
	       a->can_trim == b->can_trim &&
	       a->can_multi_conn == b->can_multi_conn;
}

/* One more connection.  0, or -errno and it is the caller's still. */
static int take_handle(struct nbd_attempt *a, struct nbd_handle *h)
{
	struct nbd_ring *ring = NULL;
	int		 r = 0;

	if (!a->through_libnbd)
		r = nbd_ring_open(h, &ring);
	if (r < 0)
		return r;
	a->handles[a->nhandles] = h;
	a->rings[a->nhandles] = ring;
	a->nhandles++;
	return 0;
}

/* A further lane: no harm if the server does not want it, but it must be the
 * same disk. */
static bool dial_extra(struct nbd_attempt *a, uint64_t deadline_ns)
{
	char		   err[PLACE_ERR_BYTES];
	struct nbd_handle *h;
	struct nbd_facts   facts;

	deadline_ns =
		min_u64(deadline_ns, nbd_dial_now_ns() + EXTRA_LANE_NS);
	if (nbd_dial(&a->dial, deadline_ns, &h, err) < 0)
		return false;
	if (nbd_dial_facts(&a->dial, h, &facts, err) < 0 ||
	    !same_facts(&facts, &a->facts) || take_handle(a, h) < 0) {
		nbd_close(h);
		return false;
	}
	return true;
}

static void attempt_work(struct offload *job)
{
	struct nbd_attempt *a = container_of(job, struct nbd_attempt, job);
	uint64_t	    deadline_ns = nbd_dial_now_ns() + a->timeout_ns;
	struct nbd_handle  *h;

	a->error = nbd_dial(&a->dial, deadline_ns, &h, a->error_text);
	if (a->error < 0)
		return;
	a->error = nbd_dial_facts(&a->dial, h, &a->facts, a->error_text);
	if (a->error == 0) {
		a->error = take_handle(a, h);
		if (a->error < 0)
			snprintf(a->error_text, sizeof(a->error_text),
				 "%.100s: cannot use the connection: %s",
				 a->dial.place, strerror(-a->error));
	}
	if (a->error < 0) {
		nbd_close(h);
		return;
	}
	while (a->facts.can_multi_conn && a->nhandles < a->lanes_wanted) {
		if (!dial_extra(a, deadline_ns))
			return;
	}
}

static void attempt_release(struct offload *job)
{
	struct nbd_attempt *a = container_of(job, struct nbd_attempt, job);

	for (unsigned i = 0; i < a->nhandles; i++) {
		nbd_close(a->handles[i]); /* NULL is harmless */
		nbd_ring_close(a->rings[i]);
	}
	free(a);
}

/* --- connecting ---------------------------------------------------------- */

static void report(struct nbd_disk *nd, enum disk_event ev)
{
	nd->reported = ev == DISK_EV_DOWN;
	nd->disk.event(&nd->disk, ev, nd->disk.event_arg);
}

/* Wait for the next attempt, or let closing go on. */
static void enter_pause(struct nbd_disk *nd)
{
	struct io *io = nd->disk.io;

	nd->state = NBD_PAUSE;
	if (nd->closing)
		io_defer(io, &nd->finish);
	else
		io_timer_arm(io, &nd->pause,
			     io_now_ns(io) +
				     disk_backoff_ns(io, &nd->backoff_ns));
}

static void down(struct nbd_disk *nd, int error, const char *text)
{
	nd->disk.error = error;
	snprintf(nd->disk.error_text, sizeof(nd->disk.error_text), "%s", text);
	if (!nd->reported && !nd->closing)
		report(nd, DISK_EV_DOWN);
}

static void go_up(struct nbd_disk *nd, struct nbd_attempt *a)
{
	struct disk *d = &nd->disk;

	nd->state = NBD_UP;
	nd->up_since_ns = io_now_ns(d->io);
	nd->payload_bytes = a->facts.payload_bytes;
	d->size_bytes = a->facts.size_bytes;
	d->read_only = nd->want_read_only || a->facts.read_only;
	d->can_flush = a->facts.can_flush;
	d->can_trim = a->facts.can_trim && !d->read_only;
	d->lanes = a->nhandles;
	for (unsigned i = 0; i < a->nhandles; i++) {
		nbd_lane_start(&nd->lanes[i], nd, a->handles[i],
			       a->rings[i]);
		a->handles[i] = NULL;
		a->rings[i] = NULL;
	}
	d->epoch++;
	d->up = true;
	d->error = 0;
	d->error_text[0] = '\0';
	report(nd, DISK_EV_UP);
}

static void attempt_done(struct offload *job, bool finished)
{
	struct nbd_attempt *a = container_of(job, struct nbd_attempt, job);
	struct nbd_disk	   *nd = a->disk;

	assert(nd->state == NBD_DIAL && nd->attempt == a);
	nd->attempt = NULL;
	io_timer_cancel(nd->disk.io, &nd->pause);
	if (nd->closing || !finished) {
		enter_pause(nd);
	} else if (a->error < 0) {
		enter_pause(nd);
		down(nd, a->error, a->error_text);
	} else {
		go_up(nd, a);
	}
}

static int start_attempt(struct nbd_disk *nd)
{
	struct nbd_attempt *a = calloc(1, sizeof(*a));
	int		    r;

	if (a == NULL)
		return -ENOMEM;
	a->job.work = attempt_work;
	a->job.done = attempt_done;
	a->job.release = attempt_release;
	a->dial = nd->dial;
	a->timeout_ns = nd->connect_timeout_ns;
	a->lanes_wanted = nd->lanes_wanted;
	a->through_libnbd = nd->through_libnbd;
	a->disk = nd;
	r = offload_start(nd->disk.io, &a->job);
	if (r < 0) {
		free(a);
		return r;
	}
	nd->attempt = a;
	nd->state = NBD_DIAL;
	return 0;
}

static void pause_over(struct io_timer *t)
{
	struct nbd_disk *nd = container_of(t, struct nbd_disk, pause);
	struct io	*io = nd->disk.io;
	char		 text[PLACE_ERR_BYTES];
	int		 r;

	if (nd->state == NBD_DIAL) {
		snprintf(text, sizeof(text),
			 "%.100s: connecting takes long; is the name server "
			 "there?",
			 nd->disk.place);
		down(nd, -ETIMEDOUT, text);
		return;
	}
	assert(nd->state == NBD_PAUSE && !nd->closing);
	r = start_attempt(nd);
	if (r < 0) {
		enter_pause(nd);
		snprintf(text, sizeof(text), "%.100s: cannot connect now: %s",
			 nd->disk.place, strerror(-r));
		down(nd, r, text);
		return;
	}
	io_timer_arm(io, t,
		     io_now_ns(io) + nd->connect_timeout_ns + DIAL_GRACE_NS);
}

/* --- going down and closing ---------------------------------------------- */

/* Nothing is in flight on the lanes: no buffer is in use any more. */
static void drained(struct nbd_disk *nd)
{
	struct list *l;

	for (unsigned i = 0; i < nd->disk.lanes; i++)
		nbd_lane_fini(&nd->lanes[i]);
	while ((l = list_pop(&nd->lost)) != NULL)
		disk_ender_add(&nd->ender,
			       list_entry(l, struct disk_req, link),
			       nd->lost_res);
	enter_pause(nd);
}

/* Stop the lanes; everything that was in flight ends with res, except what has
 * had its answer already. */
static void leave_up(struct nbd_disk *nd, int res)
{
	bool	     polite = list_empty(&nd->watch.inflight);
	struct list *l;

	assert(nd->state == NBD_UP);
	nd->state = NBD_DRAIN;
	nd->disk.up = false;
	nd->lost_res = res;
	io_undefer(&nd->issue);
	for (unsigned i = 0; i < nd->disk.lanes; i++)
		nd->lanes[i].ops->stop(&nd->lanes[i],
				       polite && (nd->closing || nd->anew));

	/* libnbd reports what it aborts as ended, with an error. */
	while ((l = list_pop(&nd->ended)) != NULL) {
		struct disk_req *req =
			list_entry(l, struct disk_req, io.link);
		bool more = nbd_disk_req_has_more(nd, req);

		disk_watch_remove(&nd->watch, req);
		disk_ender_add(&nd->ender, req, more ? res : req->res);
	}
	while (!list_empty(&nd->watch.inflight)) {
		struct disk_req *req = list_first(&nd->watch.inflight,
						  struct disk_req, link);

		list_remove(&req->io.link); /* of a lane's queue */
		disk_watch_remove(&nd->watch, req);
		list_push(&nd->lost, &req->link);
	}
	if (nd->operations == 0)
		drained(nd);
}

void nbd_disk_operation(struct nbd_disk *nd, struct io_req *req)
{
	nd->operations++;
	io_submit(nd->disk.io, req);
}

void nbd_disk_operation_ended(struct nbd_disk *nd)
{
	assert(nd->operations > 0);
	nd->operations--;
	if (nd->state == NBD_DRAIN && nd->operations == 0)
		drained(nd);
}

void nbd_disk_break(struct nbd_disk *nd, int res)
{
	if (io_now_ns(nd->disk.io) - nd->up_since_ns >= DISK_STEADY_NS)
		nd->backoff_ns = 0;
	leave_up(nd, res);
	report(nd, DISK_EV_DOWN);
}

static void request_late(struct disk_watch *w)
{
	struct nbd_disk *nd = container_of(w, struct nbd_disk, watch);

	nd->disk.error = -ETIMEDOUT;
	snprintf(nd->disk.error_text, sizeof(nd->disk.error_text),
		 "%.100s: no answer within %llu ms", nd->disk.place,
		 (unsigned long long)(w->timeout_ns / NS_PER_MS));
	nbd_disk_break(nd, -ETIMEDOUT);
}

static void finish(struct io_work *w)
{
	struct nbd_disk *nd = container_of(w, struct nbd_disk, finish);

	if (nd->disk.inflight > 0) { /* lost ones, due in this turn */
		io_defer(nd->disk.io, &nd->finish);
		return;
	}
	assert(nd->state == NBD_PAUSE && nd->operations == 0);
	io_undefer(&nd->ender.work);
	nd->closed(nd->closed_arg);
	free(nd);
}

static void nbd_disk_close(struct disk *d, void (*closed)(void *arg),
			   void *arg)
{
	struct nbd_disk *nd = nbd_disk_of(d);

	assert(!nd->closing);
	nd->closing = true;
	nd->closed = closed;
	nd->closed_arg = arg;
	io_timer_cancel(d->io, &nd->pause);
	switch (nd->state) {
	case NBD_DIAL:
		offload_abandon(&nd->attempt->job);
		break;
	case NBD_UP:
		leave_up(nd, -ECANCELED);
		break;
	case NBD_DRAIN:
		break;
	case NBD_PAUSE:
		io_defer(d->io, &nd->finish);
		break;
	}
}

/* A server tells the size when a connection is made, and not again. */
static int nbd_disk_rescan(struct disk *d)
{
	struct nbd_disk *nd = nbd_disk_of(d);

	d->error = -ENOTCONN;
	snprintf(d->error_text, sizeof(d->error_text),
		 "%.100s: it is being connected anew, for its size", d->place);
	nd->anew = true;
	nbd_disk_break(nd, -ENOTCONN);
	nd->anew = false;
	return 1;
}

static const struct disk_ops nbd_disk_ops = {
	.submit = nbd_disk_submit,
	.close = nbd_disk_close,
	.rescan = nbd_disk_rescan,
};

int disk_nbd_open(struct io *io, const struct place_addr *addr,
		  const struct disk_params *params, struct disk **ret_disk)
{
	struct nbd_disk *nd = calloc(1, sizeof(*nd));

	if (nd == NULL)
		return -ENOMEM;
	nd->disk.ops = &nbd_disk_ops;
	nd->disk.io = io;
	nd->disk.lanes = 1;
	place_host(addr, nd->disk.host, sizeof(nd->disk.host));
	nd->want_read_only = params->read_only;
	nd->lanes_wanted = params->lanes;
	nd->connect_timeout_ns = params->connect_timeout_ns;
	nd->dial.addr = *addr;
	snprintf(nd->dial.tls_ca_dir, sizeof(nd->dial.tls_ca_dir), "%s",
		 params->tls_ca_dir);
	place_export_uri(addr, addr->export, nd->dial.place);
	disk_watch_init(&nd->watch, io, params->timeout_ns, request_late);
	nd->through_libnbd = addr->tls;
	list_init(&nd->ended);
	list_init(&nd->lost);
	disk_ender_init(&nd->ender, io);
	io_work_init(&nd->issue, nbd_disk_issue);
	io_work_init(&nd->finish, finish);
	io_timer_init(&nd->pause, pause_over);
	nd->state = NBD_PAUSE;
	io_timer_arm(io, &nd->pause, io_now_ns(io)); /* in the next turn */
	*ret_disk = &nd->disk;
	return 0;
}
