/* Control messages: any bytes, in any pieces, to a session with methods that
 * answer at once, later, or after the client has gone.  The first byte says
 * how the rest is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "server/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct ctl_core    core;
	struct ctl_session s;
	struct list        held;
};

static void run_now(struct ctl_call *call)
{
	const char *name = ctl_string(call, "name");

	if (ctl_bool(call, "fail"))
		ctl_fail(call, -5, name, "no: %s", name != NULL ? name : "");
	else
		ctl_reply(call,
			  json_pack("{s:o, s:I, s:i}", "name",
				    ctl_text(name != NULL ? name : ""), "size",
				    (json_int_t)ctl_uint(call, "size", 1),
				    "n",
				    (int)json_array_size(
					    ctl_strings(call, "list"))));
}

static void run_later(struct ctl_call *call)
{
	struct world *w = ctl_arg(call);

	list_push(&w->held, &call->parked);
}

static const struct ctl_param params[] = {
	{ "name", CTL_STRING, false },  { "fail", CTL_BOOL, false },
	{ "size", CTL_UINT, false },    { "list", CTL_STRINGS, false },
	{ NULL, 0, false },
};
static const struct ctl_method methods[] = {
	{ "now", run_now, params, true, "" },
	{ "later", run_later, params, false, "" },
};

static void wake(struct ctl_session *s)
{
	(void)s;
}

static void release(struct world *w)
{
	struct list *l = list_pop(&w->held);

	if (l != NULL)
		ctl_reply(list_entry(l, struct ctl_call, parked),
			  json_object());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {
		.core = { .methods = methods, .nmethods = 2, .arg = &w },
	};
	size_t piece = size > 0 ? data[0] : 0;
	char  *buf;

	list_init(&w.held);
	if (ctl_session_init(&w.s, &w.core, wake) < 0)
		return 0;
	for (size_t pos = 1; pos < size;) {
		size_t n = ctl_session_space(&w.s, &buf);

		if (n == 0 && w.s.ended)
			break;
		if (n > size - pos)
			n = size - pos;
		if (piece != 0 && n > piece)
			n = piece;
		memcpy(buf, data + pos, n);
		ctl_session_received(&w.s, n);
		pos += n;
		ctl_session_run(&w.s);
		if (n == 0 || (pos & 8) != 0)
			release(&w);
		ctl_session_take(&w.s, &buf);
		free(buf);
	}
	ctl_session_fini(&w.s);
	while (!list_empty(&w.held))
		release(&w);
	if (w.core.ncalls != 0)
		abort();
	return 0;
}
