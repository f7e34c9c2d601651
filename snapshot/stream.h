/* snapshot/stream.h - a snapshot, or its difference to an older one, as a
 * stream of bytes that is written and read from front to back.
 *
 * Pure: bytes in, extents out, and the other way round.  Who has a file
 * descriptor feeds it.  Memory is bounded by some STREAM_DATA_MAX whatever the
 * stream says, and allocated at open only.  The format is in
 * docs/stream-format.md.
 *
 * Sending:
 *
 *	stream_encoder_open()
 *	stream_encode_header(), then in ascending order stream_encode_data(),
 *	stream_encode_zero() and, when stream_encoder_mark_due(),
 *	stream_encode_mark(); at last stream_encode_end()
 *
 * each of which says which bytes come next.  Without a base every byte of the
 * volume must be in some extent; with one, what is in none is as in the base.
 *
 * Receiving:
 *
 *	stream_decoder_open()
 *	p = stream_decoder_space(&n); read up to n bytes to p;
 *	stream_decoder_fill() what was read; do what the event says; repeat
 *	stream_decoder_finish() when there is no more
 *
 * An extent is given out after its checksums were found right, and lies behind
 * the one before and within the volume.  That the stream is whole and is the
 * sender's is known only after stream_decoder_finish(); that everything before
 * a mark is, when the mark is given out.
 *
 * A stream that broke is continued by another, which starts at a mark of the
 * first: struct stream_token says where.
 */
#ifndef TARN_SNAPSHOT_STREAM_H
#define TARN_SNAPSHOT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/uuid.h"

/* Format: bytes of one DATA record. */
#define STREAM_DATA_MAX    (1u << 20)
/* A mark is due after so many bytes. */
#define STREAM_MARK_BYTES  (16u << 20)
#define STREAM_LEVEL_DFLT  1
#define STREAM_LEVEL_MAX   19
#define STREAM_TOKEN_BYTES 160
#define STREAM_ERROR_BYTES 256

enum stream_base {
	STREAM_BASE_NONE = 0,
	STREAM_BASE_SNAPSHOT = 1,
	STREAM_BASE_CHECKPOINT = 2,
};

struct stream_header {
	struct uuid volume;      /* not zero */
	struct uuid target;      /* of the snapshot; not zero */
	struct uuid base;        /* zero iff base_kind is STREAM_BASE_NONE */
	uint8_t     base_kind;   /* enum stream_base */
	bool        compressed;  /* some DATA may be; set by the encoder */
	uint64_t    size_bytes;  /* of the snapshot: a multiple of 512 */
	uint64_t    base_bytes;  /* size of the base; 0: none or not known */
	uint64_t    created_s;   /* of the snapshot, seconds since 1970 */
	uint64_t    start_bytes; /* what is below was sent before */
	char        volume_name[VOLUME_NAME_MAX + 1];
	char        target_name[VOLUME_NAME_MAX + 1]; /* without the volume's */
	char        base_name[VOLUME_NAME_MAX + 1];   /* "": none */
};

/* What went through so far, marks and END not counted as data. */
struct stream_count {
	uint64_t stream_bytes; /* of whole records, and the header */
	uint64_t records;
	uint64_t data_bytes;   /* of the volume, before compression */
	uint64_t zero_bytes;
};

/* --- sending ------------------------------------------------------------- */

struct stream_encoder;

/* What to write next: piece[0] and then piece[1], which may be empty.  They
 * stay until the next call for this encoder; piece[1] may be the caller's own
 * buffer. */
struct stream_out {
	struct {
		const void *buf;
		size_t      bytes;
	} piece[2];
};

/* level: of zstd, 1 to STREAM_LEVEL_MAX; 0: not compressed.  -ENOMEM, or
 * -EINVAL when the header makes no sense. */
int stream_encoder_open(const struct stream_header *h, int level,
			struct stream_encoder **ret_enc);
void stream_encoder_close(struct stream_encoder *enc);
void stream_encode_header(struct stream_encoder *enc,
			  struct stream_out *ret_out);
/* len: 1 to STREAM_DATA_MAX.  -EINVAL: not behind the extent before it, or
 * beyond the size, or without a base, not exactly behind. */
int stream_encode_data(struct stream_encoder *enc, uint64_t off_bytes,
		       const void *buf, size_t len,
		       struct stream_out *ret_out);
/* Any length but 0.  -EINVAL as above. */
int stream_encode_zero(struct stream_encoder *enc, uint64_t off_bytes,
		       uint64_t len_bytes, struct stream_out *ret_out);
/* Has it been STREAM_MARK_BYTES since the last mark, and can there be one at
 * off_bytes? */
bool stream_encoder_mark_due(const struct stream_encoder *enc,
			     uint64_t off_bytes);
/* What is below off_bytes has been encoded.  -EINVAL: there cannot be a mark
 * there. */
int stream_encode_mark(struct stream_encoder *enc, uint64_t off_bytes,
		       struct stream_out *ret_out);
/* -EINVAL: without a base, and not everything has been encoded. */
int stream_encode_end(struct stream_encoder *enc, struct stream_out *ret_out);
void stream_encoder_count(const struct stream_encoder *enc,
			  struct stream_count *ret_count);

/* --- receiving ----------------------------------------------------------- */

struct stream_decoder;

enum stream_event_kind {
	STREAM_MORE = 0, /* nothing: more bytes are needed */
	STREAM_HEADER,   /* stream_decoder_header() is there */
	STREAM_DATA,     /* len_bytes of data at off_bytes */
	STREAM_ZERO,     /* zeros at off_bytes */
	STREAM_MARK,     /* everything below off_bytes has come, as it was sent;
			  * stream_decoder_token() has moved on */
	STREAM_END,      /* everything has; whether nothing follows is still
			  * to be seen */
};

struct stream_event {
	enum stream_event_kind kind;
	uint64_t    off_bytes;
	uint64_t    len_bytes;
	const void *data; /* of STREAM_DATA; until the next fill() */
};

/* -ENOMEM. */
int stream_decoder_open(struct stream_decoder **ret_dec);
void stream_decoder_close(struct stream_decoder *dec);
/* Where the next bytes of the stream go, and how many at most (never 0). */
void *stream_decoder_space(struct stream_decoder *dec, size_t *ret_bytes);
/* n bytes are there; at most those of stream_decoder_space().  -EBADMSG: the
 * stream is refused, stream_decoder_error() says why, and it stays so. */
int stream_decoder_fill(struct stream_decoder *dec, size_t n,
			struct stream_event *ret_event);
/* There are no more bytes.  -EBADMSG: it is not whole. */
int stream_decoder_finish(struct stream_decoder *dec);
/* One sentence, "" while nothing is wrong. */
const char *stream_decoder_error(const struct stream_decoder *dec);
/* NULL before STREAM_HEADER. */
const struct stream_header *
stream_decoder_header(const struct stream_decoder *dec);
void stream_decoder_count(const struct stream_decoder *dec,
			  struct stream_count *ret_count);

/* --- going on with a broken one ------------------------------------------ */

/* Of all streams from this base to this snapshot, what is below off_bytes has
 * arrived. */
struct stream_token {
	struct uuid target;
	struct uuid base;      /* zero: none */
	uint8_t     base_kind; /* enum stream_base */
	uint64_t    off_bytes; /* 0: nothing has */
};

/* ret_text: STREAM_TOKEN_BYTES; returns it. */
char *stream_token_text(const struct stream_token *t, char *ret_text);
/* -EINVAL: it is none, or was mistyped. */
int stream_token_parse(const char *text, struct stream_token *ret_token);
/* Does a stream with this header go on where the token was given out? */
bool stream_token_fits(const struct stream_token *t,
		       const struct stream_header *h);
/* Of the last mark, or where a continuation began.  -ENODATA: there is nothing
 * yet to go on from. */
int stream_decoder_token(const struct stream_decoder *dec,
			 struct stream_token *ret_token);

#endif
