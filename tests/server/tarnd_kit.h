/* tests/server/tarnd_kit.h - a real tarnd over files in a directory of its own,
 * and calls by its control socket.
 *
 * Everything that waits gives up after PATIENCE_S; whatever fails, fails the
 * test.
 */
#ifndef TARN_TESTS_SERVER_TARND_KIT_H
#define TARN_TESTS_SERVER_TARND_KIT_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <jansson.h>

/* Only so that a broken server ends the test; nothing passes by time. */
#define PATIENCE_S 60

struct world {
	char  dir[80];     /* everything is in it */
	char  control[96]; /* the socket */
	char  disk[4][96]; /* files; the last one is too small for a pool */
	pid_t pid;         /* of tarnd; 0: none */
};

/* For cmocka: a world in *state, without a tarnd; tarnd is killed and all that
 * there is removed. */
int world_setup(void **state);
int world_teardown(void **state);

/* Print into a buffer that must be large enough. */
void text(char *ret, size_t bytes, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void pause_ms(long ms);
/* Until what another thread counts is more than this. */
void wait_above(atomic_uint *counter, unsigned than);

/* --- the server ---------------------------------------------------------- */

/* tarnd with its usual arguments, and extra (NULL-ended). */
pid_t tarnd_spawn(struct world *w, const char *const *extra);
/* Its exit status, or 128 and the signal. */
int   tarnd_wait_exit(pid_t pid);
/* tarnd over the first three disks; returns when it answers. */
void  tarnd_start(struct world *w);
/* Send it the signal and wait for its end, as tarnd_wait_exit(), and until the
 * disks can be had by another. */
int   tarnd_stop(struct world *w, int sig);

/* --- talking ------------------------------------------------------------- */

int  tarnd_dial(const struct world *w);
void tarnd_put(int fd, const char *buf, size_t len);
/* A byte, or -1 at the end of the stream. */
int  tarnd_get_byte(int fd);
/* The next line as JSON; NULL at the end of the stream. */
json_t *tarnd_get_line(int fd);
/* One call on a connection of its own; the whole reply. */
json_t *tarnd_call(const struct world *w, const char *method,
		   const char *params);
/* A call that must succeed; its result. */
json_t *must(const struct world *w, const char *method, const char *params);
void    must_do(const struct world *w, const char *method, const char *params);
/* A call that must fail with this errno, in one sentence that says `says`. */
void refused(const struct world *w, const char *method, const char *params,
	     const char *err, const char *says);
/* A string of a reply; "" if it is not there. */
const char *reply_str(json_t *o, const char *key);
/* A number of a reply, which must be one. */
json_int_t reply_num(json_t *o, const char *key);
/* A number that a method says about `name`. */
json_int_t asked(const struct world *w, const char *method, const char *name,
		 const char *key);

/* --- a pool, "tank" ------------------------------------------------------ */

/* Over the first two or three disks, each a domain. */
void tank_create(const struct world *w, const char *redundancy, int ndisks);
/* Wait for a state of the pool. */
void tank_wait_state(const struct world *w, const char *state);
/* Wait until so many disks are online. */
void tank_wait_disks(const struct world *w, unsigned want);

/* Start tarnd; a pool with volumes v of 4 MiB and w of 1 MiB. */
void tank_with_volumes(struct world *w);
/* A pool with volumes v00 to v39, each with snapshots 0 to 25. */
void snapshots_many(const struct world *w);

#endif
