/* tools/tarn/backup_dir.c - a folder with the backups of one volume. */
#include "tools/tarn/backup_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_FILE "tarn-backup.folder"
#define FOLDER_HEAD "tarn backup folder "

/* "cannot <what> 'DIR/name': <why>" */
static enum cli_exit fail(const struct backup_dir *d, const char *what,
			  const char *name)
{
	int e = errno;

	out_error(d->cli, strerrorname_np(e), "cannot %s '%.1000s%s%s': %s",
		  what, d->path, name[0] != '\0' ? "/" : "", name,
		  strerror(e));
	return CLI_FAILED;
}

/* --- the identity -------------------------------------------------------- */

static void id_read(struct backup_dir *d)
{
	const size_t head = sizeof(FOLDER_HEAD) - 1;
	char    text[64] = "";
	ssize_t n = pread(d->lock_fd, text, sizeof(text) - 1, 0);

	if (n < (ssize_t)head || memcmp(text, FOLDER_HEAD, head) != 0)
		return;
	text[head + strcspn(text + head, "\n")] = '\0';
	if (backup_id_is(text + head))
		memcpy(d->id, text + head, sizeof(d->id));
}

/* The file is lost or was never whole: the streams have it, too. */
static void id_guess(struct backup_dir *d)
{
	char when[BACKUP_WHEN_BYTES];

	for (size_t i = d->n; i-- > 0 && d->id[0] == '\0';)
		if (!d->list[i].damaged)
			backup_snap_parse(d->list[i].header.target_name, d->id,
					  when);
}

static enum cli_exit id_make(struct backup_dir *d)
{
	uint8_t b[(sizeof(d->id) - 1) / 2];
	char    text[64];
	int     n;

	id_guess(d);
	if (d->id[0] == '\0') {
		if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
			abort();
		for (size_t i = 0; i < sizeof(b); i++)
			snprintf(d->id + 2 * i, 3, "%02x", b[i]);
	}
	n = snprintf(text, sizeof(text), FOLDER_HEAD "%s\n", d->id);
	if (ftruncate(d->lock_fd, 0) < 0 ||
	    pwrite(d->lock_fd, text, (size_t)n, 0) != n ||
	    fsync(d->lock_fd) < 0 || fsync(d->fd) < 0)
		return fail(d, "write", FOLDER_FILE);
	return CLI_OK;
}

static enum cli_exit lock(struct backup_dir *d, enum backup_lock how)
{
	bool alone = how == BACKUP_ALONE;

	d->lock_fd = openat(d->fd, FOLDER_FILE,
			    alone ? O_RDWR | O_CREAT | O_CLOEXEC
				  : O_RDONLY | O_CLOEXEC, 0666);
	if (d->lock_fd < 0 && alone)
		return fail(d, "open", FOLDER_FILE);
	if (d->lock_fd < 0)
		return CLI_OK; /* it is only looked at */
	if (flock(d->lock_fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return CLI_OK;
	if (errno != EWOULDBLOCK)
		return fail(d, "lock", FOLDER_FILE);
	out_error(d->cli, "EBUSY",
		  "'%.1000s' is in use by another 'tarn backup': wait until "
		  "that has ended", d->path);
	return CLI_FAILED;
}

/* --- what there is ------------------------------------------------------- */

bool backup_dir_input(const struct backup_dir *d, const char *when,
		      const char *suffix, struct input *in)
{
	char name[BACKUP_NAME_BYTES];

	backup_file_name(when, suffix, name);
	memset(in, 0, sizeof(*in));
	in->fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0) {
		snprintf(in->error, sizeof(in->error), "cannot open it: %s",
			 strerror(errno));
		return false;
	}
	if (stream_decoder_open(&in->dec) < 0)
		abort();
	return true;
}

/* Its header, and its size. */
static void look(const struct backup_dir *d, struct backup *b)
{
	struct stream_event ev;
	struct input        in;
	struct stat         st;

	b->damaged = true;
	if (backup_dir_input(d, b->when, BACKUP_SUFFIX, &in)) {
		if (fstat(in.fd, &st) == 0)
			b->file_bytes = (uint64_t)st.st_size;
		b->damaged = input_next(&in, &ev) <= 0;
		if (!b->damaged)
			b->header = *stream_decoder_header(in.dec);
	}
	if (!b->damaged && b->header.start_bytes > 0) {
		b->damaged = true;
		snprintf(in.error, sizeof(in.error),
			 "it is only the rest of a stream");
	}
	if (b->damaged)
		snprintf(b->why, sizeof(b->why), "%.*s", BACKUP_WHY_BYTES - 1,
			 in.error);
	input_close(&in);
}

static enum cli_exit add(struct backup_dir *d, const char *when)
{
	struct backup *b;

	if (d->n == d->cap) {
		size_t cap = d->cap == 0 ? 64 : 2 * d->cap;

		b = d->n < BACKUPS_MAX ? realloc(d->list, cap * sizeof(*b))
				       : NULL;
		if (b == NULL) {
			out_error(d->cli, "E2BIG",
				  "there are more than %u backups in "
				  "'%.1000s': go on in another folder",
				  BACKUPS_MAX, d->path);
			return CLI_FAILED;
		}
		d->list = b;
		d->cap = cap;
	}
	b = &d->list[d->n++];
	memset(b, 0, sizeof(*b));
	memcpy(b->when, when, sizeof(b->when));
	backup_when_is(b->when, &b->when_s);
	look(d, b);
	return CLI_OK;
}

/* Each name in the folder; ret_entry NULL at the end. */
static DIR *names_open(const struct backup_dir *d)
{
	int  fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd >= 0 ? fdopendir(fd) : NULL;

	if (names == NULL && fd >= 0)
		close(fd);
	return names;
}

enum cli_exit backup_dir_load(struct backup_dir *d)
{
	DIR *names = names_open(d);
	char when[BACKUP_WHEN_BYTES];
	const struct dirent *e;
	enum cli_exit r = CLI_OK;

	d->n = 0;
	if (names == NULL)
		return fail(d, "read", "");
	while (r == CLI_OK && (e = readdir(names)) != NULL)
		if (backup_file_parse(e->d_name, BACKUP_SUFFIX, when))
			r = add(d, when);
	closedir(names);
	if (r == CLI_OK && d->n > 0)
		backups_link(d->list, d->n);
	return r;
}

enum cli_exit backup_dir_open(struct backup_dir *d, const struct cli *cli,
			      const char *path, enum backup_lock how)
{
	enum cli_exit r = CLI_OK;

	memset(d, 0, sizeof(*d));
	d->cli = cli;
	d->lock_fd = -1;
	d->path = strdup(path);
	if (d->path == NULL)
		abort();
	if (how == BACKUP_ALONE && mkdir(path, 0777) < 0 && errno != EEXIST) {
		d->fd = -1;
		return fail(d, "make the folder", "");
	}
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0)
		return fail(d, "open", "");
	if (how != BACKUP_UNLOCKED)
		r = lock(d, how);
	if (r == CLI_OK)
		r = backup_dir_load(d);
	if (r == CLI_OK && how == BACKUP_ALONE) {
		id_read(d);
		r = d->id[0] != '\0' ? CLI_OK : id_make(d);
	}
	return r;
}

void backup_dir_close(struct backup_dir *d)
{
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->fd >= 0)
		close(d->fd);
	free(d->list);
	free(d->path);
}

/* --- changes ------------------------------------------------------------- */

enum cli_exit backup_dir_clean(struct backup_dir *d)
{
	DIR *names = names_open(d);
	char when[BACKUP_WHEN_BYTES];
	const struct dirent *e;
	enum cli_exit r = CLI_OK;

	if (names == NULL)
		return fail(d, "read", "");
	while (r == CLI_OK && (e = readdir(names)) != NULL)
		if (backup_file_parse(e->d_name, BACKUP_NEW_SUFFIX, when) &&
		    unlinkat(d->fd, e->d_name, 0) < 0)
			r = fail(d, "remove", e->d_name);
	closedir(names);
	return r;
}

int backup_dir_create(struct backup_dir *d, const char *when)
{
	char name[BACKUP_NAME_BYTES];
	int  fd;

	backup_file_name(when, BACKUP_NEW_SUFFIX, name);
	fd = openat(d->fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		fail(d, "write", name);
	return fd;
}

enum cli_exit backup_dir_publish(struct backup_dir *d, const char *when,
				 int fd)
{
	char temp[BACKUP_NAME_BYTES], name[BACKUP_NAME_BYTES];
	bool synced = fsync(fd) == 0;
	enum cli_exit r = CLI_OK;

	backup_file_name(when, BACKUP_NEW_SUFFIX, temp);
	backup_file_name(when, BACKUP_SUFFIX, name);
	if (!synced)
		r = fail(d, "write", temp);
	if (close(fd) < 0 && r == CLI_OK)
		r = fail(d, "write", temp);
	if (r == CLI_OK && renameat(d->fd, temp, d->fd, name) < 0)
		r = fail(d, "rename", temp);
	if (r != CLI_OK)
		unlinkat(d->fd, temp, 0);
	else if (fsync(d->fd) < 0)
		r = fail(d, "sync", "");
	return r;
}

void backup_dir_drop(struct backup_dir *d, const char *when, int fd)
{
	char name[BACKUP_NAME_BYTES];

	if (fd < 0)
		return;
	close(fd);
	unlinkat(d->fd, backup_file_name(when, BACKUP_NEW_SUFFIX, name), 0);
}

enum cli_exit backup_dir_delete(struct backup_dir *d, const char *when)
{
	char name[BACKUP_NAME_BYTES];

	backup_file_name(when, BACKUP_SUFFIX, name);
	if (unlinkat(d->fd, name, 0) < 0)
		return fail(d, "remove", name);
	return fsync(d->fd) < 0 ? fail(d, "sync", "") : CLI_OK;
}
