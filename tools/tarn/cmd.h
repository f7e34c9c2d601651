/* tools/tarn/cmd.h - what several commands print alike. */
#ifndef TARN_TOOLS_TARN_CMD_H
#define TARN_TOOLS_TARN_CMD_H

#include "tools/tarn/cli.h"

/* Places as typed, as the server shall be told; NULL: reported. */
json_t *cmd_places(const struct cli *cli, const char *const *places,
		   unsigned n);
/* A member's place, or its UUID if it has none. */
const char *cmd_member_name(json_t *member);
/* In capitals, cut at bytes; returns ret. */
const char *cmd_upper(const char *text, char *ret, size_t bytes);
/* A counter in decimal (24 bytes); returns ret. */
const char *cmd_count(json_t *object, const char *key, char *ret);
#define CMD_DATE_BYTES 32
/* A time, seconds since 1970, as a date of UTC; returns ret. */
const char *cmd_date(json_t *object, const char *key, char *ret);
/* A row of a table of two columns. */
void cmd_property(struct table *t, const char *key, const char *value);

/* --- cmd_alarm.c --------------------------------------------------------- */

/* Those of alarm.list or pool.status. */
void cmd_print_alarms(json_t *o);
/* As plugins of monitoring systems end: 0 fine, 1 warning, 2 critical, 3 there
 * is no pool; muted alarms do not count. */
int cmd_severity_exit(json_t *status);

/* --- cmd_change.c -------------------------------------------------------- */

/* Call a method about one object, "noun.verb", and print what was done to it,
 * or that it was so before; takes params. */
enum cli_exit cmd_change(struct cli *cli, const char *method, json_t *params,
			 const char *done, const char *was_so);
/* "snapshot 'v@s' created, 10.0G". */
void cmd_print_done(const struct cli *cli, const char *noun, json_t *object,
		    const char *what);
/* The first argument as name, the second, if there is one, as new_name; force
 * if it was given. */
json_t *cmd_name_params(const struct cli *cli);
/* All of "noun.list" (of the volume that is the first argument, if there is
 * one), page after page; cursor: the member that the next page begins behind.
 * Snapshots say what they use.  NULL: reported. */
json_t *cmd_fetch_all(const struct cli *cli, const char *noun,
		      const char *cursor, enum cli_exit *ret_exit);
/* The snapshots, without that. */
json_t *cmd_fetch_names(const struct cli *cli, enum cli_exit *ret_exit);

/* --- cmd_delete.c -------------------------------------------------------- */

/* With --wait: until what was deleted up to this number of the server's is
 * gone, with a bar. */
enum cli_exit cmd_delete_wait(const struct cli *cli, json_int_t deletion);
/* "would free 1.2M, 64K of it map", or why not. */
void cmd_print_freed(const struct cli *cli, json_t *result);
enum cli_exit cmd_deleting_list(struct cli *cli);

/* --- cmd_snapshot.c, for checkpoints too --------------------------------- */

/* snapshot.create or checkpoint.create, of all arguments. */
enum cli_exit cmd_take(struct cli *cli, const char *method);
/* Say that there are none, and how one is made: example goes behind the name
 * of a volume. */
void cmd_none(const struct cli *cli, const char *noun, const char *example);

#endif
