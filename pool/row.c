/* pool/row.c - see row.h and row_format.h. */
#include "pool/row.h"

#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "base/crc32c.h"

#define CRC_FROM 12u

static bool has_ext(const struct rec *rec)
{
	return rec->type == REC_UNMAP || rec->type == REC_MOVE ||
	       (rec->type == REC_WRITE && rec->flags & REC_FAMILY);
}

static uint32_t body_padded(uint32_t bytes)
{
	return (uint32_t)round_up(bytes, 8);
}

uint32_t row_rec_bytes(const struct rec *rec)
{
	uint32_t bytes = (uint32_t)sizeof(struct row_rec);

	if (has_ext(rec))
		bytes += 8;
	if (rec->type == REC_CATALOG)
		bytes += body_padded(rec->n);
	return bytes;
}

uint32_t rec_payload_blocks(const struct rec *rec)
{
	switch (rec->type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_NODE:
	case REC_TABLE:
	case REC_ROOT:
		return rec->n;
	default:
		return 0;
	}
}

void row_rec_encode(const struct rec *rec, const void *body, uint8_t *buf)
{
	struct row_rec r = {
		.type = rec->type,
		.flags = rec->flags,
		.n = le16_of(rec->n),
		.id = le32_of(rec->id),
		.block = le64_of(rec->block),
	};

	memcpy(buf, &r, sizeof(r));
	buf += sizeof(r);
	if (has_ext(rec)) {
		le64 ext = le64_of(rec->ext);

		memcpy(buf, &ext, sizeof(ext));
	}
	if (rec->type == REC_CATALOG) {
		memset(buf, 0, body_padded(rec->n));
		if (rec->n != 0)
			memcpy(buf, body, rec->n);
	}
}

static bool rec_plausible(const struct rec *rec)
{
	switch (rec->type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_ROOT:
		return rec->n >= 1 && rec->n <= ROW_PAYLOAD_MAX;
	case REC_NODE:
	case REC_TABLE:
		return rec->n == 1;
	case REC_UNMAP:
		return rec->n == 0;
	case REC_CATALOG:
		return rec->n <= CATALOG_BODY_MAX;
	default:
		return false;
	}
}

static bool ext_plausible(const struct rec *rec)
{
	switch (rec->type) {
	case REC_WRITE: /* a family */
		return rec->ext >= 1 && rec->ext <= UINT32_MAX;
	case REC_MOVE: /* places */
		return rec->ext != PLACE_NONE &&
		       rec->ext < (1ull << PLACE_BITS) - rec->n;
	default:
		return true;
	}
}

int row_rec_next(const uint8_t *recs, uint32_t bytes, uint32_t *pos,
		 struct rec *ret_rec, const void **ret_body)
{
	struct row_rec r;
	struct rec     rec;
	uint32_t       left = bytes - *pos;

	if (left == 0)
		return 0;
	if (left < sizeof(r))
		return -EBADMSG;
	memcpy(&r, recs + *pos, sizeof(r));
	rec.type = r.type;
	rec.flags = r.flags;
	rec.n = le16_get(r.n);
	rec.id = le32_get(r.id);
	rec.block = le64_get(r.block);
	rec.ext = 0;
	if (!rec_plausible(&rec) || row_rec_bytes(&rec) > left)
		return -EBADMSG;
	if (has_ext(&rec)) {
		le64 ext;

		memcpy(&ext, recs + *pos + sizeof(r), sizeof(ext));
		rec.ext = le64_get(ext);
		if (!ext_plausible(&rec))
			return -EBADMSG;
	}
	*ret_body = rec.type == REC_CATALOG ? recs + *pos + sizeof(r) : NULL;
	*pos += row_rec_bytes(&rec);
	*ret_rec = rec;
	return 1;
}

static uint32_t recs_off_of(uint32_t payload_blocks)
{
	return (uint32_t)round_up(sizeof(struct row_header) +
					  4 * (uint64_t)payload_blocks,
				  8);
}

uint32_t row_header_blocks(uint32_t payload_blocks, uint32_t recs_bytes)
{
	uint64_t bytes = (uint64_t)recs_off_of(payload_blocks) + recs_bytes;
	uint64_t blocks = bytes_to_blocks_up(bytes);

	return blocks <= ROW_HEADER_MAX ? (uint32_t)blocks : 0;
}

void row_header_encode(const struct row_geometry *g, const struct row_info *i,
		       uint32_t unit, uint8_t *buf)
{
	struct row_header h;

	memset(&h, 0, sizeof(h));
	memcpy(h.magic, ROW_MAGIC, sizeof(h.magic));
	h.version = le16_of(ROW_VERSION);
	h.header_blocks = (uint8_t)i->header_blocks;
	h.unit = g->k == 1 ? 0 : (uint8_t)unit;
	h.pool = g->pool;
	h.claim = le64_of(i->claim);
	h.claim_id = i->claim_id;
	h.segment = le32_of(i->segment);
	h.generation = le32_of(i->generation);
	h.row = le64_of(i->row_no);
	h.flushed = le64_of(i->flushed);
	h.off = le32_of(i->off_blocks);
	h.unit_blocks = le32_of(i->unit_blocks);
	h.payload_blocks = le16_of((uint16_t)i->payload_blocks);
	h.slice = le16_of((uint16_t)i->slice_blocks);
	h.k = (uint8_t)g->k;
	h.m = (uint8_t)g->m;
	h.nrecs = le16_of((uint16_t)i->nrecs);
	h.recs_bytes = le32_of(i->recs_bytes);
	h.recs_off = le32_of(recs_off_of(i->payload_blocks));
	for (uint32_t p = 0; p < POOL_M_MAX; p++)
		h.parity_crc[p] = le32_of(i->parity_crc[p]);
	h.commit = le64_of(i->commit);
	memcpy(buf, &h, sizeof(h));
	h.crc32c = le32_of(crc32c(0, buf + CRC_FROM,
				  i->header_blocks * TARN_BLOCK - CRC_FROM));
	memcpy(buf + offsetof(struct row_header, crc32c), &h.crc32c,
	       sizeof(h.crc32c));
}

/* The fields that depend on one another. */
static const char *header_problem(const struct row_geometry *g,
				  const struct row_header *h,
				  const struct row_info *i)
{
	if (!uuid_equal(&h->pool, &g->pool))
		return "pool";
	if (h->k != g->k || h->m != g->m)
		return "redundancy";
	if (i->payload_blocks > ROW_PAYLOAD_MAX)
		return "payload_blocks";
	if (i->slice_blocks != div_up(i->payload_blocks, g->k))
		return "slice";
	if (i->unit_blocks != i->header_blocks + i->slice_blocks)
		return "unit_blocks";
	if (i->off_blocks >= g->zone_blocks ||
	    i->unit_blocks > g->zone_blocks - i->off_blocks)
		return "off";
	if (i->unit >= g->k + g->m || (g->k == 1 && i->unit != 0))
		return "unit";
	if (i->nrecs > ROW_RECORDS_MAX)
		return "nrecs";
	if (i->recs_off != recs_off_of(i->payload_blocks) ||
	    i->recs_bytes > i->header_blocks * TARN_BLOCK - i->recs_off)
		return "recs_bytes";
	if (i->segment == 0 || i->row_no == 0 || i->flushed >= i->row_no)
		return "numbers";
	return NULL;
}

bool row_records_valid(const struct row_info *i)
{
	uint32_t    pos = 0, n = 0, payload = 0;
	struct rec  rec;
	const void *body;
	int         r;

	while ((r = row_rec_next(i->recs, i->recs_bytes, &pos, &rec,
				 &body)) == 1) {
		n++;
		payload += rec_payload_blocks(&rec);
		if (n > i->nrecs || payload > i->payload_blocks)
			return false;
	}
	return r == 0 && n == i->nrecs && payload == i->payload_blocks;
}

static void header_decode(const struct row_header *h, const uint8_t *buf,
			  struct row_info *i)
{
	i->claim = le64_get(h->claim);
	i->claim_id = h->claim_id;
	i->segment = le32_get(h->segment);
	i->generation = le32_get(h->generation);
	i->row_no = le64_get(h->row);
	i->flushed = le64_get(h->flushed);
	i->commit = le64_get(h->commit);
	i->off_blocks = le32_get(h->off);
	i->unit_blocks = le32_get(h->unit_blocks);
	i->header_blocks = h->header_blocks;
	i->payload_blocks = le16_get(h->payload_blocks);
	i->slice_blocks = le16_get(h->slice);
	i->nrecs = le16_get(h->nrecs);
	i->recs_bytes = le32_get(h->recs_bytes);
	i->recs_off = le32_get(h->recs_off);
	i->unit = h->unit;
	for (uint32_t p = 0; p < POOL_M_MAX; p++)
		i->parity_crc[p] = le32_get(h->parity_crc[p]);
	i->crcs = (const le32 *)(const void *)(buf + sizeof(*h));
	i->recs = buf + i->recs_off;
}

int row_header_validate(const struct row_geometry *g, const uint8_t *buf,
			uint32_t len_bytes, struct row_info *ret_info,
			const char **ret_why)
{
	struct row_header h;
	struct row_info   i;
	const char       *why;

	if (ret_why == NULL)
		ret_why = &why;
	*ret_why = "magic";
	if (len_bytes < TARN_BLOCK)
		return -EBADMSG;
	memcpy(&h, buf, sizeof(h));
	if (memcmp(h.magic, ROW_MAGIC, sizeof(h.magic)) != 0)
		return -EBADMSG;
	*ret_why = "version";
	if (le16_get(h.version) != ROW_VERSION)
		return -EBADMSG;
	*ret_why = "header_blocks";
	if (h.header_blocks < 1 || h.header_blocks > ROW_HEADER_MAX ||
	    h.header_blocks * TARN_BLOCK > len_bytes)
		return -EBADMSG;
	*ret_why = "crc32c";
	if (crc32c(0, buf + CRC_FROM, h.header_blocks * TARN_BLOCK - CRC_FROM) !=
	    le32_get(h.crc32c))
		return -EBADMSG;
	header_decode(&h, buf, &i);
	*ret_why = header_problem(g, &h, &i);
	if (*ret_why != NULL)
		return -EBADMSG;
	*ret_why = "records";
	if (!row_records_valid(&i))
		return -EBADMSG;
	*ret_info = i;
	*ret_why = NULL;
	return 0;
}

static bool is_zero(const uint8_t *buf, uint32_t len)
{
	return len == 0 ||
	       (buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0);
}

bool row_slice_valid(const struct row_geometry *g, const struct row_info *i,
		     uint32_t unit, const uint8_t *slice)
{
	uint32_t first, n;

	if (CANARY(payload_unchecked))
		return true;
	if (g->k > 1 && unit >= g->k)
		return crc32c(0, slice, i->slice_blocks * TARN_BLOCK) ==
		       i->parity_crc[unit - g->k];
	first = g->k == 1 ? 0 : unit * i->slice_blocks;
	n = first < i->payload_blocks
		    ? min_u32(i->slice_blocks, i->payload_blocks - first)
		    : 0;
	/* Padding takes part in the parity: it must be there as well. */
	if (!CANARY(padding_unchecked) &&
	    !is_zero(slice + n * TARN_BLOCK,
		     (i->slice_blocks - n) * TARN_BLOCK))
		return false;
	for (uint32_t b = 0; b < n; b++) {
		if (crc32c(0, slice + b * TARN_BLOCK, TARN_BLOCK) !=
		    le32_get(i->crcs[first + b]))
			return false;
	}
	return true;
}
