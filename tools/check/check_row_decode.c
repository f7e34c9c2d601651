/* tools/check/check_row_decode.c - from bytes to rows: headers as they stand
 * in every unit, and entries of a segment's index.
 *
 * Pure.  Written after pool/row_format.h and pool/segment_format.h alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

#define ROW_FIXED ((uint32_t)sizeof(struct row_header))

static uint32_t round8(uint32_t v)
{
	return (v + 7) & ~7u;
}

static bool has_ext(const struct rec *rec)
{
	return rec->type == REC_UNMAP || rec->type == REC_MOVE ||
	       (rec->type == REC_WRITE && (rec->flags & REC_FAMILY) != 0);
}

/* One record at raw[*pos]; NULL or what is wrong. */
static const char *rec_decode(const uint8_t *raw, uint32_t bytes,
			      uint32_t *pos, struct ck_rec *ret)
{
	const struct row_rec *d = (const struct row_rec *)(raw + *pos);
	struct rec *rec = &ret->rec;
	uint32_t len = sizeof(*d);

	if (bytes - *pos < len)
		return "a record is cut off";
	rec->type = d->type;
	rec->flags = d->flags;
	rec->n = le16_get(d->n);
	rec->id = le32_get(d->id);
	rec->block = le64_get(d->block);
	if (has_ext(rec))
		len += 8;
	else if (rec->type == REC_CATALOG)
		len += round8(rec->n);
	if (bytes - *pos < len)
		return "a record's body is cut off";
	if (has_ext(rec))
		rec->ext = le64_get(*(const le64 *)(raw + *pos + 16));
	if (rec->type == REC_CATALOG)
		ret->body = raw + *pos + 16;
	*pos += len;
	return NULL;
}

static const char *rec_problem(const struct rec *r)
{
	if (r->type == REC_WRITE && has_ext(r) &&
	    (r->ext == 0 || r->ext > UINT32_MAX))
		return "a write is of a family that cannot be";
	if (r->type == REC_MOVE &&
	    (r->ext == 0 || r->ext >= (1ull << PLACE_BITS) - r->n))
		return "a move is from where no place is";
	switch (r->type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_ROOT:
		return r->n == 0 || r->n > ROW_PAYLOAD_MAX ?
			       "a record has no payload" :
			       NULL;
	case REC_NODE:
	case REC_TABLE:
		return r->n != 1 ? "a node or page is not one block" : NULL;
	case REC_UNMAP:
		return r->n != 0 ? "an unmap has payload" : NULL;
	case REC_CATALOG:
		return r->n > CATALOG_BODY_MAX ? "a body is too long" : NULL;
	default:
		return "a record is of an unknown type";
	}
}

/* Fill in row->recs from row->raw. */
static const char *recs_decode(struct ck_row *row)
{
	uint32_t pos = 0, payload = 0;

	for (uint32_t i = 0; i < row->nrecs; i++) {
		struct ck_rec *r = &row->recs[i];
		const char *why = rec_decode(row->raw, row->recs_bytes, &pos,
					     r);

		if (why == NULL)
			why = rec_problem(&r->rec);
		if (why != NULL)
			return why;
		r->first = payload;
		if (r->rec.type != REC_UNMAP && r->rec.type != REC_CATALOG)
			payload += r->rec.n;
	}
	if (pos != row->recs_bytes)
		return "the record list is longer than its records";
	if (payload != row->payload_blocks)
		return "the records do not account for the payload";
	return NULL;
}

/* A row with room for its lists, in one piece. */
static struct ck_row *row_alloc(uint32_t payload, uint32_t nrecs,
				uint32_t recs_bytes)
{
	size_t at_recs = sizeof(struct ck_row);
	size_t at_crcs = at_recs + nrecs * sizeof(struct ck_rec);
	size_t at_raw = at_crcs + payload * sizeof(uint32_t);
	uint8_t *mem = calloc(1, at_raw + recs_bytes + 1);
	struct ck_row *row = (struct ck_row *)(void *)mem;

	if (mem == NULL)
		return NULL;
	row->payload_blocks = payload;
	row->nrecs = nrecs;
	row->recs_bytes = recs_bytes;
	row->recs = (struct ck_rec *)(void *)(mem + at_recs);
	row->crcs = (uint32_t *)(void *)(mem + at_crcs);
	row->raw = mem + at_raw;
	return row;
}

void ck_row_free(struct ck_row *row)
{
	free(row);
}

uint32_t ck_row_unit_field(const uint8_t *buf)
{
	return ((const struct row_header *)buf)->unit;
}

/* What index entries and headers have in common. */
static const char *shape_problem(const struct ck_geometry *g,
				 const struct ck_row *row)
{
	if (row->row == 0)
		return "row number 0";
	if (row->slice != div_up(row->payload_blocks, g->k))
		return "the slice does not fit the payload";
	if (row->header_blocks < 1 || row->header_blocks > ROW_HEADER_MAX ||
	    row->unit_blocks != row->header_blocks + row->slice)
		return "the unit's length is not header and slice";
	if (row->off >= g->zone_blocks ||
	    row->unit_blocks > g->zone_blocks - row->off)
		return "it goes beyond the end of the zone";
	return NULL;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

static const char *fields_problem(const struct ck_geometry *g,
				  const struct row_header *h)
{
	uint32_t payload = le16_get(h->payload_blocks);
	uint32_t room = h->header_blocks * TARN_BLOCK;
	uint32_t off = le32_get(h->recs_off);
	uint32_t bytes = le32_get(h->recs_bytes);

	if (!uuid_equal(&h->pool, &g->pool))
		return "it belongs to another pool";
	if (h->k != g->k || h->m != g->m)
		return "its k+m is not the pool's";
	if (g->k == 1 ? h->unit != 0 : h->unit >= g->k + g->m)
		return "its unit is out of range";
	if (payload > ROW_PAYLOAD_MAX || le16_get(h->nrecs) > ROW_RECORDS_MAX)
		return "too many blocks or records";
	if (off != round8(ROW_FIXED + 4 * payload))
		return "the records do not start behind the checksums";
	if (off > room || bytes > room - off)
		return "the records go beyond the header";
	if (le64_get(h->flushed) >= le64_get(h->row))
		return "it says of itself that it is flushed";
	if (le32_get(h->segment) == 0)
		return "segment number 0";
	return NULL;
}

/* What no writer writes, though a reader can do with it. */
static const char *fields_odd(const struct ck_geometry *g,
			      const struct row_header *h)
{
	if (h->header_blocks == 2 &&
	    le32_get(h->recs_off) + le32_get(h->recs_bytes) <= TARN_BLOCK)
		return "two header blocks where one is enough";
	if (le64_get(h->commit) >= le64_get(h->row))
		return "it names a commit younger than itself";
	if (g->k == 1 && !all_zero(&h->parity_crc[0].b[0],
				   sizeof(h->parity_crc)))
		return "a parity checksum without parity";
	if (!all_zero(h->zero, sizeof(h->zero)))
		return "reserved bytes are not zero";
	return NULL;
}

static void header_fill(const struct ck_geometry *g,
			const struct row_header *h, const uint8_t *buf,
			struct ck_row *row)
{
	const le32 *crcs = (const le32 *)(buf + ROW_FIXED);

	row->row = le64_get(h->row);
	row->flushed = le64_get(h->flushed);
	row->commit = le64_get(h->commit);
	row->claim.no = le64_get(h->claim);
	row->claim.id = h->claim_id;
	row->segment = le32_get(h->segment);
	row->generation = le32_get(h->generation);
	row->off = le32_get(h->off);
	row->unit_blocks = le32_get(h->unit_blocks);
	row->header_blocks = h->header_blocks;
	row->slice = le16_get(h->slice);
	row->odd = fields_odd(g, h);
	for (unsigned p = 0; p < POOL_M_MAX; p++)
		row->parity_crc[p] = le32_get(h->parity_crc[p]);
	for (uint32_t i = 0; i < row->payload_blocks; i++)
		row->crcs[i] = le32_get(crcs[i]);
	memcpy(row->raw, buf + le32_get(h->recs_off), row->recs_bytes);
	/* All but the checksum and the unit is the same in every unit. */
	row->hash = crc32c(0, buf + 12, 3);
	row->hash = crc32c(row->hash, buf + 16,
			   h->header_blocks * TARN_BLOCK - 16);
}

int ck_row_decode(const struct ck_geometry *g, const uint8_t *buf,
		  uint32_t len_bytes, struct ck_row **ret_row,
		  const char **why)
{
	const struct row_header *h = (const struct row_header *)buf;
	struct ck_row *row;

	*why = "no row header";
	if (len_bytes < TARN_BLOCK ||
	    memcmp(h->magic, ROW_MAGIC, sizeof(h->magic)) != 0)
		return -ENODATA;
	*why = "its header's length is out of range";
	if (h->header_blocks < 1 || h->header_blocks > ROW_HEADER_MAX ||
	    h->header_blocks * TARN_BLOCK > len_bytes)
		return -EBADMSG;
	*why = "its header's checksum is wrong";
	if (crc32c(0, buf + 12, h->header_blocks * TARN_BLOCK - 12) !=
	    le32_get(h->crc32c))
		return -EBADMSG;
	*why = "its version is not known";
	if (le16_get(h->version) != ROW_VERSION)
		return -ENOTSUP;
	*why = fields_problem(g, h);
	if (*why != NULL)
		return -EBADMSG;
	row = row_alloc(le16_get(h->payload_blocks), le16_get(h->nrecs),
			le32_get(h->recs_bytes));
	if (row == NULL)
		return -ENOMEM;
	header_fill(g, h, buf, row);
	*why = shape_problem(g, row);
	if (*why == NULL)
		*why = recs_decode(row);
	if (*why != NULL) {
		ck_row_free(row);
		return -EBADMSG;
	}
	*ret_row = row;
	return 0;
}

int ck_index_row_decode(const struct ck_geometry *g, const uint8_t *buf,
			uint32_t len_bytes, uint32_t *pos,
			struct ck_row **ret_row, const char **why)
{
	const struct seg_index_row *d;
	const le32 *crcs;
	uint32_t payload, nrecs, recs_bytes, recs_off, unit_blocks, slice;
	struct ck_row *row;

	*why = "an entry is cut off";
	if (len_bytes - *pos < sizeof(*d))
		return -EBADMSG;
	d = (const struct seg_index_row *)(buf + *pos);
	payload = le16_get(d->payload_blocks);
	nrecs = le16_get(d->nrecs);
	recs_bytes = le32_get(d->recs_bytes);
	unit_blocks = le16_get(d->unit_blocks);
	slice = le16_get(d->slice);
	*why = "an entry's counts are out of range";
	if (payload > ROW_PAYLOAD_MAX || nrecs > ROW_RECORDS_MAX ||
	    recs_bytes > ROW_HEADER_MAX * TARN_BLOCK || unit_blocks < slice)
		return -EBADMSG;
	recs_off = (uint32_t)sizeof(*d) + round8(4 * payload);
	*why = "an entry's lists are cut off";
	if (len_bytes - *pos < recs_off + recs_bytes)
		return -EBADMSG;
	row = row_alloc(payload, nrecs, recs_bytes);
	if (row == NULL)
		return -ENOMEM;
	row->row = le64_get(d->row);
	row->off = le32_get(d->off);
	row->unit_blocks = unit_blocks;
	row->slice = slice;
	row->header_blocks = unit_blocks - slice;
	row->indexed = true;
	row->from_index = true;
	crcs = (const le32 *)(buf + *pos + sizeof(*d));
	for (uint32_t i = 0; i < payload; i++)
		row->crcs[i] = le32_get(crcs[i]);
	memcpy(row->raw, buf + *pos + recs_off, recs_bytes);
	*why = shape_problem(g, row);
	if (*why == NULL)
		*why = recs_decode(row);
	if (*why != NULL) {
		ck_row_free(row);
		return -EBADMSG;
	}
	*pos += recs_off + recs_bytes;
	*ret_row = row;
	return 0;
}
