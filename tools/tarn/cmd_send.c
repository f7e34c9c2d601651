/* tools/tarn/cmd_send.c - tarn send: a snapshot as a stream on stdout.
 *
 * The server is asked, by its control socket, who the snapshot is and where it
 * listens; the data come from its NBD export, which is read-only and never
 * changes.  A snapshot is not deleted while it is exported to us, so when it is
 * the same before and after connecting, it is the one we read.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/connect.h"
#include "tools/tarn/send.h"

#define RATE_MIN 4096

/* What the command line asks for. */
struct wish {
	const char *name, *from;   /* VOL@SNAP; from: NULL */
	int         level;         /* of zstd; 0: none */
	uint64_t    rate_bytes_s;  /* 0: no bound */
	bool        resume;
	struct stream_token token;
};

static enum cli_exit usage(const struct cli *cli, const char *problem)
{
	out_error(cli, "EINVAL", "%s", problem);
	return CLI_USAGE;
}

static enum cli_exit wish_read(const struct cli *cli, struct wish *w)
{
	char *end;

	w->name = cli->args[0];
	w->from = cli->from;
	w->level = (cli->given & CLI_OPT_NO_COMPRESS) != 0 ? 0
							   : STREAM_LEVEL_DFLT;
	if (w->level == 0 && (cli->given & CLI_OPT_COMPRESS) != 0)
		return usage(cli, "--compress and --no-compress contradict "
				  "each other");
	if (cli->compress != NULL) {
		w->level = (int)strtol(cli->compress, &end, 10);
		if (*end != '\0' || w->level < 1 ||
		    w->level > STREAM_LEVEL_MAX)
			return usage(cli, "--compress: a level is a number "
					  "from 1 (fast) to 19 (small)");
	}
	if (cli->rate != NULL &&
	    (size_parse(cli->rate, &w->rate_bytes_s) < 0 ||
	     w->rate_bytes_s < RATE_MIN))
		return usage(cli, "--rate: give bytes a second, at least 4K, "
				  "as in 50M");
	w->resume = cli->resume != NULL;
	if (w->resume && stream_token_parse(cli->resume, &w->token) < 0)
		return usage(cli, "--resume: this is no token of a stream: "
				  "give the one that 'tarn receive' printed");
	if (strchr(w->name, '@') == NULL)
		return usage(cli, "give the snapshot to send as VOL@SNAP: "
				  "'tarn snapshot create' takes one");
	if (w->from != NULL && strpbrk(w->from, "@#") == NULL)
		return usage(cli, "--from: give an older snapshot or "
				  "checkpoint of the volume, as VOL@SNAP or "
				  "VOL#CP");
	if (isatty(STDOUT_FILENO))
		return usage(cli, "a stream is not for terminals: redirect "
				  "it, as in 'tarn send VOL@SNAP > FILE'");
	return CLI_OK;
}

/* --- the header ---------------------------------------------------------- */

static json_t *show(const struct cli *cli, const char *method,
		    const char *name, enum cli_exit *ret_exit)
{
	return rpc_call(cli, method, json_pack("{s:s}", "name", name),
			ret_exit);
}

static bool uuid_get(json_t *object, struct uuid *ret_uuid)
{
	return uuid_parse(js_string(object, "uuid"), ret_uuid);
}

static enum cli_exit no_sense(const struct cli *cli)
{
	out_error(cli, "EPROTO",
		  "the server's reply makes no sense: is %s the control socket "
		  "of tarnd?", cli->control);
	return CLI_FAILED;
}

/* A name of the server's, for the header. */
static bool name_get(json_t *object, const char *key, char *ret_name)
{
	const char *name = js_string(object, key);

	if (strlen(name) > VOLUME_NAME_MAX)
		return false;
	memcpy(ret_name, name, strlen(name) + 1);
	return true;
}

/* The base: snapshot or checkpoint `from`, of the volume and older than the
 * target, whose id is given. */
static enum cli_exit base_find(const struct cli *cli, const struct wish *w,
			       json_int_t target_id, struct stream_header *h)
{
	enum cli_exit r;
	bool    cp = strchr(w->from, '#') != NULL;
	json_t *base = show(cli, cp ? "checkpoint.show" : "snapshot.show",
			    w->from, &r);

	if (base == NULL)
		return r;
	h->base_kind = cp ? STREAM_BASE_CHECKPOINT : STREAM_BASE_SNAPSHOT;
	h->base_bytes = (uint64_t)js_int(base, "size_bytes");
	if (!uuid_get(base, &h->base) ||
	    !name_get(base, cp ? "checkpoint" : "snapshot", h->base_name)) {
		r = no_sense(cli);
	} else if (js_bool(base, "lost")) {
		out_error(cli, "EINVAL",
			  "what has changed since '%.300s' is not known any "
			  "more: its volume was rolled back to before it",
			  w->from);
		r = CLI_FAILED;
	} else if (uuid_equal(&h->base, &h->target)) {
		out_error(cli, "EINVAL",
			  "'%.300s' and '%.300s' were taken together: nothing "
			  "has changed in between", w->from, w->name);
		r = CLI_FAILED;
	} else if (strcmp(js_string(base, "volume"), h->volume_name) != 0 ||
		   js_int(base, "id") >= target_id) {
		out_error(cli, "EINVAL",
			  "'%.300s' is not an older %s of volume '%.255s' than "
			  "'%.300s': 'tarn %s list %.255s' lists them, oldest "
			  "first", w->from, cp ? "checkpoint" : "snapshot",
			  h->volume_name, w->name,
			  cp ? "checkpoint" : "snapshot", h->volume_name);
		r = CLI_FAILED;
	}
	json_decref(base);
	return r;
}

static enum cli_exit token_check(const struct cli *cli, const struct wish *w,
				 struct stream_header *h)
{
	if (!w->resume)
		return CLI_OK;
	h->start_bytes = w->token.off_bytes;
	if (stream_token_fits(&w->token, h) &&
	    h->start_bytes < h->size_bytes)
		return CLI_OK;
	if (!uuid_equal(&w->token.target, &h->target))
		out_error(cli, "EINVAL",
			  "--resume: the stream that broke was not of "
			  "'%.300s': name the snapshot that was being sent",
			  w->name);
	else
		out_error(cli, "EINVAL",
			  "--resume: the stream that broke had %s base: %s",
			  uuid_is_zero(&w->token.base) ? "no"
			  : w->from == NULL            ? "a"
						       : "another",
			  uuid_is_zero(&w->token.base)
				  ? "leave out --from"
				  : "name it with --from");
	return CLI_FAILED;
}

/* ret_data: bytes of data that the snapshot holds. */
static enum cli_exit header_make(const struct cli *cli, const struct wish *w,
				 struct stream_header *h, uint64_t *ret_data)
{
	enum cli_exit r;
	json_t *snap = show(cli, "snapshot.show", w->name, &r), *vol = NULL;

	if (snap == NULL)
		return r;
	memset(h, 0, sizeof(*h));
	h->size_bytes = (uint64_t)js_int(snap, "size_bytes");
	h->created_s = (uint64_t)js_int(snap, "created_s");
	*ret_data = (uint64_t)js_int(snap, "referenced_bytes");
	vol = show(cli, "volume.show", js_string(snap, "volume"), &r);
	if (vol == NULL)
		goto out;
	if (!uuid_get(snap, &h->target) || !uuid_get(vol, &h->volume) ||
	    !name_get(snap, "volume", h->volume_name) ||
	    !name_get(snap, "snapshot", h->target_name))
		r = no_sense(cli);
	else if (w->from != NULL)
		r = base_find(cli, w, js_int(snap, "id"), h);
	if (r == CLI_OK)
		r = token_check(cli, w, h);
out:
	json_decref(snap);
	json_decref(vol);
	return r;
}

/* --- connecting ---------------------------------------------------------- */

/* Is it still the snapshot that the header names? */
static enum cli_exit same_check(const struct cli *cli, const struct wish *w,
				const struct stream_header *h,
				const struct send_source *src)
{
	enum cli_exit r;
	struct uuid uuid;
	json_t *snap = show(cli, "snapshot.show", w->name, &r);

	if (snap == NULL)
		return r;
	if (!uuid_get(snap, &uuid) || !uuid_equal(&uuid, &h->target) ||
	    src->size_bytes != h->size_bytes) {
		out_error(cli, "EAGAIN",
			  "'%.300s' has become another snapshot just now: try "
			  "again", w->name);
		r = CLI_FAILED;
	}
	json_decref(snap);
	return r;
}

static enum cli_exit source_open(const struct cli *cli, const struct wish *w,
				 const struct stream_header *h,
				 struct send_source *src)
{
	char listen[LISTEN_BYTES];
	enum cli_exit r = connect_find(cli, listen);

	if (r != CLI_OK)
		return r;
	if (send_source_open(src, listen, w->name,
			     h->base_kind == STREAM_BASE_NONE
				     ? NULL : h->base_name) < 0) {
		out_error(cli, "EIO", "%s", src->error);
		return CLI_FAILED;
	}
	src->pos_bytes = h->start_bytes;
	return same_check(cli, w, h, src);
}

/* --- sending ------------------------------------------------------------- */

static enum cli_exit send_all(const struct cli *cli, const struct wish *w,
			      const struct stream_header *h,
			      struct send_pipe *pipe, uint64_t data_bytes)
{
	char   error[SEND_ERROR_BYTES] = "", what[600];
	struct progress progress;
	int    r;

	if (stream_encoder_open(h, w->level, &pipe->enc) < 0)
		return no_sense(cli);
	pipe->rate_bytes_s = w->rate_bytes_s;
	pipe->fd = STDOUT_FILENO;
	snprintf(what, sizeof(what), "sending %s", w->name);
	if (h->base_kind != STREAM_BASE_NONE)
		progress_begin(&progress, cli, what, h->start_bytes,
			       h->size_bytes);
	else /* how much there is behind start_bytes, nobody knows */
		progress_begin(&progress, cli, what, 0,
			       h->start_bytes > 0 ? 0 : data_bytes);
	r = send_pipe_run(pipe, &progress, error);
	progress_end(&progress, r == 0);
	if (r < 0)
		out_error(cli, "EIO",
			  "%s; the stream is not whole: its receiver says how "
			  "to go on", error);
	stream_encoder_close(pipe->enc);
	return r < 0 ? CLI_FAILED : CLI_OK;
}

enum cli_exit cmd_send(struct cli *cli)
{
	struct wish w = { 0 };
	struct stream_header h = { 0 };
	struct send_source  *src = calloc(1, sizeof(*src));
	struct send_pipe    *pipe = calloc(1, sizeof(*pipe));
	uint64_t      data_bytes = 0;
	enum cli_exit r;

	cli->stdout_taken = true;
	signal(SIGPIPE, SIG_IGN);
	if (src == NULL || pipe == NULL)
		abort();
	r = wish_read(cli, &w);
	if (r == CLI_OK)
		r = header_make(cli, &w, &h, &data_bytes);
	if (r == CLI_OK)
		r = source_open(cli, &w, &h, src);
	if (r == CLI_OK) {
		pipe->src = src;
		r = send_all(cli, &w, &h, pipe, data_bytes);
	}
	send_source_close(src);
	free(pipe);
	free(src);
	return r;
}
