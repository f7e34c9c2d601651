/* volume/vol_catalog.c - the control operations that change no more than the
 * catalog: create, rename, delete, and holding snapshots.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

static_assert(sizeof(struct catalog_create) + VOLUME_NAME_MAX +
			      sizeof(struct catalog_props) < CTL_NAME_OFF,
	      "body of a create");

/* --- create -------------------------------------------------------------- */

static void create_again(struct volumes *vols, struct vol_ctl *ctl,
			 const struct volume *v)
{
	ctl->already = v->size_bytes == ctl->size_bytes &&
		       vol_props_are(v, &ctl->props);
	if (ctl->already)
		vol_ctl_end(vols, ctl, 0);
	else if (v->size_bytes != ctl->size_bytes)
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' exists with %llu bytes: resize "
			       "it, or take another name.", v->name,
			       (unsigned long long)v->size_bytes);
	else
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' exists with other "
			       "properties: set those, or take another name.", v->name);
}

void vol_create_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_create *rec = (struct catalog_create *)ctl->body;
	const char *name = vol_ctl_name(ctl);
	size_t len = strlen(name);
	struct vol_need need = { .size_bytes = ctl->size_bytes };
	struct volume *v;

	if (ctl->props.mask & VOL_PROP_RESERVE)
		need.reserve_bytes = ctl->props.reserve_bytes;
	if (vol_ctl_bad_size(vols, ctl))
		return;
	v = catalog_find_name(&vols->catalog, name);
	if (v != NULL) {
		create_again(vols, ctl, v);
		return;
	}
	if (vol_props_refused(vols, ctl, NULL, ctl->size_bytes) ||
	    vol_ctl_no_room(vols, ctl, 1) ||
	    vol_ctl_pledge(vols, ctl, NULL, &need))
		return;
	rec->uuid = ctl->uuid;
	rec->size_bytes = le64_of(ctl->size_bytes);
	rec->created_s = le64_of(ctl->now_s);
	rec->name_len = le16_of((uint16_t)len);
	memcpy(rec->name, name, len);
	len += sizeof(*rec);
	if (ctl->props.mask != 0)
		len += vol_props_encode(&ctl->props, ctl->body + len);
	vol_ctl_append(vols, ctl, NULL, CATALOG_CREATE, len);
}

void vol_create(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *name = ctl->name != NULL ? ctl->name : "";
	int r = -EINVAL;

	if (vol_name_problem(name, ctl->error) == NULL)
		r = vol_ctl_take_name(ctl, name, VOL_KIND_VOLUME);
	vol_ctl_queue(vols, ctl, CTL_CREATE, r);
}

/* --- rename -------------------------------------------------------------- */

void vol_rename_start(struct volumes *vols, struct vol_ctl *ctl)
{
	char    new_name[VOLUME_NAME_MAX + 1] = "";
	uint8_t *body = ctl->body;
	size_t  len = body[0] | (size_t)body[1] << 8;
	struct volume *v;

	memcpy(new_name, body + sizeof(le16), len);
	v = vol_ctl_find(vols, ctl);
	if (v == NULL)
		return;
	if (v->flags & CATALOG_HIDDEN) {
		vol_ctl_refuse(vols, ctl, -EINVAL,
			       "'%.160s' is being received: it gets its name "
			       "at the end.", vol_ctl_name(ctl));
		return;
	}
	if (strcmp(v->name, new_name) == 0) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (v->of != NULL &&
	    catalog_find_of(v->of, v->kind, new_name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "%s '%.120s' cannot be renamed: its volume has "
			       "one called '%.80s' already; take another name.",
			       vol_name_word(vol_ctl_name(ctl)),
			       vol_ctl_name(ctl), new_name);
		return;
	}
	if (v->kind == CATALOG_VOLUME &&
	    catalog_find_name(&vols->catalog, new_name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' cannot be renamed: there is a "
			   "volume '%.80s' already; take another name.",
			   v->name, new_name);
		return;
	}
	vol_ctl_append(vols, ctl, v, CATALOG_RENAME, sizeof(le16) + len);
}

void vol_rename(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_ANY);

	if (r == 0)
		r = vol_ctl_check_own_name(ctl, new_name);
	if (r == 0) {
		size_t len = strlen(new_name);

		ctl->body[0] = (uint8_t)len;
		ctl->body[1] = (uint8_t)(len >> 8);
		memcpy(ctl->body + sizeof(le16), new_name, len);
	}
	vol_ctl_queue(vols, ctl, CTL_RENAME, r);
}

/* --- delete -------------------------------------------------------------- */

/* One of those that would go stands in the way.  True: refused. */
static bool delete_refused(struct volumes *vols, struct vol_ctl *ctl,
			   const struct volume *v)
{
	char name[TREE_NAME_MAX + 1];

	vol_full_name(v, name);
	if (v->flags & CATALOG_HELD)
		vol_ctl_refuse(vols, ctl, -EBUSY,
			       "Snapshot '%.160s' is held: release it first.",
			       name);
	else if (v->nusers > 0 && !ctl->force)
		vol_ctl_refuse(vols, ctl, -EBUSY,
			       "%s '%.160s' is in use by %u: detach it first, "
			       "or force it.", vol_name_word(name), name,
			       v->nusers);
	else
		return false;
	return true;
}

static void trash(struct volumes *vols, struct vol_ctl *ctl, struct volume *v)
{
	le64 now_s = le64_of(ctl->now_s);

	ctl->trashed = true;
	ctl->uuid = v->uuid;
	memcpy(ctl->body, &now_s, sizeof(now_s));
	vol_ctl_append(vols, ctl, v, CATALOG_TRASH, sizeof(now_s));
}

void vol_delete_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = vol_ctl_find(vols, ctl);

	if (v == NULL)
		return;
	if (v->nsnaps > 0 && !ctl->with_snapshots) {
		vol_ctl_refuse(vols, ctl, -ENOTEMPTY,
			   "Volume '%.80s' has snapshots: delete them first.",
			   v->name);
		return;
	}
	if (delete_refused(vols, ctl, v))
		return;
	list_for_each(it, &v->snaps)
		if (delete_refused(vols, ctl, list_entry(it, struct volume,
							 of_link)))
			return;
	if (ctl->by_schedule && !vol_schedule_owns(v)) {
		vol_ctl_refuse(vols, ctl, -EBUSY,
			       "%s '%.160s' is not its schedule's to delete.",
			       vol_name_word(vol_ctl_name(ctl)),
			       vol_ctl_name(ctl));
		return;
	}
	if (ctl->dry_run)
		vol_ctl_end(vols, ctl, 0);
	else if (vol_trash_takes(v) && !ctl->at_once)
		trash(vols, ctl, v);
	else
		vol_ctl_append(vols, ctl, v,
			       v->nsnaps > 0 ? CATALOG_PURGE : CATALOG_DELETE,
			       0);
}

void vol_delete(struct volumes *vols, struct vol_ctl *ctl)
{
	ctl->trashed = false;
	vol_ctl_queue(vols, ctl, CTL_DELETE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_ANY));
}

/* --- holding ------------------------------------------------------------- */

void vol_held_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_set *rec = (struct catalog_set *)ctl->body;
	bool held = ctl->op == CTL_HOLD;
	struct volume *s = vol_ctl_find(vols, ctl);

	if (s == NULL)
		return; /* and so has ctl */
	if (((s->flags & CATALOG_HELD) != 0) == held) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	rec->set = held ? CATALOG_HELD : 0;
	rec->clear = held ? 0 : CATALOG_HELD;
	vol_ctl_append(vols, ctl, s, CATALOG_SET, sizeof(*rec));
}

void vol_snapshot_hold(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_HOLD,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_SNAPSHOT));
}

void vol_snapshot_release(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_RELEASE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_SNAPSHOT));
}
