/* server/control_volume.c - volume.* */
#include <string.h>

#include "server/control_vol.h"

/* --- list and show ------------------------------------------------------- */

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
		json_array_append_new(a, ctl_vol_json(v));
	}
	ctl_reply(call, json_pack("{s:o, s:b}", "volumes", a, "more", more));
}

void ctl_volume_show(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct volume *v;

	if (h == NULL)
		return;
	v = ctl_find_vol(call, h->vols, ctl_string(call, "name"),
			 VOL_KIND_VOLUME);
	if (v != NULL)
		ctl_reply(call, ctl_vol_json(v));
}

/* --- changes ------------------------------------------------------------- */

void ctl_volume_create(struct ctl_call *call)
{
	struct vol_props props;
	struct change *c;

	if (!ctl_take_props(call, &props))
		return;
	c = change_new(call, VOL_KIND_ANY);
	if (c == NULL)
		return;
	tarnd_uuid(&c->ctl.uuid);
	c->ctl.size_bytes = ctl_uint(call, "size", 0);
	c->ctl.props = props;
	change_run(c, vol_create);
}

void ctl_volume_clone(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_SNAPSHOT);

	if (c == NULL)
		return;
	tarnd_uuid(&c->ctl.uuid);
	c->ctl.new_name = ctl_string(call, "new_name");
	snprintf(c->after, sizeof(c->after), "%s", c->ctl.new_name);
	change_run(c, vol_clone);
}

void ctl_volume_resize(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);

	if (c == NULL)
		return;
	c->ctl.size_bytes = ctl_uint(call, "size", 0);
	change_run(c, vol_resize);
}

void ctl_volume_set(struct ctl_call *call)
{
	struct vol_props props;
	struct change *c;

	if (!ctl_take_props(call, &props))
		return;
	if (props.mask == 0) {
		ctl_bad_param(call, "reserve", "nothing is to be set: give "
			      "reserve or when_full");
		return;
	}
	c = change_new(call, VOL_KIND_VOLUME);
	if (c == NULL)
		return;
	c->ctl.props = props;
	change_run(c, vol_set);
}

void ctl_volume_rename(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);

	if (c == NULL)
		return;
	c->ctl.new_name = ctl_string(call, "new_name");
	snprintf(c->after, sizeof(c->after), "%s", c->ctl.new_name);
	change_run(c, vol_rename);
}

void ctl_volume_delete(struct ctl_call *call)
{
	struct change *c = change_new(call, VOL_KIND_VOLUME);

	if (c != NULL)
		change_run(c, vol_delete);
}
