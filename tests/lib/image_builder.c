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
#include "tests/lib/image_put.h"

/* --- where --------------------------------------------------------------- */

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

void image_pattern(uint32_t family, uint64_t block, uint32_t seed,
		   uint8_t *buf)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + block * 77 +
		     family;

	for (unsigned i = 0; i < TARN_BLOCK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put64(buf + i, x);
	}
}

/* --- parity, bit by bit -------------------------------------------------- */

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

/* --- rows ---------------------------------------------------------------- */

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
		if (r->type == REC_UNMAP || r->type == REC_MOVE ||
		    (r->type == REC_WRITE && (r->flags & 2) != 0)) {
			put64(p, r->ext);
			p += 8;
		}
		if (r->type == REC_CATALOG) {
			if (r->n > 0)
				memcpy(p, recs[i].body, r->n);
			p += (r->n + 7) / 8 * 8;
		}
		if (r->type != REC_UNMAP && r->type != REC_CATALOG)
			*ret_payload += r->n;
	}
	return (uint32_t)(p - buf);
}

/* The index has a part of each header. */
static void index_add(struct img_segment *s, const uint8_t *header)
{
	uint32_t crcs, nbytes, recs_off;
	uint16_t payload;
	uint8_t *p = s->idx + s->idx_bytes;

	memcpy(&payload, header + 88, 2);
	memcpy(&nbytes, header + 96, 4);
	memcpy(&recs_off, header + 100, 4);
	crcs = (4u * payload + 7) / 8 * 8;
	memcpy(p, header + 64, 8);
	memcpy(p + 8, header + 80, 4);
	memcpy(p + 12, header + 84, 2);
	memcpy(p + 14, header + 88, 2);
	memcpy(p + 16, header + 90, 2);
	memcpy(p + 18, header + 94, 2);
	put32(p + 20, nbytes);
	memcpy(p + 24, header + 160, 4u * payload);
	memcpy(p + 24 + crcs, header + recs_off, nbytes);
	s->idx_bytes += 24 + crcs + nbytes;
	s->idx_rows++;
}

uint64_t image_row(struct image *im, uint32_t seg, const struct img_rec *recs,
		   unsigned nrecs, const uint8_t *payload)
{
	struct img_segment *s = &im->segs[seg];
	uint8_t  list[8192] = { 0 }, *header, *units[POOL_UNITS_MAX], *mem;
	uint8_t *slices[POOL_UNITS_MAX];
	uint32_t npayload, bytes = recs_put(recs, nrecs, list, &npayload);
	uint32_t slice = (npayload + im->k - 1) / im->k;
	uint32_t recs_off = (160 + 4 * npayload + 7) / 8 * 8;
	uint32_t h = recs_off + bytes > TARN_BLOCK ? 2 : 1;
	size_t   len = (h + slice) * (size_t)TARN_BLOCK;
	uint64_t place = place_of(im, seg, 0, s->off + h);

	im->row++;
	header = calloc(h, TARN_BLOCK);
	mem = calloc(POOL_UNITS_MAX, len);
	for (uint32_t u = 0; u < POOL_UNITS_MAX; u++) {
		units[u] = mem + u * len;
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
	put_text(header, "TARNROW\1", 8);
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
	index_add(s, header);
	for (uint32_t u = 0; u < im->k + im->m; u++) {
		memcpy(units[u], header, (size_t)h * TARN_BLOCK);
		units[u][15] = im->k == 1 ? 0 : (uint8_t)u;
		image_hook(im, IMG_ROW, im->row << 8 | u, units[u]);
		put32(units[u] + 8,
		      crc32c(0, units[u] + 12, h * TARN_BLOCK - 12));
		image_hook(im, IMG_UNIT, im->row << 8 | u, units[u]);
		memcpy(image_at(im, seg, u, s->off), units[u], len);
	}
	free(mem);
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

/* How many trees have something at that place? */
static unsigned holders(const struct image *im, uint64_t place)
{
	unsigned n = 0;

	for (unsigned v = 0; v < IMG_VOLS && place != 0; v++) {
		for (unsigned b = 0; b < IMG_VOL_BLOCKS; b++)
			n += im->vols[v].map[b].place == place;
	}
	return n;
}

void image_entry_set(struct image *im, struct img_entry *e,
		     struct img_entry to)
{
	uint64_t old = e->place;

	if (to.place != 0 && holders(im, to.place) == 0)
		im->segs[(to.place >> IMG_ZONE_SHIFT) / im->k].live++;
	*e = to;
	if (old != 0 && holders(im, old) == 0)
		im->segs[(old >> IMG_ZONE_SHIFT) / im->k].live--;
}

void image_write(struct image *im, uint32_t seg, unsigned vol, uint64_t block,
		 unsigned n, uint32_t seed)
{
	uint8_t *buf = calloc(n, TARN_BLOCK);
	struct img_vol *v = &im->vols[vol];
	struct img_rec r = { .rec = { .type = REC_WRITE,
				      .n = (uint16_t)n,
				      .id = v->id,
				      .block = block } };
	uint64_t place;

	if (v->family != v->id) {
		r.rec.flags = 2;
		r.rec.ext = v->family;
	}
	for (unsigned i = 0; i < n; i++)
		image_pattern(v->family, block + i, seed,
			      buf + (size_t)i * TARN_BLOCK);
	place = image_row(im, seg, &r, 1, buf);
	for (unsigned i = 0; i < n; i++) {
		struct img_entry to = {
			.place = nth_place(im, place, i, n),
			.crc = crc32c(0, buf + (size_t)i * TARN_BLOCK,
				      TARN_BLOCK),
			.seed = seed,
			.birth = v->birth,
		};

		image_entry_set(im, &v->map[block + i], to);
	}
	free(buf);
}

void image_unmap(struct image *im, unsigned vol, uint64_t block, uint64_t n)
{
	struct img_vol *v = &im->vols[vol];
	struct img_rec r = { .rec = { .type = REC_UNMAP,
				      .id = v->id,
				      .block = block,
				      .ext = n } };

	image_row(im, IMG_SEG_DATA, &r, 1, NULL);
	for (uint64_t i = block; i < block + n && i < IMG_VOL_BLOCKS; i++)
		image_entry_set(im, &v->map[i], (struct img_entry){ 0 });
}

void image_move(struct image *im, unsigned vol, uint64_t block)
{
	struct img_entry e = im->vols[vol].map[block], to = e;
	uint8_t buf[TARN_BLOCK];
	struct img_rec r = { .rec = { .type = REC_MOVE,
				      .n = 1,
				      .id = im->vols[vol].family,
				      .block = block,
				      .ext = e.place } };

	memcpy(buf, image_at_place(im, e.place), TARN_BLOCK);
	to.place = image_row(im, IMG_SEG_DATA, &r, 1, buf);
	for (unsigned v = 0; v < IMG_VOLS; v++) {
		if (im->vols[v].map[block].place == e.place)
			image_entry_set(im, &im->vols[v].map[block], to);
	}
}

void image_catalog(struct image *im, uint32_t op, uint32_t vol,
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

/* --- the whole ----------------------------------------------------------- */

static int image_read(struct check_source *s, uint64_t off_bytes, void *buf,
		      size_t len_bytes)
{
	struct img_disk *d = container_of(s, struct img_disk, source);

	memcpy(buf, d->mem + off_bytes, len_bytes);
	return 0;
}

struct image *image_new(uint32_t k, uint32_t m, img_hook fn, void *arg)
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
	static const char *const names[] = { "alpha", "beta", "gone" };
	uint32_t node = 1;

	im->nvols = 3;
	for (unsigned i = 0; i < im->nvols; i++) {
		struct img_vol *v = &im->vols[i];

		v->id = i + 1;
		v->family = v->id;
		v->kind = 1;
		v->birth = 1;
		v->state = i == 2 ? 2 : 1;
		snprintf(v->name, sizeof(v->name), "%s", names[i]);
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
	image_unmap(im, 0, 300, 10);
	image_move(im, 0, 550);
	put16(body, 5);
	put_text(body + 2, "delta", 5);
	image_catalog(im, 258, im->vols[1].id, body, 7);
	snprintf(im->vols[1].name, sizeof(im->vols[1].name), "delta");
	memset(body, 0xff, 8);
	image_catalog(im, 260, im->vols[2].id, body, 8);
	im->vols[2].id = 0;
	for (uint32_t i = 0; i < IMG_VOL_BLOCKS; i++)
		image_entry_set(im, &im->vols[2].map[i],
				(struct img_entry){ 0 });
	im->flushed = im->row;
	image_row(im, IMG_SEG_DATA, NULL, 0, NULL);
	image_write(im, IMG_SEG_OPENABLE, 1, 100, 7, 51);
	image_write(im, IMG_SEG_DATA, 0, 589, 1, 52);
}

static struct image *build(uint32_t k, uint32_t m, img_hook fn, void *arg,
			   bool closed)
{
	struct image *im = image_new(k, m, fn, arg);

	volumes_make(im);
	image_write(im, IMG_SEG_SEALED, 0, 0, 20, 1);
	image_write(im, IMG_SEG_SEALED, 0, 250, 12, 2);
	image_write(im, IMG_SEG_SEALED, 1, 7, 1, 3);
	image_write(im, IMG_SEG_SEALED, 2, 0, 5, 4);
	image_seal(im, IMG_SEG_SEALED);
	image_write(im, IMG_SEG_DATA, 0, 300, 30, 5);
	image_write(im, IMG_SEG_DATA, 0, 1, 2, 6);
	image_write(im, IMG_SEG_DATA, 0, 540, 33, 7);
	im->flushed = im->row;
	image_commit(im);
	if (closed)
		im->label_flags = 2;
	else
		log_after(im);
	image_labels(im);
	image_leases(im);
	return im;
}

struct image *image_build(uint32_t k, uint32_t m, img_hook fn, void *arg)
{
	return build(k, m, fn, arg, false);
}

struct image *image_build_closed(uint32_t k, uint32_t m, img_hook fn,
				 void *arg)
{
	return build(k, m, fn, arg, true);
}

void image_free(struct image *im)
{
	for (uint32_t i = 0; i < im->ndisks; i++)
		free(im->disks[i].mem);
	for (uint32_t s = 0; s < IMG_SEGS; s++)
		free(im->segs[s].idx);
	free(im);
}
