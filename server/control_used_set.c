/* server/control_used_set.c - what deleting several volumes and snapshots would
 * free together: see control_used.h.
 *
 * What the trash holds is told again and again: it is kept as long as it cannot
 * have changed; and that it takes too long to tell, for a while.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control_used.h"
#include "server/control_vol.h"

/* Space in the trash is told in so long, or not. */
#define TRASH_NS (5 * NS_PER_S)
/* It is not tried again before that. */
#define TRASH_AGAIN_NS (60 * NS_PER_S)

struct measure_set {
	struct vol_used  used;
	struct ctl_call *call;
	json_t          *result;
	const char      *member; /* the trash: of result; NULL */
	uint64_t         end_ns; /* of that */
	struct vols_trash_mark mark; /* when it began */
};

/* --- sets ---------------------------------------------------------------- */

void used_set_add(struct used_set *s, struct volume *v)
{
	for (unsigned i = 0; i < s->n && s->n < 1024; i++)
		if (s->vols[i] == v)
			return;
	if (s->n == s->cap) {
		unsigned cap = s->cap == 0 ? 16 : 2 * s->cap;
		void *p = realloc(s->vols, cap * sizeof(s->vols[0]));

		if (p == NULL) {
			s->no_memory = true;
			return;
		}
		s->vols = p;
		s->cap = cap;
	}
	s->vols[s->n++] = v;
}

void used_set_add_snapshots(struct used_set *s, struct volume *v)
{
	struct volume_info i;
	struct volume *snap;

	vol_info(v, &i);
	if (i.snapshot)
		return;
	for (snap = vol_snap_next(v, NULL); snap != NULL;
	     snap = vol_snap_next(v, snap))
		used_set_add(s, snap);
}

void used_set_add_all(struct used_set *s, struct volume *v)
{
	used_set_add(s, v);
	used_set_add_snapshots(s, v);
}

/* --- measuring ----------------------------------------------------------- */

static bool stop(struct vol_used *u)
{
	const struct measure_set *m = container_of(u, struct measure_set, used);
	const struct tarnd *t = ctl_arg(m->call);

	return used_unwanted(m->call) ||
	       (m->end_ns != 0 && io_now_ns(t->io) >= m->end_ns);
}

static json_t *bytes(uint64_t blocks)
{
	return json_integer((json_int_t)blocks_to_bytes(blocks));
}

static bool same(const struct vols_trash_mark *a,
		 const struct vols_trash_mark *b)
{
	return a->trees == b->trees && a->writes == b->writes;
}

/* For those who ask next. */
static void trash_keep(const struct measure_set *m)
{
	const struct vol_used *u = &m->used;
	struct tarnd  *t = ctl_arg(m->call);
	struct hosted *h = &t->hosted;
	struct vols_trash_mark now = vols_trash_mark(h->vols);

	h->trash_held.known = u->res == 0 && same(&now, &m->mark);
	h->trash_held.mark = now;
	h->trash_held.blocks = u->data_blocks + u->node_blocks;
	h->trash_held.again_ns =
		u->res < 0 ? io_now_ns(t->io) + TRASH_AGAIN_NS : 0;
}

/* Is it known, or that it cannot be told? */
static json_t *trash_kept(const struct tarnd *t)
{
	const struct hosted *h = &t->hosted;
	struct vols_trash_mark now = vols_trash_mark(h->vols);

	if (h->trash_held.known && same(&now, &h->trash_held.mark))
		return bytes(h->trash_held.blocks);
	return now.trees == h->trash_held.mark.trees &&
			       io_now_ns(t->io) < h->trash_held.again_ns ?
		       json_null() :
		       NULL;
}

static void done(struct vol_used *u)
{
	struct measure_set *m = container_of(u, struct measure_set, used);
	struct tarnd *t = ctl_arg(m->call);

	if (used_unwanted(m->call) || (u->res < 0 && m->member == NULL)) {
		used_fail(m->call, u->res, "what this would free");
		json_decref(m->result);
	} else if (m->member != NULL) {
		trash_keep(m);
		json_object_set_new(m->result, m->member,
				    u->res < 0 ? json_null() :
						 bytes(u->data_blocks +
						       u->node_blocks));
		ctl_reply(m->call, m->result);
	} else {
		json_object_set_new(m->result, "freed_bytes",
				    bytes(u->data_blocks + u->node_blocks));
		json_object_set_new(m->result, "freed_map_bytes",
				    bytes(u->node_blocks));
		json_object_set_new(m->result, "kept_for_clones",
				    json_boolean(u->forked));
		ctl_reply(m->call, m->result);
	}
	free(m);
	hosted_call_end(t);
}

static void start(struct ctl_call *call, json_t *result, const char *member,
		  struct used_set *s)
{
	struct measure_set *m = s->no_memory ? NULL : calloc(1, sizeof(*m));
	struct tarnd *t = ctl_arg(call);

	if (m == NULL || result == NULL) {
		free(m);
		free(s->vols);
		json_decref(result);
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	m->call = call;
	m->result = result;
	m->member = member;
	m->end_ns = member != NULL ? io_now_ns(t->io) + TRASH_NS : 0;
	if (member != NULL)
		m->mark = vols_trash_mark(t->hosted.vols);
	m->used.set = s->vols;
	m->used.nset = s->n;
	m->used.stop = stop;
	m->used.done = done;
	t->hosted.vol_calls++;
	vol_used_submit(&m->used);
	free(s->vols);
}

void used_reply_set(struct ctl_call *call, json_t *result, struct used_set *s)
{
	if (s->n > 0 || s->no_memory) {
		start(call, result, NULL, s);
		return;
	}
	json_object_set_new(result, "freed_bytes", json_integer(0));
	json_object_set_new(result, "freed_map_bytes", json_integer(0));
	json_object_set_new(result, "kept_for_clones", json_false());
	ctl_reply(call, result);
}

void used_reply_trash(struct ctl_call *call, json_t *result,
		      const char *member)
{
	struct tarnd *t = ctl_arg(call);
	struct used_set s = { .n = 0 };
	json_t *kept = result != NULL ? trash_kept(t) : NULL;
	struct volume *v;

	if (kept != NULL) {
		json_object_set_new(result, member, kept);
		ctl_reply(call, result);
		return;
	}
	for (v = vols_trash_next(t->hosted.vols, NULL); v != NULL;
	     v = vols_trash_next(t->hosted.vols, v))
		used_set_add_all(&s, v);
	if (s.n > 0 || s.no_memory) {
		start(call, result, member, &s);
		return;
	}
	if (result != NULL)
		json_object_set_new(result, member, json_integer(0));
	ctl_reply(call, result);
}
