/* pool/segment_table.c - the segment table on disk: its pages, to and fro.
 *
 * A commit encodes every segment as it was when the state was frozen, since
 * rows go on meanwhile; a recovery decodes the pages into slots and takes the
 * zones that they name.
 *
 * The ways to fail, of decoding only: -EBADMSG and a sentence for what cannot
 * be (a zone out of range or owned twice, an unknown state, an impossible
 * count), for the pages come from disks.  The format: segment_format.h.
 */
#include "pool/segment_format.h"

#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

uint32_t seg_pages(const struct pool *p)
{
	return (uint32_t)div_up(p->nsegs, seg_entries_per_page(p->k, p->m));
}

static void entry_encode(const struct pool *p, struct segment *s,
			 uint8_t *buf)
{
	struct seg_entry e;

	s->missing_frozen = s->missing;

	memset(&e, 0, sizeof(e));
	e.generation = le32_of(s->generation);
	e.state = s->frozen_state;
	if (s->frozen_state != SEG_DISK_FREE && damage_in_seg(p, s))
		e.flags = SEG_FLAG_DAMAGED;
	/* One that was found to be counted wrong never becomes free. */
	e.live = le32_of(max_u32(min_u32(s->live_frozen, seg_live_max(p)),
				 s->miscounted));
	e.scan_from = le32_of(s->scan_from);
	e.missing = le32_of(s->missing);
	e.index_off = le32_of(s->frozen_index_off);
	e.claim = le64_of(s->claim |
			  ((seg_is_stray(p, s) || s->trim != 0 ||
			    s->trimming != 0) && !CANARY(stray_unrecorded) ?
				   SEG_CLAIM_STRAY : 0));
	memcpy(buf, &e, sizeof(e));
	buf += sizeof(e);
	for (uint32_t u = 0; u < p->units; u++) {
		struct seg_zone z = {.member = le32_of(s->zones[u].member),
				     .zone = le32_of(s->zones[u].zone)};

		memcpy(buf + u * sizeof(z), &z, sizeof(z));
	}
}

void seg_page_encode(const struct pool *p, uint32_t page, uint8_t *buf)
{
	uint32_t               per = seg_entries_per_page(p->k, p->m);
	uint32_t               stride = seg_entry_stride(p->k, p->m);
	uint32_t               first = 1 + page * per;
	struct seg_page_header h;
	uint32_t               n = 0;

	memset(buf, 0, TARN_BLOCK);
	while (n < per && first + n <= p->commit.nsegments) {
		entry_encode(p, p->segs[first + n],
			     buf + sizeof(h) + n * stride);
		n++;
	}
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, SEG_PAGE_MAGIC, sizeof(h.magic));
	h.page = le32_of(page);
	h.nentries = le32_of(n);
	h.pool = p->uuid;
	memcpy(buf, &h, sizeof(h));
}

static const char *entry_zones(struct pool *p, struct segment *s,
			       const uint8_t *buf)
{
	for (uint32_t u = 0; u < p->units; u++) {
		struct seg_zone z;

		memcpy(&z, buf + u * sizeof(z), sizeof(z));
		s->zones[u].member = le32_get(z.member);
		s->zones[u].zone = le32_get(z.zone);
		if (s->zones[u].member == ZONE_NONE)
			continue;
		if (s->zones[u].member >= p->nmembers ||
		    s->zones[u].zone >=
			    p->members[s->zones[u].member]->zones)
			return "a zone out of range";
		if (bitmap_test(p->members[s->zones[u].member]->zone_map,
				s->zones[u].zone))
			return "a zone that two segments own";
		zone_take(p, &s->zones[u]);
	}
	return NULL;
}

static const char *entry_decode(struct pool *p, uint32_t no,
				const uint8_t *buf)
{
	struct segment  *s = seg_slot(p, no);
	struct seg_entry e;
	const char      *why;

	if (s == NULL)
		return "too little memory";
	memcpy(&e, buf, sizeof(e));
	s->generation = le32_get(e.generation);
	s->live = le32_get(e.live);
	s->missing = le32_get(e.missing);
	s->scan_from = le32_get(e.scan_from);
	s->index_off = le32_get(e.index_off);
	s->claim = le64_get(e.claim) & ~SEG_CLAIM_STRAY;
	s->write_off = p->zone_blocks;
	if (s->scan_from > p->zone_blocks || s->index_off >= p->zone_blocks)
		return "an offset out of range";
	switch (e.state) {
	case SEG_DISK_FREE:
		s->state = SEG_FREE;
		s->live = 0;
		s->missing = 0;
		s->claim = 0;
		for (uint32_t u = 0; u < p->units; u++)
			s->zones[u].member = ZONE_NONE;
		return NULL;
	case SEG_DISK_OPENABLE:
		s->state = SEG_OPENABLE;
		break;
	case SEG_DISK_SEALED:
		s->state = SEG_SEALED;
		break;
	case SEG_DISK_QUARANTINED:
		s->state = SEG_QUARANTINED;
		break;
	case SEG_DISK_RESERVED:
		/* Its owner may have written to it until a moment ago. */
		s->state = SEG_QUARANTINED;
		s->reserved = true;
		seg_stray_mark(p, s);
		break;
	default:
		return "an unknown state";
	}
	if (s->live > seg_live_max(p))
		return "an impossible live count";
	if (s->live > 0 && s->state == SEG_QUARANTINED)
		return "live blocks in a quarantined segment";
	if (s->missing >> p->units != 0)
		return "a missing unit that there is not";
	/* The index is smaller than the rows that it lists: one that is not
	 * is not looked at, for it would have to fit into memory. */
	if (s->index_off < p->zone_blocks / 2 - 1)
		s->index_off = 0;
	/* Nobody knows how long ago that was; and the clock of what is in
	 * quarantine must run. */
	if (le64_get(e.claim) & SEG_CLAIM_STRAY || s->state == SEG_QUARANTINED)
		seg_stray_mark(p, s);
	p->live_total += s->live;
	if (e.flags & SEG_FLAG_DAMAGED && s->live > 0)
		damage_seg_loaded(p, s);
	why = entry_zones(p, s, buf + sizeof(e));
	/* They may have been trimmed, or not. */
	if (why == NULL && s->state == SEG_QUARANTINED)
		seg_trim_want(p, s);
	return why;
}

int seg_page_decode(struct pool *p, uint32_t page, uint32_t nsegments,
		    const uint8_t *buf, const char **ret_why)
{
	uint32_t               per = seg_entries_per_page(p->k, p->m);
	uint32_t               stride = seg_entry_stride(p->k, p->m);
	struct seg_page_header h;
	uint32_t               n;

	memcpy(&h, buf, sizeof(h));
	n = le32_get(h.nentries);
	*ret_why = "it is not a segment page";
	if (memcmp(h.magic, SEG_PAGE_MAGIC, sizeof(h.magic)) != 0 ||
	    le32_get(h.page) != page || !uuid_equal(&h.pool, &p->uuid) ||
	    n != min_u32(per, nsegments - page * per))
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		*ret_why = entry_decode(p, 1 + page * per + i,
					buf + sizeof(h) + i * stride);
		if (*ret_why != NULL)
			return -EBADMSG;
	}
	return 0;
}
