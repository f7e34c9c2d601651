/* tools/check/check_replay_receive.c - hidden volumes in the rows after the
 * commit: made for a copy that is received, and published.
 */
#include <errno.h>
#include <string.h>

#include "tools/check/check_tree.h"

static uint32_t index_of(const struct ck *ck, const struct ck_volume *t)
{
	return (uint32_t)(t - ck->vols);
}

static void size_set(struct ck_volume *h, uint64_t size)
{
	if (size < h->size_bytes)
		h->slot.flags |= CATALOG_SHRUNK;
	h->size_bytes = size;
}

const char *ck_replay_receive(struct ck *ck, const struct ck_rec *r)
{
	const struct catalog_receive *c = (const void *)r->body;
	uint32_t at = (uint32_t)offsetof(struct catalog_receive, name_len);
	char name[VOLUME_NAME_MAX + 1];
	struct ck_volume *s = NULL, *h;
	uint64_t size;
	const char *why;

	if (r->rec.n < sizeof(*c) ||
	    !ck_replay_name(r->body + at, r->rec.n - at, name))
		return "has no proper body";
	size = le64_get(c->size_bytes);
	if (size == 0 || size > VOLUME_BYTES_MAX)
		return "receives a size out of range";
	if (le32_get(c->snapshot) != 0) {
		s = ck_replay_snapshot(ck, le32_get(c->snapshot));
		if (s == NULL || s->birth == UINT32_MAX)
			return "starts from what is no snapshot";
	}
	why = ck_replay_ids(ck, r->rec.block, 1);
	if (why != NULL)
		return why;
	h = s == NULL ? ck_volume_add(ck) :
			ck_replay_copy(ck, (uint32_t)r->rec.block,
				       CATALOG_VOLUME, &s);
	if (h == NULL)
		return NULL;
	h->id = (uint32_t)r->rec.block;
	h->kind = CATALOG_VOLUME;
	h->state = CATALOG_READY;
	h->hidden = true;
	h->uuid = c->uuid;
	memcpy(h->name, name, sizeof(h->name));
	if (s == NULL) {
		h->family = h->id;
		h->birth = 1;
		h->size_bytes = size;
		return NULL;
	}
	h->birth = s->birth + 1;
	size_set(h, size);
	ck_layer_start(h, s);
	ck_tree_derive(ck, index_of(ck, h), index_of(ck, s));
	return NULL;
}

/* The two trees change places: h is the volume, and what that was is deleted. */
static void volume_replace(struct ck_volume *v, struct ck_volume *h)
{
	uint32_t id = v->id;
	struct uuid uuid = v->uuid;

	v->id = h->id;
	v->uuid = h->uuid;
	v->kind = CATALOG_SNAPSHOT;
	v->state = CATALOG_DELETING;
	v->cursor = 0;
	h->id = id;
	h->uuid = uuid;
	h->birth = max_u32(h->birth, v->birth) + 1;
	memcpy(h->name, v->name, sizeof(h->name));
}

static const char *target_problem(const struct ck *ck,
				  const struct ck_volume *v,
				  const struct ck_volume *h)
{
	if (v == NULL || v->kind != CATALOG_VOLUME ||
	    v->state != CATALOG_READY || v->hidden || v->trashed)
		return "publishes to what is no volume";
	if (v->birth >= UINT32_MAX - 1)
		return "publishes one time too many";
	if (h->origin == CK_NO_TREE || ck->vols[h->origin].volume != v->id)
		return "publishes what comes from another volume";
	return NULL;
}

const char *ck_replay_publish(struct ck *ck, struct ck_volume *h,
			      const struct ck_rec *r)
{
	const struct catalog_branch *b = (const void *)r->body;
	uint32_t at = (uint32_t)offsetof(struct catalog_branch, name_len);
	uint32_t target = r->rec.n < sizeof(*b) ? 0 : le32_get(b->of);
	char name[VOLUME_NAME_MAX + 1];
	struct ck_replay_snap snap = { CATALOG_SNAPSHOT, &b->uuid, name };
	struct ck_volume *v = NULL;
	const char *why = NULL;
	bool plain; /* without a snapshot */

	if (r->rec.n < sizeof(*b))
		return "has no proper body";
	plain = target == 0 && le16_get(b->name_len) == 0;
	if (!plain && !ck_replay_name(r->body + at, r->rec.n - at, name))
		return "has no proper body";
	if (!h->hidden || h->state != CATALOG_READY ||
	    h->birth >= UINT32_MAX - 1)
		return "publishes what is not hidden";
	if (target != 0) {
		v = ck_volume_find(ck, target);
		why = target_problem(ck, v, h);
		if (why == NULL &&
		    ck_replay_name_used(ck, CATALOG_SNAPSHOT, v->id, name))
			why = "gives a snapshot a name that another one has";
	} else if (ck_replay_name_used(ck, CATALOG_VOLUME, 0, h->name)) {
		why = "gives a volume a name that another one has";
	}
	if (why == NULL && !plain)
		why = ck_replay_ids(ck, ck->next_volume, 1);
	if (why != NULL)
		return why;
	h->hidden = false;
	if (v != NULL)
		volume_replace(v, h);
	if (!plain)
		ck_replay_snap_make(ck, (uint32_t)ck->next_volume - 1, h,
				    &snap);
	return NULL;
}
