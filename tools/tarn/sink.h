/* tools/tarn/sink.h - where the extents of a stream go.
 *
 * begin(), then write() and zero() in ascending order with mark() among them,
 * and publish() when the stream was whole to its last byte; close() in any
 * case.  What was taken is not shown to anybody before publish(), where that
 * can be.  When it does not come to that, keep() makes durable what came up to
 * the last mark and says from where the rest can be sent.
 *
 * Functions return 0, or -1 with a sentence in error.
 */
#ifndef TARN_TOOLS_TARN_SINK_H
#define TARN_TOOLS_TARN_SINK_H

#include "snapshot/stream.h"
#include "tools/tarn/cli.h"

#define SINK_ERROR_BYTES 1024

struct sink;

struct sink_ops {
	/* May this stream be taken?  Nothing is changed unless it may. */
	int (*begin)(struct sink *s, const struct stream_header *h);
	int (*write)(struct sink *s, uint64_t off_bytes, const void *buf,
		     size_t len);
	int (*zero)(struct sink *s, uint64_t off_bytes, uint64_t len_bytes);
	/* Everything below token->off_bytes has come. */
	int (*mark)(struct sink *s, const struct stream_token *token);
	int (*publish)(struct sink *s);
	/* -1 without an error: there is nothing to go on from. */
	int (*keep)(struct sink *s, struct stream_token *ret_token);
	void (*close)(struct sink *s);
};

struct sink {
	const struct sink_ops *ops;
	char error[SINK_ERROR_BYTES];
	char code[24];  /* errno's name; "": EIO */
	char left[500]; /* what keep() could not undo: a clause; "": nothing */
};

/* A raw file at path, or a block device.
 *
 * A file that is not there yet, or with force one that is, is made of a stream
 * without a base, beside its place (path.partial) and put there at the end.
 * With base (VOL@SNAP or the UUID of a snapshot or checkpoint), what is at path
 * holds that, and is brought up to date in place; half done, it may only be
 * done again or continued.  A block device is written in place always, and
 * never continued.
 *
 * Where a broken transfer goes on is kept in path.partial.token.  NULL: out of
 * memory. */
struct sink *sink_file_open(const char *path, const char *base, bool force);

/* A volume of the server's pool: a new one, or with a base one that has that
 * and was not changed since.  as: how the snapshot will be called; NULL: as the
 * stream says; "": none is taken, of a stream without a base.  force:
 * disconnect who uses the volume.  cli stays the caller's.
 *
 * It is written to a hidden volume, which also keeps where a broken transfer
 * goes on, and is deleted if it does not.  NULL: out of memory. */
struct sink *sink_volume_open(const struct cli *cli, const char *volume,
			      const char *as, bool force);
/* Where the rest of what is in a hidden volume goes on, STREAM_TOKEN_BYTES;
 * false: nowhere, or it cannot be read now. */
bool sink_volume_token(const struct cli *cli, const char *export,
		       char *ret_text);

#endif
