/* tests/sim/sim_disk.c - requests in flight to a sim_media: see sim_disk.h.
 *
 *   submit --> waits (latency) --> perform --> done(res)
 *                 |  hung, or slower than the timeout
 *                 +--> deadline --> connection lost: all in flight end
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/label_format.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_late.h"

#define RECONNECT_NS (200 * NS_PER_MS)

struct sim_op {
	struct sim_event ev;
	struct list      link;        /* in flight, or free */
	struct sim_disk *sd;
	struct disk_req *req;
	uint64_t         ready_ns;    /* when the disk would answer */
	uint64_t         deadline_ns; /* when we give up */
	uint64_t         flush_upto;  /* FLUSH: writes below are meant */
};

static const char *const op_names[] = { "read", "write", "flush", "trim" };

static uint32_t block_of(const struct disk_req *req)
{
	return (uint32_t)(req->off_bytes >> TARN_BLOCK_SHIFT);
}

static uint32_t blocks_of(const struct disk_req *req)
{
	return req->len_bytes >> TARN_BLOCK_SHIFT;
}

/* --- what requests do ---------------------------------------------------- */

/* n blocks of the request, from `first` on, take effect. */
static void apply(struct sim_media *m, const struct disk_req *req,
		  uint32_t first, uint32_t n)
{
	uint32_t block = block_of(req);

	for (uint32_t i = first; i < first + n; i++) {
		const uint8_t *data = (const uint8_t *)req->buf;
		page_t         p;

		if (req->op == DISK_TRIM)
			p = page_get(PAGE_ZERO);
		else
			p = page_copy_of(data + (size_t)i * TARN_BLOCK);
		media_put(m, block + i, p, m->groups);
	}
	m->groups++;
}

/* Nobody will hear of this one. */
static void orphan(struct sim_disk *sd, const struct disk_req *req, bool late)
{
	struct sim_media *m = sd->media;
	struct prng      *rng = &m->sim->disk_rng;
	uint32_t          n = blocks_of(req);
	uint64_t          ns;

	if (req->op != DISK_WRITE && req->op != DISK_TRIM)
		return;
	switch (prng_below(rng, late ? 4 : 3)) {
	case 0:
		apply(m, req, 0, n);
		return;
	case 1:
		return;
	case 2:
		apply(m, req, 0, (uint32_t)prng_below(rng, n + 1));
		return;
	default:
		ns = 1ull << between(rng, 16, 33); /* 65 us to 8 s */
		sim_late_add(m, block_of(req), n,
			     req->op == DISK_TRIM ? NULL : req->buf,
			     sd->io->io.now_ns + between(rng, ns / 2, ns));
		return;
	}
}

static bool take(uint32_t *armed)
{
	if (*armed == 0)
		return false;
	(*armed)--;
	return true;
}

static int do_read(struct sim_media *m, const struct disk_req *req)
{
	struct sim *sim = m->sim;
	uint32_t    block = block_of(req);
	bool        stale = take(&m->arm_stale_read);
	uint8_t    *buf = req->buf;

	STAT(sim, disk_reads);
	if (take(&m->arm_read_error)) {
		STAT(sim, read_errors);
		return -EIO;
	}
	for (uint32_t i = 0; i < blocks_of(req); i++) {
		if (bitmap_test(m->bad, block + i)) {
			STAT(sim, read_errors);
			return -EIO;
		}
	}
	for (uint32_t i = 0; i < blocks_of(req); i++) {
		page_t p = m->cur[block + i];

		if (stale && m->dur[block + i] != p)
			p = m->dur[block + i];
		else if (stale)
			p = m->cur[(block + i + 7) % m->nblocks];
		memcpy(buf + (size_t)i * TARN_BLOCK, page_data(p), TARN_BLOCK);
	}
	if (stale)
		STAT(sim, stale_reads);
	return 0;
}

static void misdirect(struct sim_media *m, const struct disk_req *req)
{
	struct prng *rng = &m->sim->disk_rng;
	uint32_t     n = blocks_of(req);
	uint32_t     to = (uint32_t)prng_below(rng, m->nblocks - n);

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *data =
			(const uint8_t *)req->buf + (size_t)i * TARN_BLOCK;

		media_phantom(m, block_of(req) + i, page_copy_of(data));
		media_damage(m, to + i, page_copy_of(data));
	}
}

static int do_write(struct sim_media *m, const struct disk_req *req)
{
	struct sim  *sim = m->sim;
	struct prng *rng = &sim->disk_rng;
	uint32_t     n = blocks_of(req);

	STAT(sim, disk_writes);
	if (take(&m->arm_write_error)) {
		STAT(sim, write_errors);
		if (chance(rng, 1, 2))
			apply(m, req, 0, (uint32_t)prng_below(rng, n + 1));
		return chance(rng, 1, 4) ? -ENOSPC : -EIO;
	}
	if (take(&m->arm_phantom)) {
		STAT(sim, phantom_writes);
		for (uint32_t i = 0; i < n; i++)
			media_phantom(m, block_of(req) + i,
				      page_copy_of((const uint8_t *)req->buf +
						   (size_t)i * TARN_BLOCK));
		return 0;
	}
	if (take(&m->arm_misdirect)) {
		STAT(sim, misdirected_writes);
		misdirect(m, req);
		return 0;
	}
	apply(m, req, 0, n);
	return 0;
}

static int do_flush(struct sim_media *m, uint64_t upto)
{
	struct sim *sim = m->sim;

	STAT(sim, disk_flushes);
	if (take(&m->arm_flush_fail)) {
		STAT(sim, flush_failures);
		media_flush_failed(m);
		return -EIO;
	}
	media_flush(m, upto);
	return 0;
}

static int do_trim(struct sim_media *m, const struct disk_req *req)
{
	struct prng *rng = &m->sim->disk_rng;
	uint32_t     n = blocks_of(req);

	/* A hint: contents are undefined afterwards. */
	STAT(m->sim, disk_trims);
	if (chance(rng, 3, 4))
		apply(m, req, 0, n);
	else
		apply(m, req, 0, (uint32_t)prng_below(rng, n + 1));
	return 0;
}

static int perform(struct sim_op *op)
{
	struct sim_media *m = op->sd->media;
	struct disk_req  *req = op->req;

	switch ((enum disk_op)req->op) {
	case DISK_READ:
		return do_read(m, req);
	case DISK_WRITE:
		return do_write(m, req);
	case DISK_FLUSH:
		return do_flush(m, op->flush_upto);
	case DISK_TRIM:
		return do_trim(m, req);
	}
	return -EINVAL;
}

/* --- requests ------------------------------------------------------------ */

static void finish(struct sim_op *op, int res)
{
	struct sim_disk *sd = op->sd;
	struct disk_req *req = op->req;

	TRACE(sd->media->sim, 3, req->off_bytes ^ req->len_bytes, res,
	      "disk %u: %s %u+%u ends: %d", sd->media->index,
	      op_names[req->op], block_of(req), blocks_of(req), res);
	sim_event_cancel(sd->io, &op->ev);
	list_remove(&op->link);
	list_push_front(&sd->free_ops, &op->link);
	sd->d.inflight--;
	req->res = res;
	req->done(req);
}

static void lose_connection(struct sim_disk *sd, int error, bool late)
{
	struct list ops;

	TRACE(sd->media->sim, 4, sd->media->index, error,
	      "disk %u: connection lost: %d", sd->media->index, error);
	sd->d.up = false;
	sd->d.error = error;
	snprintf(sd->d.error_text, sizeof(sd->d.error_text),
		 "simulated loss of connection (%d)", -error);
	list_init(&ops);
	list_splice(&ops, &sd->inflight);
	for (struct list *l = ops.next; l != &ops; l = l->next)
		orphan(sd, list_entry(l, struct sim_op, link)->req, late);
	while (!list_empty(&ops))
		finish(list_first(&ops, struct sim_op, link), error);
	sim_event_at(sd->io, &sd->reconnect,
		     sd->io->io.now_ns +
			     between(&sd->media->sim->disk_rng, NS_PER_MS,
				     RECONNECT_NS));
	if (sd->d.event != NULL)
		sd->d.event(&sd->d, DISK_EV_DOWN, sd->d.event_arg);
}

static void op_fire(struct sim_event *ev)
{
	struct sim_op    *op = container_of(ev, struct sim_op, ev);
	struct sim_disk  *sd = op->sd;
	struct sim_media *m = sd->media;
	uint64_t          now_ns = sd->io->io.now_ns;

	if (!sd->d.up) {
		finish(op, -ENOTCONN);
	} else if (m->hold_flush_ns > now_ns && op->req->op == DISK_FLUSH &&
		   op->deadline_ns > now_ns) {
		sim_event_at(sd->io, ev, now_ns + 100 * NS_PER_US);
	} else if (!m->hung && !m->gone && op->ready_ns <= now_ns) {
		finish(op, perform(op));
	} else if (op->deadline_ns <= now_ns) {
		STAT(m->sim, disk_timeouts);
		lose_connection(sd, -ETIMEDOUT, true);
	} else if (m->hung || m->gone) {
		sim_event_at(sd->io, ev, op->deadline_ns);
	} else {
		sim_event_at(sd->io, ev,
			     min_u64(op->ready_ns, op->deadline_ns));
	}
}

static uint64_t latency_ns(struct sim_disk *sd, const struct disk_req *req)
{
	struct prng *rng = &sd->media->sim->disk_rng;
	uint64_t     us;

	if (req->op == DISK_FLUSH)
		us = between(rng, 100, 1500);
	else if (req->op == DISK_TRIM)
		/* Some hosts take their time over it. */
		us = between(rng, 100, 1ull << between(rng, 8, 19));
	else
		us = between(rng, 40, 300) + blocks_of(req);
	if (chance(rng, 1, 64))
		us *= 16;
	return us * NS_PER_US * sd->media->slow;
}

static void check_request(struct sim_disk *sd, const struct disk_req *req)
{
	struct sim *sim = sd->media->sim;
	uint64_t    end = req->off_bytes + req->len_bytes;

	if (end > blocks_to_bytes(sd->media->nblocks))
		sim_fail(sim, "disk %u: %s of %u bytes at %llu is beyond the "
			 "end of the disk", sd->media->index,
			 op_names[req->op], req->len_bytes,
			 (unsigned long long)req->off_bytes);
	if (req->op == DISK_FLUSH)
		return;
	if (req->len_bytes == 0)
		sim_fail(sim, "disk %u: empty %s", sd->media->index,
			 op_names[req->op]);
	if (req->op != DISK_TRIM && (uintptr_t)req->buf % TARN_BLOCK != 0)
		sim_fail(sim, "disk %u: %s with an unaligned buffer",
			 sd->media->index, op_names[req->op]);
	if (req->op == DISK_WRITE || req->op == DISK_TRIM)
		sim_late_check(sd->media, block_of(req), blocks_of(req),
			       req->op == DISK_WRITE ? req->buf : NULL);
	if (req->op == DISK_TRIM && !sd->d.can_trim)
		sim_fail(sim, "disk %u: trim of a disk that cannot",
			 sd->media->index);
}

static void sd_submit(struct disk *d, struct disk_req *req)
{
	struct sim_disk *sd = container_of(d, struct sim_disk, d);
	struct sim_op   *op;

	check_request(sd, req);
	if (list_empty(&sd->free_ops)) {
		op = calloc(1, sizeof(*op));
		assert(op != NULL);
		op->sd = sd;
		sim_event_init(&op->ev, op_fire);
		list_init(&op->link);
	} else {
		op = list_first(&sd->free_ops, struct sim_op, link);
		list_remove(&op->link);
	}
	op->req = req;
	op->ready_ns = sd->io->io.now_ns + latency_ns(sd, req);
	op->deadline_ns = sd->io->io.now_ns + SIM_DISK_TIMEOUT_NS;
	op->flush_upto = media_seq(sd->media);
	d->inflight++;
	if (req->op == DISK_WRITE && block_of(req) >= LABEL_AREA_BLOCKS &&
	    block_of(req) < sd->media->nblocks - LABEL_AREA_BLOCKS)
		sim_io_written(sd->io);
	list_push(&sd->inflight, &op->link);
	TRACE(sd->media->sim, 5, req->off_bytes ^ req->len_bytes, req->op,
	      "disk %u: %s %u+%u", sd->media->index, op_names[req->op],
	      block_of(req), blocks_of(req));
	sim_event_at(sd->io, &op->ev,
		     sd->d.up ? min_u64(op->ready_ns, op->deadline_ns) :
				sd->io->io.now_ns);
}

/* --- connections --------------------------------------------------------- */

/* The last bytes are of no use to anybody. */
static uint64_t sim_disk_bytes(const struct sim_media *m)
{
	return blocks_to_bytes(m->nblocks) + m->index % 3 * 512;
}

static void try_reconnect(struct sim_event *ev)
{
	struct sim_disk *sd = container_of(ev, struct sim_disk, reconnect);

	if (sd->media->gone || sd->media->hung) {
		sim_event_at(sd->io, ev, sd->io->io.now_ns + RECONNECT_NS);
		return;
	}
	sd->d.up = true;
	sd->d.epoch++;
	sd->d.size_bytes = sim_disk_bytes(sd->media);
	TRACE(sd->media->sim, 6, sd->media->index, sd->d.epoch,
	      "disk %u: connected again", sd->media->index);
	if (sd->d.event != NULL)
		sd->d.event(&sd->d, DISK_EV_UP, sd->d.event_arg);
}

static void free_disk(struct sim_disk *sd)
{
	struct list *l;

	while ((l = list_pop(&sd->inflight)) != NULL)
		free(list_entry(l, struct sim_op, link));
	while ((l = list_pop(&sd->free_ops)) != NULL)
		free(list_entry(l, struct sim_op, link));
	assert(sd->media->handle == sd);
	sd->media->handle = NULL;
	free(sd);
}

static void do_close(struct sim_event *ev)
{
	struct sim_disk *sd = container_of(ev, struct sim_disk, closing);
	void (*closed)(void *arg) = sd->closed;
	void *arg = sd->closed_arg;

	sd->d.up = false;
	sim_event_cancel(sd->io, &sd->reconnect);
	while (!list_empty(&sd->inflight)) {
		struct sim_op *op =
			list_first(&sd->inflight, struct sim_op, link);

		orphan(sd, op->req, true);
		finish(op, -ECANCELED);
	}
	TRACE(sd->media->sim, 7, sd->media->index, 0, "disk %u: closed",
	      sd->media->index);
	free_disk(sd);
	if (closed != NULL)
		closed(arg);
}

static void sd_close(struct disk *d, void (*closed)(void *arg), void *arg)
{
	struct sim_disk *sd = container_of(d, struct sim_disk, d);

	assert(sd->closing.heap_pos == 0);
	sd->closed = closed;
	sd->closed_arg = arg;
	sim_event_at(sd->io, &sd->closing, sd->io->io.now_ns + NS_PER_US);
}

static int sd_rescan(struct disk *d)
{
	lose_connection(container_of(d, struct sim_disk, d), -ENOTCONN, true);
	return 1;
}

static const struct disk_ops sd_ops = {
	.submit = sd_submit,
	.close = sd_close,
	.rescan = sd_rescan,
};

struct sim_disk *sim_disk_open(struct sim_io *io, struct sim_media *m)
{
	struct sim_disk *sd = calloc(1, sizeof(*sd));

	assert(sd != NULL && m->handle == NULL && !m->gone);
	sd->io = io;
	sd->media = m;
	list_init(&sd->inflight);
	list_init(&sd->free_ops);
	sim_event_init(&sd->reconnect, try_reconnect);
	sim_event_init(&sd->closing, do_close);
	sd->d.ops = &sd_ops;
	sd->d.io = &io->io;
	snprintf(sd->d.place, sizeof(sd->d.place), "sim:%u", m->index);
	snprintf(sd->d.host, sizeof(sd->d.host), "host%u", m->domain);
	sd->d.size_bytes = sim_disk_bytes(m);
	sd->d.epoch = 1;
	sd->d.up = true;
	sd->d.can_flush = true;
	sd->d.can_trim = m->index % 4 != 3;
	sd->d.lanes = 1;
	m->handle = sd;
	return sd;
}

void sim_disk_drop(struct sim_disk *sd)
{
	if (sd->d.up)
		lose_connection(sd, -ECONNRESET, true);
}

void sim_disk_power_loss(struct sim_disk *sd)
{
	struct sim_media *m = sd->media;

	STAT(m->sim, disk_power_losses);
	sim_late_drop(m->sim, m);
	/* The errors come to the server after the disk is gone. */
	if (sd->d.up)
		lose_connection(sd, -ECONNRESET, false);
	media_power_loss(m);
}

void sim_disk_kick(struct sim_disk *sd)
{
	uint64_t now_ns = sd->io->io.now_ns;
	uint64_t us = 10;

	if (sd->media->hung || sd->media->gone)
		return;
	for (struct list *l = sd->inflight.next; l != &sd->inflight;
	     l = l->next) {
		struct sim_op *op = list_entry(l, struct sim_op, link);

		sim_event_at(sd->io, &op->ev, now_ns + us * NS_PER_US);
		us += 3;
	}
}

void sim_disk_abandon(struct sim_disk *sd, bool power)
{
	struct sim_media *m = sd->media;

	for (struct list *l = sd->inflight.next; l != &sd->inflight;
	     l = l->next)
		orphan(sd, list_entry(l, struct sim_op, link)->req, !power);
	if (power) {
		sim_late_drop(m->sim, m);
		media_power_loss(m);
	}
}

void sim_disk_forget(struct sim_disk *sd)
{
	free_disk(sd);
}
