/* tests/lib/image_builder.c - see image_builder.h.
 *
 * All bytes are put by offset, from the tables in docs/disk-format.md; the
 * format structs are not used, so that a mistake in them shows.
 */
#include "tests/lib/image_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"

static void put16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void hook(struct image *im, enum img_what what, uint64_t id, void *buf)
{
	if (im->hook != NULL)
		im->hook(im, what, id, buf);
}

/* --- where ---------------------------------------------------------------- */

void image_zone(const struct image *im, uint32_t seg, uint32_t unit,
		uint32_t *ret_disk, uint32_t *ret_zone)
{
	*ret_disk = (unit + seg) % im->ndisks;
	*ret_zone = seg;
}

uint8_t *image_at(struct image *im, uint32_t seg, uint32_t unit, uint32_t off)
{
	uint32_t disk, zone;

	image_zone(im, seg, unit, &disk, &zone);
	return im->disks[disk].mem +
	       (256 + (size_t)zone * IMG_ZONE_BLOCKS + off) * TARN_BLOCK;
}

uint8_t *image_at_place(struct image *im, uint64_t place)
{
	uint64_t su = place >> IMG_ZONE_SHIFT;

	return image_at(im, (uint32_t)(su / im->k), (uint32_t)(su % im->k),
			(uint32_t)(place % IMG_ZONE_BLOCKS));
}

static uint64_t place_of(const struct image *im, uint32_t seg, uint32_t unit,
			 uint32_t off)
{
	return (((uint64_t)seg * im->k + unit) << IMG_ZONE_SHIFT) | off;
}

void image_pattern(uint32_t vol, uint64_t block, uint32_t seed, uint8_t *buf)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + block * 77 + vol;

	for (unsigned i = 0; i < TARN_BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put64(buf + i, x);
	}
}

/* --- parity, bit by bit --------------------------------------------------- */

static uint8_t gmul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (; b != 0; b >>= 1) {
		if (b & 1)
			r ^= a;
		a = (uint8_t)((a << 1) ^ (a & 0x80 ? 0x1d : 0));
	}
	return r;
}

static uint8_t ginv(uint8_t a)
{
	for (unsigned b = 1; b < 256; b++) {
		if (gmul(a, (uint8_t)b) == 1)
			return (uint8_t)b;
	}
	return 0;
}

static void parity(const struct image *im, uint8_t **slices, size_t len,
		   uint32_t p)
{
	uint8_t *out = slices[im->k + p];
	uint8_t  table[256];

	memset(out, 0, len);
	for (uint32_t d = 0; d < im->k; d++) {
		uint8_t c = im->m == 1 ? 1 : ginv((uint8_t)((im->k + p) ^ d));

		for (unsigned i = 0; i < 256; i++)
			table[i] = gmul((uint8_t)i, c);
		for (size_t i = 0; i < len; i++)
			out[i] ^= table[slices[d][i]];
	}
}

/* --- rows ----------------------------------------------------------------- */

static uint32_t recs_put(const struct img_rec *recs, unsigned n, uint8_t *buf,
			 uint32_t *ret_payload)
{
	uint8_t *p = buf;

	*ret_payload = 0;
	for (unsigned i = 0; i < n; i++) {
		const struct rec *r = &recs[i].rec;

		p[0] = r->type;
		p[1] = r->flags;
		put16(p + 2, r->n);
		put32(p + 4, r->id);
		put64(p + 8, r->block);
		p += 16;
		if (r->type == REC_UNMAP || r->type == REC_MOVE) {
			put64(p, r->ext);
			p += 8;
		}
		if (r->type == REC_CATALOG) {
			memcpy(p, recs[i].body, r->n);
			p += (r->n + 7) / 8 * 8;
		}
		if (r->type != REC_UNMAP && r->type != REC_CATALOG)
			*ret_payload += r->n;
	}
	return (uint32_t)(p - buf);
}

static void index_add(struct img_segment *s, uint64_t row, uint32_t off,
		      uint32_t unit_blocks, uint32_t payload, uint32_t slice,
		      const uint8_t *header)
{
	uint32_t crcs = (4 * payload + 7) / 8 * 8, nbytes;
	uint16_t nrecs;
	uint32_t recs_off;
	uint8_t *p = s->idx + s->idx_bytes;

	memcpy(&nrecs, header + 94, 2);
	memcpy(&nbytes, header + 96, 4);
	memcpy(&recs_off, header + 100, 4);
	put64(p, row);
	put32(p + 8, off);
	put16(p + 12, (uint16_t)unit_blocks);
	put16(p + 14, (uint16_t)payload);
	put16(p + 16, (uint16_t)slice);
	put16(p + 18, nrecs);
	put32(p + 20, nbytes);
	memcpy(p + 24, header + 160, 4 * payload);
	memcpy(p + 24 + crcs, header + recs_off, nbytes);
	s->idx_bytes += 24 + crcs + nbytes;
	s->idx_rows++;
}

uint64_t image_row(struct image *im, uint32_t seg, const struct img_rec *recs,
		   unsigned nrecs, const uint8_t *payload)
{
	struct img_segment *s = &im->segs[seg];
	uint8_t  list[8192] = { 0 }, *header, *units[POOL_UNITS_MAX];
	uint8_t *slices[POOL_UNITS_MAX];
	uint32_t npayload, bytes = recs_put(recs, nrecs, list, &npayload);
	uint32_t slice = (npayload + im->k - 1) / im->k;
	uint32_t recs_off = (160 + 4 * npayload + 7) / 8 * 8;
	uint32_t h = recs_off + bytes > TARN_BLOCK ? 2 : 1;
	size_t   len = (h + slice) * (size_t)TARN_BLOCK;
	uint64_t place = place_of(im, seg, 0, s->off + h);

	im->row++;
	header = calloc(h, TARN_BLOCK);
	for (uint32_t u = 0; u < im->k + im->m; u++) {
		units[u] = calloc(1, len);
		slices[u] = units[u] + (size_t)h * TARN_BLOCK;
	}
	for (uint32_t i = 0; i < npayload; i++) {
		put32(header + 160 + 4 * i,
		      crc32c(0, payload + (size_t)i * TARN_BLOCK, TARN_BLOCK));
		memcpy(slices[i / slice] + (size_t)(i % slice) * TARN_BLOCK,
		       payload + (size_t)i * TARN_BLOCK, TARN_BLOCK);
	}
	for (uint32_t p = 0; p < im->m; p++) {
		if (im->k == 1) {
			memcpy(slices[1 + p], slices[0],
			       (size_t)slice * TARN_BLOCK);
			continue;
		}
		parity(im, slices, (size_t)slice * TARN_BLOCK, p);
		put32(header + 104 + 4 * p,
		      crc32c(0, slices[im->k + p], slice * TARN_BLOCK));
	}
	memcpy(header, "TARNROW\1", 8);
	put16(header + 12, 1);
	header[14] = (uint8_t)h;
	memcpy(header + 16, &im->pool, 16);
	put64(header + 32, im->claim);
	memcpy(header + 40, &im->claim_id, 16);
	put32(header + 56, seg);
	put32(header + 60, s->generation);
	put64(header + 64, im->row);
	put64(header + 72, im->flushed);
	put32(header + 80, s->off);
	put32(header + 84, h + slice);
	put16(header + 88, (uint16_t)npayload);
	put16(header + 90, (uint16_t)slice);
	header[92] = (uint8_t)im->k;
	header[93] = (uint8_t)im->m;
	put16(header + 94, (uint16_t)nrecs);
	put32(header + 96, bytes);
	put32(header + 100, recs_off);
	memcpy(header + recs_off, list, bytes);
	index_add(s, im->row, s->off, h + slice, npayload, slice, header);
	for (uint32_t u = 0; u < im->k + im->m; u++) {
		memcpy(units[u], header, (size_t)h * TARN_BLOCK);
		units[u][15] = im->k == 1 ? 0 : (uint8_t)u;
		hook(im, IMG_ROW, im->row << 8 | u, units[u]);
		put32(units[u] + 8,
		      crc32c(0, units[u] + 12, h * TARN_BLOCK - 12));
		hook(im, IMG_UNIT, im->row << 8 | u, units[u]);
		memcpy(image_at(im, seg, u, s->off), units[u], len);
		free(units[u]);
	}
	free(header);
	s->off += h + slice;
	return place;
}

/* Place of payload block i of a row that starts at `place`. */
static uint64_t nth_place(const struct image *im, uint64_t place, uint32_t i,
			  uint32_t n)
{
	uint32_t slice = (n + im->k - 1) / im->k;

	return place + ((uint64_t)(i / slice) << IMG_ZONE_SHIFT) + i % slice;
}

static struct img_entry *entry(struct image *im, unsigned vol, uint64_t block)
{
	return &im->vols[vol].map[block];
}

static void entry_set(struct image *im, struct img_entry *e, uint64_t place,
		      uint32_t crc, uint32_t seed)
{
	if (e->place != 0)
		im->segs[(e->place >> IMG_ZONE_SHIFT) / im->k].live--;
	e->place = place;
	e->crc = crc;
	e->seed = seed;
	if (place != 0)
		im->segs[(place >> IMG_ZONE_SHIFT) / im->k].live++;
}

void image_write(struct image *im, uint32_t seg, unsigned vol, uint64_t block,
		 unsigned n, uint32_t seed)
{
	uint8_t *buf = calloc(n, TARN_BLOCK);
	struct img_rec r = { .rec = { .type = REC_WRITE,
				      .n = (uint16_t)n,
				      .id = im->vols[vol].id,
				      .block = block } };
	uint64_t place;

	for (unsigned i = 0; i < n; i++)
		image_pattern(im->vols[vol].id, block + i, seed,
			      buf + (size_t)i * TARN_BLOCK);
	place = image_row(im, seg, &r, 1, buf);
	for (unsigned i = 0; i < n; i++)
		entry_set(im, entry(im, vol, block + i),
			  nth_place(im, place, i, n),
			  crc32c(0, buf + (size_t)i * TARN_BLOCK, TARN_BLOCK),
			  seed);
	free(buf);
}

static void write_unmap(struct image *im, unsigned vol, uint64_t block,
			uint64_t n)
{
	struct img_rec r = { .rec = { .type = REC_UNMAP,
				      .id = im->vols[vol].id,
				      .block = block,
				      .ext = n } };

	image_row(im, IMG_SEG_DATA, &r, 1, NULL);
	for (uint64_t i = block; i < block + n && i < IMG_VOL_BLOCKS; i++)
		entry_set(im, entry(im, vol, i), 0, 0, 0);
}

static void write_move(struct image *im, unsigned vol, uint64_t block)
{
	struct img_entry *e = entry(im, vol, block);
	uint8_t buf[TARN_BLOCK];
	struct img_rec r = { .rec = { .type = REC_MOVE,
				      .n = 1,
				      .id = im->vols[vol].id,
				      .block = block,
				      .ext = e->place } };
	uint64_t place;

	memcpy(buf, image_at_place(im, e->place), TARN_BLOCK);
	place = image_row(im, IMG_SEG_DATA, &r, 1, buf);
	entry_set(im, e, place, e->crc, e->seed);
}

static void write_catalog(struct image *im, uint32_t op, uint32_t vol,
			  const void *body, uint16_t bytes)
{
	struct img_rec r = { .rec = { .type = REC_CATALOG,
				      .flags = 1,
				      .n = bytes,
				      .id = op,
				      .block = vol },
			     .body = body };

	image_row(im, IMG_SEG_DATA, &r, 1, NULL);
}

/* --- nodes and pages ------------------------------------------------------ */

/* Write one block of the commit; returns its place. */
static uint64_t put_block(struct image *im, uint8_t type, uint32_t id,
			  uint64_t block, const uint8_t *buf)
{
	struct img_rec r = { .rec = { .type = type,
				      .n = 1,
				      .id = id,
				      .block = block } };

	return image_row(im, IMG_SEG_COMMIT, &r, 1, buf);
}

static void put_node(struct image *im, uint32_t id, uint32_t family,
		     uint64_t where, uint8_t *buf)
{
	hook(im, IMG_NODE, id, buf);
	im->node_crc[id] = crc32c(0, buf, TARN_BLOCK);
	im->node_place[id] = put_block(im, REC_NODE, id, where, buf);
	im->node_where[id] = where;
	im->node_family[id] = family;
	im->segs[IMG_SEG_COMMIT].live++;
}

static void put_leaf(struct image *im, struct img_vol *v, uint32_t leaf)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	for (uint32_t i = 0; i < 256; i++) {
		uint64_t b = leaf * 256ull + i;
		uint8_t *p = buf + i * 16;

		if (b >= IMG_VOL_BLOCKS || v->map[b].place == 0)
			continue;
		put64(p, v->map[b].place);
		put32(p + 8, 1);
		put32(p + 12, v->map[b].crc);
	}
	put_node(im, v->leaf[leaf], v->id, leaf, buf);
}

static void put_tree(struct image *im, struct img_vol *v)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	for (uint32_t i = 0; i < IMG_LEAVES; i++) {
		if (v->leaf[i] != 0)
			put_leaf(im, v, i);
	}
	if (v->levels == 0 || v->root == 0)
		return;
	for (uint32_t i = 0; i < IMG_LEAVES; i++) {
		put32(buf + 8 * i, v->leaf[i]);
		put32(buf + 8 * i + 4, v->leaf[i] != 0);
	}
	put_node(im, v->root, v->id, 1ull << 56, buf);
}

static uint64_t vol_mapped(const struct img_vol *v)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < IMG_VOL_BLOCKS; i++)
		n += v->map[i].place != 0;
	return n;
}

static void put_page(struct image *im, uint32_t kind, uint8_t *buf)
{
	hook(im, IMG_PAGE, kind, buf);
	im->page_crc[kind] = crc32c(0, buf, TARN_BLOCK);
	im->page_place[kind] = put_block(im, REC_TABLE, kind, 0, buf);
}

static void put_index(struct image *im, uint32_t kind)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	put64(buf, im->page_place[kind]);
	put32(buf + 8, im->page_crc[kind]);
	hook(im, IMG_INDEX, kind, buf);
	im->index_crc[kind] = crc32c(0, buf, TARN_BLOCK);
	im->index_place[kind] = put_block(im, REC_TABLE, kind | 0x100, 0, buf);
}

static void put_node_pages(struct image *im)
{
	uint8_t nodes[TARN_BLOCK] = { 0 }, map[TARN_BLOCK] = { 1 };

	for (uint32_t id = 1; id < IMG_NODES; id++) {
		uint8_t *p = nodes + id * 32;

		if (im->node_place[id] == 0)
			continue;
		put64(p, im->node_place[id]);
		put32(p + 8, im->node_crc[id]);
		put32(p + 12, 1);
		put32(p + 16, im->node_family[id]);
		put32(p + 20, 1);
		put64(p + 24, im->node_where[id]);
		map[id / 8] |= (uint8_t)(1 << id % 8);
	}
	put_page(im, TABLE_NODES, nodes);
	put_page(im, TABLE_NODE_MAP, map);
}

static void put_catalog(struct image *im)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	for (unsigned i = 0; i < IMG_VOLS; i++) {
		const struct img_vol *v = &im->vols[i];
		uint8_t *p = buf + i * 512;

		if (v->id == 0)
			continue;
		put32(p, v->id);
		p[4] = 1;
		p[5] = v->state;
		p[6] = v->levels;
		p[7] = v->flags;
		memset(p + 8, 0x40 + (int)v->id, 16);
		put64(p + 24, v->size_blocks * TARN_BLOCK);
		put64(p + 32, 1700000000);
		put32(p + 40, v->id);
		put32(p + 44, v->root);
		put32(p + 48, 1);
		put64(p + 56, vol_mapped(v));
		put16(p + 72, (uint16_t)strlen(v->name));
		memcpy(p + 80, v->name, strlen(v->name));
	}
	put_page(im, TABLE_CATALOG, buf);
}

static void put_zones(const struct image *im, uint32_t seg, uint8_t *p)
{
	for (uint32_t u = 0; u < im->k + im->m; u++) {
		uint32_t disk, zone;

		image_zone(im, seg, u, &disk, &zone);
		put32(p + 8 * u, disk);
		put32(p + 8 * u + 4, zone);
	}
}

static void put_segments(struct image *im)
{
	uint8_t  buf[TARN_BLOCK] = { 0 };
	uint32_t stride = 32 + 8 * (im->k + im->m);

	memcpy(buf, "TARNSEG\1", 8);
	put32(buf + 12, IMG_SEG_OPENABLE);
	memcpy(buf + 16, &im->pool, 16);
	for (uint32_t no = 1; no <= IMG_SEG_OPENABLE; no++) {
		const struct img_segment *s = &im->segs[no];
		uint8_t *p = buf + 32 + (no - 1) * stride;

		put32(p, s->generation);
		p[4] = s->state;
		put32(p + 8, s->live);
		put32(p + 12, s->scan_from);
		put32(p + 16, s->missing);
		put32(p + 20, s->index_off);
		put64(p + 24, im->claim);
		if (s->state != 0)
			put_zones(im, no, p + 32);
	}
	put_page(im, TABLE_SEGMENTS, buf);
}

static void put_root(struct image *im)
{
	uint8_t  buf[TARN_BLOCK] = { 0 };
	uint32_t pos = 200;
	uint64_t mapped = 0, nodes = 0;
	struct img_rec r = { .rec = { .type = REC_ROOT, .n = 1, .block = 7 } };

	memcpy(buf, "TARNROOT", 8);
	memcpy(buf + 16, &im->pool, 16);
	put64(buf + 32, im->commit_row);
	put64(buf + 40, 7);
	put64(buf + 48, im->claim);
	put32(buf + 56, IMG_SEG_OPENABLE);
	put32(buf + 60, 32);
	put32(buf + 64, 1);
	for (uint32_t kind = 0; kind < 8; kind++) {
		if (im->index_place[kind] == 0)
			continue;
		put32(buf + 72 + 16 * kind, 1);
		put32(buf + 76 + 16 * kind, 1);
		put64(buf + pos, im->index_place[kind]);
		put32(buf + pos + 8, im->index_crc[kind]);
		pos += 16;
	}
	put32(buf + pos, IMG_SEG_COMMIT);
	put32(buf + pos + 4, im->segs[IMG_SEG_COMMIT].generation);
	put_zones(im, IMG_SEG_COMMIT, buf + pos + 8);
	pos += 8 + 8 * (im->k + im->m);
	for (unsigned i = 0; i < IMG_VOLS; i++)
		mapped += vol_mapped(&im->vols[i]);
	for (uint32_t id = 1; id < IMG_NODES; id++)
		nodes += im->node_place[id] != 0;
	memcpy(buf + pos, "TARNVOLS", 8);
	put32(buf + pos + 8, IMG_VOLS + 1);
	put32(buf + pos + 12, IMG_VOLS);
	put64(buf + pos + 16, nodes);
	put64(buf + pos + 24, mapped);
	pos += 32;
	put32(buf + 12, pos);
	hook(im, IMG_ROOT, 0, buf);
	memcpy(&pos, buf + 12, 4);
	im->root_crc = crc32c(0, buf + 12, pos - 12);
	put32(buf + 8, im->root_crc);
	im->root_blocks = 1;
	im->root_slice = 1;
	im->root_place = image_row(im, IMG_SEG_COMMIT, &r, 1, buf);
}

static void commit(struct image *im)
{
	im->commit_row = im->row;
	im->segs[IMG_SEG_DATA].scan_from = im->segs[IMG_SEG_DATA].off;
	for (unsigned i = 0; i < IMG_VOLS; i++)
		put_tree(im, &im->vols[i]);
	put_node_pages(im);
	put_catalog(im);
	put_segments(im);
	for (uint32_t kind = 1; kind <= TABLE_CATALOG; kind++)
		put_index(im, kind);
	put_root(im);
}

static void seal(struct image *im, uint32_t seg)
{
	struct img_segment *s = &im->segs[seg];
	uint32_t bytes = 64 + s->idx_bytes;
	uint32_t blocks = (bytes + TARN_BLOCK - 1) / TARN_BLOCK;
	uint8_t *buf = calloc(blocks, TARN_BLOCK);

	s->index_off = IMG_ZONE_BLOCKS - blocks;
	memcpy(buf, "TARNIDX\1", 8);
	put32(buf + 12, bytes);
	memcpy(buf + 16, &im->pool, 16);
	put32(buf + 32, seg);
	put32(buf + 36, s->generation);
	put32(buf + 40, s->idx_rows);
	put32(buf + 44, s->index_off);
	memcpy(buf + 64, s->idx, s->idx_bytes);
	hook(im, IMG_SEALED, seg, buf);
	put32(buf + 8, crc32c(0, buf + 12, bytes - 12));
	for (uint32_t u = 0; u < im->k + im->m; u++)
		memcpy(image_at(im, seg, u, s->index_off), buf,
		       (size_t)blocks * TARN_BLOCK);
	free(buf);
}

/* --- labels --------------------------------------------------------------- */

static void put_member(const struct image *im, uint32_t i, uint8_t *p)
{
	bool out = i == 0 && im->out_row != 0;

	memcpy(p, &im->disks[i].uuid, 16);
	put64(p + 16, IMG_DISK_BLOCKS);
	put32(p + 24, IMG_ZONES);
	p[28] = out ? 2 : 1;
	put64(p + 32, out ? im->out_row : 0);
	put64(p + 40, out ? im->claim : 0);
	snprintf((char *)p + 48, 64, "host-%u", i);
}

static void put_label(struct image *im, uint32_t disk)
{
	uint8_t *buf = calloc(1, 65536), *p;
	uint32_t slot = (uint32_t)(im->claim % 4 * 2 + im->label_no % 2);
	uint32_t bytes = 1152 + 128 * im->ndisks +
			 (im->extra ? 8 * (1 + im->k + im->m) : 0);

	memcpy(buf, "TARNLBL\1", 8);
	put32(buf + 12, bytes);
	put32(buf + 16, 1);
	put32(buf + 20, slot);
	memcpy(buf + 48, &im->pool, 16);
	memcpy(buf + 64, &im->disks[disk].uuid, 16);
	put64(buf + 80, im->claim);
	memcpy(buf + 88, &im->claim_id, 16);
	put64(buf + 104, im->label_no);
	strcpy((char *)buf + 112, "tiny");
	put32(buf + 176, im->k);
	put32(buf + 180, im->m);
	put32(buf + 184, IMG_ZONE_SHIFT);
	put32(buf + 188, 257);
	put32(buf + 192, im->label_flags);
	put32(buf + 196, im->ndisks);
	put32(buf + 200, disk);
	put32(buf + 204, 1);
	put64(buf + 208, 1700000000);
	put64(buf + 216, IMG_DISK_BLOCKS);
	put64(buf + 224, im->root_place);
	put32(buf + 232, im->root_blocks);
	put32(buf + 236, im->root_crc);
	put32(buf + 240, im->segs[IMG_SEG_COMMIT].generation);
	put32(buf + 244, im->root_slice);
	put64(buf + 248, 7);
	put64(buf + 256, im->commit_row);
	put32(buf + 320, im->extra);
	put64(buf + 512, im->claim - 1);
	memset(buf + 520, 0x77, 16);
	put_zones(im, IMG_SEG_COMMIT, buf + 896);
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_member(im, i, buf + 1152 + 128 * i);
	p = buf + 1152 + 128 * im->ndisks;
	if (im->extra) {
		put32(p, IMG_SEG_EXTRA);
		put32(p + 4, im->segs[IMG_SEG_EXTRA].generation);
		put_zones(im, IMG_SEG_EXTRA, p + 8);
	}
	hook(im, IMG_LABEL, disk, buf);
	memcpy(&bytes, buf + 12, 4);
	put32(buf + 8, crc32c(0, buf + 12, bytes - 12));
	for (unsigned end = 0; end < 2; end++)
		memcpy(im->disks[disk].mem +
			       ((end == 0 ? 0 : IMG_DISK_BLOCKS - 256) + 16 +
				(size_t)slot * 16) *
				       TARN_BLOCK,
		       buf, 65536);
	free(buf);
}

static void put_lease(struct image *im, uint32_t disk)
{
	uint8_t *p = im->disks[disk].mem + 3 * TARN_BLOCK;

	memcpy(p, "TARNLEA\1", 8);
	put32(p + 12, 1);
	memcpy(p + 16, &im->pool, 16);
	memcpy(p + 32, &im->disks[disk].uuid, 16);
	put64(p + 48, im->claim);
	memcpy(p + 56, &im->claim_id, 16);
	put64(p + 72, 99);
	put32(p + 128, 1);
	hook(im, IMG_LEASE, disk, p);
	put32(p + 8, crc32c(0, p + 12, TARN_BLOCK - 12));
}

void image_labels(struct image *im)
{
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_label(im, i);
}

/* --- the whole ------------------------------------------------------------ */

static int image_read(struct check_source *s, uint64_t off_bytes, void *buf,
		      size_t len_bytes)
{
	struct img_disk *d = container_of(s, struct img_disk, source);

	memcpy(buf, d->mem + off_bytes, len_bytes);
	return 0;
}

static struct image *image_new(uint32_t k, uint32_t m, img_hook fn, void *arg)
{
	struct image *im = calloc(1, sizeof(*im));

	im->k = k;
	im->m = m;
	im->ndisks = k + m;
	im->hook = fn;
	im->hook_arg = arg;
	memset(&im->pool, 0x11, 16);
	memset(&im->claim_id, 0x22, 16);
	im->claim = 5;
	im->label_no = 40;
	for (uint32_t i = 0; i < im->ndisks; i++) {
		struct img_disk *d = &im->disks[i];

		d->mem = calloc(IMG_DISK_BLOCKS, TARN_BLOCK);
		memset(&d->uuid, 0x80 + (int)i, 16);
		snprintf(d->name, sizeof(d->name), "d%u", i);
		d->source.name = d->name;
		d->source.size_bytes = (uint64_t)IMG_DISK_BLOCKS * TARN_BLOCK;
		d->source.read = image_read;
	}
	for (uint32_t s = 1; s < IMG_SEGS; s++) {
		im->segs[s].generation = 2 + s;
		im->segs[s].state = 1;
		im->segs[s].idx = calloc(1, 1 << 20);
	}
	im->segs[IMG_SEG_SEALED].state = 2;
	im->segs[IMG_SEG_FREE].state = 0;
	im->segs[IMG_SEG_QUARANTINED].state = 3;
	return im;
}

static void volumes_make(struct image *im)
{
	static const char *const names[IMG_VOLS] = { "alpha", "beta", "gone" };
	uint32_t node = 1;

	for (unsigned i = 0; i < IMG_VOLS; i++) {
		struct img_vol *v = &im->vols[i];

		v->id = i + 1;
		v->state = i == 2 ? 2 : 1;
		strcpy(v->name, names[i]);
		v->levels = i == 0;
		v->size_blocks = i == 0 ? 590 : 200;
		for (uint32_t l = 0; l < (i == 0 ? IMG_LEAVES : 1u); l++)
			v->leaf[l] = node++;
		v->root = i == 0 ? node++ : v->leaf[0];
	}
}

/* What happens after the commit: one record of each kind. */
static void log_after(struct image *im)
{
	uint8_t body[64] = { 0 };

	image_write(im, IMG_SEG_DATA, 0, 2, 3, 50);
	write_unmap(im, 0, 300, 10);
	write_move(im, 0, 550);
	put16(body, 5);
	memcpy(body + 2, "delta", 5);
	write_catalog(im, 258, im->vols[1].id, body, 7);
	strcpy(im->vols[1].name, "delta");
	memset(body, 0xff, 8);
	write_catalog(im, 260, im->vols[2].id, body, 8);
	im->vols[2].id = 0;
	for (uint32_t i = 0; i < IMG_VOL_BLOCKS; i++)
		entry_set(im, entry(im, 2, i), 0, 0, 0);
	im->flushed = im->row;
	image_row(im, IMG_SEG_DATA, NULL, 0, NULL);
	image_write(im, IMG_SEG_OPENABLE, 1, 100, 7, 51);
	image_write(im, IMG_SEG_DATA, 0, 589, 1, 52);
}

struct image *image_build(uint32_t k, uint32_t m, img_hook fn, void *arg)
{
	struct image *im = image_new(k, m, fn, arg);

	volumes_make(im);
	image_write(im, IMG_SEG_SEALED, 0, 0, 20, 1);
	image_write(im, IMG_SEG_SEALED, 0, 250, 12, 2);
	image_write(im, IMG_SEG_SEALED, 1, 7, 1, 3);
	image_write(im, IMG_SEG_SEALED, 2, 0, 5, 4);
	seal(im, IMG_SEG_SEALED);
	image_write(im, IMG_SEG_DATA, 0, 300, 30, 5);
	image_write(im, IMG_SEG_DATA, 0, 1, 2, 6);
	image_write(im, IMG_SEG_DATA, 0, 540, 33, 7);
	im->flushed = im->row;
	commit(im);
	log_after(im);
	image_labels(im);
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_lease(im, i);
	return im;
}

void image_free(struct image *im)
{
	for (uint32_t i = 0; i < im->ndisks; i++)
		free(im->disks[i].mem);
	for (uint32_t s = 0; s < IMG_SEGS; s++)
		free(im->segs[s].idx);
	free(im);
}
