/* tests/unit/test_io_timer.c - timers and deferred work, without an engine:
 * the test sets the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/io.h"

#define TIMERS 1000u

struct probe {
	struct io_timer timer;
	struct io_work	work;
	struct io      *io;
	unsigned	fired;    /* times */
	uint64_t	fired_ns; /* when last */
	struct probe   *victim;   /* cancelled or undeferred when this fires */
	bool		again;    /* arm or defer itself again */
};

static void timer_fired(struct io_timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	assert_false(io_timer_armed(t));
	assert_true(t->deadline_ns <= io_now_ns(p->io));
	p->fired++;
	p->fired_ns = io_now_ns(p->io);
	if (p->victim != NULL)
		io_timer_cancel(p->io, &p->victim->timer);
	if (p->again)
		io_timer_arm(p->io, t, 0);
}

static void work_ran(struct io_work *w)
{
	struct probe *p = container_of(w, struct probe, work);

	p->fired++;
	if (p->victim != NULL)
		io_undefer(&p->victim->work);
	if (p->again)
		io_defer(p->io, w);
}

static void probe_init(struct probe *p, struct io *io)
{
	memset(p, 0, sizeof(*p));
	p->io = io;
	io_timer_init(&p->timer, timer_fired);
	io_work_init(&p->work, work_ran);
}

static int setup(void **state)
{
	struct io *io = calloc(1, sizeof(*io));

	assert_int_equal(io_common_init(io, NULL, 1), 0);
	*state = io;
	return 0;
}

static int teardown(void **state)
{
	io_common_fini(*state);
	free(*state);
	return 0;
}

static void test_order(void **state)
{
	struct io    *io = *state;
	struct probe *p = calloc(TIMERS, sizeof(*p));
	struct prng   prng;
	uint64_t      last_ns = 0;
	unsigned      fired = 0;

	prng_init(&prng, 7);
	for (unsigned i = 0; i < TIMERS; i++) {
		probe_init(&p[i], io);
		io_timer_arm(io, &p[i].timer, 1 + prng_below(&prng, 500));
	}
	/* Some move, some go. */
	for (unsigned i = 0; i < TIMERS; i += 3)
		io_timer_arm(io, &p[i].timer, 1 + prng_below(&prng, 500));
	for (unsigned i = 1; i < TIMERS; i += 5)
		io_timer_cancel(io, &p[i].timer);

	while (io_next_deadline_ns(io) != UINT64_MAX) {
		uint64_t next_ns = io_next_deadline_ns(io);

		assert_true(next_ns > last_ns);
		last_ns = next_ns;
		io->now_ns = next_ns;
		assert_true(io_run_due(io) > 0);
	}
	for (unsigned i = 0; i < TIMERS; i++) {
		assert_int_equal(p[i].fired, i % 5 == 1 ? 0 : 1);
		if (p[i].fired > 0)
			assert_int_equal(p[i].fired_ns,
					 p[i].timer.deadline_ns);
		fired += p[i].fired;
	}
	assert_int_equal(fired, TIMERS - TIMERS / 5);
	free(p);
}

static void test_cancel(void **state)
{
	struct io   *io = *state;
	struct probe a;
	struct probe b;

	probe_init(&a, io);
	probe_init(&b, io);
	io_timer_cancel(io, &a.timer); /* not armed: harmless */
	io_timer_arm(io, &a.timer, 10);
	io_timer_cancel(io, &a.timer);
	assert_int_equal(io_next_deadline_ns(io), UINT64_MAX);

	/* One that is due too, cancelled by the first. */
	io_timer_arm(io, &a.timer, 10);
	io_timer_arm(io, &b.timer, 11);
	a.victim = &b;
	io->now_ns = 20;
	assert_int_equal(io_run_due(io), 1);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
}

static void test_past_is_next_turn(void **state)
{
	struct io   *io = *state;
	struct probe a;

	probe_init(&a, io);
	a.again = true;
	io->now_ns = 100;
	io_timer_arm(io, &a.timer, 5);
	assert_int_equal(io_run_due(io), 0);
	for (unsigned i = 1; i <= 3; i++) {
		io->now_ns++;
		assert_int_equal(io_run_due(io), 1);
		assert_int_equal(a.fired, i);
	}
	io_timer_cancel(io, &a.timer);
}

static void test_deferred(void **state)
{
	struct io   *io = *state;
	struct probe a;
	struct probe b;
	struct probe c;

	probe_init(&a, io);
	probe_init(&b, io);
	probe_init(&c, io);
	io_defer(io, &a.work);
	io_defer(io, &a.work); /* once is enough */
	io_defer(io, &b.work);
	io_defer(io, &c.work);
	io_undefer(&c.work);
	io_undefer(&c.work);
	a.again = true; /* in the next turn, not in this one */
	assert_int_equal(io_run_due(io), 2);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 1);
	assert_int_equal(c.fired, 0);

	/* What is taken back in the turn in which it is due does not run. */
	a.again = false;
	a.victim = &b;
	io_defer(io, &b.work);
	assert_int_equal(io_run_due(io), 1);
	assert_int_equal(a.fired, 2);
	assert_int_equal(b.fired, 1);
	assert_int_equal(io_run_due(io), 0);
}

static void test_fini_forgets(void **state)
{
	struct io    io;
	struct probe a;

	(void)state;
	assert_int_equal(io_common_init(&io, NULL, 1), 0);
	probe_init(&a, &io);
	io_timer_arm(&io, &a.timer, 1);
	io_defer(&io, &a.work);
	io_common_fini(&io);
	assert_false(io_timer_armed(&a.timer));
	assert_true(list_empty(&a.work.link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_past_is_next_turn, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_deferred, setup,
						teardown),
		cmocka_unit_test(test_fini_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
