/* pool/rebuild.h - the state of rebuilding; private to pool/.
 *
 * rebuild.c says which units are made again, on which zones, and what a commit
 * does about that; rebuild_unit.c makes one.  Only those two include this; the
 * rest of the pool uses what core.h has.
 */
#ifndef TARN_POOL_REBUILD_H
#define TARN_POOL_REBUILD_H

#include "pool/scan.h"

#define REBUILD_WINDOWS 4u  /* at once, while nobody else wants the disks */
#define REBUILD_MAX     32u /* zones reserved at once */

struct unit_build;

/* Rows of a unit that follow one another without a gap: read, made, written
 * together. */
struct build_window {
	struct unit_build *build;
	bool     busy;
	bool     all;        /* second try: from every unit that there is */
	uint32_t first, n;   /* rows */
	uint32_t off, len;   /* blocks of the zones */
	uint32_t have;       /* mask of units that were read */
	uint32_t moves;      /* of the segment, when they were asked for */
	uint32_t pending;
	uint64_t started_ns;
	struct build_req {
		struct disk_req      req;
		struct build_window *window;
		struct member       *member;
		uint32_t             unit;
	} reqs[POOL_UNITS_MAX];
	struct disk_req write;
	uint8_t *units[POOL_UNITS_MAX];
	uint8_t *out;        /* the unit that is made */
};

/* Makes one unit of a sealed segment on a zone that is reserved for it. */
struct unit_build {
	struct pool     *pool;
	struct segment  *seg;     /* pinned */
	uint32_t         unit;
	struct segment  *slot;    /* RESERVED: has the zone */
	bool             running;
	bool             stop;    /* end as soon as nothing is in flight */
	int              res;     /* first error */
	/* Every request has ended.  res 0: all that the unit has to hold was
	 * written (and is not flushed); -EBADMSG: some row cannot be made. */
	void (*done)(struct unit_build *b);
	/* Private to rebuild_unit.c. */
	uint8_t         *index;
	uint32_t         index_unit;
	struct disk_req  req;
	struct seg_scan  scan;
	uint32_t         moves;   /* of the segment, when it began */
	struct scan_row *list;
	struct scan_row **rows;   /* in order of offset */
	uint32_t         nrows, next;
	uint32_t         window_blocks;
	unsigned         inflight; /* windows; or the list of rows */
	bool             index_written;
	uint64_t         clients; /* pool->clients at the last window */
	uint8_t         *bufs;    /* of all windows */
	struct io_timer  pause;
	struct io_work   work;
	struct build_window windows[REBUILD_WINDOWS];
};

void unit_build_init(struct pool *p, struct unit_build *b);
/* Nothing of it may be in flight. */
void unit_build_fini(struct unit_build *b);
/* seg, unit, slot and done are set. */
void unit_build_start(struct unit_build *b);
/* The buffers are not needed for a while. */
void unit_build_rest(struct unit_build *b);

/* Can unit u of s be read now? */
bool rebuild_source(const struct pool *p, const struct segment *s, uint32_t u);

#endif
