/* tests/lib/fake/schedule_kit.c - schedules of snapshots over a fake pool, with
 * a wall clock of the test's own.  Included by test programs.
 */
#include "base/util.h"
#include "server/schedule.h"
#include "tests/lib/fake/one_pool.c"

#define MIN  60u
#define HOUR 3600u
#define DAY  86400u

static struct schedule  S;
static uint64_t         now;      /* the wall clock */
static uint64_t         armed;    /* when to be woken */
static unsigned         busy;     /* operations under way */
static unsigned         lines;    /* for the operator */
static char             line[700];
static uint64_t         uuids;

/* --- the world ----------------------------------------------------------- */

static uint64_t w_now_s(void *arg)
{
	(void)arg;
	return now;
}

static void w_arm(void *arg, uint64_t at_s)
{
	(void)arg;
	armed = at_s;
}

static void w_uuid(void *arg, struct uuid *ret)
{
	(void)arg;
	memset(ret, 0, sizeof(*ret));
	uuids++;
	memcpy(ret->b, &uuids, sizeof(uuids));
}

static void w_begin(void *arg)
{
	(void)arg;
	busy++;
}

static void w_end(void *arg)
{
	(void)arg;
	assert_true(busy > 0);
	busy--;
}

static void w_log(void *arg, const char *text)
{
	(void)arg;
	lines++;
	snprintf(line, sizeof(line), "%s", text);
}

static const struct schedule_ops ops = {
	.now_s = w_now_s, .arm = w_arm,	.uuid = w_uuid,
	.begin = w_begin, .end = w_end, .log = w_log,
};

static void settle(void)
{
	fake_settle(P);
	assert_int_equal(S.state, SCHEDULE_IDLE);
	assert_int_equal(busy, 0);
}

static void serve(void)
{
	schedule_init(&S, &P->io, &ops, NULL);
	schedule_start(&S, V);
	settle();
}

/* The clock goes on to t, and wakes whoever wants that on its way. */
static void pass_to(uint64_t t)
{
	while (armed <= t) {
		assert_true(armed > now);
		now = armed;
		schedule_wake(&S);
		settle();
	}
	now = t;
}

/* Somebody sets the clock. */
static void jump_to(uint64_t t)
{
	now = t;
	schedule_wake(&S);
	settle();
}

__attribute__((unused))
static void crash(uint32_t keep_row)
{
	busy = 0;
	io_timer_cancel(&P->io, &S.retry);
	fake_crash(P, V, keep_row);
	assert_int_equal(fake_open(P, NULL, &V), 0);
}

/* Not while the server serves. */
__attribute__((unused))
static void down_until(uint64_t t)
{
	schedule_stop(&S);
	settle();
	assert_int_equal(armed, UINT64_MAX);
	now = t;
	schedule_start(&S, V);
	settle();
}

/* What has failed is tried again now. */
__attribute__((unused))
static void try_again(void)
{
	assert_true(io_timer_armed(&S.retry));
	P->io.now_ns = S.retry.deadline_ns;
	fake_turn(P);
	settle();
}

static int setup(void **state)
{
	(void)state;
	one_open(17, NULL);
	busy = lines = 0;
	line[0] = '\0';
	/* A Monday. */
	now = civil_to_s(2026, 11, 23) + 19 * HOUR + 7 * MIN;
	assert_int_equal(kit_create(P, V, "v", 1 << 20), 0);
	serve();
	assert_int_equal(armed, UINT64_MAX);
	return 0;
}

static int teardown(void **state)
{
	schedule_stop(&S);
	settle();
	return one_teardown(state);
}

/* --- what people do ------------------------------------------------------ */

/* keep: in order of enum period, ended by what is not there. */
static struct vol_ctl set(const char *name, const uint16_t keep[PERIODS])
{
	struct vol_ctl ctl = { .name = name, .now_s = now };

	memcpy(ctl.schedule.keep, keep, sizeof(ctl.schedule.keep));
	kit_ctl_run(P, V, &ctl, vol_schedule_set);
	schedule_wake(&S);
	settle();
	return ctl;
}

#define SET(name, ...) \
	assert_int_equal(set(name, (const uint16_t[PERIODS]){ __VA_ARGS__ })\
				 .res, 0)

static int run(const char *name, const char *new_name,
	       void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl ctl = { .name = name, .new_name = new_name,
			       .now_s = now };

	w_uuid(NULL, &ctl.uuid);
	return one_run(op, ctl).res;
}

/* --- what there is ------------------------------------------------------- */

/* Of a kind (PERIODS: that no schedule took). */
static unsigned count(const char *volume, enum period kind)
{
	struct volume *v = vols_find(V, volume), *s = NULL;
	unsigned n = 0;

	while ((s = vol_snap_next(v, s)) != NULL)
		n += vol_schedule_kind(s) == kind;
	return n;
}

static bool there(const char *name)
{
	return vols_find(V, name) != NULL;
}

__attribute__((unused))
static enum period kind_of(const char *name)
{
	assert_true(there(name));
	return vol_schedule_kind(vols_find(V, name));
}
