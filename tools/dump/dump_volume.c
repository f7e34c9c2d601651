/* tools/dump/dump_volume.c - volumes, snapshots, checkpoints and nodes of the
 * commit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/dump/dump.h"

static const char *name_of(const char *const *names, uint8_t n, uint8_t i)
{
	return i < n && names[i] != NULL ? names[i] : "?";
}

/* " hourly=24 daily=7", of a snapshot " hourly". */
static void schedule_print(const struct catalog_slot *s)
{
	const struct catalog_schedule *c = &s->schedule;
	bool volume = s->kind == CATALOG_VOLUME, some = false;

	for (enum period p = 0; p < PERIODS; p++) {
		if (le16_get(c->keep[p]) == 0)
			continue;
		printf("%s %s", some ? "" : ", schedule", period_word(p));
		if (volume)
			printf("=%u", le16_get(c->keep[p]));
		some = true;
	}
	if (volume && some)
		printf(" last minute %" PRIu32, le32_get(c->last_min));
}

static void slot_print(const struct catalog_slot *s, uint32_t slot)
{
	static const char *const kinds[] = {
		[CATALOG_VOLUME] = "volume",
		[CATALOG_SNAPSHOT] = "snapshot",
		[CATALOG_CHECKPOINT] = "checkpoint",
	};
	static const char *const states[] = {
		[CATALOG_READY] = "ready",
		[CATALOG_DELETING] = "deleting",
		[CATALOG_FORK] = "fork",
	};
	char uuid[UUID_TEXT_BYTES];

	printf("slot %" PRIu32 ": %s %" PRIu32 " ", slot,
	       name_of(kinds, ARRAY_LEN(kinds), s->kind), le32_get(s->id));
	dump_text(s->name, sizeof(s->name));
	if (le32_get(s->volume) != 0)
		printf(" of volume %" PRIu32, le32_get(s->volume));
	printf(" %s, %s, %" PRIu64 " bytes, family %" PRIu32 ", root node %"
	       PRIu32 " level %u, birth %" PRIu32 ", origin %" PRIu32
	       ", mapped %" PRIu64 "%s%s%s%s%s", uuid_text(&s->uuid, uuid),
	       name_of(states, ARRAY_LEN(states), s->state),
	       le64_get(s->size_bytes), le32_get(s->family),
	       le32_get(s->root), s->levels, le32_get(s->birth),
	       le32_get(s->origin), le64_get(s->mapped),
	       (s->flags & CATALOG_SHRUNK) != 0 ? ", shrunk" : "",
	       (s->flags & CATALOG_LOST) != 0 ? ", lost" : "",
	       (s->flags & CATALOG_HIDDEN) != 0 ? ", hidden" : "",
	       (s->flags & CATALOG_HELD) != 0 ? ", held" : "",
	       (s->flags & CATALOG_TRASHED) != 0 ? ", trashed" : "");
	if (le64_get(s->trashed_s) != 0)
		printf(" since %" PRIu64, le64_get(s->trashed_s));
	if (le64_get(s->own) != 0)
		printf(", own %" PRIu64, le64_get(s->own));
	if (le64_get(s->reserve) == CATALOG_RESERVE_FULL)
		printf(", reserve full");
	else if (le64_get(s->reserve) != 0)
		printf(", reserve %" PRIu64, le64_get(s->reserve));
	if ((s->flags & CATALOG_PAUSES) != 0)
		printf(", pauses when full");
	schedule_print(s);
	if (s->state != CATALOG_READY)
		printf(", cursor %" PRIu64, le64_get(s->cursor));
	printf("\n");
}

int dump_volumes(struct ck *ck)
{
	for (uint32_t p = 0; p < ck->tables[TABLE_CATALOG].npages; p++) {
		const struct catalog_slot *s = (const struct catalog_slot *)
			ck_table_page(ck, TABLE_CATALOG, p);

		for (uint32_t i = 0; s != NULL && i < SLOTS_A_PAGE; i++) {
			if (le32_get(s[i].id) != 0)
				slot_print(&s[i], p * SLOTS_A_PAGE + i);
		}
	}
	return 0;
}

static void leaf_print(const struct ck *ck, const uint8_t *buf, uint64_t index)
{
	const struct leaf_entry *e = (const struct leaf_entry *)buf;

	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t place = ck_leaf_place(&e[i]);

		if (place == PLACE_NONE && le32_get(e[i].birth) == 0)
			continue;
		printf("  block %" PRIu64 ": %s, birth %" PRIu32
		       ", crc32c %08" PRIx32 "\n", index * LEAF_ENTRIES + i,
		       dump_place_text(ck, place).s, le32_get(e[i].birth),
		       le32_get(e[i].crc32c));
	}
}

int dump_node(struct ck *ck, uint32_t id)
{
	const struct node_entry *e = (const struct node_entry *)
		ck_table_page(ck, TABLE_NODES, id / NODES_A_PAGE);
	const uint64_t index_mask = (1ull << 56) - 1;
	uint64_t where, place;
	uint8_t *buf;

	if (e == NULL || le32_get(e[id % NODES_A_PAGE].refs) == 0) {
		fprintf(stderr, "tarn-dump: node %" PRIu32 " is free or "
			"beyond the node table\n", id);
		return 1;
	}
	e += id % NODES_A_PAGE;
	where = le64_get(e->where);
	place = le64_get(e->place);
	printf("node %" PRIu32 ": level %u index %" PRIu64 ", at %s, crc32c "
	       "%08" PRIx32 ", refs %" PRIu32 ", family %" PRIu32
	       ", birth %" PRIu32 "\n", id, (unsigned)(where >> 56),
	       where & index_mask, dump_place_text(ck, place).s,
	       le32_get(e->crc32c), le32_get(e->refs), le32_get(e->family),
	       le32_get(e->birth));
	buf = malloc(TARN_BLOCK);
	if (buf == NULL)
		return 1;
	if (ck_read_place(ck, place, le32_get(e->crc32c), buf) < 0) {
		printf("  its block cannot be had\n");
	} else if (where >> 56 == 0) {
		leaf_print(ck, buf, where);
	} else {
		const struct inner_child *c = (const struct inner_child *)buf;

		for (uint32_t i = 0; i < INNER_CHILDREN; i++) {
			if (le32_get(c[i].node) != 0)
				printf("  child %" PRIu32 ": node %" PRIu32
				       ", birth %" PRIu32 "\n", i,
				       le32_get(c[i].node),
				       le32_get(c[i].birth));
		}
	}
	free(buf);
	return 0;
}
