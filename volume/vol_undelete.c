/* volume/vol_undelete.c - out of the trash: back, or for good.
 *
 *   by name or UUID: in the trash --> the record
 *                    taken out before, and as is asked for --> already
 */
#include <errno.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/volumes.h"

/* The volume of that UUID that is not in the trash; NULL: there is none. */
static struct volume *find_uuid(const struct catalog *c, const char *name)
{
	struct uuid uuid;

	if (!uuid_parse(name, &uuid))
		return NULL;
	for (uint32_t i = 0; i < c->nsorted; i++)
		if (uuid_equal(&c->sorted[i]->uuid, &uuid))
			return c->sorted[i];
	return NULL;
}

/* Was it taken out of the trash before, to be called `as` ("": what it was
 * called)?  By its UUID that can be told; by its old name, which may be
 * another's by now, only that there is one of the new name. */
static bool was_undeleted(const struct catalog *c, const char *name,
			  const char *as)
{
	const struct volume *v;
	struct uuid uuid;

	v = catalog_find_name(c, as[0] != '\0' ? as : name);
	if (!uuid_parse(name, &uuid) || (v != NULL && as[0] == '\0'))
		return v != NULL;
	if (as[0] == '\0')
		return find_uuid(c, name) != NULL;
	return v != NULL && uuid_equal(&v->uuid, &uuid);
}

/* What ctl->name is in the trash; as NULL: to be purged, else to be called so
 * ("": what it is called).  NULL: refused, or with *ret_already it has been
 * taken out. */
static struct volume *find(struct volumes *vols, struct vol_ctl *ctl,
			   const char *as, bool *ret_already)
{
	const char *name = vol_ctl_name(ctl);
	const struct volume *out;
	struct volume *v;
	bool several;

	*ret_already = false;
	v = vols_trash_find(vols, name, &several);
	if (v != NULL)
		return v;
	if (several) {
		vol_ctl_refuse(vols, ctl, -ENOTUNIQ,
			       "The trash has several volumes '%.80s': say "
			       "which by its UUID.", name);
		return NULL;
	}
	*ret_already = as != NULL && was_undeleted(&vols->catalog, name, as);
	if (*ret_already)
		return NULL;
	out = find_uuid(&vols->catalog, name);
	if (out != NULL)
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "Volume '%.80s' is not in the trash, and is "
			       "called '%.80s': rename it.", name, out->name);
	else
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "There is no volume '%.80s' in the trash: list "
			       "it to see what there is.", name);
	return NULL;
}

void vol_undelete_start(struct volumes *vols, struct vol_ctl *ctl)
{
	char   name[VOLUME_NAME_MAX + 1] = "";
	size_t len = ctl->body[0] | (size_t)ctl->body[1] << 8;
	bool   already;
	struct vol_need need;
	struct volume *v;

	memcpy(name, ctl->body + sizeof(le16), len);
	v = find(vols, ctl, name, &already);
	if (v == NULL && !already)
		return;
	if (already) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (len == 0) {
		len = strlen(v->name);
		memcpy(name, v->name, len + 1);
	}
	if (catalog_find_name(&vols->catalog, name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "There is a volume '%.80s' by now: give the one "
			       "in the trash another name.", name);
		return;
	}
	ctl->body[0] = (uint8_t)len;
	ctl->body[1] = (uint8_t)(len >> 8);
	memcpy(ctl->body + sizeof(le16), name, len);
	ctl->uuid = v->uuid;
	need = vol_need_of(v, v->size_bytes, false);
	if (vol_ctl_pledge(vols, ctl, v, &need))
		return;
	vol_ctl_append(vols, ctl, v, CATALOG_UNDELETE, sizeof(le16) + len);
}

void vol_undelete(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name;
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME);
	size_t len = 0;

	if (r == 0 && new_name != NULL) {
		r = vol_name_problem(new_name, ctl->error) != NULL ? -EINVAL :
								     0;
		len = r == 0 ? strlen(new_name) : 0;
	}
	ctl->body[0] = (uint8_t)len;
	ctl->body[1] = (uint8_t)(len >> 8);
	if (len > 0)
		memcpy(ctl->body + sizeof(le16), new_name, len);
	vol_ctl_queue(vols, ctl, CTL_UNDELETE, r);
}

void vol_purge_start(struct volumes *vols, struct vol_ctl *ctl)
{
	bool already;
	struct volume *v = find(vols, ctl, NULL, &already);

	if (v == NULL)
		return;
	/* By itself: it may have been taken out and put in anew meanwhile. */
	if (ctl == &vols->trash.ctl && v != vol_trash_due(vols)) {
		vol_ctl_end(vols, ctl, -ENOENT);
		return;
	}
	ctl->uuid = v->uuid;
	vol_ctl_append(vols, ctl, v, CATALOG_PURGE, 0);
}

void vol_purge(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_PURGE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME));
}
