/* The programs tarn-check and tarn-dump on files: arguments, exit codes, what
 * they print. */
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/image_builder.h"
#include "tests/lib/work_dir.h"

static char bin_dir[PATH_MAX]; /* where the programs are */
static char tmp_dir[80];
static char out[65536];        /* what the last one printed */

/* In the child. */
static void become(const char *args, int fd)
{
	char  words[1024], path[2 * PATH_MAX];
	char *argv[16], *save = NULL;
	unsigned n = 0;

	snprintf(words, sizeof(words), "%s", args);
	for (char *w = strtok_r(words, " ", &save); w != NULL && n < 15;
	     w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	snprintf(path, sizeof(path), "%s/%s", bin_dir, argv[0]);
	if (chdir(tmp_dir) == 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2)
		execv(path, argv);
	_exit(127);
}

/* Run a program with arguments in the directory of images; its exit code. */
static int run(const char *args)
{
	size_t  n = 0;
	ssize_t r;
	int     fds[2], status;
	pid_t   pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		become(args, fds[1]);
	close(fds[1]);
	while ((r = read(fds[0], out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)r;
	out[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect(const char *args, int code, const char *text)
{
	int r = run(args);

	if (r != code || strstr(out, text) == NULL)
		print_error("%s: %d, wanted %d \"%s\":\n%s\n", args, r, code,
			    text, out);
	assert_int_equal(r, code);
	assert_non_null(strstr(out, text));
}

static void images_write(struct image *im)
{
	char path[PATH_MAX];

	for (uint32_t i = 0; i < im->ndisks; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", tmp_dir,
			 im->disks[i].name);
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(im->disks[i].mem, 4096,
					IMG_DISK_BLOCKS, f),
				 IMG_DISK_BLOCKS);
		fclose(f);
	}
}

static void test_check(void **state)
{
	struct image *im = image_build(2, 1, NULL, NULL);

	(void)state;
	images_write(im);
	expect("tarn-check d0 d1 d2", 0, "0 errors, 0 losses, 0 damages");
	expect("tarn-check d2 d0", 0, "1 not given");
	expect("tarn-check --quick d0 d1 d2", 0, "checked 0 rows");
	expect("tarn-check -j d0 d1 d2", 0, "\"clean\": true");
	expect("tarn-check -v d0 d1 d2", 0, "is held");
	expect("tarn-check d1", 1, "lost: ");
	expect("tarn-check", 2, "name at least one disk");
	expect("tarn-check --nonsense", 2, "Usage");
	expect("tarn-check --help", 0, "Usage");
	expect("tarn-check nosuch", 1, "nosuch: cannot be opened");
	expect("tarn-check /dev/null", 1, "neither a file nor a block");
	expect("tarn-check nbd+ssh://-oProxyCommand=x/", 1, "NBD URI");
	expect("tarn-check nbd+unix:///?socket=nosuch.sock", 1,
	       "cannot be reached");
	expect("tarn-check d0 d0 d1 d2", 1, "has the same identity");
	im->disks[0].mem[(256 + 512 + 5) * 4096 + 1] ^= 1;
	images_write(im);
	expect("tarn-check d0 d1 d2", 1, "damage: segment 1 generation 3");
	expect("tarn-check -j d0 d1 d2", 1, "\"severity\": \"damage\"");
	image_free(im);
}

static void test_nothing(void **state)
{
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/blank", tmp_dir);
	fclose(fopen(path, "w"));
	expect("tarn-check blank", 1, "none of these disks carries a label");
	expect("tarn-dump blank", 0, "too small for labels");
	expect("tarn-dump blank root", 1, "no commit can be read");
	assert_int_equal(truncate(path, 10 << 20), 0);
	expect("tarn-check blank", 1, "none of these disks carries a label");
	expect("tarn-check -j blank", 1, "\"error\": \"none of");
	expect("tarn-dump blank", 0, "");
}

static void test_dump(void **state)
{
	struct image *im = image_build(1, 1, NULL, NULL);
	char cmd[64];

	(void)state;
	images_write(im);
	expect("tarn-dump d0 d1", 0, "claim 5");
	expect("tarn-dump d0 d1 leases", 0, "beat 99, held");
	expect("tarn-dump d0 d1 root", 0, "root of commit 7 at segment 3");
	expect("tarn-dump d0 d1 segments", 0,
	       "segment 5: quarantined, generation 7");
	expect("tarn-dump d0 d1 segment 1", 0, "block 0: row 1, header 1");
	expect("tarn-dump d0 d1 rows 2", 0, "UNMAP   id 1 block 300");
	expect("tarn-dump d0 d1 rows 2", 0, "MOVE    id 1 block 550 n 1 from");
	expect("tarn-dump d0 d1 volumes", 0, "volume 2 \"beta\"");
	expect("tarn-dump d0 d1 node 4", 0, "child 1: node 2");
	/* The example of docs/disk-format.md. */
	expect("tarn-dump d0 d1 root", 0, "(0x61d)");
	expect("tarn-dump d0 d1 node 1", 0, "segment 3 unit 0 block 1 (0x601)");
	expect("tarn-dump d0 d1 node 1", 0,
	       "block 250: segment 1 unit 0 block 22 (0x216)");
	snprintf(cmd, sizeof(cmd), "tarn-dump d0 d1 place 0x%llx",
		 (unsigned long long)im->vols[0].map[250].place);
	expect(cmd, 0, "WRITE   id 1 block 250 n 12");
	expect("tarn-dump d0 d1 place 0xffffffffffffffff", 1, "is free or");
	expect("tarn-dump d0 d1 node 99", 1, "node 99 is free");
	expect("tarn-dump d0 d1 node 9999999", 1, "is free");
	expect("tarn-dump d0 d1 segment 4", 1, "is free or does not exist");
	expect("tarn-dump d0 d1 segment", 2, "needs a number");
	expect("tarn-dump d0 d1 segment x", 2, "is no number");
	expect("tarn-dump", 2, "name at least one disk");
	expect("tarn-dump -x", 2, "Usage");
	expect("tarn-dump --help", 0, "Usage");
	image_free(im);
}

static void test_dump_forks(void **state)
{
	struct image *im = image_build_forks(1, 1, false, NULL, NULL);

	(void)state;
	images_write(im);
	expect("tarn-check d0 d1", 0,
	       "4 volumes, 3 snapshots, 3 checkpoints, ");
	expect("tarn-check -j d0 d1", 0, "\"checkpoints\": 3");
	expect("tarn-dump d0 d1 volumes", 0, "slot 1: snapshot 2 \"\" ");
	expect("tarn-dump d0 d1 volumes", 0, ", fork, ");
	expect("tarn-dump d0 d1 volumes", 0, ", deleting, ");
	expect("tarn-dump d0 d1 volumes", 0,
	       "checkpoint 5 \"late\" of volume 1 ");
	expect("tarn-dump d0 d1 volumes", 0, "mapped 0, lost\n");
	expect("tarn-dump d0 d1 volumes", 0, "snapshot 7 \"wed\" of volume 6 ");
	expect("tarn-dump d0 d1 rows 2", 0,
	       "WRITE   id 6 block 12 n 2 family 1 at ");
	expect("tarn-dump d0 d1 rows 2", 0, "id 262 block 12 n 35 (clone)");
	expect("tarn-dump d0 d1 rows 2", 0, "id 263 block 1 n 30 (rollback)");
	image_free(im);
}

static int setup(void **state)
{
	(void)state;
	return work_dir_make(tmp_dir, sizeof(tmp_dir));
}

static int teardown(void **state)
{
	(void)state;
	return work_dir_remove(tmp_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_dump_forks),
	};
	char self[PATH_MAX];

	(void)argc;
	if (realpath(argv[0], self) == NULL)
		return 1;
	/* BUILD/tests/unit/this */
	snprintf(bin_dir, sizeof(bin_dir), "%s",
		 dirname(dirname(dirname(self))));
	return cmocka_run_group_tests(tests, setup, teardown);
}
