/* tools/check/check_catalog.c - volumes, snapshots and checkpoints, as the
 * catalog has them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_state.h"

static uint64_t leaves_of(uint64_t size_bytes)
{
	return div_up(bytes_to_blocks_up(size_bytes), LEAF_ENTRIES);
}

/* A name is 1 to 255 bytes without control characters, '/', '@' or '#'. */
static bool name_ok(const char *name, uint32_t len)
{
	if (len == 0 || len > VOLUME_NAME_MAX)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c < 0x20 || c == 0x7f || strchr("/@#", name[i]) != NULL)
			return false;
	}
	return true;
}

/* What it may be. */
static const char *kind_problem(const struct catalog_slot *s)
{
	bool ready = s->state == CATALOG_READY;

	if (s->kind < CATALOG_VOLUME || s->kind > CATALOG_CHECKPOINT)
		return "its kind is unknown";
	if (s->state < CATALOG_READY || s->state > CATALOG_FORK)
		return "its state is unknown";
	if (s->state == CATALOG_FORK && s->kind != CATALOG_SNAPSHOT)
		return "only a snapshot is a fork";
	if (s->kind == CATALOG_CHECKPOINT && !ready)
		return "it is a checkpoint, and deleted";
	if ((le32_get(s->volume) != 0) !=
	    (ready && s->kind != CATALOG_VOLUME))
		return "only a ready snapshot or a checkpoint is one of a "
		       "volume";
	if ((s->flags & ~(s->kind == CATALOG_CHECKPOINT ?
				  CATALOG_LOST :
				  CATALOG_SHRUNK | CATALOG_HIDDEN |
					  CATALOG_HELD | CATALOG_TRASHED |
					  CATALOG_SCHEDULED |
					  CATALOG_PAUSES)) != 0 ||
	    ((s->flags & CATALOG_PAUSES) != 0 &&
	     (s->kind != CATALOG_VOLUME || !ready ||
	      (s->flags & CATALOG_HIDDEN) != 0)) ||
	    ((s->flags & CATALOG_HIDDEN) != 0 &&
	     (s->kind != CATALOG_VOLUME || !ready)) ||
	    ((s->flags & (CATALOG_HELD | CATALOG_SCHEDULED)) != 0 &&
	     (s->kind != CATALOG_SNAPSHOT || !ready)))
		return "it has unknown flags";
	if ((s->flags & CATALOG_TRASHED) != 0 &&
	    (s->kind != CATALOG_VOLUME || !ready ||
	     (s->flags & CATALOG_HIDDEN) != 0))
		return "it cannot be in the trash";
	if (le64_get(s->reserve) != 0 &&
	    (s->kind != CATALOG_VOLUME || !ready ||
	     (s->flags & CATALOG_HIDDEN) != 0))
		return "it has a reserve, and is no volume";
	if ((s->flags & CATALOG_TRASHED) == 0 && le64_get(s->trashed_s) != 0)
		return "it is not in the trash, and has been since then";
	if (s->kind == CATALOG_CHECKPOINT &&
	    (s->levels != 0 || le32_get(s->root) != 0 ||
	     le32_get(s->origin) != 0 || le64_get(s->mapped) != 0 ||
	     le64_get(s->own) != 0))
		return "it is a checkpoint, and a tree";
	return NULL;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n > 0 && *p == 0)
		p++, n--;
	return n == 0;
}

/* A volume may have one, a snapshot may be of one. */
static const char *schedule_problem(const struct catalog_slot *s)
{
	uint32_t n = 0, kinds = 0;

	for (unsigned p = 0; p < PERIODS; p++) {
		n += le16_get(s->schedule.keep[p]);
		kinds += le16_get(s->schedule.keep[p]) > 0;
	}
	if (le32_get(s->schedule.last_min) != 0 &&
	    (kinds == 0 || s->kind != CATALOG_VOLUME))
		return "it has the time of a schedule, and none";
	if ((s->flags & CATALOG_SCHEDULED) != 0)
		return n == 1 ? NULL : "a schedule took it as none of its kinds";
	if (kinds > 0 && (s->kind != CATALOG_VOLUME ||
			  s->state != CATALOG_READY ||
			  (s->flags & CATALOG_HIDDEN) != 0))
		return "it has a schedule, and is no volume";
	return NULL;
}

static const char *name_problem(const struct catalog_slot *s)
{
	uint32_t len = le16_get(s->name_len);

	/* What is deleted may keep what was its name. */
	if (!name_ok(s->name, len) && (len > 0 || s->state == CATALOG_READY))
		return "its name is not allowed";
	for (uint32_t i = len; i < sizeof(s->name); i++) {
		if (s->name[i] != '\0')
			return "its name is longer than its length says";
	}
	return NULL;
}

static const char *slot_problem(const struct catalog_slot *s)
{
	const char *why = kind_problem(s);

	if (why != NULL)
		return why;
	if (s->levels > LEVEL_MAX)
		return "its root's level is out of range";
	if (le64_get(s->size_bytes) == 0 ||
	    le64_get(s->size_bytes) > VOLUME_BYTES_MAX)
		return "its size is out of range";
	if (s->kind != CATALOG_CHECKPOINT &&
	    leaves_of(le64_get(s->size_bytes)) > 1ull << (9 * s->levels))
		return "its root is too low for its size";
	if (le32_get(s->family) == 0)
		return "it has no family";
	if (le32_get(s->family) > le32_get(s->id))
		return "it is older than its family";
	if (le32_get(s->birth) == 0)
		return "it has no birth";
	if (le64_get(s->cursor) > (s->state != CATALOG_READY ?
					   1ull << (9 * s->levels) :
					   0))
		return "its cursor is out of range";
	why = name_problem(s);
	if (why != NULL)
		return why;
	if (!all_zero(s->zero0, sizeof(s->zero0)) ||
	    !all_zero(s->zero1, sizeof(s->zero1)))
		return "reserved bytes are not zero";
	return schedule_problem(s);
}

struct ck_volume *ck_volume_find(struct ck *ck, uint32_t id)
{
	if (ck->vol_last < ck->nvols && ck->vols[ck->vol_last].id == id)
		return &ck->vols[ck->vol_last];
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].id == id) {
			ck->vol_last = i;
			return &ck->vols[i];
		}
	}
	return NULL;
}

struct ck_volume *ck_volume_add(struct ck *ck)
{
	if (!ck_grow(ck, &ck->vols, ck->nvols, &ck->vols_cap,
		     sizeof(*ck->vols)))
		return NULL;
	memset(&ck->vols[ck->nvols], 0, sizeof(*ck->vols));
	ck->vols[ck->nvols].origin = CK_NO_TREE;
	ck->vols[ck->nvols].kid = CK_NO_TREE;
	ck->vols[ck->nvols].prev = CK_NO_TREE;
	ck->vols[ck->nvols].next = CK_NO_TREE;
	return &ck->vols[ck->nvols++];
}

static int slot_add(struct ck *ck, uint32_t no, const struct catalog_slot *s)
{
	const char *why = slot_problem(s);
	struct ck_volume *v;

	if (why != NULL)
		ck_error(ck, "catalog slot %" PRIu32 " (volume %" PRIu32
			 "): %s", no, le32_get(s->id), why);
	if (s->levels > LEVEL_MAX)
		return 0;
	v = ck_volume_add(ck);
	if (v == NULL)
		return -ENOMEM;
	v->slot = *s;
	v->id = le32_get(s->id);
	v->kind = s->kind;
	v->hidden = (s->flags & CATALOG_HIDDEN) != 0;
	v->held = (s->flags & CATALOG_HELD) != 0;
	v->trashed = (s->flags & CATALOG_TRASHED) != 0;
	v->state = s->state;
	v->family = le32_get(s->family);
	if (s->kind != CATALOG_VOLUME && s->state == CATALOG_READY)
		v->volume = le32_get(s->volume);
	ck->next_volume = max_u64(ck->next_volume, v->id + 1ull);
	v->birth = le32_get(s->birth);
	v->size_bytes = le64_get(s->size_bytes);
	v->cursor = le64_get(s->cursor);
	v->uuid = s->uuid;
	memcpy(v->name, s->name, sizeof(v->name) - 1);
	return 0;
}

static int order_id(const void *a, const void *b)
{
	const struct ck_volume *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static int order_uuid(const void *a, const void *b)
{
	const struct ck_volume *const *x = a, *const *y = b;

	return memcmp((*x)->uuid.b, (*y)->uuid.b, sizeof((*x)->uuid.b));
}

/* Snapshots have names among those of their volume, and so have checkpoints. */
static int order_name(const void *a, const void *b)
{
	const struct ck_volume *const *x = a, *const *y = b;

	if ((*x)->kind != (*y)->kind)
		return (*x)->kind < (*y)->kind ? -1 : 1;
	if ((*x)->volume != (*y)->volume)
		return (*x)->volume < (*y)->volume ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

static bool has_id(const struct ck_volume *v)
{
	return v->state != 0;
}

/* Copies of a snapshot, and a checkpoint of the same instant, may have its
 * identity. */
static bool has_identity(const struct ck_volume *v)
{
	return v->state != 0 && v->kind == CATALOG_VOLUME;
}

/* What is deleted or in the trash has none, and what is being received none
 * yet. */
static bool has_name(const struct ck_volume *v)
{
	return v->state == CATALOG_READY && !v->hidden && !v->trashed;
}

void ck_names_check(struct ck *ck)
{
	static const struct {
		int (*order)(const void *a, const void *b);
		const char *what;
		bool      (*has)(const struct ck_volume *v);
	} checks[] = { { order_id, "id", has_id },
		       { order_uuid, "identity", has_identity },
		       { order_name, "name", has_name } };
	struct ck_volume **v = ck_alloc(ck, ck->nvols,
					sizeof(struct ck_volume *));

	for (unsigned c = 0; v != NULL && c < ARRAY_LEN(checks); c++) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < ck->nvols; i++) {
			if (checks[c].has(&ck->vols[i]))
				v[n++] = &ck->vols[i];
		}
		if (n < 2)
			continue;
		qsort(v, n, sizeof(struct ck_volume *), checks[c].order);
		for (uint32_t i = 1; i < n; i++) {
			if (checks[c].order(&v[i - 1], &v[i]) == 0)
				ck_error(ck, "volumes %" PRIu32 " (\"%s\") and "
					 "%" PRIu32 " (\"%s\") have the same "
					 "%s", v[i - 1]->id, v[i - 1]->name,
					 v[i]->id, v[i]->name, checks[c].what);
		}
	}
	free(v);
}

bool ck_catalog_lost(const struct ck *ck)
{
	for (uint32_t p = 0; p < ck->tables[TABLE_CATALOG].npages; p++) {
		if (ck_table_lost(ck, TABLE_CATALOG, p))
			return true;
	}
	return false;
}

int ck_catalog(struct ck *ck, const struct vols_root *root)
{
	uint64_t nslots = (uint64_t)ck->tables[TABLE_CATALOG].npages *
			  SLOTS_A_PAGE;

	if (root != NULL && (le32_get(root->nslots) > VOLUMES_MAX ||
			     le32_get(root->nslots) > nslots))
		ck_error(ck, "the root counts %" PRIu32 " catalog slots, the "
			 "catalog has %" PRIu64, le32_get(root->nslots),
			 nslots);
	for (uint64_t i = 0; i < nslots; i++) {
		const struct catalog_slot *s = (const struct catalog_slot *)
			ck_table_page(ck, TABLE_CATALOG,
				      (uint32_t)(i / SLOTS_A_PAGE));
		int r;

		if (s == NULL)
			continue;
		s += i % SLOTS_A_PAGE;
		if (le32_get(s->id) == 0)
			continue;
		if (root != NULL && (le32_get(s->id) >=
				     le32_get(root->next_volume) ||
				     i >= le32_get(root->nslots)))
			ck_error(ck, "volume %" PRIu32 " in catalog slot "
				 "%" PRIu64 ": beyond what the root has given "
				 "out", le32_get(s->id), i);
		r = slot_add(ck, (uint32_t)i, s);
		if (r < 0)
			return r;
	}
	if (root != NULL)
		ck->next_volume = max_u64(ck->next_volume,
					  le32_get(root->next_volume));
	ck_names_check(ck);
	return 0;
}
