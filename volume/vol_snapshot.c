/* volume/vol_snapshot.c - the control operation that takes snapshots and
 * checkpoints.
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

static uint8_t schedule_of(const struct vol_ctl *ctl, unsigned i)
{
	assert(ctl->kinds == NULL || ctl->kinds[i] < PERIODS);
	return ctl->kinds == NULL ? 0 : ctl->kinds[i] + 1;
}

/* Has an earlier one of the group the same volume, mark and schedule? */
static bool named_before(const struct vol_ctl *ctl, unsigned i,
			 const char *volume, char mark)
{
	size_t n = strlen(volume);

	for (unsigned k = 0; k < i; k++)
		if (strncmp(ctl->names[k], volume, n) == 0 &&
		    ctl->names[k][n] == mark &&
		    schedule_of(ctl, k) == schedule_of(ctl, i))
			return true;
	return false;
}

/* The record being made, for a group. */
struct body {
	uint32_t    at;   /* its end */
	const char *name; /* the last one, NUL-ended; NULL: there is none */
};

/* One more VOLUME@SNAPSHOT or VOLUME#CHECKPOINT into the body. */
static int take_snapshot(struct volumes *vols, struct vol_ctl *ctl, unsigned i,
			 struct body *b)
{
	struct catalog_snap *e = (struct catalog_snap *)(ctl->body + b->at);
	int    r = vol_ctl_take_name(ctl, ctl->names[i],
				     VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT);
	char  *volume = vol_ctl_name(ctl);
	struct volume *v;
	size_t len;
	char  *snap, mark;

	if (r < 0)
		return r;
	snap = strpbrk(volume, "@#");
	mark = *snap;
	*snap++ = '\0';
	len = strlen(snap);
	v = catalog_find_name(&vols->catalog, volume);
	if (v == NULL) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "There is no volume '%.80s': list the volumes to see "
			 "their names; nothing was taken.", volume);
		return -ENOENT;
	}
	if (named_before(ctl, i, volume, mark)) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "Volume '%.80s' is named twice: one snapshot of it at "
			 "a time.", volume);
		return -EINVAL;
	}
	/* None stands for that of the one before. */
	if (b->name != NULL && strcmp(b->name, snap) == 0)
		len = 0;
	if (b->at + sizeof(*e) + len > CTL_NAME_OFF) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "These are too many volumes for one group of "
			 "snapshots: take them in smaller groups.");
		return -E2BIG;
	}
	e->volume = le32_of(v->id);
	e->uuid = ctl->uuids[i];
	e->kind = mark == '@' ? CATALOG_SNAPSHOT : CATALOG_CHECKPOINT;
	e->schedule = schedule_of(ctl, i);
	e->name_len = le16_of((uint16_t)len);
	memcpy(e->name, snap, len);
	b->at += (uint32_t)(sizeof(*e) + len);
	b->name = strpbrk(ctl->names[i], "@#") + 1;
	return 0;
}

void vol_snapshot(struct volumes *vols, struct vol_ctl *ctl)
{
	le64     created_s = le64_of(ctl->now_s);
	struct body b = { .at = sizeof(created_s) };
	int      r = 0;

	if (ctl->nnames == 0) {
		snprintf(ctl->error, sizeof(ctl->error),
			 "No snapshot is named: give at least one "
			 "VOLUME@SNAPSHOT or VOLUME#CHECKPOINT.");
		r = -EINVAL;
	}
	memcpy(ctl->body, &created_s, sizeof(created_s));
	/* Checkpoints first: rolled back to a snapshot of the same instant, the
	 * volume keeps them. */
	for (unsigned i = 0; r == 0 && i < ctl->nnames; i++)
		if (vol_name_kind(ctl->names[i]) == VOL_KIND_CHECKPOINT)
			r = take_snapshot(vols, ctl, i, &b);
	for (unsigned i = 0; r == 0 && i < ctl->nnames; i++)
		if (vol_name_kind(ctl->names[i]) != VOL_KIND_CHECKPOINT)
			r = take_snapshot(vols, ctl, i, &b);
	ctl->size_bytes = b.at; /* of the body */
	vol_ctl_queue(vols, ctl, CTL_SNAPSHOT, r);
}

/* The next one of the group.  False: refused. */
static bool snapshot_check(struct volumes *vols, struct vol_ctl *ctl,
			   const struct snap_iter *it)
{
	struct volume *v = catalog_find_id(&vols->catalog, it->volume);

	if (v == NULL || v->state != CATALOG_READY || catalog_is_trashed(v)) {
		vol_ctl_refuse(vols, ctl, -ENOENT,
			   "A volume of which a snapshot '%.80s' was to be "
			   "taken has been deleted: nothing was taken.",
			   it->name);
		return false;
	}
	if (catalog_find_of(v, it->kind, it->name) != NULL) {
		vol_ctl_refuse(vols, ctl, -EEXIST,
			       "Volume '%.80s' has a %s '%.80s' already: take "
			       "another name; nothing was taken.", v->name,
			       it->kind == CATALOG_SNAPSHOT ? "snapshot" :
							      "checkpoint",
			       it->name);
		return false;
	}
	return true;
}

/* What it would keep is the volume's own no more.  True: refused or waits. */
static bool snapshot_no_space(struct vol_ctl *ctl, const struct snap_iter *it)
{
	struct volumes *vols = ctl->vols;
	struct volume  *v = catalog_find_id(&vols->catalog, it->volume);
	struct vol_need need = vol_need_of(v, v->size_bytes, true);

	return vol_ctl_pledge(vols, ctl, v, &need);
}

void vol_snapshot_start(struct volumes *vols, struct vol_ctl *ctl)
{
	uint32_t n = 0, bytes = (uint32_t)ctl->size_bytes;
	struct snap_iter it;

	snap_iter_init(&it, ctl->body, bytes);
	for (; snap_iter_next(&it); n++)
		if (!snapshot_check(vols, ctl, &it))
			return;
	if (vol_ctl_no_room(vols, ctl, n))
		return;
	snap_iter_init(&it, ctl->body, bytes);
	while (snap_iter_next(&it))
		if (it.kind == CATALOG_SNAPSHOT && snapshot_no_space(ctl, &it))
			return;
	vol_ctl_append(vols, ctl, NULL, CATALOG_SNAP, bytes);
}

bool vol_snapshot_coming(const struct volume *v)
{
	const struct vol_ctl *ctl = v->vols->ctl.active;
	struct snap_iter it;

	if (ctl == NULL || ctl->op != CTL_SNAPSHOT)
		return false;
	snap_iter_init(&it, ctl->body, (uint32_t)ctl->size_bytes);
	while (snap_iter_next(&it))
		if (it.kind == CATALOG_SNAPSHOT && it.volume == v->id)
			return true;
	return false;
}
