/* server/event_watch.h - what changes by itself, and how it was when it was
 * looked at last: disks, health, space.
 *
 * There is no timer: watch_news() is called when the pool has something to log,
 * and at its heartbeats.
 */
#ifndef TARN_SERVER_EVENT_WATCH_H
#define TARN_SERVER_EVENT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "io/io.h"
#include "pool/pool.h"

struct tarnd;

/* The levels of fullness that are alarms, in percent. */
#define SPACE_LEVELS 3u
extern const unsigned space_levels[SPACE_LEVELS];

struct watch_member {
	uint8_t  state;
	bool     slow;        /* to write to */
	bool     slow_reads;
	uint64_t errors;
};

struct watch {
	struct io_work work;
	bool     on;            /* a pool is served */
	bool     named;         /* the members are known */
	uint64_t mark;          /* pool_members_mark() */
	uint8_t  health;
	uint64_t lost_blocks;
	unsigned level;         /* of fullness: how many are reached */
	bool     full;          /* there is no room for new data, */
	bool     refused;       /* … or not long ago a request was refused */
	uint64_t scrubs;        /* that have ended, since it was opened */
	bool     rebuilds;      /* units are to be made again; */
	uint64_t rebuilt;       /* made when there were last none to make */
	bool     moves;         /* units move to disks with more room; */
	uint64_t moved;         /* … had when there were last none to */
	/* How fast it fills: blocks a second, smoothed; used, at used_ns. */
	double   rate;
	uint64_t used, used_ns;
	struct watch_member members[POOL_MEMBERS_MAX];
};

/* The pool is served from now on; no longer. */
void watch_start(struct tarnd *t);
void watch_stop(struct tarnd *t);
/* Something may have changed: look in a later turn. */
void watch_news(struct tarnd *t);
/* Seconds until the pool is full, as it goes now; 0: it does not fill. */
uint64_t watch_full_s(const struct watch *w, const struct pool_info *info);

#endif
