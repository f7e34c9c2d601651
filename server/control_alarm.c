/* server/control_alarm.c - alarm.list and alarm.mute, and alarms in status. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/event.h"

/* A year. */
#define MUTE_MAX_S (365u * 86400u)

static json_t *one_json(const struct alarm *a)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "alarm", a->id,
			 "severity", event_severity_name(a->severity),
			 "object", ctl_text(a->object), "text",
			 ctl_text(a->text), "risk", ctl_text(a->risk),
			 "action", ctl_text(a->action), "muted_until_s",
			 a->muted_until_s == 0 ?
				 json_null() :
				 json_integer((json_int_t)a->muted_until_s));
}

json_t *alarm_json(struct tarnd *t)
{
	struct alarm *alarms = calloc(ALARMS_MAX, sizeof(alarms[0]));
	json_t  *list = json_array();
	unsigned n, more, muted = 0;
	uint8_t  worst = 0;

	if (alarms == NULL || list == NULL) {
		free(alarms);
		json_decref(list);
		return NULL;
	}
	n = alarm_collect(t, alarms, &more);
	for (unsigned i = 0; i < n; i++) {
		json_array_append_new(list, one_json(&alarms[i]));
		if (alarms[i].muted_until_s != 0)
			muted++;
		else if (alarms[i].severity > worst)
			worst = alarms[i].severity;
	}
	free(alarms);
	return json_pack("{s:s, s:o, s:i, s:i}", "severity",
			 event_severity_name(worst), "alarms", list,
			 "alarms_muted", (int)muted, "alarms_more", (int)more);
}

void ctl_alarm_list(struct ctl_call *call)
{
	ctl_reply(call, alarm_json(ctl_arg(call)));
}

/* False: answered. */
static bool mute_ok(struct ctl_call *call, const char *id, const char *object,
		    uint64_t seconds)
{
	if (!alarm_is_known(id))
		ctl_bad_param(call, "alarm", "there is no alarm '%.80s': 'tarn "
			      "alarm list' shows those that there are now", id);
	else if (object != NULL && object[0] == '\0')
		ctl_bad_param(call, "object", "'' is no object: leave it out "
			      "to mute '%s' of all", id);
	else if (seconds > MUTE_MAX_S)
		ctl_bad_param(call, "seconds", "an alarm is muted for a year "
			      "at most");
	else
		return true;
	return false;
}

void ctl_alarm_mute(struct ctl_call *call)
{
	struct tarnd  *t = ctl_arg(call);
	const char *id = ctl_string(call, "alarm");
	const char *object = ctl_string(call, "object");
	uint64_t seconds = ctl_uint(call, "seconds", 0), until_s = 0;
	struct hosted *h = ctl_need_pool(call);
	char     name[EVENT_OBJECT_MAX + 1];
	bool     already;

	if (h == NULL || !mute_ok(call, id, object, seconds))
		return;
	if (seconds > 0)
		until_s = tarnd_now_s() + seconds;
	already = seconds == 0 &&
		  alarm_muted(t, id, object != NULL ? object : "") == 0;
	alarm_mute_name(id, object, name);
	if (!already)
		event_say(t, EVENT_WARNING, "alarm.mute", name, until_s, 0,
			  "by uid %ld: %s", call->session != NULL ?
				(long)call->session->uid : -1l,
			  seconds == 0 ? "no longer muted" : "muted");
	ctl_reply(call, json_pack("{s:s, s:o, s:o, s:b, s:b}", "alarm", id,
				  "object", object != NULL ? ctl_text(object) :
							     json_null(),
				  "muted_until_s",
				  until_s == 0 ?
					  json_null() :
					  json_integer((json_int_t)until_s),
				  "holds", alarm_holds(t, id, object),
				  "already", already));
}
