/* io/place.h - opening a real disk by its place: a path or an NBD URI. */
#ifndef TARN_IO_PLACE_H
#define TARN_IO_PLACE_H

#include "io/disk.h"

struct disk_params {
	uint64_t timeout_ns;        /* a request's limit; 0: the default, 4 s */
	uint64_t connect_timeout_ns; /* a connection attempt; 0: 3 s */
	unsigned lanes;             /* connections wanted; 0: the default */
	bool     read_only;         /* never write, open O_RDONLY */
	const char *tls_ca_dir;     /* nbds: directory with ca-cert.pem …,
				     * nbds+unix: with keys.psk; NULL:
				     * /etc/tarn/pki */
};

/* Start opening `place`:
 *   nbd://HOST[:PORT]/[EXPORT], nbds://…, nbd+unix:///[EXPORT]?socket=PATH,
 *   nbds+unix://[USER@]/…, or a path of a regular file or block device.
 * Returns at once; the event callback gets DISK_EV_UP, or DISK_EV_DOWN when
 * the first attempt fails (it goes on trying, with back-off, until closed).
 * params may be NULL.  The disk belongs to the caller until disk_close().
 * -EINVAL: not a place that we open (other URI schemes never reach libnbd);
 * ret_err (200 bytes) then says why. */
int disk_open(struct io *io, const char *place,
	      const struct disk_params *params,
	      void (*event)(struct disk *d, enum disk_event ev, void *arg),
	      void *event_arg, struct disk **ret_disk, char *ret_err);

/* What one place offers.  A place may be a bare HOST or HOST:PORT too, which
 * stands for every export of that server. */
struct place_export {
	char     place[512];  /* what to give to disk_open() */
	char     host[64];
	char     export[256]; /* its name, "" for the default one or a path */
	uint64_t size_bytes;  /* 0 when unreachable */
	bool     read_only;
	bool     can_flush;
	int      error;       /* 0, or why it cannot be used */
	char     error_text[200];
	char     content[64]; /* libblkid's word for a foreign content: "ext4",
			       * "gpt", "LVM2_member"…; "" if none was found */
	uint8_t *head;        /* first head_bytes bytes of the disk */
	uint8_t *tail;        /* last ones, of whole blocks of 4096; NULL if
			       * the disk is smaller */
	uint32_t head_bytes;
};

struct place_list {
	struct place_export *exports;
	unsigned             nexports;
};

/* Look at all `places` in parallel, within deadline_ns of now, reading
 * want_bytes from both ends of each export (for labels) and probing what is
 * on it.  Never writes.  done() gets a list that it must free with
 * place_list_free(); an unreachable place is an entry with an error. */
int places_probe(struct io *io, const char *const *places, unsigned nplaces,
		 uint32_t want_bytes, uint64_t deadline_ns,
		 void (*done)(struct place_list *list, void *arg), void *arg);
void place_list_free(struct place_list *list);

#endif
