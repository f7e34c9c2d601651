/* tests/stamp/journal.c - what was submitted, acknowledged and flushed. */
#include "tests/stamp/stamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct stamp_write *journal_add(struct journal *j)
{
	if (j->nwrites == j->cap) {
		j->cap = j->cap == 0 ? 4096 : 2 * j->cap;
		j->writes = realloc(j->writes, j->cap * sizeof(j->writes[0]));
		if (j->writes == NULL)
			abort();
	}
	memset(&j->writes[j->nwrites], 0, sizeof(j->writes[0]));
	return &j->writes[j->nwrites++];
}

/* Ids rise, so that they can be found by halving. */
struct stamp_write *journal_find(struct journal *j, uint64_t id)
{
	size_t lo = 0, hi = j->nwrites;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (j->writes[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < j->nwrites && j->writes[lo].id == id ? &j->writes[lo]
							 : NULL;
}

/* A flush makes durable what was acknowledged before it was submitted. */
static void flush_done(struct journal *j, uint64_t submit_pos)
{
	for (size_t i = j->nwrites; i-- > 0;) {
		struct stamp_write *w = &j->writes[i];

		if (w->state == WRITE_ACKED && w->ack_pos < submit_pos)
			w->state = WRITE_FLUSHED;
	}
}

static void forget(struct journal *j, uint64_t id)
{
	struct stamp_write *w = journal_find(j, id);

	if (w != NULL)
		w->n = 0;
}

static int journal_parse(struct journal *j, const char *line,
			 uint64_t *flush_pos)
{
	uint64_t            a = 0, b = 0, c = 0;
	char                kind = 0;
	int                 n;
	struct stamp_write *w;

	n = sscanf(line, "%c %" SCNu64 " %" SCNu64 " %" SCNu64, &kind, &a, &b,
		   &c);
	j->lines++;
	switch (kind) {
	case 'S':
		j->seed = a;
		j->nblocks = b;
		return n == 3 ? 0 : -1;
	case 'W':
	case 'Z':
		if (n != 4 || a <= j->last_id || c == 0 || c > STAMP_RUN_MAX ||
		    b > j->nblocks || c > j->nblocks - b)
			return -1;
		w = journal_add(j);
		w->id = j->last_id = a;
		w->block = b;
		w->n = (uint32_t)c;
		w->zero = kind == 'Z';
		w->submit_pos = j->lines;
		return 0;
	case 'A':
		w = journal_find(j, a);
		if (w == NULL)
			return -1;
		w->state = WRITE_ACKED;
		w->ack_pos = j->lines;
		return 0;
	case 'E':
		return 0;
	case 'L':
		forget(j, a);
		return 0;
	case 'f':
		*flush_pos = j->lines;
		return 0;
	case 'F':
		flush_done(j, *flush_pos);
		return 0;
	default:
		return -1;
	}
}

static int journal_load(struct journal *j, const char *path, FILE *f)
{
	char     line[128];
	uint64_t flush_pos = 0;

	while (fgets(line, sizeof(line), f) != NULL) {
		if (strchr(line, '\n') == NULL)
			break; /* the last line, cut off: it never happened */
		if (journal_parse(j, line, &flush_pos) < 0) {
			fprintf(stderr, "stamp: %s:%" PRIu64 ": not a line of"
				" a journal: %s", path, j->lines, line);
			return -1;
		}
	}
	return 0;
}

int journal_open(struct journal *j, const char *path, uint64_t nblocks)
{
	struct timespec ts;
	FILE           *f = fopen(path, "r");
	int             r;

	memset(j, 0, sizeof(*j));
	if (f != NULL) {
		r = journal_load(j, path, f);
		fclose(f);
		if (r < 0)
			return -1;
		if (j->nblocks > nblocks) {
			fprintf(stderr, "stamp: the journal %s is of a larger"
				" volume: %" PRIu64 " blocks, not %" PRIu64
				"\n", path, j->nblocks, nblocks);
			return -1;
		}
	}
	j->file = fopen(path, "a");
	if (j->file == NULL) {
		fprintf(stderr, "stamp: %s: %s\n", path, strerror(errno));
		return -1;
	}
	/* Each line is one write(2): it survives us as soon as it is said. */
	setvbuf(j->file, NULL, _IOLBF, 256);
	if (j->lines == 0) {
		clock_gettime(CLOCK_REALTIME, &ts);
		j->seed = (uint64_t)ts.tv_sec * 1000000007ull +
			  (uint64_t)ts.tv_nsec + (uint64_t)getpid();
		j->nblocks = nblocks;
		j->lines = 1;
		fprintf(j->file, "S %" PRIu64 " %" PRIu64 "\n", j->seed,
			j->nblocks);
	}
	return 0;
}

void journal_line(struct journal *j, char kind, uint64_t id, uint64_t block,
		  uint32_t n)
{
	int r;

	if (kind == 'W' || kind == 'Z')
		r = fprintf(j->file, "%c %" PRIu64 " %" PRIu64 " %" PRIu32
			    "\n", kind, id, block, n);
	else if (kind == 'E')
		r = fprintf(j->file, "E %" PRIu64 " %" PRIu32 "\n", id, n);
	else
		r = fprintf(j->file, "%c %" PRIu64 "\n", kind, id);
	if (r < 0) {
		perror("stamp: cannot write the journal");
		exit(2);
	}
	j->lines++;
}

void journal_close(struct journal *j)
{
	if (j->file != NULL)
		fclose(j->file);
	free(j->writes);
}
