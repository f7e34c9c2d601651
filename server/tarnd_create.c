/* server/tarnd_create.c - pool create: everything that is refused is refused
 * before the first byte is written.
 *
 *	scan the places --> judge each, and all together --> connect -->
 *	pool_create()
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "server/tarnd.h"

/* Capacity that cannot be used is worth a word from this part of all on. */
#define UNEVEN_PERCENT 5u

static void pool_created(struct pool_op *op)
{
	struct job    *job = container_of(op, struct job, op);
	struct tarnd  *t = job->t;

	t->creating = false;
	if (op->res < 0) {
		for (unsigned i = 0; i < job->ndisks; i++)
			tarnd_close_disk(t, job->disks[i].disk);
		hosted_unmake(t);
		hosted_none(t);
		if (t->hosted.wanted)
			hosted_search(t, false);
		job_fail(job, op->res, "%s", op->error);
		return;
	}
	for (unsigned i = 0; i < job->nplaces; i++)
		tarnd_add_place(t, job->places[i]);
	if (hosted_serve(t, false) < 0) {
		tarnd_log(t, "out of memory while opening the pool");
		abort();
	}
	job->result = hosted_brief(t, false);
	job_end(job);
}

static void connected(struct connect_set *set, void *arg)
{
	struct job   *job = arg;
	struct tarnd *t = job->t;

	for (unsigned i = 0; i < set->nitems; i++) {
		if (set->items[i].disk != NULL && set->items[i].disk->up)
			continue;
		job_fail(job, -ENOTCONN, "disk %s could not be connected: %s: "
					 "nothing was written",
			 set->items[i].place, set->items[i].error);
		return;
	}
	job->disks = calloc(set->nitems + 1, sizeof(job->disks[0]));
	if (job->disks == NULL || hosted_make(t) < 0) {
		job_fail(job, -ENOMEM, "out of memory");
		return;
	}
	job->ndisks = connect_hand_over(set, job->disks);
	job->create.name = job->name;
	job->create.k = job->k;
	job->create.m = job->m;
	job->create.domain_disk = job->domain_disk;
	job->create.force = job->force;
	job->create.now_s = tarnd_now_s();
	tarnd_uuid(&job->create.uuid);
	job->op.done = pool_created;
	t->creating = true;
	pool_create(t->hosted.pool, &job->create, job->disks, job->ndisks,
		    &job->op);
}

/* --- what is refused ----------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static bool
refuse(struct job *job, int err, const char *fmt, ...)
{
	va_list ap;

	job->res = err;
	va_start(ap, fmt);
	vsnprintf(job->error, sizeof(job->error), fmt, ap);
	va_end(ap);
	return false;
}

/* Force helps against content and a missing FLUSH, and nothing else. */
static bool force_helps(const struct found_disk *d)
{
	return d->state != FOUND_UNREACHABLE && !d->read_only &&
	       d->size_bytes >= INVENTORY_DISK_MIN_BYTES &&
	       d->size_bytes <= DISK_BYTES_MAX;
}

bool job_disk_ok(struct job *job, const struct found_disk *d)
{
	if (d->usable)
		return true;
	if (d->state == FOUND_UNREACHABLE && d->error == -EINVAL)
		return refuse(job, -EINVAL, "%s is no place of a disk: %s",
			      d->place, d->why);
	if (d->state == FOUND_UNREACHABLE)
		return refuse(job, -ENOTCONN,
			      "disk %s cannot be reached: %s: see to it that "
			      "its server runs, or leave it out", d->place,
			      d->why);
	if (!force_helps(d))
		return refuse(job, -EINVAL,
			      "disk %s cannot be used: %s: leave it out",
			      d->place, d->why);
	if (!job->force)
		return refuse(job, d->state == FOUND_BLANK ? -EOPNOTSUPP
							   : -EEXIST,
			      "disk %s is not taken: %s: leave it out, or use "
			      "--force%s", d->place, d->why,
			      d->state == FOUND_BLANK
				      ? " to take it all the same"
				      : ", which destroys what is on it");
	job_warn(job, "disk %s is taken by force although %s", d->place,
		 d->why);
	return true;
}

static bool twins_ok(struct job *job)
{
	const struct inventory *inv = job->inv;

	for (unsigned i = 1; i < inv->ndisks; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (!inventory_same_disk(&inv->disks[i],
						 &inv->disks[j]))
				continue;
			if (strcmp(inv->disks[i].place,
				   inv->disks[j].place) == 0)
				return refuse(job, -EEXIST,
					      "disk %s is named twice: name "
					      "it once", inv->disks[i].place);
			return refuse(job, -EEXIST,
				      "%s and %s are the same disk: name it "
				      "once", inv->disks[j].place,
				      inv->disks[i].place);
		}
	}
	return true;
}

static unsigned count_domains(const struct job *job)
{
	const struct inventory *inv = job->inv;
	unsigned n = 0;

	if (job->domain_disk)
		return inv->ndisks;
	for (unsigned i = 0; i < inv->ndisks; i++) {
		bool seen = false;

		for (unsigned j = 0; j < i && !seen; j++)
			seen = strcmp(inv->disks[i].host,
				      inv->disks[j].host) == 0;
		n += !seen;
	}
	return n;
}

static bool domains_ok(struct job *job)
{
	unsigned disks = job->inv->ndisks;
	unsigned domains = count_domains(job);
	unsigned need = job->k + job->m;

	if (disks > POOL_MEMBERS_MAX)
		return refuse(job, -E2BIG, "%u disks are too many: a pool has "
					   "at most %u", disks,
			      POOL_MEMBERS_MAX);
	if (domains >= need)
		return true;
	if (disks < need)
		return refuse(job, -EINVAL,
			      "redundancy %u+%u needs at least %u disks%s and "
			      "there %s only %u: add %u more", job->k, job->m,
			      need,
			      job->domain_disk ? "" : " on different hosts",
			      disks == 1 ? "is" : "are", disks, need - disks);
	return refuse(job, -EINVAL,
		      "redundancy %u+%u needs disks on %u different hosts, and "
		      "these %u disks are on %u: add disks of %u more host%s, "
		      "or say --domain disk to survive the loss of disks "
		      "instead of hosts", job->k, job->m, need, disks,
		      domains, need - domains, need - domains == 1 ? "" : "s");
}

/* --- uneven disks -------------------------------------------------------- */

/* Sizes of the domains, in MiB; returns how many. */
static unsigned domain_sizes(const struct job *job, uint64_t *ret_mib)
{
	const struct inventory *inv = job->inv;
	unsigned of[POOL_MEMBERS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < inv->ndisks; i++) {
		uint64_t mib = inv->disks[i].size_bytes >> 20;

		of[i] = n;
		for (unsigned j = 0; j < i && !job->domain_disk; j++)
			if (strcmp(inv->disks[i].host, inv->disks[j].host) ==
			    0)
				of[i] = of[j];
		if (of[i] == n)
			ret_mib[n++] = 0;
		ret_mib[of[i]] += mib;
	}
	return n;
}

static uint64_t sum_capped(const uint64_t *mib, unsigned n, uint64_t cap)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += min_u64(mib[i], cap);
	return sum;
}

/* The largest r with sum(min(z_i, r)) >= width * r (design: capacity). */
static uint64_t usable_rows(const uint64_t *mib, unsigned n, unsigned width)
{
	uint64_t lo = 0, hi = sum_capped(mib, n, UINT64_MAX) / width;

	while (lo < hi) {
		uint64_t mid = hi - (hi - lo) / 2;

		if (sum_capped(mib, n, mid) >= width * mid)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

static void warn_uneven(struct job *job)
{
	uint64_t mib[POOL_MEMBERS_MAX];
	unsigned n = domain_sizes(job, mib);
	unsigned width = job->k + job->m;
	uint64_t all = sum_capped(mib, n, UINT64_MAX);
	uint64_t used = usable_rows(mib, n, width) * width;
	char     text[SIZE_TEXT_BYTES], text2[SIZE_TEXT_BYTES];

	if (all - used <= all * UNEVEN_PERCENT / 100)
		return;
	job_warn(job, "the %s are of very different size: %s of %s cannot be "
		      "used with redundancy %u+%u; larger disks in the small "
		      "ones' place would change that",
		 job->domain_disk ? "disks" : "hosts",
		 size_text((all - used) << 20, text),
		 size_text(all << 20, text2), job->k, job->m);
}

/* --- start --------------------------------------------------------------- */

static bool all_ok(struct job *job)
{
	for (unsigned i = 0; i < job->inv->ndisks; i++)
		if (!job_disk_ok(job, &job->inv->disks[i]))
			return false;
	return twins_ok(job) && domains_ok(job);
}

static void scanned(struct inventory *inv, void *arg)
{
	struct job         *job = arg;
	struct connect_set *set = &job->set;

	job->inv = inv;
	if (!all_ok(job)) {
		job_end(job);
		return;
	}
	warn_uneven(job);
	set->items = calloc(inv->ndisks, sizeof(set->items[0]));
	if (set->items == NULL) {
		job_fail(job, -ENOMEM, "out of memory");
		return;
	}
	set->nitems = inv->ndisks;
	for (unsigned i = 0; i < inv->ndisks; i++) {
		memcpy(set->items[i].place, inv->disks[i].place,
		       sizeof(set->items[i].place));
		memcpy(set->items[i].domain, inv->disks[i].host,
		       sizeof(set->items[i].domain));
	}
	connect_start(set, job->t, connected, job);
}

/* The same pool was made before: nothing to do.  Otherwise it is in the way. */
static void already_there(struct job *job)
{
	struct tarnd    *t = job->t;
	struct pool_info info;

	pool_get_info(t->hosted.pool, &info);
	if (strcmp(info.name, job->name) != 0) {
		job_fail(job, -EBUSY,
			 "pool '%s' is open in this server, which serves one "
			 "at a time: export it first, or start another tarnd "
			 "for pool '%s'", info.name, job->name);
		return;
	}
	if (info.k != job->k || info.m != job->m ||
	    info.domain_disk != job->domain_disk) {
		job_fail(job, -EEXIST,
			 "pool '%s' exists, with redundancy %u+%u and domain "
			 "%s: choose another name", info.name, info.k, info.m,
			 info.domain_disk ? "disk" : "host");
		return;
	}
	job->result = hosted_brief(t, true);
	job_end(job);
}

void job_create_run(struct job *job)
{
	struct tarnd *t = job->t;
	int r;

	if (t->hosted.state == HOSTED_OPEN) {
		already_there(job);
		return;
	}
	r = inventory_scan(t->io, (const char *const *)job->places,
			   job->nplaces, TARND_SCAN_NS, scanned, job);
	if (r < 0)
		job_fail(job, r, "cannot look at the disks: %s", strerror(-r));
}
