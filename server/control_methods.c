/* server/control_methods.c - the table of methods, which docs/control-api.md
 * describes, and the calls that wait for a pool which is being opened.
 */
#include <errno.h>

#include "server/bgjob.h"
#include "server/event.h"
#include "server/tarnd.h"

static const struct ctl_param discover_params[] = {
	{ "places", CTL_STRINGS, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_add_params[] = {
	{ "disk", CTL_STRING, true },
	{ "force", CTL_BOOL, false },
	{ "witness", CTL_BOOL, false },
	{ "replaces", CTL_STRING, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_drain_params[] = {
	{ "disk", CTL_STRING, true },
	{ "stop", CTL_BOOL, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_remove_params[] = {
	{ "disk", CTL_STRING, true },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_offline_params[] = {
	{ "disk", CTL_STRING, true },
	{ "force", CTL_BOOL, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_online_params[] = {
	{ "disk", CTL_STRING, true },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param disk_rebuild_params[] = {
	{ "now", CTL_BOOL, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param create_params[] = {
	{ "name", CTL_STRING, true },
	{ "redundancy", CTL_STRING, true },
	{ "disks", CTL_STRINGS, true },
	{ "domain", CTL_STRING, false },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param import_params[] = {
	{ "name", CTL_STRING, false },
	{ "disks", CTL_STRINGS, false },
	{ "read_only", CTL_BOOL, false },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param export_params[] = {
	{ "name", CTL_STRING, false },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param name_params[] = {
	{ "name", CTL_STRING, true },
	{ NULL, 0, false },
};
static const struct ctl_param volume_create_params[] = {
	{ "name", CTL_STRING, true },
	{ "size", CTL_UINT, true },
	{ "reserve", CTL_STRING, false },
	{ "when_full", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param volume_list_params[] = {
	{ "after", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param volume_resize_params[] = {
	{ "name", CTL_STRING, true },
	{ "size", CTL_UINT, true },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param rename_params[] = {
	{ "name", CTL_STRING, true },
	{ "new_name", CTL_STRING, true },
	{ NULL, 0, false },
};
static const struct ctl_param delete_params[] = {
	{ "name", CTL_STRING, true },
	{ "force", CTL_BOOL, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param volume_set_params[] = {
	{ "name", CTL_STRING, true },
	{ "reserve", CTL_STRING, false },
	{ "when_full", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param volume_delete_params[] = {
	{ "name", CTL_STRING, true },
	{ "force", CTL_BOOL, false },
	{ "dry_run", CTL_BOOL, false },
	{ "with_snapshots", CTL_BOOL, false },
	{ "now", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param undelete_params[] = {
	{ "name", CTL_STRING, true },
	{ "as", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param deleting_params[] = {
	{ "upto", CTL_UINT, false },
	{ "list", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param trash_empty_params[] = {
	{ "names", CTL_STRINGS, false },
	{ "dry_run", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param snapshot_create_params[] = {
	{ "names", CTL_STRINGS, true },
	{ NULL, 0, false },
};
static const struct ctl_param du_params[] = {
	{ "names", CTL_STRINGS, false },
	{ NULL, 0, false },
};
static const struct ctl_param rollback_params[] = {
	{ "name", CTL_STRING, true },
	{ "keep_as", CTL_STRING, false },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param snapshot_list_params[] = {
	{ "volume", CTL_STRING, false },
	{ "after", CTL_UINT, false },
	{ "used", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param snapshot_show_params[] = {
	{ "name", CTL_STRING, true },
	{ "used", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param checkpoint_list_params[] = {
	{ "volume", CTL_STRING, false },
	{ "after", CTL_UINT, false },
	{ NULL, 0, false },
};
static const struct ctl_param event_list_params[] = {
	{ "after", CTL_UINT, false },
	{ "since", CTL_UINT, false },
	{ "wait", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param job_params[] = {
	{ "job", CTL_STRING, true },
	{ NULL, 0, false },
};
static const struct ctl_param job_show_params[] = {
	{ "job", CTL_STRING, true },
	{ "wait", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param alarm_mute_params[] = {
	{ "alarm", CTL_STRING, true },
	{ "object", CTL_STRING, false },
	{ "seconds", CTL_UINT, true },
	{ NULL, 0, false },
};

static const struct ctl_param schedule_set_params[] = {
	{ "name", CTL_STRING, true },
	{ "frequent", CTL_UINT, false },
	{ "hourly", CTL_UINT, false },
	{ "daily", CTL_UINT, false },
	{ "weekly", CTL_UINT, false },
	{ "monthly", CTL_UINT, false },
	{ "yearly", CTL_UINT, false },
	{ NULL, 0, false },
};
static const struct ctl_param schedule_list_params[] = {
	{ "volume", CTL_STRING, false },
	{ "after", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param snapshot_diff_params[] = {
	{ "from", CTL_STRING, true },
	{ "to", CTL_STRING, true },
	{ "offset", CTL_UINT, false },
	{ NULL, 0, false },
};
static const struct ctl_param receive_begin_params[] = {
	{ "volume", CTL_STRING, true },
	{ "size", CTL_UINT, true },
	{ "base", CTL_STRING, false },
	{ "snapshot", CTL_STRING, false },
	{ "uuid", CTL_STRING, false },
	{ "id", CTL_STRING, false },
	{ NULL, 0, false },
};
static const struct ctl_param receive_publish_params[] = {
	{ "export", CTL_STRING, true },
	{ "size", CTL_UINT, true },
	{ "snapshot", CTL_STRING, false },
	{ "uuid", CTL_STRING, false },
	{ "volume", CTL_STRING, false },
	{ "created", CTL_UINT, false },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};
static const struct ctl_param receive_abort_params[] = {
	{ "export", CTL_STRING, true },
	{ "force", CTL_BOOL, false },
	{ NULL, 0, false },
};

const struct ctl_method tarnd_methods[] = {
	{ "server.info", ctl_server_info, NULL, false,
	  "Version, process, and where it listens." },
	{ "server.methods", ctl_server_methods, NULL, false,
	  "The methods that there are, with their parameters." },
	{ "server.stats", ctl_server_stats_get, NULL, false,
	  "Counters since the start." },
	{ "disk.discover", ctl_disk_discover, discover_params, false,
	  "What is on disks out there; nothing is written." },
	{ "disk.list", ctl_disk_list, NULL, false,
	  "The members of the open pool." },
	{ "disk.add", ctl_disk_add, disk_add_params, true,
	  "A disk joins the open pool; what was on it is lost." },
	{ "disk.drain", ctl_disk_drain, disk_drain_params, true,
	  "What is on a disk moves to the others." },
	{ "disk.remove", ctl_disk_remove, disk_remove_params, true,
	  "A disk is drained and then leaves the pool." },
	{ "disk.offline", ctl_disk_offline, disk_offline_params, true,
	  "A disk is out until it is called online." },
	{ "disk.online", ctl_disk_online, disk_online_params, true,
	  "A disk that was taken offline comes back." },
	{ "disk.rescan", ctl_disk_rescan, disk_online_params, true,
	  "A disk that has grown is used to its new end." },
	{ "disk.rebuild", ctl_disk_rebuild, disk_rebuild_params, true,
	  "Disks that are out are not waited for any longer." },
	{ "pool.create", ctl_pool_create, create_params, true,
	  "Make a pool of disks and open it." },
	{ "pool.import", ctl_pool_import, import_params, true,
	  "Open a pool that is on disks." },
	{ "pool.export", ctl_pool_export, export_params, true,
	  "Stop serving the pool and close it cleanly." },
	{ "pool.list", ctl_pool_list, NULL, false,
	  "The open pool, and those that could be imported." },
	{ "pool.status", ctl_pool_status, NULL, false,
	  "Health: state, what is wrong, what to do, disks." },
	{ "damage.list", ctl_damage_list, NULL, false,
	  "Which blocks of volumes and snapshots are lost." },
	{ "pool.df", ctl_pool_df, NULL, false,
	  "Space: usable, used, free, provisioned, raw." },
	{ "volume.create", ctl_volume_create, volume_create_params, true,
	  "Make a thin volume." },
	{ "volume.list", ctl_volume_list, volume_list_params, false,
	  "The volumes by name, at most 1000 a call." },
	{ "volume.show", ctl_volume_show, name_params, false,
	  "One volume." },
	{ "volume.clone", ctl_volume_clone, rename_params, true,
	  "Make a volume that starts as a snapshot." },
	{ "volume.resize", ctl_volume_resize, volume_resize_params, true,
	  "Grow or shrink a volume." },
	{ "volume.set", ctl_volume_set, volume_set_params, true,
	  "Set properties of a volume: its reserve, what it does when full." },
	{ "volume.rename", ctl_volume_rename, rename_params, true,
	  "Give a volume another name." },
	{ "volume.delete", ctl_volume_delete, volume_delete_params, true,
	  "Put a volume into the trash, or delete it and all its data." },
	{ "volume.undelete", ctl_volume_undelete, undelete_params, true,
	  "Take a volume out of the trash." },
	{ "volume.du", ctl_volume_du, du_params, false,
	  "What volumes and their snapshots take, and share with others." },
	{ "volume.freed", ctl_volume_freed, snapshot_create_params, false,
	  "What deleting volumes and snapshots together would free." },
	{ "volume.deleting", ctl_volume_deleting, deleting_params, false,
	  "How far deleting is." },
	{ "trash.list", ctl_trash_list, NULL, false,
	  "The volumes in the trash, at most 1000, the oldest first." },
	{ "trash.empty", ctl_trash_empty, trash_empty_params, true,
	  "Delete what is in the trash, or some of it." },
	{ "snapshot.create", ctl_snapshot_create, snapshot_create_params, true,
	  "Take snapshots and checkpoints of volumes, at one instant." },
	{ "snapshot.list", ctl_snapshot_list, snapshot_list_params, false,
	  "The snapshots, oldest first, at most 1000 a call." },
	{ "snapshot.show", ctl_snapshot_show, snapshot_show_params, false,
	  "One snapshot." },
	{ "snapshot.rollback", ctl_snapshot_rollback, rollback_params, true,
	  "Make a volume what it was when a snapshot was taken." },
	{ "snapshot.rename", ctl_snapshot_rename, rename_params, true,
	  "Give a snapshot another name." },
	{ "snapshot.delete", ctl_snapshot_delete, delete_params, true,
	  "Delete a snapshot and the data that only it has." },
	{ "snapshot.hold", ctl_snapshot_hold, name_params, true,
	  "A snapshot is not to be deleted." },
	{ "snapshot.release", ctl_snapshot_release, name_params, true,
	  "A snapshot may be deleted again." },
	{ "snapshot.diff", ctl_snapshot_diff, snapshot_diff_params, false,
	  "What has changed since an older snapshot, at most 1000 extents." },
	{ "schedule.set", ctl_schedule_set, schedule_set_params, true,
	  "Let snapshots of a volume be taken and deleted by themselves." },
	{ "schedule.clear", ctl_schedule_clear, name_params, true,
	  "End the schedule of a volume; its snapshots stay." },
	{ "schedule.list", ctl_schedule_list, schedule_list_params, false,
	  "The schedules by volume, at most 1000 a call." },
	{ "checkpoint.create", ctl_checkpoint_create, snapshot_create_params,
	  true, "Take checkpoints of volumes, at one instant." },
	{ "checkpoint.list", ctl_checkpoint_list, checkpoint_list_params, false,
	  "The checkpoints, oldest first, at most 1000 a call." },
	{ "checkpoint.show", ctl_checkpoint_show, name_params, false,
	  "One checkpoint." },
	{ "checkpoint.rename", ctl_checkpoint_rename, rename_params, true,
	  "Give a checkpoint another name." },
	{ "checkpoint.delete", ctl_checkpoint_delete, name_params, true,
	  "Delete a checkpoint." },
	{ "receive.begin", ctl_receive_begin, receive_begin_params, true,
	  "Make a hidden volume that a copy of a snapshot is written to." },
	{ "receive.publish", ctl_receive_publish, receive_publish_params, true,
	  "Show what was received as a snapshot of its volume." },
	{ "receive.abort", ctl_receive_abort, receive_abort_params, true,
	  "Delete what has been received so far." },
	{ "receive.list", ctl_receive_list, NULL, false,
	  "What is being received, at most 1000." },
	{ "event.list", ctl_event_list, event_list_params, false,
	  "What happened to the pool, oldest first." },
	{ "job.list", ctl_job_list, NULL, false,
	  "What takes long and goes on by itself, at most 1000." },
	{ "job.show", ctl_job_show, job_show_params, false,
	  "One job; or wait for its end." },
	{ "job.cancel", ctl_job_cancel, job_params, true,
	  "End a job before its time." },
	{ "scrub.start", ctl_scrub_start, NULL, true,
	  "Check all data, or go on with that, and repair what is wrong." },
	{ "scrub.pause", ctl_scrub_pause, NULL, true, "Pause the scrub." },
	{ "scrub.stop", ctl_scrub_stop, NULL, true, "End the scrub." },
	{ "scrub.status", ctl_scrub_status, NULL, false,
	  "How far the scrub is, and what it has found." },
	{ "alarm.list", ctl_alarm_list, NULL, false,
	  "What is wrong now, with its risk and what to do." },
	{ "alarm.mute", ctl_alarm_mute, alarm_mute_params, false,
	  "Let an alarm not count for a while." },
};
const unsigned tarnd_nmethods = ARRAY_LEN(tarnd_methods);

/* --- waiting for a pool that is being opened ----------------------------- */

static void run_parked(struct io_work *w)
{
	struct tarnd *t = container_of(w, struct tarnd, park_work);
	struct list   batch, *l;

	list_init(&batch);
	list_splice(&batch, &t->parked);
	while ((l = list_pop(&batch)) != NULL) {
		struct ctl_call *call = list_entry(l, struct ctl_call, parked);

		call->method->run(call);
	}
}

void control_park_init(struct tarnd *t)
{
	list_init(&t->parked);
	io_work_init(&t->park_work, run_parked);
}

void control_unpark(struct tarnd *t)
{
	if (!list_empty(&t->parked))
		io_defer(t->io, &t->park_work);
}

struct hosted *ctl_need_pool(struct ctl_call *call)
{
	struct tarnd  *t = ctl_arg(call);
	struct hosted *h = &t->hosted;
	char           why[TARND_ERROR_BYTES + 128];

	if (h->state == HOSTED_OPEN && !t->stopping)
		return h;
	if (t->stopping) {
		ctl_fail(call, -ESHUTDOWN, NULL, "the server is stopping");
		return NULL;
	}
	if (!call->was_parked && !list_empty(&t->jobs) &&
	    (h->state == HOSTED_SEARCHING || h->state == HOSTED_OPENING)) {
		call->was_parked = true;
		list_push(&t->parked, &call->parked);
		return NULL;
	}
	hosted_why_not(t, why, sizeof(why));
	ctl_fail(call, -ENODEV, h->name[0] != '\0' ? h->name : NULL, "%s",
		 why);
	return NULL;
}
