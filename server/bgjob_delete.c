/* server/bgjob_delete.c - volumes and snapshots that are being deleted.
 *
 * They cannot be cancelled: what is freed is gone.
 */
#include <string.h>

#include "server/bgjob.h"

static bool deletion_get(struct tarnd *t, unsigned i, struct bgjob *ret)
{
	struct vol_reap_info info;

	if (!vols_reap_at(t->hosted.vols, i, &info))
		return false;
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "delete-%u", info.id);
	ret->kind = "delete";
	snprintf(ret->object, sizeof(ret->object), "%s", info.name);
	ret->state = info.running ? BGJOB_RUNNING : BGJOB_WAITING;
	ret->done = info.done_bytes;
	ret->total = info.size_bytes;
	ret->unit = "bytes";
	snprintf(ret->text, sizeof(ret->text), "%s",
		 info.running  ? info.snapshot ? "a snapshot" : "a volume" :
		 info.snapshot ? "a snapshot, waits for its turn" :
				 "a volume, waits for its turn");
	return true;
}

const struct bgjob_source bgjob_deletions = { .get = deletion_get };
