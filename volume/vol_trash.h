/* volume/vol_trash.h - the trash: what is in it goes when its time is over, or
 * when there is no space for something new, which waits for that.
 *
 *   a write finds no space --> it waits --> the oldest volume is purged --> the
 *   reaper frees some of it --> there is enough? the write goes on
 *                           --> no, and all of it is gone: the next oldest
 *
 * Waiting ends after SPACE_WAIT_NS, so that every request ends in its time
 * (P6).  When one has waited in vain, and nothing was freed meanwhile, others
 * no longer wait until something was, or purging is tried again anyhow.  What
 * waits keeps its part or span: reads and questions have their own
 * (vol_request.h).
 */
#ifndef TARN_VOLUME_VOL_TRASH_H
#define TARN_VOLUME_VOL_TRASH_H

#include "volume/volume.h"

/* What waits for space. */
struct space_wait {
	struct list link;
	struct volume *vol;
	uint64_t    blocks;
	uint64_t    until_ns;
	uint64_t    freed;      /* vol_trash.freed when it began */
	void (*done)(struct space_wait *w, int res);
};

struct vol_trash {
	bool            started;  /* and not stopped */
	uint64_t        keep_ns;  /* 0: there is no trash */
	struct list     waits;    /* struct space_wait, by arrival */
	uint32_t        nreserved; /* parts that have reserved space: some of
				    * it comes back, see vol_nodes_needed() */
	struct list     parked;   /* struct vol_ctl */
	uint64_t        parked_freed;    /* when the first of them came */
	uint64_t        parked_until_ns; /* then they look again anyhow */
	uint64_t        hopeless_ns; /* waiting does not help until then */
	uint64_t        freed;    /* slices reaped ever */
	uint64_t        moved_ns; /* when one was, or a volume was purged */
	bool            busy;     /* ctl is under way */
	uint64_t        pause_ns; /* it failed: not before */
	struct vol_ctl  ctl;      /* purges */
	char            name[UUID_TEXT_BYTES];
	char            old_name[VOLUME_NAME_MAX + 1]; /* of what it purges */
	bool            for_space; /* that is why */
	vols_trash_went_fn went;   /* NULL */
	void           *went_arg;
	struct io_timer timer;    /* the next end of a time */
	struct io_work  work;     /* looks what there is to do */
};

void vol_trash_init(struct volumes *vols);
void vol_trash_fini(struct volumes *vols);
/* Something has changed: look what there is to do. */
void vol_trash_kick(struct volumes *vols);
/* The reaper has freed something. */
void vol_trash_freed(struct volumes *vols);

/* Does such a volume go into the trash? */
bool vol_trash_takes(const struct volume *v);
/* Could what is in the trash, or being deleted, make room? */
bool vol_trash_helps(const struct volumes *vols);
/* There was no space for so many blocks for v.  True: done() is called once there may
 * be (0), or not in time (-ENOSPC); nothing is reserved.  asked_ns: of the
 * request. */
bool vol_space_wait(struct volume *v, struct space_wait *w,
		    uint64_t blocks, uint64_t asked_ns,
		    void (*done)(struct space_wait *w, int res));
/* A part has reserved space; one that had has ended, having given back what it
 * did not need. */
void vol_space_reserved(struct volumes *vols);
void vol_space_settled(struct volumes *vols);
/* The active control operation found no room: its turn comes again when there
 * may be. */
void vol_trash_park(struct volumes *vols, struct vol_ctl *ctl);
/* The one that is to go by itself, now; NULL: none. */
struct volume *vol_trash_due(struct volumes *vols);
/* v has gone the way that the record says: its users, and its snapshots', are
 * told. */
void vol_trash_users_tell(struct volume *v, uint32_t subtype);

#endif
