/* tests/lib/fake/fork_kit.c - random histories of trees that fork, with
 * cleaning, commits and crashes, over a fake pool, and a model of what each
 * shows.  Included by test programs.
 */
#define FAKE_PLACES (1u << 19)
#include "tests/lib/fake/one_pool.c"

#define SIZE      (640 * MIB) /* two levels of inner nodes */
#define SPOTS     40u         /* blocks that are looked at */
#define LEAVES    10u         /* … in so many leaves */
#define TREES_MAX 16u

/* A volume (of < 0) or a snapshot of trees[of]; hidden: a volume that is being
 * received, to become trees[to] (< 0: a new one). */
struct model {
	bool     there;
	bool     hidden;
	int      of;
	int      to;
	char     name[64];
	uint32_t stamp[SPOTS]; /* 0: a hole */
};

static struct model    trees[TREES_MAX];
static struct prng     rng;
static struct volumes_params params; /* zeros: the defaults */
static uint32_t        stamps, names;
static unsigned        reopened;     /* how often */

static int setup(void **state)
{
	(void)state;
	one_open(29, &params);
	memset(trees, 0, sizeof(trees));
	stamps = names = 0;
	return 0;
}

/* Leaves under different inner nodes, some next to each other. */
static uint64_t spot_off(unsigned spot)
{
	static const uint64_t leaves[LEAVES] = { 0, 1, 2, 60, 255, 511,
						 512, 513, 600, 639 };

	return leaves[spot % LEAVES] * MIB + (spot / LEAVES) * 50 * TARN_BLOCK;
}

static const char *full_name(const struct model *m)
{
	static char text[2][160];
	static unsigned turn;
	char *s = text[turn++ % 2];

	if (m->of < 0)
		snprintf(s, sizeof(text[0]), "%s", m->name);
	else
		snprintf(s, sizeof(text[0]), "%s@%s", trees[m->of].name,
			 m->name);
	return s;
}

static struct volume *tree_of(const struct model *m)
{
	struct volume *v = vols_find(V, full_name(m));

	if (v == NULL) {
		fail_msg("%s is not there", full_name(m));
		abort();
	}
	return v;
}

enum { VOLUME, SNAPSHOT, HIDDEN };

static int kind_of(const struct model *m)
{
	if (m->hidden)
		return HIDDEN;
	return m->of < 0 ? VOLUME : SNAPSHOT;
}

/* Any of them; NULL: there is none. */
static struct model *pick(int kind)
{
	struct model *m = NULL;
	unsigned n = 0;

	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there && kind_of(&trees[i]) == kind &&
		    prng_below(&rng, ++n) == 0)
			m = &trees[i];
	return m;
}

static struct model *model_new(int of, const struct model *like)
{
	for (unsigned i = 0; i < TREES_MAX; i++) {
		struct model *m = &trees[i];

		if (m->there)
			continue;
		memset(m, 0, sizeof(*m));
		m->there = true;
		m->of = of;
		snprintf(m->name, sizeof(m->name), "%c%u", of < 0 ? 'v' : 's',
			 names++);
		if (like != NULL)
			memcpy(m->stamp, like->stamp, sizeof(m->stamp));
		return m;
	}
	return NULL;
}

/* --- what is done -------------------------------------------------------- */

static void spot_write(struct model *m, unsigned spot)
{
	uint32_t *block = calloc(1, TARN_BLOCK);

	block[0] = m->stamp[spot] = ++stamps;
	assert_int_equal(kit_req(P, tree_of(m), VOL_WRITE, spot_off(spot),
				 TARN_BLOCK, block, 0), 0);
	free(block);
}

static void do_write(struct model *m)
{
	spot_write(m, (unsigned)prng_below(&rng, SPOTS));
}

/* One block, or all of its leaf. */
static void do_zero(struct model *m, bool all)
{
	unsigned spot = (unsigned)prng_below(&rng, SPOTS);
	uint64_t off = spot_off(spot), len = TARN_BLOCK;

	if (all) {
		off = off / MIB * MIB;
		len = MIB;
	}
	for (unsigned i = 0; i < SPOTS; i++)
		if (spot_off(i) >= off && spot_off(i) < off + len)
			m->stamp[i] = 0;
	assert_int_equal(kit_req(P, tree_of(m), VOL_ZERO, off, len, NULL, 0),
			 0);
}

static void do_snapshot(struct model *v)
{
	struct model *s = model_new((int)(v - trees), v);
	const char *name;

	if (s == NULL)
		return;
	name = full_name(s);
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
}

static int branch(const struct model *s, const char *new_name,
		  void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	char name[160];
	int r;

	snprintf(name, sizeof(name), "%s", full_name(s));
	ctl->name = name;
	ctl->new_name = new_name;
	ctl->size_bytes = SIZE;
	ctl->uuid.b[0] = (uint8_t)names;
	ctl->uuid.b[1] = (uint8_t)(names >> 8);
	kit_ctl_run(P, V, ctl, op);
	r = ctl->res;
	free(ctl);
	return r;
}

static void do_clone(const struct model *s)
{
	struct model *c = model_new(-1, s);

	if (c != NULL)
		assert_int_equal(branch(s, c->name, vol_clone), 0);
}

static void do_rollback(const struct model *s, bool keep)
{
	struct model *v = &trees[s->of];
	struct model *kept = keep ? model_new(s->of, v) : NULL;

	assert_int_equal(branch(s, kept != NULL ? kept->name : NULL,
				vol_rollback), 0);
	memcpy(v->stamp, s->stamp, sizeof(v->stamp));
}

/* s NULL: a new volume. */
static void do_receive(const struct model *s)
{
	struct model *h = model_new(-1, s);
	struct model fresh = { .of = -1 };
	char uuid[UUID_TEXT_BYTES];
	struct uuid u = { .b = { (uint8_t)names, (uint8_t)(names >> 8) } };
	int r;

	if (h == NULL)
		return;
	snprintf(fresh.name, sizeof(fresh.name), "%s", h->name);
	r = branch(s != NULL ? s : &fresh, NULL, vol_receive);
	/* The volume may have gone on since. */
	assert_true(r == 0 || (r == -ESTALE && s != NULL));
	h->hidden = true;
	h->to = s != NULL ? s->of : -1;
	h->there = r == 0;
	snprintf(h->name, sizeof(h->name), "receive/%s", uuid_text(&u, uuid));
}

static void do_publish(struct model *h)
{
	char name[16], volume[VOLUME_NAME_MAX + 1];
	struct model *s;
	int r;

	snprintf(name, sizeof(name), "s%u", names++);
	memcpy(volume, tree_of(h)->name, sizeof(volume));
	r = branch(h, name, vol_publish);
	if (r != 0) {
		assert_int_equal(r, -ESTALE);
		return;
	}
	/* With the volume and all that it was based on gone, it is whole. */
	if (h->to >= 0 && (!trees[h->to].there ||
			   strcmp(trees[h->to].name, volume) != 0))
		h->to = -1;
	if (h->to < 0) {
		h->hidden = false;
		snprintf(h->name, sizeof(h->name), "%.40s", volume);
	} else {
		memcpy(trees[h->to].stamp, h->stamp, sizeof(h->stamp));
		h->there = false;
	}
	h->to = h->to < 0 ? (int)(h - trees) : h->to;
	s = model_new(h->to, &trees[h->to]);
	if (s != NULL) {
		snprintf(s->name, sizeof(s->name), "%s", name);
		return;
	}
	snprintf(volume, sizeof(volume), "%s@%s", trees[h->to].name, name);
	assert_int_equal(kit_delete(P, V, volume, false), 0);
}

static bool has_snapshots(const struct model *v)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there && trees[i].of == v - trees)
			return true;
	return false;
}

static void do_delete(struct model *m)
{
	assert_int_equal(kit_delete(P, V, full_name(m), false),
			 m->of < 0 && has_snapshots(m) ? -ENOTEMPTY : 0);
	m->there = m->of < 0 && has_snapshots(m);
}

static void do_reopen(bool commit)
{
	if (commit)
		fake_commit(P);
	reopened++;
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, &params, &V), 0);
}

/* --- what must be so ----------------------------------------------------- */

static void verify(const struct model *m)
{
	for (unsigned i = 0; i < SPOTS; i++) {
		uint32_t got;
		uint8_t *buf;
		int r;

		buf = kit_read(P, tree_of(m), spot_off(i), TARN_BLOCK, &r);
		assert_int_equal(r, 0);
		memcpy(&got, buf, sizeof(got));
		free(buf);
		if (got != m->stamp[i])
			fail_msg("%s, spot %u: %u, not %u", full_name(m), i,
				 got, m->stamp[i]);
	}
}

static void verify_all(void)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there)
			verify(&trees[i]);
	kit_check_counts(P, V);
}

static void step_of(uint64_t what)
{
	struct model *v = pick(VOLUME), *s = pick(SNAPSHOT);
	struct model *h = pick(HIDDEN);

	if (v == NULL) {
		v = model_new(-1, NULL);
		assert_int_equal(kit_create(P, V, v->name, SIZE), 0);
	} else if (what < 45) {
		do_write(v);
	} else if (what < 55) {
		do_zero(v, what < 48);
	} else if (what < 66) {
		do_snapshot(v);
	} else if (what < 71 && s != NULL) {
		do_clone(s);
	} else if (what < 76 && s != NULL) {
		do_rollback(s, what < 73);
	} else if (what < 84 && s != NULL) {
		do_delete(s);
	} else if (what < 86) {
		do_delete(v);
	} else if (what < 91) {
		fake_commit(P);
	} else if (what < 95) {
		fake_clean(P, 60);
	} else if (what < 98) {
		do_reopen(what < 96);
	} else if (what < 100) {
		verify_all();
	} else if (h == NULL) {
		do_receive(what < 106 ? s : NULL);
	} else if (what < 108) {
		do_write(h);
	} else if (what < 111) {
		do_publish(h);
	} else {
		do_delete(h);
	}
}

static void step(void)
{
	step_of(prng_below(&rng, 112));
}

/* Something else than opening again; nothing waits for what is under way. */
__attribute__((unused))
static void step_but_reopen(void)
{
	uint64_t what = prng_below(&rng, 109);

	step_of(what < 95 ? what : what + 3);
}

static void delete_all(void)
{
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < TREES_MAX; i++)
			if (trees[i].there &&
			    (trees[i].of >= 0 || turn == 1))
				do_delete(&trees[i]);
	kit_check_counts(P, V);
	kit_check_counts(P, V);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, 0);
	assert_int_equal(V->ids.used, 0);
}

/* v0 with a snapshot, s1, of something. */
__attribute__((unused))
static void make_one(void)
{
	step(); /* nothing is there yet: a volume */
	for (unsigned i = 0; i < SPOTS; i++)
		do_write(&trees[0]);
	do_snapshot(&trees[0]);
}
