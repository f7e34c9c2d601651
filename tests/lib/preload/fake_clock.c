/* tests/lib/preload/fake_clock.c - another wall clock for a program, by
 * LD_PRELOAD: FAKE_CLOCK_S seconds ahead of the real one (or, with a minus,
 * behind it).  It goes as fast; other clocks are as they are.
 *
 * What asks for the time and what waits for a time both see it, so a server
 * believes that it is the evening of a leap day, and wakes at its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static time_t ahead_s(void)
{
	const char *text = getenv("FAKE_CLOCK_S");

	return text != NULL ? (time_t)strtoll(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ts);

	if (r == 0 && clock == CLOCK_REALTIME)
		ts->tv_sec += ahead_s();
	return r;
}

/* All absolute timers of our programs are of the wall clock. */
int timerfd_settime(int fd, int flags, const struct itimerspec *at,
		    struct itimerspec *old)
{
	struct itimerspec real = *at;

	if (flags & TFD_TIMER_ABSTIME) {
		real.it_value.tv_sec -= ahead_s();
		/* 0 would be never; it is long past. */
		if (real.it_value.tv_sec <= 0)
			real.it_value.tv_sec = 1;
	}
	return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}
