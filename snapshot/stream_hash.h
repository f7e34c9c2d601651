/* snapshot/stream_hash.h - the checksums of a record.
 *
 * Its head has a CRC-32C, which begins with that of the header.  Its payload
 * has one hash, XXH3 of 128 bits, which stands in the head; so the digest of
 * all heads is one of the payloads, too, and costs nothing.
 */
#ifndef TARN_SNAPSHOT_STREAM_HASH_H
#define TARN_SNAPSHOT_STREAM_HASH_H

#include "snapshot/stream_format.h"

/* What crc32c should be; head_crc: of the header. */
uint32_t stream_record_crc(const struct stream_record *rec, uint32_t head_crc);
/* ret_hash: 16 bytes, as in struct stream_record; zeros for no payload. */
void stream_hash(const void *buf, size_t len, uint8_t *ret_hash);

#endif
