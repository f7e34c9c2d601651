/* tests/sim/offline.h - the offline check over the simulated disks, between
 * two lives.
 */
#ifndef TARN_TESTS_SIM_OFFLINE_H
#define TARN_TESTS_SIM_OFFLINE_H

#include "tests/sim/sim.h"

/* Fails the seed on what no crash and no disk fault explains. */
void offline_check(struct sim *sim);

#endif
