/* tools/tarn/send_source.c - which extents of an export are to be sent.
 *
 * The export is asked, in large steps, what it holds (base:allocation) and, for
 * an increment, what has changed since the base (qemu:dirty-bitmap:BASE).  Both
 * answers are lists of spans from the same offset, which need not end at the
 * same place: extents are cut where either changes, and only what both cover is
 * used.  What has not changed is left out; what reads as zeros is not read.
 *
 * The server's word is checked: spans of no length, or none at all, would be a
 * loop without end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/connect.h"
#include "tools/tarn/send.h"

/* Of one question; without extended headers, lengths have 32 bits. */
#define STEP_BYTES (2ull << 30)
#define BITMAP "qemu:dirty-bitmap:"
#define STATE_ZERO 2u /* base:allocation */
#define STATE_DIRTY 1u /* qemu:dirty-bitmap */

/* "cannot <what>: <what libnbd says>" */
static int fail_to(char *ret_error, const char *what)
{
	const char *why = nbd_get_error();

	snprintf(ret_error, SEND_ERROR_BYTES, "cannot %s: %s", what,
		 why != NULL ? why : "out of memory");
	return -1;
}

static int fail(struct send_source *src, const char *what)
{
	return fail_to(src->error, what);
}

/* --- connecting ---------------------------------------------------------- */

int send_connect(struct nbd_handle *nbd, const char *listen,
		 const char *export_name, char *ret_error)
{
	char why[600];

	if (nbd_set_export_name(nbd, export_name) < 0)
		return fail_to(ret_error, "set up the connection");
	if (connect_nbd(nbd, listen, why, sizeof(why)) == 0)
		return 0;
	snprintf(ret_error, SEND_ERROR_BYTES,
		 "cannot connect to the export '%s' at %.110s: %s", export_name,
		 listen, why);
	return -1;
}

/* base: "@SNAPSHOT" or "#CHECKPOINT"; the answer has it without the mark. */
static int source_connect(struct send_source *src, const char *listen,
			  const char *export_name, const char *base)
{
	char bitmap[sizeof(src->dirty.name) + 1];

	snprintf(bitmap, sizeof(bitmap), BITMAP "%s", base != NULL ? base : "");
	if (nbd_add_meta_context(src->nbd, src->alloc.name) < 0 ||
	    (src->changes && nbd_add_meta_context(src->nbd, bitmap) < 0))
		return fail(src, "set up the connection");
	if (send_connect(src->nbd, listen, export_name, src->error) < 0)
		return -1;
	return send_lane_open(&src->lane, listen, export_name, src->error);
}

int send_source_open(struct send_source *src, const char *listen,
		     const char *export_name, const char *base)
{
	int64_t size;

	memset(src, 0, sizeof(*src));
	src->changes = base != NULL;
	snprintf(src->alloc.name, sizeof(src->alloc.name), "base:allocation");
	snprintf(src->dirty.name, sizeof(src->dirty.name),
		 BITMAP "%s", base != NULL ? base + 1 : "");
	src->nbd = nbd_create();
	if (src->nbd == NULL)
		return fail(src, "set up a connection");
	if (source_connect(src, listen, export_name, base) < 0)
		return -1;
	size = nbd_get_size(src->nbd);
	if (size < 0)
		return fail(src, "get the size of the export");
	src->size_bytes = (uint64_t)size;
	if (base != NULL &&
	    nbd_can_meta_context(src->nbd, src->dirty.name) != 1) {
		snprintf(src->error, sizeof(src->error),
			 "the server does not say what has changed in '%s' "
			 "since '%s': see to it that that is an older %s of "
			 "the same volume, or send all of it, without --from",
			 export_name, base + 1,
			 base[0] == '#' ? "checkpoint" : "snapshot");
		return -1;
	}
	if (nbd_can_meta_context(src->nbd, src->alloc.name) == 1)
		return 0;
	snprintf(src->error, sizeof(src->error),
		 "the server does not say what '%s' holds (base:allocation): "
		 "is it tarnd?", export_name);
	return -1;
}

void send_source_close(struct send_source *src)
{
	send_lane_close(&src->lane);
	nbd_close(src->nbd);
	src->nbd = NULL;
}

/* --- extents ------------------------------------------------------------- */

static int spans_take(void *user, const char *name, uint64_t offset,
		      uint32_t *entries, size_t nentries, int *error)
{
	struct send_source  *src = user;
	struct send_context *c = NULL;

	(void)error;
	if (strcmp(name, src->alloc.name) == 0)
		c = &src->alloc;
	else if (strcmp(name, src->dirty.name) == 0)
		c = &src->dirty;
	if (c == NULL)
		return 0;
	if (offset != src->pos_bytes || nentries % 2 != 0)
		c->bad = true;
	for (size_t i = 0; i + 1 < nentries && c->n < SEND_SPANS_MAX; i += 2) {
		c->bad = c->bad || entries[i] == 0;
		c->spans[2 * c->n] = entries[i];
		c->spans[2 * c->n + 1] = entries[i + 1];
		c->n++;
	}
	return 0;
}

/* Ask about what is from pos_bytes on. */
static int spans_ask(struct send_source *src)
{
	nbd_extent_callback cb = { .callback = spans_take, .user_data = src };
	uint64_t len = min_u64(STEP_BYTES, src->size_bytes - src->pos_bytes);
	char     what[100];

	src->alloc.n = src->alloc.at = src->dirty.n = src->dirty.at = 0;
	src->alloc.gone = src->dirty.gone = 0;
	src->alloc.bad = src->dirty.bad = false;
	if (nbd_block_status(src->nbd, len, src->pos_bytes, cb, 0) < 0) {
		snprintf(what, sizeof(what), "ask what there is at offset %ju",
			 (uintmax_t)src->pos_bytes);
		return fail(src, what);
	}
	if (src->alloc.n > 0 && !src->alloc.bad &&
	    (!src->changes || (src->dirty.n > 0 && !src->dirty.bad)))
		return 0;
	snprintf(src->error, sizeof(src->error),
		 "what the server says of offset %ju makes no sense: is it "
		 "tarnd?", (uintmax_t)src->pos_bytes);
	return -1;
}

static uint64_t span_left(const struct send_context *c)
{
	return c->spans[2 * c->at] - c->gone;
}

static void span_use(struct send_context *c, uint64_t bytes)
{
	c->gone += bytes;
	if (c->gone == c->spans[2 * c->at]) {
		c->at++;
		c->gone = 0;
	}
}

int send_source_next(struct send_source *src, struct send_extent *ret_extent)
{
	while (src->pos_bytes < src->size_bytes) {
		bool     dirty = true, zero;
		uint64_t len;

		if ((src->alloc.at == src->alloc.n ||
		     (src->changes && src->dirty.at == src->dirty.n)) &&
		    spans_ask(src) < 0)
			return -1;
		len = min_u64(span_left(&src->alloc),
			      src->size_bytes - src->pos_bytes);
		zero = (src->alloc.spans[2 * src->alloc.at + 1] &
			STATE_ZERO) != 0;
		if (src->changes) {
			len = min_u64(len, span_left(&src->dirty));
			dirty = (src->dirty.spans[2 * src->dirty.at + 1] &
				 STATE_DIRTY) != 0;
			span_use(&src->dirty, len);
		}
		span_use(&src->alloc, len);
		src->pos_bytes += len;
		if (!dirty)
			continue;
		ret_extent->off_bytes = src->pos_bytes - len;
		ret_extent->len_bytes = len;
		ret_extent->zero = zero;
		return 1;
	}
	return 0;
}
