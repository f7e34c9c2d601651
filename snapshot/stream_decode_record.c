/* snapshot/stream_decode_record.c - what a record says, and whether it can be.
 *
 * First the checksum and the number of the head; when the payload is there,
 * what the head says, and whether the payload is what was hashed when it was
 * not compressed.  What zstd gets to see has been checked before.  MARK and END
 * are compared with what was counted and digested on the way here.
 */
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "snapshot/stream_decoder.h"
#include "snapshot/stream_hash.h"

/* The extent that the record names, against those before it and the size. */
static int extent_check(struct stream_decoder *dec)
{
	const struct stream_header *h = &dec->header;
	uint64_t off = le64_get(dec->record.off_bytes);
	uint64_t len = le64_get(dec->record.len_bytes);

	if (len == 0)
		return REFUSE(dec, "refused", "is of an empty extent");
	if (off > h->size_bytes || len > h->size_bytes - off)
		return REFUSE(dec, "refused",
			      "reaches beyond the size of the volume: %ju "
			      "bytes at %ju of %ju", (uintmax_t)len,
			      (uintmax_t)off, (uintmax_t)h->size_bytes);
	if (off < dec->pos)
		return REFUSE(dec, "refused",
			      "is for offset %ju, but all below %ju has been "
			      "sent already", (uintmax_t)off,
			      (uintmax_t)dec->pos);
	if (off != dec->pos && h->base_kind == STREAM_BASE_NONE)
		return REFUSE(dec, "refused",
			      "leaves out what is from offset %ju to %ju, and "
			      "there is no base to have it",
			      (uintmax_t)dec->pos, (uintmax_t)off);
	return 0;
}

/* Is the payload, as it was before it was compressed, what was hashed? */
static int hash_check(struct stream_decoder *dec, const void *buf, size_t len)
{
	uint8_t hash[sizeof(dec->record.xxh3)];

	stream_hash(buf, len, hash);
	if (memcmp(hash, dec->record.xxh3, sizeof(hash)) != 0)
		return REFUSE(dec, "damaged",
			      "has a payload whose hash (XXH3) is wrong");
	return 0;
}

/* Uncompress the payload to data. */
static int data_unpack(struct stream_decoder *dec, size_t len, size_t bytes)
{
	le32 magic;

	if (crc32c(0, dec->payload, bytes) !=
	    le32_get(dec->record.packed_crc32c))
		return REFUSE(dec, "damaged",
			      "has a payload whose checksum is wrong");
	memcpy(&magic, dec->payload, sizeof(magic));
	/* One frame, not of a format that zstd had before 1.0, that says
	 * itself how much it holds. */
	if (bytes < sizeof(magic) || le32_get(magic) != ZSTD_MAGICNUMBER ||
	    ZSTD_getFrameContentSize(dec->payload, bytes) != len ||
	    ZSTD_findFrameCompressedSize(dec->payload, bytes) != bytes ||
	    ZSTD_decompressDCtx(dec->zstd, dec->data, len, dec->payload,
				bytes) != len)
		return REFUSE(dec, "refused",
			      "does not uncompress to the %zu bytes that it "
			      "names", len);
	return 0;
}

static int data_decode(struct stream_decoder *dec,
		       struct stream_event *ret_event)
{
	const struct stream_record *rec = &dec->record;
	uint16_t encoding = le16_get(rec->encoding);
	size_t   bytes = le32_get(rec->payload_bytes), len;
	uint8_t *data = dec->payload;
	int      r = extent_check(dec);

	if (r < 0)
		return r;
	if (le64_get(rec->len_bytes) > STREAM_DATA_MAX)
		return REFUSE(dec, "refused",
			      "has more than %u bytes of data",
			      STREAM_DATA_MAX);
	len = (size_t)le64_get(rec->len_bytes);
	if (encoding == STREAM_ZSTD && dec->header.compressed) {
		data = dec->data;
		r = data_unpack(dec, len, bytes);
	} else if (encoding != STREAM_RAW) {
		r = REFUSE(dec, "refused", "is encoded in an unknown way (%u)",
			   encoding);
	} else if (bytes != len || le32_get(rec->packed_crc32c) != 0) {
		r = REFUSE(dec, "refused", "has %zu bytes of data for %zu",
			   bytes, len);
	}
	if (r == 0)
		r = hash_check(dec, data, len);
	if (r < 0)
		return r;
	dec->count.data_bytes += len;
	dec->pos = le64_get(rec->off_bytes) + len;
	ret_event->kind = STREAM_DATA;
	ret_event->data = data;
	return 0;
}

/* What only DATA have must be zero. */
static int plain_check(struct stream_decoder *dec, size_t payload_bytes)
{
	const struct stream_record *rec = &dec->record;

	if (le16_get(rec->encoding) != 0 || le32_get(rec->packed_crc32c) != 0 ||
	    le32_get(rec->payload_bytes) != payload_bytes)
		return REFUSE(dec, "refused",
			      "has what is not of its type (%u)",
			      le16_get(rec->type));
	return hash_check(dec, dec->payload, payload_bytes);
}

static int zero_decode(struct stream_decoder *dec,
		       struct stream_event *ret_event)
{
	const struct stream_record *rec = &dec->record;
	int r = plain_check(dec, 0);

	if (r == 0)
		r = extent_check(dec);
	if (r < 0)
		return r;
	dec->count.zero_bytes += le64_get(rec->len_bytes);
	dec->pos = le64_get(rec->off_bytes) + le64_get(rec->len_bytes);
	ret_event->kind = STREAM_ZERO;
	return 0;
}

/* MARK and END: is what came what was sent? */
static int totals_check(struct stream_decoder *dec)
{
	struct sha256_ctx    sha = dec->sha; /* which goes on */
	struct stream_totals t;
	uint8_t digest[sizeof(t.sha256)];

	if (plain_check(dec, sizeof(t)) < 0)
		return -EBADMSG;
	memcpy(&t, dec->payload, sizeof(t));
	if (le64_get(dec->record.len_bytes) != 0)
		return REFUSE(dec, "refused", "has what is not of its type "
			      "(%u)", le16_get(dec->record.type));
	if (le64_get(t.records) != dec->count.records ||
	    le64_get(t.data_bytes) != dec->count.data_bytes ||
	    le64_get(t.zero_bytes) != dec->count.zero_bytes)
		return REFUSE(dec, "damaged",
			      "has totals that are not those of what came "
			      "before it");
	sha256_digest(&sha, sizeof(digest), digest);
	if (memcmp(digest, t.sha256, sizeof(digest)) != 0)
		return REFUSE(dec, "damaged",
			      "has a digest (SHA-256) that is not that of "
			      "what came before it");
	return 0;
}

static int mark_decode(struct stream_decoder *dec,
		       struct stream_event *ret_event)
{
	uint64_t off = le64_get(dec->record.off_bytes);

	if (totals_check(dec) < 0)
		return -EBADMSG;
	if (off <= dec->mark_off || off < dec->pos ||
	    off >= dec->header.size_bytes ||
	    (off != dec->pos && dec->header.base_kind == STREAM_BASE_NONE))
		return REFUSE(dec, "refused",
			      "is a mark where there cannot be one, at offset "
			      "%ju", (uintmax_t)off);
	dec->pos = dec->mark_off = off;
	ret_event->kind = STREAM_MARK;
	return 0;
}

static int end_decode(struct stream_decoder *dec,
		      struct stream_event *ret_event)
{
	if (totals_check(dec) < 0)
		return -EBADMSG;
	if (le64_get(dec->record.off_bytes) != dec->header.size_bytes ||
	    (dec->pos != dec->header.size_bytes &&
	     dec->header.base_kind == STREAM_BASE_NONE))
		return REFUSE(dec, "refused",
			      "ends the stream at offset %ju, before the end "
			      "of the volume at %ju", (uintmax_t)dec->pos,
			      (uintmax_t)dec->header.size_bytes);
	ret_event->kind = STREAM_END;
	return 0;
}

int stream_record_check(struct stream_decoder *dec)
{
	const struct stream_record *rec = &dec->record;
	uint32_t bytes = le32_get(rec->payload_bytes);

	if (stream_record_crc(rec, dec->head_crc) != le32_get(rec->crc32c))
		return REFUSE(dec, "damaged", "has a wrong checksum");
	if (le64_get(rec->seq) != dec->count.records + 1)
		return REFUSE(dec, "damaged",
			      "has number %ju: records are missing or out of "
			      "order", (uintmax_t)le64_get(rec->seq));
	if (bytes > STREAM_DATA_MAX)
		return REFUSE(dec, "refused",
			      "cannot have %u bytes of payload", bytes);
	return 0;
}

int stream_record_decode(struct stream_decoder *dec,
			 struct stream_event *ret_event)
{
	const struct stream_record *rec = &dec->record;
	uint16_t type = le16_get(rec->type);
	uint32_t bytes = le32_get(rec->payload_bytes);
	int      r;

	ret_event->off_bytes = le64_get(rec->off_bytes);
	ret_event->len_bytes = le64_get(rec->len_bytes);
	switch (type) {
	case STREAM_TYPE_DATA:
		r = data_decode(dec, ret_event);
		break;
	case STREAM_TYPE_ZERO:
		r = zero_decode(dec, ret_event);
		break;
	case STREAM_TYPE_MARK:
		r = mark_decode(dec, ret_event);
		break;
	case STREAM_TYPE_END:
		r = end_decode(dec, ret_event);
		break;
	default:
		r = REFUSE(dec, "refused", "is of an unknown type (%u)", type);
	}
	if (r < 0)
		return r;
	sha256_update(&dec->sha, sizeof(*rec), (const uint8_t *)rec);
	dec->count.records++;
	dec->count.stream_bytes += sizeof(*rec) + bytes;
	return 0;
}
