/* pool/stripe.c - see stripe.h. */
#include "pool/stripe.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
#include <string.h>

void stripe_init(struct stripe *s, uint32_t k, uint32_t m)
{
	assert(k >= 1 && k <= POOL_K_MAX);
	assert(m <= POOL_M_MAX);
	memset(s, 0, sizeof(*s));
	s->k = k;
	s->m = m;
	if (k == 1 || m == 0)
		return;
	if (m == 1) {
		for (uint32_t i = 0; i < k; i++) {
			s->matrix[i * k + i] = 1;
			s->matrix[k * k + i] = 1;
		}
	} else {
		gf_gen_cauchy1_matrix(s->matrix, (int)(k + m), (int)k);
	}
	ec_init_tables((int)k, (int)m, s->matrix + k * k, s->tables);
}

static void xor_units(uint32_t len_bytes, uint32_t n, void **srcs_and_dest)
{
	/* xor_gen wants at least two sources and one destination. */
	int r = xor_gen((int)n + 1, (int)len_bytes, srcs_and_dest);

	assert(r == 0);
}

void stripe_encode(const struct stripe *s, uint32_t len_bytes,
		   uint8_t *const *units)
{
	void    *v[POOL_K_MAX + 1];
	uint8_t *data[POOL_K_MAX];
	uint8_t *parity[POOL_M_MAX];

	if (s->m == 0 || len_bytes == 0)
		return;
	if (s->k == 1) {
		for (uint32_t p = 0; p < s->m; p++)
			memcpy(units[1 + p], units[0], len_bytes);
		return;
	}
	if (s->m == 1) {
		for (uint32_t i = 0; i <= s->k; i++)
			v[i] = units[i];
		xor_units(len_bytes, s->k, v);
		return;
	}
	for (uint32_t i = 0; i < s->k; i++)
		data[i] = units[i];
	for (uint32_t p = 0; p < s->m; p++)
		parity[p] = units[s->k + p];
	ec_encode_data((int)len_bytes, (int)s->k, (int)s->m,
		       (unsigned char *)(uintptr_t)s->tables, data, parity);
}

/* The row of coefficients that makes unit `want` out of the k sources. */
static int rebuild_row(const struct stripe *s, const uint32_t *src,
		       uint32_t want, uint8_t *ret_row)
{
	uint32_t k = s->k;
	uint8_t  in[POOL_K_MAX * POOL_K_MAX];
	uint8_t  inv[POOL_K_MAX * POOL_K_MAX];

	for (uint32_t i = 0; i < k; i++)
		memcpy(in + i * k, s->matrix + src[i] * k, k);
	if (gf_invert_matrix(in, inv, (int)k) != 0)
		return -EINVAL;
	for (uint32_t j = 0; j < k; j++) {
		uint8_t c = 0;

		for (uint32_t i = 0; i < k; i++)
			c ^= gf_mul(s->matrix[want * k + i], inv[i * k + j]);
		ret_row[j] = c;
	}
	return 0;
}

int stripe_rebuild(const struct stripe *s, uint32_t len_bytes,
		   uint8_t *const *units, uint32_t have, uint32_t want,
		   uint8_t *out)
{
	uint32_t src[POOL_K_MAX];
	uint32_t n = 0;
	uint8_t  row[POOL_K_MAX];
	uint8_t  tables[32 * POOL_K_MAX];
	uint8_t *data[POOL_K_MAX];
	uint8_t *dest[1] = {out};

	for (uint32_t u = 0; u < s->k + s->m && n < s->k; u++) {
		if (have & (1u << u))
			src[n++] = u;
	}
	if (n < s->k)
		return -EINVAL;
	if (len_bytes == 0)
		return 0;
	if (s->k == 1) {
		memmove(out, units[src[0]], len_bytes);
		return 0;
	}
	if (rebuild_row(s, src, want, row) < 0)
		return -EINVAL;
	for (uint32_t i = 0; i < s->k; i++)
		data[i] = units[src[i]];
	ec_init_tables((int)s->k, 1, row, tables);
	ec_encode_data((int)len_bytes, (int)s->k, 1, tables, data, dest);
	return 0;
}
