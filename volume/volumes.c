/* volume/volumes.c - opening, closing, finding. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/volumes.h"

#define BUDGET_DEFAULT_BYTES (256ull << 20)
#define DIRTY_MIN            64u

static const struct log_client_ops client_ops = {
	.format = vols_format,
	.load = vols_load,
	.redo_knows = vols_redo_knows,
	.redo_prepare = vols_redo_prepare,
	.redo_apply = vols_redo_apply,
	.commit_freeze = vols_commit_freeze,
	.commit_write = vols_commit_write,
	.commit_root = vols_commit_root,
	.commit_done = vols_commit_done,
	.commit_blocked = vols_commit_blocked,
	.commit_blocks = vols_commit_blocks,
	.relocate = vols_relocate,
	.room = vols_room,
	.damaged = vols_damaged,
};

const struct log_client_ops *vols_log_client_ops(void)
{
	return &client_ops;
}

int vols_open(struct io *io, const struct volumes_params *params,
	      struct volumes **ret_vols)
{
	struct volumes *vols = calloc(1, sizeof(*vols));
	uint64_t budget;
	int r;

	if (vols == NULL)
		return -ENOMEM;
	vols->io = io;
	if (params != NULL)
		vols->params = *params;
	budget = vols->params.node_budget_bytes;
	if (budget == 0)
		budget = BUDGET_DEFAULT_BYTES;
	slab_init(&vols->slab);
	id_map_init(&vols->ids, &vols->slab);
	vol_reaper_init(vols);
	vol_trash_init(vols);
	vol_reserves_init(vols);
	vol_pauses_init(vols);
	damage_init(vols);
	/* What the nodes do not take of their budget is the blocks' (see
	 * node_cache_trim). */
	r = block_cache_init(&vols->blocks,
			     vols->params.cache_bytes == 0 ?
				     0 :
				     vols->params.cache_bytes + budget);
	if (r == 0)
		r = read_around_init(&vols->around, &vols->blocks);
	if (r == 0)
		r = node_cache_init(vols, budget);
	if (r == 0)
		r = node_table_init(vols);
	if (r == 0)
		r = node_loader_init(vols);
	if (r == 0)
		r = node_commit_init(vols);
	if (r == 0)
		r = catalog_init(vols);
	if (r == 0)
		r = vol_requests_init(vols);
	if (r == 0)
		r = vol_controls_init(vols);
	if (r == 0)
		r = vol_relocs_init(vols);
	if (r == 0)
		r = vols_redo_init(vols);
	if (r == 0)
		r = events_init(vols);
	if (r < 0) {
		vols_close(vols);
		return r;
	}
	vols->dirty_max = vols->params.dirty_nodes_max;
	if (vols->dirty_max == 0)
		vols->dirty_max = vols->cache.budget_slabs / 2;
	vols->dirty_max = max_u64(vols->dirty_max, DIRTY_MIN);
	*ret_vols = vols;
	return 0;
}

void vols_attach(struct volumes *vols, struct pool *pool)
{
	assert(vols->pool == NULL);
	vols->pool = pool;
}

void vols_close(struct volumes *vols)
{
	if (vols == NULL)
		return;
	damage_close(vols);
	events_fini(vols);
	vol_reaper_fini(vols);
	vol_trash_fini(vols);
	vol_pauses_fini(vols);
	vol_controls_fini(vols);
	vol_relocs_fini(vols);
	objpool_fini(&vols->redo_loads);
	vol_requests_fini(vols);
	catalog_fini(vols);
	node_commit_fini(vols);
	node_loader_fini(vols);
	node_table_fini(vols);
	node_cache_fini(vols);
	id_map_fini(&vols->ids);
	read_around_fini(&vols->around);
	block_cache_fini(&vols->blocks);
	free(vols->opening);
	slab_fini(&vols->slab);
	free(vols);
}

void vols_learn_geometry(struct volumes *vols)
{
	struct pool_info info;

	pool_get_info(vols->pool, &info);
	vols->zone_mask = (1ull << info.zone_shift) - 1;
}

void vols_format(void *arg)
{
	struct volumes *vols = arg;
	void *buf = slab_need(&vols->slab);

	vols_learn_geometry(vols);
	vols->owned = true;
	memset(buf, 0, TARN_BLOCK);
	if (id_map_add_page(&vols->ids, buf) < 0)
		abort(); /* as in slab_need() */
	id_map_touch_page(&vols->ids, 0);
}

struct volume *vols_hidden_next(struct volumes *vols, const struct volume *prev)
{
	const struct catalog *c = &vols->catalog;

	for (uint32_t i = prev == NULL ? 0 : prev->slot + 1; i < c->nslots; i++)
		if (c->slots[i] != NULL &&
		    c->slots[i]->flags & CATALOG_HIDDEN)
			return c->slots[i];
	return NULL;
}

struct volume *vols_find(struct volumes *vols, const char *name)
{
	return catalog_find_name(&vols->catalog, name);
}

/* The volume that a tree belongs to; NULL: it has been deleted, or is in the
 * trash. */
static const struct volume *volume_of(const struct volume *t)
{
	const struct volume *v = t->kind == CATALOG_VOLUME ? t : t->of;

	return v == NULL || catalog_is_trashed(v) ? NULL : v;
}

/* Which snapshot was the volume made from, or the youngest of those before it
 * that are still there? */
static void origin_info(const struct volume *v, struct volume_info *ret_info)
{
	const struct volume *o = v->origin;

	while (o != NULL && (o->of == v || volume_of(o) == NULL))
		o = o->origin;
	if (o != NULL)
		vol_full_name(o, ret_info->clone_of);
}

static void clones_info(const struct volume *s, struct volume_info *ret_info)
{
	list_for_each(it, &s->kids) {
		const struct volume *kid =
			list_entry(it, struct volume, kid_link);

		ret_info->clones += volume_of(kid) != NULL &&
				    volume_of(kid) != s->of;
	}
}

void vol_info(const struct volume *v, struct volume_info *ret_info)
{
	memset(ret_info, 0, sizeof(*ret_info));
	memcpy(ret_info->name, v->name, sizeof(ret_info->name));
	ret_info->uuid = v->uuid;
	ret_info->id = v->id;
	ret_info->size_bytes = v->size_bytes;
	ret_info->mapped_blocks = v->mapped;
	ret_info->created_s = v->created_s;
	ret_info->read_only = v->kind == CATALOG_SNAPSHOT;
	ret_info->users = v->nusers;
	ret_info->snapshot = v->kind == CATALOG_SNAPSHOT;
	ret_info->birth = v->birth;
	ret_info->snapshots = v->nsnaps;
	ret_info->checkpoints = v->ncheckpoints;
	ret_info->held = v->flags & CATALOG_HELD;
	ret_info->schedule = (uint8_t)vol_schedule_kind(v);
	ret_info->lost = v->flags & CATALOG_LOST;
	ret_info->trashed_s = v->trashed_s;
	ret_info->reserve_bytes = v->promise.reserve_bytes;
	ret_info->kept_blocks = v->promise.kept;
	ret_info->pauses = v->promise.pause;
	ret_info->paused = v->npaused;
	ret_info->paused_ns = v->npaused > 0 ? v->paused_ns : 0;
	if (v->kind == CATALOG_VOLUME)
		origin_info(v, ret_info);
	else
		clones_info(v, ret_info);
}

/* The one behind prev in a list of those of a volume. */
static struct volume *list_after(struct list *head, const struct volume *prev)
{
	struct list *next = prev == NULL ? head->next : prev->of_link.next;

	return next == head ? NULL : list_entry(next, struct volume, of_link);
}

struct volume *vol_snap_next(struct volume *v, const struct volume *prev)
{
	return list_after(&v->snaps, prev);
}

struct volume *vol_checkpoint_next(struct volume *v, const struct volume *prev)
{
	return list_after(&v->checkpoints, prev);
}

/* Ids grow along the list. */
struct volume *vol_snap_after(struct volume *v, uint32_t id)
{
	struct volume *s = catalog_find_id(&v->vols->catalog, id);

	if (s != NULL && s->kind == CATALOG_SNAPSHOT && s->of == v)
		return vol_snap_next(v, s);
	for (s = vol_snap_next(v, NULL); s != NULL && s->id <= id;)
		s = vol_snap_next(v, s);
	return s;
}

const char *vol_full_name(const struct volume *v, char *ret_name)
{
	if (v->of != NULL)
		snprintf(ret_name, TREE_NAME_MAX + 1, "%s%c%s", v->of->name,
			 v->kind == CATALOG_SNAPSHOT ? '@' : '#', v->name);
	else if (v->flags & CATALOG_HIDDEN)
		catalog_hidden_name(v, ret_name);
	else
		snprintf(ret_name, TREE_NAME_MAX + 1, "%s", v->name);
	return ret_name;
}

uint64_t vol_size_bytes(const struct volume *v)
{
	return v->size_bytes;
}

void vol_get(struct volume *v, struct vol_user *u)
{
	vol_hold(v);
	list_init(&u->link);
	u->left = false;
	list_push(&v->users, &u->link);
	v->nusers++;
}

void vol_put(struct volume *v, struct vol_user *u)
{
	assert(v->nusers > 0);
	v->nusers--;
	list_remove(&u->link);
	if (v->nusers == 0)
		vol_controls_wake(v, 0);
	vol_release(v);
}

bool vol_is_detaching(const struct volume *v)
{
	return v->detaching > 0;
}

void vols_space(const struct volumes *vols, struct volumes_space *ret_space)
{
	const struct catalog *c = &vols->catalog;

	memset(ret_space, 0, sizeof(*ret_space));
	for (uint32_t i = 0; i < c->nsorted; i++)
		ret_space->provisioned_bytes += c->sorted[i]->size_bytes;
	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slots[i] != NULL && c->slots[i]->state == CATALOG_READY)
			ret_space->logical_blocks += c->slots[i]->mapped;
	ret_space->mapped_blocks = c->mapped;
	ret_space->node_blocks = vols->ids.used;
	ret_space->nodes_cached = vols->cache.nodes_mem;
	ret_space->cache_hits = vols->cache.hits;
	ret_space->cache_misses = vols->cache.misses;
	ret_space->block_hits = vols->blocks.hits;
	ret_space->block_misses = vols->blocks.misses;
	ret_space->control_ops = vols->ctl.ops;
	ret_space->control_ns = vols->ctl.ns;
	ret_space->deleting = c->ndeleting;
	ret_space->trashed = c->ntrashed;
}

uint64_t vols_refused(const struct volumes *vols, uint64_t *ret_last_ns)
{
	*ret_last_ns = vols->refused_ns;
	return vols->refused;
}
