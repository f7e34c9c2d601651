/* volume/used_plan.c - see used_plan.h. */
#include <stdlib.h>
#include <string.h>

#include "volume/tree.h"
#include "volume/used_plan.h"
#include "volume/volumes.h"

/* k, or what will be in its place; NULL: nothing. */
static struct volume *lasting_kid(struct volume *k)
{
	while (k != NULL) {
		if (k->used_gone)
			k = k->used_kid;
		else if (k->state != CATALOG_DELETING)
			break;
		else
			k = k->nkids == 0 ? NULL :
					    list_first(&k->kids, struct volume,
						       kid_link);
	}
	return k;
}

/* How many trees will derive from t; one of them, or NULL. */
static unsigned lasting_kids(const struct volume *t, struct volume **ret_kid)
{
	unsigned n = 0;

	*ret_kid = NULL;
	list_for_each(it, &t->kids) {
		struct volume *k = lasting_kid(
			list_entry(it, struct volume, kid_link));

		if (k == NULL)
			continue;
		*ret_kid = k;
		n++;
	}
	return n;
}

static bool lasts(const struct volume *t)
{
	struct volume *kid;

	return !t->used_gone && t->state != CATALOG_DELETING &&
	       (t->state != CATALOG_FORK || lasting_kids(t, &kid) > 1);
}

static struct volume *lasting_origin(const struct volume *t)
{
	struct volume *o = t->origin;

	while (o != NULL && !lasts(o))
		o = o->origin;
	return o;
}

static struct used_tree *add(struct used_plan *plan)
{
	/* It doubles at each power of two. */
	if ((plan->n & (plan->n - 1)) == 0) {
		unsigned cap = plan->n == 0 ? 1 : 2 * plan->n;
		void *p = realloc(plan->trees, cap * sizeof(plan->trees[0]));

		if (p == NULL)
			return NULL;
		plan->trees = p;
	}
	return &plan->trees[plan->n++];
}

/* t goes, and the FORKs that go with it.  False: out of memory. */
static bool go(struct used_plan *plan, struct volume *t)
{
	struct volume *kid;

	if (lasting_kids(t, &kid) > 1) {
		plan->forked++;
		return true;
	}
	for (;;) {
		struct volume *o = lasting_origin(t);
		struct used_tree *u = add(plan);

		if (u == NULL)
			return false;
		*u = (struct used_tree){ t, kid, o == NULL ? 0 : o->birth };
		vol_hold(t);
		if (kid != NULL)
			vol_hold(kid);
		t->used_gone = true;
		t->used_kid = kid;
		if (o == NULL || o->state != CATALOG_FORK ||
		    lasting_kids(o, &kid) > 1)
			return true;
		t = o;
	}
}

static int order_birth(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;

	if ((*x)->birth != (*y)->birth)
		return (*x)->birth > (*y)->birth ? -1 : 1;
	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

struct used_plan *used_plan_make(struct volume *const *set, unsigned n)
{
	struct used_plan *plan = calloc(1, sizeof(*plan));
	struct volume **order = calloc(n, sizeof(order[0]));
	const struct catalog *c = &set[0]->vols->catalog;
	bool ok = plan != NULL && order != NULL;

	if (ok) {
		plan->changes = c->tree_changes;
		plan->deletions = c->deletions;
		memcpy(order, set, n * sizeof(order[0]));
		/* What derives from a tree is younger. */
		qsort(order, n, sizeof(order[0]), order_birth);
	}
	for (unsigned i = 0; i < n && ok; i++)
		ok = order[i]->used_gone || go(plan, order[i]);
	for (unsigned i = 0; plan != NULL && i < plan->n; i++)
		plan->trees[i].tree->used_gone = false;
	free(order);
	if (ok)
		return plan;
	used_plan_free(plan);
	return NULL;
}

void used_plan_free(struct used_plan *plan)
{
	if (plan == NULL)
		return;
	for (unsigned i = 0; i < plan->n; i++) {
		vol_release(plan->trees[i].tree);
		if (plan->trees[i].young != NULL)
			vol_release(plan->trees[i].young);
	}
	free(plan->trees);
	free(plan);
}

bool used_plan_is_fresh(const struct used_plan *plan, const struct volume *v)
{
	const struct catalog *c = &v->vols->catalog;

	return plan->changes == c->tree_changes &&
	       plan->deletions == c->deletions;
}

bool used_plan_same(const struct used_plan *a, const struct used_plan *b)
{
	if (a->n != b->n || a->forked != b->forked)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (a->trees[i].tree != b->trees[i].tree ||
		    a->trees[i].young != b->trees[i].young ||
		    a->trees[i].shared != b->trees[i].shared)
			return false;
	return true;
}
