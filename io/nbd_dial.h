/* io/nbd_dial.h - connecting to an NBD server with libnbd, in a helper thread:
 * everything here blocks, up to a deadline (name resolution: longer).
 *
 * Errors are negative errno and a sentence in PLACE_ERR_BYTES at ret_err.
 */
#ifndef TARN_IO_NBD_DIAL_H
#define TARN_IO_NBD_DIAL_H

#include <libnbd.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/place_parse.h"

struct nbd_dial {
	struct place_addr addr;
	char place[PLACE_TEXT_BYTES];      /* for sentences */
	char tls_ca_dir[PLACE_TEXT_BYTES]; /* used if addr.tls */
	bool list_mode;                    /* stop before an export is chosen */
};

/* What a connection offers, checked. */
struct nbd_facts {
	uint64_t size_bytes;    /* 4096 to DISK_BYTES_MAX */
	uint32_t payload_bytes; /* largest request; a multiple of 4096 */
	bool	 read_only;
	bool	 can_flush;
	bool	 can_trim;
	bool	 can_multi_conn;
};

/* Clock of the deadlines below. */
uint64_t nbd_dial_now_ns(void);

/* A connection ready for requests, or for nbd_opt_* in list mode (an old
 * server that knows no options ends up ready all the same). */
int nbd_dial(const struct nbd_dial *d, uint64_t deadline_ns,
	     struct nbd_handle **ret_h, char *ret_err);

/* Wait until pred(h, arg) says so.  -ETIMEDOUT; -EIO when the connection is
 * dead first. */
int nbd_dial_wait(const struct nbd_dial *d, struct nbd_handle *h,
		  bool (*pred)(struct nbd_handle *h, void *arg), void *arg,
		  uint64_t deadline_ns, char *ret_err);

/* -EINVAL when the disk cannot be used as it is. */
int nbd_dial_facts(const struct nbd_dial *d, struct nbd_handle *h,
		   struct nbd_facts *ret, char *ret_err);

/* libnbd's last error in this thread, without its function names. */
const char *nbd_dial_error(void);

#endif
