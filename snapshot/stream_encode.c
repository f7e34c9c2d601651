/* snapshot/stream_encode.c - from extents to a stream.
 *
 * Each record is its head, made here, and a payload, which is the caller's
 * buffer or what zstd made of it.  The digest is of heads only: each has the
 * hash of its payload.
 * Data that zstd does not make smaller by a sixteenth are sent as they are.
 *
 * The extents come from a server's replies, so that they are in order is
 * checked, not asserted.
 */
#include <assert.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "snapshot/stream_hash.h"
#include "snapshot/stream_head.h"

struct stream_encoder {
	struct stream_header header;
	struct stream_count  count;
	struct sha256_ctx    sha;      /* of the header and heads so far */
	uint32_t             head_crc; /* of the header */
	uint64_t             pos;      /* the next extent is not below */
	uint64_t             mark_off; /* of the last mark */
	uint64_t             mark_at;  /* stream_bytes behind it */
	bool                 ended;
	int                  level;    /* of zstd; 0: none */
	ZSTD_CCtx           *zstd;     /* NULL: level is 0 */
	uint8_t             *packed;   /* STREAM_DATA_MAX, of zstd */
	struct stream_record record;   /* what piece[0] points at */
	struct stream_totals totals;   /* of MARK and END */
	uint8_t              head[STREAM_HEADER_MAX];
};

int stream_encoder_open(const struct stream_header *h, int level,
			struct stream_encoder **ret_enc)
{
	struct stream_encoder *enc;

	assert(level >= 0 && level <= STREAM_LEVEL_MAX);
	if (stream_head_problem(h) != NULL)
		return -EINVAL;
	enc = calloc(1, sizeof(*enc));
	if (enc == NULL)
		return -ENOMEM;
	enc->header = *h;
	enc->header.compressed = level > 0;
	enc->level = level;
	enc->pos = enc->mark_off = h->start_bytes;
	sha256_init(&enc->sha);
	if (level > 0) {
		enc->zstd = ZSTD_createCCtx();
		enc->packed = malloc(STREAM_DATA_MAX);
		if (enc->zstd == NULL || enc->packed == NULL) {
			stream_encoder_close(enc);
			return -ENOMEM;
		}
	}
	*ret_enc = enc;
	return 0;
}

void stream_encoder_close(struct stream_encoder *enc)
{
	if (enc == NULL)
		return;
	ZSTD_freeCCtx(enc->zstd);
	free(enc->packed);
	free(enc);
}

/* Head and payload of a record; only the first goes into the digest. */
static void out_set(struct stream_encoder *enc, const void *a, size_t na,
		    const void *b, size_t nb, struct stream_out *ret_out)
{
	sha256_update(&enc->sha, na, a);
	enc->count.stream_bytes += na + nb;
	ret_out->piece[0].buf = a;
	ret_out->piece[0].bytes = na;
	ret_out->piece[1].buf = b;
	ret_out->piece[1].bytes = nb;
}

void stream_encode_header(struct stream_encoder *enc,
			  struct stream_out *ret_out)
{
	struct stream_head d;
	uint32_t bytes;

	assert(enc->count.stream_bytes == 0);
	bytes = stream_head_encode(&enc->header, enc->head);
	memcpy(&d, enc->head, sizeof(d));
	enc->head_crc = le32_get(d.crc32c);
	out_set(enc, enc->head, bytes, enc->head, 0, ret_out);
	enc->mark_at = enc->count.stream_bytes;
}

/* enc->record has been set but for its number and the checksum of its head. */
static void record_out(struct stream_encoder *enc, const void *payload,
		       size_t payload_bytes, struct stream_out *ret_out)
{
	struct stream_record *rec = &enc->record;

	enc->count.records++;
	rec->seq = le64_of(enc->count.records);
	rec->payload_bytes = le32_of((uint32_t)payload_bytes);
	rec->crc32c = le32_of(stream_record_crc(rec, enc->head_crc));
	out_set(enc, rec, sizeof(*rec), payload, payload_bytes, ret_out);
}

static bool extent_is_bad(const struct stream_encoder *enc, uint64_t off,
			  uint64_t len)
{
	uint64_t size = enc->header.size_bytes;

	assert(enc->count.stream_bytes > 0 && !enc->ended);
	if (len == 0 || off > size || len > size - off || off < enc->pos)
		return true;
	return enc->header.base_kind == STREAM_BASE_NONE && off != enc->pos;
}

int stream_encode_data(struct stream_encoder *enc, uint64_t off_bytes,
		       const void *buf, size_t len,
		       struct stream_out *ret_out)
{
	const void *payload = buf;
	size_t      bytes = len, z;

	assert(len <= STREAM_DATA_MAX);
	if (extent_is_bad(enc, off_bytes, len))
		return -EINVAL;
	if (enc->zstd != NULL) {
		z = ZSTD_compressCCtx(enc->zstd, enc->packed, len - len / 16,
				      buf, len, enc->level);
		if (!ZSTD_isError(z) && z < len) {
			payload = enc->packed;
			bytes = z;
		}
	}
	enc->record = (struct stream_record){
		.type = le16_of(STREAM_TYPE_DATA),
		.encoding = le16_of(payload == buf ? STREAM_RAW : STREAM_ZSTD),
		.off_bytes = le64_of(off_bytes),
		.len_bytes = le64_of(len),
	};
	if (payload != buf)
		enc->record.packed_crc32c = le32_of(crc32c(0, payload, bytes));
	stream_hash(buf, len, enc->record.xxh3);
	record_out(enc, payload, bytes, ret_out);
	enc->count.data_bytes += len;
	enc->pos = off_bytes + len;
	return 0;
}

int stream_encode_zero(struct stream_encoder *enc, uint64_t off_bytes,
		       uint64_t len_bytes, struct stream_out *ret_out)
{
	if (extent_is_bad(enc, off_bytes, len_bytes))
		return -EINVAL;
	enc->record = (struct stream_record){
		.type = le16_of(STREAM_TYPE_ZERO),
		.off_bytes = le64_of(off_bytes),
		.len_bytes = le64_of(len_bytes),
	};
	record_out(enc, &enc->record, 0, ret_out);
	enc->count.zero_bytes += len_bytes;
	enc->pos = off_bytes + len_bytes;
	return 0;
}

/* A record with the totals and the digest up to it. */
static void totals_out(struct stream_encoder *enc, enum stream_type type,
		       uint64_t off_bytes, struct stream_out *ret_out)
{
	struct sha256_ctx sha = enc->sha; /* which goes on */

	enc->totals = (struct stream_totals){
		.records = le64_of(enc->count.records),
		.data_bytes = le64_of(enc->count.data_bytes),
		.zero_bytes = le64_of(enc->count.zero_bytes),
	};
	sha256_digest(&sha, sizeof(enc->totals.sha256), enc->totals.sha256);
	enc->record = (struct stream_record){
		.type = le16_of((uint16_t)type),
		.off_bytes = le64_of(off_bytes),
	};
	stream_hash(&enc->totals, sizeof(enc->totals), enc->record.xxh3);
	record_out(enc, &enc->totals, sizeof(enc->totals), ret_out);
}

static bool mark_is_possible(const struct stream_encoder *enc, uint64_t off)
{
	if (off <= enc->mark_off || off < enc->pos ||
	    off >= enc->header.size_bytes)
		return false;
	return off == enc->pos || enc->header.base_kind != STREAM_BASE_NONE;
}

bool stream_encoder_mark_due(const struct stream_encoder *enc,
			     uint64_t off_bytes)
{
	return enc->count.stream_bytes - enc->mark_at >= STREAM_MARK_BYTES &&
	       mark_is_possible(enc, off_bytes);
}

int stream_encode_mark(struct stream_encoder *enc, uint64_t off_bytes,
		       struct stream_out *ret_out)
{
	assert(enc->count.stream_bytes > 0 && !enc->ended);
	if (!mark_is_possible(enc, off_bytes))
		return -EINVAL;
	totals_out(enc, STREAM_TYPE_MARK, off_bytes, ret_out);
	enc->pos = enc->mark_off = off_bytes;
	enc->mark_at = enc->count.stream_bytes;
	return 0;
}

int stream_encode_end(struct stream_encoder *enc, struct stream_out *ret_out)
{
	assert(enc->count.stream_bytes > 0 && !enc->ended);
	if (enc->header.base_kind == STREAM_BASE_NONE &&
	    enc->pos != enc->header.size_bytes)
		return -EINVAL;
	totals_out(enc, STREAM_TYPE_END, enc->header.size_bytes, ret_out);
	enc->ended = true;
	return 0;
}

void stream_encoder_count(const struct stream_encoder *enc,
			  struct stream_count *ret_count)
{
	*ret_count = enc->count;
}
