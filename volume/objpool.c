/* volume/objpool.c - free objects are a stack, so that the one used last,
 * which is still in the processor's cache, is used next.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "volume/objpool.h"

/* The chunk's link takes a cache line, so that objects stay aligned. */
#define CHUNK_HEAD_BYTES 64u

static int grow(struct objpool *p)
{
	uint32_t n = p->chunk;
	uint8_t *chunk;

	if (p->max != 0)
		n = min_u32(n, p->max - p->made);
	if (n == 0)
		return -ENOBUFS;
	chunk = calloc(1, CHUNK_HEAD_BYTES + n * p->size_bytes);
	if (chunk == NULL)
		return -ENOMEM;
	memcpy(chunk, &p->chunks, sizeof(p->chunks));
	p->chunks = chunk;
	for (uint32_t i = n; i-- > 0;) {
		void *obj = chunk + CHUNK_HEAD_BYTES + i * p->size_bytes;

		memcpy(obj, &p->free, sizeof(p->free));
		p->free = obj;
	}
	p->made += n;
	return 0;
}

int objpool_init(struct objpool *p, size_t size_bytes, uint32_t chunk,
		 uint32_t max)
{
	assert(size_bytes >= sizeof(void *) && chunk > 0);
	memset(p, 0, sizeof(*p));
	p->size_bytes = round_up(size_bytes, 16);
	p->chunk = chunk;
	p->max = max;
	return grow(p);
}

void objpool_fini(struct objpool *p)
{
	while (p->chunks != NULL) {
		void *chunk = p->chunks;

		memcpy(&p->chunks, chunk, sizeof(p->chunks));
		free(chunk);
	}
	p->free = NULL;
}

void *objpool_get(struct objpool *p)
{
	void *obj;

	if (p->free == NULL && grow(p) < 0)
		return NULL;
	obj = p->free;
	memcpy(&p->free, obj, sizeof(p->free));
	p->used++;
	return obj;
}

void objpool_put(struct objpool *p, void *obj)
{
	assert(obj != NULL && p->used > 0);
	p->used--;
	memcpy(obj, &p->free, sizeof(p->free));
	p->free = obj;
}
