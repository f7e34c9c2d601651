/* tests/lib/work_dir.c - see work_dir.h. */
#include <ftw.h>
#include <stdio.h>
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

int work_dir_remove(const char *path)
{
	return nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
