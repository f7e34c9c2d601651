/* volume/vol_control.h - control operations, one at a time.
 *
 * Each looks at the catalog, appends one record with FUA, and is done when
 * that is flushed.  Because only one is under way, what it looked at is still
 * so when its record is applied.
 */
#ifndef TARN_VOLUME_VOL_CONTROL_H
#define TARN_VOLUME_VOL_CONTROL_H

#include "volume/map_load.h"
#include "volume/volume.h"

#define LOOK_LEAVES 16u

/* Looking for blocks that a shrinking would cut off. */
struct vol_look {
	struct map_load    load;
	struct node_waiter slots[LOOK_LEAVES];
	struct io_work     work;
};

struct vol_controls {
	struct list     queue;   /* struct vol_ctl */
	struct list     waiting; /* struct vol_ctl: grow, until the reaper is
				  * done with the volume */
	struct vol_ctl *active;
	struct io_work  work;    /* starts the next one */
	struct vol_look *look;   /* the active one's */
};

int  vol_controls_init(struct volumes *vols);
void vol_controls_fini(struct volumes *vols);
/* The reaper is done with v (res < 0: it could not): who waits for it? */
void vol_controls_reaped(struct volume *v, int res);
/* The reaper's own: what is beyond the size of ctl->vol has been unmapped,
 * down to ctl->size_bytes. */
void vol_settle(struct volumes *vols, struct vol_ctl *ctl);

#endif
