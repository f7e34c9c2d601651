/* tools/tarn/progress.h - how far something long is, for who watches it.
 *
 * On a terminal (stderr): a bar, the rate and the time that is left, in one
 * line that is drawn again and taken away at the end.  Elsewhere nothing,
 * unless --progress asks for lines: of JSON with --json, else of text.  All of
 * it goes to stderr: what a command gives is on stdout.
 */
#ifndef TARN_TOOLS_TARN_PROGRESS_H
#define TARN_TOOLS_TARN_PROGRESS_H

#include "tools/tarn/cli.h"

enum progress_mode {
	PROGRESS_SILENT,
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
};

struct progress {
	enum progress_mode mode;
	char     what[64];      /* what is done, fit to be shown */
	uint64_t total_bytes;   /* 0: not known */
	uint64_t first_bytes;   /* done before it began */
	uint64_t done_bytes;
	uint64_t begin_ns;
	uint64_t shown_ns;      /* last time; 0: never */
	uint64_t shown_bytes;   /* done then */
	double   rate;          /* bytes a second, of late */
};

/* first_bytes of total_bytes (0: not known) are done already; what: in a few
 * words, "sending v@s". */
void progress_begin(struct progress *p, const struct cli *cli,
		    const char *what, uint64_t first_bytes,
		    uint64_t total_bytes);
/* As often as one likes. */
void progress_update(struct progress *p, uint64_t done_bytes);
/* done: all of it, so that the last line of JSON says so. */
void progress_end(struct progress *p, bool done);

/* The line for a terminal of `columns`; ret_line: 512 bytes; returns it. */
char *progress_line(const struct progress *p, unsigned columns,
		    char *ret_line);

#endif
