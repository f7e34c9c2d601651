/* tests/fuzz/fuzz_stream.c - streams of snapshots, from whoever.
 *
 * Input: a byte of circumstances (bit 0: a forger has made all checksums,
 * numbers, totals and digests right; bits 1-3: in pieces of which size), then
 * the stream.  The kit aborts when an extent is out of order or out of bounds;
 * here the pieces must make no difference, and a token must be read back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/stream_kit.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define IMAGE_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void token_try(const struct stream_token *t)
{
	char text[STREAM_TOKEN_BYTES], text2[STREAM_TOKEN_BYTES];
	struct stream_token again;

	stream_token_text(t, text);
	CHECK(stream_token_parse(text, &again) == 0);
	CHECK(strcmp(stream_token_text(&again, text2), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[8] = { 1, 2, 3, 7, 40, 41, 120, 4096 };
	static uint8_t image[2][IMAGE_BYTES];
	struct stream_taken a = { .image = image[0],
				  .image_bytes = IMAGE_BYTES };
	struct stream_taken b = { .image = image[1],
				  .image_bytes = IMAGE_BYTES };
	struct stream_buf buf = { 0 };
	char  *text;
	int    r, s;

	if (size < 1)
		return 0;
	stream_buf_add(&buf, data + 1, size - 1);
	if ((data[0] & 1) != 0)
		stream_kit_forge(&buf);
	memset(image, 0xee, sizeof(image));
	r = stream_kit_take(&buf, SIZE_MAX, &a);
	s = stream_kit_take(&buf, steps[data[0] >> 1 & 7], &b);
	CHECK(r == s && a.sum == b.sum && a.end == b.end);
	CHECK(memcmp(image[0], image[1], IMAGE_BYTES) == 0);
	CHECK(strcmp(a.error, b.error) == 0);
	if (a.token_r == 0)
		token_try(&a.token);
	stream_buf_free(&buf);

	/* The same bytes as a token. */
	text = calloc(1, size);
	CHECK(text != NULL);
	memcpy(text, data + 1, size - 1);
	if (stream_token_parse(text, &a.token) == 0)
		token_try(&a.token);
	free(text);
	return 0;
}
