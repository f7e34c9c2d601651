/* server/inventory.h - what is on the disks that can be seen: one scan of
 * places, each export judged.
 *
 * Rules of use
 *  - A scan looks and never writes (promise P13).
 *  - inventory_scan() never calls back; done() gets a list of its own, to be
 *    freed with inventory_free().
 */
#ifndef TARN_SERVER_INVENTORY_H
#define TARN_SERVER_INVENTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "io/place.h"
#include "pool/pool.h"

/* A smaller disk is not worth its labels. */
#define INVENTORY_DISK_MIN_BYTES (32ull << 20)

enum found_state {
	FOUND_BLANK,       /* nothing on it at either end */
	FOUND_MEMBER,      /* carries labels of ours */
	FOUND_DAMAGED,     /* carries labels of ours that cannot be used */
	FOUND_FOREIGN,     /* holds something else */
	FOUND_UNREACHABLE,
};

struct found_disk {
	char     place[512];  /* what disk_open() takes */
	char     host[64];
	char     export[256];
	uint64_t size_bytes;
	bool     read_only;
	bool     can_flush;
	uint8_t  state;       /* enum found_state */
	int      error;       /* UNREACHABLE: -EINVAL if it is no place */
	char     content[64]; /* FOREIGN: libblkid's word, or "unknown data" */
	bool     usable;      /* may become a member without force */
	char     why[256];    /* when not usable: a sentence */
	struct label_summary label; /* MEMBER, DAMAGED */
};

struct inventory {
	struct found_disk *disks;
	unsigned           ndisks;
};

/* Look at the places, at most until deadline_ns from now.  With no places at
 * all the answer is an empty list.  -ENOMEM. */
int inventory_scan(struct io *io, const char *const *places, unsigned nplaces,
		   uint64_t deadline_ns,
		   void (*done)(struct inventory *inv, void *arg), void *arg);
void inventory_free(struct inventory *inv);

/* Judge one export.  Pure. */
void inventory_judge(const struct place_export *e, struct found_disk *ret);
/* Do two places mean the same, however they are written?  Looks at files'
 * inodes. */
bool inventory_same_place(const char *a, const char *b);
/* Are these two one disk, as far as labels and places tell? */
bool inventory_same_disk(const struct found_disk *a,
			 const struct found_disk *b);

/* An error text without the place that it begins with, for sentences that have
 * named it. */
const char *inventory_reason(const char *place, const char *error_text);

const char *found_state_name(enum found_state state);

#endif
