/* tools/tarn/export_write.h - writes to an NBD export, several at once.
 *
 * Data are copied, so a buffer is free again at once; each call may wait until
 * there is room for one more.  The first failure, of whichever write, is that
 * of all calls from then on.
 *
 * Functions return 0, or -1 with a clause in error.
 */
#ifndef TARN_TOOLS_TARN_EXPORT_WRITE_H
#define TARN_TOOLS_TARN_EXPORT_WRITE_H

#include <libnbd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT_SLOTS      16u
#define EXPORT_WRITE_MAX  (1u << 20)
#define EXPORT_ZERO_MAX   (1u << 30) /* of one request */

struct export_writer;

/* One request in flight. */
struct export_slot {
	struct export_writer *w;
	uint64_t off_bytes;
	uint8_t *buf;  /* EXPORT_WRITE_MAX */
	bool     busy;
};

struct export_writer {
	struct nbd_handle *nbd;   /* NULL: not connected */
	uint64_t           size_bytes;
	unsigned           nbusy;
	int                res;   /* errno of the first failure; 0: none */
	char               error[600];
	struct export_slot slots[EXPORT_SLOTS];
};

/* listen: as of connect_find().  export_close() in any case. */
int export_open(struct export_writer *w, const char *listen,
		const char *export_name);
/* What is in flight is let go, the connection too. */
void export_close(struct export_writer *w);
/* len: at most EXPORT_WRITE_MAX. */
int export_write(struct export_writer *w, uint64_t off_bytes, const void *buf,
		 size_t len);
/* Any length. */
int export_zero(struct export_writer *w, uint64_t off_bytes,
		uint64_t len_bytes);
/* Everything so far is durable. */
int export_sync(struct export_writer *w);
int export_read(struct export_writer *w, uint64_t off_bytes, void *buf,
		size_t len);

#endif
