/* tests/fuzz/fuzz_nbd_negotiation.c - a client that sends anything, from the
 * first byte on.
 *
 * The first byte of the input says how many bytes arrive at once, the rest is
 * what the client sends to a whole connection.  Checked, beside the
 * sanitizers and the server's own assertions: what the server says is the
 * greeting, then whole replies to options, of bounded size, as many final
 * ones as there can be options; and at the end nothing is left behind.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/server/nbd_raw.h"
#include "tests/server/nbd_wire.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mem_ctl ctl;

/* Everything up to the transmission phase, which this target leaves alone. */
static void check_out(const struct wire *w)
{
	struct rd     rd = { .p = w->out, .len = w->out_len };
	struct rd_opt o;
	unsigned      final = 0;

	/* Who hangs up early does not get everything. */
	if (!rd_greeting(&rd)) {
		CHECK(rd.bad);
		return;
	}
	while (rd.len >= 20 && memcmp(rd.p, "\0\3\350\211\4UV\251", 8) == 0) {
		if (!rd_opt(&rd, &o)) {
			CHECK(rd.bad && rd.len <= 1024);
			return;
		}
		CHECK(o.len <= 1024);
		if (o.type == 1 || o.type >= 0x80000000u)
			final++;
		if (o.type == 1 && o.opt == 7)
			return;
	}
	CHECK(final <= 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire w = { 0 };

	if (size < 1 || size > 100000)
		return 0;
	memset(&ctl, 0, offsetof(struct mem_ctl, mapped));
	ctl.list_extra = data[0] & 0x80 ? 20 : 0;
	w.recv_max = data[0] & 0x3f;
	w.send_max = data[0] & 0x40 ? 13 : 0;
	w.bufs_bytes = 4u << 20;
	w.in = data + 1;
	w.in_len = size - 1;
	wire_open(&w, &ctl, NULL);
	wire_run(&w);
	check_out(&w);
	wire_sleep(&w, 11 * NS_PER_S);
	wire_close(&w);
	return 0;
}
