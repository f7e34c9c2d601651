/* server/control_volume.c - volume.* */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

#define LIST_MAX 1000

static json_t *volume_json(const struct volume *v)
{
	struct volume_info i;
	char uuid[UUID_TEXT_BYTES];

	vol_info(v, &i);
	return json_pack("{s:o, s:I, s:I, s:s, s:I, s:I, s:b, s:i, s:I}",
			 "name", ctl_text(i.name), "size_bytes",
			 (json_int_t)i.size_bytes, "used_bytes",
			 (json_int_t)blocks_to_bytes(i.mapped_blocks), "uuid",
			 uuid_text(&i.uuid, uuid), "id", (json_int_t)i.id,
			 "created_s", (json_int_t)i.created_s, "read_only",
			 i.read_only, "clients", (int)i.users, "snapshots",
			 (json_int_t)i.snapshots);
}

void ctl_volume_list(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	const char    *after;
	struct volume *v;
	json_t        *a;
	bool           more = false;

	if (h == NULL)
		return;
	after = ctl_string(call, "after");
	a = json_array();
	for (v = vols_next(h->vols, NULL); v != NULL;
	     v = vols_next(h->vols, v)) {
		struct volume_info info;

		vol_info(v, &info);
		if (after != NULL && strcmp(info.name, after) <= 0)
			continue;
		if (json_array_size(a) == LIST_MAX) {
			more = true;
			break;
		}
		json_array_append_new(a, volume_json(v));
	}
	ctl_reply(call, json_pack("{s:o, s:b}", "volumes", a, "more", more));
}

static void no_volume(struct ctl_call *call, const char *name)
{
	char err[256];

	if (vol_name_problem(name, err) != NULL)
		ctl_fail(call, -EINVAL, name, "%s", err);
	else
		ctl_fail(call, -ENOENT, name,
			 "volume '%s' does not exist: 'tarn volume list' "
			 "lists those that do", name);
}

/* Answers the call when it names a snapshot. */
static bool is_snapshot(struct ctl_call *call)
{
	const char *name = ctl_string(call, "name");

	if (strchr(name, '@') == NULL)
		return false;
	ctl_fail(call, -EINVAL, name,
		 "'%.160s' cannot be the name of a volume: 'tarn snapshot' is "
		 "for snapshots, 'tarn volume list' lists the volumes", name);
	return true;
}

void ctl_volume_show(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	const char    *name;
	struct volume *v;

	if (h == NULL || is_snapshot(call))
		return;
	name = ctl_string(call, "name");
	v = vols_find(h->vols, name);
	if (v == NULL)
		no_volume(call, name);
	else
		ctl_reply(call, volume_json(v));
}

/* --- changes ------------------------------------------------------------- */

struct change {
	struct vol_ctl   ctl;
	struct ctl_call *call;
	char             name[VOLUME_NAME_MAX + 1]; /* afterwards; "" if gone */
};

/* What the volumes say, but for what takes another command to solve. */
static void change_fail(struct change *c, struct volumes *vols)
{
	const char *name = ctl_string(c->call, "name");
	struct volume_info i = { .snapshots = 0 };
	struct volume *v = vols_find(vols, name);

	if (v != NULL)
		vol_info(v, &i);
	if (c->ctl.res == -ENOTEMPTY && c->name[0] == '\0' && i.snapshots > 0)
		ctl_fail(c->call, c->ctl.res, name,
			 "volume '%s' has %u snapshot%s: delete them first "
			 "with 'tarn snapshot delete %s@NAME' ('tarn snapshot "
			 "list %s' lists them)", name, i.snapshots,
			 i.snapshots > 1 ? "s" : "", name, name);
	else
		ctl_fail(c->call, c->ctl.res, name, "%s",
			 c->ctl.error[0] != '\0' ? c->ctl.error
						 : strerror(-c->ctl.res));
}

static void change_done(struct vol_ctl *ctl)
{
	struct change *c = container_of(ctl, struct change, ctl);
	struct tarnd  *t = ctl_arg(c->call);
	struct volume *v = NULL;
	json_t        *o;

	if (ctl->res < 0) {
		change_fail(c, t->hosted.vols);
	} else {
		if (c->name[0] != '\0')
			v = vols_find(t->hosted.vols, c->name);
		o = v != NULL ? volume_json(v)
			      : json_pack("{s:o}", "name",
					  ctl_text(ctl_string(c->call,
							      "name")));
		if (o != NULL)
			json_object_set_new(o, "already",
					    json_boolean(ctl->already));
		ctl_reply(c->call, o);
	}
	free(c);
	hosted_call_end(t);
}

/* A change with its inputs from the call's parameters; NULL: answered. */
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
	c->ctl.size_bytes = ctl_uint(call, "size", 0);
	c->ctl.force = ctl_bool(call, "force");
	c->ctl.now_s = tarnd_now_s();
	c->ctl.done = change_done;
	snprintf(c->name, sizeof(c->name), "%s", c->ctl.name);
	h->vol_calls++;
	return c;
}

void ctl_volume_create(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct change *c = h != NULL ? change_new(call, h) : NULL;

	if (c == NULL)
		return;
	tarnd_uuid(&c->ctl.uuid);
	vol_create(h->vols, &c->ctl);
}

void ctl_volume_resize(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct change *c;

	if (h == NULL || is_snapshot(call))
		return;
	c = change_new(call, h);
	if (c != NULL)
		vol_resize(h->vols, &c->ctl);
}

void ctl_volume_rename(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct change *c;

	if (h == NULL || is_snapshot(call))
		return;
	c = change_new(call, h);
	if (c == NULL)
		return;
	snprintf(c->name, sizeof(c->name), "%s", c->ctl.new_name);
	vol_rename(h->vols, &c->ctl);
}

void ctl_volume_delete(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct change *c;

	if (h == NULL || is_snapshot(call))
		return;
	c = change_new(call, h);
	if (c == NULL)
		return;
	c->name[0] = '\0';
	vol_delete(h->vols, &c->ctl);
}
