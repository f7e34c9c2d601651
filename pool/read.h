/* pool/read.h - what reading and making blocks again share; private to read.c
 * and read_recon.c.  What others use is in core.h.
 */
#ifndef TARN_POOL_READ_H
#define TARN_POOL_READ_H

#include "pool/core.h"

/* So much is made at once when nothing is known to be wrong. */
#define AROUND_BLOCKS 64u

static inline struct segment *read_seg(const struct pool_read *r)
{
	return pool_seg(r->pool, place_seg(r->pool, r->place));
}

/* Block i of the reader's buffer. */
static inline uint8_t *read_block(const struct pool_read *r, uint32_t i)
{
	return (uint8_t *)r->buf + (size_t)i * TARN_BLOCK;
}

/* --- read.c -------------------------------------------------------------- */
/* Is that block i, by its checksum? */
bool block_good(const struct pool_read *r, uint32_t i, const uint8_t *data);
/* Can unit u be read now? */
bool unit_readable(const struct pool *p, const struct segment *s, uint32_t u);
/* It has waited as long as one waits for what is expected back soon. */
bool read_was_patient(const struct pool_read *r);
/* recon_next() again in a while, or when a disk is back. */
void read_wait(struct pool_read *r);
/* The reader has it. */
void read_finish(struct pool_read *r);

/* --- read_recon.c -------------------------------------------------------- */
/* Units other than the one that was asked, or is not to be, and not those of
 * slow disks: max, or as many as there are; 0: fewer than k. */
uint32_t units_around(const struct pool_read *r, uint32_t max);
/* Make n blocks from others; r->around says from which.  False: there is no
 * buffer. */
bool recon_begin(struct pool_read *r, uint32_t first, uint32_t n);
/* Make the next run of blocks that are not right, or finish. */
void recon_next(struct pool_read *r);
/* The disk that was asked first has answered: what is still being read, if
 * anything is, ends later, and keeps its segment until then. */
void recon_abandon(struct pool_read *r);
/* … has answered, with what is wrong: it can be written again there. */
void recon_direct_ok(struct pool_read *r);

#endif
