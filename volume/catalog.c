/* volume/catalog.c - slots, ids and names.
 *
 * A new volume takes the lowest free slot.  The array of READY volumes is
 * kept sorted by insertion: creating is rare, looking up is not.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

int catalog_init(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;

	memset(c, 0, sizeof(*c));
	list_init(&c->deleted);
	c->next_volume = 1;
	return 0;
}

void catalog_fini(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;

	for (unsigned i = 0; i < VOLUME_HASH; i++) {
		while (c->hash[i] != NULL) {
			struct volume *v = c->hash[i];

			c->hash[i] = v->hash_next;
			free(v);
		}
		while (c->families[i] != NULL) {
			struct family *f = c->families[i];

			c->families[i] = f->hash_next;
			free(f);
		}
	}
	free(c->path.trees);
	free(c->slots);
	free(c->sorted);
	free(c->trashed);
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
	p = realloc(c->trashed, cap * sizeof(c->trashed[0]));
	if (p == NULL)
		return -ENOMEM;
	c->trashed = p;
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

/* The lowest one from `from` on; may be beyond the last one. */
static uint32_t free_slot(const struct catalog *c, uint32_t from)
{
	from = max_u32(from, c->slots_full);
	while (from < c->nslots && c->slots[from] != NULL)
		from++;
	return from;
}

int catalog_reserve(struct catalog *c, uint32_t n)
{
	uint32_t end = 0;

	for (uint32_t i = 0; i < n; i++)
		end = free_slot(c, end) + 1;
	if (end > VOLUMES_MAX || c->next_volume > UINT32_MAX - n)
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

/* Of what has a volume's id, kind and name; the volume may be another object
 * later, but keeps its id. */
static uint32_t of_bucket(const struct volume *v, uint8_t kind,
			  const char *name)
{
	uint32_t crc = crc32c(v->id, name, strlen(name));

	return (crc ^ kind) % OF_HASH;
}

struct volume *catalog_find_of(const struct volume *v, uint8_t kind,
			       const char *name)
{
	struct volume *s = v->vols->catalog.of[of_bucket(v, kind, name)];

	while (s != NULL && (s->of != v || s->kind != kind ||
			     strcmp(s->name, name) != 0))
		s = s->of_next;
	return s;
}

static void of_hash(struct volume *s)
{
	struct volume **first =
		&s->vols->catalog.of[of_bucket(s->of, s->kind, s->name)];

	s->of_next = *first;
	*first = s;
}

static void of_unhash(struct volume *s)
{
	struct volume **p =
		&s->vols->catalog.of[of_bucket(s->of, s->kind, s->name)];

	while (*p != s)
		p = &(*p)->of_next;
	*p = s->of_next;
}

/* No volume can have a name like these. */
#define HIDDEN_PREFIX "receive/"

const char *catalog_hidden_name(const struct volume *v, char *ret_name)
{
	memcpy(ret_name, HIDDEN_PREFIX, sizeof(HIDDEN_PREFIX) - 1);
	uuid_text(&v->uuid, ret_name + sizeof(HIDDEN_PREFIX) - 1);
	return ret_name;
}

bool catalog_name_is_hidden(const char *name)
{
	return strncmp(name, HIDDEN_PREFIX, sizeof(HIDDEN_PREFIX) - 1) == 0 &&
	       strlen(name) == HIDDEN_NAME_BYTES - 1;
}

/* There are few, if any. */
static struct volume *find_hidden(const struct catalog *c, const char *name)
{
	char text[HIDDEN_NAME_BYTES];

	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slots[i] != NULL &&
		    c->slots[i]->flags & CATALOG_HIDDEN &&
		    strcmp(catalog_hidden_name(c->slots[i], text), name) == 0)
			return c->slots[i];
	return NULL;
}

struct volume *catalog_find_name(const struct catalog *c, const char *name)
{
	const char *at = strpbrk(name, "@#");
	char  volume[VOLUME_NAME_MAX + 1] = "";
	bool  found;
	uint32_t i;

	if (catalog_name_is_hidden(name))
		return find_hidden(c, name);
	if (at == NULL) {
		i = name_pos(c, name, &found);
		return found ? c->sorted[i] : NULL;
	}
	if ((size_t)(at - name) >= sizeof(volume))
		return NULL;
	memcpy(volume, name, (size_t)(at - name));
	i = name_pos(c, volume, &found);
	if (!found)
		return NULL;
	return catalog_find_of(c->sorted[i],
			       *at == '@' ? CATALOG_SNAPSHOT :
					    CATALOG_CHECKPOINT,
			       at + 1);
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

	if (v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED))
		return;
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

	if (v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED))
		return;
	assert(found && c->sorted[i] == v);
	c->nsorted--;
	memmove(&c->sorted[i], &c->sorted[i + 1],
		(c->nsorted - i) * sizeof(c->sorted[0]));
}

/* --- objects ------------------------------------------------------------- */

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

static void place_in(struct volume *v, uint32_t id, uint32_t slot)
{
	struct catalog *c = &v->vols->catalog;

	assert(slot < c->nslots && c->slots[slot] == NULL);
	v->id = id;
	v->slot = slot;
	c->slots[slot] = v;
	if (slot == c->slots_full)
		c->slots_full++;
	v->hash_next = c->hash[id % VOLUME_HASH];
	c->hash[id % VOLUME_HASH] = v;
}

static void take_out(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;
	struct volume **p = &c->hash[v->id % VOLUME_HASH];

	c->slots[v->slot] = NULL;
	c->slots_full = min_u32(c->slots_full, v->slot);
	while (*p != v)
		p = &(*p)->hash_next;
	*p = v->hash_next;
}

struct volume *catalog_volume_new(struct volumes *vols, uint32_t id,
				  uint32_t slot)
{
	struct volume *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->vols = vols;
	list_init(&v->users);
	list_init(&v->ranges);
	list_init(&v->reap_link);
	list_init(&v->deleted_link);
	for (unsigned i = 0; i < REQ_KINDS; i++)
		list_init(&v->wait_spans[i]);
	list_init(&v->tip_link);
	list_init(&v->kids);
	list_init(&v->kid_link);
	list_init(&v->snaps);
	list_init(&v->checkpoints);
	list_init(&v->of_link);
	place_in(v, id, slot);
	return v;
}

struct volume *catalog_volume_next(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;
	uint32_t slot = free_slot(c, 0);
	struct volume *v;

	assert(slot < c->cap);
	c->nslots = max_u32(c->nslots, slot + 1);
	v = catalog_volume_new(vols, c->next_volume, slot);
	if (v == NULL)
		abort(); /* as in slab_need() */
	c->next_volume++;
	catalog_touch(v);
	return v;
}

void catalog_volume_renumber(struct volume *v, struct volume *with)
{
	uint32_t id = v->id, slot = v->slot;
	uint32_t with_id = with->id, with_slot = with->slot;

	take_out(v);
	take_out(with);
	place_in(v, with_id, with_slot);
	place_in(with, id, slot);
	catalog_touch(v);
	catalog_touch(with);
}

void catalog_volume_gone(struct volume *v)
{
	catalog_touch(v);
	take_out(v);
	list_remove(&v->reap_link);
	list_remove(&v->deleted_link);
	v->gone = true;
}

void catalog_of_insert(struct volume *s, struct volume *v)
{
	bool snap = s->kind == CATALOG_SNAPSHOT;

	assert(s->of == NULL && v->kind == CATALOG_VOLUME);
	s->of = v;
	list_push(snap ? &v->snaps : &v->checkpoints, &s->of_link);
	*(snap ? &v->nsnaps : &v->ncheckpoints) += 1;
	of_hash(s);
}

void catalog_of_rename(struct volume *s, const char *name)
{
	of_unhash(s);
	snprintf(s->name, sizeof(s->name), "%s", name);
	of_hash(s);
	catalog_touch(s);
}

void catalog_of_remove(struct volume *s)
{
	struct volume *v = s->of;

	of_unhash(s);
	*(s->kind == CATALOG_SNAPSHOT ? &v->nsnaps : &v->ncheckpoints) -= 1;
	list_remove(&s->of_link);
	s->of = NULL;
}
