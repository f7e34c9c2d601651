/* pool/hedge.c - reads that do not wait for a slow disk.
 *
 * A read of up to 16 blocks is sent to its disk with a buffer of ours:
 *
 *   sent --> answered in time --> copied to the reader's buffer
 *     |
 *     +--> has waited for twice as long as hardly any read does (speed.c): it is
 *          hedged, that is made from the other units, too (read.c)
 *            +--> the disk answers first: what is being made is forgotten
 *            +--> it is made first: the reader has it.  What is still on its way
 *                 from the disk goes to our buffer, which waits for it, as does
 *                 the segment
 *
 * A probe of a disk that reads go round has no reader from the start.  Larger
 * reads go to the reader's buffer at once and wait; but as soon as a disk owes an
 * answer, or has ended no read for 200 ms, further ones go round it.
 *
 * What limits it: of the reads of disks that are not in doubt, one in twenty may
 * be hedged, or twenty a second if that is more: when all disks are slow it must
 * not double their load.  With no buffer, a read waits for its disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define DIRECTS_MAX   512u
#define BYTES_SHARE   4u /* of the memory for rows */
#define TOKENS_MAX    64u
#define TOKEN_READS   20u
#define TOKEN_NS      (50 * NS_PER_MS)
#define LOOK_NS       (20 * NS_PER_MS)

struct direct {
	struct disk_req   req;
	struct list       link;   /* free, or not hedged yet, or in none */
	struct pool      *pool;
	struct pool_read *r;      /* NULL: it was answered otherwise */
	struct segment   *seg;    /* pinned */
	struct member    *member;
	uint32_t          n;      /* blocks */
	bool              hedged;
	uint32_t          no;     /* … as speed.c calls it */
	bool              probe;
};

static size_t bytes_of(const struct direct *d)
{
	return (size_t)d->n * TARN_BLOCK;
}

/* --- how many ------------------------------------------------------------ */

static void tokens_earn(struct hedges *h)
{
	if (++h->reads < TOKEN_READS)
		return;
	h->reads = 0;
	h->tokens = min_u32(h->tokens + 1, TOKENS_MAX);
}

static bool token_take(struct hedges *h, uint64_t now_ns)
{
	uint64_t n = (now_ns - h->refill_ns) / TOKEN_NS;

	h->tokens = (uint32_t)min_u64(h->tokens + n, TOKENS_MAX);
	h->refill_ns += n * TOKEN_NS;
	if (h->tokens == 0)
		return false;
	h->tokens--;
	return true;
}

/* --- hedging ------------------------------------------------------------- */

/* It has waited for so long. */
static void hedge(struct direct *d, uint64_t ns)
{
	struct member *m = d->member;

	list_remove(&d->link);
	if (!read_reconstruct(d->r))
		return;
	d->hedged = true;
	m->speed.owed++;
	m->pool->counters.hedged_reads++;
	d->no = speed_read_hedged(m, ns);
}

static void hedges_fn(struct io_timer *t)
{
	struct pool   *p = container_of(t, struct pool, hedges.timer);
	struct hedges *h = &p->hedges;
	uint64_t       now_ns = io_now_ns(p->io), bound_ns;

	/* The disks may be closed by now. */
	if (list_empty(&h->list))
		return;
	bound_ns = speed_bound_ns(p);
	while (!list_empty(&h->list)) {
		struct direct *d = list_first(&h->list, struct direct, link);
		uint64_t       due_ns = d->req.sent_ns + bound_ns;

		if (due_ns > now_ns) {
			io_timer_arm(p->io, t, due_ns);
			return;
		}
		if (!speed_avoids(d->member, d->n) && !token_take(h, now_ns)) {
			io_timer_arm(p->io, t, now_ns + TOKEN_NS);
			return;
		}
		hedge(d, now_ns - d->req.sent_ns);
	}
}

/* --- sending ------------------------------------------------------------- */

static void direct_free(struct direct *d)
{
	struct pool *p = d->pool;

	p->hedges.bytes -= bytes_of(d);
	bufpool_put(p->row_bufs, d->req.buf);
	list_remove(&d->link);
	list_push_front(&p->hedges.free, &d->link);
	seg_unpin(p, d->seg);
}

static void direct_count(const struct direct *d)
{
	struct member *m = d->member;
	uint64_t       ns = io_now_ns(d->pool->io) - d->req.sent_ns;
	bool           ok = d->req.res == 0;

	m->reads--;
	m->speed.owed -= d->hedged;
	if (d->probe)
		speed_probe_done(m, ok ? max_u64(ns, 1) : 0);
	if (ok && d->probe)
		latency_add(&m->speed.read, ns / NS_PER_US);
	else if (ok && d->hedged)
		speed_read_late(m, d->no, ns);
	else if (ok)
		speed_read_done(m, d->n, ns);
	else if (d->req.res != -ENOTCONN && d->req.res != -ECANCELED)
		m->errors_read++;
}

static void direct_done(struct disk_req *req)
{
	struct direct    *d = container_of(req, struct direct, req);
	struct pool_read *r = d->r;

	direct_count(d);
	list_remove(&d->link);
	if (r != NULL) {
		r->direct = NULL;
		read_answered(r, d->member, req->res, req->buf);
	}
	direct_free(d);
}

/* NULL: there is no buffer. */
static struct direct *direct_new(struct pool *p, uint32_t n)
{
	struct hedges *h = &p->hedges;
	size_t         bytes = (size_t)n * TARN_BLOCK;
	struct direct *d;
	void          *buf;

	if (list_empty(&h->free) ||
	    h->bytes + bytes > p->params.rows_memory_bytes / BYTES_SHARE)
		return NULL;
	buf = bufpool_get(p->row_bufs, bytes);
	if (buf == NULL)
		return NULL;
	d = list_first(&h->free, struct direct, link);
	list_remove(&d->link);
	h->bytes += bytes;
	d->pool = p;
	d->n = n;
	d->req.buf = buf;
	d->req.len_bytes = (uint32_t)bytes;
	return d;
}

static void direct_send(struct direct *d, const struct pool_read *r,
			struct segment *s)
{
	struct pool *p = d->pool;

	d->seg = s;
	d->member = seg_member(p, s, r->unit);
	d->hedged = false;
	d->req.op = DISK_READ;
	d->req.off_bytes = zone_off_bytes(p, s->zones[r->unit].zone,
					  place_off(p, r->place));
	d->req.done = direct_done;
	s->pins++;
	d->member->reads++;
	disk_submit(d->member->disk, &d->req);
}

bool hedge_send(struct pool_read *r, struct segment *s)
{
	struct pool   *p = r->pool;
	struct hedges *h = &p->hedges;
	struct direct *d =
		r->n > HEDGE_BLOCKS ? NULL : direct_new(p, r->n);

	if (d == NULL)
		return false;
	d->r = r;
	d->probe = false;
	r->direct = d;
	direct_send(d, r, s);
	tokens_earn(h);
	list_push(&h->list, &d->link);
	if (!io_timer_armed(&h->timer))
		io_timer_arm(p->io, &h->timer, d->req.sent_ns + LOOK_NS);
	return true;
}

void hedge_probe(struct pool_read *r, struct segment *s)
{
	struct direct *d = direct_new(r->pool, min_u32(r->n, HEDGE_BLOCKS));

	if (d == NULL)
		return;
	d->r = NULL;
	d->probe = true;
	direct_send(d, r, s);
	speed_probe_sent(d->member);
	r->pool->counters.probes++;
}

void hedge_forget(struct pool_read *r)
{
	struct direct *d = r->direct;

	if (d == NULL)
		return;
	list_remove(&d->link);
	if (!CANARY(hedge_answers_twice))
		d->r = NULL;
	r->direct = NULL;
	r->pool->counters.hedges_won += d->hedged;
}

/* --- life ---------------------------------------------------------------- */

int hedges_init(struct pool *p)
{
	struct hedges *h = &p->hedges;

	list_init(&h->free);
	list_init(&h->list);
	io_timer_init(&h->timer, hedges_fn);
	h->tokens = TOKENS_MAX;
	h->refill_ns = io_now_ns(p->io);
	h->mem = calloc(DIRECTS_MAX, sizeof(h->mem[0]));
	if (h->mem == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < DIRECTS_MAX; i++)
		list_push(&h->free, &h->mem[i].link);
	return 0;
}

void hedges_fini(struct pool *p)
{
	struct hedges *h = &p->hedges;

	if (h->mem == NULL)
		return;
	io_timer_cancel(p->io, &h->timer);
	free(h->mem);
	h->mem = NULL;
}
