/* snapshot/stream_format.h - what a snapshot, or what changed since an older
 * one, looks like in a file or pipe.
 *
 * Little-endian, nothing is aligned.  A header, then records, the last of which
 * is END; nothing follows it.  docs/stream-format.md says what they mean.
 *
 * HEADER, then the three names without NULs:
 *        0    8 magic         "TARNSTRM"
 *        8    4 crc32c        of bytes 12 .. header_bytes - 1
 *       12    4 header_bytes  with the names: 120 to 4096
 *       16    4 version       1
 *       20    4 incompat      who does not know a bit here cannot read it
 *       24    4 compat        who does not know a bit here may ignore it
 *       28    1 base_kind     enum stream_base
 *       29    3 zero0
 *       32   16 volume        uuid of the volume
 *       48   16 target        uuid of the snapshot
 *       64   16 base          uuid of the base; 0: there is none
 *       80    8 size_bytes    of the snapshot
 *       88    8 base_bytes    size of the base; 0: none, or not known
 *       96    8 created_s     of the snapshot, seconds since 1970
 *      104    8 start_bytes   what is below was sent before; 0: nothing
 *      112    2 volume_len    bytes of the volume's name
 *      114    2 target_len    of the snapshot's, without the volume's
 *      116    2 base_len      of the base's, without the volume's
 *      118    2 zero1
 *
 * RECORD, then payload_bytes of payload:
 *        0    4 crc32c        of the header's crc32c, then bytes 4 .. 55
 *        4    2 type          enum stream_type
 *        6    2 encoding      of DATA: enum stream_encoding; else 0
 *        8    4 payload_bytes
 *       12    4 packed_crc32c of a payload that is compressed; else 0
 *       16    8 seq           counts from 1
 *       24    8 off_bytes     in the volume
 *       32    8 len_bytes     in the volume; 0 for MARK and END
 *       40   16 xxh3          of the payload, not compressed; 0: there is none
 *
 * TOTALS, the payload of MARK and END:
 *        0    8 records       before this one
 *        8    8 data_bytes    sum of len_bytes of the DATA among them
 *       16    8 zero_bytes    of the ZERO among them
 *       24   32 sha256        of the header and the heads of all records before
 *                             this one
 */
#ifndef TARN_SNAPSHOT_STREAM_FORMAT_H
#define TARN_SNAPSHOT_STREAM_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/uuid.h"

#define STREAM_MAGIC         "TARNSTRM"
#define STREAM_VERSION       1u
#define STREAM_HEADER_MAX    4096u
/* incompat: DATA may be compressed by zstd */
#define STREAM_INCOMPAT_ZSTD (1u << 0)
#define STREAM_INCOMPAT      STREAM_INCOMPAT_ZSTD
#define STREAM_COMPAT        0u

struct stream_head {
	uint8_t     magic[8];
	le32        crc32c;
	le32        header_bytes;
	le32        version;
	le32        incompat;
	le32        compat;
	uint8_t     base_kind;
	uint8_t     zero0[3];
	struct uuid volume;
	struct uuid target;
	struct uuid base;
	le64        size_bytes;
	le64        base_bytes;
	le64        created_s;
	le64        start_bytes;
	le16        volume_len;
	le16        target_len;
	le16        base_len;
	uint8_t     zero1[2];
};
static_assert(sizeof(struct stream_head) == 120, "stream_head");

enum stream_type {
	STREAM_TYPE_DATA = 1, /* these bytes */
	STREAM_TYPE_ZERO = 2, /* zeros, no payload */
	STREAM_TYPE_MARK = 3, /* everything below off_bytes has been sent */
	STREAM_TYPE_END = 4,  /* everything has; off_bytes is the size */
};

enum stream_encoding {
	STREAM_RAW = 0,  /* len_bytes of payload */
	STREAM_ZSTD = 1, /* one frame of zstd that says its content's size */
};

struct stream_record {
	le32    crc32c;
	le16    type;
	le16    encoding;
	le32    payload_bytes;
	le32    packed_crc32c;
	le64    seq;
	le64    off_bytes;
	le64    len_bytes;
	uint8_t xxh3[16];
};
static_assert(sizeof(struct stream_record) == 56, "stream_record");

struct stream_totals {
	le64    records;
	le64    data_bytes;
	le64    zero_bytes;
	uint8_t sha256[32];
};
static_assert(sizeof(struct stream_totals) == 56, "stream_totals");

#endif
