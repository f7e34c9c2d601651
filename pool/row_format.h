/* pool/row_format.h - rows as they lie on disks.
 *
 * A row is one append to a segment.  It takes `unit_blocks` consecutive blocks
 * at the same offset in each of the segment's k+m zones:
 *
 *	data unit u < k:   [ header | payload blocks u*slice .. (u+1)*slice-1 ]
 *	parity unit u >= k: [ header | parity u-k of the slices ]
 *
 * slice = ceil(payload_blocks / k); the end of the last slice is padded with
 * zeros.  header_blocks is 1, or 2 when the lists do not fit.  With k = 1
 * every unit is a copy and the headers are identical too (unit is 0 in all).
 * With m = 1 parity is XOR; else Reed-Solomon over GF(2^8), polynomial 0x11d,
 * Vandermonde-free Cauchy matrix: parity p of data d has the coefficient
 * 1 / ((k + p) XOR d)   (isa-l, gf_gen_cauchy1_matrix).
 *
 * All integers are little-endian.  A header block is written once, durable
 * when its disk was flushed after it.  `version` is 1; a reader refuses rows
 * of a higher version (their pool has an incompat feature bit anyway).
 *
 *   OFFSET SIZE FIELD
 *        0    8 magic           "TARNROW\1"
 *        8    4 crc32c          of bytes 12 .. header_blocks*4096-1
 *       12    2 version         1
 *       14    1 header_blocks   1 or 2
 *       15    1 unit            this unit's index; 0 in all when k = 1
 *       16   16 pool            pool UUID
 *       32    8 claim           the writer's claim
 *       40   16 claim_id        its random id
 *       56    4 segment         segment number, from 1
 *       60    4 generation      of the segment, +1 at each reuse
 *       64    8 row             row number, from 1
 *       72    8 flushed         all rows up to this one are known flushed
 *       80    4 off             of this header in the zone, blocks
 *       84    4 unit_blocks     header_blocks + slice
 *       88    2 payload_blocks  0 .. 257
 *       90    2 slice           ceil(payload_blocks / k)
 *       92    1 k               data units
 *       93    1 m               parity units
 *       94    2 nrecs           records, 0 .. 257
 *       96    4 recs_bytes      length of the record list
 *      100    4 recs_off        where it starts: 160 + 4 * payload_blocks,
 *                               rounded up to 8
 *      104   16 parity_crc      CRC32C of each parity slice (4 * le32); zero
 *                               when k = 1
 *      120    8 commit          row number of the newest commit known done
 *      128   32 zero            reserved, zero
 *      160      payload_crc     le32 per payload block
 * recs_off      records
 *
 * A record is 16 bytes, followed by 8 more for UNMAP, MOVE and a WRITE with
 * flag 1, and by the body, padded to 8 bytes, for CATALOG.
 *
 *        0    1 type            enum rec_type
 *        1    1 flags           bit 0: must understand; bit 1: a WRITE has ext
 *        2    2 n               payload blocks (WRITE, MOVE, NODE, TABLE,
 *                               ROOT), body bytes (CATALOG), 0 (UNMAP)
 *        4    4 id              volume, family (MOVE), node id, subtype, or
 *                               table kind; TABLE_INDEX_BIT: an index page of
 *                               that kind
 *        8    8 block           first block, page, or index
 *       16    8 ext             UNMAP: blocks; MOVE: place they were at;
 *                               WRITE: family of the volume
 *
 * Payload blocks belong to the records in order: the first record's n, then
 * the second's…
 */
#ifndef TARN_POOL_ROW_FORMAT_H
#define TARN_POOL_ROW_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/limits.h"
#include "base/uuid.h"

#define ROW_MAGIC   "TARNROW\1"
#define ROW_VERSION 1

/* In the id of a TABLE record: the block is an index page of that kind. */
#define TABLE_INDEX_BIT 0x100u

struct row_header {
	uint8_t     magic[8];
	le32        crc32c;
	le16        version;
	uint8_t     header_blocks;
	uint8_t     unit;
	struct uuid pool;
	le64        claim;
	struct uuid claim_id;
	le32        segment;
	le32        generation;
	le64        row;
	le64        flushed;
	le32        off;
	le32        unit_blocks;
	le16        payload_blocks;
	le16        slice;
	uint8_t     k;
	uint8_t     m;
	le16        nrecs;
	le32        recs_bytes;
	le32        recs_off;
	le32        parity_crc[POOL_M_MAX];
	le64        commit;
	uint8_t     zero[32];
};
static_assert(sizeof(struct row_header) == 160, "row_header");
static_assert(offsetof(struct row_header, claim) == 32, "claim");
static_assert(offsetof(struct row_header, segment) == 56, "segment");
static_assert(offsetof(struct row_header, row) == 64, "row");
static_assert(offsetof(struct row_header, off) == 80, "off");
static_assert(offsetof(struct row_header, payload_blocks) == 88, "payload");
static_assert(offsetof(struct row_header, k) == 92, "k");
static_assert(offsetof(struct row_header, recs_bytes) == 96, "recs_bytes");
static_assert(offsetof(struct row_header, parity_crc) == 104, "parity_crc");
static_assert(offsetof(struct row_header, commit) == 120, "commit");

struct row_rec {
	uint8_t type;
	uint8_t flags;
	le16    n;
	le32    id;
	le64    block;
};
static_assert(sizeof(struct row_rec) == 16, "row_rec");

#endif
