/* snapshot/stream_decode.c - from a stream to extents, whoever wrote it.
 *
 *	HEAD --> NAMES --> RECORD <--> PAYLOAD
 *	                     |
 *	                    END --> (nothing may follow)     any error --> BAD
 *
 * Each state wants a number of bytes, and they are read to where they stay: the
 * header to head, the head of a record to record, its payload to payload.  So
 * nothing is read beyond what is being looked at, and nothing is copied.
 *
 * The head of a record has a checksum of its own, so that nothing it says is
 * believed before; then its payload is read, and then looked at.  Every error
 * names the byte at which the record begins.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "snapshot/stream_decoder.h"

int stream_decoder_open(struct stream_decoder **ret_dec)
{
	struct stream_decoder *dec = calloc(1, sizeof(*dec));

	if (dec == NULL)
		return -ENOMEM;
	dec->payload = malloc(STREAM_DATA_MAX);
	dec->data = malloc(STREAM_DATA_MAX);
	dec->zstd = ZSTD_createDCtx();
	if (dec->payload == NULL || dec->data == NULL || dec->zstd == NULL) {
		stream_decoder_close(dec);
		return -ENOMEM;
	}
	sha256_init(&dec->sha);
	dec->state = DECODE_HEAD;
	dec->want = sizeof(struct stream_head);
	*ret_dec = dec;
	return 0;
}

void stream_decoder_close(struct stream_decoder *dec)
{
	if (dec == NULL)
		return;
	ZSTD_freeDCtx(dec->zstd);
	free(dec->payload);
	free(dec->data);
	free(dec);
}

int stream_refuse(struct stream_decoder *dec, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(dec->error, sizeof(dec->error), fmt, ap);
	va_end(ap);
	dec->state = DECODE_BAD;
	return -EBADMSG;
}

static void want(struct stream_decoder *dec, enum decoder_state state,
		 size_t bytes)
{
	dec->state = state;
	dec->have = 0;
	dec->want = bytes;
}

/* --- the header ---------------------------------------------------------- */

static int head_decode(struct stream_decoder *dec,
		       struct stream_event *ret_event)
{
	struct stream_head d;

	if (stream_head_decode(dec->head, (uint32_t)dec->want, &dec->header,
			       dec->error) < 0) {
		dec->state = DECODE_BAD;
		return -EBADMSG;
	}
	memcpy(&d, dec->head, sizeof(d));
	dec->head_crc = le32_get(d.crc32c);
	dec->pos = dec->mark_off = dec->header.start_bytes;
	sha256_update(&dec->sha, dec->want, dec->head);
	dec->count.stream_bytes = dec->want;
	want(dec, DECODE_RECORD, sizeof(dec->record));
	ret_event->kind = STREAM_HEADER;
	return 0;
}

static int head_begin(struct stream_decoder *dec,
		      struct stream_event *ret_event)
{
	uint32_t bytes = stream_head_bytes(dec->head, dec->error);

	if (bytes == 0) {
		dec->state = DECODE_BAD;
		return -EBADMSG;
	}
	dec->want = bytes;
	dec->state = DECODE_NAMES;
	return dec->have == dec->want ? head_decode(dec, ret_event) : 0;
}

/* --- records ------------------------------------------------------------- */

static int record_end(struct stream_decoder *dec,
		      struct stream_event *ret_event)
{
	int r = stream_record_decode(dec, ret_event);

	if (r < 0)
		return r;
	if (ret_event->kind == STREAM_END)
		want(dec, DECODE_END, 1);
	else
		want(dec, DECODE_RECORD, sizeof(dec->record));
	return 0;
}

static int record_begin(struct stream_decoder *dec,
			struct stream_event *ret_event)
{
	uint32_t bytes = le32_get(dec->record.payload_bytes);
	int      r = stream_record_check(dec);

	if (r < 0)
		return r;
	if (bytes == 0)
		return record_end(dec, ret_event);
	want(dec, DECODE_PAYLOAD, bytes);
	return 0;
}

/* --- in and out ---------------------------------------------------------- */

void *stream_decoder_space(struct stream_decoder *dec, size_t *ret_bytes)
{
	uint8_t *buf = NULL;

	switch (dec->state) {
	case DECODE_HEAD:
	case DECODE_NAMES:
		buf = dec->head;
		break;
	case DECODE_RECORD:
		buf = (uint8_t *)&dec->record;
		break;
	case DECODE_PAYLOAD:
		buf = dec->payload;
		break;
	case DECODE_END:
	case DECODE_BAD:
		*ret_bytes = 1;
		return &dec->excess;
	}
	*ret_bytes = dec->want - dec->have;
	return buf + dec->have;
}

int stream_decoder_fill(struct stream_decoder *dec, size_t n,
			struct stream_event *ret_event)
{
	*ret_event = (struct stream_event){ .kind = STREAM_MORE };
	if (dec->state == DECODE_BAD)
		return -EBADMSG;
	assert(n <= dec->want - dec->have);
	dec->have += n;
	if (dec->have < dec->want)
		return 0;
	switch (dec->state) {
	case DECODE_HEAD:
		return head_begin(dec, ret_event);
	case DECODE_NAMES:
		return head_decode(dec, ret_event);
	case DECODE_RECORD:
		return record_begin(dec, ret_event);
	case DECODE_PAYLOAD:
		return record_end(dec, ret_event);
	case DECODE_END:
		return stream_refuse(dec,
			      "the stream is refused at byte %ju: it has "
			      "ended, but more bytes follow",
			      (uintmax_t)dec->count.stream_bytes);
	case DECODE_BAD:
		break;
	}
	return -EBADMSG;
}

int stream_decoder_finish(struct stream_decoder *dec)
{
	bool     payload = dec->state == DECODE_PAYLOAD;
	uint64_t at = dec->count.stream_bytes + dec->have +
		      (payload ? sizeof(dec->record) : 0);

	switch (dec->state) {
	case DECODE_HEAD:
	case DECODE_NAMES:
		return stream_refuse(dec,
				     "the stream is cut off at byte %ju, in "
				     "its header", (uintmax_t)at);
	case DECODE_RECORD:
	case DECODE_PAYLOAD:
		return stream_refuse(
			dec,
			"the stream is cut off at byte %ju, %s record %ju, "
			"before its end", (uintmax_t)at,
			at == dec->count.stream_bytes ? "before" : "in",
			(uintmax_t)dec->count.records + 1);
	case DECODE_END:
		return 0;
	case DECODE_BAD:
		break;
	}
	return -EBADMSG;
}

const char *stream_decoder_error(const struct stream_decoder *dec)
{
	return dec->error;
}

const struct stream_header *
stream_decoder_header(const struct stream_decoder *dec)
{
	return dec->count.stream_bytes > 0 ? &dec->header : NULL;
}

void stream_decoder_count(const struct stream_decoder *dec,
			  struct stream_count *ret_count)
{
	*ret_count = dec->count;
}

int stream_decoder_token(const struct stream_decoder *dec,
			 struct stream_token *ret_token)
{
	if (dec->mark_off == 0)
		return -ENODATA;
	*ret_token = (struct stream_token){
		.target = dec->header.target,
		.base = dec->header.base,
		.base_kind = dec->header.base_kind,
		.off_bytes = dec->mark_off,
	};
	return 0;
}
