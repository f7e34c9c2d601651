/* tools/tarn/progress.c - bar, rate and time left.
 *
 * The rate is that of late: each look at the clock counts for as much of it as
 * time has passed, out of some seconds.
 */
#include "tools/tarn/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define BAR_EVERY_NS   (200 * NS_PER_MS)
#define LINES_EVERY_NS NS_PER_S
#define RATE_OVER_S    5.0
#define COLUMNS_DFLT   80

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static enum progress_mode mode_of(const struct cli *cli)
{
	if ((cli->given & CLI_OPT_PROGRESS) != 0 && cli->json)
		return PROGRESS_JSON;
	if (!cli->json && isatty(STDERR_FILENO))
		return PROGRESS_BAR;
	return (cli->given & CLI_OPT_PROGRESS) != 0 ? PROGRESS_LINES
						     : PROGRESS_SILENT;
}

/* "0:07", "12:34", "3:12:34", or "?". */
static void time_text(double seconds, char *ret, size_t bytes)
{
	unsigned s = (unsigned)seconds;

	if (!(seconds >= 0 && seconds < 1e8))
		snprintf(ret, bytes, "?");
	else if (s < 3600)
		snprintf(ret, bytes, "%u:%02u", s / 60, s % 60);
	else
		snprintf(ret, bytes, "%u:%02u:%02u", s / 3600, s / 60 % 60,
			 s % 60);
}

/* Seconds; negative: nobody knows. */
static double time_left(const struct progress *p)
{
	if (p->total_bytes == 0 || p->rate < 1)
		return -1;
	return (double)(p->total_bytes -
			min_u64(p->done_bytes, p->total_bytes)) / p->rate;
}

static unsigned percent(const struct progress *p)
{
	return (unsigned)((double)min_u64(p->done_bytes, p->total_bytes) *
			  100 / (double)max_u64(p->total_bytes, 1));
}

char *progress_line(const struct progress *p, unsigned columns,
		    char *ret_line)
{
	char   done[SIZE_TEXT_BYTES], total[SIZE_TEXT_BYTES];
	char   rate[SIZE_TEXT_BYTES], left[32], tail[160], bar[101];
	size_t used, cells, full;

	size_text(p->done_bytes, done);
	size_text(p->total_bytes, total);
	size_text((uint64_t)p->rate, rate);
	time_text(time_left(p), left, sizeof(left));
	if (p->total_bytes == 0) {
		snprintf(ret_line, 512, "%s  %s  %s/s", p->what, done, rate);
		return ret_line;
	}
	snprintf(tail, sizeof(tail), "%3u%%  %s of %s  %s/s  %s left",
		 percent(p), done, total, rate, left);
	/* One column stays free: some terminals wrap in the last one. */
	used = text_width(p->what) + strlen(tail) + 6;
	cells = columns > used ? min_u64(columns - used, sizeof(bar) - 1) : 0;
	full = cells * percent(p) / 100;
	memset(bar, '-', cells);
	memset(bar, '#', full);
	bar[cells] = '\0';
	if (cells < 4)
		snprintf(ret_line, 512, "%s  %s", p->what, tail);
	else
		snprintf(ret_line, 512, "%s  [%s] %s", p->what, bar, tail);
	return ret_line;
}

static void show_json(const struct progress *p, bool done)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:b}", "progress", p->what,
			      "done_bytes", (json_int_t)p->done_bytes,
			      "total_bytes", (json_int_t)p->total_bytes,
			      "rate_bytes_s", (json_int_t)p->rate, "done",
			      done);

	if (time_left(p) >= 0)
		json_object_set_new(o, "left_s",
				    json_integer((json_int_t)time_left(p)));
	json_dumpf(o, stderr, JSON_COMPACT);
	putc('\n', stderr);
	json_decref(o);
}

static void show(const struct progress *p, bool done)
{
	struct winsize ws = { 0 };
	unsigned columns = COLUMNS_DFLT;
	char line[512];

	switch (p->mode) {
	case PROGRESS_SILENT:
		return;
	case PROGRESS_JSON:
		show_json(p, done);
		return;
	case PROGRESS_LINES:
		fprintf(stderr, "%s\n", progress_line(p, 0, line));
		return;
	case PROGRESS_BAR:
		break;
	}
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		columns = ws.ws_col;
	fprintf(stderr, "\r%s\033[K", progress_line(p, columns, line));
	fflush(stderr);
}

void progress_begin(struct progress *p, const struct cli *cli,
		    const char *what, uint64_t first_bytes,
		    uint64_t total_bytes)
{
	memset(p, 0, sizeof(*p));
	p->mode = mode_of(cli);
	text_escape(what, p->what, sizeof(p->what));
	p->total_bytes = total_bytes;
	p->first_bytes = p->done_bytes = p->shown_bytes = first_bytes;
	p->begin_ns = p->shown_ns = now_ns();
}

void progress_update(struct progress *p, uint64_t done_bytes)
{
	uint64_t every, now;
	double   s, weight;

	p->done_bytes = done_bytes;
	if (p->mode == PROGRESS_SILENT)
		return;
	every = p->mode == PROGRESS_BAR ? BAR_EVERY_NS : LINES_EVERY_NS;
	now = now_ns();
	if (now - p->shown_ns < every)
		return;
	s = (double)(now - p->shown_ns) / (double)NS_PER_S;
	weight = s < RATE_OVER_S ? s / RATE_OVER_S : 1;
	/* At first there is nothing to weigh against. */
	if ((double)(now - p->begin_ns) < RATE_OVER_S * (double)NS_PER_S)
		weight = (double)(now - p->shown_ns) /
			 (double)(now - p->begin_ns);
	p->rate += weight *
		   ((double)(done_bytes - min_u64(p->shown_bytes, done_bytes)) /
			    s - p->rate);
	p->shown_ns = now;
	p->shown_bytes = done_bytes;
	show(p, false);
}

void progress_end(struct progress *p, bool done)
{
	uint64_t ns = max_u64(now_ns() - p->begin_ns, 1);

	/* At the end, that over all. */
	p->rate = (double)(p->done_bytes - p->first_bytes) *
		  (double)NS_PER_S / (double)ns;
	if (p->mode == PROGRESS_BAR)
		fputs("\r\033[K", stderr);
	if (p->mode == PROGRESS_JSON || p->mode == PROGRESS_LINES)
		show(p, done);
	p->mode = PROGRESS_SILENT;
}
