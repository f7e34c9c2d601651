/* volume/catalog_trash.c - CATALOG records of the trash: into it, out of it,
 * and what is in it deleted for good.
 *
 * A volume in the trash has all that it had: map, snapshots, checkpoints.  It
 * has lost its place among the names, and so nobody finds it or what belongs to
 * it.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

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
	c->ntrashed++;
	catalog_touch(v);
	return 0;
}

static void leave(struct volume *v)
{
	v->flags &= (uint8_t)~CATALOG_TRASHED;
	v->trashed_s = 0;
	v->vols->catalog.ntrashed--;
	catalog_touch(v);
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
	v->vols->reaper.scanned = false; /* to be found */
	return 0;
}
