/* server/tarnd_schedule.c - the clock of the schedules, and the pool that they
 * are of: while one is open for writing, they are followed.
 */
#include "server/event.h"
#include "server/tarnd.h"

static uint64_t now_s(void *arg)
{
	(void)arg;
	return tarnd_now_s();
}

static void arm(void *arg, uint64_t at_s)
{
	struct tarnd *t = arg;

	wall_timer_arm(&t->wall, at_s);
}

static void wall_due(struct wall_timer *w)
{
	schedule_wake(&container_of(w, struct tarnd, wall)->schedule);
}

static void uuid(void *arg, struct uuid *ret_uuid)
{
	(void)arg;
	tarnd_uuid(ret_uuid);
}

static void begin(void *arg)
{
	struct tarnd *t = arg;

	t->hosted.vol_calls++;
}

static void end(void *arg)
{
	hosted_call_end(arg);
}

static void log_line(void *arg, const char *line)
{
	tarnd_log(arg, "%s", line);
	event_say(arg, EVENT_WARNING, "schedule.state", "", 0, 0, "%s", line);
}

static const struct schedule_ops ops = {
	.now_s = now_s, .arm = arm,	.uuid = uuid,
	.begin = begin, .end = end, .log = log_line,
};

int tarnd_schedule_init(struct tarnd *t)
{
	int r = wall_timer_open(&t->wall, t->io, wall_due);

	if (r < 0)
		tarnd_log(t, "cannot get a timer: %s", strerror(-r));
	schedule_init(&t->schedule, t->io, &ops, t);
	return r;
}
