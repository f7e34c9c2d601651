/* tarnd's options: flags, file, defaults, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "server/config.h"
#include "tests/lib/work_dir.h"

/* Read "a b c" as a command line. */
static enum config_result parse(struct config *cfg, const char *line)
{
	char  words[1000];
	char *argv[40] = { "tarnd" };
	int   argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	return config_read(cfg, argc, argv);
}

static void wants(const char *line, enum config_result want)
{
	struct config cfg;

	if (parse(&cfg, line) != want)
		fail_msg("%s", line);
	config_free(&cfg);
}

static void test_flags(void **state)
{
	struct config cfg;

	(void)state;
	unsetenv("TARN_CONTROL");
	unsetenv("TARN_RUN_DIR");
	assert_int_equal(parse(&cfg, "--listen unix:/x --listen [::1]:1 "
				     "--disks a,b c --pool p --disks=d "
				     "--node-memory 1.5G"),
			 CONFIG_RUN);
	assert_int_equal(cfg.listen.n, 2);
	assert_int_equal(cfg.disks.n, 4);
	assert_string_equal(cfg.disks.items[0], "a");
	assert_string_equal(cfg.disks.items[3], "d");
	assert_string_equal(cfg.pool, "p");
	assert_string_equal(cfg.control, CONFIG_CONTROL_DFLT);
	assert_string_equal(cfg.run_dir, CONFIG_RUN_DIR_DFLT);
	assert_int_equal(cfg.node_memory_bytes, 3ull << 29);
	assert_int_equal(cfg.buffers_bytes, 256 << 20);
	assert_int_equal(cfg.open_wait_s, 5);
	config_free(&cfg);

	setenv("TARN_CONTROL", "/c", 1);
	setenv("TARN_RUN_DIR", "/r", 1);
	assert_int_equal(parse(&cfg, "--listen unix:/x"), CONFIG_RUN);
	assert_string_equal(cfg.control, "/c");
	assert_string_equal(cfg.run_dir, "/r");
	config_free(&cfg);
	assert_int_equal(parse(&cfg, "--listen unix:/x --control /d"),
			 CONFIG_RUN);
	assert_string_equal(cfg.control, "/d");
	config_free(&cfg);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"--disks a",
		"--listen nonsense",
		"--listen 127.0.0.1",
		"--listen 127.0.0.1:0",
		"--listen 127.0.0.1:65536",
		"--listen 127.0.0.1:http",
		"--listen unix:",
		/* Not without --insecure. */
		"--listen 0.0.0.0:1",
		"--listen :1",
		"--listen [::]:1",
		"--listen 192.0.2.1:1",
		"--listen localhost.example:1",
		"--listen unix:/x --nonsense",
		"--listen unix:/x word",
		"--listen unix:/x --pool p word",
		"--listen unix:/x --buffers 1M",
		"--listen unix:/x --buffers 1Q",
		"--listen unix:/x --buffers -1",
		"--listen unix:/x --open-wait x",
		"--listen unix:/x --open-wait 99999999999999999999",
		"--listen unix:/x --disk-timeout 0",
		"--listen unix:/x --disks ,",
		"--listen unix:/x --pool",
		"--listen unix:/x --config /nonexistent",
		"--listen unix:/x -- a",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		wants(bad[i], CONFIG_USAGE);
	wants("--listen 0.0.0.0:1 --insecure", CONFIG_RUN);
	wants("--listen 127.9.9.9:1", CONFIG_RUN);
	wants("--listen localhost:1", CONFIG_RUN);
	wants("--help", CONFIG_DONE);
	wants("--version --nonsense", CONFIG_DONE);
}

static void test_many(void **state)
{
	struct config cfg = { 0 };
	char          err[512];

	(void)state;
	for (unsigned i = 0; i < CONFIG_PLACES_MAX; i++)
		assert_null(config_set(&cfg, "disks", "a", err));
	assert_non_null(config_set(&cfg, "disks", "a", err));
	for (unsigned i = 0; i < CONFIG_LISTEN_MAX; i++)
		assert_null(config_set(&cfg, "listen", "unix:/a", err));
	assert_non_null(config_set(&cfg, "listen", "unix:/a", err));
	config_free(&cfg);
}

/* The exit of reading a file with this text, and flags after it. */
static enum config_result with_file(struct config *cfg, const char *text,
				    const char *flags)
{
	char  dir[80], path[100], line[300];
	FILE *f;
	enum config_result r;

	assert_int_equal(work_dir_make(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/conf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	snprintf(line, sizeof(line), "--config %s %s", path, flags);
	r = parse(cfg, line);
	assert_int_equal(work_dir_remove(dir), 0);
	return r;
}

static void test_file(void **state)
{
	static const char *const bad[] = {
		"listen = unix:/x\n",
		"[other]\nlisten = unix:/x\n",
		"[tarnd]\nlisten = unix:/x\nnonsense = 1\n",
		"[tarnd]\nlisten = unix:/x\nno equals sign\n",
		"[tarnd]\nlisten = unix:/x\ninsecure = maybe\n",
		"[tarnd]\nlisten = unix:/x\npool =\n",
		"[tarnd\nlisten = unix:/x\n",
		"\xff\xfe\n",
	};
	struct config cfg;

	(void)state;
	assert_int_equal(with_file(&cfg,
				   "; a comment\n[tarnd]\n"
				   "listen = unix:/x, 127.0.0.1:7\n"
				   "disks = a\n    b\n    c\n"
				   "pool = p\ncache = 0\ninsecure = yes\n",
				   ""),
			 CONFIG_RUN);
	assert_int_equal(cfg.listen.n, 2);
	assert_int_equal(cfg.disks.n, 3);
	assert_string_equal(cfg.pool, "p");
	assert_int_equal(cfg.cache_bytes, 0);
	assert_true(cfg.insecure);
	config_free(&cfg);
	/* Flags win; a list given by flags replaces the file's. */
	assert_int_equal(with_file(&cfg,
				   "[tarnd]\nlisten = unix:/x\n"
				   "disks = a b\npool = p\n",
				   "--pool q --disks c --disks d"),
			 CONFIG_RUN);
	assert_int_equal(cfg.listen.n, 1);
	assert_int_equal(cfg.disks.n, 2);
	assert_string_equal(cfg.disks.items[0], "c");
	assert_string_equal(cfg.pool, "q");
	config_free(&cfg);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (with_file(&cfg, bad[i], "") != CONFIG_USAGE)
			fail_msg("%s", bad[i]);
		config_free(&cfg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_file),
	};

	/* --help and complaints would only be in the way. */
	if (freopen("/dev/null", "w", stdout) == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
