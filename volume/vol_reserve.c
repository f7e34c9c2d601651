/* volume/vol_reserve.c - see vol_reserve.h. */
#include <assert.h>
#include <errno.h>

#include "base/canary.h"
#include "base/size.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* Requests that are about leaves next to one another reserve more for the inner
 * nodes that they share than these need. */
#define NODES_MARGIN (4u * (LEVEL_MAX + 1u))

void vol_reserves_init(struct volumes *vols)
{
	list_init(&vols->reserves.pledged);
}

/* --- how much ------------------------------------------------------------ */

uint64_t vol_reserve_blocks(uint64_t reserve_bytes, uint64_t size_bytes)
{
	uint64_t size = bytes_to_blocks_up(size_bytes);
	uint64_t data = bytes_to_blocks_up(min_u64(reserve_bytes, size_bytes));
	uint64_t span = LEAF_ENTRIES, nodes = 0;

	if (reserve_bytes == 0)
		return 0;
	/* Each block may be in another node, as long as there are some. */
	for (unsigned level = 0; level <= LEVEL_MAX; level++) {
		nodes += min_u64(data, div_up(size, span));
		span *= INNER_CHILDREN;
	}
	return data + nodes + div_up(nodes, NODES_A_PAGE) + NODES_MARGIN;
}

static uint64_t less(uint64_t blocks, const struct volume *v, uint64_t plus)
{
	uint64_t has = v->own + v->promise.inflight + plus;

	return blocks - min_u64(blocks, has);
}

/* When its requests have reserved `plus` more. */
static uint64_t kept_with(const struct volume *v, uint64_t plus)
{
	const struct vol_promise *p = &v->promise;
	uint64_t kept = 0;

	if (CANARY(reserve_not_counted))
		return 0;
	if (p->reserve_bytes != 0 && v->kind == CATALOG_VOLUME &&
	    v->state == CATALOG_READY &&
	    (v->flags & (CATALOG_HIDDEN | CATALOG_TRASHED)) == 0)
		kept = less(vol_reserve_blocks(p->reserve_bytes,
					       v->size_bytes), v, plus);
	if (p->pledged)
		kept = max_u64(kept, p->pins ? p->pledge :
					       less(p->pledge, v, plus));
	return kept;
}

void vol_space_may_be(struct volumes *vols)
{
	if (!list_empty(&vols->trash.waits))
		vol_trash_kick(vols);
	vol_pauses_kick(vols);
}

void vol_promise_update(struct volume *v)
{
	struct volumes *vols = v->vols;
	struct vol_reserves *r = &vols->reserves;
	uint64_t kept, before = v->promise.kept;

	if (v->promise.reserve_bytes == 0 && before == 0 &&
	    !v->promise.pledged)
		return;
	kept = kept_with(v, 0);
	if (kept == before)
		return;
	v->promise.kept = kept;
	r->kept = r->kept - before + kept;
	pool_space_keep(vols->pool, r->kept);
	if (kept < before)
		vol_space_may_be(vols);
}

void vol_reserves_load(struct volumes *vols)
{
	const struct catalog *c = &vols->catalog;

	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slots[i] != NULL)
			vol_promise_update(c->slots[i]);
}

void vol_promise_move(struct volume *to, struct volume *from)
{
	to->promise.reserve_bytes = from->promise.reserve_bytes;
	from->promise.reserve_bytes = 0;
	to->promise.pause = from->promise.pause;
	from->promise.pause = false;
	from->promise.pledged = false;
	vol_promise_update(from);
	vol_promise_update(to);
}

/* --- requests ------------------------------------------------------------ */

/* How many of them are kept for it. */
static uint64_t kept_of(const struct volume *v, uint64_t blocks)
{
	uint64_t kept = v->promise.kept;

	return kept == 0 ? 0 : kept - min_u64(kept, kept_with(v, blocks));
}

bool vol_space_fits(const struct volume *v, uint64_t blocks)
{
	return blocks <= kept_of(v, blocks) +
				 pool_space_available(v->vols->pool);
}

bool vol_space_is_kept(const struct volume *v, uint64_t blocks)
{
	return blocks <= kept_of(v, blocks);
}

int vol_space_take(struct volume *v, uint64_t blocks)
{
	int r = pool_space_reserve(v->vols->pool, blocks, kept_of(v, blocks));

	if (r < 0)
		return r;
	v->promise.inflight += blocks;
	vol_promise_update(v);
	return 0;
}

void vol_space_pass(struct volume *v, uint64_t blocks)
{
	assert(v->promise.inflight >= blocks);
	v->promise.inflight -= blocks;
	vol_promise_update(v);
}

void vol_space_give(struct volume *v, uint64_t blocks)
{
	pool_space_unreserve(v->vols->pool, blocks);
	vol_space_pass(v, blocks);
	vol_space_may_be(v->vols);
}

bool vol_reserve_settles(const struct volume *v)
{
	const struct vol_promise *p = &v->promise;

	/* What a shrinking cut off is its own until it is gone. */
	return p->reserve_bytes != 0 &&
	       (p->inflight > 0 || p->pledged || v->flags & CATALOG_SHRUNK) &&
	       !v->vols->failed;
}

/* --- control operations -------------------------------------------------- */

/* More blocks are kept for it from now on. */
static uint64_t pledge(struct volume *v, uint64_t blocks, bool pins)
{
	struct vol_promise *p = &v->promise;
	uint64_t before = p->kept;

	if (!p->pledged) {
		vol_hold(v);
		list_push(&v->vols->reserves.pledged, &p->link);
	}
	p->pledged = true;
	p->pledge = blocks;
	p->pins = pins;
	vol_promise_update(v);
	return p->kept - min_u64(before, p->kept);
}

void vol_pledges_drop(struct volumes *vols)
{
	struct vol_reserves *r = &vols->reserves;
	struct list *link;

	while ((link = list_pop(&r->pledged)) != NULL) {
		struct volume *v = container_of(
			list_entry(link, struct vol_promise, link),
			struct volume, promise);

		v->promise.pledged = false;
		vol_promise_update(v);
		vol_release(v);
	}
	if (r->hold > 0)
		pool_space_unreserve(vols->pool, r->hold);
	r->hold = 0;
	vol_space_may_be(vols);
}

struct vol_need vol_need_of(const struct volume *v, uint64_t size_bytes,
			    bool pins)
{
	return (struct vol_need){ .reserve_bytes = v->promise.reserve_bytes,
				  .size_bytes = size_bytes,
				  .pins = pins };
}

/* If nothing else were there. */
static bool fits_ever(const struct volumes *vols, uint64_t blocks)
{
	struct pool_info info;

	pool_get_info(vols->pool, &info);
	return blocks <= info.usable_blocks;
}

bool vol_ctl_pledge(struct volumes *vols, struct vol_ctl *ctl,
		    struct volume *v, const struct vol_need *need)
{
	uint64_t blocks = vol_reserve_blocks(need->reserve_bytes,
					     need->size_bytes);
	uint64_t available = pool_space_available(vols->pool), more = blocks;
	char text[2][SIZE_TEXT_BYTES];

	if (blocks == 0)
		return false;
	if (v != NULL)
		more = pledge(v, blocks, need->pins);
	if (more <= available) {
		if (v == NULL &&
		    pool_space_reserve(vols->pool, blocks, 0) == 0)
			vols->reserves.hold = blocks;
		return false;
	}
	/* Nothing leaves the trash for what there is no room for anyway. */
	if (fits_ever(vols, more) && vol_ctl_may_park(vols, ctl)) {
		vol_trash_park(vols, ctl);
		return true;
	}
	vol_ctl_refuse(vols, ctl, -ENOSPC,
		       "Volume '%.80s' was not %s: for its reserve %s more "
		       "must be kept%s, and %s are available; free space, add "
		       "disks, or reserve less for it.",
		       v != NULL && v->name[0] != '\0' ? v->name :
							 vol_ctl_name(ctl),
		       vol_ctl_word(ctl),
		       size_text(blocks_to_bytes(more), text[0]),
		       need->pins ? " than now, as what it holds is no longer "
				    "its own" : "",
		       size_text(blocks_to_bytes(available), text[1]));
	return true;
}
