/* volume/catalog_trash.c - CATALOG records of the trash: into it, out of it,
 * and what is in it deleted for good.
 *
 * A volume in the trash has all that it had: map, snapshots, checkpoints.  It
 * has lost its place among the names, and so nobody finds it or what belongs to
 * it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* --- in order ------------------------------------------------------------ */

static int order(const struct volume *a, const struct volume *b)
{
	if (a->trash_until_ns != b->trash_until_ns)
		return a->trash_until_ns < b->trash_until_ns ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int order_in_array(const void *a, const void *b)
{
	return order(*(const struct volume *const *)a,
		     *(const struct volume *const *)b);
}

/* Where the first one is that goes after v, or with it. */
static uint32_t trash_pos(const struct catalog *c, const struct volume *v)
{
	uint32_t lo = 0, hi = c->ntrashed;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (order(c->trashed[mid], v) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void catalog_trash_insert(struct catalog *c, struct volume *v)
{
	uint32_t i = trash_pos(c, v);

	assert(c->ntrashed < c->cap);
	memmove(&c->trashed[i + 1], &c->trashed[i],
		(c->ntrashed - i) * sizeof(c->trashed[0]));
	c->trashed[i] = v;
	c->ntrashed++;
	c->trash_changes++;
}

static void trash_remove(struct catalog *c, const struct volume *v)
{
	uint32_t i = trash_pos(c, v);

	assert(i < c->ntrashed && c->trashed[i] == v);
	c->ntrashed--;
	c->trash_changes++;
	memmove(&c->trashed[i], &c->trashed[i + 1],
		(c->ntrashed - i) * sizeof(c->trashed[0]));
}

void catalog_trash_sort(struct catalog *c)
{
	if (c->ntrashed > 1)
		qsort(c->trashed, c->ntrashed, sizeof(c->trashed[0]),
		      order_in_array);
}

struct volume *vols_trash_next(struct volumes *vols, const struct volume *prev)
{
	const struct catalog *c = &vols->catalog;
	uint32_t i = 0;

	if (prev != NULL) {
		i = trash_pos(c, prev);
		if (i < c->ntrashed && c->trashed[i] == prev)
			i++;
	}
	return i < c->ntrashed ? c->trashed[i] : NULL;
}

struct volume *vols_trash_find(struct volumes *vols, const char *name,
			       bool *ret_several)
{
	const struct catalog *c = &vols->catalog;
	struct volume *found = NULL;
	struct uuid uuid;
	bool is_uuid = uuid_parse(name, &uuid);
	unsigned n = 0;

	for (uint32_t i = 0; i < c->ntrashed; i++) {
		struct volume *v = c->trashed[i];

		if (is_uuid && uuid_equal(&v->uuid, &uuid)) {
			found = v;
			n = 1;
			break;
		}
		if (strcmp(v->name, name) == 0) {
			found = v;
			n++;
		}
	}
	if (ret_several != NULL)
		*ret_several = n > 1;
	return n == 1 ? found : NULL;
}

struct vols_trash_mark vols_trash_mark(const struct volumes *vols)
{
	const struct catalog *c = &vols->catalog;
	struct vols_trash_mark m = {
		.trees = c->trash_changes + c->tree_changes + c->deletions,
	};

	for (uint32_t i = 0; i < c->ntrashed; i++)
		m.writes += c->trashed[i]->fam->writes;
	return m;
}

/* --- records ------------------------------------------------------------- */

static bool has_held(const struct volume *v)
{
	list_for_each(it, &v->snaps)
		if (list_entry(it, struct volume, of_link)->flags &
		    CATALOG_HELD)
			return true;
	return false;
}

/* A volume that anybody can see, or with `trashed` one that is in the trash. */
static bool is_volume(const struct volume *v, bool trashed)
{
	return v->kind == CATALOG_VOLUME && v->state == CATALOG_READY &&
	       (v->flags & CATALOG_HIDDEN) == 0 &&
	       ((v->flags & CATALOG_TRASHED) != 0) == trashed;
}

int catalog_apply_trash(struct volume *v, const void *body)
{
	struct catalog *c = &v->vols->catalog;
	le64 raw;

	if (!is_volume(v, false) || has_held(v))
		return -EBADMSG;
	memcpy(&raw, body, sizeof(raw));
	catalog_name_remove(c, v);
	v->flags |= CATALOG_TRASHED;
	v->trashed_s = le64_get(raw);
	/* Redone, it is told later how long (vols_trash_start()). */
	v->trash_until_ns = io_now_ns(v->vols->io) + v->vols->trash.keep_ns;
	catalog_trash_insert(c, v);
	catalog_touch(v);
	vol_promise_update(v);
	return 0;
}

static void leave(struct volume *v)
{
	trash_remove(&v->vols->catalog, v);
	v->flags &= (uint8_t)~CATALOG_TRASHED;
	v->trashed_s = 0;
	catalog_touch(v);
	vol_promise_update(v);
}

int catalog_apply_undelete(struct volume *v, const void *body)
{
	struct catalog *c = &v->vols->catalog;
	char name[VOLUME_NAME_MAX + 1] = "";
	le16 len;

	memcpy(&len, body, sizeof(len));
	memcpy(name, (const char *)body + sizeof(len), le16_get(len));
	if (!is_volume(v, true) || catalog_find_name(c, name) != NULL)
		return -EBADMSG;
	leave(v);
	memcpy(v->name, name, sizeof(name));
	catalog_name_insert(c, v);
	return 0;
}

int catalog_apply_purge(struct volume *v)
{
	bool trashed = (v->flags & CATALOG_TRASHED) != 0;

	if (!is_volume(v, trashed) || has_held(v))
		return -EBADMSG;
	if (trashed)
		leave(v);
	else
		catalog_name_remove(&v->vols->catalog, v);
	while (!list_empty(&v->checkpoints))
		catalog_checkpoint_free(list_first(&v->checkpoints,
						   struct volume, of_link));
	while (!list_empty(&v->snaps)) {
		struct volume *s = list_first(&v->snaps, struct volume,
					      of_link);

		catalog_of_remove(s);
		if (!CANARY(purge_forgets))
			catalog_tree_delete(s);
	}
	catalog_tree_delete(v);
	return 0;
}
