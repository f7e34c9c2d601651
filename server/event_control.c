/* server/event_control.c - what was changed over the control socket becomes an
 * event: the method is its kind, and its parameters say the rest.
 *
 * What had been so before is no event.  What was forced is kept with the
 * warnings, for longer.
 */
#include <string.h>

#include "server/event.h"

/* Parameters that say what a call is about, the best first. */
static const char *const subjects[] = { "new_name", "name", "names", "volume",
					"export" };

/* A clone is the new volume; what is renamed was known by its old name. */
static bool is_subject(const struct ctl_call *call, const char *key)
{
	return strcmp(key, "new_name") != 0 ||
	       strcmp(call->method->name, "volume.clone") == 0;
}

static const char *subject_of(const struct ctl_call *call, const char **ret_key)
{
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		json_t *v = json_object_get(call->params, subjects[i]);

		if (json_is_array(v))
			v = json_array_get(v, 0);
		if (!json_is_string(v) || !is_subject(call, subjects[i]))
			continue;
		*ret_key = subjects[i];
		return json_string_value(v);
	}
	*ret_key = "";
	return "";
}

/* " KEY VALUE," of one parameter. */
static size_t put_param(char *ret, size_t room, const char *key, json_t *value)
{
	int n = 0;

	if (json_is_true(value))
		n = snprintf(ret, room, " %s,", key);
	else if (json_is_integer(value))
		n = snprintf(ret, room, " %s %jd,", key,
			     (intmax_t)json_integer_value(value));
	else if (json_is_string(value))
		n = snprintf(ret, room, " %s '%s',", key,
			     json_string_value(value));
	else if (json_is_array(value) && json_array_size(value) > 1)
		n = snprintf(ret, room, " %zu %s,", json_array_size(value),
			     key);
	return n < 0 ? 0 : min_u64((uint64_t)n, room - 1);
}

static void put_params(const struct ctl_call *call, const char *but, char *ret,
		       size_t room)
{
	const char *key;
	json_t     *value;
	size_t      at = 0;

	ret[0] = '\0';
	json_object_foreach(call->params, key, value)
		if (strcmp(key, but) != 0 || json_is_array(value))
			at += put_param(ret + at, room - at, key, value);
	if (at > 0 && ret[at - 1] == ',')
		ret[at - 1] = '\0';
}

void event_changed(void *arg, const struct ctl_call *call, json_t *result)
{
	const char *key, *subject = subject_of(call, &key);
	char params[EVENT_TEXT_MAX + 1], who[32] = "";

	if (json_is_true(json_object_get(result, "already")) ||
	    json_is_true(json_object_get(result, "dry_run")))
		return;
	put_params(call, key, params, sizeof(params));
	if (call->session != NULL)
		snprintf(who, sizeof(who), "by uid %ld",
			 (long)call->session->uid);
	event_say(arg, ctl_bool(call, "force") ? EVENT_WARNING : EVENT_INFO,
		  call->method->name, subject, 0, 0, "%s%s%s", who,
		  params[0] != '\0' ? ":" : "", params);
}
