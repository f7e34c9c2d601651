/* tools/tarn/cli.h - the command line of a capacity administrator.  It knows
 * nothing but the control protocol, NBD, and the format of streams.
 *
 *	main.c    the table of commands, help
 *	args.c    from argv to struct cli
 *	rpc.c     one request, one reply, with a deadline
 *	output.c  results and errors, as text or JSON
 *	table.c   columns
 *	connect.c to the server's NBD exports
 *	place.c   places of disks as they are typed
 *	when.c    times as they are typed
 *	progress.c  how far something long is
 *	send*.c   a snapshot to a stream: where its data come from, and go
 *	input.c   a stream from a file descriptor
 *	sink*.c   where what was in a stream goes
 *	backup*.c overlay.c  a folder of backups, see backup.h
 *	cmd_*.c   the commands
 */
#ifndef TARN_TOOLS_TARN_CLI_H
#define TARN_TOOLS_TARN_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/size.h"

#define CLI_ARGS_MAX     260
#define CLI_CONTROL_DFLT "/run/tarn/control.sock"

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

/* Options; a command says which it takes besides the common ones.  There may be
 * 63 of them. */
enum cli_option {
	CLI_OPT_FORCE = 1LL << 0,
	CLI_OPT_READ_ONLY = 1LL << 1,
	CLI_OPT_REDUNDANCY = 1LL << 2,
	CLI_OPT_DOMAIN = 1LL << 3,
	CLI_OPT_DISK = 1LL << 4,
	CLI_OPT_FROM = 1LL << 5,
	CLI_OPT_COMPRESS = 1LL << 6,
	CLI_OPT_NO_COMPRESS = 1LL << 7,
	CLI_OPT_RATE = 1LL << 8,
	CLI_OPT_RESUME = 1LL << 9,
	CLI_OPT_PROGRESS = 1LL << 10,
	CLI_OPT_FILE = 1LL << 11,
	CLI_OPT_BASE = 1LL << 12,
	CLI_OPT_KEEP_AS = 1LL << 13,
	CLI_OPT_FULL = 1LL << 14,
	CLI_OPT_KEEP = 1LL << 15, /* --keep-last, -daily, -weekly */
	CLI_OPT_DRY_RUN = 1LL << 16,
	CLI_OPT_AS = 1LL << 20,
	CLI_OPT_LIST = 1LL << 21,
	CLI_OPT_ABORT = 1LL << 22,
	CLI_OPT_WITH_SNAPSHOTS = 1LL << 23,
	CLI_OPT_NOW = 1LL << 24,
	CLI_OPT_WAIT = 1LL << 25,
	CLI_OPT_DELETING = 1LL << 26,
	CLI_OPT_FOLLOW = 1LL << 27,
	CLI_OPT_SINCE = 1LL << 28,
	CLI_OPT_EXIT_CODE = 1LL << 29,
	CLI_OPT_FOR = 1LL << 30,
	CLI_OPT_VERBOSE = 1LL << 40,
	CLI_OPT_RESERVE = 1LL << 41,
	CLI_OPT_WHEN_FULL = 1LL << 42,
	CLI_OPT_WITNESS = 1LL << 43,
};

struct cli;

/* An error that is taken in, not reported. */
struct cli_caught {
	char code[24]; /* "EIO" */
	char text[1024];
};

struct cli_command {
	const char *noun, *verb;  /* verb NULL: there is only the noun */
	const char *args;         /* of the usage line */
	unsigned    args_min, args_max;
	uint64_t    options;      /* enum cli_option, or'ed */
	const char *doc;
	enum cli_exit (*run)(struct cli *cli);
};

struct cli {
	const struct cli_command *command;
	const char *args[CLI_ARGS_MAX]; /* behind noun and verb */
	unsigned    nargs;
	const char *control;     /* path of the socket */
	uint64_t    timeout_s;
	bool        json;        /* --json */
	bool        exact;       /* -p: bytes */
	bool        bare;        /* -H: no header, tabs */
	bool        help, version;
	uint64_t    given;       /* enum cli_option, or'ed */
	const char *redundancy, *domain, *keep_as;
	const char *disks[CLI_ARGS_MAX]; /* --disk */
	unsigned    ndisks;
	const char *from, *compress, *rate, *resume, *file, *base;
	const char *keep_last, *keep_daily, *keep_weekly;
	const char *as, *since;
	const char *span;        /* --for */
	const char *reserve, *when_full;
	struct cli_caught *caught; /* NULL: errors are reported */
	bool        stdout_taken; /* for data: errors go to stderr, JSON too */
};

/* --- args.c -------------------------------------------------------------- */

/* NULL, or what is wrong (a sentence in ret_err, 512 bytes). */
const char *cli_parse(struct cli *cli, const struct cli_command *commands,
		      unsigned ncommands, int argc, char **argv, char *ret_err);

/* --- place.c ------------------------------------------------------------- */

/* What the server should be told for a place as typed: paths become absolute,
 * since the server has another working directory.  exists: a file of that
 * name exists.  NULL when it does not fit into 4096 bytes. */
const char *place_absolute(const char *place, const char *cwd, bool exists,
			   char *ret_place);

/* --- when.c -------------------------------------------------------------- */

/* A span of time, "90", "30m", "4h", "7d", "2w", in seconds; -1: it is none. */
int span_parse(const char *text, uint64_t *ret_s);
/* A span before now_s, or a date of UTC, in seconds since 1970; -1. */
int when_parse(const char *text, uint64_t now_s, uint64_t *ret_s);

/* --- rpc.c --------------------------------------------------------------- */

/* Call a method; takes params (may be NULL).  The result, or NULL after having
 * reported the error; then *ret_exit says how to exit. */
json_t *rpc_call(const struct cli *cli, const char *method, json_t *params,
		 enum cli_exit *ret_exit);
/* The same, of a method that can be repeated: while the server goes away, or
 * starts, it is asked again, for some seconds.  cli->caught is needed.  NULL
 * with *ret_unknown: nobody knows whether it was done. */
json_t *rpc_call_again(const struct cli *cli, const char *method,
		       json_t *params, bool *ret_unknown);

/* --- output.c ------------------------------------------------------------ */

/* Report a failure of our own. */
void out_error(const struct cli *cli, const char *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Report an error object of the protocol. */
void out_rpc_error(const struct cli *cli, json_t *error);
/* Print a result as JSON; takes it. */
enum cli_exit out_json(json_t *result);
/* Warnings of a result, to stderr. */
void out_warnings(json_t *result);
/* A size as the user wants it: 1.50G, or bytes with -p.  ret_text:
 * SIZE_TEXT_BYTES; returns it. */
const char *out_size(const struct cli *cli, json_t *object, const char *key,
		     char *ret_text);
/* Members of JSON objects, never NULL. */
const char *js_string(json_t *object, const char *key);
json_int_t js_int(json_t *object, const char *key);
bool js_bool(json_t *object, const char *key);
/* Write text with what is not printable escaped as \xNN. */
void text_escape(const char *text, char *ret, size_t ret_bytes);

/* --- table.c ------------------------------------------------------------- */

#define TABLE_COLUMNS_MAX 12

struct table {
	unsigned ncolumns;
	const char *const *heads; /* "-NAME": aligned right */
	char  **cells;            /* nrows * ncolumns, escaped */
	size_t  nrows, cap;
};

/* heads: ncolumns titles; a leading '-' aligns the column right. */
void table_init(struct table *t, const char *const *heads, unsigned ncolumns);
/* Add a row of ncolumns strings (copied). */
void table_row(struct table *t, const char *const *cells);
/* bare: no header, tabs between columns. indent: before each line. */
void table_print(const struct table *t, bool bare, const char *indent);
void table_fini(struct table *t);
/* Print it, or if it has no rows, say so to stderr ("there are no volumes");
 * then table_fini(). */
void table_end(struct table *t, bool bare, const char *none);
/* Columns that text takes on a terminal: its characters. */
size_t text_width(const char *text);

/* --- commands ------------------------------------------------------------ */

enum cli_exit cmd_disk_discover(struct cli *cli);
enum cli_exit cmd_disk_list(struct cli *cli);
enum cli_exit cmd_disk_add(struct cli *cli);
enum cli_exit cmd_disk_drain(struct cli *cli);
enum cli_exit cmd_disk_keep(struct cli *cli);
enum cli_exit cmd_disk_remove(struct cli *cli);
enum cli_exit cmd_disk_replace(struct cli *cli);
enum cli_exit cmd_disk_offline(struct cli *cli);
enum cli_exit cmd_disk_online(struct cli *cli);
enum cli_exit cmd_disk_rescan(struct cli *cli);
enum cli_exit cmd_disk_rebuild(struct cli *cli);
enum cli_exit cmd_pool_create(struct cli *cli);
enum cli_exit cmd_pool_import(struct cli *cli);
enum cli_exit cmd_pool_export(struct cli *cli);
enum cli_exit cmd_pool_list(struct cli *cli);
enum cli_exit cmd_volume_create(struct cli *cli);
enum cli_exit cmd_volume_list(struct cli *cli);
enum cli_exit cmd_volume_show(struct cli *cli);
enum cli_exit cmd_volume_du(struct cli *cli);
enum cli_exit cmd_volume_clone(struct cli *cli);
enum cli_exit cmd_volume_resize(struct cli *cli);
enum cli_exit cmd_volume_set(struct cli *cli);
enum cli_exit cmd_volume_rename(struct cli *cli);
enum cli_exit cmd_volume_delete(struct cli *cli);
enum cli_exit cmd_volume_undelete(struct cli *cli);
enum cli_exit cmd_trash_list(struct cli *cli);
enum cli_exit cmd_trash_empty(struct cli *cli);
enum cli_exit cmd_snapshot_create(struct cli *cli);
enum cli_exit cmd_snapshot_list(struct cli *cli);
enum cli_exit cmd_snapshot_show(struct cli *cli);
enum cli_exit cmd_snapshot_rollback(struct cli *cli);
enum cli_exit cmd_snapshot_rename(struct cli *cli);
enum cli_exit cmd_snapshot_delete(struct cli *cli);
enum cli_exit cmd_snapshot_hold(struct cli *cli);
enum cli_exit cmd_snapshot_release(struct cli *cli);
enum cli_exit cmd_snapshot_schedule(struct cli *cli);
enum cli_exit cmd_diff(struct cli *cli);
enum cli_exit cmd_send(struct cli *cli);
enum cli_exit cmd_receive(struct cli *cli);
enum cli_exit cmd_receive_list(struct cli *cli);
enum cli_exit cmd_receive_abort(struct cli *cli);
enum cli_exit cmd_stream_show(struct cli *cli);
enum cli_exit cmd_stream_verify(struct cli *cli);
enum cli_exit cmd_checkpoint_create(struct cli *cli);
enum cli_exit cmd_checkpoint_list(struct cli *cli);
enum cli_exit cmd_checkpoint_show(struct cli *cli);
enum cli_exit cmd_checkpoint_rename(struct cli *cli);
enum cli_exit cmd_checkpoint_delete(struct cli *cli);
enum cli_exit cmd_backup_run(struct cli *cli);
enum cli_exit cmd_backup_list(struct cli *cli);
enum cli_exit cmd_backup_verify(struct cli *cli);
enum cli_exit cmd_backup_restore(struct cli *cli);
enum cli_exit cmd_events(struct cli *cli);
enum cli_exit cmd_job_list(struct cli *cli);
enum cli_exit cmd_job_show(struct cli *cli);
enum cli_exit cmd_job_wait(struct cli *cli);
enum cli_exit cmd_job_cancel(struct cli *cli);
enum cli_exit cmd_scrub_start(struct cli *cli);
enum cli_exit cmd_scrub_pause(struct cli *cli);
enum cli_exit cmd_scrub_stop(struct cli *cli);
enum cli_exit cmd_scrub_status(struct cli *cli);
enum cli_exit cmd_alarm_list(struct cli *cli);
enum cli_exit cmd_alarm_mute(struct cli *cli);
enum cli_exit cmd_status(struct cli *cli);
enum cli_exit cmd_df(struct cli *cli);
enum cli_exit cmd_stats(struct cli *cli);

#endif
