/* Snapshots, offline: a chain that is right is clean, and the state after the
 * log is what was written; what contradicts itself is found; what cannot be
 * read is lost, and no contradiction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/image_check.h"
#include "tests/lib/image_tree.h"

static void test_clean(void **state)
{
	(void)state;
	assert_int_equal(image_check_clean(image_build_snaps), 0);
}

/* --- what is wrong ------------------------------------------------------- */

/* A group of one or two. */
static void snap(struct image *im, uint32_t id, uint32_t v1, uint32_t v2,
		 const char *name)
{
	struct img_member list[] = { { v1, 2, name, 0 }, { v2, 2, "", 0 },
				     { .volume = 0 } };

	image_log_group(im, id, list);
}

static void log_name(struct image *im)
{
	snap(im, 5, 1, 0, "wed");
}

static void log_freed_name(struct image *im)
{
	snap(im, 5, 1, 0, "mon");
	image_log_delete(im, 5);
}

static void log_set(struct image *im, uint32_t id, uint8_t set, uint8_t clear)
{
	uint8_t body[2] = { set, clear };

	image_catalog(im, 266, id, body, sizeof(body));
}

static void log_held(struct image *im)
{
	log_set(im, 4, 16, 0);
	log_set(im, 4, 16, 0);
	image_log_delete(im, 4);
}

static void log_released(struct image *im)
{
	log_set(im, 4, 16, 0);
	log_set(im, 4, 0, 16);
	image_log_delete(im, 4);
}

static void log_held_volume(struct image *im)
{
	log_set(im, 1, 16, 0);
}

static void log_held_deleting(struct image *im)
{
	log_set(im, 2, 16, 0);
}

static void log_set_other(struct image *im)
{
	log_set(im, 4, 2, 0);
}

static void log_set_both(struct image *im)
{
	log_set(im, 4, 16, 16);
}

static void log_set_short(struct image *im)
{
	image_catalog(im, 266, 4, "", 1);
}

static void log_schedule(struct image *im)
{
	static const struct img_member two[] = { { 1, 2, "h", 2 },
						 { 1, 2, "d", 3 },
						 { .volume = 0 } };
	static const uint8_t none[16] = { 0 };
	uint8_t body[16] = { 0, 0, 24, 0, 7, [12] = 1 };

	image_catalog(im, 270, 1, body, sizeof(body));
	image_log_group(im, 5, two);
	image_catalog(im, 270, 1, none, sizeof(none));
}

static void log_schedule_snap(struct image *im)
{
	static const uint8_t body[16] = { 1 };

	image_catalog(im, 270, 4, body, sizeof(body));
}

static void log_schedule_short(struct image *im)
{
	image_catalog(im, 270, 1, "", 1);
}

static void log_schedule_time(struct image *im)
{
	static const uint8_t body[16] = { [15] = 1 };

	image_catalog(im, 270, 1, body, sizeof(body));
}

static void group_of_two(struct image *im, const char *name, uint8_t schedule)
{
	struct img_member two[] = { { 1, 2, "h", 2 }, { 1, 2, name, schedule },
				    { .volume = 0 } };

	image_log_group(im, 5, two);
}

static void log_kind_twice(struct image *im)
{
	group_of_two(im, "d", 2);
}

static void log_kinds_alike(struct image *im)
{
	group_of_two(im, "", 3);
}

static void log_no_kind(struct image *im)
{
	group_of_two(im, "d", 7);
}

static void log_twice(struct image *im)
{
	snap(im, 5, 1, 1, "thu");
}

static void log_of_snapshot(struct image *im)
{
	snap(im, 5, 4, 0, "thu");
}

static void log_id(struct image *im)
{
	snap(im, 3, 1, 0, "thu");
}

static void log_unnamed(struct image *im)
{
	snap(im, 5, 1, 0, "");
}

static void log_delete(struct image *im)
{
	image_log_delete(im, 1);
}

static void log_free(struct image *im)
{
	image_log_delete(im, 4);
	image_log_delete(im, 1);
	image_log_reap(im, 1, UINT64_MAX);
}

static void log_all(struct image *im)
{
	image_log_delete(im, 4);
	image_log_delete(im, 1);
	image_log_reap(im, 1, 2);
	image_log_reap(im, 4, 3);
	image_log_reap(im, 2, UINT64_MAX);
	image_log_reap(im, 4, UINT64_MAX);
	image_log_reap(im, 1, UINT64_MAX);
}

static void log_back(struct image *im)
{
	image_log_reap(im, 2, 1);
}

static void log_write(struct image *im)
{
	image_write(im, IMG_SEG_DATA, 3, 0, 1, 60);
}

#define NODE_ENTRY(id) IMG_PAGE, TABLE_NODES, 32 * (id)
#define SLOT(i)        IMG_PAGE, TABLE_CATALOG, 512 * (i)

static const struct img_damage damages[] = {
	/* Nodes. */
	{ "node young", NODE_ENTRY(3) + 20, 4, 2,
	  .text = "against snapshot 2 of volume 1: node 3 (level 0, index 2, "
		  "birth 2) is younger, and the one there" },
	{ "node to come", NODE_ENTRY(1) + 20, 4, 2,
	  .text = "snapshot 2 of volume 1: node 1 (level 0, index 0) is of "
		  "birth 2, still to come" },
	{ "node old", NODE_ENTRY(8) + 20, 4, 1,
	  .text = "node 8 (level 0, index 0, birth 1) is not younger" },
	{ "node refs", NODE_ENTRY(3) + 12, 4, 2,
	  .text = "node 3: 2 references counted, 1 found" },
	{ "node leaked", NODE_ENTRY(5) + 12, 4, 1,
	  .text = "node 5 (level 0, index 0, family 0) is in use, but" },
	{ "node of none", IMG_NODE, 9, 8, 4, 2,
	  .text = "node 2 (level 0, index 1, birth 1) is not younger, and" },
	/* Leaves. */
	{ "entry young", IMG_NODE, 8, 8, 4, 3,
	  .text = "against snapshot 2 of volume 1: 1 entries are younger" },
	{ "entry old", IMG_NODE, 8, 6 * 16 + 8, 4, 1,
	  .text = "1 entries are not younger than it" },
	{ "entry crc", IMG_NODE, 8, 12, 4, 1,
	  .text = "1 entries are there with another checksum" },
	{ "entry of the older", IMG_NODE, 10, 38 * 16 + 8, 4, 2,
	  .text = "against deleted snapshot 3 of family 1: 1 entries are "
		  "not younger" },
	{ "entry birth", IMG_NODE, 10, 28 * 16 + 8, 4, 2,
	  .text = "1 entries are there with another checksum or birth" },
	/* What is below the cursor means nothing, what is not does. */
	{ "gone", IMG_NODE, 6, 0, 4, 9999, .text = NULL },
	{ "not gone", IMG_NODE, 6, 8, 4, 9999,
	  .text = "deleted snapshot 3 of family 1 points to node 9999" },
	{ "cursor", SLOT(2) + 64, 8, 0,
	  .text = "snapshot 3 of family 1 points to node 5, which is free" },
	{ "cursor range", SLOT(2) + 64, 8, 600, .text = "cursor is out of" },
	{ "cursor ready", SLOT(1) + 64, 8, 1, .text = "cursor is out of" },
	/* Counts. */
	{ "mapped", SLOT(1) + 56, 8, 7,
	  .text = "snapshot 2 of volume 1: the catalog counts 7 mapped" },
	{ "mapped deleting", SLOT(2) + 56, 8, 7, .text = NULL },
	{ "root mapped", IMG_ROOT, 0, 200 + 4 * 16 + 8 + 16 + 24, 8, 7,
	  .text = "counts 7 mapped" },
	/* Chains. */
	{ "no origin", SLOT(0) + 52, 4, 0,
	  .text = "volume 1: node 7 (level 0, index 1, birth 2) is in deleted "
		  "snapshot 3 of family 1 as well" },
	{ "origin of two", SLOT(0) + 52, 4, 2,
	  .text = "volume 1: node 7 (level 0, index 1, birth 2) is in deleted "
		  "snapshot 3 of family 1 as well" },
	{ "origin itself", SLOT(2) + 52, 4, 3, .text = "3, is not older" },
	{ "origin volume", SLOT(2) + 52, 4, 1, .text = "1, is no snapshot" },
	{ "origin none", SLOT(2) + 52, 4, 9, .text = "9, does not exist" },
	{ "birth", SLOT(2) + 48, 4, 1, .text = "snapshot 2, is not older" },
	{ "volume", SLOT(1) + 76, 4, 3, .text = "that is no volume" },
	{ "no volume", SLOT(1) + 76, 4, 7, .text = "volume does not exist" },
	{ "volume of deleted", SLOT(2) + 76, 4, 1,
	  .text = "snapshot or a checkpoint is one of" },
	{ "volume 0", SLOT(1) + 76, 4, 0,
	  .text = "snapshot or a checkpoint is one of" },
	{ "family", SLOT(1) + 40, 4, 2, .text = "is of another family" },
	{ "held", SLOT(1) + 7, 1, 16, .text = NULL },
	{ "held volume", SLOT(0) + 7, 1, 16, .text = "unknown flags" },
	{ "held deleting", SLOT(2) + 7, 1, 16, .text = "unknown flags" },
	{ "schedule", SLOT(0) + 346, 2, 24, .text = NULL },
	{ "scheduled", SLOT(1) + 7, 1, 64, .text = "as none of its kinds" },
	{ "scheduled volume", SLOT(0) + 7, 1, 64, .text = "unknown flags" },
	{ "schedule of none", SLOT(1) + 344, 2, 1, .text = "and is no volume" },
	{ "schedule deleted", SLOT(2) + 344, 2, 1, .text = "and is no volume" },
	{ "schedule time", SLOT(0) + 356, 4, 9, .text = "time of a schedule" },
	{ "reserved", SLOT(0) + 376, 4, 9, .text = "reserved bytes" },
	{ "reserve", SLOT(1) + 368, 8, 9, .text = "is no volume" },
	{ "head", SLOT(0) + 5, 1, 2, .text = "that volume is being deleted" },
	/* Records. */
	{ "log name", .fn = log_name, .text = "a name that another one has" },
	{ "log freed name", .fn = log_freed_name, .text = NULL },
	{ "log held", .fn = log_held, .text = "a snapshot that is held" },
	{ "log released", .fn = log_released, .text = NULL },
	{ "log held volume", .fn = log_held_volume, .text = "no snapshot" },
	{ "log held deleting", .fn = log_held_deleting, .text = "no snapshot" },
	{ "log set other", .fn = log_set_other, .text = "there are not" },
	{ "log set both", .fn = log_set_both, .text = "there are not" },
	{ "log set short", .fn = log_set_short, .text = "sets no flags" },
	{ "log schedule", .fn = log_schedule, .text = NULL },
	{ "log schedule snap", .fn = log_schedule_snap, .text = "no volume" },
	{ "log schedule short", .fn = log_schedule_short,
	  .text = "sets no schedule" },
	{ "log schedule time", .fn = log_schedule_time,
	  .text = "the time of no schedule" },
	{ "log kind twice", .fn = log_kind_twice,
	  .text = "two snapshots of a volume" },
	{ "log kinds alike", .fn = log_kinds_alike,
	  .text = "two snapshots of a volume" },
	{ "log no kind", .fn = log_no_kind, .text = "names its snapshots" },
	{ "log twice", .fn = log_twice, .text = "two snapshots of a volume" },
	{ "log of one", .fn = log_of_snapshot, .text = "of what is no volume" },
	{ "log id", .fn = log_id, .text = "an id that there is" },
	{ "log unnamed", .fn = log_unnamed, .text = "names its snapshots" },
	{ "log delete", .fn = log_delete, .text = "that has snapshots" },
	{ "log free", .fn = log_free, .text = NULL },
	{ "log all", .fn = log_all, .empty = true, .text = NULL },
	{ "log back", .fn = log_back, .text = "reaps backwards" },
	{ "log write", .fn = log_write,
	  .text = "writes to snapshot 4 of volume 1" },
};

static void test_damages(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(damages); i++)
		bad += image_check_damage(image_build_snaps, &damages[i]);
	assert_int_equal(bad, 0);
}

static void test_lost(void **state)
{
	(void)state;
	assert_int_equal(image_check_lost(image_build_snaps), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_damages),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
