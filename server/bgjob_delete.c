/* server/bgjob_delete.c - volumes and snapshots that are being deleted.
 *
 * They cannot be cancelled: what is freed is gone.  There may be very many, so
 * listing them goes on from the last one, and one is found by the number in its
 * id.
 */
#include <stdlib.h>
#include <string.h>

#include "server/bgjob.h"

static void fill(struct volume *v, const struct vols_deletion *d,
		 struct bgjob *ret)
{
	struct volume_info info;
	bool runs = vol_deletion_runs(v);

	vol_info(v, &info);
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->id, sizeof(ret->id), "delete-%u", info.id);
	ret->kind = "delete";
	snprintf(ret->object, sizeof(ret->object), "%s", info.name);
	ret->state = runs ? BGJOB_RUNNING : BGJOB_WAITING;
	ret->done = d->done_bytes;
	ret->total = d->total_bytes;
	ret->unit = "bytes";
	snprintf(ret->text, sizeof(ret->text), "%s",
		 runs          ? info.snapshot ? "a snapshot" : "a volume" :
		 info.snapshot ? "a snapshot, waits for its turn" :
				 "a volume, waits for its turn");
	ret->at = v;
}

/* What is kept for clones does nothing, and is no job. */
static bool deletion_get(struct tarnd *t, unsigned i, struct bgjob *ret)
{
	struct volume *v = NULL;
	struct vols_deletion d;
	bool kept;

	if (i > 0)
		v = vols_deletion_next(t->hosted.vols, ret->at);
	else if (vols_deletion_any(t->hosted.vols))
		v = vols_deletion_next(t->hosted.vols, NULL);
	for (; v != NULL; v = vols_deletion_next(t->hosted.vols, v)) {
		vol_deletion(v, &d, &kept);
		if (kept)
			continue;
		fill(v, &d, ret);
		return true;
	}
	return false;
}

static bool deletion_find(struct tarnd *t, const char *id, struct bgjob *ret)
{
	struct volume *v;
	struct vols_deletion d;
	unsigned long no;
	bool     kept;
	char     text[BGJOB_ID_MAX + 1];

	if (strncmp(id, "delete-", 7) != 0)
		return false;
	no = strtoul(id + 7, NULL, 10);
	snprintf(text, sizeof(text), "delete-%lu", no);
	if (no > UINT32_MAX || strcmp(text, id) != 0)
		return false;
	v = vols_deletion_find(t->hosted.vols, (uint32_t)no);
	if (v == NULL)
		return false;
	vol_deletion(v, &d, &kept);
	if (kept)
		return false;
	fill(v, &d, ret);
	return true;
}

const struct bgjob_source bgjob_deletions = {
	.ids = "delete-",
	.get = deletion_get,
	.find = deletion_find,
};
