/* server/control_used.h - answers that say how much space deleting something
 * would free.
 *
 * That takes as long as there are map nodes to be read; meanwhile everything
 * else goes on, and it ends when the client goes away or the pool is closed.
 */
#ifndef TARN_SERVER_CONTROL_USED_H
#define TARN_SERVER_CONTROL_USED_H

#include "server/tarnd.h"

/* A walk for this call is to end: its client has gone, or the pool is being
 * closed. */
bool used_unwanted(const struct ctl_call *call);
/* Answer why `what` cannot be told: err is what the walk said. */
void used_fail(struct ctl_call *call, int err, const char *what);

/* Answer with a snapshot, as ctl_vol_json() says it, and what only it holds.
 * Takes result. */
void used_reply(struct ctl_call *call, json_t *result);
/* Answer with a list, result[member], with used_bytes in each.  What takes too
 * long is cut off: "more".  Takes result. */
void used_reply_list(struct ctl_call *call, json_t *result,
		     const char *member);
/* Answer what deleting the volume, with its snapshots or without, or snapshot
 * would free, or why that cannot be told. */
void used_reply_dry_run(struct ctl_call *call, struct volume *v,
			bool with_snapshots);

/* Volumes and snapshots that would be deleted together. */
struct used_set {
	struct volume **vols;
	unsigned        n, cap;
	bool            no_memory;
};
void used_set_add(struct used_set *s, struct volume *v);
void used_set_add_snapshots(struct used_set *s, struct volume *v);
/* Both. */
void used_set_add_all(struct used_set *s, struct volume *v);
/* Answer with result and what that would free: freed_bytes, freed_map_bytes,
 * kept_for_clones; or why that cannot be told.  Takes result and the set. */
void used_reply_set(struct ctl_call *call, json_t *result, struct used_set *s);
/* Answer with result, and as its member what the trash holds; null: it takes
 * too long to tell.  Takes result. */
void used_reply_trash(struct ctl_call *call, json_t *result,
		      const char *member);

#endif
