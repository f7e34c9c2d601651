/* server/export_disk.c - requests on a file or block device, through the ring.
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
#include "server/export_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/bitmap.h"

/* One write of zeros. */
#define ZEROS_BYTES (256u << 10)
/* Extents of one STATUS: two look-ups each, all in one turn of the loop. */
#define EXTENTS_MAX 256u
#define FILES_MAX   1024u
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

struct disk_file {
	char     name[VOLUME_NAME_MAX + 1]; /* of the export */
	char     path[256];  /* as given, cut if long; for people */
	int      fd;
	bool     block;      /* a block device */
	uint64_t size_bytes; /* when it was opened */
	dev_t    dev;        /* identity, to find it given twice */
	ino_t    ino;
};

struct export_disks {
	struct export_source src;
	struct io           *io;
	bool                 read_only;
	unsigned             nfiles;
	unsigned             users;  /* exports open */
	struct disk_file    *files;  /* FILES_MAX */
	void                *zeros;  /* ZEROS_BYTES, read-only */
};

struct disk_export {
	struct export        exp;
	struct export_disks *disks;
	struct disk_file    *file;
};

static struct disk_export *of_req(const struct export_req *req)
{
	return container_of(req->exp, struct disk_export, exp);
}

/* --- requests ------------------------------------------------------------ */

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

static void disk_submit_req(struct export_req *req)
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

/* --- exports ------------------------------------------------------------- */

static void fill_info(const struct export_disks *disks,
		      const struct disk_file *f, struct export_info *info)
{
	*info = (struct export_info){
		.size_bytes = f->size_bytes,
		.block_min = 1,
		.block_preferred = TARN_BLOCK,
		.read_only = disks->read_only,
		.can_trim = true,
		.can_zero = true,
		.can_fua = true,
		.can_flush = true,
		.multi_conn = true, /* one page cache */
	};
	snprintf(info->name, sizeof(info->name), "%s", f->name);
	snprintf(info->description, sizeof(info->description), "%s %.200s",
		 f->block ? "block device" : "file", f->path);
}

static void disk_info(struct export *exp, struct export_info *ret_info)
{
	struct disk_export *e = container_of(exp, struct disk_export, exp);

	fill_info(e->disks, e->file, ret_info);
}

static void disk_put(struct export *exp)
{
	struct disk_export *e = container_of(exp, struct disk_export, exp);

	assert(e->disks->users > 0);
	e->disks->users--;
	free(e);
}

static const struct export_ops disk_export_ops = {
	.info = disk_info,
	.submit = disk_submit_req,
	.put = disk_put,
};

static struct disk_file *find(struct export_disks *disks, const char *name)
{
	if (name[0] == 0)
		return disks->nfiles > 0 ? &disks->files[0] : NULL;
	for (unsigned i = 0; i < disks->nfiles; i++) {
		if (strcmp(disks->files[i].name, name) == 0)
			return &disks->files[i];
	}
	return NULL;
}

static struct export_disks *of_src(struct export_source *src)
{
	return container_of(src, struct export_disks, src);
}

static bool src_next(struct export_source *src, uint64_t *cursor,
		     struct export_info *ret_info)
{
	struct export_disks *disks = of_src(src);

	if (*cursor >= disks->nfiles)
		return false;
	fill_info(disks, &disks->files[(*cursor)++], ret_info);
	return true;
}

static int src_info(struct export_source *src, const char *name,
		    struct export_info *ret_info)
{
	struct export_disks *disks = of_src(src);
	struct disk_file    *f = find(disks, name);

	if (f == NULL)
		return -ENOENT;
	fill_info(disks, f, ret_info);
	return 0;
}

static int src_open(struct export_source *src, const char *name,
		    struct export **ret_exp)
{
	struct export_disks *disks = of_src(src);
	struct disk_file    *f = find(disks, name);
	struct disk_export  *e;

	if (f == NULL)
		return -ENOENT;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return -ENOMEM;
	e->exp.ops = &disk_export_ops;
	e->disks = disks;
	e->file = f;
	disks->users++;
	*ret_exp = &e->exp;
	return 0;
}

static const struct export_source_ops src_ops = {
	.next = src_next,
	.info = src_info,
	.open = src_open,
};

/* --- files --------------------------------------------------------------- */

int export_disks_open(struct io *io, bool read_only,
		      struct export_disks **ret_disks)
{
	struct export_disks *disks = calloc(1, sizeof(*disks));

	if (disks == NULL)
		return -ENOMEM;
	disks->files = calloc(FILES_MAX, sizeof(disks->files[0]));
	if (disks->files == NULL)
		goto err_disks;
	disks->zeros = mmap(NULL, ZEROS_BYTES, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (disks->zeros == MAP_FAILED)
		goto err_files;
	disks->src.ops = &src_ops;
	disks->io = io;
	disks->read_only = read_only;
	*ret_disks = disks;
	return 0;

err_files:
	free(disks->files);
err_disks:
	free(disks);
	return -ENOMEM;
}

static int measure(struct disk_file *f, char *ret_err)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	f->block = S_ISBLK(st.st_mode);
	f->dev = f->block ? st.st_rdev : st.st_dev;
	f->ino = f->block ? 0 : st.st_ino;
	f->size_bytes = (uint64_t)st.st_size;
	if (f->block && ioctl(f->fd, BLKGETSIZE64, &f->size_bytes) < 0)
		return -errno;
	if (f->block || S_ISREG(st.st_mode))
		return 0;
	snprintf(ret_err, EXPORT_DISK_ERR_BYTES,
		 "%s is neither a file nor a block device: it cannot be "
		 "exported",
		 f->path);
	return -EINVAL;
}

/* O_NONBLOCK kept us from waiting for the other end of a pipe.  To the ring it
 * says that reads never wait, and O_DIRECT the same of writes.  Of files in
 * memory both are true (and O_DIRECT has no further meaning there): without,
 * each request would take a hop to another thread. */
static void set_mode(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		(void)fcntl(fd, F_SETFL, 0);
	else
		(void)fcntl(fd, F_SETFL, O_NONBLOCK | O_DIRECT);
}

/* A server that was killed holds its locks until the kernel has ended what was
 * in its ring, which is a little after the process is gone. */
#define LOCK_TRIES    50u
#define LOCK_PAUSE_NS (20 * NS_PER_MS)

static int lock(int fd, int how)
{
	const struct timespec pause = { 0, LOCK_PAUSE_NS };

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, how | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

/* Open and lock f->path. */
static int file_open(struct export_disks *disks, struct disk_file *f,
		     const char *path, char *ret_err)
{
	int mode = disks->read_only ? O_RDONLY : O_RDWR;
	int r;

	f->fd = open(path, mode | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0) {
		r = -errno;
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES, "cannot open %s: %s",
			 f->path, strerror(-r));
		return r;
	}
	set_mode(f->fd);
	ret_err[0] = 0;
	r = measure(f, ret_err);
	if (r == 0)
		r = lock(f->fd, disks->read_only ? LOCK_SH : LOCK_EX);
	if (r == 0)
		return 0;
	if (r == -EBUSY)
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES,
			 "%s is in use by another tarn-diskd or tarnd: stop "
			 "that one first",
			 f->path);
	else if (ret_err[0] == 0)
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES, "cannot use %s: %s",
			 f->path, strerror(-r));
	close(f->fd);
	return r;
}

static int file_check(struct export_disks *disks, const struct disk_file *f,
		      const char *name, char *ret_err)
{
	if (disks->nfiles == FILES_MAX) {
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES,
			 "more than %u files: start another tarn-diskd for %s",
			 FILES_MAX, f->path);
		return -EINVAL;
	}
	if (name[0] == 0 || strlen(name) > VOLUME_NAME_MAX) {
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES,
			 "the name of the export for %s must have 1 to %u "
			 "bytes: give another one with --name",
			 f->path, VOLUME_NAME_MAX);
		return -EINVAL;
	}
	if (disks->nfiles > 0 && find(disks, name) != NULL) {
		snprintf(ret_err, EXPORT_DISK_ERR_BYTES,
			 "two exports would be named \"%.60s\": give %s "
			 "another name with --name",
			 name, f->path);
		return -EEXIST;
	}
	return 0;
}

int export_disks_add(struct export_disks *disks, const char *path,
		     const char *name, char *ret_err)
{
	struct disk_file f = { 0 };
	const char      *slash = strrchr(path, '/');
	int              r;

	if (name == NULL)
		name = slash != NULL ? slash + 1 : path;
	snprintf(f.path, sizeof(f.path), "%s", path);
	r = file_check(disks, &f, name, ret_err);
	if (r < 0)
		return r;
	snprintf(f.name, sizeof(f.name), "%s", name);
	r = file_open(disks, &f, path, ret_err);
	if (r < 0)
		return r;
	disks->files[disks->nfiles++] = f;
	return 0;
}

struct export_source *export_disks_source(struct export_disks *disks)
{
	return &disks->src;
}

void export_disks_close(struct export_disks *disks)
{
	if (disks == NULL)
		return;
	assert(disks->users == 0);
	for (unsigned i = 0; i < disks->nfiles; i++)
		close(disks->files[i].fd);
	munmap(disks->zeros, ZEROS_BYTES);
	free(disks->files);
	free(disks);
}
