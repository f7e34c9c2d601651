/* tools/tarn/backup_chain.h - which backup is based on which, which are kept,
 * and how the others go.
 *
 * Each is a stream; what it is and what it is based on is told by the UUIDs in
 * its header, never by its name or place.  They hang together as trees: a full
 * one is a root.  As a rule each has one that is based on it, the next.
 *
 * What is not kept goes only so that what is based on it stays: when nothing
 * is, its file is deleted; when one is, that one is first replaced by both of
 * them, folded into one, which is then based on what the older one was based
 * on.  Pure.
 */
#ifndef TARN_TOOLS_TARN_BACKUP_CHAIN_H
#define TARN_TOOLS_TARN_BACKUP_CHAIN_H

#include <sys/types.h>

#include "snapshot/stream.h"
#include "tools/tarn/backup_name.h"

/* So many streams on the way from a full one to the one that is restored: each
 * costs memory and a file descriptor.  Behind the last comes a full one. */
#define BACKUP_CHAIN_MAX 100u
#define BACKUP_WHY_BYTES 400
/* A full one that is not kept stays until what is folded into it has at least
 * 1/8 of its size, so that a run costs what changed. */
#define BACKUP_FOLD_SHARE 8u

struct backup {
	char     when[BACKUP_WHEN_BYTES];
	uint64_t when_s;     /* the same */
	uint64_t file_bytes;
	struct stream_header header; /* unless damaged */
	bool     damaged;    /* its file is no backup; why says so */
	/* Of backups_link(): */
	ssize_t  base;       /* index; -1: full, damaged, or not there */
	unsigned kids;       /* that are based on it */
	unsigned depth;      /* 0: full, 1: based on that... */
	bool     whole;      /* all that it is based on is there */
	char     why[BACKUP_WHY_BYTES]; /* a clause, "" if whole */
	/* Of backups_keep(): */
	bool     keep;
};

/* How many to keep; all 0: all of them. */
struct backup_policy {
	unsigned last;    /* the newest ones */
	unsigned daily;   /* the newest of each of so many days (of UTC) */
	unsigned weekly;  /* and weeks (from Monday) that have one */
};

enum prune_kind {
	PRUNE_NOTHING, /* more */
	PRUNE_DELETE,  /* the older one */
	PRUNE_FOLD,    /* the older one into the newer one */
};

struct prune {
	enum prune_kind kind;
	size_t older, newer; /* indices */
};

/* Sort by when, find out what hangs together. */
void backups_link(struct backup *b, size_t n);
/* Behind backups_link().  What cannot be restored is left alone, and the newest
 * one is kept always. */
void backups_keep(struct backup *b, size_t n, const struct backup_policy *p);
/* The next step towards having only what is kept. */
struct prune backups_prune_next(const struct backup *b, size_t n);
/* The path to b[i], which is whole: indices from the full one on.  Their
 * number; 0: more than BACKUP_CHAIN_MAX. */
size_t backups_path(const struct backup *b, size_t i,
		    size_t ret_path[BACKUP_CHAIN_MAX]);
/* The one that `when` (as of backup_when_parse(); NULL: the newest one) means:
 * the last one until then.  -1: there is none. */
ssize_t backups_find(const struct backup *b, size_t n, const char *when);

#endif
