/* server/control_diff.c - snapshot.diff: what has changed between two states of
 * a volume, piece by piece.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

/* One call looks no further than this, and answers with no more extents. */
#define DIFF_BYTES   (256ull << 30)
#define DIFF_EXTENTS 1000u

struct diff {
	struct vol_req    req;
	struct ctl_call  *call;
	uint64_t          size_bytes;
	struct vol_extent extents[DIFF_EXTENTS];
};

static json_t *diff_json(const struct diff *d)
{
	json_t  *a = json_array();
	uint64_t off = d->req.off_bytes;

	for (uint32_t i = 0; i < d->req.nextents; i++) {
		const struct vol_extent *x = &d->extents[i];

		if (x->changed)
			json_array_append_new(
				a, json_pack("{s:I, s:I, s:b}", "offset",
					     (json_int_t)off, "length",
					     (json_int_t)x->len_bytes, "zero",
					     x->hole));
		off += x->len_bytes;
	}
	return json_pack("{s:o, s:I, s:I, s:b}", "extents", a, "size_bytes",
			 (json_int_t)d->size_bytes, "next", (json_int_t)off,
			 "more", off < d->size_bytes);
}

static void diff_done(struct vol_req *req)
{
	struct diff  *d = container_of(req, struct diff, req);
	struct tarnd *t = ctl_arg(d->call);

	if (req->res < 0)
		ctl_fail(d->call, req->res, ctl_string(d->call, "to"),
			 "what has changed in '%.160s' cannot be told: %s",
			 ctl_string(d->call, "to"), strerror(-req->res));
	else
		ctl_reply(d->call, diff_json(d));
	free(d);
	hosted_call_end(t);
}

/* NULL: answered. */
static struct volume *tree_of(struct ctl_call *call, struct volumes *vols,
			      const char *param)
{
	const char    *name = ctl_string(call, param);
	struct volume *v = vols_find(vols, name);

	if (v == NULL)
		ctl_fail(call, -ENOENT, name,
			 "'%.160s' does not exist: 'tarn snapshot list' lists "
			 "the snapshots that do", name);
	return v;
}

static bool same_volume(const char *from, const char *to)
{
	size_t n = strcspn(from, "@#");

	return n == strcspn(to, "@#") && memcmp(from, to, n) == 0;
}

/* Why `from` is no base of `to`. */
static void refuse(struct ctl_call *call, const struct volume *from,
		   const struct volume *to)
{
	const char        *a = ctl_string(call, "from");
	const char        *b = ctl_string(call, "to");
	struct volume_info fi, ti;

	vol_info(from, &fi);
	vol_info(to, &ti);
	if (!same_volume(a, b))
		ctl_fail(call, -EINVAL, a, "'%.80s' and '%.80s' are not of one "
			 "volume: compare a volume or snapshot with an older "
			 "snapshot of it", a, b);
	else if (from == to)
		ctl_fail(call, -EINVAL, a, "'%.160s' is compared with itself: "
			 "name an older snapshot first", a);
	else if (fi.lost)
		ctl_fail(call, -EINVAL, a, "'%.160s' is no base any more: its "
			 "volume was rolled back to before it; take another "
			 "one", a);
	else if (fi.birth > ti.birth)
		ctl_fail(call, -EINVAL, a, "'%.80s' is newer than '%.80s': the "
			 "older one comes first, 'tarn diff %.80s %.80s'", a, b,
			 b, a);
	else
		ctl_fail(call, -EINVAL, a, "'%.80s' does not come from '%.80s'"
			 ": a volume was rolled back in between, and only a "
			 "snapshot that it still comes from can be compared",
			 b, a);
}

void ctl_snapshot_diff(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct volume *from, *to;
	struct vol_base base;
	struct diff   *d;
	uint64_t       off;
	const char    *mark;

	if (h == NULL)
		return;
	mark = strpbrk(ctl_string(call, "from"), "@#");
	from = tree_of(call, h->vols, "from");
	to = from != NULL ? tree_of(call, h->vols, "to") : NULL;
	if (to == NULL)
		return;
	if (strchr(ctl_string(call, "to"), '#') != NULL) {
		ctl_fail(call, -EINVAL, ctl_string(call, "to"),
			 "'%.160s' is a checkpoint, which holds no data: "
			 "compare a snapshot, or the volume, with it",
			 ctl_string(call, "to"));
		return;
	}
	if (!same_volume(ctl_string(call, "from"), ctl_string(call, "to")) ||
	    mark == NULL || vol_base(to, mark, &base) < 0) {
		refuse(call, from, to);
		return;
	}
	off = ctl_uint(call, "offset", 0);
	if (off >= vol_size_bytes(to)) {
		ctl_bad_param(call, "offset", "offset is beyond the end");
		return;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	d->call = call;
	d->size_bytes = vol_size_bytes(to);
	d->req.vol = to;
	d->req.op = VOL_DIFF;
	d->req.base_birth = base.birth;
	d->req.off_bytes = off;
	d->req.len_bytes = min_u64(d->size_bytes - off, DIFF_BYTES);
	d->req.extents = d->extents;
	d->req.extents_max = DIFF_EXTENTS;
	d->req.done = diff_done;
	h->vol_calls++;
	vol_submit(&d->req);
}
