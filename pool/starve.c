/* pool/starve.c - no segment for the next row of a class: wait, or say ENOSPC.
 *
 * A class starves from the first row that found no segment until one did.  A
 * commit, the cleaner or the end of a quarantine may make room, so what waits
 * is given time: the more, the more there is to hope for.  When that is over,
 * all that waits fails with ENOSPC, and so does at once what comes after it,
 * until a row of the class finds a place or there is reason for new hope:
 * zones or a disk came back, or much of what lived has died (starve_hope()).
 *
 * P6: requests wait for one another too, behind the same blocks or for memory,
 * and each of those may have waited here.  So a request that is old already
 * does not get that time again; but nothing fails because of starving that has
 * only begun: it may have waited for something else, and a commit may be just
 * about to end.
 *
 * What a commit writes never fails: without it nothing could go on.
 */
#include <errno.h>

#include "pool/core.h"

/* How long a class may starve: when nothing is known that would help, when a
 * commit, the cleaner or the quarantine will, and in all, since these may come
 * to nothing or wait for a disk that hangs. */
#define PATIENCE_NS      (1 * NS_PER_S)
#define PATIENCE_HOPE_NS (3 * NS_PER_S)
#define PATIENCE_MAX_NS  (6 * NS_PER_S)
/* A request of that age gets no more than PATIENCE_NS. */
#define OLD_NS           (6 * NS_PER_S)

void starve_none(struct pool *p, unsigned class)
{
	p->starve[class].waits = false;
	p->starve[class].since_ns = 0;
}

static void begin(struct pool *p, struct starve *s)
{
	s->since_ns = io_now_ns(p->io);
	s->grace_ns = 0;
	s->live = p->live_total;
}

void starve_miss(struct pool *p, unsigned class)
{
	struct starve *s = &p->starve[class];

	s->waits = true;
	if (s->since_ns == 0 ||
	    p->live_total + p->seg_data_blocks / 4 <= s->live)
		begin(p, s);
}

void starve_hope(struct pool *p)
{
	for (unsigned i = 0; i < LOG_CLASSES; i++)
		starve_none(p, i);
	log_kick(p);
	if (p->client->room != NULL)
		p->client->room(p->client_arg);
}

void starve_commit_done(struct pool *p)
{
	bool another = commit_pending(p);

	/* It found no zones to list, the next one may. */
	for (unsigned i = 0; another && i < LOG_CLASSES; i++)
		p->starve[i].grace_ns = io_now_ns(p->io) + PATIENCE_NS;
	log_kick(p);
}

/* When the class has starved for too long. */
static uint64_t end_ns(struct pool *p, unsigned class)
{
	const struct starve *s = &p->starve[class];
	uint64_t patience = PATIENCE_NS;

	if (commit_running(p) || late_waits(p) ||
	    (class == LOG_CLIENT && rebalance_helps(p)))
		patience = PATIENCE_MAX_NS;
	else if (commit_pending(p) || quarantine_will_help(p) ||
		 (class == LOG_CLIENT && cleaner_can_help(p)))
		patience = PATIENCE_HOPE_NS;
	return min_u64(max_u64(s->since_ns + patience, s->grace_ns),
		       s->since_ns + PATIENCE_MAX_NS);
}

/* The last commit of all waits for the quarantine, as that ends by itself;
 * when there is nothing to wait for, the pool closes without it. */
static void resolve_commit(struct pool *p, const struct starve *s)
{
	uint64_t now = io_now_ns(p->io);

	if (p->state == POOL_ST_CLOSING &&
	    now - s->since_ns >= PATIENCE_HOPE_NS &&
	    !quarantine_will_release(p))
		pool_fail(p, -ENOSPC,
			  "there is no space for its last commit; its log is "
			  "replayed when it is opened again");
	else
		io_timer_arm(p->io, &p->starve_timer, now + PATIENCE_NS);
}

void starve_resolve(struct pool *p, unsigned class)
{
	struct starve *s = &p->starve[class];
	uint64_t       now = io_now_ns(p->io);
	uint64_t       end;

	commit_consider(p);
	cleaner_kick(p);
	if (class == LOG_COMMIT) {
		resolve_commit(p, s);
		return;
	}
	end = end_ns(p, class);
	if (now >= end) {
		s->waits = false;
		log_gather_fail(p, class, UINT64_MAX, -ENOSPC);
		return;
	}
	if (now - s->since_ns >= PATIENCE_NS && now > OLD_NS)
		log_gather_fail(p, class, now - OLD_NS, -ENOSPC);
	io_timer_arm(p->io, &p->starve_timer, min_u64(now + PATIENCE_NS, end));
}

static void timer_fn(struct io_timer *t)
{
	log_kick(container_of(t, struct pool, starve_timer));
}

void starve_init(struct pool *p)
{
	io_timer_init(&p->starve_timer, timer_fn);
}
