/* volume/vol_reserve.h - space that is kept for volumes: reserves.
 *
 * A volume with a reserve may have so much data, and the map for it wherever
 * that lies, as its own (tree.h): what of this it does not have yet is kept from
 * everybody else, so its writes find it.  What a snapshot keeps is not its own
 * any more, so taking one needs that much space again.
 *
 *   kept = reserve and its map - own - what its requests have reserved by now
 *
 * A control operation that lets a volume need more takes that before its record
 * is written, and is refused if it is not there: a pledge.  While a snapshot is
 * about to be taken, what is written may come before it or after it in the log,
 * so then it needs space beside what is kept; what finds none waits until the
 * snapshot is there.
 *
 * How much is kept is never stored: it follows from the catalog.
 */
#ifndef TARN_VOLUME_VOL_RESERVE_H
#define TARN_VOLUME_VOL_RESERVE_H

#include "volume/volume.h"

/* Of one volume. */
struct vol_promise {
	uint64_t reserve_bytes; /* 0: none; VOL_RESERVE_FULL: its size */
	bool     pause;         /* see vol_pause.h */
	uint64_t inflight;      /* blocks that its requests have reserved */
	uint64_t kept;          /* blocks, counted in vol_reserves.kept */
	uint64_t pledge;        /* pledged: of so many, own or not, */
	bool     pledged;
	bool     pins;          /* … and what is its own now will not be */
	struct list link;       /* in vol_reserves.pledged */
};

struct vol_reserves {
	uint64_t    kept;    /* blocks, of all volumes */
	uint64_t    hold;    /* … and for one that is being made */
	struct list pledged; /* struct volume, held */
};

void vol_reserves_init(struct volumes *vols);
/* The catalog is there. */
void vol_reserves_load(struct volumes *vols);
/* What is its own has changed, or its reserve, size or state. */
void vol_promise_update(struct volume *v);
/* Blocks that a volume of this size may have as its own by its reserve. */
uint64_t vol_reserve_blocks(uint64_t reserve_bytes, uint64_t size_bytes);
/* The reserve goes from one object to another. */
void vol_promise_move(struct volume *to, struct volume *from);

/* Blocks for a request of v: from what is kept for it, and the rest from what
 * is available.  -ENOSPC. */
int  vol_space_take(struct volume *v, uint64_t blocks);
/* Would that do? */
bool vol_space_fits(const struct volume *v, uint64_t blocks);
/* Is so much kept for v, whatever else is available? */
bool vol_space_is_kept(const struct volume *v, uint64_t blocks);
/* Something has been let go: who waits for space looks again. */
void vol_space_may_be(struct volumes *vols);
/* They are not needed, or count otherwise by now. */
void vol_space_give(struct volume *v, uint64_t blocks);
/* New nodes have taken them over. */
void vol_space_pass(struct volume *v, uint64_t blocks);
/* There was no space for v: will there be, when what it does itself by now, or
 * what is done to it, has ended? */
bool vol_reserve_settles(const struct volume *v);

/* What a volume will need by its reserve. */
struct vol_need {
	uint64_t reserve_bytes;
	uint64_t size_bytes;
	bool     pins; /* what is its own now will not be */
};

/* The active operation gives v such a need; v NULL: a new one.  True: there is no space, it was
 * refused or waits.  Dropped when its record is applied, or it ends. */
bool vol_ctl_pledge(struct volumes *vols, struct vol_ctl *ctl,
		    struct volume *v, const struct vol_need *need);
void vol_pledges_drop(struct volumes *vols);
/* The reserve that v has, for another size, or kept as it is by `pins`. */
struct vol_need vol_need_of(const struct volume *v, uint64_t size_bytes,
			    bool pins);

/* vol_props.c: has it these? */
bool vol_props_are(const struct volume *v, const struct vol_props *props);
/* For a volume of that size; v NULL: a new one.  True: refused. */
bool vol_props_refused(struct volumes *vols, struct vol_ctl *ctl,
		       const struct volume *v, uint64_t size_bytes);
/* The body of a record; how many bytes. */
uint32_t vol_props_encode(const struct vol_props *props, void *ret_bytes);

#endif
