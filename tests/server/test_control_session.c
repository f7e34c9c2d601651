/* The control protocol without a socket: what is no request gets the right
 * error and does no harm to what follows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>

#include "base/prng.h"
#include "server/control.h"

struct world {
	struct ctl_core    core;
	struct ctl_session s;
	struct list        held; /* ctl_call.parked: calls of test.hold */
	unsigned           wakes;
};

static void run_echo(struct ctl_call *call)
{
	ctl_reply(call, json_pack("{s:O*, s:b, s:I}", "text",
				  json_object_get(call->params, "text"), "flag",
				  ctl_bool(call, "flag"), "n",
				  (json_int_t)ctl_uint(call, "n", 7)));
}

static void run_fail(struct ctl_call *call)
{
	ctl_fail(call, -EBUSY, "pool tank", "pool '%s' is busy: wait", "tank");
}

static void run_hold(struct ctl_call *call)
{
	struct world *w = ctl_arg(call);

	list_push(&w->held, &call->parked);
}

static void run_big(struct ctl_call *call)
{
	char *text = malloc(200000);

	memset(text, 'x', 199999);
	text[199999] = '\0';
	ctl_reply(call, json_pack("{s:s}", "text", text));
	free(text);
}

static const struct ctl_param echo_params[] = {
	{ "text", CTL_STRING, false },    { "flag", CTL_BOOL, false },
	{ "n", CTL_UINT, false },         { "list", CTL_STRINGS, false },
	{ NULL, 0, false },
};
static const struct ctl_param need_params[] = {
	{ "text", CTL_STRING, true },
	{ NULL, 0, false },
};
static const struct ctl_method methods[] = {
	{ "test.echo", run_echo, echo_params, false, "" },
	{ "test.need", run_echo, need_params, true, "" },
	{ "test.fail", run_fail, NULL, false, "" },
	{ "test.hold", run_hold, NULL, false, "" },
	{ "test.big", run_big, NULL, false, "" },
};

static void wake(struct ctl_session *s)
{
	container_of(s, struct world, s)->wakes++;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->core.methods = methods;
	w->core.nmethods = ARRAY_LEN(methods);
	w->core.arg = w;
	list_init(&w->held);
	assert_int_equal(ctl_session_init(&w->s, &w->core, wake), 0);
	*state = w;
	return 0;
}

static void release_all(struct world *w)
{
	struct list *l;

	while ((l = list_pop(&w->held)) != NULL)
		ctl_reply(list_entry(l, struct ctl_call, parked),
			  json_object());
}

static int teardown(void **state)
{
	struct world *w = *state;

	ctl_session_fini(&w->s);
	release_all(w);
	assert_int_equal(w->core.ncalls, 0);
	free(w);
	return 0;
}

/* Feed bytes as the owner of a session does; returns how many were taken. */
static size_t feed(struct world *w, const char *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		char  *p;
		size_t n;

		ctl_session_run(&w->s);
		n = ctl_session_space(&w->s, &p);
		if (n == 0)
			break;
		n = n < len - done ? n : len - done;
		memcpy(p, buf + done, n);
		ctl_session_received(&w->s, n);
		done += n;
	}
	ctl_session_run(&w->s);
	return done;
}

/* The one reply to a line; NULL: there is none. */
static json_t *ask(struct world *w, const char *line)
{
	char   *out;
	size_t  len;
	json_t *reply;

	feed(w, line, strlen(line));
	feed(w, "\n", 1);
	len = ctl_session_take(&w->s, &out);
	if (len == 0)
		return NULL;
	assert_ptr_equal(memchr(out, '\n', len), out + len - 1);
	reply = json_loadb(out, len, 0, NULL);
	assert_non_null(reply);
	assert_string_equal(
		json_string_value(json_object_get(reply, "jsonrpc")), "2.0");
	free(out);
	return reply;
}

static void wants_error(struct world *w, const char *line, int code)
{
	json_t *reply = ask(w, line), *error;

	assert_non_null(reply);
	error = json_object_get(reply, "error");
	assert_non_null(error);
	assert_int_equal(json_integer_value(json_object_get(error, "code")),
			 code);
	assert_true(json_string_length(json_object_get(error, "message")) > 0);
	json_decref(reply);
}

static void wants_result(struct world *w, const char *line)
{
	json_t *reply = ask(w, line);

	assert_non_null(reply);
	assert_non_null(json_object_get(reply, "result"));
	json_decref(reply);
}

#define ECHO "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\"}"
#define BATCH "[" ECHO "]"
#define WITH(params)                                                  \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.echo\",\"params\":" \
	params "}"

static void test_good(void **state)
{
	struct world *w = *state;
	json_t       *reply, *r;

	wants_result(w, ECHO);
	wants_result(w, "  " ECHO " \r");
	reply = ask(w, WITH("{\"text\":\"h\\u00e9\",\"flag\":true,\"n\":5}"));
	r = json_object_get(reply, "result");
	assert_string_equal(json_string_value(json_object_get(r, "text")),
			    "h\xc3\xa9");
	assert_true(json_is_true(json_object_get(r, "flag")));
	assert_int_equal(json_integer_value(json_object_get(r, "n")), 5);
	json_decref(reply);
	assert_null(ask(w, "")); /* a blank line is nothing */
	assert_null(ask(w, " \t\r"));
}

static void test_ids(void **state)
{
	struct world *w = *state;
	json_t       *r;

	r = ask(w, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":"
		   "\"test.echo\"}");
	assert_string_equal(json_string_value(json_object_get(r, "id")), "x");
	json_decref(r);
	r = ask(w, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":"
		   "\"test.echo\"}");
	assert_true(json_is_null(json_object_get(r, "id")));
	json_decref(r);
	/* A notification has no answer. */
	assert_null(ask(w, "{\"jsonrpc\":\"2.0\",\"method\":\"test.echo\"}"));
	assert_null(ask(w, "{\"jsonrpc\":\"2.0\",\"method\":\"nonsense\"}"));
	wants_error(w, "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":"
		       "\"test.echo\"}", CTL_INVALID_REQUEST);
	wants_error(w, "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":"
		       "\"test.echo\"}", CTL_INVALID_REQUEST);
}

static void test_no_json(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {
		"x", "{", "}", "[", "\"", "{\"a\":}", "{\"a\":1,\"a\":2}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"a\"}",
		"\xff\xfe", "{\"\xc3\":1}", "{\"a\":NaN}", "NaN", "Infinity",
		"{\"a\":1e999}", "{\"a\":9223372036854775808}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\\ud800\"}", "{} {}",
		"{'a':1}", "{\"a\":1,}", "// {}", "\x01",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		wants_error(w, bad[i], CTL_PARSE_ERROR);
		wants_result(w, ECHO);
	}
}

static void test_no_request(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {
		"1", "\"x\"", "null", "true", "{}", "[]",
		"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"test.echo\"}",
		"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"test.echo\"}",
		"{\"id\":1,\"method\":\"test.echo\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		wants_error(w, bad[i], CTL_INVALID_REQUEST);
	wants_error(w, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
		       "\"test.echo\",\"extra\":1}", CTL_INVALID_REQUEST);
	wants_error(w, BATCH, CTL_INVALID_REQUEST);
	wants_error(w, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no\"}",
		    CTL_NO_METHOD);
}

static void test_params(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = {
		WITH("[]"), WITH("[1]"), WITH("1"), WITH("null"),
		WITH("{\"other\":1}"), WITH("{\"text\":1}"),
		WITH("{\"text\":null}"), WITH("{\"flag\":0}"),
		WITH("{\"flag\":\"true\"}"), WITH("{\"n\":-1}"),
		WITH("{\"n\":1.5}"), WITH("{\"n\":\"1\"}"),
		WITH("{\"n\":[]}"), WITH("{\"list\":\"a\"}"),
		WITH("{\"list\":[1]}"), WITH("{\"list\":[[\"a\"]]}"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.need\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.need\","
		"\"params\":{}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"test.hold\","
		"\"params\":{\"x\":1}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		wants_error(w, bad[i], CTL_INVALID_PARAMS);
	wants_result(w, WITH("{\"n\":9223372036854775807}"));
	wants_result(w, WITH("{\"list\":[]}"));
	wants_result(w, WITH("{}"));
}

static void test_large_params(void **state)
{
	struct world *w = *state;
	char          text[CTL_STRING_MAX + 2], list[4 * CTL_ARRAY_MAX + 8];
	char         *line = malloc(CTL_LINE_MAX);
	size_t        n = 0;

	memset(text, 'a', sizeof(text));
	text[CTL_STRING_MAX] = '\0';
	snprintf(line, CTL_LINE_MAX, WITH("{\"text\":\"%s\"}"), text);
	wants_result(w, line);
	text[CTL_STRING_MAX] = 'a';
	text[CTL_STRING_MAX + 1] = '\0';
	snprintf(line, CTL_LINE_MAX, WITH("{\"text\":\"%s\"}"), text);
	wants_error(w, line, CTL_INVALID_PARAMS);

	for (unsigned i = 0; i < CTL_ARRAY_MAX; i++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"a\"",
				      i > 0 ? "," : "");
	snprintf(line, CTL_LINE_MAX, WITH("{\"list\":[%s]}"), list);
	wants_result(w, line);
	snprintf(line, CTL_LINE_MAX, WITH("{\"list\":[%s,\"a\"]}"), list);
	wants_error(w, line, CTL_INVALID_PARAMS);
	free(line);
}

static void test_depth(void **state)
{
	struct world *w = *state;
	char          line[60000];

	/* Deep nesting is refused before the parser sees it. */
	memset(line, '[', 59999);
	line[59999] = '\0';
	wants_error(w, line, CTL_PARSE_ERROR);
	memset(line, 0, sizeof(line));
	memset(line, '[', CTL_DEPTH_MAX + 1);
	memset(line + CTL_DEPTH_MAX + 1, ']', CTL_DEPTH_MAX + 1);
	wants_error(w, line, CTL_PARSE_ERROR);
	/* Brackets inside of strings do not count. */
	wants_result(w, WITH("{\"text\":\"[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"}"));
	/* And a closing bracket too many is a parse error like any. */
	wants_error(w, "]]]]]]", CTL_PARSE_ERROR);
}

static void test_long_line(void **state)
{
	struct world *w = *state;
	char         *big = malloc(CTL_LINE_MAX * 2);
	char         *out;
	size_t        len;

	memset(big, 'x', CTL_LINE_MAX * 2);
	/* A line that ends in time is a message, however senseless. */
	big[CTL_LINE_MAX - 1] = '\n';
	assert_int_equal(feed(w, big, CTL_LINE_MAX), CTL_LINE_MAX);
	assert_false(w->s.ended);
	ctl_session_take(&w->s, &out);
	free(out);
	wants_result(w, ECHO);
	/* One that does not ends the session, with an answer. */
	big[CTL_LINE_MAX - 1] = 'x';
	assert_true(feed(w, big, CTL_LINE_MAX * 2) <= CTL_LINE_MAX);
	assert_true(w->s.ended);
	len = ctl_session_take(&w->s, &out);
	assert_true(len > 0);
	free(out);
	free(big);
	assert_int_equal(ctl_session_space(&w->s, &out), 0);
}

static void test_half_lines(void **state)
{
	struct world *w = *state;
	const char   *line = ECHO "\n";
	char         *out;

	for (const char *p = line; *p != '\0'; p++) {
		assert_int_equal(w->s.out_len, 0);
		feed(w, p, 1);
	}
	assert_true(ctl_session_take(&w->s, &out) > 0);
	free(out);
	/* A half line at the end is nothing. */
	feed(w, line, 20);
}

static void test_fail(void **state)
{
	struct world *w = *state;
	json_t *r, *e, *d;

	r = ask(w, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"test.fail\"}");
	e = json_object_get(r, "error");
	d = json_object_get(e, "data");
	assert_int_equal(json_integer_value(json_object_get(e, "code")),
			 CTL_FAILED);
	assert_string_equal(json_string_value(json_object_get(e, "message")),
			    "pool 'tank' is busy: wait");
	assert_string_equal(json_string_value(json_object_get(d, "errno")),
			    "EBUSY");
	assert_string_equal(json_string_value(json_object_get(d, "object")),
			    "pool tank");
	json_decref(r);
}

static size_t count_lines(const char *buf, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += buf[i] == '\n';
	return n;
}

static void test_pipelining(void **state)
{
	struct world *w = *state;
	const char   *line = ECHO "\n";
	size_t        one = strlen(line), sent = 0, got = 0, rounds = 0;
	const size_t  total = 10000;
	char         *all = malloc(one * total), *out;

	for (size_t i = 0; i < total * one; i++)
		all[i] = line[i % one];
	/* Nobody reads replies: input stops being wanted, output stays
	 * bounded. */
	while (got < total && rounds++ < 1000) {
		size_t len;

		sent += feed(w, all + sent, one * total - sent);
		assert_true(w->s.out_len < CTL_OUT_HIGH + 1000);
		len = ctl_session_take(&w->s, &out);
		got += count_lines(out, len);
		free(out);
	}
	assert_int_equal(got, total);
	free(all);
}

static void test_calls_bound(void **state)
{
	struct world *w = *state;
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"test.hold\"}\n";
	char         *out;
	size_t        len;

	for (unsigned i = 0; i < CTL_SESSION_CALLS + 5; i++)
		feed(w, line, strlen(line));
	assert_int_equal(w->s.ncalls, CTL_SESSION_CALLS);
	assert_int_equal(ctl_session_space(&w->s, &out), 0);
	release_all(w);
	assert_int_equal(w->wakes, CTL_SESSION_CALLS);
	assert_int_equal(w->s.ncalls, 0);
	len = ctl_session_take(&w->s, &out);
	assert_int_equal(count_lines(out, len), CTL_SESSION_CALLS);
	free(out);
}

static void test_gone(void **state)
{
	struct world *w = *state;
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"test.hold\"}\n";

	feed(w, line, strlen(line));
	feed(w, line, strlen(line));
	/* The client goes, its calls end later: teardown does just that. */
	assert_int_equal(w->core.ncalls, 2);
}

static void test_big_replies(void **state)
{
	struct world *w = *state;
	const char   *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"
			     "\"test.big\"}\n";
	char         *out;

	for (int i = 0; i < 100; i++)
		feed(w, line, strlen(line));
	assert_true(w->s.out_len >= CTL_OUT_HIGH);
	assert_true(w->s.out_len < CTL_OUT_HIGH + 210000);
	assert_int_equal(ctl_session_space(&w->s, &out), 0);
}

static void test_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "h\xc3\xa9 \xf0\x9f\x8f\x94", "h\xc3\xa9 \xf0\x9f\x8f\x94" },
		{ "a\nb\x7f\x1b", "a\\x0ab\\x7f\\x1b" },
		{ "\xc2\x9b", "\\xc2\\x9b" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xc0\xaf", "\\xc0\\xaf" },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "\xe2\x82", "\\xe2\\x82" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *s = ctl_text(cases[i].in);

		assert_string_equal(json_string_value(s), cases[i].out);
		json_decref(s);
	}
}

/* Good requests with a few bytes changed: whatever comes, the next good one
 * is answered. */
static void test_damaged(void **state)
{
	struct world *w = *state;
	struct prng   p;

	prng_init(&p, 42);
	for (int i = 0; i < 20000 && !w->s.ended; i++) {
		char   line[] = WITH("{\"text\":\"a\",\"list\":[\"b\"]}") "\n";
		char  *out;
		size_t len;

		for (uint64_t n = prng_below(&p, 4); n > 0; n--)
			line[prng_below(&p, sizeof(line) - 2)] =
				(char)prng_u64(&p);
		feed(w, line, sizeof(line) - 1);
		len = ctl_session_take(&w->s, &out);
		assert_true(len < 20000);
		free(out);
	}
	release_all(w);
	wants_result(w, ECHO);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),        T(test_ids),      T(test_no_json),
		T(test_no_request),  T(test_params),   T(test_large_params),
		T(test_depth),       T(test_long_line), T(test_half_lines),
		T(test_fail),        T(test_pipelining), T(test_calls_bound),
		T(test_gone),        T(test_big_replies), T(test_text),
		T(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
