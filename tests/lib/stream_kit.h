/* tests/lib/stream_kit.h - streams in memory: made, taken apart, forged. */
#ifndef TESTS_LIB_STREAM_KIT_H
#define TESTS_LIB_STREAM_KIT_H

#include "snapshot/stream.h"

/* A stream in the making; buf grows. */
struct stream_buf {
	uint8_t *buf;
	size_t   len, cap;
};

/* A header that is right: volume "v", snapshot "s", no base or "b". */
void stream_kit_header(uint64_t size_bytes, enum stream_base base,
		       struct stream_header *ret_header);
void stream_buf_add(struct stream_buf *b, const void *data, size_t len);
void stream_buf_out(struct stream_buf *b, const struct stream_out *out);
void stream_buf_free(struct stream_buf *b);
/* Where record number n (from 1) begins; b->len: there is none. */
size_t stream_kit_record(const struct stream_buf *b, unsigned n);
/* Make right whatever can be: checksums, numbers, totals, digests, as far as
 * there are whole records.  A forger's work. */
void stream_kit_forge(struct stream_buf *b);

/* What came out of a decoder. */
struct stream_taken {
	uint8_t *image;       /* image_bytes; what is beyond is left out */
	uint64_t image_bytes;
	uint64_t extents;
	uint64_t marks;
	uint64_t sum;         /* of all events, in order */
	uint64_t end;         /* the last extent or mark reaches here */
	bool     ended;       /* STREAM_END was there */
	struct stream_token token;
	int      token_r;     /* of stream_decoder_token(), at the end */
	struct stream_count count;
	char     error[STREAM_ERROR_BYTES];
};

/* Decode b in pieces of at most `step` bytes.  0 when it is a whole stream,
 * else -EBADMSG.  Aborts when the decoder breaks a promise. */
int stream_kit_take(const struct stream_buf *b, size_t step,
		    struct stream_taken *t);

#endif
