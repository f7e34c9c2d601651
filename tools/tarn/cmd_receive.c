/* tools/tarn/cmd_receive.c - tarn receive: what is in a stream, put somewhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/input.h"
#include "tools/tarn/progress.h"
#include "tools/tarn/sink.h"

struct receiver {
	struct cli     *cli;
	struct input    in;
	struct sink    *sink;
	struct progress progress;
};

static int header_take(struct receiver *rc)
{
	const struct stream_header *h = stream_decoder_header(rc->in.dec);
	char what[600];

	snprintf(what, sizeof(what), "receiving %s@%s", h->volume_name,
		 h->target_name);
	progress_begin(&rc->progress, rc->cli, what, h->start_bytes,
		       h->size_bytes);
	return rc->sink->ops->begin(rc->sink, h);
}

static int event_take(struct receiver *rc, const struct stream_event *ev)
{
	struct stream_token token;
	int r = 0;

	switch (ev->kind) {
	case STREAM_HEADER:
		return header_take(rc);
	case STREAM_DATA:
		r = rc->sink->ops->write(rc->sink, ev->off_bytes, ev->data,
					 ev->len_bytes);
		break;
	case STREAM_ZERO:
		r = rc->sink->ops->zero(rc->sink, ev->off_bytes,
					ev->len_bytes);
		break;
	case STREAM_MARK:
		if (stream_decoder_token(rc->in.dec, &token) == 0)
			r = rc->sink->ops->mark(rc->sink, &token);
		break;
	case STREAM_END:
	case STREAM_MORE:
		break;
	}
	progress_update(&rc->progress, ev->off_bytes + ev->len_bytes);
	return r;
}

/* It broke, or cannot be: what can be kept, is, and how to go on is said. */
static enum cli_exit give_up(struct receiver *rc, const char *err,
			     const char *error)
{
	char   why[1200], advice[2048] = "";
	struct stream_token token;

	snprintf(why, sizeof(why), "%s", error);
	if (rc->sink->ops->keep(rc->sink, &token) == 0)
		input_advice(&rc->in, &token, advice);
	out_error(rc->cli, err, "%s%s", why, advice);
	return CLI_FAILED;
}

static enum cli_exit say_done(const struct receiver *rc)
{
	const struct stream_header *h = stream_decoder_header(rc->in.dec);
	struct stream_count c;
	char data[SIZE_TEXT_BYTES], size[SIZE_TEXT_BYTES];
	char volume[1100], target[1100];

	stream_decoder_count(rc->in.dec, &c);
	if (rc->cli->json)
		return out_json(json_pack(
			"{s:s, s:s, s:s, s:I, s:I, s:I}", "file",
			rc->cli->file, "volume", h->volume_name, "snapshot",
			h->target_name, "size_bytes",
			(json_int_t)h->size_bytes, "data_bytes",
			(json_int_t)c.data_bytes, "stream_bytes",
			(json_int_t)c.stream_bytes));
	text_escape(h->volume_name, volume, sizeof(volume));
	text_escape(h->target_name, target, sizeof(target));
	printf("snapshot '%s@%s' received, %s, %s of data\n", volume, target,
	       size_text(h->size_bytes, size), size_text(c.data_bytes, data));
	return CLI_OK;
}

static enum cli_exit receive(struct receiver *rc)
{
	struct stream_event ev;
	int r;

	while ((r = input_next(&rc->in, &ev)) > 0) {
		if (event_take(rc, &ev) < 0) {
			progress_end(&rc->progress, false);
			return give_up(rc, "EIO", rc->sink->error);
		}
	}
	if (r == 0 && rc->sink->ops->publish(rc->sink) < 0) {
		progress_end(&rc->progress, false);
		return give_up(rc, "EIO", rc->sink->error);
	}
	progress_end(&rc->progress, r == 0);
	return r < 0 ? give_up(rc, "EBADMSG", rc->in.error) : say_done(rc);
}

enum cli_exit cmd_receive(struct cli *cli)
{
	struct receiver rc = { .cli = cli };
	enum cli_exit   r = CLI_FAILED;

	if (cli->file == NULL) {
		out_error(cli, "EINVAL", "say where to with --file PATH");
		return CLI_USAGE;
	}
	rc.sink = sink_file_open(cli->file, cli->base,
				 (cli->given & CLI_OPT_FORCE) != 0);
	if (rc.sink == NULL)
		abort();
	if (input_open(&rc.in, cli, "-"))
		r = receive(&rc);
	input_close(&rc.in);
	rc.sink->ops->close(rc.sink);
	return r;
}
