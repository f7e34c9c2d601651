/* tools/check/check_after.c - what there is after the log: volumes, snapshots
 * and checkpoints, and for each live block those that have it.
 *
 * A family's trees are listed next to one another; whether one of them has a
 * block is looked up, unless there is only that one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

static void volume_report(struct ck *ck, const struct ck_volume *v)
{
	const struct ck_volume *of = v->volume == 0 ?
					     NULL :
					     ck_volume_find(ck, v->volume);
	char name[2 * VOLUME_NAME_MAX + 2];

	switch (v->kind) {
	case CATALOG_VOLUME:
		if (v->hidden)
			return;
		ck->rep->volumes++;
		break;
	case CATALOG_CHECKPOINT:
		ck->rep->checkpoints++;
		return;
	default:
		ck->rep->snapshots++;
	}
	if (ck->opt->volume == NULL)
		return;
	snprintf(name, sizeof(name), "%s%s%s", of == NULL ? "" : of->name,
		 v->volume == 0 ? "" : "@", v->name);
	ck->opt->volume(ck->opt->arg, v->id, name, v->size_bytes);
}

static int order_family(const void *a, const void *b, void *arg)
{
	const struct ck *ck = arg;
	const struct ck_volume *x = &ck->vols[*(const uint32_t *)a];
	const struct ck_volume *y = &ck->vols[*(const uint32_t *)b];

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void trees_list(struct ck *ck)
{
	ck->trees = ck_alloc(ck, ck->nvols, sizeof(uint32_t));
	if (ck->trees == NULL)
		return;
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].state != 0 && ck_is_tree(&ck->vols[i]))
			ck->trees[ck->ntrees++] = i;
	}
	if (ck->ntrees > 1)
		qsort_r(ck->trees, ck->ntrees, sizeof(uint32_t), order_family,
			ck);
}

int ck_after_log(struct ck *ck)
{
	ck_layers_check(ck);
	if (ck->rep->rows_replayed > 0)
		ck_names_check(ck);
	ck->rep->mapped_blocks = ck->mapped;
	for (uint32_t i = 0; i < ck->nvols; i++) {
		if (ck->vols[i].state == CATALOG_READY)
			volume_report(ck, &ck->vols[i]);
	}
	if (ck->opt->block != NULL)
		trees_list(ck);
	return ck->res;
}

static bool same_family(const struct ck *ck, uint32_t i, uint32_t family)
{
	return i < ck->ntrees && ck->vols[ck->trees[i]].family == family;
}

/* The first of its trees in the list. */
static uint32_t family_find(const struct ck *ck, uint32_t family)
{
	uint32_t lo = 0, hi = ck->ntrees;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ck->vols[ck->trees[mid]].family < family)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void ck_block_report(struct ck *ck, uint32_t family, uint64_t block,
		     uint64_t place, const void *data)
{
	uint32_t first = family_find(ck, family);
	bool     alone = !same_family(ck, first + 1, family);
	uint64_t places[LEAF_ENTRIES];

	for (uint32_t i = first; same_family(ck, i, family); i++) {
		const struct ck_volume *t = &ck->vols[ck->trees[i]];

		/* Alone, who else could have it? */
		if (t->state == CATALOG_READY &&
		    (alone ||
		     (ck_leaf_places(ck, t, block / LEAF_ENTRIES,
				     places) == 0 &&
		      places[block % LEAF_ENTRIES] == place)))
			ck->opt->block(ck->opt->arg, t->id, block, data);
	}
}
