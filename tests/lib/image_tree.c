/* tests/lib/image_tree.c - see image_tree.h. */
#include "tests/lib/image_tree.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/image_put.h"

/* --- nodes --------------------------------------------------------------- */

static uint32_t node_new(struct image *im, const struct img_vol *v)
{
	uint32_t id = ++im->next_node;

	im->node_birth[id] = v->birth;
	return id;
}

void image_leaf_own(struct image *im, unsigned vol, uint32_t leaf)
{
	struct img_vol *v = &im->vols[vol];

	if (v->leaf[leaf] == 0 || im->node_birth[v->leaf[leaf]] != v->birth)
		v->leaf[leaf] = node_new(im, v);
}

void image_path_own(struct image *im, unsigned vol, uint32_t leaf)
{
	struct img_vol *v = &im->vols[vol];

	image_leaf_own(im, vol, leaf);
	v->root = node_new(im, v);
}

/* --- trees --------------------------------------------------------------- */

static void name_set(struct img_vol *v, const char *name)
{
	memset(v->name, 0, sizeof(v->name));
	snprintf(v->name, sizeof(v->name), "%s", name);
}

void image_tree_make(struct image *im, unsigned vol, uint32_t id,
		     const char *name)
{
	struct img_vol *v = &im->vols[vol];

	*v = (struct img_vol){ .id = id, .family = id, .kind = 1, .birth = 1,
			       .state = 1, .levels = 1, .size_blocks = 590 };
	name_set(v, name);
	for (uint32_t l = 0; l < IMG_LEAVES; l++)
		image_leaf_own(im, vol, l);
	v->root = node_new(im, v);
}

static void checkpoint_make(struct img_vol *s)
{
	struct img_vol all = *s;

	*s = (struct img_vol){ .id = all.id, .family = all.family, .kind = 3,
			       .volume = all.volume, .birth = all.birth,
			       .state = 1, .size_blocks = all.size_blocks };
	name_set(s, all.name);
}

void image_tree_snap(struct image *im, unsigned vol, unsigned to, uint32_t id,
		     uint8_t kind, const char *name)
{
	struct img_vol *v = &im->vols[vol], *s = &im->vols[to];

	*s = *v;
	s->id = id;
	s->kind = kind;
	s->volume = v->id;
	name_set(s, name);
	v->birth++;
	if (kind == 3)
		checkpoint_make(s);
	else
		v->origin = id;
}

void image_tree_clone(struct image *im, unsigned snap, unsigned to,
		      uint32_t id, const char *name)
{
	struct img_vol *s = &im->vols[snap], *v = &im->vols[to];

	*v = *s;
	v->id = id;
	v->kind = 1;
	v->volume = 0;
	v->birth++;
	v->origin = s->id;
	name_set(v, name);
}

void image_tree_back(struct image *im, unsigned vol, unsigned snap,
		     unsigned to, uint32_t id, const char *name)
{
	struct img_vol *v = &im->vols[vol], *old = &im->vols[to];
	char own[sizeof(v->name)];

	*old = *v;
	old->id = id;
	old->kind = 2;
	old->volume = name[0] == '\0' ? 0 : v->id;
	old->state = name[0] == '\0' ? 2 : 1;
	name_set(old, name);
	memcpy(own, v->name, sizeof(own));
	*v = im->vols[snap];
	v->kind = 1;
	v->volume = 0;
	v->origin = im->vols[snap].id;
	v->id = im->vols[snap].volume;
	v->birth = old->birth + 1;
	memcpy(v->name, own, sizeof(own));
	for (unsigned i = 0; i < IMG_VOLS; i++) {
		struct img_vol *c = &im->vols[i];

		if (c->id != 0 && c->kind == 3 && c->volume == v->id &&
		    c->birth > im->vols[snap].birth)
			c->flags |= 4;
	}
}

static unsigned kids(const struct image *im, uint32_t id)
{
	unsigned n = 0;

	for (unsigned i = 0; i < IMG_VOLS; i++)
		n += im->vols[i].id != 0 && im->vols[i].origin == id;
	return n;
}

void image_tree_delete(struct image *im, unsigned vol)
{
	struct img_vol *v = &im->vols[vol];

	for (unsigned i = 0; i < IMG_VOLS; i++) {
		if (im->vols[i].kind == 3 && im->vols[i].volume == v->id)
			im->vols[i].id = 0;
	}
	v->volume = 0;
	name_set(v, "");
	v->state = kids(im, v->id) < 2 ? 2 : 3;
	if (v->kind == 3)
		v->id = 0;
}

static void tree_free(struct image *im, struct img_vol *v)
{
	for (unsigned i = 0; i < IMG_VOLS; i++) {
		if (im->vols[i].origin == v->id)
			im->vols[i].origin = v->origin;
	}
	v->id = 0;
	for (unsigned i = 0; i < IMG_VOLS; i++) {
		struct img_vol *o = &im->vols[i];

		if (o->id != 0 && o->id == v->origin && o->state == 3 &&
		    kids(im, o->id) < 2)
			o->state = 2;
	}
}

void image_tree_reap(struct image *im, unsigned vol, uint64_t cursor)
{
	struct img_vol *v = &im->vols[vol];

	for (uint64_t b = 0; b < IMG_VOL_BLOCKS && b / 256 < cursor; b++)
		image_entry_set(im, &v->map[b], (struct img_entry){ 0 });
	v->cursor = cursor;
	if (cursor == UINT64_MAX)
		tree_free(im, v);
}

/* --- records ------------------------------------------------------------- */

static unsigned name_put(uint8_t *p, const char *name)
{
	unsigned len = (unsigned)strlen(name);

	put16(p, (uint16_t)len);
	put_text(p + 2, name, len);
	return 2 + len;
}

void image_log_group(struct image *im, uint32_t id,
		     const struct img_member *list)
{
	uint8_t body[512] = { 0 };
	unsigned n = 8;

	put64(body, 1700000001);
	for (unsigned i = 0; list[i].volume != 0; i++) {
		put32(body + n, list[i].volume);
		memset(body + n + 4, (int)(id + i), 16);
		body[n + 20] = list[i].kind;
		body[n + 21] = list[i].schedule;
		n += 22;
		n += name_put(body + n, list[i].name);
	}
	image_catalog(im, 261, id, body, (uint16_t)n);
}

void image_log_branch(struct image *im, uint32_t op, uint32_t id,
		      uint32_t snapshot, const char *name)
{
	uint8_t body[256] = { 0 };
	unsigned n = 28;

	put32(body, snapshot);
	put64(body + 4, im->row); /* a uuid */
	put64(body + 20, 1700000002);
	n += name_put(body + n, name);
	image_catalog(im, op, id, body, (uint16_t)n);
}

void image_log_delete(struct image *im, uint32_t id)
{
	image_catalog(im, 259, id, NULL, 0);
}

void image_log_reap(struct image *im, uint32_t id, uint64_t cursor)
{
	uint8_t body[8];

	put64(body, cursor);
	image_catalog(im, 260, id, body, sizeof(body));
}
