/* tests/server/tarnd_nbd.c - see tarnd_nbd.h. */
#include <stdlib.h>
#include <string.h>

#include "tarnd_nbd.h"

struct nbd_handle *handle(void)
{
	struct nbd_handle *nbd = nbd_create();

	assert_non_null(nbd);
	return nbd;
}

int dial_nbd(const struct world *w, struct nbd_handle *nbd)
{
	char path[100];

	text(path, sizeof(path), "%s/nbd", w->dir);
	return nbd_connect_unix(nbd, path);
}

struct nbd_handle *attach(const struct world *w, const char *name)
{
	struct nbd_handle *nbd = handle();

	assert_int_equal(nbd_set_export_name(nbd, name), 0);
	assert_int_equal(nbd_add_meta_context(nbd, "base:allocation"), 0);
	if (dial_nbd(w, nbd) < 0)
		fail_msg("%s: %s", name, nbd_get_error());
	return nbd;
}

struct nbd_handle *attach_soon(const struct world *w, const char *name)
{
	tank_wait_state(w, "online");
	return attach(w, name);
}

void detach(struct nbd_handle *nbd)
{
	nbd_shutdown(nbd, 0);
	nbd_close(nbd);
}

void fill(struct nbd_handle *nbd, int c, uint64_t off, size_t len)
{
	char *buf = malloc(len);

	memset(buf, c, len);
	assert_int_equal(nbd_pwrite(nbd, buf, len, off, 0), 0);
	free(buf);
}

void holds(struct nbd_handle *nbd, int c, uint64_t off, size_t len)
{
	char *buf = malloc(len);

	assert_int_equal(nbd_pread(nbd, buf, len, off, 0), 0);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != c)
			fail_msg("%d, not %d, at %zu", buf[i], c, off + i);
	free(buf);
}

void fill_in(const struct world *w, const char *name, int c, uint64_t off,
	     size_t len)
{
	struct nbd_handle *nbd = attach(w, name);

	fill(nbd, c, off, len);
	detach(nbd);
}

void holds_in(const struct world *w, const char *name, int c, uint64_t off,
	      size_t len)
{
	struct nbd_handle *nbd = attach(w, name);

	holds(nbd, c, off, len);
	detach(nbd);
}
