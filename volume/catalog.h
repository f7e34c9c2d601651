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
struct vol_schedule;
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

/* All pages are taken: join what belongs together. -EBADMSG. */
int  catalog_link(struct volumes *vols, const char **ret_why);

/* A READY volume; a snapshot or checkpoint if it says VOLUME@SNAPSHOT or
 * VOLUME#CHECKPOINT, a hidden volume if it is the name of one. */
struct volume *catalog_find_name(const struct catalog *c, const char *name);
/* A snapshot (checkpoint) of v by its own name. */
struct volume *catalog_find_of(const struct volume *v, uint8_t kind,
			       const char *name);
struct volume *catalog_find_id(const struct catalog *c, uint64_t id);
/* "receive/" and the uuid. */
#define HIDDEN_NAME_BYTES (8u + UUID_TEXT_BYTES)
const char *catalog_hidden_name(const struct volume *v, char *ret_name);
bool catalog_name_is_hidden(const char *name);
/* The slot of a volume has changed (a counter too). */
void catalog_touch(struct volume *v);
void catalog_touch_page(struct catalog *c, uint32_t page);

/* --- for catalog_apply.c, catalog_branch.c and catalog_trash.c ------------ */

/* An object in a free slot, known by its id.  NULL: out of memory. */
struct volume *catalog_volume_new(struct volumes *vols, uint32_t id,
				  uint32_t slot);
/* One with the next id, in the lowest free slot: there is one, see
 * catalog_reserve(). */
struct volume *catalog_volume_next(struct volumes *vols);
/* What records that make a volume have in common: one of the next id, which must
 * be `id`, with this name, which nobody has (with CATALOG_HIDDEN in flags,
 * nobody asks).  What it holds comes then.  -EBADMSG: it does not fit. */
int  catalog_volume_make(struct volumes *vols, uint64_t id, const char *name,
			 uint32_t name_bytes, uint8_t flags,
			 struct volume **ret_v);
/* It is empty, and the first of a family. */
void catalog_volume_start(struct volume *v, uint64_t size_bytes);
/* The two objects swap their ids and slots. */
void catalog_volume_renumber(struct volume *v, struct volume *with);
/* Its id and slot are free; who holds the object last frees it. */
void catalog_volume_gone(struct volume *v);
/* A tree that belongs to no volume any more begins to go, or is kept while two
 * or more derive from it. */
void catalog_tree_delete(struct volume *t);
void catalog_checkpoint_free(struct volume *p);
/* What a RESIZE does. */
void catalog_set_size(struct volume *v, uint64_t size_bytes);
/* A snapshot or checkpoint of v: found there by its name; is no longer. */
void catalog_of_insert(struct volume *s, struct volume *v);
void catalog_of_remove(struct volume *s);
void catalog_of_rename(struct volume *s, const char *name);
/* A READY volume is found by its name; is no longer. */
void catalog_name_insert(struct catalog *c, struct volume *v);
void catalog_name_remove(struct catalog *c, struct volume *v);

/* Make room for n more slots and ids, so that applying a create cannot fail.
 * -ENOMEM, -ENOSPC (VOLUMES_MAX, or no ids are left). */
int  catalog_reserve(struct catalog *c, uint32_t n);
/* The effect of a record on the catalog. -EBADMSG: malformed, or it does not
 * fit what there is; nothing has changed then. */
int  catalog_apply(struct volumes *vols, uint32_t subtype, uint64_t id,
		   const void *body, uint32_t len_bytes);
/* catalog_branch.c: of them, those that make trees or checkpoints from what
 * there is. */
int  catalog_apply_snap(struct volumes *vols, uint64_t id, const void *body,
			uint32_t len_bytes);
int  catalog_apply_clone(struct volumes *vols, uint64_t id, const void *body);
int  catalog_apply_rollback(struct volume *v, const void *body);
int  catalog_apply_receive(struct volumes *vols, uint64_t id,
			   const void *body);
int  catalog_apply_publish(struct volume *h, const void *body);
/* catalog_trash.c */
int  catalog_apply_trash(struct volume *v, const void *body);
int  catalog_apply_undelete(struct volume *v, const void *body);
int  catalog_apply_purge(struct volume *v);
/* v, whose trash_until_ns is set, is in the trash. */
void catalog_trash_insert(struct catalog *c, struct volume *v);
/* All of their trash_until_ns may have changed. */
void catalog_trash_sort(struct catalog *c);
/* vol_schedule.c. */
int  catalog_apply_schedule(struct volume *v, const void *body);
/* vol_props.c */
int  catalog_apply_props(struct volume *v, const void *body);
/* Of a new volume, validated. */
void catalog_props_take(struct volume *v, const struct catalog_props *props);
/* To and from the bytes of a slot or record. */
void catalog_schedule_encode(const struct vol_schedule *s,
			     struct catalog_schedule *ret_bytes);
void catalog_schedule_decode(const struct catalog_schedule *bytes,
			     struct vol_schedule *ret_schedule);
/* The snapshot was taken by the schedule of its volume, as one of this kind; is
 * a person's. */
void catalog_schedule_took(struct volume *s, enum period kind);
void catalog_schedule_let_go(struct volume *s);

#endif
