/* tools/tarn/backup_dir.h - a folder with the backups of one volume.
 *
 *	tarn-backup.folder            the identity of the folder; is locked
 *	20260131T120000Z.tarn         a backup
 *	20260131T120000Z.tarn.new     one that is being written
 *
 * Which backups there are, and how they hang together, the streams themselves
 * say.  A file appears under its name when all of it is durable.
 *
 * Functions report what is wrong.
 */
#ifndef TARN_TOOLS_TARN_BACKUP_DIR_H
#define TARN_TOOLS_TARN_BACKUP_DIR_H

#include "tools/tarn/backup_chain.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/input.h"

#define BACKUPS_MAX 10000u

struct backup_dir {
	const struct cli *cli;
	char  *path;
	int    fd;      /* of the directory; -1: not open */
	int    lock_fd; /* -1: not locked */
	char   id[BACKUP_ID_BYTES]; /* "": not known */
	struct backup *list; /* linked, in order of when */
	size_t n, cap;
};

enum backup_lock {
	BACKUP_UNLOCKED,
	BACKUP_SHARED, /* nothing is changed meanwhile */
	BACKUP_ALONE,  /* to change it; the folder is made if it is not there */
};

/* Open, lock, and load.  backup_dir_close() in any case. */
enum cli_exit backup_dir_open(struct backup_dir *d, const struct cli *cli,
			      const char *path, enum backup_lock lock);
void backup_dir_close(struct backup_dir *d);
/* Look again at what there is. */
enum cli_exit backup_dir_load(struct backup_dir *d);

/* Only with BACKUP_ALONE: */

/* Remove what was being written when somebody died. */
enum cli_exit backup_dir_clean(struct backup_dir *d);
/* A new file that is to be the backup `when`; its descriptor, or -1. */
int backup_dir_create(struct backup_dir *d, const char *when);
/* It is complete: make it durable, and then visible, in place of the one that
 * is called so, if there is one.  Takes fd. */
enum cli_exit backup_dir_publish(struct backup_dir *d, const char *when,
				 int fd);
/* It will not be: takes fd (-1: none). */
void backup_dir_drop(struct backup_dir *d, const char *when, int fd);
enum cli_exit backup_dir_delete(struct backup_dir *d, const char *when);

/* The stream of a backup, from its beginning.  false: in->error is a clause,
 * errno says why. */
bool backup_dir_input(const struct backup_dir *d, const char *when,
		      const char *suffix, struct input *in);

#endif
