/* server/control_snapshot.c - snapshot.* and checkpoint.*
 *
 * A snapshot is called VOLUME@SNAPSHOT, a checkpoint VOLUME#CHECKPOINT; but for
 * that, and for what is said of them, they are handled alike.
 */
#include <stdlib.h>
#include <string.h>

#include "server/control_used.h"
#include "server/control_vol.h"

/* --- list and show ------------------------------------------------------- */

/* Snapshots or checkpoints in order of their ids, the order in which they were
 * taken. */
struct listing {
	struct entry {
		uint32_t             id;
		const struct volume *vol;
	} *items;
	size_t   n, cap;
	uint64_t after; /* only those with ids above */
	unsigned kind;  /* enum vol_kind */
};

static struct volume *first_of(const struct listing *l, struct volume *v)
{
	return l->kind == VOL_KIND_SNAPSHOT ?
		       vol_snap_after(v, (uint32_t)l->after) :
		       vol_checkpoint_next(v, NULL);
}

static struct volume *next_of(const struct listing *l, struct volume *v,
			      const struct volume *prev)
{
	return l->kind == VOL_KIND_SNAPSHOT ? vol_snap_next(v, prev) :
					      vol_checkpoint_next(v, prev);
}

static bool listing_add(struct listing *l, struct volume *v)
{
	struct volume *s = first_of(l, v);

	for (; s != NULL; s = next_of(l, v, s)) {
		struct volume_info i;

		vol_info(s, &i);
		if (i.id <= l->after)
			continue;
		if (l->n == l->cap) {
			size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
			void  *p = realloc(l->items, cap * sizeof(*l->items));

			if (p == NULL)
				return false;
			l->items = p;
			l->cap = cap;
		}
		l->items[l->n++] = (struct entry){ .id = i.id, .vol = s };
	}
	return true;
}

static int entry_compare(const void *a, const void *b)
{
	uint32_t x = ((const struct entry *)a)->id;
	uint32_t y = ((const struct entry *)b)->id;

	return (x > y) - (x < y);
}

static json_t *listing_json(struct listing *l)
{
	json_t *a = json_array();
	size_t  n = min_u64(l->n, LIST_MAX);

	if (l->n > 0)
		qsort(l->items, l->n, sizeof(*l->items), entry_compare);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, ctl_vol_json(l->items[i].vol));
	return json_pack("{s:o, s:b}",
			 l->kind == VOL_KIND_SNAPSHOT ? "snapshots" :
							"checkpoints",
			 a, "more", l->n > n);
}

static void list(struct ctl_call *call, unsigned kind)
{
	struct hosted *h = ctl_need_pool(call);
	struct listing l = { .kind = kind };
	const char    *name;
	struct volume *v = NULL;
	bool           ok = true;

	if (h == NULL)
		return;
	name = ctl_string(call, "volume");
	if (name != NULL) {
		v = ctl_find_vol(call, h->vols, name, VOL_KIND_VOLUME);
		if (v == NULL)
			return;
	}
	l.after = min_u64(ctl_uint(call, "after", 0), UINT32_MAX);
	if (name != NULL)
		ok = listing_add(&l, v);
	else
		for (v = vols_next(h->vols, NULL); v != NULL && ok;
		     v = vols_next(h->vols, v))
			ok = listing_add(&l, v);
	if (ok && ctl_bool(call, "used"))
		used_reply_list(call, listing_json(&l), "snapshots");
	else
		ctl_reply(call, ok ? listing_json(&l) : NULL);
	free(l.items);
}

static void show(struct ctl_call *call, unsigned kind)
{
	struct hosted *h = ctl_need_pool(call);
	struct volume *s;

	if (h == NULL)
		return;
	s = ctl_find_vol(call, h->vols, ctl_string(call, "name"), kind);
	if (s != NULL && ctl_bool(call, "used"))
		used_reply(call, ctl_vol_json(s));
	else if (s != NULL)
		ctl_reply(call, ctl_vol_json(s));
}

void ctl_snapshot_list(struct ctl_call *call)
{
	list(call, VOL_KIND_SNAPSHOT);
}

void ctl_checkpoint_list(struct ctl_call *call)
{
	list(call, VOL_KIND_CHECKPOINT);
}

void ctl_snapshot_show(struct ctl_call *call)
{
	show(call, VOL_KIND_SNAPSHOT);
}

void ctl_checkpoint_show(struct ctl_call *call)
{
	show(call, VOL_KIND_CHECKPOINT);
}

/* --- create -------------------------------------------------------------- */

/* Those of this kind that the call names. */
static json_t *created(struct ctl_call *call, struct volumes *vols,
		       unsigned kind)
{
	json_t *a = json_array(), *name;
	size_t  i;

	json_array_foreach(ctl_strings(call, "names"), i, name) {
		const char    *s = json_string_value(name);
		struct volume *v = vols_find(vols, s);

		/* One that was deleted at once is not there. */
		if (v != NULL && vol_name_kind(s) == kind)
			json_array_append_new(a, ctl_vol_json(v));
	}
	return a;
}

static json_t *created_both(struct ctl_call *call, struct volumes *vols)
{
	return json_pack("{s:o, s:o}", "snapshots",
			 created(call, vols, VOL_KIND_SNAPSHOT), "checkpoints",
			 created(call, vols, VOL_KIND_CHECKPOINT));
}

static json_t *created_checkpoints(struct ctl_call *call, struct volumes *vols)
{
	return json_pack("{s:o}", "checkpoints",
			 created(call, vols, VOL_KIND_CHECKPOINT));
}

/* A snapshot and a checkpoint of one volume that are taken together are the
 * same state of it, and have one identity: what is received on the base of the
 * one may have been sent on that of the other. */
static void uuid_make(const char *const *names, struct uuid *uuids, unsigned n)
{
	size_t len = strcspn(names[n], "@#");

	for (unsigned i = 0; i < n; i++)
		if (strcspn(names[i], "@#") == len &&
		    memcmp(names[i], names[n], len) == 0) {
			uuids[n] = uuids[i];
			return;
		}
	tarnd_uuid(&uuids[n]);
}

static void create(struct ctl_call *call, unsigned kinds,
		   json_t *(*answer)(struct ctl_call *call,
				     struct volumes *vols))
{
	struct change *c = change_new(call, 0);
	const char    *names[CTL_ARRAY_MAX];
	struct uuid    uuids[CTL_ARRAY_MAX];
	unsigned       n = 0;
	json_t        *name;
	size_t         i;

	if (c == NULL)
		return;
	json_array_foreach(ctl_strings(call, "names"), i, name) {
		names[n] = json_string_value(name);
		if (!ctl_is_name(call, names[n], kinds)) {
			free(c);
			return;
		}
		uuid_make(names, uuids, n);
		n++;
	}
	c->ctl.names = names;
	c->ctl.uuids = uuids;
	c->ctl.nnames = n;
	c->answer = answer;
	change_run(c, vol_snapshot);
}

void ctl_snapshot_create(struct ctl_call *call)
{
	create(call, VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT, created_both);
}

void ctl_checkpoint_create(struct ctl_call *call)
{
	create(call, VOL_KIND_CHECKPOINT, created_checkpoints);
}

/* --- changes ------------------------------------------------------------- */

void ctl_snapshot_rollback(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_SNAPSHOT);

	if (c == NULL)
		return;
	tarnd_uuid(&c->ctl.uuid);
	c->ctl.new_name = ctl_string(call, "keep_as");
	c->after[strcspn(c->after, "@")] = '\0';
	change_run(c, vol_rollback);
}

static void rename_in_volume(struct ctl_call *call, unsigned kind)
{
	struct change *c = change_new(call, kind);
	size_t len;

	if (c == NULL)
		return;
	c->ctl.new_name = ctl_string(call, "new_name");
	len = strcspn(c->after, "@#") + 1;
	snprintf(c->after + len, sizeof(c->after) - len, "%s",
		 c->ctl.new_name);
	change_run(c, vol_rename);
}

void ctl_snapshot_rename(struct ctl_call *call)
{
	rename_in_volume(call, VOL_KIND_SNAPSHOT);
}

void ctl_checkpoint_rename(struct ctl_call *call)
{
	rename_in_volume(call, VOL_KIND_CHECKPOINT);
}

void ctl_snapshot_delete(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_SNAPSHOT);

	if (c != NULL)
		change_run(c, vol_delete);
}

void ctl_snapshot_hold(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_SNAPSHOT);

	if (c != NULL)
		change_run(c, vol_snapshot_hold);
}

void ctl_snapshot_release(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_SNAPSHOT);

	if (c != NULL)
		change_run(c, vol_snapshot_release);
}

void ctl_checkpoint_delete(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_CHECKPOINT);

	if (c != NULL)
		change_run(c, vol_delete);
}
