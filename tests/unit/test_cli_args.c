/* The command line: options anywhere, and one sentence for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tools/tarn/args.c"
#include "tools/tarn/place.c"

static const struct cli_command commands[] = {
	{ "status", NULL, "", 0, 0, 0, "", NULL },
	{ "volume", "create", "NAME SIZE", 2, 2, 0, "", NULL },
	{ "volume", "delete", "NAME", 1, 1, CLI_OPT_FORCE, "", NULL },
	{ "pool", "create", "NAME DISK...", 2, 9,
	  CLI_OPT_FORCE | CLI_OPT_REDUNDANCY | CLI_OPT_DOMAIN, "", NULL },
	{ "send", NULL, "", 1, 1, CLI_OPT_COMPRESS | CLI_OPT_FROM, "", NULL },
	{ "pool", "import", "[NAME]", 0, 1, CLI_OPT_DISK, "", NULL },
};

/* Parse "a b c"; "_" stands for an empty word. */
static const char *parse(struct cli *cli, const char *line, char *err)
{
	static char words[1000];
	char       *argv[40] = { "tarn" };
	int         argc = 1;

	memset(cli, 0, sizeof(*cli));
	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = strcmp(w, "_") == 0 ? "" : w;
	return cli_parse(cli, commands, ARRAY_LEN(commands), argc, argv, err);
}

static void test_commands(void **state)
{
	struct cli cli;
	char       err[512];

	(void)state;
	assert_null(parse(&cli, "status", err));
	assert_ptr_equal(cli.command, &commands[0]);
	assert_null(parse(&cli, "volume create v 10G", err));
	assert_ptr_equal(cli.command, &commands[1]);
	assert_int_equal(cli.nargs, 2);
	assert_string_equal(cli.args[0], "v");
	assert_string_equal(cli.args[1], "10G");
	assert_null(parse(&cli, "volume create _ 10G", err));
	assert_string_equal(cli.args[0], "");
}

static void test_options(void **state)
{
	struct cli cli;
	char       err[512];

	(void)state;
	assert_null(parse(&cli, "--json -p -H --control /x status", err));
	assert_true(cli.json && cli.exact && cli.bare);
	assert_string_equal(cli.control, "/x");
	assert_null(parse(&cli, "status --control=/y --timeout=9 -pH", err));
	assert_string_equal(cli.control, "/y");
	assert_int_equal(cli.timeout_s, 9);
	assert_true(cli.exact && cli.bare);
	assert_null(parse(&cli, "pool create p a --redundancy 2+1 b --force "
			  "--domain=disk c", err));
	assert_string_equal(cli.redundancy, "2+1");
	assert_string_equal(cli.domain, "disk");
	assert_int_equal(cli.given & CLI_OPT_FORCE, CLI_OPT_FORCE);
	assert_int_equal(cli.nargs, 4);
	assert_string_equal(cli.args[3], "c");
	assert_null(parse(&cli, "pool import --disk a --disk=b", err));
	assert_int_equal(cli.ndisks, 2);
	assert_string_equal(cli.disks[1], "b");
	/* A value that may be there. */
	assert_null(parse(&cli, "send --compress v@s", err));
	assert_int_equal(cli.given, CLI_OPT_COMPRESS);
	assert_null(cli.compress);
	assert_null(parse(&cli, "send v@s --compress=3 --from v@a", err));
	assert_string_equal(cli.compress, "3");
	assert_string_equal(cli.from, "v@a");
	/* After -- nothing is an option. */
	assert_null(parse(&cli, "volume delete -- --force", err));
	assert_string_equal(cli.args[0], "--force");
	assert_int_equal(cli.given, 0);
	/* Nor is a number. */
	assert_null(parse(&cli, "volume create v -5", err));
	assert_string_equal(cli.args[1], "-5");
	assert_null(parse(&cli, "--help", err));
	assert_true(cli.help);
	assert_null(parse(&cli, "--version", err));
	assert_true(cli.version);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "", "usage" },
		{ "nonsense", "no such command as 'nonsense'" },
		{ "volume", "'tarn help volume' lists" },
		{ "volume nonsense", "no such command as 'volume nonsense'" },
		{ "status x", "status, which takes no arguments" },
		{ "--control _ status", "--control needs a value" },
		{ "volume create v", "usage: tarn volume create NAME SIZE" },
		{ "volume create v 1 2", "usage" },
		{ "status --nonsense", "no option --nonsense" },
		{ "status -x", "no option -x" },
		{ "status --jsonx", "no option --jsonx" },
		{ "status --json=1", "no option --json=1" },
		{ "status --force", "'status' takes no option --force" },
		{ "volume create v 1 --force", "takes no option --force" },
		{ "volume delete v --force=1", "--force takes no value" },
		{ "pool create p a --redundancy", "needs a value" },
		{ "send v@s --from", "needs a value" },
		{ "status --control", "--control needs a value" },
		{ "status --timeout x", "not a number" },
		{ "status --timeout 0", "not a number" },
		{ "status --timeout 12345678901", "not a number" },
	};
	struct cli cli;
	char       err[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *problem = parse(&cli, cases[i].line, err);

		assert_non_null(problem);
		if (strstr(problem, cases[i].says) == NULL)
			fail_msg("'%s': %s", cases[i].line, problem);
	}
}

static void test_too_many(void **state)
{
	char       *argv[CLI_ARGS_MAX + 10];
	struct cli  cli = { 0 };
	char        err[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(argv); i++)
		argv[i] = "x";
	assert_non_null(cli_parse(&cli, commands, ARRAY_LEN(commands),
				  ARRAY_LEN(argv), argv, err));
	memset(&cli, 0, sizeof(cli));
	argv[1] = "pool";
	argv[2] = "import";
	for (size_t i = 3; i < ARRAY_LEN(argv); i++)
		argv[i] = "--disk=x";
	assert_non_null(cli_parse(&cli, commands, ARRAY_LEN(commands),
				  ARRAY_LEN(argv), argv, err));
}

static void test_places(void **state)
{
	static const struct {
		const char *place, *cwd;
		bool        exists;
		const char *want;
	} cases[] = {
		{ "host", "/w", false, "host" },
		{ "host:10809", "/w", false, "host:10809" },
		{ "disk.img", "/w", true, "/w/disk.img" },
		{ "disk.img", "/w", false, "disk.img" },
		{ "./disk.img", "/w", false, "/w/disk.img" },
		{ "../disk.img", "/w", false, "/w/../disk.img" },
		{ "a/b", "/", false, "/a/b" },
		{ "/dev/sdb", "/w", true, "/dev/sdb" },
		{ "nbd://h/x", "/w", false, "nbd://h/x" },
		{ "nbd+unix:///?socket=a", "/w", false,
		  "nbd+unix:///?socket=a" },
		{ "[::1]:7", "/w", false, "[::1]:7" },
		{ "", "/w", false, "" },
	};
	char text[4096], big[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(place_absolute(cases[i].place,
						   cases[i].cwd,
						   cases[i].exists, text),
				    cases[i].want);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_null(place_absolute(big, "/", false, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
