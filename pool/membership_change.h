/* pool/membership_change.h - what adding and removing disks share; private to
 * pool/.
 *
 *   membership_change.c  one at a time, and why that is safe
 *   disk_add.c           a disk joins
 *   disk_drain.c         a disk is emptied, and leaves
 *   disk_offline.c       a disk is out for a while
 *   disk_grow.c          a disk has become larger
 *
 * Only those include this; the rest of the pool uses what core.h has.
 */
#ifndef TARN_POOL_MEMBERSHIP_CHANGE_H
#define TARN_POOL_MEMBERSHIP_CHANGE_H

#include "pool/core.h"

#define CHANGE_AREA_BYTES (LABEL_AREA_BLOCKS * TARN_BLOCK)

enum change_step {
	CHANGE_IDLE,
	CHANGE_READ,   /* what is on it? */
	CHANGE_SETTLE, /* it was a member: nothing of that may be under way */
	CHANGE_WIPE,
	CHANGE_FLUSH,
	CHANGE_TURN,   /* another is being removed */
	CHANGE_NAME,   /* labels that say that it joins */
	CHANGE_LABEL,
	CHANGE_UNDO,   /* it failed: labels without it */
	CHANGE_RESCAN, /* it is asked for its size */
	CHANGE_GROWN,  /* a commit adds the zones that it has more */
};

struct change {
	struct pool        *pool;
	struct pool_op     *op;      /* under way, or NULL */
	uint8_t             step;    /* enum change_step */
	struct disk        *disk;    /* being added, not a member yet */
	char                domain[DOMAIN_NAME_MAX + 1];
	bool                witness; /* … and will have no zones */
	uint8_t            *area;    /* CHANGE_AREA_BYTES */
	struct disk_req     reqs[2];
	unsigned            pending;
	int                 res;
	struct member      *member;
	struct io_timer     settle;
	uint64_t            epoch;   /* of its connection since then */
	uint64_t            left_ns; /* when a disk was removed last */
	struct label_waiter waiter;
	struct io_timer     back;       /* RESCAN: it must be back by then */
	uint64_t            grow_bytes; /* its size */
	/* A member that leaves. */
	struct member      *leaving;
	struct label_waiter leave_waiter;
	/* One that is out, and is not let in again from now on. */
	struct member      *gone;
	struct label_waiter gone_waiter;
	struct disk_req     wipe[2];
	unsigned            wiping;
	uint8_t            *zeros;   /* CHANGE_AREA_BYTES */
	/* Disks that are being closed. */
	unsigned            closing;
	void              (*closed)(void *arg); /* the pool is closed too */
	void               *closed_arg;
	struct io_work      work;    /* says how a refused operation ended */
};

/* --- membership_change.c ------------------------------------------------- */
/* The operation may begin, and is under way until change_end(); false: one is,
 * or the pool is not open for writing. */
bool change_begin(struct pool *p, struct pool_op *op);
/* It may not: it ends at once. */
void change_refuse(struct pool *p, struct pool_op *op);
/* What is under way will end with this error, and this sentence. */
void change_say(struct change *c, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* It has ended; in a later turn, for nothing was done. */
void change_end(struct change *c);
void change_end_later(struct change *c);
/* The disk is nobody's from now on; of a member that was removed. */
void change_close_disk(struct change *c, struct disk *d);
void change_close_member(struct change *c, struct member *m);
/* Where the last label area of a disk of that size is. */
uint64_t change_tail_off_bytes(uint64_t size_bytes);

/* --- disk_add.c ---------------------------------------------------------- */
/* The disk that was being removed is gone, or stays: one that waits for that is
 * added. */
void disk_add_turn(struct change *c);
/* The disk that is being added has failed, or lost its connection, while labels
 * are written that call it in. */
void disk_add_lost(struct change *c);
void disk_add_settled(struct io_timer *t);

/* --- disk_drain.c -------------------------------------------------------- */
/* The next disk that is empty and to be removed leaves, if there is one. */
void disk_leave_next(struct change *c);
/* The disk that leaves has failed before it had the label that says so: it
 * stays, and goes when it is back, or out. */
void disk_leave_undo(struct change *c);

/* --- disk_grow.c --------------------------------------------------------- */
void disk_grow_init(struct change *c);

#endif
