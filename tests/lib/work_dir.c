/* tests/lib/work_dir.c - see work_dir.h. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/work_dir.h"

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A socket's path has 108 bytes. */
#define TMPDIR_MAX 64u

int work_dir_make(char *ret_path, size_t bytes)
{
	const char *dir = getenv("TMPDIR");

	if (dir == NULL || dir[0] != '/' || strlen(dir) > TMPDIR_MAX)
		dir = "/tmp";
	if ((size_t)snprintf(ret_path, bytes, "%s/t.XXXXXX", dir) >= bytes) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return mkdtemp(ret_path) != NULL ? 0 : -1;
}

int work_dir_remove(const char *path)
{
	return nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
