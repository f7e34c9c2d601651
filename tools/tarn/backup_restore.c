/* tools/tarn/backup_restore.c - tarn backup restore: a backup to a file or a
 * new volume.
 *
 * The full backup and what is based on it up to the one that is wanted are read
 * as one stream, so that each place is written once.  All files are opened
 * first: whoever prunes meanwhile does not disturb.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/tarn/backup.h"
#include "tools/tarn/overlay.h"
#include "tools/tarn/sink.h"

/* Files may go between looking and opening: so often it is tried again. */
#define TRIES 5

struct restore {
	struct cli       *cli;
	char             *path;   /* of the folder */
	const char       *when;   /* NULL: the newest */
	const char       *target;
	bool              to_file;
	struct backup_dir dir;
	struct backup     backup; /* what is restored */
	size_t            path_to[BACKUP_CHAIN_MAX]; /* indices of the folder */
	size_t            n;      /* inputs that are open */
	struct input      inputs[BACKUP_CHAIN_MAX];
	char              names[BACKUP_CHAIN_MAX][BACKUP_WHEN_BYTES];
	struct overlay    overlay;
	struct sink      *sink;
	bool              begun;
};

static enum cli_exit refuse(const struct restore *rs, const char *err,
			    const char *why)
{
	out_error(rs->cli, err, "backup '%.1000s@%s' cannot be restored: "
		  "%.1500s; 'tarn backup verify' tells which can", rs->path,
		  rs->backup.when, why);
	return CLI_FAILED;
}

/* --- which --------------------------------------------------------------- */

/* DIR, or DIR@WHEN; a folder's name may have an '@'. */
static enum cli_exit which(struct restore *rs, const char *arg)
{
	const char *when;
	size_t      len = backup_split(arg, &when);
	struct stat st;
	uint64_t    s;

	if (when == NULL || (stat(arg, &st) == 0 && S_ISDIR(st.st_mode))) {
		rs->path = strdup(arg);
	} else {
		rs->path = strndup(arg, len);
		rs->when = when;
	}
	if (rs->path == NULL)
		abort();
	if (rs->when == NULL || backup_when_parse(rs->when, &s) == 0)
		return CLI_OK;
	out_error(rs->cli, "EINVAL", "'%.100s' is no time: give one that 'tarn "
		  "backup list' shows, or a date as 2026-01-31 or "
		  "2026-01-31T12:00, of UTC", rs->when);
	return CLI_USAGE;
}

/* Its path; ret_n: how long that is. */
static enum cli_exit find(struct restore *rs, size_t *ret_n)
{
	const struct backup_dir *d = &rs->dir;
	ssize_t i = backups_find(d->list, d->n, rs->when);

	if (i < 0 && d->n == 0) {
		out_error(rs->cli, "ENOENT", "there are no backups in "
			  "'%.1000s': 'tarn backup run VOL DIR' makes one",
			  rs->path);
		return CLI_FAILED;
	}
	if (i < 0) {
		out_error(rs->cli, "ENOENT", "'%.1000s' has no backup as old "
			  "as %.100s: the oldest is %s", rs->path, rs->when,
			  d->list[0].when);
		return CLI_FAILED;
	}
	rs->backup = d->list[i];
	if (!rs->backup.whole)
		return refuse(rs, "EBADMSG", rs->backup.why);
	*ret_n = backups_path(d->list, (size_t)i, rs->path_to);
	if (*ret_n == 0)
		return refuse(rs, "E2BIG", "it is based on too many others, "
			      "apply them one by one with 'tarn receive "
			      "--file'");
	return CLI_OK;
}

static void inputs_close(struct restore *rs)
{
	for (size_t i = 0; i < rs->n; i++)
		input_close(&rs->inputs[i]);
	rs->n = 0;
}

/* 1: a file has gone meanwhile. */
static int inputs_open(struct restore *rs, enum cli_exit *ret_exit)
{
	size_t n = 0;

	*ret_exit = find(rs, &n);
	if (*ret_exit != CLI_OK)
		return 0;
	while (rs->n < n) {
		struct input *in = &rs->inputs[rs->n];
		char         *name = rs->names[rs->n];

		memcpy(name, rs->dir.list[rs->path_to[rs->n]].when,
		       BACKUP_WHEN_BYTES);
		rs->n++;
		if (backup_dir_input(&rs->dir, name, BACKUP_SUFFIX, in))
			continue;
		if (errno == ENOENT)
			return 1;
		*ret_exit = refuse(rs, "EIO", in->error);
		return 0;
	}
	return 0;
}

/* With all inputs open, or nothing. */
static enum cli_exit open_all(struct restore *rs)
{
	const char   *names[BACKUP_CHAIN_MAX];
	enum cli_exit r = backup_dir_open(&rs->dir, rs->cli, rs->path,
					  BACKUP_UNLOCKED);

	for (int t = 0; r == CLI_OK && inputs_open(rs, &r) > 0; t++) {
		inputs_close(rs);
		if (t == TRIES)
			return refuse(rs, "EAGAIN", "the folder is changing");
		r = backup_dir_load(&rs->dir);
	}
	if (r != CLI_OK)
		return r;
	for (size_t i = 0; i < rs->n; i++)
		names[i] = rs->names[i];
	if (overlay_open(&rs->overlay, rs->inputs, names, rs->n) < 0)
		return refuse(rs, "EBADMSG", rs->overlay.error);
	return CLI_OK;
}

/* --- restoring ----------------------------------------------------------- */

static enum cli_exit sink_fail(const struct restore *rs)
{
	const struct sink *s = rs->sink;

	out_error(rs->cli, s->code[0] != '\0' ? s->code : "EIO", "%s",
		  s->error);
	return CLI_FAILED;
}

static enum cli_exit copy(struct restore *rs, struct progress *progress)
{
	const struct sink_ops *ops = rs->sink->ops;
	struct overlay_extent  x;
	int r, w = 0;

	while ((r = overlay_next(&rs->overlay, &x)) > 0 && w == 0) {
		if (x.data != NULL)
			w = ops->write(rs->sink, x.off_bytes, x.data,
				       x.len_bytes);
		else
			w = ops->zero(rs->sink, x.off_bytes, x.len_bytes);
		progress_update(progress, x.off_bytes + x.len_bytes);
	}
	if (w < 0)
		return sink_fail(rs);
	if (r < 0)
		return refuse(rs, "EBADMSG", rs->overlay.error);
	return ops->publish(rs->sink) < 0 ? sink_fail(rs) : CLI_OK;
}

/* As if it were one stream, of all of it. */
static enum cli_exit restore(struct restore *rs)
{
	struct stream_header h = rs->backup.header;
	struct progress      progress;
	char   what[100];
	enum cli_exit r;

	h.base_kind = STREAM_BASE_NONE;
	h.base = (struct uuid){ 0 };
	h.base_bytes = 0;
	h.base_name[0] = '\0';
	if (rs->sink->ops->begin(rs->sink, &h) < 0)
		return sink_fail(rs);
	rs->begun = true;
	snprintf(what, sizeof(what), "restoring %s", rs->backup.when);
	progress_begin(&progress, rs->cli, what, 0, h.size_bytes);
	r = copy(rs, &progress);
	progress_end(&progress, r == CLI_OK);
	return r;
}

/* What was begun is of no use. */
static void remove_partial(struct restore *rs)
{
	struct stream_token none;
	static const char *const suffixes[] = { ".partial",
						".partial.token" };
	char name[4200];

	if (!rs->to_file) {
		/* Without a mark it keeps nothing, if it can help it. */
		rs->sink->ops->keep(rs->sink, &none);
		if (rs->sink->left[0] != '\0')
			fprintf(stderr, "tarn: warning: %s\n",
				rs->sink->left + strspn(rs->sink->left, "; "));
		return;
	}
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%.4000s%s", rs->target,
			 suffixes[i]);
		unlink(name);
	}
}

static enum cli_exit say_done(const struct restore *rs)
{
	const struct stream_header *h = &rs->backup.header;
	char volume[1100], target[4200], size[SIZE_TEXT_BYTES];

	if (rs->cli->json)
		return out_json(json_pack(
			"{s:s, s:s, s:s, s:s, s:I}", "folder", rs->path, "when",
			rs->backup.when, "volume", h->volume_name,
			rs->to_file ? "file" : "new_volume", rs->target,
			"size_bytes", (json_int_t)h->size_bytes));
	text_escape(h->volume_name, volume, sizeof(volume));
	text_escape(rs->target, target, sizeof(target));
	printf("volume '%s' of %s restored to %s '%s', %s\n", volume,
	       rs->backup.when, rs->to_file ? "file" : "volume", target,
	       size_text(h->size_bytes, size));
	return CLI_OK;
}

enum cli_exit cmd_backup_restore(struct cli *cli)
{
	struct restore *rs = calloc(1, sizeof(*rs));
	enum cli_exit   r;

	if (rs == NULL)
		abort();
	rs->cli = cli;
	rs->dir.fd = rs->dir.lock_fd = -1;
	rs->target = cli->args[1];
	rs->to_file = strchr(rs->target, '/') != NULL;
	r = which(rs, cli->args[0]);
	if (r == CLI_OK && !rs->to_file &&
	    (cli->given & CLI_OPT_FORCE) != 0) {
		out_error(cli, "EINVAL", "--force is for files, and '%.255s' "
			  "names a volume: write ./%.255s if the file is meant",
			  rs->target, rs->target);
		r = CLI_USAGE;
	}
	if (r == CLI_OK)
		r = open_all(rs);
	if (r == CLI_OK) {
		rs->sink = rs->to_file
				   ? sink_file_open(rs->target, NULL,
						    (cli->given &
						     CLI_OPT_FORCE) != 0)
				   : sink_volume_open(cli, rs->target,
						      "", false);
		if (rs->sink == NULL)
			abort();
		r = restore(rs);
		if (r != CLI_OK && (rs->begun || !rs->to_file))
			remove_partial(rs);
		rs->sink->ops->close(rs->sink);
	}
	if (r == CLI_OK)
		r = say_done(rs);
	inputs_close(rs);
	overlay_close(&rs->overlay);
	backup_dir_close(&rs->dir);
	free(rs->path);
	free(rs);
	return r;
}
