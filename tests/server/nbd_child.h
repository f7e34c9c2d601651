/* tests/server/nbd_child.h - the NBD server with its exports in memory in a
 * process of its own, on a real ring and real sockets; and a plain client.
 */
#ifndef TESTS_SERVER_NBD_CHILD_H
#define TESTS_SERVER_NBD_CHILD_H

#include <sys/types.h>

#include "server/nbd.h"
#include "tests/server/nbd_mem.h"
#include "tests/server/nbd_raw.h"

/* How long anything waits, in seconds; only so that a broken server ends the
 * test. */
#define PATIENCE_S 60

struct child {
	pid_t           pid;
	int             life;      /* closed to stop the child */
	int             report;    /* what it says when it ends */
	struct mem_ctl *ctl;       /* shared */
	char            path[100]; /* of its unix socket */
	char            where[120]; /* "unix:" and the path */
	char            uri[160];
	unsigned        nofile;    /* limit of descriptors; 0: as it is */
	struct nbd_server_params params; /* to be set before child_start() */
};

/* Its last words. */
struct child_report {
	struct nbd_server_stats stats; /* just before it closed */
	uint64_t                turns;
};

/* Sockets are made in $TMPDIR.  Returns when it listens. */
void child_start(struct child *c);
/* Closes the server in order; fails the test if it did not end cleanly. */
void child_stop(struct child *c, struct child_report *ret_report);
/* kill -9 */
void child_kill(struct child *c);

/* A connected socket, reads of which give up after PATIENCE_S. */
int  dial(const struct child *c);
/* All of it; false when the other side has closed. */
bool put_all(int fd, const void *p, size_t n);
bool get_all(int fd, void *p, size_t n);
/* True if the server ends the connection (within PATIENCE_S), whatever it sends
 * before. */
bool ends(int fd);
/* Negotiate with raw_connect() and take the answers. */
int dial_to(const struct child *c, int mode, const char *name);
/* One small read on a connection of mode 1: is it answered? */
bool alive(int fd);

#endif
