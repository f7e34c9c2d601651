/* tools/check/check_tree.c - which volumes and snapshots derive from which.
 *
 * Links are made from origins that are older snapshots of the same family.
 * Births fall along them, so there is no way round.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

struct ck_text ck_tree_text(const struct ck_volume *t)
{
	struct ck_text text;

	if (t->kind == CATALOG_VOLUME)
		snprintf(text.s, sizeof(text.s), "volume %" PRIu32, t->id);
	else if (t->volume == 0)
		snprintf(text.s, sizeof(text.s), "deleted snapshot %" PRIu32
			 " of family %" PRIu32, t->id, t->family);
	else
		snprintf(text.s, sizeof(text.s), "%s %" PRIu32 " of volume %"
			 PRIu32, ck_is_tree(t) ? "snapshot" : "checkpoint",
			 t->id, t->volume);
	return text;
}

/* --- neighbours ---------------------------------------------------------- */

bool ck_tree_holds(const struct ck_volume *t, unsigned level, uint64_t index)
{
	return t->state != CATALOG_DELETING ||
	       (t->cursor >> (9 * level)) <= index;
}

bool ck_tree_whole(const struct ck_volume *t, unsigned level, uint64_t index)
{
	return t->state != CATALOG_DELETING ||
	       t->cursor <= index << (9 * level);
}

const struct ck_volume *ck_tree_older(const struct ck *ck,
				      const struct ck_volume *t,
				      unsigned level, uint64_t index,
				      bool *ret_unknown)
{
	*ret_unknown = false;
	while (t->origin != CK_NO_TREE) {
		t = &ck->vols[t->origin];
		if (ck_tree_holds(t, level, index))
			return t;
	}
	*ret_unknown = t->origin_lost;
	return NULL;
}

const struct ck_volume *ck_tree_younger(const struct ck *ck,
					const struct ck_volume *t,
					unsigned level, uint64_t index)
{
	while (t->kid != CK_NO_TREE) {
		t = &ck->vols[t->kid];
		if (ck_tree_holds(t, level, index))
			return t;
	}
	return NULL;
}

/* --- links --------------------------------------------------------------- */

static void kid_remove(struct ck *ck, uint32_t i)
{
	struct ck_volume *t = &ck->vols[i];
	struct ck_volume *o = &ck->vols[t->origin];

	if (t->prev == CK_NO_TREE)
		o->kid = t->next;
	else
		ck->vols[t->prev].next = t->next;
	if (t->next != CK_NO_TREE)
		ck->vols[t->next].prev = t->prev;
	t->prev = CK_NO_TREE;
	t->next = CK_NO_TREE;
	o->nkids--;
}

static void kid_add(struct ck *ck, uint32_t i)
{
	struct ck_volume *t = &ck->vols[i];
	struct ck_volume *o = &ck->vols[t->origin];

	t->next = o->kid;
	if (t->next != CK_NO_TREE)
		ck->vols[t->next].prev = i;
	o->kid = i;
	o->nkids++;
}

void ck_tree_derive(struct ck *ck, uint32_t i, uint32_t o)
{
	struct ck_volume *t = &ck->vols[i];

	if (t->origin != CK_NO_TREE)
		kid_remove(ck, i);
	t->origin = o;
	t->origin_lost = false;
	if (o != CK_NO_TREE)
		kid_add(ck, i);
}

void ck_tree_insert(struct ck *ck, uint32_t s, uint32_t v, uint32_t from)
{
	bool lost = ck->vols[v].origin_lost;

	ck_tree_derive(ck, s, ck->vols[v].origin);
	ck->vols[s].origin_lost = lost;
	ck_tree_derive(ck, v, from);
}

void ck_tree_remove(struct ck *ck, struct ck_volume *t)
{
	struct ck_volume *o = t->origin == CK_NO_TREE ?
				      NULL :
				      &ck->vols[t->origin];

	while (t->kid != CK_NO_TREE) {
		uint32_t kid = t->kid;

		ck_tree_derive(ck, kid, t->origin);
		ck->vols[kid].origin_lost = t->origin_lost;
		if (ck->vols[kid].state == CATALOG_FORK)
			ck->vols[kid].cursor = 0; /* as well */
	}
	ck_tree_derive(ck, (uint32_t)(t - ck->vols), CK_NO_TREE);
	t->state = 0;
	t->volume = 0;
	if (o != NULL && o->state == CATALOG_FORK) {
		o->cursor = 0; /* it is thinned out again, or goes */
		if (o->nkids < 2)
			o->state = CATALOG_DELETING;
	}
}

/* Indices of volumes in order of their ids. */
struct by_id {
	struct ck *ck;
	uint32_t  *order;
};

static int order_id(const void *a, const void *b, void *arg)
{
	const struct ck *ck = arg;
	uint32_t x = ck->vols[*(const uint32_t *)a].id;
	uint32_t y = ck->vols[*(const uint32_t *)b].id;

	return x < y ? -1 : x > y;
}

/* CK_NO_TREE: there is none. */
static uint32_t find(const struct by_id *ids, uint32_t id)
{
	uint32_t lo = 0, hi = ids->ck->nvols;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ids->ck->vols[ids->order[mid]].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == ids->ck->nvols ||
	    ids->ck->vols[ids->order[lo]].id != id)
		return CK_NO_TREE;
	return ids->order[lo];
}

static const char *origin_problem(const struct ck_volume *t,
				  const struct ck_volume *o)
{
	if (o->kind != CATALOG_SNAPSHOT)
		return "is no snapshot";
	if (o->family != t->family)
		return "is of another family";
	if (o->birth >= t->birth)
		return "is not older";
	return NULL;
}

static void link_one(const struct by_id *ids, uint32_t i,
		     enum check_severity sev)
{
	struct ck *ck = ids->ck;
	struct ck_volume *t = &ck->vols[i];
	uint32_t origin = le32_get(t->slot.origin);
	uint32_t o = origin == 0 ? CK_NO_TREE : find(ids, origin);
	const char *why = "does not exist";

	if (origin == 0 || !ck_is_tree(t))
		return;
	if (o != CK_NO_TREE)
		why = origin_problem(t, &ck->vols[o]);
	if (why == NULL) {
		ck_tree_derive(ck, i, o);
		return;
	}
	t->origin_lost = true;
	ck_say(ck, o == CK_NO_TREE ? sev : CHECK_ERROR,
	       "%s: its origin, snapshot %" PRIu32 ", %s", ck_tree_text(t).s,
	       origin, why);
}

/* What is of a volume: a ready snapshot, or a checkpoint. */
static void member_check(const struct by_id *ids, const struct ck_volume *s,
			 enum check_severity sev)
{
	uint32_t i = find(ids, s->volume);
	const struct ck_volume *v;
	const char *why = NULL;

	if (i == CK_NO_TREE) {
		ck_say(ids->ck, sev, "%s: that volume does not exist",
		       ck_tree_text(s).s);
		return;
	}
	v = &ids->ck->vols[i];
	if (v->kind != CATALOG_VOLUME)
		why = "that is no volume";
	else if (v->state != CATALOG_READY)
		why = "that volume is being deleted, and this is not";
	else if (v->family != s->family)
		why = "that volume is of another family";
	else if (v->birth <= s->birth)
		why = "that volume is not younger";
	if (why != NULL)
		ck_error(ids->ck, "%s: %s", ck_tree_text(s).s, why);
}

/* Do as many trees derive from it as may, now that it is deleted? */
static void kids_check(struct ck *ck, const struct ck_volume *t,
		       enum check_severity sev)
{
	if (t->state == CATALOG_DELETING && t->nkids > 1)
		ck_error(ck, "%s is being deleted, but %" PRIu32 " trees "
			 "derive from it", ck_tree_text(t).s, t->nkids);
	if (t->state == CATALOG_FORK && t->nkids < 2)
		ck_say(ck, sev, "%s is a fork, but %" PRIu32 " trees derive "
		       "from it", ck_tree_text(t).s, t->nkids);
}

int ck_trees_link(struct ck *ck)
{
	struct by_id ids = { .ck = ck };
	enum check_severity sev = ck_catalog_lost(ck) ? CHECK_LOST :
							CHECK_ERROR;

	ids.order = ck_alloc(ck, ck->nvols, sizeof(uint32_t));
	if (ids.order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < ck->nvols; i++)
		ids.order[i] = i;
	if (ck->nvols > 1)
		qsort_r(ids.order, ck->nvols, sizeof(uint32_t), order_id, ck);
	for (uint32_t i = 0; i < ck->nvols; i++)
		link_one(&ids, i, sev);
	for (uint32_t i = 0; i < ck->nvols; i++) {
		kids_check(ck, &ck->vols[i], sev);
		if (ck->vols[i].volume != 0)
			member_check(&ids, &ck->vols[i], sev);
	}
	free(ids.order);
	return 0;
}
