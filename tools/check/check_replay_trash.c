/* tools/check/check_replay_trash.c - the trash in the rows after the commit:
 * volumes go into it, come out of it, and are deleted with all their snapshots.
 */
#include <errno.h>
#include <string.h>

#include "tools/check/check_tree.h"

bool ck_replay_is_trashed(const struct ck *ck, const struct ck_volume *v)
{
	if (v->volume == 0)
		return v->trashed;
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].state != 0 && ck->vols[i].id == v->volume)
			return ck->vols[i].trashed;
	}
	return false;
}

static bool has_held(const struct ck *ck, const struct ck_volume *v)
{
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].volume == v->id && ck->vols[i].state != 0 &&
		    ck->vols[i].held)
			return true;
	}
	return false;
}

static bool is_volume(const struct ck_volume *v)
{
	return v->kind == CATALOG_VOLUME && v->state == CATALOG_READY &&
	       !v->hidden;
}

const char *ck_replay_trash(const struct ck *ck, struct ck_volume *v,
			    const struct ck_rec *r)
{
	if (r->rec.n < 8)
		return "puts into the trash without a time";
	if (!is_volume(v) || v->trashed)
		return "puts into the trash what is no volume";
	if (has_held(ck, v))
		return "puts a snapshot that is held into the trash";
	v->trashed = true;
	return NULL;
}

const char *ck_replay_undelete(const struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r)
{
	char name[VOLUME_NAME_MAX + 1];

	if (!is_volume(v) || !v->trashed)
		return "takes out of the trash what is not in it";
	if (!ck_replay_name(r->body, r->rec.n, name))
		return "takes out of the trash without a name";
	if (ck_replay_name_used(ck, CATALOG_VOLUME, 0, name))
		return "gives a volume a name that another one has";
	v->trashed = false;
	memcpy(v->name, name, sizeof(v->name));
	return NULL;
}

const char *ck_replay_purge(struct ck *ck, struct ck_volume *v)
{
	uint32_t id = v->id;

	if (!is_volume(v))
		return "purges what is no volume";
	if (has_held(ck, v))
		return "deletes a snapshot that is held";
	for (uint32_t i = 0; i < ck->nvols; i++) {
		struct ck_volume *s = &ck->vols[i];

		if (s->volume != id || s->state == 0)
			continue;
		if (ck_is_tree(s))
			ck_replay_tree_go(s);
		else
			ck_tree_remove(ck, s);
	}
	ck_replay_tree_go(v);
	return NULL;
}
