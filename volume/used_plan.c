/* volume/used_plan.c - see used_plan.h. */
#include <string.h>

#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/used_plan.h"
#include "volume/volumes.h"

static void kid_add(struct used_plan *p, struct volume *k)
{
	/* With too many it is kept whole. */
	if (p->nkids == THIN_KIDS_MAX)
		p->thin = NULL;
	else
		p->kids[p->nkids++] = k;
}

/* The FORK, from which all derive that do now, but `but`, and `kid` in place of
 * that (NULL: nothing). */
static void thin_plan(struct used_plan *p, struct volume *fork,
		      const struct volume *but, struct volume *kid)
{
	const struct volume *o = tree_lasting_origin(fork);

	p->thin = fork;
	p->shared = o == NULL ? 0 : o->birth;
	list_for_each(it, &fork->kids) {
		struct volume *k = tree_lasting_kid(
			list_entry(it, struct volume, kid_link));

		if (k != NULL && k != but)
			kid_add(p, k);
	}
	if (kid != NULL)
		kid_add(p, kid);
}

static bool is_fork(const struct volume *o)
{
	return o != NULL && o->state == CATALOG_FORK;
}

void used_plan_make(struct volume *v, struct used_plan *ret_plan)
{
	struct used_plan *p = ret_plan;
	struct volume *kid, *other, *o;

	memset(p, 0, sizeof(*p));
	if (tree_lasting_kids(v, NULL, &kid) > 1) {
		p->forked = true;
		thin_plan(p, v, NULL, NULL);
		return;
	}
	o = tree_lasting_origin(v);
	p->trees[0] = (struct used_tree){ v, kid, o == NULL ? 0 : o->birth };
	if (!is_fork(o))
		return;
	if (tree_lasting_kids(o, v, &other) + (kid != NULL) > 1) {
		thin_plan(p, o, v, kid);
		return;
	}
	v = o;
	o = tree_lasting_origin(v);
	p->trees[1] = (struct used_tree){ v, other, o == NULL ? 0 : o->birth };
	if (is_fork(o))
		thin_plan(p, o, v, other);
}

bool used_plan_is(const struct used_plan *a, const struct used_plan *b)
{
	for (unsigned i = 0; i < USED_TREES; i++)
		if (a->trees[i].tree != b->trees[i].tree ||
		    a->trees[i].young != b->trees[i].young ||
		    a->trees[i].shared != b->trees[i].shared)
			return false;
	for (unsigned i = 0; i < a->nkids && a->nkids == b->nkids; i++)
		if (a->kids[i] != b->kids[i])
			return false;
	return a->forked == b->forked && a->thin == b->thin &&
	       a->shared == b->shared && a->nkids == b->nkids;
}

static void each(const struct used_plan *plan, void (*fn)(struct volume *v))
{
	for (unsigned i = 0; i < USED_TREES; i++) {
		if (plan->trees[i].tree != NULL)
			fn(plan->trees[i].tree);
		if (plan->trees[i].young != NULL)
			fn(plan->trees[i].young);
	}
	if (plan->thin != NULL)
		fn(plan->thin);
	for (unsigned i = 0; i < plan->nkids; i++)
		fn(plan->kids[i]);
}

void used_plan_hold(const struct used_plan *plan)
{
	each(plan, vol_hold);
}

void used_plan_release(const struct used_plan *plan)
{
	each(plan, vol_release);
}
