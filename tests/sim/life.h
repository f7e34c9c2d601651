/* tests/sim/life.h - one life of the server: engine, buffers, volumes, pool
 * and its connections to the disks, from the start to a clean end or a kill.
 *
 * A killed server is forgotten: nothing of it is called or freed but its
 * engine, its buffers and the connections.
 */
#ifndef TARN_TESTS_SIM_LIFE_H
#define TARN_TESTS_SIM_LIFE_H

#include "tests/sim/sim.h"
#include "tests/sim/sim_disk.h"
#include "volume/volume.h"

enum life_end {
	LIFE_OK,
	LIFE_KILLED,  /* the engine stopped: call life_kill() */
	LIFE_REFUSED, /* the pool would not open, or end cleanly; the life is
		       * over */
};

struct life {
	struct sim      *sim;
	struct sim_io    io;
	struct bufpool  *bufs;
	struct volumes  *vols;
	struct pool     *pool;
	struct pool_op   op;      /* create, open or close */
	bool             op_done;
	bool             failed;  /* the pool stopped serving for ever */
	char             why[400];
	bool             open;    /* serves requests */
};

/* When the engine stops by itself: after so many events; and once so many
 * writes to zones have been sent, after so many more.  Deaths that are counted
 * in writes are as likely where little is read as where much is, and the few
 * writes that a recovery makes are its repairs and its commit. */
struct life_span {
	uint64_t events;       /* UINT64_MAX: never */
	uint64_t writes;       /* 0: never */
	uint64_t events_after; /* `writes` */
};

/* Format the disks and start serving. */
enum life_end life_create(struct sim *sim);
/* span: to crash in recovery. */
enum life_end life_open(struct sim *sim, bool force,
			const struct life_span *span);
/* Flush, commit and close.  LIFE_KILLED when `events` were too few. */
enum life_end life_close(struct sim *sim, uint64_t events);
/* kill -9; power: of all disks, too. */
void life_kill(struct sim *sim, bool power);

/* One turn: faults that are due, then the engine.  False: it stopped. */
bool life_turn(struct sim *sim, uint64_t max_wait_ns);
/* Turns until *flag.  Fails the seed after limit_s simulated seconds.  False:
 * the engine stopped. */
bool life_wait(struct sim *sim, const bool *flag, unsigned limit_s,
	       const char *what);
/* The claim of the server; 0: there is none, or it has none yet.  Also while it
 * is being killed, when its pool cannot be asked any more: some of its disks
 * are gone already. */
uint64_t life_claim(const struct sim *sim);
/* A connection to a disk that nobody is connected to.  domain: 32 bytes. */
struct pool_disk;
void life_connect(struct sim *sim, unsigned disk, struct pool_disk *ret_disk,
		  char *domain);
/* Hand disks that came back to the pool. */
void life_offer(struct sim *sim);

#endif
