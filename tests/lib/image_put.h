/* tests/lib/image_put.h - putting integers and magic numbers into bytes. */
#ifndef TARN_TESTS_LIB_IMAGE_PUT_H
#define TARN_TESTS_LIB_IMAGE_PUT_H

#include <string.h>

#include "tests/lib/image_builder.h"

static inline void put16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void put32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void put64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* Magic numbers are 8 bytes, without an end. */
static inline void put_text(void *p, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((char *)p)[i] = text[i];
}

static inline void image_hook(struct image *im, enum img_what what,
			      uint64_t id, void *buf)
{
	if (im->hook != NULL)
		im->hook(im, what, id, buf);
}

/* image_builder.c: an empty pool; the same place, content and birth, or none
 * with place 0, is in the model from now on. */
struct image *image_new(uint32_t k, uint32_t m, img_hook fn, void *arg);
void image_entry_set(struct image *im, struct img_entry *e,
		     struct img_entry to);
/* image_commit.c: write nodes, tables and root; the index of a segment. */
void image_commit(struct image *im);
void image_seal(struct image *im, uint32_t seg);
/* image_label.c */
void image_leases(struct image *im);
/* k+m of { member, zone }. */
void image_put_zones(const struct image *im, uint32_t seg, uint8_t *p);

#endif
