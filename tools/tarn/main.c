/* tools/tarn/main.c - tarn(8): the table of commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "tools/tarn/cli.h"

#define TIMEOUT_DFLT_S 120

static enum cli_exit cmd_help(struct cli *cli);

static const struct cli_command commands[] = {
	{ "status", NULL, "[-v] [--exit-code]", 0, 0,
	  CLI_OPT_EXIT_CODE | CLI_OPT_VERBOSE,
	  "health of the pool, what is wrong and what to do", cmd_status },
	{ "events", NULL, "[-f] [--since TIME]", 0, 0,
	  CLI_OPT_FOLLOW | CLI_OPT_SINCE, "what happened to the pool",
	  cmd_events },
	{ "job", "list", "", 0, 0, 0,
	  "what takes long and goes on by itself", cmd_job_list },
	{ "job", "show", "JOB", 1, 1, 0, "one of them", cmd_job_show },
	{ "job", "wait", "JOB", 1, 1, 0, "wait for its end", cmd_job_wait },
	{ "job", "cancel", "JOB", 1, 1, 0, "end it before its time",
	  cmd_job_cancel },
	{ "scrub", "start", "", 0, 0, 0,
	  "check all data and repair what is wrong", cmd_scrub_start },
	{ "scrub", "pause", "", 0, 0, 0, "pause it", cmd_scrub_pause },
	{ "scrub", "stop", "", 0, 0, 0, "end it", cmd_scrub_stop },
	{ "scrub", "status", "", 0, 0, 0, "what it has found",
	  cmd_scrub_status },
	{ "alarm", "list", "", 0, 0, 0,
	  "what is wrong now, its risk and what to do", cmd_alarm_list },
	{ "alarm", "mute", "ALARM [OBJECT] --for TIME", 1, 2, CLI_OPT_FOR,
	  "let an alarm not count for a while", cmd_alarm_mute },
	{ "df", NULL, "", 0, 0, 0, "usable, used and free space", cmd_df },
	{ "disk", "discover", "[PLACE...]", 0, 256, 0,
	  "what is on disks out there; nothing is written",
	  cmd_disk_discover },
	{ "disk", "list", "", 0, 0, 0, "the disks of the pool",
	  cmd_disk_list },
	{ "disk", "add", "[-n] [--witness] [--force] DISK...", 1, 256,
	  CLI_OPT_DRY_RUN | CLI_OPT_WITNESS | CLI_OPT_FORCE,
	  "make the pool larger; what is on the disk is lost", cmd_disk_add },
	{ "disk", "drain", "[-n] DISK", 1, 1, CLI_OPT_DRY_RUN,
	  "move what is on a disk to the others", cmd_disk_drain },
	{ "disk", "keep", "DISK", 1, 1, 0,
	  "use a disk again that is being drained or removed", cmd_disk_keep },
	{ "disk", "remove", "[-n] DISK", 1, 1, CLI_OPT_DRY_RUN,
	  "drain a disk, or make again what was on a lost one, and let it go",
	  cmd_disk_remove },
	{ "disk", "replace", "[-n] [--force] OLD NEW", 2, 2,
	  CLI_OPT_DRY_RUN | CLI_OPT_FORCE, "add NEW and remove OLD",
	  cmd_disk_replace },
	{ "disk", "offline", "[-n] [--force] DISK", 1, 1,
	  CLI_OPT_DRY_RUN | CLI_OPT_FORCE,
	  "do without a disk until it is called online", cmd_disk_offline },
	{ "disk", "online", "[-n] DISK", 1, 1, CLI_OPT_DRY_RUN,
	  "bring back a disk that was taken offline", cmd_disk_online },
	{ "disk", "rescan", "[-n] [DISK]", 0, 1, CLI_OPT_DRY_RUN,
	  "use what a disk has grown by", cmd_disk_rescan },
	{ "disk", "rebuild", "[-n] [--now]", 0, 0,
	  CLI_OPT_DRY_RUN | CLI_OPT_NOW,
	  "do not wait any longer for disks that are out", cmd_disk_rebuild },
	{ "pool", "create",
	  "NAME --redundancy K+M [--domain host|disk] [--force] DISK...", 2,
	  257, CLI_OPT_REDUNDANCY | CLI_OPT_DOMAIN | CLI_OPT_FORCE,
	  "make a pool of disks", cmd_pool_create },
	{ "pool", "import",
	  "[NAME|UUID] [--read-only] [--force] [--disk PLACE]...", 0, 1,
	  CLI_OPT_READ_ONLY | CLI_OPT_FORCE | CLI_OPT_DISK,
	  "open a pool that is on disks", cmd_pool_import },
	{ "pool", "export", "[NAME] [--force]", 0, 1, CLI_OPT_FORCE,
	  "stop serving the pool and close it", cmd_pool_export },
	{ "pool", "list", "", 0, 0, 0,
	  "the open pool, and those that could be imported", cmd_pool_list },
	{ "volume", "create",
	  "NAME SIZE [--reserve full|SIZE|none] [--when-full enospc|pause]", 2,
	  2, CLI_OPT_RESERVE | CLI_OPT_WHEN_FULL, "make a thin volume",
	  cmd_volume_create },
	{ "volume", "set",
	  "NAME [--reserve full|SIZE|none] [--when-full enospc|pause]", 1, 1,
	  CLI_OPT_RESERVE | CLI_OPT_WHEN_FULL,
	  "keep space for what a volume may write; what it does without",
	  cmd_volume_set },
	{ "volume", "clone", "VOL@SNAP NEW-NAME", 2, 2, 0,
	  "make a volume that starts as a snapshot", cmd_volume_clone },
	{ "volume", "list", "[--deleting]", 0, 0, CLI_OPT_DELETING,
	  "the volumes, or what is being deleted", cmd_volume_list },
	{ "volume", "du", "[VOL...] [--progress]", 0, 256, CLI_OPT_PROGRESS,
	  "what volumes and their snapshots take, and share with others",
	  cmd_volume_du },
	{ "volume", "show", "NAME", 1, 1, 0, "one volume", cmd_volume_show },
	{ "volume", "resize", "NAME SIZE [--force]", 2, 2, CLI_OPT_FORCE,
	  "grow or shrink a volume", cmd_volume_resize },
	{ "volume", "rename", "NAME NEW-NAME", 2, 2, 0,
	  "give a volume another name", cmd_volume_rename },
	{ "volume", "delete",
	  "[-n] NAME [--with-snapshots] [--now [--wait [--progress]]] "
	  "[--force]", 1, 1,
	  CLI_OPT_DRY_RUN | CLI_OPT_FORCE | CLI_OPT_WITH_SNAPSHOTS |
		  CLI_OPT_NOW | CLI_OPT_WAIT | CLI_OPT_PROGRESS,
	  "put a volume into the trash, or delete it now",
	  cmd_volume_delete },
	{ "volume", "undelete", "NAME|UUID [--as NEW-NAME]", 1, 1, CLI_OPT_AS,
	  "take a volume out of the trash", cmd_volume_undelete },
	{ "trash", "list", "", 0, 0, 0, "the volumes in the trash",
	  cmd_trash_list },
	{ "trash", "empty", "[-n] [NAME|UUID...] [--wait [--progress]]", 0,
	  256, CLI_OPT_DRY_RUN | CLI_OPT_WAIT | CLI_OPT_PROGRESS,
	  "delete what is in the trash, or some of it", cmd_trash_empty },
	{ "snapshot", "create", "VOL@SNAP|VOL#CP [VOL@SNAP|VOL#CP...]", 1, 256,
	  0, "keep volumes as they are now; several at one instant",
	  cmd_snapshot_create },
	{ "snapshot", "list", "[VOL]", 0, 1, 0,
	  "the snapshots, oldest first", cmd_snapshot_list },
	{ "snapshot", "show", "VOL@SNAP", 1, 1, 0, "one snapshot",
	  cmd_snapshot_show },
	{ "snapshot", "rollback", "VOL@SNAP [--keep-as NAME] [--force]", 1, 1,
	  CLI_OPT_KEEP_AS | CLI_OPT_FORCE,
	  "make a volume what it was when a snapshot was taken",
	  cmd_snapshot_rollback },
	{ "snapshot", "rename", "VOL@SNAP NEW-NAME", 2, 2, 0,
	  "give a snapshot another name", cmd_snapshot_rename },
	{ "snapshot", "delete",
	  "[-n] VOL@SNAP|VOL@FIRST%LAST... [--wait [--progress]] [--force]",
	  1, 256,
	  CLI_OPT_DRY_RUN | CLI_OPT_FORCE | CLI_OPT_WAIT | CLI_OPT_PROGRESS,
	  "delete snapshots and the data that only they have",
	  cmd_snapshot_delete },
	{ "snapshot", "hold", "VOL@SNAP", 1, 1, 0,
	  "let a snapshot not be deleted", cmd_snapshot_hold },
	{ "snapshot", "release", "VOL@SNAP", 1, 1, 0,
	  "let a held snapshot be deleted again", cmd_snapshot_release },
	{ "snapshot", "schedule", "[VOL [KIND=N...|none]]", 0, 7, 0,
	  "let the server take snapshots and delete old ones; which it does",
	  cmd_snapshot_schedule },
	{ "diff", NULL, "VOL@OLDER|VOL#CP VOL@NEWER|VOL", 2, 2, 0,
	  "what has changed since a snapshot", cmd_diff },
	{ "send", NULL,
	  "VOL@SNAP [--from VOL@OLDER|VOL#CP] "
	  "[--compress[=LEVEL]|--no-compress] "
	  "[--rate SIZE] [--resume TOKEN] [--progress] > FILE", 1, 1,
	  CLI_OPT_FROM | CLI_OPT_COMPRESS | CLI_OPT_NO_COMPRESS |
		  CLI_OPT_RATE | CLI_OPT_RESUME | CLI_OPT_PROGRESS,
	  "write a snapshot, or what changed since an older one, as a stream",
	  cmd_send },
	{ "receive", NULL,
	  "VOL [--as SNAP] [--force] [--progress] < FILE | "
	  "--file PATH [--base VOL@SNAP|UUID] [--force] [--progress] < FILE "
	  "| --list | --abort EXPORT [--force]",
	  0, 1,
	  CLI_OPT_FILE | CLI_OPT_BASE | CLI_OPT_FORCE | CLI_OPT_PROGRESS |
		  CLI_OPT_AS | CLI_OPT_LIST | CLI_OPT_ABORT,
	  "make a volume or file of what is in a stream, or bring one up to "
	  "date", cmd_receive },
	{ "stream", "show", "FILE|-", 1, 1, 0,
	  "what a stream says that it is", cmd_stream_show },
	{ "stream", "verify", "FILE|-", 1, 1, CLI_OPT_PROGRESS,
	  "read all of a stream; is it whole?", cmd_stream_verify },
	{ "checkpoint", "create", "VOL#CP [VOL#CP...]", 1, 256, 0,
	  "remember an instant of volumes, to tell later what changed since",
	  cmd_checkpoint_create },
	{ "checkpoint", "list", "[VOL]", 0, 1, 0,
	  "the checkpoints, oldest first", cmd_checkpoint_list },
	{ "checkpoint", "show", "VOL#CP", 1, 1, 0, "one checkpoint",
	  cmd_checkpoint_show },
	{ "checkpoint", "rename", "VOL#CP NEW-NAME", 2, 2, 0,
	  "give a checkpoint another name", cmd_checkpoint_rename },
	{ "checkpoint", "delete", "VOL#CP", 1, 1, 0, "delete a checkpoint",
	  cmd_checkpoint_delete },
	{ "backup", "run",
	  "VOL DIR [--keep-last N] [--keep-daily N] [--keep-weekly N] "
	  "[--full] [--compress[=LEVEL]|--no-compress] [--rate SIZE] "
	  "[--progress]", 2, 2,
	  CLI_OPT_KEEP | CLI_OPT_FULL | CLI_OPT_COMPRESS |
		  CLI_OPT_NO_COMPRESS | CLI_OPT_RATE | CLI_OPT_PROGRESS,
	  "back up what has changed since the last time", cmd_backup_run },
	{ "backup", "list", "DIR", 1, 1, 0, "the backups in a folder",
	  cmd_backup_list },
	{ "backup", "verify", "DIR [WHEN] [--progress]", 1, 2,
	  CLI_OPT_PROGRESS, "read all of the backups; are they whole?",
	  cmd_backup_verify },
	{ "backup", "restore", "DIR[@WHEN] ./FILE|VOL [--force] [--progress]",
	  2, 2, CLI_OPT_FORCE | CLI_OPT_PROGRESS,
	  "make a file or a new volume of a backup", cmd_backup_restore },
	{ "stats", NULL, "", 0, 0, 0, "counters of the server", cmd_stats },
	{ "help", NULL, "[COMMAND]", 0, 2, 0,
	  "print this, or what there is of a command", cmd_help },
};

/* Is that what "tarn help NOUN VERB" asks for? */
static bool help_wanted(const struct cli *cli, const struct cli_command *c)
{
	const char *noun = cli->nargs > 0 ? cli->args[0] : c->noun;
	const char *verb = cli->nargs > 1 ? cli->args[1] : NULL;

	return strcmp(noun, c->noun) == 0 &&
	       (verb == NULL || c->verb == NULL || strcmp(verb, c->verb) == 0);
}

static unsigned help_commands(const struct cli *cli)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct cli_command *c = &commands[i];

		if (!help_wanted(cli, c))
			continue;
		if (n++ == 0)
			puts("usage: tarn [OPTION...] COMMAND\n\nCommands:");
		printf("  %s%s%s%s%s\n      %s\n", c->noun,
		       c->verb != NULL ? " " : "",
		       c->verb != NULL ? c->verb : "",
		       c->args[0] != '\0' ? " " : "", c->args, c->doc);
	}
	return n;
}

static enum cli_exit cmd_help(struct cli *cli)
{
	unsigned n = help_commands(cli);

	if (n == 0) {
		out_error(cli, "EINVAL", "there is no such command as "
			  "'%.40s%s%.40s'; 'tarn help' lists those that there "
			  "are", cli->args[0], cli->nargs > 1 ? " " : "",
			  cli->nargs > 1 ? cli->args[1] : "");
		return CLI_USAGE;
	}
	if (cli->nargs > 0)
		return CLI_OK;
	puts("\nOptions:\n"
	     "  --control PATH     control socket of tarnd (default: "
	     "$TARN_CONTROL or\n"
	     "                     " CLI_CONTROL_DFLT ")\n"
	     "  --timeout SECONDS  wait no longer for an answer (default: "
	     "120)\n"
	     "  --json             print JSON, errors too\n"
	     "  -p                 print exact bytes\n"
	     "  -H                 no header, tabs between columns\n"
	     "  --version          print the version\n\n"
	     "Sizes are bytes, or a number with K, M, G or T (binary).  "
	     "A PLACE or DISK is\nHOST[:PORT], an NBD URI or a path.  Exit: 0 "
	     "done, 1 failed, 2 wrong usage.");
	return CLI_OK;
}

/* JSON is UTF-8, so arguments must be. */
static const char *bad_text(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		json_t *s = json_string(argv[i]);

		if (s == NULL)
			return "an argument is not valid UTF-8";
		json_decref(s);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *control = getenv("TARN_CONTROL");
	const char *problem;
	char        err[512];
	struct cli  cli = {
		.control = control != NULL && *control != '\0'
				    ? control : CLI_CONTROL_DFLT,
		.timeout_s = TIMEOUT_DFLT_S,
	};
	enum cli_exit r;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			cli.json = true; /* also for what is wrong before it */
	problem = bad_text(argc, argv);
	if (problem == NULL)
		problem = cli_parse(&cli, commands, ARRAY_LEN(commands), argc,
				    argv, err);
	if (problem != NULL) {
		out_error(&cli, "EINVAL", "%s", problem);
		return CLI_USAGE;
	}
	if (cli.version) {
		puts("tarn " TARN_VERSION);
		return CLI_OK;
	}
	r = cli.help ? cmd_help(&cli) : cli.command->run(&cli);
	/* A full disk under the output is a failure too. */
	if (fflush(stdout) != 0 && r == CLI_OK)
		r = CLI_FAILED;
	return (int)r;
}
