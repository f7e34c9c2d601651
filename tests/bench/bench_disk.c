/* tests/bench/bench_disk.c - what one disk costs us: requests a second and CPU
 * microseconds per request of this process, through struct disk.
 *
 *   bench_disk PLACE [read|write|flush] [DEPTH] [BYTES] [SECONDS] [LANES]
 *
 * Requests are random and aligned to their size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "io/place.h"

#define DEPTH_MAX 1024u

struct slot {
	struct disk_req req;
	struct bench   *b;
};

struct bench {
	struct io   *io;
	struct disk *d;
	struct slot  slots[DEPTH_MAX];
	unsigned     depth;
	unsigned     inflight;
	uint32_t     len_bytes;
	uint8_t	     op;
	bool	     up;
	bool	     stop;
	bool	     closed;
	uint64_t     done;
	uint64_t     turns;
};

static void start(struct bench *b, struct slot *s);

static void req_done(struct disk_req *req)
{
	struct slot  *s = container_of(req, struct slot, req);
	struct bench *b = s->b;

	b->inflight--;
	if (req->res < 0) {
		fprintf(stderr, "request: %s\n", strerror(-req->res));
		exit(1);
	}
	b->done++;
	if (!b->stop)
		start(b, s);
}

static void start(struct bench *b, struct slot *s)
{
	uint64_t places = b->d->size_bytes / b->len_bytes;

	s->req.op = b->op;
	s->req.len_bytes = b->op == DISK_FLUSH ? 0 : b->len_bytes;
	s->req.off_bytes = prng_below(&b->io->prng, places) * b->len_bytes;
	s->req.done = req_done;
	b->inflight++;
	disk_submit(b->d, &s->req);
}

static void event(struct disk *d, enum disk_event ev, void *arg)
{
	struct bench *b = arg;

	if (ev == DISK_EV_DOWN) {
		fprintf(stderr, "%s\n", d->error_text);
		exit(1);
	}
	b->up = true;
}

static void closed(void *arg)
{
	struct bench *b = arg;

	b->closed = true;
}

static double cpu_s(struct timeval user, struct timeval sys)
{
	return (double)(user.tv_sec + sys.tv_sec) +
	       (double)(user.tv_usec + sys.tv_usec) / 1e6;
}

static void run(struct bench *b)
{
	int r = io_run(b->io, UINT64_MAX);

	b->turns++;
	if (r < 0) {
		fprintf(stderr, "loop: %s\n", strerror(-r));
		exit(1);
	}
}

static void measure(struct bench *b, double seconds)
{
	struct rusage before;
	struct rusage after;
	uint64_t      t0 = io_now_ns(b->io);
	uint64_t      end_ns = t0 + (uint64_t)(seconds * 1e9);
	double	      took_s;
	double	      used_s;

	getrusage(RUSAGE_SELF, &before);
	for (unsigned i = 0; i < b->depth; i++)
		start(b, &b->slots[i]);
	while (io_now_ns(b->io) < end_ns)
		run(b);
	b->stop = true;
	while (b->inflight > 0)
		run(b);
	getrusage(RUSAGE_SELF, &after);
	took_s = (double)(io_now_ns(b->io) - t0) / 1e9;
	used_s = cpu_s(after.ru_utime, after.ru_stime) -
		 cpu_s(before.ru_utime, before.ru_stime);
	printf("%10.0f requests/s  %6.2f us CPU each  %4.0f %% of a core  "
	       "%.1f requests a turn  %u lanes\n",
	       (double)b->done / took_s, used_s * 1e6 / (double)b->done,
	       100 * used_s / took_s, (double)b->done / (double)b->turns,
	       b->d->lanes);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct disk_params  params = { 0 };
	char		    err[200];
	const char	   *op = argc > 2 ? argv[2] : "read";
	int		    r;

	if (argc < 2) {
		fprintf(stderr,
			"usage: bench_disk PLACE [read|write|flush] [DEPTH] "
			"[BYTES] [SECONDS] [LANES]\n");
		return 2;
	}
	b.op = op[0] == 'w' ? DISK_WRITE
			    : (op[0] == 'f' ? DISK_FLUSH : DISK_READ);
	b.depth = argc > 3 ? (unsigned)atoi(argv[3]) : 32;
	b.len_bytes = argc > 4 ? (uint32_t)atoi(argv[4]) : 4096;
	params.lanes = argc > 6 ? (unsigned)atoi(argv[6]) : 0;
	if (b.depth == 0 || b.depth > DEPTH_MAX || b.len_bytes % 4096 != 0 ||
	    b.len_bytes == 0) {
		fprintf(stderr, "depth: 1 to 1024; bytes: n * 4096\n");
		return 2;
	}
	r = io_uring_engine_open(1024, &b.io);
	if (r < 0) {
		fprintf(stderr, "io_uring: %s\n", strerror(-r));
		return 1;
	}
	for (unsigned i = 0; i < b.depth; i++) {
		b.slots[i].b = &b;
		b.slots[i].req.buf = aligned_alloc(4096, b.len_bytes);
		memset(b.slots[i].req.buf, (int)i, b.len_bytes);
	}
	r = disk_open(b.io, argv[1], &params, event, &b, &b.d, err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	while (!b.up)
		run(&b);
	b.turns = 0;
	measure(&b, argc > 5 ? atof(argv[5]) : 2);
	disk_close(b.d, closed, &b);
	while (!b.closed)
		run(&b);
	io_uring_engine_close(b.io);
	for (unsigned i = 0; i < b.depth; i++)
		free(b.slots[i].req.buf);
	return 0;
}
