/* tools/check/check_place.h - disks for the check: files, block devices, NBD.
 *
 * Opened read-only, read blocking.  For programs; the check itself
 * (tools/check/check.h) knows nothing of it.
 */
#ifndef TARN_TOOLS_CHECK_CHECK_PLACE_H
#define TARN_TOOLS_CHECK_CHECK_PLACE_H

#include "tools/check/check.h"

/* Certificates for nbds, where the caller names no other directory. */
#define CHECK_TLS_DIR "/etc/tarn/pki"

/* place: a path of a regular file or block device, or an NBD URI (nbd, nbds,
 * nbd+unix, nbds+unix).  tls_dir: for nbds, directory with ca-cert.pem… and,
 * for nbds+unix, keys.psk.  0, or -errno and ret_err (one sentence). */
int  check_place_open(const char *place, const char *tls_dir,
		      struct check_source **ret_source, char ret_err[512]);
void check_place_close(struct check_source *source);

/* All of them, in order, or none: 0, or -errno and ret_err. */
int  check_places_open(char *const *places, unsigned n, const char *tls_dir,
		       struct check_source ***ret_sources, char ret_err[512]);
void check_places_close(struct check_source **sources, unsigned n);

/* check_nbd.c */
int  check_nbd_open(const char *uri, const char *tls_dir,
		    struct check_source **ret_source, char ret_err[512]);
void check_nbd_close(struct check_source *source);

#endif
