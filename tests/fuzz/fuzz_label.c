/* tests/fuzz/fuzz_label.c - label and lease slots, by both readers.
 *
 * Input: a byte of circumstances (bit 0: make the checksum right, bits 1-3:
 * the slot), then the label's bytes, zeros behind.  The server's validator and
 * that of tarn-check were written apart; they must agree on what is a label,
 * and on what it says.  A label that the server accepts, encoded again, is
 * accepted again and says the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "pool/label.h"
#include "tools/check/check_state.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void crc_fix(uint8_t *buf)
{
	uint32_t bytes, crc;

	memcpy(&bytes, buf + 12, sizeof(bytes));
	if (bytes < 12 || bytes > LABEL_SLOT_BYTES)
		return;
	crc = crc32c(0, buf + 12, bytes - 12);
	memcpy(buf + 8, &crc, sizeof(crc));
}

static void compare(const struct label *a, const struct ck_label *b)
{
	CHECK(a->claim == b->claim.no && a->number == b->number);
	CHECK(uuid_equal(&a->claim_id, &b->claim.id));
	CHECK(uuid_equal(&a->pool, &b->pool) &&
	      uuid_equal(&a->disk, &b->disk));
	CHECK(a->k == b->k && a->m == b->m && a->zone_shift == b->zone_shift);
	CHECK(a->row_blocks == b->row_blocks && a->flags == b->flags);
	CHECK(a->self == b->self && a->size_blocks == b->size_blocks);
	CHECK(a->root_place == b->root_place &&
	      a->root_blocks == b->root_blocks && a->root_crc == b->root_crc);
	CHECK(a->commit == b->commit && a->commit_row == b->commit_row);
	CHECK(a->nmembers == b->nmembers && a->nextra == b->nextra);
	CHECK(a->nancestors == b->nancestors);
	for (uint32_t i = 0; i < a->nancestors; i++)
		CHECK(a->ancestors[i].claim == b->ancestors[i].no);
	for (uint32_t i = 0; i < a->nmembers; i++) {
		CHECK(a->members[i].state == b->members[i].state);
		CHECK(a->members[i].zones == b->members[i].zones);
		CHECK(a->members[i].out_row == b->members[i].out_row);
		CHECK(strcmp(a->members[i].domain, b->members[i].domain) == 0);
	}
	for (uint32_t i = 0; i < a->nextra; i++) {
		CHECK(a->extra[i].segment == b->extra[i].segment);
		for (uint32_t u = 0; u < a->k + a->m; u++)
			CHECK(a->extra[i].zones[u].zone ==
			      b->extra[i].zones[u].zone);
	}
}

static void again(struct label *l, uint8_t *buf)
{
	struct label *m = malloc(sizeof(*m));
	const char *why;

	CHECK(m != NULL);
	label_encode(l, buf);
	CHECK(label_validate(buf, label_slot(l->claim, l->number), m, &why) ==
	      0);
	CHECK(label_compare(l, m) == 0 && l->commit == m->commit);
	free(m);
}

static void label_try(uint8_t *buf, uint32_t slot)
{
	struct label *a = calloc(1, sizeof(*a));
	struct ck_label *b = NULL;
	const char *why_a = NULL, *why_b = NULL;
	int r, s;

	CHECK(a != NULL);
	r = label_validate(buf, slot, a, &why_a);
	s = ck_label_decode(buf, slot, &b, &why_b);
	CHECK(r == 0 || why_a != NULL || r == -ENODATA);
	CHECK(s == 0 || why_b != NULL);
	CHECK((r == 0) == (s == 0));
	if (r == 0 && s == 0) {
		compare(a, b);
		again(a, buf);
	}
	ck_label_free(b);
	free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *buf;
	struct lease lease;

	if (size < 1)
		return 0;
	buf = calloc(1, LABEL_SLOT_BYTES);
	CHECK(buf != NULL);
	memcpy(buf, data + 1, min_u64(size - 1, LABEL_SLOT_BYTES));
	lease_validate(buf, &lease);
	if ((data[0] & 1) != 0)
		crc_fix(buf);
	label_try(buf, data[0] >> 1 & 7);
	free(buf);
	return 0;
}
