/* volume/catalog_apply.c - CATALOG records: how the catalog changes, live and
 * when the log is redone.
 *
 * A record that does not fit what there is (damage, or a bug) changes nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/tree_reap.h"
#include "volume/volumes.h"

/* What a snapshot is: one more tree with the same root. */
static void snap_make(struct volume *v, const struct snap_iter *it)
{
	struct catalog *c = &v->vols->catalog;
	uint32_t slot = catalog_free_slot(c, 0);
	struct volume *s;

	c->nslots = max_u32(c->nslots, slot + 1);
	s = catalog_volume_new(v->vols, c->next_volume, slot);
	if (s == NULL)
		abort(); /* as in slab_need() */
	c->next_volume++;
	s->kind = CATALOG_SNAPSHOT;
	s->state = CATALOG_READY;
	s->levels = v->levels;
	s->flags = CATALOG_READ_ONLY | (v->flags & CATALOG_SHRUNK);
	s->uuid = it->uuid;
	s->size_bytes = v->size_bytes;
	s->created_s = it->created_s;
	s->family = v->family;
	s->root_id = v->root_id;
	s->birth = v->birth;
	s->mapped = v->mapped;
	s->of = v;
	memcpy(s->name, it->name, sizeof(s->name));
	v->birth++;
	tree_insert_before(s, v);
	catalog_touch(s);
}

/* Is the volume among the first n of the group? */
static bool snap_named_before(const void *body, uint32_t len_bytes,
			      uint32_t n, uint32_t volume)
{
	struct snap_iter it;

	snap_iter_init(&it, body, len_bytes);
	while (n-- > 0 && snap_iter_next(&it))
		if (it.volume == volume)
			return true;
	return false;
}

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
	slot = catalog_free_slot(c, 0);
	if (slot >= VOLUMES_MAX || id == UINT32_MAX)
		return -EBADMSG;
	/* Live, catalog_reserve() has made the room. */
	if (catalog_set_nslots(c, max_u32(c->nslots, slot + 1)) < 0)
		return -ENOMEM;
	v = catalog_volume_new(vols, (uint32_t)id, slot);
	if (v == NULL)
		return -ENOMEM;
	c->next_volume++;
	v->kind = CATALOG_VOLUME;
	v->state = CATALOG_READY;
	v->uuid = rec->uuid;
	v->size_bytes = le64_get(rec->size_bytes);
	v->levels = size_to_levels(v->size_bytes);
	v->created_s = le64_get(rec->created_s);
	v->family = v->id;
	v->birth = 1;
	memcpy(v->name, name, sizeof(name));
	catalog_name_insert(c, v);
	catalog_touch(v);
	return 0;
}

static int apply_resize(struct volume *v, const void *body)
{
	uint64_t size_bytes;
	le64 raw;

	if (v->state != CATALOG_READY || v->kind != CATALOG_VOLUME)
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
	if (v->state != CATALOG_READY)
		return -EBADMSG;
	if (v->kind == CATALOG_SNAPSHOT) {
		if (catalog_find_snap(v->of, name) != NULL)
			return -EBADMSG;
		memcpy(v->name, name, sizeof(name));
		catalog_touch(v);
		return 0;
	}
	if (catalog_find_name(c, name) != NULL)
		return -EBADMSG;
	catalog_name_remove(c, v);
	memcpy(v->name, name, sizeof(name));
	catalog_name_insert(c, v);
	catalog_touch(v);
	return 0;
}

/* A group: first whether all of it can be, then all of it. */
static int apply_snap(struct volumes *vols, uint64_t id, const void *body,
		      uint32_t len_bytes)
{
	struct catalog *c = &vols->catalog;
	struct snap_iter it;
	uint32_t n = 0;
	int r;

	for (snap_iter_init(&it, body, len_bytes); snap_iter_next(&it); n++) {
		struct volume *v = catalog_find_id(c, it.volume);

		if (v == NULL || v->kind != CATALOG_VOLUME ||
		    v->state != CATALOG_READY || v->birth == UINT32_MAX ||
		    catalog_find_snap(v, it.name) != NULL ||
		    snap_named_before(body, len_bytes, n, it.volume))
			return -EBADMSG;
	}
	if (n == 0 || id != c->next_volume || id + n > UINT32_MAX)
		return -EBADMSG;
	/* Live, this was done before. */
	r = catalog_reserve(c, n);
	if (r < 0)
		return r == -ENOSPC ? -EBADMSG : r;
	for (snap_iter_init(&it, body, len_bytes); snap_iter_next(&it);)
		snap_make(catalog_find_id(c, it.volume), &it);
	return 0;
}

static int apply_delete(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;

	if (v->state != CATALOG_READY)
		return -EBADMSG;
	for (struct volume *s = v->origin;
	     s != NULL && v->kind == CATALOG_VOLUME; s = s->origin)
		if (s->state == CATALOG_READY)
			return -EBADMSG;
	if (v->kind == CATALOG_VOLUME)
		catalog_name_remove(c, v);
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
	/* What could not be read of it, and nobody else has. */
	if (v->origin == NULL && v->next == NULL)
		c->mapped -= min_u64(v->mapped, c->mapped);
	v->mapped = 0;
	tree_remove(v);
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
	if (v->kind == CATALOG_VOLUME && v->origin != NULL)
		return -EBADMSG; /* it goes after its snapshots */
	reap_drop(v, cursor);
	catalog_touch(v);
	if (cursor != UINT64_MAX) {
		v->cursor = min_u64(cursor, levels_to_leaves(v->levels));
		return 0;
	}
	v->root_id = 0;
	vol_hold(v);
	slot_free(v);
	vol_release(v);
	return 0;
}

void vol_release(struct volume *v)
{
	assert(v->ops > 0);
	v->ops--;
	if (v->ops == 0 && v->gone) {
		node_tree_forget(v);
		catalog_volume_free(v);
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
	if (subtype == CATALOG_SNAP)
		return apply_snap(vols, id, body, len_bytes);
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
