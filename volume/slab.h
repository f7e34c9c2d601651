/* volume/slab.h - 4096-byte buffers for map nodes and table pages.
 *
 * Mapped in chunks as they are needed, kept for reuse, given back at the end.
 * How many are in use is what the node budget is measured against.
 */
#ifndef TARN_VOLUME_SLAB_H
#define TARN_VOLUME_SLAB_H

#include <stdint.h>

struct slab {
	void    *free;   /* first free buffer; its first word is the next */
	void   **chunks; /* mapped chunks */
	uint32_t nchunks;
	uint64_t used;   /* buffers given out */
};

#define SLAB_CHUNK_BYTES (2u << 20)

void slab_init(struct slab *s);
void slab_fini(struct slab *s);
/* Aligned to 4096, contents undefined; NULL: out of memory. */
void *slab_get(struct slab *s);
/* The same where there is no way back (a change that is in the log already
 * must be entered): out of memory ends the process, as a crash would. */
void *slab_need(struct slab *s);
/* NULL is allowed. */
void slab_put(struct slab *s, void *buf);

#endif
