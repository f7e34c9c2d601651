/* tests/sim/fault.h - which disks are broken, how, and until when.
 *
 * Budget.  Faults that can cost data strike the disks of at most m domains at
 * a time, the weak ones.  Which ones are weak changes only when nothing is
 * left of what was done to them: the pool says that it is healthy, with every
 * segment whole, and the silent damage has been mended as a scrub would have.
 * So what the promises cover is never exceeded, and a block that cannot be
 * read, or a pool that gives up, is always a failure of the pool.
 *
 * Each kind of fault comes at least once in a seed; their order is the
 * seed's.
 */
#ifndef TARN_TESTS_SIM_FAULT_H
#define TARN_TESTS_SIM_FAULT_H

#include "tests/sim/sim.h"

void fault_open(struct sim *sim);
/* Before each turn: what ends by itself. */
void fault_tick(struct sim *sim);
/* Something breaks now. */
void fault_inject(struct sim *sim);
/* A disk that may be struck, or NULL. */
struct sim_media *fault_pick_weak(struct sim *sim);
/* Number of kinds, so that the caller can see that each comes. */
unsigned fault_kinds(void);
/* Choose up to domains_max of the weak domains; members of ret_disks become
 * true for their disks.  False: there are none, or something is not in order
 * as it is. */
bool fault_choose_stall(struct sim *sim, unsigned domains_max,
			bool *ret_disks);
/* These disks hang, or are very slow, for some seconds. */
void fault_stall(struct sim *sim, const bool *disks);
/* No server runs now: disks may be found gone at the next opening. */
void fault_between_lives(struct sim *sim);
/* Bring every disk back that is away; true if there was one. */
bool fault_return_all(struct sim *sim);
/* End all that is transient: hangs, slowness, armed faults, absence. */
void fault_calm(struct sim *sim);
/* As by a scrub: no silent damage is left anywhere. */
void fault_heal(struct sim *sim);
/* True when no disk is away, hung or slow. */
bool fault_none(const struct sim *sim);
/* May the pool lose that disk, now? */
bool fault_may_lose(const struct sim *sim, unsigned i);

/* Is there nothing left of what was done to the weak disks, but for what rots?
 */
bool fault_healthy(struct sim *sim);

#endif
