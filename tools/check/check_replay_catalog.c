/* tools/check/check_replay_catalog.c - what the rows after the commit do to the
 * catalog.
 *
 * A record that does not fit what there is, is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/check/check_tree.h"

/* The name in a body: { le16 length, bytes }. */
static bool name_take(const uint8_t *p, uint32_t bytes, struct ck_volume *v)
{
	uint32_t len;

	if (bytes < 2)
		return false;
	len = le16_get(*(const le16 *)p);
	if (len == 0 || len > VOLUME_NAME_MAX || len > bytes - 2)
		return false;
	memset(v->name, 0, sizeof(v->name));
	memcpy(v->name, p + 2, len);
	return true;
}

static const char *volume_create(struct ck *ck, const struct ck_rec *r)
{
	const struct catalog_create *c = (const void *)r->body;
	struct ck_volume *v;

	if (r->rec.n < sizeof(*c) || r->rec.block == 0 ||
	    r->rec.block > UINT32_MAX)
		return "creates no proper volume";
	if (ck_volume_find(ck, (uint32_t)r->rec.block) != NULL)
		return "creates a volume that there is";
	v = ck_volume_add(ck);
	if (v == NULL)
		return NULL;
	v->id = (uint32_t)r->rec.block;
	v->state = CATALOG_READY;
	v->uuid = c->uuid;
	v->birth = 1;
	v->slot.family = le32_of(v->id);
	v->size_bytes = le64_get(c->size_bytes);
	if (v->size_bytes == 0 || v->size_bytes > VOLUME_BYTES_MAX ||
	    !name_take((const uint8_t *)&c->name_len,
		       r->rec.n - (uint32_t)offsetof(struct catalog_create,
						     name_len),
		       v))
		return "creates a volume with a bad name or size";
	return NULL;
}

static const char *volume_resize(struct ck_volume *v, const struct ck_rec *r)
{
	uint64_t size;

	if (r->rec.n < 8)
		return "resizes to no size";
	if (v->volume != 0 || v->state != CATALOG_READY)
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

static const char *tree_delete(const struct ck *ck, struct ck_volume *v)
{
	if (v->state != CATALOG_READY)
		return "deletes what is being deleted";
	for (uint32_t i = v->origin; v->volume == 0 && i != CK_NO_TREE;
	     i = ck->vols[i].origin) {
		if (ck->vols[i].state == CATALOG_READY)
			return "deletes a volume that has snapshots";
	}
	v->state = CATALOG_DELETING;
	v->cursor = 0;
	return NULL;
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
	if (cursor == UINT64_MAX && v->volume == 0 &&
	    v->origin != CK_NO_TREE)
		return "frees a volume before its snapshots";
	if (ck_replay_drop(ck, v, v->cursor, min_u64(cursor, end)) < 0)
		return NULL;
	v->cursor = min_u64(cursor, end);
	if (cursor == UINT64_MAX) {
		ck_tree_remove(ck, v);
		v->state = 0;
	}
	return NULL;
}

/* --- snapshots ----------------------------------------------------------- */

/* The entries of a group, one after the other. */
struct snap_list {
	const uint8_t *pos, *end;
	uint32_t       volume;
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
	l->volume = le32_get(s->volume);
	l->uuid = s->uuid;
	if (len > 0) {
		memset(l->name, 0, sizeof(l->name));
		memcpy(l->name, s->name, len);
	}
	l->pos += sizeof(*s) + len;
	return l->name[0] == '\0' ? -EBADMSG : 1;
}

static bool name_used(const struct ck *ck, const struct ck_volume *v,
		      const char *name)
{
	for (uint32_t i = v->origin; i != CK_NO_TREE;
	     i = ck->vols[i].origin) {
		if (ck->vols[i].state == CATALOG_READY &&
		    strcmp(ck->vols[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Is the volume among the first n of the group? */
static bool named_before(const struct ck_rec *r, uint32_t n, uint32_t volume)
{
	struct snap_list l = snap_list(r);

	while (n-- > 0 && snap_next(&l) > 0) {
		if (l.volume == volume)
			return true;
	}
	return false;
}

static const char *group_problem(struct ck *ck, const struct ck_rec *r)
{
	struct snap_list l;
	uint32_t n = 0;
	int more;

	if (r->rec.n <= 8 || r->rec.block == 0)
		return "takes no snapshot";
	l = snap_list(r);
	for (more = snap_next(&l); more > 0; more = snap_next(&l), n++) {
		const struct ck_volume *v = ck_volume_find(ck, l.volume);

		if (v == NULL || v->volume != 0 || v->state != CATALOG_READY)
			return "takes a snapshot of what is no volume";
		if (v->birth == UINT32_MAX)
			return "takes one snapshot too many";
		if (name_used(ck, v, l.name))
			return "gives a snapshot a name that another one has";
		if (named_before(r, n, l.volume))
			return "takes two snapshots of a volume at once";
		if (r->rec.block + n > UINT32_MAX ||
		    ck_volume_find(ck, (uint32_t)(r->rec.block + n)) != NULL)
			return "gives a snapshot an id that there is";
	}
	return more < 0 ? "names its snapshots wrongly" : NULL;
}

static void snap_make(struct ck *ck, uint32_t id, const struct snap_list *l)
{
	struct ck_volume *s = ck_volume_add(ck);
	struct ck_volume *v;

	if (s == NULL)
		return;
	v = ck_volume_find(ck, l->volume);
	s->slot = v->slot;
	s->slot.flags |= CATALOG_READ_ONLY;
	s->id = id;
	s->volume = v->id;
	s->state = CATALOG_READY;
	memcpy(s->name, l->name, sizeof(s->name));
	s->size_bytes = v->size_bytes;
	s->uuid = l->uuid;
	s->birth = v->birth++;
	ck_layer_share(ck, s, v);
	ck_tree_insert(ck, (uint32_t)(s - ck->vols), (uint32_t)(v - ck->vols));
}

static const char *snaps_take(struct ck *ck, const struct ck_rec *r)
{
	const char *why = group_problem(ck, r);
	struct snap_list l;

	if (why != NULL)
		return why;
	l = snap_list(r);
	for (uint32_t n = 0; ck->res == 0 && snap_next(&l) > 0; n++)
		snap_make(ck, (uint32_t)r->rec.block + n, &l);
	return NULL;
}

/* --- records ------------------------------------------------------------- */

static const char *tree_rename(struct ck_volume *v, const struct ck_rec *r)
{
	if (v->state != CATALOG_READY)
		return "renames what is being deleted";
	return name_take(r->body, r->rec.n, v) ? NULL : "renames to no name";
}

static const char *catalog_change(struct ck *ck, const struct ck_rec *r)
{
	struct ck_volume *v;

	if (r->rec.id == CATALOG_CREATE)
		return volume_create(ck, r);
	if (r->rec.id == CATALOG_SNAP)
		return snaps_take(ck, r);
	v = r->rec.block > UINT32_MAX ?
		    NULL :
		    ck_volume_find(ck, (uint32_t)r->rec.block);
	if (v == NULL || v->state == 0)
		return "is about a volume that does not exist";
	switch (r->rec.id) {
	case CATALOG_RESIZE:
		return volume_resize(v, r);
	case CATALOG_RENAME:
		return tree_rename(v, r);
	case CATALOG_DELETE:
		return tree_delete(ck, v);
	case CATALOG_REAP:
		return tree_reap(ck, v, r);
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
