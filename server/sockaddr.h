/* server/sockaddr.h - addresses to listen on, as people write them:
 *
 *   ADDR:PORT  [ADDR6]:PORT  unix:PATH
 *
 * ADDR is a numeric address or a host name; PORT a number from 1 to 65535.
 */
#ifndef TARN_SERVER_SOCKADDR_H
#define TARN_SERVER_SOCKADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SOCKADDR_ERR_BYTES 200

struct sockaddr_place {
	struct sockaddr_storage ss;
	socklen_t               len;  /* bytes of ss in use */
};

/* 0, -EINVAL for something else than an address, -ENAMETOOLONG for a unix
 * path, -ENXIO for a host name that is not known; ret_err (SOCKADDR_ERR_BYTES)
 * then holds one sentence.  A host name may ask a name server: not for the
 * loop. */
int sockaddr_parse(const char *where, struct sockaddr_place *ret_place,
		   char *ret_err);

/* Only reachable from this machine: unix sockets, 127.0.0.0/8, ::1. */
bool sockaddr_is_local(const struct sockaddr_place *place);

/* "127.0.0.1:80", "[::1]:80", "unix:PATH" or "unix"; printable ASCII, others
 * become '?'. */
void sockaddr_text(const struct sockaddr *sa, socklen_t len, char *ret_text,
		   size_t text_bytes);

/* 16 bytes that are equal iff the IP addresses are; an IPv4 address and its
 * IPv6-mapped form are one.  For AF_INET and AF_INET6. */
void sockaddr_key(const struct sockaddr *sa, uint8_t *ret_key);

#endif
