/* volume/node_format.h - map nodes, the node table, the node map and the
 * catalog: everything that a commit writes for the volumes.
 *
 * Little-endian, 4096-byte blocks.  Nodes and pages have no checksum of their
 * own: their CRC32C is where their place is (node table, table index).
 *
 * LEAF (level 0): 256 entries of 16 bytes, 1 MiB of a volume.
 *        0    6 place    0: unmapped
 *        6    2 flags    zero
 *        8    4 birth    of the last change, also of a trim
 *       12    4 crc32c   of the block; 0 when unmapped
 *
 * INNER (level 1..3): 512 children of 8 bytes.
 *        0    4 node     node id; 0: nothing mapped below
 *        4    4 birth    newest birth beneath, also of what is gone; a node
 *                        that is made there takes it over for all in it
 * A root of level L covers 256 * 512^L blocks.
 *
 * NODE TABLE (TABLE_NODES): 128 entries of 32 bytes a page; node id n is
 * entry n % 128 of page n / 128; ids count from 1.
 *        0    8 place    low 48 bits; 0: never written by a commit
 *        8    4 crc32c   of the node
 *       12    4 refs     1: in use, by however many trees; 0: free
 *       16    4 family   of the volume
 *       20    4 birth    of its volume, when it was made or copied: a tree
 *                        shares it with its origin if that is not younger
 *       24    8 where    level << 56 | index (in units of its level)
 *
 * NODE MAP (TABLE_NODE_MAP): 32768 bits a page, bit n % 32768 of page
 * n / 32768 is set when node id n is in use (bit of id 0 is always set).
 *
 * CATALOG (TABLE_CATALOG): 8 slots of 512 bytes a page; a volume, snapshot or
 * checkpoint has one slot for life.
 *        0    4 id       +1 each, never used again; 0: free slot
 *        4    1 kind     enum catalog_kind
 *        5    1 state    enum catalog_state
 *        6    1 levels   level of the root
 *        7    1 flags    CATALOG_SHRUNK...
 *        8   16 uuid
 *       24    8 size_bytes
 *       32    8 created_s
 *       40    4 family   id of the first volume of the family
 *       44    4 root     node id; 0: empty
 *       48    4 birth    current birth; of a snapshot or checkpoint: when it
 *                        was taken
 *       52    4 origin   id of the snapshot that it derives from; 0: none
 *       56    8 mapped   blocks of data mapped, shared or not
 *       64    8 cursor   FORK: leaves below this index are thinned out;
 *                        DELETING: leaves below this index, and inner nodes
 *                        that cover nothing else, are gone already
 *       72    2 name_len
 *       74    2 zero
 *       76    4 volume   of a READY snapshot or checkpoint: id of its volume;
 *                        else 0
 *       80  256 name     UTF-8, NUL padded; of a snapshot or checkpoint:
 *                        without its volume's
 *      336    8 trashed_s  TRASHED: when it was put into the trash, seconds
 *                        since 1970; else 0
 *      344   16 schedule of a volume: 6 of le16, how many snapshots of each
 *                        kind (enum period) are kept, and le32, when the last
 *                        ones were taken, minutes since 1970; of a
 *                        SCHEDULED snapshot: 1 at its kind; else 0
 *      360    8 own      blocks of data and map that it has, and no tree that
 *                        it derives from; DELETING: also what it had where it
 *                        is gone already, as far as there is a tree that
 *                        derives from it and has that still; of a checkpoint: 0
 *      368    8 reserve  of a READY volume: so many bytes of data it is to have
 *                        space for; ~0: for its size; else 0
 *      376  136 zero
 * A checkpoint is no tree: levels, root, origin, mapped and cursor are 0.
 *
 * The client's part of the root (root_format.h):
 *        0    8 magic        "TARNVOLS"
 *        8    4 next_volume  next volume id
 *       12    4 nslots       catalog slots
 *       16    8 nodes        nodes in use
 *       24    8 mapped       data blocks, each counted once
 *       32    8 owned        1: the own of all slots are right, so their sum
 *                            is nodes + mapped; 0: the pool was made before
 *                            there was such a count
 *
 * CATALOG records (pool.h), bodies:
 *   256 create:  uuid 16, size_bytes 8, created_s 8, name_len 2, name; then, or
 *                not, what 272 has
 *   257 resize:  size_bytes 8 (a smaller one sets CATALOG_SHRUNK, the same
 *                one clears it: what is beyond has been unmapped)
 *   258 rename:  name_len 2, name
 *   259 delete:  empty
 *   260 reap:    cursor 8 (what only a deleted volume or snapshot has below
 *                it is dropped; ~0: all is, the slot is free)
 *   261 snapshot: created_s 8, then for each of the group: volume 4, uuid 16,
 *                kind 1 (snapshot or checkpoint), schedule 1 (1 + enum
 *                period: SCHEDULED, and the volume's schedule has taken it; or
 *                0), name_len 2, name (name_len 0: the one before)
 *   262 clone:   snapshot 4, uuid 16, created_s 8, name_len 2, name
 *   263 rollback: snapshot 4, uuid 16, created_s 8, name_len 2, name: the
 *                volume goes on from that snapshot of it; what it was becomes
 *                a snapshot of that name, or (name_len 0) is deleted
 *   264 receive: snapshot 4, uuid 16, created_s 8, size_bytes 8, name_len 2,
 *                name: a HIDDEN volume for the volume of that name, a clone of
 *                that snapshot of it (0: an empty one)
 *   265 publish: volume 4, uuid 16, created_s 8, name_len 2, name: what the
 *                hidden volume holds becomes that of the volume (0: of a new
 *                one), and a snapshot of it
 *   266 set:     set 1, clear 1: flags of a snapshot; only HELD
 *   267 trash:   trashed_s 8: a volume, with the snapshots and checkpoints that
 *                it has, is in the trash; none of them is held
 *   268 undelete: name_len 2, name: it is there again, under that name
 *   269 purge:   empty: a volume, in the trash or not, and its snapshots are
 *                deleted, its checkpoints are gone
 *   270 schedule: as in a slot: that of a volume; its snapshots of kinds that
 *                are no longer kept are not SCHEDULED any more
 *   271 thin:    from 8, upto 8, nleaves 4, first_shared 4, then for each: leaf
 *                8, slots 32 (entries that a FORK drops of that leaf; the cursor
 *                goes from `from` to `upto`; and if its origin is a FORK, that
 *                one's goes back to leaf `first_shared` of these, from 1)
 *   272 props:   properties of a volume:
 *        0    1 mask     which of them: 1 reserve, 2 pause
 *        1    1 pause    1: writes wait for space; 0: they get ENOSPC
 *        2    6 zero
 *        8    8 reserve  as in a slot
 * rec.block is the id of the volume (or snapshot...); for a create, clone or
 * receive, the id that it gets; for snapshots, the id of the first one, the others
 * follow.  What a rollback leaves gets the next id.
 *
 * TREES.  A volume and each of its snapshots is a tree.  Each derives from its
 * origin: snapshots of a volume are a chain (volume -> newest snapshot -> ... ->
 * oldest), which forks where a clone or a rollback started from one.  All trees
 * that hang together are a family.  What a tree holds is held by its origin too
 * if it is not younger than the origin: entry or node birth <= birth of the
 * origin.  Nodes are shared by id: taking a snapshot copies the root's id, and
 * the volume copies a shared node, under a new id, when it changes it.  A tree
 * that is being deleted holds nothing below its cursor; what its inner nodes say
 * there means nothing.  A deleted one from which two or more derive is kept
 * (FORK), but for what none of them holds, and becomes DELETING when all of them
 * but one are gone.
 */
#ifndef TARN_VOLUME_NODE_FORMAT_H
#define TARN_VOLUME_NODE_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"
#include "base/limits.h"
#include "base/period.h"
#include "base/uuid.h"

#define LEAF_ENTRIES    256u
#define INNER_CHILDREN  512u
#define LEVEL_MAX       3u
#define NODES_A_PAGE    128u
#define NODE_BITS_PAGE  32768u
#define SLOTS_A_PAGE    8u
#define VOLS_ROOT_MAGIC "TARNVOLS"

struct leaf_entry {
	uint8_t place[6];
	le16    flags;
	le32    birth;
	le32    crc32c;
};
static_assert(sizeof(struct leaf_entry) == 16, "leaf_entry");

struct inner_child {
	le32 node;
	le32 birth;
};
static_assert(sizeof(struct inner_child) == 8, "inner_child");

struct node_entry {
	le64 place;
	le32 crc32c;
	le32 refs;
	le32 family;
	le32 birth;
	le64 where;
};
static_assert(sizeof(struct node_entry) == 32, "node_entry");

enum catalog_kind {
	CATALOG_VOLUME = 1,
	CATALOG_SNAPSHOT = 2,
	CATALOG_CHECKPOINT = 3,
};

enum catalog_state {
	CATALOG_READY = 1,
	CATALOG_DELETING = 2,
	CATALOG_FORK = 3,
};

#define CATALOG_SHRUNK (1u << 1) /* what is beyond its end has still to go */
#define CATALOG_LOST   (1u << 2) /* of a checkpoint: the volume was rolled back
				  * to before it */
#define CATALOG_HIDDEN (1u << 3) /* a volume that is still being received; its
				  * name is that of the one it is meant for */
#define CATALOG_HELD   (1u << 4) /* a READY snapshot that is not to be
				  * deleted */
#define CATALOG_TRASHED (1u << 5) /* a READY volume that is in the trash, and
				   * with it what belongs to it; another one
				   * may have its name */
#define CATALOG_PAUSES (1u << 7) /* a READY volume whose writes wait for space
				  * when there is none */
#define CATALOG_SCHEDULED (1u << 6) /* a READY snapshot that the schedule of
				     * its volume took, and may delete */

/* Of a slot, and the body of CATALOG_SCHEDULE. */
struct catalog_schedule {
	le16 keep[PERIODS];
	le32 last_min;
};
static_assert(sizeof(struct catalog_schedule) == 16, "catalog_schedule");

struct catalog_slot {
	le32        id;
	uint8_t     kind;
	uint8_t     state;
	uint8_t     levels;
	uint8_t     flags;
	struct uuid uuid;
	le64        size_bytes;
	le64        created_s;
	le32        family;
	le32        root;
	le32        birth;
	le32        origin;
	le64        mapped;
	le64        cursor;
	le16        name_len;
	uint8_t     zero0[2];
	le32        volume;
	char        name[256];
	le64        trashed_s;
	struct catalog_schedule schedule;
	le64        own;
	le64        reserve;
	uint8_t     zero1[136];
};
static_assert(sizeof(struct catalog_slot) == 512, "catalog_slot");
static_assert(offsetof(struct catalog_slot, schedule) == 344, "slot.schedule");
static_assert(offsetof(struct catalog_slot, own) == 360, "slot.own");
static_assert(offsetof(struct catalog_slot, size_bytes) == 24, "slot.size");
static_assert(offsetof(struct catalog_slot, name) == 80, "slot.name");
static_assert(offsetof(struct catalog_slot, trashed_s) == 336, "slot.trashed");

struct vols_root {
	uint8_t magic[8];
	le32    next_volume;
	le32    nslots;
	le64    nodes;
	le64    mapped;
	le64    owned; /* not in roots of pools that are older */
};
static_assert(sizeof(struct vols_root) == 40, "vols_root");
#define VOLS_ROOT_MIN 32u

enum catalog_op {
	CATALOG_CREATE = 256,
	CATALOG_RESIZE = 257,
	CATALOG_RENAME = 258,
	CATALOG_DELETE = 259,
	CATALOG_REAP = 260,
	CATALOG_SNAP = 261,
	CATALOG_CLONE = 262,
	CATALOG_ROLLBACK = 263,
	CATALOG_RECEIVE = 264,
	CATALOG_PUBLISH = 265,
	CATALOG_SET = 266,
	CATALOG_TRASH = 267,
	CATALOG_UNDELETE = 268,
	CATALOG_PURGE = 269,
	CATALOG_SCHEDULE = 270,
	CATALOG_THIN = 271,
	CATALOG_PROPS = 272,
	CATALOG_OP_LAST = CATALOG_PROPS,
};

struct catalog_create {
	struct uuid uuid;
	le64        size_bytes;
	le64        created_s;
	le16        name_len;
	char        name[];
};
static_assert(sizeof(struct catalog_create) == 34, "catalog_create");

/* Also at the end of a CATALOG_CREATE. */
struct catalog_props {
	uint8_t mask; /* CATALOG_PROP_...: of which it says what they are */
	uint8_t pause;
	uint8_t zero[6];
	le64    reserve;
};
static_assert(sizeof(struct catalog_props) == 16, "catalog_props");
#define CATALOG_PROP_RESERVE (1u << 0)
#define CATALOG_PROP_PAUSE   (1u << 1)
#define CATALOG_PROPS_ALL    (CATALOG_PROP_RESERVE | CATALOG_PROP_PAUSE)
#define CATALOG_RESERVE_FULL UINT64_MAX

/* A CATALOG_SNAP body is a le64 and then any number of these. */
struct catalog_snap {
	le32        volume;
	struct uuid uuid;
	uint8_t     kind;
	uint8_t     schedule; /* 1 + enum period; 0: a person took it */
	le16        name_len;
	char        name[];
};
static_assert(sizeof(struct catalog_snap) == 24, "catalog_snap");

/* Of CATALOG_CLONE, CATALOG_ROLLBACK and CATALOG_PUBLISH. */
struct catalog_branch {
	le32        of;   /* the snapshot; PUBLISH: the volume */
	struct uuid uuid;
	le64        created_s;
	le16        name_len;
	char        name[];
};
static_assert(sizeof(struct catalog_branch) == 30, "catalog_branch");

struct catalog_receive {
	le32        snapshot;
	struct uuid uuid;
	le64        created_s;
	le64        size_bytes;
	le16        name_len;
	char        name[];
};
static_assert(sizeof(struct catalog_receive) == 38, "catalog_receive");

/* Flags; at least one, and none twice. */
struct catalog_set {
	uint8_t set;
	uint8_t clear;
};
static_assert(sizeof(struct catalog_set) == 2, "catalog_set");

/* Of a leaf: bit i of byte j is entry 8 j + i. */
struct thin_leaf {
	le64    leaf;
	uint8_t slots[32];
};
static_assert(sizeof(struct thin_leaf) == 40, "thin_leaf");

struct catalog_thin {
	le64             from; /* the cursor before; leaves from there on … */
	le64             upto; /* … to there were looked at; ~0: all */
	le32             nleaves;
	le32             first_shared; /* of the leaves, from 1, of which
					* something goes that the origin has
					* too; 0: of none */
	struct thin_leaf leaves[];
};
static_assert(sizeof(struct catalog_thin) == 24, "catalog_thin");

#endif
