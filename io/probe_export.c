/* io/probe_export.c - listing a server's exports, and looking at one export or
 * path: size, flags, both ends, content.  Never writes.  See probe.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "io/disk_impl.h"
#include "io/probe.h"

/* Longest export name that is taken, as place_export.export has room. */
#define EXPORT_NAME_MAX 255u

/* --- listing ------------------------------------------------------------- */

static void add_name(struct probe_names *n, const char *name)
{
	char  *copy;
	char **names;

	if (n->count >= PROBE_EXPORTS_MAX || strlen(name) > EXPORT_NAME_MAX) {
		n->cut = true;
		return;
	}
	copy = strdup(name);
	names = realloc(n->names, (n->count + 1) * sizeof(names[0]));
	if (names != NULL)
		n->names = names;
	if (copy == NULL || names == NULL) {
		free(copy);
		n->cut = true;
		return;
	}
	n->names[n->count++] = copy;
}

struct listing {
	struct probe_names *names;
	bool		    over;  /* the list is complete, or refused */
};

static int list_one(void *user_data, const char *name, const char *description)
{
	struct listing *l = user_data;

	(void)description;
	add_name(l->names, name);
	return 0;
}

static int list_over(void *user_data, int *error)
{
	struct listing *l = user_data;

	(void)error;
	l->over = true;
	return 1;
}

static bool is_over(struct nbd_handle *h, void *arg)
{
	const struct listing *l = arg;

	(void)h;
	return l->over;
}

int probe_list(struct nbd_dial *d, uint64_t deadline_ns,
	       struct probe_names *ret, char *ret_err)
{
	struct listing	    l = { .names = ret };
	nbd_list_callback   one = { .callback = list_one, .user_data = &l };
	nbd_completion_callback over = {
		.callback = list_over,
		.user_data = &l,
	};
	struct nbd_handle *h;
	int		   r;

	memset(ret, 0, sizeof(*ret));
	d->list_mode = true;
	r = nbd_dial(d, deadline_ns, &h, ret_err);
	if (r < 0)
		return r;
	/* A server so old that it has no options has one export. */
	if (nbd_aio_is_negotiating(h) > 0 &&
	    nbd_aio_opt_list(h, one, over) == 0)
		r = nbd_dial_wait(d, h, is_over, &l, deadline_ns, ret_err);
	nbd_close(h);
	if (r == 0 && ret->count == 0 && !ret->cut)
		add_name(ret, "");
	return r;
}

void probe_names_free(struct probe_names *n)
{
	for (unsigned i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n->names);
	memset(n, 0, sizeof(*n));
}

/* --- reading ------------------------------------------------------------- */

struct source {
	const struct nbd_dial *dial;
	struct nbd_handle     *h;  /* NULL: a file */
	int		       fd; /* of a file */
	struct nbd_facts       facts;
	uint64_t	       deadline_ns;
};

struct reply {
	bool over;
	int  error; /* positive errno, 0: success */
};

static int reply_over(void *user_data, int *error)
{
	struct reply *reply = user_data;

	reply->over = true;
	reply->error = *error;
	return 1;
}

static bool has_reply(struct nbd_handle *h, void *arg)
{
	const struct reply *reply = arg;

	(void)h;
	return reply->over;
}

/* On failure the connection must be closed before buf is freed. */
static int read_nbd(const struct source *s, uint8_t *buf, uint32_t len,
		    uint64_t off, char *ret_err)
{
	struct reply		reply = { 0 };
	nbd_completion_callback cb = {
		.callback = reply_over,
		.user_data = &reply,
	};
	int r;

	if (nbd_aio_pread(s->h, buf, len, off, cb, 0) < 0) {
		snprintf(ret_err, PLACE_ERR_BYTES, "%.60s: %.130s",
			 s->dial->place, nbd_dial_error());
		return -EIO;
	}
	r = nbd_dial_wait(s->dial, s->h, has_reply, &reply, s->deadline_ns,
			  ret_err);
	if (r == 0 && reply.error > 0) {
		snprintf(ret_err, PLACE_ERR_BYTES,
			 "%.100s: cannot be read: %.80s", s->dial->place,
			 strerror(reply.error));
		r = -reply.error;
	}
	return r;
}

static int read_file(const struct source *s, uint8_t *buf, uint32_t len,
		     uint64_t off, char *ret_err)
{
	ssize_t n = pread(s->fd, buf, len, (off_t)off);

	if (n == (ssize_t)len)
		return 0;
	snprintf(ret_err, PLACE_ERR_BYTES, "%.100s: cannot be read: %.80s",
		 s->dial->place, n < 0 ? strerror(errno) : "it is shorter "
							   "than it says");
	return n < 0 ? -errno : -EIO;
}

static int read_range(const struct source *s, uint8_t *buf, uint32_t len,
		      uint64_t off, char *ret_err)
{
	for (uint32_t pos = 0; pos < len;) {
		uint32_t piece =
			min_u32(len - pos, s->facts.payload_bytes);
		int r = s->h != NULL
				? read_nbd(s, buf + pos, piece, off + pos,
					   ret_err)
				: read_file(s, buf + pos, piece, off + pos,
					    ret_err);

		if (r < 0)
			return r;
		pos += piece;
	}
	return 0;
}

/* A copy in which pages of zeros take no memory. */
static uint8_t *keep(const uint8_t *buf, uint32_t len)
{
	static const uint8_t zeros[TARN_BLOCK];
	uint8_t		    *copy;

	assert(len > 0);
	copy = calloc(1, len);
	for (uint32_t i = 0; copy != NULL && i < len; i += TARN_BLOCK) {
		size_t n = min_u32(TARN_BLOCK, len - i);

		if (memcmp(buf + i, zeros, n) != 0)
			memcpy(copy + i, buf + i, n);
	}
	return copy;
}

static int read_ends(const struct source *s, uint32_t want_bytes,
		     uint8_t *scratch, struct place_export *e)
{
	uint64_t end = e->size_bytes & ~(uint64_t)(TARN_BLOCK - 1);
	uint32_t len = (uint32_t)min_u64(want_bytes, end);
	int	 r;

	r = read_range(s, scratch, len, 0, e->error_text);
	if (r < 0)
		return r;
	e->head = keep(scratch, len);
	if (e->head == NULL)
		return -ENOMEM;
	e->head_bytes = len;
	if (end >= want_bytes) {
		r = read_range(s, scratch, len, end - len, e->error_text);
		if (r < 0)
			return r;
		e->tail = keep(scratch, len);
		if (e->tail == NULL)
			return -ENOMEM;
	}
	probe_content(e);
	return 0;
}

static int look(const struct source *s, uint32_t want_bytes,
		struct place_export *e)
{
	uint8_t *scratch = malloc(want_bytes);
	int	 r = -ENOMEM;

	e->size_bytes = s->facts.size_bytes;
	e->read_only = s->facts.read_only;
	e->can_flush = s->facts.can_flush;
	if (scratch != NULL)
		r = read_ends(s, want_bytes, scratch, e);
	if (r == -ENOMEM && e->error_text[0] == '\0')
		snprintf(e->error_text, sizeof(e->error_text),
			 "%.100s: out of memory", e->place);
	if (s->h != NULL)
		nbd_close(s->h); /* before its buffer goes */
	free(scratch);
	return r;
}

/* --- the two kinds ------------------------------------------------------- */

static int file_fail(const struct nbd_dial *d, struct place_export *e, int r,
		     const char *why)
{
	snprintf(e->error_text, sizeof(e->error_text), "%.100s: %.90s",
		 d->addr.path, why);
	return r;
}

static int file_facts(struct source *s, struct place_export *e)
{
	struct stat st;
	uint64_t    bytes = 0;
	int	    ro = 0;

	if (fstat(s->fd, &st) < 0)
		return file_fail(s->dial, e, -errno, strerror(errno));
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(s->fd, BLKGETSIZE64, &bytes) < 0)
			return file_fail(s->dial, e, -errno, strerror(errno));
		ioctl(s->fd, BLKROGET, &ro);
	} else if (S_ISREG(st.st_mode)) {
		bytes = (uint64_t)st.st_size;
	} else {
		return file_fail(s->dial, e, -EINVAL,
				 "neither a regular file nor a block device");
	}
	if (bytes < TARN_BLOCK || bytes > DISK_BYTES_MAX)
		return file_fail(s->dial, e, -EINVAL,
				 "a disk of such a size cannot be used");
	s->facts.size_bytes = bytes;
	s->facts.payload_bytes = 1u << 20;
	s->facts.read_only = ro != 0 || access(s->dial->addr.path, W_OK) != 0;
	s->facts.can_flush = true;
	return 0;
}

static int look_at_file(struct source *s, uint32_t want_bytes,
			struct place_export *e)
{
	int r;

	/* Not blocking, in case it is a FIFO. */
	s->fd = open(s->dial->addr.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		return file_fail(s->dial, e, -errno, strerror(errno));
	r = file_facts(s, e);
	if (r == 0)
		r = look(s, want_bytes, e);
	close(s->fd);
	return r;
}

static int look_at_nbd(struct source *s, uint32_t want_bytes,
		       struct place_export *e)
{
	int r = nbd_dial(s->dial, s->deadline_ns, &s->h, e->error_text);

	if (r < 0)
		return r;
	r = nbd_dial_facts(s->dial, s->h, &s->facts, e->error_text);
	if (r < 0) {
		nbd_close(s->h);
		return r;
	}
	return look(s, want_bytes, e);
}

void probe_export(const struct nbd_dial *d, uint32_t want_bytes,
		  uint64_t deadline_ns, struct place_export *e)
{
	struct source s = {
		.dial = d,
		.fd = -1,
		.deadline_ns = deadline_ns,
	};

	e->error_text[0] = '\0';
	if (d->addr.kind == PLACE_PATH)
		e->error = look_at_file(&s, want_bytes, e);
	else
		e->error = look_at_nbd(&s, want_bytes, e);
}
