/* volume/catalog.c - slots, ids and names.
 *
 * A new volume takes the lowest free slot.  The array of READY volumes is
 * kept sorted by insertion: creating is rare, looking up is not.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

int catalog_init(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;

	memset(c, 0, sizeof(*c));
	c->next_volume = 1;
	return 0;
}

static void volume_free(struct volume *v)
{
	free(v);
}

void catalog_fini(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;

	for (unsigned i = 0; i < VOLUME_HASH; i++) {
		while (c->hash[i] != NULL) {
			struct volume *v = c->hash[i];

			c->hash[i] = v->hash_next;
			volume_free(v);
		}
	}
	free(c->slots);
	free(c->sorted);
	free(c->dirty);
}

static int grow(struct catalog *c, uint32_t want)
{
	uint32_t cap = c->cap == 0 ? 64 : c->cap;
	void *p;

	assert(want <= VOLUMES_MAX);
	while (cap < want)
		cap *= 2;
	if (cap == c->cap)
		return 0;
	assert(cap >= SLOTS_A_PAGE);
	p = realloc(c->slots, cap * sizeof(c->slots[0]));
	if (p == NULL)
		return -ENOMEM;
	c->slots = p;
	p = realloc(c->sorted, cap * sizeof(c->sorted[0]));
	if (p == NULL)
		return -ENOMEM;
	c->sorted = p;
	p = realloc(c->dirty, cap / SLOTS_A_PAGE * sizeof(c->dirty[0]));
	if (p == NULL)
		return -ENOMEM;
	c->dirty = p;
	for (uint32_t i = c->cap; i < cap; i++)
		c->slots[i] = NULL;
	for (uint32_t i = c->cap / SLOTS_A_PAGE; i < cap / SLOTS_A_PAGE; i++)
		c->dirty[i] = false;
	c->cap = cap;
	return 0;
}

int catalog_set_nslots(struct catalog *c, uint32_t nslots)
{
	int r = grow(c, nslots);

	if (r == 0)
		c->nslots = nslots;
	return r;
}

static uint32_t free_slot(const struct catalog *c)
{
	uint32_t i = 0;

	while (i < c->nslots && c->slots[i] != NULL)
		i++;
	return i;
}

int catalog_reserve(struct catalog *c)
{
	uint32_t slot = free_slot(c);

	if (slot >= VOLUMES_MAX)
		return -ENOSPC;
	return grow(c, slot + 1);
}

/* --- finding ------------------------------------------------------------- */

/* Where `name` is or belongs in the sorted array. */
static uint32_t name_pos(const struct catalog *c, const char *name,
			 bool *ret_found)
{
	uint32_t lo = 0, hi = c->nsorted;

	*ret_found = false;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		int cmp = strcmp(c->sorted[mid]->name, name);

		if (cmp == 0) {
			*ret_found = true;
			return mid;
		}
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct volume *catalog_find_name(const struct catalog *c, const char *name)
{
	bool found;
	uint32_t i = name_pos(c, name, &found);

	return found ? c->sorted[i] : NULL;
}

struct volume *vols_next(struct volumes *vols, const struct volume *prev)
{
	const struct catalog *c = &vols->catalog;
	uint32_t i = 0;
	bool found;

	if (prev != NULL) {
		i = name_pos(c, prev->name, &found);
		if (found)
			i++;
	}
	return i < c->nsorted ? c->sorted[i] : NULL;
}

struct volume *vols_at(struct volumes *vols, uint64_t i)
{
	const struct catalog *c = &vols->catalog;

	return i < c->nsorted ? c->sorted[i] : NULL;
}

struct volume *catalog_find_id(const struct catalog *c, uint64_t id)
{
	struct volume *v = c->hash[id % VOLUME_HASH];

	while (v != NULL && v->id != id)
		v = v->hash_next;
	return v;
}

static void name_insert(struct catalog *c, struct volume *v)
{
	bool found;
	uint32_t i = name_pos(c, v->name, &found);

	assert(!found && c->nsorted < c->cap);
	memmove(&c->sorted[i + 1], &c->sorted[i],
		(c->nsorted - i) * sizeof(c->sorted[0]));
	c->sorted[i] = v;
	c->nsorted++;
}

static void name_remove(struct catalog *c, struct volume *v)
{
	bool found;
	uint32_t i = name_pos(c, v->name, &found);

	assert(found && c->sorted[i] == v);
	c->nsorted--;
	memmove(&c->sorted[i], &c->sorted[i + 1],
		(c->nsorted - i) * sizeof(c->sorted[0]));
}

/* --- pages --------------------------------------------------------------- */

void catalog_touch_page(struct catalog *c, uint32_t page)
{
	if ((uint64_t)page * SLOTS_A_PAGE >= c->nslots || c->dirty[page])
		return;
	c->dirty[page] = true;
	c->ndirty++;
}

void catalog_touch(struct volume *v)
{
	catalog_touch_page(&v->vols->catalog, v->slot / SLOTS_A_PAGE);
}

static void slot_encode(const struct volume *v, struct catalog_slot *s)
{
	s->id = le32_of(v->id);
	s->kind = CATALOG_VOLUME;
	s->state = v->state;
	s->levels = v->levels;
	s->flags = v->flags;
	s->uuid = v->uuid;
	s->size_bytes = le64_of(v->size_bytes);
	s->created_s = le64_of(v->created_s);
	s->family = le32_of(v->family);
	s->root = le32_of(v->root_id);
	s->birth = le32_of(v->birth);
	s->share_birth = le32_of(v->share_birth);
	s->mapped = le64_of(v->mapped);
	s->cursor = le64_of(v->cursor);
	s->name_len = le16_of((uint16_t)strlen(v->name));
	memcpy(s->name, v->name, strlen(v->name));
}

void catalog_encode_page(const struct catalog *c, uint32_t page, void *buf)
{
	struct catalog_slot *s = buf;

	memset(buf, 0, TARN_BLOCK);
	for (uint32_t i = 0; i < SLOTS_A_PAGE; i++) {
		uint32_t slot = page * SLOTS_A_PAGE + i;

		if (slot < c->nslots && c->slots[slot] != NULL)
			slot_encode(c->slots[slot], &s[i]);
	}
}

/* A volume object in its slot, known by its id. */
static struct volume *volume_new(struct volumes *vols, uint32_t id,
				 uint32_t slot)
{
	struct catalog *c = &vols->catalog;
	struct volume  *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	assert(slot < c->nslots && c->slots[slot] == NULL);
	v->vols = vols;
	v->id = id;
	v->slot = slot;
	list_init(&v->users);
	list_init(&v->ranges);
	list_init(&v->reap_link);
	list_init(&v->wait_spans);
	c->slots[slot] = v;
	v->hash_next = c->hash[id % VOLUME_HASH];
	c->hash[id % VOLUME_HASH] = v;
	return v;
}

static int slot_decode(struct volumes *vols, uint32_t slot,
		       const struct catalog_slot *s, const char **ret_why)
{
	struct catalog *c = &vols->catalog;
	uint32_t id = le32_get(s->id);
	char name[VOLUME_NAME_MAX + 1] = "";
	struct volume *v;

	if (catalog_slot_validate(s, ret_why) < 0)
		return -EBADMSG;
	if (id == 0)
		return 0;
	if (le32_get(s->family) != id) {
		*ret_why = "catalog: a clone, which this version cannot serve";
		return -EBADMSG;
	}
	memcpy(name, s->name, le16_get(s->name_len));
	if (id >= c->next_volume || catalog_find_id(c, id) != NULL) {
		*ret_why = "catalog: volume id twice, or from the future";
		return -EBADMSG;
	}
	if (s->state == CATALOG_READY && catalog_find_name(c, name) != NULL) {
		*ret_why = "catalog: two volumes of one name";
		return -EBADMSG;
	}
	v = volume_new(vols, id, slot);
	if (v == NULL)
		return -ENOMEM;
	v->state = s->state;
	v->levels = s->levels;
	v->flags = s->flags;
	v->uuid = s->uuid;
	v->size_bytes = le64_get(s->size_bytes);
	v->created_s = le64_get(s->created_s);
	v->family = le32_get(s->family);
	v->root_id = le32_get(s->root);
	v->birth = le32_get(s->birth);
	v->share_birth = le32_get(s->share_birth);
	v->mapped = le64_get(s->mapped);
	v->cursor = le64_get(s->cursor);
	memcpy(v->name, name, sizeof(name));
	if (v->state == CATALOG_READY)
		name_insert(c, v);
	else
		c->ndeleting++;
	return 0;
}

int catalog_decode_page(struct volumes *vols, uint32_t page, const void *buf,
			const char **ret_why)
{
	const struct catalog_slot *s = buf;
	struct catalog *c = &vols->catalog;

	for (uint32_t i = 0; i < SLOTS_A_PAGE; i++) {
		uint32_t slot = page * SLOTS_A_PAGE + i;
		int r;

		if (slot >= c->nslots)
			break;
		r = slot_decode(vols, slot, &s[i], ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- records ------------------------------------------------------------- */

static int apply_create(struct volumes *vols, uint64_t id, const void *body)
{
	const struct catalog_create *rec = body;
	struct catalog *c = &vols->catalog;
	char name[VOLUME_NAME_MAX + 1] = "";
	struct volume *v;
	uint32_t slot;

	memcpy(name, rec->name, le16_get(rec->name_len));
	if (id != c->next_volume || catalog_find_name(c, name) != NULL)
		return -EBADMSG;
	slot = free_slot(c);
	if (slot >= VOLUMES_MAX || id == UINT32_MAX)
		return -EBADMSG;
	/* Live, catalog_reserve() has made the room. */
	if (catalog_set_nslots(c, max_u32(c->nslots, slot + 1)) < 0)
		return -ENOMEM;
	v = volume_new(vols, (uint32_t)id, slot);
	if (v == NULL)
		return -ENOMEM;
	c->next_volume++;
	v->state = CATALOG_READY;
	v->uuid = rec->uuid;
	v->size_bytes = le64_get(rec->size_bytes);
	v->levels = size_to_levels(v->size_bytes);
	v->created_s = le64_get(rec->created_s);
	v->family = v->id;
	v->birth = 1;
	memcpy(v->name, name, sizeof(name));
	name_insert(c, v);
	catalog_touch(v);
	return 0;
}

static int apply_resize(struct volume *v, const void *body)
{
	uint64_t size_bytes;
	le64 raw;

	if (v->state != CATALOG_READY)
		return -EBADMSG;
	memcpy(&raw, body, sizeof(raw));
	size_bytes = le64_get(raw);
	if (size_bytes == v->size_bytes) {
		v->flags &= (uint8_t)~CATALOG_SHRUNK;
	} else if (size_bytes < v->size_bytes) {
		v->flags |= CATALOG_SHRUNK;
	} else {
		while (levels_to_leaves(v->levels) <
		       size_to_leaves(size_bytes))
			map_raise_root(v);
	}
	v->size_bytes = size_bytes;
	catalog_touch(v);
	return 0;
}

static int apply_rename(struct volume *v, const void *body)
{
	struct catalog *c = &v->vols->catalog;
	char name[VOLUME_NAME_MAX + 1] = "";
	le16 len;

	memcpy(&len, body, sizeof(len));
	memcpy(name, (const char *)body + sizeof(len), le16_get(len));
	if (v->state != CATALOG_READY || catalog_find_name(c, name) != NULL)
		return -EBADMSG;
	name_remove(c, v);
	memcpy(v->name, name, sizeof(name));
	name_insert(c, v);
	catalog_touch(v);
	return 0;
}

static int apply_delete(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;

	if (v->state != CATALOG_READY)
		return -EBADMSG;
	name_remove(c, v);
	v->state = CATALOG_DELETING;
	v->cursor = 0;
	c->ndeleting++;
	catalog_touch(v);
	return 0;
}

static void slot_free(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;
	struct volume **p = &c->hash[v->id % VOLUME_HASH];

	catalog_touch(v);
	c->slots[v->slot] = NULL;
	c->mapped -= v->mapped;
	v->mapped = 0;
	c->ndeleting--;
	while (*p != v)
		p = &(*p)->hash_next;
	*p = v->hash_next;
	list_remove(&v->reap_link);
	v->gone = true; /* whoever holds it last frees it */
}

static int apply_reap(struct volume *v, const void *body)
{
	uint64_t cursor;
	le64 raw;

	memcpy(&raw, body, sizeof(raw));
	cursor = le64_get(raw);
	if (v->state != CATALOG_DELETING || cursor < v->cursor)
		return -EBADMSG;
	if (cursor == UINT64_MAX) {
		map_drop_all(v);
		vol_hold(v);
		slot_free(v);
		vol_release(v);
		return 0;
	}
	cursor = min_u64(cursor, levels_to_leaves(v->levels));
	map_unmap_range(v, v->cursor * LEAF_ENTRIES,
			(cursor - v->cursor) * LEAF_ENTRIES);
	v->cursor = cursor;
	catalog_touch(v);
	return 0;
}

void vol_release(struct volume *v)
{
	assert(v->ops > 0);
	v->ops--;
	if (v->ops == 0 && v->gone) {
		node_tree_forget(v);
		volume_free(v);
	}
}

int catalog_apply(struct volumes *vols, uint32_t subtype, uint64_t id,
		  const void *body, uint32_t len_bytes)
{
	struct volume *v;
	const char *why;

	if (catalog_body_validate(subtype, body, len_bytes, &why) < 0)
		return -EBADMSG;
	if (subtype == CATALOG_CREATE)
		return apply_create(vols, id, body);
	v = catalog_find_id(&vols->catalog, id);
	if (v == NULL)
		return -EBADMSG;
	switch (subtype) {
	case CATALOG_RESIZE:
		return apply_resize(v, body);
	case CATALOG_RENAME:
		return apply_rename(v, body);
	case CATALOG_DELETE:
		return apply_delete(v);
	case CATALOG_REAP:
		return apply_reap(v, body);
	default:
		return -EBADMSG;
	}
}
