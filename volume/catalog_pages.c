/* volume/catalog_pages.c - the catalog's pages: from objects to slots for a
 * commit, and from slots to objects when a pool is opened.
 *
 * What refers to one another is joined when all pages are there; what does not
 * fit together is damage, and the pool is not opened.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* --- writing ------------------------------------------------------------- */

static void slot_encode(const struct volume *v, struct catalog_slot *s)
{
	s->id = le32_of(v->id);
	s->kind = v->kind;
	s->state = v->state;
	s->levels = v->levels;
	s->flags = (uint8_t)(v->flags | (v->promise.pause ? CATALOG_PAUSES :
							     0));
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
	s->trashed_s = le64_of(v->trashed_s);
	s->own = le64_of(v->own);
	s->reserve = le64_of(v->promise.reserve_bytes);
	catalog_schedule_encode(&v->schedule, &s->schedule);
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

/* --- reading ------------------------------------------------------------- */

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
	memcpy(name, s->name, le16_get(s->name_len));
	if (id >= c->next_volume || catalog_find_id(c, id) != NULL) {
		*ret_why = "catalog: volume id twice, or from the future";
		return -EBADMSG;
	}
	if (s->state == CATALOG_READY && s->kind == CATALOG_VOLUME &&
	    (s->flags & (CATALOG_HIDDEN | CATALOG_TRASHED)) == 0 &&
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
	v->flags = (uint8_t)(s->flags & ~CATALOG_PAUSES);
	v->promise.pause = (s->flags & CATALOG_PAUSES) != 0;
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
	v->trashed_s = le64_get(s->trashed_s);
	v->own = le64_get(s->own);
	v->promise.reserve_bytes = le64_get(s->reserve);
	if (v->flags & CATALOG_TRASHED)
		catalog_trash_insert(c, v);
	catalog_schedule_decode(&s->schedule, &v->schedule);
	memcpy(v->name, name, sizeof(name));
	if (v->state == CATALOG_DELETING || tree_to_thin(v))
		c->ndeleting++;
	if (v->state != CATALOG_READY)
		list_push(&c->deleted, &v->deleted_link);
	else if (v->kind == CATALOG_VOLUME)
		catalog_name_insert(c, v);
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

/* --- joining ------------------------------------------------------------- */

/* Its origin is older, and so has its place already. */
static const char *link_tree(const struct catalog *c, struct volume *v)
{
	struct volume *o = NULL;

	if (v->origin_id != 0) {
		o = catalog_find_id(c, v->origin_id);
		if (o == NULL || o->kind != CATALOG_SNAPSHOT)
			return "catalog: a tree derives from no snapshot";
		if (o->family != v->family || o->birth >= v->birth)
			return "catalog: a tree derives from what cannot be "
			       "its origin";
	}
	tree_add(v, o);
	return NULL;
}

static const char *kids_problem(const struct volume *v)
{
	if (v->state == CATALOG_DELETING && v->nkids > 1)
		return "catalog: two trees derive from one being deleted";
	if (v->state == CATALOG_FORK && v->nkids < 2)
		return "catalog: a fork that is none";
	return NULL;
}

static int order_birth(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;

	return (*x)->birth < (*y)->birth ? -1 : (*x)->birth > (*y)->birth;
}

static const char *link_trees(const struct catalog *c, struct volume **trees,
			      uint32_t n)
{
	const char *why = NULL;

	if (n > 0)
		qsort(trees, n, sizeof(trees[0]), order_birth);
	for (uint32_t i = 0; i < n && why == NULL; i++)
		why = link_tree(c, trees[i]);
	for (uint32_t i = 0; i < n && why == NULL; i++)
		why = kids_problem(trees[i]);
	return why;
}

static int order_id(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static int order_name(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;

	if ((*x)->of_id != (*y)->of_id)
		return (*x)->of_id < (*y)->of_id ? -1 : 1;
	if ((*x)->kind != (*y)->kind)
		return (*x)->kind < (*y)->kind ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

/* Snapshots and checkpoints belong to volumes, in order of their ids, and have
 * different names. */
static const char *link_owned(const struct catalog *c, struct volume **owned,
			      uint32_t n)
{
	if (n == 0)
		return NULL;
	qsort(owned, n, sizeof(owned[0]), order_name);
	for (uint32_t i = 1; i < n; i++)
		if (order_name(&owned[i - 1], &owned[i]) == 0)
			return "catalog: two snapshots of one name";
	qsort(owned, n, sizeof(owned[0]), order_id);
	for (uint32_t i = 0; i < n; i++) {
		struct volume *s = owned[i];
		struct volume *v = catalog_find_id(c, s->of_id);

		if (v == NULL || v->kind != CATALOG_VOLUME ||
		    v->state != CATALOG_READY ||
		    v->flags & CATALOG_HIDDEN || v->family != s->family ||
		    v->birth <= s->birth)
			return "catalog: a snapshot of no volume";
		catalog_of_insert(s, v);
	}
	return NULL;
}

int catalog_link(struct volumes *vols, const char **ret_why)
{
	const struct catalog *c = &vols->catalog;
	struct volume **some = malloc((c->nslots + 1) * sizeof(some[0]));
	uint32_t n = 0;

	if (some == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slots[i] != NULL &&
		    c->slots[i]->kind != CATALOG_CHECKPOINT)
			some[n++] = c->slots[i];
	*ret_why = link_trees(c, some, n);
	n = 0;
	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slots[i] != NULL && c->slots[i]->of_id != 0)
			some[n++] = c->slots[i];
	if (*ret_why == NULL)
		*ret_why = link_owned(c, some, n);
	for (uint32_t i = 0; *ret_why == NULL && i < c->nslots; i++)
		if (c->slots[i] != NULL)
			vol_reaper_add(c->slots[i]);
	free(some);
	return *ret_why == NULL ? 0 : -EBADMSG;
}
