/* volume/vol_base.c - the bases that a tree has: READY snapshots on its path of
 * origins, as far as they are of the same volume.
 */
#include <errno.h>
#include <string.h>

#include "volume/volumes.h"

/* The volume that a tree belongs to. */
static const struct volume *head_of(const struct volume *t)
{
	return t->of != NULL ? t->of : t;
}

int vol_base(const struct volume *v, const char *name,
	     struct vol_base *ret_base)
{
	const struct volume *o = v->origin;

	while (o != NULL &&
	       (o->state != CATALOG_READY || head_of(o) != head_of(v) ||
		(name != NULL && strcmp(o->name, name) != 0)))
		o = o->origin;
	if (o == NULL)
		return -ENOENT;
	memcpy(ret_base->name, o->name, sizeof(ret_base->name));
	ret_base->birth = o->birth;
	return 0;
}
