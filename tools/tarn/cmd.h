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

#endif
