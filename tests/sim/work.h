/* tests/sim/work.h - the clients: random requests to random volumes, several
 * in flight, and an administrator who makes, resizes, renames and deletes
 * volumes meanwhile.
 *
 * Every answer is checked against the model when it comes.
 */
#ifndef TARN_TESTS_SIM_WORK_H
#define TARN_TESTS_SIM_WORK_H

#include "tests/sim/life.h"
#include "tests/sim/model.h"

void work_open(struct sim *sim);
/* The first volumes.  False: the engine stopped. */
bool work_first_volumes(struct sim *sim);
/* A server has started: find the volumes, see that they are those that there
 * must be. */
void work_attach(struct sim *sim);
/* Make n requests.  False: the engine stopped. */
bool work_run(struct sim *sim, uint64_t n);
/* P6: disks of up to m domains stall while there are others to write to; no
 * write takes long.  Does nothing when that is not so now.  False: the engine
 * stopped. */
bool work_slow(struct sim *sim);
/* Faults end, and nobody asks for anything: what moves from disk to disk comes to
 * an end.  False: the engine stopped. */
bool work_rest(struct sim *sim);
/* A block is lost beyond redundancy: only that is EIO, and listed.  False: the
 * engine stopped. */
bool work_damage(struct sim *sim);
/* Wait for all in flight. */
bool work_drain(struct sim *sim);
/* Clients may go away, with what they still wait for: the last thing before. */
void work_leave(struct sim *sim);
/* Before a clean close. */
void work_detach(struct sim *sim);
/* After a kill. */
void work_forget(struct sim *sim);
/* After a crash: read everything and ask the model. */
void work_verify(struct sim *sim);

#endif
