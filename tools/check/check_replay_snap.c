/* tools/check/check_replay_snap.c - snapshots, checkpoints, clones and
 * rollbacks in the rows after the commit.
 *
 * Each makes one more tree out of one that there is, with its root and what the
 * log has changed in it.  A group is looked at as a whole before any of it is
 * taken.
 */
#include <errno.h>
#include <string.h>

#include "tools/check/check_tree.h"

/* --- groups of snapshots and checkpoints --------------------------------- */

/* The entries of a group, one after the other. */
struct snap_list {
	const uint8_t *pos, *end;
	uint32_t       volume;
	uint8_t        kind;
	uint8_t        schedule;
	struct uuid    uuid;
	char           name[VOLUME_NAME_MAX + 1];
};

static struct snap_list snap_list(const struct ck_rec *r)
{
	struct snap_list l = { .pos = r->body + 8,
			       .end = r->body + r->rec.n };

	return l;
}

/* 1: there is one; 0: no more; -EBADMSG. */
static int snap_next(struct snap_list *l)
{
	const struct catalog_snap *s = (const void *)l->pos;
	size_t   left = (size_t)(l->end - l->pos);
	uint32_t len;

	if (left == 0)
		return 0;
	if (left < sizeof(*s))
		return -EBADMSG;
	len = le16_get(s->name_len);
	if (len > VOLUME_NAME_MAX || len > left - sizeof(*s))
		return -EBADMSG;
	if ((s->kind != CATALOG_SNAPSHOT && s->kind != CATALOG_CHECKPOINT) ||
	    s->schedule > (s->kind == CATALOG_SNAPSHOT ? PERIODS : 0))
		return -EBADMSG;
	l->volume = le32_get(s->volume);
	l->kind = s->kind;
	l->schedule = s->schedule;
	l->uuid = s->uuid;
	if (len > 0) {
		memset(l->name, 0, sizeof(l->name));
		memcpy(l->name, s->name, len);
	}
	l->pos += sizeof(*s) + len;
	return l->name[0] == '\0' ? -EBADMSG : 1;
}

/* How many of the first n of the group are of the volume of this one?
 * *ret_same: is one of them of its kind, and its schedule or name? */
static uint32_t named_before(const struct ck_rec *r, uint32_t n,
			     const struct snap_list *of, bool *ret_same)
{
	struct snap_list l = snap_list(r);
	uint32_t before = 0;

	*ret_same = false;
	while (n-- > 0 && snap_next(&l) > 0) {
		if (l.volume != of->volume)
			continue;
		before++;
		*ret_same |= l.kind == of->kind &&
			     (l.schedule == of->schedule ||
			      strcmp(l.name, of->name) == 0);
	}
	return before;
}

static const char *group_problem(struct ck *ck, const struct ck_rec *r)
{
	struct snap_list l;
	uint32_t n = 0;
	int more;

	if (r->rec.n <= 8)
		return "takes no snapshot";
	l = snap_list(r);
	for (more = snap_next(&l); more > 0; more = snap_next(&l), n++) {
		const struct ck_volume *v = ck_volume_find(ck, l.volume);
		uint32_t before;
		bool same;

		if (v == NULL || v->kind != CATALOG_VOLUME ||
		    v->state != CATALOG_READY || v->trashed)
			return "takes a snapshot of what is no volume";
		before = named_before(r, n, &l, &same);
		if (same)
			return "takes two snapshots of a volume at once";
		if (v->birth >= UINT32_MAX - before)
			return "takes one snapshot too many";
		if (ck_replay_name_used(ck, l.kind, l.volume, l.name))
			return "gives a snapshot a name that another one has";
	}
	if (more < 0)
		return "names its snapshots wrongly";
	return ck_replay_ids(ck, r->rec.block, n);
}

struct ck_volume *ck_replay_copy(struct ck *ck, uint32_t id, uint8_t kind,
				 struct ck_volume **ret_v)
{
	uint32_t i = (uint32_t)(*ret_v - ck->vols);
	struct ck_volume *s = ck_volume_add(ck), *v;

	if (s == NULL)
		return NULL;
	v = &ck->vols[i];
	s->slot = v->slot;
	s->id = id;
	s->kind = kind;
	s->state = CATALOG_READY;
	s->family = v->family;
	s->size_bytes = v->size_bytes;
	s->birth = v->birth;
	*ret_v = v;
	return s;
}

static uint32_t index_of(const struct ck *ck, const struct ck_volume *t)
{
	return (uint32_t)(t - ck->vols);
}

void ck_replay_snap_make(struct ck *ck, uint32_t id, struct ck_volume *v,
			 const struct ck_replay_snap *snap)
{
	struct ck_volume *s = ck_replay_copy(ck, id, snap->kind, &v);

	if (s == NULL)
		return;
	s->volume = v->id;
	s->uuid = *snap->uuid;
	memcpy(s->name, snap->name, sizeof(s->name));
	v->birth++;
	if (!ck_is_tree(s))
		return;
	ck_layer_keep(ck, s, v);
	ck_tree_insert(ck, index_of(ck, s), index_of(ck, v), index_of(ck, s));
}

const char *ck_replay_snaps(struct ck *ck, const struct ck_rec *r)
{
	const char *why = group_problem(ck, r);
	struct snap_list l;

	if (why != NULL)
		return why;
	l = snap_list(r);
	for (uint32_t n = 0; ck->res == 0 && snap_next(&l) > 0; n++) {
		struct ck_replay_snap snap = { l.kind, &l.uuid, l.name };

		ck_replay_snap_make(ck, (uint32_t)r->rec.block + n,
				    ck_volume_find(ck, l.volume), &snap);
	}
	return NULL;
}

/* --- clones and rollbacks ------------------------------------------------ */

struct ck_volume *ck_replay_snapshot(struct ck *ck, uint32_t id)
{
	struct ck_volume *s = ck_volume_find(ck, id);

	return s != NULL && s->kind == CATALOG_SNAPSHOT &&
			       s->state == CATALOG_READY &&
			       !ck_replay_is_trashed(ck, s) ?
		       s :
		       NULL;
}

/* A record of either.  NULL or what is wrong.  *ret_name: empty if it has
 * none. */
static const char *branch_problem(struct ck *ck, const struct ck_rec *r,
				  char ret_name[VOLUME_NAME_MAX + 1],
				  struct ck_volume **ret_snap)
{
	const struct catalog_branch *b = (const void *)r->body;
	uint32_t at = (uint32_t)offsetof(struct catalog_branch, name_len);
	struct ck_volume *s;

	memset(ret_name, 0, VOLUME_NAME_MAX + 1);
	if (r->rec.n < sizeof(*b) ||
	    (le16_get(b->name_len) != 0 &&
	     !ck_replay_name(r->body + at, r->rec.n - at, ret_name)))
		return "has no proper body";
	s = ck_replay_snapshot(ck, le32_get(b->of));
	if (s == NULL)
		return "starts from what is no snapshot";
	*ret_snap = s;
	return NULL;
}

const char *ck_replay_clone(struct ck *ck, const struct ck_rec *r)
{
	const struct catalog_branch *b = (const void *)r->body;
	char name[VOLUME_NAME_MAX + 1];
	struct ck_volume *s, *v;
	const char *why = branch_problem(ck, r, name, &s);

	if (why == NULL && name[0] == '\0')
		why = "creates a volume without a name";
	if (why == NULL && s->birth == UINT32_MAX)
		why = "clones one time too many";
	if (why == NULL && ck_replay_name_used(ck, CATALOG_VOLUME, 0, name))
		why = "gives a volume a name that another one has";
	if (why == NULL)
		why = ck_replay_ids(ck, r->rec.block, 1);
	if (why != NULL)
		return why;
	v = ck_replay_copy(ck, (uint32_t)r->rec.block, CATALOG_VOLUME, &s);
	if (v == NULL)
		return NULL;
	v->uuid = b->uuid;
	memcpy(v->name, name, sizeof(v->name));
	v->birth = s->birth + 1;
	ck_layer_start(v, s);
	ck_tree_derive(ck, index_of(ck, v), index_of(ck, s));
	return NULL;
}

/* The volume goes on from the snapshot.  That some of its checkpoints are lost
 * now changes nothing that is looked at here. */
static void volume_return(struct ck_volume *v, const struct ck_volume *s)
{
	v->slot = s->slot;
	v->size_bytes = s->size_bytes;
	v->birth++;
	ck_layer_start(v, s);
}

const char *ck_replay_rollback(struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r)
{
	const struct catalog_branch *b = (const void *)r->body;
	char name[VOLUME_NAME_MAX + 1];
	struct ck_volume *s, *old;
	const char *why = branch_problem(ck, r, name, &s);
	uint32_t from;

	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY ||
	    v->trashed)
		return "rolls back what is no volume";
	if (why == NULL && s->volume != v->id)
		why = "rolls back to a snapshot of another volume";
	if (why == NULL && v->birth == UINT32_MAX)
		why = "rolls back one time too many";
	if (why == NULL && name[0] != '\0' &&
	    ck_replay_name_used(ck, CATALOG_SNAPSHOT, v->id, name))
		why = "gives a snapshot a name that another one has";
	if (why == NULL)
		why = ck_replay_ids(ck, ck->next_volume, 1);
	if (why != NULL)
		return why;
	from = index_of(ck, s);
	old = ck_replay_copy(ck, (uint32_t)ck->next_volume - 1, CATALOG_SNAPSHOT,
			&v);
	if (old == NULL)
		return NULL;
	old->uuid = b->uuid;
	memcpy(old->name, name, sizeof(old->name));
	if (name[0] == '\0')
		old->state = CATALOG_DELETING;
	else
		old->volume = v->id;
	ck_layer_keep(ck, old, v);
	ck_tree_insert(ck, index_of(ck, old), index_of(ck, v), from);
	volume_return(v, &ck->vols[from]);
	return NULL;
}
