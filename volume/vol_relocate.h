/* volume/vol_relocate.h - one run that is being emptied.  Private to
 * vol_relocate.c and vol_move.c.
 */
#ifndef TARN_VOLUME_VOL_RELOCATE_H
#define TARN_VOLUME_VOL_RELOCATE_H

#include "volume/map_load.h"
#include "volume/volumes.h"

#define MOVE_BLOCKS 64u

struct reloc_op {
	struct list        link;   /* free */
	struct volumes    *vols;
	struct reloc      *r;
	uint32_t           family; /* whose data is moved */
	uint32_t           at;     /* blocks of the run that are done */
	uint32_t           n;      /* blocks being moved, from at on */
	int                res;
	uint32_t           moved;
	struct volume     *tree;   /* whose version of the leaf is looked at */
	struct volume     *tip;    /* from which that is an origin */
	uint64_t           chain;  /* catalog.tree_changes when that began */
	unsigned           tries;
	struct node_guard  guard;  /* the leaf */
	struct map_load    load;
	struct node_waiter slots[1];
	struct node_waiter wait;   /* for a node or a table page */
	struct pool_read   rd;
	struct log_append  append;
	struct iovec       iov;
	struct io_work     work;
	uint8_t           *buf;    /* MOVE_BLOCKS blocks */
	uint32_t           crcs[MOVE_BLOCKS];
	uint8_t            bad[MOVE_BLOCKS];
};

/* Its blocks are data: move what is live; ends with reloc_op_end(). */
void reloc_move_start(struct reloc_op *op);
/* done() of the run comes in a later turn. */
void reloc_op_end(struct reloc_op *op);

#endif
