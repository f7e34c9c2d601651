/* tests/lib/image_builder.h - tiny pools in memory, made by hand.
 *
 * Written after docs/disk-format.md alone, and not with the server's code, so
 * that the readers of the format can be tried before and without it.  The
 * image has three volumes, sealed, open, openable, free and quarantined
 * segments, a commit, and a log after it.
 *
 * A hook sees each structure before its checksum is made and may change it:
 * what comes out is wrong in that one thing and right in all others.
 */
#ifndef TARN_TESTS_LIB_IMAGE_BUILDER_H
#define TARN_TESTS_LIB_IMAGE_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/uuid.h"
#include "pool/pool.h"
#include "tools/check/check.h"

#define IMG_ZONE_SHIFT   9u
#define IMG_ZONE_BLOCKS  512u
#define IMG_ZONES        24u
#define IMG_DISK_BLOCKS  (256u + IMG_ZONES * IMG_ZONE_BLOCKS + 256u)
#define IMG_SEGS         8u
#define IMG_VOLS         16u
#define IMG_SLOTS        8u   /* of the commit */
#define IMG_VOL_BLOCKS   600u /* three leaves */
#define IMG_LEAVES       3u
#define IMG_NODES        24u

enum img_what {
	IMG_LABEL,   /* id: disk; buf: 64 KiB */
	IMG_LEASE,   /* id: disk */
	IMG_ROOT,    /* buf: the root blob */
	IMG_INDEX,   /* id: table kind; an index page */
	IMG_PAGE,    /* id: table kind; page 0 of it */
	IMG_NODE,    /* id: node id */
	IMG_ROW,     /* id: row number << 8 | unit; buf: header */
	IMG_UNIT,    /* id: row number << 8 | unit; buf: the whole unit, as it
		      * will be written */
	IMG_SEALED,  /* id: segment; buf: its index, before its checksum */
};

struct image;
typedef void (*img_hook)(struct image *im, enum img_what what, uint64_t id,
			 void *buf);

/* Segments of the image. */
enum img_seg {
	IMG_SEG_SEALED = 1,  /* data, with an index */
	IMG_SEG_DATA = 2,    /* data, open */
	IMG_SEG_COMMIT = 3,  /* nodes, tables, root */
	IMG_SEG_FREE = 4,
	IMG_SEG_QUARANTINED = 5,
	IMG_SEG_OPENABLE = 6,
	IMG_SEG_EXTRA = 7,   /* for the label's list; not in the table */
};

struct img_disk {
	struct check_source source;
	uint8_t    *mem;
	char        name[16];
	struct uuid uuid;
};

struct img_entry {
	uint64_t place;
	uint32_t crc;
	uint32_t seed; /* of its content; 0: unmapped */
	uint32_t birth;
};

/* A volume, or a snapshot or checkpoint of one. */
struct img_vol {
	uint32_t id;   /* 0: none */
	uint32_t family, volume, origin, birth;
	uint64_t cursor;
	uint8_t  kind, state, flags, levels;
	uint64_t size_blocks;
	char     name[64];
	uint32_t root;
	uint32_t leaf[IMG_LEAVES]; /* node ids */
	struct img_entry map[IMG_VOL_BLOCKS];
};

struct img_segment {
	uint32_t generation;
	uint8_t  state;
	uint32_t off, scan_from, missing, index_off, live;
	uint8_t *idx;      /* entries of its index */
	uint32_t idx_bytes, idx_rows;
};

struct image {
	uint32_t    k, m, ndisks;
	img_hook    hook;
	void       *hook_arg;
	struct uuid pool, claim_id;
	uint64_t    claim;
	struct img_disk disks[POOL_UNITS_MAX];
	struct img_segment segs[IMG_SEGS]; /* by number */
	struct img_vol vols[IMG_VOLS];
	uint32_t    nvols;     /* slots of the commit; ids, too */
	uint32_t    next_node; /* id */
	uint64_t    row;       /* last number used */
	uint64_t    flushed;   /* mark that rows carry */
	uint64_t    commit_row;
	/* Of the commit. */
	uint64_t    node_place[IMG_NODES];
	uint32_t    node_crc[IMG_NODES];
	uint64_t    node_where[IMG_NODES];
	uint32_t    node_family[IMG_NODES];
	uint32_t    node_birth[IMG_NODES];
	uint64_t    page_place[8], index_place[8];
	uint32_t    page_crc[8], index_crc[8];
	uint64_t    root_place;
	uint32_t    root_blocks, root_crc, root_slice;
	/* Labels. */
	uint64_t    label_no;
	uint32_t    label_flags;
	uint64_t    out_row;      /* != 0: disk 0 is out since that row */
	bool        extra;        /* list IMG_SEG_EXTRA */
};

struct img_rec {
	struct rec  rec;
	const void *body;
};

/* A whole pool: commit, log after it, labels.  hook may be NULL. */
struct image *image_build(uint32_t k, uint32_t m, img_hook hook,
			  void *hook_arg);
/* The same, closed cleanly: no log after the commit. */
struct image *image_build_closed(uint32_t k, uint32_t m, img_hook hook,
				 void *hook_arg);
/* Another pool: one volume and its snapshots, see image_snap.c; and one with
 * clones, rollbacks and checkpoints, see image_fork.c.  closed: no log after
 * the commit. */
struct image *image_build_snaps(uint32_t k, uint32_t m, bool closed,
				img_hook hook, void *hook_arg);
struct image *image_build_forks(uint32_t k, uint32_t m, bool closed,
				img_hook hook, void *hook_arg);
/* A third one, whose branches have one root: also in image_fork.c. */
struct image *image_build_twins(uint32_t k, uint32_t m, bool closed,
				img_hook hook, void *hook_arg);
void image_free(struct image *im);

/* Append a row to a segment; payload of all its records together. Returns
 * the place of payload block 0. */
uint64_t image_row(struct image *im, uint32_t seg, const struct img_rec *recs,
		   unsigned nrecs, const uint8_t *payload);
/* Write blocks of a volume: one row, one record.  The model follows. */
void image_write(struct image *im, uint32_t seg, unsigned vol, uint64_t block,
		 unsigned n, uint32_t seed);
/* One row, one record.  The model follows, of a move in all trees. */
void image_unmap(struct image *im, unsigned vol, uint64_t block, uint64_t n);
void image_move(struct image *im, unsigned vol, uint64_t block);
/* A row with a CATALOG record; the model is the caller's. */
void image_catalog(struct image *im, uint32_t op, uint32_t vol,
		   const void *body, uint16_t bytes);
/* Write the labels again (after changing fields). */
void image_labels(struct image *im);

/* Where a place's copy is in a disk's memory. */
uint8_t *image_at(struct image *im, uint32_t seg, uint32_t unit, uint32_t off);
uint8_t *image_at_place(struct image *im, uint64_t place);
/* The zone of a unit. */
void image_zone(const struct image *im, uint32_t seg, uint32_t unit,
		uint32_t *ret_disk, uint32_t *ret_zone);
/* Content of a block written with a seed. */
void image_pattern(uint32_t family, uint64_t block, uint32_t seed,
		   uint8_t *buf);

#endif
