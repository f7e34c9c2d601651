/* server/control_damage.c - damage.list: which blocks of which volumes and
 * snapshots are lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/event.h"
#include "server/tarnd.h"

struct damage_call {
	struct vols_damage d;
	struct ctl_call   *call;
};

static json_t *range_json(const struct vol_damage_range *r)
{
	return json_pack("{s:o, s:I, s:I, s:b}", "name", ctl_text(r->name),
			 "offset", (json_int_t)blocks_to_bytes(r->block),
			 "length", (json_int_t)blocks_to_bytes(r->n), "trashed",
			 r->trashed);
}

static json_t *damage_json(const struct vols_damage *d,
			   const struct pool_info *info)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < d->nranges; i++)
		json_array_append_new(a, range_json(&d->ranges[i]));
	return json_pack("{s:o, s:I, s:I, s:I, s:I}", "ranges", a, "more",
			 (json_int_t)d->more, "unnamed_bytes",
			 (json_int_t)blocks_to_bytes(d->unnamed),
			 "unread_bytes", (json_int_t)blocks_to_bytes(d->unread),
			 "lost_bytes",
			 (json_int_t)blocks_to_bytes(info->damaged_blocks));
}

static void damage_done(struct vols_damage *d)
{
	struct damage_call *c = container_of(d, struct damage_call, d);
	struct tarnd       *t = ctl_arg(c->call);
	struct pool_info    info;

	if (d->res < 0) {
		ctl_fail(c->call, d->res, NULL,
			 "what is lost cannot be listed: %s",
			 d->res == -ESHUTDOWN ? "the pool is being closed" :
						strerror(-d->res));
	} else {
		pool_get_info(t->hosted.pool, &info);
		ctl_reply(c->call, damage_json(d, &info));
		watch_news(t);
	}
	free(c);
	hosted_call_end(t);
}

void ctl_damage_list(struct ctl_call *call)
{
	struct tarnd       *t = ctl_arg(call);
	struct hosted      *h = ctl_need_pool(call);
	struct damage_call *c;

	if (h == NULL)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		ctl_fail(call, -ENOMEM, NULL,
			 "what is lost cannot be listed: out of memory");
		return;
	}
	c->call = call;
	c->d.done = damage_done;
	t->hosted.vol_calls++;
	vols_damage_submit(h->vols, &c->d);
}
