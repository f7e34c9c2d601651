/* pool/cleaner.h - the cleaner's parts: which segments (cleaner_choose.c), how
 * fast clients may write meanwhile (pace.c), and emptying them (cleaner.c).
 * Private to those.
 */
#ifndef TARN_POOL_CLEANER_H
#define TARN_POOL_CLEANER_H

#include "pool/scan.h"

#define VICTIMS_MAX 4u
/* Passes that may come to nothing before there is a pause. */
#define VAIN_PASSES 3u

/* What lives in a segment and keeps it from being freed, in blocks. */
static inline uint32_t seg_held(const struct segment *s)
{
	return s->live + s->tables;
}

/* Segments that clients may open before only the reserve is left, now or after
 * the next commit. */
uint32_t segs_for_clients(const struct pool *p);
/* When they are so few, segments are emptied. */
uint32_t segs_low(const struct pool *p);
bool space_is_low(const struct pool *p);
/* Have they not written for a while? */
bool clients_idle(const struct pool *p);

/* Up to VICTIMS_MAX segments that are to be emptied together now; 0: none.
 * ret_again_ns: when it is worth while to ask again if nothing happens; 0:
 * never. */
uint32_t cleaner_choose(struct pool *p, struct segment **ret_victims,
			uint64_t *ret_again_ns);

#endif
