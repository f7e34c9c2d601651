/* base/endian.h - integers with a byte order, as types of their own.
 *
 * On-disk structs use le16/le32/le64, NBD uses be16/be32/be64.  They are
 * structs of bytes, so mixing one with an ordinary integer does not compile,
 * and they have alignment 1, so a format struct has no hidden padding.
 */
#ifndef TARN_BASE_ENDIAN_H
#define TARN_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "only little-endian machines are supported"
#endif

/* clang-format off */
typedef struct { uint8_t b[2]; } le16;
typedef struct { uint8_t b[4]; } le32;
typedef struct { uint8_t b[8]; } le64;
typedef struct { uint8_t b[2]; } be16;
typedef struct { uint8_t b[4]; } be32;
typedef struct { uint8_t b[8]; } be64;
/* clang-format on */

#define TARN_DEFINE_ENDIAN(bits)                                    \
	static inline uint##bits##_t le##bits##_get(le##bits v)     \
	{                                                           \
		uint##bits##_t r;                                   \
                                                                    \
		memcpy(&r, v.b, sizeof(r));                         \
		return r;                                           \
	}                                                           \
	static inline le##bits le##bits##_of(uint##bits##_t v)      \
	{                                                           \
		le##bits r;                                         \
                                                                    \
		memcpy(r.b, &v, sizeof(v));                         \
		return r;                                           \
	}                                                           \
	static inline uint##bits##_t be##bits##_get(be##bits v)     \
	{                                                           \
		uint##bits##_t r;                                   \
                                                                    \
		memcpy(&r, v.b, sizeof(r));                         \
		return __builtin_bswap##bits(r);                    \
	}                                                           \
	static inline be##bits be##bits##_of(uint##bits##_t v)      \
	{                                                           \
		be##bits r;                                         \
                                                                    \
		v = __builtin_bswap##bits(v);                       \
		memcpy(r.b, &v, sizeof(v));                         \
		return r;                                           \
	}

TARN_DEFINE_ENDIAN(16)
TARN_DEFINE_ENDIAN(32)
TARN_DEFINE_ENDIAN(64)

#undef TARN_DEFINE_ENDIAN

#endif
