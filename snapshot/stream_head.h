/* snapshot/stream_head.h - the header of a stream, as bytes and as a struct.
 */
#ifndef TARN_SNAPSHOT_STREAM_HEAD_H
#define TARN_SNAPSHOT_STREAM_HEAD_H

#include "snapshot/stream.h"
#include "snapshot/stream_format.h"

/* NULL, or why this can be no header: the end of a sentence that begins with
 * "its header ". */
const char *stream_head_problem(const struct stream_header *h);
/* ret_buf: STREAM_HEADER_MAX.  The header's bytes.  stream_head_problem() has
 * been asked. */
uint32_t stream_head_encode(const struct stream_header *h, uint8_t *ret_buf);
/* How long the header is that begins with these bytes (a struct stream_head);
 * 0: it is none, and ret_why says why (a whole sentence,
 * STREAM_ERROR_BYTES). */
uint32_t stream_head_bytes(const uint8_t *buf, char *ret_why);
/* All of it.  -EBADMSG with ret_why as above. */
int stream_head_decode(const uint8_t *buf, uint32_t bytes,
		       struct stream_header *ret_header, char *ret_why);

#endif
