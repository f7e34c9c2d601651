/* Where the last label area of a disk is found, which may have grown since it
 * was written.  Over simulated disks and a simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/pool_kit.h"
#include "tests/sim/pages.h"

#define BLOCKS 16u

static uint8_t buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

/* The slot of the newest label in that area. */
static uint32_t newest_slot(struct sim_media *m, uint32_t area)
{
	uint8_t      *bytes = malloc(LABEL_AREA_BYTES);
	struct label *l = NULL;
	unsigned      damaged;
	const char   *why;
	uint32_t      slot;

	assert_non_null(bytes);
	for (uint32_t b = 0; b < LABEL_AREA_BLOCKS; b++)
		memcpy(bytes + (size_t)b * TARN_BLOCK,
		       page_data(m->cur[area + b]), TARN_BLOCK);
	assert_int_equal(label_newest(bytes, NULL, &l, &damaged, &why), 0);
	slot = label_slot(l->claim, l->number);
	free(l);
	free(bytes);
	return slot;
}

/* As if that label had never got there. */
static void lose_label(struct sim_media *m, uint32_t area, uint32_t slot)
{
	uint32_t first = label_slot_off_bytes(slot) / TARN_BLOCK;

	for (uint32_t b = 0; b < LABEL_SLOT_BYTES / TARN_BLOCK; b++)
		media_put(m, area + first + b, PAGE_ZERO, m->groups++);
	media_flush(m, media_seq(m));
}

/* The last label is in the last area of one disk only: power was lost when it
 * was written.  It is found whenever labels are read, or never. */
static void test_newest_is_last(void **state)
{
	struct sim_media *m;
	uint32_t          tail, slot;

	(void)state;
	pk_create(&(struct pk_pool){ .k = 1, .m = 1, .blocks = BLOCKS });
	memset(buf, 7, sizeof(buf));
	pk_do(VOL_WRITE, 0, BLOCKS, buf);
	pk_close();
	m = sim->media[1];
	tail = m->nblocks - LABEL_AREA_BLOCKS;
	slot = newest_slot(m, tail);
	lose_label(m, 0, slot);
	lose_label(sim->media[0], 0, slot);
	lose_label(sim->media[0], sim->media[0]->nblocks - LABEL_AREA_BLOCKS,
		   slot);
	assert_int_not_equal(newest_slot(m, 0), slot);
	media_grow(m, m->nblocks + 100);
	assert_int_equal(pk_open(), LIFE_OK);
	memset(buf, 0, sizeof(buf));
	pk_do(VOL_READ, 0, BLOCKS, buf);
	pk_assert_bytes(buf, BLOCKS, 7);
	life_kill(sim, false);
}

/* It has no label in its first area, and has not grown: the last one tells. */
static void test_first_area_lost(void **state)
{
	struct sim_media *m;

	(void)state;
	pk_create(&(struct pk_pool){ .k = 1, .m = 1, .blocks = BLOCKS });
	memset(buf, 8, sizeof(buf));
	pk_do(VOL_WRITE, 0, BLOCKS, buf);
	pk_close();
	m = sim->media[1];
	for (uint32_t s = 0; s < LABEL_SLOTS; s++)
		lose_label(m, 0, s);
	assert_int_equal(pk_open(), LIFE_OK);
	assert_true(pk_pool()->members[1]->in);
	pk_do(VOL_READ, 0, BLOCKS, buf);
	pk_assert_bytes(buf, BLOCKS, 8);
	life_kill(sim, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_is_last),
		cmocka_unit_test(test_first_area_lost),
	};

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
