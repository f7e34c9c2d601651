/* server/nbd_format.h - what travels over an NBD connection: magic numbers,
 * codes and message layouts, all integers big-endian.
 *
 * Only layouts; the rules are in server/nbd_proto.h, what we support of them
 * in docs/nbd.md.  Bytes from the wire are copied into these structs, never
 * cast to them.
 */
#ifndef TARN_SERVER_NBD_FORMAT_H
#define TARN_SERVER_NBD_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endian.h"

#define NBD_MAGIC_INIT         0x4e42444d41474943ull /* "NBDMAGIC" */
#define NBD_MAGIC_OPTION       0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_MAGIC_OPTION_REPLY 0x0003e889045565a9ull
#define NBD_MAGIC_REQUEST      0x25609513u
#define NBD_MAGIC_REQUEST_EXT  0x21e41c71u
#define NBD_MAGIC_SIMPLE       0x67446698u
#define NBD_MAGIC_CHUNK        0x668e33efu
#define NBD_MAGIC_CHUNK_EXT    0x6e8a278cu

/* A string on the wire, bytes. */
#define NBD_STRING_MAX 4096u

/* Handshake flags (server) and client flags. */
#define NBD_HS_FIXED_NEWSTYLE (1u << 0)
#define NBD_HS_NO_ZEROES      (1u << 1)

/* Transmission flags. */
#define NBD_TX_HAS_FLAGS      (1u << 0)
#define NBD_TX_READ_ONLY      (1u << 1)
#define NBD_TX_FLUSH          (1u << 2)
#define NBD_TX_FUA            (1u << 3)
#define NBD_TX_TRIM           (1u << 5)
#define NBD_TX_WRITE_ZEROES   (1u << 6)
#define NBD_TX_DF             (1u << 7)
#define NBD_TX_MULTI_CONN     (1u << 8)
#define NBD_TX_CACHE          (1u << 10)
#define NBD_TX_FAST_ZERO      (1u << 11)
#define NBD_TX_STATUS_PAYLOAD (1u << 12)

enum nbd_opt {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10,
	NBD_OPT_EXTENDED_HEADERS = 11,
};

#define NBD_REP_ACK                 1u
#define NBD_REP_SERVER              2u
#define NBD_REP_INFO                3u
#define NBD_REP_META_CONTEXT        4u
#define NBD_REP_ERR_UNSUP           0x80000001u
#define NBD_REP_ERR_POLICY          0x80000002u
#define NBD_REP_ERR_INVALID         0x80000003u
#define NBD_REP_ERR_UNKNOWN         0x80000006u
#define NBD_REP_ERR_SHUTDOWN        0x80000007u
#define NBD_REP_ERR_TOO_BIG         0x80000009u
#define NBD_REP_ERR_EXT_HEADER_REQD 0x8000000au

#define NBD_INFO_EXPORT      0u
#define NBD_INFO_NAME        1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE  3u

enum nbd_cmd_type {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_CACHE = 5,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_BLOCK_STATUS = 7,
};

/* Command flags. */
#define NBD_CMD_FUA         (1u << 0)
#define NBD_CMD_NO_HOLE     (1u << 1)
#define NBD_CMD_DF          (1u << 2)
#define NBD_CMD_REQ_ONE     (1u << 3)
#define NBD_CMD_FAST_ZERO   (1u << 4)
#define NBD_CMD_PAYLOAD_LEN (1u << 5)

/* Reply chunks. */
#define NBD_CHUNK_DONE       (1u << 0) /* flag: the last of this reply */
#define NBD_CHUNK_NONE       0u
#define NBD_CHUNK_DATA       1u
#define NBD_CHUNK_HOLE       2u
#define NBD_CHUNK_STATUS     5u
#define NBD_CHUNK_STATUS_EXT 6u
#define NBD_CHUNK_ERROR      0x8001u

/* base:allocation. */
#define NBD_STATE_HOLE (1u << 0)
#define NBD_STATE_ZERO (1u << 1)
/* The same of a bitmap: changed. */
#define NBD_STATE_DIRTY (1u << 0)

/* Error values, the only ones that may be sent. */
#define NBD_EPERM     1u
#define NBD_EIO       5u
#define NBD_ENOMEM    12u
#define NBD_EINVAL    22u
#define NBD_ENOSPC    28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP   95u
#define NBD_ESHUTDOWN 108u

/* Server's first bytes. */
struct nbd_greeting {
	be64 magic;        /* NBD_MAGIC_INIT */
	be64 option_magic; /* NBD_MAGIC_OPTION */
	be16 flags;        /* NBD_HS_* */
};
static_assert(sizeof(struct nbd_greeting) == 18, "nbd_greeting");

/* Client: an option; len bytes follow. */
struct nbd_option {
	be64 magic; /* NBD_MAGIC_OPTION */
	be32 opt;   /* enum nbd_opt */
	be32 len;   /* bytes */
};
static_assert(sizeof(struct nbd_option) == 16, "nbd_option");

/* Server: answer to an option; len bytes follow. */
struct nbd_option_reply {
	be64 magic; /* NBD_MAGIC_OPTION_REPLY */
	be32 opt;   /* of the option that is answered */
	be32 type;  /* NBD_REP_* */
	be32 len;   /* bytes */
};
static_assert(sizeof(struct nbd_option_reply) == 20, "nbd_option_reply");

/* Server: answer to NBD_OPT_EXPORT_NAME. */
struct nbd_export_reply {
	be64    size;      /* of the export, bytes */
	be16    flags;     /* NBD_TX_* */
	uint8_t zero[124]; /* not sent after NBD_HS_NO_ZEROES */
};
static_assert(sizeof(struct nbd_export_reply) == 134, "nbd_export_reply");

/* Payloads of NBD_REP_INFO. */
struct nbd_info_export {
	be16 type;  /* NBD_INFO_EXPORT */
	be64 size;  /* bytes */
	be16 flags; /* NBD_TX_* */
};
static_assert(sizeof(struct nbd_info_export) == 12, "nbd_info_export");

struct nbd_info_block_size {
	be16 type;      /* NBD_INFO_BLOCK_SIZE */
	be32 min;       /* bytes */
	be32 preferred; /* bytes */
	be32 max;       /* largest payload, bytes */
};
static_assert(sizeof(struct nbd_info_block_size) == 14, "nbd_info_block_size");

/* Client: a request in compact form; a WRITE is followed by len bytes. */
struct nbd_request {
	be32 magic;  /* NBD_MAGIC_REQUEST */
	be16 flags;  /* NBD_CMD_FUA... */
	be16 type;   /* enum nbd_cmd_type */
	be64 cookie; /* repeated in the reply */
	be64 off;    /* bytes */
	be32 len;    /* bytes */
};
static_assert(sizeof(struct nbd_request) == 28, "nbd_request");
static_assert(offsetof(struct nbd_request, len) == 24, "nbd_request.len");

/* Client: a request after NBD_OPT_EXTENDED_HEADERS; len bytes follow only
 * with NBD_CMD_PAYLOAD_LEN. */
struct nbd_request_ext {
	be32 magic;  /* NBD_MAGIC_REQUEST_EXT */
	be16 flags;  /* NBD_CMD_FUA... */
	be16 type;   /* enum nbd_cmd_type */
	be64 cookie; /* repeated in the reply */
	be64 off;    /* bytes */
	be64 len;    /* bytes */
};
static_assert(sizeof(struct nbd_request_ext) == 32, "nbd_request_ext");

/* Server: a simple reply; a successful READ is followed by its data. */
struct nbd_simple_reply {
	be32 magic;  /* NBD_MAGIC_SIMPLE */
	be32 error;  /* 0 or NBD_E* */
	be64 cookie; /* of the request */
};
static_assert(sizeof(struct nbd_simple_reply) == 16, "nbd_simple_reply");

/* Server: a structured reply chunk; len bytes follow. */
struct nbd_chunk {
	be32 magic;  /* NBD_MAGIC_CHUNK */
	be16 flags;  /* NBD_CHUNK_DONE or 0 */
	be16 type;   /* NBD_CHUNK_* */
	be64 cookie; /* of the request */
	be32 len;    /* bytes */
};
static_assert(sizeof(struct nbd_chunk) == 20, "nbd_chunk");

/* Server: a chunk after NBD_OPT_EXTENDED_HEADERS; len bytes follow. */
struct nbd_chunk_ext {
	be32 magic;  /* NBD_MAGIC_CHUNK_EXT */
	be16 flags;  /* NBD_CHUNK_DONE or 0 */
	be16 type;   /* NBD_CHUNK_* */
	be64 cookie; /* of the request */
	be64 off;    /* of the request, bytes */
	be64 len;    /* bytes */
};
static_assert(sizeof(struct nbd_chunk_ext) == 32, "nbd_chunk_ext");

/* How chunk payloads begin. */
struct nbd_chunk_data {
	be64 off; /* where the data that follows belongs, bytes */
};
static_assert(sizeof(struct nbd_chunk_data) == 8, "nbd_chunk_data");

struct nbd_chunk_hole {
	be64 off; /* bytes */
	be32 len; /* that read as zeros, bytes */
};
static_assert(sizeof(struct nbd_chunk_hole) == 12, "nbd_chunk_hole");

struct nbd_chunk_error {
	be32 error;    /* NBD_E* */
	be16 text_len; /* bytes of text that follow */
};
static_assert(sizeof(struct nbd_chunk_error) == 6, "nbd_chunk_error");

struct nbd_chunk_status {
	be32 context; /* id from NBD_OPT_SET_META_CONTEXT */
};
static_assert(sizeof(struct nbd_chunk_status) == 4, "nbd_chunk_status");

struct nbd_chunk_status_ext {
	be32 context; /* id from NBD_OPT_SET_META_CONTEXT */
	be32 count;   /* extents that follow */
};
static_assert(sizeof(struct nbd_chunk_status_ext) == 8,
	      "nbd_chunk_status_ext");

struct nbd_extent {
	be32 len;   /* bytes */
	be32 state; /* NBD_STATE_* */
};
static_assert(sizeof(struct nbd_extent) == 8, "nbd_extent");

struct nbd_extent_ext {
	be64 len;   /* bytes */
	be64 state; /* NBD_STATE_* */
};
static_assert(sizeof(struct nbd_extent_ext) == 16, "nbd_extent_ext");

/* Client: payload of a BLOCK_STATUS with NBD_CMD_PAYLOAD_LEN; context ids
 * (be32) follow to its end. */
struct nbd_status_filter {
	be64 len; /* how much to report on, bytes */
};
static_assert(sizeof(struct nbd_status_filter) == 8, "nbd_status_filter");

#endif
