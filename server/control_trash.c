/* server/control_trash.c - trash.*, volume.undelete, volume.freed and
 * volume.deleting.
 *
 * trash.empty purges one volume after the other, each by its UUID; what has
 * gone by itself meanwhile, or was taken out, is left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/control_trash.h"
#include "server/control_used.h"
#include "server/control_vol.h"

/* --- saying what there is ------------------------------------------------ */

static json_t *trashed_json(const struct volume *v)
{
	struct volume_info i;
	char uuid[UUID_TEXT_BYTES];

	vol_info(v, &i);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "name", i.name, "uuid", uuid_text(&i.uuid, uuid),
			 "id", (json_int_t)i.id,
			 "size_bytes", (json_int_t)i.size_bytes, "used_bytes",
			 (json_int_t)blocks_to_bytes(i.mapped_blocks),
			 "snapshots", (json_int_t)i.snapshots, "checkpoints",
			 (json_int_t)i.checkpoints, "deleted_s",
			 (json_int_t)i.trashed_s, "goes_s",
			 (json_int_t)(tarnd_now_s() + vol_trash_left_s(v)));
}

void ctl_trash_list(struct ctl_call *call)
{
	ctl_reply_list(call, "volumes", vols_trash_next, trashed_json);
}

/* "UUID of Mon, ...": which of those of one name? */
static void several(struct ctl_call *call, struct volumes *vols,
		    const char *name)
{
	char   list[600] = "";
	size_t len = 0;
	struct volume *v;

	for (v = vols_trash_next(vols, NULL); v != NULL && len < 450;
	     v = vols_trash_next(vols, v)) {
		struct volume_info i;
		char       uuid[UUID_TEXT_BYTES], date[32] = "?";
		struct tm  tm;
		time_t     when;

		vol_info(v, &i);
		if (strcmp(i.name, name) != 0)
			continue;
		when = (time_t)i.trashed_s;
		if (gmtime_r(&when, &tm) != NULL)
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%SZ", &tm);
		len += (size_t)snprintf(list + len, sizeof(list) - len,
					"%s%s (deleted %s)",
					len > 0 ? ", " : "",
					uuid_text(&i.uuid, uuid), date);
	}
	ctl_fail(call, -ENOTUNIQ, name, "the trash has several volumes '%s': "
		 "say which by its UUID: %s%s", name, list,
		 v != NULL ? "..." : "");
}

/* NULL: answered. */
static struct volume *find(struct ctl_call *call, struct volumes *vols,
			   const char *name)
{
	bool more;
	struct volume *v = vols_trash_find(vols, name, &more);

	if (v == NULL && more)
		several(call, vols, name);
	else if (v == NULL && ctl_is_name(call, name, VOL_KIND_VOLUME))
		ctl_fail(call, -ENOENT, name, "there is no volume '%s' in the "
			 "trash: 'tarn trash list' lists those that there are",
			 name);
	return v;
}

/* --- undelete ------------------------------------------------------------ */

/* The volume of that UUID, which is not in the trash. */
static bool is_out(struct volumes *vols, const char *name,
		   struct volume_info *ret_info)
{
	struct volume *v = NULL;
	struct uuid uuid;
	bool found = false;

	if (!uuid_parse(name, &uuid))
		return false;
	while (!found && (v = vols_next(vols, v)) != NULL) {
		vol_info(v, ret_info);
		found = uuid_equal(&ret_info->uuid, &uuid);
	}
	return found;
}

static void undelete_fail(struct change *c, struct volumes *vols)
{
	const char *name = c->ctl.name;
	const char *as = c->ctl.new_name;
	struct volume_info out;

	if (c->ctl.res == -ENOTUNIQ) {
		several(c->call, vols, name);
	} else if (c->ctl.res == -ENOENT && is_out(vols, name, &out)) {
		ctl_fail(c->call, -ENOENT, name, "volume '%s' is not in the "
			 "trash, and is called '%s': rename it with 'tarn "
			 "volume rename'", name, out.name);
	} else if (c->ctl.res == -ENOENT) {
		ctl_fail(c->call, -ENOENT, name, "there is no volume '%s' in "
			 "the trash: 'tarn trash list' lists those that there "
			 "are", name);
	} else if (c->ctl.res == -EEXIST) {
		struct volume_info i = { .name = "" };
		struct volume *v = vols_trash_find(vols, name, NULL);

		if (v != NULL)
			vol_info(v, &i);
		ctl_fail(c->call, -EEXIST, as != NULL ? as : i.name,
			 "there is a volume '%s' by now: take another name "
			 "with 'tarn volume undelete %s --as NEW-NAME'",
			 as != NULL ? as : i.name, name);
	} else {
		ctl_fail(c->call, c->ctl.res, name, "%s",
			 c->ctl.error[0] != '\0' ? c->ctl.error :
						   strerror(-c->ctl.res));
	}
}

/* It keeps its UUID, whatever it is called. */
static struct volume *undeleted(const struct change *c, struct volumes *vols)
{
	struct volume *v = NULL;

	if (c->ctl.already &&
	    (v = vols_find(vols, c->ctl.new_name != NULL ? c->ctl.new_name :
							   c->ctl.name)) !=
		    NULL)
		return v;
	while ((v = vols_next(vols, v)) != NULL) {
		struct volume_info i;
		char uuid[UUID_TEXT_BYTES];

		vol_info(v, &i);
		if (c->ctl.already ?
			    strcmp(uuid_text(&i.uuid, uuid), c->ctl.name) ==
				    0 :
			    uuid_equal(&i.uuid, &c->ctl.uuid))
			break;
	}
	return v;
}

static void undelete_done(struct vol_ctl *ctl)
{
	struct change *c = container_of(ctl, struct change, ctl);
	struct tarnd  *t = ctl_arg(c->call);
	struct volume *v;
	json_t        *o;

	if (ctl->res < 0) {
		undelete_fail(c, t->hosted.vols);
	} else {
		v = undeleted(c, t->hosted.vols);
		o = v != NULL ? ctl_vol_json(v) :
				json_pack("{s:o}", "name", ctl_text(ctl->name));
		if (o != NULL)
			json_object_set_new(o, "already",
					    json_boolean(ctl->already));
		ctl_reply(c->call, o);
	}
	free(c);
	hosted_call_end(t);
}

void ctl_volume_undelete(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);

	if (c == NULL)
		return;
	c->ctl.new_name = ctl_string(call, "as");
	c->ctl.done = undelete_done;
	change_run(c, vol_undelete);
}

/* --- empty --------------------------------------------------------------- */

struct empty {
	struct vol_ctl   ctl;
	struct ctl_call *call;
	json_t          *todo;   /* as trashed_json() says them */
	json_t          *gone;   /* of them, those that were deleted */
	size_t           next;
};

static void empty_next(struct empty *e);

static void empty_end(struct empty *e, int err)
{
	struct tarnd *t = ctl_arg(e->call);

	if (err < 0)
		ctl_fail(e->call, err, e->ctl.name, "%s", e->ctl.error);
	else
		ctl_reply(e->call,
			  json_pack("{s:O, s:I}", "volumes", e->gone,
				    "deletion",
				    (json_int_t)vols_deletion_no(
					    t->hosted.vols)));
	json_decref(e->todo);
	json_decref(e->gone);
	free(e);
	hosted_call_end(t);
}

static void emptied(struct vol_ctl *ctl)
{
	struct empty *e = container_of(ctl, struct empty, ctl);

	if (ctl->res == 0)
		json_array_append(e->gone,
				  json_array_get(e->todo, e->next - 1));
	if (ctl->res < 0 && ctl->res != -ENOENT)
		empty_end(e, ctl->res);
	else
		empty_next(e);
}

static void empty_next(struct empty *e)
{
	struct tarnd *t = ctl_arg(e->call);
	json_t *item = json_array_get(e->todo, e->next++);

	if (item == NULL) {
		empty_end(e, 0);
		return;
	}
	memset(&e->ctl, 0, sizeof(e->ctl));
	e->ctl.name = json_string_value(json_object_get(item, "uuid"));
	e->ctl.done = emptied;
	vol_purge(t->hosted.vols, &e->ctl);
}

/* One of them; with its snapshots in the set, if that is not NULL. */
static void choose(json_t *a, struct volume *v, struct used_set *ret_set)
{
	json_array_append_new(a, trashed_json(v));
	if (ret_set != NULL)
		used_set_add_all(ret_set, v);
}

/* What is named, or all.  NULL: answered. */
static json_t *chosen(struct ctl_call *call, struct volumes *vols,
		      struct used_set *ret_set)
{
	json_t *names = ctl_strings(call, "names"), *name;
	json_t *a = json_array();
	struct volume *v = NULL;
	size_t i;

	if (names == NULL)
		while ((v = vols_trash_next(vols, v)) != NULL)
			choose(a, v, ret_set);
	json_array_foreach(names, i, name) {
		v = find(call, vols, json_string_value(name));
		if (v == NULL) {
			json_decref(a);
			return NULL;
		}
		choose(a, v, ret_set);
	}
	return a;
}

void ctl_trash_empty(struct ctl_call *call)
{
	struct hosted  *h = ctl_need_pool(call);
	struct used_set set = { .n = 0 };
	struct empty   *e;
	json_t         *a;
	bool            dry_run;

	if (h == NULL)
		return;
	dry_run = ctl_bool(call, "dry_run");
	a = chosen(call, h->vols, dry_run ? &set : NULL);
	if (a == NULL) {
		free(set.vols);
		return;
	}
	if (dry_run) {
		used_reply_set(call, json_pack("{s:o, s:b}", "volumes", a,
					       "dry_run", true), &set);
		return;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL) {
		json_decref(a);
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	e->call = call;
	e->todo = a;
	e->gone = json_array();
	h->vol_calls++;
	empty_next(e);
}

/* --- freed and deleting -------------------------------------------------- */

void ctl_volume_freed(struct ctl_call *call)
{
	struct hosted  *h = ctl_need_pool(call);
	struct used_set set = { .n = 0 };
	json_t         *name, *a;
	size_t          i;

	if (h == NULL)
		return;
	a = json_array();
	json_array_foreach(ctl_strings(call, "names"), i, name) {
		struct volume *v = ctl_find_vol(call, h->vols,
						json_string_value(name),
						VOL_KIND_VOLUME |
							VOL_KIND_SNAPSHOT);

		if (v == NULL) {
			free(set.vols);
			json_decref(a);
			return;
		}
		json_array_append_new(a, ctl_vol_json(v));
		used_set_add_all(&set, v);
	}
	used_reply_set(call, json_pack("{s:o}", "of", a), &set);
}

static json_t *deletion_json(const struct vols_deletion *d)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "count", (json_int_t)d->trees,
			 "total_bytes", (json_int_t)d->total_bytes,
			 "done_bytes", (json_int_t)d->done_bytes, "freed_bytes",
			 (json_int_t)d->freed_bytes);
}

json_t *deleting_json(const struct volumes *vols, uint64_t upto)
{
	struct vols_deletion d;

	vols_deletion(vols, upto, &d);
	return deletion_json(&d);
}

static json_t *deleted_json(const struct volume *v)
{
	struct volume_info i;
	struct vols_deletion d;
	bool    kept;
	json_t *o;

	vol_info(v, &i);
	vol_deletion(v, &d, &kept);
	o = deletion_json(&d);
	json_object_del(o, "count");
	json_object_set_new(o, "name", json_string(i.name));
	json_object_set_new(o, "id", json_integer((json_int_t)i.id));
	json_object_set_new(o, "snapshot", json_boolean(i.snapshot));
	json_object_set_new(o, "kept_for_clones", json_boolean(kept));
	return o;
}

void ctl_volume_deleting(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct volume *v = NULL;
	json_t        *o, *a;

	if (h == NULL)
		return;
	o = deleting_json(h->vols,
			  ctl_uint(call, "upto", UINT64_MAX));
	if (!ctl_bool(call, "list")) {
		ctl_reply(call, o);
		return;
	}
	a = json_array();
	while (json_array_size(a) < LIST_MAX &&
	       (v = vols_deletion_next(h->vols, v)) != NULL)
		json_array_append_new(a, deleted_json(v));
	json_object_set_new(o, "deleting", a);
	json_object_set_new(o, "more", json_boolean(v != NULL &&
				vols_deletion_next(h->vols, v) != NULL));
	ctl_reply(call, o);
}
