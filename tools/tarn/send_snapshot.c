/* tools/tarn/send_snapshot.c - who the snapshot is, where its data come from.
 *
 * The server is asked, by its control socket, who the snapshot is and where it
 * listens; the data come from its NBD export, which is read-only and never
 * changes.  A snapshot is not deleted while it is exported to us, so when it is
 * the same before and after connecting, it is the one we read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/connect.h"
#include "tools/tarn/send.h"

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

/* The base: a snapshot or checkpoint `from`, of the volume and older than the
 * target, whose id is given. */
static enum cli_exit base_find(const struct cli *cli,
			       const struct send_wish *w,
			       json_int_t target_id, struct stream_header *h)
{
	bool checkpoint = strchr(w->from, '#') != NULL;
	enum cli_exit r;
	json_t *base = show(cli, checkpoint ? "checkpoint.show"
					    : "snapshot.show", w->from, &r);

	if (base == NULL)
		return r;
	h->base_kind = checkpoint ? STREAM_BASE_CHECKPOINT
				  : STREAM_BASE_SNAPSHOT;
	h->base_bytes = (uint64_t)js_int(base, "size_bytes");
	if (!uuid_get(base, &h->base) ||
	    !name_get(base, checkpoint ? "checkpoint" : "snapshot",
		      h->base_name)) {
		r = no_sense(cli);
	} else if (js_bool(base, "lost")) {
		out_error(cli, "EINVAL",
			  "'%.300s' is no base any more, because its volume "
			  "was rolled back to before it: send all of the "
			  "snapshot, without --from", w->from);
		r = CLI_FAILED;
	} else if (uuid_equal(&h->base, &h->target)) {
		out_error(cli, "EINVAL",
			  "'%.300s' and '%.300s' were taken together: nothing "
			  "has changed in between", w->from, w->name);
		r = CLI_FAILED;
	} else if (strcmp(js_string(base, "volume"), h->volume_name) != 0 ||
		   js_int(base, "id") >= target_id) {
		out_error(cli, "EINVAL",
			  "'%.300s' is not an older %s of volume "
			  "'%.255s' than '%.300s': 'tarn %s list %.255s' "
			  "lists them, oldest first", w->from,
			  checkpoint ? "checkpoint" : "snapshot",
			  h->volume_name, w->name,
			  checkpoint ? "checkpoint" : "snapshot",
			  h->volume_name);
		r = CLI_FAILED;
	}
	json_decref(base);
	return r;
}

static enum cli_exit token_check(const struct cli *cli,
				 const struct send_wish *w,
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
static enum cli_exit header_make(const struct cli *cli,
				 const struct send_wish *w,
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
static enum cli_exit same_check(const struct cli *cli,
				const struct send_wish *w,
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

static enum cli_exit source_open(const struct cli *cli,
				 const struct send_wish *w,
				 const struct stream_header *h,
				 struct send_source *src)
{
	char listen[LISTEN_BYTES];
	enum cli_exit r = connect_find(cli, listen);

	if (r != CLI_OK)
		return r;
	if (send_source_open(src, listen, w->name,
			     w->from == NULL ? NULL
					     : strpbrk(w->from, "@#")) < 0) {
		out_error(cli, "EIO", "%s", src->error);
		return CLI_FAILED;
	}
	src->pos_bytes = h->start_bytes;
	return same_check(cli, w, h, src);
}

/* --- sending ------------------------------------------------------------- */

static enum cli_exit send_all(const struct cli *cli, const struct send_wish *w,
			      const struct stream_header *h,
			      struct send_pipe *pipe, uint64_t data_bytes,
			      struct stream_count *ret_count)
{
	char   error[SEND_ERROR_BYTES] = "", what[600];
	struct progress progress;
	int    r;

	if (stream_encoder_open(h, w->level, &pipe->enc) < 0)
		return no_sense(cli);
	pipe->rate_bytes_s = w->rate_bytes_s;
	pipe->fd = w->fd;
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
		out_error(cli, "EIO", "%s; %s", error, w->advice);
	else
		stream_encoder_count(pipe->enc, ret_count);
	stream_encoder_close(pipe->enc);
	return r < 0 ? CLI_FAILED : CLI_OK;
}

enum cli_exit send_snapshot(const struct cli *cli, const struct send_wish *w,
			    struct stream_count *ret_count)
{
	struct stream_header h = { 0 };
	struct send_source  *src = calloc(1, sizeof(*src));
	struct send_pipe    *pipe = calloc(1, sizeof(*pipe));
	uint64_t      data_bytes = 0;
	enum cli_exit r;

	if (src == NULL || pipe == NULL)
		abort();
	r = header_make(cli, w, &h, &data_bytes);
	if (r == CLI_OK)
		r = source_open(cli, w, &h, src);
	if (r == CLI_OK) {
		pipe->src = src;
		r = send_all(cli, w, &h, pipe, data_bytes, ret_count);
	}
	send_source_close(src);
	free(pipe);
	free(src);
	return r;
}
