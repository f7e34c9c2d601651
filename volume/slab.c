/* volume/slab.c - chunks of a huge page, a stack of free buffers. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/util.h"
#include "volume/slab.h"

void slab_init(struct slab *s)
{
	memset(s, 0, sizeof(*s));
}

void slab_fini(struct slab *s)
{
	for (uint32_t i = 0; i < s->nchunks; i++)
		mem_unmap(s->chunks[i], SLAB_CHUNK_BYTES);
	free(s->chunks);
	slab_init(s);
}

static bool grow(struct slab *s)
{
	uint8_t *chunk;
	void   **chunks;

	if (is_pow2(s->nchunks) || s->nchunks == 0) {
		size_t cap = s->nchunks == 0 ? 1 : 2 * (size_t)s->nchunks;

		chunks = realloc(s->chunks, cap * sizeof(s->chunks[0]));
		if (chunks == NULL)
			return false;
		s->chunks = chunks;
	}
	chunk = mem_map(SLAB_CHUNK_BYTES);
	if (chunk == NULL)
		return false;
	s->chunks[s->nchunks++] = chunk;
	for (size_t off = SLAB_CHUNK_BYTES; off > 0;) {
		off -= TARN_BLOCK;
		memcpy(chunk + off, &s->free, sizeof(s->free));
		s->free = chunk + off;
	}
	return true;
}

void *slab_get(struct slab *s)
{
	void *buf;

	if (s->free == NULL && !grow(s))
		return NULL;
	buf = s->free;
	memcpy(&s->free, buf, sizeof(s->free));
	s->used++;
	return buf;
}

void *slab_need(struct slab *s)
{
	void *buf = slab_get(s);

	if (buf == NULL)
		abort();
	return buf;
}

void slab_put(struct slab *s, void *buf)
{
	if (buf == NULL)
		return;
	assert(s->used > 0);
	s->used--;
	memcpy(buf, &s->free, sizeof(s->free));
	s->free = buf;
}
