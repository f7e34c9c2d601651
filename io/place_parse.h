/* io/place_parse.h - from a place as people write it to what is dialled.
 *
 * Pure: nothing is looked up.  Only four URI schemes exist here, so nothing
 * else can ever reach libnbd, which is never given a URI at all.
 */
#ifndef TARN_IO_PLACE_PARSE_H
#define TARN_IO_PLACE_PARSE_H

#include <stdbool.h>
#include <stddef.h>

/* Room for every error sentence of this folder, NUL included. */
#define PLACE_ERR_BYTES 200
/* Room for a place, NUL included; longer ones are refused. */
#define PLACE_TEXT_BYTES 512

enum place_kind {
	PLACE_PATH,   /* a regular file or block device */
	PLACE_NBD,    /* one export of a server */
	PLACE_SERVER, /* HOST or HOST:PORT: every export of a server */
};

struct place_addr {
	enum place_kind kind;
	bool tls;                      /* nbds, nbds+unix */
	char path[PLACE_TEXT_BYTES];   /* PLACE_PATH: file; else unix socket,
					* "" for TCP */
	char host[256];                /* TCP: name or address, no brackets */
	char port[8];                  /* TCP: decimal, 1 to 65535 */
	char user[64];                 /* TLS user name, "" if none */
	char export[PLACE_TEXT_BYTES]; /* export name, decoded */
};

/* -EINVAL: ret_err (PLACE_ERR_BYTES) says why; *ret is undefined then.
 * A text without "://" is a path if it holds a slash or starts with a dot,
 * else a PLACE_SERVER. */
int place_parse(const char *place, struct place_addr *ret, char *ret_err);

/* place_parse(), but a bare word that names a file here is that file
 * (io/place.c; looks at the file system). */
int place_resolve(const char *place, struct place_addr *ret, char *ret_err);

/* -EINVAL: TLS is asked for and tls_ca_dir cannot be used. */
int place_check_tls(const char *place, const struct place_addr *addr,
		    const char *tls_ca_dir, char *ret_err);

/* The place of export `export_name` on the server of `a`, as place_parse()
 * takes it.  -ENAMETOOLONG if it does not fit into PLACE_TEXT_BYTES. */
int place_export_uri(const struct place_addr *a, const char *export_name,
		     char *ret_place);

/* The failure domain of `a`: its host in small letters, or "local".  Cut at
 * host_bytes. */
void place_host(const struct place_addr *a, char *ret_host, size_t host_bytes);

#endif
