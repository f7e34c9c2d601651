/* server/control_used.h - answers that say how much space deleting something
 * would free.
 *
 * That takes as long as there are map nodes to be read; meanwhile everything
 * else goes on, and it ends when the client goes away or the pool is closed.
 */
#ifndef TARN_SERVER_CONTROL_USED_H
#define TARN_SERVER_CONTROL_USED_H

#include "server/tarnd.h"

/* Answer with a snapshot, as ctl_vol_json() says it, and what only it holds.
 * Takes result. */
void used_reply(struct ctl_call *call, json_t *result);
/* Answer with a list, result[member], with used_bytes in each.  What takes too
 * long is cut off: "more".  Takes result. */
void used_reply_list(struct ctl_call *call, json_t *result,
		     const char *member);
/* Answer what deleting the volume or snapshot would free, or why that cannot be
 * told. */
void used_reply_dry_run(struct ctl_call *call, const struct volume *v);

#endif
