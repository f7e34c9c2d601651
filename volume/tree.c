/* volume/tree.c - see tree.h. */
#include <assert.h>
#include <stdlib.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/tree_thin.h"
#include "volume/volumes.h"

/* --- families ------------------------------------------------------------ */

static struct family **family_bucket(const struct catalog *c, uint32_t id)
{
	struct catalog *own = (struct catalog *)(uintptr_t)c;

	return &own->families[id % VOLUME_HASH];
}

struct family *family_find(const struct catalog *c, uint32_t id)
{
	struct family *f = *family_bucket(c, id);

	while (f != NULL && f->id != id)
		f = f->hash_next;
	return f;
}

static struct family *family_need(struct catalog *c, uint32_t id)
{
	struct family *f = family_find(c, id);
	struct family **bucket = family_bucket(c, id);

	if (f != NULL)
		return f;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		abort(); /* as in slab_need() */
	f->id = id;
	list_init(&f->tips);
	f->hash_next = *bucket;
	*bucket = f;
	return f;
}

static void family_leave(struct catalog *c, struct volume *t)
{
	struct family *f = t->fam;
	struct family **p = family_bucket(c, f->id);

	list_remove(&t->tip_link);
	t->fam = NULL;
	if (--f->ntrees > 0)
		return;
	while (*p != f)
		p = &(*p)->hash_next;
	*p = f->hash_next;
	free(f);
}

struct volume *family_next_tip(const struct family *f,
			       const struct volume *prev)
{
	const struct list *next = prev == NULL ? f->tips.next :
						 prev->tip_link.next;

	return next == &f->tips ?
		       NULL :
		       list_entry((struct list *)(uintptr_t)next,
				  struct volume, tip_link);
}

/* --- who holds what ------------------------------------------------------ */

bool tree_holds(const struct volume *t, unsigned level, uint64_t index)
{
	/* An inner node goes when all that it covers has gone. */
	return t->state != CATALOG_DELETING ||
	       t->cursor < (index + 1) << (9 * level);
}

struct volume *tree_origin(const struct volume *t, unsigned level,
			   uint64_t index)
{
	struct volume *o = t->origin;

	while (o != NULL && !tree_holds(o, level, index))
		o = o->origin;
	return o;
}

uint32_t tree_shared_birth(const struct volume *t, unsigned level,
			   uint64_t index)
{
	const struct volume *o = tree_origin(t, level, index);

	return o == NULL ? 0 : o->birth;
}

/* The one tree that derives from it; NULL: none. */
static struct volume *only_kid(const struct volume *t)
{
	assert(t->nkids <= 1 || CANARY(fork_reaped));
	return t->nkids == 0 ? NULL :
			       list_first(&t->kids, struct volume, kid_link);
}

/* One that no longer holds what is there is being deleted. */
struct volume *tree_heir(const struct volume *t, unsigned level,
			 uint64_t index)
{
	struct volume *n = only_kid(t);

	while (n != NULL && !tree_holds(n, level, index))
		n = only_kid(n);
	return n;
}

struct volume *tree_holder(struct volume *t, unsigned level, uint64_t index)
{
	return tree_holds(t, level, index) ? t : tree_heir(t, level, index);
}

/* --- long chains --------------------------------------------------------- */

/* A walk of more steps is made once; then there is an array of what it comes
 * through, for those after it. */
#define WALK_MAX 64u

/* Where those with births below `birth` begin. */
static uint32_t path_below(const struct tree_path *p, uint32_t birth)
{
	uint32_t lo = 0, hi = p->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (p->trees[mid]->birth >= birth)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Is t in the path, as trees are now? */
static bool path_has(const struct tree_path *p, const struct volume *t)
{
	uint32_t i;

	if (p->n == 0 || p->changes != t->vols->catalog.tree_changes)
		return false;
	i = path_below(p, t->birth); /* the one before it is not below */
	return i > 0 && p->trees[i - 1] == t;
}

/* t and all its origins.  False: no memory. */
static bool path_make(struct tree_path *p, struct volume *t)
{
	p->n = 0;
	p->changes = t->vols->catalog.tree_changes;
	for (; t != NULL; t = t->origin) {
		if (p->n == p->cap) {
			uint32_t cap = p->cap == 0 ? 1024 : 2 * p->cap;
			void *trees = realloc(p->trees,
					      cap * sizeof(p->trees[0]));

			if (trees == NULL) {
				p->n = 0;
				return false;
			}
			p->trees = trees;
			p->cap = cap;
		}
		p->trees[p->n++] = t;
	}
	return true;
}

struct volume *tree_before(const struct volume *t, uint32_t born)
{
	struct tree_path *p = &t->vols->catalog.path;
	struct volume *o = t->origin;

	for (unsigned i = 0; o != NULL && o->birth >= born; i++) {
		if (i == WALK_MAX && (path_has(p, o) || path_make(p, o))) {
			uint32_t at = path_below(p, born);

			return at < p->n ? p->trees[at] : NULL;
		}
		o = o->origin;
	}
	return o;
}

/* --- who lasts ----------------------------------------------------------- */

/* Will anything be in place of k, which derives from some tree? */
static bool kid_lasts(const struct volume *k)
{
	while (k->state == CATALOG_DELETING && k->nkids > 0)
		k = list_first(&k->kids, struct volume, kid_link);
	return k->state != CATALOG_DELETING;
}

static bool lasts(const struct volume *t)
{
	unsigned n = 0;

	if (t->state != CATALOG_FORK)
		return t->state != CATALOG_DELETING;
	list_for_each(it, &t->kids)
		n += kid_lasts(list_entry(it, struct volume, kid_link));
	return n > 1;
}

struct volume *tree_lasting_origin(const struct volume *t)
{
	struct volume *o = t->origin;

	while (o != NULL && !lasts(o))
		o = o->origin;
	return o;
}

/* --- whose own ----------------------------------------------------------- */

void tree_own_add(struct volume *t, uint64_t n)
{
	t->own += n;
	catalog_touch(t);
	vol_promise_update(t);
}

/* Where a tree that is being deleted holds nothing any more, what it held still
 * counts as its own, though what derives from it has it now. */
void tree_own_less(struct volume *t, uint32_t birth, uint64_t n)
{
	if (n == 0)
		return;
	while (t->origin != NULL && birth <= t->origin->birth)
		t = t->origin;
	/* What could not be read counted for more, or less. */
	t->own -= min_u64(n, t->own);
	catalog_touch(t);
	vol_promise_update(t);
}

/* --- coming and going ---------------------------------------------------- */

static void tip_update(struct volume *t)
{
	if (t->nkids > 0)
		list_remove(&t->tip_link);
	else if (list_empty(&t->tip_link))
		list_push(&t->fam->tips, &t->tip_link);
}

static void derive(struct volume *t, struct volume *origin)
{
	t->origin = origin;
	if (origin == NULL)
		return;
	assert(origin->birth < t->birth && origin->fam == t->fam);
	list_push(&origin->kids, &t->kid_link);
	origin->nkids++;
	tip_update(origin);
}

static void underive(struct volume *t)
{
	struct volume *o = t->origin;

	t->origin = NULL;
	if (o == NULL)
		return;
	list_remove(&t->kid_link);
	o->nkids--;
	tip_update(o);
}

void tree_add(struct volume *t, struct volume *origin)
{
	struct catalog *c = &t->vols->catalog;

	assert(t->fam == NULL && t->nkids == 0);
	t->fam = family_need(c, t->family);
	t->fam->ntrees++;
	tip_update(t);
	derive(t, origin);
	c->tree_changes++;
}

void tree_add_before(struct volume *n, struct volume *t)
{
	struct volume *o = t->origin;

	underive(t);
	tree_add(n, o);
	derive(t, n);
	catalog_touch(t);
}

bool tree_to_thin(const struct volume *t)
{
	return t->state == CATALOG_FORK &&
	       t->cursor < levels_to_leaves(t->levels);
}

void tree_thinned(struct volume *t, uint64_t cursor)
{
	uint32_t *n = &t->vols->catalog.ndeleting;

	assert(t->state == CATALOG_FORK);
	*n -= tree_to_thin(t);
	t->cursor = min_u64(cursor, levels_to_leaves(t->levels));
	*n += tree_to_thin(t);
	catalog_touch(t);
}

void tree_thin_from(struct volume *t, uint64_t leaf)
{
	if (t->state != CATALOG_FORK || t->nkids > THIN_KIDS_MAX ||
	    leaf >= t->cursor)
		return;
	tree_thinned(t, leaf);
	vol_reaper_add(t);
}

/* From the front, as others derive from it than before. */
static void thin_again(struct volume *t)
{
	tree_thinned(t, t->nkids > THIN_KIDS_MAX ? UINT64_MAX : 0);
	vol_reaper_add(t);
}

void tree_delete(struct volume *t)
{
	struct catalog *c = &t->vols->catalog;

	assert(t->state != CATALOG_DELETING);
	t->deletion_no = c->deletions++;
	if (t->state != CATALOG_FORK)
		list_push(&c->deleted, &t->deleted_link);
	catalog_touch(t);
	if (t->nkids > 1 && !CANARY(fork_reaped)) {
		t->state = CATALOG_FORK;
		t->cursor = UINT64_MAX;
		thin_again(t);
		return;
	}
	t->state = CATALOG_DELETING;
	t->cursor = 0;
	c->ndeleting++;
	vol_reaper_add(t);
}

/* If only one tree, or none, derives from it now, it is its turn to go. */
static void fork_changed(struct volume *t)
{
	if (t->state != CATALOG_FORK)
		return;
	if (t->nkids > 1) {
		thin_again(t);
		return;
	}
	tree_thinned(t, UINT64_MAX);
	tree_delete(t);
}

void tree_remove(struct volume *t)
{
	struct volume *o = t->origin, *heir;

	underive(t);
	while ((heir = only_kid(t)) != NULL) {
		underive(heir);
		derive(heir, o);
		if (!CANARY(own_forgotten))
			tree_own_add(heir, t->own);
		t->own = 0;
		if (heir->state == CATALOG_FORK)
			thin_again(heir);
	}
	family_leave(&t->vols->catalog, t);
	t->vols->catalog.tree_changes++;
	if (o != NULL)
		fork_changed(o);
}
