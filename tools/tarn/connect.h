/* tools/tarn/connect.h - to the server's NBD exports. */
#ifndef TARN_TOOLS_TARN_CONNECT_H
#define TARN_TOOLS_TARN_CONNECT_H

#include <libnbd.h>

#include "tools/tarn/cli.h"

#define LISTEN_BYTES 4096

/* Where the server listens for NBD: a unix socket before anything else;
 * ret_listen (LISTEN_BYTES): "unix:PATH" or "ADDR:PORT". */
enum cli_exit connect_find(const struct cli *cli, char *ret_listen);
/* Connect a handle, to which all that is wanted has been said.  -1 with why, a
 * clause. */
int connect_nbd(struct nbd_handle *nbd, const char *listen, char *ret_why,
		size_t why_bytes);
/* What libnbd says, of the last thing that failed. */
const char *connect_error(void);

#endif
