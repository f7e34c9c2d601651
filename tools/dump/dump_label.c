/* tools/dump/dump_label.c - labels, leases and the root. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/dump/dump.h"

static void print_uuid(const char *what, const struct uuid *u)
{
	char text[UUID_TEXT_BYTES];

	printf("%s%s", what, uuid_text(u, text));
}

static void print_zones(const struct ck_label *l, const struct ck_zone *z)
{
	for (uint32_t u = 0; u < l->k + l->m; u++) {
		if (z[u].member == CK_NO_MEMBER)
			printf(" -");
		else
			printf(" %" PRIu32 ":%" PRIu32, z[u].member, z[u].zone);
	}
}

static void label_print(const struct ck_label *l)
{
	printf("  pool ");
	dump_text(l->name, sizeof(l->name));
	print_uuid(" ", &l->pool);
	printf(", %" PRIu32 "+%" PRIu32 ", zones of %" PRIu32
	       " blocks, rows of %" PRIu32 " blocks%s%s%s\n",
	       l->k, l->m, 1u << l->zone_shift, l->row_blocks,
	       (l->flags & LABEL_FLAG_DOMAIN_DISK) != 0 ? ", domain disk" : "",
	       (l->flags & LABEL_FLAG_RELEASED) != 0 ? ", released" : "",
	       (l->flags & LABEL_FLAG_FORCED) != 0 ? ", forced" : "");
	print_uuid("  disk ", &l->disk);
	printf(" (member %" PRIu32 "), %" PRIu64 " blocks\n", l->self,
	       l->size_blocks);
	printf("  claim %" PRIu64, l->claim.no);
	print_uuid(" ", &l->claim.id);
	printf(", label %" PRIu64 ", ancestors", l->number);
	for (uint32_t i = 0; i < l->nancestors; i++)
		printf(" %" PRIu64, l->ancestors[i].no);
	printf("\n");
	print_uuid("  owner: machine ", &l->machine);
	print_uuid(", boot ", &l->boot);
	print_uuid(", instance ", &l->instance);
	printf("\n  commit %" PRIu64 " at row %" PRIu64 ", root of %" PRIu32
	       " blocks at 0x%" PRIx64 ", generation %" PRIu32 ", zones",
	       l->commit, l->commit_row, l->root_blocks, l->root_place,
	       l->root_generation);
	print_zones(l, l->root_zones);
	printf("\n");
	for (uint32_t i = 0; i < l->nmembers; i++) {
		const struct ck_member *m = &l->members[i];

		printf("  member %" PRIu32, i);
		print_uuid(" ", &m->uuid);
		printf(": %" PRIu64 " blocks, %" PRIu32 " zones, domain ",
		       m->size_blocks, m->zones);
		dump_text(m->domain, sizeof(m->domain));
		if (m->state == LABEL_MEMBER_OUT)
			printf(", out since row %" PRIu64 " (claim %" PRIu64
			       ")", m->out_row, m->out_claim);
		if ((m->flags & LABEL_MEMBER_JOIN) != 0)
			printf(", being added");
		else if (m->state == LABEL_MEMBER_REMOVED)
			printf(", removed");
		if ((m->flags & LABEL_MEMBER_DRAIN) != 0)
			printf(", draining%s",
			       (m->flags & LABEL_MEMBER_REMOVE) != 0 ?
				       ", to be removed" : "");
		if ((m->flags & LABEL_MEMBER_GONE) != 0)
			printf(", not let in again");
		if ((m->flags & LABEL_MEMBER_OFFLINE) != 0)
			printf(", offline");
		printf("\n");
	}
	for (uint32_t i = 0; i < l->nextra; i++) {
		printf("  extra segment %" PRIu32 " generation %" PRIu32
		       ", zones", l->extra[i].segment,
		       l->extra[i].generation);
		print_zones(l, l->extra[i].zones);
		printf("\n");
	}
}

static void slot_print(const struct ck *ck, uint32_t disk, uint64_t area,
		       uint32_t slot, const uint8_t *buf)
{
	struct ck_label *l;
	const char *why;
	int r;

	if (buf[0] == 0 && memcmp(buf, buf + 1, TARN_BLOCK - 1) == 0)
		return;
	r = ck_label_decode(buf, slot, &l, &why);
	printf("disk %s, block %" PRIu64 ", slot %" PRIu32 ": %s\n",
	       ck->disks[disk].src->name,
	       area + LABEL_FIRST_BLOCK + slot * 16u, slot,
	       r == 0 ? "label" : why);
	if (r < 0)
		return;
	label_print(l);
	ck_label_free(l);
}

/* The label slots of both areas of each disk. */
void dump_labels(struct ck *ck)
{
	uint8_t *buf = malloc(LABEL_SLOT_BYTES);

	for (uint32_t d = 0; d < ck->ndisks && buf != NULL; d++) {
		const struct ck_label *l = ck->disks[d].label;
		uint64_t size = l != NULL ? l->size_blocks :
					    ck->disks[d].src->size_bytes /
						    TARN_BLOCK;

		if (size < 2ull * LABEL_AREA_BLOCKS) {
			printf("disk %s: too small for labels\n",
			       ck->disks[d].src->name);
			continue;
		}
		for (uint32_t i = 0; i < 2 * LABEL_SLOTS; i++) {
			uint64_t area = i < LABEL_SLOTS ?
						0 :
						size - LABEL_AREA_BLOCKS;
			uint32_t s = i % LABEL_SLOTS;

			if (ck_read_disk(ck, d,
					 area + LABEL_FIRST_BLOCK + s * 16ull,
					 buf, 16) == 0)
				slot_print(ck, d, area, s, buf);
		}
	}
	free(buf);
}

static void lease_print(const struct ck *ck, uint32_t disk, uint32_t slot,
			const struct lease_slot *l)
{
	static const char *const states[] = { "?", "held", "released",
					      "being acquired" };
	uint32_t state = le32_get(l->state);

	printf("disk %s, lease slot %" PRIu32 ": ", ck->disks[disk].src->name,
	       slot);
	if (memcmp(l->magic, LEASE_MAGIC, sizeof(l->magic)) != 0 ||
	    crc32c(0, (const uint8_t *)l + 12, TARN_BLOCK - 12) !=
		    le32_get(l->crc32c)) {
		printf("not valid\n");
		return;
	}
	printf("claim %" PRIu64, le64_get(l->claim));
	print_uuid(" ", &l->claim_id);
	printf(", beat %" PRIu64 ", %s", le64_get(l->beat),
	       states[state <= LEASE_TRYING ? state : 0]);
	print_uuid(", machine ", &l->machine);
	print_uuid(", instance ", &l->instance);
	printf("\n");
}

void dump_leases(struct ck *ck)
{
	uint8_t *buf = malloc(TARN_BLOCK);

	for (uint32_t i = 0; i < ck->ndisks * LEASE_SLOTS && buf != NULL; i++) {
		uint32_t d = i / LEASE_SLOTS, s = i % LEASE_SLOTS;

		if (ck_read_disk(ck, d, s, buf, 1) < 0 ||
		    (buf[0] == 0 && memcmp(buf, buf + 1, TARN_BLOCK - 1) == 0))
			continue;
		lease_print(ck, d, s, (const struct lease_slot *)buf);
	}
	free(buf);
}

/* --- root ---------------------------------------------------------------- */

struct ck_text dump_place_text(const struct ck *ck, uint64_t place)
{
	struct ck_text t = ck_place_text(ck, place);
	size_t len = strlen(t.s);

	if (place != PLACE_NONE)
		snprintf(t.s + len, sizeof(t.s) - len, " (0x%" PRIx64 ")",
			 place);
	return t;
}

static void table_print(const struct ck *ck, uint32_t kind)
{
	const struct ck_table *t = &ck->tables[kind];

	if (t->npages == 0)
		return;
	printf("  %s (kind %" PRIu32 "): %" PRIu32 " pages\n",
	       ck_kind_name(kind), kind, t->npages);
	for (uint32_t i = 0; i < t->nindex; i++)
		printf("    index page %" PRIu32 " at %s, crc32c %08" PRIx32
		       "\n", i, dump_place_text(ck, t->index[i].place).s,
		       t->index[i].crc);
	for (uint32_t p = 0; p < t->npages && t->refs != NULL; p++) {
		if (t->refs[p].place == PLACE_NONE)
			continue;
		printf("    page %" PRIu32 " at %s, crc32c %08" PRIx32 "%s\n",
		       p, dump_place_text(ck, t->refs[p].place).s,
		       t->refs[p].crc, t->lost[p] ? ", lost" : "");
	}
}

int dump_root(struct ck *ck)
{
	const struct root_header *h = (const struct root_header *)ck->root;

	printf("root of commit %" PRIu64 " at %s in row %" PRIu64 "\n",
	       le64_get(h->commit),
	       dump_place_text(ck, ck->label->root_place).s, ck->root_row);
	printf("  the state after row %" PRIu64 ", claim %" PRIu64 ", %" PRIu32
	       " bytes, %" PRIu32 " segments, %" PRIu32 " for bootstrap\n",
	       le64_get(h->row), le64_get(h->claim), ck->root_bytes,
	       le32_get(h->nsegments), le32_get(h->nboot));
	if (le32_get(h->scrub) != 0)
		printf("  a scrub is at segment %" PRIu32 "%s\n",
		       le32_get(h->scrub) & ~ROOT_SCRUB_PAUSED,
		       le32_get(h->scrub) & ROOT_SCRUB_PAUSED ? ", paused" :
								"");
	for (uint32_t kind = 0; kind < ROOT_KINDS; kind++)
		table_print(ck, kind);
	if (ck->client_bytes >= sizeof(struct vols_root)) {
		const struct vols_root *v = (const struct vols_root *)
			(ck->root + ck->client_off);

		printf("  next volume %" PRIu32 ", %" PRIu32 " slots, %" PRIu64
		       " nodes, %" PRIu64 " blocks mapped\n",
		       le32_get(v->next_volume), le32_get(v->nslots),
		       le64_get(v->nodes), le64_get(v->mapped));
	}
	return 0;
}
