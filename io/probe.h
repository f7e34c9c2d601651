/* io/probe.h - looking at one place; private to io/probe*.c.  Everything here
 * blocks, up to deadline_ns (clock of nbd_dial_now_ns()), and runs in helper
 * threads.
 */
#ifndef TARN_IO_PROBE_H
#define TARN_IO_PROBE_H

#include "io/nbd_dial.h"
#include "io/place.h"

/* More exports than this of one server are not looked at. */
#define PROBE_EXPORTS_MAX 128u

/* Names of a server's exports. */
struct probe_names {
	char   **names; /* malloc'ed, each too */
	unsigned count;
	bool	 cut;   /* there were more, or some too long */
};

/* Ask the server of d->addr for its exports.  A server that will not say, or
 * has none, yields the default export.  The result needs
 * probe_names_free() in any case. */
int probe_list(struct nbd_dial *d, uint64_t deadline_ns,
	       struct probe_names *ret, char *ret_err);
void probe_names_free(struct probe_names *n);

/* Look at one path or export: everything of *e but place, host and export is
 * filled in, an error as error and error_text. */
void probe_export(const struct nbd_dial *d, uint32_t want_bytes,
		  uint64_t deadline_ns, struct place_export *e);

/* Fill in e->content from e->size_bytes, head and tail. */
void probe_content(struct place_export *e);

#endif
