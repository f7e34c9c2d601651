/* volume/vol_reap_info.c - what the reaper has to do. */
#include <string.h>

#include "volume/volumes.h"

bool vols_reap_at(const struct volumes *vols, unsigned n,
		  struct vol_reap_info *ret)
{
	const struct catalog *c = &vols->catalog;

	for (uint32_t i = 0; c->ndeleting > 0 && i < c->nslots; i++) {
		const struct volume *v = c->slots[i];

		if (v == NULL || v->state != CATALOG_DELETING || n-- > 0)
			continue;
		memset(ret, 0, sizeof(*ret));
		ret->id = v->id;
		memcpy(ret->name, v->name, sizeof(ret->name));
		ret->snapshot = v->kind == CATALOG_SNAPSHOT;
		ret->running = vols->reaper.busy == v;
		ret->size_bytes = v->size_bytes;
		ret->done_bytes = min_u64(blocks_to_bytes(v->cursor *
							  LEAF_ENTRIES),
					  v->size_bytes);
		return true;
	}
	return false;
}
