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

/* Nobody serves the pool.  Whoever opens it must be able to know of every zone
 * that something is on its way to: forget, then say which zones the disks tell
 * of (claim: of what was sent under that one, 0: under any), then fail if there
 * are others. */
void sim_late_forget_known(void);
void sim_late_known(const struct sim_media *m, uint64_t block,
		    uint32_t nblocks, uint64_t claim);
void sim_late_check_known(struct sim *sim);

#endif
