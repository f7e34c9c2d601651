/* volume/tree.c - see tree.h. */
#include <assert.h>
#include <stdlib.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/tree.h"
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

struct volume *tree_before(const struct volume *t, uint32_t born)
{
	struct volume *o = t->origin;

	while (o != NULL && o->birth >= born)
		o = o->origin;
	return o;
}

/* --- who lasts ----------------------------------------------------------- */

/* k, or what will be in its place; NULL: nothing. */
static struct volume *lasting_kid(struct volume *k)
{
	while (k->state == CATALOG_DELETING && k->nkids > 0)
		k = list_first(&k->kids, struct volume, kid_link);
	return k->state == CATALOG_DELETING ? NULL : k;
}

unsigned tree_lasting_kids(const struct volume *t, const struct volume *but,
			   struct volume **ret_kid)
{
	unsigned n = 0;

	*ret_kid = NULL;
	list_for_each(it, &t->kids) {
		struct volume *k = lasting_kid(
			list_entry(it, struct volume, kid_link));

		if (k == NULL || k == but)
			continue;
		*ret_kid = k;
		n++;
	}
	return n;
}

static bool lasts(const struct volume *t)
{
	struct volume *kid;

	return t->state != CATALOG_DELETING &&
	       (t->state != CATALOG_FORK ||
		tree_lasting_kids(t, NULL, &kid) > 1);
}

struct volume *tree_lasting_origin(const struct volume *t)
{
	struct volume *o = t->origin;

	while (o != NULL && !lasts(o))
		o = o->origin;
	return o;
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

/* Only one tree, or none, derives from it now: its turn to go. */
static void fork_end(struct volume *t)
{
	if (t->state != CATALOG_FORK || t->nkids > 1)
		return;
	t->state = CATALOG_DELETING;
	t->cursor = 0;
	t->vols->catalog.ndeleting++;
	t->deletion_no = t->vols->catalog.deletions++;
	t->vols->reaper.scanned = false; /* to be found */
	catalog_touch(t);
}

void tree_remove(struct volume *t)
{
	struct volume *o = t->origin, *heir;

	underive(t);
	while ((heir = only_kid(t)) != NULL) {
		underive(heir);
		derive(heir, o);
		catalog_touch(heir);
	}
	family_leave(&t->vols->catalog, t);
	t->vols->catalog.tree_changes++;
	if (o != NULL)
		fork_end(o);
}
