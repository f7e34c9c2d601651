/* tools/tarn/overlay.h - several streams, each of what changed since the one
 * before, read as if they were one.
 *
 * All are read at once, from front to back, and of each place the newest that
 * has something there says what it is.  So it takes the memory of a decoder for
 * each, and nothing is written twice.
 *
 * Each is read to its end and verified, though only the last word of
 * overlay_next() says that all of it was right.
 */
#ifndef TARN_TOOLS_TARN_OVERLAY_H
#define TARN_TOOLS_TARN_OVERLAY_H

#include "tools/tarn/input.h"

struct overlay_layer {
	struct input   *in;
	const char     *name;       /* to be shown */
	/* What is next of it; off_bytes UINT64_MAX: nothing. */
	uint64_t        off_bytes, len_bytes;
	const uint8_t  *data;       /* NULL: zeros */
	uint64_t        size_bytes; /* what is beyond is zeros */
	bool            ended;
};

struct overlay {
	struct overlay_layer *layers; /* the oldest first */
	size_t   n;
	uint64_t pos_bytes;   /* what is below has been given out */
	uint64_t size_bytes;  /* of the newest */
	char     error[1024];
};

struct overlay_extent {
	uint64_t    off_bytes;
	uint64_t    len_bytes;
	const void *data; /* at most STREAM_DATA_MAX; NULL: zeros.  Until the
			   * next call. */
};

/* Inputs that were opened just now, of a stream and those that are based on
 * it, in order; they and their names stay the caller's.  -1: o->error is a
 * sentence.  overlay_close() in any case.  Then stream_decoder_header() of each is there. */
int overlay_open(struct overlay *o, struct input *inputs,
		 const char *const *names, size_t n);
/* Extents ascend.  1; 0: there are no more, and all was right; -1: o->error. */
int overlay_next(struct overlay *o, struct overlay_extent *ret_extent);
void overlay_close(struct overlay *o);

#endif
