/* tools/tarn/cmd_backup.c - tarn backup list, tarn backup verify. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/backup.h"
#include "tools/tarn/cmd.h"

static json_t *backup_json(const struct backup_dir *d, const struct backup *b)
{
	const struct stream_header *h = &b->header;
	char    uuid[UUID_TEXT_BYTES];
	json_t *o = json_pack("{s:s, s:I, s:b}", "when", b->when,
			      "stored_bytes", (json_int_t)b->file_bytes,
			      "whole", b->whole);

	if (b->why[0] != '\0')
		json_object_set_new(o, "why", json_string(b->why));
	if (b->damaged)
		return o;
	json_object_set_new(o, "full",
			    json_boolean(h->base_kind == STREAM_BASE_NONE));
	json_object_set_new(o, "base",
			    b->base >= 0 ? json_string(d->list[b->base].when)
					 : json_null());
	json_object_set_new(o, "volume", json_string(h->volume_name));
	json_object_set_new(o, "volume_uuid",
			    json_string(uuid_text(&h->volume, uuid)));
	json_object_set_new(o, "uuid",
			    json_string(uuid_text(&h->target, uuid)));
	json_object_set_new(o, "size_bytes",
			    json_integer((json_int_t)h->size_bytes));
	json_object_set_new(o, "created_s",
			    json_integer((json_int_t)h->created_s));
	return o;
}

static const char *kind(json_t *b)
{
	if (json_object_get(b, "full") == NULL)
		return "damaged";
	return js_bool(b, "full") ? "full" : "changes";
}

static void print(const struct cli *cli, json_t *all)
{
	static const char *const heads[] = { "WHEN", "KIND", "-SIZE",
					     "-STORED", "VOLUME", "BASE",
					     "PROBLEM" };
	struct table t;
	json_t *b;
	size_t  i;

	table_init(&t, heads, ARRAY_LEN(heads));
	json_array_foreach(all, i, b) {
		char size[SIZE_TEXT_BYTES], stored[SIZE_TEXT_BYTES];
		const char *row[] = {
			js_string(b, "when"),
			kind(b),
			out_size(cli, b, "size_bytes", size),
			out_size(cli, b, "stored_bytes", stored),
			js_string(b, "volume"),
			js_string(b, "base"),
			js_string(b, "why"),
		};

		table_row(&t, row);
	}
	table_print(&t, cli->bare, "");
	table_fini(&t);
}

static enum cli_exit none(const struct backup_dir *d)
{
	char path[4200];

	text_escape(d->path, path, sizeof(path));
	fprintf(stderr, "tarn: there are no backups in '%s': 'tarn backup run "
			"VOL %s' makes one\n", path, path);
	return CLI_OK;
}

enum cli_exit cmd_backup_list(struct cli *cli)
{
	struct backup_dir d;
	enum cli_exit r = backup_dir_open(&d, cli, cli->args[0],
					  BACKUP_UNLOCKED);
	json_t *all = json_array();

	for (size_t i = 0; r == CLI_OK && i < d.n; i++)
		json_array_append_new(all, backup_json(&d, &d.list[i]));
	if (r == CLI_OK && cli->json)
		r = out_json(json_pack("{s:O}", "backups", all));
	else if (r == CLI_OK && d.n == 0 && !cli->bare)
		r = none(&d);
	else if (r == CLI_OK)
		print(cli, all);
	json_decref(all);
	backup_dir_close(&d);
	return r;
}

/* --- verify -------------------------------------------------------------- */

/* Read b[i]; what is based on what is damaged is no good, either, however well
 * it reads. */
static void verify_one(struct backup_dir *d, size_t i)
{
	struct backup *b = &d->list[i];
	char why[BACKUP_WHY_BYTES];

	if (b->damaged || backup_check(d, b, BACKUP_SUFFIX, "verifying",
				       why) == 0)
		return;
	b->damaged = true;
	b->whole = false;
	memcpy(b->why, why, sizeof(b->why));
}

static void spread(struct backup_dir *d)
{
	/* Who is based on what comes later in time, as a rule. */
	for (size_t round = 0; round < d->n; round++) {
		bool more = false;

		for (size_t i = 0; i < d->n; i++) {
			struct backup *b = &d->list[i];

			if (!b->whole || b->base < 0 ||
			    d->list[b->base].whole)
				continue;
			b->whole = false;
			more = true;
			snprintf(b->why, sizeof(b->why),
				 "what it is based on, %s, cannot be restored",
				 d->list[b->base].when);
		}
		if (!more)
			return;
	}
}

/* The one that WHEN means, and what it is based on; or all. */
static enum cli_exit verify_those(struct backup_dir *d, const char *when,
				  bool *ret_picked)
{
	ssize_t i;

	for (size_t k = 0; k < d->n && when == NULL; k++) {
		verify_one(d, k);
		ret_picked[k] = true;
	}
	if (when == NULL)
		return CLI_OK;
	i = backups_find(d->list, d->n, when);
	if (i < 0) {
		out_error(d->cli, "ENOENT", "'%.1000s' has no backup of "
			  "'%.100s': see 'tarn backup list'", d->path, when);
		return CLI_FAILED;
	}
	/* Not longer than there are: a ring is no way out. */
	for (size_t k = 0; i >= 0 && k < d->n && !ret_picked[i]; k++) {
		verify_one(d, (size_t)i);
		ret_picked[i] = true;
		i = d->list[i].base;
	}
	return CLI_OK;
}

static enum cli_exit verdict(const struct backup_dir *d, const bool *picked)
{
	const struct cli *cli = d->cli;
	const struct backup *first = NULL;
	json_t  *all = json_array();
	unsigned bad = 0, n = 0;
	char     line[1600];

	for (size_t i = 0; i < d->n; i++) {
		if (!picked[i])
			continue;
		json_array_append_new(all, backup_json(d, &d->list[i]));
		n++;
		bad += !d->list[i].whole;
		if (first == NULL && !d->list[i].whole)
			first = &d->list[i];
	}
	if (first != NULL)
		snprintf(line, sizeof(line), "%u of %u backups in '%.1000s' "
			 "cannot be restored; the first is %s: %.400s", bad, n,
			 d->path, first->when, first->why);
	if (cli->json) {
		json_t *o = json_pack("{s:O}", "backups", all);

		if (first != NULL)
			json_object_set_new(
				o, "error",
				json_pack("{s:s%, s:s}", "message", line,
					  strlen(line), "errno", "EBADMSG"));
		out_json(o);
	} else if (n > 0) {
		print(cli, all);
	} else {
		none(d);
	}
	if (first != NULL && !cli->json)
		out_error(cli, "EBADMSG", "%s", line);
	json_decref(all);
	return first != NULL ? CLI_FAILED : CLI_OK;
}

enum cli_exit cmd_backup_verify(struct cli *cli)
{
	static bool picked[BACKUPS_MAX];
	const char *when = cli->nargs > 1 ? cli->args[1] : NULL;
	struct backup_dir d;
	uint64_t s;
	enum cli_exit r;

	if (when != NULL && backup_when_parse(when, &s) < 0) {
		out_error(cli, "EINVAL", "'%.100s' is no time: give one that "
			  "'tarn backup list' shows", when);
		return CLI_USAGE;
	}
	r = backup_dir_open(&d, cli, cli->args[0], BACKUP_SHARED);
	if (r == CLI_OK)
		r = verify_those(&d, when, picked);
	if (r == CLI_OK) {
		spread(&d);
		r = verdict(&d, picked);
	}
	backup_dir_close(&d);
	return r;
}
