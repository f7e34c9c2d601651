/* tools/tarn/output.c - results and errors, as text or JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/tarn/cli.h"

/* --- JSON objects -------------------------------------------------------- */

const char *js_string(json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "";
}

json_int_t js_int(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool js_bool(json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* --- text ---------------------------------------------------------------- */

/* Bytes of the printable character at p, 0 if it is none: control characters
 * (C1 ones too) and bytes that are no UTF-8. */
static size_t printable_len(const unsigned char *p)
{
	size_t len;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : len;
}

void text_escape(const char *text, char *ret, size_t ret_bytes)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0;

	while (*p != '\0' && n + 5 < ret_bytes) {
		size_t len = printable_len(p);

		if (len == 0) {
			n += (size_t)snprintf(ret + n, 5, "\\x%02x", *p++);
			continue;
		}
		memcpy(ret + n, p, len);
		n += len;
		p += len;
	}
	ret[n] = '\0';
}

const char *out_size(const struct cli *cli, json_t *object, const char *key,
		     char *ret_text)
{
	uint64_t bytes = (uint64_t)js_int(object, key);

	if (cli->exact)
		snprintf(ret_text, SIZE_TEXT_BYTES, "%ju", (uintmax_t)bytes);
	else
		size_text(bytes, ret_text);
	return ret_text;
}

/* --- errors -------------------------------------------------------------- */

static void report_error(const struct cli *cli, json_t *error)
{
	char line[8192];

	if (cli->caught != NULL) {
		snprintf(cli->caught->code, sizeof(cli->caught->code), "%s",
			 js_string(error, "errno"));
		snprintf(cli->caught->text, sizeof(cli->caught->text), "%s",
			 js_string(error, "message"));
		return;
	}
	if (cli->json) {
		json_t *o = json_pack("{s:O}", "error", error);

		FILE   *out = cli->stdout_taken ? stderr : stdout;

		json_dumpf(o, out, JSON_INDENT(2));
		putc('\n', out);
		json_decref(o);
		return;
	}
	text_escape(js_string(error, "message"), line, sizeof(line));
	fprintf(stderr, "tarn: %s\n", line);
}

void out_error(const struct cli *cli, const char *err, const char *fmt, ...)
{
	char    line[4096], clean[8192];
	json_t *error;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_escape(line, clean, sizeof(clean));
	error = json_pack("{s:s, s:s}", "message", clean, "errno",
			  err != NULL ? err : "EIO");
	report_error(cli, error);
	json_decref(error);
}

void out_rpc_error(const struct cli *cli, json_t *error)
{
	json_t *data = json_object_get(error, "data");
	json_t *flat = json_pack("{s:s, s:O}", "message",
				 js_string(error, "message"), "code",
				 json_object_get(error, "code"));

	if (flat != NULL && json_is_object(data))
		json_object_update(flat, data);
	report_error(cli, flat);
	json_decref(flat);
}

enum cli_exit out_json(json_t *result)
{
	json_dumpf(result, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(result);
	return CLI_OK;
}

void out_warnings(json_t *result)
{
	json_t *warnings = json_object_get(result, "warnings");
	char    line[4096];

	for (size_t i = 0; i < json_array_size(warnings); i++) {
		const char *s = json_string_value(json_array_get(warnings, i));

		text_escape(s != NULL ? s : "", line, sizeof(line));
		fprintf(stderr, "tarn: warning: %s\n", line);
	}
}
