/* snapshot/stream_hash.c - the checksums of a record. */
#include "snapshot/stream_hash.h"

#include <string.h>
#include <xxhash.h>

#include "base/crc32c.h"

uint32_t stream_record_crc(const struct stream_record *rec, uint32_t head_crc)
{
	le32     seed = le32_of(head_crc);
	uint32_t crc = crc32c(0, &seed, sizeof(seed));

	return crc32c(crc, (const uint8_t *)rec + sizeof(rec->crc32c),
		      sizeof(*rec) - sizeof(rec->crc32c));
}

void stream_hash(const void *buf, size_t len, uint8_t *ret_hash)
{
	XXH128_canonical_t hash = { { 0 } };

	static_assert(sizeof(hash) ==
			      sizeof(((struct stream_record *)NULL)->xxh3),
		      "its place");
	if (len > 0)
		XXH128_canonicalFromHash(&hash, XXH3_128bits(buf, len));
	memcpy(ret_hash, &hash, sizeof(hash));
}
