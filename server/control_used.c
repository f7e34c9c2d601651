/* server/control_used.c - see control_used.h.
 *
 *   the answer is there but for this --> item by item: found by its name?
 *   --> vol_used_submit() --> its members are set --> ... --> answered
 *
 * An item that is renamed or deleted meanwhile, or of which some cannot be
 * read, says null.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control_used.h"
#include "server/control_vol.h"

/* Then a list ends with what it has. */
#define LIST_NS (20 * NS_PER_S)

struct measure {
	struct vol_used  used;
	struct ctl_call *call;
	json_t          *result;
	json_t          *items;  /* borrowed: an array in result; NULL: result
				  * itself */
	json_t          *item;   /* borrowed: that is measured */
	size_t           next;   /* of items */
	uint64_t         end_ns;
};

static const char *name_of(json_t *item)
{
	return json_string_value(json_object_get(item, "name"));
}

static struct tarnd *tarnd_of(const struct measure *m)
{
	return ctl_arg(m->call);
}

bool used_unwanted(const struct ctl_call *call)
{
	const struct tarnd *t = ctl_arg(call);

	return call->session == NULL || t->hosted.state != HOSTED_OPEN;
}

void used_fail(struct ctl_call *call, int err, const char *what)
{
	if (used_unwanted(call))
		ctl_fail(call, -ESHUTDOWN, NULL, "the pool is being closed");
	else
		ctl_fail(call, err, NULL, "%s cannot be told: %s", what,
			 err == -ENOENT ? "some of it was deleted or changed "
					  "its name meanwhile; ask again" :
			 err == -ENOMEM ? "the server is out of memory" :
			 "some of the map cannot be read; see 'tarn status'");
}

static bool unwanted(struct vol_used *u)
{
	return used_unwanted(container_of(u, struct measure, used)->call);
}

static void measure_end(struct measure *m)
{
	struct tarnd *t = tarnd_of(m);

	if (unwanted(&m->used)) {
		ctl_fail(m->call, -ESHUTDOWN, NULL, "the pool is being closed");
		json_decref(m->result);
	} else {
		ctl_reply(m->call, m->result);
	}
	free(m);
	hosted_call_end(t);
}

/* The rest of the list is for another call. */
static void cut(struct measure *m)
{
	while (json_array_size(m->items) > m->next)
		json_array_remove(m->items, m->next);
	json_object_set_new(m->result, "more", json_true());
}

static json_t *next_item(struct measure *m)
{
	if (m->items != NULL)
		return json_array_get(m->items, m->next++);
	return m->next++ == 0 ? m->result : NULL;
}

/* The item, if it is still what it was. */
static struct volume *item_volume(const struct measure *m, json_t *item)
{
	struct volume *v = vols_find(tarnd_of(m)->hosted.vols, name_of(item));
	struct volume_info i;

	if (v == NULL)
		return NULL;
	vol_info(v, &i);
	return json_integer_value(json_object_get(item, "id")) ==
			       (json_int_t)i.id ?
		       v :
		       NULL;
}

static void measure_next(struct measure *m)
{
	struct tarnd *t = tarnd_of(m);

	if (m->items != NULL && m->next > 0 && io_now_ns(t->io) >= m->end_ns)
		cut(m);
	while ((m->item = next_item(m)) != NULL) {
		m->used.vol = item_volume(m, m->item);
		if (m->used.vol != NULL) {
			vol_used_submit(&m->used);
			return;
		}
	}
	measure_end(m);
}

static void measured(struct vol_used *u)
{
	struct measure *m = container_of(u, struct measure, used);
	json_t *o;

	if (u->res == 0) {
		o = json_pack("{s:I, s:I, s:b}",
			      "used_bytes",
			      (json_int_t)blocks_to_bytes(u->data_blocks +
							  u->node_blocks),
			      "used_map_bytes",
			      (json_int_t)blocks_to_bytes(u->node_blocks),
			      "kept_for_clones", u->forked);
		json_object_update(m->item, o);
		json_decref(o);
	}
	if (unwanted(u))
		measure_end(m);
	else
		measure_next(m);
}

/* Takes result; NULL: out of memory. */
static void measure_start(struct ctl_call *call, json_t *result,
			  const char *member)
{
	struct measure *m = calloc(1, sizeof(*m));
	struct tarnd   *t = ctl_arg(call);

	if (m == NULL || result == NULL) {
		free(m);
		json_decref(result);
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	m->call = call;
	m->result = result;
	m->items = member != NULL ? json_object_get(result, member) : NULL;
	m->end_ns = io_now_ns(t->io) + LIST_NS;
	m->used.stop = unwanted;
	m->used.done = measured;
	t->hosted.vol_calls++;
	measure_next(m);
}

/* --- for the methods ----------------------------------------------------- */

static void set_null(json_t *item)
{
	json_object_set_new(item, "used_bytes", json_null());
	json_object_set_new(item, "used_map_bytes", json_null());
	json_object_set_new(item, "kept_for_clones", json_null());
}

void used_reply(struct ctl_call *call, json_t *result)
{
	set_null(result);
	measure_start(call, result, NULL);
}

void used_reply_list(struct ctl_call *call, json_t *result, const char *member)
{
	json_t *item;
	size_t  i;

	json_array_foreach(json_object_get(result, member), i, item)
		set_null(item);
	measure_start(call, result, member);
}

void used_reply_dry_run(struct ctl_call *call, struct volume *v,
			bool with_snapshots)
{
	json_t *result = ctl_vol_json(v);
	struct used_set s = { .n = 0 };

	json_object_set_new(result, "dry_run", json_true());
	used_set_add(&s, v);
	if (with_snapshots)
		used_set_add_snapshots(&s, v);
	used_reply_set(call, result, &s);
}
