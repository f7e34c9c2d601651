/* server/control_pool.c - pool.create, import, export, status and df. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/place_parse.h"
#include "server/control_trash.h"
#include "server/control_used.h"
#include "server/event.h"
#include "server/tarnd.h"

/* --- parameters ---------------------------------------------------------- */

static bool looks_like_uuid(const char *name)
{
	return strlen(name) == UUID_TEXT_BYTES - 1 &&
	       strspn(name, "0123456789abcdefABCDEF-") == strlen(name);
}

/* NULL if it may name a pool. */
static const char *pool_name_problem(const char *name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (name[0] == '\0' || strlen(name) > POOL_NAME_MAX)
		return "a name has 1 to 63 characters";
	if (name[strspn(name, ok)] != '\0' ||
	    !isalnum((unsigned char)name[0]))
		return "a name has letters, digits, '.', '_' and '-', and "
		       "begins with a letter or digit";
	if (looks_like_uuid(name))
		return "a name must not look like a UUID";
	return NULL;
}

static int parse_redundancy(const char *text, uint32_t *ret_k, uint32_t *ret_m)
{
	const char *plus = strchr(text, '+');
	size_t      klen, mlen;

	if (plus == NULL)
		return -EINVAL;
	klen = (size_t)(plus - text);
	mlen = strlen(plus + 1);
	if (klen == 0 || klen > 2 || mlen == 0 || mlen > 2 ||
	    strspn(text, "0123456789") != klen ||
	    strspn(plus + 1, "0123456789") != mlen)
		return -EINVAL;
	*ret_k = (uint32_t)atoi(text);
	*ret_m = (uint32_t)atoi(plus + 1);
	return *ret_k >= 1 && *ret_k <= POOL_K_MAX && *ret_m <= POOL_M_MAX
		       ? 0
		       : -ERANGE;
}

/* --- create, import, export ---------------------------------------------- */

void ctl_pool_create(struct ctl_call *call)
{
	const char *name = ctl_string(call, "name");
	const char *redundancy = ctl_string(call, "redundancy");
	const char *domain = ctl_string(call, "domain");
	const char *problem = pool_name_problem(name);
	uint32_t    k, m;
	struct job *job;

	if (problem != NULL) {
		ctl_bad_param(call, "name", "'%.80s' cannot be the name of a "
					    "pool: %s", name, problem);
		return;
	}
	if (parse_redundancy(redundancy, &k, &m) < 0) {
		ctl_bad_param(call, "redundancy",
			      "redundancy '%.40s' is not K+M with K from 1 to "
			      "%u and M from 0 to %u, as in 2+1 (any one of "
			      "three may be lost) or 1+1 (a mirror)",
			      redundancy, POOL_K_MAX, POOL_M_MAX);
		return;
	}
	if (domain != NULL && strcmp(domain, "host") != 0 &&
	    strcmp(domain, "disk") != 0) {
		ctl_bad_param(call, "domain", "domain '%.40s' is neither host "
					      "nor disk", domain);
		return;
	}
	if (json_array_size(ctl_strings(call, "disks")) == 0) {
		ctl_bad_param(call, "disks", "no disks are given for pool "
					     "'%s': name %u or more", name,
			      k + m);
		return;
	}
	job = job_new(ctl_arg(call), JOB_CREATE, call);
	if (job == NULL)
		return;
	snprintf(job->name, sizeof(job->name), "%s", name);
	job->k = k;
	job->m = m;
	job->domain_disk = domain != NULL && strcmp(domain, "disk") == 0;
	job->force = ctl_bool(call, "force");
	if (job_set_places(job, NULL, 0, ctl_strings(call, "disks")) < 0)
		job_drop(job);
	else
		job_submit(job);
}

/* The name of a pool, "" if none was given.  False: answered. */
static bool take_name(struct ctl_call *call, const char **ret_name)
{
	const char *name = ctl_string(call, "name");

	*ret_name = name != NULL ? name : "";
	if (name == NULL || (name[0] != '\0' && strlen(name) <= POOL_NAME_MAX))
		return true;
	ctl_bad_param(call, "name", "'%.80s' is not the name of a pool, which "
		      "has 1 to %u characters: 'tarn pool list' shows those "
		      "that there are", name, POOL_NAME_MAX);
	return false;
}

/* Places to look at, now and later.  False: answered. */
static bool places_take(struct ctl_call *call, json_t *disks)
{
	struct place_addr addr;
	char    err[PLACE_ERR_BYTES];
	json_t *place;
	size_t  i;

	json_array_foreach(disks, i, place) {
		const char *text = json_string_value(place);

		if (place_resolve(text, &addr, err) == 0)
			continue;
		ctl_bad_param(call, "disks", "'%.200s' is no place of a disk: "
			      "%s", text, err);
		return false;
	}
	json_array_foreach(disks, i, place)
		tarnd_add_place(ctl_arg(call), json_string_value(place));
	return true;
}

void ctl_pool_import(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	const char   *name;
	struct job   *job;

	if (!take_name(call, &name) ||
	    !places_take(call, ctl_strings(call, "disks")))
		return;
	job = job_new(t, JOB_OPEN, call);
	if (job == NULL)
		return;
	snprintf(job->name, sizeof(job->name), "%s", name);
	if (name[0] == '\0' && (t->hosted.wanted || t->hosted.failed))
		snprintf(job->name, sizeof(job->name), "%s", t->hosted.name);
	job->read_only = ctl_bool(call, "read_only");
	job->force = ctl_bool(call, "force");
	job_submit(job);
}

void ctl_pool_export(struct ctl_call *call)
{
	const char *name;
	struct job *job;

	if (!take_name(call, &name))
		return;
	job = job_new(ctl_arg(call), JOB_EXPORT, call);
	if (job == NULL)
		return;
	snprintf(job->name, sizeof(job->name), "%s", name);
	job->force = ctl_bool(call, "force");
	job_submit(job);
}

/* --- status -------------------------------------------------------------- */

const char *ctl_health_name(uint8_t health)
{
	static const char *const names[] = {
		[POOL_ONLINE] = "online",       [POOL_DEGRADED] = "degraded",
		[POOL_READ_ONLY] = "read-only", [POOL_SUSPENDED] = "suspended",
		[POOL_FAILED] = "failed",
	};

	return names[health];
}

static const char *hosted_state_name(const struct hosted *h)
{
	static const char *const names[] = {
		[HOSTED_NONE] = "none",       [HOSTED_SEARCHING] = "waiting",
		[HOSTED_OPENING] = "opening", [HOSTED_OPEN] = "online",
		[HOSTED_CLOSING] = "closing", [HOSTED_FAILED] = "failed",
	};

	return names[h->state];
}

static void add_info(json_t *o, const struct pool_info *info)
{
	char uuid[UUID_TEXT_BYTES], redundancy[32];
	char rebuild[REBUILD_TEXT_BYTES];

	snprintf(redundancy, sizeof(redundancy), "%u+%u", info->k, info->m);
	json_object_set_new(o, "uuid",
			    json_string(uuid_text(&info->uuid, uuid)));
	json_object_set_new(o, "redundancy", json_string(redundancy));
	json_object_set_new(o, "domain",
			    json_string(info->domain_disk ? "disk" : "host"));
	json_object_set_new(o, "rebuild_room",
			    json_string(ctl_rebuild_text(info, rebuild)));
	json_object_set_new(o, "claim", json_integer((json_int_t)info->claim));
	json_object_set_new(o, "created_s",
			    json_integer((json_int_t)info->created_s));
	json_object_set_new(o, "rebuild",
			    json_pack("{s:I, s:I, s:I, s:I, s:b}", "units",
				      (json_int_t)info->rebuild_units, "bytes",
				      (json_int_t)blocks_to_bytes(
					      info->rebuild_blocks),
				      "rebuilt_units",
				      (json_int_t)info->rebuilt_units,
				      "wait_s",
				      (json_int_t)(info->rebuild_wait_ns /
						   NS_PER_S),
				      "running", info->rebuild_running));
	json_object_set_new(o, "rebalance",
			    json_pack("{s:I, s:I, s:I}", "units",
				      (json_int_t)info->move_units, "bytes",
				      (json_int_t)blocks_to_bytes(
					      info->move_blocks),
				      "moved_units",
				      (json_int_t)info->moved_units));
	json_object_set_new(o, "lost_bytes",
			    json_integer((json_int_t)blocks_to_bytes(
				    info->lost_blocks)));
}

/* What to do about a pool that is not open yet. */
static const char *search_action(const struct hosted *h)
{
	switch (h->search_res) {
	case -EBUSY:
		return "stop the other server, or leave it the pool; opening "
		       "is tried again by itself";
	case 0:
	case -EINPROGRESS:
		return "wait a moment";
	case -ENOENT:
		if (h->name[0] == '\0')
			return "bring the disks back; opening is tried again "
			       "by itself; or make a pool with 'tarn pool "
			       "create'";
		return "bring its disks back; opening is tried again by "
		       "itself";
	default:
		return "bring its disks back; opening is tried again by "
		       "itself; 'tarn pool import' has --read-only and "
		       "--force for what cannot be brought back";
	}
}

static json_t *status_json(struct tarnd *t)
{
	const struct hosted *h = &t->hosted;
	struct pool_info info;
	const char *state = hosted_state_name(h), *action = h->action;
	char        why[TARND_ERROR_BYTES + 128];
	json_t     *o, *disks, *alarms;

	hosted_why_not(t, why, sizeof(why));
	if (h->state == HOSTED_OPEN) {
		pool_get_info(h->pool, &info);
		state = ctl_health_name(info.health);
		snprintf(why, sizeof(why), "%s", info.why);
		action = info.action;
	} else if (h->state == HOSTED_FAILED) {
		info = h->last;
	} else if (h->state == HOSTED_SEARCHING) {
		action = search_action(h);
	}
	o = json_pack("{s:s, s:o, s:o, s:o}", "state", state, "name",
		      h->name[0] != '\0' ? ctl_text(h->name) : json_null(),
		      "status", ctl_text(why), "action", ctl_text(action));
	if (o == NULL)
		return NULL;
	if (h->state == HOSTED_OPEN || h->state == HOSTED_FAILED)
		add_info(o, &info);
	disks = h->state == HOSTED_OPEN ? ctl_members_json(h->pool)
					: json_array();
	json_object_set_new(o, "disks", disks);
	alarms = alarm_json(t);
	json_object_update(o, alarms);
	json_decref(alarms);
	json_object_set_new(o, "deleting",
			    h->state == HOSTED_OPEN ?
				    deleting_json(h->vols, UINT64_MAX) :
				    json_null());
	return o;
}

void ctl_pool_status(struct ctl_call *call)
{
	ctl_reply(call, status_json(ctl_arg(call)));
}

/* --- df ------------------------------------------------------------------ */

void ctl_pool_df(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);
	struct pool_info info;
	struct volumes_space space;
	uint64_t usable, used, kept;
	json_t  *o, *more;

	if (h == NULL)
		return;
	pool_get_info(h->pool, &info);
	vols_space(h->vols, &space);
	usable = blocks_to_bytes(info.usable_blocks);
	used = blocks_to_bytes(info.used_blocks);
	kept = blocks_to_bytes(info.kept_blocks);
	o = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:I}", "name",
		      ctl_text(info.name), "usable_bytes", (json_int_t)usable,
		      "used_bytes", (json_int_t)used, "free_bytes",
		      (json_int_t)(usable - min_u64(usable, used + kept)),
		      "reserved_bytes",
		      (json_int_t)kept,
		      "provisioned_bytes", (json_int_t)space.provisioned_bytes,
		      "overcommit",
		      usable == 0 ? 0.0 : (double)space.provisioned_bytes /
						  (double)usable,
		      "raw_bytes",
		      (json_int_t)blocks_to_bytes(info.raw_blocks));
	more = ctl_space_json(&info, &space);
	json_object_update(o, more);
	json_decref(more);
	used_reply_trash(call, o, "trash_bytes");
}
