/* io/disk_file.c - a disk that is a regular file or block device here.
 *
 *            open, lock, size               break            drained
 *   CLOSED ------------------> UP ------------------> DRAINING ------> CLOSED
 *      ^  failed: back-off      \                                        |
 *      +------------------------------- back-off ------------------------+
 *
 * Reads and writes go through the ring, past the page cache where the file
 * system allows it (O_DIRECT), else through it (tmpfs).  Either way a flush is
 * fdatasync, and an error of it is the caller's to act on.
 *
 * What can go wrong
 *  - a short transfer is continued; no progress means beyond the end of a file
 *    that has shrunk: -EIO;
 *  - an error of one request (-EIO, -ENOSPC) is that request's alone;
 *  - a device that is gone, or a request that is late, breaks the disk: it goes
 *    DOWN at once.  A local request cannot be torn from the kernel's hands: its
 *    buffer is not free before the kernel has let go, so it is cancelled, and
 *    ends with an error when that has happened;
 *  - somebody else has the file: a lock (flock) says so, for block devices
 *    O_EXCL too, and the disk stays DOWN with that reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "io/disk_impl.h"

/* Times that one request is tried again after EAGAIN or EINTR. */
#define RETRIES_MAX 8u

enum file_state {
	FILE_CLOSED,   /* no descriptor; the retry timer runs */
	FILE_UP,       /* open */
	FILE_DRAINING, /* broken or closing; the ring still has requests */
};

struct file_disk {
	struct disk	  disk;
	enum file_state   state;
	int		  fd;
	bool		  closing;     /* disk_close() was called */
	bool		  reported;    /* DOWN was said since the last UP */
	uint64_t	  backoff_ns;  /* last one used */
	uint64_t	  up_since_ns; /* of this epoch */
	struct disk_watch watch;       /* what the ring has */
	struct disk_ender ender;       /* refused requests */
	struct io_timer   retry;       /* next attempt to open */
	struct io_work	  finish;      /* the last step of closing */
	void (*closed)(void *arg);     /* of disk_close() */
	void *closed_arg;
};

static struct file_disk *file_of(struct disk *d)
{
	return container_of(d, struct file_disk, disk);
}

__attribute__((format(printf, 3, 4))) static int
fail(struct file_disk *f, int error, const char *fmt, ...)
{
	va_list ap;

	f->disk.error = error;
	va_start(ap, fmt);
	vsnprintf(f->disk.error_text, sizeof(f->disk.error_text), fmt, ap);
	va_end(ap);
	return error;
}

/* --- going down and closing ---------------------------------------------- */

static void report(struct file_disk *f, enum disk_event ev)
{
	f->reported = ev == DISK_EV_DOWN;
	f->disk.event(&f->disk, ev, f->disk.event_arg);
}

static void file_finish(struct io_work *w)
{
	struct file_disk *f = container_of(w, struct file_disk, finish);

	if (f->disk.inflight > 0) { /* refused ones, due in this turn */
		io_defer(f->disk.io, &f->finish);
		return;
	}
	assert(f->state == FILE_CLOSED);
	io_undefer(&f->ender.work);
	f->closed(f->closed_arg);
	free(f);
}

/* The ring has given everything back. */
static void drained(struct file_disk *f)
{
	struct io *io = f->disk.io;

	close(f->fd); /* releases the lock */
	f->fd = -1;
	f->state = FILE_CLOSED;
	if (f->closing)
		io_defer(io, &f->finish);
	else
		io_timer_arm(io, &f->retry,
			     io_now_ns(io) +
				     disk_backoff_ns(io, &f->backoff_ns));
}

/* Leave UP: cancel what the ring has. */
static void start_draining(struct file_disk *f)
{
	f->state = FILE_DRAINING;
	f->disk.up = false;
	io_timer_cancel(f->disk.io, &f->watch.timer);
	list_for_each(l, &f->watch.inflight) {
		struct disk_req *req = list_entry(l, struct disk_req, link);

		io_cancel(f->disk.io, &req->io);
	}
	if (list_empty(&f->watch.inflight))
		drained(f);
}

/* error and error_text are set. */
static void file_break(struct file_disk *f)
{
	struct io *io = f->disk.io;

	assert(f->state == FILE_UP);
	if (io_now_ns(io) - f->up_since_ns >= DISK_STEADY_NS)
		f->backoff_ns = 0;
	start_draining(f);
	report(f, DISK_EV_DOWN);
}

static void file_late(struct disk_watch *w)
{
	struct file_disk *f = container_of(w, struct file_disk, watch);

	fail(f, -ETIMEDOUT, "%.100s: no answer within %llu ms", f->disk.place,
	     (unsigned long long)(w->timeout_ns / NS_PER_MS));
	file_break(f);
}

static void file_close(struct disk *d, void (*closed)(void *arg), void *arg)
{
	struct file_disk *f = file_of(d);

	assert(!f->closing);
	f->closing = true;
	f->closed = closed;
	f->closed_arg = arg;
	d->up = false;
	io_timer_cancel(d->io, &f->retry);
	if (f->state == FILE_UP)
		start_draining(f);
	else if (f->state == FILE_CLOSED)
		io_defer(d->io, &f->finish);
}

/* --- requests ------------------------------------------------------------ */

static void file_io_done(struct io_req *io_req);

/* Give the ring what is left of req. */
static void start_io(struct file_disk *f, struct disk_req *req)
{
	static const uint8_t ops[] = {
		[DISK_READ] = IO_READ,
		[DISK_WRITE] = IO_WRITE,
		[DISK_FLUSH] = IO_FSYNC,
		[DISK_TRIM] = IO_PUNCH,
	};
	struct io_req *r = &req->io;

	r->op = ops[req->op];
	r->fd = f->fd;
	r->buf = (char *)req->buf + req->progress_bytes;
	r->len = req->len_bytes - req->progress_bytes;
	r->off = req->off_bytes + req->progress_bytes;
	r->done = file_io_done;
	io_submit(f->disk.io, r);
}

/* Errors that mean that the device is gone, not that one request failed. */
static bool is_gone(int res)
{
	return res == -ENODEV || res == -ENXIO || res == -ENOMEDIUM ||
	       res == -ESTALE || res == -ESHUTDOWN;
}

/* True if the request was given to the ring again; else *ret_res is how it
 * ends. */
static bool continue_io(struct file_disk *f, struct disk_req *req, int res,
			int *ret_res)
{
	*ret_res = res < 0 ? res : 0;
	if (res == -EAGAIN || res == -EINTR) {
		*ret_res = -EIO;
		if (f->state != FILE_UP || req->lane++ >= RETRIES_MAX)
			return false;
		start_io(f, req);
		return true;
	}
	if (req->op == DISK_TRIM && res == -EOPNOTSUPP) {
		f->disk.can_trim = false; /* a hint, so no error */
		*ret_res = 0;
		return false;
	}
	if (res < 0 || (req->op != DISK_READ && req->op != DISK_WRITE))
		return false;
	req->progress_bytes += (uint32_t)res;
	if (req->progress_bytes == req->len_bytes)
		return false;
	*ret_res = -EIO;
	if (res == 0 || f->state != FILE_UP)
		return false;
	start_io(f, req);
	return true;
}

/* What a request in flight ends with when the disk has broken under it. */
static int broken_res(const struct file_disk *f)
{
	if (f->closing)
		return -ECANCELED;
	return f->disk.error < 0 ? f->disk.error : -EIO;
}

static void file_io_done(struct io_req *io_req)
{
	struct disk_req  *req = container_of(io_req, struct disk_req, io);
	struct file_disk *f = file_of(req->disk);
	int		  res;

	if (continue_io(f, req, io_req->res, &res))
		return;
	disk_watch_remove(&f->watch, req);
	if (f->state == FILE_DRAINING) {
		res = broken_res(f);
		if (list_empty(&f->watch.inflight))
			drained(f);
	}
	if (f->state == FILE_UP && is_gone(res)) {
		fail(f, res, "%.100s: the device is gone: %s", f->disk.place,
		     strerror(-res));
		file_break(f);
	}
	disk_req_end(req, res);
}

static void file_submit(struct disk *d, struct disk_req *req)
{
	struct file_disk *f = file_of(d);
	int		  r = disk_req_check(d, req);

	d->inflight++;
	list_init(&req->link);
	if (r < 0) {
		disk_ender_add(&f->ender, req, r);
		return;
	}
	if (req->op == DISK_TRIM && !d->can_trim) {
		disk_ender_add(&f->ender, req, 0);
		return;
	}
	req->progress_bytes = 0;
	req->lane = 0; /* counts retries here */
	req->io.inflight = false;
	disk_watch_add(&f->watch, req);
	start_io(f, req);
}

/* --- opening ------------------------------------------------------------- */

static int check_kind(struct file_disk *f, struct stat *st)
{
	struct disk *d = &f->disk;

	if (stat(d->place, st) < 0)
		return fail(f, -errno, "%.100s: %s", d->place,
			    strerror(errno));
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	return fail(f, -EINVAL,
		    "%.100s: neither a regular file nor a block device",
		    d->place);
}

/* O_DIRECT may be refused by open(), or by the first read. */
static int open_direct(struct file_disk *f, int flags)
{
	void *block;
	int   fd = open(f->disk.place, flags | O_DIRECT);
	bool  works;

	if (fd < 0)
		return errno == EINVAL ? open(f->disk.place, flags) : -1;
	block = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	works = block != NULL && pread(fd, block, TARN_BLOCK, 0) >= 0;
	free(block);
	if (works)
		return fd;
	close(fd);
	return open(f->disk.place, flags);
}

static int open_fd(struct file_disk *f, bool is_bdev)
{
	struct disk *d = &f->disk;
	/* Not blocking, in case it has become a FIFO since stat(). */
	int flags = O_CLOEXEC | O_NONBLOCK;

	flags |= d->read_only ? O_RDONLY : O_RDWR;
	if (is_bdev && !d->read_only)
		flags |= O_EXCL; /* refused while mounted or in use */
	f->fd = open_direct(f, flags);
	if (f->fd < 0 && errno == EBUSY)
		return fail(f, -EBUSY,
			    "%.100s: the block device is in use (mounted, or "
			    "part of another volume): release it first",
			    d->place);
	if (f->fd < 0)
		return fail(f, -errno, "%.100s: cannot open it%s: %s",
			    d->place, d->read_only ? "" : " for writing",
			    strerror(errno));
	/* The ring treats O_NONBLOCK as "never wait". */
	fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) & ~O_NONBLOCK);
	if (flock(f->fd, (d->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return 0;
	return fail(f, -EBUSY,
		    "%.100s: another process has locked it, as a server that "
		    "uses it does: stop that one, or use the disk through it",
		    d->place);
}

static int read_size(struct file_disk *f, bool is_bdev)
{
	struct disk *d = &f->disk;
	struct stat  st;
	uint64_t     bdev_bytes = 0;
	int	     sector_bytes = 0;

	if (fstat(f->fd, &st) < 0)
		return fail(f, -errno, "%.100s: %s", d->place,
			    strerror(errno));
	if (is_bdev != S_ISBLK(st.st_mode))
		return fail(f, -EINVAL, "%.100s: changed while being opened",
			    d->place);
	if (is_bdev && (ioctl(f->fd, BLKGETSIZE64, &bdev_bytes) < 0 ||
			ioctl(f->fd, BLKSSZGET, &sector_bytes) < 0))
		return fail(f, -errno, "%.100s: no size to be had: %s",
			    d->place, strerror(errno));
	if (sector_bytes > (int)TARN_BLOCK)
		return fail(f, -EINVAL,
			    "%.100s: sectors of %d bytes; at most 4096 can be "
			    "used",
			    d->place, sector_bytes);
	d->size_bytes = is_bdev ? bdev_bytes : (uint64_t)st.st_size;
	if (d->size_bytes < TARN_BLOCK || d->size_bytes > DISK_BYTES_MAX)
		return fail(f, -EINVAL,
			    "%.100s: a size of %llu bytes cannot be used",
			    d->place, (unsigned long long)d->size_bytes);
	return 0;
}

static int try_open(struct file_disk *f)
{
	struct stat st;
	int	    r = check_kind(f, &st);

	if (r == 0)
		r = open_fd(f, S_ISBLK(st.st_mode));
	if (r == 0)
		r = read_size(f, S_ISBLK(st.st_mode));
	if (r < 0 && f->fd >= 0) {
		close(f->fd);
		f->fd = -1;
	}
	return r;
}

static void file_retry(struct io_timer *t)
{
	struct file_disk *f = container_of(t, struct file_disk, retry);
	struct io	 *io = f->disk.io;

	assert(f->state == FILE_CLOSED && !f->closing);
	if (try_open(f) < 0) {
		io_timer_arm(io, &f->retry,
			     io_now_ns(io) +
				     disk_backoff_ns(io, &f->backoff_ns));
		if (!f->reported)
			report(f, DISK_EV_DOWN);
		return;
	}
	f->state = FILE_UP;
	f->up_since_ns = io_now_ns(io);
	f->disk.up = true;
	f->disk.epoch++;
	f->disk.can_flush = true;
	f->disk.can_trim = !f->disk.read_only;
	f->disk.error = 0;
	f->disk.error_text[0] = '\0';
	report(f, DISK_EV_UP);
}

static int file_rescan(struct disk *d)
{
	struct file_disk *f = container_of(d, struct file_disk, disk);
	struct stat	  st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	return read_size(f, S_ISBLK(st.st_mode));
}

static const struct disk_ops file_ops = {
	.submit = file_submit,
	.close = file_close,
	.rescan = file_rescan,
};

int disk_file_open(struct io *io, const struct place_addr *addr,
		   const struct disk_params *params, struct disk **ret_disk)
{
	struct file_disk *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->disk.ops = &file_ops;
	f->disk.io = io;
	snprintf(f->disk.place, sizeof(f->disk.place), "%s", addr->path);
	place_host(addr, f->disk.host, sizeof(f->disk.host));
	f->disk.read_only = params->read_only;
	f->disk.lanes = 1;
	f->fd = -1;
	disk_watch_init(&f->watch, io, params->timeout_ns, file_late);
	disk_ender_init(&f->ender, io);
	io_timer_init(&f->retry, file_retry);
	io_work_init(&f->finish, file_finish);
	io_timer_arm(io, &f->retry, io_now_ns(io)); /* in the next turn */
	*ret_disk = &f->disk;
	return 0;
}
