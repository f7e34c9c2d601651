/* tests/stamp/stamp.h - a writer that can prove afterwards what a volume must
 * hold.
 *
 * Every block that it writes says which volume, block and write it belongs to;
 * a journal on local disk says what was submitted, acknowledged and flushed,
 * in that order.  After a crash of the server the volume is compared with the
 * journal.  Two writes in flight never touch the same block, so for each block
 * the order of its writes is the order of the journal.
 */
#ifndef TESTS_STAMP_STAMP_H
#define TESTS_STAMP_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STAMP_BLOCK     4096u
#define STAMP_RUN_MAX   256u  /* blocks of one write: 1 MiB */
#define STAMP_QD_MAX    256u
#define STAMP_CONNS_MAX 16u

enum write_state {
	WRITE_INFLIGHT, /* submitted; nothing came back, or an error did */
	WRITE_ACKED,
	WRITE_FLUSHED,  /* a flush submitted after the ack has ended well */
};

/* One write (or zeroing), in order of submission. */
struct stamp_write {
	uint64_t id;         /* from 1, unique in the journal */
	uint64_t block;      /* first block */
	uint32_t n;          /* blocks */
	bool     zero;       /* reads as zeros afterwards */
	uint8_t  state;      /* enum write_state */
	uint64_t submit_pos; /* line of the journal */
	uint64_t ack_pos;    /* line of the journal; 0: none */
};

/* A journal: one line an event.
 *
 *	S <seed> <blocks>     first line
 *	W <id> <block> <n>    write submitted (Z: write zeroes)
 *	A <id>                acknowledged
 *	E <id> <errno>        failed: it may have happened or not
 *	f <fid> / F <fid>     flush submitted / ended well
 *	L <id>                a verification found it absent: it never happened
 */
struct journal {
	FILE    *file;    /* open for appending, unbuffered by line */
	uint64_t seed;    /* of the stamps */
	uint64_t nblocks; /* of the volume */
	uint64_t last_id;
	uint64_t lines;
	struct stamp_write *writes; /* that may have happened, by id */
	size_t   nwrites, cap;
};

/* Read an existing journal, or begin one for a volume of nblocks blocks.
 * Reports what is wrong and returns -1. */
int journal_open(struct journal *j, const char *path, uint64_t nblocks);
void journal_close(struct journal *j);
void journal_line(struct journal *j, char kind, uint64_t id, uint64_t block,
		  uint32_t n);
struct stamp_write *journal_find(struct journal *j, uint64_t id);

/* The contents of block `block` as written by write `id`. */
void stamp_fill(uint8_t *buf, uint64_t seed, uint64_t block, uint64_t id);
/* The write that buf belongs to: its id, 0 for all zeros, or UINT64_MAX when
 * it is no whole stamp of this block. */
uint64_t stamp_id(const uint8_t *buf, uint64_t seed, uint64_t block);

struct stamp_options {
	const char *uri;
	const char *journal;
	uint64_t    ops;      /* 0: no bound */
	double      seconds;  /* 0: no bound */
	unsigned    qd;
	unsigned    conns;    /* connections */
	unsigned    run_max;  /* blocks of one write, at most */
	unsigned    reads;    /* percent of operations */
	unsigned    zeros;    /* percent */
	unsigned    flush_every; /* operations; 0: never */
	uint64_t    prng;     /* 0: from the journal's last id */
	bool        flushed;  /* verify: only what was flushed must be there */
};

/* 0 done; 1 wrong data; 2 cannot begin; 3 the connection was lost or a
 * request failed (what was in flight is then unknown). */
int stamp_write_run(const struct stamp_options *o);
/* 0 all is well; 1 it is not; 2 cannot begin. */
int stamp_verify_run(const struct stamp_options *o);

#endif
