/* pool/recover.h - the state of a recovery; private to pool/.
 *
 * recover.c reads what the newest commit points to; recover_log.c finds and
 * redoes the log after it, recover_repair.c makes its rows whole,
 * recover_segments.c settles the segments it was in, recover_commit.c commits
 * under the new claim.
 */
#ifndef TARN_POOL_RECOVER_H
#define TARN_POOL_RECOVER_H

#include "pool/scan.h"

#define READS_AT_ONCE 32u
#define SCANS_AT_ONCE 2u

struct page_load {
	struct pool_read read;
	struct recover *rec;
	uint32_t kind, page;
	uint32_t crc;
	uint8_t *buf;
	bool busy;
};

struct redo_slot {
	struct redo redo;
	struct recover *rec;
	place_t *places;
	uint32_t *crcs;
};

struct redo_row {
	struct scan_row *row;
	struct redo_slot *slots;
	uint32_t nslots;
	uint32_t pending; /* slots not prepared, plus one */
	int res;
};

enum recover_phase {
	REC_ROOT_READ,
	REC_INDEX,
	REC_SEGS,
	REC_LOAD,
	REC_SCAN,
	REC_REDO,
	REC_REPAIR,
	REC_ZONES,
	REC_LABEL,
	REC_COMMIT,
};

struct recover {
	struct pool *pool;
	bool read_only;
	bool force;
	bool released; /* the last owner closed cleanly */
	uint8_t phase;
	void (*done)(struct pool *p, int res, const char *why);
	char why[300];
	uint64_t started_ns;
	/* Root. */
	uint8_t *root_units[POOL_UNITS_MAX];
	struct recover_req {
		struct disk_req req;
		struct recover *rec;
		uint32_t unit;
		bool ok;
	} reqs[POOL_UNITS_MAX];
	uint32_t pending;
	uint8_t *root;
	struct root_header header;
	uint64_t root_row; /* number of the row that holds the root */
	struct claim_ref root_claim; /* who wrote it, and the log after it */
	const uint8_t *client_root;
	/* Pages. */
	struct page_load loads[READS_AT_ONCE];
	uint8_t *load_bufs;
	uint32_t next_kind, next_page;
	uint32_t loading;
	bool issuing;
	int res;
	/* Scan. */
	struct seg_scan scans[SCANS_AT_ONCE];
	uint32_t scanning;
	uint32_t next_seg;
	struct scan_row **rows;
	uint32_t nrows, rows_cap;
	/* Redo. */
	uint32_t naccepted;
	struct scan_row **chosen;   /* the accepted ones, in order */
	struct redo_row *window;    /* ring of REDO_WINDOW */
	uint32_t prepared, applied; /* counts of accepted rows */
	/* Repair. */
	uint32_t repairing; /* index of the row */
	uint8_t *repair_units[POOL_UNITS_MAX];
	bool repair_loaded, repair_written;
	struct label_waiter waiter;
	bool told_waiting;
	bool lost[POOL_MEMBERS_MAX]; /* failed since it began */
	struct io_work work;
};

/* The end: done() is called; r is gone after a success. */
void recover_end(struct recover *r, int res);
void recover_fail(struct recover *r, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The n-th of the rows that are the log, from 0. */
static inline struct scan_row *recover_row(const struct recover *r, uint32_t n)
{
	return r->chosen[n];
}

/* All rows are redone: repair them, then commit; the end if read-only. */
void recover_repair_start(struct recover *r);
/* Every segment that was open gets the state that it has from now on. */
void recover_segments_settle(struct recover *r);

/* Go on with the phase that r is in. */
void recover_scans_step(struct recover *r);
void recover_redo_step(struct recover *r);
void recover_repair_step(struct recover *r);
void recover_zones_step(struct recover *r);

#endif
