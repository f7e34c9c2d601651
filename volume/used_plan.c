/* volume/used_plan.c - see used_plan.h. */
#include <stdlib.h>
#include <string.h>

#include "volume/tree.h"
#include "volume/tree_thin.h"
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

static uint32_t birth_of(const struct volume *o)
{
	return o == NULL ? 0 : o->birth;
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
		*u = (struct used_tree){ .tree = t, .young = kid,
					 .shared = birth_of(o) };
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

/* --- what is thinned out ------------------------------------------------- */

/* With too many trees behind it a FORK is kept whole.  False: out of memory. */
static bool thin(struct used_plan *plan, struct volume *t)
{
	struct used_tree *u;
	struct volume *k;
	unsigned n = lasting_kids(t, &k);

	if (t->used_thin || n > THIN_KIDS_MAX)
		return true;
	u = add(plan);
	if (u == NULL)
		return false;
	*u = (struct used_tree){ .tree = t,
				 .shared = birth_of(lasting_origin(t)) };
	vol_hold(t);
	t->used_thin = true;
	u->kids = calloc(n, sizeof(u->kids[0]));
	if (u->kids == NULL)
		return false;
	list_for_each(it, &t->kids) {
		k = lasting_kid(list_entry(it, struct volume, kid_link));
		if (k == NULL)
			continue;
		vol_hold(k);
		u->kids[u->nkids++] = k;
	}
	return true;
}

static bool stays_fork(const struct volume *t)
{
	return t != NULL && t->state == CATALOG_FORK && lasts(t);
}

/* All that will be, when the set has gone.  False: out of memory. */
static bool thin_all(struct used_plan *plan, struct volume *const *set,
		     unsigned n)
{
	unsigned ngone = plan->n;
	bool     ok = true;

	for (unsigned i = 0; i < n && ok; i++)
		if (!set[i]->used_gone)
			ok = thin(plan, set[i]);
	for (unsigned i = 0; i < ngone && ok; i++) {
		struct volume *t = plan->trees[i].tree;
		struct volume *o = lasting_origin(t), *heir = lasting_kid(t);

		if (stays_fork(o))
			ok = thin(plan, o);
		if (stays_fork(heir) && ok)
			ok = thin(plan, heir);
	}
	return ok;
}

/* --- the plan ------------------------------------------------------------ */

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
	if (ok)
		ok = thin_all(plan, order, n);
	for (unsigned i = 0; plan != NULL && i < plan->n; i++) {
		plan->trees[i].tree->used_gone = false;
		plan->trees[i].tree->used_thin = false;
	}
	free(order);
	if (ok)
		return plan;
	used_plan_free(plan);
	return NULL;
}

static void tree_free(struct used_tree *u)
{
	vol_release(u->tree);
	if (u->young != NULL)
		vol_release(u->young);
	for (unsigned i = 0; i < u->nkids; i++)
		vol_release(u->kids[i]);
	free(u->kids);
}

void used_plan_free(struct used_plan *plan)
{
	if (plan == NULL)
		return;
	for (unsigned i = 0; i < plan->n; i++)
		tree_free(&plan->trees[i]);
	free(plan->trees);
	free(plan);
}

bool used_plan_is_fresh(const struct used_plan *plan, const struct volume *v)
{
	const struct catalog *c = &v->vols->catalog;

	return plan->changes == c->tree_changes &&
	       plan->deletions == c->deletions;
}

static bool tree_same(const struct used_tree *a, const struct used_tree *b)
{
	if (a->tree != b->tree || a->young != b->young ||
	    a->shared != b->shared || a->nkids != b->nkids)
		return false;
	for (unsigned i = 0; i < a->nkids; i++)
		if (a->kids[i] != b->kids[i])
			return false;
	return true;
}

bool used_plan_same(const struct used_plan *a, const struct used_plan *b)
{
	if (a->n != b->n || a->forked != b->forked)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!tree_same(&a->trees[i], &b->trees[i]))
			return false;
	return true;
}
