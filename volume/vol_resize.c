/* volume/vol_resize.c - the control operation that changes a size.
 *
 *   grow:   once what an earlier shrinking left is unmapped --> RESIZE
 *   shrink: look for blocks that would be cut off, unless forced --> RESIZE
 *           --> the reaper unmaps what is beyond --> settle: RESIZE again
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/map_load.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

bool vol_ctl_bad_size(struct volumes *vols, struct vol_ctl *ctl)
{
	if (ctl->size_bytes > 0 && ctl->size_bytes <= VOLUME_BYTES_MAX &&
	    ctl->size_bytes % 512 == 0)
		return false;
	vol_ctl_refuse(vols, ctl, -EINVAL,
		   "Volume '%.80s' cannot have %llu bytes: give a multiple of "
		   "512 from 512 bytes to 128 TiB.",
		   vol_ctl_name(ctl), (unsigned long long)ctl->size_bytes);
	return true;
}

static void resize_append(struct volumes *vols, struct vol_ctl *ctl,
			  struct volume *v)
{
	le64 size = le64_of(ctl->size_bytes);

	memcpy(ctl->body, &size, sizeof(size));
	vol_ctl_append(vols, ctl, v, CATALOG_RESIZE, sizeof(size));
}

static void look_done(struct map_load *l);

/* Is anything mapped behind the new size?  True: yes, refused. */
static void look_loaded(struct volumes *vols, struct vol_look *look)
{
	struct map_load *l = &look->load;
	struct vol_ctl  *ctl = vols->ctl.active;
	struct volume   *v = l->vol;
	uint64_t block = ctl->size_bytes >> TARN_BLOCK_SHIFT;
	bool found = l->res < 0;

	for (unsigned i = 0; i < l->n; i++) {
		const struct mnode *leaf = l->slots[i].node;
		unsigned slot = 0;

		if (leaf == NULL)
			continue;
		if (leaf->index == leaf_of_block(block))
			slot = slot_of_block(block);
		found |= map_count_unmapped(leaf, slot, LEAF_ENTRIES - slot) <
			 LEAF_ENTRIES - slot;
	}
	map_load_release(l);
	if (found) {
		vol_ctl_refuse(vols, ctl, -ENOTEMPTY,
			   "Volume '%.80s' has data beyond %llu bytes, which "
			   "would be lost: force it if that is meant.",
			   vol_ctl_name(ctl),
			   (unsigned long long)ctl->size_bytes);
		return;
	}
	if (l->next < l->end) {
		l->n = 0;
		if (map_load_start(l))
			io_defer(vols->io, &look->work);
		return;
	}
	resize_append(vols, ctl, v);
}

static void look_done(struct map_load *l)
{
	look_loaded(l->vol->vols, container_of(l, struct vol_look, load));
}

static void look_work(struct io_work *w)
{
	struct vol_look *look = container_of(w, struct vol_look, work);

	look_loaded(look->load.vol->vols, look);
}

static void look_start(struct volumes *vols, struct vol_ctl *ctl,
		       struct volume *v)
{
	struct vol_look *look = vols->ctl.look;
	struct map_load *l = &look->load;

	memset(look, 0, sizeof(*look));
	io_work_init(&look->work, look_work);
	l->vol = v;
	l->next = leaf_of_block(ctl->size_bytes >> TARN_BLOCK_SHIFT);
	l->end = levels_to_leaves(v->levels);
	l->cap = LOOK_LEAVES;
	l->slots = look->slots;
	l->done = look_done;
	if (map_load_start(l))
		look_loaded(vols, look);
}

void vol_resize_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = vol_ctl_find(vols, ctl);
	struct vol_need need;

	if (v == NULL || vol_ctl_bad_size(vols, ctl))
		return;
	if (v->kind != CATALOG_VOLUME) {
		vol_ctl_refuse(vols, ctl, -EROFS,
			       "%s '%.160s' cannot be resized: only volumes "
			       "can.", vol_name_word(vol_ctl_name(ctl)),
			       vol_ctl_name(ctl));
		return;
	}
	if (v->size_bytes == ctl->size_bytes) {
		ctl->already = true;
		vol_ctl_end(vols, ctl, 0);
		return;
	}
	if (ctl->size_bytes > v->size_bytes) {
		if (v->flags & CATALOG_SHRUNK) {
			/* What it lost must be gone before. */
			if (vol_ctl_cannot_write(vols, ctl))
				return;
			vol_ctl_wait(vols, ctl, v);
			vol_reaper_add(v);
			vol_reaper_kick(vols);
			return;
		}
		need = vol_need_of(v, ctl->size_bytes, false);
		if (!vol_ctl_pledge(vols, ctl, v, &need))
			resize_append(vols, ctl, v);
		return;
	}
	if (v->nusers > 0 && !ctl->force) {
		vol_ctl_refuse(vols, ctl, -EBUSY,
			   "Volume '%.80s' is in use and would get smaller: "
			   "detach it first, or force it.", v->name);
		return;
	}
	if (ctl->force)
		resize_append(vols, ctl, v);
	else
		look_start(vols, ctl, v);
}

void vol_resize(struct volumes *vols, struct vol_ctl *ctl)
{
	vol_ctl_queue(vols, ctl, CTL_RESIZE,
		      vol_ctl_take_name(ctl, ctl->name, VOL_KIND_ANY));
}

void vol_settle_start(struct volumes *vols, struct vol_ctl *ctl)
{
	struct volume *v = ctl->vol;

	if (v->gone || v->kind != CATALOG_VOLUME ||
	    v->state != CATALOG_READY || v->size_bytes != ctl->size_bytes) {
		vol_ctl_end(vols, ctl, 0); /* overtaken */
		return;
	}
	resize_append(vols, ctl, v);
}
