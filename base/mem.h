/* base/mem.h - large pieces of memory. */
#ifndef TARN_BASE_MEM_H
#define TARN_BASE_MEM_H

#include <stddef.h>

/* The size of a huge page on the machines that this runs on. */
#define MEM_HUGE_BYTES ((size_t)2 << 20)

/* len bytes, zero, at a multiple of MEM_HUGE_BYTES.  Pages are taken when they
 * are first written, huge ones where the kernel has them: what is looked up at
 * random in a large table costs half its time in the walk of page tables, in a
 * virtual machine above all.  NULL: out of memory. */
void *mem_map(size_t len);
/* What mem_map() gave, and its len. */
void mem_unmap(void *mem, size_t len);
/* Give back the pages of a part; they read as zeros when used again. */
void mem_forget(void *mem, size_t len);

#endif
