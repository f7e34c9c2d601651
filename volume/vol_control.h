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

/* --- for vol_control.c, vol_resize.c and vol_snapshot.c ------------------- */

enum ctl_op {
	CTL_CREATE,
	CTL_RESIZE,
	CTL_RENAME,
	CTL_DELETE,
	CTL_SNAPSHOT,
	CTL_SETTLE,
};

/* What it is about: VOLUME or VOLUME@SNAPSHOT.  It is kept in the unused end of
 * ctl->body: the record's own body ends before CTL_NAME_OFF. */
#define CTL_NAME_OFF (CATALOG_BODY_MAX - TREE_NAME_MAX - 1u)
char *vol_ctl_name(struct vol_ctl *ctl);
/* A name goes there.  -EINVAL: it is none. */
int  vol_ctl_take_name(struct vol_ctl *ctl, const char *name);
/* Wait for its turn; res < 0: only to be told that, in ctl->error. */
void vol_ctl_queue(struct volumes *vols, struct vol_ctl *ctl, enum ctl_op op,
		   int res);
void vol_ctl_end(struct volumes *vols, struct vol_ctl *ctl, int res);
/* The same, with one sentence that says why. */
void vol_ctl_refuse(struct volumes *vols, struct vol_ctl *ctl, int res,
		    const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What it names; NULL: refused. */
struct volume *vol_ctl_find(struct volumes *vols, struct vol_ctl *ctl);
/* True: refused. */
bool vol_ctl_bad_size(struct volumes *vols, struct vol_ctl *ctl);
/* The record, with what is in ctl->body; v NULL: of new ones. */
void vol_ctl_append(struct volumes *vols, struct vol_ctl *ctl,
		    struct volume *v, uint32_t subtype, size_t body_bytes);
/* It is their turn. */
void vol_resize_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_settle_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_snapshot_start(struct volumes *vols, struct vol_ctl *ctl);

#endif
