/* server/control_vol.c - see control_vol.h.
 *
 *   change_new(): name looked at --> change_run(): the operation of volume/
 *   --> change_done(): answered, with what there is now or with why not
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control_used.h"
#include "server/control_vol.h"

/* --- finding ------------------------------------------------------------- */

/* The name of the volume of `name`, VOLUME_NAME_MAX + 1 bytes. */
static void volume_part(const char *name, char *ret_volume)
{
	size_t len = min_u64(strcspn(name, "@#"), VOLUME_NAME_MAX);

	memcpy(ret_volume, name, len);
	ret_volume[len] = '\0';
}

/* There is no `name`: which part of it is it?  more: what else to say. */
static void not_there(struct ctl_call *call, struct volumes *vols,
		      const char *name, const char *more)
{
	bool snapshot = vol_name_kind(name) == VOL_KIND_SNAPSHOT;
	const char *word = snapshot ? "snapshot" : "checkpoint";
	char volume[VOLUME_NAME_MAX + 1];

	volume_part(name, volume);
	if (vols_find(vols, volume) == NULL)
		ctl_fail(call, -ENOENT, volume,
			 "volume '%s' does not exist: 'tarn volume list' lists "
			 "those that do%s", volume, more);
	else
		ctl_fail(call, -ENOENT, name,
			 "%s '%s' does not exist: 'tarn %s list %s' lists "
			 "those that do%s", word, name, word, volume, more);
}

bool ctl_is_name(struct ctl_call *call, const char *name, unsigned kinds)
{
	char err[256];

	if (vol_whole_name_problem(name, kinds, err) == NULL)
		return true;
	ctl_fail(call, -EINVAL, name, "%s", err);
	return false;
}

struct volume *ctl_find_vol(struct ctl_call *call, struct volumes *vols,
			    const char *name, unsigned kinds)
{
	struct volume *v;

	if (!ctl_is_name(call, name, kinds))
		return NULL;
	v = vols_find(vols, name);
	if (v == NULL)
		not_there(call, vols, name, "");
	return v;
}

/* The parameters that say what is to be set of a volume.  False: answered. */
bool ctl_take_props(struct ctl_call *call, struct vol_props *ret_props)
{
	const char *reserve = ctl_string(call, "reserve");
	const char *when_full = ctl_string(call, "when_full");
	char       *end;

	memset(ret_props, 0, sizeof(*ret_props));
	if (when_full != NULL && strcmp(when_full, "pause") != 0 &&
	    strcmp(when_full, "enospc") != 0) {
		ctl_bad_param(call, "when_full", "'%.40s' is not what a volume "
			      "does in a full pool: give enospc or pause",
			      when_full);
		return false;
	}
	if (when_full != NULL)
		ret_props->mask = VOL_PROP_PAUSE;
	ret_props->pause = when_full != NULL && when_full[0] == 'p';
	if (reserve == NULL)
		return true;
	ret_props->mask |= VOL_PROP_RESERVE;
	if (strcmp(reserve, "full") == 0) {
		ret_props->reserve_bytes = VOL_RESERVE_FULL;
		return true;
	}
	if (strcmp(reserve, "none") == 0) {
		ret_props->reserve_bytes = 0;
		return true;
	}
	errno = 0;
	ret_props->reserve_bytes = strtoull(reserve, &end, 10);
	if (strspn(reserve, "0123456789") > 0 && *end == '\0' && errno == 0 &&
	    ret_props->reserve_bytes <= VOLUME_BYTES_MAX)
		return true;
	ctl_bad_param(call, "reserve", "'%.40s' is no reserve of a volume: "
		      "give full, none, or bytes, up to its size", reserve);
	return false;
}

void ctl_reply_list(struct ctl_call *call, const char *member,
		    struct volume *(*next)(struct volumes *vols,
					   const struct volume *prev),
		    json_t *(*json)(const struct volume *v))
{
	struct hosted *h = ctl_need_pool(call);
	struct volume *v = NULL;
	json_t        *a;

	if (h == NULL)
		return;
	a = json_array();
	while ((v = next(h->vols, v)) != NULL && json_array_size(a) < LIST_MAX)
		json_array_append_new(a, json(v));
	ctl_reply(call, json_pack("{s:o, s:b}", member, a, "more", v != NULL));
}

/* --- what is said of each ------------------------------------------------ */

static json_t *volume_json(const struct volume *v,
			   const struct volume_info *i)
{
	return json_pack("{s:I, s:b, s:i, s:I, s:I, s:s?, s:o}", "used_bytes",
			 (json_int_t)blocks_to_bytes(i->mapped_blocks),
			 "read_only", i->read_only, "clients", (int)i->users,
			 "snapshots", (json_int_t)i->snapshots, "checkpoints",
			 (json_int_t)i->checkpoints, "clone_of",
			 i->clone_of[0] != '\0' ? i->clone_of : NULL,
			 "schedule", ctl_schedule_brief(v));
}

/* What is kept for it. */
static void add_reserve(json_t *o, const struct volume_info *i)
{
	bool full = i->reserve_bytes == VOL_RESERVE_FULL;

	json_object_set_new(o, "reserve", json_string(
				    full ? "full" : i->reserve_bytes != 0 ?
					   "size" : "none"));
	json_object_set_new(o, "reserve_bytes", json_integer((json_int_t)(
				    min_u64(i->reserve_bytes,
					    i->size_bytes))));
	json_object_set_new(o, "when_full",
			    json_string(i->pauses ? "pause" : "enospc"));
	json_object_set_new(o, "paused", json_integer(i->paused));
	json_object_set_new(o, "kept_bytes", json_integer((json_int_t)
				    blocks_to_bytes(i->kept_blocks)));
}

static json_t *snapshot_json(const struct volume_info *i)
{
	return json_pack("{s:s, s:I, s:i, s:I, s:b, s:s?}", "snapshot", i->name,
			 "referenced_bytes",
			 (json_int_t)blocks_to_bytes(i->mapped_blocks),
			 "clients", (int)i->users, "clones",
			 (json_int_t)i->clones, "held", i->held, "schedule",
			 i->schedule < PERIODS ? period_word(i->schedule)
					       : NULL);
}

static json_t *checkpoint_json(const struct volume_info *i)
{
	return json_pack("{s:s, s:b}", "checkpoint", i->name, "lost", i->lost);
}

json_t *ctl_vol_json(const struct volume *v)
{
	struct volume_info i;
	char    name[TREE_NAME_MAX + 1], uuid[UUID_TEXT_BYTES];
	char    volume[VOLUME_NAME_MAX + 1];
	json_t *o, *more = NULL;

	vol_info(v, &i);
	vol_full_name(v, name);
	o = json_pack("{s:s, s:I, s:s, s:I, s:I}", "name", name, "size_bytes",
		      (json_int_t)i.size_bytes, "uuid",
		      uuid_text(&i.uuid, uuid), "id", (json_int_t)i.id,
		      "created_s", (json_int_t)i.created_s);
	switch (vol_name_kind(name)) {
	case VOL_KIND_VOLUME:
		more = volume_json(v, &i);
		add_reserve(o, &i);
		break;
	case VOL_KIND_SNAPSHOT:
		more = snapshot_json(&i);
		break;
	case VOL_KIND_CHECKPOINT:
		more = checkpoint_json(&i);
		break;
	}
	if (vol_name_kind(name) != VOL_KIND_VOLUME) {
		volume_part(name, volume);
		json_object_set_new(o, "volume", json_string(volume));
	}
	json_object_update(o, more);
	json_decref(more);
	return o;
}

/* --- changes ------------------------------------------------------------- */

/* One of a group is not there; said of the first of them. */
static bool group_not_there(struct change *c, struct volumes *vols)
{
	json_t *name;
	size_t  i;

	json_array_foreach(ctl_strings(c->call, "names"), i, name) {
		char volume[VOLUME_NAME_MAX + 1];

		volume_part(json_string_value(name), volume);
		if (vols_find(vols, volume) != NULL)
			continue;
		not_there(c->call, vols, json_string_value(name),
			  "; nothing was taken");
		return true;
	}
	return false;
}

/* The volume cannot be deleted because of these. */
static void has_snapshots(struct change *c, unsigned n)
{
	const char *name = c->ctl.name;

	ctl_fail(c->call, -ENOTEMPTY, name,
		 "volume '%s' has %u snapshot%s: delete them first with 'tarn "
		 "snapshot delete %s@NAME' ('tarn snapshot list %s' lists "
		 "them), or with it, by --with-snapshots", name, n,
		 n > 1 ? "s" : "", name, name);
}

/* What volume/ says, but for what takes another command to solve. */
static void change_fail(struct change *c, struct volumes *vols)
{
	struct vol_ctl *ctl = &c->ctl;
	struct volume_info i = { .snapshots = 0 };
	struct volume *v = ctl->name != NULL ? vols_find(vols, ctl->name)
					     : NULL;

	if (v != NULL)
		vol_info(v, &i);
	if (ctl->res == -ENOENT && ctl->name == NULL &&
	    group_not_there(c, vols))
		return;
	if (ctl->res == -ENOENT && ctl->name != NULL && v == NULL)
		not_there(c->call, vols, ctl->name, "");
	else if (ctl->res == -ENOTEMPTY && c->op == vol_delete &&
		 i.snapshots > 0)
		has_snapshots(c, i.snapshots);
	else if (ctl->res == -EBUSY && c->op == vol_delete &&
		 i.held)
		ctl_fail(c->call, -EBUSY, ctl->name,
			 "snapshot '%s' is held: release it first with 'tarn "
			 "snapshot release %s'", ctl->name, ctl->name);
	else
		ctl_fail(c->call, ctl->res, ctl->name, "%s",
			 ctl->error[0] != '\0' ? ctl->error
					       : strerror(-ctl->res));
}

/* Where what was deleted is now. */
static void deleted_say(const struct change *c, struct volumes *vols, json_t *o)
{
	char uuid[UUID_TEXT_BYTES];
	struct volume *v;

	json_object_set_new(o, "trashed", json_boolean(c->ctl.trashed));
	uuid_text(&c->ctl.uuid, uuid);
	if (c->ctl.trashed)
		json_object_set_new(o, "uuid", json_string(uuid));
	v = c->ctl.trashed ? vols_trash_find(vols, uuid, NULL) : NULL;
	if (v != NULL)
		json_object_set_new(o, "goes_s",
				    json_integer((json_int_t)(
					    tarnd_now_s() +
					    vol_trash_left_s(v))));
	json_object_set_new(o, "deletion",
			    json_integer((json_int_t)vols_deletion_no(vols)));
}

static json_t *change_answer(struct change *c, struct volumes *vols)
{
	struct volume *v;
	json_t *o;

	if (c->answer != NULL)
		return c->answer(c->call, vols);
	v = vols_find(vols, c->after);
	o = v != NULL ? ctl_vol_json(v)
		      : json_pack("{s:o}", "name", ctl_text(c->after));
	if (o != NULL)
		json_object_set_new(o, "already",
				    json_boolean(c->ctl.already));
	if (o != NULL && c->op == vol_delete)
		deleted_say(c, vols, o);
	return o;
}

static void change_done(struct vol_ctl *ctl)
{
	struct change *c = container_of(ctl, struct change, ctl);
	struct tarnd  *t = ctl_arg(c->call);
	struct volume *v;

	if (ctl->res == 0 && c->then != NULL)
		c->then(t);
	if (ctl->res < 0)
		change_fail(c, t->hosted.vols);
	else if (ctl->dry_run &&
		 (v = vols_find(t->hosted.vols, c->after)) != NULL)
		used_reply_dry_run(c->call, v, c->ctl.with_snapshots);
	else
		ctl_reply(c->call, change_answer(c, t->hosted.vols));
	free(c);
	hosted_call_end(t);
}

struct change *change_new(struct ctl_call *call, unsigned kinds)
{
	struct hosted *h = ctl_need_pool(call);
	struct change *c;

	if (h == NULL ||
	    (kinds != 0 &&
	     !ctl_is_name(call, ctl_string(call, "name"), kinds)))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return NULL;
	}
	c->call = call;
	c->ctl.force = ctl_bool(call, "force");
	c->ctl.dry_run = ctl_bool(call, "dry_run");
	c->ctl.with_snapshots = ctl_bool(call, "with_snapshots");
	c->ctl.at_once = ctl_bool(call, "now");
	c->ctl.now_s = tarnd_now_s();
	c->ctl.done = change_done;
	if (kinds != 0) {
		c->ctl.name = ctl_string(call, "name");
		snprintf(c->after, sizeof(c->after), "%s", c->ctl.name);
	}
	return c;
}

void change_run(struct change *c,
		void (*op)(struct volumes *vols, struct vol_ctl *ctl))
{
	struct tarnd *t = ctl_arg(c->call);

	c->op = op;
	t->hosted.vol_calls++;
	op(t->hosted.vols, &c->ctl);
}
