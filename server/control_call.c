/* server/control_call.c - a call's parameters and its answer. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/control.h"

/* --- parameters ---------------------------------------------------------- */

static const char *const type_names[] = {
	[CTL_STRING] = "a string",
	[CTL_BOOL] = "true or false",
	[CTL_UINT] = "an integer that is not negative",
	[CTL_STRINGS] = "an array of at most 256 strings",
};

static bool string_ok(const json_t *v)
{
	return json_is_string(v) && json_string_length(v) <= CTL_STRING_MAX;
}

static bool strings_ok(const json_t *v)
{
	if (!json_is_array(v) || json_array_size(v) > CTL_ARRAY_MAX)
		return false;
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!string_ok(json_array_get(v, i)))
			return false;
	return true;
}

static bool type_ok(const json_t *v, enum ctl_type type)
{
	switch (type) {
	case CTL_STRING:
		return string_ok(v);
	case CTL_BOOL:
		return json_is_boolean(v);
	case CTL_UINT:
		return json_is_integer(v) && json_integer_value(v) >= 0;
	case CTL_STRINGS:
		return strings_ok(v);
	}
	return false;
}

static const struct ctl_param *find_param(const struct ctl_method *m,
					  const char *name)
{
	const struct ctl_param *p = m->params;

	for (; p != NULL && p->name != NULL; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *ctl_params_problem(const struct ctl_method *m, json_t *params,
			       char *ret_err)
{
	const struct ctl_param *p;
	const char *key;
	json_t     *value;

	if (params != NULL && !json_is_object(params)) {
		snprintf(ret_err, 256, "%s: params must be an object",
			 m->name);
		return ret_err;
	}
	json_object_foreach(params, key, value) {
		p = find_param(m, key);
		if (p == NULL) {
			snprintf(ret_err, 256,
				 "%s: there is no parameter \"%.64s\"",
				 m->name, key);
			return ret_err;
		}
		if (!type_ok(value, p->type)) {
			snprintf(ret_err, 256, "%s: %s must be %s%s", m->name,
				 key, type_names[p->type],
				 p->type == CTL_STRING
					 ? " of at most 4096 bytes"
					 : "");
			return ret_err;
		}
	}
	for (p = m->params; p != NULL && p->name != NULL; p++) {
		if (p->required && json_object_get(params, p->name) == NULL) {
			snprintf(ret_err, 256, "%s: %s is missing", m->name,
				 p->name);
			return ret_err;
		}
	}
	return NULL;
}

void *ctl_arg(const struct ctl_call *call)
{
	return call->core->arg;
}

const char *ctl_string(const struct ctl_call *call, const char *name)
{
	return json_string_value(json_object_get(call->params, name));
}

bool ctl_bool(const struct ctl_call *call, const char *name)
{
	return json_is_true(json_object_get(call->params, name));
}

uint64_t ctl_uint(const struct ctl_call *call, const char *name, uint64_t dflt)
{
	json_t *v = json_object_get(call->params, name);

	return v == NULL ? dflt : (uint64_t)json_integer_value(v);
}

json_t *ctl_strings(const struct ctl_call *call, const char *name)
{
	return json_object_get(call->params, name);
}

/* --- text ---------------------------------------------------------------- */

/* Length of the UTF-8 character at p (at most n bytes), 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	size_t   len;
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] < 0xe0)
		len = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] < 0xf5)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	c = p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((len == 3 && c < 0x800) || (len == 4 && c < 0x10000) ||
	    c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return len;
}

static bool is_control(const unsigned char *p, size_t len)
{
	return (len == 1 && (p[0] < 0x20 || p[0] == 0x7f)) ||
	       (len == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

json_t *ctl_text(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t  n = strlen(text);
	char   *buf = malloc(4 * n + 1);
	char   *w = buf;
	json_t *result;

	if (buf == NULL)
		return NULL;
	while (n > 0) {
		size_t len = utf8_len(p, n);

		if (len == 0 || is_control(p, len)) {
			w += snprintf(w, 5, "\\x%02x", p[0]);
			len = 1;
		} else {
			memcpy(w, p, len);
			w += len;
		}
		p += len;
		n -= len;
	}
	result = json_stringn(buf, (size_t)(w - buf));
	free(buf);
	return result;
}

/* --- answers ------------------------------------------------------------- */

void ctl_call_end(struct ctl_call *call)
{
	struct ctl_session *s = call->session;

	assert(call->core->ncalls > 0);
	call->core->ncalls--;
	list_remove(&call->link);
	list_remove(&call->parked);
	json_decref(call->id);
	json_decref(call->params);
	free(call);
	if (s == NULL)
		return;
	assert(s->ncalls > 0);
	s->ncalls--;
	if (!s->running)
		s->wake(s);
}

void ctl_reply(struct ctl_call *call, json_t *result)
{
	if (result == NULL) {
		ctl_fail(call, -ENOMEM, NULL, "the server is out of memory");
		return;
	}
	if (call->method->changes && call->core->changed != NULL)
		call->core->changed(call->core->arg, call, result);
	if (call->session != NULL)
		ctl_session_send(call->session,
				 json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0",
					   "id", call->id, "result", result));
	json_decref(result);
	ctl_call_end(call);
}

static const char *errno_name(int err)
{
	const char *name = strerrorname_np(-err);

	return name != NULL ? name : "EIO";
}

static void send_failure(struct ctl_call *call, int code, json_t *data,
			 const char *message)
{
	json_t *text = ctl_text(message);
	json_t *msg = NULL;

	call->core->errors_ever++;
	if (call->session != NULL) {
		if (text != NULL && data != NULL)
			msg = json_pack("{s:s, s:O, s:{s:i, s:O, s:O}}",
					"jsonrpc", "2.0", "id", call->id,
					"error", "code", code, "message", text,
					"data", data);
		ctl_session_send(call->session, msg);
	}
	json_decref(text);
	json_decref(data);
	ctl_call_end(call);
}

void ctl_fail(struct ctl_call *call, int err, const char *object,
	      const char *fmt, ...)
{
	char    message[1024];
	json_t *data = json_object();
	va_list ap;

	assert(err < 0);
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (data != NULL) {
		json_object_set_new(data, "errno",
				    json_string(errno_name(err)));
		if (object != NULL)
			json_object_set_new(data, "object", ctl_text(object));
	}
	send_failure(call, CTL_FAILED, data, message);
}

void ctl_bad_param(struct ctl_call *call, const char *name, const char *fmt,
		   ...)
{
	char    message[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	send_failure(call, CTL_INVALID_PARAMS,
		     json_pack("{s:s, s:s}", "errno", "EINVAL", "object",
			       name),
		     message);
}
