/* server/export_volume.c - volumes and snapshots as exports: a request of the
 * NBD server is a request of the volume under another name.
 *
 * Each opened export is a user of its volume or snapshot, so that this cannot
 * be deleted under it unawares.
 *
 * A listing goes volume by volume, each with its snapshots behind it, oldest
 * first.  Its cursor says how many volumes came before (upper half) and what
 * was listed last of this one (lower half: an id; 0: nothing yet, its own: no
 * snapshot yet), so that a step takes no longer when there are many.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/export_volume.h"

struct volume_source {
	struct export_source src;
	struct volumes      *vols;
};

struct volume_export {
	struct export   exp;
	struct volume  *vol;
	uint64_t        size_bytes; /* that the client knows of */
	struct vol_user user;
};

static void fill_info(const struct volume *v, struct export_info *ret_info)
{
	struct volume_info vi;

	vol_info(v, &vi);
	memset(ret_info, 0, sizeof(*ret_info));
	vol_full_name(v, ret_info->name);
	snprintf(ret_info->description, sizeof(ret_info->description),
		 "%s of %llu bytes",
		 vi.snapshot ? "read-only snapshot" : "volume",
		 (unsigned long long)vi.size_bytes);
	ret_info->size_bytes = vi.size_bytes;
	ret_info->block_min = 1;
	ret_info->block_preferred = TARN_BLOCK;
	ret_info->read_only = vi.read_only;
	ret_info->can_trim = !vi.read_only;
	ret_info->can_zero = !vi.read_only;
	ret_info->can_fast_zero = !vi.read_only;
	ret_info->can_fua = true;
	ret_info->can_flush = true;
	ret_info->can_cache = true;
	/* One order for all connections: a flush on any covers all. */
	ret_info->multi_conn = true;
}

/* --- an open export ------------------------------------------------------ */

static void export_info_get(struct export *exp, struct export_info *ret_info)
{
	fill_info(container_of(exp, struct volume_export, exp)->vol, ret_info);
}

static void request_done(struct vol_req *vr)
{
	struct export_req *req = container_of(vr, struct export_req, priv.vol);

	req->res = vr->res;
	req->nextents = vr->nextents;
	req->done(req);
}

static void export_submit(struct export_req *req)
{
	struct vol_req *vr = &req->priv.vol;

	struct volume_export *x = container_of(req->exp, struct volume_export,
					       exp);

	vr->vol = x->vol;
	vr->user = &x->user;
	vr->op = req->op;
	vr->flags = req->flags;
	vr->off_bytes = req->off_bytes;
	vr->len_bytes = req->len_bytes;
	vr->buf = req->buf;
	vr->holes = req->holes;
	vr->extents = req->extents;
	vr->extents_max = req->extents_max;
	vr->base_birth = (uint32_t)req->mark;
	vr->done = request_done;
	vol_submit(vr);
}

/* --- bitmaps: what has changed since an older snapshot ------------------- */

static uint32_t id_of(const struct volume *v)
{
	struct volume_info vi;

	vol_info(v, &vi);
	return vi.id;
}

/* Ids are never used again. */
static uint64_t mark_of(const struct volume *v, uint32_t birth)
{
	return (uint64_t)id_of(v) << 32 | birth;
}

static bool export_has_mark(struct export *exp, uint64_t mark)
{
	const struct volume *v =
		container_of(exp, struct volume_export, exp)->vol;

	return mark == mark_of(v, (uint32_t)mark);
}

static void export_leave(struct export *exp)
{
	struct volume_export *x = container_of(exp, struct volume_export, exp);

	vol_leave(x->vol, &x->user);
}

static void export_put(struct export *exp)
{
	struct volume_export *x = container_of(exp, struct volume_export, exp);

	vol_put(x->vol, &x->user);
	free(x);
}

static const struct export_ops volume_export_ops = {
	.info = export_info_get,
	.submit = export_submit,
	.has_mark = export_has_mark,
	.leave = export_leave,
	.put = export_put,
};

static void volume_gone(struct vol_user *u)
{
	struct volume_export *x = container_of(u, struct volume_export, user);

	if (x->exp.gone != NULL)
		x->exp.gone(&x->exp, x->exp.gone_arg);
}

/* The client cannot be told: a larger volume is seen when it comes anew, with a
 * smaller one it cannot go on. */
static void volume_resized(struct vol_user *u)
{
	struct volume_export *x = container_of(u, struct volume_export, user);

	if (vol_size_bytes(x->vol) < x->size_bytes)
		volume_gone(u);
}

/* --- the source ---------------------------------------------------------- */

static struct volumes *vols_of(struct export_source *src)
{
	return container_of(src, struct volume_source, src)->vols;
}

/* A volume that comes or goes during a listing shifts those behind it: one may
 * be shown twice or be left out. */
static bool source_next(struct export_source *src, uint64_t *cursor,
			struct export_info *ret_info)
{
	uint64_t at = *cursor >> 32;
	uint32_t last = (uint32_t)*cursor;
	struct volume *v = vols_at(vols_of(src), at);
	struct volume *s = v;

	if (v != NULL && last != 0)
		s = vol_snap_after(v, last);
	if (v != NULL && s == NULL) {
		at++;
		s = vols_at(vols_of(src), at);
	}
	if (s == NULL)
		return false;
	*cursor = at << 32 | id_of(s);
	fill_info(s, ret_info);
	return true;
}

/* "" is the only volume, if there is only one.  A checkpoint holds no data. */
static struct volume *find(struct volumes *vols, const char *name)
{
	struct volume *v;

	if (vol_name_kind(name) == VOL_KIND_CHECKPOINT)
		return NULL;
	if (name[0] != '\0')
		return vols_find(vols, name);
	v = vols_next(vols, NULL);
	return v != NULL && vols_next(vols, v) == NULL ? v : NULL;
}

static int source_info(struct export_source *src, const char *name,
		       struct export_info *ret_info)
{
	struct volume *v = find(vols_of(src), name);

	if (v == NULL)
		return -ENOENT;
	fill_info(v, ret_info);
	return 0;
}

/* Of a volume, which is changing, there are none. */
static int source_bitmap(struct export_source *src, const char *name,
			 const char *bitmap, struct export_bitmap *ret_bitmap)
{
	const struct volume *v = find(vols_of(src), name);
	struct volume_info   vi;
	struct vol_base      base;

	if (v == NULL)
		return -ENOENT;
	vol_info(v, &vi);
	if (!vi.snapshot || vol_base(v, bitmap, &base) < 0)
		return -ENOENT;
	memcpy(ret_bitmap->name, base.name, sizeof(ret_bitmap->name));
	ret_bitmap->mark = mark_of(v, base.birth);
	return 0;
}

static int source_open(struct export_source *src, const char *name,
		       struct export **ret_exp)
{
	struct volume *v = find(vols_of(src), name);
	struct volume_export *x;

	if (v == NULL)
		return -ENOENT;
	if (vol_is_detaching(v))
		return -EBUSY;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return -ENOMEM;
	x->exp.ops = &volume_export_ops;
	x->vol = v;
	x->size_bytes = vol_size_bytes(v);
	x->user.resized = volume_resized;
	x->user.gone = volume_gone;
	vol_get(v, &x->user);
	*ret_exp = &x->exp;
	return 0;
}

static const struct export_source_ops volume_source_ops = {
	.next = source_next,
	.info = source_info,
	.bitmap = source_bitmap,
	.open = source_open,
};

int export_volumes_open(struct volumes *vols, struct export_source **ret_src)
{
	struct volume_source *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->src.ops = &volume_source_ops;
	s->vols = vols;
	*ret_src = &s->src;
	return 0;
}

void export_volumes_close(struct export_source *src)
{
	free(container_of(src, struct volume_source, src));
}
