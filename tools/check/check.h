/* tools/check/check.h - verify a stopped pool, completely and independently.
 *
 * The check reads the disks of a pool that nobody serves and says whether
 * everything on them is as docs/disk-format.md says it must be.  It decodes
 * with its own code, written apart from the server's.
 *
 * Rules of use
 *  - Sans-I/O and re-entrant: disks are `struct check_source`, findings go
 *    through opt->report(), nothing is printed, nothing is kept.
 *  - Nothing is ever written.
 *  - The pool need not have been closed cleanly: the newest commit is checked,
 *    then the log after it is replayed over a copy of the map, and the state
 *    that a recovery would come to is what data is checked for.
 *  - Disks may be in any order; some may be missing.  What cannot be checked
 *    for that is said; data is reconstructed as the redundancy allows.
 */
#ifndef TARN_TOOLS_CHECK_CHECK_H
#define TARN_TOOLS_CHECK_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "base/uuid.h"

/* A disk, to be read.  The caller's; embed it. */
struct check_source {
	const char *name;       /* for messages, e.g. its path; not NULL */
	uint64_t    size_bytes; /* its size */
	/* Read exactly len_bytes (multiples of 4096 at multiples of 4096,
	 * within size_bytes): 0 or -errno. */
	int (*read)(struct check_source *s, uint64_t off_bytes, void *buf,
		    size_t len_bytes);
};

enum check_severity {
	CHECK_INFO,   /* as it should be, or explained by a crash */
	CHECK_DAMAGE, /* a copy is bad or absent that should be there; what it
		       * held can be had from the others */
	CHECK_LOST,   /* something that should be there cannot be had */
	CHECK_ERROR,  /* the structure contradicts itself: never the result of
		       * a crash or of disk faults within the redundancy */
};

struct check_options {
	bool quick;   /* do not read data, only what describes it */
	bool verbose; /* report more CHECK_INFO */
	/* Each finding: one line, without newline, naming the object and the
	 * consequence.  May be NULL. */
	void (*report)(void *arg, enum check_severity severity,
		       const char *text);
	/* The state that a recovery would come to, as decoded here; may be
	 * NULL.  All volumes and snapshots come first, in any order, a
	 * snapshot as VOLUME@SNAPSHOT with an id of its own.  Then blocks, in
	 * any order, each of those mapped once for each volume and snapshot
	 * that has it.  data is NULL with quick or when the block is lost. */
	void (*volume)(void *arg, uint32_t id, const char *name,
		       uint64_t size_bytes);
	void (*block)(void *arg, uint32_t volume, uint64_t block,
		      const void *data);
	/* A zone that nobody may use for anything new: a segment of the commit
	 * or of the labels' list has it.  disk: index among those given; more
	 * than once for zones that recoveries used again.  claim: for what was
	 * sent under that one only (0: under any); what others may have sent
	 * there, this says nothing of.  May be NULL. */
	void (*zone)(void *arg, unsigned disk, uint64_t first_block,
		     uint32_t nblocks, uint64_t claim);
	/* The member is recorded out.  May be NULL. */
	void (*out)(void *arg, uint32_t member);
	/* A row of the log after the commit, after all out(): the claim that
	 * wrote it, its number, and how many of its units are whole.  May be
	 * NULL. */
	void (*row)(void *arg, uint64_t claim, uint64_t row, uint32_t units);
	void *arg;    /* of all of them */
};

/* What was found; all zero where the check did not come that far. */
struct check_report {
	/* Findings by severity. */
	uint64_t    ninfo, ndamage, nlost, nerrors;
	/* The pool, of its newest label. */
	struct uuid pool;
	char        name[64];
	uint32_t    k, m, zone_shift;
	uint32_t    members;          /* in the table */
	uint32_t    members_out;      /* recorded out */
	uint32_t    members_missing;  /* not among the disks given */
	uint64_t    claim, label_no;
	bool        released;         /* closed cleanly */
	/* Labels. */
	uint64_t    labels_valid, labels_damaged;
	/* The commit and the log after it. */
	uint64_t    commit, commit_row;
	uint64_t    log_end;          /* last row that a recovery accepts */
	uint64_t    flushed_row;      /* highest flushed mark of the log */
	uint64_t    rows_replayed;    /* with records of the volumes */
	uint64_t    rows_after_end;   /* beyond the end: never acknowledged as
				       * flushed, dropped */
	/* Space. */
	uint64_t    segments, segments_free, segments_open, segments_sealed,
		    segments_quarantined;
	uint64_t    zones, zones_used, zones_free;
	uint64_t    volumes, snapshots, checkpoints;
	uint64_t    mapped_blocks;    /* after the log, each once */
	uint64_t    node_blocks, table_blocks; /* of the commit */
	uint64_t    rows_checked;     /* with data read */
	uint64_t    blocks_checked;   /* payload blocks read and compared */
	uint64_t    lost_blocks;      /* live and not to be had */
	uint64_t    damaged_units;    /* of rows with live blocks */
	uint64_t    damaged_commit;   /* … that the commit covers: a recovery
				       * does not look at those */
};

/* Check the pool on n disks.  Returns
 *	0        clean: neither DAMAGE nor LOST nor ERROR was reported
 *	1        problems were reported
 *	-ENODATA no disk carries a label of a pool
 *	-ENOTSUP the format is newer than this program
 *	-EINVAL  bad arguments (no disks, or of several pools: reported)
 *	-ENOMEM
 * ret_rep is filled in any case. */
int tarn_check_run(struct check_source *const *disks, unsigned n,
		   const struct check_options *opt,
		   struct check_report *ret_rep);

#endif
