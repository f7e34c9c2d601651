/* tools/tarn/backup_volume.c - a new volume as a sink.
 *
 * It is called NAME.partial until all of it is there.  It is new, so what is
 * not written reads as zeros.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/backup.h"
#include "tools/tarn/connect.h"
#include "tools/tarn/send.h"

struct sink_volume {
	struct sink        sink;
	const struct cli  *cli;
	const char        *name;
	char               temp[VOLUME_NAME_MAX + 16];
	struct nbd_handle *nbd;
	bool               made; /* temp is there, and ours */
};

static struct sink_volume *of(struct sink *s)
{
	return container_of(s, struct sink_volume, sink);
}

static int fail(struct sink_volume *v, const char *what)
{
	const char *why = nbd_get_error();

	snprintf(v->sink.error, SINK_ERROR_BYTES,
		 "cannot %s volume '%.255s': %.500s; see 'tarn status'", what,
		 v->temp, why != NULL ? why : "out of memory");
	return -1;
}

/* The name must be free; that is said before anything is written. */
static int name_check(struct sink_volume *v)
{
	struct cli quiet = *v->cli;
	enum cli_exit r;
	json_t *there;

	quiet.quiet = true;
	there = rpc_call(&quiet, "volume.show",
			 json_pack("{s:s}", "name", v->name), &r);
	if (there == NULL)
		return 0;
	json_decref(there);
	snprintf(v->sink.error, SINK_ERROR_BYTES,
		 "volume '%.255s' exists: give a name that is free, a backup "
		 "is restored to a new volume", v->name);
	return -1;
}

static int make(struct sink_volume *v, uint64_t size_bytes)
{
	enum cli_exit r;
	json_t *result = rpc_call(v->cli, "volume.create",
				  json_pack("{s:s, s:I}", "name", v->temp,
					    "size", (json_int_t)size_bytes),
				  &r);
	bool    already = js_bool(result, "already");

	if (result == NULL)
		return -1;
	json_decref(result);
	v->made = !already;
	if (!already)
		return 0;
	snprintf(v->sink.error, SINK_ERROR_BYTES,
		 "volume '%.255s' exists: delete it, unless another restore is "
		 "under way", v->temp);
	return -1;
}

static int volume_begin(struct sink *s, const struct stream_header *h)
{
	struct sink_volume *v = of(s);
	char error[SEND_ERROR_BYTES], listen[LISTEN_BYTES];

	if (name_check(v) < 0 || make(v, h->size_bytes) < 0 ||
	    connect_find(v->cli, listen) != CLI_OK)
		return -1;
	v->nbd = nbd_create();
	if (v->nbd == NULL)
		return fail(v, "connect to");
	if (send_connect(v->nbd, listen, v->temp, error) == 0)
		return 0;
	snprintf(s->error, SINK_ERROR_BYTES, "%s", error);
	return -1;
}

static int volume_write(struct sink *s, uint64_t off_bytes, const void *buf,
			size_t len)
{
	struct sink_volume *v = of(s);

	return nbd_pwrite(v->nbd, buf, len, off_bytes, 0) < 0
		       ? fail(v, "write") : 0;
}

static int volume_zero(struct sink *s, uint64_t off_bytes, uint64_t len_bytes)
{
	(void)s;
	(void)off_bytes;
	(void)len_bytes;
	return 0;
}

static int volume_mark(struct sink *s, const struct stream_token *token)
{
	(void)s;
	(void)token;
	return 0;
}

static int volume_publish(struct sink *s)
{
	struct sink_volume *v = of(s);
	enum cli_exit r;

	if (nbd_flush(v->nbd, 0) < 0 || nbd_shutdown(v->nbd, 0) < 0)
		return fail(v, "finish");
	nbd_close(v->nbd);
	v->nbd = NULL;
	json_decref(rpc_call(v->cli, "volume.rename",
			     json_pack("{s:s, s:s}", "name", v->temp,
				       "new_name", v->name), &r));
	v->made = r != CLI_OK;
	return r == CLI_OK ? 0 : -1;
}

static int volume_keep(struct sink *s, struct stream_token *ret_token)
{
	(void)s;
	(void)ret_token;
	return -1;
}

static void volume_close(struct sink *s)
{
	struct sink_volume *v = of(s);

	nbd_close(v->nbd);
	if (v->made)
		backup_call_quietly(v->cli, "volume.delete",
				    json_pack("{s:s, s:b}", "name", v->temp,
					      "force", true));
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

struct sink *backup_volume_open(const struct cli *cli, const char *name)
{
	struct sink_volume *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->sink.ops = &volume_ops;
	v->cli = cli;
	v->name = name;
	snprintf(v->temp, sizeof(v->temp), "%.*s.partial", VOLUME_NAME_MAX,
		 name);
	return &v->sink;
}
