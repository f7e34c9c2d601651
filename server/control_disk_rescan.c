/* server/control_disk_rescan.c - disk.rescan: a disk of the pool has grown.
 *
 *	a job: look at its place --> judge --> pool_disk_rescan()
 *
 * What is looked at first has a connection of its own, so that a disk which has
 * become smaller is refused before anything happens to it.
 */
#include <errno.h>
#include <string.h>

#include "server/tarnd.h"

/* Is it still a member, and which?  UINT32_MAX: the job has failed. */
static uint32_t member_of(struct job *job, struct member_info *ret)
{
	struct hosted   *h = &job->t->hosted;
	struct pool_info info;

	if (h->state != HOSTED_OPEN) {
		job_fail(job, -ESHUTDOWN, "the pool is not open any more");
		return UINT32_MAX;
	}
	pool_get_info(h->pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		pool_get_member(h->pool, i, ret);
		if (ret->state != MEMBER_REMOVED &&
		    strcmp(ret->place, job->places[0]) == 0)
			return i;
	}
	job_fail(job, -ENOENT, "disk %s has been removed from the pool",
		 job->places[0]);
	return UINT32_MAX;
}

static void rescanned(struct pool_op *op)
{
	struct job        *job = container_of(op, struct job, op);
	struct member_info m;
	uint32_t           i;

	if (op->res < 0) {
		job_fail(job, op->res, "disk %s: %s", job->places[0],
			 op->error);
		return;
	}
	i = member_of(job, &m);
	if (i == UINT32_MAX)
		return;
	job->result = json_pack("{s:s, s:b, s:I}", "disk", job->places[0],
				"already", op->res == 1, "size_bytes",
				(json_int_t)m.size_bytes);
	job_end(job);
}

static void scanned(struct inventory *inv, void *arg)
{
	struct job        *job = arg;
	struct hosted     *h = &job->t->hosted;
	struct member_info m;
	struct pool_plan   plan;
	uint64_t           bytes;
	uint32_t           i;

	job->inv = inv;
	i = member_of(job, &m);
	if (i == UINT32_MAX)
		return;
	if (m.state != MEMBER_ONLINE || inv->ndisks != 1 ||
	    inv->disks[0].state == FOUND_UNREACHABLE) {
		job_fail(job, -ENOTCONN, "disk %s is not online: its size is "
			 "looked at when it is", job->places[0]);
		return;
	}
	bytes = inv->disks[0].size_bytes;
	pool_plan_rescan(h->pool, i, bytes, &plan);
	if (job->dry_run) {
		job->result = ctl_plan_json(h, &plan);
		json_object_set_new(job->result, "size_bytes",
				    json_integer((json_int_t)bytes));
		job_end(job);
	} else if (plan.res < 0) {
		job_fail(job, plan.res, "disk %s is not used to another end: %s",
			 job->places[0], plan.why);
	} else if (plan.zones <= m.zones) {
		job->result = json_pack("{s:s, s:b, s:I}", "disk",
					job->places[0], "already", true,
					"size_bytes",
					(json_int_t)m.size_bytes);
		job_end(job);
	} else {
		job->op.done = rescanned;
		pool_disk_rescan(h->pool, i, &job->op);
	}
}

void job_disk_rescan_run(struct job *job)
{
	struct tarnd      *t = job->t;
	struct member_info m;
	int                r;

	if (job->nplaces == 0) {
		job_fail(job, -ENOMEM, "out of memory");
		return;
	}
	if (member_of(job, &m) == UINT32_MAX)
		return;
	r = inventory_scan(t->io, (const char *const *)job->places,
			   job->nplaces, TARND_SCAN_NS, scanned, job);
	if (r < 0)
		job_fail(job, r, "cannot look at the disk: %s", strerror(-r));
}

void ctl_disk_rescan(struct ctl_call *call)
{
	struct hosted     *h = ctl_need_pool(call);
	struct member_info m;
	struct job        *job;
	json_t            *places;
	uint32_t           i;

	if (h == NULL)
		return;
	i = ctl_find_member(call, h);
	if (i == UINT32_MAX)
		return;
	pool_get_member(h->pool, i, &m);
	if (h->read_only || m.place[0] == '\0') {
		ctl_fail(call, h->read_only ? -EROFS : -ENOTCONN,
			 ctl_string(call, "disk"), "%s",
			 h->read_only ? "the pool was imported read-only"
				      : "the disk is not online: its size is "
					"looked at when it is");
		return;
	}
	job = job_new(ctl_arg(call), JOB_DISK_RESCAN, call);
	if (job == NULL)
		return;
	job->dry_run = ctl_bool(call, "dry_run");
	places = json_pack("[s]", m.place);
	if (places == NULL || job_set_places(job, NULL, 0, places) < 0)
		job->nplaces = 0;
	json_decref(places);
	job_submit(job);
}
