/* Labels: what is written is read back; whatever is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/label.h"

static struct label *example(uint64_t claim, uint64_t number)
{
	struct label *l = calloc(1, sizeof(*l));

	memset(l->pool.b, 1, 16);
	l->claim = claim;
	l->number = number;
	memcpy(l->name, "tank", 5);
	l->k = 2;
	l->m = 1;
	l->zone_shift = 10;
	l->row_blocks = 257;
	l->nmembers = 3;
	l->self = 1;
	l->size_blocks = 100000;
	for (unsigned i = 0; i < 3; i++) {
		memset(l->members[i].uuid.b, (int)(10 + i), 16);
		l->members[i].size_blocks = 100000;
		l->members[i].zones = 97;
		l->members[i].state = LABEL_MEMBER_IN;
		memcpy(l->members[i].domain, "host", 5);
	}
	l->disk = l->members[1].uuid;
	l->nancestors = 2;
	l->ancestors[0].claim = claim - 1;
	l->ancestors[1].claim = claim - 2;
	l->root_place = (5ull * 2) << 10 | 7;
	l->root_blocks = 3;
	l->root_slice = 2;
	for (unsigned u = 0; u < 3; u++) {
		l->root_zones[u].member = u;
		l->root_zones[u].zone = 96 - u;
	}
	l->nextra = 1;
	l->extra[0].segment = 9;
	l->extra[0].zones[2].member = 0xffffffff;
	return l;
}

static uint8_t *area_new(void)
{
	return calloc(1, LABEL_AREA_BYTES);
}

static void put(uint8_t *area, const struct label *l)
{
	uint32_t slot = label_slot(l->claim, l->number);

	label_encode(l, area + label_slot_off_bytes(slot));
}

static void test_round_trip(void **state)
{
	struct label *l = example(7, 3), *back;
	uint8_t      *area = area_new();
	unsigned      damaged;
	const char   *why;

	(void)state;
	put(area, l);
	assert_int_equal(label_newest(area, NULL, &back, &damaged, &why), 0);
	assert_int_equal(damaged, 0);
	assert_memory_equal(back, l, sizeof(*l));
	free(back);
	free(area);
	free(l);
}

static void test_newest_of_all_slots_and_ends(void **state)
{
	struct label *a = example(7, 3), *b = example(7, 4);
	struct label *c = example(8, 1), *back;
	uint8_t      *head = area_new(), *tail = area_new();
	unsigned      damaged;
	const char   *why;

	(void)state;
	put(head, a);
	put(head, b);
	put(tail, c);
	assert_int_equal(label_newest(head, tail, &back, &damaged, &why), 0);
	assert_int_equal(back->claim, 8);
	free(back);
	assert_int_equal(label_newest(head, NULL, &back, &damaged, &why), 0);
	assert_int_equal(back->number, 4);
	free(back);
	free(head);
	free(tail);
	free(a);
	free(b);
	free(c);
}

/* Every single flipped bit of a label is noticed. */
static void test_every_bit_counts(void **state)
{
	struct label *l = example(6, 2), *out = calloc(1, sizeof(*out));
	uint8_t      *buf = calloc(1, LABEL_SLOT_BYTES);
	uint32_t      slot = label_slot(6, 2);
	const char   *why;

	(void)state;
	label_encode(l, buf);
	assert_int_equal(label_validate(buf, slot, out, &why), 0);
	for (uint32_t bit = 0; bit < label_bytes(l) * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(label_validate(buf, slot, out, &why), 0);
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(label_validate(buf, (slot + 1) % 8, out, &why),
			 -EBADMSG);
	free(buf);
	free(out);
	free(l);
}

static void reseal(uint8_t *buf, uint32_t bytes)
{
	le32 crc = le32_of(crc32c(0, buf + 12, bytes - 12));

	memcpy(buf + 8, &crc, 4);
}

/* A right checksum over wrong content must not be believed either. */
static void test_wrong_content_with_right_checksum(void **state)
{
	static const struct {
		uint32_t off;
		uint32_t value;
		int      res;
	} cases[] = {
		{ 16, 2, -ENOTSUP },    /* version */
		{ 40, 1, -ENOTSUP },    /* incompat feature */
		{ 176, 0, -EBADMSG },   /* k */
		{ 176, 17, -EBADMSG },
		{ 180, 5, -EBADMSG },   /* m */
		{ 184, 3, -EBADMSG },   /* zone_shift */
		{ 184, 63, -EBADMSG },
		{ 188, 0, -EBADMSG },   /* row_blocks */
		{ 192, 1, 0 },          /* flags may be anything */
		{ 196, 0, -EBADMSG },   /* nmembers */
		{ 196, 257, -EBADMSG },
		{ 204, 17, -EBADMSG },  /* nancestors */
		{ 232, 300, -EBADMSG }, /* root_blocks */
		{ 320, 65, -EBADMSG },  /* nextra */
		{ LABEL_MEMBERS_OFF + 24, 0xffffffff, -EBADMSG }, /* zones */
		{ 896, 3, -EBADMSG },   /* root zone's member */
		{ 84, 0x40000000, -EBADMSG },  /* claim, too large */
		{ 108, 0x40000000, -EBADMSG }, /* number */
		{ 252, 0x40000000, -EBADMSG }, /* commit */
		{ 260, 0x40000000, -EBADMSG }, /* its row */
		{ 112, 0x6e61740a, -EBADMSG }, /* name: a line end */
		{ 172, 0x61616161, -EBADMSG }, /* … without an end */
		{ 160, 1, -EBADMSG },   /* … something behind it */
		{ 216, 99999, -EBADMSG }, /* size, not that of the table */
		{ 264, 1, -EBADMSG },   /* reserved */
		{ 508, 1, -EBADMSG },
		{ 1148, 1, -EBADMSG },
		{ LABEL_MEMBERS_OFF + 124, 1, -EBADMSG },
		{ 12, LABEL_MEMBERS_OFF + 3 * 128 + 39, -EBADMSG }, /* bytes */
	};
	struct label *l = example(6, 2), *out = calloc(1, sizeof(*out));
	uint8_t      *buf = calloc(1, LABEL_SLOT_BYTES);
	uint32_t      slot = label_slot(6, 2);
	const char   *why;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		le32 v = le32_of(cases[i].value);

		label_encode(l, buf);
		memcpy(buf + cases[i].off, &v, 4);
		reseal(buf, label_bytes(l));
		assert_int_equal(label_validate(buf, slot, out, &why),
				 cases[i].res);
	}
	free(buf);
	free(out);
	free(l);
}

static void test_a_disk_twice(void **state)
{
	struct label *l = example(6, 2), *out = calloc(1, sizeof(*out));
	uint8_t      *buf = calloc(1, LABEL_SLOT_BYTES);
	const char   *why;

	(void)state;
	l->members[2].uuid = l->members[0].uuid;
	label_encode(l, buf);
	assert_int_equal(label_validate(buf, label_slot(6, 2), out, &why),
			 -EBADMSG);
	free(buf);
	free(out);
	free(l);
}

/* Bytes that mean nothing to us may mean something to a newer version. */
static void test_reserved_bytes_of_a_feature(void **state)
{
	struct label *l = example(6, 2), *out = calloc(1, sizeof(*out));
	uint8_t      *buf = calloc(1, LABEL_SLOT_BYTES);
	const char   *why;

	(void)state;
	l->compat = 1;
	label_encode(l, buf);
	buf[400] = 1;
	buf[LABEL_MEMBERS_OFF + 120] = 1;
	reseal(buf, label_bytes(l));
	assert_int_equal(label_validate(buf, label_slot(6, 2), out, &why), 0);
	free(buf);
	free(out);
	free(l);
}

static void test_a_newer_version_decides(void **state)
{
	struct label *l = example(6, 2), *back;
	uint8_t      *area = area_new();
	uint32_t      off = label_slot_off_bytes(label_slot(6, 3));
	le32          v = le32_of(2);
	unsigned      damaged;
	const char   *why;

	(void)state;
	put(area, l);
	l->number = 3;
	put(area, l);
	memcpy(area + off + 16, &v, 4);
	reseal(area + off, label_bytes(l));
	assert_int_equal(label_newest(area, NULL, &back, &damaged, &why),
			 -ENOTSUP);
	free(area);
	free(l);
}

static void test_ancestors(void **state)
{
	struct label *l = example(30, 1);
	struct uuid   other = {{9}};
	struct uuid   zero = {{0}};

	(void)state;
	assert_true(label_has_ancestor(l, 30, &l->claim_id));
	assert_false(label_has_ancestor(l, 30, &other));
	assert_true(label_has_ancestor(l, 29, &zero));
	assert_false(label_has_ancestor(l, 29, &other));
	assert_false(label_has_ancestor(l, 5, &zero));
	free(l);
}

static void test_lease(void **state)
{
	struct lease l = {.claim = 5, .beat = 9, .state = LEASE_HELD}, back;
	uint8_t      buf[TARN_BLOCK] = {0};

	(void)state;
	assert_int_equal(lease_validate(buf, &back), -ENODATA);
	lease_encode(&l, buf);
	assert_int_equal(lease_validate(buf, &back), 0);
	assert_int_equal(back.claim, 5);
	assert_int_equal(back.beat, 9);
	buf[4000] ^= 1;
	assert_int_equal(lease_validate(buf, &back), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_newest_of_all_slots_and_ends),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_wrong_content_with_right_checksum),
		cmocka_unit_test(test_a_disk_twice),
		cmocka_unit_test(test_reserved_bytes_of_a_feature),
		cmocka_unit_test(test_a_newer_version_decides),
		cmocka_unit_test(test_ancestors),
		cmocka_unit_test(test_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
