/* tests/server/test_disk_hostile.c - disk servers that break the protocol, or
 * keep to it in ways that few do: every time a clear reason, every request
 * ended, nothing of ours broken.
 *
 * What happens after the handshake is tried twice: with our own data path and
 * with that of libnbd, which is used with TLS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "disk_kit.h"
#include "fake_nbd.h"
#include "io/disk_nbd.h"

static char	       sock[128];
static char	       place[200];
static struct fake_nbd *fake;
static bool	       through_libnbd;

static const struct disk_params params = {
	.timeout_ns = 20 * NS_PER_S,
	.connect_timeout_ns = 20 * NS_PER_S,
	.lanes = 1,
};

/* For servers that never answer. */
static const struct disk_params impatient = {
	.timeout_ns = 150 * NS_PER_MS,
	.connect_timeout_ns = 150 * NS_PER_MS,
	.lanes = 1,
};

static const struct disk_params *patience(enum fake_fault fault)
{
	switch (fault) {
	case FAKE_SILENT:
	case FAKE_OLD_STYLE:
	case FAKE_SILENT_OPTION:
	case FAKE_ENDLESS_INFO:
	case FAKE_NO_ANSWER:
	case FAKE_HALF_ANSWER:
	case FAKE_TRICKLE:
	case FAKE_DEAF:
		return &impatient;
	default:
		return &params;
	}
}

static int setup(void **state)
{
	(void)state;
	snprintf(sock, sizeof(sock), "%s/fake", kit_dir());
	snprintf(place, sizeof(place), "nbd+unix:///?socket=%s", sock);
	fake = fake_start(sock);
	through_libnbd = false;
	return 0;
}

static int setup_libnbd(void **state)
{
	setup(state);
	through_libnbd = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_stop(fake);
	return 0;
}

static void set(enum fake_fault fault)
{
	struct fake_config config = fake_default(fault);

	fake_set(fake, &config);
}

static void set_error(uint32_t error)
{
	struct fake_config config = fake_default(FAKE_ERROR);

	config.error = error;
	fake_set(fake, &config);
}

/* Open the disk and wait until it is up. */
static void open_up(struct rig *r, const struct disk_params *p)
{
	rig_open(r, place, p);
	nbd_disk_of(r->disk)->through_libnbd = through_libnbd;
	rig_wait_ups(r, 1);
}

static void test_good(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(8192);

	(void)state;
	open_up(&r, &params);
	assert_int_equal(r.disk->size_bytes, 1 << 20);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 8192, buf), 0);
	assert_int_equal((unsigned char)buf[8191], 0xfa);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 8192, buf), 0);
	assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(rig_do(&r, DISK_TRIM, 0, 4096, NULL), 0);
	rig_close(&r);
	free(buf);
}

static void expect_down(const struct disk_params *p)
{
	struct rig r;

	rig_open(&r, place, p);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.ups, 0);
	print_message("%s\n", strchr(r.disk->error_text, ' '));
	rig_close(&r);
}

static void test_negotiation(void **state)
{
	static const enum fake_fault faults[] = {
		FAKE_SILENT,	    FAKE_BAD_MAGIC,	FAKE_OLD_STYLE,
		FAKE_SILENT_OPTION, FAKE_BAD_REPLY_MAGIC,
		FAKE_WRONG_OPTION,  FAKE_HUGE_REPLY,	FAKE_ENDLESS_INFO,
		FAKE_UNKNOWN_ERROR, FAKE_LONG_ERROR,	FAKE_NO_INFO,
		FAKE_SHORT_INFO,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		print_message("fault %u:", faults[i]);
		set(faults[i]);
		expect_down(patience(faults[i]));
	}
}

static void test_sizes(void **state)
{
	static const uint64_t sizes[] = {
		0, 1, 511, 4095, DISK_BYTES_MAX + 1, INT64_MAX,
		(uint64_t)INT64_MAX + 1, UINT64_MAX - 4095, UINT64_MAX,
	};
	struct fake_config config = fake_default(FAKE_GOOD);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		config.size_bytes = sizes[i];
		fake_set(fake, &config);
		expect_down(&params);
	}
}

static void test_block_sizes(void **state)
{
	static const struct {
		uint32_t min;
		uint32_t preferred;
		uint32_t max;
		bool	 ok;
	} cases[] = {
		{ 1, 4096, 65536, true },
		{ 512, 512, 4096, true },
		{ 4096, 4096, UINT32_MAX, true },
		{ 8192, 8192, 8192, false },
		{ 1, 512, 2048, false },
	};
	/* libnbd takes sizes that make no sense as not having been said. */
	static const uint32_t odd[][3] = {
		{ 0, 0, 0 },	     { 3, 4096, 65536 },
		{ 4096, 512, 1 },    { 1u << 31, 1u << 31, 1u << 31 },
		{ 1, 1, 1 },	     { UINT32_MAX, UINT32_MAX, UINT32_MAX },
	};
	struct fake_config config = fake_default(FAKE_GOOD);
	struct rig	   r;
	char		  *buf = rig_buf(65536 * 2);

	(void)state;
	config.block_sizes = true;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		config.block_min = cases[i].min;
		config.block_preferred = cases[i].preferred;
		config.block_max = cases[i].max;
		fake_set(fake, &config);
		if (!cases[i].ok) {
			expect_down(&params);
			continue;
		}
		open_up(&r, &params);
		assert_int_equal(rig_do(&r, DISK_READ, 0, 65536 * 2, buf), 0);
		rig_close(&r);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		config.block_min = odd[i][0];
		config.block_preferred = odd[i][1];
		config.block_max = odd[i][2];
		fake_set(fake, &config);
		rig_open(&r, place, &params);
		nbd_disk_of(r.disk)->through_libnbd = through_libnbd;
		while (r.ups + r.downs == 0)
			rig_turn(&r);
		if (r.disk->up)
			assert_int_equal(
				rig_do(&r, DISK_READ, 0, 65536 * 2, buf), 0);
		rig_close(&r);
	}
	free(buf);
}

/* The connection ends after each byte of what a good server sends. */
static void test_cut_everywhere(void **state)
{
	struct fake_config config = fake_default(FAKE_GOOD);
	struct rig	   r;
	char		  *buf = rig_buf(4096);
	size_t		   total;
	unsigned	   ups = 0;

	(void)state;
	fake_set(fake, &config);
	open_up(&r, &params);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	rig_close(&r);
	total = fake_sent_bytes(fake);
	assert_true(total > 4096 + 16 && total < 4096 + 1024);
	/* Of the data only the ends. */
	for (size_t cut = 1; cut < total; cut++) {
		if (cut > total - 4000 && cut < total - 10)
			continue;
		config.cut_bytes = cut;
		fake_set(fake, &config);
		rig_open(&r, place, &params);
		nbd_disk_of(r.disk)->through_libnbd = through_libnbd;
		while (r.ups + r.downs == 0)
			rig_turn(&r);
		if (r.ups > 0) {
			assert_true(rig_do(&r, DISK_READ, 0, 4096, buf) < 0);
			rig_wait_downs(&r, 1);
			ups++;
		}
		rig_close(&r);
	}
	assert_true(ups >= 16 + 90);
	free(buf);
}

static void test_replies(void **state)
{
	static const enum fake_fault faults[] = {
		FAKE_WRONG_COOKIE, FAKE_WRONG_MAGIC, FAKE_STRUCTURED,
		FAKE_NO_ANSWER,	   FAKE_HALF_ANSWER, FAKE_CUT_ANSWER,
	};
	struct rig     r;
	struct rig_req q[20];
	char	      *buf = rig_buf(ARRAY_LEN(q) * 4096);

	(void)state;
	memset(q, 0, sizeof(q));
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		set(faults[i]);
		open_up(&r, patience(faults[i]));
		for (unsigned j = 0; j < ARRAY_LEN(q); j++)
			rig_submit(&r, &q[j], DISK_READ, j * 4096, 4096,
				   buf + j * 4096);
		rig_wait_downs(&r, 1);
		for (unsigned j = 0; j < ARRAY_LEN(q); j++)
			assert_true(rig_wait(&r, &q[j]) < 0);
		/* Buffers are nobody's now: later bytes must not show. */
		memset(buf, 0x11, ARRAY_LEN(q) * 4096);
		rig_turn(&r);
		for (unsigned j = 0; j < ARRAY_LEN(q) * 4096; j++)
			assert_int_equal(buf[j], 0x11);
		rig_close(&r);
	}
	free(buf);
}

/* Some of the requests may end well before the server is found out. */
static void test_too_much(void **state)
{
	static const enum fake_fault faults[] = {
		FAKE_TWICE, FAKE_UNASKED, FAKE_STALE, FAKE_OTHER_USE,
	};
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		/* libnbd numbers its requests from 1: there is no telling. */
		if (through_libnbd && faults[i] == FAKE_STALE)
			continue;
		set(faults[i]);
		open_up(&r, &params);
		if (faults[i] != FAKE_UNASKED)
			rig_do(&r, DISK_READ, 0, 4096, buf);
		if (faults[i] == FAKE_STALE)
			assert_true(rig_do(&r, DISK_READ, 0, 4096, buf) < 0);
		rig_wait_downs(&r, 1);
		print_message("%s\n", strchr(r.disk->error_text, ' '));
		rig_close(&r);
	}
	free(buf);
}

static void test_error_values(void **state)
{
	static const struct {
		uint32_t error;
		int	 res;
	} cases[] = {
		{ 1, -EPERM },	     { 5, -EIO },	  { 12, -ENOMEM },
		{ 22, -EINVAL },     { 28, -ENOSPC },	  { 75, -EOVERFLOW },
		{ 95, -EOPNOTSUPP }, { 108, -ESHUTDOWN }, { 2, -EIO },
		{ 111, -EIO },	     { 1u << 31, -EIO },  { UINT32_MAX, -EIO },
	};
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int res = cases[i].res;

		/* What libnbd makes of numbers that NBD does not have. */
		if (through_libnbd && res == -EIO && cases[i].error != 5)
			res = -EINVAL;
		set_error(cases[i].error);
		open_up(&r, &params);
		assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), res);
		assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), res);
		assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), res);
		/* Trim is a hint. */
		if (res == -EOPNOTSUPP)
			res = 0;
		assert_int_equal(rig_do(&r, DISK_TRIM, 0, 4096, NULL), res);
		assert_int_equal(r.disk->can_trim,
				 cases[i].res != -EOPNOTSUPP);
		assert_true(r.disk->up);
		rig_close(&r);
	}
	free(buf);
}

/* --- odd, but within the rules ------------------------------------------- */

#define KINDS 4u /* of requests, in turn: read, write, flush, trim */

struct load {
	struct rig_req *q;
	unsigned	n;
	uint32_t	len; /* of reads and writes */
	char	       *buf;
};

static void submit_load(struct rig *r, struct load *l, unsigned n,
			uint32_t len)
{
	static const enum disk_op ops[KINDS] = { DISK_READ, DISK_WRITE,
						 DISK_FLUSH, DISK_TRIM };

	l->q = calloc(n, sizeof(*l->q));
	l->n = n;
	l->len = len;
	l->buf = rig_buf(n * len);
	for (unsigned i = 0; i < n; i++) {
		enum disk_op op = ops[i % KINDS];

		rig_submit(r, &l->q[i], op, 0, op == DISK_FLUSH ? 0 : len,
			   l->buf + i * len);
	}
}

static void free_load(struct load *l)
{
	free(l->q);
	free(l->buf);
}

/* All of it ends well, and reads have read what the server has. */
static void end_load(struct rig *r, struct load *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		assert_int_equal(rig_wait(r, &l->q[i]), 0);
		if (i % KINDS != 0)
			continue;
		for (uint32_t j = 0; j < l->len; j++)
			assert_int_equal((uint8_t)l->buf[i * l->len + j],
					 0xfa);
	}
	free_load(l);
}

/* All of it ends, and is nobody's after that: the memory may go. */
static void lose_load(struct rig *r, struct load *l)
{
	for (unsigned i = 0; i < l->n; i++)
		rig_wait(r, &l->q[i]);
	free_load(l);
	rig_turn(r);
}

static void test_byte_by_byte(void **state)
{
	struct rig  r;
	struct load l;

	(void)state;
	set(FAKE_BYTES);
	open_up(&r, &params);
	submit_load(&r, &l, 12, 8192);
	end_load(&r, &l);
	rig_close(&r);
}

/* What the server sends comes in two parts, divided anywhere. */
static void test_split_everywhere(void **state)
{
	struct fake_config config = fake_default(FAKE_GOOD);
	struct rig	   r;
	struct load	   l;
	size_t		   total;

	(void)state;
	fake_set(fake, &config);
	open_up(&r, &params);
	rig_close(&r);
	total = fake_sent_bytes(fake);
	for (size_t split = 1; split <= 2 * 16 + 4096 + 8; split++) {
		if (split > 16 + 8 && split < 16 + 4096 - 8)
			continue;
		config.split_bytes = total + split;
		config.crowd = 5; /* read, trim, flush, write, read */
		fake_set(fake, &config);
		open_up(&r, &params);
		submit_load(&r, &l, 5, 4096);
		end_load(&r, &l);
		rig_close(&r);
	}
}

/* Many at once, the last one first; and more than a connection asks for. */
static void test_crowds(void **state)
{
	static const struct {
		unsigned crowd;
		unsigned requests;
		uint32_t len;
	} cases[] = {
		{ 1, 2000, 4096 },    { 3, 300, 4096 },  { 128, 1280, 4096 },
		{ 512, 1024, 4096 },  { 4, 64, 65536 },  { 7, 70, 36864 },
		{ 2, 12, 1u << 20 },
	};
	struct fake_config config = fake_default(FAKE_GOOD);
	struct rig	   r;
	struct load	   l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		config.crowd = cases[i].crowd;
		fake_set(fake, &config);
		open_up(&r, &params);
		submit_load(&r, &l, cases[i].requests, cases[i].len);
		end_load(&r, &l);
		rig_close(&r);
	}
}

/* A write is answered before its data has been read, or although it never is:
 * then its buffer is in use until the connection breaks. */
static void test_early(void **state)
{
	struct rig  r;
	struct load l;

	(void)state;
	set(FAKE_EARLY);
	open_up(&r, &params);
	submit_load(&r, &l, 40, 4096);
	end_load(&r, &l);
	submit_load(&r, &l, 40, 1u << 20);
	end_load(&r, &l);
	rig_close(&r);

	set(FAKE_DEAF);
	open_up(&r, patience(FAKE_DEAF));
	submit_load(&r, &l, 40, 1u << 20);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -ETIMEDOUT);
	lose_load(&r, &l);
	rig_close(&r);
}

/* A write that no socket holds, answered when its first bytes have come: that
 * is not its end. */
static void test_early_and_deaf(void **state)
{
	struct fake_config config = fake_default(FAKE_DEAF);
	uint32_t	   len = 24u << 20;
	char		  *buf = rig_buf(len);
	struct rig	   r;

	(void)state;
	config.size_bytes = len;
	fake_set(fake, &config);
	open_up(&r, patience(FAKE_DEAF));
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, len, buf), -ETIMEDOUT);
	rig_close(&r);

	config.fault = FAKE_EARLY_TWICE;
	fake_set(fake, &config);
	open_up(&r, &params);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, len, buf), -ENOTCONN);
	assert_non_null(strstr(r.disk->error_text, "two replies"));
	free(buf);
	rig_turn(&r);
	rig_close(&r);
}

static void test_trickle(void **state)
{
	struct rig  r;
	struct load l;

	(void)state;
	set(FAKE_TRICKLE);
	open_up(&r, patience(FAKE_TRICKLE));
	submit_load(&r, &l, 8, 65536);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -ETIMEDOUT);
	lose_load(&r, &l);
	rig_close(&r);
}

static void test_garbage(void **state)
{
	struct fake_config config = fake_default(FAKE_GARBAGE);
	struct rig	   r;
	struct load	   l;

	(void)state;
	for (config.seed = 0; config.seed < 16; config.seed++) {
		fake_set(fake, &config);
		open_up(&r, &impatient);
		submit_load(&r, &l, 9, 4096);
		rig_wait_downs(&r, 1);
		lose_load(&r, &l);
		rig_close(&r);
	}
}

/* The disk is closed while requests wait for a server that is slow, deaf or
 * mute; and by the end of a request, with others behind it. */
static void close_it(struct rig_req *q)
{
	struct rig *r = q->rig;

	if (!r->closing)
		rig_begin_close(r);
}

static void test_close_busy(void **state)
{
	static const enum fake_fault faults[] = {
		FAKE_GOOD, FAKE_NO_ANSWER, FAKE_HALF_ANSWER, FAKE_DEAF,
		FAKE_BYTES,
	};
	struct fake_config config = fake_default(FAKE_GOOD);
	struct rig	   r;
	struct load	   l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		set(faults[i]);
		open_up(&r, &params);
		submit_load(&r, &l, 40, 1u << 20);
		rig_turn(&r);
		rig_begin_close(&r);
		lose_load(&r, &l);
		rig_close(&r);
	}
	config.crowd = 40;
	fake_set(fake, &config);
	open_up(&r, &params);
	submit_load(&r, &l, 40, 4096);
	for (unsigned i = 0; i < l.n; i++)
		l.q[i].then = close_it;
	lose_load(&r, &l);
	rig_close(&r);
}

/* A server that turns bad and good again: the disk follows. */
static void test_recovers(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	set(FAKE_CUT_ANSWER);
	open_up(&r, &params);
	assert_true(rig_do(&r, DISK_READ, 0, 4096, buf) < 0);
	rig_wait_downs(&r, 1);
	set(FAKE_GOOD);
	rig_wait_ups(&r, 2);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	rig_close(&r);
	free(buf);
}

/* An argument names the one test to run. */
int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define BOTH(f)                                                      \
	T(f), {                                                      \
		#f "_through_libnbd", f, setup_libnbd, teardown, NULL \
	}
	const struct CMUnitTest tests[] = {
		BOTH(test_good),
		T(test_negotiation),
		T(test_sizes),
		BOTH(test_block_sizes),
		BOTH(test_cut_everywhere),
		BOTH(test_replies),
		BOTH(test_too_much),
		BOTH(test_error_values),
		BOTH(test_byte_by_byte),
		BOTH(test_split_everywhere),
		BOTH(test_crowds),
		BOTH(test_early),
		T(test_early_and_deaf),
		BOTH(test_trickle),
		BOTH(test_garbage),
		BOTH(test_close_busy),
		BOTH(test_recovers),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
