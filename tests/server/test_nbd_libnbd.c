/* tests/server/test_nbd_libnbd.c - the NBD server on real sockets, with libnbd
 * as its client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <libnbd.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/server/nbd_child.h"

#define MB (1u << 20)

static struct nbd_handle *client(const struct child *c)
{
	struct nbd_handle *h = nbd_create();

	assert_non_null(h);
	assert_int_equal(nbd_add_meta_context(h, "base:allocation"), 0);
	assert_int_equal(nbd_set_full_info(h, true), 0);
	if (nbd_connect_uri(h, c->uri) < 0)
		fail_msg("%s", nbd_get_error());
	return h;
}

static void ok(int r)
{
	if (r < 0)
		fail_msg("%s", nbd_get_error());
}

struct seen {
	unsigned n;
	uint32_t entries[64];
};

static int extent_fn(void *arg, const char *ctx, uint64_t off,
		     uint32_t *entries, size_t n, int *error)
{
	struct seen *s = arg;

	(void)off;
	(void)error;
	assert(strcmp(ctx, "base:allocation") == 0);
	for (size_t i = 0; i < n && s->n < 64; i++)
		s->entries[s->n++] = entries[i];
	return 0;
}

static void test_libnbd(void **state)
{
	struct child       c = { 0 };
	struct nbd_handle *h;
	struct seen        s = { 0 };
	static uint8_t     a[MB], b[MB];
	char              *name;

	(void)state;
	child_start(&c);
	h = client(&c);
	assert_int_equal(nbd_get_size(h), MEM_BYTES);
	assert_int_equal(nbd_can_multi_conn(h), 1);
	assert_int_equal(nbd_can_fast_zero(h), 1);
	assert_int_equal(nbd_can_df(h), 1);
	assert_int_equal(nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM), 32 * MB);
	name = nbd_get_canonical_export_name(h);
	assert_string_equal(name, "mem");
	free(name);
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 7 + i / 4096);
	ok(nbd_pwrite(h, a, sizeof(a), 12345, 0));
	ok(nbd_pread(h, b, sizeof(b), 12345, 0));
	assert_memory_equal(a, b, sizeof(a));
	ok(nbd_pread(h, b, 20000, 0, 0));
	for (unsigned i = 0; i < 12345; i++)
		assert_int_equal(b[i], 0);
	assert_memory_equal(b + 12345, a, 20000 - 12345);
	ok(nbd_pwrite(h, a, 4096, 8 * MB, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_flush(h, 0));
	ok(nbd_zero(h, 16384, 16384, LIBNBD_CMD_FLAG_FAST_ZERO));
	ok(nbd_zero(h, 4096, 65536, LIBNBD_CMD_FLAG_NO_HOLE));
	ok(nbd_trim(h, 4096, 8 * MB, 0));
	ok(nbd_cache(h, 40 * MB, 0, 0));
	ok(nbd_block_status(h, 40 * MB, 0,
			    (nbd_extent_callback){ .callback = extent_fn,
						   .user_data = &s },
			    0));
	assert_true(s.n >= 4);
	assert_int_equal(s.entries[1], 3);
	assert_int_equal(nbd_pread(h, b, 512, MEM_BYTES, 0), -1);
	ok(nbd_shutdown(h, 0));
	nbd_close(h);
	child_stop(&c, NULL);
}

/* Many requests in flight, from several connections at once. */
#define LANES 4
#define DEPTH 48

static void test_libnbd_deep(void **state)
{
	struct child        c = { 0 };
	struct nbd_handle  *h[LANES];
	struct child_report rep;
	static uint8_t      bufs[LANES][DEPTH][8192];
	struct prng         p;
	unsigned            rounds = 30;

	(void)state;
	child_start(&c);
	prng_init(&p, 5);
	for (unsigned l = 0; l < LANES; l++)
		h[l] = client(&c);
	for (unsigned round = 0; round < rounds; round++) {
		bool read = round % 2;

		for (unsigned l = 0; l < LANES; l++) {
			for (unsigned i = 0; i < DEPTH; i++) {
				uint64_t off = (l * DEPTH + i) * 8192ul + l;

				memset(bufs[l][i], (int)(l + i + round), 8192);
				if (read)
					ok((int)nbd_aio_pread(
						h[l], bufs[l][i], 8192, off,
						NBD_NULL_COMPLETION, 0));
				else
					ok((int)nbd_aio_pwrite(
						h[l], bufs[l][i], 8192, off,
						NBD_NULL_COMPLETION, 0));
			}
		}
		for (unsigned l = 0; l < LANES; l++) {
			while (nbd_aio_in_flight(h[l]) > 0) {
				int64_t k;

				ok(nbd_poll(h[l], 20000));
				while ((k = nbd_aio_peek_command_completed(
						h[l])) > 0)
					ok(nbd_aio_command_completed(
						h[l], (uint64_t)k));
			}
		}
		for (unsigned l = 0; read && l < LANES; l++) {
			for (unsigned i = 0; i < DEPTH; i++) {
				uint8_t want = (uint8_t)(l + i + round - 1);

				/* Edges are shared between connections. */
				assert_int_equal(bufs[l][i][100], want);
				assert_int_equal(bufs[l][i][8000], want);
			}
		}
	}
	for (unsigned l = 0; l < LANES; l++) {
		ok(nbd_shutdown(h[l], 0));
		nbd_close(h[l]);
	}
	child_stop(&c, &rep);
	assert_int_equal(rep.stats.requests, rounds * LANES * DEPTH);
	assert_int_equal(rep.stats.protocol_errors, 0);
	/* Many replies a send, many requests a receive. */
	assert_true(rep.stats.send_calls < rep.stats.requests / 2);
}

static int list_fn(void *arg, const char *name, const char *description)
{
	assert(name[0] != 0 && description != NULL);
	++*(unsigned *)arg;
	return 0;
}

static void test_libnbd_list(void **state)
{
	unsigned           n = 0;
	struct child       c = { 0 };
	struct nbd_handle *h = nbd_create();

	(void)state;
	child_start(&c);
	c.ctl->list_extra = 500;
	ok(nbd_set_opt_mode(h, true));
	ok(nbd_connect_uri(h, c.uri));
	assert_int_equal(nbd_opt_list(h, (nbd_list_callback){
						 .callback = list_fn,
						 .user_data = &n }),
			 504);
	assert_int_equal(n, 504);
	ok(nbd_set_export_name(h, "ro"));
	ok(nbd_opt_info(h));
	assert_int_equal(nbd_is_read_only(h), 1);
	ok(nbd_set_export_name(h, "nothing"));
	assert_int_equal(nbd_opt_info(h), -1);
	assert_int_equal(nbd_get_errno(), ENOENT);
	ok(nbd_set_export_name(h, "coarse"));
	ok(nbd_opt_go(h));
	assert_int_equal(nbd_can_flush(h), 0);
	nbd_close(h);
	child_stop(&c, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libnbd),
		cmocka_unit_test(test_libnbd_deep),
		cmocka_unit_test(test_libnbd_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
