/* volume/vol_deleting.c - how far the reaper is.
 *
 * How much a tree will free is not known before; how much of it has been gone
 * through is: leaf by leaf, whether there was anything of its own or not.
 */
#include <string.h>

#include "volume/catalog.h"
#include "volume/volumes.h"

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
	if (c->ndeleting == 0)
		return;
	list_for_each(it, &c->deleted) {
		const struct volume *v = list_entry(it, struct volume,
						    deleted_link);
		struct vols_deletion one;
		bool kept;

		if (!is_going(v) || v->deletion_no >= upto)
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
	struct list *all = &vols->catalog.deleted;
	struct list *next = prev == NULL ? all->next : prev->deleted_link.next;

	return next == all ? NULL :
			     list_entry(next, struct volume, deleted_link);
}

bool vols_deletion_any(const struct volumes *vols)
{
	return vols->catalog.ndeleting > 0;
}

struct volume *vols_deletion_find(struct volumes *vols, uint32_t id)
{
	struct volume *v = catalog_find_id(&vols->catalog, id);

	return v != NULL && !list_empty(&v->deleted_link) ? v : NULL;
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
