/* tests/lib/work_dir.h - the directory that a test works in. */
#ifndef TARN_TESTS_LIB_WORK_DIR_H
#define TARN_TESTS_LIB_WORK_DIR_H

#include <stddef.h>

/* Make one in $TMPDIR, or in /tmp when that is not set or would make paths of
 * sockets too long; 0, or -1 and errno. */
int work_dir_make(char *ret_path, size_t bytes);
/* Remove it with all that is in it; 0, or -1 when something stays. */
int work_dir_remove(const char *path);

#endif
