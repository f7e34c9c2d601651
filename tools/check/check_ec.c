/* tools/check/check_ec.c - parity by the definition in pool/row_format.h.
 *
 * Pure and plain: coefficients are computed one by one from the formula, the
 * system of equations is solved by Gauss's method here, and only the product
 * of a matrix with long slices is isa-l's.
 */
#include <isa-l/erasure_code.h>
#include <string.h>

#include "tools/check/check_state.h"

uint8_t ck_ec_coef(uint32_t k, uint32_t m, uint32_t p, uint32_t d)
{
	if (m == 1 || k == 1)
		return 1;
	return gf_inv((unsigned char)((k + p) ^ d));
}

/* out = sum of coef[i] * in[i] over GF(2^8). */
static void combine(uint32_t n, uint8_t *coef, uint8_t *const *in,
		    uint32_t len_bytes, uint8_t *out)
{
	uint8_t tables[32 * POOL_K_MAX];
	uint8_t *src[POOL_K_MAX];
	uint8_t *dst[1] = { out };

	for (uint32_t i = 0; i < n; i++)
		src[i] = in[i];
	ec_init_tables((int)n, 1, coef, tables);
	ec_encode_data((int)len_bytes, (int)n, 1, tables, src, dst);
}

void ck_ec_parity(uint32_t k, uint32_t m, uint32_t p, uint8_t *const *data,
		  uint32_t len_bytes, uint8_t *out)
{
	uint8_t coef[POOL_K_MAX];

	for (uint32_t d = 0; d < k; d++)
		coef[d] = ck_ec_coef(k, m, p, d);
	combine(k, coef, data, len_bytes, out);
}

/* Solve x * a = e_want for x: the combination of the k units (rows of a) that
 * gives data unit `want`.  a is k by k, destroyed. */
static bool solve(uint32_t k, uint8_t a[POOL_K_MAX][POOL_K_MAX],
		  uint32_t want, uint8_t *x)
{
	uint8_t inv[POOL_K_MAX][POOL_K_MAX] = { { 0 } };

	for (uint32_t i = 0; i < k; i++)
		inv[i][i] = 1;
	for (uint32_t c = 0; c < k; c++) {
		uint32_t pivot = c;
		uint8_t  f;

		while (pivot < k && a[pivot][c] == 0)
			pivot++;
		if (pivot == k)
			return false;
		for (uint32_t j = 0; j < k; j++) {
			uint8_t t = a[c][j], s = inv[c][j];

			a[c][j] = a[pivot][j];
			a[pivot][j] = t;
			inv[c][j] = inv[pivot][j];
			inv[pivot][j] = s;
		}
		f = gf_inv(a[c][c]);
		for (uint32_t j = 0; j < k; j++) {
			a[c][j] = gf_mul(a[c][j], f);
			inv[c][j] = gf_mul(inv[c][j], f);
		}
		for (uint32_t r = 0; r < k; r++) {
			if (r == c || a[r][c] == 0)
				continue;
			f = a[r][c];
			for (uint32_t j = 0; j < k; j++) {
				a[r][j] ^= gf_mul(f, a[c][j]);
				inv[r][j] ^= gf_mul(f, inv[c][j]);
			}
		}
	}
	/* units = A * data, so data[want] = (A^-1)[want] * units. */
	memcpy(x, inv[want], k);
	return true;
}

bool ck_ec_rebuild(const struct ck *ck, uint8_t *const *units, uint32_t have,
		   uint32_t want, uint8_t *out)
{
	uint32_t k = ck->k, m = ck->m;
	uint8_t  a[POOL_K_MAX][POOL_K_MAX] = { { 0 } };
	uint8_t  x[POOL_K_MAX];
	uint8_t *in[POOL_K_MAX];
	uint32_t n = 0;

	for (uint32_t u = 0; u < k + m && n < k; u++) {
		if ((have >> u & 1) == 0)
			continue;
		for (uint32_t d = 0; d < k; d++)
			a[n][d] = u < k ? u == d :
					  ck_ec_coef(k, m, u - k, d);
		in[n++] = units[u];
	}
	if (n < k || !solve(k, a, want, x))
		return false;
	combine(k, x, in, TARN_BLOCK, out);
	return true;
}
