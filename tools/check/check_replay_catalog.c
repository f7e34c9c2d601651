/* tools/check/check_replay_catalog.c - what the rows after the commit do to the
 * catalog.
 *
 * A record that does not fit what there is, is said, and has no effect.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/check/check_tree.h"

bool ck_replay_name(const uint8_t *p, uint32_t bytes,
		    char name[VOLUME_NAME_MAX + 1])
{
	uint32_t len;

	if (bytes < 2)
		return false;
	len = le16_get(*(const le16 *)p);
	if (len == 0 || len > VOLUME_NAME_MAX || len > bytes - 2)
		return false;
	memset(name, 0, VOLUME_NAME_MAX + 1);
	memcpy(name, p + 2, len);
	return true;
}

bool ck_replay_name_used(const struct ck *ck, uint8_t kind, uint32_t volume,
			 const char *name)
{
	for (uint32_t i = 0; i < ck->nvols; i++) {
		const struct ck_volume *v = &ck->vols[i];

		if (v->state == CATALOG_READY && !v->hidden && !v->trashed &&
		    v->kind == kind && v->volume == volume && strcmp(v->name, name) == 0)
			return true;
	}
	return false;
}

/* Where rows of the log are missing, ids may be. */
const char *ck_replay_ids(struct ck *ck, uint64_t id, uint32_t n)
{
	if (id == 0 || id > UINT32_MAX - n)
		return "gives an id that is none";
	if (id < ck->next_volume)
		return "gives an id that there is or was";
	if (id > ck->next_volume && ck->rep->nlost == 0)
		return "leaves out an id";
	ck->next_volume = id + n;
	return NULL;
}

/* Nothing that is looked at here depends on them. */
static const char *props_problem(const struct catalog_props *p, uint32_t bytes)
{
	if (bytes < sizeof(*p))
		return "sets no properties";
	if (p->mask == 0 || (p->mask & ~CATALOG_PROPS_ALL) != 0 ||
	    p->pause > 1)
		return "sets properties that there are not";
	return NULL;
}

static const char *volume_create(struct ck *ck, const struct ck_rec *r)
{
	const struct catalog_create *c = (const void *)r->body;
	uint32_t at = (uint32_t)offsetof(struct catalog_create, name_len);
	char name[VOLUME_NAME_MAX + 1];
	uint64_t size;
	struct ck_volume *v;
	const char *why;

	if (r->rec.n < sizeof(*c))
		return "creates no proper volume";
	size = le64_get(c->size_bytes);
	if (size == 0 || size > VOLUME_BYTES_MAX ||
	    !ck_replay_name(r->body + at, r->rec.n - at, name))
		return "creates a volume with a bad name or size";
	at += 2 + le16_get(c->name_len);
	why = at == r->rec.n ? NULL :
			       props_problem((const void *)(r->body + at),
					     r->rec.n - at);
	if (why != NULL)
		return why;
	if (ck_replay_name_used(ck, CATALOG_VOLUME, 0, name))
		return "gives a volume a name that another one has";
	why = ck_replay_ids(ck, r->rec.block, 1);
	if (why != NULL)
		return why;
	v = ck_volume_add(ck);
	if (v == NULL)
		return NULL;
	v->id = (uint32_t)r->rec.block;
	v->kind = CATALOG_VOLUME;
	v->state = CATALOG_READY;
	v->family = v->id;
	v->uuid = c->uuid;
	v->birth = 1;
	v->size_bytes = size;
	memcpy(v->name, name, sizeof(v->name));
	return NULL;
}

static const char *volume_resize(struct ck_volume *v, const struct ck_rec *r)
{
	uint64_t size;

	if (r->rec.n < 8)
		return "resizes to no size";
	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY)
		return "resizes what has its size for ever";
	size = le64_get(*(const le64 *)r->body);
	if (size == 0 || size > VOLUME_BYTES_MAX)
		return "resizes to a size out of range";
	if (size < v->size_bytes)
		v->slot.flags |= CATALOG_SHRUNK;
	else if (size == v->size_bytes)
		v->slot.flags &= (uint8_t)~CATALOG_SHRUNK;
	v->size_bytes = size;
	return NULL;
}

/* Snapshots stand in the way, checkpoints go with it. */
static const char *members_delete(struct ck *ck, const struct ck_volume *v)
{
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].volume == v->id && ck_is_tree(&ck->vols[i]))
			return "deletes a volume that has snapshots";
	}
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].volume == v->id)
			ck_tree_remove(ck, &ck->vols[i]);
	}
	return NULL;
}

void ck_replay_tree_go(struct ck_volume *v)
{
	v->volume = 0;
	v->hidden = false;
	v->trashed = false;
	v->state = v->nkids < 2 ? CATALOG_DELETING : CATALOG_FORK;
	v->cursor = 0;
}

static const char *tree_delete(struct ck *ck, struct ck_volume *v)
{
	const char *why = NULL;

	if (v->state != CATALOG_READY)
		return "deletes what is being deleted";
	if (v->held)
		return "deletes a snapshot that is held";
	if (ck_replay_is_trashed(ck, v))
		return "deletes what is in the trash";
	if (v->kind == CATALOG_CHECKPOINT) {
		ck_tree_remove(ck, v);
		return NULL;
	}
	if (v->kind == CATALOG_VOLUME)
		why = members_delete(ck, v);
	if (why != NULL)
		return why;
	ck_replay_tree_go(v);
	return NULL;
}

static const char *flags_set(const struct ck *ck, struct ck_volume *v,
			     const struct ck_rec *r)
{
	const struct catalog_set *s = (const void *)r->body;

	if (r->rec.n < sizeof(*s))
		return "sets no flags";
	if (v->kind != CATALOG_SNAPSHOT || v->state != CATALOG_READY)
		return "sets flags of what is no snapshot";
	if (ck_replay_is_trashed(ck, v))
		return "sets flags of what is in the trash";
	if (s->set + s->clear != CATALOG_HELD || (s->set & s->clear) != 0)
		return "sets flags that there are not";
	v->held = s->set != 0;
	return NULL;
}

/* Nothing that is looked at here depends on it. */
static const char *schedule_set(const struct ck_volume *v,
				const struct ck_rec *r)
{
	const struct catalog_schedule *s = (const void *)r->body;
	uint32_t n = 0;

	if (r->rec.n < sizeof(*s))
		return "sets no schedule";
	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY || v->hidden)
		return "sets the schedule of what is no volume";
	for (unsigned p = 0; p < PERIODS; p++)
		n += le16_get(s->keep[p]);
	if (n == 0 && le32_get(s->last_min) != 0)
		return "sets the time of no schedule";
	return NULL;
}

static const char *props_set(const struct ck_volume *v, const struct ck_rec *r)
{
	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY ||
	    v->hidden || v->trashed)
		return "sets properties of what is no volume";
	return props_problem((const void *)r->body, r->rec.n);
}

static const char *tree_reap(struct ck *ck, struct ck_volume *v,
			     const struct ck_rec *r)
{
	uint64_t end = ck_leaves_below(LEVEL_MAX);
	uint64_t cursor;

	if (r->rec.n < 8 || v->state != CATALOG_DELETING)
		return "reaps what is not being deleted";
	cursor = le64_get(*(const le64 *)r->body);
	if (cursor < v->cursor)
		return "reaps backwards";
	if (ck_replay_drop(ck, v, v->cursor, min_u64(cursor, end)) < 0)
		return NULL;
	v->cursor = min_u64(cursor, end);
	if (cursor == UINT64_MAX)
		ck_tree_remove(ck, v);
	return NULL;
}

/* Its origin, a fork too, is gone through again from that leaf on. */
static void origin_thin(struct ck *ck, const struct ck_volume *v,
			const struct catalog_thin *c)
{
	uint32_t i = le32_get(c->first_shared) - 1;
	struct ck_volume *o = v->origin == CK_NO_TREE ? NULL :
							&ck->vols[v->origin];

	if (o != NULL && o->state == CATALOG_FORK)
		o->cursor = min_u64(o->cursor, le64_get(c->leaves[i].leaf));
}

static const char *fork_thin(struct ck *ck, struct ck_volume *v,
			     const struct ck_rec *r)
{
	const struct catalog_thin *c = (const void *)r->body;
	uint64_t end = ck_leaves_below(LEVEL_MAX), next;
	bool     needed = false;

	if (v->state != CATALOG_FORK)
		return "thins out what is no fork";
	if (r->rec.n < sizeof(*c) || le64_get(c->from) >= le64_get(c->upto) ||
	    le32_get(c->nleaves) > (r->rec.n - sizeof(*c)) /
					   sizeof(c->leaves[0]) ||
	    le32_get(c->first_shared) > le32_get(c->nleaves))
		return "has no proper body";
	next = le64_get(c->from);
	for (uint32_t i = 0; i < le32_get(c->nleaves); i++) {
		uint64_t leaf = le64_get(c->leaves[i].leaf);

		if (leaf < next || leaf >= min_u64(le64_get(c->upto), end))
			return "names leaves out of order";
		next = leaf + 1;
		if (ck_replay_thin(ck, v, leaf, c->leaves[i].slots,
				   &needed) < 0)
			return NULL;
	}
	if (v->cursor == le64_get(c->from))
		v->cursor = min_u64(le64_get(c->upto), end);
	if (le32_get(c->first_shared) > 0)
		origin_thin(ck, v, c);
	return needed ? "drops what a tree needs that derives from it" : NULL;
}

/* --- records ------------------------------------------------------------- */

static const char *tree_rename(const struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r)
{
	char name[VOLUME_NAME_MAX + 1];

	if (v->state != CATALOG_READY || ck_replay_is_trashed(ck, v))
		return "renames what is being deleted, or in the trash";
	if (!ck_replay_name(r->body, r->rec.n, name))
		return "renames to no name";
	if (strcmp(name, v->name) != 0 &&
	    ck_replay_name_used(ck, v->kind, v->volume, name))
		return "renames to a name that another one has";
	memcpy(v->name, name, sizeof(v->name));
	return NULL;
}

static const char *catalog_change(struct ck *ck, const struct ck_rec *r)
{
	struct ck_volume *v;

	if (r->rec.id == CATALOG_EVENT)
		return ck_event_record(r);
	if (r->rec.id == CATALOG_CREATE)
		return volume_create(ck, r);
	if (r->rec.id == CATALOG_SNAP)
		return ck_replay_snaps(ck, r);
	if (r->rec.id == CATALOG_CLONE)
		return ck_replay_clone(ck, r);
	if (r->rec.id == CATALOG_RECEIVE)
		return ck_replay_receive(ck, r);
	v = r->rec.block > UINT32_MAX ?
		    NULL :
		    ck_volume_find(ck, (uint32_t)r->rec.block);
	if (v == NULL || v->state == 0)
		return "is about a volume that does not exist";
	switch (r->rec.id) {
	case CATALOG_RESIZE:
		return volume_resize(v, r);
	case CATALOG_RENAME:
		return tree_rename(ck, v, r);
	case CATALOG_DELETE:
		return tree_delete(ck, v);
	case CATALOG_REAP:
		return tree_reap(ck, v, r);
	case CATALOG_ROLLBACK:
		return ck_replay_rollback(ck, v, r);
	case CATALOG_PUBLISH:
		return ck_replay_publish(ck, v, r);
	case CATALOG_SET:
		return flags_set(ck, v, r);
	case CATALOG_TRASH:
		return ck_replay_trash(ck, v, r);
	case CATALOG_UNDELETE:
		return ck_replay_undelete(ck, v, r);
	case CATALOG_PURGE:
		return ck_replay_purge(ck, v);
	case CATALOG_SCHEDULE:
		return schedule_set(v, r);
	case CATALOG_PROPS:
		return props_set(v, r);
	case CATALOG_THIN:
		return fork_thin(ck, v, r);
	default:
		return (r->rec.flags & REC_MUST_UNDERSTAND) != 0 ?
			       "is of a kind that this program does not know" :
			       NULL;
	}
}

int ck_replay_catalog(struct ck *ck, const struct ck_row *row,
		      const struct ck_rec *r)
{
	const char *why;

	if (r->rec.id < CATALOG_VOLUME_FIRST) {
		if ((r->rec.flags & REC_MUST_UNDERSTAND) != 0)
			ck_error(ck, "row %" PRIu64 ": a catalog record of "
				 "kind %" PRIu32 " that this program does not "
				 "know", row->row, r->rec.id);
		return 0;
	}
	why = catalog_change(ck, r);
	if (why != NULL)
		ck_say(ck, ck_catalog_lost(ck) ? CHECK_LOST : CHECK_ERROR,
		       "row %" PRIu64 ": the catalog record of kind %" PRIu32
		       " for volume %" PRIu64 " %s", row->row, r->rec.id,
		       r->rec.block, why);
	return ck->res;
}
