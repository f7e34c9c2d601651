/* tests/unit/test_io_place.c - places as people write them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/prng.h"
#include "base/util.h"
#include "io/place_parse.h"

struct good {
	const char     *place;
	enum place_kind kind;
	bool		tls;
	const char     *path;
	const char     *host;
	const char     *port;
	const char     *user;
	const char     *export_name;
	const char     *again; /* as place_export_uri() writes it */
};

static const struct good goods[] = {
	{ "nbd://host", PLACE_NBD, false, "", "host", "10809", "", "",
	  "nbd://host/" },
	{ "nbd://Host:1/", PLACE_NBD, false, "", "Host", "1", "", "",
	  "nbd://Host:1/" },
	{ "nbd://h:65535/a/b", PLACE_NBD, false, "", "h", "65535", "", "a/b",
	  "nbd://h:65535/a/b" },
	{ "nbd://[::1]/x", PLACE_NBD, false, "", "::1", "10809", "", "x",
	  "nbd://[::1]/x" },
	{ "nbd://[fe80::1%eth0]:2/x", PLACE_NBD, false, "", "fe80::1%eth0",
	  "2", "", "x", "nbd://[fe80::1%eth0]:2/x" },
	{ "nbd://h/%C3%BC%20%2520", PLACE_NBD, false, "", "h", "10809", "",
	  "\xc3\xbc %20", "nbd://h/%C3%BC%20%2520" },
	{ "nbds://alice@h/x", PLACE_NBD, true, "", "h", "10809", "alice", "x",
	  "nbds://alice@h/x" },
	{ "nbd+unix:///?socket=/run/s", PLACE_NBD, false, "/run/s", "", "",
	  "", "", "nbd+unix:///?socket=/run/s" },
	{ "nbds+unix:///e%3F?socket=/a%20b", PLACE_NBD, true, "/a b", "", "",
	  "", "e?", "nbds+unix:///e%3F?socket=/a%20b" },
	{ "nbds+unix://al%40ice@/?socket=/s", PLACE_NBD, true, "/s", "", "",
	  "al@ice", "", "nbds+unix://al%40ice@/?socket=/s" },
	{ "/dev/sdb", PLACE_PATH, false, "/dev/sdb", "", "", "", "", NULL },
	{ "./file", PLACE_PATH, false, "./file", "", "", "", "", NULL },
	{ "a/b", PLACE_PATH, false, "a/b", "", "", "", "", NULL },
	{ "host", PLACE_SERVER, false, "", "host", "10809", "", "",
	  "nbd://host/" },
	{ "host:7", PLACE_SERVER, false, "", "host", "7", "", "",
	  "nbd://host:7/" },
	{ "::1", PLACE_SERVER, false, "", "::1", "10809", "", "",
	  "nbd://[::1]/" },
	{ "[::1]:7", PLACE_SERVER, false, "", "::1", "7", "", "",
	  "nbd://[::1]:7/" },
};

static const char *const bads[] = {
	"", "http://h/", "ssh://h", "nbd+ssh://h/", "nbd+vsock://1/",
	"nbd+ssh://-oProxyCommand=x/", "file:///x", "nbd://", "nbd:///x",
	"nbd://-h/", "nbd://h:0/", "nbd://h:65536/", "nbd://h:/", "nbd://h:x/",
	"nbd://h:1x/", "nbd://h:999999999999/", "nbd://u@h/", "nbds://@h/",
	"nbds://u@/", "nbds://%@h/", "nbd://[::1/", "nbd://[]/",
	"nbd://[::1]x/", "nbd://[::1]:/", "nbd://h h/", "nbd://h/%",
	"nbd://h/%0", "nbd://h:010809/", "nbd://h/%0g", "nbd://h/%00",
	"nbd://h/x?socket=/y",
	"nbd://h/x?y", "nbd://h/x#y", "nbd+unix:///", "nbd+unix:///x",
	"nbd+unix:///?socket=", "nbd+unix:///?socket=/a&b=c",
	"nbd+unix:///?b=c&socket=/a", "nbd+unix://h/?socket=/a",
	"nbd+unix://u@/?socket=/a", "nbds+unix://u@h/?socket=/a",
	"nbd+unix:///?socket=%00", "nbd://h/\n", "a\tb", "host:", ":7",
	"host:70000", "nbd://h$(x)/", "-x",
};

static void check_good(const struct good *g)
{
	struct place_addr a;
	char		  err[PLACE_ERR_BYTES];
	char		  uri[PLACE_TEXT_BYTES];

	assert_int_equal(place_parse(g->place, &a, err), 0);
	assert_int_equal(a.kind, g->kind);
	assert_int_equal(a.tls, g->tls);
	assert_string_equal(a.path, g->path);
	assert_string_equal(a.host, g->host);
	assert_string_equal(a.port, g->port);
	assert_string_equal(a.user, g->user);
	assert_string_equal(a.export, g->export_name);
	if (g->again == NULL)
		return;
	assert_int_equal(place_export_uri(&a, a.export, uri), 0);
	assert_string_equal(uri, g->again);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goods); i++)
		check_good(&goods[i]);
}

static void test_bad(void **state)
{
	struct place_addr a;
	char		  err[PLACE_ERR_BYTES];
	char		  text[2 * PLACE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		err[0] = '\0';
		if (place_parse(bads[i], &a, err) != -EINVAL)
			fail_msg("taken: %s", bads[i]);
		assert_true(strlen(err) > 10);
	}
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(place_parse(text, &a, err), -EINVAL);
	memcpy(text, "nbd://", 6);
	text[300] = '\0'; /* a host name that is too long */
	assert_int_equal(place_parse(text, &a, err), -EINVAL);
	memcpy(text, "nbd+unix:///?socket=/", 21);
	text[21 + 107] = '\0'; /* one byte too many for a socket */
	assert_int_equal(place_parse(text, &a, err), -EINVAL);
	text[21 + 106] = '\0';
	assert_int_equal(place_parse(text, &a, err), 0);
}

static void test_too_long_for_a_uri(void **state)
{
	struct place_addr a;
	char		  err[PLACE_ERR_BYTES];
	char		  uri[PLACE_TEXT_BYTES];
	char		  name[256];

	(void)state;
	assert_int_equal(place_parse("h", &a, err), 0);
	memset(name, '?', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(place_export_uri(&a, name, uri), -ENAMETOOLONG);
	name[100] = '\0';
	assert_int_equal(place_export_uri(&a, name, uri), 0);
}

static void test_host(void **state)
{
	struct place_addr a;
	char		  err[PLACE_ERR_BYTES];
	char		  host[8];

	(void)state;
	assert_int_equal(place_parse("nbd://HoST:1/x", &a, err), 0);
	place_host(&a, host, sizeof(host));
	assert_string_equal(host, "host");
	assert_int_equal(place_parse("/dev/x", &a, err), 0);
	place_host(&a, host, sizeof(host));
	assert_string_equal(host, "local");
	assert_int_equal(place_parse("nbd+unix:///?socket=/s", &a, err), 0);
	place_host(&a, host, sizeof(host));
	assert_string_equal(host, "local");
	assert_int_equal(place_parse("0123456789", &a, err), 0);
	place_host(&a, host, sizeof(host));
	assert_string_equal(host, "0123456");
}

/* What is taken can be written again and means the same. */
static void test_random(void **state)
{
	static const char alphabet[] = "nbds+unix:/?socket=%20[]@#ab.1:&\x7f";
	struct place_addr a;
	struct place_addr b;
	char		  err[PLACE_ERR_BYTES];
	char		  text[64];
	char		  uri[PLACE_TEXT_BYTES];
	struct prng	  prng;

	(void)state;
	prng_init(&prng, 1);
	for (int i = 0; i < 200000; i++) {
		static const char *const starts[] = { "", "nbd://",
						      "nbds://",
						      "nbd+unix:///" };
		size_t len = prng_below(&prng, 24);

		snprintf(text, sizeof(text), "%s",
			 starts[prng_below(&prng, ARRAY_LEN(starts))]);
		for (size_t j = 0; j < len; j++) {
			size_t at = strlen(text);

			text[at] = alphabet[prng_below(&prng,
						       sizeof(alphabet) - 1)];
			text[at + 1] = '\0';
		}
		if (place_parse(text, &a, err) < 0 || a.kind == PLACE_PATH)
			continue;
		if (place_export_uri(&a, a.export, uri) < 0)
			continue;
		if (place_parse(uri, &b, err) < 0)
			fail_msg("%s became %s: %s", text, uri, err);
		a.kind = PLACE_NBD;
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_long_for_a_uri),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
