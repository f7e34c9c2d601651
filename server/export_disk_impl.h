/* server/export_disk_impl.h - what export_disk.c (which disks there are) and
 * export_disk_request.c (requests on them) share.
 */
#ifndef TARN_SERVER_EXPORT_DISK_IMPL_H
#define TARN_SERVER_EXPORT_DISK_IMPL_H

#include "server/export_disk.h"

/* One write of zeros. */
#define ZEROS_BYTES (256u << 10)

struct disk_file {
	char     name[VOLUME_NAME_MAX + 1]; /* of the export */
	char     path[256];  /* as given, cut if long; for people */
	int      fd;
	bool     block;      /* a block device */
	uint64_t size_bytes; /* when it was opened */
};

struct export_disks {
	struct export_source src;
	struct io           *io;
	bool                 read_only;
	unsigned             nfiles;
	unsigned             users;  /* exports open */
	struct disk_file    *files;  /* FILES_MAX */
	void                *zeros;  /* ZEROS_BYTES, read-only */
};

struct disk_export {
	struct export        exp;
	struct export_disks *disks;
	struct disk_file    *file;
};

/* As export_ops.submit(). */
void disk_request_submit(struct export_req *req);

#endif
