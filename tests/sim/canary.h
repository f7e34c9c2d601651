/* tests/sim/canary.h - which planted bug is in force. */
#ifndef TARN_TESTS_SIM_CANARY_H
#define TARN_TESTS_SIM_CANARY_H

#include <stdbool.h>

/* By name; NULL: none.  "list" prints them and ends the process.  False, with
 * a message, when there is no such bug or the build has none. */
bool canary_choose(const char *name);

#endif
