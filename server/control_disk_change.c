/* server/control_disk_change.c - disk.add, disk.drain, disk.remove,
 * disk.offline, disk.online and disk.rebuild: disks join the open pool, leave
 * it, and are out for a while.
 *
 *	disk.add    a job: look at the place --> judge --> connect -->
 *	            pool_disk_add()
 *	the others  name a member by UUID or place; pool_disk_drain(), …
 *
 * With dry_run only what would be is said.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

/* --- what would be ------------------------------------------------------- */

json_t *ctl_plan_json(const struct hosted *h, const struct pool_plan *plan)
{
	struct pool_info info;

	pool_get_info(h->pool, &info);
	return json_pack("{s:b, s:o, s:I, s:I, s:I, s:i, s:I, s:i, s:i}",
			 "possible",
			 plan->res == 0, "why", ctl_text(plan->why),
			 "usable_bytes",
			 (json_int_t)blocks_to_bytes(info.usable_blocks),
			 "usable_after_bytes",
			 (json_int_t)blocks_to_bytes(plan->usable_blocks),
			 "used_bytes",
			 (json_int_t)blocks_to_bytes(plan->used_blocks),
			 "domains_after", (int)plan->domains, "rebuild_bytes",
			 (json_int_t)blocks_to_bytes(info.rebuild_blocks),
			 "may_lose", plan->spare, "may_lose_after",
			 plan->spare_after);
}

/* --- a member by name ---------------------------------------------------- */

/* By UUID, by place, or by the end of its place; UINT32_MAX: the call was
 * answered. */
static uint32_t find_member(struct ctl_call *call, const struct hosted *h,
			    const char *param)
{
	const char      *name = ctl_string(call, param);
	struct pool_info info;
	uint32_t         found = UINT32_MAX, n = 0;

	pool_get_info(h->pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;
		char               uuid[UUID_TEXT_BYTES];
		bool               same;

		pool_get_member(h->pool, i, &m);
		same = strcmp(uuid_text(&m.uuid, uuid), name) == 0;
		if (m.state == MEMBER_REMOVED && !same)
			continue;
		if (!same && strcmp(m.place, name) != 0)
			continue;
		found = i;
		n++;
	}
	if (n == 1)
		return found;
	ctl_fail(call, n == 0 ? -ENOENT : -EEXIST, name,
		 n == 0 ? "the pool has no disk '%.200s': 'tarn disk list' lists "
			  "those that it has; one whose place is not known is "
			  "named by its UUID (--json shows that)"
			: "'%.200s' names more than one disk: use its UUID",
		 name);
	return UINT32_MAX;
}

uint32_t ctl_find_member(struct ctl_call *call, const struct hosted *h)
{
	return find_member(call, h, "disk");
}

/* --- disk.add ------------------------------------------------------------ */

static void added(struct pool_op *op)
{
	struct job   *job = container_of(op, struct job, op);
	struct tarnd *t = job->t;

	/* The pool has the disk, or has closed it. */
	job->ndisks = 0;
	if (op->res < 0) {
		job_fail(job, op->res, "%s", op->error);
		return;
	}
	tarnd_add_place(t, job->places[0]);
	job->result = json_pack("{s:s, s:b}", "disk", job->places[0],
				"already", false);
	job_end(job);
}

static unsigned job_how(const struct job *job)
{
	return (job->force ? POOL_DISK_FORCE : 0) |
	       (job->witness ? POOL_DISK_WITNESS : 0);
}

static void connected(struct connect_set *set, void *arg)
{
	struct job   *job = arg;
	struct tarnd *t = job->t;

	if (set->items[0].disk == NULL || !set->items[0].disk->up) {
		job_fail(job, -ENOTCONN, "disk %s could not be connected: %s: "
					 "nothing was written",
			 set->items[0].place, set->items[0].error);
		return;
	}
	if (t->hosted.state != HOSTED_OPEN) {
		job_fail(job, -ESHUTDOWN, "the pool is not open any more");
		return;
	}
	job->disks = calloc(1, sizeof(job->disks[0]));
	if (job->disks == NULL) {
		job_fail(job, -ENOMEM, "out of memory");
		return;
	}
	job->ndisks = connect_hand_over(set, job->disks);
	job->op.done = added;
	pool_disk_add(t->hosted.pool, job->disks, job_how(job), &job->op);
}

/* Is it a disk of the open pool already? */
static bool is_member(const struct pool *pool, const struct found_disk *d)
{
	struct pool_info info;

	pool_get_info(pool, &info);
	if (d->state != FOUND_MEMBER ||
	    !uuid_equal(&d->label.pool, &info.uuid))
		return false;
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;

		pool_get_member(pool, i, &m);
		if (m.state != MEMBER_REMOVED &&
		    uuid_equal(&m.uuid, &d->label.disk))
			return true;
	}
	return false;
}

static void add_planned(struct job *job, const struct found_disk *d)
{
	struct hosted   *h = &job->t->hosted;
	struct pool_plan plan;

	/* 0 - 1: none. */
	pool_plan_add(h->pool, d->size_bytes, d->host, job_how(job),
		      job->replaces - 1, &plan);
	job->result = ctl_plan_json(h, &plan);
	job_end(job);
}

static void scanned(struct inventory *inv, void *arg)
{
	struct job         *job = arg;
	struct tarnd       *t = job->t;
	struct connect_set *set = &job->set;
	struct found_disk  *d;

	job->inv = inv;
	if (t->hosted.state != HOSTED_OPEN) {
		job_fail(job, -ESHUTDOWN, "the pool is not open any more");
		return;
	}
	if (inv->ndisks != 1) {
		job_fail(job, -EINVAL, "%s is %u disks: name one of them",
			 job->places[0], inv->ndisks);
		return;
	}
	d = &inv->disks[0];
	if (is_member(t->hosted.pool, d)) {
		job->result = json_pack("{s:s, s:b}", "disk", job->places[0],
					"already", true);
		job_end(job);
		return;
	}
	if (!job_disk_ok(job, d)) {
		job_end(job);
		return;
	}
	if (job->dry_run) {
		add_planned(job, d);
		return;
	}
	set->items = calloc(1, sizeof(set->items[0]));
	if (set->items == NULL) {
		job_fail(job, -ENOMEM, "out of memory");
		return;
	}
	set->nitems = 1;
	memcpy(set->items[0].place, d->place, sizeof(set->items[0].place));
	memcpy(set->items[0].domain, d->host, sizeof(set->items[0].domain));
	connect_start(set, t, connected, job);
}

void job_disk_add_run(struct job *job)
{
	struct tarnd *t = job->t;
	int           r;

	if (t->hosted.state != HOSTED_OPEN || t->hosted.read_only) {
		job_fail(job, -ESHUTDOWN,
			 t->hosted.state != HOSTED_OPEN
				 ? "no pool is open: 'tarn status' says why"
				 : "the pool was imported read-only: import it "
				   "for writing first");
		return;
	}
	r = inventory_scan(t->io, (const char *const *)job->places,
			   job->nplaces, TARND_SCAN_NS, scanned, job);
	if (r < 0)
		job_fail(job, r, "cannot look at the disk: %s", strerror(-r));
}

void ctl_disk_add(struct ctl_call *call)
{
	const char    *place = ctl_string(call, "disk");
	struct hosted *h = ctl_need_pool(call);
	uint32_t       replaces = UINT32_MAX;
	json_t        *places;
	struct job    *job;

	if (h == NULL)
		return;
	if (ctl_string(call, "replaces") != NULL) {
		replaces = find_member(call, h, "replaces");
		if (replaces == UINT32_MAX)
			return;
	}
	job = job_new(ctl_arg(call), JOB_DISK_ADD, call);
	if (job == NULL)
		return;
	job->force = ctl_bool(call, "force");
	job->dry_run = ctl_bool(call, "dry_run");
	job->witness = ctl_bool(call, "witness");
	job->replaces = replaces + 1;
	places = json_pack("[s]", place);
	if (places == NULL || job_set_places(job, NULL, 0, places) < 0)
		job->nplaces = 0;
	json_decref(places);
	job_submit(job);
}

/* --- disk.drain, disk.remove --------------------------------------------- */

/* One operation of the pool about one member, for a call. */
struct member_op {
	struct pool_op   op;
	struct ctl_call *call;
	struct tarnd    *t;
};

static void member_op_done(struct pool_op *op)
{
	struct member_op *d = container_of(op, struct member_op, op);

	if (op->res < 0)
		ctl_fail(d->call, op->res, ctl_string(d->call, "disk"), "%s",
			 op->error);
	else
		ctl_reply(d->call, json_pack("{s:b}", "already", op->res == 1));
	hosted_call_end(d->t);
	free(d);
}

/* NULL: the call was answered. */
static struct pool_op *member_op_new(struct ctl_call *call, struct hosted *h)
{
	struct member_op *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "out of memory");
		return NULL;
	}
	d->call = call;
	d->t = ctl_arg(call);
	d->op.done = member_op_done;
	h->vol_calls++;
	return &d->op;
}

/* The pool and its member that the call is about; NULL: it was answered. */
static struct hosted *need_member(struct ctl_call *call, uint32_t *ret_i)
{
	struct hosted *h = ctl_need_pool(call);

	if (h == NULL)
		return NULL;
	*ret_i = ctl_find_member(call, h);
	return *ret_i == UINT32_MAX ? NULL : h;
}

static void drain(struct ctl_call *call, bool on, bool remove)
{
	uint32_t         i;
	struct hosted   *h = need_member(call, &i);
	struct pool_plan plan;
	struct pool_op  *op;

	if (h == NULL)
		return;
	if (ctl_bool(call, "dry_run")) {
		pool_plan_drain(h->pool, i, &plan);
		ctl_reply(call, ctl_plan_json(h, &plan));
		return;
	}
	op = member_op_new(call, h);
	if (op != NULL)
		pool_disk_drain(h->pool, i, on, remove, op);
}

void ctl_disk_drain(struct ctl_call *call)
{
	drain(call, !ctl_bool(call, "stop"), false);
}

void ctl_disk_remove(struct ctl_call *call)
{
	drain(call, true, true);
}

/* --- disk.offline, disk.online ------------------------------------------- */

static void offline(struct ctl_call *call, bool off)
{
	uint32_t         i;
	struct hosted   *h = need_member(call, &i);
	struct pool_plan plan;
	struct pool_op  *op;

	if (h == NULL)
		return;
	if (ctl_bool(call, "dry_run")) {
		if (off)
			pool_plan_offline(h->pool, i, &plan);
		else
			pool_plan_online(h->pool, i, &plan);
		ctl_reply(call, ctl_plan_json(h, &plan));
		return;
	}
	op = member_op_new(call, h);
	if (op == NULL)
		return;
	if (off)
		pool_disk_offline(h->pool, i, ctl_bool(call, "force"), op);
	else
		pool_disk_online(h->pool, i, op);
}

void ctl_disk_offline(struct ctl_call *call)
{
	offline(call, true);
}

void ctl_disk_online(struct ctl_call *call)
{
	offline(call, false);
}

/* --- disk.rebuild -------------------------------------------------------- */

void ctl_disk_rebuild(struct ctl_call *call)
{
	struct hosted   *h = ctl_need_pool(call);
	struct pool_info info;
	struct pool_plan plan;
	uint32_t         n = 0, out = 0, offline = 0;
	bool             now = ctl_bool(call, "now");

	if (h == NULL)
		return;
	if (ctl_bool(call, "dry_run")) {
		pool_plan_rebuild(h->pool, now, &plan);
		ctl_reply(call, ctl_plan_json(h, &plan));
		return;
	}
	pool_get_info(h->pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;
		int                r;

		pool_get_member(h->pool, i, &m);
		if (m.offline && !now) {
			offline++;
			continue;
		}
		r = pool_disk_give_up(h->pool, i);
		out += r != -EINVAL;
		n += r == 0;
	}
	ctl_reply(call, json_pack("{s:i, s:i, s:b}", "disks", (int)out,
				  "offline", (int)offline, "already", n == 0));
}
