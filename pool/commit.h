/* pool/commit.h - what the parts of a commit call of each other; private to
 * pool/.
 *
 * commit.c is the commit from start to end and the blocks that it writes,
 * commit_schedule.c says when one starts, commit_segments.c frees and composes
 * segments, commit_root.c writes the root.  Only those four include this; the
 * rest of the pool uses what core.h has.
 */
#ifndef TARN_POOL_COMMIT_H
#define TARN_POOL_COMMIT_H

#include "pool/core.h"

/* --- commit.c ------------------------------------------------------------ */

/* Go on with the state that the commit is in, as far as possible. */
void commit_step(struct pool *p);
/* A block of tables that is dead once this commit is done; PLACE_NONE: none.
 * Without memory the pool stops. */
void commit_old_add(struct pool *p, place_t place);

/* --- commit_schedule.c --------------------------------------------------- */

void commit_schedule_init(struct pool *p);
void commit_schedule_fini(struct pool *p);
/* Is there room in so many openable segments for all that a commit would write,
 * in rows that are half headers at worst?  One that runs out of room could not
 * end. */
bool commit_fits(const struct pool *p, uint32_t openable);
/* How many openable segments the next commit may need. */
uint32_t commit_openable_kept(const struct pool *p);

/* --- commit_segments.c --------------------------------------------------- */

/* Note what the table will say of each: the state as of now. */
void commit_segs_freeze(struct pool *p);
/* Free the dead, compose new ones; the table has its final size then. */
void commit_segs_renew(struct pool *p);
/* Would another commit take back segments that lack a unit, now that this one
 * has listed whole ones? */
bool commit_partial_can_go(const struct pool *p);
/* … or such with a zone on a disk that is drained? */
bool commit_draining_can_go(const struct pool *p);
/* Is there room for another segment in quarantine, to be trimmed? */
bool commit_may_trim(const struct pool *p);
/* Did a disk go out since the pages of the table were encoded? */
bool commit_missing_changed(const struct pool *p);

/* --- commit_root.c ------------------------------------------------------- */

/* Build the root and append it; commit_step() when it is down. */
void commit_root_send(struct pool *p);

#endif
