/* tests/lib/image_check.c - see image_check.h. */
#include "tests/lib/image_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* --- running ------------------------------------------------------------- */

struct found {
	const char         *text;     /* wanted */
	enum check_severity severity;
	unsigned            hits;
	char                all[32768];
	const struct image *im;
	unsigned            nvolumes, nblocks, wrong;
};

static void report(void *arg, enum check_severity sev, const char *text)
{
	struct found *f = arg;
	size_t len = strlen(f->all);

	snprintf(f->all + len, sizeof(f->all) - len, "  %d %s\n", sev, text);
	f->hits += sev == f->severity && strstr(text, f->text) != NULL;
}

/* One that is ready. */
static const struct img_vol *vol_of(const struct found *f, uint32_t id)
{
	for (unsigned v = 0; v < IMG_VOLS; v++) {
		if (f->im->vols[v].id == id && f->im->vols[v].state == 1 &&
		    f->im->vols[v].kind != 3)
			return &f->im->vols[v];
	}
	return NULL;
}

static void volume(void *arg, uint32_t id, const char *name, uint64_t size)
{
	struct found *f = arg;
	const struct img_vol *v = vol_of(f, id);
	const struct img_vol *of = v == NULL ? NULL : vol_of(f, v->volume);
	char want[160];

	snprintf(want, sizeof(want), "%s%s%s", of == NULL ? "" : of->name,
		 of == NULL ? "" : "@", v == NULL ? "" : v->name);
	f->nvolumes++;
	f->wrong += v == NULL || strcmp(name, want) != 0 ||
		    size != v->size_blocks * 4096;
}

static void block(void *arg, uint32_t id, uint64_t b, const void *data)
{
	struct found *f = arg;
	const struct img_vol *v = vol_of(f, id);
	uint8_t want[4096];

	f->nblocks++;
	if (v == NULL || v->map[b].seed == 0) {
		f->wrong++;
		return;
	}
	image_pattern(v->family, b, v->map[b].seed, want);
	f->wrong += data != NULL && memcmp(want, data, 4096) != 0;
}

static int run(struct image *im, struct found *f, bool quick,
	       struct check_report *rep)
{
	struct check_source *disks[POOL_UNITS_MAX];
	struct check_options opt = { .report = report, .volume = volume,
				     .block = block, .arg = f,
				     .quick = quick };

	f->im = im;
	for (uint32_t i = 0; i < im->ndisks; i++)
		disks[i] = &im->disks[i].source;
	return tarn_check_run(disks, im->ndisks, &opt, rep);
}

/* --- what is right ------------------------------------------------------- */

/* Ready ones of a kind. */
static unsigned count(const struct image *im, uint8_t kind)
{
	unsigned n = 0;

	for (unsigned v = 0; v < IMG_VOLS; v++)
		n += im->vols[v].id != 0 && im->vols[v].kind == kind &&
		     im->vols[v].state == 1;
	return n;
}

/* Entries of trees that are ready; places, each once, of all trees. */
static unsigned entries(const struct image *im)
{
	unsigned n = 0;

	for (unsigned v = 0; v < IMG_VOLS; v++) {
		for (unsigned b = 0; b < IMG_VOL_BLOCKS; b++)
			n += im->vols[v].state == 1 &&
			     im->vols[v].map[b].place != 0;
	}
	return n;
}

static unsigned places(const struct image *im)
{
	unsigned n = 0;

	for (unsigned s = 1; s < IMG_SEGS; s++)
		n += s == IMG_SEG_COMMIT ? 0 : im->segs[s].live;
	return n;
}

static unsigned clean_try(img_build build, uint32_t k, uint32_t m, bool closed,
			  bool quick)
{
	struct image *im = build(k, m, closed, NULL, NULL);
	struct found *f = calloc(1, sizeof(*f));
	struct check_report rep;
	unsigned bad;
	int r;

	f->text = "";
	r = run(im, f, quick, &rep);
	bad = r != 0 || f->wrong != 0 ||
	      f->nvolumes != count(im, 1) + count(im, 2) ||
	      rep.volumes != count(im, 1) || rep.snapshots != count(im, 2) ||
	      rep.checkpoints != count(im, 3) || f->nblocks != entries(im) ||
	      rep.mapped_blocks != places(im) || rep.log_end != im->row;
	if (bad)
		fprintf(stderr, "%u+%u%s: %d, %u of %u blocks wrong, wanted "
			"%u, %u mapped\n%s", k, m, closed ? " closed" : "", r,
			f->wrong, f->nblocks, entries(im), places(im), f->all);
	image_free(im);
	free(f);
	return bad;
}

unsigned image_check_clean(img_build build)
{
	static const struct {
		uint32_t k, m;
	} shapes[] = { { 1, 0 }, { 1, 1 }, { 2, 1 }, { 4, 2 } };
	unsigned bad = 0;

	for (unsigned i = 0; i < ARRAY_LEN(shapes); i++) {
		for (unsigned how = 0; how < 4; how++)
			bad += clean_try(build, shapes[i].k, shapes[i].m,
					 how & 1, how & 2);
	}
	return bad;
}

/* --- what is wrong ------------------------------------------------------- */

static void damage_hook(struct image *im, enum img_what what, uint64_t id,
			void *buf)
{
	const struct img_damage *d = im->hook_arg;
	uint64_t value = d->value;

	if (d->size == 0 || d->what != what || d->id != id)
		return;
	for (unsigned v = 0; v < IMG_VOLS; v++) {
		if (d->of != 0 && im->vols[v].id == d->of)
			value = im->vols[v].map[d->value].place;
	}
	memcpy((uint8_t *)buf + d->off, &value, d->size);
}

unsigned image_check_damage(img_build build, const struct img_damage *d)
{
	struct image *im = build(1, 1, d->fn == NULL,
				 d->fn == NULL ? damage_hook : NULL,
				 (void *)d);
	struct found *f = calloc(1, sizeof(*f));
	struct check_report rep;
	unsigned bad;
	int r;

	if (d->fn != NULL)
		d->fn(im);
	f->severity = CHECK_ERROR;
	f->text = d->text == NULL ? "" : d->text;
	r = run(im, f, false, &rep);
	bad = (d->text == NULL) != (r == 0) || (f->hits == 0) != (r == 0);
	if (bad)
		fprintf(stderr, "%s: %d, wanted \"%s\", found\n%s", d->name, r,
			f->text, f->all);
	if (d->empty && rep.mapped_blocks != 0) {
		fprintf(stderr, "%s: %llu blocks are left\n", d->name,
			(unsigned long long)rep.mapped_blocks);
		bad = 1;
	}
	image_free(im);
	free(f);
	return bad;
}

static unsigned lost_try(img_build build, unsigned node, bool closed)
{
	struct image *im = build(1, 1, closed, NULL, NULL);
	struct found *f = calloc(1, sizeof(*f));
	uint64_t place = im->node_place[node];
	struct check_report rep;
	unsigned bad;

	f->severity = CHECK_LOST;
	f->text = "cannot be had";
	for (uint32_t u = 0; u < 2 && place != 0; u++)
		image_at(im, IMG_SEG_COMMIT, u,
			 (uint32_t)(place % IMG_ZONE_BLOCKS))[3] ^= 1;
	run(im, f, false, &rep);
	bad = rep.nerrors > 0 || (place != 0) != (f->hits > 0);
	if (bad)
		fprintf(stderr, "node %u lost:\n%s", node, f->all);
	image_free(im);
	free(f);
	return bad;
}

unsigned image_check_lost(img_build build)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < 2 * IMG_NODES; i++)
		bad += lost_try(build, i / 2, i % 2);
	return bad;
}
