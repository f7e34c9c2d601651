/* tools/check/check_state.h - what a check knows about a pool while it runs.
 *
 * Private to tools/ (tarn-dump looks at the same state).  Everything hangs
 * from struct ck; ck_fini() frees all of it.  The steps, in order:
 *
 *	check_label.c    labels, leases, members          -> disks, members
 *	check_root.c     root, index pages, table pages   -> tables
 *	check_segment.c  segment table                    -> segs
 *	check_scan.c     headers and indexes of segments  -> rows
 *	check_copies.c   rows that were written twice
 *	check_map.c      catalog, nodes
 *	check_walk.c     trees of volumes and snapshots   -> owned blocks
 *	check_log.c      rows after the commit            -> live blocks
 *	check_data.c     every unit of rows that matter
 *	check_event.c    what happened
 *
 * Integers out of the disks are only used after they were checked here; no
 * count read from a disk is allocated for before it was bounded.
 */
#ifndef TARN_TOOLS_CHECK_CHECK_STATE_H
#define TARN_TOOLS_CHECK_CHECK_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/util.h"
#include "base/uuid.h"
#include "pool/label_format.h"
#include "pool/pool.h"
#include "pool/root_format.h"
#include "pool/row_format.h"
#include "pool/segment_format.h"
#include "tools/check/check.h"
#include "volume/event_format.h"
#include "volume/node_format.h"

#define CK_NO_DISK   (-1)
#define CK_NO_MEMBER UINT32_MAX

/* A zone of a segment; member CK_NO_MEMBER: the unit has none. */
struct ck_zone {
	uint32_t member;
	uint32_t zone;
};

struct ck_claim {
	uint64_t    no;
	struct uuid id;
};

struct ck_extra {
	uint32_t       segment;
	uint32_t       generation;
	struct ck_zone zones[POOL_UNITS_MAX];
};

/* The label of a member about one disk. */
struct ck_member {
	struct uuid uuid;
	uint64_t    size_blocks;
	uint32_t    zones;
	uint8_t     state;     /* enum label_member_state */
	uint8_t     flags;     /* LABEL_MEMBER_DRAIN, … */
	uint64_t    out_row;   /* OUT: last row known flushed on it */
	uint64_t    out_claim;
	char        domain[DOMAIN_NAME_MAX + 1];
	int         disk;      /* among those given, or CK_NO_DISK */
};

/* A label, decoded. */
struct ck_label {
	uint64_t    compat, ro_compat, incompat;
	struct uuid pool, disk;
	struct ck_claim claim;
	uint64_t    number;
	char        name[64];
	uint32_t    k, m, zone_shift, row_blocks, flags, min_parity;
	uint32_t    nmembers, self, nancestors, nextra;
	uint64_t    created_s, size_blocks;
	uint64_t    root_place;
	uint32_t    root_blocks, root_crc, root_generation, root_slice;
	uint64_t    commit, commit_row;
	struct uuid machine, boot, instance;
	struct ck_claim ancestors[LABEL_ANCESTORS];
	struct ck_zone  root_zones[POOL_UNITS_MAX];
	struct ck_member *members; /* nmembers */
	struct ck_extra  *extra;   /* nextra */
};

/* A disk that was given. */
struct ck_disk {
	struct check_source *src;
	struct ck_label *label;  /* newest valid one on it, or NULL */
	uint32_t member;         /* in the newest label, or CK_NO_MEMBER */
	bool     unreadable;     /* a read failed; said once */
};

/* A record of a row. */
struct ck_rec {
	struct rec     rec;
	uint32_t       first; /* its first payload block in the row */
	const uint8_t *body;  /* CATALOG, in the row's blob */
};

/* A row, as its headers (or the index) say.  One block of memory with its
 * lists behind it. */
struct ck_row {
	uint64_t    row, flushed, commit;
	struct ck_claim claim;
	uint32_t    segment, generation; /* as the header says; not of an
				     * index */
	uint32_t    off;            /* in the zones, blocks */
	uint32_t    unit_blocks, header_blocks, payload_blocks, slice;
	uint32_t    nrecs;
	uint32_t    parity_crc[POOL_M_MAX];
	uint32_t    units;          /* mask: header is valid there */
	uint32_t    recs_bytes;
	bool        indexed;        /* the segment's index has it */
	bool        from_index;     /* known from the index alone: claim,
				     * flushed and parity_crc are not known */
	bool        accepted;       /* replayed, or of the commit */
	uint32_t    hash;           /* of what all units have in common */
	const char *odd;            /* what no writer should have written */
	uint32_t   *crcs;           /* payload_blocks */
	struct ck_rec *recs;        /* nrecs */
	uint8_t    *raw;            /* recs_bytes, as on disk */
};

struct ck_segment {
	uint32_t    no;             /* from 1 */
	uint32_t    generation;
	uint8_t     state;          /* enum seg_disk_state */
	uint8_t     flags;          /* SEG_FLAG_DAMAGED */
	bool        extra;          /* only in the label's list */
	bool        unknown;        /* its page of the table is lost */
	uint32_t    live;           /* as the table says */
	uint32_t    scan_from, missing, index_off;
	uint64_t    claim;
	struct ck_zone zones[POOL_UNITS_MAX];
	bool        loaded;         /* rows are */
	bool        index_ok;       /* rows of the index are among them */
	struct ck_row **rows;       /* by off, never overlapping */
	uint32_t    nrows, rows_cap;
	/* Bits, k << zone_shift of them, by unit and offset; NULL: none. */
	uint64_t   *owned;          /* the commit points to the block */
	uint64_t   *live_now;       /* so does the state after the log; also
				     * set for tables and nodes */
	uint64_t    counted;        /* data and nodes of the commit in it */
};

/* A volume, snapshot or checkpoint; tools/check/check_tree.h. */
struct ck_volume {
	struct catalog_slot slot;   /* as the commit has it */
	uint32_t    id;
	uint32_t    family;
	uint32_t    volume;         /* of a ready snapshot or checkpoint: id of
				     * its volume; 0 */
	uint8_t     kind;           /* enum catalog_kind */
	uint8_t     state;          /* enum catalog_state; 0: gone */
	bool        hidden;         /* a volume that is being received */
	bool        held;           /* a snapshot that is not to be deleted */
	bool        trashed;        /* a volume that is in the trash */
	bool        origin_lost;    /* it has an origin, but not a valid one */
	char        name[VOLUME_NAME_MAX + 1];
	uint64_t    size_bytes;
	uint64_t    cursor;
	struct uuid uuid;
	uint32_t    birth;
	uint32_t    origin;         /* what it derives from: an index */
	uint32_t    nkids, kid;     /* trees that derive from it; one of them */
	uint32_t    prev, next;     /* of those with its origin */
	uint32_t    layer;          /* of the log; 0: none */
	uint64_t    own;            /* blocks found that count as its own */
	bool        thinned;        /* of a fork: the layer is its own alone */
};
#define CK_NO_TREE UINT32_MAX /* no index */

struct ck_ref {
	uint64_t place;
	uint32_t crc;
};

/* A table: where its pages are, and the pages. */
struct ck_table {
	uint32_t    npages, nindex;
	struct ck_ref *index, *refs; /* nindex, npages */
	uint8_t   **pages;          /* npages; NULL: never written, or lost */
	uint8_t    *lost;           /* npages: 1 where it could not be read */
};

struct ck_node {
	uint64_t place;
	uint32_t crc, refs, family, birth;
	uint8_t  level;
	bool     lost;              /* something of it or below it is */
	uint32_t seen;              /* parents and roots found */
	uint32_t tree;              /* id of the first one that has it */
	uint64_t index;
	uint64_t mapped;            /* blocks below it, in a tree that holds
				     * all of it */
	uint32_t newest;            /* birth in it or below it */
};

struct ck_layers;                   /* check_layer.c */
struct ck_path;                     /* check_path.c */

struct ck {
	const struct check_options *opt;
	struct check_report *rep;
	struct ck_disk *disks;
	uint32_t    ndisks;

	struct ck_label *label;     /* the newest: of one of the disks */
	uint32_t    k, m, units;    /* units = k + m */
	uint32_t    zone_shift, zone_blocks;
	uint32_t    nmembers;
	struct ck_member *members;  /* the newest label's */

	/* Root. */
	bool        rooted;         /* there is a commit, and it was read */
	uint8_t    *root;           /* its bytes */
	uint32_t    root_bytes;
	uint64_t    root_row;       /* number of the row that holds it */
	uint64_t    commit_row;
	struct ck_claim commit_claim;
	bool        claim_known;    /* commit_claim.id is valid */
	uint32_t    client_off;     /* of the client's part */
	uint32_t    client_bytes;
	struct ck_table tables[ROOT_KINDS];

	/* Segments that are known before the table is: boot[]. */
	struct ck_segment *boot;
	uint32_t    nboot, boot_cap;
	struct ck_segment *segs;    /* [no - 1], nsegs of them, or NULL */
	uint32_t    nsegs;

	/* Map. */
	struct ck_node *nodes;      /* [id], nnodes of them */
	uint32_t    nnodes;
	struct ck_volume *vols;     /* nvols, in order of their slots */
	uint32_t    nvols, vols_cap;
	uint32_t    vol_last;       /* found last: likely to be asked again */
	uint64_t    next_volume;    /* next id that is given out */
	uint32_t   *trees;          /* ntrees indices, by family: after the
				     * log */
	uint32_t    ntrees;
	uint64_t    mapped;         /* data blocks, each once; then changed by
				     * the log */
	bool        owned;          /* the commit counts what is whose own */
	struct ck_path *path;       /* nodes read last */

	/* Log. */
	struct ck_layers *layers;   /* leaves that the log changed */
	uint64_t    flushed;        /* rows up to this one are flushed */

	uint8_t    *io_buf;         /* CK_IO_BLOCKS */
	int         res;            /* -ENOMEM sticks here */
};

#define CK_IO_BLOCKS 64u

/* --- saying (check_say.c) ------------------------------------------------ */

void ck_say(struct ck *ck, enum check_severity sev, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define ck_info(ck, ...)   ck_say(ck, CHECK_INFO, __VA_ARGS__)
#define ck_damage(ck, ...) ck_say(ck, CHECK_DAMAGE, __VA_ARGS__)
#define ck_lost(ck, ...)   ck_say(ck, CHECK_LOST, __VA_ARGS__)
#define ck_error(ck, ...)  ck_say(ck, CHECK_ERROR, __VA_ARGS__)
/* Only with opt->verbose. */
#define ck_verbose(ck, ...)                                            \
	do {                                                           \
		if ((ck)->opt->verbose)                                \
			ck_say(ck, CHECK_INFO, __VA_ARGS__);           \
	} while (0)

/* "disk NAME (member I)", or "member I (UUID, not given)". */
#define CK_TEXT 256
struct ck_text {
	char s[CK_TEXT];
};
struct ck_text ck_member_text(const struct ck *ck, uint32_t member);
/* "unit U: disk NAME, zone Z". */
struct ck_text ck_unit_text(const struct ck *ck, const struct ck_segment *seg,
			    uint32_t unit);
/* "segment S, block O of unit U". */
struct ck_text ck_place_text(const struct ck *ck, uint64_t place);

/* Zeroed memory; NULL and ck->res = -ENOMEM. */
void *ck_alloc(struct ck *ck, size_t n, size_t size);
/* Make room for one more; false: no memory. */
bool ck_grow(struct ck *ck, void *array_ptr, uint32_t n, uint32_t *cap,
	     size_t size);

/* --- places and reading (check_read.c) ----------------------------------- */

static inline uint32_t ck_place_seg(const struct ck *ck, uint64_t place)
{
	uint64_t seg = (place >> ck->zone_shift) / ck->k;

	return seg > UINT32_MAX ? UINT32_MAX : (uint32_t)seg;
}

static inline uint32_t ck_place_unit(const struct ck *ck, uint64_t place)
{
	return (uint32_t)((place >> ck->zone_shift) % ck->k);
}

static inline uint32_t ck_place_off(const struct ck *ck, uint64_t place)
{
	return (uint32_t)(place & (ck->zone_blocks - 1));
}

static inline uint64_t ck_place(const struct ck *ck, uint32_t seg,
				uint32_t unit, uint32_t off)
{
	return (((uint64_t)seg * ck->k + unit) << ck->zone_shift) | off;
}

/* Bit of a block in the segment's bitmaps. */
static inline uint64_t ck_seg_bit(const struct ck *ck, uint32_t unit,
				  uint32_t off)
{
	return ((uint64_t)unit << ck->zone_shift) | off;
}

/* Which zone holds a unit's copy: with k = 1 any of 1 + m. */
static inline uint32_t ck_unit_field(const struct ck *ck, uint32_t unit)
{
	return ck->k == 1 ? 0 : unit;
}

/* The segment, by the table, or before that is known by the boot list. */
struct ck_segment *ck_seg(struct ck *ck, uint32_t no);
/* Is what the table says of it lost? */
bool ck_seg_unknown(const struct ck *ck, uint32_t no);

/* n blocks of a disk: 0, -EIO. */
int ck_read_disk(struct ck *ck, uint32_t disk, uint64_t block, void *buf,
		 uint32_t n);
/* n blocks of a unit: 0, -EIO, -ENODEV when it has no zone or no disk. */
int ck_read_unit(struct ck *ck, const struct ck_segment *seg, uint32_t unit,
		 uint32_t off, void *buf, uint32_t n);
/* Should the unit of this row be there?  (Not: no zone, disk not given, or
 * recorded as missing.) */
bool ck_unit_expected(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, uint32_t unit);

/* One block at a place, checked against its CRC, reconstructed if need be.
 * 0; -EBADMSG: not to be had (said by the caller). */
int ck_read_place(struct ck *ck, uint64_t place, uint32_t crc, void *buf);

/* Payload block i of a row from its other units, given what was read of
 * them: units[u] points to the unit's slice or is NULL.  0 or -EBADMSG. */
int ck_rebuild_block(struct ck *ck, const struct ck_row *row, uint32_t i,
		     uint8_t *const *units, uint8_t *out);

/* --- erasure code (check_ec.c) ------------------------------------------- */

/* Coefficient of data unit d in parity p. */
uint8_t ck_ec_coef(uint32_t k, uint32_t m, uint32_t p, uint32_t d);
/* out = parity p of the k data slices. */
void ck_ec_parity(uint32_t k, uint32_t m, uint32_t p, uint8_t *const *data,
		  uint32_t len_bytes, uint8_t *out);
/* Rebuild one block of data unit `want` from exactly k units, named by the
 * mask `have`, whose blocks are in units[].  false: they do not determine
 * it. */
bool ck_ec_rebuild(const struct ck *ck, uint8_t *const *units, uint32_t have,
		   uint32_t want, uint8_t *out);

/* --- decoding (check_decode.c): pure ------------------------------------- */

struct ck_geometry {
	struct uuid pool;
	uint32_t    k, m;
	uint32_t    zone_blocks;
};

/* A label slot (LABEL_SLOT_BYTES).  0, -ENODATA: no magic; -EBADMSG and *why;
 * -ENOTSUP and *why: of a newer format; -ENOMEM. */
int  ck_label_decode(const uint8_t *buf, uint32_t slot,
		     struct ck_label **ret_label, const char **why);
void ck_label_free(struct ck_label *l);

/* A row header at buf, of which len_bytes are there.  Its segment, generation,
 * offset and unit are for the caller to compare with where it was found.
 * -ENODATA: no magic; -EBADMSG and *why; -ENOTSUP; -ENOMEM. */
int  ck_row_decode(const struct ck_geometry *g, const uint8_t *buf,
		   uint32_t len_bytes, struct ck_row **ret_row,
		   const char **why);
/* Fields of the header that the caller of ck_row_decode() compares. */
uint32_t ck_row_unit_field(const uint8_t *buf);
void ck_row_free(struct ck_row *row);

/* One entry of a segment index (lists included) at buf + *pos; advances *pos.
 * 0, -EBADMSG and *why, -ENOMEM. */
int  ck_index_row_decode(const struct ck_geometry *g, const uint8_t *buf,
			 uint32_t len_bytes, uint32_t *pos,
			 struct ck_row **ret_row, const char **why);

/* --- steps --------------------------------------------------------------- */

/* Each returns 0, or -errno when the check cannot go on (said). */
int  ck_labels(struct ck *ck);
int  ck_root(struct ck *ck);
int  ck_segments(struct ck *ck);
void ck_zones_report(const struct ck *ck); /* when all rows are known */
int  ck_rows_load(struct ck *ck, struct ck_segment *seg);
int  ck_rows_all(struct ck *ck);
int  ck_copies(struct ck *ck);
int  ck_map(struct ck *ck);
int  ck_log(struct ck *ck);
int  ck_data(struct ck *ck);

/* check_lease.c: the lease slots of one disk's head area. */
void ck_leases(struct ck *ck, uint32_t disk, const uint8_t *area);

/* check_table.c */
const char *ck_kind_name(uint32_t kind);
/* Read the pages of a table that the root points to. */
int  ck_table_load(struct ck *ck, uint32_t kind);
/* NULL when the page was never written or is lost. */
const uint8_t *ck_table_page(const struct ck *ck, uint32_t kind,
			     uint32_t page);
bool ck_table_lost(const struct ck *ck, uint32_t kind, uint32_t page);

/* The row that covers a place, and which payload block it is; NULL: none. */
struct ck_row *ck_row_at(struct ck *ck, struct ck_segment *seg, uint32_t unit,
			 uint32_t off, uint32_t *ret_i);
/* The record that payload block i belongs to. */
const struct ck_rec *ck_rec_of(const struct ck_row *row, uint32_t i);
/* Place of payload block i. */
uint64_t ck_row_place(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, uint32_t i);
/* Let the bitmap of a segment (&seg->owned, &seg->live_now) be there. */
bool ck_seg_bits(struct ck *ck, uint64_t **bits);

/* Is (claim) the newest label's or one of its ancestors'?  1 yes, 0 no, -1:
 * older than the list of ancestors reaches. */
int  ck_claim_known(const struct ck *ck, const struct ck_claim *c);

/* --- owning (check_own.c) ------------------------------------------------ */

/* What a commit points to. */
struct ck_owner {
	uint8_t  type;  /* REC_NODE, REC_TABLE, REC_ROOT, CK_OWN_INDEX; 0: a
			 * block of a family's volumes */
	uint32_t id;    /* node, table kind, family */
	uint64_t block; /* page, block of the root, block of the volumes */
	uint32_t crc;   /* that the pointer has */
};
#define CK_OWN_INDEX  255u
#define CK_INDEX_PAGE 0x100u /* in the id of a TABLE record: an index page */

struct ck_text ck_owner_text(const struct ck_owner *o);
/* Take the block; false: somebody else has it, or there is none. */
bool ck_own(struct ck *ck, uint64_t place, const struct ck_owner *o);
/* Has somebody taken it? */
bool ck_owned(struct ck *ck, uint64_t place);
/* Root, index pages, pages. */
void ck_own_tables(struct ck *ck);
/* Live counts of the table against what was owned. */
void ck_live_compare(struct ck *ck);

/* --- events (check_event.c) ---------------------------------------------- */

void ck_events(struct ck *ck);
/* A record of events: NULL, or what is wrong with it. */
const char *ck_event_record(const struct ck_rec *r);

/* --- volumes (check_catalog.c, check_map.c) ------------------------------ */

int ck_catalog(struct ck *ck, const struct vols_root *root);
/* Is a page of it lost?  Volumes that are not found may have been there. */
bool ck_catalog_lost(const struct ck *ck);
void ck_names_check(struct ck *ck);
struct ck_volume *ck_volume_add(struct ck *ck);
struct ck_volume *ck_volume_find(struct ck *ck, uint32_t id);

static inline uint64_t ck_leaf_place(const struct leaf_entry *e)
{
	uint64_t place = 0;

	for (unsigned i = 0; i < sizeof(e->place); i++)
		place |= (uint64_t)e->place[i] << (8 * i);
	return place;
}

/* check_walk.c */
int  ck_walk(struct ck *ck);

/* check_replay.c */
int  ck_replay_row(struct ck *ck, struct ck_segment *seg, struct ck_row *row);

/* check_after.c: volumes and snapshots, as the log leaves them. */
int  ck_after_log(struct ck *ck);
/* A live block, for each volume and snapshot of the family that has it. */
void ck_block_report(struct ck *ck, uint32_t family, uint64_t block,
		     uint64_t place, const void *data);

/* Children of an inner node, entries of a leaf: the node's block. 0 or
 * -EBADMSG, -ENODATA: no such node. */
int  ck_node_read(struct ck *ck, uint32_t id, uint8_t *buf);

int  ck_init(struct ck *ck, struct check_source *const *disks, unsigned n,
	     const struct check_options *opt, struct check_report *rep);
void ck_fini(struct ck *ck);
/* Labels, root, segment table, pages of all tables. */
int  ck_open(struct ck *ck);

#endif
