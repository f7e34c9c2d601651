/* volume/vol_snapshot.c - the control operation that takes snapshots.
 *
 *   names --> a body with ids --> nothing against it? --> one SNAP record: the
 *   instant of all of them is its place in the log
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* One more VOLUME@SNAPSHOT into the body, at *at. */
static int take_snapshot(struct volumes *vols, struct vol_ctl *ctl, unsigned i,
			 uint32_t *at)
{
	struct catalog_snap *e = (struct catalog_snap *)(ctl->body + *at);
	int    r = vol_ctl_take_name(ctl, ctl->names[i]);
	char  *snap = r == 0 ? strchr(vol_ctl_name(ctl), '@') : NULL;
	struct volume *v;
	size_t len;

	if (r < 0)
		return r;
	if (snap == NULL) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "'%.160s' does not name a snapshot: give "
			 "VOLUME@SNAPSHOT.", vol_ctl_name(ctl));
		return -EINVAL;
	}
	*snap++ = '\0';
	len = strlen(snap);
	v = catalog_find_name(&vols->catalog, vol_ctl_name(ctl));
	if (v == NULL) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "There is no volume '%.80s': list the volumes to see "
			 "their names; no snapshot was taken.", vol_ctl_name(ctl));
		return -ENOENT;
	}
	for (unsigned k = 0; k < i; k++) {
		size_t n = strlen(vol_ctl_name(ctl));

		if (strncmp(ctl->names[k], vol_ctl_name(ctl), n) != 0 ||
		    ctl->names[k][n] != '@')
			continue;
		snprintf(ctl->error, sizeof(ctl->error),
			 "Volume '%.80s' is named twice: one snapshot of it at "
			 "a time.", vol_ctl_name(ctl));
		return -EINVAL;
	}
	if (*at + sizeof(*e) + len > CTL_NAME_OFF) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "These are too many volumes for one group of "
			 "snapshots: take them in smaller groups.");
		return -E2BIG;
	}
	e->volume = le32_of(v->id);
	e->uuid = ctl->uuids[i];
	e->name_len = le16_of((uint16_t)len);
	memcpy(e->name, snap, len);
	*at += (uint32_t)(sizeof(*e) + len);
	return 0;
}

void vol_snapshot(struct volumes *vols, struct vol_ctl *ctl)
{
	le64     created_s = le64_of(ctl->now_s);
	uint32_t at = sizeof(created_s);
	int      r = ctl->nnames > 0 ? 0 : vol_ctl_take_name(ctl, "");

	memcpy(ctl->body, &created_s, sizeof(created_s));
	for (unsigned i = 0; r == 0 && i < ctl->nnames; i++)
		r = take_snapshot(vols, ctl, i, &at);
	ctl->size_bytes = at; /* of the body */
	vol_ctl_queue(vols, ctl, CTL_SNAPSHOT, r);
}

/* The next one of the group.  False: refused. */
static bool snapshot_check(struct volumes *vols, struct vol_ctl *ctl,
			   const struct snap_iter *it)
{
	struct volume *v = catalog_find_id(&vols->catalog, it->volume);

	if (v == NULL || v->state != CATALOG_READY) {
		vol_ctl_refuse(vols, ctl, -ENOENT,
			   "A volume of which a snapshot '%.80s' was to be "
			   "taken has been deleted: no snapshot was taken.",
			   it->name);
		return false;
	}
	if (catalog_find_snap(v, it->name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			   "Volume '%.80s' has a snapshot '%.80s' already: take "
			   "another name; no snapshot was taken.", v->name,
			   it->name);
		return false;
	}
	return true;
}

void vol_snapshot_start(struct volumes *vols, struct vol_ctl *ctl)
{
	uint32_t n = 0, bytes = (uint32_t)ctl->size_bytes;
	struct snap_iter it;
	int r;

	snap_iter_init(&it, ctl->body, bytes);
	for (; snap_iter_next(&it); n++)
		if (!snapshot_check(vols, ctl, &it))
			return;
	r = catalog_reserve(&vols->catalog, n);
	if (r == 0 && vols->catalog.next_volume > UINT32_MAX - n)
		r = -ENOSPC;
	if (r < 0) {
		vol_ctl_refuse(vols, ctl, r, "No snapshot was taken: %s.",
			   r == -ENOSPC ?
			   "the pool has as many volumes and snapshots as it "
			   "can hold; delete some" : "out of memory");
		return;
	}
	vol_ctl_append(vols, ctl, NULL, CATALOG_SNAP, bytes);
}
