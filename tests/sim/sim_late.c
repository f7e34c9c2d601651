/* tests/sim/sim_late.c - writes and trims that a dead server, or a broken
 * connection, has left somewhere on the way to the disk, to land when nobody
 * expects them any more.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pool/label_format.h"
#include "tests/sim/life.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_late.h"

#define LATE_MAX 256u

struct late {
	struct sim_media *media;
	uint32_t          block;
	uint32_t          nblocks;
	uint64_t          due_ns;
	uint64_t          life;   /* number of the life that sent it */
	uint64_t          claim;  /* … and its claim */
	page_t           *pages;  /* NULL: a trim */
	bool              labels; /* it went to what was a label area then */
	bool              known;  /* the disks tell that it may be under way */
};

static struct late lates[LATE_MAX];
static unsigned    nlates;

/* In the labels and the lease area. */
static bool in_labels(const struct sim_media *m, uint32_t block, uint32_t n)
{
	return block < LABEL_AREA_BLOCKS ||
	       block + n > m->nblocks - LABEL_AREA_BLOCKS;
}

static bool is_label(const uint8_t *data)
{
	return data != NULL &&
	       memcmp(data, LABEL_MAGIC, strlen(LABEL_MAGIC)) == 0;
}

bool sim_late_add(struct sim_media *m, uint32_t block, uint32_t nblocks,
		  const uint8_t *data, uint64_t due_ns)
{
	struct late *l;

	if (nlates == LATE_MAX)
		return false;
	l = &lates[nlates++];
	l->media = m;
	l->block = block;
	l->nblocks = nblocks;
	l->due_ns = due_ns;
	l->life = m->sim->stats->v[STAT_lives];
	l->claim = life_claim(m->sim);
	l->pages = NULL;
	l->known = false;
	/* A disk may be larger than its labels say. */
	l->labels = in_labels(m, block, nblocks) || is_label(data);
	if (data != NULL) {
		l->pages = malloc(nblocks * sizeof(l->pages[0]));
		assert(l->pages != NULL);
		for (uint32_t i = 0; i < nblocks; i++)
			l->pages[i] =
				page_copy_of(data + (size_t)i * TARN_BLOCK);
	}
	return true;
}

static void forget(unsigned i, bool keep_pages)
{
	struct late *l = &lates[i];

	for (uint32_t b = 0; l->pages != NULL && !keep_pages &&
			     b < l->nblocks; b++)
		page_put(l->pages[b]);
	free(l->pages);
	lates[i] = lates[--nlates];
}

/* Label slots are shared by every fourth claim: a label write is not that
 * late. */
static bool too_late(const struct late *l)
{
	return l->labels &&
	       l->media->sim->stats->v[STAT_lives] > l->life + 1;
}

/* A zone is used again only when nothing can arrive in it any more, or what
 * arrives is what is there. */
void sim_late_check(struct sim_media *m, uint32_t block, uint32_t nblocks,
		    const uint8_t *data)
{
	if (in_labels(m, block, nblocks))
		return;
	for (unsigned i = 0; i < nlates; i++) {
		const struct late *l = &lates[i];

		for (uint32_t b = 0; b < nblocks; b++) {
			uint32_t at = block + b - l->block;

			if (l->media != m || block + b < l->block ||
			    at >= l->nblocks || too_late(l))
				continue;
			/* Where the disk ended, for those who know no more. */
			if (l->labels && is_label(data))
				continue;
			if (l->pages != NULL && data != NULL &&
			    memcmp(page_data(l->pages[at]),
				   data + (size_t)b * TARN_BLOCK,
				   TARN_BLOCK) == 0)
				continue;
			sim_fail(m->sim, "disk %u: block %u is %s while an "
				 "earlier %s, sent in life %llu, is still on "
				 "its way to it", m->index, block + b,
				 data != NULL ? "written" : "trimmed",
				 l->pages != NULL ? "write" : "trim",
				 (unsigned long long)l->life);
		}
	}
}

void sim_late_forget_known(void)
{
	for (unsigned i = 0; i < nlates; i++)
		lates[i].known = false;
}

void sim_late_known(const struct sim_media *m, uint64_t block,
		    uint32_t nblocks, uint64_t claim)
{
	for (unsigned i = 0; i < nlates; i++) {
		struct late *l = &lates[i];

		if (l->media == m && l->block >= block &&
		    l->block < block + nblocks &&
		    (claim == 0 || claim == l->claim))
			l->known = true;
	}
}

void sim_late_check_known(struct sim *sim)
{
	for (unsigned i = 0; i < nlates; i++) {
		const struct late *l = &lates[i];

		if (l->known || l->labels)
			continue;
		sim_fail(sim, "disk %u: a write of life %llu is on its way to "
			 "block %u, which neither the last commit nor the "
			 "labels tell", l->media->index,
			 (unsigned long long)l->life, l->block);
	}
}

void sim_late_run(struct sim *sim)
{
	uint64_t now_ns = sim_now_ns(sim);

	for (unsigned i = 0; i < nlates;) {
		struct late *l = &lates[i];

		if (too_late(l)) {
			forget(i, false);
			continue;
		}
		if (l->due_ns > now_ns || l->media->gone || l->media->hung) {
			i++;
			continue;
		}
		TRACE(sim, 2, l->block, l->nblocks,
		      "disk %u: late %s of blocks %u+%u lands",
		      l->media->index, l->pages ? "write" : "trim", l->block,
		      l->nblocks);
		STAT(sim, late_writes);
		for (uint32_t b = 0; b < l->nblocks; b++)
			media_put(l->media, l->block + b,
				  l->pages ? l->pages[b] :
					     page_get(PAGE_ZERO),
				  l->media->groups);
		l->media->groups++;
		forget(i, true);
	}
}

void sim_late_drop(struct sim *sim, const struct sim_media *m)
{
	(void)sim;
	for (unsigned i = 0; i < nlates;) {
		if (lates[i].media == m)
			forget(i, false);
		else
			i++;
	}
}
