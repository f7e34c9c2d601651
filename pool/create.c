/* pool/create.c - making a pool on blank disks.
 *
 *   check      sizes, flush, domains; nothing is written before all is right
 *   WIPE       both label areas of every disk become zeros, flushed: no older
 *              label can come back
 *   LABEL      first labels: members, no root yet
 *   COMMIT     the empty state; its labels make the pool
 *
 * A creation that is cut short leaves labels without a root: such a pool does
 * not open, and says so.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"

#define AREA_BYTES      (LABEL_AREA_BLOCKS * TARN_BLOCK)
#define ZONES_WANTED    256u
#define ZONES_MIN       16u
#define ZONE_SHIFT_HIGH 14u /* 64 MiB, unless disks are very large */

struct creator {
	struct pool     *pool;
	struct pool_disk *disks;
	unsigned         ndisks;
	unsigned         pending;
	unsigned         step;      /* 0: wiping, 1: flushing */
	int              res;
	bool             aborted;
	char             error[512];
	uint8_t         *zeros;
	struct create_req {
		struct disk_req req;
		struct creator *c;
	}               *reqs;      /* two a disk */
	struct label_waiter waiter;
	struct io_work   work;
};

static void creator_free(struct pool *p)
{
	struct creator *c = p->creator;

	if (c == NULL)
		return;
	io_undefer(&c->work);
	free(c->disks);
	free(c->reqs);
	free(c->zeros);
	free(c);
	p->creator = NULL;
}

static void create_end(struct creator *c)
{
	struct pool    *p = c->pool;
	struct pool_op *op = p->op;

	op->res = c->res;
	snprintf(op->error, sizeof(op->error), "%s", c->error);
	p->op = NULL;
	creator_free(p);
	op->done(op);
}

/* The disks go back to the caller, who closes them. */
static void create_fail(struct creator *c, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void create_fail(struct creator *c, int res, const char *fmt, ...)
{
	struct pool *p = c->pool;
	va_list      ap;

	if (c->aborted)
		return;
	c->aborted = true;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	c->res = res;
	owner_stop(p);
	p->state = POOL_ST_CLOSED;
	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->disk = NULL;
	if (p->locked && p->params.owner.lock != NULL)
		p->params.owner.lock(p->params.owner.lock_arg, NULL);
	p->locked = false;
	create_end(c);
}

void create_abort(struct pool *p, int res, const char *why)
{
	if (p->creator != NULL)
		create_fail(p->creator, res, "pool %s cannot be made: %s",
			    p->name, why);
}

/* --- checks -------------------------------------------------------------- */

static uint32_t choose_zone_shift(const struct pool_disk *disks, unsigned n)
{
	uint64_t smallest = UINT64_MAX;
	uint32_t shift = ZONE_SHIFT_MIN + 1;

	for (unsigned i = 0; i < n; i++)
		smallest = min_u64(smallest,
				   disks[i].disk->size_bytes / TARN_BLOCK);
	while (shift < ZONE_SHIFT_HIGH &&
	       (smallest >> (shift + 1)) >= ZONES_WANTED)
		shift++;
	while (shift < ZONE_SHIFT_MAX && (smallest >> (shift + 1)) >= 65536)
		shift++;
	return shift;
}

/* Nothing was written yet: said when the operation ends, in a later turn. */
static void refuse(struct creator *c, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct creator *c, int res, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	c->res = res;
}

static bool check_disks(struct creator *c,
			const struct pool_create_params *params)
{
	struct pool *p = c->pool;

	for (unsigned i = 0; i < c->ndisks; i++) {
		const struct disk *d = c->disks[i].disk;
		uint64_t blocks = d->size_bytes / TARN_BLOCK;
		uint64_t least = 2 * LABEL_AREA_BLOCKS +
				 ((uint64_t)ZONES_MIN << p->zone_shift);

		if (!d->up)
			refuse(c, -ENOTCONN,
				    "disk %s cannot be reached: %s", d->place,
				    d->error_text);
		else if (d->read_only)
			refuse(c, -EROFS,
				    "disk %s is read-only: export it writable",
				    d->place);
		else if (blocks < least)
			refuse(c, -ENOSPC,
				    "disk %s is too small: at least %llu MiB "
				    "are needed",
				    d->place,
				    (unsigned long long)(least / 256 + 1));
		else if (!d->can_flush && !params->force)
			refuse(c, -EOPNOTSUPP,
				    "disk %s does not offer FLUSH, so what is "
				    "on it could be lost in a power cut; "
				    "export it with flush, or use --force",
				    d->place);
		if (c->res < 0)
			return false;
	}
	return true;
}

static void check_domains(struct creator *c)
{
	struct pool *p = c->pool;

	if (p->ndomains >= p->units)
		return;
	refuse(c, -EINVAL,
		    "redundancy %u+%u needs disks on %u different %s and there "
		    "are %u: add disks%s, or choose less redundancy",
		    p->k, p->m, p->units,
		    p->flags & LABEL_FLAG_DOMAIN_DISK ? "disks" : "hosts",
		    p->ndomains,
		    p->flags & LABEL_FLAG_DOMAIN_DISK
			    ? ""
			    : " on other hosts, use --domain disk");
}

static void check_capacity(struct creator *c)
{
	struct pool *p = c->pool;
	uint64_t     usable, used;

	if (c->res < 0)
		return;
	segs_capacity(p);
	pool_space(p, &usable, &used);
	if (usable == 0)
		refuse(c, -ENOSPC,
		       "pool %s would have no usable space: its disks are too "
		       "small or too unequal; use larger ones",
		       p->name);
}

/* --- steps --------------------------------------------------------------- */

static void create_committed(struct pool *p)
{
	p->commit.finished = NULL;
	p->state = POOL_ST_ACTIVE;
	p->creator->res = 0;
	create_end(p->creator);
}

static void create_labelled(struct label_waiter *w)
{
	struct creator *c = container_of(w, struct creator, waiter);
	struct pool    *p = c->pool;

	if (c->aborted || p->state != POOL_ST_OPENING)
		return;
	if (w->res < 0) {
		create_fail(c, w->res, "its labels could not be written");
		return;
	}
	owner_start(p);
	p->commit.finished = create_committed;
	commit_start(p);
}

static void create_label(struct creator *c)
{
	struct pool *p = c->pool;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		p->members[i]->state = MEMBER_ONLINE;
		p->members[i]->epoch = p->members[i]->disk->epoch;
	}
	p->lease_until_ns = UINT64_MAX; /* until the first heartbeat */
	segs_capacity(p);
	segs_compose(p, 8, SEG_OPENABLE);
	p->client->format(p->client_arg);
	c->waiter.done = create_labelled;
	label_write(p, &c->waiter);
}

static void wipe_step(struct creator *c);

static void wipe_done(struct disk_req *req)
{
	struct create_req *q = container_of(req, struct create_req, req);
	struct creator    *c = q->c;

	if (req->res < 0 && c->res == 0) {
		c->res = req->res;
		snprintf(c->error, sizeof(c->error),
			 "disk %.400s cannot be written: %.80s",
			 c->disks[(q - c->reqs) / 2].disk->place,
			 strerror(-req->res));
	}
	if (--c->pending == 0)
		wipe_step(c);
}

static void wipe_submit(struct creator *c, unsigned i, enum disk_op op,
			uint64_t off_bytes, uint32_t len_bytes)
{
	struct create_req *q = &c->reqs[i];

	q->c = c;
	q->req.op = (uint8_t)op;
	q->req.off_bytes = off_bytes;
	q->req.len_bytes = len_bytes;
	q->req.buf = len_bytes > 0 ? c->zeros : NULL;
	q->req.done = wipe_done;
	c->pending++;
	disk_submit(c->disks[i / 2].disk, &q->req);
}

static void wipe_step(struct creator *c)
{
	if (c->aborted)
		return;
	if (c->res < 0) {
		char text[512];

		snprintf(text, sizeof(text), "%s", c->error);
		create_fail(c, c->res, "%s", text);
		return;
	}
	if (c->step == 1) {
		create_label(c);
		return;
	}
	c->step = 1;
	for (unsigned i = 0; i < c->ndisks; i++)
		wipe_submit(c, 2 * i, DISK_FLUSH, 0, 0);
}

static void create_work_fn(struct io_work *w)
{
	struct creator *c = container_of(w, struct creator, work);
	struct pool    *p = c->pool;

	if (c->res < 0) {
		char text[512];

		snprintf(text, sizeof(text), "%s", c->error);
		create_fail(c, c->res, "%s", text);
		return;
	}
	c->step = 0;
	for (unsigned i = 0; i < c->ndisks; i++) {
		uint64_t tail = p->members[i]->size_blocks - LABEL_AREA_BLOCKS;

		wipe_submit(c, 2 * i, DISK_WRITE, 0, AREA_BYTES);
		wipe_submit(c, 2 * i + 1, DISK_WRITE, blocks_to_bytes(tail),
			    AREA_BYTES);
	}
}

static void new_uuid(struct pool *p, struct uuid *ret)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t v = prng_u64(&p->io->prng);

		memcpy(ret->b + 8 * i, &v, 8);
	}
	ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x40);
	ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
}

static int make_members(struct creator *c)
{
	struct pool *p = c->pool;

	for (unsigned i = 0; i < c->ndisks; i++) {
		struct label_member_info info;
		int                      r;

		memset(&info, 0, sizeof(info));
		new_uuid(p, &info.uuid);
		info.size_blocks = c->disks[i].disk->size_bytes / TARN_BLOCK;
		info.zones = (uint32_t)min_u64(
			(info.size_blocks - 2 * LABEL_AREA_BLOCKS) >>
				p->zone_shift,
			UINT32_MAX / 2);
		info.state = LABEL_MEMBER_IN;
		snprintf(info.domain, sizeof(info.domain), "%s",
			 c->disks[i].domain);
		r = member_new(p, i, &info, &p->members[i]);
		if (r < 0)
			return r;
		p->nmembers++;
		member_attach(p->members[i], c->disks[i].disk);
	}
	members_domains(p);
	return 0;
}

static void identify(struct pool *p, const struct pool_create_params *params,
		     const struct pool_disk *disks, unsigned ndisks)
{
	snprintf(p->name, sizeof(p->name), "%s", params->name);
	p->uuid = params->uuid;
	p->k = params->k;
	p->m = params->m;
	p->zone_shift = params->zone_shift != 0
				? params->zone_shift
				: choose_zone_shift(disks, ndisks);
	p->row_blocks_max = params->row_blocks_max != 0 ? params->row_blocks_max
							: ROW_PAYLOAD_MAX;
	p->flags = params->domain_disk ? LABEL_FLAG_DOMAIN_DISK : 0;
	p->created_s = params->now_s;
	p->claim = 1;
	new_uuid(p, &p->claim_id);
	p->next_row = 1;
}

static const char *params_problem(const struct pool_create_params *c,
				  unsigned ndisks)
{
	if (c->name == NULL || c->name[0] == '\0' ||
	    strlen(c->name) > POOL_NAME_MAX)
		return "a pool's name has 1 to 63 bytes";
	if (c->k < 1 || c->k > POOL_K_MAX || c->m > POOL_M_MAX)
		return "redundancy K+M has K from 1 to 16 and M from 0 to 4";
	if (c->zone_shift != 0 && (c->zone_shift < ZONE_SHIFT_MIN ||
				   c->zone_shift > ZONE_SHIFT_MAX))
		return "the zone size is out of range";
	if (c->row_blocks_max > ROW_PAYLOAD_MAX)
		return "the row size is out of range";
	if (ndisks < 1)
		return "a pool needs disks: name at least one";
	if (ndisks > POOL_MEMBERS_MAX)
		return "a pool has at most 256 disks";
	return NULL;
}

static void prepare(struct creator *c)
{
	struct pool *p = c->pool;
	int          r = 0;

	if (p->params.owner.lock != NULL)
		r = p->params.owner.lock(p->params.owner.lock_arg, &p->uuid);
	if (r < 0) {
		c->res = r;
		snprintf(c->error, sizeof(c->error),
			 "pool %s: cannot take its lock: %s", p->name,
			 strerror(-r));
		return;
	}
	p->locked = true;
	c->reqs = calloc(2 * (size_t)c->ndisks, sizeof(*c->reqs));
	c->zeros = aligned_alloc(TARN_BLOCK, AREA_BYTES);
	r = pool_setup(p);
	if (r == 0 && (c->reqs == NULL || c->zeros == NULL))
		r = -ENOMEM;
	if (r == 0)
		r = make_members(c);
	if (r < 0) {
		c->res = r;
		snprintf(c->error, sizeof(c->error), "out of memory");
		return;
	}
	memset(c->zeros, 0, AREA_BYTES);
	check_domains(c);
	check_capacity(c);
}

void pool_create(struct pool *p, const struct pool_create_params *params,
		 struct pool_disk *disks, unsigned ndisks, struct pool_op *op)
{
	struct creator *c = calloc(1, sizeof(*c));
	const char     *why = params_problem(params, ndisks);

	assert(p->state == POOL_ST_NEW && c != NULL);
	p->op = op;
	p->creator = c;
	p->state = POOL_ST_OPENING;
	c->pool = p;
	io_work_init(&c->work, create_work_fn);
	io_defer(p->io, &c->work);
	if (why != NULL) {
		c->res = -EINVAL;
		snprintf(c->error, sizeof(c->error), "%s", why);
		return;
	}
	c->ndisks = ndisks;
	c->disks = calloc(ndisks, sizeof(*c->disks));
	assert(c->disks != NULL);
	memcpy(c->disks, disks, ndisks * sizeof(*disks));
	identify(p, params, disks, ndisks);
	if (check_disks(c, params))
		prepare(c);
}
