/* tests/lib/fake/vol_kit.c - requests and control operations on volumes over a
 * fake pool, done before the call returns.  Included by test programs.
 */
#include "tests/lib/fake/fake_pool.c"
#include "volume/volumes.h"

static bool kit_done;

static void kit_req_done(struct vol_req *req)
{
	(void)req;
	kit_done = true;
}

static void kit_ctl_done(struct vol_ctl *ctl)
{
	(void)ctl;
	kit_done = true;
}

static void kit_wait(struct pool *p)
{
	for (unsigned i = 0; i < 1000000 && !kit_done; i++)
		fake_turn(p);
	assert(kit_done);
}

static int kit_submit(struct pool *p, struct vol_req *req)
{
	kit_done = false;
	req->done = kit_req_done;
	vol_submit(req);
	assert(!kit_done);
	kit_wait(p);
	return req->res;
}

/* kit_req(p, v, op, off_bytes, len_bytes, buf, flags) */
#define kit_req(p, v, ...) kit_do(p, kit_req_make(v, __VA_ARGS__))

static struct vol_req kit_req_make(struct volume *v, enum vol_op op,
				   uint64_t off, uint64_t len, void *buf,
				   uint8_t flags)
{
	return (struct vol_req){
		.vol = v, .op = op, .flags = flags,
		.off_bytes = off, .len_bytes = len, .buf = buf,
	};
}

static int kit_do(struct pool *p, struct vol_req req)
{
	return kit_submit(p, &req);
}

/* Read into a fresh buffer; the caller frees it.  Data at off % 4096. */
__attribute__((unused))
static uint8_t *kit_read(struct pool *p, struct volume *v, uint64_t off,
			 uint64_t len, int *ret_res)
{
	uint8_t *buf = aligned_alloc(TARN_BLOCK, vol_read_buf_bytes(off, len));

	*ret_res = kit_req(p, v, VOL_READ, off, len, buf, 0);
	return buf;
}

static void kit_ctl_run(struct pool *p, struct volumes *vols,
			struct vol_ctl *ctl,
			void (*op)(struct volumes *, struct vol_ctl *))
{
	kit_done = false;
	ctl->done = kit_ctl_done;
	op(vols, ctl);
	assert(!kit_done);
	kit_wait(p);
}

__attribute__((unused))
static int kit_create(struct pool *p, struct volumes *vols, const char *name,
		      uint64_t size)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->size_bytes = size;
	ctl->now_s = 1000;
	memcpy(ctl->uuid.b, name, strnlen(name, sizeof(ctl->uuid.b)));
	kit_ctl_run(p, vols, ctl, vol_create);
	r = ctl->res;
	free(ctl);
	return r;
}

__attribute__((unused))
static int kit_resize(struct pool *p, struct volumes *vols, const char *name,
		      uint64_t size, bool force)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->size_bytes = size;
	ctl->force = force;
	kit_ctl_run(p, vols, ctl, vol_resize);
	r = ctl->res;
	assert(r == 0 || ctl->error[0] != '\0');
	free(ctl);
	return r;
}

__attribute__((unused))
static int kit_delete(struct pool *p, struct volumes *vols, const char *name,
		      bool force)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->force = force;
	kit_ctl_run(p, vols, ctl, vol_delete);
	r = ctl->res;
	assert(r == 0 || ctl->error[0] != '\0');
	free(ctl);
	return r;
}

/* A group of snapshots; ret_error[256] may be NULL. */
__attribute__((unused))
static int kit_snapshot(struct pool *p, struct volumes *vols,
			const char *const *names, unsigned n, char *ret_error)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	struct uuid    *uuids = calloc(n, sizeof(*uuids));
	int r;

	for (unsigned i = 0; i < n; i++)
		uuids[i].b[0] = (uint8_t)(i + 1);
	ctl->names = names;
	ctl->nnames = n;
	ctl->uuids = uuids;
	ctl->now_s = 2000;
	kit_ctl_run(p, vols, ctl, vol_snapshot);
	r = ctl->res;
	assert(r == 0 || ctl->error[0] != '\0');
	if (ret_error != NULL)
		memcpy(ret_error, ctl->error, sizeof(ctl->error));
	free(uuids);
	free(ctl);
	return r;
}

static uint64_t kit_table_pages(const struct pool *p)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < TABLE_KINDS; k++)
		for (uint32_t i = 0; i < p->tables[k].npages; i++)
			n += p->tables[k].place[i] != PLACE_NONE;
	return n;
}

/* Nothing under way: make everything clean and compare the counts. */
/* Each block that is live is the own of one tree, where no node was lost. */
static void kit_check_own(const struct volumes *vols)
{
	const struct catalog *c = &vols->catalog;
	uint64_t own = 0;

	for (uint32_t i = 0; i < c->nslots; i++)
		own += c->slots[i] != NULL ? c->slots[i]->own : 0;
	if (own != c->mapped + vols->ids.used) {
		fprintf(stderr, "own %llu mapped %llu nodes %llu\n",
			(unsigned long long)own, (unsigned long long)c->mapped,
			(unsigned long long)vols->ids.used);
		abort();
	}
}

__attribute__((unused))
static void kit_check_counts(struct pool *p, struct volumes *vols)
{
	kit_check_own(vols);
	fake_settle(p);
	fake_commit(p);
	fake_settle(p);
	if (vols->cache.ndirty > 0) {
		fake_commit(p);
		fake_settle(p);
	}
	assert(vols->cache.ndirty == 0 && vols->table.ndirty == 0);
	assert(p->reserved == 0);
	if (p->live_total !=
	    vols->catalog.mapped + vols->ids.used + kit_table_pages(p)) {
		fprintf(stderr, "live %llu mapped %llu nodes %llu pages %llu\n",
			(unsigned long long)p->live_total,
			(unsigned long long)vols->catalog.mapped,
			(unsigned long long)vols->ids.used,
			(unsigned long long)kit_table_pages(p));
		abort();
	}
}
