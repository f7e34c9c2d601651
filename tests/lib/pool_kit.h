/* tests/lib/pool_kit.h - a server with a pool over simulated disks and one
 * volume in it, `v`, to test the pool.
 *
 * Time is simulated, so nothing here depends on how fast the machine is.  What
 * a call asks for is done when it returns; what does not come about, or ends
 * otherwise, fails the test.  One pool at a time.
 *
 * A server that was killed is forgotten, memory and all (tests/sim/life.h):
 * main() ends with pk_exit(), so that nobody counts that as leaks.
 */
#ifndef TARN_TESTS_LIB_POOL_KIT_H
#define TARN_TESTS_LIB_POOL_KIT_H

#include "pool/core.h"
#include "tests/sim/life.h"
#include "tests/sim/offline.h"
#include "tests/sim/sim_media.h"

struct pk_pool {
	uint32_t k, m;
	uint32_t ndisks;          /* each a domain; 0: k + m */
	uint32_t zones;           /* of each disk; 0: 40 */
	uint32_t blocks;          /* of the volume */
	uint32_t row_blocks_max;  /* 0: what the pool takes by itself */
	uint64_t commit_log_bytes; /* 0: 8 MiB */
	uint32_t dirty_nodes;     /* that start a commit; 0: 64 */
};

extern struct sim    *sim;
extern struct volume *vol; /* v, in the life that runs */

/* A new pool, served, with its volume. */
void pk_create(const struct pk_pool *is);
/* End the life in good order. */
void pk_close(void);
/* A server starts; LIFE_OK: with the volume. */
enum life_end pk_open(void);
/* kill -9 and pk_open(), which must succeed. */
void pk_kill_and_open(bool power);
/* For main(): never returns. */
__attribute__((noreturn))
void pk_exit(int r);

struct pool *pk_pool(void);
/* One turn of the loop, of a millisecond at most. */
void pk_turn(void);
void pk_run_for(uint64_t ns);

/* Turns until it is so. */
#define PK_TURNS_MAX 1000000u
#define pk_until(it)                                                     \
	do {                                                             \
		for (unsigned i_ = 0; i_ < PK_TURNS_MAX && !(it); i_++)  \
			pk_turn();                                       \
		assert_true(it);                                         \
	} while (0)

/* A request of n blocks (0: a flush), and what it ended with. */
int pk_try(enum vol_op op, uint32_t block, uint32_t n, void *data);
/* … which must be 0. */
void pk_do(enum vol_op op, uint32_t block, uint32_t n, void *data);
/* All n blocks of data have these bytes, and these only. */
void pk_assert_bytes(const uint8_t *data, uint32_t n, uint8_t byte);

/* The disk is not there, or is there again. */
void pk_disk_gone(uint32_t disk, bool gone);
/* It answers nothing, or again. */
void pk_disk_hang(struct sim_media *m, bool hangs);

#endif
