/* volume/vol_branch.c - the control operations that start from a snapshot: a
 * clone, and rolling a volume back.
 *
 *   clone:     nothing against it? --> CLONE record
 *   rollback:  users go, if forced --> what an earlier shrinking left is gone
 *              --> ROLLBACK record
 *
 * A volume that is rolled back has no users: what they still wrote would be
 * written to what it is then.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

static_assert(sizeof(struct catalog_branch) + VOLUME_NAME_MAX < CTL_NAME_OFF,
	      "body of a clone");

/* Into the body; "": there is no new name. */
static void take_new_name(struct vol_ctl *ctl, const char *new_name)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;
	size_t len = strlen(new_name);

	rec->uuid = ctl->uuid;
	rec->created_s = le64_of(ctl->now_s);
	rec->name_len = le16_of((uint16_t)len);
	if (len > 0)
		memcpy(rec->name, new_name, len);
}

/* The new name, VOLUME_NAME_MAX + 1 bytes; "": none. */
static void new_name_of(const struct vol_ctl *ctl, char *ret_name)
{
	const struct catalog_branch *rec = (const void *)ctl->body;
	uint16_t len = le16_get(rec->name_len);

	memcpy(ret_name, rec->name, len);
	ret_name[len] = '\0';
}

/* The record, about v (NULL: a new volume). */
static void append(struct volumes *vols, struct vol_ctl *ctl, struct volume *v,
		   const struct volume *snap)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;

	rec->of = le32_of(snap->id);
	vol_ctl_append(vols, ctl, v,
		       v == NULL ? CATALOG_CLONE : CATALOG_ROLLBACK,
		       sizeof(*rec) + le16_get(rec->name_len));
}

/* --- clone --------------------------------------------------------------- */

void vol_clone_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *s = vol_ctl_find(vols, ctl), *v;
	char name[VOLUME_NAME_MAX + 1];
	bool same = false;

	if (s == NULL)
		return;
	new_name_of(ctl, name);
	v = catalog_find_name(&vols->catalog, name);
	if (v != NULL && v != s->of && !vol_is_still(ctl, v, s, &same))
		return;
	if (same) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (v != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Snapshot '%.120s' was not cloned: there is a "
			       "volume '%.80s' already; take another name.",
			       vol_ctl_name(ctl), name);
		return;
	}
	if (!vol_ctl_no_room(vols, ctl, 1))
		append(vols, ctl, NULL, s);
}

void vol_clone(struct volumes *vols, struct vol_ctl *ctl)
{
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_SNAPSHOT);

	if (r == 0 && vol_name_problem(new_name, ctl->error) != NULL)
		r = -EINVAL;
	if (r == 0)
		take_new_name(ctl, new_name);
	vol_ctl_queue(vols, ctl, CTL_CLONE, r);
}

/* --- rollback ------------------------------------------------------------ */

/* Nobody new until the operation ends. */
static void keep_out(struct vol_ctl *ctl, struct volume *v)
{
	struct volume **slot = NULL;

	for (unsigned i = ARRAY_LEN(ctl->detached); i-- > 0;) {
		if (ctl->detached[i] == v)
			return;
		if (ctl->detached[i] == NULL || slot == NULL)
			slot = &ctl->detached[i];
	}
	/* It waited, and another object has the name by now. */
	if (*slot != NULL) {
		(*slot)->detaching--;
		vol_release(*slot);
	}
	*slot = v;
	v->detaching++;
	vol_hold(v);
}

bool vol_ctl_must_wait(struct volumes *vols, struct vol_ctl *ctl,
		       struct volume *v)
{
	bool force = ctl->force || v->flags & CATALOG_HIDDEN;
	bool told = v->detaching > 0;

	if (v->nusers > 0 && !force) {
		vol_ctl_refuse(vols, ctl, -EBUSY,
			       "Volume '%.80s' is in use by %u: detach it "
			       "first, or force it.", v->name, v->nusers);
		return true;
	}
	if (vol_ctl_cannot_write(vols, ctl))
		return true;
	/* Also when nobody is there: until the record is applied, who came
	 * would write to what the volume is no longer. */
	keep_out(ctl, v);
	if (v->nusers > 0) {
		vol_ctl_wait(vols, ctl, v);
		if (!told)
			vol_users_tell(v, true);
		return true;
	}
	if (v->flags & CATALOG_SHRUNK) {
		vol_ctl_wait(vols, ctl, v);
		vol_reaper_add(v);
		vol_reaper_kick(vols);
		return true;
	}
	return false;
}

void vol_rollback_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *s = vol_ctl_find(vols, ctl);
	char name[VOLUME_NAME_MAX + 1];
	struct vol_need need;
	bool kept, same;

	if (s == NULL)
		return;
	new_name_of(ctl, name);
	kept = name[0] != '\0' &&
	       catalog_find_of(s->of, CATALOG_SNAPSHOT, name) != NULL;
	if (!vol_is_still(ctl, s->of, s, &same))
		return;
	if (same && (kept || name[0] == '\0')) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (kept) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' was not rolled back: it has a "
			       "snapshot '%.80s' already; keep it as another "
			       "one.", s->of->name, name);
		return;
	}
	need = vol_need_of(s->of, s->size_bytes, true);
	if (!vol_ctl_must_wait(vols, ctl, s->of) &&
	    !vol_ctl_no_room(vols, ctl, 1) &&
	    !vol_ctl_pledge(vols, ctl, s->of, &need))
		append(vols, ctl, s->of, s);
}

void vol_rollback(struct volumes *vols, struct vol_ctl *ctl)
{
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_SNAPSHOT);

	if (r == 0 && ctl->new_name != NULL)
		r = vol_ctl_check_own_name(ctl, ctl->new_name);
	if (r == 0)
		take_new_name(ctl, ctl->new_name != NULL ? ctl->new_name : "");
	vol_ctl_queue(vols, ctl, CTL_ROLLBACK, r);
}
