/* volume/map_load.h - get leaves of a range into memory and hold them there.
 *
 * Embedded in the operation that needs it.  Leaves are read in parallel, up
 * to `cap` of them; inner nodes on the way are waited for.  Found leaves are
 * pinned and in order in slots[0..n-1].node until map_load_release().
 */
#ifndef TARN_VOLUME_MAP_LOAD_H
#define TARN_VOLUME_MAP_LOAD_H

#include "volume/map.h"

struct map_load {
	/* In. */
	struct volume *vol;
	uint64_t       next;  /* leaf to go on at; out: all before it were
			       * looked at */
	uint64_t       end;   /* leaf behind the last */
	unsigned       cap;   /* room in slots */
	bool           create; /* make HOLEs where nothing is */
	bool           skip_failed; /* go on behind what cannot be read */
	/* For who wants to know what has changed: leaves about which inner
	 * nodes say enough (map_gap()) are not read, but take a slot all
	 * together, where gaps[] says so.  NULL: all leaves are read. */
	struct map_gap *gaps; /* as many as slots */
	uint32_t       since; /* … of map_gap() */
	bool           holes;
	struct node_waiter *slots;
	void (*done)(struct map_load *l);
	/* Out. */
	unsigned       n;     /* leaves held; NULL where it failed, and of
			       * gaps */
	unsigned       nfailed;
	int            res;   /* first error */
	/* Private. */
	unsigned       pending; /* leaves being read */
	bool           blocked; /* an inner node is being read */
	bool           running;
	struct node_waiter inner;
};

/* True: it is done already, done() is not called.  Otherwise done() is called
 * later, from the loop. */
bool map_load_start(struct map_load *l);
/* Unpin all leaves; may be started again (from next on). */
void map_load_release(struct map_load *l);

#endif
