/* io/place_parse.c - see place_parse.h.
 *
 *   nbd[s]://[USER@]HOST[:PORT]/[EXPORT]
 *   nbd[s]+unix://[USER@]/[EXPORT]?socket=PATH
 *
 * %XX is decoded in export names, users and socket paths, not in hosts.  What
 * is not understood (other parameters, fragments, %00) is refused rather than
 * ignored: a place must not mean something else than its writer thought.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "io/place_parse.h"

#define PORT_DEFAULT "10809"
#define SUN_PATH_MAX 107 /* sockaddr_un.sun_path without its NUL */

__attribute__((format(printf, 2, 3))) static int
refuse(char *ret_err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret_err, PLACE_ERR_BYTES, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode len bytes of %XX text.  False if they are malformed, hold a NUL, or
 * do not fit. */
static bool decode(const char *text, size_t len, char *ret_out,
		   size_t out_bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			if (len - i < 3)
				return false;
			if (hex_digit(text[i + 1]) < 0 ||
			    hex_digit(text[i + 2]) < 0)
				return false;
			c = hex_digit(text[i + 1]) * 16 +
			    hex_digit(text[i + 2]);
			i += 2;
		}
		if (c == 0 || n + 1 >= out_bytes)
			return false;
		ret_out[n++] = (char)c;
	}
	ret_out[n] = '\0';
	return true;
}

static bool host_char(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

static bool parse_port(const char *text, size_t len, char *ret_port)
{
	unsigned port = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	if (port == 0 || port > 65535)
		return false;
	snprintf(ret_port, 8, "%u", port);
	return true;
}

/* [ADDRESS] or a bare IPv6 address: hexadecimal digits, colons, dots, and a
 * zone after '%'. */
static bool copy_ipv6(const char *text, size_t len, char *ret_host,
		      size_t host_bytes)
{
	if (len < 2 || len >= host_bytes || memchr(text, ':', len) == NULL)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!host_char(text[i]) && text[i] != ':' && text[i] != '%')
			return false;
	}
	memcpy(ret_host, text, len);
	ret_host[len] = '\0';
	return true;
}

static bool copy_host(const char *text, size_t len, struct place_addr *ret)
{
	if (len == 0 || len >= sizeof(ret->host) || text[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!host_char(text[i]))
			return false;
	}
	memcpy(ret->host, text, len);
	ret->host[len] = '\0';
	return true;
}

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT, or a bare IPv6 address. */
static bool parse_hostport(const char *text, size_t len,
			   struct place_addr *ret)
{
	const char *end = text + len;
	const char *colon = memchr(text, ':', len);
	const char *bracket = memchr(text, ']', len);

	strcpy(ret->port, PORT_DEFAULT);
	if (len > 0 && text[0] == '[') {
		if (bracket == NULL)
			return false;
		if (!copy_ipv6(text + 1, (size_t)(bracket - text - 1),
			       ret->host, sizeof(ret->host)))
			return false;
		if (bracket + 1 == end)
			return true;
		return bracket[1] == ':' &&
		       parse_port(bracket + 2, (size_t)(end - bracket - 2),
				  ret->port);
	}
	if (colon == NULL)
		return copy_host(text, len, ret);
	if (memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
		return copy_ipv6(text, len, ret->host, sizeof(ret->host));
	return copy_host(text, (size_t)(colon - text), ret) &&
	       parse_port(colon + 1, (size_t)(end - colon - 1), ret->port);
}

/* What stands before the path: [USER@]HOST[:PORT], or [USER@] for unix. */
static int parse_authority(const char *place, const char *text, size_t len,
			   struct place_addr *ret, char *ret_err)
{
	const char *at = memchr(text, '@', len);

	if (at != NULL) {
		if (!ret->tls)
			return refuse(ret_err,
				      "%.100s: a user name needs TLS: write "
				      "nbds://",
				      place);
		if (at == text || !decode(text, (size_t)(at - text), ret->user,
					  sizeof(ret->user)))
			return refuse(ret_err,
				      "%.100s: the user name is not valid",
				      place);
		len -= (size_t)(at + 1 - text);
		text = at + 1;
	}
	if (ret->path[0] != '\0') {
		if (len == 0)
			return 0;
		return refuse(ret_err,
			      "%.100s: a unix place has three slashes and no "
			      "host: nbd+unix:///EXPORT?socket=PATH",
			      place);
	}
	if (!parse_hostport(text, len, ret))
		return refuse(ret_err,
			      "%.100s: not a valid HOST or HOST:PORT (an IPv6 "
			      "address goes into brackets)",
			      place);
	return 0;
}

/* The only parameter is socket=PATH, and only unix URIs have it. */
static int parse_query(const char *place, const char *query, bool is_unix,
		       struct place_addr *ret, char *ret_err)
{
	if (is_unix && query != NULL && strncmp(query, "socket=", 7) == 0 &&
	    strchr(query, '&') == NULL) {
		if (decode(query + 7, strlen(query + 7), ret->path,
			   sizeof(ret->path)) &&
		    ret->path[0] != '\0' && strlen(ret->path) <= SUN_PATH_MAX)
			return 0;
		return refuse(ret_err,
			      "%.100s: the socket's path must have 1 to %d "
			      "bytes",
			      place, SUN_PATH_MAX);
	}
	if (is_unix)
		return refuse(ret_err,
			      "%.100s: say where the socket is, and nothing "
			      "else: nbd+unix:///EXPORT?socket=PATH",
			      place);
	if (query != NULL)
		return refuse(ret_err,
			      "%.100s: parameters after '?' are not taken here",
			      place);
	return 0;
}

static const struct scheme {
	const char *prefix; /* with "://" */
	bool	    tls;
	bool	    is_unix;
} schemes[] = {
	{ "nbd://", false, false },
	{ "nbds://", true, false },
	{ "nbd+unix://", false, true },
	{ "nbds+unix://", true, true },
};

static const struct scheme *find_scheme(const char *place)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		const struct scheme *s = &schemes[i];

		if (strncasecmp(place, s->prefix, strlen(s->prefix)) == 0)
			return s;
	}
	return NULL;
}

static int parse_uri(const char *place, const struct scheme *s,
		     struct place_addr *ret, char *ret_err)
{
	const char *authority = place + strlen(s->prefix);
	size_t	    authority_len = strcspn(authority, "/?#");
	const char *path = authority + authority_len;
	const char *query = strchr(path, '?');
	size_t	    path_len = query != NULL ? (size_t)(query - path)
					     : strlen(path);
	int	    r;

	ret->kind = PLACE_NBD;
	ret->tls = s->tls;
	if (strchr(place, '#') != NULL)
		return refuse(ret_err,
			      "%.100s: write %%23 for a '#' in a place", place);
	if (path_len > 0) { /* the first slash is not part of the name */
		path++;
		path_len--;
	}
	if (!decode(path, path_len, ret->export, sizeof(ret->export)))
		return refuse(ret_err,
			      "%.100s: the export name is not valid: '%%' must "
			      "be followed by two hexadecimal digits, not 00",
			      place);
	r = parse_query(place, query != NULL ? query + 1 : NULL, s->is_unix,
			ret, ret_err);
	if (r < 0)
		return r;
	return parse_authority(place, authority, authority_len, ret, ret_err);
}

int place_parse(const char *place, struct place_addr *ret, char *ret_err)
{
	const struct scheme *s = find_scheme(place);
	size_t		     len = strlen(place);

	memset(ret, 0, sizeof(*ret));
	if (len == 0 || len >= PLACE_TEXT_BYTES)
		return refuse(ret_err,
			      "%.60s: a place must have 1 to %d bytes", place,
			      PLACE_TEXT_BYTES - 1);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)place[i]))
			return refuse(ret_err,
				      "a place must not hold control "
				      "characters: write them as %%XX");
	}
	if (s != NULL)
		return parse_uri(place, s, ret, ret_err);
	if (strstr(place, "://") != NULL)
		return refuse(ret_err,
			      "%.100s: only nbd://, nbds://, nbd+unix:// and "
			      "nbds+unix:// are taken",
			      place);
	if (place[0] == '.' || strchr(place, '/') != NULL) {
		ret->kind = PLACE_PATH;
		snprintf(ret->path, sizeof(ret->path), "%s", place);
		return 0;
	}
	ret->kind = PLACE_SERVER;
	return parse_authority(place, place, len, ret, ret_err);
}

/* --- and back ------------------------------------------------------------ */

struct text {
	char  *out;  /* PLACE_TEXT_BYTES */
	size_t len;  /* without the NUL */
	bool   full; /* it did not fit */
};

static void add_char(struct text *t, char c)
{
	if (t->len + 1 >= PLACE_TEXT_BYTES) {
		t->full = true;
		return;
	}
	t->out[t->len++] = c;
	t->out[t->len] = '\0';
}

static void add(struct text *t, const char *s)
{
	for (; *s != '\0'; s++)
		add_char(t, *s);
}

static void add_encoded(struct text *t, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c < 0x80 && isalnum(c)) || strchr("-._~/:+,=", c)) {
			add_char(t, (char)c);
			continue;
		}
		add_char(t, '%');
		add_char(t, hex[c >> 4]);
		add_char(t, hex[c & 15]);
	}
}

int place_export_uri(const struct place_addr *a, const char *export_name,
		     char *ret_place)
{
	struct text t = { .out = ret_place };
	bool	    is_unix = a->path[0] != '\0';

	ret_place[0] = '\0';
	add(&t, a->tls ? "nbds" : "nbd");
	add(&t, is_unix ? "+unix://" : "://");
	if (a->user[0] != '\0') {
		add_encoded(&t, a->user);
		add(&t, "@");
	}
	if (!is_unix) {
		bool ipv6 = strchr(a->host, ':') != NULL;

		add(&t, ipv6 ? "[" : "");
		add(&t, a->host);
		add(&t, ipv6 ? "]" : "");
		if (strcmp(a->port, PORT_DEFAULT) != 0) {
			add(&t, ":");
			add(&t, a->port);
		}
	}
	add(&t, "/");
	add_encoded(&t, export_name);
	if (is_unix) {
		add(&t, "?socket=");
		add_encoded(&t, a->path);
	}
	return t.full ? -ENAMETOOLONG : 0;
}

void place_host(const struct place_addr *a, char *ret_host, size_t host_bytes)
{
	const char *host = a->host[0] != '\0' ? a->host : "local";
	size_t	    n = 0;

	for (; host[n] != '\0' && n + 1 < host_bytes; n++)
		ret_host[n] = (char)tolower((unsigned char)host[n]);
	ret_host[n] = '\0';
}
