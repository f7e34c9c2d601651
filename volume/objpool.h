/* volume/objpool.h - objects of one size, made in chunks, so that the I/O path
 * never calls malloc.
 *
 * A pool with max == chunk makes everything at once and is a hard limit
 * (objpool_get() then returns NULL: queue).  Otherwise it grows by chunks and
 * never shrinks.  Contents of an object are undefined after objpool_get().
 */
#ifndef TARN_VOLUME_OBJPOOL_H
#define TARN_VOLUME_OBJPOOL_H

#include <stddef.h>
#include <stdint.h>

struct objpool {
	size_t   size_bytes; /* of one object */
	uint32_t chunk;      /* objects made at a time */
	uint32_t max;        /* objects at most; 0: no limit */
	uint32_t made;       /* objects made */
	uint32_t used;       /* objects given out */
	void    *free;       /* first free object; its first word is the next */
	void    *chunks;     /* newest chunk; its first word is the next */
};

/* Makes the first chunk.  -ENOMEM. */
int objpool_init(struct objpool *p, size_t size_bytes, uint32_t chunk,
		 uint32_t max);
/* Every object must have been put back, or is forgotten. */
void objpool_fini(struct objpool *p);
/* NULL: the limit is reached, or out of memory. */
void *objpool_get(struct objpool *p);
void objpool_put(struct objpool *p, void *obj);

#endif
