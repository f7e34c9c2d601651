/* Clones, rollbacks and checkpoints, offline: trees that fork and are right are
 * clean, and the state after the log is what was written; each field that
 * contradicts another one is found, and so is each record of the log.
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
	assert_int_equal(image_check_clean(image_build_forks), 0);
	assert_int_equal(image_check_clean(image_build_twins), 0);
}

/* --- records at the end of the log --------------------------------------- */

/* Ids that the log leaves (image_fork.c): volumes 1 alpha, 6 beta, 12 gamma, 13
 * delta; snapshots 7 wed and 14 was of beta, 9 thu of alpha; deleted are 2 mon,
 * 4 tue and 15; checkpoints 10 of beta, 11 of alpha. */
enum { NEXT = 16 };

static void group(struct image *im, uint32_t volume, uint8_t kind,
		  const char *name)
{
	struct img_member list[] = { { volume, kind, name, 0 },
				     { .volume = 0 } };

	image_log_group(im, NEXT, list);
}

static void log_both(struct image *im)
{
	static const struct img_member list[] = { { 1, 3, "x", 0 },
						  { 1, 2, "", 0 },
						  { .volume = 0 } };

	image_log_group(im, NEXT, list);
}

static void log_two_checkpoints(struct image *im)
{
	static const struct img_member list[] = { { 1, 3, "x", 0 },
						  { 1, 3, "y", 0 },
						  { .volume = 0 } };

	image_log_group(im, NEXT, list);
}

static void log_group_name(struct image *im)
{
	group(im, 1, 3, "thu");
}

static void log_group_free_name(struct image *im)
{
	image_log_delete(im, 11);
	group(im, 1, 3, "thu");
}

static void log_group_kind(struct image *im)
{
	group(im, 1, 1, "x");
}

static void log_group_checkpoint(struct image *im)
{
	group(im, 11, 2, "x");
}

static void log_clone_id(struct image *im)
{
	image_log_branch(im, 262, NEXT - 1, 7, "x");
}

static void log_clone_later(struct image *im)
{
	image_log_branch(im, 262, NEXT + 1, 7, "x");
}

static void log_clone_name(struct image *im)
{
	image_log_branch(im, 262, NEXT, 7, "alpha");
}

static void log_clone_unnamed(struct image *im)
{
	image_log_branch(im, 262, NEXT, 7, "");
}

static void log_clone_deleted(struct image *im)
{
	image_log_branch(im, 262, NEXT, 4, "x");
}

static void log_clone_volume(struct image *im)
{
	image_log_branch(im, 262, NEXT, 1, "x");
}

static void log_clone_checkpoint(struct image *im)
{
	image_log_branch(im, 262, NEXT, 11, "x");
}

static void log_clone_none(struct image *im)
{
	image_log_branch(im, 262, NEXT, 99, "x");
}

static void log_clone_short(struct image *im)
{
	image_catalog(im, 262, NEXT, "\7\0\0", 4);
}

static void log_back_other(struct image *im)
{
	image_log_branch(im, 263, 1, 7, "x");
}

static void log_back_snapshot(struct image *im)
{
	image_log_branch(im, 263, 9, 9, "x");
}

static void log_back_name(struct image *im)
{
	image_log_branch(im, 263, 6, 7, "was");
}

static void log_back_deleted(struct image *im)
{
	image_log_branch(im, 263, 1, 4, "");
}

/* A branch goes on from what an earlier rollback left. */
static void log_back_twice(struct image *im)
{
	image_log_branch(im, 263, 6, 14, "");
	image_log_branch(im, 263, 6, 7, "again");
	image_log_branch(im, 263, 6, 17, "");
	image_log_branch(im, 262, NEXT + 3, 17, "x");
	image_log_reap(im, NEXT, UINT64_MAX);
	image_log_reap(im, 18, 1);
}

static void log_rename(struct image *im)
{
	image_catalog(im, 258, 14, "\3\0wed", 5);
}

static void log_rename_checkpoint(struct image *im)
{
	image_catalog(im, 258, 11, "\1\0x", 3);
}

static void log_rename_fork(struct image *im)
{
	image_log_delete(im, 9);
	image_catalog(im, 258, 9, "\1\0x", 3);
}

static void log_delete_volume(struct image *im)
{
	image_log_delete(im, 6);
}

static void log_delete_checkpoint(struct image *im)
{
	image_log_delete(im, 10);
	image_log_delete(im, 10);
}

/* Its checkpoint goes with it. */
static void log_delete_both(struct image *im)
{
	image_log_delete(im, 9);
	image_log_delete(im, 1);
	image_log_delete(im, 11);
}

/* With its snapshots not gone yet. */
static void log_delete_first(struct image *im)
{
	image_log_delete(im, 9);
	image_log_delete(im, 1);
	image_log_reap(im, 1, UINT64_MAX);
}

static void log_reap_fork(struct image *im)
{
	image_log_reap(im, 2, 1);
}

static void log_reap_ready(struct image *im)
{
	image_log_reap(im, 7, 1);
}

static void log_reap_checkpoint(struct image *im)
{
	image_log_reap(im, 11, 1);
}

/* 9 is a fork of three; when two are gone it is deleting. */
static void log_fork_goes(struct image *im)
{
	image_log_delete(im, 9);
	image_log_reap(im, 15, UINT64_MAX);
	image_log_delete(im, 13);
	image_log_reap(im, 13, UINT64_MAX);
	image_log_reap(im, 9, 2);
}

static void log_fork_stays(struct image *im)
{
	image_log_delete(im, 9);
	image_log_reap(im, 15, UINT64_MAX);
	image_log_reap(im, 9, 2);
}

/* From all ends, so that both forks come to be deleting. */
static void log_all(struct image *im)
{
	static const uint32_t dels[] = { 7, 14, 9, 1, 6, 12, 13 };
	static const uint32_t reaps[] = { 6, 15, 12, 13, 9, 4, 7,
					  1, 2, 14 };

	for (unsigned i = 0; i < ARRAY_LEN(dels); i++)
		image_log_delete(im, dels[i]);
	image_log_reap(im, 14, 1);
	image_log_reap(im, 1, 2);
	for (unsigned i = 0; i < ARRAY_LEN(reaps); i++)
		image_log_reap(im, reaps[i], UINT64_MAX);
}

/* What is only in one tree of the family is moved, and then dropped. */
static void log_move(struct image *im)
{
	image_move(im, 12, 7);
	image_move(im, 12, 0);
	log_all(im);
}

/* Nobody looks at where it was. */
static void log_move_away(struct image *im)
{
	uint64_t from = im->vols[5].map[20].place;

	image_move(im, 5, 20);
	for (uint32_t u = 0; u < 2; u++)
		image_at(im, (uint32_t)(from >> IMG_ZONE_SHIFT), u,
			 (uint32_t)(from % IMG_ZONE_BLOCKS))[0] ^= 1;
}

static void log_family(struct image *im)
{
	im->vols[11].family = 12;
	image_write(im, IMG_SEG_DATA, 11, 0, 1, 60);
}

static void log_write_checkpoint(struct image *im)
{
	im->vols[9].family = 10;
	image_write(im, IMG_SEG_DATA, 9, 0, 1, 60);
}

/* Nobody there has the block. */
static void log_move_family(struct image *im)
{
	uint32_t seed = im->vols[0].map[0].seed;

	im->vols[0].family = 6;
	image_move(im, 0, 0);
	im->vols[0].family = 1;
	assert_int_equal(seed, im->vols[0].map[0].seed);
}

/* --- what is wrong ------------------------------------------------------- */

#define NODE_ENTRY(id) IMG_PAGE, TABLE_NODES, 32 * (id)
#define SLOT(i)        IMG_PAGE, TABLE_CATALOG, 512 * (i)
#define LEAF(id, i)    IMG_NODE, id, 16 * (i)

/* Slots: 0 alpha 1, 1 mon 2, 2 start 3, 3 tue 4, 4 late 5, 5 beta 6, 6 wed 7, 7
 * old 8. */
static const struct img_damage damages[] = {
	/* What branches share. */
	{ "node of a branch", IMG_NODE, 14, 8, 4, 7,
	  .text = "volume 1: node 7 (level 0, index 1, birth 5) is in deleted "
		  "snapshot 8 of family 1 as well, and in nothing" },
	{ "node of a clone", IMG_NODE, 14, 16, 4, 11,
	  .text = "volume 1, against snapshot 4 of volume 1: node 11 (level 0, "
		  "index 2, birth 3) is not younger, and not the one" },
	{ "node of an old branch", IMG_NODE, 12, 0, 4, 5,
	  .text = "volume 6: node 5 (level 0, index 0, birth 3) is in "
		  "snapshot 4 of volume 1 as well, and in nothing" },
	{ "block of a branch", LEAF(13, 54), 6, 310, .of = 8,
	  .text = "family 1 block 310: its place" },
	{ "block of a clone", LEAF(13, 45), 6, 5, .of = 6,
	  .text = "belongs to something else already" },
	{ "block young", LEAF(11, 28) + 8, 4, 3,
	  .text = "volume 6, leaf 2 (node 11), against snapshot 7 of volume 6: "
		  "1 entries are younger than it, and there all" },
	{ "block of the origin", LEAF(9, 9), 6, 5, .of = 2,
	  .text = "1 entries are not younger than it, and not" },
	{ "node young", NODE_ENTRY(13) + 20, 4, 3, .text = "is not younger" },
	{ "node to come", NODE_ENTRY(9) + 20, 4, 3,
	  .text = "of birth 3, still to come" },
	{ "node family", NODE_ENTRY(9) + 16, 4, 6,
	  .text = "of family 1; the node table has it as level 0 index 0 of "
		  "family 6" },
	/* Who derives from whom. */
	{ "fork of one", SLOT(3) + 52, 4, 0,
	  .text = "deleted snapshot 2 of family 1 is a fork, but 1 trees" },
	{ "deleting with two", SLOT(1) + 5, 1, 2,
	  .text = "is being deleted, but 2 trees derive" },
	{ "deleting with a clone", SLOT(5) + 52, 4, 8,
	  .text = "origin, snapshot 8, is not older" },
	{ "fork ready", SLOT(1) + 5, 1, 1, .text = "or a checkpoint is one" },
	{ "fork volume", SLOT(0) + 5, 1, 3, .text = "only a snapshot is a" },
	{ "fork cursor", SLOT(1) + 64, 8, 1u << 30, .text = "cursor is out of" },
	{ "fork volume id", SLOT(1) + 76, 4, 1,
	  .text = "or a checkpoint is one" },
	{ "origin volume", SLOT(6) + 52, 4, 1, .text = "1, is no snapshot" },
	{ "origin checkpoint", SLOT(3) + 52, 4, 3,
	  .text = "3, is no snapshot" },
	{ "origin family", SLOT(5) + 40, 4, 2,
	  .text = "7, is of another family" },
	{ "origin birth", SLOT(6) + 48, 4, 1, .text = "2, is not older" },
	{ "family later", SLOT(6) + 40, 4, 8, .text = "older than its family" },
	{ "volume birth", SLOT(0) + 48, 4, 3,
	  .text = "snapshot 4 of volume 1: that volume is not younger" },
	{ "volume deleting", SLOT(0) + 5, 1, 2,
	  .text = "4 of volume 1: that volume is being deleted" },
	{ "volume of another", SLOT(6) + 76, 4, 1, .text = NULL },
	{ "volume is one", SLOT(6) + 76, 4, 4, .text = "that is no volume" },
	{ "state", SLOT(1) + 5, 1, 4, .text = "its state is unknown" },
	{ "kind", SLOT(1) + 4, 1, 4, .text = "its kind is unknown" },
	/* Counts, flags and names. */
	{ "fork mapped", SLOT(1) + 56, 8, 7, .text = NULL },
	{ "clone mapped", SLOT(5) + 56, 8, 7,
	  .text = "volume 6: the catalog counts 7 mapped" },
	{ "read-only", SLOT(3) + 7, 1, 1, .text = "unknown flags" },
	{ "lost", SLOT(3) + 7, 1, 4, .text = "unknown flags" },
	{ "fork name", SLOT(1) + 80, 1, 'x', .text = "longer than its len" },
	{ "name of another", SLOT(6) + 80, 3, 0x657574, .text = NULL },
	{ "name of a clone", SLOT(5) + 72, 2, 3,
	  .text = "longer than its length" },
	{ "ready unnamed", SLOT(5) + 72, 2, 0, .text = "is not allowed" },
	/* Checkpoints. */
	{ "checkpoint shrunk", SLOT(2) + 7, 1, 2, .text = "unknown flags" },
	{ "checkpoint not lost", SLOT(4) + 7, 1, 0, .text = NULL },
	{ "checkpoint deleting", SLOT(2) + 5, 1, 2, .text = "and deleted" },
	{ "checkpoint levels", SLOT(2) + 6, 1, 1, .text = "and a tree" },
	{ "checkpoint root", SLOT(2) + 44, 4, 4, .text = "and a tree" },
	{ "checkpoint origin", SLOT(2) + 52, 4, 2, .text = "and a tree" },
	{ "checkpoint mapped", SLOT(2) + 56, 8, 9, .text = "and a tree" },
	{ "checkpoint cursor", SLOT(2) + 64, 8, 1, .text = "cursor is out" },
	{ "checkpoint volume", SLOT(2) + 76, 4, 9,
	  .text = "checkpoint 3 of volume 9: that volume does not exist" },
	{ "checkpoint none", SLOT(2) + 76, 4, 0, .text = "is one of a" },
	{ "checkpoint birth", SLOT(2) + 48, 4, 6, .text = "is not younger" },
	{ "checkpoint family", SLOT(4) + 40, 4, 5, .text = "another family" },
	{ "checkpoint name", SLOT(2) + 80, 8, 0x6574616c,
	  .text = "(\"late\") have the same name" },
	/* Records. */
	{ "log both", .fn = log_both, .text = NULL },
	{ "log two", .fn = log_two_checkpoints, .text = "of a volume at once" },
	{ "log group name", .fn = log_group_name, .text = "that another one" },
	{ "log free name", .fn = log_group_free_name, .text = NULL },
	{ "log group kind", .fn = log_group_kind, .text = "names its snap" },
	{ "log of one", .fn = log_group_checkpoint, .text = "is no volume" },
	{ "log clone id", .fn = log_clone_id, .text = "id that there is or" },
	{ "log clone later", .fn = log_clone_later, .text = "leaves out an" },
	{ "log clone name", .fn = log_clone_name, .text = "another one has" },
	{ "log unnamed", .fn = log_clone_unnamed, .text = "without a name" },
	{ "log deleted", .fn = log_clone_deleted, .text = "what is no snap" },
	{ "log volume", .fn = log_clone_volume, .text = "what is no snap" },
	{ "log checkpoint", .fn = log_clone_checkpoint, .text = "is no snap" },
	{ "log none", .fn = log_clone_none, .text = "what is no snapshot" },
	{ "log short", .fn = log_clone_short, .text = "no proper body" },
	{ "log back other", .fn = log_back_other, .text = "another volume" },
	{ "log back one", .fn = log_back_snapshot, .text = "is no volume" },
	{ "log back name", .fn = log_back_name, .text = "another one has" },
	{ "log back del", .fn = log_back_deleted, .text = "is no snapshot" },
	{ "log back twice", .fn = log_back_twice, .text = NULL },
	{ "log rename", .fn = log_rename, .text = "that another one has" },
	{ "log rename cp", .fn = log_rename_checkpoint, .text = NULL },
	{ "log rename fork", .fn = log_rename_fork, .text = "being deleted" },
	{ "log delete", .fn = log_delete_volume, .text = "that has snapshots" },
	{ "log delete cp", .fn = log_delete_checkpoint, .text = "not exist" },
	{ "log delete all", .fn = log_delete_both, .text = "does not exist" },
	{ "log delete first", .fn = log_delete_first, .text = NULL },
	{ "log reap fork", .fn = log_reap_fork, .text = "not being deleted" },
	{ "log reap ready", .fn = log_reap_ready, .text = "not being deleted" },
	{ "log reap cp", .fn = log_reap_checkpoint, .text = "not being" },
	{ "log fork goes", .fn = log_fork_goes, .text = NULL },
	{ "log fork stays", .fn = log_fork_stays, .text = "not being deleted" },
	{ "log all", .fn = log_all, .empty = true, .text = NULL },
	{ "log move", .fn = log_move, .empty = true, .text = NULL },
	{ "log move away", .fn = log_move_away, .text = NULL },
	{ "log family", .fn = log_family, .text = "as if it were of family" },
	{ "log write cp", .fn = log_write_checkpoint,
	  .text = "writes to checkpoint 10 of volume 6" },
	{ "log move family", .fn = log_move_family, .text = NULL },
};

static void test_damages(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(damages); i++)
		bad += image_check_damage(image_build_forks, &damages[i]);
	assert_int_equal(bad, 0);
}

static void test_lost(void **state)
{
	(void)state;
	assert_int_equal(image_check_lost(image_build_forks), 0);
	assert_int_equal(image_check_lost(image_build_twins), 0);
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
