/* tools/check/check_tree.c - the chains that volumes and snapshots make.
 *
 * Links are made from origins that are older snapshots of the same volume and
 * that nobody else derives from.  Births fall along them, so there is no way
 * round.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

struct ck_text ck_tree_text(const struct ck_volume *t)
{
	struct ck_text text;

	if (t->volume == 0)
		snprintf(text.s, sizeof(text.s), "volume %" PRIu32, t->id);
	else
		snprintf(text.s, sizeof(text.s), "snapshot %" PRIu32
			 " of volume %" PRIu32, t->id, t->volume);
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
	while (t->next != CK_NO_TREE) {
		t = &ck->vols[t->next];
		if (ck_tree_holds(t, level, index))
			return t;
	}
	return NULL;
}

/* --- links --------------------------------------------------------------- */

void ck_tree_insert(struct ck *ck, uint32_t s, uint32_t v)
{
	struct ck_volume *t = &ck->vols[s];

	t->next = v;
	t->origin = ck->vols[v].origin;
	t->origin_lost = ck->vols[v].origin_lost;
	ck->vols[v].origin = s;
	ck->vols[v].origin_lost = false;
	if (t->origin != CK_NO_TREE)
		ck->vols[t->origin].next = s;
}

void ck_tree_remove(struct ck *ck, struct ck_volume *t)
{
	if (t->next != CK_NO_TREE) {
		ck->vols[t->next].origin = t->origin;
		ck->vols[t->next].origin_lost = t->origin_lost;
	}
	if (t->origin != CK_NO_TREE)
		ck->vols[t->origin].next = t->next;
	t->origin = CK_NO_TREE;
	t->next = CK_NO_TREE;
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
	if (o->volume == 0)
		return "is no snapshot";
	if (o->volume != ck_tree_head(t) ||
	    le32_get(o->slot.family) != le32_get(t->slot.family))
		return "is of another volume";
	if (o->birth >= t->birth)
		return "is not older";
	if (o->next != CK_NO_TREE)
		return "is the origin of another tree already";
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

	if (origin == 0)
		return;
	if (o != CK_NO_TREE)
		why = origin_problem(t, &ck->vols[o]);
	if (why == NULL) {
		t->origin = o;
		ck->vols[o].next = i;
		return;
	}
	t->origin_lost = true;
	ck_say(ck, o == CK_NO_TREE ? sev : CHECK_ERROR,
	       "%s: its origin, snapshot %" PRIu32 ", %s", ck_tree_text(t).s,
	       origin, why);
}

static void snapshot_check(const struct by_id *ids, const struct ck_volume *s,
			   enum check_severity sev)
{
	uint32_t i = find(ids, s->volume);
	const struct ck_volume *v = i == CK_NO_TREE ? NULL :
						      &ids->ck->vols[i];

	if (v == NULL)
		ck_say(ids->ck, sev, "%s: that volume does not exist",
		       ck_tree_text(s).s);
	else if (v->volume != 0)
		ck_error(ids->ck, "%s: that is a snapshot itself",
			 ck_tree_text(s).s);
	else if (s->state == CATALOG_READY && v->state != CATALOG_READY)
		ck_error(ids->ck, "%s: that volume is being deleted, the "
			 "snapshot is not", ck_tree_text(s).s);
	if (s->next == CK_NO_TREE)
		ck_say(ids->ck, sev, "%s: no tree derives from it",
		       ck_tree_text(s).s);
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
		if (ck->vols[i].volume != 0)
			snapshot_check(&ids, &ck->vols[i], sev);
	}
	free(ids.order);
	return 0;
}
