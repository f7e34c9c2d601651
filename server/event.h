/* server/event.h - what happened, for people: events of this server, kept in
 * the pool by volume/, and the alarms that hold now.
 *
 *	event.c          recording; event.list, with those who follow
 *	event_control.c  what was changed over the control socket
 *	event_watch.c    what changes by itself: disks, health, space
 *	alarm.c          what is wrong now, its risk and cure; muting
 *	control_alarm.c  alarm.list and alarm.mute
 *	control_scrub.c  scrubs: their methods, job and events
 *	rebuild_job.c    rebuild, drained and uneven disks: their jobs and
 *			 events
 *
 * Rules of use
 *  - Recording never fails.  While no pool is open, an event is in the
 *    server's log only.
 *  - Kinds of events and alarms have names that never change their meaning;
 *    docs/operations.md lists them.
 *  - Nothing here has a timer: it looks when the pool says something, at its
 *    heartbeats, and when it is asked.
 */
#ifndef TARN_SERVER_EVENT_H
#define TARN_SERVER_EVENT_H

#include "server/tarnd.h"

/* Record an event of this kind.  object: a disk, volume…; "". */
__attribute__((format(printf, 7, 8)))
void event_say(struct tarnd *t, enum event_severity severity, const char *what,
	       const char *object, uint64_t n0, uint64_t n1, const char *fmt,
	       ...);
/* "information", "warning", "critical". */
const char *event_severity_name(uint8_t severity);
/* What to do about it, a sentence; "". */
const char *event_advice(const char *what);

void event_init(struct tarnd *t);
/* The pool is about to be closed: all that happened goes into it, and who
 * follows is told that it ends. */
void event_closing(struct tarnd *t);
/* ctl_core.changed */
void event_changed(void *arg, const struct ctl_call *call, json_t *result);
void ctl_event_list(struct ctl_call *call);

/* control_scrub.c: has a scrub ended? */
void scrub_watch(struct tarnd *t);
/* rebuild_job.c: has a rebuild begun, or ended, or a rebalance? */
void rebuild_watch(struct tarnd *t, const struct pool_info *info);
void ctl_scrub_start(struct ctl_call *call);
void ctl_scrub_pause(struct ctl_call *call);
void ctl_scrub_stop(struct ctl_call *call);
void ctl_scrub_status(struct ctl_call *call);

/* --- alarm.c ------------------------------------------------------------- */

#define ALARMS_MAX 64u

struct alarm {
	const char *id;          /* "disk.missing" */
	uint8_t     severity;    /* enum event_severity */
	uint64_t    muted_until_s; /* 0: it is not muted */
	char        object[EVENT_OBJECT_MAX + 1];
	char        text[400];   /* one sentence */
	char        risk[200];   /* "" */
	char        action[256]; /* the next command */
};

/* What is wrong now, gravest first; returns how many.  *ret_more: there are so
 * many more. */
unsigned alarm_collect(struct tarnd *t, struct alarm *ret, unsigned *ret_more);
/* {"severity", "alarms", …}, for status too.  NULL: out of memory. */
json_t *alarm_json(struct tarnd *t);
/* Is there such an alarm? */
bool alarm_is_known(const char *id);
/* Does it hold now, of this object (NULL: any)? */
bool alarm_holds(struct tarnd *t, const char *id, const char *object);
/* As what the history knows that it is muted, of this object (NULL: all); of an
 * object that is too long its end, in which disks differ. */
void alarm_mute_name(const char *id, const char *object,
		     char ret_name[EVENT_OBJECT_MAX + 1]);
/* Until when is it muted?  0: it is not. */
uint64_t alarm_muted(const struct tarnd *t, const char *id,
		     const char *object);

void ctl_alarm_list(struct ctl_call *call);
void ctl_alarm_mute(struct ctl_call *call);

#endif
