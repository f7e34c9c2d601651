/* pool/label.h - labels and leases: build, validate, choose.  Pure.
 *
 * label_validate() and lease_validate() are the only ways from bytes.
 */
#ifndef TARN_POOL_LABEL_H
#define TARN_POOL_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/uuid.h"
#include "pool/label_format.h"
#include "pool/pool.h"

struct zone_ref {
	uint32_t member; /* index in the member table */
	uint32_t zone;   /* of that disk */
};

/* A segment that a recovery opened outside of the commit's table. */
struct label_extra_seg {
	uint32_t        segment;
	uint32_t        generation;
	struct zone_ref zones[POOL_UNITS_MAX];
};

struct label_member_info {
	struct uuid uuid;
	uint64_t    size_blocks;
	uint32_t    zones;
	uint8_t     state;     /* enum label_member_state */
	uint8_t     flags;     /* LABEL_MEMBER_DRAIN, … */
	uint64_t    out_row;
	uint64_t    out_claim;
	char        domain[DOMAIN_NAME_MAX + 1];
};

/* A claim and its ancestors, newest first; [0] is the claim itself. */
struct claim_ref {
	uint64_t    claim;
	struct uuid id;
};

/* A label as a struct. Large (about 50 KiB): not for the stack. */
struct label {
	uint64_t    compat, ro_compat, incompat;
	struct uuid pool, disk;
	uint64_t    claim;
	struct uuid claim_id;
	uint64_t    number;
	char        name[POOL_NAME_MAX + 1];
	uint32_t    k, m, zone_shift, row_blocks;
	uint32_t    flags;
	uint32_t    nmembers, self;
	uint64_t    created_s;
	uint64_t    size_blocks;
	uint64_t    root_place;      /* PLACE_NONE: nothing committed */
	uint32_t    root_blocks, root_crc;
	uint32_t    root_generation, root_slice;
	uint64_t    commit, commit_row;
	struct uuid machine, boot, instance;
	uint32_t    min_parity;
	uint32_t    nancestors;
	struct claim_ref ancestors[LABEL_ANCESTORS];
	struct zone_ref  root_zones[POOL_UNITS_MAX];
	struct label_member_info members[POOL_MEMBERS_MAX];
	uint32_t    nextra;
	struct label_extra_seg extra[LABEL_EXTRA_MAX];
};

/* Slot for a label, and where it is in an area (bytes from its start). */
uint32_t label_slot(uint64_t claim, uint64_t number);
uint32_t label_slot_off_bytes(uint32_t slot);

/* Length on disk, not yet rounded to blocks; <= LABEL_SLOT_BYTES. */
uint32_t label_bytes(const struct label *l);

/* Write l at buf (LABEL_SLOT_BYTES, zeroed behind the label); slot and self
 * come from l->claim, l->number and l->self. */
void label_encode(const struct label *l, uint8_t *buf);

/* buf: LABEL_SLOT_BYTES read from slot `slot`.  -ENODATA: no label there at
 * all; -EBADMSG: damaged; -ENOTSUP: of a newer version or with features that
 * we do not know (then ret_label has what could be read). */
int label_validate(const uint8_t *buf, uint32_t slot, struct label *ret_label,
		   const char **ret_why);

/* The newest valid label of a disk's two areas (tail may be NULL), as a
 * malloc'd struct in *ret_label.  ret_damaged: slots that did not validate.
 * -ENODATA: none; -EBADMSG: only damaged ones; -ENOTSUP; -ENOMEM. */
int label_newest(const uint8_t *head, const uint8_t *tail,
		 struct label **ret_label, unsigned *ret_damaged,
		 const char **ret_why);

/* <0, 0, >0: order of (claim, number). */
int label_compare(const struct label *a, const struct label *b);

/* Is (claim, id) the claim of l or one of its ancestors? */
bool label_has_ancestor(const struct label *l, uint64_t claim,
			const struct uuid *id);

struct lease {
	struct uuid pool, disk;
	uint64_t    claim;
	struct uuid claim_id;
	uint64_t    beat;
	struct uuid machine, boot, instance;
	uint32_t    state; /* enum lease_state */
};

void lease_encode(const struct lease *l, uint8_t *buf);
/* One block.  -ENODATA: never written; -EBADMSG. */
int lease_validate(const uint8_t *buf, struct lease *ret_lease);

#endif
