/* server/control_snapshot.c - snapshot.*
 *
 * A snapshot is called VOLUME@SNAPSHOT.  Names are looked at here, so that the
 * answer says what is wrong in the words that the administrator knows; what
 * the volumes say counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

#define LIST_MAX 1000

static json_t *snapshot_json(const struct volume *s)
{
	struct volume_info i;
	char   name[TREE_NAME_MAX + 1], uuid[UUID_TEXT_BYTES];
	size_t volume_len;
	json_t *o;

	vol_info(s, &i);
	vol_full_name(s, name);
	volume_len = strcspn(name, "@");
	o = json_pack("{s:s, s:s%, s:s, s:I, s:I, s:s, s:I, s:I, s:i}", "name",
		      name, "volume", name, volume_len, "snapshot", i.name,
		      "size_bytes", (json_int_t)i.size_bytes,
		      "referenced_bytes",
		      (json_int_t)blocks_to_bytes(i.mapped_blocks), "uuid",
		      uuid_text(&i.uuid, uuid), "id", (json_int_t)i.id,
		      "created_s", (json_int_t)i.created_s, "clients",
		      (int)i.users);
	return o;
}

/* --- names --------------------------------------------------------------- */

/* Answers the call when no snapshot can be called that; ret_volume gets its
 * volume's name, VOLUME_NAME_MAX + 1 bytes. */
static bool name_is_bad(struct ctl_call *call, const char *name,
			char *ret_volume)
{
	/* What is too long stays too long. */
	char   volume[VOLUME_NAME_MAX + 2] = "", err[256];
	const char *at = strchr(name, '@');

	if (at == NULL) {
		ctl_fail(call, -EINVAL, name, "'%.160s' does not name a "
			 "snapshot: give VOLUME@SNAPSHOT", name);
		return true;
	}
	if (strchr(at + 1, '@') != NULL) {
		ctl_fail(call, -EINVAL, name, "'%.160s' does not name a "
			 "snapshot: give VOLUME@SNAPSHOT, with one '@'", name);
		return true;
	}
	memcpy(volume, name, min_u64((uint64_t)(at - name),
				     sizeof(volume) - 1));
	if (vol_name_problem(volume, err) != NULL ||
	    vol_name_problem(at + 1, err) != NULL) {
		ctl_fail(call, -EINVAL, name, "%s", err);
		return true;
	}
	memcpy(ret_volume, volume, VOLUME_NAME_MAX + 1);
	return false;
}

static void no_volume(struct ctl_call *call, const char *volume,
		      const char *more)
{
	char err[256];

	if (vol_name_problem(volume, err) != NULL)
		ctl_fail(call, -EINVAL, volume, "%s", err);
	else
		ctl_fail(call, -ENOENT, volume,
			 "volume '%s' does not exist: 'tarn volume list' lists "
			 "those that do%s", volume, more);
}

/* The call's snapshot is not there: answers. */
static void no_snapshot(struct ctl_call *call, struct volumes *vols)
{
	const char *name = ctl_string(call, "name");
	char        volume[VOLUME_NAME_MAX + 1];

	if (name_is_bad(call, name, volume))
		return;
	if (vols_find(vols, volume) == NULL)
		no_volume(call, volume, "");
	else
		ctl_fail(call, -ENOENT, name,
			 "snapshot '%s' does not exist: 'tarn snapshot list "
			 "%s' lists those that do", name, volume);
}

/* --- list and show ------------------------------------------------------- */

/* Snapshots in order of their ids, the order in which they were taken. */
struct listing {
	struct entry {
		uint32_t             id;
		const struct volume *snap;
	} *items;
	size_t   n, cap;
	uint64_t after; /* only those with ids above */
};

static bool listing_add(struct listing *l, struct volume *v)
{
	struct volume *s = vol_snap_after(v, (uint32_t)l->after);

	for (; s != NULL; s = vol_snap_next(v, s)) {
		struct volume_info i;

		if (l->n == l->cap) {
			size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
			void  *p = realloc(l->items, cap * sizeof(*l->items));

			if (p == NULL)
				return false;
			l->items = p;
			l->cap = cap;
		}
		vol_info(s, &i);
		l->items[l->n++] = (struct entry){ .id = i.id, .snap = s };
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
		json_array_append_new(a, snapshot_json(l->items[i].snap));
	return json_pack("{s:o, s:b}", "snapshots", a, "more", l->n > n);
}

void ctl_snapshot_list(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct listing l = { .after = 0 };
	const char    *name;
	struct volume *v;
	bool           ok = true;

	if (h == NULL)
		return;
	name = ctl_string(call, "volume");
	v = name != NULL ? vols_find(h->vols, name) : NULL;
	if (name != NULL && (v == NULL || strchr(name, '@') != NULL)) {
		no_volume(call, name, "");
		return;
	}
	l.after = min_u64(ctl_uint(call, "after", 0), UINT32_MAX);
	if (name != NULL)
		ok = listing_add(&l, v);
	else
		for (v = vols_next(h->vols, NULL); v != NULL && ok;
		     v = vols_next(h->vols, v))
			ok = listing_add(&l, v);
	ctl_reply(call, ok ? listing_json(&l) : NULL);
	free(l.items);
}

void ctl_snapshot_show(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	const char    *name;
	struct volume *s;

	if (h == NULL)
		return;
	name = ctl_string(call, "name");
	s = strchr(name, '@') != NULL ? vols_find(h->vols, name) : NULL;
	if (s != NULL)
		ctl_reply(call, snapshot_json(s));
	else
		no_snapshot(call, h->vols);
}

/* --- changes ------------------------------------------------------------- */

struct change {
	struct vol_ctl   ctl;
	struct ctl_call *call;
	char             name[TREE_NAME_MAX + 1]; /* afterwards; "": see the
						   * call's */
};

/* The snapshots that the call names. */
static json_t *created_json(struct ctl_call *call, struct volumes *vols)
{
	json_t *a = json_array(), *name;
	size_t  i;

	json_array_foreach(ctl_strings(call, "names"), i, name) {
		struct volume *s = vols_find(vols, json_string_value(name));

		/* One that was deleted at once is not there. */
		if (s != NULL)
			json_array_append_new(a, snapshot_json(s));
	}
	return json_pack("{s:o}", "snapshots", a);
}

static json_t *changed_json(struct change *c, struct volumes *vols)
{
	struct volume *s = vols_find(vols, c->name);
	json_t *o;

	if (ctl_strings(c->call, "names") != NULL)
		return created_json(c->call, vols);
	o = s != NULL ? snapshot_json(s)
		      : json_pack("{s:o}", "name",
				  ctl_text(ctl_string(c->call, "name")));
	if (o != NULL)
		json_object_set_new(o, "already",
				    json_boolean(c->ctl.already));
	return o;
}

static void change_done(struct vol_ctl *ctl)
{
	struct change *c = container_of(ctl, struct change, ctl);
	struct tarnd  *t = ctl_arg(c->call);

	if (ctl->res == -ENOENT && ctl->name != NULL)
		no_snapshot(c->call, t->hosted.vols);
	else if (ctl->res < 0)
		ctl_fail(c->call, ctl->res, ctl->name, "%s",
			 ctl->error[0] != '\0' ? ctl->error
					       : strerror(-ctl->res));
	else
		ctl_reply(c->call, changed_json(c, t->hosted.vols));
	free(c);
	hosted_call_end(t);
}

/* NULL: answered. */
static struct change *change_new(struct ctl_call *call, struct hosted *h)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return NULL;
	}
	c->call = call;
	c->ctl.name = ctl_string(call, "name");
	c->ctl.new_name = ctl_string(call, "new_name");
	c->ctl.force = ctl_bool(call, "force");
	c->ctl.now_s = tarnd_now_s();
	c->ctl.done = change_done;
	h->vol_calls++;
	return c;
}

/* False: answered. */
static bool names_fit(struct ctl_call *call, struct hosted *h,
		      const char **names, unsigned n)
{
	char volume[VOLUME_NAME_MAX + 1];

	if (n == 0) {
		ctl_bad_param(call, "names", "names is empty: name at least "
					     "one snapshot, VOLUME@SNAPSHOT");
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		if (name_is_bad(call, names[i], volume))
			return false;
		if (vols_find(h->vols, volume) == NULL) {
			no_volume(call, volume, "; no snapshot was taken");
			return false;
		}
	}
	return true;
}

void ctl_snapshot_create(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	const char    *names[CTL_ARRAY_MAX];
	struct uuid    uuids[CTL_ARRAY_MAX];
	struct change *c;
	unsigned       n = 0;
	json_t        *name;
	size_t         i;

	if (h == NULL)
		return;
	json_array_foreach(ctl_strings(call, "names"), i, name) {
		names[n] = json_string_value(name);
		tarnd_uuid(&uuids[n++]);
	}
	if (!names_fit(call, h, names, n))
		return;
	c = change_new(call, h);
	if (c == NULL)
		return;
	c->ctl.names = names;
	c->ctl.uuids = uuids;
	c->ctl.nnames = n;
	vol_snapshot(h->vols, &c->ctl);
}

void ctl_snapshot_rename(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	const char    *name, *new_name;
	char           volume[VOLUME_NAME_MAX + 1];
	struct change *c;

	if (h == NULL)
		return;
	name = ctl_string(call, "name");
	new_name = ctl_string(call, "new_name");
	if (name_is_bad(call, name, volume))
		return;
	if (strchr(new_name, '@') != NULL) {
		ctl_fail(call, -EINVAL, name,
			 "'%.160s' cannot be the new name of snapshot '%.160s':"
			 " give it without its volume and '@'", new_name, name);
		return;
	}
	c = change_new(call, h);
	if (c == NULL)
		return;
	snprintf(c->name, sizeof(c->name), "%s@%.*s", volume, VOLUME_NAME_MAX,
		 new_name);
	vol_rename(h->vols, &c->ctl);
}

void ctl_snapshot_delete(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	char           volume[VOLUME_NAME_MAX + 1];
	struct change *c;

	if (h == NULL ||
	    name_is_bad(call, ctl_string(call, "name"), volume))
		return;
	c = change_new(call, h);
	if (c != NULL)
		vol_delete(h->vols, &c->ctl);
}
