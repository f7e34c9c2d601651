/* tests/sim/sim_media.h - what is on a disk, and what would be if its power
 * went now.  Survives servers.
 *
 * Two images of pages: `cur` is what a read sees, `dur` what a power loss
 * leaves at least; the writes between them are a list, in order.  A flush
 * moves the list's beginning into `dur`; a power loss decides for each write
 * in it whether it is kept, dropped or torn.
 *
 * Damage (rot, phantom and misdirected writes, old contents restored) changes
 * both images behind the server's back and remembers the truth, so that the
 * damage is gone when the block is next written and flushed, or when
 * media_heal() plays the part of a scrub.
 */
#ifndef TARN_TESTS_SIM_SIM_MEDIA_H
#define TARN_TESTS_SIM_SIM_MEDIA_H

#include "base/bitmap.h"
#include "tests/sim/pages.h"
#include "tests/sim/sim.h"

#define MEDIA_NO_TRUTH UINT32_MAX
#define MEDIA_OLDS     16u

struct media_write {
	uint32_t block;
	page_t   page;  /* holds a reference */
	uint32_t group; /* blocks of one request have one number */
};

struct media_old {
	uint32_t block;
	page_t   page;  /* holds a reference; PAGE_ZERO: none */
};

struct sim_disk;

struct sim_media {
	struct sim         *sim;
	unsigned            index;
	unsigned            domain;   /* what fails together */
	uint32_t            nblocks;
	page_t             *cur;      /* what reads see */
	page_t             *dur;      /* what a power loss keeps */
	page_t             *truth;    /* of damaged blocks of dur */
	uint64_t           *bad;      /* bit: reading gives EIO */
	uint32_t            ndamaged; /* blocks with a truth or a bad bit */
	struct media_write *log;      /* unflushed, oldest first */
	uint32_t            log_first; /* first one in use */
	uint32_t            log_len;  /* end of those in use */
	uint32_t            log_cap;
	uint64_t            log_seq;  /* sequence number of log[log_first] */
	uint32_t            groups;   /* next group */
	struct media_old    olds[MEDIA_OLDS]; /* overwritten contents */
	uint32_t            olds_next;
	struct sim_disk    *handle;   /* of the living server, or NULL */
	/* State of the disk host, changed by faults. */
	bool                gone;     /* unreachable until told otherwise */
	bool                hung;     /* reachable, answers nothing */
	uint32_t            slow;     /* latency factor, 1: normal */
	bool                keep_olds; /* gather old contents */
	bool                battery;  /* a power loss spares it all */
	uint64_t            hold_flush_ns; /* flushes wait until then; all
					    * else goes on */
	/* How many of the next requests go wrong. */
	uint32_t            arm_write_error;
	uint32_t            arm_phantom;
	uint32_t            arm_misdirect;
	uint32_t            arm_flush_fail;
	uint32_t            arm_stale_read;
	uint32_t            arm_read_error;
};

struct sim_media *media_open(struct sim *sim, unsigned index, unsigned domain,
			     uint32_t nblocks);
void media_close(struct sim_media *m);

/* One block of a request becomes readable, unflushed. */
void media_put(struct sim_media *m, uint32_t block, page_t page_ref,
	       uint32_t group);
/* Sequence number that the next media_put() gets. */
static inline uint64_t media_seq(const struct sim_media *m)
{
	return m->log_seq + (m->log_len - m->log_first);
}
/* Writes with a sequence number below `upto` become durable. */
void media_flush(struct sim_media *m, uint64_t upto);
/* Everything unflushed is kept, dropped or torn as chance has it; with a
 * battery it is kept. */
void media_power_loss(struct sim_media *m);
/* A flush failed: what was unflushed may never have reached the disk. */
void media_flush_failed(struct sim_media *m);

/* It has become larger. */
void media_grow(struct sim_media *m, uint32_t nblocks);
/* Another disk is there, and it is blank. */
void media_blank(struct sim_media *m);

/* --- damage -------------------------------------------------------------- */

/* A random block whose contents are durable and not zero, in [from, to);
 * false if there is none nearby. */
bool media_pick(struct sim_media *m, struct prng *rng, uint32_t from,
		uint32_t to, uint32_t *ret_block);
/* The block now holds `page` (takes the reference), and should not.  Only
 * while cur and dur agree (else false, and the reference is dropped). */
bool media_damage(struct sim_media *m, uint32_t block, page_t page);
/* A write that is said to have happened and has not. */
void media_phantom(struct sim_media *m, uint32_t block, page_t page);
/* Reading it gives EIO until it is written. */
void media_make_bad(struct sim_media *m, uint32_t block);
void media_rot(struct sim_media *m, struct prng *rng, uint32_t block);
/* Put an old content back; false when none is at hand. */
bool media_stale(struct sim_media *m, struct prng *rng);
/* What a read would see of the block after media_heal(). */
page_t media_mended(const struct sim_media *m, uint32_t block);
/* As if a scrub had found all damage and mended it. */
void media_heal(struct sim_media *m);

#endif
