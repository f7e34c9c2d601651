/* tests/sim/model.h - what every volume may hold: the oracle.
 *
 * Each request that changes blocks is an operation with a number of its own,
 * which is stamped into every word that it writes.  A block is a chain of
 * versions, one for each operation that touched it, in order of submission,
 * which for requests that overlap is the order that the server promises.
 *
 * What a read, or a look after a crash, finds in a block must be one of the
 * versions that the promises allow; which one it is tells something about the
 * operations: this one happened, those after it did not.  From that the rest
 * is checked: writes are whole or absent (P3), what happened is a prefix of
 * the acknowledged order (P2), acknowledged or flushed operations are all
 * there (P1), and nothing that was seen goes away (design, section 5).
 *
 * Order.  An operation that ended without waiting for a flush has an exact
 * place in the log's order, that of its answer.  The others (FUA, in several
 * rows, unanswered) lie somewhere in an interval: after all that had been
 * answered when they were submitted, before all that was answered after them.
 */
#ifndef TARN_TESTS_SIM_MODEL_H
#define TARN_TESTS_SIM_MODEL_H

#include "base/uuid.h"
#include "tests/sim/sim.h"

#define MODEL_VOLS_MAX 16

enum mop_kind {
	MOP_WRITE = 1,
	MOP_ZERO,    /* reads as zeros; may or may not keep its space */
	MOP_TRIM,    /* whole blocks read as zeros, parts may */
	MOP_CONTROL, /* create, resize, rename, delete */
	MOP_COPY,    /* what a clone or a rollback put into a block */
};

enum mop_state {
	MOP_INFLIGHT,
	MOP_DONE,
	MOP_FAILED,
};

enum mop_verdict {
	VERDICT_UNKNOWN,
	VERDICT_SURVIVED,
	VERDICT_LOST,
};

struct mop {
	uint64_t off_bytes;
	uint64_t end_bytes;
	uint64_t from;     /* its place in the log's order is within */
	uint64_t to;       /* [from, to]; twice the count of answers */
	uint64_t done_no;  /* its place among all that ended; 0: did not */
	uint8_t  vol;      /* index in model.vols */
	uint8_t  kind;     /* enum mop_kind */
	uint8_t  state;    /* enum mop_state */
	uint8_t  verdict;  /* enum mop_verdict, since the last crash */
	bool     fua;
	bool     exact;    /* one row: `from` is exact when done */
	bool     atomic;   /* whole or absent */
	bool     maybe;    /* may be without effect, block by block */
	uint32_t src;      /* COPY: it is what that operation wrote; 0: */
	const uint8_t *data; /* … 4096 bytes; NULL: zeros */
};

struct mver {
	uint32_t op;   /* index in model.ops */
	uint32_t prev; /* older version, 0: zeros */
	uint32_t n;    /* +1 at each version of the block */
};

struct mblock {
	uint32_t top;     /* newest version; 0: never touched */
	uint32_t lo;      /* n of the oldest one that a read may return */
	uint32_t base;    /* n of the one that survived the last crash */
	uint32_t readers; /* reads in flight */
	bool     unsure;  /* `top` is one of several that look alike */
};

struct volume;

struct mvol {
	char           name[64];
	struct uuid    uuid;
	bool           alive;
	bool           trashed;  /* not alive, and may be again */
	uint64_t       trashed_ns; /* since then */
	uint64_t       size_bytes;
	uint32_t       nblocks;  /* of the array */
	uint32_t       inflight; /* requests */
	struct mblock *blocks;
	struct volume *vol;      /* in the life that runs */
};

/* The control operation in flight or at the crash. */
enum mctl_kind {
	MCTL_NONE,
	MCTL_CREATE,
	MCTL_RESIZE,
	MCTL_RENAME,
	MCTL_DELETE,
	MCTL_CLONE,
	MCTL_ROLLBACK,
	MCTL_PUBLISH,
	MCTL_TRASH,    /* with its snapshots */
	MCTL_UNDELETE,
	MCTL_PURGE,
};

/* One block of a snapshot, as in struct mop. */
struct mcopy {
	uint32_t       src;
	const uint8_t *data;
};

struct mctl {
	uint8_t  kind;      /* enum mctl_kind */
	uint8_t  vol;
	uint32_t op;        /* for the order */
	uint64_t size_bytes;
	char     new_name[64];
	/* CLONE, ROLLBACK, PUBLISH: the snapshot and what it holds
	 * (malloc()). */
	unsigned snap;      /* of the snapper's; not PUBLISH */
	struct mcopy *copies;
	uint32_t birth;     /* ROLLBACK: the volume's, before */
	int      kept;      /* ROLLBACK: the snapshot of what was, PUBLISH: of
			     * what is; -1: none */
};

struct model {
	struct sim  *sim;
	struct mop  *ops;        /* [0] unused */
	uint32_t     nops, ops_cap;
	struct mver *vers;       /* [0] unused */
	uint32_t     nvers, vers_cap;
	uint64_t     acks;       /* exact operations that ended well */
	uint64_t     dones;      /* all that ended well */
	uint64_t     flushed;    /* `dones` covered by an answered flush */
	bool         full;       /* the pool has been full of late */
	bool         power;      /* kind of the last crash */
	struct mvol  vols[MODEL_VOLS_MAX];
	struct mctl  ctl;
};

struct model *model_open(struct sim *sim);

/* --- stamps -------------------------------------------------------------- */

/* Fill buf with what operation `op` writes at off_bytes. */
void model_fill(struct model *m, uint32_t op, void *buf);

/* --- requests ------------------------------------------------------------ */

/* A request that changes blocks was submitted. */
uint32_t model_begin(struct model *m, unsigned vol, enum mop_kind kind,
		     uint64_t off_bytes, uint64_t len_bytes, bool fua);
/* It ended: 0 or -errno. */
void model_end(struct model *m, uint32_t op, int res);

/* A read: lo has one entry for each block that it touches. */
void model_read_begin(struct model *m, unsigned vol, uint64_t off_bytes,
		      uint64_t len_bytes, uint32_t *lo);
/* buf: the blocks that it touches, whole; what is outside of the request is
 * not looked at.  NULL: it failed. */
void model_read_end(struct model *m, unsigned vol, uint64_t off_bytes,
		    uint64_t len_bytes, const uint32_t *lo,
		    const uint8_t *buf);
/* Between the two: the server says that the block is a hole; lo: of it. */
void model_check_hole(struct model *m, unsigned vol, uint64_t block,
		      uint32_t lo);

/* A flush was submitted: returns what to give to model_flushed(). */
uint64_t model_flush_begin(const struct model *m);
void model_flushed(struct model *m, uint64_t mark);

/* --- control operations -------------------------------------------------- */

/* Nothing is known of it any more. */
void model_vol_gone(struct mvol *v);
/* A place for another volume; NULL: there is none. */
struct mvol *model_vol_free(struct model *m);
/* What a block holds, to be found again in another volume. */
struct mcopy model_copy(const struct model *m, const uint8_t *data);
void model_ctl_begin(struct model *m, const struct mctl *ctl);
void model_ctl_end(struct model *m, int res);
/* After a crash: did it happen?  Decides m->ctl. */
void model_ctl_decide(struct model *m, bool happened);

/* --- crashes ------------------------------------------------------------- */

/* The server died; power: so did every disk. */
void model_crash(struct model *m, bool power);
/* After recovery: block `block` of `vol` holds this. */
void model_verify(struct model *m, unsigned vol, uint64_t block,
		  const uint8_t *data);
/* All blocks were verified: do they fit together? */
void model_verify_order(struct model *m);

/* Bounds of how many blocks the volume can have mapped, while nothing is in
 * flight. */
void model_mapped(struct model *m, unsigned vol, uint64_t *ret_min,
		  uint64_t *ret_max);

#endif
