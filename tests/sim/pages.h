/* tests/sim/pages.h - 4096-byte pages with reference counts, by number, so
 * that a disk's image, its durable image and its list of unflushed writes can
 * share what they have in common.
 *
 * One set for the whole process; a page that nobody holds is used again.
 * Page 0 is all zeros and is never freed.
 */
#ifndef TARN_TESTS_SIM_PAGES_H
#define TARN_TESTS_SIM_PAGES_H

#include <stdint.h>

#include "base/util.h"

typedef uint32_t page_t;

#define PAGE_ZERO   0u
#define PAGES_LIMIT (1u << 20) /* 4 GiB of address space */

extern uint8_t  *pages_base;
extern uint32_t *pages_refs;

void pages_open(void);
/* One reference is the caller's; contents undefined. */
page_t page_new(void);
page_t page_copy_of(const void *data);
/* Pages in use, for leak checks. */
uint32_t pages_used(void);
void page_release(page_t p);

static inline uint8_t *page_data(page_t p)
{
	return pages_base + (size_t)p * TARN_BLOCK;
}

static inline page_t page_get(page_t p)
{
	pages_refs[p]++;
	return p;
}

static inline void page_put(page_t p)
{
	if (--pages_refs[p] == 0)
		page_release(p);
}

#endif
