/* base/size.h - sizes as people write and read them: 10G, 1.5T, 4096.
 *
 * Pure.  Units are binary; K, M, G, T, P, E may be followed by "iB" or "B",
 * in either case.  A plain number is bytes.
 */
#ifndef TARN_BASE_SIZE_H
#define TARN_BASE_SIZE_H

#include <stdint.h>

#define SIZE_TEXT_BYTES 24

/* A fraction ("1.5T") is rounded up to a whole block of 4096 bytes.
 * -EINVAL: not a size; -ERANGE: 2^63 bytes or more. */
int size_parse(const char *text, uint64_t *ret_bytes);
/* Three significant digits: "512B", "1.50K", "15.2G", "152T".  ret_text: at
 * least SIZE_TEXT_BYTES; returns it. */
char *size_text(uint64_t bytes, char *ret_text);

#endif
