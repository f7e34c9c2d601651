/* tests/server/test_disk_hostile.c - disk servers that break the protocol:
 * every time a clear reason, every request ended, nothing of ours broken.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "disk_kit.h"
#include "fake_nbd.h"

static char	       sock[128];
static char	       place[200];
static struct fake_nbd *fake;

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

static void test_good(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(8192);

	(void)state;
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
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
		rig_open(&r, place, &params);
		rig_wait_ups(&r, 1);
		assert_int_equal(rig_do(&r, DISK_READ, 0, 65536 * 2, buf), 0);
		rig_close(&r);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		config.block_min = odd[i][0];
		config.block_preferred = odd[i][1];
		config.block_max = odd[i][2];
		fake_set(fake, &config);
		rig_open(&r, place, &params);
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
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
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
		rig_open(&r, place, patience(faults[i]));
		rig_wait_ups(&r, 1);
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
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	set(FAKE_TWICE);
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	rig_do(&r, DISK_READ, 0, 4096, buf);
	rig_wait_downs(&r, 1);
	rig_close(&r);

	set(FAKE_UNASKED);
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	rig_wait_downs(&r, 1);
	rig_close(&r);
	free(buf);
}

static void test_error_values(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	set(FAKE_ODD_ERROR);
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), -EIO);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), -EIO);
	assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), -EIO);
	assert_true(r.disk->up);
	rig_close(&r);

	set(FAKE_SHUTDOWN);
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), -ESHUTDOWN);
	rig_close(&r);
	free(buf);
}

/* A server that turns bad and good again: the disk follows. */
static void test_recovers(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(4096);

	(void)state;
	set(FAKE_CUT_ANSWER);
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	assert_true(rig_do(&r, DISK_READ, 0, 4096, buf) < 0);
	rig_wait_downs(&r, 1);
	set(FAKE_GOOD);
	rig_wait_ups(&r, 2);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	rig_close(&r);
	free(buf);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),		T(test_negotiation),
		T(test_sizes),		T(test_block_sizes),
		T(test_cut_everywhere), T(test_replies),
		T(test_too_much),	T(test_error_values),
		T(test_recovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
