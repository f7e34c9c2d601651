/* tools/check/check_segment.c - the segment table: what every zone is for. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "tools/check/check_state.h"

struct ck_segment *ck_seg(struct ck *ck, uint32_t no)
{
	if (ck->segs != NULL && no >= 1 && no <= ck->nsegs &&
	    ck->segs[no - 1].state != SEG_DISK_FREE)
		return &ck->segs[no - 1];
	for (uint32_t i = 0; i < ck->nboot; i++) {
		if (ck->boot[i].no == no &&
		    (ck->segs == NULL || ck->boot[i].extra ||
		     ck_seg_unknown(ck, no)))
			return &ck->boot[i];
	}
	return NULL;
}

bool ck_seg_unknown(const struct ck *ck, uint32_t no)
{
	return ck->segs != NULL && no >= 1 && no <= ck->nsegs &&
	       ck->segs[no - 1].unknown;
}

static void entry_decode(const struct ck *ck, const uint8_t *p,
			 struct ck_segment *s)
{
	const struct seg_entry *e = (const struct seg_entry *)p;
	const struct seg_zone *z = (const struct seg_zone *)(p + sizeof(*e));

	s->generation = le32_get(e->generation);
	s->state = e->state;
	s->flags = e->flags;
	s->live = le32_get(e->live);
	s->scan_from = le32_get(e->scan_from);
	s->missing = le32_get(e->missing);
	s->index_off = le32_get(e->index_off);
	s->claim = le64_get(e->claim);
	for (uint32_t u = 0; u < ck->units; u++) {
		s->zones[u].member = le32_get(z[u].member);
		s->zones[u].zone = le32_get(z[u].zone);
	}
}

static void entry_check(struct ck *ck, const struct ck_segment *s)
{
	if ((s->flags & ~SEG_FLAG_DAMAGED) != 0 ||
	    (s->flags != 0 && s->state == SEG_DISK_FREE))
		ck_error(ck, "segment %" PRIu32 ": flags %u that it cannot "
			 "have", s->no, s->flags);
	if (s->state == SEG_DISK_FREE) {
		if (s->live != 0)
			ck_error(ck, "segment %" PRIu32 " is free, but the "
				 "table counts %" PRIu32 " live blocks in it",
				 s->no, s->live);
		return;
	}
	if (s->generation == 0)
		ck_error(ck, "segment %" PRIu32 " is in use with generation 0",
			 s->no);
	if (s->live > (uint64_t)ck->k << ck->zone_shift)
		ck_error(ck, "segment %" PRIu32 ": %" PRIu32 " live blocks do "
			 "not fit into it", s->no, s->live);
	if (s->scan_from > ck->zone_blocks)
		ck_error(ck, "segment %" PRIu32 ": to be scanned from block "
			 "%" PRIu32 ", behind its zones' end", s->no,
			 s->scan_from);
	if (s->index_off != 0 && s->state == SEG_DISK_OPENABLE)
		ck_error(ck, "segment %" PRIu32 " is open and has an index",
			 s->no);
	if (s->state == SEG_DISK_RESERVED && s->live != 0)
		ck_error(ck, "segment %" PRIu32 " is a zone for rebuilding, "
			 "but the table counts %" PRIu32 " live blocks in it",
			 s->no, s->live);
	if (s->missing >> ck->units != 0)
		ck_error(ck, "segment %" PRIu32 ": units beyond k+m are "
			 "marked missing", s->no);
}

static bool same_domain(const struct ck *ck, uint32_t a, uint32_t b)
{
	if (a == b)
		return true;
	if ((ck->label->flags & LABEL_FLAG_DOMAIN_DISK) != 0)
		return false;
	return strcmp(ck->members[a].domain, ck->members[b].domain) == 0;
}

/* The zones of one segment; owner[member] maps its zones to segments. */
static void zones_check(struct ck *ck, struct ck_segment *s, uint32_t **owner)
{
	for (uint32_t u = 0; u < ck->units; u++) {
		struct ck_zone *z = &s->zones[u];

		if (z->member == CK_NO_MEMBER) {
			if ((s->missing >> u & 1) == 0 &&
			    s->state != SEG_DISK_QUARANTINED &&
			    s->state != SEG_DISK_RESERVED)
				ck_error(ck, "segment %" PRIu32 ": unit "
					 "%" PRIu32 " has no zone and is not "
					 "marked missing", s->no, u);
			continue;
		}
		if (z->member >= ck->nmembers ||
		    z->zone >= ck->members[z->member].zones) {
			ck_error(ck, "segment %" PRIu32 ": unit %" PRIu32
				 " is said to be in zone %" PRIu32
				 " of member %" PRIu32 ", which does not "
				 "exist", s->no, u, z->zone, z->member);
			z->member = CK_NO_MEMBER;
			continue;
		}
		if (owner[z->member][z->zone] != 0)
			ck_error(ck, "%s, zone %" PRIu32 " is owned by "
				 "segments %" PRIu32 " and %" PRIu32,
				 ck_member_text(ck, z->member).s, z->zone,
				 owner[z->member][z->zone], s->no);
		else
			ck->rep->zones_used++;
		owner[z->member][z->zone] = s->no;
		for (uint32_t v = 0; v < u; v++) {
			if (s->zones[v].member != CK_NO_MEMBER &&
			    same_domain(ck, z->member, s->zones[v].member))
				ck_error(ck, "segment %" PRIu32 ": units "
					 "%" PRIu32 " and %" PRIu32 " are in "
					 "the same domain: losing it loses "
					 "both", s->no, v, u);
		}
	}
}

static void state_count(struct ck *ck, const struct ck_segment *s)
{
	struct check_report *rep = ck->rep;

	rep->segments++;
	switch (s->state) {
	case SEG_DISK_FREE:
		rep->segments_free++;
		break;
	case SEG_DISK_OPENABLE:
		rep->segments_open++;
		break;
	case SEG_DISK_SEALED:
		rep->segments_sealed++;
		break;
	case SEG_DISK_QUARANTINED:
	case SEG_DISK_RESERVED:
		rep->segments_quarantined++;
		break;
	default:
		break;
	}
}

static void page_check(struct ck *ck, uint32_t page, uint32_t nentries)
{
	const struct seg_page_header *h = (const struct seg_page_header *)
		ck_table_page(ck, TABLE_SEGMENTS, page);

	if (memcmp(h->magic, SEG_PAGE_MAGIC, sizeof(h->magic)) != 0 ||
	    le32_get(h->page) != page ||
	    !uuid_equal(&h->pool, &ck->label->pool))
		ck_error(ck, "page %" PRIu32 " of the segment table is not "
			 "that page (misplaced, or of another pool)", page);
	if (le32_get(h->nentries) != nentries)
		ck_error(ck, "page %" PRIu32 " of the segment table has "
			 "%" PRIu32 " entries, the root says %" PRIu32, page,
			 le32_get(h->nentries), nentries);
}

static int table_decode(struct ck *ck, uint32_t **owner)
{
	uint32_t per = seg_entries_per_page(ck->k, ck->m);
	uint32_t stride = seg_entry_stride(ck->k, ck->m);

	for (uint32_t i = 0; i < ck->nsegs; i++) {
		struct ck_segment *s = &ck->segs[i];
		const uint8_t *p = ck_table_page(ck, TABLE_SEGMENTS, i / per);

		s->no = i + 1;
		if (p == NULL) {
			s->unknown = true;
			if (i % per == 0 &&
			    !ck_table_lost(ck, TABLE_SEGMENTS, i / per))
				ck_error(ck, "page %" PRIu32 " of the segment "
					 "table was never written", i / per);
			continue;
		}
		if (i % per == 0)
			page_check(ck, i / per, min_u32(per, ck->nsegs - i));
		entry_decode(ck,
			     p + sizeof(struct seg_page_header) +
				     (size_t)(i % per) * stride,
			     s);
		if (s->state > SEG_DISK_RESERVED) {
			ck_error(ck, "segment %" PRIu32 ": unknown state %u",
				 s->no, s->state);
			s->state = SEG_DISK_QUARANTINED;
		}
		entry_check(ck, s);
		state_count(ck, s);
		if (s->state != SEG_DISK_FREE)
			zones_check(ck, s, owner);
	}
	return 0;
}

/* Holds the segment something that a recovery must keep? */
static bool in_use(const struct ck_segment *s)
{
	return (s->state == SEG_DISK_OPENABLE || s->state == SEG_DISK_SEALED) &&
	       (s->live > 0 ||
		(s->state == SEG_DISK_OPENABLE && s->scan_from > 0));
}

/* A segment of the label's list.  Recoveries that came to no commit of their
 * own took numbers and zones of whatever the commit lists as openable and they
 * found empty, and each one may have taken what the one before had. */
static void extra_check(struct ck *ck, const struct ck_segment *x,
			uint32_t **owner)
{
	if (x->no >= 1 && x->no <= ck->nsegs && in_use(&ck->segs[x->no - 1]))
		ck_error(ck, "segment %" PRIu32 " was opened by a recovery "
			 "though the commit uses it", x->no);
	for (uint32_t u = 0; u < ck->units; u++) {
		const struct ck_zone *z = &x->zones[u];
		uint32_t no;

		if (z->member >= ck->nmembers ||
		    z->zone >= ck->members[z->member].zones)
			continue;
		no = owner[z->member][z->zone];
		if (no != 0 && in_use(&ck->segs[no - 1]))
			ck_error(ck, "%s, zone %" PRIu32 " was used by a "
				 "recovery, as segment %" PRIu32 ", though "
				 "segment %" PRIu32 " of the commit is there",
				 ck_member_text(ck, z->member).s, z->zone,
				 x->no, no);
	}
}

/* What was believed before the table was known must be what it says. */
static void boot_compare(struct ck *ck, uint32_t **owner)
{
	for (uint32_t i = 0; i < ck->nboot; i++) {
		struct ck_segment *b = &ck->boot[i];
		struct ck_segment *s = b->no >= 1 && b->no <= ck->nsegs ?
					       &ck->segs[b->no - 1] :
					       NULL;

		if (s != NULL && s->unknown)
			continue;
		if (s != NULL && s->state != SEG_DISK_FREE &&
		    s->generation == b->generation &&
		    memcmp(s->zones, b->zones,
			   ck->units * sizeof(s->zones[0])) == 0)
			b->extra = false;
		else if (!b->extra)
			ck_error(ck, "segment %" PRIu32 " holds the root or "
				 "the segment table, but the segment table "
				 "gives it other zones or another state",
				 b->no);
		else
			extra_check(ck, b, owner);
	}
}

int ck_segments(struct ck *ck)
{
	const struct root_header *h = (const struct root_header *)ck->root;
	uint32_t per = seg_entries_per_page(ck->k, ck->m);
	uint32_t **owner = ck_alloc(ck, ck->nmembers, sizeof(*owner));
	int r = owner == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; i < ck->nmembers && r == 0; i++) {
		owner[i] = ck_alloc(ck, ck->members[i].zones,
				    sizeof(*owner[i]));
		r = owner[i] == NULL ? -ENOMEM : 0;
	}
	if (r == 0 && ck->rooted) {
		ck->nsegs = le32_get(h->nsegments);
		if (div_up(ck->nsegs, per) !=
		    ck->tables[TABLE_SEGMENTS].npages) {
			ck_error(ck, "the root says %" PRIu32 " segments in "
				 "%" PRIu32 " pages, which does not fit",
				 ck->nsegs, ck->tables[TABLE_SEGMENTS].npages);
			ck->nsegs = min_u32(
				ck->nsegs,
				ck->tables[TABLE_SEGMENTS].npages * per);
		}
		ck->segs = ck_alloc(ck, ck->nsegs, sizeof(*ck->segs));
		r = ck->segs == NULL ? -ENOMEM : table_decode(ck, owner);
		if (r == 0)
			boot_compare(ck, owner);
	}
	ck->rep->zones_free = ck->rep->zones - ck->rep->zones_used;
	for (uint32_t i = 0; owner != NULL && i < ck->nmembers; i++)
		free(owner[i]);
	free(owner);
	return r;
}

/* --- zones that may not be used ------------------------------------------ */

/* A segment that the commit lists as openable and in which nothing is, the next
 * recovery may use.  What the commit's owner may have sent to it, it expects;
 * nobody else's writes. */
static uint64_t zone_sender(const struct ck *ck, const struct ck_segment *s)
{
	return !s->extra && s->state == SEG_DISK_OPENABLE && s->nrows == 0 &&
			       !in_use(s) && ck->claim_known ?
		       ck->commit_claim.no :
		       0;
}

static void zones_report(const struct ck *ck, const struct ck_segment *s)
{
	for (uint32_t u = 0; u < ck->units; u++) {
		const struct ck_zone *z = &s->zones[u];
		int disk;

		if (z->member >= ck->nmembers ||
		    z->zone >= ck->members[z->member].zones)
			continue;
		disk = ck->members[z->member].disk;
		if (disk != CK_NO_DISK)
			ck->opt->zone(ck->opt->arg, (unsigned)disk,
				      LABEL_AREA_BLOCKS + ((uint64_t)z->zone
							   << ck->zone_shift),
				      ck->zone_blocks, zone_sender(ck, s));
	}
}

/* What is not let in again is used for nothing. */
static bool never_used(const struct ck_member *m)
{
	return m->disk != CK_NO_DISK &&
	       (m->state == LABEL_MEMBER_REMOVED ||
		(m->state == LABEL_MEMBER_OUT &&
		 (m->flags & LABEL_MEMBER_GONE) != 0));
}

void ck_zones_report(const struct ck *ck)
{
	if (ck->opt->zone == NULL)
		return;
	for (uint32_t i = 0; i < ck->nmembers; i++) {
		const struct ck_member *m = &ck->members[i];

		if (never_used(m))
			ck->opt->zone(ck->opt->arg, (unsigned)m->disk, 0,
				      (uint32_t)m->size_blocks, 0);
	}
	for (uint32_t i = 0; i < ck->nsegs; i++) {
		if (ck->segs[i].state != SEG_DISK_FREE)
			zones_report(ck, &ck->segs[i]);
	}
	for (uint32_t i = 0; i < ck->nboot; i++) {
		if (ck->boot[i].extra)
			zones_report(ck, &ck->boot[i]);
	}
}
