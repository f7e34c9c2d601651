/* volume/vol_move.h - moving the data of what is being emptied: the window.
 * Private to vol_move.c, vol_move_look.c and vol_relocate.c.
 */
#ifndef TARN_VOLUME_VOL_MOVE_H
#define TARN_VOLUME_VOL_MOVE_H

#include "volume/map_load.h"
#include "volume/volumes.h"

#define MOVE_BLOCKS 4096u /* live blocks of a window */
#define MOVE_BUF    (MOVE_BLOCKS + MOVE_BLOCKS / 2) /* … and those between */
#define MOVE_LOOKS  64u   /* runs whose leaves are being loaded */
#define MOVE_READS  32u   /* reads in flight */

struct mover;

/* Live blocks that follow one another in the volume and in the log. */
struct move_run {
	struct mover     *mover;
	struct reloc     *r;      /* that they are from */
	struct log_append append;
	struct iovec      iov;
	struct node_guard guard;  /* their leaf */
	uint64_t          block;
	place_t           place;
	uint32_t          family;
	uint32_t          n;
	uint32_t          crc_at; /* of the first, in mover.crcs */
	uint32_t          buf_at; /* … in the buffer */
};

/* A run of the cleaner's: which of its blocks live? */
struct move_look {
	struct list        link;   /* free */
	struct mover      *mover;
	struct reloc      *r;
	uint32_t           family; /* whose data it is */
	uint32_t           at;     /* blocks of the run that are done */
	struct volume     *tree;   /* whose version of the leaf is looked at */
	struct volume     *tip;    /* from which that is an origin */
	uint64_t           chain;  /* catalog.tree_changes when that began */
	unsigned           tries;
	struct node_guard  guard;  /* the leaf */
	struct map_load    load;
	struct node_waiter slots[1];
};

struct move_read {
	struct pool_read rd;
	struct mover    *mover;
	struct list      link;  /* free */
	uint32_t         at;    /* in the buffer */
};

enum move_state {
	MOVE_IDLE,
	MOVE_LOOK,
	MOVE_READ,
	MOVE_APPEND,
};

struct mover {
	struct volumes   *vols;
	uint8_t           state;    /* enum move_state */
	struct io_work    work;
	struct list       queue;    /* struct reloc, for a window to come */
	struct list       taken;    /* struct reloc, of this one */
	struct move_look *looks;
	struct list       looks_free;
	uint32_t          nlooks;   /* in use */
	uint32_t          promised; /* blocks that those may find */
	uint32_t          versions; /* of leaves, kept in memory */
	uint32_t          versions_max;
	uint32_t          versions_now; /* … in this window */
	bool              throttled; /* IDLE until more may be dirty */
	struct move_run  *runs;     /* MOVE_BLOCKS */
	uint32_t          nruns;
	uint32_t          nblocks;  /* in all runs */
	uint32_t         *order;    /* of the runs: by place, then by block */
	uint32_t          next;     /* in order: to be read, or appended */
	uint32_t         *crcs;     /* MOVE_BLOCKS, by the map */
	struct move_read *reads;
	struct list       reads_free;
	uint32_t          nreads;   /* in flight */
	uint32_t          unread;   /* live blocks without a place in buf */
	uint32_t          nappends; /* in flight */
	uint32_t          buf_used; /* blocks */
	uint8_t          *buf;      /* MOVE_BUF blocks, and for each: */
	uint32_t         *buf_crcs;
	uint8_t          *buf_skip; /* 1: only between two that are wanted */
	uint8_t          *buf_bad;  /* 1: it could not be had */
};

/* vol_move.c */
int  mover_open(struct volumes *vols, struct mover **ret_mover);
void mover_close(struct mover *m);
/* r->done() comes in a later turn. */
void mover_add(struct mover *m, struct reloc *r);
void mover_kick(struct mover *m);
/* More may be dirty now, see vol_relocs_throttle(). */
void mover_unthrottle(struct mover *m);
bool mover_is_throttled(const struct mover *m);

/* vol_move_look.c */
/* What some version says of a block of the family, if it is still at `place`;
 * NULL.  All versions must be in memory. */
const struct leaf_entry *move_entry(const struct mover *m, uint32_t family,
				    uint64_t block, place_t place);
/* Find the live blocks of a run and add them to the window. */
void move_look_start(struct mover *m, struct reloc *r);

#endif
