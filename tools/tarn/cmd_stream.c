/* tools/tarn/cmd_stream.c - tarn stream show, tarn stream verify. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cmd.h"
#include "tools/tarn/input.h"
#include "tools/tarn/progress.h"

static json_t *header_json(const struct stream_header *h)
{
	static const char *const kinds[] = {
		[STREAM_BASE_NONE] = "none",
		[STREAM_BASE_SNAPSHOT] = "snapshot",
		[STREAM_BASE_CHECKPOINT] = "checkpoint",
	};
	char    uuid[UUID_TEXT_BYTES];
	json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:b}", "volume",
			      h->volume_name, "snapshot", h->target_name,
			      "size_bytes", (json_int_t)h->size_bytes,
			      "created_s", (json_int_t)h->created_s,
			      "base_kind", kinds[h->base_kind], "start_bytes",
			      (json_int_t)h->start_bytes, "compressed",
			      h->compressed);

	json_object_set_new(o, "volume_uuid",
			    json_string(uuid_text(&h->volume, uuid)));
	json_object_set_new(o, "uuid",
			    json_string(uuid_text(&h->target, uuid)));
	if (h->base_kind == STREAM_BASE_NONE)
		return o;
	json_object_set_new(o, "base", json_string(h->base_name));
	json_object_set_new(o, "base_uuid",
			    json_string(uuid_text(&h->base, uuid)));
	return o;
}

static void totals_add(json_t *o, const struct stream_count *c)
{
	json_object_set_new(o, "stream_bytes",
			    json_integer((json_int_t)c->stream_bytes));
	json_object_set_new(o, "records",
			    json_integer((json_int_t)c->records));
	json_object_set_new(o, "data_bytes",
			    json_integer((json_int_t)c->data_bytes));
	json_object_set_new(o, "zero_bytes",
			    json_integer((json_int_t)c->zero_bytes));
}

/* A header as JSON, with its totals if they are there; takes it. */
static enum cli_exit print(const struct cli *cli, json_t *o)
{
	static const char *const heads[] = { "PROPERTY", "VALUE" };
	static const char *const sizes[] = { "start_bytes", "stream_bytes",
					     "data_bytes", "zero_bytes" };
	struct table t;
	char text[64], name[600];

	if (cli->json)
		return out_json(o);
	table_init(&t, heads, ARRAY_LEN(heads));
	snprintf(name, sizeof(name), "%s@%s", js_string(o, "volume"),
		 js_string(o, "snapshot"));
	cmd_property(&t, "snapshot", name);
	cmd_property(&t, "uuid", js_string(o, "uuid"));
	cmd_property(&t, "volume-uuid", js_string(o, "volume_uuid"));
	cmd_property(&t, "size", out_size(cli, o, "size_bytes", text));
	cmd_property(&t, "created", cmd_date(o, "created_s", text));
	snprintf(name, sizeof(name), "%s %s", js_string(o, "base_kind"),
		 js_string(o, "base"));
	cmd_property(&t, "base", name);
	if (json_object_get(o, "base") != NULL)
		cmd_property(&t, "base-uuid", js_string(o, "base_uuid"));
	cmd_property(&t, "compressed", js_bool(o, "compressed") ? "yes" : "no");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(name, sizeof(name), "%.*s",
			 (int)strcspn(sizes[i], "_"), sizes[i]);
		if (json_object_get(o, sizes[i]) != NULL)
			cmd_property(&t, name,
				     out_size(cli, o, sizes[i], text));
	}
	if (json_object_get(o, "records") != NULL)
		cmd_property(&t, "records", cmd_count(o, "records", text));
	table_print(&t, cli->bare, "");
	table_fini(&t);
	json_decref(o);
	return CLI_OK;
}

static enum cli_exit broken(const struct cli *cli, const struct input *in)
{
	char advice[INPUT_ADVICE_BYTES];

	out_error(cli, "EBADMSG", "%s%s", in->error,
		  input_advice(in, NULL, advice));
	return CLI_FAILED;
}

enum cli_exit cmd_stream_show(struct cli *cli)
{
	struct stream_event ev;
	struct input  in;
	enum cli_exit r = CLI_FAILED;

	if (input_open(&in, cli, cli->args[0])) {
		if (input_next(&in, &ev) < 0)
			r = broken(cli, &in);
		else
			r = print(cli,
				  header_json(stream_decoder_header(in.dec)));
	}
	input_close(&in);
	return r;
}

static enum cli_exit verify(struct cli *cli, struct input *in)
{
	const struct stream_header *h;
	struct stream_event ev;
	struct stream_count c;
	struct progress     progress = { .mode = PROGRESS_SILENT };
	json_t *o;
	int     r;

	while ((r = input_next(in, &ev)) > 0) {
		h = stream_decoder_header(in->dec);
		if (ev.kind == STREAM_HEADER)
			progress_begin(&progress, cli, "verifying",
				       h->start_bytes, h->size_bytes);
		else
			progress_update(&progress,
					ev.off_bytes + ev.len_bytes);
	}
	progress_end(&progress, r == 0);
	if (r < 0)
		return broken(cli, in);
	o = header_json(stream_decoder_header(in->dec));
	stream_decoder_count(in->dec, &c);
	totals_add(o, &c);
	return print(cli, o);
}

enum cli_exit cmd_stream_verify(struct cli *cli)
{
	struct input  in;
	enum cli_exit r = CLI_FAILED;

	if (input_open(&in, cli, cli->args[0]))
		r = verify(cli, &in);
	input_close(&in);
	return r;
}
