/* tests/server/tarnd_nbd.h - a client, by libnbd, of the tarnd of a world. */
#ifndef TARN_TESTS_SERVER_TARND_NBD_H
#define TARN_TESTS_SERVER_TARND_NBD_H

#include <libnbd.h>

#include "tarnd_kit.h"

/* One that is not connected. */
struct nbd_handle *handle(void);
/* Connect it; -1: refused. */
int dial_nbd(const struct world *w, struct nbd_handle *nbd);
/* One with this export, and base:allocation. */
struct nbd_handle *attach(const struct world *w, const char *name);
/* Once the pool serves it, after a start. */
struct nbd_handle *attach_soon(const struct world *w, const char *name);
void detach(struct nbd_handle *nbd);

/* Write bytes c; read that there are nothing else. */
void fill(struct nbd_handle *nbd, int c, uint64_t off, size_t len);
void holds(struct nbd_handle *nbd, int c, uint64_t off, size_t len);
/* The same, of an export that is attached for it alone. */
void fill_in(const struct world *w, const char *name, int c, uint64_t off,
	     size_t len);
void holds_in(const struct world *w, const char *name, int c, uint64_t off,
	      size_t len);

#endif
