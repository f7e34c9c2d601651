/* volume/vol_props.c - properties of a volume: what they may be, and the control
 * operation that sets them.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

static_assert((unsigned)VOL_PROP_RESERVE == CATALOG_PROP_RESERVE &&
	      (unsigned)VOL_PROP_PAUSE == CATALOG_PROP_PAUSE &&
	      VOL_RESERVE_FULL == CATALOG_RESERVE_FULL, "properties");

/* --- records ------------------------------------------------------------- */

uint32_t vol_props_encode(const struct vol_props *props, void *ret_bytes)
{
	struct catalog_props rec = {
		.mask = props->mask,
		.pause = props->pause,
		.reserve = le64_of(props->reserve_bytes),
	};

	memcpy(ret_bytes, &rec, sizeof(rec));
	return sizeof(rec);
}

void catalog_props_take(struct volume *v, const struct catalog_props *props)
{
	if (props->mask & CATALOG_PROP_RESERVE)
		v->promise.reserve_bytes = le64_get(props->reserve);
	if (props->mask & CATALOG_PROP_PAUSE)
		v->promise.pause = props->pause != 0;
	vol_pauses_kick(v->vols);
	catalog_touch(v);
	vol_promise_update(v);
}

int catalog_apply_props(struct volume *v, const void *body)
{
	struct catalog_props props;

	memcpy(&props, body, sizeof(props));
	if (v->kind != CATALOG_VOLUME || v->state != CATALOG_READY ||
	    v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED))
		return -EBADMSG;
	catalog_props_take(v, &props);
	return 0;
}

/* --- the control operation ----------------------------------------------- */

bool vol_props_are(const struct volume *v, const struct vol_props *props)
{
	return ((props->mask & VOL_PROP_RESERVE) == 0 ||
		v->promise.reserve_bytes == props->reserve_bytes) &&
	       ((props->mask & VOL_PROP_PAUSE) == 0 ||
		v->promise.pause == props->pause);
}

bool vol_props_refused(struct volumes *vols, struct vol_ctl *ctl,
		       const struct volume *v, uint64_t size_bytes)
{
	const struct vol_props *p = &ctl->props;

	/* One that was made smaller may go on to have what it had. */
	if ((p->mask & VOL_PROP_RESERVE) == 0 ||
	    p->reserve_bytes == VOL_RESERVE_FULL ||
	    p->reserve_bytes <= size_bytes ||
	    (v != NULL && p->reserve_bytes == v->promise.reserve_bytes))
		return false;
	vol_ctl_refuse(vols, ctl, -EINVAL,
		       "Volume '%.80s' has %llu bytes and cannot have a reserve "
		       "of more: give no more than that, or 'full'.",
		       vol_ctl_name(ctl), (unsigned long long)size_bytes);
	return true;
}

void vol_set_start(struct volumes *vols, struct vol_ctl *ctl)
{
	const struct vol_props *p = &ctl->props;
	struct volume *v = vol_ctl_find(vols, ctl);
	struct vol_need need;

	if (v == NULL)
		return;
	if (v->flags & CATALOG_HIDDEN) {
		vol_ctl_refuse(vols, ctl, -EINVAL,
			       "'%.160s' is being received: change the volume "
			       "at the end.", vol_ctl_name(ctl));
		return;
	}
	if (vol_props_are(v, p)) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	need = vol_need_of(v, v->size_bytes, false);
	if (p->mask & VOL_PROP_RESERVE)
		need.reserve_bytes = p->reserve_bytes;
	if (vol_props_refused(vols, ctl, v, v->size_bytes) ||
	    vol_ctl_pledge(vols, ctl, v, &need))
		return;
	vol_ctl_append(vols, ctl, v, CATALOG_PROPS,
		       vol_props_encode(p, ctl->body));
}

void vol_set(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_SET,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_VOLUME));
}
