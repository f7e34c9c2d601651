/* pool/row.h - from structs to row headers and back.  Pure.
 *
 * row_header_validate() is the only way from bytes to a row header.
 */
#ifndef TARN_POOL_ROW_H
#define TARN_POOL_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"
#include "pool/row_format.h"

/* A decoded header; lists stay in the bytes that it was decoded from. */
struct row_info {
	uint64_t    claim;
	struct uuid claim_id;
	uint32_t    segment;
	uint32_t    generation;
	uint64_t    row_no;
	uint64_t    flushed;        /* all rows up to this are flushed */
	uint64_t    commit;
	uint32_t    off_blocks;     /* in the zones */
	uint32_t    unit_blocks;
	uint32_t    header_blocks;
	uint32_t    payload_blocks;
	uint32_t    slice_blocks;
	uint32_t    nrecs;
	uint32_t    recs_bytes;
	uint32_t    recs_off;
	uint32_t    unit;
	uint32_t    parity_crc[POOL_M_MAX];
	const le32 *crcs;           /* payload_blocks of them */
	const uint8_t *recs;        /* recs_bytes */
};

/* What every row of a pool has in common. */
struct row_geometry {
	struct uuid pool;
	uint32_t    k, m;
	uint32_t    zone_blocks;
};

/* Bytes of a record on disk. */
uint32_t row_rec_bytes(const struct rec *rec);

/* Write the record at buf (row_rec_bytes() long); body for CATALOG. */
void row_rec_encode(const struct rec *rec, const void *body, uint8_t *buf);

/* Next record: *pos advances from 0 to bytes; ret_body points into recs.
 * 1: a record, 0: the end, -EBADMSG: not a valid list. */
int row_rec_next(const uint8_t *recs, uint32_t bytes, uint32_t *pos,
		 struct rec *ret_rec, const void **ret_body);

/* Are the records of i a valid list of nrecs for payload_blocks blocks? */
bool row_records_valid(const struct row_info *i);

/* Payload blocks of a record. */
uint32_t rec_payload_blocks(const struct rec *rec);

/* How many header blocks a row with these lists needs; 0 when too many. */
uint32_t row_header_blocks(uint32_t payload_blocks, uint32_t recs_bytes);

/* Fill in the header for `unit` and its checksum.  The payload CRCs and the
 * records are in place already; header_blocks * 4096 bytes at buf. */
void row_header_encode(const struct row_geometry *g, const struct row_info *i,
		       uint32_t unit, uint8_t *buf);

/* buf: len_bytes, of which the header must be a part.  Checks everything that
 * can be checked without the payload; the segment, generation and offset that
 * it claims must be compared by the caller.  -EBADMSG, ret_why (may be NULL)
 * says which check failed. */
int row_header_validate(const struct row_geometry *g, const uint8_t *buf,
			uint32_t len_bytes, struct row_info *ret_info,
			const char **ret_why);

/* True when the unit's slice (slice_blocks * 4096 bytes) is what the header
 * says it must be. */
bool row_slice_valid(const struct row_geometry *g, const struct row_info *i,
		     uint32_t unit, const uint8_t *slice);

#endif
