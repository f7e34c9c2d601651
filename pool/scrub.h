/* pool/scrub.h - reading everything that segments hold, and mending what is
 * wrong.  Private to pool/.
 *
 *   scrub.c      from segment to segment; starting, pausing
 *   scrub_read.c the rows of a segment, window by window
 *   scrub_fix.c  rows of which something is wrong
 *   scrub_row.c  one row: what is right of it, and what it must be; pure
 */
#ifndef TARN_POOL_SCRUB_H
#define TARN_POOL_SCRUB_H

#include "pool/scan.h"

#define SCRUB_WINDOWS  3u
#define SCRUB_UNIT_MAX (ROW_HEADER_MAX + ROW_PAYLOAD_MAX)
#define SCRUB_LOST_MAX 256u

struct scrub;

/* --- scrub_row.c --------------------------------------------------------- */

/* A row as it was read.  The first five are the caller's. */
struct scrub_row {
	struct pool           *pool;
	const struct segment  *seg;
	const struct row_info *want; /* of the index, or of a scan */
	bool                   indexed; /* want is the index's */
	const uint8_t *units[POOL_UNITS_MAX]; /* NULL: was not read */
	/* What its headers say, once one has been found. */
	struct row_info info;
	uint32_t        header_unit; /* where that is */
	bool            found;
	bool            rival;       /* some unit has another row's header */
	uint32_t        good;        /* mask of units that are whole */
};

/* Fill in the second part.  Pure. */
void scrub_row_judge(struct scrub_row *r);

/* What each unit must be: out[u], info.unit_blocks blocks each; bit b of
 * known[u]: block b of it is known.  gone: bit b of gone[u], block b could not
 * be read.  Returns how many blocks of the payload are lost.  Pure. */
#define SCRUB_MASK_WORDS ((SCRUB_UNIT_MAX + 63) / 64)
typedef uint64_t scrub_mask[SCRUB_MASK_WORDS];
uint32_t scrub_row_solve(struct scrub_row *r, const scrub_mask *gone,
			 uint8_t *const *out, scrub_mask *known);

/* --- scrub.c ------------------------------------------------------------- */

struct scrub_req {
	struct disk_req      req;
	struct scrub_window *window;
	struct member       *member;
	uint32_t             unit;
	uint32_t             moves; /* of the segment, when it was sent */
};

/* Rows that follow one another, being read from all units. */
struct scrub_window {
	struct scrub *scrub;
	bool          busy;
	uint32_t      first, n;  /* of the segment's rows */
	uint32_t      off, len;  /* in the zones, blocks */
	uint32_t      asked;     /* mask of units */
	uint32_t      have;      /* … that were read */
	uint32_t      pending;   /* requests in flight, plus one */
	uint64_t      sent_ns;
	uint64_t      clients;   /* of the pool, when it was sent */
	uint8_t      *bufs[POOL_UNITS_MAX];
	struct scrub_req reqs[POOL_UNITS_MAX];
};

/* A row of which something was not right, read again and mended. */
struct scrub_fix {
	uint32_t        row;
	uint32_t        unit;    /* being read, or written */
	uint32_t        block;   /* this one; WHOLE_UNIT: all of it */
	uint32_t        asked;   /* mask of units that were there */
	uint32_t        run;     /* blocks being written */
	bool            reading;
	struct scrub_req req;
	struct scrub_row at;
	scrub_mask      gone[POOL_UNITS_MAX];
	scrub_mask      known[POOL_UNITS_MAX];
	uint8_t        *in[POOL_UNITS_MAX];
	uint8_t        *out[POOL_UNITS_MAX];
};

/* Blocks that were beyond repair. */
struct scrub_lost {
	uint32_t segment, generation;
	uint32_t blocks;
};

enum scrub_state {
	SCRUB_IDLE,   /* between two steps, or there is none */
	SCRUB_INDEX,  /* reading the index of a segment */
	SCRUB_SCAN,   /* there is none */
	SCRUB_ROWS,   /* windows */
	SCRUB_FIX,    /* rows of which something was wrong */
};

struct scrub {
	struct pool     *pool;
	bool             on, paused; /* what was asked for */
	uint8_t          state;      /* enum scrub_state */
	uint32_t         at;         /* segment; 0: none */
	uint32_t         end;        /* the last one */
	struct segment  *seg;        /* pinned, while one is being read */
	uint32_t         generation;
	uint64_t         saved_ns;   /* a commit was asked for then */
	struct seg_scan  scan;
	/* Index. */
	uint32_t         unit;       /* whose */
	uint32_t         index_blocks;
	uint8_t         *index;      /* a valid one, once there is one */
	uint8_t         *index_other;
	uint32_t         index_bad;  /* mask of units whose copy is wrong */
	bool             index_ok, indexed, index_writing;
	bool             failed;     /* its rows could not be found */
	struct scrub_req index_req;
	/* Rows. */
	struct scan_row  *list;
	struct scan_row **rows;
	uint32_t          nrows, next;
	uint64_t         *bad;       /* bit per row */
	uint32_t          window_blocks;
	unsigned          inflight;
	struct scrub_window windows[SCRUB_WINDOWS];
	struct scrub_fix  fix;
	uint8_t          *mem;       /* all buffers */
	struct io_timer   timer;     /* clients first */
	struct io_work    work;
	bool              spot;      /* a segment by itself, for what is lost in
				      * it (damage.c), whatever was asked for */
	struct pool_scrub_info info, spot_info;
	struct pool_scrub_info *count; /* one of them: of this segment */
	unsigned          nlost;
	struct scrub_lost lost[SCRUB_LOST_MAX];
};

/* The pool closes, somebody stopped it, or nothing lives in the segment. */
bool scrub_stopped(const struct scrub *s);
/* Is that unit of the segment there to be read, to be written? */
bool scrub_unit_there(const struct scrub *s, uint32_t u);
bool scrub_unit_writable(const struct scrub *s, uint32_t u);
/* A request for blocks of that unit; its member must be there. */
void scrub_submit(struct scrub *s, struct scrub_req *q, uint32_t unit,
		  enum disk_op op, uint32_t off, uint32_t len, void *buf,
		  void (*done)(struct disk_req *req));
/* The unit moved while it was read (rebuild.c): what came is of no use. */
bool scrub_moved(const struct scrub *s, const struct scrub_req *q);
/* A write of so many blocks is done: true when it went well. */
bool scrub_written(struct scrub *s, struct scrub_req *q, uint32_t blocks);
/* There was no memory: it is paused until somebody says that it goes on. */
void scrub_give_up(struct scrub *s);
/* Done with the segment, or stopped; nothing is in flight. */
void scrub_segment_end(struct scrub *s);
/* Go on; what there is to do follows from the state. */
void scrub_step(struct scrub *s);

/* scrub_read.c */
void scrub_index_step(struct scrub *s);
void scrub_rows_step(struct scrub *s);
/* The first part of struct scrub_row, for a row of the segment. */
void scrub_row_view(struct scrub *s, uint32_t row, struct scrub_row *ret);
/* scrub_fix.c */
void scrub_fix_step(struct scrub *s);

int  scrub_init(struct pool *p);
void scrub_fini(struct pool *p);
/* Nothing of it is in flight; none will be once the pool is closing. */
bool scrub_idle(const struct pool *p);
/* The pool serves, or there may be something to do again. */
void scrub_kick(struct pool *p);
/* The word in the root of a commit that says where it is; and back. */
uint32_t scrub_word(const struct pool *p);
void scrub_load(struct pool *p, uint32_t word);

#endif
