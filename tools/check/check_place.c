/* tools/check/check_place.c - files and block devices as disks to check. */
#include "tools/check/check_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

struct file_source {
	struct check_source source;
	int   fd;
	char *name;
};

static int file_read(struct check_source *s, uint64_t off_bytes, void *buf,
		     size_t len_bytes)
{
	struct file_source *f = container_of(s, struct file_source, source);
	size_t done = 0;

	while (done < len_bytes) {
		ssize_t n = pread(f->fd, (char *)buf + done, len_bytes - done,
				  (off_t)(off_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

static bool is_uri(const char *place)
{
	return strstr(place, "://") != NULL || strncmp(place, "nbd", 3) == 0;
}

static int file_open(const char *place, struct file_source *f,
		     char ret_err[512])
{
	struct stat st;
	off_t end;

	f->fd = open(place, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		int r = -errno;

		snprintf(ret_err, 512, "%.200s: cannot be opened: %s", place,
			 strerror(-r));
		return r;
	}
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		snprintf(ret_err, 512, "%.200s: is neither a file nor a block "
			 "device", place);
		return -EINVAL;
	}
	end = lseek(f->fd, 0, SEEK_END);
	if (end < 0) {
		int r = -errno;

		snprintf(ret_err, 512, "%.200s: its size cannot be found: %s",
			 place, strerror(-r));
		return r;
	}
	f->source.size_bytes = (uint64_t)end;
	return 0;
}

int check_place_open(const char *place, const char *tls_dir,
		     struct check_source **ret_source, char ret_err[512])
{
	struct file_source *f;
	int r;

	if (is_uri(place) && access(place, F_OK) != 0)
		return check_nbd_open(place, tls_dir, ret_source, ret_err);
	snprintf(ret_err, 512, "%.200s: too little memory", place);
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->name = strdup(place);
	f->fd = -1;
	r = f->name == NULL ? -ENOMEM : file_open(place, f, ret_err);
	f->source.name = f->name;
	f->source.read = file_read;
	if (r < 0) {
		check_place_close(&f->source);
		return r;
	}
	*ret_source = &f->source;
	return 0;
}

void check_place_close(struct check_source *source)
{
	struct file_source *f;

	if (source == NULL)
		return;
	if (source->read != file_read) {
		check_nbd_close(source);
		return;
	}
	f = container_of(source, struct file_source, source);
	if (f->fd >= 0)
		close(f->fd);
	free(f->name);
	free(f);
}

int check_places_open(char *const *places, unsigned n, const char *tls_dir,
		      struct check_source ***ret_sources, char ret_err[512])
{
	struct check_source **sources;
	int r;

	snprintf(ret_err, 512, "too little memory");
	sources = calloc(n, sizeof(struct check_source *));
	if (sources == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		r = check_place_open(places[i], tls_dir, &sources[i], ret_err);
		if (r < 0) {
			check_places_close(sources, i);
			return r;
		}
	}
	*ret_sources = sources;
	return 0;
}

void check_places_close(struct check_source **sources, unsigned n)
{
	while (n > 0)
		check_place_close(sources[--n]);
	free(sources);
}
