/* server/tarnd_open.c - opening a pool: by itself at start, or by import.
 *
 *	scan the places --> which pool? --> connect its disks --> pool_open()
 *
 * By itself: with members missing, opening waits for --open-wait seconds, so
 * that a whole site that starts at once does not come up degraded.  What does
 * not work is tried again with back-off, and status says why it did not.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

/* --- outcome ------------------------------------------------------------- */

/* The job has failed, with res and error. */
static void open_failed(struct job *job)
{
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;

	hosted_unmake(t);
	hosted_none(t);
	if (job->call == NULL && h->wanted) {
		if (strcmp(h->why, job->error) != 0)
			tarnd_log(t, "not open yet: %s", job->error);
		snprintf(h->why, sizeof(h->why), "%s", job->error);
		h->search_res = job->res;
	}
	if (h->wanted)
		hosted_search(t, false);
	job_end(job);
}

__attribute__((format(printf, 3, 4))) static void
fail(struct job *job, int err, const char *fmt, ...)
{
	va_list ap;

	job->res = err;
	va_start(ap, fmt);
	vsnprintf(job->error, sizeof(job->error), fmt, ap);
	va_end(ap);
	open_failed(job);
}

static void pool_opened(struct pool_op *op)
{
	struct job   *job = container_of(op, struct job, op);
	struct tarnd *t = job->t;

	if (op->res < 0) {
		fail(job, op->res, "%s", op->error);
		return;
	}
	if (hosted_serve(t, job->read_only) < 0) {
		/* Out of memory after opening: as a crash, nothing is lost. */
		tarnd_log(t, "out of memory while opening the pool");
		abort();
	}
	job->result = hosted_brief(t, false);
	job_end(job);
}

/* --- disks --------------------------------------------------------------- */

static void connected(struct connect_set *set, void *arg)
{
	struct job   *job = arg;
	struct tarnd *t = job->t;
	const char   *why = "";

	for (unsigned i = 0; i < set->nitems; i++) {
		struct connect_item *item = &set->items[i];

		if (item->disk != NULL)
			continue;
		why = item->error;
		tarnd_log(t, "disk %s could not be connected: %s", item->place,
			  item->error);
	}
	job->disks = calloc(set->nitems + 1, sizeof(job->disks[0]));
	if (job->disks == NULL || hosted_make(t) < 0) {
		fail(job, -ENOMEM, "out of memory");
		return;
	}
	job->ndisks = connect_hand_over(set, job->disks);
	if (job->ndisks == 0) {
		fail(job, -ENOTCONN, "none of its disks could be connected: %s",
		     why);
		return;
	}
	job->open.read_only = job->read_only;
	job->open.force = job->force;
	job->op.done = pool_opened;
	pool_open(t->hosted.pool, &job->open, job->disks, job->ndisks,
		  &job->op);
}

/* --- which pool ---------------------------------------------------------- */

static bool wanted_here(const struct job *job, const struct found_disk *d)
{
	char text[UUID_TEXT_BYTES];

	if (d->state != FOUND_MEMBER)
		return false;
	return job->name[0] == '\0' ||
	       strcmp(job->name, d->label.pool_name) == 0 ||
	       strcasecmp(job->name, uuid_text(&d->label.pool, text)) == 0;
}

/* "tank, pond": the pools among the found disks. */
static void list_pools(const struct inventory *inv, char *ret, size_t bytes)
{
	size_t len = 0;

	ret[0] = '\0';
	for (unsigned i = 0; i < inv->ndisks && len < bytes; i++) {
		const struct found_disk *d = &inv->disks[i];
		char text[UUID_TEXT_BYTES];
		bool seen = false;

		for (unsigned j = 0; j < i && !seen; j++)
			seen = inv->disks[j].state == FOUND_MEMBER &&
			       uuid_equal(&inv->disks[j].label.pool,
					  &d->label.pool);
		if (d->state != FOUND_MEMBER || seen)
			continue;
		len += (size_t)snprintf(ret + len, bytes - len, "%s%s (%s)",
					len > 0 ? ", " : "",
					d->label.pool_name,
					uuid_text(&d->label.pool, text));
	}
}

static const struct found_disk *first_unreachable(const struct inventory *inv,
						  unsigned *ret_n)
{
	const struct found_disk *first = NULL;

	*ret_n = 0;
	for (unsigned i = 0; i < inv->ndisks; i++) {
		if (inv->disks[i].state != FOUND_UNREACHABLE)
			continue;
		if (first == NULL)
			first = &inv->disks[i];
		(*ret_n)++;
	}
	return first;
}

static void not_found(struct job *job)
{
	const struct inventory  *inv = job->inv;
	const struct found_disk *bad;
	char     pools[300], what[200];
	unsigned nbad;

	if (job->name[0] != '\0')
		snprintf(what, sizeof(what), "pool '%s' was not found",
			 job->name);
	else
		snprintf(what, sizeof(what), "no pool was found");
	bad = first_unreachable(inv, &nbad);
	list_pools(inv, pools, sizeof(pools));
	if (job->nplaces == 0)
		fail(job, -ENOENT, "%s: the server knows no disks: name them "
				   "with --disks", what);
	else if (bad != NULL)
		fail(job, -ENOENT, "%s: %u of %u disks cannot be reached (%s: "
				   "%s)", what, nbad, inv->ndisks, bad->place,
		     bad->why);
	else if (pools[0] != '\0')
		fail(job, -ENOENT, "%s on the disks that the server knows; "
				   "there is %s", what, pools);
	else
		fail(job, -ENOENT, "%s on the %u disks that the server knows: "
				   "name the disks of the pool, or make it "
				   "with 'tarn pool create'", what,
		     inv->ndisks);
	return;
}

/* The one pool that is meant; 0, -ENOENT, -EEXIST (several). */
static int choose(struct job *job, struct uuid *ret)
{
	const struct found_disk *first = NULL;

	for (unsigned i = 0; i < job->inv->ndisks; i++) {
		const struct found_disk *d = &job->inv->disks[i];

		if (!wanted_here(job, d))
			continue;
		if (first == NULL)
			first = d;
		else if (!uuid_equal(&first->label.pool, &d->label.pool))
			return -EEXIST;
	}
	if (first == NULL)
		return -ENOENT;
	*ret = first->label.pool;
	return 0;
}

/* Collect the disks of the pool; returns how many members there are that were
 * not found. */
static unsigned collect(struct job *job)
{
	struct connect_set *set = &job->set;
	unsigned *which; /* in the inventory, of each item */
	unsigned members = 0, different = 0;
	uint64_t newest = 0;

	set->items = calloc(job->inv->ndisks, sizeof(set->items[0]));
	which = calloc(job->inv->ndisks, sizeof(which[0]));
	for (unsigned i = 0; set->items != NULL && which != NULL &&
			     i < job->inv->ndisks; i++) {
		const struct found_disk *found = job->inv->disks;
		const struct found_disk *d = &found[i];
		struct connect_item     *item = &set->items[set->nitems];
		bool twin = false;

		if (d->state != FOUND_MEMBER ||
		    !uuid_equal(&d->label.pool, &job->open.uuid))
			continue;
		for (unsigned j = 0; j < set->nitems && !twin; j++)
			twin = uuid_equal(&found[which[j]].label.disk,
					  &d->label.disk);
		different += !twin;
		if (d->label.claim >= newest) {
			newest = d->label.claim;
			members = d->label.nmembers;
		}
		which[set->nitems] = i;
		set->nitems++;
		snprintf(item->place, sizeof(item->place), "%s", d->place);
		snprintf(item->domain, sizeof(item->domain), "%s", d->host);
	}
	free(which);
	return members > different ? members - different : 0;
}

static void scanned(struct inventory *inv, void *arg)
{
	struct job    *job = arg;
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;
	char     pools[400];
	unsigned missing;
	uint64_t waited_ns = io_now_ns(t->io) - h->search_ns;
	int      r;

	job->inv = inv;
	r = choose(job, &job->open.uuid);
	if (r == -ENOENT) {
		bool idle = job->call == NULL && t->cfg->pool == NULL;
		unsigned nbad;

		/* Blank disks alone are no reason to go on looking. */
		if (idle && first_unreachable(inv, &nbad) == NULL)
			h->wanted = false;
		not_found(job);
		return;
	}
	if (r == -EEXIST) {
		list_pools(inv, pools, sizeof(pools));
		if (job->call == NULL)
			h->wanted = false;
		fail(job, r, "there are several pools: %s: say which, by UUID "
			     "if the names are the same", pools);
		return;
	}
	missing = collect(job);
	if (job->set.items == NULL) {
		fail(job, -ENOMEM, "out of memory");
		return;
	}
	if (job->call == NULL && missing > 0 &&
	    waited_ns < t->cfg->open_wait_s * NS_PER_S) {
		fail(job, -EINPROGRESS, "%u of its disks %s missing and "
					"waited for", missing,
		     missing == 1 ? "is" : "are");
		return;
	}
	connect_start(&job->set, t, connected, job);
}

/* --- start --------------------------------------------------------------- */

/* A pool is open already: is it the one that is meant? */
static void already_open(struct job *job)
{
	struct hosted *h = &job->t->hosted;
	struct pool_info info;
	char text[UUID_TEXT_BYTES];

	pool_get_info(h->pool, &info);
	if (job->name[0] == '\0' || strcmp(job->name, info.name) == 0 ||
	    strcasecmp(job->name, uuid_text(&info.uuid, text)) == 0) {
		if (h->read_only && !job->read_only && job->call != NULL) {
			job_fail(job, -EBUSY,
				 "pool '%s' is open read-only: export it "
				 "first, then import it again", info.name);
			return;
		}
		if (!h->read_only && job->read_only) {
			job_fail(job, -EBUSY,
				 "pool '%s' is open for writing: export it "
				 "first, then import it with --read-only",
				 info.name);
			return;
		}
		job->result = hosted_brief(job->t, true);
		job_end(job);
		return;
	}
	job_fail(job, -EBUSY,
		 "pool '%s' is open in this server, which serves one at a "
		 "time: export it first, or start another tarnd for pool "
		 "'%s'", info.name, job->name);
}

void job_open_run(struct job *job)
{
	struct tarnd  *t = job->t;
	struct hosted *h = &t->hosted;
	int r;

	if (h->state == HOSTED_OPEN) {
		already_open(job);
		return;
	}
	if (job->call == NULL && !h->wanted) {
		job_end(job);
		return;
	}
	r = job->nplaces == 0 ? job_set_places(job, t->places, t->nplaces, NULL)
			      : 0;
	if (r == 0)
		r = inventory_scan(t->io, (const char *const *)job->places,
				   job->nplaces, TARND_SCAN_NS, scanned, job);
	if (r < 0)
		fail(job, r, "cannot look at the disks: %s", strerror(-r));
}
