/* A real tarnd over files: volumes, snapshots, clones and rollbacks in random
 * order, with writes and trims of all volumes between, and deaths of the
 * server; each shows what a model says.
 *
 *	test_clone_random [SEED [STEPS]]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tarnd_nbd.h"

#define SIZE      (4u << 20)
#define BLOCK     65536u
#define BLOCKS    (SIZE / BLOCK)
#define TREES_MAX 16u

/* A volume (of < 0) or a snapshot of trees[of]. */
static struct tree {
	bool          there;
	int           of;
	unsigned      number; /* of its name */
	unsigned char fill[BLOCKS]; /* the byte in all of a block */
} trees[TREES_MAX];
static struct prng rng;
static unsigned    numbers;
static uint64_t    seed = 1;
static unsigned    steps = 150;

static unsigned below(unsigned n)
{
	return (unsigned)prng_below(&rng, n);
}

static const char *name_of(const struct tree *t)
{
	static char     names[4][40];
	static unsigned turn;
	char *name = names[turn++ % 4];

	if (t->of < 0)
		text(name, sizeof(names[0]), "v%u", t->number);
	else
		text(name, sizeof(names[0]), "v%u@s%u", trees[t->of].number,
		     t->number);
	return name;
}

/* Any volume or any snapshot; NULL: there is none. */
static struct tree *pick(bool volume)
{
	struct tree *t = NULL;
	unsigned     n = 0;

	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there && (trees[i].of < 0) == volume &&
		    below(++n) == 0)
			t = &trees[i];
	return t;
}

/* Like another, NULL: there are enough. */
static struct tree *tree_new(int of, const struct tree *like)
{
	for (unsigned i = 0; i < TREES_MAX; i++) {
		if (trees[i].there)
			continue;
		trees[i] = *like;
		trees[i].there = true;
		trees[i].of = of;
		trees[i].number = numbers++;
		return &trees[i];
	}
	return NULL;
}

/* --- what is done -------------------------------------------------------- */

static void do_write(struct world *w, struct tree *t)
{
	struct nbd_handle *nbd = attach(w, name_of(t));

	for (unsigned i = below(12); i < 12; i++) {
		unsigned b = below(BLOCKS), c = below(4) == 0 ? 0 : below(127);

		t->fill[b] = (unsigned char)c;
		if (c > 0)
			fill(nbd, (int)c, b * BLOCK, BLOCK);
		else
			assert_int_equal(nbd_zero(nbd, BLOCK, b * BLOCK, 0),
					 0);
	}
	detach(nbd);
}

static void do_snapshot(struct world *w, struct tree *t)
{
	struct tree *s = tree_new((int)(t - trees), t);
	char p[100];

	if (s == NULL)
		return;
	text(p, sizeof(p), "{\"names\":[\"%s\",\"v%u#c%u\"]}", name_of(s),
	     t->number, s->number);
	must_do(w, "snapshot.create", p);
}

static void do_clone(struct world *w, struct tree *s)
{
	struct tree *t = tree_new(-1, s);
	char p[100];

	if (t == NULL)
		return;
	text(p, sizeof(p), "{\"name\":\"%s\",\"new_name\":\"%s\"}",
	     name_of(s), name_of(t));
	must_do(w, "volume.clone", p);
}

static void do_rollback(struct world *w, struct tree *s)
{
	struct tree *v = &trees[s->of];
	struct tree *kept = below(2) == 0 ? tree_new(s->of, v) : NULL;
	char p[150], keep[40] = "";

	if (kept != NULL)
		text(keep, sizeof(keep), ",\"keep_as\":\"s%u\"", kept->number);
	text(p, sizeof(p), "{\"name\":\"%s\",\"force\":true%s}", name_of(s),
	     keep);
	must_do(w, "snapshot.rollback", p);
	memcpy(v->fill, s->fill, sizeof(v->fill));
}

static void do_delete(struct world *w, struct tree *t)
{
	char p[100];

	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there && trees[i].of == (int)(t - trees))
			return;
	text(p, sizeof(p), "{\"name\":\"%s\"}", name_of(t));
	must_do(w, t->of < 0 ? "volume.delete" : "snapshot.delete", p);
	t->there = false;
}

static void verify(struct world *w, const struct tree *t)
{
	struct nbd_handle *nbd = attach(w, name_of(t));
	unsigned char *buf = malloc(SIZE);

	assert_int_equal(nbd_pread(nbd, buf, SIZE, 0, 0), 0);
	for (unsigned i = 0; i < SIZE; i++)
		if (buf[i] != t->fill[i / BLOCK])
			fail_msg("seed %ju: %s, %u: %d, not %d",
				 (uintmax_t)seed, name_of(t), i, buf[i],
				 t->fill[i / BLOCK]);
	free(buf);
	detach(nbd);
}

static void verify_all(struct world *w)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		if (trees[i].there)
			verify(w, &trees[i]);
}

static void step(struct world *w)
{
	struct tree *v = pick(true), *s = pick(false);
	unsigned     what = below(100);

	if (v == NULL) {
		static const struct tree empty;
		char p[100];

		v = tree_new(-1, &empty);
		text(p, sizeof(p), "{\"name\":\"%s\",\"size\":%u}",
		     name_of(v), SIZE);
		must_do(w, "volume.create", p);
	}
	if (what < 45)
		do_write(w, v);
	else if (what < 60)
		do_snapshot(w, v);
	else if (what < 70 && s != NULL)
		do_clone(w, s);
	else if (what < 78 && s != NULL)
		do_rollback(w, s);
	else if (what < 90 && s != NULL)
		do_delete(w, s);
	else if (what < 95)
		do_delete(w, v);
	else if (s != NULL)
		verify(w, s);
}

static void kill_it(struct world *w)
{
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
}

static bool space_is_back(const struct world *w)
{
	json_t    *r = must(w, "pool.df", "{}");
	json_int_t used = reply_num(r, "used_bytes");

	json_decref(r);
	return used < 1 << 20;
}

static void test_random(void **state)
{
	struct world *w = *state;

	prng_init(&rng, seed);
	tarnd_start(w);
	tank_create(w, "2+1", 3);
	for (unsigned i = 1; i <= steps; i++) {
		step(w);
		if (i % 75 == 0) {
			verify_all(w);
			kill_it(w);
			verify_all(w);
		}
	}
	for (unsigned round = 0; round < TREES_MAX; round++)
		for (unsigned i = 0; i < TREES_MAX; i++)
			if (trees[i].there)
				do_delete(w, &trees[i]);
	for (int i = 0; i < PATIENCE_S * 20 && !space_is_back(w); i++)
		pause_ms(50);
	assert_true(space_is_back(w));
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, world_setup,
						world_teardown),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		steps = (unsigned)strtoul(argv[2], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
