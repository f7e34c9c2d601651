/* tests/lib/image_label.c - labels and leases of a hand-made pool.  By offset,
 * as in image_builder.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "tests/lib/image_builder.h"
#include "tests/lib/image_put.h"

void image_put_zones(const struct image *im, uint32_t seg, uint8_t *p)
{
	for (uint32_t u = 0; u < im->k + im->m; u++) {
		uint32_t disk, zone;

		image_zone(im, seg, u, &disk, &zone);
		put32(p + 8 * u, disk);
		put32(p + 8 * u + 4, zone);
	}
}

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

	put_text(buf, "TARNLBL\1", 8);
	put32(buf + 12, bytes);
	put32(buf + 16, 1);
	put32(buf + 20, slot);
	memcpy(buf + 48, &im->pool, 16);
	memcpy(buf + 64, &im->disks[disk].uuid, 16);
	put64(buf + 80, im->claim);
	memcpy(buf + 88, &im->claim_id, 16);
	put64(buf + 104, im->label_no);
	put_text(buf + 112, "tiny", 4);
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
	image_put_zones(im, IMG_SEG_COMMIT, buf + 896);
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_member(im, i, buf + 1152 + 128 * i);
	p = buf + 1152 + 128 * im->ndisks;
	if (im->extra) {
		put32(p, IMG_SEG_EXTRA);
		put32(p + 4, im->segs[IMG_SEG_EXTRA].generation);
		image_put_zones(im, IMG_SEG_EXTRA, p + 8);
	}
	image_hook(im, IMG_LABEL, disk, buf);
	memcpy(&bytes, buf + 12, 4); /* the hook may have changed it */
	bytes = bytes < 12 || bytes > 65536 ? 65536 : bytes;
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

	put_text(p, "TARNLEA\1", 8);
	put32(p + 12, 1);
	memcpy(p + 16, &im->pool, 16);
	memcpy(p + 32, &im->disks[disk].uuid, 16);
	put64(p + 48, im->claim);
	memcpy(p + 56, &im->claim_id, 16);
	put64(p + 72, 99);
	put32(p + 128, 1);
	image_hook(im, IMG_LEASE, disk, p);
	put32(p + 8, crc32c(0, p + 12, TARN_BLOCK - 12));
}

void image_labels(struct image *im)
{
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_label(im, i);
}

void image_leases(struct image *im)
{
	for (uint32_t i = 0; i < im->ndisks; i++)
		put_lease(im, i);
}
