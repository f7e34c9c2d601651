/* tests/sim/sim_late.h - the hold-and-release queue of sim_disk.c. */
#ifndef TARN_TESTS_SIM_SIM_LATE_H
#define TARN_TESTS_SIM_SIM_LATE_H

#include "tests/sim/sim_media.h"

/* data NULL: a trim.  False when too many are under way: it is lost then. */
bool sim_late_add(struct sim_media *m, uint32_t block, uint32_t nblocks,
		  const uint8_t *data, uint64_t due_ns);

/* The server wants to write (data NULL: trim) there: fails when something
 * older and different could still land on top of it. */
void sim_late_check(struct sim_media *m, uint32_t block, uint32_t nblocks,
		    const uint8_t *data);

#endif
