/* pool/root_format.h - the root of a commit.
 *
 * The root is the payload of one row with one ROOT record: a blob of up to
 * 257 blocks.  The label points at it.
 *
 *   OFFSET SIZE FIELD
 *        0    8 magic         "TARNROOT"
 *        8    4 crc32c        of bytes 12 .. bytes-1
 *       12    4 bytes         length of the blob
 *       16   16 pool          pool UUID
 *       32    8 row           the state is exactly that after this row
 *       40    8 commit        number of this commit, +1 each
 *       48    8 claim         of the writer
 *       56    4 nsegments     segments the segment table has entries for
 *       60    4 client_bytes  length of the client's part
 *       64    4 nboot         bootstrap segments
 *       68    4 scrub         the segment that a scrub has come to, + 2^31
 *                             while it is paused; 0: there is none
 *       72      8 kinds, 16 bytes each, enum table_kind 0..7 (0: unused):
 *                 0  4 npages   pages of this table
 *                 4  4 nindex   index pages = ceil(npages / 256)
 *                 8  8 zero
 *      200      index page references in order of kind, 16 bytes each
 *      ...      nboot bootstrap segments, 8 + 8 * (k+m) bytes each: the
 *               segments that hold index pages or pages of TABLE_SEGMENTS, so
 *               that these can be read before the segment table is known:
 *                 0  4 segment
 *                 4  4 generation
 *                 8    zones   k+m of { le32 member, le32 zone }
 *      ...      the client's part, padded to 8 bytes
 *
 * A reference (also the entry of an index page, 256 of them a page):
 *        0    8 place         low 48 bits; 0: the page was never written
 *        8    4 crc32c        of the 4096 bytes there
 *       12    4 zero
 */
#ifndef TARN_POOL_ROOT_FORMAT_H
#define TARN_POOL_ROOT_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/uuid.h"

#define ROOT_MAGIC        "TARNROOT"
#define ROOT_KINDS        8
#define ROOT_CLIENT_MAX   1024
#define INDEX_REFS_A_PAGE 256
/* In root_header.scrub. */
#define ROOT_SCRUB_PAUSED (1u << 31)

struct root_header {
	uint8_t     magic[8];
	le32        crc32c;
	le32        bytes;
	struct uuid pool;
	le64        row;
	le64        commit;
	le64        claim;
	le32        nsegments;
	le32        client_bytes;
	le32        nboot;
	le32        scrub;
	struct {
		le32 npages;
		le32 nindex;
		le64 zero;
	} kinds[ROOT_KINDS];
};
static_assert(sizeof(struct root_header) == 200, "root_header");
static_assert(offsetof(struct root_header, row) == 32, "root_header.row");

struct page_ref {
	le64 place;
	le32 crc32c;
	le32 zero;
};
static_assert(sizeof(struct page_ref) == 16, "page_ref");

#endif
