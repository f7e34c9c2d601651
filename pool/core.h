/* pool/core.h - struct pool and the structs that hang from it.
 *
 * Private to pool/.  One thread; everything is reached from struct pool.
 *
 * Who may call what: log.c places and writes rows; late.c writes late ones
 * again; flush.c knows what is flushed; member.c turns disk errors into member
 * states; membership.c says which members count; label_write.c makes labels
 * durable; segment.c owns zones and live counts; capacity.c says what fits;
 * segment_open.c chooses where rows go; segment_seal.c ends a segment;
 * segment_table.c has them all on disk; table.c the index; commit*.c a commit;
 * scan.c and recover*.c bring a pool back; cleaner.c empties segments;
 * rebuild*.c makes units again; scrub*.c looks for what has gone bad; damage.c
 * knows what is lost; speed.c knows slow disks, and hedge.c does not wait for
 * them; owner.c holds the claim; open.c, create.c, close.c are the big operations
 * over all of them.
 */
#ifndef TARN_POOL_CORE_H
#define TARN_POOL_CORE_H

#include "base/bitmap.h"
#include "base/prng.h"
#include "pool/label.h"
#include "pool/pool.h"
#include "pool/root_format.h"
#include "pool/row.h"
#include "pool/segment_format.h"
#include "pool/speed.h"
#include "pool/stripe.h"

/* --- members ------------------------------------------------------------- */

struct label_waiter {
	struct list link;
	uint64_t    ticket;  /* done by an attempt that started after it */
	int         res;
	void (*done)(struct label_waiter *w);
};

/* Zones of a member that are being trimmed: trim.c. */
struct trim {
	struct disk_req req;
	struct segment *seg;        /* whose zone; NULL: none */
	uint32_t        unit;       /* of that */
	uint32_t        off_blocks; /* of the zone: trimmed up to there */
	uint64_t        sent_ns;    /* the piece in flight */
	bool            inflight;
	uint64_t        off_until_ns; /* the disk gets no more until then */
	uint64_t        off_ns;     /* how long, the last time; 0: never, or it
				     * has done one well since */
	struct io_timer timer;      /* the next piece is due */
};

struct member {
	struct pool *pool;
	uint32_t     index;         /* in the member table */
	struct disk *disk;          /* NULL while missing */
	struct uuid  uuid;
	uint64_t     size_blocks;   /* as labelled */
	uint32_t     zones;
	uint32_t     zones_used;
	uint32_t     zones_labelled; /* that labels of the last commit say, */
	uint32_t     zones_next;     /* … of the one that runs */
	uint32_t     grow_zones;     /* the next one adds zones up to that; 0:
				      * none */
	uint64_t     grow_tail;      /* first block of the last label area that
				      * it had before; 0: not known */
	uint64_t    *zone_map;      /* bit: zone belongs to a segment */
	uint32_t     domain;        /* index of the domain */
	char         domain_name[DOMAIN_NAME_MAX + 1];
	uint8_t      state;         /* enum member_state */
	bool         in;            /* segments and rows go to it */
	uint8_t      flags;         /* LABEL_MEMBER_DRAIN, … */
	bool         joining;       /* being added: labels that say so are being
				     * written; */
	bool         announced;     /* … they have its name, and so has it */
	bool         leaving;       /* being removed: … */
	bool         removed;       /* no member any more */
	bool         closing;       /* … and its disk is being closed */
	bool         labelled;      /* joining: a label was sent to it; leaving:
				     * it has one that says so */
	bool         empty;         /* a durable commit has no zone of it */
	bool         empty_next;    /* … the running commit has none */
	uint64_t     forget_row;    /* to be removed, and out: rows below may
				     * lack a unit for it; 0: more will */
	bool         lacking;       /* in, but out by the labels: … */
	uint64_t     lacks_row;     /* … rows up to this may not be on it */
	uint64_t     out_row;       /* !in, lacking: last row known flushed on
				     * it */
	uint64_t     out_claim;     /* … that recorded that */
	uint64_t     epoch;         /* of the disk, as verified last */
	uint64_t     up_since_ns;   /* when that was */
	bool         two_ways;      /* opening: its identity is also elsewhere;
				     * the claim will show if that is it */
	uint64_t     errors_read, errors_write, errors_cksum;
	uint64_t     repaired;      /* blocks written again in place */
	char         why[200];
	/* Flushing. */
	uint64_t     flush_seq;     /* flushes submitted */
	uint64_t     flush_done;    /* newest one that succeeded */
	bool         flush_inflight;
	bool         dirty;         /* writes ended since the last submit */
	struct disk_req flush_req;
	/* Suspect: waiting for it to come back. */
	struct io_timer grace;
	bool         verifying;     /* reading its label after a reconnect */
	bool         grace_over;    /* SUSPECT: may be recorded out */
	bool         going_out;     /* labels being written say OUT */
	bool         coming_in;     /* labels are being written to it again */
	struct label_waiter waiter; /* for either */
	struct io_timer retry;      /* OUT but connected: try again */
	uint32_t     retry_s;       /* back-off for taking an OUT disk back */
	struct disk_req verify_req;
	uint8_t     *verify_buf;
	/* Labels. */
	uint8_t     *label_buf;     /* LABEL_SLOT_BYTES */
	struct disk_req label_req[2];
	uint8_t      label_state;   /* enum label_io, label_write.c */
	unsigned     label_pending; /* label requests in flight */
	/* Lease. */
	uint8_t     *lease_buf;     /* LEASE_SLOTS blocks + 1 */
	struct disk_req lease_req;
	uint8_t      lease_state;   /* owner.c */
	unsigned     reads;         /* in flight, to balance copies */
	struct trim  trim;
	/* Slow: late.c. */
	uint32_t     late_units;    /* in flight, and found late */
	uint64_t     slow_until_ns; /* new rows avoid it until then */
	uint64_t     slow_ns;       /* how long, the last time */
	struct speed speed;
	/* Out: rebuild.c. */
	uint64_t     out_since_ns;  /* !in: since then, as far as we know */
	bool         rebuild_now;   /* … and it is not waited for */
};

/* The domain of a disk that was removed; arrays by domain have room for it. */
#define DOMAIN_NONE POOL_MEMBERS_MAX
#define DOMAINS_MAX (POOL_MEMBERS_MAX + 1)

struct domain {
	char name[DOMAIN_NAME_MAX + 1];
};

/* --- segments ------------------------------------------------------------ */

enum seg_state {
	SEG_FREE,        /* no zones */
	SEG_OPENABLE,    /* listed by the last commit, not yet opened */
	SEG_NEXT,        /* will be openable when the running commit is done */
	SEG_OPEN,        /* rows are appended */
	SEG_SEALING,     /* no more rows; index being written */
	SEG_SEALED,
	SEG_QUARANTINED,
	SEG_RESERVED,    /* has a zone that a unit is made again on */
};

struct seg_index {
	uint8_t *buf;         /* header and entries */
	uint32_t bytes;       /* used */
	uint32_t cap;
	uint32_t nrows;
};

struct segment {
	uint32_t no;          /* from 1 */
	uint32_t generation;
	uint8_t  state;       /* enum seg_state */
	bool     victim;      /* being emptied by the cleaner */
	bool     rows_seen;   /* recovery found rows in it; not flushed yet */
	bool     dead;        /* counted in pool->sealed_dead */
	bool     miscounted;  /* `live` was found wrong: never freed */
	bool     damage_look; /* it is to be scrubbed for what is lost */
	bool     damage_counting; /* … is being, as pass … */
	uint32_t damage_pass;
	uint32_t damage_more; /* lost blocks that are not listed */
	uint8_t  frozen_state; /* enum seg_disk_state for the running commit */
	uint32_t frozen_index_off;
	uint8_t  class;       /* enum log_class while open */
	uint32_t live;        /* live data and node blocks, now */
	uint32_t live_frozen; /* … in the state that the commit writes */
	uint32_t tables;      /* blocks of tables, index and root, now */
	uint32_t missing;     /* mask of units that are not whole */
	uint32_t missing_frozen; /* … as the running commit wrote it */
	uint32_t write_off;   /* next free block of the zones */
	uint32_t scan_from;   /* as of the freeze, or as loaded */
	uint32_t index_off;   /* SEALED: 0 or where the index is */
	uint64_t sealed_row;  /* the newest row when it was sealed; 0: before
			       * the pool was opened */
	uint64_t cleaned_at;  /* commit number when the cleaner last tried */
	uint32_t clean_start; /* what was in it then */
	uint8_t  clean_vain;  /* passes since that took nothing out of it */
	uint32_t pins;        /* reads in flight */
	uint32_t repairs;     /* writes in place, by reads and scrubs */
	uint32_t moves;       /* of units to other zones, since it was loaded */
	uint32_t rows;        /* rows not yet applied, copies not at rest */
	uint64_t claim;       /* owner that opened it, and CLAIM_… */
	bool     stray;       /* a write that nobody waits for any more may
			       * be on its way to it (quarantine.c), */
	uint64_t stray_since_ns; /* … since then */
	bool     reserved;    /* was RESERVED when it was loaded */
	bool     regained;    /* a unit that was made again is not missing any
			       * more, once the running commit is durable */
	bool     unflushed;   /* holds rows that are not flushed (rebuild.c) */
	uint64_t rebuild_after; /* commit until which its units are not made
			       * again, for that was in vain */
	uint32_t trim;        /* QUARANTINED: mask of units whose zones are to
			       * be trimmed, */
	uint32_t trimming;    /* … and are being trimmed */
	uint64_t trim_commit; /* … once that commit is done */
	struct seg_index idx; /* while open */
	uint32_t seal_pending; /* index writes in flight, plus one */
	int      seal_res;    /* first error of them */
	struct seg_seal_write *seal_writes; /* one a unit, while sealing */
	struct zone_ref zones[POOL_UNITS_MAX]; /* member ZONE_NONE: absent */
};

/* In seg_entry.claim and segment.claim: the owner of that claim may still
 * write to the segment; it goes to quarantine when nothing lives in it, and
 * stays there until an operator says (--force) that no other server is left. */
#define CLAIM_DOUBT SEG_CLAIM_DOUBT

/* --- rows ---------------------------------------------------------------- */

enum unit_state {
	UNIT_IDLE,     /* to be written, its disk is not usable now */
	UNIT_INFLIGHT,
	UNIT_WRITTEN,
	UNIT_MISSING,  /* its disk is recorded out */
};

struct row_unit {
	struct disk_req req;
	struct row     *row;
	uint32_t        member;
	uint8_t         state; /* enum unit_state */
	bool            late;  /* counted in member.late_units */
	uint64_t        cover; /* WRITTEN: the flush number that covers it */
};

enum row_state {
	ROW_WRITING,
	ROW_STORED,  /* enough units are down */
	ROW_STABLE,  /* and so of all rows before it; applied */
};

struct row {
	struct list  link;      /* pool->rows, by number */
	struct pool *pool;
	uint64_t     no;
	uint8_t      state;     /* enum row_state */
	uint8_t      class;
	bool         empty;     /* carries only the flushed mark */
	bool         flushed;
	bool         is_copy;   /* in late.copies: it does not count (yet) */
	struct row  *copy;      /* the copy that may yet replace it; of a copy:
				 * the row, NULL when the copy is dead */
	uint64_t     sent_ns;
	struct segment *seg;
	uint32_t     off;       /* in the zones, blocks */
	uint32_t     header_blocks, payload_blocks, slice_blocks, unit_blocks;
	uint32_t     nrecs, recs_bytes;
	uint8_t     *buf;       /* all units, or one when k = 1 */
	uint32_t     buf_bytes;
	struct list  appends;
	struct row_unit *units; /* k + m */
};

#define LATE_RING       64u
#define LATE_PASSED_MAX 8u /* openable segments that are passed over */
#define LATE_TOKENS_MAX LOG_INFLIGHT_MAX

/* Which rows are written again: late.c. */
struct late {
	struct io_timer timer;  /* armed while rows are not stored */
	struct list copies;     /* copies of rows, not yet at rest */
	uint64_t    rows;       /* stored, ever */
	uint32_t    ring_us[LATE_RING]; /* how long the last ones took */
	uint64_t    newest_sent_ns; /* of those that are stored */
	uint32_t    tokens;     /* rows that may be written again */
	uint64_t    refill_ns;  /* tokens were added up to then */
	uint64_t    last_ns;    /* when a row was written again */
};

/* --- commit -------------------------------------------------------------- */

enum commit_state {
	COMMIT_IDLE,
	COMMIT_NODES,   /* client writes nodes and its pages */
	COMMIT_SEGS,    /* segment pages */
	COMMIT_INDEX,   /* index pages */
	COMMIT_ROOT,
	COMMIT_FLUSH,   /* rows of the commit flushed on their disks */
	COMMIT_LABEL,
	COMMIT_CHECK,   /* is the claim still ours? */
};

struct table {
	struct page_ref *refs;      /* npages of them */
	uint32_t         npages;
	uint32_t         cap;
	struct page_ref *index;     /* refs of index pages */
	uint32_t         nindex;
	uint64_t        *index_dirty; /* bit per index page */
};

/* A place whose block is dead once the running commit is done. */
struct old_place {
	place_t place;
};

struct commit {
	uint8_t      state;        /* enum commit_state */
	bool         wanted;
	bool         wanted_later; /* … when the commit timer fires */
	bool         ready;        /* client handed in everything */
	uint64_t     row;          /* state as of this row */
	uint64_t     number;
	unsigned     puts;         /* pool_commit_put() not yet done */
	uint32_t     next;         /* page being handed out */
	uint32_t     next_kind;
	struct old_place *old;     /* table places superseded */
	uint32_t     nold, old_cap;
	struct commit_put *slots;  /* our own pages in flight */
	uint8_t     *slot_bufs;
	uint64_t     slots_free;   /* mask */
	uint8_t     *root_buf;     /* ROW_PAYLOAD_MAX blocks */
	uint32_t     root_bytes, root_blocks, root_crc;
	bool         rooted;        /* a root of this commit has a place */
	struct log_append root_append;
	struct iovec root_iov;
	struct log_sync sync;
	uint32_t     nsegments;    /* entries that are written */
	struct label_waiter waiter;
	struct io_work work;       /* start, if due */
	struct io_work step_work;
	void (*finished)(struct pool *p); /* recovery and close: this one */
};

#define COMMIT_SLOTS 64u

/* A class of appends, as seen by starve.c. */
struct starve {
	bool     waits;    /* the last row found no segment */
	uint64_t since_ns; /* none has found one since then; 0: one has, or
			    * there is new hope */
	uint64_t grace_ns; /* it may wait until then at least */
	uint64_t live;     /* live_total when it began */
};

/* What a label says about the newest durable commit. */
struct commit_ref {
	place_t  root_place;
	uint32_t root_blocks, root_crc, root_generation, root_slice;
	uint64_t commit, row;
	struct zone_ref root_zones[POOL_UNITS_MAX];
};

/* --- labels -------------------------------------------------------------- */


struct label_writer {
	struct label *label;     /* being written */
	uint64_t      number;    /* last tried */
	uint64_t      tickets;   /* handed out */
	uint64_t      attempt;   /* newest ticket covered by the attempt */
	bool          running;
	unsigned      pending;
	struct list   waiters;
	struct io_work work;
};

/* --- the pool ------------------------------------------------------------ */

enum pool_state {
	POOL_ST_NEW,
	POOL_ST_OPENING,
	POOL_ST_ACTIVE,
	POOL_ST_READ_ONLY,
	POOL_ST_CLOSING,
	POOL_ST_FAILED,
	POOL_ST_CLOSED,
};

#define LOG_CLASSES      4u
#define OPEN_SEGS_MAX    4u
#define OPEN_SLOTS       (OPEN_SEGS_MAX + 1)
#define SEG_ASIDE        OPEN_SEGS_MAX /* slot of the one that late.c opens */
#define ROWS_MAX         4096u
#define ROWS_INFLIGHT_MAX 16u /* not yet stored, of each class */
/* Clients' rows wait behind the cleaner's, so these are few at a time. */
#define CLEANER_INFLIGHT_MAX 4u
#define LOG_INFLIGHT_MAX (2 * ROWS_INFLIGHT_MAX + 2 * CLEANER_INFLIGHT_MAX)
#define CLEANER_RELOCS   4096u

/* What clients may write while space is low: pace.c. */
struct pace {
	uint64_t        live, dead; /* blocks of the victims */
	int64_t         credit;     /* blocks that clients may write */
	struct io_timer timer;      /* a row has waited long enough */
};

/* What is known to be lost: damage.c. */
struct damage {
	struct damage_block {
		struct pool_damage d;
		uint32_t           pass; /* found then, or again */
	} *list;          /* by place; NULL: there was none yet */
	uint32_t n;
	uint32_t nsure;
	uint32_t pass;    /* of scrubs of segments, the newest */
	uint32_t looks;   /* segments that are to be scrubbed */
	uint64_t more;    /* in all segments */
	uint64_t changes; /* of the list */
};

struct opener;  /* open.h: state of pool_open() */
struct change;  /* membership_change.c */
struct cleaner; /* cleaner.c */
struct rebuild; /* rebuild.c */
struct scrub;   /* scrub.h */
struct owner;   /* owner.c */

struct pool {
	struct io         *io;
	struct pool_params params;
	const struct log_client_ops *client;
	void              *client_arg;
	uint8_t            state;        /* enum pool_state */
	uint8_t            failed_from;  /* state when it failed */
	bool               read_only;    /* nothing is ever written */
	int                fail_res;
	char               fail_why[200];

	/* Identity and geometry. */
	struct uuid        uuid;
	char               name[POOL_NAME_MAX + 1];
	uint32_t           k, m, units;  /* units = k + m */
	uint32_t           zone_shift, zone_blocks, row_blocks_max;
	uint32_t           min_parity;
	uint32_t           flags;        /* LABEL_FLAG_* */
	uint64_t           created_s;
	struct row_geometry geom;
	struct stripe      stripe;

	/* Claim. */
	uint64_t           claim;
	struct uuid        claim_id;
	uint32_t           nancestors;
	struct claim_ref   ancestors[LABEL_ANCESTORS];
	struct owner      *owner;
	uint64_t           lease_until_ns;
	bool               locked;       /* the machine's lock is ours */

	/* Members. */
	uint32_t           nmembers;
	struct member    **members;
	/* Those with zones come first; the others, up to nvoters, have a
	 * witness only and count when the pool is opened. */
	uint32_t           ndomains, nvoters;
	struct domain     *domains;

	/* Segments. */
	uint32_t           nsegs;        /* slots in use: 1 .. nsegs */
	uint32_t           segs_cap;
	struct segment   **segs;         /* [no], [0] unused */
	uint32_t           openable;     /* in state SEG_OPENABLE */
	uint32_t           partial;      /* … of them, that lack a unit */
	uint32_t           sealed_dead;  /* sealed, nothing live: wait for a
					  * commit to free them */
	struct segment    *open[LOG_CLASSES][OPEN_SLOTS];
	uint32_t           open_next[LOG_CLASSES];
	uint32_t           segs_possible; /* by the capacity formula */
	uint32_t           segs_kept;     /* … less what is kept for the rebuild
					   * of one domain */
	uint32_t           segs_now;      /* … on the disks that are in */
	uint32_t           seg_data_blocks; /* payload of a well-filled one */
	uint32_t           quarantined;  /* segments */
	uint64_t           reserved;     /* pool_space_reserve() */
	uint64_t           kept;         /* pool_space_keep() */
	uint64_t           live_total, tables_total;

	/* Log. */
	struct list        gather[LOG_CLASSES];
	uint64_t           gather_blocks[LOG_CLASSES];
	uint32_t           gather_count[LOG_CLASSES];
	uint32_t           inflight[LOG_CLASSES]; /* rows not yet applied */
	struct starve      starve[LOG_CLASSES];
	struct io_timer    starve_timer;
	struct list        rows;         /* not yet flushed, by number */
	struct list        rows_free;
	struct row        *rows_mem;
	struct row_unit   *units_mem;
	uint64_t           next_row;     /* number of the next row */
	uint64_t           stable_row;   /* applied up to here */
	uint64_t           flushed_row;
	uint64_t           mark_row;     /* flushed mark of the newest header */
	uint64_t           rows_bytes;   /* buffers of rows */
	struct bufpool    *row_bufs;     /* of rows and of rebuilding: apart
					  * from the clients' buffers, so that
					  * these cannot starve the log */
	struct io_work     kick;         /* form rows */
	struct io_work     advance;      /* apply what is stored */
	struct io_timer    mark_timer;
	struct io_timer    cleaner_timer; /* its rows wait for more a while */
	uint32_t           cleaner_due;   /* mask of classes that have waited */
	uint64_t           client_row_ns; /* when clients' last row was formed */
	struct pace        pace;
	struct late        late;

	/* Flush. */
	struct list        syncs;        /* struct log_sync, by row */
	struct list        fua;          /* appends waiting for a flush */
	struct io_work     flush_work;

	/* Reads. */
	struct list        reads_parked; /* done, but the lease is in doubt */
	struct list        recon_wait;   /* waiting for buffers or disks */
	struct io_timer    reads_timer;  /* retry what waits */
	struct hedges      hedges;

	/* Tables and commit. */
	struct table       tables[TABLE_KINDS];
	struct commit      commit;
	struct commit_ref  last;         /* newest durable commit */
	struct commit_ref  next;         /* being made durable */
	bool               next_valid;   /* labels carry `next` */
	uint64_t           log_blocks;   /* row blocks since the last freeze */
	struct io_timer    commit_timer; /* idle commit */
	struct io_timer    quarantine_timer;

	struct label_writer labels;
	uint32_t           nextra;
	struct label_extra_seg extra[LABEL_EXTRA_MAX];

	struct cleaner    *cleaner;
	struct rebuild    *rebuild;
	struct change     *change;       /* of the membership, under way */
	struct scrub      *scrub;
	uint64_t           clients;      /* requests of clients, ever */
	struct opener     *opener;
	struct recover    *recover;
	uint64_t           last_claim;   /* of the newest label, before ours */
	struct pool_op    *op;           /* create, open or close under way */
	struct io_timer    close_timer;
	bool               last_commit;  /* closing: nothing may follow it */
	struct label_waiter close_waiter;
	struct creator    *creator;
	unsigned           disks_closing;
	struct list        late_disks;   /* disk_offer.c: being looked at */

	uint64_t           lost_blocks;  /* by a damaged map */
	struct damage      damage;
	struct pool_info   counters;     /* activity only */
	struct io_work     fail_work;
};

/* --- geometry ------------------------------------------------------------ */

static inline place_t place_make(const struct pool *p, uint32_t seg,
				 uint32_t unit, uint32_t off_blocks)
{
	return (((uint64_t)seg * p->k + unit) << p->zone_shift) | off_blocks;
}

/* A damaged map may name any place: one that cannot be is in a segment that
 * there never is. */
static inline uint32_t place_seg(const struct pool *p, place_t place)
{
	uint64_t no = (place >> p->zone_shift) / p->k;

	return no < UINT32_MAX ? (uint32_t)no : UINT32_MAX;
}

static inline uint32_t place_unit(const struct pool *p, place_t place)
{
	return (uint32_t)((place >> p->zone_shift) % p->k);
}

static inline uint32_t place_off(const struct pool *p, place_t place)
{
	return (uint32_t)place & (p->zone_blocks - 1);
}

/* Bytes from the start of the disk. */
static inline uint64_t zone_off_bytes(const struct pool *p, uint32_t zone,
				      uint32_t off_blocks)
{
	return blocks_to_bytes(LABEL_AREA_BLOCKS +
			       ((uint64_t)zone << p->zone_shift) + off_blocks);
}

/* NULL when the number is out of range. */
static inline struct segment *pool_seg(const struct pool *p, uint32_t no)
{
	return no >= 1 && no <= p->nsegs ? p->segs[no] : NULL;
}

/* NULL: the segment was opened without that unit. */
static inline struct member *seg_member(const struct pool *p,
					const struct segment *s, uint32_t unit)
{
	uint32_t m = s->zones[unit].member;

	return m == ZONE_NONE ? NULL : p->members[m];
}

/* One line for the operator. */
void pool_log(struct pool *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Stop for ever: nothing is acknowledged from here on. */
void pool_fail(struct pool *p, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static inline bool pool_running(const struct pool *p)
{
	return p->state == POOL_ST_ACTIVE || p->state == POOL_ST_OPENING ||
	       p->state == POOL_ST_CLOSING;
}

/* --- pool.c, open.c, disk_offer.c, create.c, close.c --------------------- */
int  pool_setup(struct pool *p);
void opener_free(struct pool *p);
void opener_abort(struct pool *p, int res, const char *why);
void create_abort(struct pool *p, int res, const char *why);
void disk_forgotten(void *arg);
/* Nothing is to be done about a disk that is no member yet. */
void disk_event_ignore(struct disk *d, enum disk_event ev, void *arg);
/* Close the disks that were offered and are still being looked at; returns
 * how many, closed() is called for each. */
unsigned late_disks_close(struct pool *p, void (*closed)(void *arg), void *arg);
void close_init(struct pool *p);
void close_fini(struct pool *p);
void close_abort(struct pool *p);
/* Go on if recovery waits for zones. */
void recover_kick(struct pool *p);
/* A disk failed: if that is during recovery, then what recovery found on it, or
 * repaired on it, may not be there any more. */
void recover_member_lost(struct pool *p, const struct member *m);

/* --- quarantine.c -------------------------------------------------------- */
void quarantine_init(struct pool *p);
/* Look at once, and then when there is something to do: a segment became
 * stray or went to quarantine, a disk is back. */
void quarantine_start(struct pool *p);
/* Will zones be given back by and by, with the disks that are there? */
bool quarantine_will_release(const struct pool *p);
/* … and when a commit has put dead segments there? */
bool quarantine_will_help(const struct pool *p);
/* From now on, writes that nobody waits for may be on their way to it. */
void seg_stray_mark(struct pool *p, struct segment *s);
bool seg_is_stray(const struct pool *p, const struct segment *s);
/* Is it in quarantine with zones of disks that are in, and no time helps? */
bool quarantine_holds(const struct pool *p, const struct segment *s);
/* Is it in quarantine, and nothing can arrive in it any more: it only waits for
 * its trim, if for anything? */
bool quarantine_is_safe(const struct pool *p, const struct segment *s);
/* When nothing lives in it, must it go to quarantine? */
bool seg_must_quarantine(const struct pool *p, const struct segment *s);
/* SEALED or OPENABLE, nothing lives in it -> QUARANTINED. */
void seg_quarantine(struct pool *p, struct segment *s);

/* May zone u of a segment in quarantine be used, nothing being on its way? */
bool zone_is_settled(const struct pool *p, const struct segment *s, uint32_t u);

/* --- trim.c -------------------------------------------------------------- */
void trim_init(struct member *m);
void trim_fini(struct member *m);
/* A commit is done, zones have settled: trim what may be trimmed. */
void trim_kick(struct pool *p);
/* Can the zone of that unit be trimmed, now or later? */
bool trim_possible(const struct pool *p, const struct segment *s, uint32_t u);
/* A segment goes to quarantine: trim its zones, once it is there for good. */
void seg_trim_want(struct pool *p, struct segment *s);
/* Segments that wait to be trimmed, or are; how many may be. */
uint32_t trim_segs(const struct pool *p);
uint32_t trim_segs_max(const struct pool *p);
/* Zones are needed: what is not being trimmed is not trimmed. */
void trim_yield(struct pool *p);

/* --- log.c --------------------------------------------------------------- */
int  log_init(struct pool *p);
void log_fini(struct pool *p);
/* Form rows in the next turn. */
void log_kick(struct pool *p);
/* What is gathered in the class, and was asked for then or before, fails; all
 * of it if that is UINT64_MAX. */
void log_gather_fail(struct pool *p, unsigned class, uint64_t asked_ns,
		     int res);
/* A new row gets its place at the end of s. */
void log_row_place(struct row *row, struct segment *s);
void log_row_check_stored(struct row *row); /* after a unit's state changed */
void log_unit_submit(struct row *row, uint32_t unit);
void log_release_row(struct row *row);     /* flushed: give everything back */
void log_fail_all(struct pool *p, int res);
bool log_idle(const struct pool *p);       /* nothing gathered, in flight */
/* A row with a buffer, if unflushed rows stay below max_bytes; NULL. */
struct row *log_row_get(struct pool *p, uint32_t unit_blocks,
			uint64_t max_bytes);
void log_row_submit(struct row *row);      /* all units, for the first time */
struct row *log_first_unstable(struct pool *p); /* NULL: all are stable */
struct row *log_next_row(const struct row *row);

/* --- row_fill.c ---------------------------------------------------------- */
/* Number, place and plan are set, the appends are listed: now its bytes. */
void row_fill(struct pool *p, struct row *row);
/* Payload block j of a row: its unit and offset in the zones. */
place_t row_place(const struct pool *p, const struct row *row, uint32_t j);
uint8_t *row_unit_buf(const struct row *row, uint32_t unit);

/* --- starve.c ------------------------------------------------------------ */
void starve_init(struct pool *p);
/* A row of the class found no segment; found one, or may again. */
void starve_miss(struct pool *p, unsigned class);
void starve_none(struct pool *p, unsigned class);
/* What waits in the class waits on, or fails. */
void starve_resolve(struct pool *p, unsigned class);
/* Zones or a disk came back: waiting for space is worth while again although
 * it was in vain before.  Forms rows in the next turn. */
void starve_hope(struct pool *p);
/* A commit is done.  Forms rows in the next turn. */
void starve_commit_done(struct pool *p);

/* --- late.c -------------------------------------------------------------- */
void late_init(struct pool *p);
void late_fini(struct pool *p);
void late_row_sent(struct row *row);
void late_row_stored(struct row *row);
void late_unit_done(struct row_unit *unit); /* of a copy */
/* What was written to it is in doubt. */
void late_member_lost(struct pool *p, const struct member *m);
void late_reap(struct pool *p);             /* copies that are at rest */
bool late_idle(const struct pool *p);       /* no copies */
/* Some disk still owes an answer, or holds a segment up with that. */
bool late_waits(const struct pool *p);
/* It has not answered in time of late, or is not usable. */
bool late_member_slow(const struct pool *p, const struct member *m);
/* A segment for a row that avoids slow members; NULL: no member is slow, or
 * there is no such segment. */
struct segment *late_segment(struct pool *p, enum log_class class,
			     uint32_t unit_blocks, uint32_t index_bytes);

/* --- flush.c ------------------------------------------------------------- */
void flush_init(struct pool *p);
void flush_want(struct pool *p);  /* flush what is dirty, soon */
void flush_advance(struct pool *p); /* after a row or a flush ended */
void flush_fail_all(struct pool *p, int res);

/* --- member.c ------------------------------------------------------------ */
int  member_new(struct pool *p, uint32_t index,
		const struct label_member_info *info, struct member **ret_m);
void member_free(struct member *m);
/* A write or flush on it failed. */
void member_error(struct member *m, int res);
void member_event(struct disk *d, enum disk_event ev, void *arg);
/* It was coming in again, and is lost before it has its label: out as before. */
void member_in_undo(struct member *m);
bool member_usable(const struct member *m); /* may be written now */
bool member_readable(const struct member *m);
/* Attach a disk that carries this member's label. */
void member_attach(struct member *m, struct disk *d);
void member_resolve_suspects(struct pool *p);

/* Domains anew, of the members that there are. */
void members_domains(struct pool *p);
/* It carries labels only. */
bool member_is_witness(const struct member *m);
/* The domain by that name, if a witness there would tell nothing that another
 * disk of the pool does not; or NULL. */
const char *pool_witness_vain(const struct pool *p, const char *domain);
/* What is on it is to move, or to be made again, elsewhere. */
static inline bool member_drains(const struct member *m)
{
	return (m->flags & LABEL_MEMBER_DRAIN) != 0;
}

/* An operator took it out, and it stays out. */
static inline bool member_is_offline(const struct member *m)
{
	return (m->flags & LABEL_MEMBER_OFFLINE) != 0;
}
/* It has the flag OFFLINE: labels that say so, and that it is out. */
void member_take_out(struct member *m);
/* Its flag is gone: it comes back if it is there. */
void member_try(struct member *m);

/* --- membership_change.c, disk_add.c, disk_drain.c, disk_offline.c,
 *     disk_grow.c --------------------------------------------------------- */
int  change_init(struct pool *p);
void change_fini(struct pool *p);
/* The connection of a disk that is being added was lost, or it failed. */
void change_disk_lost(struct pool *p, struct member *m);
/* Of a commit: its table is final; and it is durable. */
void change_commit(struct pool *p);
void change_committed(struct pool *p);
/* Zones came out of quarantine, or nobody waits for them any more, or a disk is
 * back or out: a disk that is drained may be empty now, by the next commit, or
 * leave. */
void change_zones_freed(struct pool *p);
/* Whole zones of a disk of that size. */
uint32_t disk_zones(const struct pool *p, uint64_t size_bytes);
/* Zones that disks have more, in the commit that begins; it is durable. */
void disk_grow_commit(struct pool *p);
void disk_grow_committed(struct pool *p);
/* A member is online again. */
void change_disk_back(struct pool *p, struct member *m);
/* Nothing of it is in flight. */
bool change_idle(const struct pool *p);
/* The pool is to be closed, or has failed: what only waits ends. */
void change_stop(struct pool *p);
/* All disks are being closed: what is under way ends; returns how many disks
 * are still being closed, done() is called for each. */
unsigned change_close(struct pool *p, void (*done)(void *arg), void *arg);

/* --- membership.c -------------------------------------------------------- */
/* Is a member of the domain in; is one not, or does every one go? */
bool domain_in(const struct pool *p, uint32_t domain);
bool domain_lacks_disk(const struct pool *p, uint32_t domain);
/* Domains with a member that is not to be had. */
uint32_t pool_domains_away(const struct pool *p);
/* … or that is lacking: no more may be lost than the redundancy covers. */
uint32_t pool_domains_lost(const struct pool *p);
/* May the pool go on without it, too? */
bool member_out_allowed(const struct pool *p, const struct member *out);
/* May labels not even say of it any more that it is out? */
bool member_may_be_forgotten(struct pool *p, struct member *m);
/* It is in again, and rows up to this one may not be on it. */
void member_lacks(struct member *m, uint64_t row);
/* A row got its place. */
void members_lack_placed(struct pool *p, const struct row *row);
/* Which members are in by a label, written now, that shows this commit? */
void members_recorded(const struct pool *p, const struct commit_ref *c,
		      bool *ret_in);
/* That label is durable.  True: there are fewer lacking members now. */
bool members_lack_labelled(struct pool *p, const struct label *l);
/* Is there a lacking member that one more commit would record as in? */
bool commit_ends_lack(const struct pool *p);

/* --- label_write.c ------------------------------------------------------- */
int  label_writer_init(struct pool *p);
void label_writer_fini(struct pool *p);
/* Labels with the state as of now (or later) on every member that is in, or
 * coming in; w's done() in a later turn. */
void label_write(struct pool *p, struct label_waiter *w);
/* A member changed state: an attempt may go on. */
void label_writer_kick(struct pool *p);

/* --- segment.c ----------------------------------------------------------- */
int  segs_init(struct pool *p);
void segs_fini(struct pool *p);
/* Slot for segment `no`, made if need be. NULL: out of memory. */
struct segment *seg_slot(struct pool *p, uint32_t no);
/* Take n more segments out of free zones, in state SEG_NEXT or
 * SEG_OPENABLE; returns how many could be made. */
uint32_t segs_compose(struct pool *p, uint32_t n, enum seg_state state);
/* A slot without zones that nothing refers to.  NULL: out of memory. */
struct segment *segs_free_slot(struct pool *p);
/* Give its zones back. */
void seg_free_zones(struct pool *p, struct segment *s);
/* A free zone belongs to a segment from now on. */
void zone_take(struct pool *p, const struct zone_ref *z);
/* A free zone becomes unit u of a segment that goes to quarantine. */
void seg_zone_take(struct pool *p, struct segment *s, uint32_t u,
		   const struct zone_ref *z);
/* Of a segment in quarantine: the zone of unit u is free again. */
void seg_zone_put(struct pool *p, struct segment *s, uint32_t u);
/* Zones of a member, or a domain, that segments may be composed of now. */
uint32_t member_free_zones(const struct member *m);
uint32_t domain_free_zones(const struct pool *p, uint32_t domain);
void seg_unpin(struct pool *p, struct segment *s);
void seg_check_dead(struct pool *p, struct segment *s);
/* May live blocks be in it? */
bool seg_may_live(const struct segment *s);
/* Blocks that can live in one. */
uint32_t seg_live_max(const struct pool *p);
/* Take n live nodes off the state that a commit writes. */
void seg_frozen_unref(struct pool *p, place_t place);

/* --- capacity.c ---------------------------------------------------------- */
void segs_capacity(struct pool *p); /* recompute segs_possible … */
uint32_t segs_free_possible(const struct pool *p); /* could be composed now */
/* How many more, if the zones in use were spread evenly? */
uint32_t segs_stranded(const struct pool *p);
/* More segments than its disks can hold, no pool has. */
uint64_t segs_max(const struct pool *p);
uint32_t segs_reserve(const struct pool *p);
uint32_t segs_unlisted(const struct pool *p); /* never made openable */
/* Of what would be usable: kept to make again what one domain holds. */
uint64_t pool_space_rebuild(const struct pool *p);
enum pool_rebuild pool_rebuild_room(const struct pool *p);
/* Does all that lives fit, with all its units, on the disks that are in? */
bool pool_space_fits(const struct pool *p);
void pool_space(const struct pool *p, uint64_t *ret_usable,
		uint64_t *ret_used);

/* --- segment_open.c ------------------------------------------------------ */
/* Openable segments; if all domains are there, those that lack no unit. */
uint32_t segs_openable_whole(const struct pool *p);
/* s becomes openable; will be so no more (its state is the caller's). */
void segs_openable_add(struct pool *p, struct segment *s);
void segs_openable_take(struct pool *p, struct segment *s);
/* How many segments of a class are open at once. */
uint32_t segs_open_max(const struct pool *p, enum log_class class);
/* Openable segments that are not for this class. */
uint32_t segs_keep(const struct pool *p, enum log_class class);
/* OPENABLE -> OPEN. */
void seg_open(struct pool *p, struct segment *s, enum log_class class);
static inline bool class_cleans(unsigned class)
{
	return class == LOG_CLEANER || class == LOG_COLD;
}
/* The open segment of a class that has only one; NULL. */
const struct segment *seg_only_open(const struct pool *p, enum log_class class);
/* A segment with room for a row of this size, opened if need be. NULL: none
 * may be opened now. */
struct segment *seg_for_row(struct pool *p, enum log_class class,
			    uint32_t unit_blocks, uint32_t index_bytes);
bool seg_has_room(const struct pool *p, const struct segment *s,
		  uint32_t unit_blocks, uint32_t index_bytes);
/* Blocks of payload, in full rows, that the cleaner can write to the segment
 * that commits write to. */
uint32_t seg_share_blocks(const struct pool *p);
bool seg_writable(const struct pool *p, const struct segment *s);
/* Does it have a zone on a disk that is drained? */
bool seg_drains(const struct pool *p, const struct segment *s);

/* --- segment_seal.c ------------------------------------------------------ */
void seg_row_applied(struct pool *p, struct segment *s);
void seg_seal(struct pool *p, struct segment *s);
/* The open ones that lack units or have some on a disk that is drained, if
 * others can be opened in their place. */
void seg_seal_degraded(struct pool *p);
int  seg_index_add(struct segment *s, const struct row *row,
		   const uint8_t *crcs, const uint8_t *recs);
uint32_t seg_index_entry_bytes(uint32_t payload_blocks, uint32_t recs_bytes);

/* --- segment_table.c ----------------------------------------------------- */
uint32_t seg_pages(const struct pool *p);
void seg_page_encode(const struct pool *p, uint32_t page, uint8_t *buf);
/* nsegments: that the whole table has. */
int  seg_page_decode(struct pool *p, uint32_t page, uint32_t nsegments,
		     const uint8_t *buf, const char **ret_why);

/* --- table.c ------------------------------------------------------------- */
void tables_fini(struct pool *p);
int  table_grow(struct pool *p, enum table_kind kind, uint32_t npages);
void table_ref_set(struct pool *p, enum table_kind kind, uint32_t page,
	       place_t place, uint32_t crc);
void table_count(struct pool *p, place_t place, int delta);

/* --- commit.c, commit_schedule.c, commit_root.c -------------------------- */
int  commit_init(struct pool *p);
void commit_fini(struct pool *p);
void commit_start(struct pool *p);     /* when none is under way */
void commit_consider(struct pool *p);  /* start one if it is time */
/* May one segment less be openable, or does a commit need it?  When what is
 * dirty does not fit anyway, and a commit would be no way out, it may. */
bool commit_spares(const struct pool *p);
/* One is wanted, but may wait a while for others that want it. */
void commit_want_later(struct pool *p);
bool commit_running(const struct pool *p);
bool commit_pending(struct pool *p);   /* running, or about to */
place_t root_block_place(const struct pool *p, const struct commit_ref *r,
			 uint32_t i);

/* --- read.c -------------------------------------------------------------- */
void reads_init(struct pool *p);
void reads_fail_all(struct pool *p, int res);
void reads_unpark(struct pool *p);
/* A disk is back: reads that wait for one try again. */
void reads_hope(struct pool *p);
/* Which units a block is made from. */
enum read_around {
	READ_ALL,  /* that can be read */
	READ_FAIR, /* … and neither the one that was asked nor on slow disks */
	READ_FEW,  /* … and no more than will do */
};
/* For hedge.c: the disk that the read was sent to, by the buffer `data`, has
 * answered. */
void read_answered(struct pool_read *r, struct member *m, int res,
		   const uint8_t *data);
/* It is made from other units meanwhile.  False: there are too few. */
bool read_reconstruct(struct pool_read *r);

/* --- damage.c ------------------------------------------------------------ */
void damage_fini(struct pool *p);
/* Nothing points to these blocks any more, or they could be read. */
void damage_unref(struct pool *p, place_t place, uint32_t n);
void damage_seg_freed(struct pool *p, struct segment *s);
/* Are there any in it, or may there be?  That is what is kept on disk. */
bool damage_in_seg(const struct pool *p, const struct segment *s);
void damage_seg_loaded(struct pool *p, struct segment *s);
/* A disk is back, or a unit of s was made again: some may be readable again. */
void damage_look_again(struct pool *p);
void damage_seg_made(struct pool *p, struct segment *s);
/* A segment is scrubbed; whole: to its end. */
void damage_pass_begin(struct pool *p, struct segment *s);
void damage_pass_end(struct pool *p, struct segment *s, bool whole);
/* Not now: there is no memory. */
void damage_look_off(struct pool *p, struct segment *s);
/* One that is to be scrubbed; NULL: there is none. */
struct segment *damage_next_look(const struct pool *p);

/* --- cleaner.c ----------------------------------------------------------- */
int  cleaner_init(struct pool *p);
void cleaner_fini(struct pool *p);
void cleaner_kick(struct pool *p);
void cleaner_unstick(struct pool *p);  /* there may be more space now */
bool cleaner_can_help(const struct pool *p);
bool cleaner_idle(const struct pool *p);

/* --- rebuild.c, rebuild_choose.c, rebuild_commit.c ----------------------- */
struct rebuild_info {
	uint64_t units;      /* to be made again, as far as that is due */
	uint64_t blocks;     /* … their zones */
	uint64_t waiting_ns; /* until the next disk that is out is given up; 0:
			      * none is waited for */
	uint64_t damaged;    /* units of segments with blocks that are lost */
	bool     running;
	bool     stuck;      /* nothing can be done about any of it */
	uint64_t moves;      /* units that only move, about; 0: none does */
};
int  rebuild_init(struct pool *p);
void rebuild_fini(struct pool *p);
/* See what there is to do, in the next turn. */
void rebuild_kick(struct pool *p);
/* … although there was no room or no domain for it: there may be now. */
void rebuild_hope(struct pool *p);
/* Of a commit: dead segments were freed, the table is not encoded yet; and it
 * is durable. */
void rebuild_commit(struct pool *p);
void rebuild_committed(struct pool *p);
/* A flush of it has ended; what was written to it is in doubt. */
void rebuild_flushed(struct pool *p, const struct member *m);
void rebuild_member_lost(struct pool *p, const struct member *m);
/* s lacks units, and emptying it is the way to get them. */
bool rebuild_leaves(const struct pool *p, const struct segment *s);
/* Nothing of it is in flight. */
bool rebuild_idle(const struct pool *p);
void rebuild_status(const struct pool *p, struct rebuild_info *ret);

/* --- rebalance.c --------------------------------------------------------- */
/* Units are moving, or about to: zones get free where they are of use. */
bool rebalance_helps(const struct pool *p);
/* … and space is low: clients wait for those zones. */
bool rebalance_hurries(const struct pool *p);
/* About how many are to move, while some do; else 0. */
uint64_t rebalance_left(const struct pool *p);

/* --- pace.c -------------------------------------------------------------- */
void pace_init(struct pool *p);
/* The cleaner empties segments with that many live and dead blocks. */
void pace_pass(struct pool *p, uint64_t live, uint64_t dead);
/* A row of what was moved is down; one of clients was formed. */
void pace_moved(struct pool *p, uint32_t blocks);
/* So much of a unit that only moves is written. */
void pace_vacated(struct pool *p, uint32_t blocks);
void pace_written(struct pool *p, uint32_t blocks);
/* Must the next row of clients wait?  Forms rows later if so. */
bool pace_holds(struct pool *p);

/* --- owner.c ------------------------------------------------------------- */
int  owner_init(struct pool *p);
void owner_fini(struct pool *p);
void owner_start(struct pool *p);   /* heartbeat from now on */
void owner_stop(struct pool *p);
/* Read the leases of all members again; done(res) -ESTALE: taken. */
void owner_check(struct pool *p, void (*done)(struct pool *p, int res));
/* Acquire: see owner.c. */
void owner_acquire(struct pool *p, uint64_t newest_claim, bool force,
		   bool released, void (*done)(struct pool *p, int res));
void owner_release(struct pool *p, void (*done)(struct pool *p, int res));
const char *owner_text(const struct pool *p);
/* Might the owner of that older claim still write? */
bool owner_is_doubtful(const struct pool *p, uint64_t claim);
/* The last owner is another machine's and was not heard of, or force was used. */
bool owner_took_over(const struct pool *p);

/* --- scan.c, recover.c --------------------------------------------------- */
/* Read the root and tables of p->last, scan the log, redo it, repair it and
 * commit; done when the pool may serve. */
struct recover_params {
	bool read_only;
	bool force;    /* open although flushed rows are lost */
	bool released; /* the last owner closed cleanly */
};
void recover_free(struct pool *p);
void recover_start(struct pool *p, const struct recover_params *params,
		   void (*done)(struct pool *p, int res, const char *why));

#endif
