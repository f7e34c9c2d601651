/* volume/volume.h - thin volumes: a map from blocks to places in the log, and
 * the read, write, trim and flush paths over it.
 *
 * Rules of use
 *  - Everything hangs from one `struct volumes`, opened over one pool; one
 *    thread, one engine.
 *  - Requests are the caller's (embedded) and stay until done().
 *    vol_submit() never calls done().
 *  - Requests of one volume that overlap behave as if served one after the
 *    other in order of submission; a request of up to 1 MiB is atomic.
 *  - A WRITE, TRIM or ZERO is done when it is durable against the death of
 *    the server (its row is stable); with VOL_FUA, and a FLUSH, when also
 *    durable against power loss.
 *  - Control operations (create, resize…) are durable against power loss when
 *    done, atomic over crashes, and a repeated one succeeds and says so.
 */
#ifndef TARN_VOLUME_VOLUME_H
#define TARN_VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/period.h"
#include "base/uuid.h"
#include "pool/pool.h"

struct volumes; /* all volumes of a pool */
struct volume;  /* one of them */

struct volumes_params {
	uint64_t node_budget_bytes;  /* map nodes and table pages kept in
				      * memory; 0: 256 MiB */
	uint64_t cache_bytes;        /* block cache, which also has what nodes
				      * leave of their budget; 0: none */
	uint64_t dirty_nodes_max;    /* a commit starts at this many dirty
				      * nodes; 0: from the node budget */
};

/* --- opening ------------------------------------------------------------- */

/* Make the client of the pool.  The pool calls its operations while it is
 * created or opened, so this comes before pool_create()/pool_open(); the
 * result of vols_log_client() goes into those.  -ENOMEM. */
int vols_open(struct io *io, const struct volumes_params *params,
	      struct volumes **ret_vols);
const struct log_client_ops *vols_log_client_ops(void);
/* Say which pool (created, not yet opened) the volumes live in. */
void vols_attach(struct volumes *vols, struct pool *pool);
/* After the pool was closed; no request in flight. */
void vols_close(struct volumes *vols);

/* --- finding ------------------------------------------------------------- */

struct volume_info {
	char        name[VOLUME_NAME_MAX + 1];
	struct uuid uuid;
	uint32_t    id;
	uint64_t    size_bytes;
	uint64_t    mapped_blocks;  /* blocks of data it holds */
	uint64_t    created_s;      /* seconds since 1970 */
	bool        read_only;
	bool        snapshot;       /* name is without its volume's */
	uint32_t    birth;          /* of a snapshot or checkpoint: orders those
				     * of a volume */
	uint32_t    snapshots;      /* of a volume: how many it has */
	uint32_t    checkpoints;
	uint32_t    clones;         /* of a snapshot: volumes that derive from
				     * it beside what came after it */
	bool        held;           /* a snapshot: not to be deleted */
	uint8_t     schedule;       /* a snapshot: its kind (enum period) if the
				     * schedule of its volume took it; PERIODS:
				     * a person did */
	bool        lost;           /* of a checkpoint: of no use any more, its
				     * volume was rolled back to before it */
	char        clone_of[TREE_NAME_MAX + 1]; /* of a volume: the snapshot
				     * that it was made from, or when that was
				     * deleted the youngest before it that is
				     * there; "": none */
	unsigned    users;          /* vol_get() less vol_put() */
	uint64_t    reserve_bytes;  /* of a volume: as in struct vol_props */
	uint64_t    kept_blocks;    /* … kept for it now, so that its writes
				     * find space: data and map */
	bool        pauses;         /* … as in struct vol_props */
	uint32_t    paused;         /* … writes that are held now, */
	uint64_t    paused_ns;      /* … the first since then, engine's clock */
	uint64_t    trashed_s;      /* of a volume in the trash: since then; 0 */
};

/* In order of name; NULL at the end.  prev NULL: the first one. */
struct volume *vols_next(struct volumes *vols, const struct volume *prev);
/* The i-th in order of name, from 0; NULL: there are not so many. */
struct volume *vols_at(struct volumes *vols, uint64_t i);
/* A volume, snapshot or checkpoint: VOLUME, VOLUME@SNAPSHOT or
 * VOLUME#CHECKPOINT.  A checkpoint is only good for vol_info(). */
struct volume *vols_find(struct volumes *vols, const char *name);
/* Snapshots of a volume, oldest first; NULL at the end.  prev NULL: the first
 * one. */
struct volume *vol_snap_next(struct volume *v, const struct volume *prev);
/* The oldest of those whose id is above this one, NULL: there is none.  With
 * the id of one before, quick however many there are. */
struct volume *vol_snap_after(struct volume *v, uint32_t id);
/* Likewise its checkpoints. */
struct volume *vol_checkpoint_next(struct volume *v, const struct volume *prev);
/* What a volume or snapshot can be compared with: an older snapshot or checkpoint
 * of the same volume that it comes from.  A base is told by its birth, which
 * stays true when the base is deleted. */
struct vol_base {
	char     name[VOLUME_NAME_MAX + 1]; /* without the volume's */
	uint32_t birth;                     /* for VOL_DIFF */
};
/* The one of that name; @NAME: only a snapshot, #NAME: a checkpoint; NULL: the
 * nearest one.  -ENOENT. */
int vol_base(const struct volume *v, const char *name,
	     struct vol_base *ret_base);
/* The name that vols_find() finds it by, TREE_NAME_MAX + 1 bytes, of one that was found
 * just now; returns it. */
const char *vol_full_name(const struct volume *v, char *ret_name);
void vol_info(const struct volume *v, struct volume_info *ret_info);
uint64_t vol_size_bytes(const struct volume *v);

/* Which snapshots of a volume the server takes and deletes by itself
 * (server/schedule.h). */
struct vol_schedule {
	uint16_t keep[PERIODS]; /* so many of each kind; 0: it is not taken */
	uint32_t last_min;      /* when the last ones were taken, or it was
				 * set; minutes since 1970 */
};
/* False: it has none. */
bool vol_schedule_get(const struct volume *v, struct vol_schedule *ret_schedule);
/* The kind of a snapshot, as in struct volume_info. */
enum period vol_schedule_kind(const struct volume *s);

/* What else can be set of a volume. */
struct vol_props {
	uint8_t  mask;          /* enum vol_prop, or'ed: those that are meant */
	uint64_t reserve_bytes; /* so much data it has space for, and for the
				 * map of that; 0: none, VOL_RESERVE_FULL: as
				 * its size is.  What its snapshots keep does
				 * not count: it is beside that. */
	bool     pause;         /* without space its writes wait for some,
				 * for however long, instead of -ENOSPC */
};
enum vol_prop {
	VOL_PROP_RESERVE = 1 << 0,
	VOL_PROP_PAUSE = 1 << 1,
};
#define VOL_RESERVE_FULL UINT64_MAX

/* A volume that pauses, or has all its writes ended or gone on: not in any call
 * of a client.  It must not change any volume. */
typedef void (*vols_pause_watch_fn)(void *arg, const char *name, bool paused);
void vols_pause_watch(struct volumes *vols, vols_pause_watch_fn watch,
		      void *arg);

/* A user (an attached client) keeps the volume from being deleted and gets a
 * call when its size changed or the volume is going away (force). */
struct vol_user {
	struct list link;
	void (*resized)(struct vol_user *u); /* may be NULL */
	void (*gone)(struct vol_user *u);    /* must stop using the volume, and
					      * vol_put() soon */
	bool left;                           /* private: vol_leave() */
};
void vol_get(struct volume *v, struct vol_user *u);
/* Its users have been told to go: no new ones for now. */
bool vol_is_detaching(const struct volume *v);
/* Its requests (vol_req.user) are not held for want of space any more: they
 * end with -ECANCELED. */
void vol_leave(struct volume *v, struct vol_user *u);
void vol_put(struct volume *v, struct vol_user *u);

/* --- requests ------------------------------------------------------------ */

enum vol_op {
	VOL_READ,
	VOL_WRITE,
	VOL_TRIM,   /* unmap; what cannot be recorded is left as it is */
	VOL_ZERO,   /* must read as zeros afterwards */
	VOL_FLUSH,  /* everything acknowledged before, of any volume */
	VOL_CACHE,  /* load into the cache; a hint */
	VOL_STATUS, /* what is mapped */
	VOL_DIFF,   /* what has changed since a base */
};

enum vol_flag {
	VOL_FUA     = 1 << 0, /* durable against power loss when done */
	VOL_NO_HOLE = 1 << 1, /* VOL_ZERO: keep the space allocated */
	VOL_ONE     = 1 << 2, /* VOL_STATUS, VOL_DIFF: one extent is enough */
};

struct vol_extent {
	uint64_t len_bytes;
	bool     hole;    /* unmapped: reads as zeros, holds no space; DIFF:
			   * only said of what has changed */
	bool     changed; /* since base_birth, also by a trim; STATUS: only said
			   * of holes.  What has changed is always said to
			   * have; of the rest only what a request covered. */
};

/* Private: the blocks that a request changes, held against later ones. */
struct vol_range {
	struct list link;  /* in the volume's list, in order of arrival */
	uint64_t    first; /* blocks first .. end-1 */
	uint64_t    end;
	uint32_t    waits; /* earlier ranges that overlap */
	bool        held;  /* it is in the list */
};

struct vol_req {
	struct volume *vol;
	struct vol_user *user;    /* whose it is, for vol_leave(); or NULL */
	uint8_t        op;        /* enum vol_op */
	uint8_t        flags;     /* enum vol_flag */
	uint64_t       off_bytes; /* any alignment, inside the volume */
	uint64_t       len_bytes; /* READ, WRITE: <= REQUEST_DATA_MAX */
	/* WRITE: len_bytes of data, any alignment; not touched, and in use
	 * until done().
	 * READ: a buffer aligned to 4096, of vol_read_buf_bytes(); the data is
	 * at buf + off_bytes % 4096. */
	void          *buf;
	/* READ, optional: one bit per block of the buffer is set where the
	 * block was a hole (BITMAP_WORDS of the buffer's blocks; cleared here
	 * first). */
	uint64_t      *holes;
	/* STATUS, DIFF: where extents go; they start at off_bytes and go on to
	 * the end of the request or of the array. */
	struct vol_extent *extents;
	uint32_t       extents_max;
	uint32_t       nextents;  /* out */
	uint32_t       base_birth; /* DIFF: of the base (vol_base()); STATUS:
				    * likewise, 0: there is none */
	/* 0 or -errno: -EINVAL outside of the volume, -ENOSPC pool full,
	 * -EIO or -EBADMSG data lost, -EROFS, -ESHUTDOWN volume going away or
	 * the pool no longer ours, -ECANCELED. */
	int            res;
	void (*done)(struct vol_req *req);

	/* Private to volume/. */
	struct list    link;
	struct vol_range range;
	struct io_work work;
	struct log_sync sync;
	uint64_t       asked_ns;  /* when it was submitted; 0: internal */
	uint64_t       next_off_bytes; /* how far it has been cut into parts;
				   * ZERO: or unmapped */
	uint64_t       pause_from_bytes; /* held: it goes on there … */
	uint64_t       pause_blocks; /* … once there is space for so many */
	uint64_t       pause_went_bytes; /* from there it went on last */
	uint32_t       pending;
	uint32_t       state;
};

/* Size of the buffer that a read needs. */
static inline uint64_t vol_read_buf_bytes(uint64_t off_bytes,
					  uint64_t len_bytes)
{
	uint64_t skew = off_bytes & (TARN_BLOCK - 1);

	return blocks_to_bytes(bytes_to_blocks_up(skew + len_bytes));
}

void vol_submit(struct vol_req *req);

/* --- space --------------------------------------------------------------- */

/* What deleting a volume without snapshots, or a snapshot, would free: what
 * only it has.  It is counted bit by bit, with clients going on, and is exact as
 * long as nothing changes that it shares something with; but that more may be
 * freed where more than a thousand trees derive from deleted snapshots that are
 * kept for clones, one behind the other (USED_KIDS_MAX). */
struct vol_used {
	struct volume *vol;      /* no checkpoint */
	/* Or several, that go together, and what only they have among them;
	 * copied at once.  NULL: only vol. */
	struct volume *const *set;
	unsigned       nset;
	/* Asked each turn; true: end with -ECANCELED.  May be NULL. */
	bool (*stop)(struct vol_used *u);
	void (*done)(struct vol_used *u);
	/* Out. */
	uint64_t data_blocks;
	uint64_t node_blocks;    /* of the map */
	bool     forked;         /* two or more trees (clones) derive from it,
				  * or one of them: of that only what none of
				  * those has is freed before all but one of
				  * them are gone */
	/* 0, or: -EIO or -EBADMSG some of the map cannot be read, and does not
	 * count; -ENOENT deleted meanwhile, -ECANCELED, -ESHUTDOWN, -ENOMEM. */
	int      res;
	/* Private. */
	struct used_walk *walk;
	struct io_work work;
};

/* Never calls done(). */
void vol_used_submit(struct vol_used *u);

/* --- control ------------------------------------------------------------- */

struct vol_ctl {
	/* In (each operation says which). */
	const char *name;       /* copied at once */
	const char *new_name;
	const char *const *names; /* a group */
	const struct uuid *uuids; /* fresh random ones, one for each name */
	unsigned    nnames;
	const uint8_t *kinds;   /* enum period, one for each name; NULL: no
				 * schedule takes them */
	struct vol_schedule schedule; /* keep only */
	struct vol_props props;
	uint64_t    size_bytes;
	uint64_t    now_s;      /* wall clock, seconds since 1970 */
	struct uuid uuid;       /* create: a fresh random one */
	bool        force;
	bool        dry_run;    /* delete: only, could it be? */
	bool        with_snapshots; /* delete: a volume goes with them */
	bool        at_once;    /* delete: not into the trash */
	bool        by_schedule; /* delete: only what the schedule took, and
				 * nothing is being received on the base of */
	/* Out. */
	int         res;
	bool        already;    /* it was so before */
	bool        trashed;    /* delete: it is in the trash, uuid says what */
	char        error[256]; /* one sentence: the object and the way out */
	void (*done)(struct vol_ctl *ctl);
	/* Private. */
	struct list link;
	struct io_work work;
	struct log_append append;
	uint8_t     body[CATALOG_BODY_MAX];
	struct volumes *vols;
	struct volume *vol;
	struct volume *detached[2]; /* get no users until the end; held */
	uint64_t    asked_ns;
	uint32_t    op;
	bool        begun;      /* receive: the hidden volume is its own */
};

/* A name is 1 to 255 bytes of UTF-8 without control characters, '/', '@',
 * '#', white space at either end, and not "." or "..". Returns NULL, or what
 * is wrong with it (a sentence with the name quoted, in ret_err[256]). */
const char *vol_name_problem(const char *name, char *ret_err);

/* What a whole name is of, by its mark. */
enum vol_kind {
	VOL_KIND_VOLUME = 1 << 0,     /* VOLUME */
	VOL_KIND_SNAPSHOT = 1 << 1,   /* VOLUME@SNAPSHOT */
	VOL_KIND_CHECKPOINT = 1 << 2, /* VOLUME#CHECKPOINT */
};
#define VOL_KIND_ANY \
	(VOL_KIND_VOLUME | VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT)
enum vol_kind vol_name_kind(const char *name);
/* Like vol_name_problem(), of a whole name that must be of one of these kinds
 * (enum vol_kind, or'ed). */
const char *vol_whole_name_problem(const char *name, unsigned kinds,
				   char *ret_err);

/* name, size_bytes, props, uuid, now_s.  The same name and size (and props)
 * again: already.  -EEXIST another size, -EINVAL, -ENOSPC. */
void vol_create(struct volumes *vols, struct vol_ctl *ctl);
/* name, size_bytes, force.  Shrinking below what is written needs force
 * (-ENOTEMPTY); -EBUSY when it would shrink with users and no force. */
void vol_resize(struct volumes *vols, struct vol_ctl *ctl);
/* name, props.  -ENOSPC what is to be kept for it is not there; -ENOENT,
 * -EINVAL. */
void vol_set(struct volumes *vols, struct vol_ctl *ctl);
/* names (VOLUME@SNAPSHOT or VOLUME#CHECKPOINT; each volume at most once with
 * either, or with each of kinds), nnames, uuids, kinds, now_s: all of the same
 * instant; schedules of which there are kinds know that it was done.  -EEXIST: one is there
 * already, and none has been taken; -ENOENT, -EINVAL, -ENOSPC, -E2BIG too many
 * for one group. */
void vol_snapshot(struct volumes *vols, struct vol_ctl *ctl);
/* name (VOLUME@SNAPSHOT), new_name, uuid, now_s: a volume that starts as that
 * snapshot.  If it is there and has not been written to: already.  -EEXIST,
 * -ENOENT, -EINVAL, -ENOSPC. */
void vol_clone(struct volumes *vols, struct vol_ctl *ctl);
/* name (VOLUME@SNAPSHOT), new_name (of a snapshot, without the volume's; or
 * NULL), uuid, now_s, force: the volume goes on from what the snapshot shows.
 * What it was is kept as a snapshot of that name, or deleted.  -EBUSY while in
 * use and no force; with force its users are told to go, and waited for.
 * -EEXIST, -ENOENT, -EINVAL, -ENOSPC. */
void vol_rollback(struct volumes *vols, struct vol_ctl *ctl);
/* Receiving a copy of a snapshot, in three steps, so that nobody sees a part of
 * it: vol_receive(), writing to the hidden volume, vol_publish().
 *
 * name: a volume that is not there yet; or VOLUME@SNAPSHOT, the last snapshot of
 * a volume that has not been written to since.  size_bytes (of the copy), uuid,
 * now_s.  Makes a hidden volume, empty or as that snapshot, which vols_find()
 * finds as "receive/" and the uuid, and vol_delete() deletes.  There is one of
 * that uuid, for the same: already.  -EEXIST, -ESTALE written to since, -ENOENT,
 * -EINVAL, -ENOSPC. */
void vol_receive(struct volumes *vols, struct vol_ctl *ctl);
/* name (of the hidden volume), new_name, uuid, now_s (of the snapshot), force.
 * The volume is what the hidden one is, of which a snapshot is taken, and the
 * hidden one is gone.  new_name NULL: no snapshot is taken, which can be so only
 * of a new volume.  The users of the hidden one are told to go and waited for;
 * those of the volume with force, else -EBUSY.  If there is a volume that it has
 * become, or with names (one: the volume that it was meant for) that has such a
 * snapshot: already.  -EEXIST, -ESTALE, -ENOENT, -EINVAL, -ENOSPC. */
void vol_publish(struct volumes *vols, struct vol_ctl *ctl);
/* Those that there are: the next one after prev (NULL: the first); NULL at the
 * end. */
struct volume *vols_hidden_next(struct volumes *vols,
				const struct volume *prev);
/* name, new_name (a snapshot's without its volume's).  A snapshot that a
 * schedule took belongs to a person then.  -EEXIST. */
void vol_rename(struct volumes *vols, struct vol_ctl *ctl);
/* name (VOLUME@SNAPSHOT): it cannot be deleted until it is released.  -ENOENT,
 * -EINVAL. */
void vol_snapshot_hold(struct volumes *vols, struct vol_ctl *ctl);
void vol_snapshot_release(struct volumes *vols, struct vol_ctl *ctl);
/* name, schedule, now_s: a volume has this schedule from now on, all 0 for none.
 * What is kept already goes on.  Its snapshots of kinds that are no longer kept
 * stay, as if a person had taken them.  -ENOENT, -EINVAL. */
void vol_schedule_set(struct volumes *vols, struct vol_ctl *ctl);
/* name, force, dry_run, with_snapshots, at_once,
 * by_schedule, now_s.  A volume goes into the
 * trash, if there is one; all else, and with at_once, is deleted, and space freed
 * in the background.  -EBUSY while it or one of its snapshots is in use and no
 * force, held, or not the schedule's to delete; -ENOTEMPTY while it has snapshots and they are not to go with
 * it (checkpoints always do); -ENOENT when there is none (nothing to repeat). */
void vol_delete(struct volumes *vols, struct vol_ctl *ctl);

/* --- the trash ----------------------------------------------------------- */

/* What is in it takes space and nothing else: no name, and no users.  It goes by
 * itself when its time is over, or when there is no space for something new:
 * that waits meanwhile. */

/* After opening, once: volumes stay there for so long, 0: there is no trash.
 * How long those that are there have been is reckoned from now_s (wall clock) this
 * once, and then by the engine's clock, which does not jump. */
void vols_trash_start(struct volumes *vols, uint64_t keep_s, uint64_t now_s);
/* This is called whenever a volume (name: that it had) has gone by itself:
 * because the space was needed, or its time was over.  NULL: nothing is.  It must
 * not change any volume. */
typedef void (*vols_trash_went_fn)(void *arg, const char *name,
				   const struct uuid *uuid, bool for_space);
void vols_trash_watch(struct volumes *vols, vols_trash_went_fn went,
		      void *arg);
/* The pool is about to be closed: nothing goes by itself any more. */
void vols_trash_stop(struct volumes *vols);
/* What there is, the oldest first; prev NULL: the first one. */
struct volume *vols_trash_next(struct volumes *vols,
			       const struct volume *prev);
/* The one of that UUID, or of that name if only one has it; NULL: none, or with
 * *ret_several (may be NULL) not only one. */
struct volume *vols_trash_find(struct volumes *vols, const char *name,
			       bool *ret_several);
/* What emptying it would free, as vol_used says, stays the same as long as this
 * does, and the pool is open: nothing went in or out, was made or deleted, nor was
 * anything written that it could share. */
struct vols_trash_mark {
	uint64_t trees;  /* that came or went */
	uint64_t writes; /* to their families */
};
struct vols_trash_mark vols_trash_mark(const struct volumes *vols);
/* How long it stays if nobody needs the space, in seconds. */
uint64_t vol_trash_left_s(const struct volume *v);
/* name (or UUID), new_name (or NULL: it keeps its own).  Already: none in the
 * trash is meant, and there is a volume of that UUID (and new_name); or, by name,
 * one of the name that it was to get.  -ENOENT, -ENOTUNIQ several have that name,
 * -EEXIST another volume has the name, -EINVAL. */
void vol_undelete(struct volumes *vols, struct vol_ctl *ctl);
/* name (or UUID) of what is in the trash: it is deleted, with its snapshots.
 * -ENOENT, -ENOTUNIQ. */
void vol_purge(struct volumes *vols, struct vol_ctl *ctl);

/* --- what is being deleted ----------------------------------------------- */

struct vols_deletion {
	uint64_t trees;       /* volumes and snapshots */
	uint64_t total_bytes; /* their sizes, */
	uint64_t done_bytes;  /* … how much of that has been gone through */
	uint64_t freed_bytes; /* since the pool was opened, with the map */
};
/* All that was deleted before the number that vols_deletion_no() gave. */
void vols_deletion(const struct volumes *vols, uint64_t upto,
		   struct vols_deletion *ret);
/* Grows with every deletion, and begins anew when the pool is opened. */
uint64_t vols_deletion_no(const struct volumes *vols);
/* Is there any?  Those that are kept (vol_used.forked) do not count. */
bool vols_deletion_any(const struct volumes *vols);
/* One after the other; those that are kept (vol_used.forked) too, with total_bytes
 * and nothing done.  While what nobody needs any more is dropped from one that is
 * kept, it is like any other.  prev NULL: the first one. */
struct volume *vols_deletion_next(struct volumes *vols,
				  const struct volume *prev);
/* The one of that id (struct volume_info); NULL.  Quick however many there are. */
struct volume *vols_deletion_find(struct volumes *vols, uint32_t id);
void vol_deletion(const struct volume *v, struct vols_deletion *ret,
		  bool *ret_kept);
/* It is its turn just now. */
bool vol_deletion_runs(const struct volume *v);

/* --- events --------------------------------------------------------------
 *
 * A bounded history of what happened to the pool, kept in it.
 */
enum event_severity {
	EVENT_INFO = 1,
	EVENT_WARNING,
	EVENT_CRITICAL,
};
#define EVENT_WHAT_MAX   32u
#define EVENT_OBJECT_MAX 192u
#define EVENT_TEXT_MAX   240u

struct vol_event {
	uint64_t seq;      /* out: its number, from 1; 0: not stored yet */
	uint64_t change;   /* out: orders events by when they last changed; not
			    * kept in the pool */
	uint64_t first_s;  /* out: wall clock, seconds since 1970 */
	uint64_t last_s;   /* in: now */
	uint32_t count;    /* out: how often since first_s */
	uint8_t  severity; /* enum event_severity */
	uint64_t numbers[2]; /* what they count, `what` says */
	char     what[EVENT_WHAT_MAX + 1];     /* "disk.out": never changes its
						* meaning */
	char     object[EVENT_OBJECT_MAX + 1]; /* a disk, volume…; "" */
	char     text[EVENT_TEXT_MAX + 1];     /* more of it; "" */
};

/* Record an event.  Never fails and never waits: what the pool cannot take now
 * is kept in memory for later, as far as there is room.  The same `what` of the
 * same object is counted for an hour, not recorded anew. */
void vols_event(struct volumes *vols, const struct vol_event *e);
/* All that is pending goes to the pool at once, as far as it fits a record, and
 * no repeat is held back any more: just before pool_close(). */
void vols_events_flush(struct volumes *vols);
/* The next one behind `change` (0: the first), in order of change.  False:
 * there is none. */
bool vols_event_next(const struct volumes *vols, uint64_t change,
		     struct vol_event *ret_e);

/* --- damage --------------------------------------------------------------
 *
 * Where blocks are lost: in which volumes and snapshots, and which of their
 * blocks.
 */
#define VOLS_DAMAGE_RANGES 256u

struct vol_damage_range {
	uint32_t id;                     /* of the volume or snapshot */
	bool     trashed;
	uint64_t block, n;
	char     name[TREE_NAME_MAX + 1]; /* as for vols_find() */
};

struct vols_damage {
	void (*done)(struct vols_damage *d);
	/* Out. */
	int      res;     /* 0, -ENOMEM, -ESHUTDOWN */
	uint32_t nranges;
	struct vol_damage_range ranges[VOLS_DAMAGE_RANGES]; /* by volume, then
			   * block */
	uint64_t more;    /* ranges, or blocks, for which there is no room */
	uint64_t unnamed; /* blocks that only what is being deleted shows */
	uint64_t unread;  /* … of which not all that may show them could be
			   * read */
	void    *priv;
};
void vols_damage_submit(struct volumes *vols, struct vols_damage *d);

struct volumes_space {
	uint64_t provisioned_bytes; /* sum of the sizes */
	uint64_t mapped_blocks;     /* blocks of data */
	uint64_t logical_blocks;    /* that volumes and snapshots show: what
				     * several of them share counts for each */
	uint64_t node_blocks;       /* blocks of map nodes */
	uint64_t nodes_cached;      /* nodes in memory now */
	uint64_t cache_hits, cache_misses; /* of map nodes, since opening */
	uint64_t block_hits, block_misses; /* of data blocks, since opening */
	uint64_t control_ops, control_ns;  /* control operations since opening,
					    * and how long they took */
	uint64_t deleting;          /* volumes and snapshots being deleted */
	uint64_t trashed;           /* volumes in the trash */
};
void vols_space(const struct volumes *vols, struct volumes_space *ret_space);
/* How many requests have ended with -ENOSPC since opening, and when the last one
 * did, engine's clock. */
uint64_t vols_refused(const struct volumes *vols, uint64_t *ret_last_ns);

#endif
