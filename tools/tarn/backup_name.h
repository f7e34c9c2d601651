/* tools/tarn/backup_name.h - how backups, their files and what they leave in a
 * pool are called.
 *
 *	20260131T120000Z              WHEN, of UTC: the name of a backup
 *	20260131T120000Z.tarn         its file
 *	20260131T120000Z.tarn.new     while it is being written
 *	tarn-backup.ID.20260131T120000Z   its snapshot, and its checkpoint
 *
 * ID is the folder's: several folders may back up one volume.  Pure.
 */
#ifndef TARN_TOOLS_TARN_BACKUP_NAME_H
#define TARN_TOOLS_TARN_BACKUP_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BACKUP_WHEN_BYTES 17 /* with the NUL */
#define BACKUP_ID_BYTES   17
#define BACKUP_NAME_BYTES 64 /* of any of the names above */
#define BACKUP_PREFIX     "tarn-backup."
#define BACKUP_SUFFIX     ".tarn"
#define BACKUP_NEW_SUFFIX ".tarn.new"

/* Seconds since 1970, before the year 10000, as WHEN; returns ret_when. */
char *backup_when_text(uint64_t s, char *ret_when);
/* Exactly a WHEN. */
bool backup_when_is(const char *text, uint64_t *ret_s);
/* What a user gives for a time: a WHEN, or 2026-01-31, 2026-01-31T12:00,
 * 2026-01-31 12:00:30, with or without a Z: of UTC, and the last second that
 * fits.  -EINVAL. */
int backup_when_parse(const char *text, uint64_t *ret_s);

/* ret_name: BACKUP_NAME_BYTES; return it. */
char *backup_file_name(const char *when, const char *suffix, char *ret_name);
char *backup_snap_name(const char *id, const char *when, char *ret_name);
/* Is it the file of a backup, with this suffix?  ret_when:
 * BACKUP_WHEN_BYTES. */
bool backup_file_parse(const char *name, const char *suffix, char *ret_when);
/* Is it a snapshot or checkpoint of some folder?  ret_id: BACKUP_ID_BYTES. */
bool backup_snap_parse(const char *name, char *ret_id, char *ret_when);
/* 16 lower-case hexadecimal digits. */
bool backup_id_is(const char *text);

/* DIR@WHEN at its last '@': how long DIR is; ret_when is what follows, NULL if
 * there is no '@'. */
size_t backup_split(const char *text, const char **ret_when);

#endif
