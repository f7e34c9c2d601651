/* server/export_volume.h - the volumes and snapshots of an open pool as NBD
 * exports; a snapshot is called VOLUME@SNAPSHOT and is read-only.
 *
 * Rules of use
 *  - The source belongs to the caller; it goes before vols_close(), and after
 *    the NBD server that used it was closed (no export is open any more).
 */
#ifndef TARN_SERVER_EXPORT_VOLUME_H
#define TARN_SERVER_EXPORT_VOLUME_H

#include "server/export.h"

/* -ENOMEM. */
int export_volumes_open(struct volumes *vols, struct export_source **ret_src);
void export_volumes_close(struct export_source *src);

#endif
