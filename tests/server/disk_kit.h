/* tests/server/disk_kit.h - for tests of disks: an engine with one disk on it,
 * requests that wait for their end, and servers as child processes.
 *
 * Everything that waits gives up after WAIT_NS and fails the test.
 */
#ifndef TARN_TESTS_SERVER_DISK_KIT_H
#define TARN_TESTS_SERVER_DISK_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "io/place.h"

#define WAIT_NS (60 * NS_PER_S)

struct rig {
	struct io   *io;
	struct disk *disk;
	unsigned     ups;    /* events so far */
	unsigned     downs;
	bool	     closing; /* disk_close() was called */
	bool	     closed;
	bool	     in_call; /* disk_open() or disk_submit() is running */
	bool	     close_at_down; /* disk_close() from the event */
};

struct rig_req {
	struct disk_req req;
	struct rig     *rig;
	unsigned	done; /* times */
	void (*then)(struct rig_req *r); /* called at the end; may be NULL */
};

/* Open a disk (params may be NULL); the first event is still to come. */
void rig_open(struct rig *r, const char *place,
	      const struct disk_params *params);
/* Turn the loop until so many events have come. */
void rig_wait_ups(struct rig *r, unsigned ups);
void rig_wait_downs(struct rig *r, unsigned downs);
void rig_turn(struct rig *r);
/* Close the disk, which may be done in a callback. */
void rig_begin_close(struct rig *r);
/* Close the disk, if that has not been begun, and the engine. */
void rig_close(struct rig *r);

void rig_submit(struct rig *r, struct rig_req *q, enum disk_op op,
		uint64_t off, uint32_t len, void *buf);
/* Wait for it; its result. */
int rig_wait(struct rig *r, struct rig_req *q);
/* Both. */
int rig_do(struct rig *r, enum disk_op op, uint64_t off, uint32_t len,
	   void *buf);
void *rig_buf(uint32_t len);

/* A work directory that is removed at exit. */
const char *kit_dir(void);
/* Skip the running test if there is no such program. */
void kit_need(const char *program);
/* Start a program (NULL-terminated arguments), killed at exit. */
pid_t kit_spawn(const char *const *argv);
/* See to the end of one that has put itself into the background. */
void kit_adopt(pid_t pid);
/* Kill it with -9 and wait for its end. */
void kit_kill(pid_t pid);
/* Has it not ended by itself, a moment from now? */
bool kit_alive(pid_t pid);
/* Wait until something listens on this unix socket. */
void kit_wait_socket(const char *path);
/* A TCP port of 127.0.0.1 that nobody uses; wait until somebody does. */
unsigned kit_free_port(void);
void	 kit_wait_port(unsigned port);

#endif
