/* server/nbd_proto.h - the NBD protocol as seen by a server, without a
 * socket: bytes in, decisions and bytes out.
 *
 * Rules of use
 *  - No system calls, no allocation, no clock.  The only door is the export
 *    source, which negotiation asks about names and which opens the export.
 *  - The caller keeps the bytes that have arrived and not been consumed, in
 *    one piece.  A function that needs more says 0 and is called again with
 *    the same bytes and some more.  It must be able to keep NBD_NEG_INPUT_MAX
 *    bytes while negotiating.
 *  - Everything that a client can send is decided here: a sound request, a
 *    request to refuse with an error, or a client to disconnect.
 *
 * Negotiation                  (server/nbd_negotiate.c, nbd_context.c)
 *
 *   FLAGS --> OPTIONS <--> LISTING        READY: sess is filled in
 *                |  \-----> READY         ENDED: send `out`, then close;
 *                \--------> ENDED                why != NULL says what the
 *                                                client did wrong
 *
 * Transmission: nbd_cmd_parse() for each request; nbd_put_*() build the heads
 * of replies, whose data the caller sends right behind.
 */
#ifndef TARN_SERVER_NBD_PROTO_H
#define TARN_SERVER_NBD_PROTO_H

#include "server/export.h"
#include "server/nbd_format.h"

/* Limits of negotiation: of one option's data, of options, and of bytes in
 * all.  Who exceeds them is disconnected; nothing is read only to be skipped
 * beyond them. */
#define NBD_NEG_OPTION_MAX  8192u
#define NBD_NEG_OPTIONS_MAX 32u
#define NBD_NEG_BYTES_MAX   65536u
#define NBD_NEG_INPUT_MAX   (16u + NBD_NEG_OPTION_MAX)
#define NBD_NEG_OUT_MAX     8192u

/* Longest head of a reply (the part that is not data), and longest text that
 * explains a refusal. */
#define NBD_TEXT_MAX 90u
#define NBD_HEAD_MAX 128u

/* Metadata contexts that a connection can have; a set of them is a bit mask,
 * and the id on the wire is the number + 1. */
enum nbd_context {
	NBD_CTX_ALLOCATION, /* base:allocation */
	NBD_CTX_BITMAP,     /* qemu:dirty-bitmap:…, this and all that follow */
	NBD_CTX_MAX = 8,
};

/* Longest payload of a BLOCK_STATUS that is looked at: every context twice;
 * more cannot be sound. */
#define NBD_STATUS_PAYLOAD_MAX (8u + 4u * 2u * NBD_CTX_MAX)

enum nbd_mode {
	NBD_MODE_SIMPLE,
	NBD_MODE_STRUCTURED,
	NBD_MODE_EXTENDED,
};

/* What was agreed on. */
struct nbd_session {
	struct export     *exp;      /* opened; the caller puts it */
	struct export_info info;     /* of exp */
	uint32_t           contexts; /* selected: bit i for context i */
	uint64_t           marks[NBD_CTX_MAX]; /* of the bitmaps among them */
	uint16_t           flags;    /* NBD_TX_* as told to the client */
	uint8_t            mode;     /* enum nbd_mode */
};

/* --- negotiation --------------------------------------------------------- */

enum nbd_neg_state {
	NBD_NEG_FLAGS,
	NBD_NEG_OPTIONS,
	NBD_NEG_LISTING,
	NBD_NEG_READY,
	NBD_NEG_ENDED,
};

struct nbd_neg {
	struct export_source *src;
	struct nbd_session    sess;         /* whole when READY */
	const char           *why;          /* ENDED: the client's fault, or
					     * NULL */
	uint64_t              list_cursor;  /* LISTING: of src->ops->next */
	uint32_t              options;      /* seen so far */
	uint32_t              option_bytes; /* of all options, heads included */
	uint32_t              meta;         /* contexts set for meta_name */
	uint64_t              meta_marks[NBD_CTX_MAX]; /* of its bitmaps */
	uint32_t              out_len;      /* bytes in out */
	uint8_t               state;        /* enum nbd_neg_state */
	bool                  extended;     /* extended headers are offered */
	bool                  fixed;        /* client flag FIXED_NEWSTYLE */
	bool                  no_zeroes;    /* client flag NO_ZEROES */
	bool                  meta_set;     /* meta_name holds */
	/* Name in the last SET_META_CONTEXT, as it was sent. */
	char                  meta_name[TREE_NAME_MAX + 1];
	uint8_t               out[NBD_NEG_OUT_MAX]; /* to be sent */
};

/* Puts the greeting into out. */
void nbd_neg_init(struct nbd_neg *neg, struct export_source *src,
		  bool extended);

/* Take what can be taken of the len bytes at in; returns how many.  Stops
 * where more input is needed, where `out` has to be emptied first (the caller
 * sends it and sets out_len to 0), and at READY and ENDED: bytes behind
 * belong to what follows. */
size_t nbd_neg_feed(struct nbd_neg *neg, const uint8_t *in, size_t len);

/* --- requests ------------------------------------------------------------ */

enum nbd_verdict {
	NBD_DO_RUN,    /* op, op_flags, off_bytes, len_bytes: to the export */
	NBD_DO_ANSWER, /* skip the payload, answer with `error` (may be 0) */
	NBD_DO_END,    /* the client says good-bye */
	NBD_DO_DROP,   /* disconnect: `why` */
};

struct nbd_cmd {
	uint64_t    cookie;        /* the client's */
	uint64_t    off_bytes;
	uint64_t    len_bytes;     /* what it is about, not its payload */
	uint32_t    payload_bytes; /* that follow the header */
	uint32_t    contexts;      /* STATUS: which to report */
	uint16_t    type;          /* enum nbd_cmd_type, or nonsense */
	uint16_t    flags;         /* NBD_CMD_FUA... */
	uint8_t     verdict;       /* enum nbd_verdict */
	uint8_t     op;            /* RUN: enum vol_op */
	uint8_t     op_flags;      /* RUN: enum vol_flag */
	uint8_t     error;         /* ANSWER: 0 or NBD_E* */
	const char *why;           /* ANSWER, DROP: a few words, or NULL */
};

/* Bytes of a request's header. */
static inline size_t nbd_request_bytes(const struct nbd_session *s)
{
	return s->mode == NBD_MODE_EXTENDED ? sizeof(struct nbd_request_ext) :
					      sizeof(struct nbd_request);
}

/* Decide about the request whose header (nbd_request_bytes()) is at in.
 * payload_bytes <= REQUEST_DATA_MAX unless the verdict is DROP. */
void nbd_cmd_parse(const struct nbd_session *s, const uint8_t *in,
		   struct nbd_cmd *ret_cmd);

/* A STATUS with verdict RUN and a payload: apply it.  May turn the verdict
 * into ANSWER. */
void nbd_cmd_status_payload(const struct nbd_session *s, struct nbd_cmd *cmd,
			    const uint8_t *payload);

/* --- replies: each writes at most NBD_HEAD_MAX bytes, returns how many --- */

/* NBD's number for a negative errno; 0 stays 0. */
uint32_t nbd_error_of(int err);

/* A reply without data: error is 0 or NBD_E*, why NULL or a few words. */
size_t nbd_put_end(const struct nbd_session *s, const struct nbd_cmd *cmd,
		   uint32_t error, const char *why, uint8_t *out);

/* READ: len_bytes of data from off_bytes follow.  In simple mode there is
 * one, with everything. */
size_t nbd_put_data(const struct nbd_session *s, const struct nbd_cmd *cmd,
		    uint64_t off_bytes, uint32_t len_bytes, bool last,
		    uint8_t *out);

/* READ, not in simple mode: a hole. */
size_t nbd_put_hole(const struct nbd_session *s, const struct nbd_cmd *cmd,
		    uint64_t off_bytes, uint32_t len_bytes, bool last,
		    uint8_t *out);

/* STATUS: count extents for a context follow, as made by
 * nbd_encode_extents(). */
size_t nbd_put_status(const struct nbd_session *s, const struct nbd_cmd *cmd,
		      unsigned ctx, uint32_t count, bool last, uint8_t *out);

/* Turn n extents of a context into wire form, in place; neighbours of one kind
 * are joined and what lies beyond len_bytes is cut.  Returns their number. */
uint32_t nbd_encode_extents(const struct nbd_session *s, unsigned ctx,
			    struct vol_extent *extents, uint32_t n,
			    uint64_t len_bytes);

/* Bytes of one extent in wire form. */
static inline size_t nbd_extent_bytes(const struct nbd_session *s)
{
	return s->mode == NBD_MODE_EXTENDED ? sizeof(struct nbd_extent_ext) :
					      sizeof(struct nbd_extent);
}

#endif
