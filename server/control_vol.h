/* server/control_vol.h - what volume.*, snapshot.* and checkpoint.* share:
 * finding what a call names, saying what it is, and changing it.
 *
 * Rules of use
 *  - What is a name, and of what, volume/ decides.  That something does not
 *    exist is said here, in the words of the command line.
 *  - A change is made by change_new(), gets what its operation needs beyond
 *    the parameters `name` and `force`, and belongs to change_run() then.
 */
#ifndef TARN_SERVER_CONTROL_VOL_H
#define TARN_SERVER_CONTROL_VOL_H

#include "server/tarnd.h"

/* Elements of one answer to a list. */
#define LIST_MAX 1000u

/* What `name` names, which must be of one of these kinds (enum vol_kind,
 * or'ed); NULL: the call was answered. */
struct volume *ctl_find_vol(struct ctl_call *call, struct volumes *vols,
			    const char *name, unsigned kinds);
/* False: the call was answered, this is no name of one of these kinds. */
bool ctl_is_name(struct ctl_call *call, const char *name, unsigned kinds);

/* Answer with those that next() gives, at most LIST_MAX, as member of the
 * result, and `more`. */
void ctl_reply_list(struct ctl_call *call, const char *member,
		    struct volume *(*next)(struct volumes *vols,
					   const struct volume *prev),
		    json_t *(*json)(const struct volume *v));

/* {"hourly":24, …}, or null. */
json_t *ctl_schedule_brief(const struct volume *v);
/* A volume, snapshot or checkpoint as its show method answers. */
json_t *ctl_vol_json(const struct volume *v);

/* Parameters that say what is to be set of a volume.  False: answered. */
bool ctl_take_props(struct ctl_call *call, struct vol_props *ret_props);

/* One change of a volume, snapshot or checkpoint. */
struct change {
	struct vol_ctl   ctl;
	struct ctl_call *call;
	void           (*op)(struct volumes *vols, struct vol_ctl *ctl);
	char             after[TREE_NAME_MAX + 1]; /* what the answer is about:
				* a name as it is afterwards, the call's `name`
				* unless the method says otherwise; if there is
				* no such thing, the name is the answer */
	/* It was made; may be NULL. */
	void           (*then)(struct tarnd *t);
	/* The answer, if it is another. */
	json_t        *(*answer)(struct ctl_call *call, struct volumes *vols);
};

/* Of what `name` names, of one of these kinds; 0: the call has no `name`.
 * NULL: answered, or parked. */
struct change *change_new(struct ctl_call *call, unsigned kinds);
/* The operation; takes the change, which answers the call. */
void change_run(struct change *c,
		void (*op)(struct volumes *vols, struct vol_ctl *ctl));

#endif
