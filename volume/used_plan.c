/* volume/used_plan.c - see used_plan.h. */
#include <assert.h>
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

static bool stays_fork(const struct volume *t)
{
	return t != NULL && t->state == CATALOG_FORK && lasts(t);
}

/* t is thinned out, and FORKs that it derives from then may be.  With too many
 * trees behind it one is kept whole.  False: out of memory. */
static bool thin(struct used_plan *plan, struct volume *t)
{
	uint64_t from = 0;

	for (; t->used_at == 0; t = lasting_origin(t)) {
		struct volume *o = lasting_origin(t), *k;
		struct used_tree *u;

		if (lasting_kids(t, &k) > THIN_KIDS_MAX)
			return true;
		u = add(plan);
		if (u == NULL)
			return false;
		*u = (struct used_tree){ .tree = t, .shared = birth_of(o),
					 .from = from,
					 .origin_at = NOT_IN_PLAN };
		vol_hold(t);
		t->used_at = plan->n;
		from = UINT64_MAX;
		if (!stays_fork(o))
			return true;
	}
	if (from == 0)
		plan->trees[t->used_at - 1].from = 0;
	return true;
}

/* False: out of memory. */
static bool kids_note(struct used_tree *u)
{
	struct volume *k;

	u->kids = calloc(lasting_kids(u->tree, &k), sizeof(u->kids[0]));
	if (u->kids == NULL)
		return false;
	list_for_each(it, &u->tree->kids) {
		k = lasting_kid(list_entry(it, struct volume, kid_link));
		if (k == NULL)
			continue;
		vol_hold(k);
		u->kids[u->nkids++] = (struct used_kid){ k, k->used_at - 1 };
	}
	return true;
}

static int order_thin(const void *a, const void *b)
{
	const struct used_tree *x = a, *y = b;

	if (x->tree->birth != y->tree->birth)
		return x->tree->birth > y->tree->birth ? -1 : 1;
	return x->tree->id < y->tree->id ? -1 : x->tree->id > y->tree->id;
}

/* Those that are thinned out begin at `first`: youngest first, and who derives
 * from each.  False: out of memory. */
static bool thin_order(struct used_plan *plan, unsigned first)
{
	if (plan->n == first)
		return true;
	qsort(&plan->trees[first], plan->n - first, sizeof(plan->trees[0]),
	      order_thin);
	for (unsigned i = first; i < plan->n; i++)
		plan->trees[i].tree->used_at = i + 1;
	for (unsigned i = first; i < plan->n; i++) {
		struct used_tree *u = &plan->trees[i];
		struct volume *o = lasting_origin(u->tree);

		if (o != NULL)
			u->origin_at = o->used_at - 1;
		if (!kids_note(u))
			return false;
	}
	return true;
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
	return ok && thin_order(plan, ngone);
}

void used_plan_thin_from(struct used_plan *plan, unsigned at, uint64_t leaf)
{
	unsigned o = plan->trees[at].origin_at;

	if (o == NOT_IN_PLAN)
		return;
	assert(o > at);
	plan->trees[o].from = min_u64(plan->trees[o].from, leaf);
}

/* Adds those that derive from u, which is the array's `parent`.  False: out of
 * memory. */
static bool kids_add(struct thin_kid **kids, unsigned *n,
		     const struct used_plan *plan, const struct used_tree *u,
		     unsigned parent)
{
	struct thin_kid *k = realloc(*kids, (*n + u->nkids) * sizeof(*k));

	if (k == NULL)
		return false;
	*kids = k;
	for (unsigned i = 0; i < u->nkids; i++) {
		unsigned at = u->kids[i].at;

		k[(*n)++] = (struct thin_kid){
			.tree = u->kids[i].tree,
			.parent = parent,
			.from = at == NOT_IN_PLAN ? UINT64_MAX :
						    plan->trees[at].from,
			.at = at,
		};
	}
	return true;
}

struct thin_kid *used_plan_kids(const struct used_plan *plan, unsigned at,
				unsigned *ret_n)
{
	const struct used_tree *u = &plan->trees[at];
	struct thin_kid *kids = NULL;
	unsigned n = 0;
	bool ok = kids_add(&kids, &n, plan, u, NO_PARENT);

	for (unsigned i = 0; i < n && n <= USED_KIDS_MAX && ok; i++)
		if (kids[i].from != UINT64_MAX)
			ok = kids_add(&kids, &n, plan,
				      &plan->trees[kids[i].at], i);
	if (n > USED_KIDS_MAX)
		n = u->nkids;
	for (unsigned i = 0; i < n && n == u->nkids; i++)
		kids[i].from = UINT64_MAX; /* nobody is asked behind it */
	*ret_n = n;
	if (ok)
		return kids;
	free(kids);
	return NULL;
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
		plan->trees[i].tree->used_at = 0;
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
		vol_release(u->kids[i].tree);
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
		if (a->kids[i].tree != b->kids[i].tree)
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
