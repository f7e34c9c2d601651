/* pool/pool.h - a redundant pool of disks and the log on it.
 *
 * The log is the storage: a sequence of numbered rows, each a full stripe over
 * k+m zones.  What is above (the volumes) hands in changes as records with
 * payload, is told when each is stable, in order, and enters it into its map
 * then.  A commit makes the map durable, so that older log need not be
 * replayed.
 *
 * Rules of use
 *  - One pool, one thread, one engine.  No call here calls back directly;
 *    done(), apply() and the client's operations run from the engine's loop,
 *    except those that say that they are synchronous.
 *  - Operation structs are the caller's and stay until done().
 *  - Sans-I/O: everything goes through struct disk and struct io.
 */
#ifndef TARN_POOL_POOL_H
#define TARN_POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/bufpool.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/uuid.h"
#include "io/disk.h"
#include "io/io.h"

struct pool;

/* --- places ---------------------------------------------------------------
 *
 * A place names one payload block of the log: 48 bits,
 *	((segment * k + unit) << zone_shift) | offset in the zone, in blocks
 * Segments count from 1, so 0 is no place.
 */
typedef uint64_t place_t;
#define PLACE_NONE 0ull
#define PLACE_BITS 48u

/* --- records ------------------------------------------------------------- */

enum rec_type {
	REC_WRITE = 1, /* id: volume, block, n; ext: its family, if that has
			* another id; payload n blocks */
	REC_UNMAP,     /* id: volume, block, ext: number of blocks */
	REC_MOVE,      /* id: family, block, n; ext: place they were at (n
			* consecutive places); payload n blocks */
	REC_NODE,      /* id: node id; payload 1 block; of a commit */
	REC_TABLE,     /* id: enum table_kind, + 0x100 for an index page of
			* that kind; block: page; payload 1 block */
	REC_ROOT,      /* the root of a commit; payload n blocks */
	REC_CATALOG,   /* id: subtype; n: body bytes; no payload */
};

struct rec {
	uint8_t  type;   /* enum rec_type */
	uint8_t  flags;  /* REC_MUST_UNDERSTAND, for CATALOG; REC_FAMILY */
	uint16_t n;      /* payload blocks, or bytes of a CATALOG's body */
	uint32_t id;
	uint64_t block;  /* first block of the volume; page; node index */
	uint64_t ext;    /* UNMAP: blocks; MOVE: from; WRITE: family */
};
#define REC_MUST_UNDERSTAND (1u << 0)
#define REC_FAMILY          (1u << 1) /* a WRITE with ext */

/* The family whose data a WRITE or MOVE carries: volumes that share blocks, by
 * the id of the first. */
static inline uint32_t rec_family(const struct rec *rec)
{
	return rec->type == REC_WRITE && rec->flags & REC_FAMILY ?
		       (uint32_t)rec->ext :
		       rec->id;
}

/* CATALOG subtypes: below 256 the pool's own, from 256 on the volumes'. */
#define CATALOG_POOL_FIRST   1u
#define CATALOG_VOLUME_FIRST 256u

/* --- appending ------------------------------------------------------------
 *
 * One append is one record with its payload, in one row, so atomic.
 *
 *   submit --> gathered into a row --> row stable --> apply() --> done()
 *
 * apply() calls come in row order, and within a row in order of submission;
 * each is synchronous and must not suspend.  When the append fails (-ENOSPC,
 * -EROFS, -ESHUTDOWN), done() is called without apply().
 */
enum log_class {
	LOG_CLIENT,  /* waits (or -ENOSPC) when only the reserve is left */
	LOG_CLEANER, /* may use the cleaner's part of the reserve */
	LOG_COLD,    /* the cleaner's too: what was moved before.  Apart from
		      * the rest while there is space enough for that */
	LOG_COMMIT,  /* may use all of it */
};

struct row; /* private to pool/ */

struct log_append {
	struct rec   rec;
	const void  *body;   /* CATALOG: rec.n bytes, until done */
	/* Payload: data for exactly rec.n blocks, as pieces of any size and
	 * alignment that follow one another; not touched, and in use until
	 * done(). */
	const struct iovec *iov;
	unsigned     niov;
	uint8_t      class;  /* enum log_class */
	bool         fua;    /* done() only when the row is flushed */
	/* When a client asked for it, on the engine's clock: how long it may
	 * wait for space.  0: nobody waits. */
	uint64_t     asked_ns;
	/* Called when the row is stable, in row order. */
	void (*apply)(struct log_append *a);
	/* Last touch. */
	void (*done)(struct log_append *a);
	/* Out. */
	int          res;    /* 0 or -errno, valid in done() */
	uint64_t     row_no; /* valid in apply() and done() */
	/* Private. */
	struct row  *row;
	uint32_t     first;  /* first payload block in the row */
	struct list  link;
};

void log_append_submit(struct pool *pool, struct log_append *a);

/* In apply(): the place and the CRC of payload block i < rec.n. */
place_t  log_append_place(const struct log_append *a, unsigned i);
uint32_t log_append_crc(const struct log_append *a, unsigned i);

/* Wait until everything applied up to now is flushed on its disks. */
struct log_sync {
	int         res;
	uint64_t    row_no;   /* all rows up to this one */
	uint64_t    asked_ns; /* when it was submitted */
	void (*done)(struct log_sync *s);
	struct list link;
};
void log_sync_submit(struct pool *pool, struct log_sync *s);

/* --- reading --------------------------------------------------------------
 *
 * Read n blocks at consecutive places of one unit, check them against their
 * CRCs and reconstruct what is missing or wrong.
 */
struct pool_read {
	place_t         place;
	uint32_t        n;    /* blocks */
	void           *buf;  /* n blocks, aligned to 4096 */
	const uint32_t *crcs; /* n CRC32C */
	const uint8_t  *skip; /* NULL, or n bytes: 1 where a block is not
			       * wanted: not checked */
	/* Out: 0; -EBADMSG or -EIO: lost (bad[] says which, if not NULL). */
	int             res;
	uint8_t        *bad;  /* n bytes: 1 where the block could not be had */
	void (*done)(struct pool_read *r);
	/* Private. */
	struct list     link;
	struct disk_req req;
	struct pool    *pool;
	uint32_t        unit;      /* that is asked, or gone round */
	uint32_t        member;    /* … that was asked */
	uint32_t        tried;     /* mask of units tried */
	uint32_t        next_bad;  /* block being reconstructed */
	uint32_t        moves;     /* of its segment, when it was asked */
	uint64_t        started_ns;
	void           *recon;     /* struct recon, while reconstructing */
	struct direct  *direct;    /* sent by a buffer of the pool's (hedge.c) */
	uint8_t         around;    /* … which units then: enum read_around */
};
/* The segment of r->place stays (is not reused) until done(). */
void pool_read_submit(struct pool *pool, struct pool_read *r);

/* --- damage ---------------------------------------------------------------
 *
 * Blocks of data that nothing gives any more: more units are lost or wrong than
 * there are spare ones.  Reading them is -EBADMSG until they are overwritten, or
 * deleted with all that shows them; they count as live until then.
 */
#define POOL_DAMAGE_MAX 4096u

struct pool_damage {
	place_t  place;
	uint32_t family; /* whose block it is, */
	uint64_t block;  /* … and which */
	bool     sure;   /* the map points there */
};

/* A read has found a block that cannot be had, and the map still says the same;
 * or (again) that an unsure one is sure. */
void pool_damage_found(struct pool *pool, const struct pool_damage *d);
/* The map does not point there. */
void pool_damage_drop(struct pool *pool, place_t place);
/* The next one behind a place (PLACE_NONE: the first), in order of place.  False:
 * there is none. */
bool pool_damage_next(const struct pool *pool, place_t place,
		      struct pool_damage *ret);
/* How many there are that are sure; and how many more are not listed, about. */
uint64_t pool_damage_count(const struct pool *pool, uint64_t *ret_more);

/* --- live blocks ----------------------------------------------------------
 *
 * The client says which places it points to.  Called from apply(), redo and
 * commits; synchronous.
 */
void pool_place_ref(struct pool *pool, place_t place, uint32_t n);
void pool_place_unref(struct pool *pool, place_t place, uint32_t n);

/* Space for live blocks, so that ENOSPC comes before a write is taken:
 * reserve what a write will newly map; -ENOSPC when usable capacity would be
 * exceeded.  After apply() (or failure) give the reservation back; what was
 * mapped then counts through pool_place_ref(). */
int  pool_space_reserve(struct pool *pool, uint64_t blocks,
			uint64_t kept_blocks);
void pool_space_unreserve(struct pool *pool, uint64_t blocks);
/* So many blocks in all are kept for some who will want them: nobody else may
 * reserve them.  Who reserves says how many of his are such (kept_blocks), and
 * these are no longer kept then. */
void pool_space_keep(struct pool *pool, uint64_t blocks);
/* Blocks that may be reserved just now. */
uint64_t pool_space_available(const struct pool *pool);

/* --- tables ---------------------------------------------------------------
 *
 * A table is an array of 4096-byte pages, each somewhere in the log.  The
 * pool keeps where (the index, 16 bytes a page, in memory), the client keeps
 * the pages.  Pages are written by commits only.
 */
enum table_kind {
	TABLE_SEGMENTS = 1, /* the pool's own */
	TABLE_NODES,        /* node id -> place, CRC… */
	TABLE_NODE_MAP,     /* node ids in use, a bit each */
	TABLE_CATALOG,      /* volumes */
	TABLE_VERSIONS,     /* reserved: leaf versions by (family, index) */
	TABLE_EVENTS,       /* what happened */
	TABLE_KINDS
};

/* Pages that the last commit (or the one under way) holds. */
uint32_t pool_table_pages(const struct pool *pool, enum table_kind kind);
/* Where page `page` is and its CRC; PLACE_NONE if it was never written. */
place_t pool_table_place(const struct pool *pool, enum table_kind kind,
			 uint32_t page, uint32_t *ret_crc);

/* --- commits --------------------------------------------------------------
 *
 * The client's part of a commit.  freeze() fixes the state exactly at the row
 * that was applied last: what is changed from then on is copied first.  Then
 * write(): the client hands in each dirty node and each dirty table page of
 * the frozen state with pool_commit_put(), and calls pool_commit_ready() once,
 * after the last.
 */
struct commit_put {
	uint8_t     type;  /* REC_NODE or REC_TABLE */
	uint32_t    id;    /* node id, or enum table_kind */
	uint64_t    block; /* page, or a node's index (for dumps) */
	const void *buf;   /* 4096 bytes, unchanged until done() */
	/* Called when the block has its place: the node's place and CRC go
	 * into the node table (pages of which come after).  Not for tables.
	 * The pool has already counted a node's place as live, in the frozen
	 * state and in the current one. */
	void (*placed)(struct commit_put *p, place_t place, uint32_t crc);
	/* The buffer is no longer needed. */
	void (*done)(struct commit_put *p);
	struct list link; /* private */
	struct log_append append; /* private */
	struct iovec iov;         /* private */
	struct pool *pool;        /* private */
};
void pool_commit_put(struct pool *pool, struct commit_put *p);
/* The node at `place` is superseded by this commit or no longer exists in the
 * frozen state: takes it off both counts.  For nodes freed after the freeze
 * use pool_place_unref() alone. */
void pool_commit_unref_node(struct pool *pool, place_t place);
/* Everything was handed in and placed. */
void pool_commit_ready(struct pool *pool);

/* Ask for a commit soon (memory pressure, too many dirty nodes). Harmless
 * when one is under way. */
void pool_commit_want(struct pool *pool);
/* True while no commit can run, see commit_blocked(). */
bool pool_commit_is_blocked(const struct pool *pool);
/* Only what has begun ends; the last commit is about to come. */
bool pool_is_closing(const struct pool *pool);
/* How many nodes and pages may become dirty besides those that are (or are still
 * being written) before there is no room for a commit of them. */
uint64_t pool_commit_room(const struct pool *pool);
/* There is hardly any left, and a commit would make more: unless none can run,
 * who is about to change nodes waits for one. */
bool pool_commit_is_crowded(const struct pool *pool);

/* --- recovery and cleaning ----------------------------------------------- */

/* One accepted record of the log to be redone. */
struct redo {
	struct rec  rec;
	const void *body;   /* CATALOG */
	uint64_t    row_no;
	const place_t  *places; /* rec.n of them (WRITE, MOVE) */
	const uint32_t *crcs;
	/* The client's, until redo_apply() of it has returned. */
	void       *priv[4];
	/* Private to the pool. */
	struct list link;
	struct pool *pool;
	bool        ready;
	int         res;
};
/* What redo_prepare() needs has been loaded (res 0 or -errno). */
void pool_redo_ready(struct redo *r, int res);

/* One run of payload blocks of a segment that is to be emptied. */
struct reloc {
	struct rec rec;     /* as found in the segment */
	uint32_t   first;   /* first block of rec that is meant */
	uint32_t   n;       /* blocks, at consecutive places */
	place_t    place;   /* of the first */
	int        res;     /* out: 0, or -errno (victim is left alone) */
	uint32_t   moved;   /* out: blocks that were live */
	void (*done)(struct reloc *r);
	struct list link;   /* the client's, to queue it */
	void      *priv;    /* the client's */
	void      *priv_cleaner; /* the pool's */
};

/* Filled in by volume/; `arg` is the struct volumes. */
struct log_client_ops {
	/* A new pool: start empty.  Synchronous. */
	void (*format)(void *arg);
	/* The pool was opened at a commit: `root` is what root() gave for it.
	 * Load what must be in memory (catalog…), then pool_client_loaded().
	 * Asynchronous. */
	void (*load)(void *arg, const void *root, uint32_t root_bytes);
	/* Is a CATALOG record of this subtype understood?  Synchronous. */
	bool (*redo_knows)(void *arg, uint32_t subtype);
	/* Redo: prepare() loads what apply() will need (many at once, any
	 * order of completion), apply() is synchronous, in row order. */
	void (*redo_prepare)(void *arg, struct redo *r);
	void (*redo_apply)(void *arg, struct redo *r);
	/* Commit, as above.  freeze() and root() are synchronous; root()
	 * writes at most 1024 bytes and returns how many. */
	void (*commit_freeze)(void *arg);
	void (*commit_write)(void *arg);
	uint32_t (*commit_root)(void *arg, void *buf);
	/* res 0: durable.  Otherwise the pool is failing; all stays dirty. */
	void (*commit_done)(void *arg, int res);
	/* A commit that was asked for cannot run until zones are released (the
	 * pool is full of quarantined ones), or none will but the last one, as
	 * the pool is being closed: hold nothing back for it.  In a later turn;
	 * may be NULL. */
	void (*commit_blocked)(void *arg);
	/* Blocks that the next commit would write at most (nodes and table
	 * pages that are dirty now), and nodes that the running one still has
	 * to write.  Synchronous. */
	uint64_t (*commit_blocks)(void *arg);
	/* Empty a run: what is live at r->place is appended again as MOVE
	 * (WRITE and MOVE runs), or made dirty so that the next commit
	 * rewrites it (NODE, TABLE).  Then r->done(), in a later turn. */
	void (*relocate)(void *arg, struct reloc *r);
	/* Zones or a disk came back: there may be room for more.  Must not call
	 * the pool; may be NULL. */
	void (*room)(void *arg);
	/* Damage was found of which it is not known whether the map points to
	 * it (pool_damage.sure): find out, later.  May be NULL. */
	void (*damaged)(void *arg);
};
/* The answer to load(). */
void pool_client_loaded(struct pool *pool, int res);

/* --- creating and opening ------------------------------------------------ */

/* Who we are, for the claim.  The lock is something that the operating system
 * gives to one process of this machine at a time and takes back when it dies
 * (a file lock named after the pool). */
struct pool_owner_params {
	struct uuid machine;  /* of this machine (/etc/machine-id) */
	struct uuid boot;     /* of this boot */
	struct uuid instance; /* random, of this process */
	/* Try to take the lock of pool `pool`: 0, or -EBUSY when another
	 * process of this machine has it.  Synchronous; lock(arg, NULL) gives
	 * it back. NULL: no such lock (always free; the simulation). */
	int (*lock)(void *arg, const struct uuid *pool);
	void *lock_arg;
};

struct pool_params {
	struct pool_owner_params owner;
	const struct log_client_ops *client;
	void           *client_arg;
	uint64_t rows_memory_bytes;   /* unflushed rows kept; 0: 64 MiB */
	uint64_t commit_log_bytes;    /* log that starts a commit; 0: 256 MiB */
	uint64_t member_grace_ns;     /* a lost disk is waited for before it is
				       * recorded out; 0: 2 s */
	uint64_t rebuild_delay_ns;    /* a disk that is out is waited for before
				       * what is on it is made again elsewhere;
				       * 0: 10 min */
	uint64_t lease_interval_ns;   /* 0: 2 s */
	uint64_t lease_timeout_ns;    /* another machine's owner is dead after
				       * this; 0: 15 s */
	/* Something that an operator should know, one line. */
	void (*log)(void *arg, const char *line);
	/* The pool stopped serving for ever (lost claim, too many disks);
	 * pool_close() is still to be called. */
	void (*failed)(void *arg, int res, const char *why);
	/* A heartbeat went well: at most every lease_interval_ns.  Must not
	 * call the pool, but for looking. May be NULL. */
	void (*beat)(void *arg);
	void *arg;
};

/* A disk offered to the pool. Events of it are the pool's from then on. */
struct pool_disk {
	struct disk *disk;   /* up; the pool's from a successful call on; on
			      * failure it stays the caller's */
	const char  *domain; /* failure domain's name, copied */
};

struct pool_create_params {
	const char *name;
	uint32_t k, m;
	uint32_t zone_shift;     /* log2 of blocks; 0: chosen from the disks */
	uint32_t row_blocks_max; /* payload of a row; 0: ROW_PAYLOAD_MAX */
	bool     domain_disk;    /* every disk is a domain of its own */
	bool     force;          /* over foreign data and without FLUSH */
	struct uuid uuid;        /* fresh, random */
	uint64_t now_s;          /* wall clock */
};

/* One for each of create, open and close. */
struct pool_op {
	int   res;
	char  error[512];  /* one sentence: object and way out */
	void (*done)(struct pool_op *op);
};

/* An unopened pool object. -ENOMEM. */
int pool_new(struct io *io, const struct pool_params *params,
	     struct pool **ret_pool);
/* After create/open failed or close ended: everything is given back. */
void pool_free(struct pool *pool);

/* Format the disks and open the pool on them. */
void pool_create(struct pool *pool, const struct pool_create_params *params,
		 struct pool_disk *disks, unsigned ndisks, struct pool_op *op);

struct pool_open_params {
	struct uuid uuid;      /* which pool */
	bool read_only;        /* open what can be read, write nothing */
	bool force;            /* start with fewer disks than the opening rule
				* asks for, or over a live-looking owner */
};
/* Disks that are not of this pool (or diverged, duplicate, too small) are
 * refused by name in op->error when they prevent opening, and otherwise
 * reported through log(). Takes all disks in any case. */
void pool_open(struct pool *pool, const struct pool_open_params *params,
	       struct pool_disk *disks, unsigned ndisks, struct pool_op *op);
/* One more path or member turned up later. Takes the disk. */
void pool_offer_disk(struct pool *pool, struct pool_disk *disk);

/* --- disks in and out ----------------------------------------------------
 *
 * One of these at a time (-EBUSY).  op->res 1: it was so already.  Each is done
 * when the labels of all disks say so; what it starts then goes on by itself,
 * also after a restart.
 */
struct pool_plan {
	uint64_t usable_blocks; /* capacity afterwards */
	uint64_t used_blocks;   /* that lives now, with all tables */
	uint32_t domains;       /* afterwards */
	uint32_t zones;         /* rescan: that the disk would have */
	/* So many more domains may be lost before data is, now and afterwards;
	 * -1: some data cannot be read. */
	int      spare, spare_after;
	int      res;           /* 0, or why it is not possible, … */
	char     why[400];      /* … in a sentence */
};

/* A disk joins the pool: what was on it is lost.  Who says --force has looked
 * at that before.  The disk is taken in any case.
 * -EINVAL, -ENOSPC, -EROFS, -EOPNOTSUPP: the disk is not fit; -EIO: it failed.
 */
#define POOL_DISK_FORCE   1u /* although its server has no FLUSH */
#define POOL_DISK_WITNESS 2u /* it carries labels only, and counts when enough
			      * domains must be there to open the pool */
void pool_disk_add(struct pool *pool, struct pool_disk *disk, unsigned how,
		   struct pool_op *op);
/* What would be with a disk of that size in that domain, added so (how: as
 * above), and without member `but` (UINT32_MAX: with all), synchronous. */
void pool_plan_add(const struct pool *pool, uint64_t size_bytes,
		   const char *domain, unsigned how, uint32_t but,
		   struct pool_plan *ret_plan);
/* Member i is emptied (remove: and then leaves the pool), or stays (drain
 * false).  -ENOSPC, -EINVAL: what is on it does not fit elsewhere. */
void pool_disk_drain(struct pool *pool, uint32_t i, bool drain, bool remove,
		     struct pool_op *op);
void pool_plan_drain(const struct pool *pool, uint32_t i,
		     struct pool_plan *ret_plan);
/* Member i is out from now on, until it is called online; what is on it stays
 * there.  -EINVAL: the redundancy does not allow that; -ENOSPC: what is stored
 * would not fit without it, force: it may be so.  -EBUSY: it is just coming in.
 */
void pool_disk_offline(struct pool *pool, uint32_t i, bool force,
		       struct pool_op *op);
void pool_plan_offline(const struct pool *pool, uint32_t i,
		       struct pool_plan *ret_plan);
/* … and now it comes back as soon as it is there. */
void pool_disk_online(struct pool *pool, uint32_t i, struct pool_op *op);
void pool_plan_online(const struct pool *pool, uint32_t i,
		      struct pool_plan *ret_plan);
/* Member i is asked for its size; if that is larger, what it has more is used.
 * -ENOTCONN: it is not online.  res 1: it is larger by no zone. */
void pool_disk_rescan(struct pool *pool, uint32_t i, struct pool_op *op);
/* What would be if its size were that. */
void pool_plan_rescan(const struct pool *pool, uint32_t i, uint64_t size_bytes,
		      struct pool_plan *ret_plan);
/* What pool_disk_give_up() of all of them would do; offline: also of those that
 * are offline. */
void pool_plan_rebuild(const struct pool *pool, bool offline,
		       struct pool_plan *ret_plan);
/* The member that is out is waited for no longer: what is on it is made again
 * elsewhere; also one that is offline, until the pool is opened again.
 * -EALREADY; -EINVAL: it is not out.  Synchronous. */
int  pool_disk_give_up(struct pool *pool, uint32_t i);

/* Flush, commit, release the claim (unless failing), close the disks. No
 * request of a client may be in flight. */
void pool_close(struct pool *pool, struct pool_op *op);

/* True while answers may be given: we hold the claim and its lease has not
 * run out.  To be asked before every reply. */
bool pool_is_ours(const struct pool *pool);

/* --- looking ------------------------------------------------------------- */

enum member_state {
	MEMBER_ONLINE,
	MEMBER_SUSPECT,  /* connection lost, waited for */
	MEMBER_OUT,      /* recorded out; what it lacks is made again elsewhere */
	MEMBER_RETURNING, /* back, being brought up to date */
	MEMBER_MISSING,  /* not seen since opening */
	MEMBER_FAULTED,  /* refused: too small, diverged, two claimants… */
	MEMBER_REMOVED,  /* no disk of the pool any more */
};

struct member_info {
	struct uuid uuid;
	char     place[512];
	char     domain[DOMAIN_NAME_MAX + 1];
	uint8_t  state;          /* enum member_state */
	uint64_t size_bytes;
	/* used: of segments that are open or hold something; quarantined ones
	 * are not among them. */
	uint64_t zones, zones_used, zones_quarantined;
	uint64_t errors_read, errors_write, errors_cksum;
	bool     drains;         /* what is on it moves elsewhere, */
	bool     leaves;         /* … and then it is removed */
	bool     witness;        /* it carries labels only */
	bool     offline;        /* an operator took it out */
	uint64_t repaired;       /* blocks written again in place, by reads
				  * and scrubs */
	bool     slow;           /* it is avoided for being late with writes, */
	bool     slow_reads;     /* … or far slower than others with reads */
	struct member_latency {
		uint64_t requests; /* since opening */
		uint32_t p50_us, p99_us, max_us; /* of the last thousand */
	} read_latency, write_latency;
	uint32_t reads_us;       /* what a read takes of late, about; of the
				  * others; 0: unknown */
	uint32_t peers_us;
	uint64_t reads_around;   /* that did not go to it for its slowness, */
	uint64_t reads_hedged;   /* … or were tried elsewhere, too, for they
				  * had waited long for it */
	char     why[200];       /* when not ONLINE: a sentence */
};

enum pool_health {
	POOL_ONLINE,
	POOL_DEGRADED,    /* everything works, redundancy is reduced */
	POOL_READ_ONLY,   /* imported so */
	POOL_SUSPENDED,   /* too many disks are gone: waits for them */
	POOL_FAILED,      /* stopped: claim lost, or a commit failed */
};

/* When a domain is lost, is there room to make again what was on it? */
enum pool_rebuild {
	POOL_REBUILD_NONE, /* nowhere: there are no more domains than k+m, or
			    * nothing to make it from */
	POOL_REBUILD_SOME, /* for some of them: they differ much in size */
	POOL_REBUILD_ANY,  /* for any one of them */
};

struct pool_info {
	char        name[POOL_NAME_MAX + 1];
	struct uuid uuid;
	uint8_t     health;          /* enum pool_health */
	char        why[400];        /* what is wrong, "" if nothing */
	char        action[400];     /* what to do, "" if nothing */
	uint32_t    k, m, zone_shift;
	bool        domain_disk;
	uint32_t    nmembers;        /* with places of disks that are removed */
	uint32_t    ndisks;          /* without */
	uint64_t    claim;
	bool        taken_over;      /* … from one that may not be gone for
				      * good: of another machine, or by force */
	uint64_t    created_s;
	/* Space, in blocks of 4096 bytes. usable: that much live data fits;
	 * used: live data, nodes and tables; raw: sum of the disks. */
	uint64_t    usable_blocks, used_blocks, reserved_blocks, raw_blocks;
	uint64_t    kept_blocks;     /* for volumes that have a reserve */
	uint64_t    room_blocks;     /* so much more would be usable: kept to
				      * make again what one domain held */
	uint8_t     rebuild_room;    /* enum pool_rebuild */
	uint64_t    available_blocks; /* may be reserved just now: less than
				       * usable - used while disks are out or
				       * zones in quarantine */
	uint64_t    segments, segments_free, segments_open, segments_sealed,
		    segments_quarantined, /* a stray write may reach them
					   * yet: they, and what is dead in
					   * them, are of no use until then */
		    segments_degraded,
		    segments_trimmed; /* safe, free after their trim, or
				       * before it when space is needed */
	uint64_t    lost_blocks;     /* known to be unreadable: damage, and what
				      * a damaged map has cost */
	uint64_t    damaged_blocks;  /* … pool_damage_count(), both */
	/* Units of segments that are to be made again, as far as the disks that
	 * they were on are not waited for any more; blocks of their zones; and
	 * how long the next of those disks is still waited for, 0: none is. */
	uint64_t    rebuild_units, rebuild_blocks, rebuild_wait_ns;
	bool        rebuild_running;
	bool        rebuild_stuck;  /* there are, and no room or no domain, … */
	uint64_t    rebuild_damaged; /* … or so many are of segments of which
				      * blocks are lost, and stay there until
				      * those are healed, or nothing uses them */
	/* Units that lack nothing and move to disks with more room: about how
	 * many are left, and blocks of their zones; 0: none moves. */
	uint64_t    move_units, move_blocks;
	/* Activity since opening. */
	uint64_t    rows, row_blocks, row_bytes, commits, commit_blocks;
	uint64_t    flushes, moved_blocks, cleaned_segments;
	uint64_t    late_rows;       /* written again elsewhere */
	uint64_t    around_reads;    /* that went round a slow disk */
	uint64_t    hedged_reads;    /* that waited long and were tried
				      * otherwise */
	uint64_t    hedges_won;      /* … and answered so */
	uint64_t    probes;          /* reads to see whether one is still slow */
	uint64_t    rebuilt_units;   /* made again on another zone */
	uint64_t    moved_units;     /* to a disk with more room */
	uint64_t    replayed_rows, replay_ns;
	uint64_t    flushed_row, stable_row, commit_row;
};

void pool_get_info(const struct pool *pool, struct pool_info *ret_info);
/* i < nmembers. */
void pool_get_member(const struct pool *pool, uint32_t i,
		     struct member_info *ret_info);

/* Another number when the state, the errors or the slowness of a member have
 * changed: cheap, to find out whether it is worth looking at them. */
uint64_t pool_members_mark(const struct pool *pool);

/* --- scrub ----------------------------------------------------------------
 *
 * Read all that lies in sealed segments, and mend what is wrong from redundancy.
 * It goes on after a restart, or stays paused, as of the last commit; one is
 * asked for at each of these calls.  Nothing calls back.
 */
enum pool_scrub_state {
	POOL_SCRUB_NONE,
	POOL_SCRUB_RUNNING,
	POOL_SCRUB_PAUSED,
};

#define POOL_SCRUB_LOST 16u

struct pool_scrub_lost {
	uint32_t segment;
	uint32_t blocks;
};

/* Counts are since the scrub was started, or the pool opened; they stay when it
 * has ended. */
struct pool_scrub_info {
	uint8_t  state;      /* enum pool_scrub_state */
	uint32_t at, end;    /* segment, and the last one */
	uint64_t finished;   /* scrubs, since the pool was opened */
	uint64_t segments;   /* looked at */
	uint64_t blocks;     /* read */
	uint64_t found;      /* blocks that were wrong or unreadable */
	uint64_t repaired;   /* … written again */
	uint64_t unrepaired; /* … left as they are */
	uint64_t lost_blocks; /* of data that nothing gives; some may be of
			      * no use any more */
	uint64_t skipped;    /* units of segments whose disk was not there */
	uint32_t nlost;      /* segments with such blocks that are still used,
			      * the first of them here */
	struct pool_scrub_lost lost[POOL_SCRUB_LOST];
};

/* Start one, or go on with a paused one.  -EALREADY: it runs; -EROFS: the pool
 * does not take writes. */
int  pool_scrub_start(struct pool *pool);
/* -EALREADY: it is; -ENOENT: there is none; -EROFS. */
int  pool_scrub_pause(struct pool *pool);
/* -EALREADY: there is none; -EROFS. */
int  pool_scrub_stop(struct pool *pool);
void pool_scrub_info(const struct pool *pool, struct pool_scrub_info *ret);

/* --- labels of disks that belong to no open pool ------------------------- */

/* Bytes at either end of a disk that hold its labels. */
#define LABEL_AREA_BYTES (1u << 20)

struct label_summary {
	bool        is_tarn;       /* some label of ours was found */
	bool        damaged;       /* some slots did not validate */
	int         error;         /* is_tarn but not usable: -ENOTSUP version,
				    * -EBADMSG none valid */
	char        error_text[200];
	struct uuid pool;
	struct uuid disk;
	char        pool_name[POOL_NAME_MAX + 1];
	uint32_t    k, m, nmembers;
	uint64_t    claim;
	uint64_t    commit_no;
	uint64_t    size_bytes;    /* that the label was written for */
	bool        clean;         /* exported cleanly */
};
/* head and tail: LABEL_AREA_BYTES each (tail may be NULL).  Pure. */
void label_summarize(const void *head, const void *tail,
		     struct label_summary *ret_sum);

#endif
