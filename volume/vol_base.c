/* volume/vol_base.c - the bases that a tree has: READY snapshots on its path of
 * origins, as far as they are of the same volume, and older checkpoints of it.
 *
 * A checkpoint that is not lost is on the path of all younger snapshots of its
 * volume, and of the volume: whenever one of them was left by a rollback to
 * something older, the checkpoint was lost.
 */
#include <errno.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/volumes.h"

static bool is_called(const struct volume *s, const char *name)
{
	return name == NULL || strcmp(s->name, name) == 0;
}

static const struct volume *snapshot_of(const struct volume *t,
					const struct volume *head,
					const char *name)
{
	const struct volume *o = t->origin;

	while (o != NULL && (o->of != head || !is_called(o, name)))
		o = o->origin;
	return o;
}

static const struct volume *checkpoint_of(const struct volume *t,
					  const struct volume *head,
					  const char *name)
{
	const struct volume *found = NULL;

	list_for_each(it, &head->checkpoints) {
		const struct volume *p =
			list_entry(it, struct volume, of_link);

		if ((p->flags & CATALOG_LOST) == 0 && p->birth < t->birth &&
		    is_called(p, name))
			found = p;
	}
	return found;
}

/* The younger one of two, either of which may be NULL; with a name it is not
 * known which was meant: then the older one, which no change is missing in. */
static const struct volume *choose(const struct volume *a,
				   const struct volume *b, bool younger)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return (a->birth > b->birth) == younger ? a : b;
}

int vol_base(const struct volume *v, const char *name,
	     struct vol_base *ret_base)
{
	const struct volume *head = v->of != NULL ? v->of : v;
	const struct volume *snap = NULL, *checkpoint = NULL, *base;
	char mark = name != NULL && strchr("@#", name[0]) != NULL ? name[0] :
								    '\0';

	if (mark != '\0')
		name++;
	if (mark != '#')
		snap = snapshot_of(v, head, name);
	if (mark != '@')
		checkpoint = checkpoint_of(v, head, name);
	base = choose(snap, checkpoint, name == NULL);
	if (base == NULL)
		return -ENOENT;
	memcpy(ret_base->name, base->name, sizeof(ret_base->name));
	ret_base->birth = base->birth;
	return 0;
}
