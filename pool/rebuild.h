/* pool/rebuild.h - the state of rebuilding; private to pool/.
 *
 *   rebuild.c        one unit after the other, and when
 *   rebuild_choose.c which, and on which disks
 *   rebuild_commit.c what a commit does about it
 *   rebuild_unit.c   makes one
 *   rebuild_rows.c   what there is to make
 *   rebalance.c      which units move, although none is lacking
 *
 * Only those include this; the rest of the pool uses what core.h has.
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
	bool             move;    /* it only moves: be gentle */
	bool             running;
	bool             stop;    /* end as soon as nothing is in flight */
	int              res;     /* first error */
	/* Every request has ended.  res 0: all that the unit has to hold was
	 * written (and is not flushed); -EBADMSG: some row cannot be made. */
	void (*done)(struct unit_build *b);
	/* Private to rebuild_unit.c and rebuild_rows.c. */
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

enum unit_rebuild_state {
	REBUILD_NONE,
	REBUILD_RESERVED, /* by the running commit */
	REBUILD_READY,    /* … which is durable: may be written to */
	REBUILD_BUILD,
	REBUILD_FLUSH,    /* written */
	REBUILD_DONE,     /* flushed: the next commit gives it */
	REBUILD_DROP,     /* not wanted: the next commit frees it */
};

/* A unit that is being made again. */
struct unit_rebuild {
	uint8_t         state;      /* enum unit_rebuild_state */
	bool            move;       /* it lacks nothing, and moves: rebalance.c */
	struct segment *seg;
	uint32_t        generation; /* of it, when it was chosen */
	uint32_t        unit;
	struct segment *slot;       /* RESERVED: has the zone */
	struct member  *target;     /* whose zone that is */
	uint64_t        cover;      /* FLUSH: the flush number that covers it */
};

struct rebuild {
	struct pool        *pool;
	struct unit_rebuild units[REBUILD_MAX];
	struct unit_rebuild *building;
	struct unit_build   build;
	struct io_timer     due;    /* when the next member's delay is over */
	struct io_work      work;
	bool                vain;   /* the last commit reserved nothing */
	bool                moves_vain; /* … for units that only move */
	bool                evens;  /* the disks are uneven, and are evened out
				     * until they are so no more */
};

/* --- rebuild_choose.c ---------------------------------------------------- */
/* Can unit u of s be read now? */
bool rebuild_source(const struct pool *p, const struct segment *s, uint32_t u);
/* The member is out, and is not waited for any more. */
bool rebuild_waited(const struct pool *p, const struct member *m);
/* Does something live in s? */
bool rebuild_holds(const struct segment *s);
/* Must unit u be made again now, how many must, and can it be? */
bool rebuild_lacks(const struct pool *p, const struct segment *s, uint32_t u);
uint32_t rebuild_units_lacking(const struct pool *p, const struct segment *s);
bool rebuild_makeable(const struct pool *p, const struct segment *s,
		      uint32_t u);
/* Emptying s costs less than making its units again. */
bool rebuild_mostly_dead(const struct pool *p, const struct segment *s);
/* Blocks of s are lost, as far as is known. */
bool rebuild_damaged(const struct pool *p, const struct segment *s);
/* Where it goes: the member with most free zones in the domain with most of
 * them, of those that no other unit of the segment is in, or will be in; NULL if
 * there is none. */
struct member *rebuild_target(const struct pool *p, const struct segment *s,
			      uint32_t u);
/* Up to n segments with units to make; returns how many there are.  A unit of
 * one, of which none is chosen yet; UINT32_MAX: there is no other. */
uint32_t rebuild_choose(struct rebuild *r, uint32_t n,
			struct segment **ret_segs);
uint32_t rebuild_unit_choose(const struct rebuild *r, const struct segment *s);
/* Is there a segment of which a commit would have a unit made again, if there
 * were room? */
bool rebuild_any(const struct rebuild *r);

/* --- rebuild_commit.c ---------------------------------------------------- */
/* Units that are chosen. */
uint32_t rebuild_count(const struct rebuild *r);
/* Is the unit still to be made; is there something for a commit to do? */
bool rebuild_wanted(const struct pool *p, const struct unit_rebuild *x);
bool rebuild_has_ended(const struct pool *p, const struct unit_rebuild *x);
/* How many zones a commit would reserve at most, if there were enough. */
uint32_t rebuild_zones_wanted(const struct rebuild *r);

/* --- rebalance.c --------------------------------------------------------- */
/* A unit that may move, and where to. */
struct move {
	struct segment *seg;
	uint32_t        unit;
	struct member  *target;
};
/* May units move now: is every disk there, and does none go? */
bool rebalance_allowed(const struct pool *p);
/* Is the unit still to move? */
bool rebalance_wanted(const struct pool *p, const struct unit_rebuild *x);
/* Up to n units are to move; reserve() returns whether it has taken a zone for
 * one. */
void rebalance_reserve(struct rebuild *r, uint32_t n,
		       bool (*reserve)(struct rebuild *r,
				       const struct move *mv));
/* Is there a unit that a commit would have move, if there were room? */
bool rebalance_any(const struct rebuild *r);
/* Units that are chosen to move. */
uint32_t rebalance_count(const struct rebuild *r);

/* --- rebuild_unit.c ------------------------------------------------------ */
void unit_build_init(struct pool *p, struct unit_build *b);
/* Nothing of it may be in flight. */
void unit_build_fini(struct unit_build *b);
/* seg, unit, slot and done are set. */
void unit_build_start(struct unit_build *b);
/* The buffers are not needed for a while. */
void unit_build_rest(struct unit_build *b);
/* Only for rebuild_rows.c: it ends with that error; it goes on. */
void unit_build_fail(struct unit_build *b, int res);
void unit_build_step(struct unit_build *b);

/* --- rebuild_rows.c ------------------------------------------------------ */
/* Look for the rows; unit_build_step() when they are there, or it failed. */
void unit_build_rows(struct unit_build *b);

#endif
