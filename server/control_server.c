/* server/control_server.c - server.*: what this server is, what it can be
 * asked, and its counters.
 */
#include <string.h>
#include <unistd.h>

#include "base/version.h"
#include "server/tarnd.h"

/* --- info and methods ---------------------------------------------------- */

static json_t *strings(char *const *items, unsigned n)
{
	json_t *a = json_array();

	for (unsigned i = 0; a != NULL && i < n; i++)
		json_array_append_new(a, ctl_text(items[i]));
	return a;
}

/* Addresses, with the paths of sockets made absolute: who asks may be in
 * another directory. */
static json_t *listeners(const struct config_list *l)
{
	json_t *a = json_array();
	char    cwd[4096], text[8192];

	if (getcwd(cwd, sizeof(cwd)) == NULL)
		snprintf(cwd, sizeof(cwd), ".");
	for (unsigned i = 0; a != NULL && i < l->n; i++) {
		bool relative = strncmp(l->items[i], "unix:", 5) == 0 &&
				l->items[i][5] != '/';

		if (relative)
			snprintf(text, sizeof(text), "unix:%s/%s", cwd,
				 l->items[i] + 5);
		json_array_append_new(a, ctl_text(relative ? text
							   : l->items[i]));
	}
	return a;
}

void ctl_server_info(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);

	ctl_reply(call, json_pack("{s:s, s:i, s:I, s:o, s:o}", "version",
				  TARN_VERSION, "pid", (int)getpid(),
				  "started_s", (json_int_t)t->started_s,
				  "listen", listeners(&t->cfg->listen),
				  "places", strings(t->places, t->nplaces)));
}

static json_t *describe(const struct ctl_method *m)
{
	static const char *const types[] = {
		[CTL_STRING] = "string", [CTL_BOOL] = "bool",
		[CTL_UINT] = "integer", [CTL_STRINGS] = "strings",
	};
	json_t *params = json_array();
	const struct ctl_param *p = m->params;

	for (; p != NULL && p->name != NULL; p++)
		json_array_append_new(params,
				      json_pack("{s:s, s:s, s:b}", "name",
						p->name, "type",
						types[p->type], "required",
						p->required));
	return json_pack("{s:s, s:s, s:o}", "name", m->name, "doc", m->doc,
			 "params", params);
}

void ctl_server_methods(struct ctl_call *call)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < call->core->nmethods; i++)
		json_array_append_new(a, describe(&call->core->methods[i]));
	ctl_reply(call, json_pack("{s:o}", "methods", a));
}

/* --- stats --------------------------------------------------------------- */

static json_t *nbd_stats(const struct tarnd *t)
{
	struct nbd_server_stats s = { 0 };

	if (t->nbd != NULL)
		nbd_server_stats(t->nbd, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "connections", (json_int_t)s.connections,
			 "connections_ever", (json_int_t)s.connections_ever,
			 "requests", (json_int_t)s.requests, "read_bytes",
			 (json_int_t)s.bytes_read, "written_bytes",
			 (json_int_t)s.bytes_written, "receives",
			 (json_int_t)s.recv_calls, "sends",
			 (json_int_t)s.send_calls, "refused",
			 (json_int_t)s.refused, "protocol_errors",
			 (json_int_t)s.protocol_errors);
}

static json_t *control_stats(const struct tarnd *t)
{
	struct ctl_server_stats s = { 0 };

	ctl_server_stats(t->ctl, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "connections",
			 (json_int_t)s.connections, "connections_ever",
			 (json_int_t)s.connections_ever, "refused",
			 (json_int_t)s.refused, "cut", (json_int_t)s.cut,
			 "calls", (json_int_t)t->core.calls_ever, "errors",
			 (json_int_t)t->core.errors_ever);
}

static json_t *pool_stats(const struct pool *pool)
{
	struct pool_info i;
	json_t *o;

	pool_get_info(pool, &i);
	o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rows",
		      (json_int_t)i.rows, "row_blocks",
		      (json_int_t)i.row_blocks, "row_bytes",
		      (json_int_t)i.row_bytes, "commits",
		      (json_int_t)i.commits, "commit_blocks",
		      (json_int_t)i.commit_blocks, "flushes",
		      (json_int_t)i.flushes, "moved_blocks",
		      (json_int_t)i.moved_blocks, "cleaned_segments",
		      (json_int_t)i.cleaned_segments);
	if (o == NULL)
		return NULL;
	json_object_update_new(o, json_pack("{s:I, s:I, s:I, s:I, s:I}",
		      "late_rows", (json_int_t)i.late_rows, "around_reads",
		      (json_int_t)i.around_reads, "hedged_reads",
		      (json_int_t)i.hedged_reads, "hedges_won",
		      (json_int_t)i.hedges_won, "probes",
		      (json_int_t)i.probes));
	json_object_set_new(o, "replayed_rows",
			    json_integer((json_int_t)i.replayed_rows));
	json_object_set_new(o, "replay_ns",
			    json_integer((json_int_t)i.replay_ns));
	json_object_set_new(o, "stable_row",
			    json_integer((json_int_t)i.stable_row));
	json_object_set_new(o, "flushed_row",
			    json_integer((json_int_t)i.flushed_row));
	json_object_set_new(o, "commit_row",
			    json_integer((json_int_t)i.commit_row));
	json_object_set_new(o, "segments",
			    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
				      "all",
				      (json_int_t)i.segments, "free",
				      (json_int_t)i.segments_free, "open",
				      (json_int_t)i.segments_open, "sealed",
				      (json_int_t)i.segments_sealed,
				      "quarantined",
				      (json_int_t)i.segments_quarantined,
				      "trimmed",
				      (json_int_t)i.segments_trimmed,
				      "degraded",
				      (json_int_t)i.segments_degraded));
	return o;
}

static json_t *volumes_stats(const struct volumes *vols)
{
	struct volumes_space s;

	vols_space(vols, &s);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "mapped_blocks", (json_int_t)s.mapped_blocks,
			 "node_blocks", (json_int_t)s.node_blocks,
			 "nodes_cached", (json_int_t)s.nodes_cached,
			 "node_hits", (json_int_t)s.cache_hits, "node_misses",
			 (json_int_t)s.cache_misses, "block_hits",
			 (json_int_t)s.block_hits, "block_misses",
			 (json_int_t)s.block_misses, "deleting",
			 (json_int_t)s.deleting, "control_ops",
			 (json_int_t)s.control_ops, "control_ns",
			 (json_int_t)s.control_ns);
}

void ctl_server_stats_get(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	json_t *o;

	o = json_pack("{s:I, s:{s:I, s:I}, s:o, s:o}", "uptime_s",
		      (json_int_t)(tarnd_now_s() - t->started_s), "buffers",
		      "arena_bytes",
		      (json_int_t)bufpool_arena_bytes(t->bufs), "used_bytes",
		      (json_int_t)bufpool_used_bytes(t->bufs), "nbd",
		      nbd_stats(t), "control", control_stats(t));
	if (o != NULL && t->hosted.state == HOSTED_OPEN) {
		json_object_set_new(o, "pool", pool_stats(t->hosted.pool));
		json_object_set_new(o, "volumes",
				    volumes_stats(t->hosted.vols));
	}
	ctl_reply(call, o);
}
