/* volume/tree_thin.h - what a FORK keeps though no tree needs it: finding it, and
 * letting it go.
 *
 * A FORK is a deleted snapshot from which two or more trees derive.  What none of
 * them has, and its own origin has not, is dropped from its own leaves; a leaf
 * in which nothing is left goes.  Inner nodes stay until the FORK goes.
 *
 *   live:  thin_find() --> THIN record in the log, which names the entries -->
 *          thin_drop() in apply()
 *   redo:  the FORK's leaves that the record names are loaded --> thin_drop()
 *
 * Of what is dropped, the FORK's own origin may have some as well; if that is a
 * FORK too, it is thinned out after it, from the first such leaf on.
 *
 * What nobody has who derives from the FORK nobody can come to have: from it
 * itself nothing new derives, and those that derive from others have what these
 * have, or what is new.  So what was found stays true, whatever is in the log
 * between finding it and dropping it; and dropping needs the FORK's own leaves
 * alone, which nobody else shows, then as now.
 */
#ifndef TARN_VOLUME_TREE_THIN_H
#define TARN_VOLUME_TREE_THIN_H

#include "volume/tree_look.h"

/* With more trees behind it a FORK is kept whole. */
#define THIN_KIDS_MAX 256u
/* Leaves that one record may name. */
#define THIN_LEAVES 64u

/* One of those that will derive from a FORK, or from a FORK that does. */
struct thin_kid {
	struct volume *tree;
	unsigned       parent; /* in the array; NO_PARENT: the FORK itself */
	uint64_t       from;   /* from this leaf on it will have been thinned
				* out: what it has there it keeps for those
				* that derive from it; ~0: it is as it is */
	unsigned       at;     /* the caller's */
};
#define NO_PARENT (~0u)

struct thin_find {
	/* In. */
	struct volume *vol;
	const struct thin_kid *kids; /* those that count as deriving from it,
				      * held; parents first.  NULL: those that
				      * do */
	unsigned       nkids;
	uint32_t       shared; /* with `kids`: birth of its origin, 0: none */
	uint64_t       from;   /* leaf to begin at */
	unsigned       max;    /* leaves to change, at most THIN_LEAVES */
	struct mnode **young;  /* what each kid has, on the way down: room for
				* LEVEL_MAX + 1 times young_max */
	unsigned       young_max; /* nkids or more; without `kids`,
				   * THIN_KIDS_MAX */
	void (*done)(struct thin_find *f);
	/* Out: all before `upto` was looked at. */
	uint64_t       upto;
	uint64_t       data_blocks; /* of data that would go */
	uint64_t       node_blocks; /* and leaves */
	uint64_t       shared_leaf; /* the first of which something would go
				     * that the origin has too; ~0: none */
	int            res;    /* some of it could not be read, and stays */
	/* The body of the record; it may name no leaf. */
	uint8_t        body[CATALOG_BODY_MAX];
	uint32_t       body_bytes;
	/* Private. */
	unsigned       found;
	unsigned       visited; /* positions of trees */
	struct tree_look look;
	struct node_guard guard;
	struct io_work work;
};

/* done() is called later, from the loop. */
void thin_find(struct thin_find *f);
/* The guard goes; after thin_drop(), or instead. */
void thin_find_release(struct thin_find *f);

/* These entries of a leaf are dropped (bit i: entry i).  A leaf that is not the
 * tree's own is left alone; one that cannot be read is lost to it. */
void thin_drop(struct volume *v, uint64_t leaf, const uint8_t *slots);

#endif
