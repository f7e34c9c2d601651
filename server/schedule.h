/* server/schedule.h - snapshots that are taken and deleted by themselves.
 *
 *	schedule_plan.c  what is to be done, and when next: pure
 *	schedule.c       doing it
 *	tarnd_schedule.c its clock, and the pool that is open
 *
 * What is to be done follows from the pool alone: each volume's schedule, when
 * it was followed last, and which snapshots it took (volume/volume.h).  So it
 * does not matter when a server dies, or which one goes on.
 *
 *  - A snapshot of a kind is due when a period of the calendar has begun since
 *    the schedule was followed last: one, however many periods went by.
 *  - All that is due is taken at one instant, as far as one record has room;
 *    all kinds of a volume are always in one.
 *  - Only then, what is beyond the newest N of a kind is deleted.  What is
 *    held, in use, or the base of what is being received stays, and is looked
 *    at again when something is due next.
 *  - What cannot be done is said once, with the way out, and tried again later
 *    and later.
 *
 * Order is that in which snapshots were taken, not what the clock said then; so
 * a clock that jumps costs at most one snapshot of each kind each time.
 */
#ifndef TARN_SERVER_SCHEDULE_H
#define TARN_SERVER_SCHEDULE_H

#include "base/period.h"
#include "io/io.h"
#include "volume/volume.h"

/* As many of a kind may be kept. */
#define SCHEDULE_KEEP_MAX 10000u

/* --- schedule_plan.c ----------------------------------------------------- */

/* Kinds of which one is due, as bits; seen_s: as period_due() wants it. */
unsigned schedule_due(const struct vol_schedule *s, uint64_t seen_s,
		      uint64_t now_s);
/* When the next one is; ~0: never. */
uint64_t schedule_next(const struct vol_schedule *s, uint64_t now_s);
/* kinds: of all snapshots of the volume, oldest first, PERIODS for those that
 * no schedule took.  Sets go[i] of those that are beyond what is kept; returns
 * how many. */
size_t schedule_beyond(const struct vol_schedule *s, const uint8_t *kinds,
		       size_t n, bool *go);
/* What a snapshot of that kind is called: "hourly-2026-11-23-1900", and with
 * another try (from 0) something else. */
#define SCHEDULE_NAME_BYTES 64u
const char *schedule_name(enum period kind, uint64_t now_s, unsigned attempt,
			  char *ret_name);

/* --- schedule.c ---------------------------------------------------------- */

/* The world outside of the pool. */
struct schedule_ops {
	/* Wall clock, seconds since 1970. */
	uint64_t (*now_s)(void *arg);
	/* schedule_wake() at that time of the wall clock (~0: never), and when
	 * it is set meanwhile. */
	void (*arm)(void *arg, uint64_t at_s);
	void (*uuid)(void *arg, struct uuid *ret_uuid);
	/* An operation on the volumes begins; has ended.  The pool is not
	 * closed in between; the second may begin to. */
	void (*begin)(void *arg);
	void (*end)(void *arg);
	/* One line for the operator. */
	void (*log)(void *arg, const char *line);
};

enum schedule_state {
	SCHEDULE_IDLE,
	SCHEDULE_TAKING,
	SCHEDULE_DELETING,
};

/* A volume of which snapshots are due. */
struct schedule_due {
	char     volume[VOLUME_NAME_MAX + 1];
	unsigned kinds;
};

struct schedule {
	struct io *io;
	const struct schedule_ops *ops;
	void           *arg;
	struct volumes *vols;      /* NULL: stopped */
	uint8_t         state;     /* enum schedule_state */
	bool            again;     /* woken meanwhile */
	bool            failed;    /* something, this time */
	uint64_t        now_s;     /* this time, and … */
	uint64_t        seen_s;    /* … the time before; 0: there was none */
	struct io_timer retry;     /* after a failure */
	uint64_t        backoff_ns;
	struct io_work  work;      /* a look at what is to be done */
	struct vol_ctl  ctl;
	struct schedule_due *due;  /* TAKING: these … */
	size_t          ndue, at;  /* … from here on … */
	size_t          group;     /* … so many of them, in one record … */
	size_t          group_max; /* … and no more */
	char          **victims;   /* DELETING: full names, from `at` on */
	size_t          nvictims;
	uint64_t        taken, deleted; /* snapshots, ever */
	char            problem[512]; /* "": all went well the last time */
};

void schedule_init(struct schedule *s, struct io *io,
		   const struct schedule_ops *ops, void *arg);
/* A pool is open, for writing. */
void schedule_start(struct schedule *s, struct volumes *vols);
/* It is being closed: nothing more is begun. */
void schedule_stop(struct schedule *s);
/* Something may be due, or is to be from now on: look, soon. */
void schedule_wake(struct schedule *s);

#endif
