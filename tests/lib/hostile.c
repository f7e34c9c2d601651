/* tests/lib/hostile.c - see hostile.h. */
#include "tests/lib/hostile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool/label.h"
#include "tests/lib/mem_disk.h"
#include "volume/volume.h"

#define MIB        (1ull << 20)
#define LIMIT_S    200u
#define TURNS_MAX  2000000u
#define VOLS_MAX   3u

struct hostile_server {
	struct sim_io          io;
	struct image          *im;
	const struct hostile_opts *opts;
	struct hostile_result *ret;
	struct prng            rng;
	struct pool           *pool;
	struct volumes        *vols;
	struct pool_op         op;
	bool                   op_done;
	bool                   stuck; /* something did not end */
	uint8_t               *buf;   /* MIB + a block */
};

static void on_log(void *arg, const char *line)
{
	const struct hostile_server *h = arg;

	if (h->opts->verbose)
		fprintf(stderr, "  %s\n", line);
}

static void on_failed(void *arg, int res, const char *why)
{
	(void)res;
	on_log(arg, why);
}

static void on_op(struct pool_op *op)
{
	container_of(op, struct hostile_server, op)->op_done = true;
}

/* Another server takes the pool: whatever waits for disks ends. */
static void take_over(struct hostile_server *h)
{
	struct pool_info info;

	pool_get_info(h->pool, &info);
	for (uint32_t i = 0; i < h->im->ndisks; i++) {
		struct lease l = {
			.pool = h->im->pool,
			.disk = h->im->disks[i].uuid,
			.claim = info.claim + 1,
			.state = LEASE_HELD,
		};

		lease_encode(&l, h->im->disks[i].mem + 9 * TARN_BLOCK);
	}
}

/* Run until *flag, or a good while.  */
static bool run_until(struct hostile_server *h, const bool *flag,
		      unsigned limit_s)
{
	uint64_t until_ns = h->io.io.now_ns + limit_s * NS_PER_S;

	for (uint64_t i = 0; i < TURNS_MAX && !*flag; i++) {
		if (h->io.io.now_ns > until_ns ||
		    io_run(&h->io.io, NS_PER_S) != 0)
			break;
	}
	return *flag;
}

/* Until *flag; when that does not come, the pool is taken away. */
static void wait_for(struct hostile_server *h, const bool *flag,
		     const char *what)
{
	if (h->stuck || run_until(h, flag, LIMIT_S))
		return;
	take_over(h);
	if (run_until(h, flag, LIMIT_S))
		return;
	fprintf(stderr, "hostile: %s does not end\n", what);
	h->stuck = true;
}

/* --- requests ------------------------------------------------------------ */

struct ask {
	struct vol_req req;
	struct vol_ctl ctl;
	bool           done;
};

static void req_done(struct vol_req *req)
{
	container_of(req, struct ask, req)->done = true;
}

static void ctl_done(struct vol_ctl *ctl)
{
	container_of(ctl, struct ask, ctl)->done = true;
}

static void count(struct hostile_server *h, const char *what, int res)
{
	if (res < 0 && h->opts->verbose)
		fprintf(stderr, "  %s: %s\n", what, strerror(-res));
	if (res < 0)
		h->ret->failed++;
	else
		h->ret->done++;
}

static void ask(struct hostile_server *h, struct volume *v, enum vol_op op,
		uint64_t off_bytes, uint64_t len_bytes)
{
	struct vol_extent extents[8];
	struct ask       *a;

	if (h->stuck || v == NULL || off_bytes >= vol_size_bytes(v))
		return;
	len_bytes = min_u64(len_bytes, vol_size_bytes(v) - off_bytes);
	a = calloc(1, sizeof(*a));
	a->req.vol = v;
	a->req.op = (uint8_t)op;
	a->req.off_bytes = off_bytes;
	a->req.len_bytes = len_bytes;
	a->req.buf = h->buf;
	a->req.extents = extents;
	a->req.extents_max = 8;
	a->req.done = req_done;
	vol_submit(&a->req);
	wait_for(h, &a->done, "a request");
	count(h, "request", a->req.res);
	if (!h->stuck)
		free(a);
}

static void control(struct hostile_server *h, const char *name,
		    uint64_t size_bytes, const char *new_name,
		    void (*fn)(struct volumes *, struct vol_ctl *))
{
	struct ask *a;

	if (h->stuck)
		return;
	a = calloc(1, sizeof(*a));
	a->ctl.name = name;
	a->ctl.new_name = new_name;
	a->ctl.size_bytes = size_bytes;
	a->ctl.force = true;
	a->ctl.uuid.b[0] = 1;
	a->ctl.done = ctl_done;
	fn(h->vols, &a->ctl);
	wait_for(h, &a->done, "a control operation");
	count(h, a->ctl.error, a->ctl.res);
	if (!h->stuck)
		free(a);
}

static void use_volume(struct hostile_server *h, struct volume *v)
{
	uint64_t size = vol_size_bytes(v);
	uint64_t at = prng_below(&h->rng, size);

	memset(h->buf, (int)prng_below(&h->rng, 256), MIB);
	for (uint64_t off = 0; off < size && off < 3 * MIB; off += MIB)
		ask(h, v, VOL_READ, off, MIB);
	ask(h, v, VOL_STATUS, 0, size);
	ask(h, v, VOL_WRITE, at, 1 + prng_below(&h->rng, 70000));
	ask(h, v, VOL_WRITE, 0, MIB / 2);
	ask(h, v, VOL_WRITE, MIB - 8192, 20000);
	ask(h, v, VOL_TRIM, prng_below(&h->rng, size), MIB);
	ask(h, v, VOL_ZERO, prng_below(&h->rng, size), 100000);
	ask(h, v, VOL_READ, 0, MIB);
}

static void rest(struct hostile_server *h, unsigned seconds)
{
	static const bool never;

	if (!h->stuck)
		run_until(h, &never, seconds);
}

static void use(struct hostile_server *h)
{
	struct volume *v = vols_next(h->vols, NULL);
	char           name[VOLUME_NAME_MAX + 1] = "";

	for (unsigned n = 0; v != NULL && n < VOLS_MAX && !h->stuck; n++) {
		use_volume(h, v);
		v = vols_next(h->vols, v);
	}
	pool_commit_want(h->pool);
	rest(h, 3);
	v = vols_at(h->vols, prng_below(&h->rng, 2));
	if (v != NULL) {
		struct volume_info info;

		vol_info(v, &info);
		memcpy(name, info.name, sizeof(name));
		control(h, name, info.size_bytes + 300 * MIB, NULL,
			vol_resize);
		control(h, name, 5 * MIB, NULL, vol_resize);
		control(h, name, 0, h->opts->seed % 2 ? "other" : "another",
			vol_rename);
	}
	/* So many that the catalog grows by a page. */
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "fresh%u", i);
		control(h, name, 9 * MIB, NULL, vol_create);
	}
	control(h, "fresh", 9 * MIB, NULL, vol_create);
	ask(h, vols_find(h->vols, "fresh"), VOL_WRITE, MIB / 2, MIB);
	if (prng_below(&h->rng, 2) == 0)
		control(h, "other", 0, NULL, vol_delete);
	rest(h, 15);
	for (unsigned i = 0; i < 5; i++) {
		ask(h, vols_at(h->vols, 0), VOL_WRITE, 0, MIB);
		ask(h, vols_at(h->vols, 0), VOL_FLUSH, 0, 0);
		pool_commit_want(h->pool);
		rest(h, 3);
	}
	ask(h, vols_at(h->vols, 0), VOL_READ, 0, MIB);
}

static void use_read_only(struct hostile_server *h)
{
	struct volume *v = vols_next(h->vols, NULL);

	for (; v != NULL; v = vols_next(h->vols, v)) {
		for (uint64_t off = 0; off < 3 * MIB; off += MIB)
			ask(h, v, VOL_READ, off, MIB);
	}
}

/* --- life ---------------------------------------------------------------- */

static void open_pool(struct hostile_server *h)
{
	struct pool_open_params params = {
		.uuid = h->im->pool,
		.read_only = h->opts->read_only,
		.force = h->opts->force,
	};
	struct pool_disk disks[POOL_UNITS_MAX];

	for (uint32_t i = 0; i < h->im->ndisks; i++) {
		struct img_disk *d = &h->im->disks[i];

		disks[i].disk = mem_disk_open(&h->io, d->mem,
					      d->source.size_bytes, d->name);
		disks[i].domain = d->name;
	}
	pool_open(h->pool, &params, disks, h->im->ndisks, &h->op);
	wait_for(h, &h->op_done, "opening");
}

static void server_new(struct hostile_server *h)
{
	struct volumes_params vp = { .node_budget_bytes = 1 << 20,
				     .dirty_nodes_max = 40 };
	struct pool_params pp = {
		.client = vols_log_client_ops(),
		.rows_memory_bytes = 16 << 20,
		.commit_log_bytes = 2 << 20,
		.log = on_log,
		.failed = on_failed,
		.arg = h,
	};

	sim_io_open(&h->io, 1000 * NS_PER_S, h->opts->seed);
	h->buf = aligned_alloc(TARN_BLOCK, MIB + 2 * TARN_BLOCK);
	h->op.done = on_op;
	pp.owner.machine.b[0] = 7;
	pp.owner.boot.b[0] = 7;
	pp.owner.instance.b[0] = (uint8_t)(1 + h->opts->seed);
	if (vols_open(&h->io.io, &vp, &h->vols) != 0)
		abort();
	pp.client_arg = h->vols;
	if (pool_new(&h->io.io, &pp, &h->pool) != 0)
		abort();
	vols_attach(h->vols, h->pool);
}

int hostile_life(struct image *im, const struct hostile_opts *opts,
		 struct hostile_result *ret)
{
	struct hostile_server *h = calloc(1, sizeof(*h));
	struct pool_info       info;

	memset(ret, 0, sizeof(*ret));
	h->im = im;
	h->opts = opts;
	h->ret = ret;
	prng_init(&h->rng, opts->seed);
	server_new(h);
	open_pool(h);
	ret->opened = h->stuck ? -ETIMEDOUT : h->op.res;
	if (opts->verbose)
		fprintf(stderr, "  opened: %d %s\n", ret->opened,
			h->op.error);
	if (ret->opened == 0) {
		if (opts->read_only)
			use_read_only(h);
		else
			use(h);
		pool_get_info(h->pool, &info);
		ret->lost = info.lost_blocks;
		h->op_done = false;
		if (!h->stuck)
			pool_close(h->pool, &h->op);
		wait_for(h, &h->op_done, "closing");
	}
	if (h->stuck)
		return -ETIMEDOUT; /* leaks: the test fails anyway */
	rest(h, 1); /* disks that were refused */
	pool_free(h->pool);
	vols_close(h->vols);
	sim_io_close(&h->io);
	free(h->buf);
	free(h);
	return 0;
}

/* --- changing things ----------------------------------------------------- */

uint64_t hostile_value(struct prng *rng)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 255, 256, 257, 511, 512, 513,
		4095, 4096, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
		0x100000000, 0xffffffffffff, 0x1000000000000,
		0x4000000000000000, 0x7fffffffffffffff, 0xffffffffffffffff,
	};
	uint64_t i = prng_below(rng, ARRAY_LEN(values) + 12);

	if (i < ARRAY_LEN(values))
		return values[i];
	/* Places: 10 to 19 bits. */
	if (i < ARRAY_LEN(values) + 6)
		return prng_below(rng, 1ull << (10 + prng_below(rng, 10)));
	return prng_u64(rng);
}

/* How much of a structure is in use. */
static uint32_t used_bytes(const struct image *im, enum img_what what)
{
	switch (what) {
	case IMG_LABEL:
		return 1152 + 128 * im->ndisks + 64;
	case IMG_ROW:
		return 320;
	case IMG_ROOT:
		return 400;
	case IMG_INDEX:
		return 32;
	case IMG_PAGE:
	case IMG_SEALED:
		return 700;
	case IMG_LEASE:
		return 144;
	default:
		return 4096;
	}
}

void hostile_flip(struct prng *rng, unsigned rarity, const struct image *im,
		  enum img_what what, void *buf)
{
	bool     row = what == IMG_ROW || what == IMG_UNIT;
	uint64_t value, old = 0;
	uint32_t off;
	size_t   len;

	if (prng_below(rng, row ? 20 * rarity : rarity) != 0)
		return;
	off = (uint32_t)prng_below(rng, used_bytes(im, what) / 4 - 1) * 4;
	len = (size_t)1 << prng_below(rng, 4);
	value = hostile_value(rng);
	if (prng_below(rng, 4) == 0) {
		/* A little more, or less. */
		memcpy(&old, (uint8_t *)buf + off, len);
		value = prng_below(rng, 2) ? old + 1 : old - 1;
	} else if (prng_below(rng, 6) == 0) {
		/* What stands elsewhere in it. */
		memcpy(&value,
		       (uint8_t *)buf +
			       prng_below(rng, used_bytes(im, what) / 4 - 1) *
				       4,
		       len);
	}
	memcpy((uint8_t *)buf + off, &value, len);
}
