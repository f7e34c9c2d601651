/* server/control_session.c - from bytes to calls and from answers to bytes,
 * without any I/O, so that it can be fuzzed.
 *
 * A line is a message.  What is no JSON, or JSON but no request, gets an error
 * with a null id, and the next line is looked at: lines make it possible to
 * find one's feet again.  Only a line that is too long ends the session, since
 * its end may never come.
 *
 * A message without id is a notification.  None is defined, and JSON-RPC
 * forbids an answer, so it is ignored.  Batches (arrays) are refused:
 * pipelining does the same.
 *
 * Backpressure: with too many calls in flight, or too much output waiting, no
 * further line is handled and no input is wanted; the client's socket fills.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control.h"

#define ID_TEXT_MAX 256u

int ctl_session_init(struct ctl_session *s, struct ctl_core *core,
		     void (*wake)(struct ctl_session *s))
{
	memset(s, 0, sizeof(*s));
	s->in = malloc(CTL_LINE_MAX);
	if (s->in == NULL)
		return -ENOMEM;
	s->core = core;
	s->wake = wake;
	list_init(&s->calls);
	return 0;
}

void ctl_session_fini(struct ctl_session *s)
{
	struct list *l;

	assert(!s->running);
	while ((l = list_pop(&s->calls)) != NULL)
		list_entry(l, struct ctl_call, link)->session = NULL;
	free(s->in);
	free(s->out);
	s->in = NULL;
	s->out = NULL;
}

/* --- output -------------------------------------------------------------- */

static int out_append(const char *buf, size_t len_bytes, void *arg)
{
	struct ctl_session *s = arg;

	if (len_bytes > s->out_cap - s->out_len) {
		size_t cap = s->out_cap == 0 ? 4096 : s->out_cap;
		char  *p;

		while (cap - s->out_len < len_bytes)
			cap *= 2;
		p = realloc(s->out, cap);
		if (p == NULL)
			return -1;
		s->out = p;
		s->out_cap = cap;
	}
	memcpy(s->out + s->out_len, buf, len_bytes);
	s->out_len += len_bytes;
	return 0;
}

/* Append message and a newline; a message that cannot be written whole is not
 * written at all, and the session ends. */
void ctl_session_send(struct ctl_session *s, json_t *message)
{
	size_t before = s->out_len;

	if (message == NULL ||
	    json_dump_callback(message, out_append, s, JSON_COMPACT) < 0 ||
	    out_append("\n", 1, s) < 0) {
		s->out_len = before;
		s->ended = true;
	}
	json_decref(message);
}

size_t ctl_session_take(struct ctl_session *s, char **ret_buf)
{
	size_t len_bytes = s->out_len;

	*ret_buf = s->out;
	s->out = NULL;
	s->out_len = 0;
	s->out_cap = 0;
	return len_bytes;
}

static void send_error(struct ctl_session *s, json_t *id, int code,
		       const char *message)
{
	json_t *text = ctl_text(message);

	s->core->errors_ever++;
	if (text == NULL) {
		s->ended = true;
		return;
	}
	ctl_session_send(s, json_pack("{s:s, s:O, s:{s:i, s:o}}", "jsonrpc",
				      "2.0", "id", id, "error", "code", code,
				      "message", text));
}

/* --- input --------------------------------------------------------------- */

/* True if brackets nest no deeper than allowed; strings are skipped. */
static bool depth_ok(const char *line, size_t len_bytes)
{
	int  depth = 0;
	bool string = false;

	for (size_t i = 0; i < len_bytes; i++) {
		char c = line[i];

		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > CTL_DEPTH_MAX)
				return false;
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return true;
}

static const struct ctl_method *find_method(const struct ctl_core *core,
					    const char *name)
{
	for (unsigned i = 0; i < core->nmethods; i++)
		if (strcmp(core->methods[i].name, name) == 0)
			return &core->methods[i];
	return NULL;
}

static bool id_ok(const json_t *id)
{
	return json_is_null(id) || json_is_number(id) ||
	       (json_is_string(id) && json_string_length(id) <= ID_TEXT_MAX);
}

/* What makes msg no request; NULL if it is one. */
static const char *request_problem(json_t *msg)
{
	const char *key;
	json_t     *value;
	const char *version;

	if (json_is_array(msg))
		return "batches are not supported: send one request a line";
	if (!json_is_object(msg))
		return "a request is a JSON object";
	version = json_string_value(json_object_get(msg, "jsonrpc"));
	if (version == NULL || strcmp(version, "2.0") != 0)
		return "\"jsonrpc\" must be \"2.0\"";
	if (!json_is_string(json_object_get(msg, "method")))
		return "\"method\" must be a string";
	json_object_foreach(msg, key, value) {
		if (strcmp(key, "jsonrpc") != 0 && strcmp(key, "method") != 0 &&
		    strcmp(key, "id") != 0 && strcmp(key, "params") != 0)
			return "a request has the members jsonrpc, id, method "
			       "and params, and no others";
	}
	return NULL;
}

static void log_change(const struct ctl_session *s, const struct ctl_method *m)
{
	char line[128];

	if (!m->changes || s->core->log == NULL)
		return;
	snprintf(line, sizeof(line), "control: uid %ld calls %s", (long)s->uid,
		 m->name);
	s->core->log(s->core->arg, line);
}

/* A request with a valid id. */
static void start_call(struct ctl_session *s, json_t *msg, json_t *id)
{
	const char *name = json_string_value(json_object_get(msg, "method"));
	json_t     *params = json_object_get(msg, "params");
	const struct ctl_method *m = find_method(s->core, name);
	struct ctl_call *call;
	char        err[256];

	if (m == NULL) {
		send_error(s, id, CTL_NO_METHOD,
			   "there is no such method; server.methods lists "
			   "those that there are");
		return;
	}
	if (ctl_params_problem(m, params, err) != NULL) {
		send_error(s, id, CTL_INVALID_PARAMS, err);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (call == NULL) {
		send_error(s, id, CTL_FAILED, "the server is out of memory");
		return;
	}
	call->session = s;
	call->core = s->core;
	call->method = m;
	call->id = json_incref(id);
	call->params = json_incref(params);
	list_init(&call->parked);
	list_push(&s->calls, &call->link);
	s->ncalls++;
	s->core->ncalls++;
	s->core->calls_ever++;
	log_change(s, m);
	m->run(call);
}

static void handle_message(struct ctl_session *s, json_t *msg)
{
	const char *problem = request_problem(msg);
	json_t     *id;

	id = json_is_object(msg) ? json_object_get(msg, "id") : NULL;
	if (problem == NULL && id == NULL)
		return; /* a notification */
	if (problem == NULL && !id_ok(id))
		problem = "\"id\" must be a number, null or a string of at "
			  "most 256 bytes";
	if (problem != NULL) {
		json_t *null = json_null();

		send_error(s, id != NULL && id_ok(id) ? id : null,
			   CTL_INVALID_REQUEST, problem);
		return;
	}
	start_call(s, msg, id);
}

static bool line_blank(const char *line, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++)
		if (strchr(" \t\r", line[i]) == NULL || line[i] == '\0')
			return false;
	return true;
}

static void handle_line(struct ctl_session *s, const char *line,
			size_t len_bytes)
{
	json_error_t je;
	json_t      *msg;
	char         err[sizeof(je.text) + 64];

	if (line_blank(line, len_bytes))
		return;
	if (!depth_ok(line, len_bytes)) {
		send_error(s, json_null(), CTL_PARSE_ERROR,
			   "the message is nested too deeply");
		return;
	}
	msg = json_loadb(line, len_bytes,
			 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (msg == NULL) {
		snprintf(err, sizeof(err), "this is no JSON: %s", je.text);
		send_error(s, json_null(), CTL_PARSE_ERROR, err);
		return;
	}
	handle_message(s, msg);
	json_decref(msg);
}

static bool blocked(const struct ctl_session *s)
{
	return s->ended || s->ncalls >= CTL_SESSION_CALLS ||
	       s->out_len >= CTL_OUT_HIGH;
}

size_t ctl_session_space(struct ctl_session *s, char **ret_buf)
{
	if (blocked(s))
		return 0;
	*ret_buf = s->in + s->in_len;
	return CTL_LINE_MAX - s->in_len;
}

void ctl_session_received(struct ctl_session *s, size_t len_bytes)
{
	assert(len_bytes <= CTL_LINE_MAX - s->in_len);
	s->in_len += len_bytes;
}

void ctl_session_run(struct ctl_session *s)
{
	size_t pos = 0;

	assert(!s->running);
	s->running = true;
	while (!blocked(s)) {
		char *line = s->in + pos;
		char *end = memchr(line, '\n', s->in_len - pos);

		if (end == NULL)
			break;
		handle_line(s, line, (size_t)(end - line));
		pos += (size_t)(end - line) + 1;
	}
	if (pos > 0)
		memmove(s->in, s->in + pos, s->in_len - pos);
	s->in_len -= pos;
	if (!s->ended && s->in_len == CTL_LINE_MAX &&
	    memchr(s->in, '\n', s->in_len) == NULL) {
		send_error(s, json_null(), CTL_INVALID_REQUEST,
			   "a message is one line of at most 65536 bytes");
		s->ended = true;
	}
	s->running = false;
}
