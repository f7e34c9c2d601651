#include "tests/lib/stream_kit.h"

#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "snapshot/stream_format.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

void stream_kit_header(uint64_t size_bytes, enum stream_base base,
		       struct stream_header *ret_header)
{
	struct stream_header h = {
		.base_kind = (uint8_t)base,
		.size_bytes = size_bytes,
		.created_s = 1767225600,
		.volume_name = "v",
		.target_name = "s",
	};

	memset(&h.volume, 0x11, sizeof(h.volume));
	memset(&h.target, 0x22, sizeof(h.target));
	if (base != STREAM_BASE_NONE) {
		memset(&h.base, 0x33, sizeof(h.base));
		h.base_bytes = size_bytes;
		memcpy(h.base_name, "b", 2);
	}
	*ret_header = h;
}

void stream_buf_add(struct stream_buf *b, const void *data, size_t len)
{
	if (b->cap - b->len < len) {
		b->cap = 2 * (b->cap + len);
		b->buf = realloc(b->buf, b->cap);
		CHECK(b->buf != NULL);
	}
	if (len > 0)
		memcpy(b->buf + b->len, data, len);
	b->len += len;
}

void stream_buf_out(struct stream_buf *b, const struct stream_out *out)
{
	stream_buf_add(b, out->piece[0].buf, out->piece[0].bytes);
	stream_buf_add(b, out->piece[1].buf, out->piece[1].bytes);
}

void stream_buf_free(struct stream_buf *b)
{
	free(b->buf);
	memset(b, 0, sizeof(*b));
}

/* --- taking it apart ----------------------------------------------------- */

static size_t head_bytes(const struct stream_buf *b)
{
	struct stream_head d;
	size_t bytes;

	if (b->len < sizeof(d))
		return b->len;
	memcpy(&d, b->buf, sizeof(d));
	bytes = le32_get(d.header_bytes);
	return bytes < sizeof(d) || bytes > b->len ? b->len : bytes;
}

/* The record at `at`; false: it is not whole. */
static bool record_at(const struct stream_buf *b, size_t at,
		      struct stream_record *ret_rec, size_t *ret_bytes)
{
	if (b->len - at < sizeof(*ret_rec))
		return false;
	memcpy(ret_rec, b->buf + at, sizeof(*ret_rec));
	*ret_bytes = sizeof(*ret_rec) + le32_get(ret_rec->payload_bytes);
	return *ret_bytes <= b->len - at;
}

size_t stream_kit_record(const struct stream_buf *b, unsigned n)
{
	struct stream_record rec;
	size_t at = head_bytes(b), bytes;

	for (; n > 1; n--) {
		if (!record_at(b, at, &rec, &bytes))
			return b->len;
		at += bytes;
	}
	return at;
}

/* --- forging ------------------------------------------------------------- */

struct forge {
	struct stream_totals totals;
	struct sha256_ctx    sha;
	uint32_t head_crc;
	uint64_t records, data, zero;
};

/* Of what zstd makes of the payload, where it makes anything. */
static void forge_hash(struct stream_record *rec, const uint8_t *payload,
		       size_t bytes)
{
	static uint8_t     data[STREAM_DATA_MAX];
	XXH128_canonical_t hash;
	size_t             len = 0;

	if (le16_get(rec->encoding) == STREAM_ZSTD) {
		len = ZSTD_decompress(data, sizeof(data), payload, bytes);
		if (ZSTD_isError(len))
			return;
		payload = data;
		bytes = len;
	}
	memset(rec->xxh3, 0, sizeof(rec->xxh3));
	if (bytes == 0)
		return;
	XXH128_canonicalFromHash(&hash, XXH3_128bits(payload, bytes));
	memcpy(rec->xxh3, &hash, sizeof(rec->xxh3));
}

static void forge_record(struct forge *f, uint8_t *at,
			 struct stream_record *rec, size_t bytes)
{
	struct sha256_ctx sha = f->sha;
	uint16_t type = le16_get(rec->type);
	size_t   payload = bytes - sizeof(*rec);
	le32     seed = le32_of(f->head_crc);
	uint32_t crc;

	if (le16_get(rec->encoding) == STREAM_ZSTD)
		rec->packed_crc32c =
			le32_of(crc32c(0, at + sizeof(*rec), payload));
	if ((type == STREAM_TYPE_MARK || type == STREAM_TYPE_END) &&
	    payload == sizeof(f->totals)) {
		f->totals.records = le64_of(f->records);
		f->totals.data_bytes = le64_of(f->data);
		f->totals.zero_bytes = le64_of(f->zero);
		sha256_digest(&sha, 32, f->totals.sha256);
		memcpy(at + sizeof(*rec), &f->totals, payload);
	}
	forge_hash(rec, at + sizeof(*rec), payload);
	rec->seq = le64_of(++f->records);
	crc = crc32c(0, &seed, sizeof(seed));
	crc = crc32c(crc, (uint8_t *)rec + 4, sizeof(*rec) - 4);
	rec->crc32c = le32_of(crc);
	memcpy(at, rec, sizeof(*rec));
	sha256_update(&f->sha, sizeof(*rec), at);
	if (type == STREAM_TYPE_DATA)
		f->data += le64_get(rec->len_bytes);
	if (type == STREAM_TYPE_ZERO)
		f->zero += le64_get(rec->len_bytes);
}

void stream_kit_forge(struct stream_buf *b)
{
	struct forge         f = { 0 };
	struct stream_record rec;
	struct stream_head   d;
	size_t at = head_bytes(b), bytes;

	if (at == b->len)
		return;
	memcpy(&d, b->buf, sizeof(d));
	f.head_crc = crc32c(0, b->buf + 12, at - 12);
	d.crc32c = le32_of(f.head_crc);
	memcpy(b->buf, &d, sizeof(d));
	sha256_init(&f.sha);
	sha256_update(&f.sha, at, b->buf);
	for (; record_at(b, at, &rec, &bytes); at += bytes)
		forge_record(&f, b->buf + at, &rec, bytes);
	/* The head of what is not whole. */
	if (b->len - at >= sizeof(rec))
		forge_record(&f, b->buf + at, &rec, b->len - at);
}

/* --- decoding ------------------------------------------------------------ */

static void sum_add(struct stream_taken *t, uint64_t v)
{
	t->sum = (t->sum ^ v) * 0x100000001b3ull;
	t->sum ^= t->sum >> 29;
}

static void extent_take(struct stream_taken *t, const struct stream_header *h,
			const struct stream_event *ev)
{
	CHECK(h != NULL && ev->len_bytes > 0);
	CHECK(ev->off_bytes >= t->end && ev->off_bytes >= h->start_bytes);
	CHECK(ev->off_bytes <= h->size_bytes &&
	      ev->len_bytes <= h->size_bytes - ev->off_bytes);
	CHECK(h->base_kind != STREAM_BASE_NONE || t->end == 0 ||
	      ev->off_bytes == t->end);
	t->end = ev->off_bytes + ev->len_bytes;
	t->extents++;
	if (ev->kind == STREAM_DATA) {
		CHECK(ev->len_bytes <= STREAM_DATA_MAX);
		sum_add(t, crc32c(0, ev->data, ev->len_bytes));
	}
	if (t->end > t->image_bytes)
		return;
	if (ev->kind == STREAM_DATA)
		memcpy(t->image + ev->off_bytes, ev->data, ev->len_bytes);
	else
		memset(t->image + ev->off_bytes, 0, ev->len_bytes);
}

static void event_take(struct stream_taken *t,
		       const struct stream_decoder *dec,
		       const struct stream_event *ev)
{
	const struct stream_header *h = stream_decoder_header(dec);

	CHECK(!t->ended);
	sum_add(t, ev->kind);
	sum_add(t, ev->off_bytes);
	sum_add(t, ev->len_bytes);
	switch (ev->kind) {
	case STREAM_DATA:
	case STREAM_ZERO:
		extent_take(t, h, ev);
		break;
	case STREAM_MARK:
		CHECK(h != NULL && ev->off_bytes >= t->end &&
		      ev->off_bytes < h->size_bytes);
		t->end = ev->off_bytes;
		t->marks++;
		break;
	case STREAM_END:
		t->ended = true;
		break;
	case STREAM_HEADER:
		CHECK(t->extents == 0 && h != NULL);
		break;
	case STREAM_MORE:
		CHECK(0);
	}
}

static void take_end(struct stream_taken *t, struct stream_decoder *dec,
		     int r)
{
	CHECK((r < 0) == (stream_decoder_error(dec)[0] != '\0'));
	CHECK(r < 0 || t->ended);
	if (r < 0) {
		/* It stays refused, whatever comes. */
		struct stream_event ev;
		size_t room;

		CHECK(stream_decoder_finish(dec) < 0);
		CHECK(stream_decoder_space(dec, &room) != NULL && room > 0);
		CHECK(stream_decoder_fill(dec, room, &ev) < 0);
	}
	stream_decoder_count(dec, &t->count);
	t->token_r = stream_decoder_token(dec, &t->token);
	memcpy(t->error, stream_decoder_error(dec), sizeof(t->error));
	stream_decoder_close(dec);
}

int stream_kit_take(const struct stream_buf *b, size_t step,
		    struct stream_taken *t)
{
	struct stream_decoder *dec;
	size_t at = 0;
	int    r = 0;

	CHECK(stream_decoder_open(&dec) == 0);
	while (r == 0 && at < b->len) {
		struct stream_event ev;
		size_t room;
		void  *p = stream_decoder_space(dec, &room);
		size_t n = min_u64(min_u64(room, step), b->len - at);

		CHECK(room > 0 && room <= STREAM_DATA_MAX);
		memcpy(p, b->buf + at, n);
		at += n;
		r = stream_decoder_fill(dec, n, &ev);
		if (r == 0 && ev.kind != STREAM_MORE)
			event_take(t, dec, &ev);
	}
	if (r == 0)
		r = stream_decoder_finish(dec);
	take_end(t, dec, r);
	return r;
}
