/* tests/sim/sim_disk.h - struct disk over a sim_media: the connection of one
 * server to one disk host.
 *
 * Rules of use
 *  - A disk is up when it is opened.  Faults of the connection come from
 *    sim_disk_drop() and from the state of the media (gone, hung, slow).
 *  - The contract is that of io/disk.h, to the letter: every request ends;
 *    a timeout breaks the connection; DOWN comes after the errors of what was
 *    in flight; UP comes with epoch + 1.
 *  - A write takes effect when it is answered.  One that is never answered,
 *    because the connection or the server died, has happened, has not, has in
 *    part, or happens later (sim_late_run()).
 */
#ifndef TARN_TESTS_SIM_SIM_DISK_H
#define TARN_TESTS_SIM_SIM_DISK_H

#include "io/disk.h"
#include "tests/sim/sim_io.h"
#include "tests/sim/sim_media.h"

#define SIM_DISK_TIMEOUT_NS (4 * NS_PER_S)

struct sim_disk {
	struct disk       d;
	struct sim_io    *io;
	struct sim_media *media;
	struct list       inflight;  /* struct sim_op, order of submission */
	struct list       free_ops;  /* struct sim_op */
	struct sim_event  reconnect; /* next attempt while down */
	struct sim_event  closing;
	void (*closed)(void *arg);
	void             *closed_arg;
};

struct sim_disk *sim_disk_open(struct sim_io *io, struct sim_media *m);
/* The connection breaks now (from outside of the loop: before a turn). The
 * disk keeps its power. */
void sim_disk_drop(struct sim_disk *sd);
/* The media's `hung` or `slow` changed: look at what waits. */
void sim_disk_kick(struct sim_disk *sd);
/* The server is dead: decides what becomes of each write in flight.  power: the
 * disk loses its power too. */
void sim_disk_abandon(struct sim_disk *sd, bool power);
/* … and the object goes, once none of the server's disks is asked any more. */
void sim_disk_forget(struct sim_disk *sd);
/* One disk host loses power and comes back later; the server lives. */
void sim_disk_power_loss(struct sim_disk *sd);

/* Writes whose sender is gone and which are still under way. */
void sim_late_run(struct sim *sim);
/* The media lost its power: what was under way to it is lost. */
void sim_late_drop(struct sim *sim, const struct sim_media *m);

#endif
