/* base/crc32c.h - CRC-32C (Castagnoli), the one checksum of the disk format.
 *
 * The usual convention: initial value and final value inverted, so
 * crc32c(0, "123456789", 9) is 0xe3069283, and crc32c(crc32c(0, a), b) is the
 * checksum of a followed by b.  isa-l does the arithmetic.
 */
#ifndef TARN_BASE_CRC32C_H
#define TARN_BASE_CRC32C_H

#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

/* len_bytes < 2^31. */
static inline uint32_t crc32c(uint32_t crc, const void *buf, size_t len_bytes)
{
	return ~crc32_iscsi((unsigned char *)(uintptr_t)buf, (int)len_bytes,
			    ~crc);
}

#endif
