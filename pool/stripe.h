/* pool/stripe.h - redundancy arithmetic: parity of k slices, and any k units
 * back to all.  Pure; isa-l does the work.
 *
 * k = 1: units are copies.  m = 1: XOR.  Otherwise Reed-Solomon with a Cauchy
 * matrix (see row_format.h).
 */
#ifndef TARN_POOL_STRIPE_H
#define TARN_POOL_STRIPE_H

#include <stdint.h>

#include "base/limits.h"

struct stripe {
	uint32_t k, m;
	uint8_t  matrix[POOL_UNITS_MAX * POOL_K_MAX]; /* (k+m) rows of k */
	uint8_t  tables[32 * POOL_K_MAX * POOL_M_MAX]; /* for encoding */
};

/* 1 <= k <= POOL_K_MAX, 0 <= m <= POOL_M_MAX. */
void stripe_init(struct stripe *s, uint32_t k, uint32_t m);

/* units[0..k-1]: data, len_bytes each (a multiple of 4096, aligned to 32);
 * units[k..k+m-1]: parity, written here. */
void stripe_encode(const struct stripe *s, uint32_t len_bytes,
		   uint8_t *const *units);

/* Rebuild unit `want` into out from k units: have is a mask of at least k
 * units whose contents are in units[]; the lowest k of them are used.
 * Returns 0, or -EINVAL when have has fewer than k. */
int stripe_rebuild(const struct stripe *s, uint32_t len_bytes,
		   uint8_t *const *units, uint32_t have, uint32_t want,
		   uint8_t *out);

#endif
