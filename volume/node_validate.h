/* volume/node_validate.h - the only way from the bytes of map nodes, table
 * entries, catalog slots and the root to anything that is believed.
 *
 * Pure.  Each returns 0, or -EBADMSG with *ret_why set to what is wrong (a
 * constant string).
 */
#ifndef TARN_VOLUME_NODE_VALIDATE_H
#define TARN_VOLUME_NODE_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "volume/node_format.h"

/* buf: 4096 bytes.  ret_used: mapped entries. */
int leaf_validate(const void *buf, uint32_t *ret_used, const char **ret_why);
/* buf: 4096 bytes; nodes_end: node ids are below it.  ret_used: children. */
int inner_validate(const void *buf, uint64_t nodes_end, uint32_t *ret_used,
		   const char **ret_why);

/* A node table entry that is in use, decoded. */
struct node_info {
	uint64_t place;  /* 0: not yet written by a commit */
	uint32_t crc;    /* of the node */
	uint32_t refs;   /* 0: the id is free */
	uint32_t family; /* of the volume */
	uint32_t birth;  /* when it was made */
	uint8_t  level;
	uint64_t index;  /* in units of the level */
};
/* A free entry (refs 0) must be zero but for what a reader ignores. */
int node_entry_validate(const struct node_entry *e, struct node_info *ret_info,
			const char **ret_why);

/* slot: 512 bytes.  A free one (id 0) is fine. */
int catalog_slot_validate(const struct catalog_slot *slot,
			  const char **ret_why);
int vols_root_validate(const void *buf, uint32_t len_bytes,
		       const char **ret_why);

/* The body of a CATALOG record of the volumes. */
int catalog_body_validate(uint32_t subtype, const void *body,
			  uint32_t len_bytes, const char **ret_why);

/* The snapshots and checkpoints that a CATALOG_SNAP body asks for, one after the
 * other; the body was validated. */
struct snap_iter {
	uint64_t       created_s;
	uint32_t       volume;  /* id */
	uint8_t        kind;    /* CATALOG_SNAPSHOT, CATALOG_CHECKPOINT */
	uint8_t        schedule; /* 1 + enum period; 0: of none */
	struct uuid    uuid;    /* its own, as is */
	char           name[VOLUME_NAME_MAX + 1];
	const uint8_t *pos, *end;
};

/* The properties at its end, of a valid one but for them; false: none. */
bool catalog_create_props(const struct catalog_create *c, uint32_t len_bytes,
			  struct catalog_props *ret_props);
void snap_iter_init(struct snap_iter *it, const void *body,
		    uint32_t len_bytes);
bool snap_iter_next(struct snap_iter *it);

/* Leaves that a volume of this many bytes has, and the lowest root level that
 * covers them. */
uint64_t size_to_leaves(uint64_t size_bytes);
uint8_t  size_to_levels(uint64_t size_bytes);
/* Leaves that a root of this level covers. */
uint64_t levels_to_leaves(unsigned levels);

/* A stored name: vol_name_problem() without the sentence. */
bool name_bytes_valid(const char *name, uint32_t len_bytes);
/* UTF-8 without control characters. */
bool text_bytes_valid(const char *text, uint32_t len_bytes);
/* The start of a name, or of other text, made such; room: at least 16 bytes,
 * the most that are written. */
void name_quote(const char *name, char *ret_text, size_t room);

#endif
