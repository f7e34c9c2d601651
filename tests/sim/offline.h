/* tests/sim/offline.h - the offline check over the simulated disks, between
 * two lives.
 */
#ifndef TARN_TESTS_SIM_OFFLINE_H
#define TARN_TESTS_SIM_OFFLINE_H

#include "tests/sim/sim.h"

/* Fails the seed on what no crash and no disk fault explains. */
void offline_check(struct sim *sim);
/* The same over all disks, also those that are away, and without the silent
 * damage: what the last commit covers has all the redundancy that it is said
 * to have.  A budget of faults that is full again when the pool is healthy
 * relies on that, and so does everybody who loses a disk.  The labels tell
 * which disks a killed server went on without: with that disk, but without
 * another, the next one would not see what is missing.  And what is on its
 * way to the disks goes where commit or labels warn of it. */
void offline_audit(struct sim *sim);

#endif
