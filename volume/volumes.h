/* volume/volumes.h - the two central objects: all volumes of a pool, and one
 * of them.  Private to volume/.
 */
#ifndef TARN_VOLUME_VOLUMES_H
#define TARN_VOLUME_VOLUMES_H

#include "volume/block_cache.h"
#include "volume/damage.h"
#include "volume/event.h"
#include "volume/id_map.h"
#include "volume/node_cache.h"
#include "volume/node_commit.h"
#include "volume/node_format.h"
#include "volume/node_load.h"
#include "volume/node_table.h"
#include "volume/read_around.h"
#include "volume/tree.h"
#include "volume/vol_control.h"
#include "volume/vol_delete.h"
#include "volume/vol_pause.h"
#include "volume/vol_request.h"
#include "volume/vol_reserve.h"
#include "volume/vol_trash.h"
#include "volume/volume.h"

#define RANGE_BUCKETS 256u
#define VOLUME_HASH   8192u
#define OF_HASH       32768u

struct volume {
	struct volumes *vols;
	struct volume  *hash_next;   /* by id */
	uint32_t    id;              /* never used again */
	uint32_t    slot;            /* in the catalog; goes with the id */
	uint8_t     kind;            /* enum catalog_kind */
	uint8_t     state;           /* enum catalog_state */
	uint8_t     levels;          /* level of the root */
	uint8_t     flags;           /* CATALOG_SHRUNK… */
	bool        gone;            /* its slot is free; goes with ops */
	uint32_t    detaching;       /* operations that keep users out */
	struct uuid uuid;
	uint64_t    size_bytes;
	uint64_t    created_s;
	uint32_t    family;
	uint32_t    root_id;         /* node id; 0: empty */
	uint32_t    birth;           /* current birth */
	struct family *fam;          /* (tree.h); NULL: it is no tree */
	struct list tip_link;        /* in fam->tips, or in none */
	struct volume *origin;       /* the tree that it derives from; NULL */
	struct list kids;            /* those that derive from it, by kid_link */
	struct list kid_link;
	uint32_t    nkids;
	struct volume *of;           /* READY snapshot or checkpoint: its volume;
				      * else NULL */
	struct list snaps;           /* of a volume, by of_link, oldest first */
	struct list checkpoints;
	struct list of_link;
	struct volume *of_next;      /* in its bucket of catalog.of */
	uint32_t    nsnaps, ncheckpoints;
	uint32_t    origin_id;       /* while the catalog is read */
	uint32_t    of_id;
	struct vol_schedule schedule; /* of a volume; of a SCHEDULED snapshot:
				      * 1 at its kind */
	uint64_t    mapped;          /* data blocks */
	uint64_t    own;             /* blocks that it has, and no older tree
				      * (tree.h) */
	struct vol_promise promise;
	uint64_t    cursor;          /* DELETING: leaves below are gone;
				      * FORK: … have been thinned out */
	bool        used_gone;       /* while a used_plan is made: it goes, */
	struct volume *used_kid;     /* … and this is in its place; */
	uint32_t    used_at;         /* … or it may be thinned out: where it is
				      * in the plan, from 1; 0: it is not */
	uint64_t    deletion_no;     /* DELETING: catalog.deletions then */
	uint64_t    freed_blocks;    /* DELETING: since the pool was opened */
	uint64_t    trashed_s;       /* TRASHED: since then, wall clock */
	uint64_t    trash_until_ns;  /* … and until then, of the engine */
	char        name[VOLUME_NAME_MAX + 1];
	struct mnode *root;          /* in memory, or NULL */
	uint32_t    ops;             /* operations that hold the object */
	struct list users;           /* struct vol_user */
	unsigned    nusers;
	uint32_t    npaused;         /* requests that are held (vol_pause.h), */
	uint64_t    paused_ns;       /* … since then */
	uint64_t    pause_ahead;     /* blocks that those need which have been
				      * looked at */
	struct list reap_link;       /* waiting for the reaper, or in none */
	struct list deleted_link;    /* DELETING, FORK: in catalog.deleted */
	uint32_t    nspans[REQ_KINDS]; /* spans in use */
	struct list wait_spans[REQ_KINDS]; /* struct vol_req: too many are */
	/* Ranges that requests are changing (vol_range.c). */
	struct list ranges;          /* struct vol_range, by arrival */
	uint32_t    nranges_wide;    /* ranges that are in no bucket */
	uint32_t    nranges_wait;    /* ranges that wait for an earlier one */
	uint16_t    range_buckets[RANGE_BUCKETS]; /* narrow ranges, by leaf */
};

struct catalog {
	struct volume **slots;       /* by slot; NULL: free */
	uint32_t    nslots;          /* slots of the table */
	uint32_t    slots_full;      /* none below is free */
	uint32_t    cap;             /* room in slots, sorted, trashed, dirty */
	struct volume **sorted;      /* READY volumes by name, no snapshots */
	uint32_t    nsorted;
	uint32_t    ndeleting;       /* trees for which the reaper has work */
	struct list deleted;         /* trees that are DELETING or FORK, by
				      * deleted_link, as they became so */
	struct volume **trashed;     /* volumes in the trash, by when they go */
	uint32_t    ntrashed;
	uint64_t    trash_changes;   /* volumes that went in or out */
	uint64_t    deletions;       /* trees that began to go, or are kept */
	bool       *dirty;           /* by page */
	uint32_t    ndirty;
	uint32_t    next_volume;     /* next volume id */
	uint64_t    mapped;          /* data blocks, each counted once */
	uint64_t    tree_changes;    /* trees that came or went */
	struct tree_path path;       /* the last long one that was walked */
	struct volume *hash[VOLUME_HASH]; /* by id, chained */
	struct family *families[VOLUME_HASH]; /* by id, chained */
	struct volume *of[OF_HASH];  /* those that have `of`, by that and name,
				      * chained */
};

struct mover;
struct reloc_op;

/* Runs that are being emptied (vol_relocate.c). */
struct vol_relocs {
	struct mover    *mover;      /* of data (vol_move.c) */
	struct reloc_op *ops;        /* of nodes and tables: all of them */
	struct list      free;       /* struct reloc_op */
	struct list      queue;      /* struct reloc, waiting for one, or for
				      * a commit */
};

/* Where redoing the log stands (vol_redo.c). */
struct vol_redo {
	uint64_t    row_no;          /* of the record prepared last */
	uint64_t    row_first;       /* records prepared before that row */
	uint64_t    prepared, applied; /* records */
	uint64_t    branched;        /* records up to the last clone or
				      * rollback that was prepared */
	bool        versions_lost;   /* a MOVE found one that is unreadable */
	struct list waiting;         /* struct redo_load, in order */
};

struct volumes {
	struct io   *io;
	struct pool *pool;
	struct volumes_params params;
	uint64_t     zone_mask;      /* offset in a zone, of a place */
	bool         redoing;        /* opening: no commit was done and no
				      * request came yet; nothing is evicted */
	bool         failed;         /* a commit failed: the pool is ending */
	bool         owned;          /* each volume's `own` is right: since the
				      * pool was made there was nobody who
				      * did not count it */
	bool         committed;      /* a commit was done since opening */
	uint64_t     node_credit;    /* reserved blocks that new nodes may take
				      * over, while a write is applied */
	uint64_t     dirty_max;      /* a commit is wanted from here on */
	bool         commit_wanted;  /* since the last freeze */
	struct slab  slab;
	struct block_cache blocks;
	struct read_around around;
	struct id_map ids;
	struct node_cache cache;
	struct node_table table;
	struct node_loader loader;
	struct node_commit commit;
	struct catalog catalog;
	struct vol_requests req;
	struct vol_controls ctl;
	struct vol_trash trash;
	struct vol_reserves reserves;
	struct vol_pauses pauses;
	struct vol_relocs relocs;
	struct objpool redo_loads;   /* struct redo_load */
	struct vol_redo redo;
	struct vol_reaper reaper;
	uint64_t     refused;        /* requests that got -ENOSPC, */
	uint64_t     refused_ns;     /* … the last one then */
	struct event_log events;
	struct damage_check damage;
	struct vols_loader *opening; /* load() under way */
};

/* vols_open() and vols_load.c */
void vols_learn_geometry(struct volumes *vols);
void vols_format(void *arg);
void vols_load(void *arg, const void *root, uint32_t root_bytes);
int  vols_redo_init(struct volumes *vols);
int  vol_relocs_init(struct volumes *vols);
/* The pool is being closed: those in the queue end. */
bool vol_relocs_end(struct volumes *vols, struct list *queue);
/* More may be dirty now; does something still wait for that? */
void vol_relocs_kick(struct volumes *vols);
bool vol_relocs_wait(const struct volumes *vols);
void vol_relocs_fini(struct volumes *vols);
/* vol_redo.c, vol_relocate.c: operations of struct log_client_ops. */
bool vols_redo_knows(void *arg, uint32_t subtype);
void vols_redo_prepare(void *arg, struct redo *r);
void vols_redo_apply(void *arg, struct redo *r);
void vols_relocate(void *arg, struct reloc *r);
void vols_room(void *arg);

/* Is it in the trash, by itself or with its volume? */
static inline bool catalog_is_trashed(const struct volume *v)
{
	return ((v->of != NULL ? v->of : v)->flags & CATALOG_TRASHED) != 0;
}

/* Hold and release the object (not its content). */
static inline void vol_hold(struct volume *v)
{
	v->ops++;
}

void vol_release(struct volume *v);

#endif
