/* server/sockaddr.c - text to address and back. */
#include "server/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define HOST_MAX 255

static int parse_unix(const char *path, struct sockaddr_place *place,
		      char *ret_err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&place->ss;
	size_t              n = strlen(path);

	if (n == 0) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "\"unix:\" lacks a path: write unix:/path/to/socket");
		return -EINVAL;
	}
	if (n >= sizeof(un->sun_path)) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "the path of a unix socket has at most %zu bytes, "
			 "\"%.60s...\" has %zu: use a shorter one",
			 sizeof(un->sun_path) - 1, path, n);
		return -ENAMETOOLONG;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, n + 1);
	place->len =
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

/* Cut "host:port" in two. */
static bool split(const char *where, char *ret_host, const char **ret_port)
{
	const char *start = where;
	const char *end, *colon;

	if (*where == '[') {
		start = where + 1;
		end = strchr(start, ']');
		if (end == NULL || end[1] != ':')
			return false;
		colon = end + 1;
	} else {
		colon = strrchr(where, ':');
		end = colon;
		if (colon == NULL || strchr(where, ':') != colon)
			return false;
	}
	if (end == start || end - start > HOST_MAX)
		return false;
	memcpy(ret_host, start, (size_t)(end - start));
	ret_host[end - start] = 0;
	*ret_port = colon + 1;
	return true;
}

static bool port_ok(const char *port)
{
	char *end;
	long  n;

	if (port[0] < '0' || port[0] > '9')
		return false;
	n = strtol(port, &end, 10);
	return *end == 0 && n >= 1 && n <= 65535;
}

static int resolve(const char *host, const char *port,
		   struct sockaddr_place *place, char *ret_err)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *ai;
	int              r = getaddrinfo(host, port, &hints, &ai);

	if (r != 0) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "the host \"%.80s\" is not known (%s)", host,
			 gai_strerror(r));
		return -ENXIO;
	}
	memcpy(&place->ss, ai->ai_addr, ai->ai_addrlen);
	place->len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

int sockaddr_parse(const char *where, struct sockaddr_place *ret_place,
		   char *ret_err)
{
	struct sockaddr_place place = { 0 };
	char                  host[HOST_MAX + 1];
	const char           *port;
	int                   r;

	if (strncmp(where, "unix:", 5) == 0) {
		r = parse_unix(where + 5, &place, ret_err);
	} else if (!split(where, host, &port) || !port_ok(port)) {
		snprintf(ret_err, SOCKADDR_ERR_BYTES,
			 "\"%.80s\" is no address: write ADDR:PORT, "
			 "[ADDR6]:PORT or unix:PATH",
			 where);
		r = -EINVAL;
	} else {
		r = resolve(host, port, &place, ret_err);
	}
	if (r == 0)
		*ret_place = place;
	return r;
}

bool sockaddr_is_local(const struct sockaddr_place *place)
{
	static const uint8_t loopback4[] = { 0, 0, 0, 0, 0,    0,   0,
					     0, 0, 0, 0xff, 0xff, 127 };
	const struct sockaddr *sa = (const struct sockaddr *)&place->ss;
	uint8_t                key[16];

	if (sa->sa_family == AF_UNIX)
		return true;
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return false;
	sockaddr_key(sa, key);
	return memcmp(key, loopback4, sizeof(loopback4)) == 0 ||
	       memcmp(key, &in6addr_loopback, sizeof(key)) == 0;
}

/* The path is the peer's choice: only harmless characters of it are shown. */
static void unix_text(const struct sockaddr_un *un, socklen_t len,
		      char *ret_text, size_t text_bytes)
{
	size_t path_len = len - offsetof(struct sockaddr_un, sun_path);

	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    un->sun_path[0] == 0) {
		snprintf(ret_text, text_bytes, "unix");
		return;
	}
	snprintf(ret_text, text_bytes, "unix:%.*s", (int)path_len,
		 un->sun_path);
	for (char *p = ret_text; *p != 0; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

void sockaddr_text(const struct sockaddr *sa, socklen_t len, char *ret_text,
		   size_t text_bytes)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
	char                      host[64], port[16];

	if (sa->sa_family == AF_UNIX) {
		unix_text(un, len, ret_text, text_bytes);
		return;
	}
	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(ret_text, text_bytes, "(unknown)");
	else if (sa->sa_family == AF_INET6)
		snprintf(ret_text, text_bytes, "[%s]:%s", host, port);
	else
		snprintf(ret_text, text_bytes, "%s:%s", host, port);
}

void sockaddr_key(const struct sockaddr *sa, uint8_t *ret_key)
{
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)sa;

		memcpy(ret_key, &s6->sin6_addr, 16);
		return;
	}
	memset(ret_key, 0, 10);
	memset(ret_key + 10, 0xff, 2);
	memcpy(ret_key + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
}
