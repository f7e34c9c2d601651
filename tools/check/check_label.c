/* tools/check/check_label.c - which disks these are, and what their labels
 * say.
 *
 * Of each disk both label areas are read and every slot of both is validated.
 * The newest label by (claim, number) of all disks is the pool's; a disk
 * counts as a member when that label's table has it and its own newest claim
 * is the same one or an ancestor of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_state.h"

#define AREA_BYTES ((size_t)LABEL_AREA_BLOCKS * TARN_BLOCK)
#define SLOT_BLOCKS (LABEL_SLOT_BYTES / TARN_BLOCK)

/* What was found in a slot of an area. */
enum slot_state {
	SLOT_EMPTY,   /* zeros, or nothing of ours */
	SLOT_DAMAGED,
	SLOT_VALID,
};

struct slot {
	uint8_t          state;
	struct ck_label *label;
	const char      *why;
};

/* The areas of one disk. */
struct areas {
	uint8_t    *buf[2];   /* head and tail */
	bool        read[2];
	uint64_t    tail;     /* block where the tail was looked for */
	struct slot slots[2][LABEL_SLOTS];
};

static int label_order(const struct ck_label *a, const struct ck_label *b)
{
	if (a->claim.no != b->claim.no)
		return a->claim.no < b->claim.no ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

static int area_decode(struct ck *ck, struct areas *a, unsigned end)
{
	for (uint32_t s = 0; s < LABEL_SLOTS; s++) {
		struct slot *slot = &a->slots[end][s];
		const uint8_t *p =
			a->buf[end] + (LABEL_FIRST_BLOCK + s * SLOT_BLOCKS) *
					      (size_t)TARN_BLOCK;
		bool zero = p[0] == 0 &&
			    memcmp(p, p + 1, TARN_BLOCK - 1) == 0;
		int  r = ck_label_decode(p, s, &slot->label, &slot->why);

		if (r == -ENOMEM)
			return r;
		if (r == -ENOTSUP)
			ck_error(ck, "a label in slot %" PRIu32 ": %s; use a "
				 "newer tarn-check", s, slot->why);
		if (r == -ENOTSUP)
			return r;
		slot->state = r == 0 ? SLOT_VALID :
			      zero   ? SLOT_EMPTY :
				       SLOT_DAMAGED;
	}
	return 0;
}

/* The newest valid label of the areas read up to now. */
static struct ck_label *areas_newest(const struct areas *a)
{
	struct ck_label *best = NULL;

	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		const struct slot *s =
			&a->slots[i / LABEL_SLOTS][i % LABEL_SLOTS];

		if (s->state == SLOT_VALID &&
		    (best == NULL || label_order(s->label, best) > 0))
			best = s->label;
	}
	return best;
}

/* The tail area: where the head's label says, else where the disk's size
 * lets it be. */
static int tail_read(struct ck *ck, uint32_t disk, struct areas *a)
{
	const struct ck_label *l = areas_newest(a);
	uint64_t blocks = ck->disks[disk].src->size_bytes / TARN_BLOCK;
	uint64_t at[3] = { l != NULL ? l->size_blocks : blocks,
			   blocks, blocks / LABEL_AREA_BLOCKS *
					   LABEL_AREA_BLOCKS };
	int r;

	for (unsigned i = 0; i < (l != NULL ? 1u : 3u); i++) {
		if (at[i] < 2ull * LABEL_AREA_BLOCKS || at[i] > blocks)
			continue;
		a->tail = at[i] - LABEL_AREA_BLOCKS;
		a->read[1] = ck_read_disk(ck, disk, a->tail, a->buf[1],
					  LABEL_AREA_BLOCKS) == 0;
		if (!a->read[1])
			continue;
		r = area_decode(ck, a, 1);
		if (r < 0)
			return r;
		if (areas_newest(a) != NULL)
			break;
	}
	return 0;
}

/* A crash may tear the label being written, at either end, and a torn slot
 * stays until its turn comes again.  Only the newest label of a pool that was
 * closed cleanly is known to have been written whole. */
static enum check_severity slot_severity(const struct ck_label *newest,
					 uint32_t s)
{
	bool top = s == newest->claim.no % 4 * 2 + newest->number % 2;

	return top && (newest->flags & LABEL_FLAG_RELEASED) != 0 ?
		       CHECK_DAMAGE :
		       CHECK_INFO;
}

static void slots_report(struct ck *ck, uint32_t disk, const struct areas *a,
			 const struct ck_label *newest)
{
	static const char *const end_name[] = { "first", "last" };
	const char *name = ck->disks[disk].src->name;
	uint32_t    top = (uint32_t)(newest->claim.no % 4 * 2 +
				     newest->number % 2);

	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		unsigned end = i / LABEL_SLOTS;
		uint32_t s = i % LABEL_SLOTS;
		const struct slot *slot = &a->slots[end][s];
		const struct slot *twin = &a->slots[1 - end][s];

		if (!a->read[end])
			continue;
		if (slot->state == SLOT_VALID) {
			ck->rep->labels_valid++;
			if (s == top && label_order(slot->label, newest) != 0)
				ck_info(ck, "disk %s: label %" PRIu64
					" was written to one end only: the "
					"%s MiB has label %" PRIu64, name,
					newest->number, end_name[end],
					slot->label->number);
		} else if (slot->state == SLOT_DAMAGED) {
			ck->rep->labels_damaged++;
			ck_say(ck, slot_severity(newest, s),
			       "disk %s: label slot %" PRIu32 " of its %s MiB "
			       "is damaged: %s", name, s, end_name[end],
			       slot->why);
		} else if (twin->state == SLOT_VALID && s == top) {
			ck_say(ck, slot_severity(newest, s),
			       "disk %s: label slot %" PRIu32 " of its %s MiB "
			       "is empty; the other end has the newest label "
			       "there", name, s, end_name[end]);
		}
	}
}

static bool area_zero(const uint8_t *buf, uint32_t from, uint32_t to)
{
	const uint8_t *p = buf + (size_t)from * TARN_BLOCK;
	size_t n = (size_t)(to - from) * TARN_BLOCK;

	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static void areas_report(struct ck *ck, uint32_t disk, const struct areas *a,
			 const struct ck_label *newest)
{
	const char *name = ck->disks[disk].src->name;

	if (!a->read[0])
		ck_damage(ck, "disk %s: its first MiB cannot be read", name);
	if (!a->read[1])
		ck_damage(ck, "disk %s: its last MiB (block %" PRIu64
			  ") cannot be read", name,
			  newest->size_blocks - LABEL_AREA_BLOCKS);
	slots_report(ck, disk, a, newest);
	for (unsigned end = 0; end < 2; end++) {
		if (a->read[end] &&
		    !area_zero(a->buf[end],
			       LABEL_FIRST_BLOCK + LABEL_SLOTS * SLOT_BLOCKS,
			       LABEL_AREA_BLOCKS))
			ck_damage(ck, "disk %s: the reserved end of its %s "
				  "label area is not zero: something was "
				  "written over it", name,
				  end == 0 ? "first" : "last");
	}
}

/* All slots agree with the newest one about what never changes. */
static void slots_compare(struct ck *ck, uint32_t disk, const struct areas *a,
			  const struct ck_label *newest)
{
	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		const struct ck_label *l =
			a->slots[i / LABEL_SLOTS][i % LABEL_SLOTS].label;

		if (l == NULL || uuid_equal(&l->disk, &newest->disk))
			continue;
		/* It was a member under another name once, and was wiped when
		 * it was added again: that write was lost. */
		if (uuid_equal(&l->pool, &newest->pool) &&
		    label_order(l, newest) < 0) {
			ck_damage(ck, "disk %s: label slot %u is of a time "
				  "before the disk was added",
				  ck->disks[disk].src->name, i % LABEL_SLOTS);
			continue;
		}
		ck_error(ck, "disk %s: label slot %u is of another disk; was "
			 "one disk copied onto another?",
			 ck->disks[disk].src->name, i % LABEL_SLOTS);
	}
}

/* A disk without a single valid label: what was found instead? */
static void damaged_report(struct ck *ck, uint32_t disk, const struct areas *a)
{
	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		const struct slot *s =
			&a->slots[i / LABEL_SLOTS][i % LABEL_SLOTS];

		if (s->state != SLOT_DAMAGED)
			continue;
		ck->rep->labels_damaged++;
		ck_info(ck, "disk %s: label slot %u of its %s MiB is damaged: "
			"%s", ck->disks[disk].src->name, i % LABEL_SLOTS,
			i < LABEL_SLOTS ? "first" : "last", s->why);
	}
}

static int disk_read(struct ck *ck, uint32_t disk)
{
	struct areas *a = ck_alloc(ck, 1, sizeof(*a));
	struct ck_disk *d = &ck->disks[disk];
	int r = -ENOMEM;

	if (a == NULL)
		return r;
	a->buf[0] = ck_alloc(ck, 1, AREA_BYTES);
	a->buf[1] = ck_alloc(ck, 1, AREA_BYTES);
	if (a->buf[0] == NULL || a->buf[1] == NULL)
		goto out;
	a->read[0] = ck_read_disk(ck, disk, 0, a->buf[0],
				  LABEL_AREA_BLOCKS) == 0;
	r = a->read[0] ? area_decode(ck, a, 0) : 0;
	if (r == 0)
		r = tail_read(ck, disk, a);
	if (r < 0)
		goto out;
	d->label = areas_newest(a);
	if (d->label == NULL)
		damaged_report(ck, disk, a);
	if (d->label != NULL) {
		areas_report(ck, disk, a, d->label);
		slots_compare(ck, disk, a, d->label);
	}
	if (d->label != NULL && a->read[0])
		ck_leases(ck, disk, a->buf[0]);
out:
	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		struct ck_label *l =
			a->slots[i / LABEL_SLOTS][i % LABEL_SLOTS].label;

		if (l != d->label)
			ck_label_free(l);
	}
	free(a->buf[0]);
	free(a->buf[1]);
	free(a);
	return r;
}

int ck_claim_known(const struct ck *ck, const struct ck_claim *c)
{
	const struct ck_label *l = ck->label;
	uint64_t oldest = l->claim.no;

	if (c->no == l->claim.no)
		return uuid_equal(&c->id, &l->claim.id);
	for (uint32_t i = 0; i < l->nancestors; i++) {
		if (c->no == l->ancestors[i].no &&
		    uuid_equal(&c->id, &l->ancestors[i].id))
			return 1;
		oldest = l->ancestors[i].no;
	}
	return c->no < oldest && l->nancestors == LABEL_ANCESTORS ? -1 : 0;
}

/* Find the disk in the member table. */
static void disk_place(struct ck *ck, uint32_t disk)
{
	struct ck_disk *d = &ck->disks[disk];
	const char *name = d->src->name;
	struct ck_member *m = NULL;
	uint32_t i;

	for (i = 0; i < ck->nmembers && m == NULL; i++) {
		if (uuid_equal(&ck->members[i].uuid, &d->label->disk))
			m = &ck->members[i];
	}
	if (m == NULL) {
		ck_info(ck, "disk %s: is no longer a member of the pool; not "
			"used", name);
		return;
	}
	if (d->label->self != (uint32_t)(m - ck->members))
		ck_error(ck, "disk %s: is member %" PRIu32 " by its own label "
			 "and %td by the newest one", name, d->label->self,
			 m - ck->members);
	if (m->disk != CK_NO_DISK) {
		ck_error(ck, "disk %s: has the same identity as disk %s; one "
			 "is a copy or another path; not used", name,
			 ck->disks[m->disk].src->name);
		return;
	}
	if (ck_claim_known(ck, &d->label->claim) == 0) {
		ck_error(ck, "disk %s: its claim %" PRIu64 " is not an "
			 "ancestor of the newest claim %" PRIu64 ": it has "
			 "diverged; not used", name, d->label->claim.no,
			 ck->label->claim.no);
		return;
	}
	if (m->size_blocks > d->src->size_bytes / TARN_BLOCK)
		ck_error(ck, "disk %s: is smaller (%" PRIu64 " bytes) than its "
			 "label says (%" PRIu64 ")", name, d->src->size_bytes,
			 blocks_to_bytes(m->size_blocks));
	m->disk = (int)disk;
	d->member = (uint32_t)(m - ck->members);
}

/* The labels of two members must agree about the pool. */
static void labels_compare(struct ck *ck, uint32_t disk)
{
	const struct ck_label *a = ck->label, *b = ck->disks[disk].label;
	const char *name = ck->disks[disk].src->name;

	if (a->k != b->k || a->m != b->m || a->zone_shift != b->zone_shift ||
	    a->row_blocks != b->row_blocks || a->created_s != b->created_s)
		ck_error(ck, "disk %s: its label gives the pool another "
			 "shape than the newest label", name);
	if (a->claim.no == b->claim.no && a->number == b->number &&
	    (a->commit != b->commit || a->root_crc != b->root_crc ||
	     a->root_place != b->root_place || a->nmembers != b->nmembers))
		ck_error(ck, "disk %s: has a label of the same claim and "
			 "number as the newest, but it says something else",
			 name);
	for (uint32_t i = 0; i < a->nmembers && i < b->nmembers; i++) {
		if (!uuid_equal(&a->members[i].uuid, &b->members[i].uuid) &&
		    label_order(a, b) == 0)
			ck_error(ck, "disk %s: its label has another disk as "
				 "member %" PRIu32, name, i);
	}
	if (label_order(a, b) > 0 &&
	    a->members[ck->disks[disk].member].state == LABEL_MEMBER_IN)
		ck_info(ck, "disk %s: has label %" PRIu64 " of claim %" PRIu64
			", the newest is %" PRIu64 " of %" PRIu64, name,
			b->number, b->claim.no, a->number, a->claim.no);
}

static void members_report(struct ck *ck)
{
	struct check_report *rep = ck->rep;
	char uuid[UUID_TEXT_BYTES];

	for (uint32_t i = 0; i < ck->nmembers; i++) {
		const struct ck_member *m = &ck->members[i];

		if ((m->flags & LABEL_MEMBER_JOIN) != 0)
			ck_info(ck, "%s was being added, and is no disk of the "
				"pool yet", ck_member_text(ck, i).s);
		if (m->state == LABEL_MEMBER_REMOVED)
			continue;
		rep->zones += m->zones;
		if ((m->flags & LABEL_MEMBER_DRAIN) != 0)
			ck_info(ck, "%s is being drained%s",
				ck_member_text(ck, i).s,
				(m->flags & LABEL_MEMBER_REMOVE) != 0 ?
					", to be removed" : "");
		if ((m->flags & LABEL_MEMBER_OFFLINE) != 0)
			ck_info(ck, "%s was taken offline",
				ck_member_text(ck, i).s);
		if (m->state == LABEL_MEMBER_OUT) {
			rep->members_out++;
			if (ck->opt->out != NULL)
				ck->opt->out(ck->opt->arg, i);
			ck_info(ck, "%s is recorded out since row %" PRIu64
				": what is younger is not on it",
				ck_member_text(ck, i).s, m->out_row);
		}
		if (m->disk == CK_NO_DISK) {
			rep->members_missing++;
			ck_info(ck, "member %" PRIu32 " (%s, domain %s) is not "
				"among the disks given: its units cannot be "
				"checked", i, uuid_text(&m->uuid, uuid),
				m->domain);
		}
		for (uint32_t j = 0; j < i; j++) {
			if (uuid_equal(&m->uuid, &ck->members[j].uuid))
				ck_error(ck, "members %" PRIu32 " and %" PRIu32
					 " of the label have the same "
					 "identity", j, i);
		}
	}
}

/* A disk without a label is none of ours; or it is the one that is missing. */
static void unlabelled_report(struct ck *ck)
{
	bool missing = ck->rep->members_missing > 0;

	for (uint32_t i = 0; i < ck->ndisks; i++) {
		if (ck->disks[i].label != NULL)
			continue;
		ck_say(ck, missing ? CHECK_DAMAGE : CHECK_INFO,
		       "disk %s: has no valid label; not used%s",
		       ck->disks[i].src->name,
		       missing ? ", though it may be the member that is "
				 "missing" :
				 "");
	}
}

static void pool_take(struct ck *ck)
{
	struct check_report *rep = ck->rep;
	struct ck_label *l = ck->label;

	ck->k = l->k;
	ck->m = l->m;
	ck->units = l->k + l->m;
	ck->zone_shift = l->zone_shift;
	ck->zone_blocks = 1u << l->zone_shift;
	ck->members = l->members;
	ck->nmembers = l->nmembers;
	ck->commit_row = l->commit_row;
	rep->pool = l->pool;
	memcpy(rep->name, l->name, sizeof(rep->name));
	rep->k = l->k;
	rep->m = l->m;
	rep->zone_shift = l->zone_shift;
	rep->members = l->nmembers;
	rep->claim = l->claim.no;
	rep->label_no = l->number;
	rep->released = (l->flags & LABEL_FLAG_RELEASED) != 0;
	rep->commit = l->commit;
	rep->commit_row = l->commit_row;
}

/* One pool only: the first disk's decides. */
static int same_pool(struct ck *ck)
{
	const struct ck_disk *first = NULL;

	for (uint32_t i = 0; i < ck->ndisks; i++) {
		const struct ck_disk *d = &ck->disks[i];

		if (d->label == NULL)
			continue;
		if (first == NULL)
			first = d;
		if (uuid_equal(&first->label->pool, &d->label->pool))
			continue;
		ck_error(ck, "disk %s belongs to pool \"%s\", disk %s to pool "
			 "\"%s\": give the disks of one pool", first->src->name,
			 first->label->name, d->src->name, d->label->name);
		return -EINVAL;
	}
	return first == NULL ? -ENODATA : 0;
}

int ck_labels(struct ck *ck)
{
	int r;

	for (uint32_t i = 0; i < ck->ndisks; i++) {
		r = disk_read(ck, i);
		if (r < 0)
			return r;
	}
	r = same_pool(ck);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < ck->ndisks; i++) {
		struct ck_label *l = ck->disks[i].label;

		if (l != NULL && (ck->label == NULL ||
				  label_order(l, ck->label) > 0))
			ck->label = l;
	}
	pool_take(ck);
	for (uint32_t i = 0; i < ck->ndisks; i++) {
		if (ck->disks[i].label == NULL)
			continue;
		disk_place(ck, i);
		if (ck->disks[i].member != CK_NO_MEMBER)
			labels_compare(ck, i);
	}
	members_report(ck);
	unlabelled_report(ck);
	return 0;
}
