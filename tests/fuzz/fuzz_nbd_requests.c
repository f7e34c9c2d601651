/* tests/fuzz/fuzz_nbd_requests.c - a client that has negotiated, and then
 * sends anything.
 *
 * Input: two bytes of circumstances, then records.  A record is one byte that
 * says what it is, and what that needs: a request with chosen fields and as
 * much data as it should have, or less, or more; or bytes as they are.
 *
 * Checked, beside the sanitizers, the server's assertions and those of the
 * export in memory: in structured and extended mode what the server says is
 * whole chunks, as many final ones as there were requests at most, and every
 * error value is one that NBD has; at the end nothing is left behind.
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

static const char *const exports[] = { "mem", "ro", "big", "coarse" };

static uint8_t next_u8(struct rd *in)
{
	const uint8_t *p = rd_bytes(in, 1);

	return p != NULL ? *p : 0;
}

static uint64_t pick_off(struct rd *in)
{
	uint8_t v = next_u8(in);

	switch (v & 7) {
	case 0:
		return (uint64_t)(v >> 3) * 4096;
	case 1:
		return v;
	case 2:
		return MEM_BYTES - (v >> 3);
	case 3:
		return MEM_BIG_BYTES - (v >> 3) * 512u;
	case 4:
		return UINT64_MAX - (v >> 3);
	case 5:
		return rd_u64(in);
	default:
		return rd_u16(in);
	}
}

static uint64_t pick_len(struct rd *in)
{
	uint8_t v = next_u8(in);

	switch (v & 7) {
	case 0:
		return (uint64_t)(v >> 3) * 4096;
	case 1:
		return v >> 3;
	case 2:
		return (32u << 20) + (v >> 3) - 2;
	case 3:
		return 0xffffffff;
	case 4:
		return rd_u64(in);
	case 5:
		return 32768 + (v >> 3) - 10;
	default:
		return rd_u16(in);
	}
}

/* One request; returns how many there are in it. */
static unsigned put_request(struct raw *out, struct rd *in, int mode)
{
	uint8_t  t = next_u8(in);
	uint8_t  f = next_u8(in);
	uint64_t off = pick_off(in);
	uint64_t len = pick_len(in);
	uint16_t type = t & 0x80 ? rd_u16(in) : t & 7;
	uint16_t flags = f & 0x80 ? rd_u16(in) : f & 0x3f;
	bool     payload;

	if (mode == 2 && type == 1 && !(t & 0x40))
		flags |= 32;
	payload = mode == 2 ? flags & 32 : type == 1;
	raw_req(out, type, flags, t, off, len);
	if (payload && type == 7 && mode == 2) {
		raw_u64(out, pick_len(in));
		for (uint64_t i = 8; i + 4 <= len && i < 64; i += 4)
			raw_u32(out, next_u8(in) & 3);
	} else if (payload && len <= 70000) {
		raw_fill(out, f, len - (t & 0x20 && len > 0 ? 1 : 0));
	}
	return 1;
}

static unsigned put_records(struct raw *out, struct rd *in, int mode)
{
	unsigned n = 0;

	while (in->len > 0 && !in->bad && out->len < 300000) {
		uint8_t what = next_u8(in);

		if (what & 0x80) {
			size_t         k = what & 0x3f;
			const uint8_t *p = rd_bytes(in, k);

			if (p != NULL)
				raw_bytes(out, p, k);
			n += 3; /* 63 bytes may be two requests and a bit */
		} else {
			n += put_request(out, in, mode);
		}
	}
	return n;
}

static bool known_error(uint32_t e)
{
	return e == 0 || e == 1 || e == 5 || e == 12 || e == 22 || e == 28 ||
	       e == 75 || e == 95 || e == 108;
}

static void check_out(const struct wire *w, int mode, unsigned requests)
{
	struct rd       rd = { .p = w->out, .len = w->out_len };
	struct rd_reply r;
	unsigned        final = 0;

	CHECK(rd_connect(&rd, mode));
	if (mode == 0)
		return;
	while (rd.len > 0) {
		/* Cut off in the middle when the server gives up. */
		if (!rd_reply(&rd, mode, 0, &r)) {
			CHECK(rd.bad && w->nlog > 0);
			return;
		}
		CHECK(known_error(r.error));
		CHECK(r.simple || r.type <= 6 || r.type == 0x8001);
		final += r.flags & 1;
	}
	CHECK(final <= requests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { 0, 1, 7, 29, 100, 4099, 12288, 70000 };
	struct rd           rd = { .p = data, .len = size };
	struct wire         w = { .bufs_bytes = 4u << 20 };
	struct raw          in = { 0 };
	uint8_t             a = next_u8(&rd), b = next_u8(&rd);
	int                 mode = (a & 3) % 3;
	size_t              negotiated;
	unsigned            requests;

	memset(&ctl, 0, offsetof(struct mem_ctl, mapped));
	memset(ctl.mapped, 0, sizeof(ctl.mapped));
	for (unsigned i = 0; i < 64; i++)
		ctl.mapped[i] = b >> (i % 5) & 1;
	ctl.newest_first = a >> 2 & 1;
	ctl.fail = a & 0x40 ? -5 : 0;
	ctl.hold = a >> 7;
	w.hang = a & 0x20;
	raw_connect(&in, mode, exports[a >> 3 & 3]);
	negotiated = in.len;
	requests = put_records(&in, &rd, mode);
	w.in = in.p;
	w.in_len = in.len;
	w.in_max = negotiated;
	wire_open(&w, &ctl, NULL);
	wire_run(&w);
	w.in_max = SIZE_MAX;
	w.recv_max = pieces[b & 7];
	w.send_max = pieces[b >> 5];
	if (in.len > 20000 && w.recv_max == 1)
		w.recv_max = 29;
	if (w.send_max == 1)
		w.send_max = 11;
	wire_run(&w);
	ctl.hold = 0;
	wire_sleep(&w, NS_PER_S);
	if (!w.closed) /* it may wait for memory that it cannot get */
		wire_sleep(&w, 40 * NS_PER_S);
	check_out(&w, mode, requests);
	wire_close(&w);
	raw_free(&in);
	return 0;
}
