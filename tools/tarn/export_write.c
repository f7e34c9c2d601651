/* tools/tarn/export_write.c - writes to an NBD export, several at once.
 *
 * Nobody but the calls turns the connection's wheel.  So that the server does
 * not wait for the rest of a request while the caller waits for something else,
 * a call does not return before its request has been sent; replies are small,
 * and may wait.
 */
#include "tools/tarn/export_write.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/connect.h"

static int fail(struct export_writer *w, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct export_writer *w, int err, const char *fmt, ...)
{
	va_list ap;

	if (w->res != 0)
		return -1;
	w->res = err != 0 ? err : EIO;
	va_start(ap, fmt);
	vsnprintf(w->error, sizeof(w->error), fmt, ap);
	va_end(ap);
	return -1;
}

static bool is_cut(const struct export_writer *w)
{
	return nbd_aio_is_dead(w->nbd) == 1 || nbd_aio_is_closed(w->nbd) == 1;
}

static int broke(struct export_writer *w)
{
	return fail(w, ENOTCONN, "the connection to the server broke; see "
				 "'tarn status'");
}

/* The write at off_bytes was refused. */
static int refused(struct export_writer *w, uint64_t off_bytes, int err)
{
	if (is_cut(w) || err == ENOTCONN)
		return broke(w);
	if (err == ENOSPC)
		return fail(w, err, "cannot write at offset %ju: the pool is "
			    "full; free space or add disks",
			    (uintmax_t)off_bytes);
	if (err == ESHUTDOWN)
		return fail(w, err, "cannot write at offset %ju: it is served "
			    "no longer", (uintmax_t)off_bytes);
	return fail(w, err, "cannot write at offset %ju: %s; see 'tarn "
		    "status'", (uintmax_t)off_bytes,
		    strerror(err != 0 ? err : EIO));
}

int export_open(struct export_writer *w, const char *listen,
		const char *export_name)
{
	int64_t size;
	char    why[500];

	memset(w, 0, sizeof(*w));
	w->nbd = nbd_create();
	if (w->nbd == NULL)
		return fail(w, 0, "cannot set up a connection: %s",
			    connect_error());
	for (unsigned i = 0; i < EXPORT_SLOTS; i++) {
		w->slots[i].w = w;
		w->slots[i].buf = malloc(EXPORT_WRITE_MAX);
		if (w->slots[i].buf == NULL)
			abort();
	}
	if (nbd_set_export_name(w->nbd, export_name) < 0)
		return fail(w, 0, "cannot set up the connection: %s",
			    connect_error());
	if (connect_nbd(w->nbd, listen, why, sizeof(why)) < 0)
		return fail(w, ENOTCONN, "cannot connect to the export '%s' "
			    "at %.110s: %s", export_name, listen, why);
	size = nbd_get_size(w->nbd);
	if (size < 0)
		return fail(w, 0, "cannot get the size of the export: %s",
			    connect_error());
	w->size_bytes = (uint64_t)size;
	return 0;
}

void export_close(struct export_writer *w)
{
	if (w->nbd != NULL && !is_cut(w) && w->nbusy == 0)
		nbd_shutdown(w->nbd, 0);
	nbd_close(w->nbd);
	w->nbd = NULL;
	for (unsigned i = 0; i < EXPORT_SLOTS; i++) {
		free(w->slots[i].buf);
		w->slots[i].buf = NULL;
	}
}

/* --- requests ------------------------------------------------------------ */

static int slot_done(void *user, int *error)
{
	struct export_slot   *s = user;
	struct export_writer *w = s->w;

	if (*error != 0 && w->res == 0)
		refused(w, s->off_bytes, *error);
	s->busy = false;
	w->nbusy--;
	return 1; /* it needs no word from us to be forgotten */
}

/* Wait for the server once. */
static int turn(struct export_writer *w)
{
	if (w->res != 0)
		return -1;
	if (is_cut(w))
		return broke(w);
	if (nbd_poll(w->nbd, -1) < 0)
		return is_cut(w) ? broke(w)
				 : fail(w, nbd_get_errno(), "%s",
					connect_error());
	return w->res != 0 ? -1 : 0;
}

/* A free slot; NULL: failed. */
static struct export_slot *slot_get(struct export_writer *w)
{
	while (w->nbusy == EXPORT_SLOTS)
		if (turn(w) < 0)
			return NULL;
	if (w->res != 0)
		return NULL;
	for (unsigned i = 0; i < EXPORT_SLOTS; i++)
		if (!w->slots[i].busy)
			return &w->slots[i];
	return NULL;
}

/* The request of the slot, until all of it has been sent. */
static int sent(struct export_writer *w, struct export_slot *s, int64_t cookie)
{
	if (cookie < 0) {
		/* Was it called back? */
		if (s->busy) {
			s->busy = false;
			w->nbusy--;
		}
		return refused(w, s->off_bytes, nbd_get_errno());
	}
	while ((nbd_aio_get_direction(w->nbd) & LIBNBD_AIO_DIRECTION_WRITE) !=
	       0)
		if (turn(w) < 0)
			return -1;
	return w->res != 0 ? -1 : 0;
}

static nbd_completion_callback take(struct export_slot *s, uint64_t off_bytes)
{
	s->off_bytes = off_bytes;
	s->busy = true;
	s->w->nbusy++;
	return (nbd_completion_callback){ .callback = slot_done,
					  .user_data = s };
}

int export_write(struct export_writer *w, uint64_t off_bytes, const void *buf,
		 size_t len)
{
	struct export_slot *s = slot_get(w);

	assert(len <= EXPORT_WRITE_MAX);
	if (s == NULL)
		return -1;
	memcpy(s->buf, buf, len);
	return sent(w, s, nbd_aio_pwrite(w->nbd, s->buf, len, off_bytes,
					 take(s, off_bytes), 0));
}

int export_zero(struct export_writer *w, uint64_t off_bytes,
		uint64_t len_bytes)
{
	for (uint64_t n; len_bytes > 0; off_bytes += n, len_bytes -= n) {
		struct export_slot *s = slot_get(w);

		n = min_u64(len_bytes, EXPORT_ZERO_MAX);
		if (s == NULL ||
		    sent(w, s, nbd_aio_zero(w->nbd, n, off_bytes,
					    take(s, off_bytes), 0)) < 0)
			return -1;
	}
	return 0;
}

int export_sync(struct export_writer *w)
{
	while (w->nbusy > 0)
		if (turn(w) < 0)
			return -1;
	if (w->res != 0)
		return -1;
	if (nbd_flush(w->nbd, 0) == 0)
		return 0;
	return is_cut(w) ? broke(w)
			 : fail(w, nbd_get_errno(), "cannot make durable what "
				"was written: %s", connect_error());
}

int export_read(struct export_writer *w, uint64_t off_bytes, void *buf,
		size_t len)
{
	if (w->res != 0)
		return -1;
	if (nbd_pread(w->nbd, buf, len, off_bytes, 0) == 0)
		return 0;
	return is_cut(w) ? broke(w)
			 : fail(w, nbd_get_errno(), "cannot read at offset "
				"%ju: %s", (uintmax_t)off_bytes,
				connect_error());
}
