/* server/nbd_proto.c - requests and replies of the transmission phase.
 *
 * A request is judged in this order: is it one at all (else: disconnect), how
 * many bytes follow it (too many, or a payload where the framing leaves none:
 * disconnect, so that data is never taken for a request), then whether it may
 * be carried out; if not, it is answered with an error and its payload
 * skipped.
 */
#include "server/nbd_proto.h"

#include <errno.h>
#include <string.h>

static void refuse(struct nbd_cmd *cmd, uint32_t error, const char *why)
{
	cmd->verdict = NBD_DO_ANSWER;
	cmd->error = (uint8_t)error;
	cmd->why = why;
}

static void drop(struct nbd_cmd *cmd, const char *why)
{
	cmd->verdict = NBD_DO_DROP;
	cmd->why = why;
}

/* Read the header into cmd; false if it is none. */
static bool header_get(const struct nbd_session *s, const uint8_t *in,
		       struct nbd_cmd *cmd)
{
	if (s->mode == NBD_MODE_EXTENDED) {
		struct nbd_request_ext h;

		memcpy(&h, in, sizeof(h));
		cmd->flags = be16_get(h.flags);
		cmd->type = be16_get(h.type);
		cmd->cookie = be64_get(h.cookie);
		cmd->off_bytes = be64_get(h.off);
		cmd->len_bytes = be64_get(h.len);
		return be32_get(h.magic) == NBD_MAGIC_REQUEST_EXT;
	} else {
		struct nbd_request h;

		memcpy(&h, in, sizeof(h));
		cmd->flags = be16_get(h.flags);
		cmd->type = be16_get(h.type);
		cmd->cookie = be64_get(h.cookie);
		cmd->off_bytes = be64_get(h.off);
		cmd->len_bytes = be32_get(h.len);
		return be32_get(h.magic) == NBD_MAGIC_REQUEST;
	}
}

/* How many bytes follow the header; false: disconnect. */
static bool payload_get(const struct nbd_session *s, struct nbd_cmd *cmd)
{
	bool extended = s->mode == NBD_MODE_EXTENDED;
	bool has = extended ? cmd->flags & NBD_CMD_PAYLOAD_LEN :
			      cmd->type == NBD_CMD_WRITE;

	if (extended && cmd->type == NBD_CMD_WRITE && !has) {
		drop(cmd, "a WRITE that does not say how long its data is");
		return false;
	}
	if (!has)
		return true;
	if (cmd->len_bytes > REQUEST_DATA_MAX) {
		drop(cmd, "a request with more than 32 MiB of data");
		return false;
	}
	cmd->payload_bytes = (uint32_t)cmd->len_bytes;
	return true;
}

/* What the commands are: the operation, the flags that they allow beside FUA,
 * and the transmission flag that announces them. */
static const struct {
	uint8_t  op;      /* enum vol_op */
	bool     writes;  /* changes the export */
	bool     ranged;  /* has an offset and a length */
	uint16_t flags;   /* NBD_CMD_* allowed */
	uint16_t tx_flag; /* NBD_TX_* needed, or 0 */
} commands[] = {
	[NBD_CMD_READ] = { VOL_READ, false, true, NBD_CMD_DF, 0 },
	[NBD_CMD_WRITE] = { VOL_WRITE, true, true, 0, 0 },
	[NBD_CMD_DISC] = { 0, false, false, 0, 0 },
	[NBD_CMD_FLUSH] = { VOL_FLUSH, false, false, 0, NBD_TX_FLUSH },
	[NBD_CMD_TRIM] = { VOL_TRIM, true, true, 0, NBD_TX_TRIM },
	[NBD_CMD_CACHE] = { VOL_CACHE, false, true, 0, NBD_TX_CACHE },
	[NBD_CMD_WRITE_ZEROES] = { VOL_ZERO, true, true,
				   NBD_CMD_NO_HOLE | NBD_CMD_FAST_ZERO,
				   NBD_TX_WRITE_ZEROES },
	[NBD_CMD_BLOCK_STATUS] = { VOL_STATUS, false, true, NBD_CMD_REQ_ONE,
				   0 },
};

static uint32_t allowed_flags(const struct nbd_session *s, uint16_t type)
{
	uint32_t ok = commands[type].flags;

	if (s->flags & NBD_TX_FUA)
		ok |= NBD_CMD_FUA;
	if (!(s->flags & NBD_TX_DF))
		ok &= ~NBD_CMD_DF;
	if (!(s->flags & NBD_TX_FAST_ZERO))
		ok &= ~NBD_CMD_FAST_ZERO;
	if (s->mode == NBD_MODE_EXTENDED && type == NBD_CMD_WRITE)
		ok |= NBD_CMD_PAYLOAD_LEN;
	if (s->flags & NBD_TX_STATUS_PAYLOAD && type == NBD_CMD_BLOCK_STATUS)
		ok |= NBD_CMD_PAYLOAD_LEN;
	return ok;
}

/* Offset and length of a command that has them. */
static void check_range(const struct nbd_session *s, struct nbd_cmd *cmd)
{
	uint64_t size = s->info.size_bytes;

	if (cmd->off_bytes > size || cmd->len_bytes > size - cmd->off_bytes) {
		bool grows = cmd->type == NBD_CMD_WRITE ||
			     cmd->type == NBD_CMD_WRITE_ZEROES;

		refuse(cmd, grows ? NBD_ENOSPC : NBD_EINVAL,
		       "beyond the end of the export");
	} else if ((cmd->off_bytes | cmd->len_bytes) &
		   (s->info.block_min - 1)) {
		refuse(cmd, NBD_EINVAL, "not a multiple of the block size");
	} else if (cmd->len_bytes == 0) {
		if (cmd->type == NBD_CMD_BLOCK_STATUS)
			refuse(cmd, NBD_EINVAL, "nothing to report on");
		else
			refuse(cmd, 0, NULL);
	} else if (cmd->type == NBD_CMD_READ &&
		   cmd->len_bytes > REQUEST_DATA_MAX) {
		refuse(cmd,
		       s->mode == NBD_MODE_SIMPLE ? NBD_EINVAL : NBD_EOVERFLOW,
		       "more than 32 MiB at once");
	}
}

/* May a well-framed command be carried out? */
static void check(const struct nbd_session *s, struct nbd_cmd *cmd)
{
	uint16_t type = cmd->type;

	if (type >= ARRAY_LEN(commands)) {
		refuse(cmd, NBD_EINVAL, "the command is not known here");
		return;
	}
	if (commands[type].writes && s->info.read_only) {
		refuse(cmd, NBD_EPERM, "the export is read-only");
		return;
	}
	if ((s->flags & commands[type].tx_flag) != commands[type].tx_flag) {
		refuse(cmd, NBD_EINVAL, "the command was not announced");
		return;
	}
	if (cmd->flags & ~allowed_flags(s, type)) {
		refuse(cmd, NBD_EINVAL, "a flag that this command has not");
		return;
	}
	if (type == NBD_CMD_BLOCK_STATUS && s->contexts == 0) {
		refuse(cmd, NBD_EINVAL, "no metadata context was selected");
		return;
	}
	if (!commands[type].ranged && (cmd->off_bytes | cmd->len_bytes) != 0) {
		refuse(cmd, NBD_EINVAL, "this command has no range");
		return;
	}
	if (type == NBD_CMD_BLOCK_STATUS && cmd->payload_bytes != 0) {
		/* The range is in the payload: checked when it is there. */
		if (cmd->payload_bytes > NBD_STATUS_PAYLOAD_MAX)
			refuse(cmd, NBD_EINVAL, "too many contexts");
		return;
	}
	if (commands[type].ranged)
		check_range(s, cmd);
	if (cmd->verdict == NBD_DO_RUN && cmd->flags & NBD_CMD_FAST_ZERO &&
	    cmd->flags & NBD_CMD_NO_HOLE)
		refuse(cmd, NBD_ENOTSUP, "zeros that take space are not fast");
}

void nbd_cmd_parse(const struct nbd_session *s, const uint8_t *in,
		   struct nbd_cmd *ret_cmd)
{
	struct nbd_cmd *cmd = ret_cmd;

	cmd->payload_bytes = 0;
	cmd->contexts = s->contexts;
	cmd->verdict = NBD_DO_RUN;
	cmd->op = 0;
	cmd->op_flags = 0;
	cmd->error = 0;
	cmd->why = NULL;
	if (!header_get(s, in, cmd)) {
		drop(cmd, "not a request");
		return;
	}
	if (cmd->type == NBD_CMD_DISC) {
		cmd->verdict = NBD_DO_END;
		return;
	}
	if (!payload_get(s, cmd))
		return;
	check(s, cmd);
	if (cmd->verdict != NBD_DO_RUN)
		return;
	cmd->op = commands[cmd->type].op;
	if (commands[cmd->type].writes && cmd->flags & NBD_CMD_FUA)
		cmd->op_flags |= VOL_FUA;
	if (cmd->flags & NBD_CMD_NO_HOLE)
		cmd->op_flags |= VOL_NO_HOLE;
	if (cmd->flags & NBD_CMD_REQ_ONE)
		cmd->op_flags |= VOL_ONE;
}

void nbd_cmd_status_payload(const struct nbd_session *s, struct nbd_cmd *cmd,
			    const uint8_t *payload)
{
	uint32_t                 left = cmd->payload_bytes;
	uint32_t                 contexts = 0;
	struct nbd_status_filter f;

	assert(cmd->verdict == NBD_DO_RUN && cmd->op == VOL_STATUS);
	assert(left <= NBD_STATUS_PAYLOAD_MAX);
	if (left < sizeof(f) || (left - sizeof(f)) % sizeof(be32) != 0) {
		refuse(cmd, NBD_EINVAL, "not a list of contexts");
		return;
	}
	memcpy(&f, payload, sizeof(f));
	payload += sizeof(f);
	left -= (uint32_t)sizeof(f);
	cmd->len_bytes = be64_get(f.len);
	for (; left > 0; left -= (uint32_t)sizeof(be32)) {
		be32     b;
		uint32_t id;

		memcpy(&b, payload, sizeof(b));
		payload += sizeof(b);
		id = be32_get(b);
		if (id == 0 || id > NBD_CTX_MAX ||
		    !(s->contexts & 1u << (id - 1)) ||
		    contexts & 1u << (id - 1)) {
			refuse(cmd, NBD_EINVAL, "an unknown or double context");
			return;
		}
		contexts |= 1u << (id - 1);
	}
	if (contexts == 0) {
		refuse(cmd, NBD_EINVAL, "no context to report on");
		return;
	}
	cmd->contexts = contexts;
	check_range(s, cmd);
}

/* --- replies ------------------------------------------------------------- */

uint32_t nbd_error_of(int err)
{
	switch (-err) {
	case 0:
		return 0;
	case EPERM:
	case EROFS:
	case EACCES:
		return NBD_EPERM;
	case ENOMEM:
		return NBD_ENOMEM;
	case EINVAL:
		return NBD_EINVAL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return NBD_ENOSPC;
	case EOVERFLOW:
		return NBD_EOVERFLOW;
	case ESHUTDOWN:
	case ECANCELED:
		return NBD_ESHUTDOWN;
	default:
		return NBD_EIO;
	}
}

static size_t put_simple(const struct nbd_cmd *cmd, uint32_t error,
			 uint8_t *out)
{
	struct nbd_simple_reply r = {
		.magic = be32_of(NBD_MAGIC_SIMPLE),
		.error = be32_of(error),
		.cookie = be64_of(cmd->cookie),
	};

	memcpy(out, &r, sizeof(r));
	return sizeof(r);
}

static size_t put_chunk(const struct nbd_session *s, const struct nbd_cmd *cmd,
			unsigned type, bool last, uint32_t len, uint8_t *out)
{
	unsigned flags = last ? NBD_CHUNK_DONE : 0;

	if (s->mode == NBD_MODE_EXTENDED) {
		struct nbd_chunk_ext c = {
			.magic = be32_of(NBD_MAGIC_CHUNK_EXT),
			.flags = be16_of((uint16_t)flags),
			.type = be16_of((uint16_t)type),
			.cookie = be64_of(cmd->cookie),
			.off = be64_of(cmd->off_bytes),
			.len = be64_of(len),
		};

		memcpy(out, &c, sizeof(c));
		return sizeof(c);
	} else {
		struct nbd_chunk c = {
			.magic = be32_of(NBD_MAGIC_CHUNK),
			.flags = be16_of((uint16_t)flags),
			.type = be16_of((uint16_t)type),
			.cookie = be64_of(cmd->cookie),
			.len = be32_of(len),
		};

		memcpy(out, &c, sizeof(c));
		return sizeof(c);
	}
}

size_t nbd_put_end(const struct nbd_session *s, const struct nbd_cmd *cmd,
		   uint32_t error, const char *why, uint8_t *out)
{
	size_t                 text_len;
	struct nbd_chunk_error e;
	size_t                 n;

	static_assert(sizeof(struct nbd_chunk_ext) + sizeof(e) + NBD_TEXT_MAX <=
			      NBD_HEAD_MAX,
		      "an error chunk fits");
	text_len = why != NULL ? strnlen(why, NBD_TEXT_MAX) : 0;
	if (s->mode == NBD_MODE_SIMPLE)
		return put_simple(cmd, error, out);
	if (error == 0) {
		/* The shorter form is allowed where it cannot be taken for
		 * the beginning of a read's data. */
		if (s->mode == NBD_MODE_STRUCTURED &&
		    cmd->type != NBD_CMD_READ)
			return put_simple(cmd, 0, out);
		return put_chunk(s, cmd, NBD_CHUNK_NONE, true, 0, out);
	}
	e.error = be32_of(error);
	e.text_len = be16_of((uint16_t)text_len);
	n = put_chunk(s, cmd, NBD_CHUNK_ERROR, true,
		      (uint32_t)(sizeof(e) + text_len), out);
	memcpy(out + n, &e, sizeof(e));
	if (text_len > 0)
		memcpy(out + n + sizeof(e), why, text_len);
	return n + sizeof(e) + text_len;
}

size_t nbd_put_data(const struct nbd_session *s, const struct nbd_cmd *cmd,
		    uint64_t off_bytes, uint32_t len_bytes, bool last,
		    uint8_t *out)
{
	struct nbd_chunk_data d = { .off = be64_of(off_bytes) };
	size_t                n;

	if (s->mode == NBD_MODE_SIMPLE) {
		assert(last && len_bytes == cmd->len_bytes);
		return put_simple(cmd, 0, out);
	}
	n = put_chunk(s, cmd, NBD_CHUNK_DATA, last,
		      (uint32_t)sizeof(d) + len_bytes, out);
	memcpy(out + n, &d, sizeof(d));
	return n + sizeof(d);
}

size_t nbd_put_hole(const struct nbd_session *s, const struct nbd_cmd *cmd,
		    uint64_t off_bytes, uint32_t len_bytes, bool last,
		    uint8_t *out)
{
	struct nbd_chunk_hole h = {
		.off = be64_of(off_bytes),
		.len = be32_of(len_bytes),
	};
	size_t n = put_chunk(s, cmd, NBD_CHUNK_HOLE, last, sizeof(h), out);

	assert(s->mode != NBD_MODE_SIMPLE);
	memcpy(out + n, &h, sizeof(h));
	return n + sizeof(h);
}

size_t nbd_put_status(const struct nbd_session *s, const struct nbd_cmd *cmd,
		      unsigned ctx, uint32_t count, bool last, uint8_t *out)
{
	uint32_t data_len = count * (uint32_t)nbd_extent_bytes(s);
	be32     id = be32_of(ctx + 1);
	size_t   n;

	assert(s->mode != NBD_MODE_SIMPLE);
	if (s->mode == NBD_MODE_EXTENDED) {
		struct nbd_chunk_status_ext st = {
			.context = id,
			.count = be32_of(count),
		};

		n = put_chunk(s, cmd, NBD_CHUNK_STATUS_EXT, last,
			      (uint32_t)sizeof(st) + data_len, out);
		memcpy(out + n, &st, sizeof(st));
		return n + sizeof(st);
	}
	n = put_chunk(s, cmd, NBD_CHUNK_STATUS, last,
		      (uint32_t)sizeof(id) + data_len, out);
	memcpy(out + n, &id, sizeof(id));
	return n + sizeof(id);
}

/* Of an extent.  What was there at a bitmap's base and is a hole now has to be
 * copied as zeros, so it is not called a hole. */
static uint32_t state_of(unsigned ctx, const struct vol_extent *e)
{
	if (ctx >= NBD_CTX_BITMAP)
		return e->changed ? NBD_STATE_DIRTY : 0;
	if (!e->hole)
		return 0;
	return e->changed ? NBD_STATE_ZERO : NBD_STATE_HOLE | NBD_STATE_ZERO;
}

static void extent_put(const struct nbd_session *s, uint8_t *out, uint32_t i,
		       uint64_t len, uint32_t state)
{
	if (s->mode == NBD_MODE_EXTENDED) {
		struct nbd_extent_ext e = {
			.len = be64_of(len),
			.state = be64_of(state),
		};

		memcpy(out + i * sizeof(e), &e, sizeof(e));
	} else {
		struct nbd_extent e = {
			.len = be32_of((uint32_t)len),
			.state = be32_of(state),
		};

		memcpy(out + i * sizeof(e), &e, sizeof(e));
	}
}

uint32_t nbd_encode_extents(const struct nbd_session *s, unsigned ctx,
			    struct vol_extent *extents, uint32_t n,
			    uint64_t len_bytes)
{
	uint8_t *out = (uint8_t *)extents;
	uint64_t left = len_bytes;
	uint64_t run = 0;
	uint32_t state = 0;
	uint32_t count = 0;

	/* Wire form is never longer, and extent i is read before wire extent
	 * i is written. */
	static_assert(sizeof(struct vol_extent) >=
			      sizeof(struct nbd_extent_ext),
		      "extents are encoded in place");
	for (uint32_t i = 0; i < n && left > 0; i++) {
		uint64_t len = min_u64(extents[i].len_bytes, left);
		uint32_t next = state_of(ctx, &extents[i]);

		if (len == 0)
			continue;
		if (run > 0 && next != state) {
			extent_put(s, out, count++, run, state);
			run = 0;
		}
		run += len;
		state = next;
		left -= len;
	}
	if (run > 0)
		extent_put(s, out, count++, run, state);
	return count;
}
