/* tests/lib/fake/trash_kit.c - the trees of fork_kit.c, and a trash with a
 * clock of the test's own.  Included by test programs.
 */
#include "tests/lib/fake/fork_kit.c"

#define KEEP_S  1000u
#define START_S 5000u /* wall clock */

static char error[256]; /* what the last operation said */
static bool already, trashed;
static uint64_t wall_s = START_S;

static unsigned gone_time, gone_space;
static char gone_name[VOLUME_NAME_MAX + 1];

static void went(void *arg, const char *name, const struct uuid *uuid,
		 bool for_space)
{
	(void)arg;
	(void)uuid;
	gone_time += !for_space;
	gone_space += for_space;
	snprintf(gone_name, sizeof(gone_name), "%s", name);
}

__attribute__((unused))
static void watch(void)
{
	gone_time = gone_space = 0;
	gone_name[0] = '\0';
	vols_trash_watch(V, went, NULL);
}

static int run(const char *name, const char *new_name, bool with_snapshots,
	       bool at_once, void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->with_snapshots = with_snapshots;
	ctl->at_once = at_once;
	ctl->now_s = wall_s;
	kit_ctl_run(P, V, ctl, op);
	r = ctl->res;
	already = ctl->already;
	trashed = ctl->trashed;
	assert_true(r == 0 || ctl->error[0] != '\0');
	memcpy(error, ctl->error, sizeof(error));
	free(ctl);
	return r;
}

static int trash(const char *name)
{
	return run(name, NULL, true, false, vol_delete);
}

static int undelete(const char *name, const char *as)
{
	return run(name, as, false, false, vol_undelete);
}

__attribute__((unused))
static int purge(const char *name)
{
	return run(name, NULL, false, false, vol_purge);
}

/* The name that the kit's trees are found by while they are in the trash. */
__attribute__((unused))
static void models_hide(unsigned volume, bool hide)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		if (i == volume || (trees[i].of == (int)volume &&
				    trees[i].name[0] != '\0'))
			trees[i].there = !hide;
}

static unsigned in_trash(void)
{
	unsigned n = 0;

	for (struct volume *v = vols_trash_next(V, NULL); v != NULL;
	     v = vols_trash_next(V, v))
		n++;
	assert_int_equal(n, V->catalog.ntrashed);
	return n;
}

static void reopen(bool commit, uint64_t now_s)
{
	do_reopen(commit);
	vols_trash_start(V, KEEP_S, now_s);
}

__attribute__((unused))
static void pass_s(uint64_t s)
{
	P->io.now_ns += s * NS_PER_S;
	for (unsigned i = 0; i < 20; i++)
		fake_turn(P);
	fake_settle(P);
}

static void begin(uint64_t seed)
{
	prng_init(&rng, seed);
	vols_trash_start(V, KEEP_S, START_S);
	make_one();
}

static void all_is_gone(void)
{
	kit_check_counts(P, V);
	kit_check_counts(P, V);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, 0);
	assert_int_equal(V->ids.used, 0);
}
