/* base/mem.c - mappings at the boundaries of huge pages: more is mapped than is
 * wanted, and what sticks out is unmapped.
 */
#include <stdint.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/util.h"

void *mem_map(size_t len)
{
	size_t   want = round_up(len, MEM_HUGE_BYTES);
	size_t   all = want + MEM_HUGE_BYTES;
	uint8_t *at, *mem;

	if (all < len)
		return NULL;
	at = mmap(NULL, all, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	mem = at + (round_up((uintptr_t)at, MEM_HUGE_BYTES) - (uintptr_t)at);
	if (mem > at)
		munmap(at, (size_t)(mem - at));
	if (at + all > mem + want)
		munmap(mem + want, (size_t)(at + all - (mem + want)));
	/* A kernel without huge pages says no, and that is all. */
	(void)madvise(mem, want, MADV_HUGEPAGE);
	return mem;
}

void mem_unmap(void *mem, size_t len)
{
	if (mem != NULL)
		munmap(mem, round_up(len, MEM_HUGE_BYTES));
}

void mem_forget(void *mem, size_t len)
{
	/* If it fails, the memory stays: no harm but its size. */
	if (len > 0)
		(void)madvise(mem, len, MADV_DONTNEED);
}
