/* snapshot/stream_decoder.h - the inside of the decoder.
 *
 *	stream_decode.c         bytes in, one state after another
 *	stream_decode_record.c  what a record says
 */
#ifndef TARN_SNAPSHOT_STREAM_DECODER_H
#define TARN_SNAPSHOT_STREAM_DECODER_H

#include <nettle/sha2.h>
#include <zstd.h>

#include "snapshot/stream_head.h"

enum decoder_state {
	DECODE_HEAD,    /* a struct stream_head */
	DECODE_NAMES,   /* what the header has behind it */
	DECODE_RECORD,  /* a struct stream_record */
	DECODE_PAYLOAD, /* payload_bytes */
	DECODE_END,     /* nothing more */
	DECODE_BAD,     /* error says why */
};

struct stream_decoder {
	enum decoder_state   state;
	size_t               have;     /* bytes that the state has got */
	size_t               want;     /* it needs, > have */
	uint32_t             head_crc; /* of the header */
	struct stream_header header;
	struct stream_count  count;
	struct sha256_ctx    sha;      /* of the header and heads so far */
	uint64_t             pos;      /* the next extent is not below */
	uint64_t             mark_off; /* of the last mark, or the start */
	ZSTD_DCtx           *zstd;
	uint8_t             *payload;  /* STREAM_DATA_MAX */
	uint8_t             *data;     /* STREAM_DATA_MAX, not compressed */
	struct stream_record record;
	uint8_t              head[STREAM_HEADER_MAX];
	uint8_t              excess;   /* what follows the end */
	char                 error[STREAM_ERROR_BYTES];
};

/* The stream is refused, for this reason.  -EBADMSG. */
int stream_refuse(struct stream_decoder *dec, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The record at hand is refused: "... at byte N: record R <what>". */
#define REFUSE(dec, verdict, fmt, ...)                               \
	stream_refuse(dec,                                           \
		      "the stream is " verdict " at byte %ju: "      \
		      "record %ju " fmt,                             \
		      (uintmax_t)(dec)->count.stream_bytes,          \
		      (uintmax_t)(dec)->count.records + 1, ##__VA_ARGS__)

/* dec->record is there, whatever it says: is it a head, the next one, and of a
 * payload that can be read?  -EBADMSG. */
int stream_record_check(struct stream_decoder *dec);
/* It has been checked, and its payload is there, whatever it says: check
 * it, take it in.  -EBADMSG. */
int stream_record_decode(struct stream_decoder *dec,
			 struct stream_event *ret_event);

#endif
