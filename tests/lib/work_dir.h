/* tests/lib/work_dir.h - the directory that a test works in. */
#ifndef TARN_TESTS_LIB_WORK_DIR_H
#define TARN_TESTS_LIB_WORK_DIR_H

/* Remove it with all that is in it; 0, or -1 when something stays. */
int work_dir_remove(const char *path);

#endif
