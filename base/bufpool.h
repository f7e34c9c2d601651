/* base/bufpool.h - block-aligned buffers out of one arena, by the buddy
 * method (Knowlton 1965), so that the I/O path never calls malloc and memory
 * is bounded by configuration.
 *
 * Sizes are rounded up to a power of two blocks.  Single-threaded.
 */
#ifndef TARN_BASE_BUFPOOL_H
#define TARN_BASE_BUFPOOL_H

#include <stddef.h>
#include <stdint.h>

struct bufpool;

/* An arena of arena_bytes (rounded up to a power of two), mapped but touched
 * only as it is used.  -ENOMEM. */
int bufpool_open(size_t arena_bytes, struct bufpool **ret_pool);
/* Every buffer must have been put back. */
void bufpool_close(struct bufpool *p);
/* The same, whatever is still given out: for the simulation's killed servers,
 * whose buffers nobody puts back. */
void bufpool_abandon(struct bufpool *p);
/* At least len_bytes > 0, aligned to 4096, contents undefined; NULL when the
 * arena has no such piece now: queue and try again after a bufpool_put(). */
void *bufpool_get(struct bufpool *p, size_t len_bytes);
/* NULL is allowed. */
void bufpool_put(struct bufpool *p, void *buf);
/* Bytes given out now, rounded sizes counted. */
size_t bufpool_used_bytes(const struct bufpool *p);
size_t bufpool_arena_bytes(const struct bufpool *p);

#endif
