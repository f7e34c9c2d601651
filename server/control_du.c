/* server/control_du.c - volume.du: what volumes take, in the words of tarn df.
 *
 * Three walks, one after the other: of the volumes alone (what is theirs only),
 * of their snapshots (what only these hold), and of all of it together (what
 * would be free without any of it).  Each walk is of what there is when it
 * begins; while clients write, the three are of slightly different moments.
 *
 *   submit(DU_OWN) --> done: note --> submit(DU_SNAPSHOTS) --> … --> answered
 *
 *   - A volume that is renamed or deleted meanwhile: -ENOENT.
 *   - Some of the map cannot be read: -EIO, with what to look at.
 *   - The client goes away, or the pool is closed: it ends in its next turn.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control_used.h"
#include "server/control_vol.h"

enum du_walk {
	DU_OWN,
	DU_SNAPSHOTS,
	DU_ALL,
	DU_WALKS,
};

struct du {
	struct vol_used  used;
	struct tarnd    *t;
	struct ctl_call *call;    /* gone when it is answered */
	uint32_t        *ids;     /* of the volumes that are named; NULL: all */
	unsigned         n;
	unsigned         walk;    /* enum du_walk */
	uint64_t         data[DU_WALKS], nodes[DU_WALKS]; /* blocks */
	bool             forked;
};

static bool unwanted(struct vol_used *u)
{
	return used_unwanted(container_of(u, struct du, used)->call);
}

/* --- which --------------------------------------------------------------- */

static bool is_asked(const struct du *d, const struct volume *v)
{
	struct volume_info info;

	if (d->ids == NULL)
		return true;
	vol_info(v, &info);
	for (unsigned i = 0; i < d->n; i++)
		if (d->ids[i] == info.id)
			return true;
	return false;
}

/* One of the volumes after the other, in order of name; prev NULL: the first.
 */
static struct volume *next_asked(const struct du *d, struct volume *prev)
{
	do {
		prev = vols_next(d->t->hosted.vols, prev);
	} while (prev != NULL && !is_asked(d, prev));
	return prev;
}

/* Which are named, once each.  False: answered. */
static bool ids_take(struct du *d, struct volumes *vols)
{
	json_t *names = ctl_strings(d->call, "names"), *name;
	size_t  i;

	if (names == NULL)
		return true;
	d->ids = calloc(CTL_ARRAY_MAX, sizeof(d->ids[0]));
	if (d->ids == NULL) {
		ctl_fail(d->call, -ENOMEM, NULL, "the server is out of memory");
		return false;
	}
	json_array_foreach(names, i, name) {
		struct volume_info info;
		struct volume *v = ctl_find_vol(d->call, vols,
						json_string_value(name),
						VOL_KIND_VOLUME);

		if (v == NULL)
			return false;
		vol_info(v, &info);
		if (!is_asked(d, v))
			d->ids[d->n++] = info.id;
	}
	return true;
}

/* --- walking ------------------------------------------------------------- */

/* What this walk is of.  False: some of what was named is not there any more.
 */
static bool set_make(struct du *d, struct used_set *s)
{
	struct volume *v = NULL;
	unsigned n = 0;

	while ((v = next_asked(d, v)) != NULL) {
		n++;
		if (d->walk != DU_SNAPSHOTS)
			used_set_add(s, v);
		if (d->walk != DU_OWN)
			used_set_add_snapshots(s, v);
	}
	return d->ids == NULL || n == d->n;
}

static void du_free(struct du *d)
{
	struct tarnd *t = d->t;

	free(d->ids);
	free(d);
	hosted_call_end(t);
}

static void fail(struct du *d, int r)
{
	used_fail(d->call, r, "what they take");
	du_free(d);
}

static json_int_t bytes(uint64_t blocks)
{
	return (json_int_t)blocks_to_bytes(blocks);
}

/* What the volumes and their snapshots show, by the numbers of the catalog. */
static void put_shown(struct du *d, json_t *o)
{
	uint64_t size = 0, shown = 0, shown_snaps = 0, snaps = 0, n = 0;
	uint64_t kept = 0;
	struct volume *v = NULL, *s;
	struct volume_info i;

	while ((v = next_asked(d, v)) != NULL) {
		vol_info(v, &i);
		n++;
		size += i.size_bytes;
		shown += i.mapped_blocks;
		kept += i.kept_blocks;
		snaps += i.snapshots;
		for (s = vol_snap_next(v, NULL); s != NULL;
		     s = vol_snap_next(v, s)) {
			vol_info(s, &i);
			shown_snaps += i.mapped_blocks;
		}
	}
	json_object_set_new(o, "volumes", json_integer((json_int_t)n));
	json_object_set_new(o, "snapshots", json_integer((json_int_t)snaps));
	json_object_set_new(o, "size_bytes", json_integer((json_int_t)size));
	json_object_set_new(o, "logical_bytes", json_integer(bytes(shown)));
	json_object_set_new(o, "reserved_bytes", json_integer(bytes(kept)));
	json_object_set_new(o, "snapshots_logical_bytes",
			    json_integer(bytes(shown_snaps)));
	json_object_set_new(o, "shared_bytes", json_integer(bytes(
				    shown - min_u64(shown, d->data[DU_OWN]))));
}

static void answer(struct du *d)
{
	json_t *o = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "unique_bytes",
		bytes(d->data[DU_OWN]), "unique_map_bytes",
		bytes(d->nodes[DU_OWN]), "held_bytes",
		bytes(d->data[DU_SNAPSHOTS]), "held_map_bytes",
		bytes(d->nodes[DU_SNAPSHOTS]), "reclaimable_bytes",
		bytes(d->data[DU_ALL] + d->nodes[DU_ALL]),
		"reclaimable_map_bytes", bytes(d->nodes[DU_ALL]),
		"kept_for_clones", d->forked);

	put_shown(d, o);
	ctl_reply(d->call, o);
	du_free(d);
}

static void walk_next(struct du *d)
{
	struct used_set s = { .n = 0 };
	bool there = true;

	/* Without snapshots there is one walk less. */
	for (; d->walk < DU_WALKS; d->walk++) {
		there = set_make(d, &s);
		if (s.n > 0 || s.no_memory || !there)
			break;
	}
	if (d->walk == DU_WALKS) {
		answer(d);
		return;
	}
	if (s.no_memory || !there) {
		free(s.vols);
		fail(d, s.no_memory ? -ENOMEM : -ENOENT);
		return;
	}
	d->used.set = s.vols;
	d->used.nset = s.n;
	vol_used_submit(&d->used);
	free(s.vols);
}

static void walked(struct vol_used *u)
{
	struct du *d = container_of(u, struct du, used);

	if (u->res < 0 || unwanted(u)) {
		fail(d, u->res);
		return;
	}
	d->data[d->walk] = u->data_blocks;
	d->nodes[d->walk] = u->node_blocks;
	d->forked = u->forked; /* of all of it, in the end */
	d->walk++;
	walk_next(d);
}

void ctl_volume_du(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct du     *d;

	if (h == NULL)
		return;
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	d->t = ctl_arg(call);
	d->call = call;
	d->used.stop = unwanted;
	d->used.done = walked;
	if (!ids_take(d, h->vols)) {
		free(d->ids);
		free(d);
		return;
	}
	h->vol_calls++;
	walk_next(d);
}
