/* tests/lib/mem_disk.h - struct disk over memory, on the simulated engine.
 *
 * Always up, never fails.  A request beyond the end is a mistake of whoever
 * sent it, and aborts.
 */
#ifndef TARN_TESTS_LIB_MEM_DISK_H
#define TARN_TESTS_LIB_MEM_DISK_H

#include "io/disk.h"
#include "tests/sim/sim_io.h"

/* mem stays the caller's.  Freed when it is closed. */
struct disk *mem_disk_open(struct sim_io *io, uint8_t *mem,
			   uint64_t size_bytes, const char *place);

#endif
