/* server/tarnd.h - the server process: one engine, one control socket, one NBD
 * server and at most one pool.  Private to server/tarnd*.c and the control
 * methods.
 *
 * What happens to the pool is a sequence of jobs, one at a time: open, create,
 * export, look for missing disks, close down.  Everything else (volumes,
 * status, discovery) goes on beside them.
 *
 *	tarnd.c           start, signals, stop
 *	tarnd_job.c       the queue of jobs
 *	tarnd_open.c      pool open: by itself, or import
 *	tarnd_create.c    pool create: what is refused, and why
 *	control_disk_change.c  disks join the pool and leave it
 *	tarnd_close.c     pool export, failure, end of service
 *	tarnd_watch.c     disks that turn up later
 *	tarnd_connect.c   connecting several disks at once
 *	tarnd_identity.c  machine, boot, process, lock
 *	tarnd_schedule.c  snapshots that are taken by themselves
 *	control_*.c       the methods of the control socket
 *	bgjob*.c          what takes long and goes on by itself
 *	event*.c alarm.c  what happened, and what is wrong: see event.h
 */
#ifndef TARN_SERVER_TARND_H
#define TARN_SERVER_TARND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bufpool.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/io.h"
#include "pool/pool.h"
#include "server/bgjob_note.h"
#include "server/config.h"
#include "server/control.h"
#include "server/export.h"
#include "server/event_watch.h"
#include "server/export_volume.h"
#include "server/inventory.h"
#include "server/nbd.h"
#include "server/schedule.h"
#include "server/wall_timer.h"
#include "volume/volume.h"

#define TARND_PLACES_MAX   256u
#define TARND_SCANS_MAX    4u    /* discoveries at once */
#define TARND_SCAN_NS      (5 * NS_PER_S)
#define TARND_CONNECT_NS   (5 * NS_PER_S)
#define TARND_JOBS_MAX     16u
#define TARND_ERROR_BYTES  768u

struct tarnd;

/* --- connecting disks ---------------------------------------------------- */

struct connect_item {
	char         place[512];
	char         domain[DOMAIN_NAME_MAX + 1];
	struct disk *disk;       /* NULL: could not be connected, or handed
				  * over */
	bool         answered;   /* its first event came */
	char         error[200]; /* why disk is NULL */
	struct connect_set *set;
};

struct connect_set {
	struct tarnd        *t;
	struct connect_item *items;
	unsigned             nitems;
	unsigned             pending;  /* not answered */
	struct io_timer      timer;
	struct io_work       work;
	void               (*done)(struct connect_set *set, void *arg);
	void                *arg;
};

/* Connect to nitems places (filled in by the caller: place, domain), within
 * TARND_CONNECT_NS.  Then done(); what could not be connected is closed.
 * set->items must be malloc'd; it is freed by connect_fini(). */
void connect_start(struct connect_set *set, struct tarnd *t,
		   void (*done)(struct connect_set *set, void *arg),
		   void *arg);
/* Close the disks that are still here. */
void connect_fini(struct connect_set *set);
/* Move the disks that are up to an array of pool_disk (nitems of them);
 * returns how many. */
unsigned connect_hand_over(struct connect_set *set, struct pool_disk *ret);
/* Close a disk; tarnd waits for it before it ends. */
void tarnd_close_disk(struct tarnd *t, struct disk *d);

/* --- the pool ------------------------------------------------------------ */

enum hosted_state {
	HOSTED_NONE,      /* no pool, none wanted */
	HOSTED_SEARCHING, /* one is wanted; tried again with back-off */
	HOSTED_OPENING,   /* pool_open() or pool_create() under way */
	HOSTED_OPEN,
	HOSTED_CLOSING,
	HOSTED_FAILED,    /* stopped serving for ever; waits for an operator */
};

/* The pool of this server. */
struct hosted {
	uint8_t              state;     /* enum hosted_state */
	struct pool         *pool;      /* OPENING, OPEN, CLOSING */
	struct volumes      *vols;
	struct export_source *source;   /* volumes as exports; OPEN */
	bool                 wanted;    /* a pool is to be opened by itself */
	char                 name[POOL_NAME_MAX + 1]; /* of pool, or wanted;
						       * "": any */
	char                 why[TARND_ERROR_BYTES];  /* SEARCHING, FAILED */
	char                 action[256];
	int                  search_res; /* SEARCHING: why not, -errno */
	uint64_t             search_ns; /* when searching began */
	struct io_timer      retry;     /* SEARCHING: the next attempt; OPEN:
					 * the next look for missing disks */
	uint64_t             backoff_ns;
	struct pool_info     last;      /* FAILED: as it was */
	char                 exported[POOL_NAME_MAX + 1]; /* the last that was,
						       * "": none */
	char                 exported_uuid[UUID_TEXT_BYTES];
	bool                 failed;    /* FAILED until opened or exported,
					 * whatever is tried meanwhile */
	bool                 read_only;
	unsigned             vol_calls; /* control calls inside vols */
	struct {
		struct vols_trash_mark mark; /* blocks is right with it */
		bool     known;
		uint64_t blocks;
		uint64_t again_ns;  /* it could not be told: not before */
	} trash_held;               /* OPEN: what emptying the trash frees */
	int                  fail_res;  /* of pool_params.failed() */
	struct io_work       fail_work; /* leaves the pool's stack */
};

enum job_kind {
	JOB_OPEN,
	JOB_CREATE,
	JOB_EXPORT,
	JOB_WATCH,
	JOB_DISK_ADD, JOB_DISK_RESCAN,
	JOB_FAIL,  /* close the pool after failed() */
	JOB_STOP,  /* close everything: SIGTERM */
	JOB_KINDS
};

/* One job.  It belongs to the queue from job_submit() on. */
struct job {
	struct list      link;
	struct tarnd    *t;
	uint8_t          kind;      /* enum job_kind */
	struct ctl_call *call;      /* to be answered; NULL: by itself */
	void           (*run)(struct job *job);
	char             name[UUID_TEXT_BYTES + POOL_NAME_MAX]; /* name or UUID
								 * of a pool;
								 * "": any */
	char           **places;    /* CREATE: its disks; OPEN: further ones */
	unsigned         nplaces;
	uint32_t         k, m;      /* CREATE */
	bool             domain_disk, force, read_only, dry_run, witness;
	uint32_t         replaces;  /* DISK_ADD, dry_run: one more than the
				     * index of a member that goes; 0 */
	bool             partial;   /* OPEN: some members were not seen */
	struct inventory *inv;
	struct connect_set set;
	struct pool_disk *disks;    /* handed over, until op is done */
	unsigned         ndisks;
	struct pool_op   op;
	struct pool_open_params open;
	struct pool_create_params create;
	json_t          *warnings;  /* array of strings */
	void           (*next)(struct job *job); /* after hosted_end() */
	/* Outcome: 0 or -errno, and a sentence. */
	int              res;
	char             error[TARND_ERROR_BYTES];
	json_t          *result;    /* of success; NULL: {} */
};

struct tarnd {
	struct config    *cfg;
	struct io        *io;
	struct bufpool   *bufs;
	struct ctl_core   core;
	struct ctl_server *ctl;
	struct nbd_server *nbd;       /* NULL: being closed, or not listening */
	bool              nbd_closing;
	struct export_source exports; /* stands for hosted.source */
	struct io_timer   nbd_retry;  /* listening failed: try again */
	struct hosted     hosted;
	struct list       jobs;       /* struct job; the first one runs */
	unsigned          njobs;
	struct io_work    job_work;   /* starts the first one */
	bool              job_running;
	struct job       *ending;     /* waits in hosted_end() */
	bool              creating;   /* pool_create() is under way */
	struct list       parked;     /* ctl_call.parked: run again when no
				       * job runs */
	struct io_work    park_work;
	struct watch      watch;
	struct list       followers;  /* ctl_call.parked: wait for events */
	struct io_work    follow_work;
	struct list       job_waiters; /* ctl_call.parked: for the end of one */
	struct bgjob_note job_notes[BGJOB_NOTES];
	unsigned          scans;      /* discoveries under way */
	unsigned          disks_closing;
	/* Places that were named: --disks first, then those of create,
	 * import and discover. */
	char             *places[TARND_PLACES_MAX];
	unsigned          nplaces;
	struct pool_owner_params owner;
	int               lock_fd;    /* of the pool's lock; -1 */
	int               signal_fd;
	struct io_req     signal_req;
	uint64_t          started_s;  /* wall clock */
	struct schedule   schedule;   /* of snapshots */
	struct wall_timer wall;       /* … tells it when to look */
	bool              stopping;   /* SIGTERM */
	bool              closing_control;
	bool              stopped;    /* the loop may end */
	int               exit_code;
	struct io_timer   stop_timer; /* stopping takes too long */
};

/* --- tarnd.c ------------------------------------------------------------- */

/* Everything until the loop may run.  Reports on stderr; -errno. */
int tarnd_start(struct tarnd *t, struct config *cfg);
/* The loop; returns the exit code. */
int tarnd_run(struct tarnd *t);
/* Something ended: go on with stopping if that was the last thing. */
void tarnd_check_stopped(struct tarnd *t);
/* One line to stderr, what is not printable escaped. */
void tarnd_log(const struct tarnd *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Remember a place for later scans; harmless when known or too many. */
void tarnd_add_place(struct tarnd *t, const char *place);
/* Wall clock, seconds since 1970; random identity. */
uint64_t tarnd_now_s(void);
void tarnd_uuid(struct uuid *ret_uuid);

/* --- tarnd_exports.c: NBD ------------------------------------------------ */

void tarnd_exports_init(struct tarnd *t);
/* Open the NBD server and listen.  -errno, reported. */
int tarnd_nbd_start(struct tarnd *t);
/* Start again, and if that fails keep trying. */
void tarnd_nbd_restart(struct tarnd *t);
/* Close all clients and listeners; then hosted_end_step() goes on. */
void tarnd_nbd_stop(struct tarnd *t, uint64_t drain_ns);

/* --- tarnd_identity.c ---------------------------------------------------- */

/* Fill t->owner; creates the lock directory. -errno, reported. */
int tarnd_identity(struct tarnd *t);

/* --- tarnd_schedule.c ---------------------------------------------------- */

/* -errno, reported. */
int tarnd_schedule_init(struct tarnd *t);

/* --- jobs ---------------------------------------------------------------- */

void jobs_init(struct tarnd *t);
/* NULL: too many, or no memory (then call, if any, was answered). */
struct job *job_new(struct tarnd *t, enum job_kind kind, struct ctl_call *call);
/* Give the job copies of places.  -ENOMEM. */
int job_set_places(struct job *job, char **places, unsigned nplaces,
		   json_t *more);
void job_submit(struct job *job);
/* Instead of that: answer that there is no memory. */
void job_drop(struct job *job);
/* Ends the job that runs, with job->res, error, result; answers its call. */
void job_end(struct job *job);
/* The same, with a failure. */
void job_fail(struct job *job, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void job_warn(struct job *job, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void job_open_run(struct job *job);
void job_create_run(struct job *job);
void job_disk_add_run(struct job *job);
void job_disk_rescan_run(struct job *job);
/* May it be written to?  If not, the job's error says why. */
bool job_disk_ok(struct job *job, const struct found_disk *d);
void job_export_run(struct job *job);
void job_fail_run(struct job *job);
void job_watch_run(struct job *job);
void job_stop_run(struct job *job);

/* Make pool and volumes objects (state OPENING), and give them back after a
 * failure or a close. */
int hosted_make(struct tarnd *t);
void hosted_unmake(struct tarnd *t);
/* The pool is open: serve it (state OPEN). */
int hosted_serve(struct tarnd *t, bool read_only);
/* There is no pool any more: state NONE, or SEARCHING if one is wanted. */
void hosted_none(struct tarnd *t);
/* Try again to open what is wanted, soon or after the back-off. */
void hosted_search(struct tarnd *t, bool soon);
/* Look for members that are not online, soon or after the back-off. */
void hosted_watch(struct tarnd *t, bool soon);
/* A member of some pool was seen: look now for what is waited for, the pool or
 * disks of it. */
void hosted_hurry(struct tarnd *t);
void hosted_init(struct tarnd *t);
/* A control call inside the volumes ended. */
void hosted_call_end(struct tarnd *t);
/* Why there is no open pool: a sentence with the way out. */
void hosted_why_not(const struct tarnd *t, char *ret_why, size_t why_bytes);
/* Stop NBD, close the pool if there is one (job->res and error say how that
 * went), then next(job). */
void hosted_end(struct job *job, uint64_t drain_ns,
		void (*next)(struct job *job));
void hosted_end_step(struct tarnd *t);
/* {"name", "uuid"} of the open pool. */
json_t *hosted_brief(const struct tarnd *t, bool already);

/* --- control methods ----------------------------------------------------- */

extern const struct ctl_method tarnd_methods[];
extern const unsigned tarnd_nmethods;

void ctl_server_info(struct ctl_call *call);
void ctl_server_methods(struct ctl_call *call);
void ctl_server_stats_get(struct ctl_call *call);
void ctl_disk_discover(struct ctl_call *call);
void ctl_disk_list(struct ctl_call *call);
void ctl_disk_add(struct ctl_call *call);
/* A member by UUID or place, as the call names it; UINT32_MAX: it was answered.
 * And what would be. */
uint32_t ctl_find_member(struct ctl_call *call, const struct hosted *h);
json_t *ctl_plan_json(const struct hosted *h, const struct pool_plan *plan);
void ctl_disk_drain(struct ctl_call *call);
void ctl_disk_remove(struct ctl_call *call);
void ctl_disk_offline(struct ctl_call *call);
void ctl_disk_online(struct ctl_call *call);
void ctl_disk_rebuild(struct ctl_call *call);
void ctl_disk_rescan(struct ctl_call *call);
void ctl_pool_create(struct ctl_call *call);
void ctl_pool_import(struct ctl_call *call);
void ctl_pool_export(struct ctl_call *call);
void ctl_pool_list(struct ctl_call *call);
void ctl_pool_status(struct ctl_call *call);
void ctl_pool_df(struct ctl_call *call);
void ctl_damage_list(struct ctl_call *call);
void ctl_volume_create(struct ctl_call *call);
void ctl_volume_list(struct ctl_call *call);
void ctl_volume_show(struct ctl_call *call);
void ctl_volume_clone(struct ctl_call *call);
void ctl_volume_resize(struct ctl_call *call);
void ctl_volume_set(struct ctl_call *call);
void ctl_volume_rename(struct ctl_call *call);
void ctl_volume_delete(struct ctl_call *call);
void ctl_volume_undelete(struct ctl_call *call);
void ctl_volume_freed(struct ctl_call *call);
void ctl_volume_du(struct ctl_call *call);
void ctl_volume_deleting(struct ctl_call *call);
void ctl_trash_list(struct ctl_call *call);
void ctl_trash_empty(struct ctl_call *call);
void ctl_snapshot_create(struct ctl_call *call);
void ctl_snapshot_list(struct ctl_call *call);
void ctl_snapshot_show(struct ctl_call *call);
void ctl_snapshot_rollback(struct ctl_call *call);
void ctl_snapshot_rename(struct ctl_call *call);
void ctl_snapshot_delete(struct ctl_call *call);
void ctl_snapshot_hold(struct ctl_call *call);
void ctl_snapshot_release(struct ctl_call *call);
void ctl_snapshot_diff(struct ctl_call *call);
void ctl_schedule_set(struct ctl_call *call);
void ctl_schedule_clear(struct ctl_call *call);
void ctl_schedule_list(struct ctl_call *call);
void ctl_checkpoint_create(struct ctl_call *call);
void ctl_checkpoint_list(struct ctl_call *call);
void ctl_checkpoint_show(struct ctl_call *call);
void ctl_checkpoint_rename(struct ctl_call *call);
void ctl_checkpoint_delete(struct ctl_call *call);
void ctl_receive_begin(struct ctl_call *call);
void ctl_receive_publish(struct ctl_call *call);
void ctl_receive_abort(struct ctl_call *call);
void ctl_receive_list(struct ctl_call *call);

/* control_space.c: where the space is, as members of the answer of df. */
json_t *ctl_space_json(const struct pool_info *info,
		       const struct volumes_space *space);
/* If a domain is lost, can what was on it be made again?  Returns ret. */
#define REBUILD_TEXT_BYTES 200u
const char *ctl_rebuild_text(const struct pool_info *info, char *ret);
/* Shared by the methods. */
json_t *ctl_members_json(const struct pool *pool);
const char *ctl_health_name(uint8_t health);
/* The open pool, or NULL after having answered the call with the reason (it is
 * gone then), or after having parked it because the pool is just being opened.
 */
struct hosted *ctl_need_pool(struct ctl_call *call);
void control_park_init(struct tarnd *t);
/* A job ended: what is parked goes on. */
void control_unpark(struct tarnd *t);

#endif
