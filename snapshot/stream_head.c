/* snapshot/stream_head.c - the header of a stream.
 *
 * Magic, version and feature bits are looked at before the checksum, so that
 * what is no stream, or a later one, is called that and not damaged.
 */
#include "snapshot/stream_head.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "volume/volume.h"

static bool name_is_bad(const char *name)
{
	char err[256];

	return vol_name_problem(name, err) != NULL;
}

static const char *base_problem(const struct stream_header *h)
{
	bool none = h->base_kind == STREAM_BASE_NONE;

	if (h->base_kind > STREAM_BASE_CHECKPOINT)
		return "names a base of an unknown kind";
	if (none != uuid_is_zero(&h->base) || none != (h->base_name[0] == 0))
		return "contradicts itself about its base";
	if (none)
		return h->base_bytes == 0 ? NULL : "gives no base a size";
	if (name_is_bad(h->base_name))
		return "has a name of the base that cannot be one";
	if (uuid_equal(&h->base, &h->target))
		return "names the snapshot itself as its base";
	if (h->base_bytes % 512 != 0 || h->base_bytes > VOLUME_BYTES_MAX)
		return "has a size of the base that is not possible";
	return NULL;
}

const char *stream_head_problem(const struct stream_header *h)
{
	if (uuid_is_zero(&h->volume) || uuid_is_zero(&h->target))
		return "lacks the identity of the volume or snapshot";
	if (name_is_bad(h->volume_name) || name_is_bad(h->target_name))
		return "has a name of the volume or snapshot that cannot be "
		       "one";
	if (h->size_bytes == 0 || h->size_bytes % 512 != 0 ||
	    h->size_bytes > VOLUME_BYTES_MAX)
		return "has a size that is not possible";
	if (h->created_s >= 1ull << 62)
		return "has a time that is not possible";
	if (h->start_bytes >= h->size_bytes)
		return "starts behind the end of the snapshot";
	return base_problem(h);
}

static uint32_t name_put(uint8_t *buf, uint32_t at, const char *name)
{
	for (; *name != '\0'; name++)
		buf[at++] = (uint8_t)*name;
	return at;
}

uint32_t stream_head_encode(const struct stream_header *h, uint8_t *ret_buf)
{
	struct stream_head d = {
		.version = le32_of(STREAM_VERSION),
		.incompat = le32_of(h->compressed ? STREAM_INCOMPAT_ZSTD : 0),
		.base_kind = h->base_kind,
		.volume = h->volume,
		.target = h->target,
		.base = h->base,
		.size_bytes = le64_of(h->size_bytes),
		.base_bytes = le64_of(h->base_bytes),
		.created_s = le64_of(h->created_s),
		.start_bytes = le64_of(h->start_bytes),
		.volume_len = le16_of((uint16_t)strlen(h->volume_name)),
		.target_len = le16_of((uint16_t)strlen(h->target_name)),
		.base_len = le16_of((uint16_t)strlen(h->base_name)),
	};
	uint32_t at = sizeof(d);

	static_assert(sizeof(d) + 3 * VOLUME_NAME_MAX <= STREAM_HEADER_MAX,
		      "names fit");
	at = name_put(ret_buf, at, h->volume_name);
	at = name_put(ret_buf, at, h->target_name);
	at = name_put(ret_buf, at, h->base_name);
	memcpy(d.magic, STREAM_MAGIC, sizeof(d.magic));
	d.header_bytes = le32_of(at);
	memcpy(ret_buf, &d, sizeof(d));
	d.crc32c = le32_of(crc32c(0, ret_buf + 12, at - 12));
	memcpy(ret_buf, &d, sizeof(d));
	return at;
}

uint32_t stream_head_bytes(const uint8_t *buf, char *ret_why)
{
	struct stream_head d;
	uint32_t bytes, unknown;

	memcpy(&d, buf, sizeof(d));
	bytes = le32_get(d.header_bytes);
	unknown = le32_get(d.incompat) & ~STREAM_INCOMPAT;
	if (memcmp(d.magic, STREAM_MAGIC, sizeof(d.magic)) != 0)
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "this is no stream of a snapshot: it does not begin "
			 "with " STREAM_MAGIC);
	else if (le32_get(d.version) != STREAM_VERSION)
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "the stream is of version %u, and only version %u is "
			 "known here: use the program that goes with the "
			 "sender", le32_get(d.version), STREAM_VERSION);
	else if (unknown != 0)
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "the stream has features that are not known here "
			 "(%#x): use the program that goes with the sender",
			 unknown);
	else if (bytes < sizeof(d) || bytes > STREAM_HEADER_MAX)
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "the stream is damaged at byte 12: its header cannot "
			 "have %u bytes", bytes);
	else
		return bytes;
	return 0;
}

/* The name of len bytes at *at; false: it is none, or reaches beyond end. */
static bool name_get(const uint8_t *buf, uint32_t end, uint32_t *at, le16 len,
		     char *ret_name)
{
	uint32_t n = le16_get(len);

	if (n > VOLUME_NAME_MAX || n > end - *at)
		return false;
	memcpy(ret_name, buf + *at, n);
	ret_name[n] = '\0';
	*at += n;
	return strlen(ret_name) == n;
}

int stream_head_decode(const uint8_t *buf, uint32_t bytes,
		       struct stream_header *ret_header, char *ret_why)
{
	struct stream_head d;
	struct stream_header h = { 0 };
	uint32_t    at = sizeof(d);
	const char *why = NULL;

	memcpy(&d, buf, sizeof(d));
	if (crc32c(0, buf + 12, bytes - 12) != le32_get(d.crc32c)) {
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "the stream is damaged at byte 0: the checksum of its "
			 "header is wrong");
		return -EBADMSG;
	}
	h.volume = d.volume;
	h.target = d.target;
	h.base = d.base;
	h.base_kind = d.base_kind;
	h.compressed = (le32_get(d.incompat) & STREAM_INCOMPAT_ZSTD) != 0;
	h.size_bytes = le64_get(d.size_bytes);
	h.base_bytes = le64_get(d.base_bytes);
	h.created_s = le64_get(d.created_s);
	h.start_bytes = le64_get(d.start_bytes);
	if (!name_get(buf, bytes, &at, d.volume_len, h.volume_name) ||
	    !name_get(buf, bytes, &at, d.target_len, h.target_name) ||
	    !name_get(buf, bytes, &at, d.base_len, h.base_name))
		why = "has names that make no sense";
	/* What a compatible feature may have put behind the names. */
	else if (at != bytes && le32_get(d.compat) == 0)
		why = "is longer than what it holds";
	else
		why = stream_head_problem(&h);
	if (why != NULL) {
		snprintf(ret_why, STREAM_ERROR_BYTES,
			 "the stream is refused at byte 0: its header %s", why);
		return -EBADMSG;
	}
	*ret_header = h;
	return 0;
}
