/* tests/sim/work_priv.h - between the files of the clients. */
#ifndef TARN_TESTS_SIM_WORK_PRIV_H
#define TARN_TESTS_SIM_WORK_PRIV_H

#include "tests/sim/work.h"

#define SLOTS_MAX    24u
#define BLOCKS_MAX   1024u           /* of one request */
#define LATENCY_NS   (10 * NS_PER_S) /* P6 */
#define EXTENTS_MAX  64u

struct slot {
	struct vol_req    req;
	struct sim       *sim;
	bool              busy;
	bool              plain;     /* no FUA */
	bool              may_pause; /* its volume paused, or might, when it
				      * was submitted */
	bool              must_pause; /* … surely */
	unsigned          vol;       /* index in the model */
	uint32_t          op;        /* in the model; 0: changes nothing */
	uint32_t          cover;     /* … what diff_cover() said of it */
	uint64_t          mark;      /* FLUSH: model_flush_begin() */
	uint64_t          submit_ns;
	uint64_t          used;      /* blocks of the pool, at submission */
	uint8_t          *buf;       /* BLOCKS_MAX + 1 blocks */
	uint32_t          lo[BLOCKS_MAX + 1];
	uint64_t          holes[BITMAP_WORDS(BLOCKS_MAX + 1)];
	struct vol_extent extents[EXTENTS_MAX];
};

enum kind {
	KIND_READ,
	KIND_WRITE,
	KIND_TRIM,
	KIND_ZERO,
	KIND_FLUSH,
	KIND_STATUS,
	KIND_CACHE,
	KIND_CONTROL,
	KIND_SNAP,
	KINDS
};

enum phase {
	PHASE_MIXED,
	PHASE_SMALL,   /* single blocks, many in flight */
	PHASE_SEQUENTIAL,
	PHASE_HOT,     /* few blocks, again and again */
	PHASE_FILL,    /* until there is no space */
	PHASE_TRIM,
	PHASE_READ,
	PHASES
};

/* A control operation takes no longer. */
#define CTL_LIMIT_NS (60 * NS_PER_S)

struct admin {
	struct vol_ctl ctl;
	bool           busy;
	bool           repeat;     /* being asked a second time */
	uint64_t       submit_ns;
	uint64_t       size_bytes; /* of a repeated one */
	char           name[64];
	char           new_name[64];
};

/* The last request that covered each block (work_diff.c). */
struct covers {
	uint32_t *last;
	uint64_t  n;
};

/* The snapshots that something comes from, by number (work_diff.c). */
struct line {
	unsigned *no;
	unsigned  n;
};

/* A snapshot that there should be. */
#define MSNAPS_MAX 12u
/* Of deleted ones, so many are remembered. */
#define MGHOSTS_MAX 6u

enum msnap_state {
	MSNAP_NONE,
	MSNAP_TAKING,   /* asked for */
	MSNAP_THERE,
	MSNAP_DELETING, /* asked for */
	MSNAP_KEEPING,  /* asked for, by a rollback */
	MSNAP_TRASHED,  /* in the trash with its volume, or asked to be */
};

struct msnap {
	uint8_t         state;   /* enum msnap_state */
	uint8_t         vol;     /* index in the model */
	bool            known;   /* crcs are */
	bool            held;    /* it is not to be deleted */
	bool            hold_asked; /* … to be, or no longer */
	uint8_t         sched;   /* 1 + enum period if a schedule took it */
	uint32_t        taken_min; /* … then, minutes since 1970 */
	char            name[32];
	unsigned        no;      /* younger ones have higher ones */
	uint32_t        birth;
	uint32_t        since;   /* requests from this on may have come behind
				  * it */
	struct covers   covers;  /* as they were */
	struct line     line;
	uint64_t        size_bytes;
	uint64_t        nblocks;
	uint32_t       *crcs;    /* of its blocks */
	struct volume  *v;       /* in the life that runs */
	struct vol_user user;
};

struct snapper {
	struct vol_ctl ctl;
	struct vol_req req;
	struct vol_used used;
	bool           read;     /* req is done */
	bool           busy;
	uint64_t       submit_ns;
	unsigned       names;    /* snapshots named so far */
	uint8_t       *bufs[2];
};

/* The schedule of a volume (work_schedule.c). */
struct msched {
	uint32_t            id;    /* of the volume */
	struct vol_schedule is;
	struct vol_schedule want;  /* only what it keeps */
	bool                asked; /* for that */
};

/* The reserve of a volume (work_reserve.c). */
struct mreserve {
	uint32_t id;    /* of the volume */
	uint64_t is;    /* bytes, as in struct vol_props */
	uint64_t want;
	bool     pause, pause_want; /* … when the pool is full */
	bool     asked; /* for what is wanted */
};

/* Receiving a copy (work_receive.c). */
struct receiver {
	struct vol_ctl ctl;
	struct vol_req req;
	bool           done;       /* either of them */
	char           volume[64]; /* that it is meant for */
	char           name[64];   /* of the hidden one */
};

enum disk_work_kind {
	DISK_WORK_REMOVE,
	DISK_WORK_REPEAT,
	DISK_WORK_STAY,
	DISK_WORK_ADD,
	DISK_WORK_OFFLINE,
	DISK_WORK_ONLINE,
	DISK_WORK_RESCAN,
};

/* Disks in and out (work_disk.c). */
struct disk_work {
	struct pool_op op;
	bool           busy;
	bool           repeat; /* what was asked for is to be asked for again */
	bool           added;  /* fill the pool now */
	uint8_t        what;   /* enum disk_work_kind */
	unsigned       disk;
	unsigned       rescan;  /* when labels are under way to that disk, */
	unsigned       patience; /* … if that is before so many requests */
	struct uuid    offline[SIM_DISKS_MAX]; /* must be; nil: may or not */
	uint64_t stayed_ns; /* one that was drained stays since then */
	uint64_t grown_ns;  /* the last one was added then, … */
	uint64_t usable_before; /* … and so many blocks were usable before */
};

/* Events that the pool was seen to have stored. */
#define MEVENTS_MAX 8192u

struct mevent {
	uint64_t seq;
	uint64_t no;      /* which it is; 0: one that is repeated */
	uint64_t row;     /* its row is not above */
	bool     warning; /* in that ring */
};

struct eventer {
	struct prng    rng;
	uint64_t       told;     /* numbers given */
	uint64_t       repeated; /* how often the same was told */
	uint64_t       seen;     /* seq: up to here they were seen stored */
	struct mevent *events;   /* in order of seq */
	unsigned       n;
};

struct work {
	struct disk_work disks;
	struct slot     slots[SLOTS_MAX];
	unsigned        inflight;
	enum phase      phase;
	uint64_t        phase_left;  /* requests */
	unsigned        depth;       /* slots in use */
	unsigned        kind_weight[9];
	uint64_t        cursor;      /* PHASE_SEQUENTIAL: block */
	bool            in_order;    /* PHASE_FILL: from here on … */
	unsigned        fill_vol;    /* … and here, from phase to phase */
	uint64_t        fill_block;
	uint64_t        hot;         /* PHASE_HOT: first block */
	uint64_t        fault_every; /* requests between faults */
	uint64_t        fault_in;    /* until the next one */
	bool            moves_disks; /* disks are removed and added */
	struct admin    admin;
	struct snapper  snapper;
	struct receiver receiver;
	struct eventer  eventer;
	struct msched   scheds[MODEL_VOLS_MAX];
	struct mreserve reserves[MODEL_VOLS_MAX];
	struct msnap    snaps[MSNAPS_MAX];
	struct msnap    ghosts[MGHOSTS_MAX]; /* deleted, and still bases */
	unsigned        nghosts;     /* ever */
	struct covers   covers[MODEL_VOLS_MAX];
	struct line     lines[MODEL_VOLS_MAX];
	uint32_t        covers_no;
	unsigned        names;       /* volumes named so far */
	struct vol_user users[MODEL_VOLS_MAX];
	uint64_t        volume_blocks; /* size of all volumes together wanted */
	struct vol_ctl  relief;      /* a volume pauses no more */
	bool            relieving;
	bool            leaving;     /* clients, for good */
	bool            left[MODEL_VOLS_MAX]; /* … or for a moment: that of
				      * this volume */
	unsigned        relieved;    /* that one */
	uint64_t        enospcs;     /* of this phase */
	uint64_t        keep_s;      /* in the trash; 0: none is */
	bool            pressed;     /* there was little space of late: what
				      * is in the trash may go */
};

/* NULL when all are in use. */
struct slot *work_free_slot(struct sim *sim);

/* There is a free slot. */
void work_flush(struct sim *sim, int vol);
struct slot *work_write(struct sim *sim, int vol, uint64_t block);
/* work_damage.c: nothing is listed as lost. */
void damage_check_none(struct sim *sim);
void work_read(struct sim *sim, int vol, uint64_t block, uint32_t n);

/* work_range.c */
/* A volume that takes requests, or -1. */
int work_pick_volume(struct sim *sim);
/* For a request of that kind. */
int range_pick_volume(struct sim *sim, enum kind kind);
/* Where, in bytes: whole blocks mostly. */
void range_pick(struct sim *sim, const struct mvol *v, enum kind kind,
		uint64_t *ret_off, uint64_t *ret_len);

/* work_admin.c */
/* Start a control operation; false when the engine stopped. */
bool admin_act(struct sim *sim);
/* Make a volume of this size and wait for it. */
bool admin_create_now(struct sim *sim, uint64_t size_bytes);
void admin_attach(struct sim *sim);
void admin_forget(struct sim *sim);
/* The volume must not get new requests now. */
bool admin_holds(const struct sim *sim, unsigned vol);

/* Between work_admin.c and work_branch.c. */
struct uuid admin_uuid(struct sim *sim);
/* Use volume i; wait until nothing of it is in flight; do not use it. */
void admin_attach_one(struct sim *sim, unsigned i);
bool admin_quiesce(struct sim *sim, unsigned i);
void admin_let_go(struct sim *sim, unsigned i);
/* The operation is about to be submitted. */
struct vol_ctl *admin_prepare(struct sim *sim, const struct mctl *mc);

/* work_branch.c */
/* Clone or copy a snapshot, or roll its volume back; alive: volumes that there
 * are.  False when the engine stopped. */
bool branch_act(struct sim *sim, unsigned alive);
/* The rollback or copy under way is done, or never was. */
void branch_settle(struct sim *sim, bool happened);
/* After a crash: was it? */
bool branch_happened(struct sim *sim);
/* Is it needed by what is under way? */
bool branch_uses(const struct sim *sim, const struct msnap *s);

/* work_receive.c */
/* Receive what the snapshot holds, which is `copies` (malloc(); taken over), as
 * a new volume.  False when the engine stopped. */
bool receive_act(struct sim *sim, struct msnap *s, struct mcopy *copies);
/* What a crash left of that goes. */
bool receive_clean(struct sim *sim);

/* work_snap.c */
/* May snapshots of it be taken or deleted now? */
bool snap_vol_is_free(const struct sim *sim, unsigned vol);
/* A place for one more, with a name; NULL: there is none. */
struct msnap *snap_new(struct sim *sim, unsigned vol);
void snap_gone(struct msnap *s);
/* It is there: use it. */
void snap_attach(struct sim *sim, struct msnap *s);
/* Its checksums are to come: of so many bytes. */
void snap_size(struct msnap *s, uint64_t size_bytes);
/* Blocks of a volume or snapshot.  False when the engine stopped. */
bool snap_read(struct sim *sim, struct volume *v, uint64_t block, uint64_t n,
	       uint8_t *buf);
#define SNAP_READ_BLOCKS 64u
void snap_full_name(const struct sim *sim, const struct msnap *s, char *name,
		    size_t size);
void snaps_open(struct sim *sim);
/* Do something with snapshots; false when the engine stopped. */
bool snap_act(struct sim *sim);
/* Snapshots that a volume has, or may have. */
unsigned snaps_of(const struct sim *sim, unsigned vol);
void snaps_attach(struct sim *sim);
void snaps_detach(struct sim *sim);
void snaps_forget(struct sim *sim);
/* After a crash: has any changed? */
void snaps_verify(struct sim *sim);

void snap_delete(struct sim *sim, struct msnap *s);

/* work_used.c */
/* Delete it; does that free what was said before?  False when the engine
 * stopped. */
bool used_delete(struct sim *sim, struct msnap *s);
/* Hold or release it; likewise. */
bool used_hold(struct sim *sim, struct msnap *s, bool hold);
/* It is attached: is it held as it should be? */
void used_attach(struct sim *sim, struct msnap *s);

/* work_trash.c */
uint64_t trash_wall_s(const struct sim *sim);
/* A life begins. */
void trash_start(struct sim *sim);
/* Has anything gone that should not have?  What has is forgotten. */
void trash_look(struct sim *sim);
/* Put a volume into the trash, or take one out, or delete one there.  False
 * when the engine stopped. */
bool trash_act(struct sim *sim, unsigned vol, bool may_trash);
/* That is done, or never was; the model's volume is not changed yet. */
void trash_settle(struct sim *sim, bool happened);
/* Use the volume, and its snapshots. */
void trash_attach(struct sim *sim, unsigned vol);
/* Is it in the trash? */
bool trash_has(struct sim *sim, unsigned vol);
/* work_schedule.c */
/* A snapshot is asked for in the name of a schedule, of this kind; returns the
 * time of the wall clock.  It is there.  It is attached: is it still? */
uint64_t schedule_snap_asked(struct sim *sim, struct msnap *s, uint8_t kind);
void schedule_snap_there(struct sim *sim, const struct msnap *s);
void schedule_snap_check(struct sim *sim, const struct msnap *s);
/* After a crash: was what was under way done?  Is all as it was? */
void schedules_decide(struct sim *sim);
void schedules_check(struct sim *sim);
/* Give a volume, this one or another, another schedule; false when the engine stopped. */
bool schedule_act(struct sim *sim, unsigned vol);
/* No schedule took the snapshot: none can delete it. */
bool schedule_keeps(struct sim *sim, const struct msnap *s);

/* work_reserve.c */
/* Give a volume, this one or another, another reserve; false when the engine
 * stopped. */
bool reserve_act(struct sim *sim, unsigned vol);
/* After a crash: are they as they were? */
void reserves_check(struct sim *sim);
/* At most so many blocks will be kept for all that have one, and can. */
uint64_t reserves_need(const struct sim *sim);
/* May a write of so many blocks that ends now not find no space? */
bool reserve_covers(struct sim *sim, unsigned vol, uint64_t blocks);
/* Do its writes wait for space, as far as is known?  Surely: no other has been
 * asked for. */
bool reserve_pauses(const struct sim *sim, unsigned vol, bool surely);
/* A life begins. */
void pauses_watch(struct sim *sim);
/* Each turn: who has been held for long is let go, one way or another; with
 * `soon` at once. */
void pauses_look(struct sim *sim, bool soon);

/* work_diff.c */
/* A request that changes blocks is submitted; its number. */
uint32_t diff_cover(struct sim *sim, unsigned vol, uint64_t off_bytes,
		    uint64_t len_bytes);
/* A snapshot is asked for; it is there. */
void diff_snap_asked(struct sim *sim, struct msnap *s);
void diff_snap_there(struct sim *sim, struct msnap *s);
/* It was deleted; what is known of it goes over. */
void diff_snap_deleted(struct sim *sim, struct msnap *s);
/* Another volume takes the place of the model's. */
void diff_vol_new(struct sim *sim, unsigned vol);
/* The volume was rolled back to it. */
void diff_rollback(struct sim *sim, unsigned vol, const struct msnap *s);
/* Compare it with an older one; false when the engine stopped. */
bool diff_act(struct sim *sim, struct msnap *new);

/* work_disk.c */
/* Go on with draining, removing and adding disks, or begin. */
void disk_act(struct sim *sim);
/* Before each request. */
void disk_tick(struct sim *sim);
void disk_forget(struct sim *sim);
/* The pool is open: what was taken offline is. */
void disk_attach(struct sim *sim);

/* work_event.c */
void event_open(struct sim *sim);
/* Now and then: something happens, and what was stored is noted. */
void event_act(struct sim *sim);
/* The server is about to be closed. */
void event_close(struct sim *sim);
/* After a crash: is all there that must be? */
void event_verify(struct sim *sim);

/* work_scrub.c */
/* Now and then: scrub, or stop that.  False when the engine stopped. */
bool scrub_act(struct sim *sim);

/* work_space.c */
/* Blocks that the pool counts as in use or kept now. */
uint64_t space_used(struct sim *sim, uint64_t *ret_usable);
/* A request of so many blocks got ENOSPC; used: at its submission. */
void space_check_enospc(struct sim *sim, uint64_t used, uint64_t blocks);
/* The same, of volume vol. */
void space_check_write(struct sim *sim, unsigned vol, uint64_t used,
		       uint64_t blocks);
/* An operation that must work in a full pool, too, has ended. */
void space_check_frees(struct sim *sim, const struct vol_ctl *ctl);
/* Now and then: is the pool full? */
void space_look(struct sim *sim);
/* Nothing is in flight: do the counts fit? */
void space_check_mapped(struct sim *sim);

#endif
