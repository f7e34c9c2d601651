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

void catalog_volume_free(struct volume *v)
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
			catalog_volume_free(v);
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

/* The lowest one from `from` on. */
uint32_t catalog_free_slot(const struct catalog *c, uint32_t from)
{
	while (from < c->nslots && c->slots[from] != NULL)
		from++;
	return from;
}

int catalog_reserve(struct catalog *c, uint32_t n)
{
	uint32_t end = 0;

	for (uint32_t i = 0; i < n; i++)
		end = catalog_free_slot(c, end) + 1;
	if (end > VOLUMES_MAX)
		return -ENOSPC;
	return grow(c, end);
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

struct volume *catalog_find_snap(const struct volume *v, const char *name)
{
	for (struct volume *s = v->origin; s != NULL; s = s->origin)
		if (s->state == CATALOG_READY && strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

struct volume *catalog_find_name(const struct catalog *c, const char *name)
{
	const char *at = strchr(name, '@');
	char  volume[VOLUME_NAME_MAX + 1] = "";
	bool  found;
	uint32_t i;

	if (at == NULL) {
		i = name_pos(c, name, &found);
		return found ? c->sorted[i] : NULL;
	}
	if ((size_t)(at - name) >= sizeof(volume))
		return NULL;
	memcpy(volume, name, (size_t)(at - name));
	i = name_pos(c, volume, &found);
	return found ? catalog_find_snap(c->sorted[i], at + 1) : NULL;
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

void catalog_name_insert(struct catalog *c, struct volume *v)
{
	bool found;
	uint32_t i = name_pos(c, v->name, &found);

	assert(!found && c->nsorted < c->cap);
	memmove(&c->sorted[i + 1], &c->sorted[i],
		(c->nsorted - i) * sizeof(c->sorted[0]));
	c->sorted[i] = v;
	c->nsorted++;
}

void catalog_name_remove(struct catalog *c, struct volume *v)
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
	s->kind = v->kind;
	s->state = v->state;
	s->levels = v->levels;
	s->flags = v->flags;
	s->uuid = v->uuid;
	s->size_bytes = le64_of(v->size_bytes);
	s->created_s = le64_of(v->created_s);
	s->family = le32_of(v->family);
	s->root = le32_of(v->root_id);
	s->birth = le32_of(v->birth);
	s->origin = le32_of(v->origin != NULL ? v->origin->id : 0);
	s->volume = le32_of(v->of != NULL ? v->of->id : 0);
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
struct volume *catalog_volume_new(struct volumes *vols, uint32_t id,
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
	if (s->kind == CATALOG_VOLUME && le32_get(s->family) != id) {
		*ret_why = "catalog: a clone, which this version cannot serve";
		return -EBADMSG;
	}
	memcpy(name, s->name, le16_get(s->name_len));
	if (id >= c->next_volume || catalog_find_id(c, id) != NULL) {
		*ret_why = "catalog: volume id twice, or from the future";
		return -EBADMSG;
	}
	if (s->state == CATALOG_READY && s->kind == CATALOG_VOLUME &&
	    catalog_find_name(c, name) != NULL) {
		*ret_why = "catalog: two volumes of one name";
		return -EBADMSG;
	}
	v = catalog_volume_new(vols, id, slot);
	if (v == NULL)
		return -ENOMEM;
	v->kind = s->kind;
	v->state = s->state;
	v->levels = s->levels;
	v->flags = s->flags;
	v->uuid = s->uuid;
	v->size_bytes = le64_get(s->size_bytes);
	v->created_s = le64_get(s->created_s);
	v->family = le32_get(s->family);
	v->root_id = le32_get(s->root);
	v->birth = le32_get(s->birth);
	v->origin_id = le32_get(s->origin);
	v->of_id = le32_get(s->volume);
	v->mapped = le64_get(s->mapped);
	v->cursor = le64_get(s->cursor);
	memcpy(v->name, name, sizeof(name));
	if (v->state == CATALOG_DELETING)
		c->ndeleting++;
	else if (v->kind == CATALOG_VOLUME)
		catalog_name_insert(c, v);
	return 0;
}

static const char *link_one(const struct catalog *c, struct volume *v)
{
	struct volume *o;

	if (v->kind == CATALOG_SNAPSHOT) {
		v->of = catalog_find_id(c, v->of_id);
		if (v->of == NULL || v->of->kind != CATALOG_VOLUME ||
		    v->of->family != v->family)
			return "catalog: a snapshot of no volume";
	}
	if (v->origin_id == 0)
		return NULL;
	o = catalog_find_id(c, v->origin_id);
	if (o == NULL || o->kind != CATALOG_SNAPSHOT || o->next != NULL ||
	    o->family != v->family || o->birth >= v->birth ||
	    o->of_id != (v->kind == CATALOG_SNAPSHOT ? v->of_id : v->id))
		return "catalog: a tree derives from what cannot be its origin";
	v->origin = o;
	o->next = v;
	return NULL;
}

static int order_snaps(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;

	if ((*x)->of_id != (*y)->of_id)
		return (*x)->of_id < (*y)->of_id ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

/* READY snapshots of a volume have different names. */
static int names_check(const struct catalog *c, const char **ret_why)
{
	struct volume **snaps = malloc((c->nslots + 1) * sizeof(snaps[0]));
	uint32_t n = 0;

	if (snaps == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->nslots; i++) {
		struct volume *v = c->slots[i];

		if (v != NULL && v->kind == CATALOG_SNAPSHOT &&
		    v->state == CATALOG_READY)
			snaps[n++] = v;
	}
	qsort(snaps, n, sizeof(snaps[0]), order_snaps);
	for (uint32_t i = 1; i < n; i++)
		if (order_snaps(&snaps[i - 1], &snaps[i]) == 0)
			*ret_why = "catalog: two snapshots of one name";
	free(snaps);
	return *ret_why == NULL ? 0 : -EBADMSG;
}

int catalog_link(struct volumes *vols, const char **ret_why)
{
	const struct catalog *c = &vols->catalog;

	*ret_why = NULL;
	for (uint32_t i = 0; i < c->nslots && *ret_why == NULL; i++)
		if (c->slots[i] != NULL)
			*ret_why = link_one(c, c->slots[i]);
	for (uint32_t i = 0; i < c->nslots && *ret_why == NULL; i++) {
		const struct volume *v = c->slots[i];

		if (v != NULL && v->kind == CATALOG_SNAPSHOT && v->next == NULL)
			*ret_why = "catalog: a snapshot without a successor";
	}
	return *ret_why == NULL ? names_check(c, ret_why) : -EBADMSG;
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
