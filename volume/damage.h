/* volume/damage.h - which volumes and snapshots show blocks that are lost.
 * Private to volume/; see vols_damage_submit() in volume.h for the rest.
 */
#ifndef TARN_VOLUME_DAMAGE_H
#define TARN_VOLUME_DAMAGE_H

#include "volume/map_load.h"
#include "volume/volume.h"

/* All trees that show a block of a family at a place, one version of its leaf
 * after the other. */
struct damage_walk {
	struct volumes    *vols;
	struct pool_damage at;
	struct volume     *tip, *tree;  /* whose version is looked at, from
					 * which tip */
	uint64_t           chain;       /* catalog.tree_changes when it began */
	unsigned           tries;
	bool               any;         /* one shows it, … */
	bool               failed;      /* … or some version cannot be had */
	struct map_load    load;
	struct node_waiter slots[1];
	/* This READY tree shows it; may be NULL. */
	void (*shows)(struct damage_walk *w, const struct volume *t);
	/* Called anew when trees came or went: forget what was shown. */
	void (*again)(struct damage_walk *w);
	void (*done)(struct damage_walk *w); /* in a later turn, or at once */
};

/* What a scrub has found: does anything point to it? */
struct damage_check {
	struct damage_walk walk;
	bool               busy;
	bool               stopped;
	struct io_work     work;
};

void damage_init(struct volumes *vols);
void damage_stop(struct volumes *vols);
void damage_close(struct volumes *vols);
/* Of struct log_client_ops. */
void vols_damaged(void *arg);

#endif
