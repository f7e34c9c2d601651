/* tools/check/check_nbd.c - exports of NBD servers as disks to check.
 *
 * Blocking libnbd, one connection, nothing but reads.  Only the four schemes
 * of NBD reach libnbd.  With TLS the server's certificate is verified against
 * the directory's authority and the host name; over a unix socket, where there
 * is no host name, a pre-shared key is asked for.
 */
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/util.h"
#include "tools/check/check_place.h"

#define NBD_READ_MAX (1u << 20)

struct nbd_source {
	struct check_source source;
	struct nbd_handle  *nbd;
	char               *name;
};

static int nbd_source_read(struct check_source *s, uint64_t off_bytes,
			   void *buf, size_t len_bytes)
{
	struct nbd_source *n = container_of(s, struct nbd_source, source);

	while (len_bytes > 0) {
		size_t part = min_u64(len_bytes, NBD_READ_MAX);

		if (nbd_pread(n->nbd, buf, part, off_bytes, 0) < 0) {
			int e = nbd_get_errno();

			return e > 0 ? -e : -EIO;
		}
		buf = (char *)buf + part;
		off_bytes += part;
		len_bytes -= part;
	}
	return 0;
}

static bool scheme_is(const char *uri, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncmp(uri, scheme, n) == 0 && strncmp(uri + n, "://", 3) == 0;
}

static int tls_set(struct nbd_handle *h, const char *uri, const char *tls_dir)
{
	char keys[4096];

	if (scheme_is(uri, "nbds+unix")) {
		snprintf(keys, sizeof(keys), "%s/keys.psk", tls_dir);
		return nbd_set_tls_psk_file(h, keys);
	}
	if (scheme_is(uri, "nbds")) {
		if (nbd_set_tls_certificates(h, tls_dir) < 0)
			return -1;
		return nbd_set_tls_verify_peer(h, true);
	}
	return 0;
}

static int connect_uri(struct nbd_source *n, const char *uri,
		       const char *tls_dir, char ret_err[512])
{
	int64_t size;

	n->nbd = nbd_create();
	if (n->nbd == NULL || tls_set(n->nbd, uri, tls_dir) < 0 ||
	    nbd_connect_uri(n->nbd, uri) < 0) {
		snprintf(ret_err, 512, "%.200s: cannot be reached: %.200s",
			 uri, nbd_get_error());
		return -EIO;
	}
	size = nbd_get_size(n->nbd);
	if (size < 0 || (uint64_t)size > DISK_BYTES_MAX) {
		snprintf(ret_err, 512, "%.200s: its size is out of range", uri);
		return -EINVAL;
	}
	n->source.size_bytes = (uint64_t)size;
	return 0;
}

int check_nbd_open(const char *uri, const char *tls_dir,
		   struct check_source **ret_source, char ret_err[512])
{
	struct nbd_source *n;
	int r;

	if (!scheme_is(uri, "nbd") && !scheme_is(uri, "nbds") &&
	    !scheme_is(uri, "nbd+unix") && !scheme_is(uri, "nbds+unix")) {
		snprintf(ret_err, 512, "%.200s: is neither a file nor an NBD "
			 "URI (nbd, nbds, nbd+unix, nbds+unix)", uri);
		return -EINVAL;
	}
	snprintf(ret_err, 512, "%.200s: too little memory", uri);
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	n->name = strdup(uri);
	n->source.name = n->name;
	n->source.read = nbd_source_read;
	r = n->name == NULL ? -ENOMEM : connect_uri(n, uri, tls_dir, ret_err);
	if (r < 0) {
		check_nbd_close(&n->source);
		return r;
	}
	*ret_source = &n->source;
	return 0;
}

void check_nbd_close(struct check_source *source)
{
	struct nbd_source *n = container_of(source, struct nbd_source, source);

	nbd_close(n->nbd);
	free(n->name);
	free(n);
}
