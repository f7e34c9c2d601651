/* server/export.h - what the NBD server serves: a volume, a snapshot, or the
 * raw disk of a disk host, behind one table of functions.
 *
 * Rules of use
 *  - The NBD server owns the requests and their buffers.
 *  - submit() never calls done(); done() is called exactly once, from the
 *    engine's loop.
 *  - The NBD server has already checked offset + length against size_bytes,
 *    the command against the flags, and data lengths against
 *    REQUEST_DATA_MAX.
 */
#ifndef TARN_SERVER_EXPORT_H
#define TARN_SERVER_EXPORT_H

#include "io/disk.h"
#include "volume/volume.h"

struct export;

struct export_req {
	struct export *exp;
	uint8_t        op;        /* enum vol_op */
	uint8_t        flags;     /* enum vol_flag */
	uint64_t       off_bytes;
	uint64_t       len_bytes;
	void          *buf;       /* as in struct vol_req */
	uint64_t      *holes;     /* as in struct vol_req; may be NULL */
	struct vol_extent *extents; /* as in struct vol_req */
	uint32_t       extents_max;
	uint32_t       nextents;
	uint64_t       mark;      /* DIFF: of the bitmap that is asked for;
				   * STATUS: of the one that decides what a
				   * hole has been, 0: none */
	int            res;       /* 0 or -errno */
	void (*done)(struct export_req *req);
	/* The export's own. */
	union {
		struct vol_req  vol;
		struct {
			struct io_req  io;
			struct io_work work;    /* done() from the loop */
			uint32_t       step;    /* enum raw_step */
			uint32_t       retries; /* after EAGAIN, EINTR */
		} raw;
	} priv;
};

struct export_info {
	char     name[TREE_NAME_MAX + 1];
	char     description[256];   /* for NBD_REP_SERVER, may be "" */
	uint64_t size_bytes;
	uint32_t block_min;          /* 1 for volumes */
	uint32_t block_preferred;    /* 4096 */
	bool     read_only;
	bool     can_trim;
	bool     can_zero;
	bool     can_fast_zero;
	bool     can_fua;
	bool     can_flush;
	bool     can_cache;
	bool     multi_conn;
};

/* A bitmap says what has changed in an export since an older state of it. */
struct export_bitmap {
	char     name[VOLUME_NAME_MAX + 1];
	uint64_t mark; /* for requests, never 0; that of an older state is
			* smaller.  It stays true whatever becomes of the
			* bitmap. */
};

struct export_ops {
	void (*info)(struct export *exp, struct export_info *ret_info);
	void (*submit)(struct export_req *req);
	/* Is that mark of this export?  Not needed without bitmaps. */
	bool (*has_mark)(struct export *exp, uint64_t mark);
	/* Requests that would wait, for however long, end soon, with an error;
	 * NULL: there are none such. */
	void (*leave)(struct export *exp);
	/* The last user has gone; may free the export. */
	void (*put)(struct export *exp);
};

/* An opened export: one per connection that negotiated it. */
struct export {
	const struct export_ops *ops;
	/* Set by the NBD server: called when the export goes away under its
	 * user (volume deleted by force, shrunk by force, pool lost).  The
	 * connection must end. */
	void (*gone)(struct export *exp, void *arg);
	void  *gone_arg;
};

/* Where the NBD server finds exports. */
struct export_source;
struct export_source_ops {
	/* Names in order, one call each: *cursor starts as 0; returns false at
	 * the end. */
	bool (*next)(struct export_source *src, uint64_t *cursor,
		     struct export_info *ret_info);
	/* What is `name` ("" for the default export), without opening it.
	 * -ENOENT. */
	int (*info)(struct export_source *src, const char *name,
		    struct export_info *ret_info);
	/* A bitmap of the export `name` by its own name; NULL: the nearest one,
	 * which has least.  -ENOENT.  NULL: exports have none. */
	int (*bitmap)(struct export_source *src, const char *name,
		      const char *bitmap, struct export_bitmap *ret_bitmap);
	/* Open for a connection. -ENOENT, -EBUSY, -ENOMEM, -ESHUTDOWN. */
	int (*open)(struct export_source *src, const char *name,
		    struct export **ret_exp);
};
struct export_source {
	const struct export_source_ops *ops;
};

#endif
