/* tools/tarn/sink_file.c - a stream to a raw file or block device.
 *
 *	NEW    path.partial is written, synced and renamed to path
 *	PLACE  a file at the base is changed in place
 *	DEVICE a block device is written in place
 *
 * While NEW and PLACE are under way, path.partial.token says what path.partial
 * (or path) is becoming, and up to where it is durable.  It is written before
 * anything else is, and removed last.  So a file in place that is half changed
 * is not taken for the base of something else, and a receiver that was killed
 * goes on from the last token it wrote.
 *
 * Extents say what the bytes are, so doing one twice is as good as once: what
 * had come behind the last token comes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/sink.h"

/* Sync at a mark after so much. */
#define SYNC_BYTES (256ull << 20)
#define ZEROS      65536u

enum sink_file_mode {
	FILE_NEW,
	FILE_PLACE,
	FILE_DEVICE,
};

struct sink_file {
	struct sink sink;
	enum sink_file_mode mode;
	const char *base;      /* of the user; NULL: none */
	bool        force;
	int         fd;        /* -1: not open */
	bool        begun;     /* token is what there is to go on from */
	bool        fresh;     /* zeros above what was written */
	uint64_t    unsynced;  /* bytes written since */
	struct stream_token token;  /* of the last mark */
	char       *path, *partial, *token_path, *token_new;
};

static int fail(struct sink_file *f, const char *what, const char *path)
{
	snprintf(f->sink.error, SINK_ERROR_BYTES, "cannot %s '%.300s': %s",
		 what, path, strerror(errno));
	return -1;
}

#define REFUSE(f, ...) \
	(snprintf((f)->sink.error, SINK_ERROR_BYTES, __VA_ARGS__), -1)

static struct sink_file *of(struct sink *s)
{
	return container_of(s, struct sink_file, sink);
}

/* Where the bytes go. */
static const char *data_path(const struct sink_file *f)
{
	return f->mode == FILE_NEW ? f->partial : f->path;
}

/* --- the token ----------------------------------------------------------- */

static int dir_sync(struct sink_file *f)
{
	const char *slash = strrchr(f->path, '/');
	char       *dir;
	int         fd, r;

	if (slash == NULL)
		dir = strdup(".");
	else
		dir = strndup(f->path, (size_t)max_u64((uint64_t)(slash -
							f->path), 1));
	if (dir == NULL)
		abort();
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 || fsync(fd) < 0 ? fail(f, "sync the directory", dir) : 0;
	if (fd >= 0)
		close(fd);
	free(dir);
	return r;
}

static int token_write(struct sink_file *f)
{
	char text[STREAM_TOKEN_BYTES + 1];
	int  fd, r = 0;
	ssize_t n, len;

	if (f->mode == FILE_DEVICE)
		return 0;
	stream_token_text(&f->token, text);
	len = (ssize_t)strlen(text);
	text[len++] = '\n';
	fd = open(f->token_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		  0666);
	if (fd < 0)
		return fail(f, "write", f->token_new);
	n = write(fd, text, (size_t)len);
	if (n != len || fsync(fd) < 0)
		r = fail(f, "write", f->token_new);
	close(fd);
	if (r == 0 && rename(f->token_new, f->token_path) < 0)
		r = fail(f, "write", f->token_path);
	return r == 0 ? dir_sync(f) : r;
}

/* 1: there is one; 0: none; -1: none that makes sense. */
static int token_read(struct sink_file *f, struct stream_token *ret_token)
{
	char  text[STREAM_TOKEN_BYTES + 1] = "";
	FILE *file = fopen(f->token_path, "re");

	if (file == NULL)
		return errno == ENOENT ? 0 : fail(f, "read", f->token_path);
	if (fgets(text, sizeof(text), file) != NULL)
		text[strcspn(text, "\n")] = '\0';
	fclose(file);
	if (stream_token_parse(text, ret_token) == 0)
		return 1;
	return REFUSE(f, "'%.300s' holds no token of a stream: remove it, and "
		      "send all of the stream again", f->token_path);
}

/* --- may it be? ---------------------------------------------------------- */

/* Does the user's word for what is there name the base of the stream? */
static bool base_fits(const struct sink_file *f, const struct stream_header *h)
{
	char text[UUID_TEXT_BYTES], name[2 * VOLUME_NAME_MAX + 3];

	snprintf(name, sizeof(name), "%s%c%s", h->volume_name,
		 h->base_kind == STREAM_BASE_SNAPSHOT ? '@' : '#',
		 h->base_name);
	return h->base_kind != STREAM_BASE_NONE &&
	       (strcmp(f->base, uuid_text(&h->base, text)) == 0 ||
		strcmp(f->base, name) == 0);
}

static int base_check(struct sink_file *f, const struct stream_header *h,
		      bool exists)
{
	bool increment = h->base_kind != STREAM_BASE_NONE;
	char uuid[UUID_TEXT_BYTES];

	uuid_text(&h->base, uuid);
	if (increment && f->base == NULL)
		return REFUSE(f, "the stream has only what changed since "
			      "'%s%c%s' (%s): if '%.200s' holds that, say so "
			      "with --base", h->volume_name,
			      h->base_kind == STREAM_BASE_SNAPSHOT ? '@' : '#',
			      h->base_name, uuid, f->path);
	if (!increment && f->base != NULL)
		return REFUSE(f, "the stream is a whole snapshot and needs no "
			      "base: leave out --base");
	if (increment && !base_fits(f, h))
		return REFUSE(f, "the stream has what changed since '%s%c%s' "
			      "(%s), not since '%.300s': it does not fit",
			      h->volume_name,
			      h->base_kind == STREAM_BASE_SNAPSHOT ? '@' : '#',
			      h->base_name, uuid, f->base);
	if (increment && !exists)
		return REFUSE(f, "'%.300s' does not exist: make it of the "
			      "stream of its base first", f->path);
	if (!increment && exists && !f->force)
		return REFUSE(f, "'%.300s' exists: choose another name, or "
			      "give up what is in it with --force", f->path);
	return 0;
}

/* Against what an earlier receiver has left behind. */
static int token_check(struct sink_file *f, const struct stream_header *h)
{
	struct stream_token t = { 0 };
	struct stream_header any = *h;
	int r = f->mode == FILE_DEVICE ? 0 : token_read(f, &t);

	if (r < 0 && (h->start_bytes > 0 || f->mode == FILE_PLACE))
		return -1;
	f->sink.error[0] = '\0';
	if (h->start_bytes > 0) {
		if (r > 0 && stream_token_fits(&t, h))
			return 0;
		return REFUSE(f, "the stream goes on from offset %ju of '%s@"
			      "%s', and of that nothing is here that ends "
			      "there: send all of it",
			      (uintmax_t)h->start_bytes, h->volume_name,
			      h->target_name);
	}
	/* One without a base is of path.partial: path is as it was. */
	any.start_bytes = t.off_bytes;
	if (f->mode == FILE_PLACE && r > 0 &&
	    t.base_kind != STREAM_BASE_NONE && !stream_token_fits(&t, &any))
		return REFUSE(f, "'%.300s' is half changed by another stream, "
			      "which must be taken to its end first: see "
			      "'%.300s'", f->path, f->token_path);
	return 0;
}

/* A file in place has the size of its base, or already that of the target. */
static int size_check(struct sink_file *f, const struct stream_header *h)
{
	off_t    end = lseek(f->fd, 0, SEEK_END);
	uint64_t size = (uint64_t)end;

	if (end < 0)
		return fail(f, "get the size of", f->path);
	if (f->mode == FILE_DEVICE) {
		if (size >= h->size_bytes)
			return 0;
		return REFUSE(f, "'%.300s' has %ju bytes, and the stream is "
			      "of %ju", f->path, (uintmax_t)size,
			      (uintmax_t)h->size_bytes);
	}
	if (h->base_bytes == 0 || size == h->base_bytes ||
	    size == h->size_bytes)
		return 0;
	return REFUSE(f, "'%.300s' has %ju bytes and '%s' has %ju: this is "
		      "not what the stream begins with", f->path,
		      (uintmax_t)size, h->base_name,
		      (uintmax_t)h->base_bytes);
}

/* --- begin --------------------------------------------------------------- */

static int data_open(struct sink_file *f, const struct stream_header *h)
{
	int flags = O_RDWR | O_CLOEXEC;

	if (f->mode == FILE_NEW && h->start_bytes == 0)
		flags |= O_CREAT;
	if (f->mode == FILE_DEVICE)
		flags |= O_EXCL; /* not while it is mounted */
	f->fd = open(data_path(f), flags, 0666);
	if (f->fd < 0)
		return fail(f, "open", data_path(f));
	if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
		return REFUSE(f, "'%.300s' is in use, perhaps by another "
			      "receiver", data_path(f));
	return f->mode == FILE_NEW ? 0 : size_check(f, h);
}

/* All that is not known to be right becomes zeros (NEW), or stays (PLACE). */
static int data_prepare(struct sink_file *f, const struct stream_header *h)
{
	off_t start = (off_t)h->start_bytes, size = (off_t)h->size_bytes;

	if (f->mode == FILE_DEVICE)
		return 0;
	f->fresh = f->mode == FILE_NEW;
	if ((f->fresh && ftruncate(f->fd, start) < 0) ||
	    ftruncate(f->fd, size) < 0)
		return fail(f, "set the size of", data_path(f));
	return 0;
}

static int file_begin(struct sink *s, const struct stream_header *h)
{
	struct sink_file *f = of(s);
	struct stat st;
	bool exists = stat(f->path, &st) == 0;

	if (!exists && errno != ENOENT)
		return fail(f, "look at", f->path);
	if (exists && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return REFUSE(f, "'%.300s' is no file and no block device",
			      f->path);
	if (exists && S_ISBLK(st.st_mode))
		f->mode = FILE_DEVICE;
	else
		f->mode = h->base_kind == STREAM_BASE_NONE ? FILE_NEW
							   : FILE_PLACE;
	if (base_check(f, h, exists) < 0 || token_check(f, h) < 0 ||
	    data_open(f, h) < 0)
		return -1;
	f->token = (struct stream_token){
		.target = h->target,
		.base = h->base,
		.base_kind = h->base_kind,
		.off_bytes = h->start_bytes,
	};
	if (token_write(f) < 0)
		return -1;
	f->begun = true;
	return data_prepare(f, h);
}

/* --- extents ------------------------------------------------------------- */

static int file_write(struct sink *s, uint64_t off_bytes, const void *buf,
		      size_t len)
{
	struct sink_file *f = of(s);
	const uint8_t *p = buf;

	f->unsynced += len;
	while (len > 0) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)off_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(f, "write", data_path(f));
		p += n;
		len -= (size_t)n;
		off_bytes += (uint64_t)n;
	}
	return 0;
}

static int zeros_write(struct sink *s, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[ZEROS];
	int r = 0;

	for (uint64_t n; r == 0 && len > 0; off += n, len -= n) {
		n = min_u64(len, sizeof(zeros));
		r = file_write(s, off, zeros, n);
	}
	return r;
}

static int file_zero(struct sink *s, uint64_t off_bytes, uint64_t len_bytes)
{
	struct sink_file *f = of(s);
	uint64_t range[2] = { off_bytes, len_bytes };

	if (f->fresh)
		return 0;
	f->unsynced++;
	if (f->mode == FILE_DEVICE) {
		if (off_bytes % 512 == 0 && len_bytes % 512 == 0 &&
		    ioctl(f->fd, BLKZEROOUT, range) == 0)
			return 0;
	} else if (fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     (off_t)off_bytes, (off_t)len_bytes) == 0) {
		return 0;
	}
	return zeros_write(s, off_bytes, len_bytes);
}

static int data_sync(struct sink_file *f)
{
	if (fdatasync(f->fd) < 0)
		return fail(f, "sync", data_path(f));
	f->unsynced = 0;
	return 0;
}

static int file_mark(struct sink *s, const struct stream_token *token)
{
	struct sink_file *f = of(s);

	f->token = *token;
	if (f->unsynced < SYNC_BYTES)
		return 0;
	return data_sync(f) < 0 ? -1 : token_write(f);
}

/* --- the end ------------------------------------------------------------- */

static int file_publish(struct sink *s)
{
	struct sink_file *f = of(s);

	if (fsync(f->fd) < 0)
		return fail(f, "sync", data_path(f));
	if (f->mode == FILE_DEVICE)
		return 0;
	/* Without force, nobody else's file that has come meanwhile is lost. */
	if (f->mode == FILE_NEW &&
	    renameat2(AT_FDCWD, f->partial, AT_FDCWD, f->path,
		      f->force ? 0 : RENAME_NOREPLACE) < 0 &&
	    (errno != EINVAL || rename(f->partial, f->path) < 0))
		return fail(f, "give its name to", f->path);
	if (dir_sync(f) < 0)
		return -1;
	f->begun = false;
	if (unlink(f->token_path) < 0)
		return fail(f, "remove", f->token_path);
	return 0;
}

static int file_keep(struct sink *s, struct stream_token *ret_token)
{
	struct sink_file *f = of(s);

	if (!f->begun || f->mode == FILE_DEVICE)
		return -1;
	if (data_sync(f) < 0 || token_write(f) < 0 || f->token.off_bytes == 0)
		return -1;
	*ret_token = f->token;
	return 0;
}

static void file_close(struct sink *s)
{
	struct sink_file *f = of(s);

	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f->partial);
	free(f->token_path);
	free(f->token_new);
	free(f);
}

static const struct sink_ops file_ops = {
	.begin = file_begin,
	.write = file_write,
	.zero = file_zero,
	.mark = file_mark,
	.publish = file_publish,
	.keep = file_keep,
	.close = file_close,
};

struct sink *sink_file_open(const char *path, const char *base, bool force)
{
	struct sink_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->sink.ops = &file_ops;
	f->base = base;
	f->force = force;
	f->fd = -1;
	f->path = strdup(path);
	if (f->path == NULL ||
	    asprintf(&f->partial, "%s.partial", path) < 0 ||
	    asprintf(&f->token_path, "%s.partial.token", path) < 0 ||
	    asprintf(&f->token_new, "%s.partial.token.new", path) < 0)
		abort();
	return &f->sink;
}
