/* pool/segment_format.h - the segment table and the index of a sealed segment.
 *
 * Table pages of kind TABLE_SEGMENTS hold segment entries of a fixed stride,
 *	stride = 32 + 8 * (k + m), entries per page = floor(4064 / stride).
 * Page p holds segments 1 + p * per_page onward.  A page starts with
 *
 *   OFFSET SIZE FIELD
 *        0    8 magic        "TARNSEG\1"
 *        8    4 page         its number (catches a misplaced page)
 *       12    4 nentries     entries in use in it
 *       16   16 pool         pool UUID
 *       32      entries
 *
 * Its CRC32C is in the table's index.  An entry:
 *
 *        0    4 generation   of the newest use
 *        4    1 state        enum seg_disk_state
 *        5    1 flags        1 some of its blocks may be lost
 *        6    2 zero
 *        8    4 live         live data and node blocks (tables are counted
 *                            from the index when a pool is opened)
 *       12    4 scan_from    OPENABLE: rows younger than the commit start
 *                            at or after this block of the zones
 *       16    4 missing      bit u: unit u is not whole (its disk was out)
 *       20    4 index_off    SEALED: block of the zones where the index
 *                            starts; 0: none
 *       24    8 claim        of the owner that opened it; bit 63 (STRAY):
 *                            writes sent earlier may still be on their way
 *                            to its zones, bit 62 (DOUBT): that owner may
 *                            still be there and write to it
 *       32      zones        k+m of { le32 member, le32 zone }; member
 *                            0xffffffff: there was no disk for this unit
 *
 * Durable with the commit that wrote it.
 *
 * A sealed segment ends with an index of its rows, the same copy in each
 * zone: index_blocks blocks from index_off on.
 *
 *        0    8 magic        "TARNIDX\1"
 *        8    4 crc32c       of bytes 12 .. bytes-1
 *       12    4 bytes        length of the whole index
 *       16   16 pool
 *       32    4 segment
 *       36    4 generation
 *       40    4 nrows
 *       44    4 off          its own offset in the zone, blocks
 *       48   16 zero
 *       64      rows: for each, the following and then its records as in
 *               the row's header
 *
 *        0    8 row          row number
 *        8    4 off          of the row in the zones, blocks
 *       12    2 unit_blocks
 *       14    2 payload_blocks
 *       16    2 slice
 *       18    2 nrecs
 *       20    4 recs_bytes
 *       24      payload CRC32Cs, le32 each, padded to 8; then records
 */
#ifndef TARN_POOL_SEGMENT_FORMAT_H
#define TARN_POOL_SEGMENT_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/uuid.h"

#define SEG_PAGE_MAGIC  "TARNSEG\1"
#define SEG_INDEX_MAGIC "TARNIDX\1"

enum seg_disk_state {
	SEG_DISK_FREE = 0,        /* no zones; only the generation counts */
	SEG_DISK_OPENABLE = 1,    /* open, or may be opened before the next
				   * commit: to be scanned */
	SEG_DISK_SEALED = 2,      /* never written again in this generation */
	SEG_DISK_QUARANTINED = 3, /* zones are not used until released */
	SEG_DISK_RESERVED = 4,    /* one zone, on which its owner makes a unit
				   * of another segment again; for whoever
				   * comes after it, as QUARANTINED */
};

/* In seg_entry.flags. */
#define SEG_FLAG_DAMAGED (1u << 0)

/* In seg_entry.claim. */
#define SEG_CLAIM_STRAY (1ull << 63)
#define SEG_CLAIM_DOUBT (1ull << 62)

struct seg_page_header {
	uint8_t     magic[8];
	le32        page;
	le32        nentries;
	struct uuid pool;
};
static_assert(sizeof(struct seg_page_header) == 32, "seg_page_header");

struct seg_entry {
	le32    generation;
	uint8_t state;
	uint8_t flags;
	uint8_t zero[2];
	le32    live;
	le32    scan_from;
	le32    missing;
	le32    index_off;
	le64    claim;
	/* zones follow */
};
static_assert(sizeof(struct seg_entry) == 32, "seg_entry");
static_assert(offsetof(struct seg_entry, claim) == 24, "seg_entry.claim");

#define ZONE_NONE 0xffffffffu /* member of a unit that has no zone */

struct seg_zone {
	le32 member;
	le32 zone;
};

static inline uint32_t seg_entry_stride(uint32_t k, uint32_t m)
{
	return (uint32_t)sizeof(struct seg_entry) +
	       (uint32_t)sizeof(struct seg_zone) * (k + m);
}

static inline uint32_t seg_entries_per_page(uint32_t k, uint32_t m)
{
	return (4096 - (uint32_t)sizeof(struct seg_page_header)) /
	       seg_entry_stride(k, m);
}

struct seg_index_header {
	uint8_t     magic[8];
	le32        crc32c;
	le32        bytes;
	struct uuid pool;
	le32        segment;
	le32        generation;
	le32        nrows;
	le32        off;
	uint8_t     zero[16];
};
static_assert(sizeof(struct seg_index_header) == 64, "seg_index_header");

struct seg_index_row {
	le64 row;
	le32 off;
	le16 unit_blocks;
	le16 payload_blocks;
	le16 slice;
	le16 nrecs;
	le32 recs_bytes;
};
static_assert(sizeof(struct seg_index_row) == 24, "seg_index_row");

#endif
