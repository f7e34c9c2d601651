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
	char   why[1200], code[24], advice[INPUT_ADVICE_BYTES] = "";
	struct stream_token token;

	snprintf(why, sizeof(why), "%s", error);
	snprintf(code, sizeof(code), "%s", err);
	if (rc->sink->ops->keep(rc->sink, &token) == 0)
		input_advice(&rc->in, &token, advice);
	out_error(rc->cli, code, "%s%s%s", why, advice, rc->sink->left);
	return CLI_FAILED;
}

/* Where it went: "file" or "into", and its name. */
static enum cli_exit say_done(const struct receiver *rc)
{
	const struct stream_header *h = stream_decoder_header(rc->in.dec);
	const struct cli *cli = rc->cli;
	bool file = cli->file != NULL;
	struct stream_count c;
	char data[SIZE_TEXT_BYTES], size[SIZE_TEXT_BYTES];
	char volume[1100], target[1100];
	const char *to = file ? h->volume_name : cli->args[0];
	const char *as = cli->as != NULL ? cli->as : h->target_name;

	stream_decoder_count(rc->in.dec, &c);
	if (cli->json)
		return out_json(json_pack(
			"{s:s, s:s, s:s, s:I, s:I, s:I}",
			file ? "file" : "source", file ? cli->file
						       : h->volume_name,
			"volume", to, "snapshot", as, "size_bytes",
			(json_int_t)h->size_bytes, "data_bytes",
			(json_int_t)c.data_bytes, "stream_bytes",
			(json_int_t)c.stream_bytes));
	text_escape(to, volume, sizeof(volume));
	text_escape(as, target, sizeof(target));
	printf("snapshot '%s@%s' received, %s, %s of data\n", volume, target,
	       size_text(h->size_bytes, size), size_text(c.data_bytes, data));
	return CLI_OK;
}

/* The sink would not. */
static enum cli_exit sink_failed(struct receiver *rc)
{
	progress_end(&rc->progress, false);
	return give_up(rc, rc->sink->code[0] != '\0' ? rc->sink->code : "EIO",
		       rc->sink->error);
}

static enum cli_exit receive(struct receiver *rc)
{
	struct stream_event ev;
	int r;

	while ((r = input_next(&rc->in, &ev)) > 0)
		if (event_take(rc, &ev) < 0)
			return sink_failed(rc);
	if (r == 0 && rc->sink->ops->publish(rc->sink) < 0)
		return sink_failed(rc);
	progress_end(&rc->progress, r == 0);
	return r < 0 ? give_up(rc, "EBADMSG", rc->in.error) : say_done(rc);
}

/* --- the command --------------------------------------------------------- */

/* NULL, or what is wrong with the command line. */
static const char *usage_problem(const struct cli *cli)
{
	bool volume = cli->nargs > 0;

	if ((cli->given & CLI_OPT_LIST) != 0)
		return volume || (cli->given & ~(unsigned)CLI_OPT_LIST) != 0 ?
			       "--list goes alone" : NULL;
	if ((cli->given & CLI_OPT_ABORT) != 0)
		return !volume || (cli->given & ~(unsigned)(CLI_OPT_ABORT |
						CLI_OPT_FORCE)) != 0 ?
			       "--abort takes what is to be deleted, as 'tarn "
			       "receive --list' shows it, and perhaps --force" :
			       NULL;
	if (volume == (cli->file != NULL))
		return "say where to: the name of a volume, or --file PATH";
	if (volume && (cli->given & CLI_OPT_BASE) != 0)
		return "--base is for files: a volume knows what it has";
	if (!volume && (cli->given & CLI_OPT_AS) != 0)
		return "--as is for volumes: a file has no snapshots";
	if (volume && strpbrk(cli->args[0], "@#") != NULL)
		return "give the volume alone; --as names its snapshot";
	return NULL;
}

static struct sink *sink_open(const struct cli *cli)
{
	bool force = (cli->given & CLI_OPT_FORCE) != 0;
	struct sink *s;

	s = cli->file != NULL ?
		    sink_file_open(cli->file, cli->base, force) :
		    sink_volume_open(cli, cli->args[0], cli->as, force);
	if (s == NULL)
		abort();
	return s;
}

enum cli_exit cmd_receive(struct cli *cli)
{
	struct receiver rc = { .cli = cli };
	enum cli_exit   r = CLI_FAILED;
	const char     *problem = usage_problem(cli);

	if (problem != NULL) {
		out_error(cli, "EINVAL", "%s", problem);
		return CLI_USAGE;
	}
	if ((cli->given & CLI_OPT_LIST) != 0)
		return cmd_receive_list(cli);
	if ((cli->given & CLI_OPT_ABORT) != 0)
		return cmd_receive_abort(cli);
	rc.sink = sink_open(cli);
	if (input_open(&rc.in, cli, "-"))
		r = receive(&rc);
	input_close(&rc.in);
	rc.sink->ops->close(rc.sink);
	return r;
}
