/* volume/vol_deleting.c - how far the reaper is.
 *
 * How much a tree will free is not known before; how much of it has been gone
 * through is: leaf by leaf, whether there was anything of its own or not.
 */
#include <string.h>

#include "volume/catalog.h"
#include "volume/volumes.h"

static bool is_deleted(const struct volume *v)
{
	return v->state == CATALOG_DELETING || v->state == CATALOG_FORK;
}

/* A FORK counts while it is thinned out. */
static bool is_going(const struct volume *v)
{
	return v->state == CATALOG_DELETING || tree_to_thin(v);
}

static uint64_t done_bytes(const struct volume *v)
{
	return min_u64(blocks_to_bytes(v->cursor * LEAF_ENTRIES),
		       v->size_bytes);
}

uint64_t vols_deletion_no(const struct volumes *vols)
{
	return vols->catalog.deletions;
}

void vols_deletion(const struct volumes *vols, uint64_t upto,
		   struct vols_deletion *ret)
{
	const struct catalog *c = &vols->catalog;

	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; c->ndeleting > 0 && i < c->nslots; i++) {
		const struct volume *v = c->slots[i];
		struct vols_deletion one;
		bool kept;

		if (v == NULL || !is_going(v) || v->deletion_no >= upto)
			continue;
		vol_deletion(v, &one, &kept);
		ret->trees++;
		ret->total_bytes += one.total_bytes;
		ret->done_bytes += one.done_bytes;
		ret->freed_bytes += one.freed_bytes;
	}
}

struct volume *vols_deletion_next(struct volumes *vols,
				  const struct volume *prev)
{
	const struct catalog *c = &vols->catalog;

	for (uint32_t i = prev == NULL ? 0 : prev->slot + 1; i < c->nslots; i++)
		if (c->slots[i] != NULL && is_deleted(c->slots[i]))
			return c->slots[i];
	return NULL;
}

bool vols_deletion_any(const struct volumes *vols)
{
	return vols->catalog.ndeleting > 0;
}

struct volume *vols_deletion_find(struct volumes *vols, uint32_t id)
{
	struct volume *v = catalog_find_id(&vols->catalog, id);

	return v != NULL && is_deleted(v) ? v : NULL;
}

bool vol_deletion_runs(const struct volume *v)
{
	return v->vols->reaper.busy == v;
}

void vol_deletion(const struct volume *v, struct vols_deletion *ret,
		  bool *ret_kept)
{
	*ret_kept = !is_going(v);
	*ret = (struct vols_deletion){
		.trees = 1,
		.total_bytes = v->size_bytes,
		.done_bytes = *ret_kept ? 0 : done_bytes(v),
		.freed_bytes = blocks_to_bytes(v->freed_blocks),
	};
}
