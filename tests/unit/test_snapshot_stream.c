/* Streams: what goes in comes out, and nothing else ever does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/util.h"
#include "tests/lib/stream_kit.h"

#define IMAGE (4u << 20)

static uint8_t image[IMAGE], copy[IMAGE], data[STREAM_DATA_MAX];

/* Half of it compresses well. */
static void data_fill(struct prng *rnd, size_t len)
{
	bool dull = prng_u64(rnd) % 2 == 0;

	for (size_t i = 0; i < len; i++)
		data[i] = dull ? (uint8_t)(i / 100)
			       : (uint8_t)prng_u64(rnd);
}

/* A stream of random extents from `start`, with their effect on image. */
static void make(struct stream_buf *b, const struct stream_header *h,
		 int level, uint64_t seed, uint64_t len_max)
{
	struct stream_encoder *enc;
	struct stream_out out;
	struct prng rnd;
	uint64_t    off = h->start_bytes;

	prng_init(&rnd, seed);
	assert_int_equal(stream_encoder_open(h, level, &enc), 0);
	stream_encode_header(enc, &out);
	stream_buf_out(b, &out);
	while (off < h->size_bytes) {
		uint64_t len = 1 + prng_u64(&rnd) % len_max;
		uint64_t what = prng_u64(&rnd) % 8;

		len = min_u64(min_u64(len, STREAM_DATA_MAX),
			      h->size_bytes - off);
		if (what == 0 && h->base_kind != STREAM_BASE_NONE) {
			off += len;
			continue;
		}
		if (what == 1 && stream_encode_mark(enc, off, &out) == 0)
			stream_buf_out(b, &out);
		if (what < 4) {
			memset(image + off, 0, len);
			assert_int_equal(stream_encode_zero(enc, off, len,
							    &out), 0);
		} else {
			data_fill(&rnd, len);
			memcpy(image + off, data, len);
			assert_int_equal(stream_encode_data(enc, off, data,
							    len, &out), 0);
		}
		stream_buf_out(b, &out);
		off += len;
	}
	assert_int_equal(stream_encode_end(enc, &out), 0);
	stream_buf_out(b, &out);
	stream_encoder_close(enc);
}

static struct stream_taken take(const struct stream_buf *b, size_t step,
				int want)
{
	struct stream_taken t = { .image = copy, .image_bytes = IMAGE };
	int r = stream_kit_take(b, step, &t);

	if (r != want)
		print_message("%s\n", t.error);
	assert_int_equal(r, want);
	return t;
}

/* It is refused, with these words. */
static void refused(const struct stream_buf *b, const char *words)
{
	struct stream_taken t = take(b, SIZE_MAX, -EBADMSG);

	if (strstr(t.error, words) == NULL)
		fail_msg("not \"%s\" but: %s", words, t.error);
}

static void test_round_trips(void **state)
{
	static const size_t steps[] = { 1, 13, 4096, SIZE_MAX };

	(void)state;
	for (unsigned seed = 0; seed < 60; seed++) {
		enum stream_base base = seed % 3;
		int    level = seed % 2 == 0 ? 0 : 1 + (int)seed / 2 % 5;
		struct stream_header h;
		struct stream_buf    b = { 0 };
		struct stream_taken  t;
		uint64_t size = seed < 40 ? 512 * (1 + seed) : IMAGE;

		memset(image, 0xee, sizeof(image));
		memset(copy, 0xee, sizeof(copy));
		stream_kit_header(size, base, &h);
		make(&b, &h, level, seed,
		     seed < 40 ? 2000 : 2 * STREAM_DATA_MAX);
		t = take(&b, steps[seed < 40 ? seed % 4 : 3], 0);
		assert_memory_equal(image, copy, IMAGE);
		assert_int_equal(t.count.stream_bytes, b.len);
		if (base == STREAM_BASE_NONE)
			assert_int_equal(t.count.data_bytes +
						 t.count.zero_bytes, size);
		stream_buf_free(&b);
	}
}

/* What was given out before a stream was refused is what was sent. */
static void image_check(const struct stream_taken *t, uint64_t size)
{
	uint64_t end = min_u64(t->end, size);

	assert_memory_equal(image, copy, end);
	for (uint64_t i = end; i < size; i++)
		assert_int_equal(copy[i], 0xee);
}

static void test_every_bit(void **state)
{
	(void)state;
	for (int level = 0; level < 2; level++) {
		struct stream_header h;
		struct stream_buf    b = { 0 };

		stream_kit_header(2048, STREAM_BASE_NONE, &h);
		make(&b, &h, level, 5, 300);
		assert_true(take(&b, SIZE_MAX, 0).marks > 0);
		for (size_t i = 0; i < 8 * b.len; i++) {
			struct stream_taken t;

			memset(copy, 0xee, 4096);
			b.buf[i / 8] ^= (uint8_t)(1u << i % 8);
			t = take(&b, SIZE_MAX, -EBADMSG);
			b.buf[i / 8] ^= (uint8_t)(1u << i % 8);
			image_check(&t, 2048);
			assert_true(strstr(t.error, "byte ") != NULL ||
				    i < 8 * 28);
		}
		stream_buf_free(&b);
	}
}

static void test_every_length(void **state)
{
	struct stream_header h;
	struct stream_buf    b = { 0 };
	size_t whole;

	(void)state;
	stream_kit_header(2048, STREAM_BASE_NONE, &h);
	make(&b, &h, 1, 5, 300);
	whole = b.len;
	for (b.len = 0; b.len < whole; b.len++) {
		char words[60];

		memset(copy, 0xee, 4096);
		snprintf(words, sizeof(words), "cut off at byte %zu,", b.len);
		refused(&b, words);
	}
	stream_buf_add(&b, "", 1);
	snprintf((char *)data, 80, "at byte %zu: it has ended, but", whole);
	refused(&b, (char *)data);
	stream_buf_free(&b);
}

/* Records taken out, twice there, changed for another, or of another stream. */
static void test_order(void **state)
{
	struct stream_header h;
	struct stream_buf    b = { 0 }, other = { 0 };
	unsigned n = 0;

	(void)state;
	stream_kit_header(2048, STREAM_BASE_NONE, &h);
	make(&b, &h, 0, 5, 300);
	h.target.b[0]++;
	make(&other, &h, 0, 5, 300);
	assert_int_equal(b.len, other.len);
	while (stream_kit_record(&b, n + 1) < b.len)
		n++;
	assert_true(n > 8);
	for (unsigned i = 1; i <= n; i++) {
		size_t at = stream_kit_record(&b, i);
		size_t next = stream_kit_record(&b, i + 1);
		struct stream_buf c = { 0 };

		stream_buf_add(&c, b.buf, at);
		stream_buf_add(&c, b.buf + next, b.len - next);
		refused(&c, i < n ? "records are missing" : "cut off");
		c.len = at;
		stream_buf_add(&c, b.buf + at, next - at);
		stream_buf_add(&c, b.buf + at, b.len - at);
		refused(&c, i < n ? "records are missing" : "has ended");
		c.len = at;
		stream_buf_add(&c, other.buf + at, next - at);
		stream_buf_add(&c, b.buf + next, b.len - next);
		refused(&c, "wrong checksum");
		if (i < n) {
			size_t last = stream_kit_record(&b, i + 2);

			c.len = at;
			stream_buf_add(&c, b.buf + next, last - next);
			stream_buf_add(&c, b.buf + at, next - at);
			stream_buf_add(&c, b.buf + last, b.len - last);
			refused(&c, "records are missing");
		}
		stream_buf_free(&c);
	}
	stream_buf_free(&b);
	stream_buf_free(&other);
}

/* The parts of a broken stream, joined, are the whole. */
static void test_continued(void **state)
{
	struct stream_taken  t;
	struct stream_header h;
	struct stream_buf    b = { 0 }, rest = { 0 };
	struct stream_token  token;
	char text[STREAM_TOKEN_BYTES];

	(void)state;
	for (unsigned base = 0; base < 3; base++) {
		memset(image, 0xee, sizeof(image));
		memset(copy, 0xee, sizeof(copy));
		stream_kit_header(IMAGE, base, &h);
		make(&b, &h, 1, 3, 100000);
		b.len = b.len * 2 / 3;
		t = take(&b, SIZE_MAX, -EBADMSG);
		assert_true(t.marks > 0);
		assert_int_equal(t.token_r, 0);
		stream_token_text(&t.token, text);
		assert_int_equal(stream_token_parse(text, &token), 0);
		assert_false(stream_token_fits(&token, &h));
		h.start_bytes = token.off_bytes;
		assert_true(stream_token_fits(&token, &h));
		/* What came behind the mark comes again. */
		memset(image + token.off_bytes, 0xee, IMAGE - token.off_bytes);
		memset(copy + token.off_bytes, 0xee, IMAGE - token.off_bytes);
		make(&rest, &h, 0, 77, 100000);
		take(&rest, SIZE_MAX, 0);
		assert_memory_equal(image, copy, IMAGE);
		h.target.b[0]++;
		assert_false(stream_token_fits(&token, &h));
		stream_buf_free(&b);
		stream_buf_free(&rest);
	}
}

static void test_nothing_to_go_on_from(void **state)
{
	struct stream_taken  t;
	struct stream_header h;
	struct stream_buf    b = { 0 };

	(void)state;
	stream_kit_header(512, STREAM_BASE_NONE, &h);
	make(&b, &h, 0, 1, 512);
	t = take(&b, SIZE_MAX, 0);
	assert_int_equal(t.token_r, -ENODATA);
	stream_buf_free(&b);
}

static void test_tokens(void **state)
{
	struct stream_token t = { .off_bytes = 123456789 }, again;
	char text[STREAM_TOKEN_BYTES], bad[STREAM_TOKEN_BYTES + 1];

	(void)state;
	memset(&t.target, 0xab, sizeof(t.target));
	memset(&t.base, 0xcd, sizeof(t.base));
	t.base_kind = STREAM_BASE_CHECKPOINT;
	assert_string_equal(stream_token_text(&t, text),
			    "tarn1:abababab-abab-abab-abab-abababababab:"
			    "#cdcdcdcd-cdcd-cdcd-cdcd-cdcdcdcdcdcd:123456789:"
			    "12ce2f5b");
	assert_int_equal(stream_token_parse(text, &again), 0);
	for (size_t i = 0; i < strlen(text); i++) {
		for (char c = ' '; c < 127; c++) {
			snprintf(bad, sizeof(bad), "%s", text);
			bad[i] = c;
			assert_int_equal(stream_token_parse(bad, &again),
					 c == text[i] ? 0 : -EINVAL);
		}
		snprintf(bad, sizeof(bad), "%s", text);
		bad[i] = '\0';
		assert_int_equal(stream_token_parse(bad, &again), -EINVAL);
	}
	snprintf(bad, sizeof(bad), "%s0", text);
	assert_int_equal(stream_token_parse(bad, &again), -EINVAL);
}

/* What an encoder is told is checked, too. */
static void test_encoder_refuses(void **state)
{
	struct stream_encoder *enc;
	struct stream_header   h;
	struct stream_out      out;

	(void)state;
	stream_kit_header(4096, STREAM_BASE_NONE, &h);
	h.base_kind = STREAM_BASE_SNAPSHOT;
	assert_int_equal(stream_encoder_open(&h, 0, &enc), -EINVAL);
	h.base_kind = STREAM_BASE_NONE;
	assert_int_equal(stream_encoder_open(&h, 0, &enc), 0);
	stream_encode_header(enc, &out);
	assert_int_equal(stream_encode_zero(enc, 0, 0, &out), -EINVAL);
	assert_int_equal(stream_encode_zero(enc, 0, 4097, &out), -EINVAL);
	assert_int_equal(stream_encode_zero(enc, 1, 1, &out), -EINVAL);
	assert_int_equal(stream_encode_mark(enc, 0, &out), -EINVAL);
	assert_int_equal(stream_encode_zero(enc, 0, 4000, &out), 0);
	assert_int_equal(stream_encode_data(enc, 4000, data, 97, &out),
			 -EINVAL);
	assert_int_equal(stream_encode_data(enc, 3999, data, 1, &out),
			 -EINVAL);
	assert_int_equal(stream_encode_zero(enc, UINT64_MAX, 1, &out),
			 -EINVAL);
	assert_int_equal(stream_encode_mark(enc, 4001, &out), -EINVAL);
	assert_int_equal(stream_encode_end(enc, &out), -EINVAL);
	assert_int_equal(stream_encode_data(enc, 4000, data, 96, &out), 0);
	assert_int_equal(stream_encode_mark(enc, 4096, &out), -EINVAL);
	assert_int_equal(stream_encode_end(enc, &out), 0);
	stream_encoder_close(enc);
}

/* However long the stream: what was allocated at open, and no more. */
static void test_memory(void **state)
{
	struct stream_encoder *enc;
	struct stream_decoder *dec;
	struct stream_header   h;
	struct stream_out      out;
	struct stream_event    ev = { 0 };
	struct prng rnd;
	size_t      before = 0, n;

	(void)state;
	prng_init(&rnd, 9);
	stream_kit_header(96ull << 20, STREAM_BASE_NONE, &h);
	assert_int_equal(stream_encoder_open(&h, 1, &enc), 0);
	assert_int_equal(stream_decoder_open(&dec), 0);
	stream_encode_header(enc, &out);
	for (uint64_t off = 0; off <= h.size_bytes; off += STREAM_DATA_MAX) {
		for (size_t i = 0, done; i < 2; i++) {
			for (done = 0; done < out.piece[i].bytes; done += n) {
				void *p = stream_decoder_space(dec, &n);

				n = min_u64(n, out.piece[i].bytes - done);
				memcpy(p, (char *)out.piece[i].buf + done, n);
				assert_int_equal(
					stream_decoder_fill(dec, n, &ev), 0);
			}
		}
		if (off == 4 * STREAM_DATA_MAX)
			before = mallinfo2().uordblks + mallinfo2().hblkhd;
		if (off == h.size_bytes)
			break;
		data_fill(&rnd, STREAM_DATA_MAX);
		assert_int_equal(stream_encode_data(enc, off, data,
						    STREAM_DATA_MAX, &out), 0);
	}
	assert_int_equal(ev.kind, STREAM_DATA);
	assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, before);
	assert_true(before < 32u << 20);
	stream_encoder_close(enc);
	stream_decoder_close(dec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_continued),
		cmocka_unit_test(test_nothing_to_go_on_from),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_encoder_refuses),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
