/* tests/server/nbd_mem.h - exports in memory, for tests of the NBD server.
 *
 * They check that the server keeps the rules of server/export.h (assertions),
 * and do what a `struct mem_ctl` says, which may be shared with another
 * process.  Exports: "mem" (also the default, ""), "ro" (the same bytes,
 * read-only, with bitmaps b1, the nearest, to b20), "big" (2^50 bytes, of which the first are real), "coarse"
 * (block size 512, none of the optional commands).
 */
#ifndef TESTS_SERVER_NBD_MEM_H
#define TESTS_SERVER_NBD_MEM_H

#include "server/export.h"

#define MEM_BYTES     (48u << 20)
#define MEM_BIG_BYTES (1ull << 50)
#define MEM_BLOCKS    (MEM_BYTES / TARN_BLOCK)

/* What a test may change while the server runs. */
struct mem_ctl {
	volatile uint32_t hold;      /* requests wait until it is 0 */
	volatile int32_t  fail;      /* -errno for every request, or 0 */
	volatile uint32_t fail_at;   /* this request (from 1) fails: -EIO */
	volatile uint32_t newest_first; /* requests end in reverse order */
	volatile uint32_t extents_max; /* in one STATUS; 0: no limit */
	volatile uint32_t list_extra; /* more exports in the list */
	volatile uint32_t gone;      /* tell all users that it went away */
	volatile uint32_t submitted; /* requests so far */
	volatile uint32_t done;      /* of them, ended */
	volatile uint32_t users;     /* exports open now */
	volatile uint32_t changed;   /* no mark is of the export any more */
	volatile uint32_t lookups;   /* of bitmaps */
	volatile uint32_t writes;    /* WRITE, TRIM, ZERO submitted */
	volatile uint32_t flushes;
	volatile uint32_t fua;       /* requests with VOL_FUA */
	uint8_t           mapped[MEM_BLOCKS]; /* block is no hole */
	uint8_t           data[MEM_BYTES];
};

struct mem_source;

/* Has a block changed, by bitmap bI? */
static inline bool mem_changed(unsigned i, uint64_t block)
{
	return block < MEM_BLOCKS && block / 4 % (i + 1) == 0;
}

/* ctl is the caller's. */
struct mem_source *mem_source_open(struct io *io, struct mem_ctl *ctl);
struct export_source *mem_source_src(struct mem_source *m);
/* No export is open and no request waits. */
void mem_source_close(struct mem_source *m);

#endif
