/* volume/catalog_apply.c - CATALOG records: how the catalog changes, live and
 * when the log is redone.
 *
 * A record that does not fit what there is (damage, or a bug) changes nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/tree_reap.h"
#include "volume/tree_thin.h"
#include "volume/volumes.h"

int catalog_volume_make(struct volumes *vols, uint64_t id, const char *bytes,
			uint32_t len_bytes, uint8_t flags,
			struct volume **ret_v)
{
	struct catalog *c = &vols->catalog;
	char name[VOLUME_NAME_MAX + 1] = "";
	struct volume *v;
	int r;

	memcpy(name, bytes, len_bytes);
	if (id != c->next_volume || ((flags & CATALOG_HIDDEN) == 0 &&
				     catalog_find_name(c, name) != NULL))
		return -EBADMSG;
	/* Live, this was done before. */
	r = catalog_reserve(c, 1);
	if (r < 0)
		return r == -ENOSPC ? -EBADMSG : r;
	v = catalog_volume_next(vols);
	v->kind = CATALOG_VOLUME;
	v->state = CATALOG_READY;
	v->flags = flags;
	memcpy(v->name, name, sizeof(name));
	catalog_name_insert(c, v);
	*ret_v = v;
	return 0;
}

void catalog_volume_start(struct volume *v, uint64_t size_bytes)
{
	v->size_bytes = size_bytes;
	v->levels = size_to_levels(size_bytes);
	v->family = v->id;
	v->birth = 1;
	tree_add(v, NULL);
}

static int apply_create(struct volumes *vols, uint64_t id, const void *body,
			uint32_t len_bytes)
{
	const struct catalog_create *rec = body;
	struct catalog_props props;
	struct volume *v;
	int r;

	r = catalog_volume_make(vols, id, rec->name, le16_get(rec->name_len),
				0, &v);
	if (r < 0)
		return r;
	v->uuid = rec->uuid;
	v->created_s = le64_get(rec->created_s);
	catalog_volume_start(v, le64_get(rec->size_bytes));
	if (catalog_create_props(rec, len_bytes, &props))
		catalog_props_take(v, &props);
	return 0;
}

void catalog_set_size(struct volume *v, uint64_t size_bytes)
{
	if (size_bytes == v->size_bytes) {
		v->flags &= (uint8_t)~CATALOG_SHRUNK;
	} else if (size_bytes < v->size_bytes) {
		v->flags |= CATALOG_SHRUNK;
		vol_reaper_add(v);
	} else {
		while (levels_to_leaves(v->levels) <
		       size_to_leaves(size_bytes))
			map_raise_root(v);
	}
	v->size_bytes = size_bytes;
	catalog_touch(v);
	vol_promise_update(v);
}

static int apply_resize(struct volume *v, const void *body)
{
	le64 raw;

	if (v->state != CATALOG_READY || v->kind != CATALOG_VOLUME)
		return -EBADMSG;
	memcpy(&raw, body, sizeof(raw));
	catalog_set_size(v, le64_get(raw));
	return 0;
}

static int apply_rename(struct volume *v, const void *body)
{
	struct catalog *c = &v->vols->catalog;
	char name[VOLUME_NAME_MAX + 1] = "";
	le16 len;

	memcpy(&len, body, sizeof(len));
	memcpy(name, (const char *)body + sizeof(len), le16_get(len));
	if (v->state != CATALOG_READY || catalog_is_trashed(v))
		return -EBADMSG;
	if (v->of != NULL) {
		if (catalog_find_of(v->of, v->kind, name) != NULL)
			return -EBADMSG;
		catalog_of_rename(v, name);
		catalog_schedule_let_go(v);
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

void catalog_checkpoint_free(struct volume *p)
{
	catalog_of_remove(p);
	catalog_volume_gone(p);
	vol_hold(p);
	vol_release(p);
}

void catalog_tree_delete(struct volume *t)
{
	t->flags &= (uint8_t)~(CATALOG_HIDDEN | CATALOG_SCHEDULED);
	memset(&t->schedule, 0, sizeof(t->schedule));
	t->promise.reserve_bytes = 0;
	t->promise.pause = false;
	vol_promise_update(t);
	tree_delete(t);
}

static int apply_delete(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;

	if (v->state != CATALOG_READY || v->nsnaps > 0 ||
	    v->flags & CATALOG_HELD || catalog_is_trashed(v))
		return -EBADMSG;
	if (v->kind == CATALOG_CHECKPOINT) {
		catalog_checkpoint_free(v);
		return 0;
	}
	if (v->kind == CATALOG_VOLUME)
		catalog_name_remove(c, v);
	else
		catalog_of_remove(v);
	while (!list_empty(&v->checkpoints))
		catalog_checkpoint_free(list_first(&v->checkpoints,
						   struct volume, of_link));
	catalog_tree_delete(v);
	return 0;
}

/* Flags of a snapshot, validated. */
static int apply_set(struct volume *v, const void *body)
{
	const struct catalog_set *rec = body;

	if (v->kind != CATALOG_SNAPSHOT || v->state != CATALOG_READY ||
	    catalog_is_trashed(v))
		return -EBADMSG;
	v->flags = (uint8_t)((v->flags | rec->set) & ~rec->clear);
	catalog_touch(v);
	return 0;
}

static void tree_gone(struct volume *v)
{
	struct catalog *c = &v->vols->catalog;

	/* What could not be read of it, and nobody else has. */
	if (v->fam->ntrees == 1)
		c->mapped -= min_u64(v->mapped, c->mapped);
	v->mapped = 0;
	v->root_id = 0;
	tree_remove(v);
	c->ndeleting--;
	vol_hold(v);
	catalog_volume_gone(v);
	vol_release(v);
}

static int apply_reap(struct volume *v, const void *body)
{
	uint64_t cursor;
	le64 raw;

	memcpy(&raw, body, sizeof(raw));
	cursor = le64_get(raw);
	if (v->state != CATALOG_DELETING || cursor < v->cursor)
		return -EBADMSG;
	reap_drop(v, cursor);
	catalog_touch(v);
	if (cursor != UINT64_MAX) {
		v->cursor = min_u64(cursor, levels_to_leaves(v->levels));
		vol_reaper_first(v);
	} else {
		tree_gone(v);
	}
	return 0;
}

/* Validated.  What it names may go also when the FORK has to be gone through
 * again by now. */
static int apply_thin(struct volume *v, const void *body)
{
	const struct catalog_thin *rec = body;

	if (v->state != CATALOG_FORK)
		return -EBADMSG;
	for (uint32_t i = 0; i < le32_get(rec->nleaves); i++)
		thin_drop(v, le64_get(rec->leaves[i].leaf),
			  rec->leaves[i].slots);
	if (v->cursor == le64_get(rec->from))
		tree_thinned(v, le64_get(rec->upto));
	if (le32_get(rec->first_shared) > 0 && v->origin != NULL)
		tree_thin_from(v->origin,
			       le64_get(rec->leaves[le32_get(
						rec->first_shared) - 1].leaf));
	return 0;
}

void vol_release(struct volume *v)
{
	assert(v->ops > 0);
	v->ops--;
	if (v->ops == 0 && v->gone) {
		node_tree_forget(v);
		free(v);
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
		return apply_create(vols, id, body, len_bytes);
	if (subtype == CATALOG_SNAP)
		return catalog_apply_snap(vols, id, body, len_bytes);
	if (subtype == CATALOG_CLONE)
		return catalog_apply_clone(vols, id, body);
	if (subtype == CATALOG_RECEIVE)
		return catalog_apply_receive(vols, id, body);
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
	case CATALOG_ROLLBACK:
		return catalog_apply_rollback(v, body);
	case CATALOG_PUBLISH:
		return catalog_apply_publish(v, body);
	case CATALOG_SET:
		return apply_set(v, body);
	case CATALOG_TRASH:
		return catalog_apply_trash(v, body);
	case CATALOG_UNDELETE:
		return catalog_apply_undelete(v, body);
	case CATALOG_PURGE:
		return catalog_apply_purge(v);
	case CATALOG_SCHEDULE:
		return catalog_apply_schedule(v, body);
	case CATALOG_PROPS:
		return catalog_apply_props(v, body);
	case CATALOG_THIN:
		return apply_thin(v, body);
	default:
		return -EBADMSG;
	}
}
