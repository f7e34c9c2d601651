/* Every check of tarn-check must be able to fail: one damage each, and what
 * must be said about it.
 *
 * A hook changes one field before its checksum is made; or bytes on the disks
 * are changed afterwards.  The report must have a finding of the severity that
 * contains the text, and none that is worse than allowed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/image_builder.h"
#include "tools/check/check.h"

struct damage {
	const char *name;
	uint32_t    k, m;
	/* With a hook: which structure, which one, where, what. */
	enum img_what what;
	uint32_t    id;
	uint32_t    off, size;
	uint64_t    value;
	/* After building, instead. */
	void (*fn)(struct image *im);
	bool        closed; /* of a pool that was closed cleanly */
	/* Wanted. */
	enum check_severity severity;
	const char *text;
};

#define ROW_ID(row, unit) ((row) << 8 | (unit))

static void damage_hook(struct image *im, enum img_what what, uint64_t id,
			void *buf)
{
	const struct damage *d = im->hook_arg;
	uint64_t have = id;

	/* Unit 0xff: all units of the row. */
	if ((what == IMG_ROW || what == IMG_UNIT) && (d->id & 0xff) == 0xff)
		have = id | 0xff;
	if (d->size == 0 || d->what != what || d->id != have)
		return;
	if (d->size <= 8)
		memcpy((uint8_t *)buf + d->off, &d->value, d->size);
	else
		memset((uint8_t *)buf + d->off, (int)d->value, d->size);
}

/* --- changes on the disks ------------------------------------------------ */

static uint8_t *label_at(struct image *im, unsigned disk, unsigned end)
{
	uint32_t slot = (uint32_t)(im->claim % 4 * 2 + im->label_no % 2);

	return im->disks[disk].mem +
	       ((end ? IMG_DISK_BLOCKS - 256 : 0) + 16 + slot * 16u) * 4096ull;
}

static void label_bit(struct image *im)
{
	label_at(im, 1, 1)[500] ^= 4;
}

static void label_released(struct image *im)
{
	im->label_flags = 2;
	im->label_no += 2;
	image_labels(im);
}

static void label_bit_crashed(struct image *im)
{
	label_at(im, 1, 1)[500] ^= 4;
}

static void label_both_ends(struct image *im)
{
	label_at(im, 0, 0)[500] ^= 4;
	label_at(im, 0, 1)[500] ^= 4;
}

static void label_old(struct image *im)
{
	uint8_t *keep = malloc(65536);

	memcpy(keep, label_at(im, 1, 0), 65536);
	im->label_no++;
	image_labels(im);
	memset(label_at(im, 1, 0), 0, 65536);
	memset(label_at(im, 1, 1), 0, 65536);
	im->label_no--;
	memcpy(label_at(im, 1, 0), keep, 65536);
	free(keep);
}

static void label_reserved(struct image *im)
{
	im->disks[0].mem[200 * 4096] = 1;
}

static void label_diverged(struct image *im)
{
	struct image *other = image_build(im->k, im->m, NULL, NULL);

	/* Disk 0 was served alone under claim 6, by somebody else than the
	 * claim 6 that is the ancestor of claim 7. */
	other->claim = 6;
	memset(&other->claim_id, 0x66, 16);
	image_labels(other);
	im->claim = 7;
	image_labels(im);
	memcpy(im->disks[0].mem, other->disks[0].mem,
	       (size_t)IMG_DISK_BLOCKS * 4096);
	image_free(other);
}

static void twin(struct image *im)
{
	memcpy(im->disks[1].mem, im->disks[0].mem,
	       (size_t)IMG_DISK_BLOCKS * 4096);
}

static void shrunk(struct image *im)
{
	im->disks[1].source.size_bytes -= 4096;
}

/* Damage block `block` of volume 0's data in `n` of its copies. */
static void data_rot(struct image *im, uint64_t block, unsigned n)
{
	uint64_t place = im->vols[0].map[block].place;
	uint32_t seg = (uint32_t)((place >> IMG_ZONE_SHIFT) / im->k);
	uint32_t off = (uint32_t)(place % IMG_ZONE_BLOCKS);

	if (im->k > 1)
		image_at_place(im, place)[100] ^= 1;
	for (unsigned u = 0; im->k == 1 && u < n; u++)
		image_at(im, seg, u, off)[100] ^= 1;
}

static void rot_one(struct image *im)
{
	data_rot(im, 310, 1);
}

static void rot_all(struct image *im)
{
	data_rot(im, 310, im->k + im->m);
}

static void rot_parity(struct image *im)
{
	/* Segment 2, first row: header, slice; block 311 with k = 2. */
	image_at(im, IMG_SEG_DATA, im->k, 12)[9] ^= 0x10;
}

static void rot_parity_and_data(struct image *im)
{
	rot_parity(im);
	image_at(im, IMG_SEG_DATA, 0, 12)[9] ^= 0x10;
}

static void rot_header(struct image *im)
{
	image_at(im, IMG_SEG_DATA, 1, 0)[20] ^= 1;
}

static void rot_headers_sealed(struct image *im)
{
	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_SEALED, u, 0)[20] ^= 1;
}

static void rot_headers_open(struct image *im)
{
	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_DATA, u, 0)[20] ^= 1;
}

static void index_copy(struct image *im)
{
	image_at(im, IMG_SEG_SEALED, 1,
		 im->segs[IMG_SEG_SEALED].index_off)[70] ^= 1;
}

static void index_all(struct image *im)
{
	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_SEALED, u,
			 im->segs[IMG_SEG_SEALED].index_off)[70] ^= 1;
}

static void root_gone(struct image *im)
{
	uint32_t off = (uint32_t)(im->root_place % IMG_ZONE_BLOCKS);

	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_COMMIT, u, off)[300] ^= 1;
}

static void place_gone(struct image *im, uint64_t place)
{
	uint32_t off = (uint32_t)(place % IMG_ZONE_BLOCKS);

	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_COMMIT, u, off)[300] ^= 1;
}

static void leaf_gone(struct image *im)
{
	place_gone(im, im->node_place[2]);
}

static void page_gone(struct image *im)
{
	place_gone(im, im->page_place[TABLE_NODES]);
}

static void index_page_gone(struct image *im)
{
	place_gone(im, im->index_place[TABLE_CATALOG]);
}

static void seg_page_gone(struct image *im)
{
	place_gone(im, im->page_place[TABLE_SEGMENTS]);
}

/* Offset of the n-th row of a segment. */
static uint32_t row_off(const struct image *im, uint32_t seg, unsigned n)
{
	const uint8_t *p = im->segs[seg].idx;
	uint32_t off = 0;

	for (unsigned i = 0; i <= n; i++) {
		uint16_t payload;
		uint32_t bytes;

		memcpy(&off, p + 8, 4);
		memcpy(&payload, p + 14, 2);
		memcpy(&bytes, p + 20, 4);
		p += 24 + (4u * payload + 7) / 8 * 8 + bytes;
	}
	return off;
}

/* Make a row of the log vanish. */
static void row_gone(struct image *im, uint32_t seg, unsigned n)
{
	uint32_t off = row_off(im, seg, n);

	for (uint32_t u = 0; u < im->k + im->m; u++)
		memset(image_at(im, seg, u, off), 0, 4096);
}

/* Rows of segment 2: 3 before the commit, then 5, the empty one that carries
 * the mark, and the last two that are not known flushed. */
static void log_flushed_gone(struct image *im)
{
	row_gone(im, IMG_SEG_DATA, 4);
}

/* A late row was written again in another segment: both are there. */
static void log_copy(struct image *im)
{
	im->row--;
	image_write(im, IMG_SEG_OPENABLE, 0, 589, 1, 52);
}

static void log_copy_first_gone(struct image *im)
{
	log_copy(im);
	row_gone(im, IMG_SEG_DATA, 9);
}

static void log_tail_torn(struct image *im)
{
	uint32_t off = row_off(im, IMG_SEG_DATA, 9);

	for (uint32_t u = 0; u < im->k + im->m; u++)
		image_at(im, IMG_SEG_DATA, u, off + 1)[8] ^= 1;
}

static void log_unit_missing(struct image *im)
{
	memset(image_at(im, IMG_SEG_DATA, 0, row_off(im, IMG_SEG_DATA, 9)), 0,
	       2 * 4096);
}

static void log_hole(struct image *im)
{
	row_gone(im, IMG_SEG_OPENABLE, 0);
}

static void commit_rows_gone(struct image *im)
{
	/* The node rows are unflushed by their own marks, but the label says
	 * that all up to the root was flushed. */
	row_gone(im, IMG_SEG_COMMIT, 0);
}

static void member_out(struct image *im)
{
	im->out_row = im->commit_row;
	im->label_no += 2;
	image_labels(im);
	/* What it lacks since then is no damage. */
	for (unsigned b = 256; b < IMG_DISK_BLOCKS - 256; b++) {
		uint8_t *p = im->disks[0].mem + b * 4096ull;
		uint64_t row;

		memcpy(&row, p + 64, 8);
		if (memcmp(p, "TARNROW\1", 8) == 0 && row > im->commit_row)
			p[0] = 0;
	}
}

static void member_out_lies(struct image *im)
{
	im->out_row = im->commit_row;
	im->label_no += 2;
	image_labels(im);
	/* Older rows must still be there. */
	image_at(im, IMG_SEG_DATA, (im->ndisks - IMG_SEG_DATA % im->ndisks) %
					   im->ndisks, 0)[20] ^= 1;
}

/* --- the table ----------------------------------------------------------- */

#define H(...)  .fn = NULL, __VA_ARGS__
#define ERR     .severity = CHECK_ERROR
#define LOST    .severity = CHECK_LOST
#define DMG     .severity = CHECK_DAMAGE
#define INFO    .severity = CHECK_INFO

/* Fields of structures, by offset; see docs/disk-format.md. */
#define SEG_ENTRY(no) (32 + ((no) - 1) * 48)
#define ROOT_CLIENT   (200 + 4 * 16 + 8 + 16)

static const struct damage damages[] = {
	/* Labels. */
	{ "label bit", 1, 1, .fn = label_bit, DMG,
	  "label slot 2 of its last", .closed = true },
	{ "released", 1, 1, .fn = label_released, ERR,
	  "nobody looks for them" },
	{ "label bit, crashed", 1, 1, .fn = label_bit_crashed, INFO,
	  "label slot 2 of its last" },
	{ "label gone", 1, 1, .fn = label_both_ends, DMG,
	  "disk d0: has no valid label" },
	{ "label old", 1, 1, .fn = label_old, INFO, "disk d1: has label 40" },
	{ "label area", 1, 1, .fn = label_reserved, DMG,
	  "label area is not zero" },
	{ "label slot", 1, 1, IMG_LABEL, 1, 20, 4, 3, DMG,
	  .text = "disk d1: has no valid label" },
	{ "label disk", 1, 1, IMG_LABEL, 1, 200, 4, 0, DMG,
	  .text = "disk d1: has no valid label" },
	{ "label shape", 1, 1, IMG_LABEL, 1, 188, 4, 100, ERR,
	  .text = "another shape" },
	{ "label root", 1, 1, IMG_LABEL, 1, 896, 4, 77, DMG,
	  .text = "disk d1: has no valid label" },
	{ "label length", 1, 1, IMG_LABEL, 1, 12, 4, 2000, DMG,
	  .text = "disk d1: has no valid label" },
	{ "label commit", 1, 1, IMG_LABEL, 1, 248, 8, 9, ERR,
	  .text = "same claim and number" },
	{ "label member", 1, 1, IMG_LABEL, 1, 1152, 4, 9, ERR,
	  .text = "another disk as member 0" },
	{ "pools", 1, 1, IMG_LABEL, 1, 48, 4, 9, ERR,
	  .text = "belongs to pool" },
	{ "diverged", 1, 1, .fn = label_diverged, ERR, "it has diverged" },
	{ "twin", 1, 1, .fn = twin, ERR, "has the same identity" },
	{ "shrunk", 1, 1, .fn = shrunk, ERR, "is smaller" },
	{ "lease", 1, 1, IMG_LEASE, 1, 48, 8, 9, INFO,
	  .text = "names claim 9" },
	{ "lease pool", 1, 1, IMG_LEASE, 1, 16, 4, 9, INFO,
	  .text = "another pool or disk" },
	/* Root. */
	{ "root gone", 1, 1, .fn = root_gone, LOST, "of the root of commit" },
	{ "root gone 2+1", 2, 1, .fn = root_gone, LOST, "of the root of" },
	{ "root row", 1, 1, IMG_ROOT, 0, 32, 8, 2, ERR,
	  .text = "row or commit number" },
	{ "root claim", 1, 1, IMG_ROOT, 0, 48, 8, 4, ERR,
	  .text = "different claims" },
	{ "root length", 1, 1, IMG_ROOT, 0, 60, 4, 100, ERR,
	  .text = "do not make its length" },
	{ "root index", 1, 1, IMG_ROOT, 0, 92, 4, 2, ERR,
	  .text = "do not fit its index" },
	{ "root segments", 1, 1, IMG_ROOT, 0, 56, 4, 200, ERR,
	  .text = "which does not fit" },
	{ "root volumes", 1, 1, IMG_ROOT, 0, ROOT_CLIENT, 1, 'X', ERR,
	  .text = "volumes' part" },
	{ "root nodes", 1, 1, IMG_ROOT, 0, ROOT_CLIENT + 16, 8, 1, ERR,
	  .text = "counts 1 nodes" },
	{ "root mapped", 1, 1, IMG_ROOT, 0, ROOT_CLIENT + 24, 8, 1, ERR,
	  .text = "counts 1 mapped" },
	{ "root next", 1, 1, IMG_ROOT, 0, ROOT_CLIENT + 8, 4, 2, ERR,
	  .text = "beyond what the root" },
	{ "root boot", 1, 1, IMG_ROOT, 0, 200 + 64 + 4, 4, 77, ERR,
	  .text = "different zones or gen" },
	/* Tables. */
	{ "page gone", 1, 1, .fn = page_gone, LOST,
	  "page 0 of the node table" },
	{ "index gone", 1, 1, .fn = index_page_gone, LOST,
	  "index page 0 of the catalog" },
	{ "segments gone", 1, 1, .fn = seg_page_gone, LOST,
	  "page 0 of the segment table" },
	{ "index crc", 1, 1, IMG_INDEX, TABLE_NODES, 8, 4, 1, ERR,
	  .text = "page 0 of the node table" },
	/* Segment table. */
	{ "seg page", 1, 1, IMG_PAGE, TABLE_SEGMENTS, 8, 4, 5, ERR,
	  .text = "is not that page" },
	{ "seg entries", 1, 1, IMG_PAGE, TABLE_SEGMENTS, 12, 4, 5, ERR,
	  .text = "has 5 entries" },
	{ "seg live", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(2) + 8, 4, 1,
	  ERR, .text = "segment 2: the table counts 1 live" },
	{ "seg live free", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(4) + 8, 4,
	  1, ERR, .text = "segment 4 is free" },
	{ "seg zone range", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(5) + 36,
	  4, IMG_ZONES, ERR, .text = "does not exist" },
	{ "seg zone twice", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(5) + 36,
	  4, 1, ERR, .text = "owned by segments" },
	{ "seg domain", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(5) + 32, 4,
	  0, ERR, .text = "in the same domain" },
	{ "seg no zone", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(6) + 32, 4,
	  0xffffffff, ERR, .text = "not marked missing" },
	{ "seg missing", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(5) + 16, 4,
	  8, ERR, .text = "units beyond k+m" },
	{ "seg generation", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(1), 4,
	  77, ERR, .text = "rows of an older generation" },
	{ "seg older", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(2), 4, 3, ERR,
	  .text = "reused while it held" },
	{ "seg freed", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(1) + 4, 1, 0,
	  ERR, .text = "segment is free" },
	{ "seg state", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(5) + 4, 1, 9,
	  ERR, .text = "unknown state" },
	{ "seg scan", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(2) + 12, 4,
	  IMG_ZONE_BLOCKS - 1, ERR, .text = "a recovery looks from" },
	{ "seg root freed", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(3) + 4,
	  1, 0, ERR, .text = "holds the root or" },
	{ "seg closed", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(6) + 4, 1, 2,
	  ERR, .text = "does not list as open" },
	{ "seg index off", 1, 1, IMG_PAGE, TABLE_SEGMENTS, SEG_ENTRY(1) + 20,
	  4, 400, DMG, .text = "no copy of its index" },
	/* Indexes. */
	{ "index copy", 1, 1, .fn = index_copy, DMG, "the index at block" },
	{ "index all", 1, 1, .fn = index_all, DMG, "no copy of its index" },
	{ "index row", 1, 1, IMG_SEALED, 1, 64, 8, 99, ERR,
	  .text = "they are not alike" },
	{ "index seg", 1, 1, IMG_SEALED, 1, 32, 4, 2, DMG,
	  .text = "another segment or generation" },
	{ "index entry", 1, 1, IMG_SEALED, 1, 64 + 14, 2, 999, ERR,
	  .text = "entry 0 of its index" },
	{ "index off", 1, 1, IMG_SEALED, 1, 64 + 8, 4, 3, ERR,
	  .text = "where another row" },
	/* Nodes. */
	{ "node gone", 1, 1, .fn = leaf_gone, LOST,
	  "blocks 256 to 511 are lost" },
	{ "node refs", 1, 1, IMG_PAGE, TABLE_NODES, 32 * 2 + 12, 4, 2, ERR,
	  .text = "node 2: 2 references counted, 1 found" },
	{ "node free", 1, 1, IMG_PAGE, TABLE_NODES, 32 * 2 + 12, 4, 0, ERR,
	  .text = "points to node 2, which is free" },
	{ "node leaked", 1, 1, IMG_PAGE, TABLE_NODES, 32 * 9 + 12, 4, 1, ERR,
	  .text = "node 9" },
	{ "node where", 1, 1, IMG_PAGE, TABLE_NODES, 32 * 2 + 24, 4, 5, ERR,
	  .text = "as level 0 index 1" },
	{ "node family", 1, 1, IMG_PAGE, TABLE_NODES, 32 * 2 + 16, 4, 5, ERR,
	  .text = "of family 5" },
	{ "node map", 1, 1, IMG_PAGE, TABLE_NODE_MAP, 0, 1, 1, ERR,
	  .text = "the node map has it free" },
	{ "node map set", 1, 1, IMG_PAGE, TABLE_NODE_MAP, 1, 1, 0xff, ERR,
	  .text = "the node map has it in use" },
	{ "node map 0", 1, 1, IMG_PAGE, TABLE_NODE_MAP, 0, 1, 0x7e, ERR,
	  .text = "bit 0 of the node map" },
	{ "node map beyond", 1, 1, IMG_PAGE, TABLE_NODE_MAP, 3000, 1, 1, ERR,
	  .text = "no entry in the node table" },
	{ "node twice", 1, 1, IMG_NODE, 4, 8, 4, 1, ERR,
	  .text = "points to node 1 as level 0 index 1" },
	{ "node beyond", 1, 1, IMG_NODE, 4, 8, 4, 9999, ERR,
	  .text = "does not have" },
	{ "node dropped", 1, 1, IMG_NODE, 4, 8, 4, 0, ERR,
	  .text = "node 2 (level 0, index 1, family 1) is in use, but" },
	/* Leaves. */
	{ "leaf place", 1, 1, IMG_NODE, 1, 0, 4, 0x9999, ERR,
	  .text = "family 1 block 0 is at" },
	{ "leaf shifted", 1, 1, IMG_NODE, 1, 16, 1, 2, ERR,
	  .text = "family 1 block 1 (" },
	{ "leaf crc", 1, 1, IMG_NODE, 2, 44 * 16 + 12, 4, 1, ERR,
	  .text = "its checksum is" },
	{ "leaf flags", 1, 1, IMG_NODE, 1, 6, 2, 1, ERR,
	  .text = "unknown flags" },
	{ "leaf birth", 1, 1, IMG_NODE, 1, 8, 4, 9, ERR,
	  .text = "birth to come" },
	{ "leaf hole crc", 1, 1, IMG_NODE, 1, 100 * 16 + 12, 4, 9, ERR,
	  .text = "checksum of nothing" },
	{ "leaf lost entry", 1, 1, IMG_NODE, 1, 0, 6, 0, ERR,
	  .text = "live blocks in it, the map has" },
	/* Catalog. */
	{ "mapped", 1, 1, IMG_PAGE, TABLE_CATALOG, 56, 8, 3, ERR,
	  .text = "counts 3 mapped" },
	{ "name twice", 1, 1, IMG_PAGE, TABLE_CATALOG, 512 + 72, 2, 5, ERR,
	  .text = "name" },
	{ "slot size", 1, 1, IMG_PAGE, TABLE_CATALOG, 24, 8, 0, ERR,
	  .text = "size is out of range" },
	{ "beyond end", 1, 1, IMG_PAGE, TABLE_CATALOG, 24, 8, 550 * 4096, ERR,
	  .text = "beyond the volume's end" },
	{ "slot kind", 1, 1, IMG_PAGE, TABLE_CATALOG, 4, 1, 7, ERR,
	  .text = "its kind" },
	{ "slot flags", 1, 1, IMG_PAGE, TABLE_CATALOG, 7, 1, 16, ERR,
	  .text = "unknown flags" },
	{ "slot birth", 1, 1, IMG_PAGE, TABLE_CATALOG, 48, 4, 0, ERR,
	  .text = "it has no birth" },
	{ "slot root", 1, 1, IMG_PAGE, TABLE_CATALOG, 44, 4, 0, ERR,
	  .text = "nothing points to it" },
	{ "slot uuid", 1, 1, IMG_PAGE, TABLE_CATALOG, 512 + 8, 16, 0x41, ERR,
	  .text = "have the same identity" },
	{ "slot id", 1, 1, IMG_PAGE, TABLE_CATALOG, 512, 4, 1, ERR,
	  .text = "have the same id" },
	/* Data. */
	{ "rot 1+1", 1, 1, .fn = rot_one, DMG, "1 of its blocks are damaged" },
	{ "rot 2+1", 2, 1, .fn = rot_one, DMG, "1 of its blocks are damaged" },
	{ "rot 4+2", 4, 2, .fn = rot_one, DMG, "1 of its blocks are damaged" },
	{ "rot all", 1, 1, .fn = rot_all, LOST, "family 1 block 310 is lost" },
	{ "rot 1+0", 1, 0, .fn = rot_all, LOST, "family 1 block 310 is lost" },
	{ "rot 3+0", 3, 0, .fn = rot_all, LOST, "family 1 block 310 is lost" },
	{ "parity 2+1", 2, 1, .fn = rot_parity, DMG, "its parity is damaged" },
	{ "parity 4+2", 4, 2, .fn = rot_parity, DMG, "its parity is damaged" },
	{ "parity and data", 2, 1, .fn = rot_parity_and_data, LOST,
	  "is lost" },
	{ "header", 1, 1, .fn = rot_header, DMG, "its header is not there" },
	{ "headers sealed", 1, 1, .fn = rot_headers_sealed, DMG,
	  "its header is not there" },
	{ "headers open", 1, 1, .fn = rot_headers_open, DMG,
	  "no row header covers it" },
	{ "parity false", 2, 1, IMG_ROW, ROW_ID(5, 0xff), 104, 4, 7, ERR,
	  .text = "another checksum for parity 0" },
	{ "unit wrong", 2, 1, IMG_ROW, ROW_ID(5, 1), 15, 1, 0, DMG,
	  .text = "its header is not there" },
	{ "row claim", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 32, 8, 3, ERR,
	  .text = "never owned the pool" },
	{ "row volume", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 280 + 4, 4, 2, ERR,
	  .text = "holds family 2" },
	{ "row young", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 64, 8, 99, ERR,
	  .text = "is younger than the commit" },
	{ "row crc", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 160 + 40, 4, 99, ERR,
	  .text = "its checksum is" },
	{ "padding", 2, 1, IMG_UNIT, ROW_ID(7, 1), 17 * 4096 + 9, 1, 9, DMG,
	  .text = "its padding is not zero" },
	{ "row reserved", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 130, 1, 1, ERR,
	  .text = "reserved bytes are not zero" },
	{ "row commit", 1, 1, IMG_ROW, ROW_ID(5, 0xff), 120, 8, 5, ERR,
	  .text = "a commit younger than itself" },
	/* Log. */
	{ "log flushed", 1, 1, .fn = log_flushed_gone, LOST,
	  "of the log is missing" },
	{ "log commit", 1, 1, .fn = commit_rows_gone, LOST,
	  "of the log is missing" },
	{ "log move", 1, 1, IMG_ROW, ROW_ID(25, 0xff), 160, 4, 5, ERR,
	  .text = "its content changes" },
	{ "log kind", 1, 1, IMG_ROW, ROW_ID(26, 0xff), 164, 4, 299, ERR,
	  .text = "does not know" },
	{ "log nobody", 1, 1, IMG_ROW, ROW_ID(26, 0xff), 168, 4, 99, ERR,
	  .text = "does not exist" },
	{ "log name", 1, 1, IMG_ROW, ROW_ID(26, 0xff), 176, 7,
	  0x006168706c610005, ERR,
	  .text = "a name that another one has" },
	{ "log twice", 1, 1, IMG_ROW, ROW_ID(30, 0xff), 64, 8, 29, ERR,
	  .text = "do not hold the same" },
	/* Members. */
	{ "out lies", 1, 1, .fn = member_out_lies, DMG, "header is not there" },
};

struct found {
	const struct damage *d;
	unsigned hits;
	unsigned worst;
	char     all[16384];
};

static void report(void *arg, enum check_severity sev, const char *text)
{
	struct found *f = arg;
	size_t len = strlen(f->all);

	snprintf(f->all + len, sizeof(f->all) - len, "  %d %s\n", sev, text);
	if (sev == f->d->severity && strstr(text, f->d->text) != NULL)
		f->hits++;
	if (sev > f->worst)
		f->worst = sev;
}

static int run(struct image *im, struct found *f, bool quick,
	       struct check_report *rep)
{
	struct check_source *disks[POOL_UNITS_MAX];
	struct check_options opt = { .report = report, .arg = f,
				     .quick = quick };

	for (uint32_t i = 0; i < im->ndisks; i++)
		disks[i] = &im->disks[i].source;
	return tarn_check_run(disks, im->ndisks, &opt, rep);
}

static unsigned damage_try(const struct damage *d)
{
	struct image *im =
		(d->closed ? image_build_closed : image_build)(
			d->k, d->m, damage_hook, (void *)d);
	struct found *f = calloc(1, sizeof(*f));
	struct check_report rep;
	unsigned bad = 0;
	int r;

	if (d->fn != NULL)
		d->fn(im);
	f->d = d;
	r = run(im, f, false, &rep);
	if (f->hits == 0 ||
	    (d->severity != CHECK_ERROR && f->worst > d->severity) ||
	    (d->severity == CHECK_INFO ? r != 0 : r == 0)) {
		print_error("%s: %d, wanted %d \"%s\", found\n%s", d->name, r,
			    d->severity, d->text, f->all);
		bad = 1;
	}
	/* The quick check must survive it too. */
	memset(f->all, 0, sizeof(f->all));
	run(im, f, true, &rep);
	free(f);
	image_free(im);
	return bad;
}

static void test_damages(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		bad += damage_try(&damages[i]);
	assert_int_equal(bad, 0);
}

/* What a crash may leave is no problem; the log ends where it must. */
static const struct {
	const char *name;
	void (*fn)(struct image *im);
	uint32_t    k, m;
	int         end;   /* rows before the last one written */
	uint64_t    after; /* rows dropped */
} crashes[] = {
	{ "torn tail", log_tail_torn, 1, 1, 1, 1 },
	{ "torn tail 2+1", log_tail_torn, 2, 1, 1, 1 },
	{ "unit missing", log_unit_missing, 1, 1, 0, 0 },
	{ "unit missing 2+1", log_unit_missing, 2, 1, 0, 0 },
	{ "unit missing 3+0", log_unit_missing, 3, 0, 1, 1 },
	{ "hole", log_hole, 1, 1, 2, 1 },
	{ "hole 4+2", log_hole, 4, 2, 2, 1 },
	{ "copy", log_copy, 1, 1, 0, 0 },
	{ "copy 2+1", log_copy, 2, 1, 0, 0 },
	{ "copy, one gone", log_copy_first_gone, 2, 1, 0, 0 },
	{ "member out", member_out, 1, 1, 0, 0 },
	{ "member out 4+2", member_out, 4, 2, 0, 0 },
};

static void test_crashes(void **state)
{
	static const struct damage none = { .text = "", .severity =
						CHECK_ERROR };
	unsigned bad = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
		struct image *im = image_build(crashes[i].k, crashes[i].m,
					       NULL, NULL);
		struct found *f = calloc(1, sizeof(*f));
		struct check_report rep;
		int r;

		crashes[i].fn(im);
		f->d = &none;
		r = run(im, f, false, &rep);
		if (r != 0 ||
		    rep.log_end != im->row - (uint64_t)crashes[i].end ||
		    rep.rows_after_end != crashes[i].after) {
			print_error("%s: %d, end %llu of %llu, %llu after\n%s",
				    crashes[i].name, r,
				    (unsigned long long)rep.log_end,
				    (unsigned long long)im->row,
				    (unsigned long long)rep.rows_after_end,
				    f->all);
			bad++;
		}
		free(f);
		image_free(im);
	}
	assert_int_equal(bad, 0);
}

static void test_arguments(void **state)
{
	struct image *im = image_build(1, 1, NULL, NULL);
	struct check_source *disk = &im->disks[0].source;
	struct check_options opt = { .quick = false };
	struct check_report rep;

	(void)state;
	assert_int_equal(tarn_check_run(&disk, 0, &opt, &rep), -EINVAL);
	/* One disk of two is enough for all of it. */
	assert_int_equal(tarn_check_run(&disk, 1, &opt, &rep), 0);
	assert_int_equal(rep.members_missing, 1);
	memset(im->disks[0].mem, 0, (size_t)IMG_DISK_BLOCKS * 4096);
	assert_int_equal(tarn_check_run(&disk, 1, &opt, &rep), -ENODATA);
	image_free(im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damages),
		cmocka_unit_test(test_crashes),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
