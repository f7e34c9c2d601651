/* volume/vol_delete.h - the reaper: frees in the background what deleted and
 * shrunk volumes leave behind.
 *
 * Of a deleted volume or snapshot, what nobody else has is dropped leaf by leaf
 * (tree_reap.h), in slices of one REAP record each; the cursor is in the
 * catalog, so that it goes on after a crash.  A FORK is thinned out likewise
 * (tree_thin.h), with THIN records.  Of a shrunk one, what is beyond its size is
 * unmapped, and a RESIZE record says so.
 */
#ifndef TARN_VOLUME_VOL_DELETE_H
#define TARN_VOLUME_VOL_DELETE_H

#include "volume/tree_reap.h"
#include "volume/tree_thin.h"
#include "volume/vol_request.h"
#include "volume/volume.h"

struct vol_reaper {
	struct list        queue;   /* struct volume, by reap_link */
	struct volume     *busy;    /* being reaped, held; or NULL */
	struct reap_find   find;
	struct thin_find   thin;
	struct mnode      *young[(LEVEL_MAX + 1) * THIN_KIDS_MAX]; /* for it */
	struct log_append  append;
	le64               cursor;  /* body of the record in flight */
	struct vol_req     req;     /* what is beyond the size */
	struct vol_ctl     ctl;     /* … and saying that it is gone */
	struct io_work     work;    /* next slice */
};

void vol_reaper_init(struct volumes *vols);
void vol_reaper_fini(struct volumes *vols);
/* v may have something to be done: it was deleted or shrunk, or has to be thinned
 * out. */
void vol_reaper_add(struct volume *v);
/* Part of v is gone, by a redone record: before any other that waits. */
void vol_reaper_first(struct volume *v);
/* It may be done now: after a commit, and when something was added. */
void vol_reaper_kick(struct volumes *vols);

#endif
