/* pool/label_format.h - labels: what makes a disk a member.
 *
 * The first and the last MiB of a disk are the label area (both alike):
 *
 *	block   0 ..  15  lease slots (struct lease_slot), one block each, head
 *	                  area only; a server that wants or has the claim picks
 *	                  one that is free (zero, invalid, released or of a dead
 *	                  owner), starting at instance[0] mod 16, and keeps it
 *	block  16 .. 143  8 label slots of 16 blocks (64 KiB) each,
 *	                  slot = claim mod 4 * 2 + number mod 2
 *	block 144 .. 255  zero
 *
 * The tail area starts at block size_blocks - 256 (label slots only, at the
 * same offsets in the area).  Zones lie between: zone z starts at
 * block 256 + z * zone_blocks.  A label is written to both areas; whichever
 * is valid and newest counts: order is (claim, number).
 *
 * claim, number, commit and commit_row are at most POOL_NUMBER_MAX.  Reserved
 * bytes are zero, and checked as long as compat and ro_compat are 0.  Names
 * end, are padded with zeros, and have no control characters.
 *
 *   OFFSET SIZE FIELD
 *        0    8 magic         "TARNLBL\1"
 *        8    4 crc32c        of bytes 12 .. bytes-1
 *       12    4 bytes         its exact length, <= 65536
 *       16    4 version       1
 *       20    4 slot          its slot (catches misplaced labels)
 *       24    8 compat        feature bits that may be ignored
 *       32    8 ro_compat     unknown bits: open read-only at most
 *       40    8 incompat      unknown bits: do not open
 *       48   16 pool          pool UUID
 *       64   16 disk          this disk's UUID
 *       80    8 claim         the owner's claim number
 *       88   16 claim_id      its random id
 *      104    8 number        label number, +1 each time one is tried
 *      112   64 name          pool name, NUL padded
 *      176    4 k
 *      180    4 m
 *      184    4 zone_shift    log2 of blocks in a zone
 *      188    4 row_blocks    largest payload of a row
 *      192    4 flags         bit 0: every disk is a domain
 *                             bit 1: released: the owner closed cleanly
 *                             bit 2: force was used to open
 *      196    4 nmembers
 *      200    4 self          index of this disk in the member table
 *      204    4 nancestors    <= 16
 *      208    8 created_s     seconds since 1970
 *      216    8 size_blocks   of this disk, as labelled: the same as in
 *                             its entry of the member table
 *      224    8 root_place    of the first block of the commit's root
 *      232    4 root_blocks   0: nothing was committed yet
 *      236    4 root_crc      CRC32C of the root's bytes (as in the root)
 *      240    4 root_segment_generation
 *      244    4 root_slice    of the row that holds the root
 *      248    8 commit        number of the commit
 *      256    8 commit_row    the state is that after this row
 *      264    8 zero2         zero
 *      272   16 machine       who claims: machine id
 *      288   16 boot          … boot id
 *      304   16 instance      … process
 *      320    4 nextra        segments that recovery opened outside the
 *                             commit's table
 *      324    4 min_parity
 *      328  184 zero
 *      512  384 ancestors     16 of { le64 claim, uuid id }, newest first
 *      896  160 root_zones    20 of { le32 member, le32 zone }
 *     1056      zero to 1152
 *     1152      members, 128 bytes each
 *               0 16 uuid
 *              16  8 size_blocks
 *              24  4 zones
 *              28  1 state    enum label_member_state
 *              29  1 flags    LABEL_MEMBER_DRAIN, …_REMOVE, …_GONE,
 *                             …_OFFLINE, …_JOIN
 *              30  2 zero
 *              32  8 out_row  OUT: last row known flushed on it
 *              40  8 out_claim OUT: claim that recorded it
 *              48 64 domain   NUL padded
 *             112 16 zero
 *      ...      extra: nextra of { le32 segment, le32 generation } followed
 *               by k+m of { le32 member, le32 zone } each
 *
 * A lease slot: one block.
 *        0    8 magic         "TARNLEA\1"
 *        8    4 crc32c        of bytes 12 .. 4095
 *       12    4 version       1
 *       16   16 pool
 *       32   16 disk
 *       48    8 claim
 *       56   16 claim_id
 *       72    8 beat          +1 at each heartbeat
 *       80   16 machine
 *       96   16 boot
 *      112   16 instance
 *      128    4 state         enum lease_state
 *      132      zero
 */
#ifndef TARN_POOL_LABEL_FORMAT_H
#define TARN_POOL_LABEL_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/limits.h"
#include "base/uuid.h"

#define LABEL_MAGIC        "TARNLBL\1"
#define LEASE_MAGIC        "TARNLEA\1"
#define LABEL_VERSION      1
#define LABEL_AREA_BLOCKS  256u
#define LABEL_SLOT_BYTES   65536u
#define LABEL_SLOTS        8u
#define LABEL_FIRST_BLOCK  16u
#define LABEL_MEMBERS_OFF  1152u
#define LABEL_ANCESTORS    16u
#define LABEL_EXTRA_MAX    64u
#define LEASE_SLOTS        16u

#define LABEL_FLAG_DOMAIN_DISK (1u << 0)
#define LABEL_FLAG_RELEASED    (1u << 1)
#define LABEL_FLAG_FORCED      (1u << 2)

#define LABEL_COMPAT_KNOWN    0ull
#define LABEL_RO_COMPAT_KNOWN 0ull
#define LABEL_INCOMPAT_KNOWN  0ull

enum label_member_state {
	LABEL_MEMBER_IN = 1,
	LABEL_MEMBER_OUT = 2,
	LABEL_MEMBER_REMOVED = 3, /* no member any more: nothing refers to it,
				   * its place in the table is for the next
				   * disk that is added */
};

/* In label_member.flags. */
#define LABEL_MEMBER_DRAIN  (1u << 0) /* what is on it moves to other disks */
#define LABEL_MEMBER_REMOVE (1u << 1) /* … and then it is removed */
#define LABEL_MEMBER_GONE   (1u << 2) /* … it is out and does not come in again:
				       * writes to it may be under way of
				       * which nothing else tells */
#define LABEL_MEMBER_OFFLINE (1u << 3) /* it is OUT, and stays so until an
				        * operator says otherwise */
#define LABEL_MEMBER_JOIN   (1u << 4) /* REMOVED: being added, and no member
				       * yet; a disk whose own label says that
				       * has not become one */

enum lease_state {
	LEASE_HELD = 1,
	LEASE_RELEASED = 2,
	LEASE_TRYING = 3, /* being acquired */
};

struct label_header {
	uint8_t     magic[8];
	le32        crc32c;
	le32        bytes;
	le32        version;
	le32        slot;
	le64        compat;
	le64        ro_compat;
	le64        incompat;
	struct uuid pool;
	struct uuid disk;
	le64        claim;
	struct uuid claim_id;
	le64        number;
	char        name[64];
	le32        k;
	le32        m;
	le32        zone_shift;
	le32        row_blocks;
	le32        flags;
	le32        nmembers;
	le32        self;
	le32        nancestors;
	le64        created_s;
	le64        size_blocks;
	le64        root_place;
	le32        root_blocks;
	le32        root_crc;
	le32        root_segment_generation;
	le32        root_slice;
	le64        commit;
	le64        commit_row;
	le64        zero2;
	struct uuid machine;
	struct uuid boot;
	struct uuid instance;
	le32        nextra;
	le32        min_parity;
	uint8_t     zero0[184];
	struct {
		le64        claim;
		struct uuid id;
	} ancestors[LABEL_ANCESTORS];
	struct {
		le32 member;
		le32 zone;
	} root_zones[POOL_UNITS_MAX];
	uint8_t     zero1[96];
	/* members follow, then extra */
};
static_assert(sizeof(struct label_header) == LABEL_MEMBERS_OFF, "label");
static_assert(offsetof(struct label_header, pool) == 48, "pool");
static_assert(offsetof(struct label_header, number) == 104, "number");
static_assert(offsetof(struct label_header, k) == 176, "k");
static_assert(offsetof(struct label_header, created_s) == 208, "created");
static_assert(offsetof(struct label_header, commit) == 248, "commit");
static_assert(offsetof(struct label_header, machine) == 272, "machine");
static_assert(offsetof(struct label_header, nextra) == 320, "nextra");
static_assert(offsetof(struct label_header, ancestors) == 512, "ancestors");
static_assert(offsetof(struct label_header, root_zones) == 896, "root_zones");

struct label_member {
	struct uuid uuid;
	le64        size_blocks;
	le32        zones;
	uint8_t     state;
	uint8_t     flags;
	uint8_t     zero0[2];
	le64        out_row;
	le64        out_claim;
	char        domain[64];
	uint8_t     zero1[16];
};
static_assert(sizeof(struct label_member) == 128, "label_member");

struct lease_slot {
	uint8_t     magic[8];
	le32        crc32c;
	le32        version;
	struct uuid pool;
	struct uuid disk;
	le64        claim;
	struct uuid claim_id;
	le64        beat;
	struct uuid machine;
	struct uuid boot;
	struct uuid instance;
	le32        state;
	uint8_t     zero[3964];
};
static_assert(sizeof(struct lease_slot) == 4096, "lease_slot");
static_assert(offsetof(struct lease_slot, claim) == 48, "lease.claim");
static_assert(offsetof(struct lease_slot, machine) == 80, "lease.machine");
static_assert(offsetof(struct lease_slot, state) == 128, "lease.state");

#endif
