/* Several streams read as one are what they are one after the other: random
 * volumes that grow and shrink, whole streams and increments.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/prng.h"
#include "base/util.h"
#include "tests/lib/stream_kit.h"
#include "tools/tarn/input.c"
#include "tools/tarn/output.c"
#include "tools/tarn/overlay.c"

#define SECTORS_MAX 200u
#define BYTES_MAX   (SECTORS_MAX * 512)
#define LAYERS_MAX  8

/* The volume as a stream leaves it. */
struct state {
	uint8_t  image[BYTES_MAX];
	uint64_t size_bytes;
};

static void number(struct uuid *u, unsigned n)
{
	memset(u, 0, sizeof(*u));
	memcpy(u->b, &n, sizeof(n));
}

static void header(unsigned layer, bool full, uint64_t size, uint64_t base,
		   struct stream_header *h)
{
	stream_kit_header(size, full ? STREAM_BASE_NONE : STREAM_BASE_SNAPSHOT,
			  h);
	number(&h->target, layer + 100);
	if (!full) {
		number(&h->base, layer + 99);
		h->base_bytes = base;
	}
}

static void encode(struct stream_encoder *enc, struct stream_buf *b,
		   uint64_t off, const uint8_t *data, uint64_t len)
{
	struct stream_out out;

	if (data != NULL)
		assert_int_equal(stream_encode_data(enc, off, data, len, &out),
				 0);
	else
		assert_int_equal(stream_encode_zero(enc, off, len, &out), 0);
	stream_buf_out(b, &out);
}

/* A next state, and the stream that leads to it. */
static void layer_make(struct prng *rng, unsigned layer, bool full,
		       struct state *s, struct stream_buf *b)
{
	struct stream_encoder *enc;
	struct stream_header   h;
	struct stream_out      out;
	uint64_t size = s->size_bytes, pos = 0;

	if (prng_below(rng, 3) == 0 || size == 0)
		size = 512 * (1 + prng_below(rng, SECTORS_MAX));
	if (size < s->size_bytes)
		memset(s->image + size, 0, s->size_bytes - size);
	header(layer, full, size, s->size_bytes, &h);
	assert_int_equal(stream_encoder_open(&h, (int)prng_below(rng, 2),
					     &enc), 0);
	stream_encode_header(enc, &out);
	stream_buf_out(b, &out);
	while (pos < size) {
		uint64_t len = min_u64(1 + prng_below(rng, 9000), size - pos);
		unsigned what = (unsigned)prng_below(rng, full ? 2 : 5);

		if (what == 0) {
			memset(s->image + pos, (int)prng_below(rng, 256), len);
			encode(enc, b, pos, s->image + pos, len);
		} else if (what == 1) {
			memset(s->image + pos, 0, len);
			encode(enc, b, pos, NULL, len);
		}
		pos += len;
	}
	s->size_bytes = size;
	assert_int_equal(stream_encode_end(enc, &out), 0);
	stream_buf_out(b, &out);
	stream_encoder_close(enc);
}

static void input_of(const struct stream_buf *b, struct input *in)
{
	memset(in, 0, sizeof(*in));
	in->fd = memfd_create("stream", 0);
	assert_true(in->fd >= 0);
	assert_int_equal(write(in->fd, b->buf, b->len), (ssize_t)b->len);
	assert_int_equal(lseek(in->fd, 0, SEEK_SET), 0);
	assert_int_equal(stream_decoder_open(&in->dec), 0);
}

/* What the overlay says, over what was there; -1: refused.  full: it must leave
 * nothing out. */
static int apply(struct overlay *o, bool full, uint8_t *image)
{
	struct overlay_extent x;
	uint64_t pos = 0;
	int      r;

	while ((r = overlay_next(o, &x)) > 0) {
		assert_true(x.len_bytes > 0 && x.off_bytes >= pos);
		assert_true(x.off_bytes + x.len_bytes <= o->size_bytes);
		assert_true(!full || x.off_bytes == pos);
		pos = x.off_bytes + x.len_bytes;
		if (x.data != NULL)
			memcpy(image + x.off_bytes, x.data, x.len_bytes);
		else
			memset(image + x.off_bytes, 0, x.len_bytes);
	}
	assert_true(r < 0 || !full || pos == o->size_bytes);
	return r;
}

/* Layers from..n-1 over the state before them. */
static int check(const struct stream_buf *bufs, unsigned from, unsigned n,
		 const struct state *before, const struct state *after)
{
	static const char *const names[LAYERS_MAX] = { "a", "b", "c", "d",
						       "e", "f", "g", "h" };
	static uint8_t image[BYTES_MAX];
	struct input   in[LAYERS_MAX];
	struct overlay o;
	int r;

	for (unsigned i = from; i < n; i++)
		input_of(&bufs[i], &in[i]);
	memset(image, from == 0 ? 0xee : 0, sizeof(image));
	if (from > 0)
		memcpy(image, before->image, before->size_bytes);
	r = overlay_open(&o, in + from, names, n - from);
	if (r == 0)
		r = apply(&o, from == 0, image);
	if (r == 0) {
		assert_int_equal(o.size_bytes, after->size_bytes);
		assert_memory_equal(image, after->image, after->size_bytes);
	} else {
		assert_true(o.error[0] != '\0');
	}
	overlay_close(&o);
	for (unsigned i = from; i < n; i++)
		input_close(&in[i]);
	return r;
}

static void test_random(void **unused)
{
	static struct state states[LAYERS_MAX + 1];
	struct prng rng;

	(void)unused;
	prng_init(&rng, 7);
	for (unsigned round = 0; round < 300; round++) {
		struct stream_buf bufs[LAYERS_MAX] = { { 0 } };
		unsigned n = 1 + (unsigned)prng_below(&rng, LAYERS_MAX);

		memset(states, 0, sizeof(states));
		for (unsigned i = 0; i < n; i++) {
			states[i + 1] = states[i];
			layer_make(&rng, i, i == 0, &states[i + 1], &bufs[i]);
		}
		for (unsigned from = 0; from < n; from++)
			assert_int_equal(check(bufs, from, n, &states[from],
					       &states[n]), 0);
		for (unsigned i = 0; i < n; i++)
			stream_buf_free(&bufs[i]);
	}
}

/* Damage anywhere in any of them is found, and one that does not fit. */
static void test_damage(void **unused)
{
	struct state s = { .size_bytes = 0 };
	struct stream_buf bufs[3] = { { 0 } };
	struct prng rng;

	(void)unused;
	prng_init(&rng, 8);
	for (unsigned i = 0; i < 3; i++)
		layer_make(&rng, i, i == 0, &s, &bufs[i]);
	assert_int_equal(check(bufs, 0, 3, NULL, &s), 0);
	for (unsigned i = 0; i < 300; i++) {
		struct stream_buf *b = &bufs[i % 3];
		size_t  at = prng_below(&rng, b->len), len = b->len;
		uint8_t bit = (uint8_t)(1 << prng_below(&rng, 8));

		b->buf[at] ^= bit;
		assert_int_equal(check(bufs, 0, 3, NULL, &s), -1);
		b->buf[at] ^= bit;
		b->len = at;
		assert_int_equal(check(bufs, 0, 3, NULL, &s), -1);
		b->len = len;
	}
	{
		struct stream_buf wrong[3] = { bufs[0], bufs[2], bufs[1] };

		assert_int_equal(check(wrong, 0, 2, NULL, &s), -1);
	}
	for (unsigned i = 0; i < 3; i++)
		stream_buf_free(&bufs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
