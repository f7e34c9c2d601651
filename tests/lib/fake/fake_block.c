/* tests/lib/fake/fake_block.c - the blocks of the fake pool and their places.
 *
 * A place is free, or holds a block that is live or not; what is not and cannot
 * come back is used again by fake_recycle().  Included by fake_log.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/lib/fake/fake_pool.h"

static struct fake_block *block_at(struct pool *p, place_t place)
{
	assert(place > (1u << FAKE_ZONE_SHIFT) && place < FAKE_PLACES);
	assert((place & ((1u << FAKE_ZONE_SHIFT) - 1)) != 0);
	return &p->blocks[place];
}

static bool block_free(const struct fake_block *b)
{
	return b->data == NULL;
}

/* n consecutive free places, not over the end of a zone. */
static place_t places_get(struct pool *p, uint32_t n)
{
	uint32_t zone = 1u << FAKE_ZONE_SHIFT;

	for (uint32_t tries = 0; tries < 2 * FAKE_PLACES; tries++) {
		uint32_t at = p->next_place, i;

		if (at % zone == 0)
			at++;
		if (at % zone + n > zone)
			at = (at / zone + 1) * zone + 1;
		if (at + n >= FAKE_PLACES) {
			p->next_place = zone + 1;
			continue;
		}
		for (i = 0; i < n && block_free(&p->blocks[at + i]); i++)
			;
		p->next_place = at + i + 1;
		if (i == n)
			return at;
	}
	fprintf(stderr, "fake pool: no place left\n");
	abort();
}

static uint32_t block_store(struct pool *p, place_t place, const void *data)
{
	struct fake_block *b = block_at(p, place);

	assert(b->data == NULL);
	b->data = malloc(TARN_BLOCK);
	memcpy(b->data, data, TARN_BLOCK);
	b->crc = crc32c(0, data, TARN_BLOCK);
	b->lost = false;
	return b->crc;
}

void pool_place_ref(struct pool *p, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct fake_block *b = block_at(p, place + i);

		assert(b->data != NULL && !b->live);
		b->live = true;
		p->live_total++;
	}
}

void pool_place_unref(struct pool *p, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct fake_block *b;

		if (p->hostile && (place + i >= FAKE_PLACES ||
				   !p->blocks[place + i].live))
			continue;
		b = block_at(p, place + i);
		assert(b->live);
		b->live = false;
		p->live_total--;
	}
}

int pool_space_reserve(struct pool *p, uint64_t blocks, uint64_t kept_blocks)
{
	if (blocks > kept_blocks &&
	    blocks - kept_blocks > pool_space_available(p))
		return -ENOSPC;
	p->reserved += blocks;
	return 0;
}

uint64_t pool_space_available(const struct pool *p)
{
	uint64_t taken = p->live_total + p->reserved + p->kept;

	return p->usable - (taken < p->usable ? taken : p->usable);
}

void pool_space_keep(struct pool *p, uint64_t blocks)
{
	p->kept = blocks;
}

void pool_space_unreserve(struct pool *p, uint64_t blocks)
{
	assert(p->reserved >= blocks);
	p->reserved -= blocks;
}

static void keep_mark(uint8_t *keep, place_t place, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		keep[place + i] = 1;
}

void fake_recycle(struct pool *p)
{
	uint8_t *keep = calloc(FAKE_PLACES, 1);

	/* Rows that have their places but are not applied yet, and rows that
	 * would have to be redone. */
	list_for_each(l, &p->appends) {
		struct log_append *a = list_entry(l, struct log_append, link);

		if (a->row != NULL)
			keep_mark(keep, a->first, a->rec.n);
	}
	for (uint32_t i = p->commit_row + 1; i <= p->nrows; i++)
		if (p->rows[i].places != NULL)
			keep_mark(keep, p->rows[i].places[0],
				  p->rows[i].rec.n);
	for (uint32_t i = 0; i < FAKE_PLACES && !p->committing; i++) {
		struct fake_block *b = &p->blocks[i];

		if (b->data == NULL || b->live || b->committed || keep[i])
			continue;
		free(b->data);
		memset(b, 0, sizeof(*b));
		p->recycled++;
	}
	free(keep);
}
