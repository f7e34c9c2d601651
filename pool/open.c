/* pool/open.c - opening a pool from its disks.
 *
 *   LOCK      the machine's lock for this pool
 *   LABELS    both label areas of every disk offered
 *   MEMBERS   the newest label says who is a member; each disk is compared
 *             with it: duplicate, too small, diverged, out…
 *   RULE      are enough domains there? (design, section 5, Opening)
 *   CLAIM     owner.c
 *   AGAIN     labels once more, now that the claim is on the disks: the last
 *             owner may have finished a commit meanwhile
 *   RECOVER   recover.c
 *
 * A disk that cannot be used is named with the reason and then counts as
 * missing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"

#define AREA_BYTES (LABEL_AREA_BLOCKS * TARN_BLOCK)

struct open_disk {
	struct disk    *disk;
	char            domain[DOMAIN_NAME_MAX + 1];
	struct label   *label;      /* its newest, or NULL */
	struct member  *member;     /* that it became */
	bool            refused;
	uint8_t        *area[2];
	struct disk_req reqs[2];
	bool            read_ok[2];
	struct opener  *opener;
};

struct opener {
	struct pool     *pool;
	bool             read_only, force;
	bool             again;     /* second reading of the labels */
	bool             aborted;
	bool             locked_out; /* another process has the lock */
	struct open_disk *disks;
	unsigned         ndisks;
	unsigned         pending;
	struct label    *newest;    /* belongs to one of the disks */
	uint64_t         used_claim, used_number;
	unsigned         closing;
	int              res;
	char             error[512];
	struct io_work   work;
};

static void open_fail(struct opener *o, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void read_labels(struct opener *o);

/* --- ends ---------------------------------------------------------------- */

static void free_areas(struct open_disk *d)
{
	free(d->area[0]);
	free(d->area[1]);
	free(d->label);
	d->area[0] = NULL;
	d->area[1] = NULL;
	d->label = NULL;
}

void opener_free(struct pool *p)
{
	struct opener *o = p->opener;

	if (o == NULL)
		return;
	io_undefer(&o->work);
	for (unsigned i = 0; i < o->ndisks; i++)
		free_areas(&o->disks[i]);
	free(o->disks);
	free(o);
	p->opener = NULL;
}

static void open_finish(struct opener *o)
{
	struct pool    *p = o->pool;
	struct pool_op *op = p->op;

	op->res = o->res;
	snprintf(op->error, sizeof(op->error), "%s", o->error);
	p->op = NULL;
	recover_free(p);
	opener_free(p);
	op->done(op);
}

static void disk_closed(void *arg)
{
	struct opener *o = arg;

	if (--o->closing == 0)
		open_finish(o);
}

/* Close every disk; then nothing is in flight and the operation ends. */
static void close_disks(struct opener *o)
{
	struct pool *p = o->pool;

	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->disk = NULL;
	if (p->locked && p->params.owner.lock != NULL)
		p->params.owner.lock(p->params.owner.lock_arg, NULL);
	p->locked = false;
	o->closing = 1;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct disk *d = o->disks[i].disk;

		if (d == NULL)
			continue;
		o->disks[i].disk = NULL;
		o->closing++;
		disk_close(d, disk_closed, o);
	}
	disk_closed(o);
}

static void open_abort(struct opener *o, int res)
{
	struct pool *p = o->pool;

	if (o->aborted)
		return;
	o->aborted = true;
	o->res = res;
	owner_stop(p);
	p->state = POOL_ST_CLOSED;
	close_disks(o);
}

static void open_fail(struct opener *o, int res, const char *fmt, ...)
{
	va_list ap;

	if (o->aborted)
		return;
	va_start(ap, fmt);
	vsnprintf(o->error, sizeof(o->error), fmt, ap);
	va_end(ap);
	open_abort(o, res);
}

void opener_abort(struct pool *p, int res, const char *why)
{
	if (p->opener != NULL)
		open_fail(p->opener, res, "pool %s cannot be opened: %s",
			  p->name, why);
	else
		create_abort(p, res, why);
}

/* --- members ------------------------------------------------------------- */

static void refuse(struct opener *o, struct open_disk *d, const char *why)
{
	struct member *m = d->member;

	d->refused = true;
	/* At the second reading: it is the member's no more, and is closed when
	 * the pool is open. */
	if (m != NULL && m->disk == d->disk) {
		m->disk = NULL;
		m->state = MEMBER_FAULTED;
		snprintf(m->why, sizeof(m->why), "%s", why);
	}
	pool_log(o->pool, "disk %s is refused: %s", d->disk->place, why);
	if (o->error[0] == '\0')
		snprintf(o->error, sizeof(o->error),
			 "disk %.200s is refused: %.280s", d->disk->place, why);
}

static void refuse_duplicates(struct opener *o)
{
	for (unsigned i = 0; i < o->ndisks; i++) {
		for (unsigned j = i + 1; j < o->ndisks; j++) {
			struct open_disk *a = &o->disks[i], *b = &o->disks[j];
			char              why[280];

			if (a->label == NULL || b->label == NULL ||
			    !uuid_equal(&a->label->disk, &b->label->disk))
				continue;
			snprintf(why, sizeof(why),
				 "disk %.200s carries the same identity; detach "
				 "one of the two",
				 b->disk->place);
			if (!a->refused)
				refuse(o, a, why);
			snprintf(why, sizeof(why),
				 "disk %.200s carries the same identity; detach "
				 "one of the two",
				 a->disk->place);
			if (!b->refused)
				refuse(o, b, why);
		}
	}
}

static void choose_newest(struct opener *o)
{
	o->newest = NULL;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct label *l = o->disks[i].label;

		if (l != NULL && (o->newest == NULL ||
				  label_compare(l, o->newest) > 0))
			o->newest = l;
	}
}

/* Blocks that it has by the pool's newest label, with which it may differ. */
static uint64_t member_blocks(const struct label *newest,
			      const struct label *l)
{
	for (uint32_t i = 0; i < newest->nmembers; i++) {
		if (uuid_equal(&newest->members[i].uuid, &l->disk))
			return newest->members[i].size_blocks;
	}
	return 0;
}

static void check_disk(struct opener *o, struct open_disk *d)
{
	const struct label *l = d->label;
	const struct label *n = o->newest;

	if (d->refused || l == NULL)
		return;
	if (d->disk->size_bytes < blocks_to_bytes(l->size_blocks) ||
	    d->disk->size_bytes < blocks_to_bytes(member_blocks(n, l)))
		refuse(o, d, "it is smaller than its label says");
	else if (d->disk->read_only && !o->read_only)
		refuse(o, d, "it is read-only");
	else if (!label_has_ancestor(n, l->claim, &l->claim_id))
		refuse(o, d, "it was changed under another claim and has "
			     "diverged from the other disks");
	else if ((l->ro_compat & ~LABEL_RO_COMPAT_KNOWN) != 0 && !o->read_only)
		refuse(o, d, "it has features that this program can only "
			     "read; import the pool with --read-only");
}

static int take_identity(struct opener *o)
{
	struct pool        *p = o->pool;
	const struct label *l = o->newest;
	int                 r;

	memcpy(p->name, l->name, sizeof(p->name));
	p->uuid = l->pool;
	p->k = l->k;
	p->m = l->m;
	p->zone_shift = l->zone_shift;
	p->row_blocks_max = l->row_blocks;
	p->flags = l->flags & ~(LABEL_FLAG_RELEASED);
	p->created_s = l->created_s;
	p->min_parity = l->min_parity;
	p->last.root_place = l->root_place;
	p->last.root_blocks = l->root_blocks;
	p->last.root_crc = l->root_crc;
	p->last.root_generation = l->root_generation;
	p->last.root_slice = l->root_slice;
	p->last.commit = l->commit;
	p->last.row = l->commit_row;
	memcpy(p->last.root_zones, l->root_zones, sizeof(l->root_zones));
	p->last_claim = l->claim;
	p->nextra = l->nextra;
	memcpy(p->extra, l->extra, sizeof(p->extra));
	p->nancestors = 1;
	p->ancestors[0].claim = l->claim;
	p->ancestors[0].id = l->claim_id;
	for (uint32_t a = 0;
	     a < l->nancestors && p->nancestors < LABEL_ANCESTORS; a++)
		p->ancestors[p->nancestors++] = l->ancestors[a];
	r = pool_setup(p);
	for (uint32_t i = 0; r == 0 && i < l->nmembers; i++) {
		r = member_new(p, i, &l->members[i], &p->members[i]);
		if (r == 0)
			p->nmembers++;
	}
	return r;
}

static void attach_disks(struct opener *o)
{
	struct pool *p = o->pool;

	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];

		for (uint32_t n = 0; n < p->nmembers && d->label != NULL; n++) {
			struct member *m = p->members[n];

			if (!uuid_equal(&m->uuid, &d->label->disk))
				continue;
			d->member = m;
			if (d->refused) {
				m->state = MEMBER_FAULTED;
				snprintf(m->why, sizeof(m->why), "%s",
					 "it was refused when the pool was "
					 "opened");
				continue;
			}
			member_attach(m, d->disk);
			m->epoch = d->disk->epoch;
			m->up_since_ns = io_now_ns(p->io);
			m->state = MEMBER_ONLINE;
		}
	}
}

/* --- the opening rule ---------------------------------------------------- */

struct domain_count {
	uint32_t in;      /* domains that are in by the newest label */
	uint32_t present; /* … all of whose members that are in are here */
	uint32_t missing; /* domains without a member that is in and here */
	char     names[300];
};

/* Where every disk is a domain, its name is a UUID, and people want to know
 * where to look: the label knows the host that it was on. */
static int domain_say(const struct pool *p, uint32_t domain, char *buf,
		      size_t size)
{
	const char *name = p->domains[domain].name;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->domain == domain && m->domain_name[0] != '\0' &&
		    (p->flags & LABEL_FLAG_DOMAIN_DISK) != 0)
			return snprintf(buf, size, "disk %s on %s", name,
					m->domain_name);
	}
	return snprintf(buf, size, "%s", name);
}

static void count_domains(const struct pool *p, struct domain_count *c)
{
	size_t len = 0;

	memset(c, 0, sizeof(*c));
	for (uint32_t d = 0; d < p->ndomains; d++) {
		bool in = false, here = true;

		for (uint32_t i = 0; i < p->nmembers; i++) {
			const struct member *m = p->members[i];

			if (m->domain != d)
				continue;
			in |= m->in;
			here &= m->in && m->state == MEMBER_ONLINE;
		}
		c->in += in;
		c->present += in && here;
		c->missing += !here;
		if (in && !here && len < sizeof(c->names) - 120) {
			if (len > 0)
				len += (size_t)snprintf(c->names + len, 3,
							", ");
			len += (size_t)domain_say(p, d, c->names + len,
						  sizeof(c->names) - len);
		}
	}
}

static bool rule_satisfied(struct opener *o)
{
	struct pool        *p = o->pool;
	struct domain_count c;
	uint32_t            r;

	count_domains(p, &c);
	r = min_u32((c.in + 1) / 2, c.in > p->m ? c.in - p->m : 0);
	r = max_u32(r, 1);
	if (o->read_only || o->force) {
		if (c.missing > 0)
			pool_log(p, "%u of %u domains are missing: %s",
				 c.missing, p->ndomains, c.names);
		return true;
	}
	if (c.present > c.in - r && c.missing <= p->m)
		return true;
	open_fail(o, -EAGAIN,
		  "pool %s is missing too many disks to be opened safely (%s): "
		  "bring them back, or import it with --read-only, or with "
		  "--force if they are lost for ever",
		  p->name, c.names[0] != '\0' ? c.names : "too few domains");
	return false;
}

/* --- claim, labels again, recovery --------------------------------------- */

static void open_recovered(struct pool *p, int res, const char *why)
{
	struct opener *o = p->opener;

	if (o == NULL || o->aborted || p->state == POOL_ST_FAILED)
		return;
	if (res < 0) {
		open_fail(o, res, "pool %s cannot be opened: %s", p->name, why);
		return;
	}
	p->state = o->read_only ? POOL_ST_READ_ONLY : POOL_ST_ACTIVE;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];

		/* Refused disks are of no use to an open pool. */
		if (d->disk != NULL && (d->member == NULL || d->refused))
			disk_close(d->disk, disk_forgotten, NULL);
		d->disk = NULL;
	}
	o->res = 0;
	o->error[0] = '\0';
	segs_capacity(p);
	if (!o->read_only)
		quarantine_start(p);
	cleaner_kick(p);
	open_finish(o);
}

static void open_recover(struct opener *o)
{
	struct pool          *p = o->pool;
	struct recover_params params = {
		.read_only = o->read_only,
		.force = o->force,
		.released = (o->newest->flags & LABEL_FLAG_RELEASED) != 0,
	};

	for (uint32_t i = 0; i < p->nmembers && !o->read_only; i++) {
		struct member *m = p->members[i];

		if (m->state == MEMBER_ONLINE) {
			/* A disk that was out and is here again: what it
			 * lacks is known from the segment table. */
			m->in = true;
		} else if (m->in) {
			/* Recorded by the label that recovery writes, before
			 * anything is acknowledged. */
			m->in = false;
			m->out_row = p->last.row;
			m->out_claim = p->claim;
		}
	}
	recover_start(p, &params, open_recovered);
}

static void open_claimed(struct pool *p, int res)
{
	struct opener *o = p->opener;

	if (o == NULL || o->aborted)
		return;
	if (res < 0) {
		open_fail(o, res, "pool %s cannot be opened: %s", p->name,
			  owner_text(p));
		return;
	}
	owner_start(p);
	o->again = true;
	o->used_claim = o->newest->claim;
	o->used_number = o->newest->number;
	o->newest = NULL;
	read_labels(o);
}

static void labels_read_again(struct opener *o)
{
	choose_newest(o);
	if (o->newest == NULL || o->newest->claim != o->used_claim ||
	    o->newest->number != o->used_number) {
		open_fail(o, -EAGAIN,
			  "pool %s was changed by another server while it was "
			  "being opened; try again",
			  o->pool->name);
		return;
	}
	open_recover(o);
}

static void labels_read_first(struct opener *o)
{
	struct pool *p = o->pool;
	int          r;

	choose_newest(o);
	if (o->newest == NULL) {
		if (o->error[0] == '\0')
			snprintf(o->error, sizeof(o->error),
				 "none of the disks carries a usable label of "
				 "that pool");
		open_abort(o, -ENOENT);
		return;
	}
	refuse_duplicates(o);
	for (unsigned i = 0; i < o->ndisks; i++)
		check_disk(o, &o->disks[i]);
	r = take_identity(o);
	if (r < 0) {
		open_fail(o, r, "out of memory");
		return;
	}
	attach_disks(o);
	if (!rule_satisfied(o))
		return;
	if (o->read_only) {
		p->read_only = true;
		open_recover(o);
		return;
	}
	if (o->force)
		p->flags |= LABEL_FLAG_FORCED;
	owner_acquire(p, o->newest->claim, o->force,
		      (o->newest->flags & LABEL_FLAG_RELEASED) != 0,
		      open_claimed);
}

/* --- reading labels ------------------------------------------------------ */

static void disk_labels(struct opener *o, struct open_disk *d)
{
	unsigned    damaged = 0;
	const char *why = "";
	int         r;

	free(d->label);
	d->label = NULL;
	if (d->disk == NULL)
		return;
	if (!d->read_ok[0] && !d->read_ok[1]) {
		refuse(o, d, "its label areas cannot be read");
		return;
	}
	r = label_newest(d->read_ok[0] ? d->area[0] : NULL,
			 d->read_ok[1] ? d->area[1] : NULL, &d->label,
			 &damaged, &why);
	if (r < 0) {
		char text[200];

		snprintf(text, sizeof(text), "no usable label: %s", why);
		refuse(o, d, text);
		return;
	}
	if (damaged > 0 && !o->again)
		pool_log(o->pool, "disk %s: %u of its label copies are damaged",
			 d->disk->place, damaged);
	if (!uuid_equal(&d->label->pool, &o->pool->uuid)) {
		char text[200];

		snprintf(text, sizeof(text), "it belongs to pool %s",
			 d->label->name);
		free(d->label);
		d->label = NULL;
		refuse(o, d, text);
	}
}

static void labels_put(struct opener *o)
{
	if (--o->pending > 0)
		return;
	if (o->pool->state == POOL_ST_FAILED || o->aborted)
		return;
	for (unsigned i = 0; i < o->ndisks; i++) {
		if (!o->disks[i].refused)
			disk_labels(o, &o->disks[i]);
	}
	if (o->again)
		labels_read_again(o);
	else
		labels_read_first(o);
}

static void label_head_read(struct disk_req *req)
{
	struct open_disk *d = container_of(req, struct open_disk, reqs[0]);

	d->read_ok[0] = req->res == 0;
	labels_put(d->opener);
}

static void label_tail_read(struct disk_req *req)
{
	struct open_disk *d = container_of(req, struct open_disk, reqs[1]);

	d->read_ok[1] = req->res == 0;
	labels_put(d->opener);
}

static void read_area(struct open_disk *d, unsigned i, uint64_t off_bytes)
{
	struct disk_req *req = &d->reqs[i];

	d->read_ok[i] = false;
	if (d->area[i] == NULL)
		d->area[i] = aligned_alloc(TARN_BLOCK, AREA_BYTES);
	if (d->area[i] == NULL)
		return;
	req->op = DISK_READ;
	req->off_bytes = off_bytes;
	req->len_bytes = AREA_BYTES;
	req->buf = d->area[i];
	req->done = i == 0 ? label_head_read : label_tail_read;
	d->opener->pending++;
	disk_submit(d->disk, req);
}

static void read_labels(struct opener *o)
{
	o->pending = 1;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];
		uint64_t          blocks;

		if (d->disk == NULL || d->refused)
			continue;
		blocks = d->disk->size_bytes / TARN_BLOCK;
		if (!d->disk->up || blocks < 2 * LABEL_AREA_BLOCKS) {
			refuse(o, d, d->disk->up ? "it is too small"
						 : "it cannot be reached");
			continue;
		}
		/* The tail is where the disk ended when it was labelled. */
		if (d->label != NULL)
			blocks = min_u64(blocks, d->label->size_blocks);
		read_area(d, 0, 0);
		read_area(d, 1,
			  blocks_to_bytes(blocks - LABEL_AREA_BLOCKS));
	}
	io_defer(o->pool->io, &o->work);
}

static void open_work_fn(struct io_work *w)
{
	struct opener *o = container_of(w, struct opener, work);

	if (o->locked_out)
		open_fail(o, -EBUSY,
			  "the pool is open in another process of this "
			  "machine; stop that one first");
	else
		labels_put(o);
}

void disk_forgotten(void *arg)
{
	(void)arg;
}

static void early_event(struct disk *d, enum disk_event ev, void *arg)
{
	(void)d;
	(void)ev;
	(void)arg;
}

void pool_open(struct pool *p, const struct pool_open_params *params,
	       struct pool_disk *disks, unsigned ndisks, struct pool_op *op)
{
	struct opener *o = calloc(1, sizeof(*o));

	assert(p->state == POOL_ST_NEW);
	assert(o != NULL);
	p->op = op;
	p->opener = o;
	p->state = POOL_ST_OPENING;
	p->uuid = params->uuid;
	o->pool = p;
	o->read_only = params->read_only;
	o->force = params->force;
	o->disks = calloc(ndisks + 1, sizeof(*o->disks));
	assert(o->disks != NULL);
	io_work_init(&o->work, open_work_fn);
	for (unsigned i = 0; i < ndisks; i++) {
		struct open_disk *d = &o->disks[o->ndisks++];

		d->disk = disks[i].disk;
		d->opener = o;
		d->disk->event = early_event;
		snprintf(d->domain, sizeof(d->domain), "%s", disks[i].domain);
	}
	if (!o->read_only && p->params.owner.lock != NULL) {
		int r = p->params.owner.lock(p->params.owner.lock_arg,
					     &p->uuid);

		if (r < 0) {
			o->locked_out = true;
			io_defer(p->io, &o->work);
			return;
		}
		p->locked = true;
	}
	if (p->params.owner.lock == NULL)
		p->locked = true;
	read_labels(o);
}

/* --- a disk that turned up later ----------------------------------------- */

struct late_disk {
	struct list     link;   /* pool->late_disks */
	struct pool    *pool;
	struct disk    *disk;
	uint8_t        *area;
	struct disk_req req;
	bool            closing; /* the pool is; its closed() frees this */
	void          (*closed)(void *arg);
	void           *closed_arg;
};

static void late_free(struct late_disk *ld)
{
	list_remove(&ld->link);
	free(ld->area);
	free(ld);
}

static void late_end(struct late_disk *ld, bool keep)
{
	if (!keep)
		disk_close(ld->disk, disk_forgotten, NULL);
	late_free(ld);
}

static void late_closed(void *arg)
{
	struct late_disk *ld = arg;
	void (*closed)(void *) = ld->closed;
	void *closed_arg = ld->closed_arg;

	late_free(ld);
	closed(closed_arg);
}

unsigned late_disks_close(struct pool *p, void (*closed)(void *arg), void *arg)
{
	unsigned n = 0;

	list_for_each_safe(l, tmp, &p->late_disks) {
		struct late_disk *ld = list_entry(l, struct late_disk, link);

		ld->closing = true;
		ld->closed = closed;
		ld->closed_arg = arg;
		n++;
		disk_close(ld->disk, late_closed, ld);
	}
	return n;
}

static void late_read(struct disk_req *req)
{
	struct late_disk *ld = container_of(req, struct late_disk, req);
	struct pool      *p = ld->pool;
	struct label     *l = NULL;
	unsigned          damaged;
	const char       *why;
	bool              keep = false;

	if (ld->closing)
		return;
	if (req->res < 0 || p->state != POOL_ST_ACTIVE ||
	    label_newest(ld->area, NULL, &l, &damaged, &why) < 0 ||
	    !uuid_equal(&l->pool, &p->uuid)) {
		free(l);
		late_end(ld, false);
		return;
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (!uuid_equal(&m->uuid, &l->disk))
			continue;
		if (m->disk != NULL && m->disk->up) {
			pool_log(p,
				 "disk %s is refused: disk %s carries the same "
				 "identity",
				 ld->disk->place, m->disk->place);
			continue;
		}
		if (m->disk != NULL)
			disk_close(m->disk, disk_forgotten, NULL);
		if (m->state == MEMBER_FAULTED || m->state == MEMBER_MISSING)
			m->state = m->in ? MEMBER_SUSPECT : MEMBER_OUT;
		member_attach(m, ld->disk);
		keep = true;
		ld->disk->event(ld->disk, DISK_EV_UP, m);
	}
	free(l);
	late_end(ld, keep);
}

void pool_offer_disk(struct pool *p, struct pool_disk *disk)
{
	struct late_disk *ld = calloc(1, sizeof(*ld));

	disk->disk->event = early_event;
	if (ld != NULL)
		ld->area = aligned_alloc(TARN_BLOCK, AREA_BYTES);
	if (ld == NULL || ld->area == NULL || p->state != POOL_ST_ACTIVE) {
		disk_close(disk->disk, disk_forgotten, NULL);
		free(ld);
		return;
	}
	list_push(&p->late_disks, &ld->link);
	ld->pool = p;
	ld->disk = disk->disk;
	ld->req.op = DISK_READ;
	ld->req.off_bytes = 0;
	ld->req.len_bytes = AREA_BYTES;
	ld->req.buf = ld->area;
	ld->req.done = late_read;
	disk_submit(disk->disk, &ld->req);
}
