/* tools/tarn/backup_run.c - tarn backup run: one more backup.
 *
 *	what a run that died has left is removed: files that are not whole, and
 *	of the pool whatever bears this folder's name
 *	a snapshot and a checkpoint are taken, of one instant
 *	the snapshot is sent to a file: what changed since the checkpoint of
 *	the last backup; all of it if there is none that can be used
 *	the file is made durable, and gets its name
 *	the snapshot and the last checkpoint are deleted, so that no space is
 *	held until the next run
 *	what is not kept any more goes
 *
 * A backup counts from when its file has its name.  Whoever dies before leaves
 * the last checkpoint, so the next run goes on from that; whoever dies after
 * leaves two, of which the next run takes the one whose file is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tools/tarn/backup.h"
#include "tools/tarn/cmd.h"
#include "tools/tarn/send.h"

struct run {
	struct cli        *cli;
	const char        *volume;
	struct send_wish   wish;
	struct backup_policy policy;
	struct backup_dir  dir;
	struct uuid        uuid;      /* of the volume */
	ssize_t            base;      /* what this one is based on; -1: full */
	char               last[BACKUP_NAME_BYTES]; /* the checkpoint that is
				       * there, without the volume; "" */
	char               when[BACKUP_WHEN_BYTES];
	const char        *reason;    /* for a full one; NULL: none is needed */
	struct stream_count count;
	unsigned           gone;
};

bool backup_call_quietly(const struct cli *cli, const char *method,
			 json_t *params)
{
	struct cli_caught caught;
	struct cli    quiet = *cli;
	enum cli_exit r;
	json_t       *result;

	quiet.caught = &caught;
	result = rpc_call(&quiet, method, params, &r);
	json_decref(result);
	return result != NULL;
}

static json_t *name_params(const struct run *run, char mark, const char *name)
{
	char full[TREE_NAME_MAX + 1];

	snprintf(full, sizeof(full), "%.*s%c%s", VOLUME_NAME_MAX, run->volume,
		 mark, name);
	return json_pack("{s:s}", "name", full);
}

/* Whoever reads our own snapshot is cut off. */
static json_t *force_params(const struct run *run, char mark, const char *name)
{
	json_t *params = name_params(run, mark, name);

	if (mark == '@')
		json_object_set_new(params, "force", json_true());
	return params;
}

/* --- what was left ------------------------------------------------------- */

static enum cli_exit remove_left(const struct run *run, char mark,
				 const char *name)
{
	enum cli_exit r;

	json_decref(rpc_call(run->cli, mark == '@' ? "snapshot.delete"
						   : "checkpoint.delete",
			     force_params(run, mark, name), &r));
	return r;
}

static bool is_ours(const struct run *run, const char *name)
{
	char id[BACKUP_ID_BYTES], when[BACKUP_WHEN_BYTES];

	return backup_snap_parse(name, id, when) &&
	       strcmp(id, run->dir.id) == 0;
}

static enum cli_exit snapshots_clean(const struct run *run)
{
	enum cli_exit r;
	json_t *all = cmd_fetch_all(run->cli, "snapshot", "id", &r), *s;
	size_t  i;

	if (all == NULL)
		return r;
	r = CLI_OK;
	json_array_foreach(json_object_get(all, "snapshots"), i, s)
		if (r == CLI_OK && is_ours(run, js_string(s, "snapshot")))
			r = remove_left(run, '@', js_string(s, "snapshot"));
	json_decref(all);
	return r;
}

/* The backup of the instant of a checkpoint, which is told by the UUID that it
 * shares with the snapshot of then; -1. */
static ssize_t backup_of(const struct run *run, json_t *checkpoint)
{
	struct uuid uuid;

	if (!uuid_parse(js_string(checkpoint, "uuid"), &uuid))
		return -1;
	for (size_t i = 0; i < run->dir.n; i++) {
		const struct backup *b = &run->dir.list[i];

		if (!b->damaged && uuid_equal(&b->header.target, &uuid))
			return (ssize_t)i;
	}
	return -1;
}

/* Can what changed since the checkpoint be based on that backup? */
static const char *problem(const struct run *run, json_t *checkpoint,
			   ssize_t i)
{
	const struct backup *b = &run->dir.list[i];

	if (js_bool(checkpoint, "lost"))
		return "the volume was rolled back to before the last backup";
	if (!b->whole)
		return "the last backup cannot be restored, see 'tarn backup "
		       "verify'";
	if (b->depth + 1 >= BACKUP_CHAIN_MAX)
		return "the last full one is too many backups ago";
	return NULL;
}

/* The youngest checkpoint that can be used stays; the others are deleted. */
static enum cli_exit checkpoints_clean(struct run *run)
{
	enum cli_exit r;
	json_t *all = cmd_fetch_all(run->cli, "checkpoint", "id", &r), *c;
	size_t  i;

	if (all == NULL)
		return r;
	r = CLI_OK;
	json_array_foreach(json_object_get(all, "checkpoints"), i, c) {
		const char *name = js_string(c, "checkpoint");
		ssize_t     k = is_ours(run, name) ? backup_of(run, c) : -1;
		const char *why = k >= 0 ? problem(run, c, k) : NULL;

		if (k < 0 || why != NULL)
			continue;
		run->base = k;
		snprintf(run->last, sizeof(run->last), "%s", name);
	}
	json_array_foreach(json_object_get(all, "checkpoints"), i, c) {
		const char *name = js_string(c, "checkpoint");
		ssize_t     k;

		if (r != CLI_OK || !is_ours(run, name) ||
		    strcmp(name, run->last) == 0)
			continue;
		k = run->base < 0 ? backup_of(run, c) : -1;
		if (k >= 0)
			run->reason = problem(run, c, k);
		r = remove_left(run, '#', name);
	}
	json_decref(all);
	return r;
}

/* What is there to go on from; and away with what is not. */
static enum cli_exit prepare(struct run *run)
{
	bool full = (run->cli->given & CLI_OPT_FULL) != 0;
	enum cli_exit r;

	run->base = -1;
	if (run->dir.n > 0 && !full)
		run->reason = "the checkpoint of the last backup is gone";
	r = backup_dir_clean(&run->dir);
	if (r == CLI_OK)
		r = snapshots_clean(run);
	if (r == CLI_OK)
		r = checkpoints_clean(run);
	if (full)
		run->base = -1;
	if (run->base >= 0 || full)
		run->reason = NULL;
	return r;
}

/* --- the volume and the folder ------------------------------------------- */

/* A folder is of one volume. */
static enum cli_exit volume_check(struct run *run)
{
	enum cli_exit r;
	json_t *vol = rpc_call(run->cli, "volume.show",
			       json_pack("{s:s}", "name", run->volume), &r);
	bool    good;

	if (vol == NULL)
		return r;
	good = uuid_parse(js_string(vol, "uuid"), &run->uuid);
	json_decref(vol);
	if (!good) {
		out_error(run->cli, "EPROTO", "the server's reply makes no "
			  "sense: is %s the control socket of tarnd?",
			  run->cli->control);
		return CLI_FAILED;
	}
	for (size_t i = 0; i < run->dir.n; i++) {
		const struct backup *b = &run->dir.list[i];

		if (b->damaged || uuid_equal(&b->header.volume, &run->uuid))
			continue;
		out_error(run->cli, "EEXIST",
			  "'%.1000s' holds backups of another volume, which "
			  "was called '%.255s' at %s: back up '%.255s' to a "
			  "folder of its own", run->dir.path,
			  b->header.volume_name, b->when, run->volume);
		return CLI_FAILED;
	}
	return CLI_OK;
}

/* Now, but later than all that there are, whatever the clock says: their order
 * is that of their names. */
static void when_choose(struct run *run)
{
	uint64_t s = (uint64_t)time(NULL);

	for (size_t i = 0; i < run->dir.n; i++)
		s = max_u64(s, run->dir.list[i].when_s + 1);
	backup_when_text(s, run->when);
}

/* --- taking and sending -------------------------------------------------- */

static enum cli_exit take(const struct run *run, const char *name)
{
	char    snap[TREE_NAME_MAX + 1], checkpoint[TREE_NAME_MAX + 1];
	enum cli_exit r;

	snprintf(snap, sizeof(snap), "%.*s@%s", VOLUME_NAME_MAX, run->volume,
		 name);
	snprintf(checkpoint, sizeof(checkpoint), "%.*s#%s", VOLUME_NAME_MAX,
		 run->volume, name);
	json_decref(rpc_call(run->cli, "snapshot.create",
			     json_pack("{s:[s, s]}", "names", checkpoint,
				       snap), &r));
	return r;
}

static enum cli_exit send_to(struct run *run, const char *name, int fd)
{
	struct send_wish w = run->wish;
	char snap[TREE_NAME_MAX + 1], from[TREE_NAME_MAX + 1];

	snprintf(snap, sizeof(snap), "%.*s@%s", VOLUME_NAME_MAX, run->volume,
		 name);
	w.name = snap;
	if (run->base >= 0) {
		/* It has the UUID of the snapshot that was sent then. */
		snprintf(from, sizeof(from), "%.*s#%s", VOLUME_NAME_MAX,
			 run->volume, run->last);
		w.from = from;
	}
	w.fd = fd;
	w.advice = "no backup was made, run it again";
	return send_snapshot(run->cli, &w, &run->count);
}

static enum cli_exit make(struct run *run)
{
	char name[BACKUP_NAME_BYTES];
	int  fd = backup_dir_create(&run->dir, run->when);
	enum cli_exit r;

	if (fd < 0)
		return CLI_FAILED;
	backup_snap_name(run->dir.id, run->when, name);
	r = take(run, name);
	if (r != CLI_OK) {
		backup_dir_drop(&run->dir, run->when, fd);
		return r;
	}
	r = send_to(run, name, fd);
	if (r == CLI_OK)
		r = backup_dir_publish(&run->dir, run->when, fd);
	else
		backup_dir_drop(&run->dir, run->when, fd);
	if (r == CLI_OK) {
		r = remove_left(run, '@', name);
		if (r == CLI_OK && run->last[0] != '\0')
			r = remove_left(run, '#', run->last);
		return r;
	}
	/* The server may be gone: then the next run does it. */
	backup_call_quietly(run->cli, "snapshot.delete",
			    force_params(run, '@', name));
	backup_call_quietly(run->cli, "checkpoint.delete",
			    force_params(run, '#', name));
	return r;
}

/* --- the command --------------------------------------------------------- */

static bool count_parse(const struct cli *cli, const char *option,
			const char *text, unsigned *ret)
{
	char *end;
	unsigned long n;

	if (text == NULL)
		return true;
	n = strtoul(text, &end, 10);
	if (*end != '\0' || text[0] < '0' || text[0] > '9' || n < 1 ||
	    n > BACKUPS_MAX) {
		out_error(cli, "EINVAL", "%s: say how many, from 1 to %u",
			  option, BACKUPS_MAX);
		return false;
	}
	*ret = (unsigned)n;
	return true;
}

static enum cli_exit say_done(const struct run *run)
{
	const struct cli *cli = run->cli;
	char  volume[1100], dir[4200], data[SIZE_TEXT_BYTES];
	char  stored[SIZE_TEXT_BYTES], gone[40] = "";

	if (cli->json)
		return out_json(json_pack(
			"{s:s, s:s, s:s, s:b, s:s?, s:I, s:I, s:I, s:i}",
			"volume", run->volume, "folder", run->dir.path, "when",
			run->when, "full", run->base < 0, "reason",
			run->reason, "data_bytes",
			(json_int_t)run->count.data_bytes, "zero_bytes",
			(json_int_t)run->count.zero_bytes, "stream_bytes",
			(json_int_t)run->count.stream_bytes, "pruned",
			(int)run->gone));
	text_escape(run->volume, volume, sizeof(volume));
	text_escape(run->dir.path, dir, sizeof(dir));
	if (run->reason != NULL)
		fprintf(stderr, "tarn: warning: this is a full backup: %s\n",
			run->reason);
	if (run->gone > 0)
		snprintf(gone, sizeof(gone), "; %u older went", run->gone);
	printf("volume '%s' backed up to '%s@%s', %s, %s of data in %s%s\n",
	       volume, dir, run->when, run->base < 0 ? "full" : "changes",
	       size_text(run->count.data_bytes, data),
	       size_text(run->count.stream_bytes, stored), gone);
	return CLI_OK;
}

static enum cli_exit run_all(struct run *run)
{
	enum cli_exit r = backup_dir_open(&run->dir, run->cli,
					  run->cli->args[1], BACKUP_ALONE);

	if (r == CLI_OK)
		r = volume_check(run);
	if (r == CLI_OK)
		r = prepare(run);
	if (r != CLI_OK)
		return r;
	when_choose(run);
	r = make(run);
	if (r == CLI_OK)
		r = backup_prune(&run->dir, &run->policy, run->wish.level,
				 &run->gone);
	return r == CLI_OK ? say_done(run) : r;
}

enum cli_exit cmd_backup_run(struct cli *cli)
{
	struct run run = { .cli = cli,
			   .volume = cli->args[0],
			   .dir = { .fd = -1, .lock_fd = -1 } };
	enum cli_exit r = send_wish_options(cli, &run.wish);

	if (r != CLI_OK)
		return r;
	if (!count_parse(cli, "--keep-last", cli->keep_last,
			 &run.policy.last) ||
	    !count_parse(cli, "--keep-daily", cli->keep_daily,
			 &run.policy.daily) ||
	    !count_parse(cli, "--keep-weekly", cli->keep_weekly,
			 &run.policy.weekly))
		return CLI_USAGE;
	cli->nargs = 1; /* of the volume only are lists wanted */
	r = run_all(&run);
	backup_dir_close(&run.dir);
	return r;
}
