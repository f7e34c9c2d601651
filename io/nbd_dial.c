/* io/nbd_dial.c - see nbd_dial.h.
 *
 * libnbd does the negotiation and TLS.  It is told everything piece by piece
 * and never sees a URI.  With TLS it is told to insist on it, where the
 * authority's certificate is (never the system's authorities), and it gets
 * the host's name, without which it would not verify the certificate at all:
 * so a server behind a unix socket, which has no name, must prove itself with
 * a shared key (keys.psk) instead.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/util.h"
#include "io/nbd_dial.h"

/* The protocol's own limit when a server names none. */
#define PAYLOAD_BYTES_MAX (32u << 20)

/* An idle peer is missed after about 10 + 3 * 3 seconds. */
#define SOCKET_BUFFER_BYTES (2 << 20)
#define KEEP_IDLE_S         10
#define KEEP_INTERVAL_S     3
#define KEEP_COUNT          3

uint64_t nbd_dial_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

const char *nbd_dial_error(void)
{
	const char *text = nbd_get_error();
	const char *colon;

	if (text == NULL)
		return "the connection was lost";
	colon = strstr(text, ": ");
	if (strncmp(text, "nbd_", 4) == 0 && colon != NULL)
		return colon + 2;
	return text;
}

__attribute__((format(printf, 3, 4))) static int fail(char *ret_err, int r,
						      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ret_err, PLACE_ERR_BYTES, fmt, ap);
	va_end(ap);
	return r;
}

/* The connection is of no use: libnbd knows why. */
static int fail_nbd(const struct nbd_dial *d, char *ret_err)
{
	int error = nbd_get_errno();

	return fail(ret_err, error > 0 ? -error : -EIO, "%.60s: %.130s",
		    d->place, nbd_dial_error());
}

/* --- waiting ------------------------------------------------------------- */

int nbd_dial_wait(const struct nbd_dial *d, struct nbd_handle *h,
		  bool (*pred)(struct nbd_handle *h, void *arg), void *arg,
		  uint64_t deadline_ns, char *ret_err)
{
	while (!pred(h, arg)) {
		uint64_t now_ns = nbd_dial_now_ns();
		uint64_t left_ms;

		if (nbd_aio_is_dead(h) != 0 || nbd_aio_is_closed(h) != 0)
			return fail_nbd(d, ret_err);
		if (now_ns >= deadline_ns)
			return fail(ret_err, -ETIMEDOUT,
				    "%.100s: no answer in time", d->place);
		left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
		if (nbd_poll(h, (int)min_u64(left_ms, 60000)) < 0)
			return fail_nbd(d, ret_err);
	}
	return 0;
}

static bool is_connected(struct nbd_handle *h, void *arg)
{
	(void)arg;
	return nbd_aio_is_ready(h) > 0 || nbd_aio_is_negotiating(h) > 0;
}

/* --- setting up ---------------------------------------------------------- */

static bool is_unix(const struct nbd_dial *d)
{
	return d->addr.path[0] != '\0';
}

/* Without an authority's certificate libnbd verifies nothing at all, instead
 * of failing.  So this is looked at before and after the handshake. */
static int check_tls_files(const struct nbd_dial *d, char *ret_err)
{
	char file[PLACE_TEXT_BYTES + 16];

	if (!d->addr.tls)
		return 0;
	snprintf(file, sizeof(file), "%s/%s", d->tls_ca_dir,
		 is_unix(d) ? "keys.psk" : "ca-cert.pem");
	if (access(file, R_OK) == 0)
		return 0;
	if (is_unix(d))
		return fail(ret_err, -EINVAL,
			    "%.60s: behind a unix socket no certificate can "
			    "be verified: put a keys.psk into %.40s, or use "
			    "nbd+unix",
			    d->place, d->tls_ca_dir);
	return fail(ret_err, -EINVAL,
		    "%.60s: nothing to verify the server with: put a "
		    "ca-cert.pem into %.60s",
		    d->place, d->tls_ca_dir);
}

static int set_tls(const struct nbd_dial *d, struct nbd_handle *h,
		   char *ret_err)
{
	char keys[PLACE_TEXT_BYTES + 16];
	int r;

	if (!d->addr.tls)
		return nbd_set_tls(h, LIBNBD_TLS_DISABLE);
	r = check_tls_files(d, ret_err);
	if (r < 0)
		return r;
	snprintf(keys, sizeof(keys), "%s/keys.psk", d->tls_ca_dir);
	r = nbd_set_tls(h, LIBNBD_TLS_REQUIRE);
	if (r == 0)
		r = is_unix(d) ? nbd_set_tls_psk_file(h, keys)
			       : nbd_set_tls_certificates(h, d->tls_ca_dir);
	if (r == 0)
		r = nbd_set_tls_verify_peer(h, true);
	if (r == 0 && d->addr.user[0] != '\0')
		r = nbd_set_tls_username(h, d->addr.user);
	return r;
}

/* Simple replies cost one header less of us; buffers need not be cleared,
 * since only whole replies count; ranges and flags are checked before. */
static int set_up(const struct nbd_dial *d, struct nbd_handle *h, char *ret_err)
{
	int r;

	ret_err[0] = '\0';
	r = set_tls(d, h, ret_err);
	if (r == 0)
		r = nbd_set_export_name(h, d->addr.export);
	if (r == 0)
		r = nbd_set_opt_mode(h, d->list_mode);
	if (r == 0)
		r = nbd_set_request_structured_replies(h, false);
	if (r == 0)
		r = nbd_set_pread_initialize(h, false);
	if (r == 0)
		r = nbd_set_strict_mode(h, 0);
	if (r == 0)
		return 0;
	if (ret_err[0] != '\0')
		return -EINVAL;
	return fail_nbd(d, ret_err);
}

/* A row is up to a MiB for each disk: with buffers of the default size each
 * side would be woken several times for one.  FORCE goes beyond the system's
 * limit and needs the right to; without it the limit is what we get. */
static void big_buffers(int fd)
{
	int bytes = SOCKET_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) <
	    0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) <
	    0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

/* A dead peer is noticed even when nothing is sent.  Unix sockets refuse, and
 * need none of it. */
static void set_keepalive(struct nbd_handle *h)
{
	static const struct {
		int level;
		int name;
		int value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT,
		  1000 * (KEEP_IDLE_S + KEEP_INTERVAL_S * KEEP_COUNT) },
	};
	int fd = nbd_aio_get_fd(h);

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		setsockopt(fd, options[i].level, options[i].name,
			   &options[i].value, sizeof(options[i].value));
	big_buffers(fd);
}

int nbd_dial(const struct nbd_dial *d, uint64_t deadline_ns,
	     struct nbd_handle **ret_h, char *ret_err)
{
	struct nbd_handle *h = nbd_create();
	int r;

	if (h == NULL)
		return fail(ret_err, -ENOMEM, "%.100s: out of memory",
			    d->place);
	r = set_up(d, h, ret_err);
	if (r < 0)
		goto err_handle;
	if (is_unix(d))
		r = nbd_aio_connect_unix(h, d->addr.path);
	else
		r = nbd_aio_connect_tcp(h, d->addr.host, d->addr.port);
	if (r < 0) {
		r = fail_nbd(d, ret_err);
		goto err_handle;
	}
	r = nbd_dial_wait(d, h, is_connected, NULL, deadline_ns, ret_err);
	if (r == 0)
		r = check_tls_files(d, ret_err);
	if (r < 0)
		goto err_handle;
	set_keepalive(h);
	*ret_h = h;
	return 0;

err_handle:
	nbd_close(h);
	return r;
}

/* --- what is there ------------------------------------------------------- */

static int check_block_sizes(const struct nbd_dial *d, struct nbd_handle *h,
			     struct nbd_facts *ret, char *ret_err)
{
	int64_t min = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
	int64_t max = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (min < 0 || max < 0)
		return fail_nbd(d, ret_err);
	/* 0 means that the server has not said. */
	if (min > (int64_t)TARN_BLOCK || (min > 0 && TARN_BLOCK % min != 0))
		return fail(ret_err, -EINVAL,
			    "%.80s: the server takes only blocks of %lld "
			    "bytes; they must divide 4096",
			    d->place, (long long)min);
	if (max > 0 && max < (int64_t)TARN_BLOCK)
		return fail(ret_err, -EINVAL,
			    "%.80s: the server takes at most %lld bytes at "
			    "once; 4096 are needed",
			    d->place, (long long)max);
	if (max == 0 || max > (int64_t)PAYLOAD_BYTES_MAX)
		max = PAYLOAD_BYTES_MAX;
	ret->payload_bytes = (uint32_t)max & ~(TARN_BLOCK - 1);
	return 0;
}

int nbd_dial_facts(const struct nbd_dial *d, struct nbd_handle *h,
		   struct nbd_facts *ret, char *ret_err)
{
	int64_t size = nbd_get_size(h);
	int r;

	if (size < 0)
		return fail(ret_err, -EINVAL,
			    "%.80s: the server says no size, or one beyond "
			    "2^63 bytes",
			    d->place);
	if (size < (int64_t)TARN_BLOCK || (uint64_t)size > DISK_BYTES_MAX)
		return fail(ret_err, -EINVAL,
			    "%.80s: a size of %lld bytes cannot be used",
			    d->place, (long long)size);
	r = check_block_sizes(d, h, ret, ret_err);
	if (r < 0)
		return r;
	ret->size_bytes = (uint64_t)size;
	ret->read_only = nbd_is_read_only(h) > 0;
	ret->can_flush = nbd_can_flush(h) > 0;
	ret->can_trim = nbd_can_trim(h) > 0;
	ret->can_multi_conn = nbd_can_multi_conn(h) > 0;
	return 0;
}
