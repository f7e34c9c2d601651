/* volume/vol_control.h - control operations, one at a time.
 *
 * Each looks at the catalog, appends one record with FUA, and is done when
 * that is flushed.  Because only one is under way, what it looked at in the
 * catalog is still so when its record is applied; who must not write to a volume
 * meanwhile is kept out (vol_ctl_must_wait()).
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
	struct list     waiting; /* struct vol_ctl: until the reaper is done
				  * with the volume, or its users have gone */
	struct vol_ctl *active;
	struct io_work  work;    /* starts the next one */
	struct io_timer retry;   /* the active one found no room */
	struct vol_look *look;   /* the active one's */
	struct vol_still *still; /* likewise (vol_still.c) */
	uint64_t        ops, ns; /* that have ended, and how long they took */
};

int  vol_controls_init(struct volumes *vols);
void vol_controls_fini(struct volumes *vols);
/* The reaper is done with v (res < 0: it could not), or its last user has gone:
 * who waits for that looks again. */
void vol_controls_wake(struct volume *v, int res);
/* Nothing can be written any more: whoever waits looks again. */
void vol_controls_fail(struct volumes *vols);
/* The reaper's own: what is beyond the size of ctl->vol has been unmapped,
 * down to ctl->size_bytes. */
void vol_settle(struct volumes *vols, struct vol_ctl *ctl);

/* --- for the control operations ------------------------------------------- */

enum ctl_op {
	CTL_CREATE,
	CTL_RESIZE,
	CTL_RENAME,
	CTL_DELETE,
	CTL_SNAPSHOT,
	CTL_CLONE,
	CTL_ROLLBACK,
	CTL_RECEIVE,
	CTL_PUBLISH,
	CTL_HOLD,
	CTL_RELEASE,
	CTL_SCHEDULE,
	CTL_SETTLE,
	CTL_UNDELETE,
	CTL_PURGE,
	CTL_SET,
};

/* What it is about: VOLUME, VOLUME@SNAPSHOT or VOLUME#CHECKPOINT.  It is kept in the unused end of
 * ctl->body: the record's own body ends before CTL_NAME_OFF. */
#define CTL_NAME_OFF (CATALOG_BODY_MAX - TREE_NAME_MAX - 1u)
char *vol_ctl_name(struct vol_ctl *ctl);
/* "Volume", "Snapshot" or "Checkpoint". */
const char *vol_name_word(const char *name);
/* A whole name of one of these kinds (enum vol_kind, or'ed) goes there.
 * -EINVAL: it is none. */
int  vol_ctl_take_name(struct vol_ctl *ctl, const char *name, unsigned kinds);
/* What a volume, snapshot or checkpoint shall be called, the last two without
 * their volume's name, which was taken.  -EINVAL: it is no name. */
int  vol_ctl_check_own_name(struct vol_ctl *ctl, const char *name);
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
/* It is their turn again once v's users have gone, or the reaper has dealt with
 * it. */
void vol_ctl_wait(struct volumes *vols, struct vol_ctl *ctl,
		  struct volume *v);
/* Is it clear that no record can be written?  True: refused. */
bool vol_ctl_cannot_write(struct volumes *vols, struct vol_ctl *ctl);
/* Its users are told that it has another size, or is going away. */
void vol_users_tell(struct volume *v, bool gone);
/* Is there no room in the catalog for n more?  True: refused. */
bool vol_ctl_no_room(struct volumes *vols, struct vol_ctl *ctl, uint32_t n);
/* True: refused. */
bool vol_ctl_bad_size(struct volumes *vols, struct vol_ctl *ctl);
/* The record, with what is in ctl->body; v NULL: of new ones. */
void vol_ctl_append(struct volumes *vols, struct vol_ctl *ctl,
		    struct volume *v, uint32_t subtype, size_t body_bytes);
/* The active one begins anew. */
void vol_ctl_again(struct volumes *vols, struct vol_ctl *ctl);
/* It is their turn. */
void vol_create_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_rename_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_delete_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_resize_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_settle_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_snapshot_start(struct volumes *vols, struct vol_ctl *ctl);
/* Is a snapshot of it being taken?  What is appended now comes after it in the
 * log, so that nothing that it overwrites is freed. */
bool vol_snapshot_coming(const struct volume *v);
void vol_clone_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_rollback_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_receive_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_publish_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_undelete_start(struct volumes *vols, struct vol_ctl *ctl);
void vol_purge_start(struct volumes *vols, struct vol_ctl *ctl);
/* Its turn comes again, at the end of the queue. */
void vol_ctl_requeue(struct volumes *vols, struct vol_ctl *ctl);
void vol_set_start(struct volumes *vols, struct vol_ctl *ctl);
/* "created": what was to be done. */
const char *vol_ctl_word(const struct vol_ctl *ctl);
/* It finds no space: may it wait for what is in the trash to go? */
bool vol_ctl_may_park(struct volumes *vols, const struct vol_ctl *ctl);
void vol_schedule_start(struct volumes *vols, struct vol_ctl *ctl);
/* May its schedule delete the snapshot? */
bool vol_schedule_owns(const struct volume *s);
/* CTL_HOLD and CTL_RELEASE. */
void vol_held_start(struct volumes *vols, struct vol_ctl *ctl);
/* Before a volume shows something else (vol_branch.c): its users must have
 * gone, with force (or if it is hidden) they are told to; and what an earlier
 * shrinking left must be.  True: it waits, or was refused. */
bool vol_ctl_must_wait(struct volumes *vols, struct vol_ctl *ctl,
		       struct volume *v);
/* Does v show what the snapshot does, and nothing else since?  False: that has to
 * be found out; the operation begins anew in the moment when it is known, or is
 * refused if it cannot be. */
bool vol_is_still(struct vol_ctl *ctl, struct volume *v, struct volume *snap,
		  bool *ret_is);
/* False: surely not, which is known at once. */
bool vol_may_be_still(const struct volume *v, const struct volume *snap);
int  vol_still_init(struct volumes *vols);
void vol_still_fini(struct volumes *vols);

#endif
