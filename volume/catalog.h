/* volume/catalog.h - the volumes and snapshots there are: slots on disk,
 * objects in memory, READY volumes in order of name.
 *
 * catalog_apply() enters a CATALOG record; it is the only way in which the
 * catalog changes (but for counters), so redoing the log gives the same.
 */
#ifndef TARN_VOLUME_CATALOG_H
#define TARN_VOLUME_CATALOG_H

#include "volume/node_format.h"

struct catalog;
struct volume;
struct volumes;

int  catalog_init(struct volumes *vols);
void catalog_fini(struct volumes *vols);
/* Bytes of a page, as of now. buf: 4096 bytes. */
void catalog_encode_page(const struct catalog *c, uint32_t page, void *buf);
/* Take a page as read.  -EBADMSG, -ENOMEM. */
int  catalog_decode_page(struct volumes *vols, uint32_t page, const void *buf,
			 const char **ret_why);
/* Slots 0..nslots-1 exist. -ENOMEM. */
int  catalog_set_nslots(struct catalog *c, uint32_t nslots);

/* All pages are taken: join the trees. -EBADMSG. */
int  catalog_link(struct volumes *vols, const char **ret_why);

/* A READY volume, or a snapshot if it says VOLUME@SNAPSHOT. */
struct volume *catalog_find_name(const struct catalog *c, const char *name);
/* A READY snapshot of v by its own name. */
struct volume *catalog_find_snap(const struct volume *v, const char *name);
struct volume *catalog_find_id(const struct catalog *c, uint64_t id);
/* The slot of a volume has changed (a counter too). */
void catalog_touch(struct volume *v);
void catalog_touch_page(struct catalog *c, uint32_t page);

/* For catalog_apply.c.  The lowest free slot from `from` on; may be beyond the
 * last one. */
uint32_t catalog_free_slot(const struct catalog *c, uint32_t from);
/* An object in a free slot, known by its id.  NULL: out of memory. */
struct volume *catalog_volume_new(struct volumes *vols, uint32_t id,
				  uint32_t slot);
void catalog_volume_free(struct volume *v);
/* A READY volume is found by its name; is no longer. */
void catalog_name_insert(struct catalog *c, struct volume *v);
void catalog_name_remove(struct catalog *c, struct volume *v);

/* Make room for n more slots, so that applying a create cannot fail.
 * -ENOMEM, -ENOSPC (VOLUMES_MAX). */
int  catalog_reserve(struct catalog *c, uint32_t n);
/* The effect of a record on the catalog. -EBADMSG: malformed, or it does not
 * fit what there is; nothing has changed then. */
int  catalog_apply(struct volumes *vols, uint32_t subtype, uint64_t id,
		   const void *body, uint32_t len_bytes);

#endif
