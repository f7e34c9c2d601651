/* server/control_trash.h - what is being deleted, for other answers. */
#ifndef TARN_SERVER_CONTROL_TRASH_H
#define TARN_SERVER_CONTROL_TRASH_H

#include "server/tarnd.h"

/* How far all is that was deleted before that number (vols_deletion_no()). */
json_t *deleting_json(const struct volumes *vols, uint64_t upto);

#endif
