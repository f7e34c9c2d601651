/* volume/vol_receive.c - the control operations around a copy that is received:
 * a hidden volume to write it to, and publishing that.
 *
 *   receive:  nothing against it? --> RECEIVE record: the hidden volume
 *   publish:  users go --> what an earlier shrinking left is gone --> the
 *             volume is still what the copy is based on? --> PUBLISH record
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

static_assert(sizeof(struct catalog_receive) + VOLUME_NAME_MAX < CTL_NAME_OFF,
	      "body of a receive");

/* --- receive ------------------------------------------------------------- */

/* Nothing may be there for a whole copy, and nothing else for another one.
 * True: refused. */
static bool receive_refused(struct volumes *vols, struct vol_ctl *ctl,
			    const struct volume *at)
{
	const char *name = vol_ctl_name(ctl);

	if (strchr(name, '@') == NULL && at != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' exists: a whole copy makes a "
			       "new one, take another name; or send what has "
			       "changed since a snapshot that it has.", name);
		return true;
	}
	if (strchr(name, '@') != NULL && at->flags & CATALOG_SHRUNK) {
		vol_ctl_refuse(vols, ctl, -ESTALE,
			       "Snapshot '%.160s' was taken while its volume "
			       "was being made smaller: nothing can be received "
			       "after it; receive a whole copy.", name);
		return true;
	}
	if (strchr(name, '@') != NULL && !vol_is_still(at->of, at)) {
		vol_ctl_refuse(vols, ctl, -ESTALE,
			       "Volume '%.80s' has changed since '%.160s': roll "
			       "it back to that snapshot before it receives "
			       "more.", at->of->name, name);
		return true;
	}
	return false;
}

void vol_receive_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_receive *rec = (struct catalog_receive *)ctl->body;
	const char    *name = vol_ctl_name(ctl);
	bool           part = strchr(name, '@') != NULL;
	struct volume *at;
	size_t         len;

	at = part ? vol_ctl_find(vols, ctl) :
		    catalog_find_name(&vols->catalog, name);
	if ((part && at == NULL) || receive_refused(vols, ctl, at) ||
	    vol_ctl_bad_size(vols, ctl) || vol_ctl_no_room(vols, ctl, 1))
		return;
	if (part)
		name = at->of->name;
	len = strlen(name);
	rec->snapshot = le32_of(part ? at->id : 0);
	rec->uuid = ctl->uuid;
	rec->created_s = le64_of(ctl->now_s);
	rec->size_bytes = le64_of(ctl->size_bytes);
	rec->name_len = le16_of((uint16_t)len);
	memcpy(rec->name, name, len);
	vol_ctl_append(vols, ctl, NULL, CATALOG_RECEIVE, sizeof(*rec) + len);
}

void vol_receive(struct volumes *vols, struct vol_ctl *ctl)
{
	int r = vol_ctl_take_name(ctl, ctl->name,
				  VOL_KIND_VOLUME | VOL_KIND_SNAPSHOT);

	if (r == 0 && catalog_name_is_hidden(ctl->name)) {
		vol_name_problem(ctl->name, ctl->error);
		r = -EINVAL;
	}
	vol_ctl_queue(vols, ctl, CTL_RECEIVE, r);
}

/* --- publish ------------------------------------------------------------- */

/* The volume that h is meant for; NULL: a new one, or with *ret_refused it
 * cannot be. */
static struct volume *target_of(struct volumes *vols, struct vol_ctl *ctl,
				const struct volume *h, bool *ret_refused)
{
	struct volume *v = catalog_find_name(&vols->catalog, h->name);
	const struct volume *base = h->origin;

	*ret_refused = true;
	if (base == NULL && v != NULL)
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "There is a volume '%.80s' by now: rename it, or "
			       "receive the copy under another name.", h->name);
	else if (base != NULL && (base->of == NULL || base->of != v))
		vol_ctl_refuse(vols, ctl, -ESTALE,
			       "What '%.80s' was to be continued from has been "
			       "deleted: receive a whole copy.", h->name);
	else if (base != NULL && !vol_is_still(v, base))
		vol_ctl_refuse(vols, ctl, -ESTALE,
			       "Volume '%.80s' has changed since '%.80s': roll "
			       "it back to that snapshot.", v->name,
			       base->name);
	else
		*ret_refused = false;
	return v;
}

void vol_publish_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;
	struct volume *h = vol_ctl_find(vols, ctl), *v;
	char name[VOLUME_NAME_MAX + 1] = "";
	bool refused;

	if (h == NULL)
		return;
	memcpy(name, rec->name, le16_get(rec->name_len));
	v = target_of(vols, ctl, h, &refused);
	if (refused)
		return;
	if (v != NULL && catalog_find_of(v, CATALOG_SNAPSHOT, name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' has a snapshot '%.80s' already: "
			       "delete or rename it.", v->name, name);
		return;
	}
	if (vol_ctl_must_wait(vols, ctl, h) ||
	    (v != NULL && vol_ctl_must_wait(vols, ctl, v)) ||
	    vol_ctl_no_room(vols, ctl, 1))
		return;
	rec->of = le32_of(v != NULL ? v->id : 0);
	vol_ctl_append(vols, ctl, h, CATALOG_PUBLISH,
		       sizeof(*rec) + le16_get(rec->name_len));
}

void vol_publish(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME);

	if (r == 0 && !catalog_name_is_hidden(ctl->name)) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "'%.160s' is not being received.", ctl->name);
		r = -EINVAL;
	}
	if (r == 0 && vol_name_problem(new_name, ctl->error) != NULL)
		r = -EINVAL;
	if (r == 0) {
		rec->uuid = ctl->uuid;
		rec->created_s = le64_of(ctl->now_s);
		rec->name_len = le16_of((uint16_t)strlen(new_name));
		memcpy(rec->name, new_name, strlen(new_name));
	}
	vol_ctl_queue(vols, ctl, CTL_PUBLISH, r);
}
