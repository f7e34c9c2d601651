/* Every check between bytes and the map, one by one: what is refused, and that
 * it says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "volume/node_validate.h"

static const char *why;

#define REFUSED(call, text)                            \
	do {                                           \
		why = NULL;                            \
		assert_int_equal((call), -EBADMSG);    \
		assert_non_null(why);                  \
		assert_non_null(strstr(why, (text)));  \
	} while (0)

static void test_leaf(void **state)
{
	struct leaf_entry e[LEAF_ENTRIES];
	uint32_t used = 99;

	(void)state;
	memset(e, 0, sizeof(e));
	assert_int_equal(leaf_validate(e, &used, &why), 0);
	assert_int_equal(used, 0);
	e[3].place[0] = 1;
	e[3].crc32c = le32_of(5);
	e[255].place[5] = 1;
	e[7].birth = le32_of(9); /* trimmed at birth 9 */
	assert_int_equal(leaf_validate(e, &used, &why), 0);
	assert_int_equal(used, 2);
	e[4].crc32c = le32_of(1);
	REFUSED(leaf_validate(e, &used, &why), "CRC");
	e[4].crc32c = le32_of(0);
	e[255].flags = le16_of(0x8000);
	REFUSED(leaf_validate(e, &used, &why), "flags");
	assert_int_equal(used, 2);
}

static void test_inner(void **state)
{
	struct inner_child c[INNER_CHILDREN];
	uint32_t used;

	(void)state;
	memset(c, 0, sizeof(c));
	c[0].node = le32_of(1);
	c[511].node = le32_of(99);
	assert_int_equal(inner_validate(c, 100, &used, &why), 0);
	assert_int_equal(used, 2);
	REFUSED(inner_validate(c, 99, &used, &why), "child");
}

static void test_entry(void **state)
{
	struct node_entry e = { .refs = le32_of(1), .family = le32_of(3),
				.place = le64_of(77),
				.where = le64_of(1ull << 56 | 5) };
	struct node_info info;

	(void)state;
	assert_int_equal(node_entry_validate(&e, &info, &why), 0);
	assert_int_equal(info.level, 1);
	assert_int_equal(info.index, 5);
	assert_int_equal(info.family, 3);
	e.place = le64_of(1ull << 48);
	REFUSED(node_entry_validate(&e, &info, &why), "place");
	e.place = le64_of(1);
	e.where = le64_of(4ull << 56);
	REFUSED(node_entry_validate(&e, &info, &why), "level");
	e.where = le64_of(1ull << 27);
	REFUSED(node_entry_validate(&e, &info, &why), "index");
	e.where = le64_of((1ull << 27) - 1);
	assert_int_equal(node_entry_validate(&e, &info, &why), 0);
	e.where = le64_of(3ull << 56 | 1);
	REFUSED(node_entry_validate(&e, &info, &why), "index");
	e.where = le64_of(3ull << 56);
	e.family = le32_of(0);
	REFUSED(node_entry_validate(&e, &info, &why), "family");
	e.refs = le32_of(0);
	assert_int_equal(node_entry_validate(&e, &info, &why), 0);
	assert_int_equal(info.refs, 0);
}

static struct catalog_slot good_slot(void)
{
	struct catalog_slot s = {
		.id = le32_of(4), .kind = CATALOG_VOLUME,
		.state = CATALOG_READY, .levels = 1,
		.size_bytes = le64_of(2 << 20), .family = le32_of(4),
		.birth = le32_of(1), .name_len = le16_of(2), .name = "ab",
	};

	return s;
}

#define SLOT_REFUSED(change, text)                              \
	do {                                                    \
		struct catalog_slot bad = good_slot();          \
		bad.change;                                     \
		REFUSED(catalog_slot_validate(&bad, &why), text);\
	} while (0)

static void test_slot(void **state)
{
	struct catalog_slot s = good_slot();

	(void)state;
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
	SLOT_REFUSED(kind = 0, "kind");
	SLOT_REFUSED(kind = 4, "kind");
	SLOT_REFUSED(kind = 3, "snapshot of no volume");
	SLOT_REFUSED(kind = 2, "snapshot of no volume");
	SLOT_REFUSED(volume = le32_of(1), "volume of one");
	SLOT_REFUSED(state = 0, "state");
	SLOT_REFUSED(state = 4, "state");
	SLOT_REFUSED(state = 3, "fork");
	SLOT_REFUSED(levels = 4, "level");
	SLOT_REFUSED(levels = 0, "too low");
	SLOT_REFUSED(flags = 1, "flags");
	SLOT_REFUSED(flags = 4, "flags");
	SLOT_REFUSED(flags = CATALOG_HELD, "flags"); /* a volume */
	s.kind = CATALOG_SNAPSHOT;
	s.volume = le32_of(2);
	s.flags = CATALOG_HELD;
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
	s.volume = le32_of(0);
	s.state = CATALOG_FORK;
	REFUSED(catalog_slot_validate(&s, &why), "flags");
	s = good_slot();
	s.schedule.keep[1] = le16_of(24);
	s.schedule.keep[5] = le16_of(65535);
	s.schedule.last_min = le32_of(UINT32_MAX);
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
	s.flags = CATALOG_HIDDEN;
	REFUSED(catalog_slot_validate(&s, &why), "schedule of what is no");
	s.flags = 0;
	s.state = CATALOG_DELETING;
	REFUSED(catalog_slot_validate(&s, &why), "schedule of what is no");
	s = good_slot();
	SLOT_REFUSED(schedule.last_min = le32_of(1), "time of no schedule");
	SLOT_REFUSED(flags = CATALOG_SCHEDULED, "of no kind");
	s.flags = CATALOG_SCHEDULED; /* a volume */
	s.schedule.keep[2] = le16_of(1);
	REFUSED(catalog_slot_validate(&s, &why), "flags");
	s = good_slot();
	s.kind = CATALOG_SNAPSHOT;
	s.volume = le32_of(2);
	s.schedule.keep[2] = le16_of(1);
	REFUSED(catalog_slot_validate(&s, &why), "schedule of what is no");
	s.flags = CATALOG_SCHEDULED | CATALOG_HELD;
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
	s.schedule.keep[3] = le16_of(1);
	REFUSED(catalog_slot_validate(&s, &why), "of no kind");
	s.schedule.keep[2] = s.schedule.keep[3] = le16_of(0);
	REFUSED(catalog_slot_validate(&s, &why), "of no kind");
	s.schedule.keep[0] = le16_of(1);
	s.schedule.last_min = le32_of(1);
	REFUSED(catalog_slot_validate(&s, &why), "of no kind");
	s = good_slot();
	SLOT_REFUSED(size_bytes = le64_of(0), "size");
	SLOT_REFUSED(size_bytes = le64_of((128ull << 40) + 1), "size");
	SLOT_REFUSED(family = le32_of(0), "family");
	SLOT_REFUSED(birth = le32_of(0), "birth");
	SLOT_REFUSED(name_len = le16_of(0), "name");
	SLOT_REFUSED(name_len = le16_of(256), "name");
	SLOT_REFUSED(name_len = le16_of(65535), "name");
	SLOT_REFUSED(name[0] = '/', "name");
	SLOT_REFUSED(name_len = le16_of(3), "name"); /* a NUL inside */
	s.kind = CATALOG_CHECKPOINT;
	s.volume = le32_of(2);
	REFUSED(catalog_slot_validate(&s, &why), "is a tree");
	s.levels = 0;
	s.flags = CATALOG_LOST;
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
	s.flags = CATALOG_SHRUNK;
	REFUSED(catalog_slot_validate(&s, &why), "flags");
	memset(&s, 0xff, sizeof(s));
	s.id = le32_of(0);
	assert_int_equal(catalog_slot_validate(&s, &why), 0);
}

static void test_root(void **state)
{
	struct vols_root r = { .next_volume = le32_of(1),
			       .nslots = le32_of(65536) };

	(void)state;
	memcpy(r.magic, VOLS_ROOT_MAGIC, 8);
	assert_int_equal(vols_root_validate(&r, sizeof(r), &why), 0);
	assert_int_equal(vols_root_validate(&r, sizeof(r) + 8, &why), 0);
	assert_int_equal(vols_root_validate(&r, VOLS_ROOT_MIN, &why), 0);
	REFUSED(vols_root_validate(&r, VOLS_ROOT_MIN - 1, &why), "short");
	REFUSED(vols_root_validate(&r, 0, &why), "short");
	r.nslots = le32_of(65537);
	REFUSED(vols_root_validate(&r, sizeof(r), &why), "slots");
	r.next_volume = le32_of(0);
	REFUSED(vols_root_validate(&r, sizeof(r), &why), "id");
	r.magic[7] = 's';
	REFUSED(vols_root_validate(&r, sizeof(r), &why), "magic");
}

static int body(uint32_t subtype, const void *b, size_t len)
{
	return catalog_body_validate(subtype, b, (uint32_t)len, &why);
}

static void test_bodies(void **state)
{
	uint8_t b[64];
	struct catalog_create *c = (struct catalog_create *)b;
	le64 size = le64_of(4096);

	(void)state;
	memset(b, 0, sizeof(b));
	c->size_bytes = size;
	c->name_len = le16_of(3);
	memcpy(c->name, "vol", 3);
	assert_int_equal(body(CATALOG_CREATE, b, sizeof(*c) + 3), 0);
	REFUSED(body(CATALOG_CREATE, b, sizeof(*c) + 2), "name");
	REFUSED(body(CATALOG_CREATE, b, sizeof(*c) - 1), "short");
	c->size_bytes = le64_of(0);
	REFUSED(body(CATALOG_CREATE, b, sizeof(*c) + 3), "size");
	assert_int_equal(body(CATALOG_RESIZE, &size, 8), 0);
	REFUSED(body(CATALOG_RESIZE, &size, 7), "short");
	size = le64_of(UINT64_MAX);
	REFUSED(body(CATALOG_RESIZE, &size, 8), "size");
	memcpy(b, (const uint8_t[]){ 3, 0, 97, 98, 99 }, 5);
	assert_int_equal(body(CATALOG_RENAME, b, 5), 0);
	REFUSED(body(CATALOG_RENAME, b, 4), "name");
	REFUSED(body(CATALOG_RENAME, b, 1), "short");
	REFUSED(body(CATALOG_RENAME, b, 0), "short");
	b[3] = '\n';
	REFUSED(body(CATALOG_RENAME, b, 5), "name");
	assert_int_equal(body(CATALOG_DELETE, NULL, 0), 0);
	assert_int_equal(body(CATALOG_REAP, &size, 8), 0);
	REFUSED(body(CATALOG_REAP, &size, 7), "short");
	memcpy(b, (const uint8_t[]){ 16, 0 }, 2);
	assert_int_equal(body(CATALOG_SET, b, 2), 0);
	REFUSED(body(CATALOG_SET, b, 1), "short");
	memcpy(b, (const uint8_t[]){ 0, 16 }, 2);
	assert_int_equal(body(CATALOG_SET, b, 2), 0);
	memcpy(b, (const uint8_t[]){ 16, 16 }, 2);
	REFUSED(body(CATALOG_SET, b, 2), "flags");
	memcpy(b, (const uint8_t[]){ 0, 0 }, 2);
	REFUSED(body(CATALOG_SET, b, 2), "flags");
	memcpy(b, (const uint8_t[]){ 24, 0 }, 2);
	REFUSED(body(CATALOG_SET, b, 2), "flags");
	memcpy(b, (const uint8_t[]){ 16, 2 }, 2);
	REFUSED(body(CATALOG_SET, b, 2), "flags");
	memset(b, 0, sizeof(b));
	assert_int_equal(body(CATALOG_SCHEDULE, b, 16), 0);
	REFUSED(body(CATALOG_SCHEDULE, b, 15), "short");
	b[12] = 1;
	REFUSED(body(CATALOG_SCHEDULE, b, 16), "time of none");
	b[11] = 1;
	assert_int_equal(body(CATALOG_SCHEDULE, b, 16), 0);
	/* A snapshot of a schedule: created_s 8, volume 4, uuid 16, kind,
	 * schedule, name. */
	memset(b, 0, sizeof(b));
	b[28] = CATALOG_SNAPSHOT;
	memcpy(b + 30, (const uint8_t[]){ 1, 0, 'a' }, 3);
	for (unsigned kind = 0; kind <= PERIODS; kind++) {
		b[29] = (uint8_t)kind;
		assert_int_equal(body(CATALOG_SNAP, b, 33), 0);
	}
	b[29] = PERIODS + 1;
	REFUSED(body(CATALOG_SNAP, b, 33), "schedule");
	b[28] = CATALOG_CHECKPOINT;
	b[29] = 1;
	REFUSED(body(CATALOG_SNAP, b, 33), "schedule");
	b[29] = 0;
	assert_int_equal(body(CATALOG_SNAP, b, 33), 0);
	memset(b, 0, sizeof(b));
	REFUSED(body(CATALOG_PROPS, b, 16), "unknown ones");
	b[0] = CATALOG_PROP_RESERVE;
	assert_int_equal(body(CATALOG_PROPS, b, 16), 0);
	REFUSED(body(CATALOG_PROPS, b, 15), "short");
	b[0] = 0x80 | CATALOG_PROP_RESERVE;
	REFUSED(body(CATALOG_PROPS, b, 16), "unknown ones");
	REFUSED(body(CATALOG_OP_LAST + 1, &size, 8), "unknown");
}

static int thin(uint64_t from, uint64_t upto, uint32_t n, uint32_t shared,
		const uint64_t *leaves)
{
	struct {
		struct catalog_thin t;
		struct thin_leaf leaves[4];
	} b;

	memset(&b, 0, sizeof(b));
	b.t.from = le64_of(from);
	b.t.upto = le64_of(upto);
	b.t.nleaves = le32_of(n);
	b.t.first_shared = le32_of(shared);
	for (unsigned i = 0; i < n && i < 4; i++)
		b.leaves[i].leaf = le64_of(leaves[i]);
	return body(CATALOG_THIN, &b, sizeof(b));
}

static void test_thin(void **state)
{
	uint64_t good[] = { 3, 4, 9 }, back[] = { 3, 3, 9 };

	(void)state;
	assert_int_equal(thin(3, 10, 3, 0, good), 0);
	assert_int_equal(thin(0, UINT64_MAX, 3, 3, good), 0);
	assert_int_equal(thin(0, 1, 0, 0, good), 0);
	REFUSED(thin(3, 10, 3, 4, good), "leaf");
	REFUSED(thin(0, 10, 0, 1, good), "leaf");
	REFUSED(thin(4, 10, 3, 0, good), "order");
	REFUSED(thin(3, 9, 3, 0, good), "order");
	REFUSED(thin(3, 10, 3, 0, back), "order");
	REFUSED(thin(3, 3, 0, 0, good), "nowhere");
	REFUSED(thin(0, 10, 5, 0, good), "cut off");
	REFUSED(thin(0, 10, UINT32_MAX, 0, good), "cut off");
	REFUSED(body(CATALOG_THIN, "", 0), "short");
}

static void test_sizes(void **state)
{
	(void)state;
	assert_int_equal(size_to_leaves(1), 1);
	assert_int_equal(size_to_leaves(1 << 20), 1);
	assert_int_equal(size_to_leaves((1 << 20) + 1), 2);
	assert_int_equal(size_to_levels(1 << 20), 0);
	assert_int_equal(size_to_levels((1 << 20) + 1), 1);
	assert_int_equal(size_to_levels(512ull << 20), 1);
	assert_int_equal(size_to_levels((512ull << 20) + 1), 2);
	assert_int_equal(size_to_levels(256ull << 30), 2);
	assert_int_equal(size_to_levels((256ull << 30) + 1), 3);
	assert_int_equal(size_to_levels(VOLUME_BYTES_MAX), 3);
	assert_int_equal(levels_to_leaves(3) * LEAF_ENTRIES * 4096,
			 VOLUME_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf),  cmocka_unit_test(test_inner),
		cmocka_unit_test(test_entry), cmocka_unit_test(test_slot),
		cmocka_unit_test(test_root),  cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_thin),  cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
