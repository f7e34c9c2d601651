/* Streams by a forger, who makes every checksum right: each is refused for what
 * it says, and nothing is given out beyond what was right before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/util.h"
#include "snapshot/stream_hash.h"
#include "tests/lib/stream_kit.h"

#define SIZE 4096u

static uint8_t image[SIZE], data[STREAM_DATA_MAX];

static void header_add(struct stream_buf *b, const struct stream_header *h,
		       int level)
{
	struct stream_encoder *enc;
	struct stream_out out;

	assert_int_equal(stream_encoder_open(h, level, &enc), 0);
	stream_encode_header(enc, &out);
	stream_buf_out(b, &out);
	stream_encoder_close(enc);
}

static void record_add(struct stream_buf *b, const struct stream_record *rec,
		       const void *payload, size_t bytes)
{
	struct stream_record r = *rec;

	r.payload_bytes = le32_of((uint32_t)bytes);
	stream_buf_add(b, &r, sizeof(r));
	stream_buf_add(b, payload, bytes);
}

/* DATA of `bytes` for an extent of len; ZERO when bytes is 0. */
static void extent_add(struct stream_buf *b, uint64_t off, uint64_t len,
		       size_t bytes)
{
	struct stream_record rec = {
		.type = le16_of(bytes > 0 ? STREAM_TYPE_DATA
					  : STREAM_TYPE_ZERO),
		.off_bytes = le64_of(off),
		.len_bytes = le64_of(len),
	};

	record_add(b, &rec, data, bytes);
}

static void totals_add(struct stream_buf *b, enum stream_type type,
		       uint64_t off)
{
	struct stream_totals t = { 0 };
	struct stream_record rec = {
		.type = le16_of(type),
		.off_bytes = le64_of(off),
	};

	record_add(b, &rec, &t, sizeof(t));
}

/* Forged, it is refused with these words; NULL: it is taken. */
static void judge(struct stream_buf *b, const char *words)
{
	struct stream_taken t = { .image = image, .image_bytes = SIZE };
	int r;

	stream_kit_forge(b);
	r = stream_kit_take(b, SIZE_MAX, &t);
	if (words == NULL && r != 0)
		fail_msg("refused: %s", t.error);
	if (words != NULL && (r == 0 || strstr(t.error, words) == NULL))
		fail_msg("not \"%s\" but: %s", words, t.error);
	stream_buf_free(b);
}

static void begin(struct stream_buf *b, enum stream_base base)
{
	struct stream_header h;

	stream_kit_header(SIZE, base, &h);
	header_add(b, &h, 0);
}

static void test_extents(void **state)
{
	static const struct {
		uint64_t    off, len;
		size_t      bytes;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{ 512, 100, 100, NULL },
		{ 512, 100, 0, NULL },
		{ 512, SIZE - 512, 0, NULL },
		{ 511, 100, 100, "is for offset 511, but all below 512" },
		{ 0, 1, 0, "all below 512 has been sent" },
		{ 512, 0, 0, "empty extent" },
		{ 512, 0, 1, "empty extent" },
		{ SIZE, 1, 1, "beyond the size" },
		{ SIZE, 1, 0, "beyond the size" },
		{ 512, SIZE - 511, 0, "beyond the size" },
		{ 512, UINT64_MAX, 0, "beyond the size" },
		{ UINT64_MAX, 1, 1, "beyond the size" },
		{ UINT64_MAX - 10, 100, 0, "beyond the size" },
		{ 1ull << 63, 1ull << 63, 0, "beyond the size" },
		{ 512, 100, 99, "has 99 bytes of data for 100" },
		{ 512, 100, 101, "has 101 bytes of data for 100" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stream_buf b = { 0 };

		begin(&b, STREAM_BASE_SNAPSHOT);
		extent_add(&b, 0, 512, 512);
		extent_add(&b, cases[i].off, cases[i].len, cases[i].bytes);
		totals_add(&b, STREAM_TYPE_END, SIZE);
		judge(&b, cases[i].words);
	}
}

static void test_gaps(void **state)
{
	struct stream_buf b = { 0 };

	(void)state;
	begin(&b, STREAM_BASE_NONE);
	extent_add(&b, 512, 512, 512);
	judge(&b, "leaves out what is from offset 0 to 512");
	begin(&b, STREAM_BASE_NONE);
	extent_add(&b, 0, 512, 512);
	totals_add(&b, STREAM_TYPE_END, SIZE);
	judge(&b, "ends the stream at offset 512, before the end");
	begin(&b, STREAM_BASE_NONE);
	extent_add(&b, 0, 512, 512);
	totals_add(&b, STREAM_TYPE_END, 512);
	judge(&b, "ends the stream at");
	begin(&b, STREAM_BASE_NONE);
	extent_add(&b, 0, 512, 0);
	totals_add(&b, STREAM_TYPE_MARK, 1024);
	judge(&b, "a mark where there cannot be one");
	/* With a base, what is left out is as it was. */
	begin(&b, STREAM_BASE_CHECKPOINT);
	totals_add(&b, STREAM_TYPE_END, SIZE);
	judge(&b, NULL);
}

static void test_marks(void **state)
{
	static const struct {
		uint64_t    first, second, then;
		const char *words;
	} cases[] = {
		{ 512, 1024, 1024, NULL },
		{ 512, 512, 1024, "a mark where there cannot be one" },
		{ 1024, 512, 1024, "a mark where there cannot be one" },
		{ 511, 1024, 1024, "a mark where there cannot be one" },
		{ 512, SIZE, SIZE, "a mark where there cannot be one" },
		{ 512, UINT64_MAX, 1024, "a mark where there cannot be one" },
		{ 512, 1024, 1023, "all below 1024 has been sent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stream_buf b = { 0 };

		begin(&b, STREAM_BASE_SNAPSHOT);
		extent_add(&b, 0, 512, 512);
		totals_add(&b, STREAM_TYPE_MARK, cases[i].first);
		totals_add(&b, STREAM_TYPE_MARK, cases[i].second);
		extent_add(&b, cases[i].then, 10, 0);
		totals_add(&b, STREAM_TYPE_END, SIZE);
		judge(&b, cases[i].words);
	}
}

static void test_records(void **state)
{
	struct stream_record rec = { .type = le16_of(99) };
	struct stream_totals t = { 0 };
	struct stream_buf    b = { 0 };

	(void)state;
	begin(&b, STREAM_BASE_SNAPSHOT);
	record_add(&b, &rec, data, 10);
	judge(&b, "unknown type (99)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.payload_bytes = le32_of(STREAM_DATA_MAX + 1);
	stream_buf_add(&b, &rec, sizeof(rec));
	judge(&b, "cannot have 1048577 bytes of payload");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.type = le16_of(STREAM_TYPE_ZERO);
	rec.len_bytes = le64_of(10);
	record_add(&b, &rec, data, 10);
	judge(&b, "has what is not of its type (2)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.encoding = le16_of(1);
	record_add(&b, &rec, data, 0);
	judge(&b, "has what is not of its type (2)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.encoding = le16_of(0);
	rec.type = le16_of(STREAM_TYPE_END);
	rec.off_bytes = le64_of(SIZE);
	record_add(&b, &rec, &t, sizeof(t));
	judge(&b, "has what is not of its type (4)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.len_bytes = le64_of(0);
	record_add(&b, &rec, &t, sizeof(t) - 1);
	judge(&b, "has what is not of its type (4)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.type = le16_of(STREAM_TYPE_DATA);
	rec.off_bytes = le64_of(0);
	rec.len_bytes = le64_of(10);
	rec.encoding = le16_of(7);
	record_add(&b, &rec, data, 10);
	judge(&b, "encoded in an unknown way (7)");
	begin(&b, STREAM_BASE_SNAPSHOT);
	rec.encoding = le16_of(STREAM_ZSTD);
	record_add(&b, &rec, data, 10);
	judge(&b, "encoded in an unknown way (1)");
}

/* A stream of one record of zeros, and END. */
static void whole_make(struct stream_buf *b, const struct stream_header *h,
		       int level)
{
	static const uint8_t  zeros[SIZE];
	struct stream_encoder *enc;
	struct stream_out out;

	assert_int_equal(stream_encoder_open(h, level, &enc), 0);
	stream_encode_header(enc, &out);
	stream_buf_out(b, &out);
	assert_int_equal(stream_encode_data(enc, 0, zeros, SIZE, &out), 0);
	stream_buf_out(b, &out);
	assert_int_equal(stream_encode_end(enc, &out), 0);
	stream_buf_out(b, &out);
	stream_encoder_close(enc);
}

/* The checksum of the head at `at` becomes right. */
static void head_seal(struct stream_buf *b, size_t at)
{
	struct stream_record rec;
	le32 seed;

	memcpy(&seed, b->buf + 8, sizeof(seed));
	memcpy(&rec, b->buf + at, sizeof(rec));
	rec.crc32c = le32_of(stream_record_crc(&rec, le32_get(seed)));
	memcpy(b->buf + at, &rec, sizeof(rec));
}

/* A head that is right in itself, whose payload is another: not forged. */
static void test_hashes(void **state)
{
	static const char *const words[] = { "XXH3", "XXH3", "checksum",
					     "XXH3" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
		struct stream_taken t = { .image = image,
					  .image_bytes = SIZE };
		struct stream_header h;
		struct stream_buf    b = { 0 };
		size_t at;

		stream_kit_header(SIZE, STREAM_BASE_NONE, &h);
		whole_make(&b, &h, i >= 2 ? 1 : 0);
		at = stream_kit_record(&b, 1);
		switch (i) {
		case 0: /* the data of another volume */
			b.buf[at + sizeof(struct stream_record)] ^= 1;
			break;
		case 1:
		case 3:
			b.buf[at + offsetof(struct stream_record, xxh3)] ^= 1;
			break;
		case 2:
			b.buf[at + offsetof(struct stream_record,
					    packed_crc32c)] ^= 1;
			break;
		}
		head_seal(&b, at);
		memset(image, 0xee, SIZE);
		assert_int_equal(stream_kit_take(&b, SIZE_MAX, &t), -EBADMSG);
		assert_non_null(strstr(t.error, words[i]));
		assert_int_equal(image[0], 0xee);
		stream_buf_free(&b);
	}
}

/* Totals and digest that are not those of what came: not forged. */
static void test_totals(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(struct stream_totals); i += 4) {
		struct stream_taken  t = { .image = image,
					   .image_bytes = SIZE };
		struct stream_record rec;
		struct stream_buf    b = { 0 };
		size_t at;

		begin(&b, STREAM_BASE_SNAPSHOT);
		extent_add(&b, 0, 512, 512);
		totals_add(&b, STREAM_TYPE_END, SIZE);
		stream_kit_forge(&b);
		at = stream_kit_record(&b, 2);
		b.buf[at + sizeof(rec) + i] ^= 1;
		/* The record's own checksums are right again. */
		stream_hash(b.buf + at + sizeof(rec),
			    sizeof(struct stream_totals),
			    b.buf + at + offsetof(struct stream_record, xxh3));
		head_seal(&b, at);
		assert_int_equal(stream_kit_take(&b, SIZE_MAX, &t), -EBADMSG);
		assert_non_null(strstr(t.error,
				       i < 24 ? "totals" : "SHA-256"));
		stream_buf_free(&b);
	}
}

/* --- compressed ---------------------------------------------------------- */

static void zstd_add(struct stream_buf *b, uint64_t len, const void *payload,
		     size_t bytes)
{
	struct stream_header h;
	struct stream_record rec = {
		.type = le16_of(STREAM_TYPE_DATA),
		.encoding = le16_of(STREAM_ZSTD),
		.len_bytes = le64_of(len),
	};

	stream_kit_header(64ull << 20, STREAM_BASE_SNAPSHOT, &h);
	header_add(b, &h, 1);
	record_add(b, &rec, payload, bytes);
	totals_add(b, STREAM_TYPE_END, h.size_bytes);
}

static void test_zstd(void **state)
{
	static uint8_t    zeros[32u << 20], packed[1u << 20];
	struct stream_buf b = { 0 };
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t     n;

	(void)state;
	n = ZSTD_compress(packed, sizeof(packed), zeros, 4096, 1);
	zstd_add(&b, 4096, packed, n);
	judge(&b, NULL);
	zstd_add(&b, 4095, packed, n);
	judge(&b, "does not uncompress to the 4095 bytes");
	zstd_add(&b, 4097, packed, n);
	judge(&b, "does not uncompress");
	zstd_add(&b, 4096, packed, n - 1);
	judge(&b, "does not uncompress");
	zstd_add(&b, 4096, packed, 3);
	judge(&b, "does not uncompress");
	/* Something behind the frame. */
	zstd_add(&b, 4096, packed, n + 1);
	judge(&b, "does not uncompress");
	memcpy(packed + n, packed, n);
	zstd_add(&b, 4096, packed, 2 * n);
	judge(&b, "does not uncompress");
	/* A bomb, whether or not it says so. */
	n = ZSTD_compress(packed, sizeof(packed), zeros, sizeof(zeros), 1);
	assert_true(n < 8192);
	zstd_add(&b, STREAM_DATA_MAX, packed, n);
	judge(&b, "does not uncompress");
	zstd_add(&b, sizeof(zeros), packed, n);
	judge(&b, "has more than 1048576 bytes of data");
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
	n = ZSTD_compress2(c, packed, sizeof(packed), zeros, sizeof(zeros));
	zstd_add(&b, STREAM_DATA_MAX, packed, n);
	judge(&b, "does not uncompress");
	/* A frame that lies about what it holds. */
	n = ZSTD_compress(packed, sizeof(packed), zeros, 70000, 1);
	assert_int_equal(ZSTD_getFrameContentSize(packed, n), 70000);
	packed[5]++;
	assert_int_not_equal(ZSTD_getFrameContentSize(packed, n), 70000);
	zstd_add(&b, ZSTD_getFrameContentSize(packed, n), packed, n);
	judge(&b, "does not uncompress");
	ZSTD_freeCCtx(c);
}

/* --- headers ------------------------------------------------------------- */

static void head_try(size_t off, const void *bytes, size_t n,
		     const char *words)
{
	struct stream_buf b = { 0 };

	begin(&b, STREAM_BASE_SNAPSHOT);
	memcpy(b.buf + off, bytes, n);
	totals_add(&b, STREAM_TYPE_END, SIZE);
	judge(&b, words);
}

#define HEAD_TRY(field, value, words)                                      \
	do {                                                               \
		typeof(((struct stream_head *)NULL)->field) v_ = value;    \
		head_try(offsetof(struct stream_head, field), &v_,         \
			 sizeof(v_), words);                               \
	} while (0)

static void test_headers(void **state)
{
	static const struct uuid zero;
	struct uuid target;

	(void)state;
	memset(&target, 0x22, sizeof(target));
	HEAD_TRY(magic[0], 'X', "this is no stream of a snapshot");
	HEAD_TRY(version, le32_of(2), "is of version 2");
	HEAD_TRY(version, le32_of(0), "is of version 0");
	HEAD_TRY(incompat, le32_of(2), "features that are not known");
	HEAD_TRY(compat, le32_of(2), NULL);
	HEAD_TRY(header_bytes, le32_of(119), "its header cannot have 119");
	HEAD_TRY(header_bytes, le32_of(4097), "its header cannot have 4097");
	HEAD_TRY(header_bytes, le32_of(0), "its header cannot have 0");
	HEAD_TRY(header_bytes, le32_of(UINT32_MAX), "its header cannot have");
	HEAD_TRY(header_bytes, le32_of(122), "names that make no sense");
	HEAD_TRY(base_kind, 3, "unknown kind");
	HEAD_TRY(base_kind, 0, "contradicts itself about its base");
	HEAD_TRY(base, zero, "contradicts itself about its base");
	HEAD_TRY(base, target, "names the snapshot itself");
	HEAD_TRY(target, zero, "lacks the identity");
	HEAD_TRY(volume, zero, "lacks the identity");
	HEAD_TRY(size_bytes, le64_of(0), "size that is not possible");
	HEAD_TRY(size_bytes, le64_of(511), "size that is not possible");
	HEAD_TRY(size_bytes, le64_of(UINT64_MAX), "size that is not possible");
	HEAD_TRY(size_bytes, le64_of(VOLUME_BYTES_MAX + 512),
		 "size that is not possible");
	HEAD_TRY(base_bytes, le64_of(1), "size of the base");
	HEAD_TRY(base_bytes, le64_of(UINT64_MAX), "size of the base");
	HEAD_TRY(created_s, le64_of(UINT64_MAX), "time that is not possible");
	HEAD_TRY(start_bytes, le64_of(SIZE), "starts behind the end");
	HEAD_TRY(start_bytes, le64_of(UINT64_MAX), "starts behind the end");
	HEAD_TRY(volume_len, le16_of(0), "longer than what it holds");
	HEAD_TRY(volume_len, le16_of(256), "names that make no sense");
	HEAD_TRY(target_len, le16_of(65535), "names that make no sense");
	HEAD_TRY(base_len, le16_of(2), "names that make no sense");
	head_try(120, "\0", 1, "names that make no sense");
	head_try(120, "@", 1, "name of the volume or snapshot");
	head_try(121, "\n", 1, "name of the volume or snapshot");
	head_try(121, "\xff", 1, "name of the volume or snapshot");
	head_try(122, "/", 1, "name of the base");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
