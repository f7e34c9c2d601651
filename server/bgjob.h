/* server/bgjob.h - what takes long and goes on by itself: the list of it, with
 * progress and time left.  (What is done to the pool one at a time,
 * tarnd_job.c, is something else.)
 *
 * A source is whatever does such work, and keeps in the pool how far it is, so
 * that it goes on after a restart.  It is asked for its jobs when somebody
 * wants to know, and at heartbeats while it has some; there is nothing to
 * register or to end.  To add one: a struct bgjob_source, and its line in
 * bgjob.c.
 *
 * A job that is not there any more has ended.
 */
#ifndef TARN_SERVER_BGJOB_H
#define TARN_SERVER_BGJOB_H

#include "server/tarnd.h"

enum bgjob_state {
	BGJOB_RUNNING,
	BGJOB_WAITING, /* for its turn, or for what text says */
	BGJOB_PAUSED,  /* somebody did that */
};

#define BGJOB_ID_MAX 63u

struct bgjob {
	char        id[BGJOB_ID_MAX + 1];  /* "delete-17": the same after a
					    * restart, no blanks */
	const char *kind;                  /* "delete" */
	char        object[TREE_NAME_MAX + 1];
	uint8_t     state;                 /* enum bgjob_state */
	uint64_t    done, total;           /* total 0: nobody knows */
	const char *unit;                  /* of both: "bytes" */
	char        text[200];             /* more of it; "" */
	bool        cancellable;
	const void *at;                    /* the source's: where get() goes on
					    * from, for the next one */
};

struct bgjob_source {
	/* What the ids of its jobs begin with; not NULL. */
	const char *ids;
	/* Its i-th job; false: there are not so many.  Asked for i = 0, 1, 2…
	 * in one go; ret->at is as the call before left it. */
	bool (*get)(struct tarnd *t, unsigned i, struct bgjob *ret);
	/* The one of that id; false: it has none.  NULL: get() is asked for one
	 * after the other, which is good enough for a few. */
	bool (*find)(struct tarnd *t, const char *id, struct bgjob *ret);
	/* End it before its time: 0, or -errno with a sentence in ret_err (256
	 * bytes).  NULL: its jobs cannot be cancelled. */
	int (*cancel)(struct tarnd *t, const struct bgjob *job, char *ret_err);
};

/* At a heartbeat, and when something ended: who waits is told, and how far
 * each is noted, for its rate. */
void bgjobs_look(struct tarnd *t);
/* The pool is being closed: who waits is told. */
void bgjobs_closing(struct tarnd *t);

void ctl_job_list(struct ctl_call *call);
void ctl_job_show(struct ctl_call *call);
void ctl_job_cancel(struct ctl_call *call);

/* bgjob_delete.c */
extern const struct bgjob_source bgjob_deletions;
/* control_scrub.c */
extern const struct bgjob_source bgjob_scrub;
/* rebuild_job.c */
extern const struct bgjob_source bgjob_rebuild, bgjob_drains, bgjob_rebalance;

#endif
