/* server/export_disk.c - files and block devices as exports: which there are,
 * whose they are, and how large.  export_disk_request.c has the requests.
 *
 *	export_disks_add(): opened --> measured --> locked --> in the list
 *
 * A disk that somebody else has locked is not taken; who was just killed gets a
 * moment to let go of it.
 */
#include "server/export_disk_impl.h"

#include <assert.h>
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

#define FILES_MAX 1024u

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
	.submit = disk_request_submit,
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
