/* tests/lib/image_commit.c - nodes, tables and root of a hand-made pool, and
 * the index of its sealed segment.  By offset, as in image_builder.c. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "tests/lib/image_builder.h"
#include "tests/lib/image_put.h"

/* --- nodes and pages ----------------------------------------------------- */

/* Write one block of the commit; returns its place. */
static uint64_t put_block(struct image *im, uint8_t type, uint32_t id,
			  uint64_t block, const uint8_t *buf)
{
	struct img_rec r = { .body = NULL };

	r.rec.type = type;
	r.rec.n = 1;
	r.rec.id = id;
	r.rec.block = block;
	return image_row(im, IMG_SEG_COMMIT, &r, 1, buf);
}

static void put_node(struct image *im, uint32_t id, uint32_t family,
		     uint64_t where, uint8_t *buf)
{
	image_hook(im, IMG_NODE, id, buf);
	im->node_crc[id] = crc32c(0, buf, TARN_BLOCK);
	im->node_place[id] = put_block(im, REC_NODE, id, where, buf);
	im->node_where[id] = where;
	im->node_family[id] = family;
	im->segs[IMG_SEG_COMMIT].live++;
}

static uint32_t birth_of(const struct image *im, uint32_t node)
{
	return im->node_birth[node] != 0 ? im->node_birth[node] : 1;
}

static void put_leaf(struct image *im, struct img_vol *v, uint32_t leaf)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	if (im->node_place[v->leaf[leaf]] != 0)
		return; /* of another tree as well */
	for (uint32_t i = 0; i < 256; i++) {
		uint64_t b = leaf * 256ull + i;
		uint8_t *p = buf + i * 16;

		if (b >= IMG_VOL_BLOCKS || v->map[b].place == 0)
			continue;
		put64(p, v->map[b].place);
		put32(p + 8, v->map[b].birth);
		put32(p + 12, v->map[b].crc);
	}
	put_node(im, v->leaf[leaf], v->family, leaf, buf);
}

static void put_tree(struct image *im, struct img_vol *v)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	for (uint32_t i = 0; i < IMG_LEAVES; i++) {
		if (v->leaf[i] != 0 && i >= v->cursor)
			put_leaf(im, v, i);
	}
	if (v->levels == 0 || v->root == 0 || im->node_place[v->root] != 0)
		return;
	for (uint32_t i = 0; i < IMG_LEAVES; i++) {
		put32(buf + 8 * i, v->leaf[i]);
		put32(buf + 8 * i + 4,
		      v->leaf[i] == 0 ? 0 : birth_of(im, v->leaf[i]));
	}
	put_node(im, v->root, v->family, 1ull << 56, buf);
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
	image_hook(im, IMG_PAGE, kind, buf);
	im->page_crc[kind] = crc32c(0, buf, TARN_BLOCK);
	im->page_place[kind] = put_block(im, REC_TABLE, kind, 0, buf);
}

static void put_index(struct image *im, uint32_t kind)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	put64(buf, im->page_place[kind]);
	put32(buf + 8, im->page_crc[kind]);
	image_hook(im, IMG_INDEX, kind, buf);
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
		put32(p + 20, birth_of(im, id));
		put64(p + 24, im->node_where[id]);
		map[id / 8] |= (uint8_t)(1 << id % 8);
	}
	put_page(im, TABLE_NODES, nodes);
	put_page(im, TABLE_NODE_MAP, map);
}

static void put_catalog(struct image *im)
{
	uint8_t buf[TARN_BLOCK] = { 0 };

	for (unsigned i = 0; i < IMG_SLOTS; i++) {
		const struct img_vol *v = &im->vols[i];
		uint8_t *p = buf + i * 512;

		if (v->id == 0)
			continue;
		put32(p, v->id);
		p[4] = v->kind;
		p[5] = v->state;
		p[6] = v->levels;
		p[7] = v->flags;
		memset(p + 8, 0x40 + (int)v->id, 16);
		put64(p + 24, v->size_blocks * TARN_BLOCK);
		put64(p + 32, 1700000000);
		put32(p + 40, v->family);
		put32(p + 44, v->root);
		put32(p + 48, v->birth);
		put32(p + 52, v->origin);
		put64(p + 56, vol_mapped(v));
		put64(p + 64, v->cursor);
		put16(p + 72, (uint16_t)strlen(v->name));
		put32(p + 76, v->volume);
		memcpy(p + 80, v->name, strlen(v->name));
	}
	put_page(im, TABLE_CATALOG, buf);
}

static void put_segments(struct image *im)
{
	uint8_t  buf[TARN_BLOCK] = { 0 };
	uint32_t stride = 32 + 8 * (im->k + im->m);

	put_text(buf, "TARNSEG\1", 8);
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
			image_put_zones(im, no, p + 32);
	}
	put_page(im, TABLE_SEGMENTS, buf);
}

/* All but nodes that is live. */
static uint64_t data_blocks(const struct image *im)
{
	uint64_t n = 0;

	for (uint32_t s = 1; s < IMG_SEGS; s++)
		n += s == IMG_SEG_COMMIT ? 0 : im->segs[s].live;
	return n;
}

static void put_root(struct image *im)
{
	uint8_t  buf[TARN_BLOCK] = { 0 };
	uint32_t pos = 200;
	uint64_t nodes = 0;
	struct img_rec r = { .rec = { .type = REC_ROOT, .n = 1, .block = 7 } };

	put_text(buf, "TARNROOT", 8);
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
	image_put_zones(im, IMG_SEG_COMMIT, buf + pos + 8);
	pos += 8 + 8 * (im->k + im->m);
	for (uint32_t id = 1; id < IMG_NODES; id++)
		nodes += im->node_place[id] != 0;
	put_text(buf + pos, "TARNVOLS", 8);
	put32(buf + pos + 8, im->nvols + 1);
	put32(buf + pos + 12, im->nvols);
	put64(buf + pos + 16, nodes);
	put64(buf + pos + 24, data_blocks(im));
	pos += 32;
	put32(buf + 12, pos);
	image_hook(im, IMG_ROOT, 0, buf);
	memcpy(&pos, buf + 12, 4); /* the hook may have changed it */
	pos = pos < 12 || pos > TARN_BLOCK ? TARN_BLOCK : pos;
	im->root_crc = crc32c(0, buf + 12, pos - 12);
	put32(buf + 8, im->root_crc);
	im->root_blocks = 1;
	im->root_slice = 1;
	im->root_place = image_row(im, IMG_SEG_COMMIT, &r, 1, buf);
}

void image_commit(struct image *im)
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

void image_seal(struct image *im, uint32_t seg)
{
	struct img_segment *s = &im->segs[seg];
	uint32_t bytes = 64 + s->idx_bytes;
	uint32_t blocks = (bytes + TARN_BLOCK - 1) / TARN_BLOCK;
	uint8_t *buf = calloc(blocks, TARN_BLOCK);

	s->index_off = IMG_ZONE_BLOCKS - blocks;
	put_text(buf, "TARNIDX\1", 8);
	put32(buf + 12, bytes);
	memcpy(buf + 16, &im->pool, 16);
	put32(buf + 32, seg);
	put32(buf + 36, s->generation);
	put32(buf + 40, s->idx_rows);
	put32(buf + 44, s->index_off);
	memcpy(buf + 64, s->idx, s->idx_bytes);
	image_hook(im, IMG_SEALED, seg, buf);
	put32(buf + 8, crc32c(0, buf + 12, bytes - 12));
	for (uint32_t u = 0; u < im->k + im->m; u++)
		memcpy(image_at(im, seg, u, s->index_off), buf,
		       (size_t)blocks * TARN_BLOCK);
	free(buf);
}
