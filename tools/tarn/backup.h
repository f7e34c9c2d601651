/* tools/tarn/backup.h - what tarn backup is made of.
 *
 *	cmd_backup.c     list, verify; what the options say
 *	backup_run.c     one more backup, from the pool to the folder
 *	backup_prune.c   those that are not kept any more
 *	backup_restore.c from the folder to a file or volume
 *	backup_dir.c     the folder
 *	backup_chain.c   which is based on which
 *	backup_name.c    how they are called
 *	overlay.c        several streams read as one
 */
#ifndef TARN_TOOLS_TARN_BACKUP_H
#define TARN_TOOLS_TARN_BACKUP_H

#include "tools/tarn/backup_dir.h"
#include "tools/tarn/progress.h"

/* Get rid of what the policy does not keep; level: of zstd, for what is written
 * anew.  ret_gone: how many.  Failures have been reported, and nothing that is
 * kept is lost by them. */
enum cli_exit backup_prune(struct backup_dir *d, const struct backup_policy *p,
			   int level, unsigned *ret_gone);

/* Read all of a backup's file.  -1: ret_why (BACKUP_WHY_BYTES) is a clause. */
int backup_check(const struct backup_dir *d, const struct backup *b,
		 const char *suffix, const char *what, char *ret_why);

/* A method that is called to clean up, whose failure is not worth a word. */
bool backup_call_quietly(const struct cli *cli, const char *method,
			 json_t *params);

#endif
