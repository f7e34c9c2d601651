/* server/export_disk_request.c - requests on a file or block device, through
 * the ring.
 *
 *   READ, WRITE  one or more transfers (they may be short), then DONE
 *   TRIM         PUNCH; where that is not possible nothing: it is a hint
 *   ZERO         PUNCH (ZERO_RANGE if holes are not wanted), where that is
 *                not possible ZERO_RANGE, where that is not, zeros written
 *   FLUSH        SYNC;  and after any of the above that writes, with FUA
 *   STATUS       SEEK_DATA and SEEK_HOLE at once: they do not wait for the
 *                disk longer than a look-up in the file's own map
 *
 * A transfer that moves nothing means that the file was made shorter behind
 * our back: -EIO.
 */
#include "server/export_disk_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bitmap.h"

/* Extents of one STATUS: two look-ups each, all in one turn of the loop. */
#define EXTENTS_MAX 256u
/* EAGAIN and EINTR are tried again so often. */
#define RETRIES_MAX 8u

enum raw_step {
	RAW_TRANSFER,
	RAW_TRIM,
	RAW_PUNCH,
	RAW_ZERO_RANGE,
	RAW_ZEROS,
	RAW_SYNC,
	RAW_DONE,
};

static struct disk_export *of_req(const struct export_req *req)
{
	return container_of(req->exp, struct disk_export, exp);
}

static void step(struct export_req *req);

static void raw_done_work(struct io_work *w)
{
	struct export_req *req =
		container_of(w, struct export_req, priv.raw.work);

	req->done(req);
}

static void raw_submit(struct export_req *req, enum io_op op, void *buf)
{
	struct io_req *io = &req->priv.raw.io;

	io->op = (uint8_t)op;
	io->buf = buf;
	io_submit(of_req(req)->disks->io, io);
}

/* Leave for the last step, or for the flush before it. */
static void wind_up(struct export_req *req)
{
	bool writes = req->op == VOL_WRITE || req->op == VOL_TRIM ||
		      req->op == VOL_ZERO;

	req->priv.raw.step = req->res == 0 && writes && req->flags & VOL_FUA ?
				     RAW_SYNC :
				     RAW_DONE;
}

/* A transfer of res bytes came back: is there more to do? */
static bool moved(struct export_req *req, int res)
{
	struct io_req *io = &req->priv.raw.io;

	if ((res == -EAGAIN || res == -EINTR) &&
	    req->priv.raw.retries++ < RETRIES_MAX)
		return true;
	if (res <= 0) {
		req->res = res < 0 ? res : -EIO;
		return false;
	}
	assert((uint64_t)res <= io->len);
	io->off += (uint64_t)res;
	io->len -= (uint64_t)res;
	return io->len > 0;
}

static bool unsupported(int res)
{
	return res == -EOPNOTSUPP || res == -EINVAL || res == -ENOTTY ||
	       res == -ENOSYS || res == -ENODEV;
}

/* The operation of the current step has ended with res. */
static void advance(struct export_req *req, int res)
{
	struct io_req *io = &req->priv.raw.io;
	uint64_t       end = req->off_bytes + req->len_bytes;

	switch ((enum raw_step)req->priv.raw.step) {
	case RAW_TRANSFER:
		if (res > 0)
			io->buf = (uint8_t *)io->buf + res;
		if (!moved(req, res))
			wind_up(req);
		break;
	case RAW_ZEROS:
		if (!moved(req, res) && (req->res < 0 || io->off == end))
			wind_up(req);
		break;
	case RAW_TRIM:
		if (res < 0 && !unsupported(res))
			req->res = res;
		wind_up(req);
		break;
	case RAW_PUNCH:
		if (unsupported(res)) {
			req->priv.raw.step = RAW_ZERO_RANGE;
			break;
		}
		req->res = res < 0 ? res : 0;
		wind_up(req);
		break;
	case RAW_ZERO_RANGE:
		if (unsupported(res)) {
			req->priv.raw.step = RAW_ZEROS;
			break;
		}
		req->res = res < 0 ? res : 0;
		wind_up(req);
		break;
	case RAW_SYNC:
		req->res = res < 0 ? res : 0;
		req->priv.raw.step = RAW_DONE;
		break;
	case RAW_DONE:
		break;
	}
}

static void raw_io_done(struct io_req *io)
{
	struct export_req *req =
		container_of(io, struct export_req, priv.raw.io);

	advance(req, io->res);
	if (req->priv.raw.step == RAW_DONE)
		req->done(req);
	else
		step(req);
}

/* Where is data, where are holes; SEEK_* that fail mean data. */
static void status(struct export_req *req)
{
	int      fd = of_req(req)->file->fd;
	uint64_t pos = req->off_bytes;
	uint64_t end = pos + req->len_bytes;
	uint32_t max = min_u32(req->extents_max, EXTENTS_MAX);

	req->nextents = 0;
	while (pos < end && req->nextents < max) {
		struct vol_extent *e = &req->extents[req->nextents++];
		off_t              data = lseek(fd, (off_t)pos, SEEK_DATA);
		off_t              next = (off_t)end;

		e->hole = data < 0 ? errno == ENXIO : (uint64_t)data > pos;
		if (e->hole && data >= 0)
			next = data;
		else if (!e->hole && data >= 0)
			next = lseek(fd, (off_t)pos, SEEK_HOLE);
		if (next <= (off_t)pos || (uint64_t)next > end)
			next = (off_t)end;
		e->len_bytes = (uint64_t)next - pos;
		e->changed = false;
		pos = (uint64_t)next;
	}
}

/* Start what the current step is about. */
static void step(struct export_req *req)
{
	struct io_req       *io = &req->priv.raw.io;
	struct export_disks *disks = of_req(req)->disks;

	switch ((enum raw_step)req->priv.raw.step) {
	case RAW_TRANSFER:
		raw_submit(req, req->op == VOL_READ ? IO_READ : IO_WRITE,
			   io->buf);
		return;
	case RAW_TRIM:
	case RAW_PUNCH:
		raw_submit(req, IO_PUNCH, NULL);
		return;
	case RAW_ZERO_RANGE:
		raw_submit(req, IO_ZERO, NULL);
		return;
	case RAW_ZEROS:
		/* len is what is left; one write takes a part of it. */
		io->len = min_u64(req->off_bytes + req->len_bytes - io->off,
				  ZEROS_BYTES);
		raw_submit(req, IO_WRITE, disks->zeros);
		return;
	case RAW_SYNC:
		raw_submit(req, IO_FSYNC, NULL);
		return;
	case RAW_DONE:
		io_defer(disks->io, &req->priv.raw.work);
		return;
	}
}

void disk_request_submit(struct export_req *req)
{
	struct io_req *io = &req->priv.raw.io;

	req->priv.raw.retries = 0;
	io->inflight = false;
	io->fd = of_req(req)->file->fd;
	io->off = req->off_bytes;
	io->len = req->len_bytes;
	io->buf = req->buf;
	io->done = raw_io_done;
	list_init(&io->link);
	io_work_init(&req->priv.raw.work, raw_done_work);
	req->res = 0;
	switch ((enum vol_op)req->op) {
	case VOL_READ:
		if (req->holes != NULL)
			memset(req->holes, 0,
			       BITMAP_WORDS(bytes_to_blocks_up(
				       req->off_bytes % TARN_BLOCK +
				       req->len_bytes)) *
				       sizeof(uint64_t));
		io->buf = (uint8_t *)req->buf + req->off_bytes % TARN_BLOCK;
		req->priv.raw.step = RAW_TRANSFER;
		break;
	case VOL_WRITE:
		req->priv.raw.step = RAW_TRANSFER;
		break;
	case VOL_TRIM:
		req->priv.raw.step = RAW_TRIM;
		break;
	case VOL_ZERO:
		req->priv.raw.step = req->flags & VOL_NO_HOLE ?
					     RAW_ZERO_RANGE :
					     RAW_PUNCH;
		break;
	case VOL_FLUSH:
		req->priv.raw.step = RAW_SYNC;
		break;
	case VOL_STATUS:
		status(req);
		req->priv.raw.step = RAW_DONE;
		break;
	case VOL_DIFF: /* it has no bitmaps */
		req->res = -EINVAL;
		__attribute__((fallthrough));
	case VOL_CACHE:
		req->priv.raw.step = RAW_DONE;
		break;
	}
	step(req);
}
