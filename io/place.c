/* io/place.c - disk_open(): which kind of disk a place names.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/disk_impl.h"
#include "io/place.h"
#include "io/place_parse.h"

int place_resolve(const char *place, struct place_addr *ret, char *ret_err)
{
	struct stat st;
	int	    r = place_parse(place, ret, ret_err);

	/* A bare word that is a file here is that file. */
	if (r == 0 && ret->kind == PLACE_SERVER && stat(place, &st) == 0 &&
	    (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		memset(ret, 0, sizeof(*ret));
		ret->kind = PLACE_PATH;
		snprintf(ret->path, sizeof(ret->path), "%s", place);
	}
	return r;
}

int place_check_tls(const char *place, const struct place_addr *addr,
		    const char *tls_ca_dir, char *ret_err)
{
	if (strlen(tls_ca_dir) < PLACE_TEXT_BYTES || !addr->tls)
		return 0;
	snprintf(ret_err, PLACE_ERR_BYTES,
		 "%.60s: the name of the certificate directory is too long",
		 place);
	return -EINVAL;
}

static struct disk_params complete(const struct disk_params *params)
{
	struct disk_params p = { 0 };

	if (params != NULL)
		p = *params;
	if (p.timeout_ns == 0)
		p.timeout_ns = DISK_TIMEOUT_NS;
	if (p.connect_timeout_ns == 0)
		p.connect_timeout_ns = DISK_CONNECT_TIMEOUT_NS;
	if (p.lanes == 0)
		p.lanes = DISK_LANES;
	if (p.lanes > DISK_LANES_MAX)
		p.lanes = DISK_LANES_MAX;
	if (p.tls_ca_dir == NULL)
		p.tls_ca_dir = DISK_PKI_DIR;
	return p;
}

/* NOLINTNEXTLINE(readability-function-size): 7 parameters */
int disk_open(struct io *io, const char *place,
	      const struct disk_params *params,
	      void (*event)(struct disk *d, enum disk_event ev, void *arg),
	      void *event_arg, struct disk **ret_disk, char *ret_err)
{
	struct disk_params p = complete(params);
	struct place_addr  addr;
	struct disk	  *d;
	int		   r;

	assert(event != NULL);
	r = place_resolve(place, &addr, ret_err);
	if (r < 0)
		return r;
	if (addr.kind == PLACE_SERVER) {
		snprintf(ret_err, PLACE_ERR_BYTES,
			 "%.60s: no such file, and a host is no single disk: "
			 "name one of its exports, nbd://HOST/EXPORT",
			 place);
		return -EINVAL;
	}
	if (addr.kind == PLACE_PATH) {
		r = disk_file_open(io, &addr, &p, &d);
	} else {
		r = place_check_tls(place, &addr, p.tls_ca_dir, ret_err);
		if (r == 0)
			r = disk_nbd_open(io, &addr, &p, &d);
	}
	if (r == -ENOMEM)
		snprintf(ret_err, PLACE_ERR_BYTES, "%.100s: out of memory",
			 place);
	if (r < 0)
		return r;
	snprintf(d->place, sizeof(d->place), "%s", place);
	d->event = event;
	d->event_arg = event_arg;
	*ret_disk = d;
	return 0;
}
