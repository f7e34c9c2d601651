/* server/export_disk.h - files and block devices of this machine as raw
 * exports: what tarn-diskd serves.
 *
 * Rules of use
 *  - Add all files, then serve; export_disks_close() when no export is open
 *    any more.
 *  - A file is locked while it is open here (flock: shared if read-only, else
 *    exclusive), so that two programs of ours never serve it at once.
 *  - The first file is also the default export, "".
 *  - Reads and writes go through the page cache, so any alignment is right,
 *    and all connections see one state; a flush is fdatasync.
 */
#ifndef TARN_SERVER_EXPORT_DISK_H
#define TARN_SERVER_EXPORT_DISK_H

#include "server/export.h"

struct export_disks;

#define EXPORT_DISK_ERR_BYTES 400

/* -ENOMEM. */
int export_disks_open(struct io *io, bool read_only,
		      struct export_disks **ret_disks);

/* name NULL: the last part of the path.  -EEXIST name or file twice, -EBUSY
 * somebody else has it, -EINVAL no file or block device, or a bad name, other
 * errors of open(2).  ret_err (EXPORT_DISK_ERR_BYTES): one sentence. */
int export_disks_add(struct export_disks *disks, const char *path,
		     const char *name, char *ret_err);

struct export_source *export_disks_source(struct export_disks *disks);

void export_disks_close(struct export_disks *disks);

#endif
