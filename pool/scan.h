/* pool/scan.h - finding the rows of a segment on its disks.
 *
 * Private to pool/.  Used by recovery (with the validity of every unit) and
 * by the cleaner for segments without an index.
 */
#ifndef TARN_POOL_SCAN_H
#define TARN_POOL_SCAN_H

#include "pool/core.h"

/* A row that was found.  One piece of memory, lists behind it. */
struct scan_row {
	struct scan_row *next;
	struct segment  *seg;
	struct row_info  info;      /* crcs and recs point into lists[] */
	uint32_t         headers;   /* mask of units with a valid header */
	uint32_t         valid;     /* … and a valid slice too */
	bool             accepted;  /* recovery: part of the log */
	uint8_t          lists[];
};

struct seg_scan {
	struct pool     *pool;
	struct segment  *seg;
	struct scan_row *rows;      /* out, in order of offset; owned by the
				     * caller afterwards */
	struct scan_row **tail;
	uint32_t         nrows;
	int              res;       /* 0 or -ENOMEM */
	bool             cut;       /* out: a part could not be read at all */
	void (*done)(struct seg_scan *s);
	void            *priv;
	/* Private to scan.c. */
	bool             probe;     /* looking at the first block only */
	uint32_t         win_off;   /* first block of the window */
	uint32_t         win_len;   /* blocks */
	uint32_t         off;       /* next block to look at */
	uint32_t         last_hit;  /* end of the last row found */
	uint32_t         have;      /* mask of units whose window was read */
	uint32_t         pending;
	uint8_t         *bufs[POOL_UNITS_MAX];
	struct scan_req {
		struct disk_req  req;
		struct seg_scan *scan;
		uint32_t         unit;
	} reqs[POOL_UNITS_MAX];
};

/* Look for rows of s->seg's generation from block from_blocks on. pool, seg,
 * done and priv are set by the caller. */
void seg_scan_start(struct seg_scan *s, uint32_t from_blocks);
void scan_rows_free(struct scan_row *rows);

/* Do two headers, valid both, belong to units of the same row?  Pure. */
bool scan_same_row(const struct row_info *a, const struct row_info *b);

/* The rows that an index lists, as scan_rows with headers = valid = 0; NULL
 * when it is not valid.  Pure. */
struct scan_row *seg_index_rows(struct pool *p, struct segment *seg,
				const uint8_t *buf, uint32_t blocks);

#endif
