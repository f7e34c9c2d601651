/* volume/vol_receive.c - the control operations around a copy that is received:
 * a hidden volume to write it to, and publishing that.
 *
 *   receive:  nothing against it? --> RECEIVE record: the hidden volume
 *             its size is not yet that of the copy? what an earlier shrinking
 *             left is gone --> RESIZE record
 *   publish:  users go --> what an earlier shrinking left is gone --> the
 *             volume is still what the copy is based on? --> PUBLISH record
 *
 * Who asks again, because nobody told it what became of its request, is told
 * that it is so already: the hidden volume has the uuid that was asked for, and
 * so has a volume that is published without a base; one that had a base has the
 * snapshot then.
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
 * True: refused, or to be found out. */
static bool receive_refused(struct volumes *vols, struct vol_ctl *ctl,
			    struct volume *at)
{
	const char *name = vol_ctl_name(ctl);
	bool same;

	if (strchr(name, '@') == NULL && at != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' exists: a whole copy makes a "
			       "new one, take another name; or send what has "
			       "changed since a snapshot that it has.", name);
		return true;
	}
	if (strchr(name, '@') == NULL)
		return false;
	if (!vol_is_still(ctl, at->of, at, &same))
		return true;
	if (!same)
		vol_ctl_refuse(vols, ctl, -ESTALE,
			       "Volume '%.80s' has changed since '%.160s': roll "
			       "it back to that snapshot before it receives "
			       "more.", at->of->name, name);
	return !same;
}

/* The hidden volume that the operation makes, or one before it has made; NULL:
 * there is none. */
static struct volume *hidden_find(struct volumes *vols,
				  const struct uuid *uuid)
{
	struct volume *h = vols_hidden_next(vols, NULL);

	while (h != NULL && !uuid_equal(&h->uuid, uuid))
		h = vols_hidden_next(vols, h);
	return h;
}

/* It is there.  Now it must have the right size: made from a snapshot that was
 * shrunk, it can only grow when what is behind its end has gone. */
static void receive_go_on(struct volumes *vols, struct vol_ctl *ctl,
			  struct volume *h, const struct volume *base)
{
	le64 size = le64_of(ctl->size_bytes);
	const char *name = base != NULL ? base->of->name : vol_ctl_name(ctl);

	if (h->origin != base || strcmp(h->name, name) != 0 ||
	    ctl->size_bytes < h->size_bytes) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Something else is being received with that "
			       "identity: take another one.");
	} else if (ctl->size_bytes == h->size_bytes) {
		ctl->already = !ctl->begun;
		vol_ctl_end(vols, ctl, 0);
	} else if (h->flags & CATALOG_SHRUNK) {
		if (vol_ctl_cannot_write(vols, ctl))
			return;
		vol_ctl_wait(vols, ctl, h);
		vol_reaper_add(h);
		vol_reaper_kick(vols);
	} else {
		memcpy(ctl->body, &size, sizeof(size));
		vol_ctl_append(vols, ctl, h, CATALOG_RESIZE, sizeof(size));
	}
}

void vol_receive_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_receive *rec = (struct catalog_receive *)ctl->body;
	const char    *name = vol_ctl_name(ctl);
	bool           part = strchr(name, '@') != NULL;
	struct volume *at, *h = hidden_find(vols, &ctl->uuid);
	uint64_t       size = ctl->size_bytes;
	size_t         len;

	at = part ? vol_ctl_find(vols, ctl) :
		    catalog_find_name(&vols->catalog, name);
	if (part && at == NULL)
		return;
	if (h != NULL) {
		receive_go_on(vols, ctl, h, part ? at : NULL);
		return;
	}
	if (receive_refused(vols, ctl, at) || vol_ctl_bad_size(vols, ctl) ||
	    vol_ctl_no_room(vols, ctl, 1))
		return;
	if (part) {
		name = at->of->name;
		if (at->flags & CATALOG_SHRUNK)
			size = min_u64(size, at->size_bytes);
	}
	len = strlen(name);
	rec->snapshot = le32_of(part ? at->id : 0);
	rec->uuid = ctl->uuid;
	rec->created_s = le64_of(ctl->now_s);
	rec->size_bytes = le64_of(size);
	rec->name_len = le16_of((uint16_t)len);
	memcpy(rec->name, name, len);
	ctl->begun = true;
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
	ctl->begun = false;
	vol_ctl_queue(vols, ctl, CTL_RECEIVE, r);
}

/* --- publish ------------------------------------------------------------- */

/* The volume that it is meant for, as the caller says ("": it does not), behind
 * the record's body. */
#define TARGET_OFF 1024u
static_assert(sizeof(struct catalog_branch) + VOLUME_NAME_MAX < TARGET_OFF &&
	      TARGET_OFF + VOLUME_NAME_MAX < CTL_NAME_OFF,
	      "body of a publish");

static char *target_name(struct vol_ctl *ctl)
{
	return (char *)ctl->body + TARGET_OFF;
}

static void new_name_of(const struct vol_ctl *ctl, char *ret_name)
{
	const struct catalog_branch *rec = (const void *)ctl->body;
	uint16_t len = le16_get(rec->name_len);

	memcpy(ret_name, rec->name, len);
	ret_name[len] = '\0';
}

/* Of what is hidden no more: is that because it was published, with that
 * snapshot? */
static bool is_published(const struct volumes *vols, struct vol_ctl *ctl)
{
	const struct catalog_branch *rec = (const void *)ctl->body;
	const struct catalog *c = &vols->catalog;
	const struct volume *v, *s;
	char name[VOLUME_NAME_MAX + 1], text[HIDDEN_NAME_BYTES];

	for (uint32_t i = 0; i < c->nsorted; i++)
		if (strcmp(catalog_hidden_name(c->sorted[i], text),
			   vol_ctl_name(ctl)) == 0)
			return true;
	new_name_of(ctl, name);
	v = catalog_find_name(c, target_name(ctl));
	s = v == NULL ? NULL : catalog_find_of(v, CATALOG_SNAPSHOT, name);
	return s != NULL && !uuid_is_zero(&rec->uuid) &&
	       uuid_equal(&s->uuid, &rec->uuid);
}

static void refuse_stale(struct volumes *vols, struct vol_ctl *ctl,
			 const struct volume *v, const struct volume *base)
{
	vol_ctl_refuse(vols, ctl, -ESTALE,
		       "Volume '%.80s' has changed since '%.80s': roll it back "
		       "to that snapshot.", v->name, base->name);
}

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
	else if (base != NULL && !vol_may_be_still(v, base))
		refuse_stale(vols, ctl, v, base);
	else
		*ret_refused = false;
	return v;
}

/* Has anybody written to v since the snapshot?  Asked when nobody can any more:
 * who did while it is found out would have it acknowledged, and lost.  True:
 * refused, or to be found out. */
static bool is_stale(struct volumes *vols, struct vol_ctl *ctl,
		     struct volume *v, struct volume *base)
{
	bool same;

	if (!vol_is_still(ctl, v, base, &same))
		return true;
	if (!same)
		refuse_stale(vols, ctl, v, base);
	return !same;
}

/* Could the snapshot be taken?  True: refused. */
static bool name_refused(struct volumes *vols, struct vol_ctl *ctl,
			 const struct volume *v)
{
	char name[VOLUME_NAME_MAX + 1];

	new_name_of(ctl, name);
	if (v == NULL)
		return false;
	if (name[0] == '\0')
		vol_ctl_refuse(vols, ctl, -EINVAL,
			       "What volume '%.80s' goes on with must have a "
			       "snapshot: name it.", v->name);
	else if (catalog_find_of(v, CATALOG_SNAPSHOT, name) != NULL)
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' has a snapshot '%.80s' already: "
			       "delete or rename it.", v->name, name);
	else
		return false;
	return true;
}

/* For the reserve of v: a snapshot will keep all that it has then.  True:
 * refused or waits. */
static bool no_space(struct vol_ctl *ctl, struct volume *v,
		     const struct volume *h)
{
	struct vol_need need;

	if (v == NULL)
		return false;
	need = vol_need_of(v, h->size_bytes, true);
	return vol_ctl_pledge(ctl->vols, ctl, v, &need);
}

void vol_publish_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;
	struct volume *h, *v;
	bool refused;

	h = catalog_find_name(&vols->catalog, vol_ctl_name(ctl));
	if (h == NULL && is_published(vols, ctl)) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (h == NULL) {
		vol_ctl_refuse(vols, ctl, -ENOENT,
			       "'%.80s' is not being received.",
			       vol_ctl_name(ctl));
		return;
	}
	v = target_of(vols, ctl, h, &refused);
	if (refused || name_refused(vols, ctl, v) ||
	    vol_ctl_must_wait(vols, ctl, h) ||
	    (v != NULL && (vol_ctl_must_wait(vols, ctl, v) ||
			   is_stale(vols, ctl, v, h->origin))) ||
	    vol_ctl_no_room(vols, ctl, 1) || no_space(ctl, v, h))
		return;
	rec->of = le32_of(v != NULL ? v->id : 0);
	vol_ctl_append(vols, ctl, h, CATALOG_PUBLISH,
		       sizeof(*rec) + le16_get(rec->name_len));
}

void vol_publish(struct volumes *vols, struct vol_ctl *ctl)
{
	struct catalog_branch *rec = (struct catalog_branch *)ctl->body;
	const char *new_name = ctl->new_name != NULL ? ctl->new_name : "";
	const char *target = ctl->nnames > 0 ? ctl->names[0] : "";
	int r = vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME);

	if (r == 0 && !catalog_name_is_hidden(ctl->name)) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "'%.160s' is not being received.", ctl->name);
		r = -EINVAL;
	}
	if (r == 0 && ((ctl->new_name != NULL &&
			vol_name_problem(new_name, ctl->error) != NULL) ||
		       (target[0] != '\0' &&
			vol_name_problem(target, ctl->error) != NULL)))
		r = -EINVAL;
	if (r == 0) {
		rec->uuid = ctl->uuid;
		rec->created_s = le64_of(ctl->now_s);
		rec->name_len = le16_of((uint16_t)strlen(new_name));
		memcpy(rec->name, new_name, strlen(new_name));
		memcpy(target_name(ctl), target, strlen(target) + 1);
	}
	vol_ctl_queue(vols, ctl, CTL_PUBLISH, r);
}
