/* server/control_receive.c - receive.*: a copy of a snapshot that somebody
 * writes to a hidden volume, over NBD.
 *
 *   begin:    what it starts from is there? --> vol_receive() --> the export
 *   publish:  shrink (the notes go) --> vol_publish(); when that fails, grow
 *             it is hidden no more: vol_publish(), which knows why
 *   abort:    vol_delete()
 *
 * A hidden volume has a block more than the copy, behind its end: there the
 * receiver notes how far it has come, so that it can go on, whoever of us was
 * killed meanwhile.  What is in it is no concern of ours.
 *
 * A hidden volume is named by its export, and only looked for among hidden
 * ones.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control_vol.h"

#define NOTES_BYTES TARN_BLOCK

struct receive {
	struct vol_ctl   ctl;
	struct ctl_call *call;
	struct uuid      uuid;         /* publish: of the snapshot */
	uint64_t         size_bytes;   /* of the copy */
	uint64_t         hidden_bytes; /* of the hidden volume */
	const char      *volume;       /* publish: that it is meant for */
	int              res;          /* publish: why it failed */
	char             error[256];
	char             name[TREE_NAME_MAX + 1]; /* begin: of the volume or
						   * base; else the export */
};

/* --- a call -------------------------------------------------------------- */

/* NULL: answered. */
static struct receive *receive_new(struct ctl_call *call, const char *name)
{
	struct receive *rc = calloc(1, sizeof(*rc));

	if (rc == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return NULL;
	}
	rc->call = call;
	snprintf(rc->name, sizeof(rc->name), "%s", name);
	return rc;
}

/* The next operation of the call. */
static struct vol_ctl *ctl_reset(struct receive *rc,
				 void (*done)(struct vol_ctl *ctl))
{
	memset(&rc->ctl, 0, sizeof(rc->ctl));
	rc->ctl.name = rc->name;
	rc->ctl.now_s = tarnd_now_s();
	rc->ctl.done = done;
	return &rc->ctl;
}

static struct hosted *hosted_of(const struct receive *rc)
{
	struct tarnd *t = ctl_arg(rc->call);

	return &t->hosted;
}

/* Answers the call, badly unless there is a result; the end of rc. */
static void receive_end(struct receive *rc, json_t *result)
{
	struct tarnd *t = ctl_arg(rc->call);

	if (result != NULL)
		ctl_reply(rc->call, result);
	else
		ctl_fail(rc->call, rc->res, rc->name, "%s",
			 rc->error[0] != '\0' ? rc->error
					      : strerror(-rc->res));
	free(rc);
	hosted_call_end(t);
}

/* What ctl says is why the call failed. */
static void failed_take(struct receive *rc)
{
	rc->res = rc->ctl.res;
	memcpy(rc->error, rc->ctl.error, sizeof(rc->error));
}

/* A UUID that must be one, if it is given.  False: answered. */
static bool uuid_get(struct ctl_call *call, const char *key,
		     struct uuid *ret_uuid)
{
	const char *text = ctl_string(call, key);

	if (text == NULL ||
	    (uuid_parse(text, ret_uuid) && !uuid_is_zero(ret_uuid)))
		return true;
	ctl_bad_param(call, key, "%s: this is no UUID: give it as in "
		      "123e4567-e89b-12d3-a456-426614174000", key);
	return false;
}

/* The hidden volume that `export` names; NULL: there is none. */
static struct volume *hidden_find(struct ctl_call *call, struct hosted *h)
{
	const char    *name = ctl_string(call, "export");
	struct volume *v = vols_hidden_next(h->vols, NULL);
	char           text[TREE_NAME_MAX + 1];

	while (v != NULL && strcmp(vol_full_name(v, text), name) != 0)
		v = vols_hidden_next(h->vols, v);
	return v;
}

static void not_hidden(struct ctl_call *call)
{
	const char *name = ctl_string(call, "export");

	ctl_fail(call, -ENOENT, name, "'%.160s' is not being received: 'tarn "
		 "receive --list' lists what is", name);
}

/* Is it the name of what may have been one? */
static bool was_hidden(const char *export)
{
	struct uuid u;

	return strncmp(export, "receive/", 8) == 0 &&
	       uuid_parse(export + 8, &u);
}

/* --- begin --------------------------------------------------------------- */

static struct volume *snap_by_uuid(struct volume *v, const struct uuid *uuid)
{
	struct volume *s = vol_snap_next(v, NULL);

	for (; s != NULL; s = vol_snap_next(v, s)) {
		struct volume_info i;

		vol_info(s, &i);
		if (uuid_equal(&i.uuid, uuid))
			break;
	}
	return s;
}

/* What the copy starts from: the volume's name, or that of a snapshot of it.
 * False: answered. */
static bool base_find(struct ctl_call *call, struct hosted *h,
		      const struct uuid *base, char *ret_name)
{
	const char    *name = ctl_string(call, "volume");
	const char    *text = ctl_string(call, "base");
	struct volume *v = vols_find(h->vols, name), *s;

	if (text == NULL) {
		snprintf(ret_name, TREE_NAME_MAX + 1, "%s", name);
		return true;
	}
	if (v == NULL) {
		ctl_fail(call, -ENOENT, name,
			 "volume '%s' does not exist, and what comes is only "
			 "what has changed in one: receive all of the older "
			 "snapshot first", name);
		return false;
	}
	s = snap_by_uuid(v, base);
	if (s == NULL) {
		ctl_fail(call, -ENOENT, name,
			 "volume '%s' does not have the snapshot (%s) that "
			 "this starts from: receive that first, or send what "
			 "has changed since one that it has ('tarn snapshot "
			 "list %s')", name, text, name);
		return false;
	}
	vol_full_name(s, ret_name);
	return true;
}

/* Is there already what is to come?  True: answered. */
static bool is_there(struct ctl_call *call, struct hosted *h,
		     const struct uuid *uuid)
{
	const char    *name = ctl_string(call, "volume");
	const char    *snapshot = ctl_string(call, "snapshot");
	struct volume *v = vols_find(h->vols, name), *s;
	char           full[TREE_NAME_MAX + 1], err[256];

	if (snapshot != NULL && vol_name_problem(snapshot, err) != NULL) {
		ctl_fail(call, -EINVAL, snapshot, "%s", err);
		return true;
	}
	if (v == NULL)
		return false;
	s = uuid_is_zero(uuid) ? NULL : snap_by_uuid(v, uuid);
	if (s != NULL) {
		ctl_fail(call, -EEXIST, name,
			 "volume '%s' has that snapshot already, as '%s'",
			 name, vol_full_name(s, full));
		return true;
	}
	if (snapshot == NULL)
		return false;
	snprintf(full, sizeof(full), "%s@%s", name, snapshot);
	if (ctl_string(call, "base") == NULL ||
	    vols_find(h->vols, full) == NULL)
		return false;
	ctl_fail(call, -EEXIST, full,
		 "there is another snapshot '%s' already: take another name "
		 "with --as", full);
	return true;
}

static void begin_done(struct vol_ctl *ctl)
{
	struct receive *rc = container_of(ctl, struct receive, ctl);
	char            uuid[UUID_TEXT_BYTES];

	failed_take(rc);
	if (ctl->res < 0) {
		receive_end(rc, NULL);
		return;
	}
	receive_end(rc, json_pack("{s:o, s:I, s:b}", "export",
				  json_sprintf("receive/%s",
					       uuid_text(&rc->uuid, uuid)),
				  "size_bytes", (json_int_t)rc->hidden_bytes,
				  "already", ctl->already));
}

/* With room for notes, unless the copy is as large as a volume can be. */
static uint64_t hidden_size(uint64_t size_bytes)
{
	uint64_t size;

	if (size_bytes == 0 || size_bytes > VOLUME_BYTES_MAX ||
	    size_bytes % 512 != 0)
		return size_bytes; /* refused, as it is */
	size = blocks_to_bytes(bytes_to_blocks_up(size_bytes)) + NOTES_BYTES;
	return size <= VOLUME_BYTES_MAX ? size : size_bytes;
}

void ctl_receive_begin(struct ctl_call *call)
{
	struct hosted  *h = ctl_need_pool(call);
	struct uuid     base = { 0 }, uuid = { 0 }, id;
	char            name[TREE_NAME_MAX + 1];
	struct receive *rc;

	tarnd_uuid(&id);
	if (h == NULL ||
	    !ctl_is_name(call, ctl_string(call, "volume"), VOL_KIND_VOLUME) ||
	    !uuid_get(call, "base", &base) || !uuid_get(call, "uuid", &uuid) ||
	    !uuid_get(call, "id", &id) ||
	    is_there(call, h, &uuid) || !base_find(call, h, &base, name))
		return;
	rc = receive_new(call, name);
	if (rc == NULL)
		return;
	rc->uuid = id;
	rc->size_bytes = ctl_uint(call, "size", 0);
	rc->hidden_bytes = hidden_size(rc->size_bytes);
	ctl_reset(rc, begin_done);
	rc->ctl.size_bytes = rc->hidden_bytes;
	rc->ctl.uuid = rc->uuid;
	h->vol_calls++;
	vol_receive(h->vols, &rc->ctl);
}

/* --- publish ------------------------------------------------------------- */

static void grown(struct vol_ctl *ctl)
{
	/* Whether or not there is room for notes again, that is why. */
	receive_end(container_of(ctl, struct receive, ctl), NULL);
}

static void published(struct vol_ctl *ctl)
{
	struct receive *rc = container_of(ctl, struct receive, ctl);
	const char     *snapshot = ctl_string(rc->call, "snapshot");
	char            uuid[UUID_TEXT_BYTES];

	failed_take(rc);
	if (ctl->res == 0) {
		receive_end(rc, json_pack("{s:s?, s:s?, s:b}", "snapshot",
					  snapshot, "uuid", snapshot == NULL ?
					  NULL : uuid_text(&rc->uuid, uuid),
					  "already", ctl->already));
	} else if (rc->hidden_bytes > rc->size_bytes) {
		ctl_reset(rc, grown);
		rc->ctl.size_bytes = rc->hidden_bytes;
		vol_resize(hosted_of(rc)->vols, &rc->ctl);
	} else {
		receive_end(rc, NULL);
	}
}

static void publish(struct receive *rc)
{
	ctl_reset(rc, published);
	rc->volume = ctl_string(rc->call, "volume");
	rc->ctl.names = &rc->volume;
	rc->ctl.nnames = rc->volume != NULL;
	rc->ctl.new_name = ctl_string(rc->call, "snapshot");
	rc->ctl.uuid = rc->uuid;
	rc->ctl.now_s = ctl_uint(rc->call, "created", tarnd_now_s());
	rc->ctl.force = ctl_bool(rc->call, "force");
	vol_publish(hosted_of(rc)->vols, &rc->ctl);
}

static void shrunk(struct vol_ctl *ctl)
{
	struct receive *rc = container_of(ctl, struct receive, ctl);

	failed_take(rc);
	/* Another call that wanted the same may have come before it. */
	if (ctl->res < 0 && ctl->res != -ENOENT)
		receive_end(rc, NULL);
	else
		publish(rc);
}

void ctl_receive_publish(struct ctl_call *call)
{
	const char     *snapshot = ctl_string(call, "snapshot");
	struct hosted  *h = ctl_need_pool(call);
	struct volume  *v;
	struct uuid     uuid = { 0 };
	uint64_t        size;
	struct receive *rc;

	if (h == NULL || !uuid_get(call, "uuid", &uuid))
		return;
	v = hidden_find(call, h);
	if (v == NULL && !was_hidden(ctl_string(call, "export"))) {
		not_hidden(call);
		return;
	}
	if (snapshot != NULL && ctl_string(call, "uuid") == NULL) {
		ctl_bad_param(call, "uuid", "uuid: give that of the snapshot");
		return;
	}
	size = ctl_uint(call, "size", 0);
	/* A server that was killed may have cut it already. */
	if (v != NULL && hidden_size(size) != vol_size_bytes(v) &&
	    size != vol_size_bytes(v)) {
		ctl_bad_param(call, "size", "size: what is received as '%s' "
			      "is not of %ju bytes",
			      ctl_string(call, "export"), (uintmax_t)size);
		return;
	}
	rc = receive_new(call, ctl_string(call, "export"));
	if (rc == NULL)
		return;
	rc->uuid = uuid;
	rc->size_bytes = size;
	h->vol_calls++;
	if (v == NULL) {
		publish(rc);
		return;
	}
	rc->hidden_bytes = hidden_size(size);
	ctl_reset(rc, shrunk);
	rc->ctl.size_bytes = size;
	rc->ctl.force = true; /* nobody is to write to it any more */
	vol_resize(h->vols, &rc->ctl);
}

/* --- abort and list ------------------------------------------------------ */

static void aborted(struct vol_ctl *ctl)
{
	struct receive *rc = container_of(ctl, struct receive, ctl);

	failed_take(rc);
	receive_end(rc, ctl->res < 0 ? NULL
				     : json_pack("{s:s}", "export", rc->name));
}

void ctl_receive_abort(struct ctl_call *call)
{
	struct hosted  *h = ctl_need_pool(call);
	struct receive *rc;

	if (h == NULL)
		return;
	if (hidden_find(call, h) == NULL) {
		not_hidden(call);
		return;
	}
	rc = receive_new(call, ctl_string(call, "export"));
	if (rc == NULL)
		return;
	h->vol_calls++;
	ctl_reset(rc, aborted);
	rc->ctl.force = ctl_bool(call, "force");
	vol_delete(h->vols, &rc->ctl);
}

static json_t *hidden_json(const struct volume *v)
{
	struct volume_info i;
	char text[TREE_NAME_MAX + 1];

	vol_info(v, &i);
	return json_pack("{s:s, s:s, s:s?, s:I, s:I, s:I, s:i}", "export",
			 vol_full_name(v, text), "volume", i.name, "base",
			 i.clone_of[0] != '\0' ? i.clone_of : NULL,
			 "size_bytes", (json_int_t)i.size_bytes, "used_bytes",
			 (json_int_t)blocks_to_bytes(i.mapped_blocks),
			 "since_s", (json_int_t)i.created_s, "clients",
			 (int)i.users);
}

void ctl_receive_list(struct ctl_call *call)
{
	ctl_reply_list(call, "receives", vols_hidden_next, hidden_json);
}
