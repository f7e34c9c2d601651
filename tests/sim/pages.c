/* tests/sim/pages.c - a stack of free page numbers over one mapping. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/pages.h"

uint8_t  *pages_base;
uint32_t *pages_refs;

static page_t  *free_stack;
static uint32_t free_len;
static uint32_t fresh; /* pages from here on were never used */

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("tarn-sim: mmap");
		exit(2);
	}
	return p;
}

void pages_open(void)
{
	assert(pages_base == NULL);
	pages_base = map((size_t)PAGES_LIMIT * TARN_BLOCK);
	/* Only a matter of speed. */
	(void)madvise(pages_base, (size_t)PAGES_LIMIT * TARN_BLOCK,
		      MADV_HUGEPAGE);
	pages_refs = map((size_t)PAGES_LIMIT * sizeof(pages_refs[0]));
	free_stack = map((size_t)PAGES_LIMIT * sizeof(free_stack[0]));
	pages_refs[PAGE_ZERO] = 1u << 31;
	fresh = 1;
}

page_t page_new(void)
{
	page_t p;

	if (free_len > 0) {
		p = free_stack[--free_len];
	} else if (fresh < PAGES_LIMIT) {
		p = fresh++;
	} else {
		fprintf(stderr, "tarn-sim: out of pages\n");
		exit(2);
	}
	assert(pages_refs[p] == 0);
	pages_refs[p] = 1;
	return p;
}

page_t page_copy_of(const void *data)
{
	page_t p = page_new();

	memcpy(page_data(p), data, TARN_BLOCK);
	return p;
}

void page_release(page_t p)
{
	assert(p != PAGE_ZERO && pages_refs[p] == 0);
	free_stack[free_len++] = p;
}

uint32_t pages_used(void)
{
	return fresh - 1 - free_len;
}
