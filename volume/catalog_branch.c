/* volume/catalog_branch.c - CATALOG records that make something from what there
 * is: snapshots, checkpoints, clones and rollbacks.
 *
 *   snapshot:  v: root, birth b       ->  s: root, birth b  <-- v: root, b + 1
 *   clone:     s: root, birth b       ->  s <-- c: root, birth b + 1
 *   rollback:  s <-- ... <-- v        ->  s <-- ... <-- t: what v was
 *                                         s <-- v: root of s, v's birth + 1
 *
 * Nothing is copied.  Whoever holds an object while v is rolled back looks at
 * what v was: that object is t from then on, and v has a new one.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/volumes.h"

/* --- snapshots, checkpoints ---------------------------------------------- */

static void snap_make(struct volume *v, const struct snap_iter *it)
{
	struct volume *s = catalog_volume_next(v->vols);

	s->kind = it->kind;
	s->state = CATALOG_READY;
	s->uuid = it->uuid;
	s->size_bytes = v->size_bytes;
	s->created_s = it->created_s;
	s->family = v->family;
	s->birth = v->birth;
	memcpy(s->name, it->name, sizeof(s->name));
	catalog_of_insert(s, v);
	v->birth++;
	catalog_touch(v);
	if (it->kind == CATALOG_CHECKPOINT)
		return;
	s->levels = v->levels;
	s->flags = v->flags & CATALOG_SHRUNK;
	s->root_id = v->root_id;
	s->mapped = v->mapped;
	s->own = v->own;
	v->own = 0;
	tree_add_before(s, v);
	vol_promise_update(v);
	if (it->schedule != 0)
		catalog_schedule_took(s, it->schedule - 1u);
}

/* How many of the first n of the group are of the volume, and how many cannot
 * be taken beside this one? */
static unsigned snaps_before(const void *body, uint32_t len_bytes, uint32_t n,
			     const struct snap_iter *of, unsigned *ret_alike)
{
	struct snap_iter it;
	unsigned found = 0;

	*ret_alike = 0;
	snap_iter_init(&it, body, len_bytes);
	while (n-- > 0 && snap_iter_next(&it)) {
		if (it.volume != of->volume)
			continue;
		found++;
		*ret_alike += it.kind == of->kind &&
			      (it.schedule == of->schedule ||
			       strcmp(it.name, of->name) == 0);
	}
	return found;
}

/* A group: first whether all of it can be, then all of it. */
int catalog_apply_snap(struct volumes *vols, uint64_t id, const void *body,
		       uint32_t len_bytes)
{
	struct catalog *c = &vols->catalog;
	struct snap_iter it;
	uint32_t n = 0;
	int r;

	for (snap_iter_init(&it, body, len_bytes); snap_iter_next(&it); n++) {
		struct volume *v = catalog_find_id(c, it.volume);
		unsigned alike, before = snaps_before(body, len_bytes, n, &it,
						      &alike);

		if (v == NULL || v->kind != CATALOG_VOLUME ||
		    v->state != CATALOG_READY ||
		    v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED) ||
		    alike > 0 ||
		    v->birth >= UINT32_MAX - before ||
		    catalog_find_of(v, it.kind, it.name) != NULL)
			return -EBADMSG;
	}
	if (n == 0 || id != c->next_volume)
		return -EBADMSG;
	/* Live, this was done before. */
	r = catalog_reserve(c, n);
	if (r < 0)
		return r == -ENOSPC ? -EBADMSG : r;
	for (snap_iter_init(&it, body, len_bytes); snap_iter_next(&it);)
		snap_make(catalog_find_id(c, it.volume), &it);
	return 0;
}

/* --- clones and rollbacks ------------------------------------------------ */

/* t, which is new, shows what s does, and derives from it. */
static void derive_from(struct volume *t, struct volume *s)
{
	t->levels = s->levels;
	t->flags |= s->flags & CATALOG_SHRUNK;
	t->size_bytes = s->size_bytes;
	t->root_id = s->root_id;
	t->mapped = s->mapped;
	t->family = s->family;
	tree_add(t, s);
	vol_promise_update(t); /* nothing is its own, and it has a size */
	vol_reaper_add(t); /* it may be shrunk */
}

static struct volume *ready_snapshot(const struct catalog *c, le32 id)
{
	struct volume *s = catalog_find_id(c, le32_get(id));

	return s != NULL && s->kind == CATALOG_SNAPSHOT &&
			       s->state == CATALOG_READY &&
			       !catalog_is_trashed(s) &&
			       s->birth < UINT32_MAX ?
		       s :
		       NULL;
}

int catalog_apply_clone(struct volumes *vols, uint64_t id, const void *body)
{
	const struct catalog_branch *rec = body;
	struct volume *s = ready_snapshot(&vols->catalog, rec->of), *v;
	int r;

	if (s == NULL)
		return -EBADMSG;
	r = catalog_volume_make(vols, id, rec->name, le16_get(rec->name_len),
				0, &v);
	if (r < 0)
		return r;
	v->uuid = rec->uuid;
	v->created_s = le64_get(rec->created_s);
	v->birth = s->birth + 1;
	derive_from(v, s);
	return 0;
}

/* Those younger than what the volume was rolled back to were taken of what it
 * no longer derives from. */
static void checkpoints_lose(struct volume *v, uint32_t birth)
{
	list_for_each(it, &v->checkpoints) {
		struct volume *p = list_entry(it, struct volume, of_link);

		if (p->birth <= birth)
			continue;
		p->flags |= CATALOG_LOST;
		catalog_touch(p);
	}
}

static void list_move(struct volume *to, struct list *to_list,
		      struct list *from_list)
{
	list_splice(to_list, from_list);
	list_for_each(it, to_list)
		list_entry(it, struct volume, of_link)->of = to;
}

/* v is what t was to everybody outside, and t what v was: its id, slot, name,
 * snapshots and checkpoints.  Who holds an object goes on to look at the same
 * tree. */
static void identity_move(struct volume *v, struct volume *t)
{
	struct catalog *c = &t->vols->catalog;
	struct uuid uuid = t->uuid;

	/* Or somebody would go on to write to what the volume is no longer:
	 * vol_ctl_must_wait(). */
	assert(t->nusers == 0 && list_empty(&t->ranges));
	assert(v->nusers == 0 && list_empty(&v->ranges));
	catalog_name_remove(c, t);
	catalog_volume_renumber(v, t);
	v->kind = CATALOG_VOLUME;
	v->state = CATALOG_READY;
	v->flags &= (uint8_t)~CATALOG_HIDDEN;
	t->uuid = v->uuid;
	v->uuid = uuid;
	v->created_s = t->created_s;
	v->schedule = t->schedule;
	memset(&t->schedule, 0, sizeof(t->schedule));
	vol_promise_move(v, t);
	memcpy(v->name, t->name, sizeof(v->name));
	catalog_name_insert(c, v);
	list_move(v, &v->snaps, &t->snaps);
	list_move(v, &v->checkpoints, &t->checkpoints);
	v->nsnaps = t->nsnaps;
	v->ncheckpoints = t->ncheckpoints;
	t->nsnaps = t->ncheckpoints = 0;
	t->kind = CATALOG_SNAPSHOT;
}

int catalog_apply_rollback(struct volume *t, const void *body)
{
	const struct catalog_branch *rec = body;
	struct catalog *c = &t->vols->catalog;
	struct volume *s = ready_snapshot(c, rec->of), *v;
	char name[VOLUME_NAME_MAX + 1] = "";
	int r;

	memcpy(name, rec->name, le16_get(rec->name_len));
	if (t->kind != CATALOG_VOLUME || t->state != CATALOG_READY ||
	    t->flags & (CATALOG_HIDDEN | CATALOG_TRASHED) || s == NULL ||
	    s->of != t || t->birth == UINT32_MAX ||
	    (name[0] != '\0' &&
	     catalog_find_of(t, CATALOG_SNAPSHOT, name) != NULL))
		return -EBADMSG;
	r = catalog_reserve(c, 1);
	if (r < 0)
		return r == -ENOSPC ? -EBADMSG : r;
	v = catalog_volume_next(t->vols);
	identity_move(v, t);
	v->birth = t->birth + 1;
	derive_from(v, s);
	checkpoints_lose(v, s->birth);
	t->uuid = rec->uuid;
	t->created_s = le64_get(rec->created_s);
	if (name[0] != '\0') {
		memcpy(t->name, name, sizeof(t->name));
		catalog_of_insert(t, v);
	} else {
		catalog_tree_delete(t);
	}
	return 0;
}

/* --- receiving ----------------------------------------------------------- */

int catalog_apply_receive(struct volumes *vols, uint64_t id, const void *body)
{
	const struct catalog_receive *rec = body;
	uint64_t size_bytes = le64_get(rec->size_bytes);
	struct volume *s = NULL, *h;
	int r;

	if (le32_get(rec->snapshot) != 0) {
		s = ready_snapshot(&vols->catalog, rec->snapshot);
		if (s == NULL)
			return -EBADMSG;
	}
	r = catalog_volume_make(vols, id, rec->name, le16_get(rec->name_len),
				CATALOG_HIDDEN, &h);
	if (r < 0)
		return r;
	h->uuid = rec->uuid;
	h->created_s = le64_get(rec->created_s);
	if (s != NULL) {
		h->birth = s->birth + 1;
		derive_from(h, s);
	} else {
		catalog_volume_start(h, size_bytes);
	}
	/* One that is shrunk already stays so. */
	if (size_bytes != h->size_bytes)
		catalog_set_size(h, size_bytes);
	return 0;
}

/* The volume that the hidden one becomes; NULL: a new one, or with *ret_bad it
 * cannot be. */
static struct volume *publish_target(const struct volume *h, le32 id,
				     bool *ret_bad)
{
	const struct catalog *c = &h->vols->catalog;
	struct volume *v = NULL;

	*ret_bad = (h->flags & CATALOG_HIDDEN) == 0 ||
		   h->birth >= UINT32_MAX - 1;
	if (le32_get(id) == 0) {
		*ret_bad |= catalog_find_name(c, h->name) != NULL;
		return NULL;
	}
	v = catalog_find_id(c, le32_get(id));
	*ret_bad |= v == NULL || v->kind != CATALOG_VOLUME ||
		    v->state != CATALOG_READY ||
		    v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED) ||
		    v->birth >= UINT32_MAX - 1 || h->origin == NULL ||
		    h->origin->of != v;
	return v;
}

int catalog_apply_publish(struct volume *h, const void *body)
{
	const struct catalog_branch *rec = body;
	struct catalog *c = &h->vols->catalog;
	struct snap_iter snap = { .kind = CATALOG_SNAPSHOT,
				  .uuid = rec->uuid,
				  .created_s = le64_get(rec->created_s) };
	bool bad;
	struct volume *v = publish_target(h, rec->of, &bad);
	int r;

	memcpy(snap.name, rec->name, le16_get(rec->name_len));
	if (bad || (v != NULL && snap.name[0] == '\0') ||
	    (v != NULL && catalog_find_of(v, CATALOG_SNAPSHOT,
						 snap.name) != NULL))
		return -EBADMSG;
	r = catalog_reserve(c, 1);
	if (r < 0)
		return r == -ENOSPC ? -EBADMSG : r;
	if (v == NULL) {
		h->flags &= (uint8_t)~CATALOG_HIDDEN;
		catalog_name_insert(c, h);
		catalog_touch(h);
	} else {
		h->birth = max_u32(h->birth, v->birth) + 1;
		identity_move(h, v);
		checkpoints_lose(h, h->origin->birth);
		catalog_tree_delete(v);
	}
	if (snap.name[0] != '\0')
		snap_make(h, &snap);
	return 0;
}
