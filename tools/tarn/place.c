/* tools/tarn/place.c - places of disks as they are typed.
 *
 *	SCHEME://...   as it is
 *	a path         made absolute: it has a slash, or such a file exists
 *	HOST[:PORT]    as it is
 */
#include <stdio.h>
#include <string.h>

#include "tools/tarn/cli.h"

#define PLACE_MAX 4096

const char *place_absolute(const char *place, const char *cwd, bool exists,
			   char *ret_place)
{
	bool path = strchr(place, '/') != NULL || place[0] == '.' || exists;
	int  len;

	while (path && place[0] == '.' && place[1] == '/')
		place += 2;
	if (strstr(place, "://") != NULL || place[0] == '/' || !path)
		len = snprintf(ret_place, PLACE_MAX, "%s", place);
	else
		len = snprintf(ret_place, PLACE_MAX, "%s/%s",
			       strcmp(cwd, "/") == 0 ? "" : cwd, place);
	return len < PLACE_MAX ? ret_place : NULL;
}
