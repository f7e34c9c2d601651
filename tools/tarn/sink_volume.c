/* tools/tarn/sink_volume.c - a stream to a volume of the server's pool.
 *
 *	begin    receive.begin makes a hidden volume; or, for the rest of a
 *	         stream, the one is looked for whose note fits
 *	write    to its export
 *	mark     now and then: flush, then a note how far it is
 *	publish  flush, disconnect, receive.publish
 *	keep     flush and note; or receive.abort, if that is of no use
 *
 * The note is the stream's token, in the block behind the end of the copy.  It
 * says what is durable below its offset, whoever was killed since.  What comes
 * behind it comes again, and once more is as good as once.
 *
 * Nobody sees the volume before it is published, and nothing else changes.
 *
 * A server that goes while it is asked to begin or to publish may have done it:
 * it is asked again, for a while, and both can be repeated.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"
#include "tools/tarn/connect.h"
#include "tools/tarn/export_write.h"
#include "tools/tarn/sink.h"

/* Note after so much. */
#define SYNC_BYTES  (128ull << 20)
#define NOTE_BYTES  4096u
#define NOTE_PREFIX "tarn receive 1 "

struct sink_volume {
	struct sink sink;
	struct cli  cli;        /* with errors to `caught` */
	struct cli_caught caught;
	const char *volume;
	const char *as;         /* NULL: the stream's name; "": no snapshot */
	bool        force;
	bool        begun;      /* there is a hidden volume, ours */
	bool        unknown;    /* nobody knows whether it was published */
	bool        fresh;      /* zeros where nothing was written */
	char        export[64];
	char        listen[LISTEN_BYTES];
	uint64_t    size_bytes; /* of the copy */
	uint64_t    created_s;  /* of the snapshot */
	uint64_t    note_off;   /* 0: there is no room for one */
	uint64_t    unsynced;   /* bytes written since */
	struct stream_token token; /* of the last mark */
	struct stream_token noted; /* in the note */
	struct export_writer w;
};

static struct sink_volume *of(struct sink *s)
{
	return container_of(s, struct sink_volume, sink);
}

#define REFUSE(v, ...) \
	(snprintf((v)->sink.error, SINK_ERROR_BYTES, __VA_ARGS__), -1)

/* --- the server ---------------------------------------------------------- */

/* What was caught becomes the sink's error. */
static int caught(struct sink_volume *v)
{
	memcpy(v->sink.code, v->caught.code, sizeof(v->sink.code));
	return REFUSE(v, "%s", v->caught.text);
}

/* NULL: sink.error. */
static json_t *call(struct sink_volume *v, const char *method, json_t *params)
{
	enum cli_exit r;
	json_t *result = rpc_call(&v->cli, method, params, &r);

	if (result == NULL)
		caught(v);
	return result;
}

/* Of a method that can be repeated.  NULL: sink.error; v->unknown: and perhaps
 * it was done. */
static json_t *call_again(struct sink_volume *v, const char *method,
			  json_t *params)
{
	json_t *result = rpc_call_again(&v->cli, method, params, &v->unknown);

	if (result == NULL)
		caught(v);
	return result;
}

static int export_failed(struct sink_volume *v)
{
	const char *code = strerrorname_np(v->w.res);

	snprintf(v->sink.code, sizeof(v->sink.code), "%s",
		 code != NULL ? code : "EIO");
	return REFUSE(v, "'%.300s': %s", v->volume, v->w.error);
}

static int export_connect(struct sink_volume *v)
{
	if (export_open(&v->w, v->listen, v->export) < 0)
		return export_failed(v);
	v->note_off = v->w.size_bytes >= v->size_bytes + NOTE_BYTES &&
				      v->w.size_bytes % NOTE_BYTES == 0
			      ? v->w.size_bytes - NOTE_BYTES : 0;
	return 0;
}

/* --- the note ------------------------------------------------------------ */

/* Everything written is durable, and the note says so. */
static int note_write(struct sink_volume *v)
{
	char block[NOTE_BYTES] = NOTE_PREFIX;

	if (export_sync(&v->w) < 0)
		return export_failed(v);
	v->unsynced = 0;
	if (v->note_off == 0)
		return 0;
	stream_token_text(&v->token, block + strlen(NOTE_PREFIX));
	if (export_write(&v->w, v->note_off, block, sizeof(block)) < 0 ||
	    export_sync(&v->w) < 0)
		return export_failed(v);
	v->noted = v->token;
	return 0;
}

/* 1: there is one. */
static int note_read(struct sink_volume *v, struct stream_token *ret_token)
{
	char block[NOTE_BYTES + 1] = "";

	if (v->note_off == 0 ||
	    export_read(&v->w, v->note_off, block, NOTE_BYTES) < 0 ||
	    strncmp(block, NOTE_PREFIX, strlen(NOTE_PREFIX)) != 0)
		return 0;
	return stream_token_parse(block + strlen(NOTE_PREFIX), ret_token) == 0;
}

/* --- begin --------------------------------------------------------------- */

/* It did not begin; if it did, in part, that is of no use.  The error stays. */
static int begin_failed(struct sink_volume *v)
{
	struct cli_caught why = v->caught;
	enum cli_exit     r;

	json_decref(rpc_call(&v->cli, "receive.abort",
			     json_pack("{s:s, s:b}", "export", v->export,
				       "force", true), &r));
	v->caught = why;
	v->unknown = false;
	return -1;
}

static int begin_new(struct sink_volume *v, const struct stream_header *h)
{
	char    target[UUID_TEXT_BYTES], base[UUID_TEXT_BYTES];
	char    id[UUID_TEXT_BYTES];
	bool    part = h->base_kind != STREAM_BASE_NONE;
	struct uuid u;
	json_t *result;

	if (getrandom(u.b, sizeof(u.b), 0) != (ssize_t)sizeof(u.b))
		abort();
	snprintf(v->export, sizeof(v->export), "receive/%s",
		 uuid_text(&u, id));
	result = call_again(
		v, "receive.begin",
		json_pack("{s:s, s:I, s:s*, s:s, s:s*, s:s}", "volume",
			  v->volume, "size", (json_int_t)h->size_bytes,
			  "snapshot", v->as[0] != '\0' ? v->as : NULL, "uuid",
			  uuid_text(&h->target, target), "base",
			  part ? uuid_text(&h->base, base) : NULL, "id", id));
	if (result == NULL)
		return begin_failed(v);
	snprintf(v->export, sizeof(v->export), "%s",
		 js_string(result, "export"));
	json_decref(result);
	v->begun = true;
	if (export_connect(v) < 0)
		return -1;
	if (v->w.size_bytes < v->size_bytes)
		return REFUSE(v, "the server's reply makes no sense: is %s the "
			      "control socket of tarnd?", v->cli.control);
	/* Whatever the base has there is no note. */
	return note_write(v);
}

/* Connected, is v->export of the same snapshot and base? */
static bool is_alike(struct sink_volume *v, struct stream_token *ret_token)
{
	struct stream_token *t = ret_token;

	return export_connect(v) == 0 && note_read(v, t) &&
	       uuid_equal(&t->target, &v->token.target) &&
	       uuid_equal(&t->base, &v->token.base) &&
	       t->base_kind == v->token.base_kind;
}

/* Does this one go on where the stream does? */
static bool goes_on(struct sink_volume *v, const struct stream_header *h)
{
	struct stream_token t;

	if (is_alike(v, &t) && t.off_bytes >= h->start_bytes) {
		v->noted = t;
		return true;
	}
	export_close(&v->w);
	return false;
}

/* Is the export ours alone? */
static int alone_check(struct sink_volume *v)
{
	json_t *result = call(v, "receive.list", NULL), *x;
	int     clients = 0;
	size_t  i;

	json_array_foreach(json_object_get(result, "receives"), i, x)
		if (strcmp(js_string(x, "export"), v->export) == 0)
			clients = (int)js_int(x, "clients");
	json_decref(result);
	if (result == NULL)
		return -1;
	if (clients == 1)
		return 0;
	return REFUSE(v, "another receiver is at work on '%.300s'; see 'tarn "
		      "receive --list'", v->volume);
}

static int begin_rest(struct sink_volume *v, const struct stream_header *h)
{
	json_t *result = call(v, "receive.list", NULL), *x;
	bool    found = false;
	size_t  i;

	if (result == NULL)
		return -1;
	json_array_foreach(json_object_get(result, "receives"), i, x) {
		if (strcmp(js_string(x, "volume"), v->volume) != 0)
			continue;
		snprintf(v->export, sizeof(v->export), "%s",
			 js_string(x, "export"));
		found = goes_on(v, h);
		if (found)
			break;
	}
	json_decref(result);
	v->sink.error[0] = v->sink.code[0] = '\0';
	if (found && alone_check(v) < 0)
		return -1;
	v->begun = found;
	if (found)
		return 0;
	return REFUSE(v, "the stream goes on from offset %ju of '%s@%s', and "
		      "of that volume '%.300s' has received nothing that "
		      "reaches there: send all of it",
		      (uintmax_t)h->start_bytes, h->volume_name,
		      h->target_name, v->volume);
}

static int volume_begin(struct sink *s, const struct stream_header *h)
{
	struct sink_volume *v = of(s);

	if (v->as == NULL)
		v->as = strdup(h->target_name);
	if (v->as == NULL)
		abort();
	v->size_bytes = h->size_bytes;
	v->created_s = h->created_s;
	v->fresh = h->base_kind == STREAM_BASE_NONE;
	v->token = (struct stream_token){
		.target = h->target,
		.base = h->base,
		.base_kind = h->base_kind,
		.off_bytes = h->start_bytes,
	};
	if (connect_find(&v->cli, v->listen) != CLI_OK)
		return caught(v);
	return h->start_bytes > 0 ? begin_rest(v, h) : begin_new(v, h);
}

/* --- extents ------------------------------------------------------------- */

static int volume_write(struct sink *s, uint64_t off_bytes, const void *buf,
			size_t len)
{
	struct sink_volume *v = of(s);

	v->unsynced += len;
	return export_write(&v->w, off_bytes, buf, len) < 0 ? export_failed(v)
							    : 0;
}

static int volume_zero(struct sink *s, uint64_t off_bytes, uint64_t len_bytes)
{
	struct sink_volume *v = of(s);

	if (v->fresh)
		return 0;
	return export_zero(&v->w, off_bytes, len_bytes) < 0 ? export_failed(v)
							    : 0;
}

static int volume_mark(struct sink *s, const struct stream_token *token)
{
	struct sink_volume *v = of(s);

	v->token = *token;
	return v->unsynced < SYNC_BYTES ? 0 : note_write(v);
}

/* --- the end ------------------------------------------------------------- */

/* Of receivers that ended before: those of the same snapshot into the same
 * volume, up to end_bytes, are of no use any more.  Not connected; the export
 * that is ours stays. */
static void leftovers_delete(struct sink_volume *v, uint64_t end_bytes)
{
	enum cli_exit r;
	json_t *result = rpc_call(&v->cli, "receive.list", NULL, &r), *x;
	char    ours[sizeof(v->export)], error[SINK_ERROR_BYTES];
	struct stream_token t;
	size_t  i;

	memcpy(ours, v->export, sizeof(ours));
	memcpy(error, v->sink.error, sizeof(error));
	json_array_foreach(json_object_get(result, "receives"), i, x) {
		bool alike;

		snprintf(v->export, sizeof(v->export), "%s",
			 js_string(x, "export"));
		if (strcmp(js_string(x, "volume"), v->volume) != 0 ||
		    strcmp(v->export, ours) == 0 || js_int(x, "clients") > 0)
			continue;
		alike = is_alike(v, &t) && t.off_bytes <= end_bytes;
		export_close(&v->w);
		if (alike)
			json_decref(rpc_call(&v->cli, "receive.abort",
					     json_pack("{s:s, s:b}", "export",
						       v->export, "force",
						       true), &r));
	}
	json_decref(result);
	memcpy(v->export, ours, sizeof(ours));
	memcpy(v->sink.error, error, sizeof(error));
}

static int volume_publish(struct sink *s)
{
	struct sink_volume *v = of(s);
	char    uuid[UUID_TEXT_BYTES];
	json_t *result;

	if (export_sync(&v->w) < 0)
		return export_failed(v);
	export_close(&v->w);
	result = call_again(
		v, "receive.publish",
		json_pack("{s:s, s:I, s:s*, s:s, s:s, s:I, s:b}", "export",
			  v->export, "size", (json_int_t)v->size_bytes,
			  "snapshot", v->as[0] != '\0' ? v->as : NULL, "uuid",
			  uuid_text(&v->token.target, uuid), "volume",
			  v->volume, "created", (json_int_t)v->created_s,
			  "force", v->force));
	if (result == NULL)
		return -1;
	json_decref(result);
	v->begun = false;
	leftovers_delete(v, UINT64_MAX);
	return 0;
}

/* The error that there is stays. */
static void give_back(struct sink_volume *v)
{
	enum cli_exit r;
	json_t *result = rpc_call(&v->cli, "receive.abort",
				  json_pack("{s:s, s:b}", "export", v->export,
					    "force", true), &r);

	v->begun = false;
	/* Perhaps somebody else has deleted it, which is why we are here. */
	if (result == NULL && strcmp(v->caught.code, "ENOENT") != 0)
		snprintf(v->sink.left, sizeof(v->sink.left),
			 "; what came is left as '%s' (%.200s): 'tarn receive "
			 "--abort %s' deletes it", v->export, v->caught.text,
			 v->export);
	json_decref(result);
}

/* Note how far it is, if that can be; what was noted before stays good. */
static void note_last(struct sink_volume *v)
{
	if (v->w.nbd == NULL && export_connect(v) < 0)
		return;
	if (v->w.res == 0 && v->token.off_bytes > 0)
		note_write(v);
}

static int volume_keep(struct sink *s, struct stream_token *ret_token)
{
	struct sink_volume *v = of(s);
	bool full;

	if (v->unknown)
		snprintf(s->left, sizeof(s->left),
			 "; 'tarn snapshot list' and 'tarn receive --list' "
			 "show whether it was");
	if (!v->begun || v->unknown)
		return -1;
	full = v->w.res == ENOSPC;
	if (!full)
		note_last(v);
	export_close(&v->w);
	if (!full && v->noted.off_bytes > 0) {
		leftovers_delete(v, v->noted.off_bytes);
		*ret_token = v->noted;
		return 0;
	}
	give_back(v);
	return -1;
}

static void volume_close(struct sink *s)
{
	struct sink_volume *v = of(s);

	export_close(&v->w);
	free((char *)(uintptr_t)v->as);
	free(v);
}

static const struct sink_ops volume_ops = {
	.begin = volume_begin,
	.write = volume_write,
	.zero = volume_zero,
	.mark = volume_mark,
	.publish = volume_publish,
	.keep = volume_keep,
	.close = volume_close,
};

struct sink *sink_volume_open(const struct cli *cli, const char *volume,
			      const char *as, bool force)
{
	struct sink_volume *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->sink.ops = &volume_ops;
	v->cli = *cli;
	v->cli.caught = &v->caught;
	v->volume = volume;
	v->as = as != NULL ? strdup(as) : NULL;
	v->force = force;
	return &v->sink;
}

bool sink_volume_token(const struct cli *cli, const char *export,
		       char *ret_text)
{
	struct sink *s = sink_volume_open(cli, "", NULL, false);
	struct sink_volume *v = s != NULL ? of(s) : NULL;
	struct stream_token t = { .off_bytes = 0 };

	if (v == NULL)
		return false;
	snprintf(v->export, sizeof(v->export), "%s", export);
	if (connect_find(&v->cli, v->listen) == CLI_OK &&
	    export_connect(v) == 0 && note_read(v, &t) && t.off_bytes > 0)
		stream_token_text(&t, ret_text);
	s->ops->close(s);
	return t.off_bytes > 0;
}
