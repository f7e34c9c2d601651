/* server/nbd_negotiate.c - the handshake and the options, until an export is
 * chosen.
 *
 * Each step takes one whole option, or puts one more entry of a listing into
 * `out`, so that memory is bounded however many exports there are and however
 * fast options arrive.
 *
 * What a client can do wrong, and what becomes of it:
 *  - an option that is well framed but unsound or unknown: an error reply;
 *  - a wrong magic number, unknown client flags, a limit exceeded, an export
 *    by NBD_OPT_EXPORT_NAME that cannot be had: disconnected.
 * Nothing that the client sent is echoed.
 */
#include "server/nbd_option.h"

#include <errno.h>
#include <string.h>

static_assert(5 * sizeof(struct nbd_option_reply) + 12 + 14 + 2 +
		      TREE_NAME_MAX + 2 + sizeof(((struct export_info *)0)
							   ->description) <=
		      NBD_STEP_OUT_MAX,
	      "an answer to INFO fits");
static_assert(NBD_STEP_OUT_MAX < NBD_NEG_OUT_MAX, "a step fits");

static void end(struct nbd_neg *neg, const char *why)
{
	neg->state = NBD_NEG_ENDED;
	neg->why = why;
}

/* --- options ------------------------------------------------------------- */

static uint16_t tx_flags(const struct nbd_neg *neg,
			 const struct export_info *info, uint32_t contexts)
{
	bool     rw = !info->read_only;
	unsigned f = NBD_TX_HAS_FLAGS;

	f |= rw ? 0 : NBD_TX_READ_ONLY;
	f |= info->can_flush ? NBD_TX_FLUSH : 0;
	f |= info->can_fua ? NBD_TX_FUA : 0;
	f |= rw && info->can_trim ? NBD_TX_TRIM : 0;
	f |= rw && info->can_zero ? NBD_TX_WRITE_ZEROES : 0;
	f |= rw && info->can_zero && info->can_fast_zero ? NBD_TX_FAST_ZERO : 0;
	f |= info->multi_conn ? NBD_TX_MULTI_CONN : 0;
	f |= info->can_cache ? NBD_TX_CACHE : 0;
	f |= neg->sess.mode != NBD_MODE_SIMPLE ? NBD_TX_DF : 0;
	f |= neg->sess.mode == NBD_MODE_EXTENDED && contexts != 0 ?
		     NBD_TX_STATUS_PAYLOAD :
		     0;
	return (uint16_t)f;
}

/* The export was opened: enter transmission.  False: it is another one than
 * contexts were set for, and is closed again. */
static bool choose(struct nbd_neg *neg, const char *name)
{
	struct nbd_session *s = &neg->sess;

	if (!neg_contexts_take(neg, name)) {
		s->exp->ops->put(s->exp);
		s->exp = NULL;
		s->contexts = 0;
		neg->meta_set = false;
		return false;
	}
	s->exp->ops->info(s->exp, &s->info);
	s->flags = tx_flags(neg, &s->info, s->contexts);
	return true;
}

static void opt_export_name(struct nbd_neg *neg, const uint8_t *p, uint32_t len)
{
	struct nbd_export_reply r = { 0 };
	char                    name[TREE_NAME_MAX + 1];

	/* This option has no error reply. */
	if (neg->sess.mode == NBD_MODE_EXTENDED) {
		end(neg, "EXPORT_NAME after EXTENDED_HEADERS");
		return;
	}
	if (!neg_name_of(p, len, name) ||
	    neg->src->ops->open(neg->src, name, &neg->sess.exp) < 0 ||
	    !choose(neg, name)) {
		end(neg, "EXPORT_NAME of an export that cannot be had");
		return;
	}
	r.size = be64_of(neg->sess.info.size_bytes);
	r.flags = be16_of(neg->sess.flags);
	neg_put(neg, &r,
		neg->no_zeroes ? offsetof(struct nbd_export_reply, zero) :
			     sizeof(r));
	neg->state = NBD_NEG_READY;
}

static void opt_list(struct nbd_neg *neg, uint32_t len)
{
	if (len != 0) {
		neg_put_error(neg, NBD_OPT_LIST, NBD_REP_ERR_INVALID,
			      "LIST has no data");
		return;
	}
	neg->list_cursor = 0;
	neg->state = NBD_NEG_LISTING;
}

static void list_entry_step(struct nbd_neg *neg)
{
	struct export_info info;
	size_t             name_len, text_len;

	if (!neg->src->ops->next(neg->src, &neg->list_cursor, &info)) {
		neg_put_ack(neg, NBD_OPT_LIST);
		neg->state = NBD_NEG_OPTIONS;
		return;
	}
	name_len = strnlen(info.name, sizeof(info.name) - 1);
	text_len = strnlen(info.description, sizeof(info.description));
	neg_put_reply(neg, NBD_OPT_LIST, NBD_REP_SERVER,
		      4 + name_len + text_len);
	neg_put_be32(neg, (uint32_t)name_len);
	neg_put(neg, info.name, name_len);
	neg_put(neg, info.description, text_len);
}

static void put_info_text(struct nbd_neg *neg, uint32_t opt, uint16_t type,
			  const char *text, size_t len)
{
	neg_put_reply(neg, opt, NBD_REP_INFO, 2 + len);
	neg_put_be16(neg, type);
	neg_put(neg, text, len);
}

static void put_infos(struct nbd_neg *neg, uint32_t opt,
		      const struct export_info *info, uint16_t flags,
		      unsigned wanted)
{
	struct nbd_info_export exp = {
		.type = be16_of(NBD_INFO_EXPORT),
		.size = be64_of(info->size_bytes),
		.flags = be16_of(flags),
	};
	struct nbd_info_block_size bs = {
		.type = be16_of(NBD_INFO_BLOCK_SIZE),
		.min = be32_of(info->block_min),
		.preferred = be32_of(info->block_preferred),
		.max = be32_of(REQUEST_DATA_MAX),
	};

	neg_put_reply(neg, opt, NBD_REP_INFO, sizeof(exp));
	neg_put(neg, &exp, sizeof(exp));
	if (wanted & 1u << NBD_INFO_NAME)
		put_info_text(neg, opt, NBD_INFO_NAME, info->name,
			      strnlen(info->name, sizeof(info->name) - 1));
	if (wanted & 1u << NBD_INFO_DESCRIPTION && info->description[0] != 0)
		put_info_text(neg, opt, NBD_INFO_DESCRIPTION,
			      info->description,
			      strnlen(info->description,
				      sizeof(info->description)));
	/* Always: clients that did not ask ignore it. */
	neg_put_reply(neg, opt, NBD_REP_INFO, sizeof(bs));
	neg_put(neg, &bs, sizeof(bs));
	neg_put_ack(neg, opt);
}

static void opt_info_go(struct nbd_neg *neg, uint32_t opt, struct neg_input *in)
{
	struct export_info info;
	char               name[TREE_NAME_MAX + 1];
	uint32_t           name_len;
	const uint8_t     *p = neg_get_string(in, &name_len);
	uint16_t           count = neg_get_be16(in);
	unsigned           wanted = 0;
	int                r;

	if (in->bad || in->len != 2 * (size_t)count) {
		neg_put_error(neg, opt, NBD_REP_ERR_INVALID,
			      "lengths in the option do not add up");
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		uint16_t type = neg_get_be16(in);

		if (type <= NBD_INFO_BLOCK_SIZE)
			wanted |= 1u << type;
	}
	if (!neg_name_of(p, name_len, name))
		r = -ENOENT;
	else if (opt == NBD_OPT_INFO)
		r = neg->src->ops->info(neg->src, name, &info);
	else
		r = neg->src->ops->open(neg->src, name, &neg->sess.exp);
	if (r < 0) {
		neg_put_open_error(neg, opt, r);
		return;
	}
	if (opt == NBD_OPT_INFO) {
		put_infos(neg, opt, &info,
			  tx_flags(neg, &info, neg_contexts_for(neg, name)),
			  wanted);
		return;
	}
	if (!choose(neg, name)) {
		neg_put_error(neg, opt, NBD_REP_ERR_POLICY,
			      "the export is another one by now; set its "
			      "contexts again");
		return;
	}
	put_infos(neg, opt, &neg->sess.info, neg->sess.flags, wanted);
	neg->state = NBD_NEG_READY;
}

static void opt_starttls(struct nbd_neg *neg, uint32_t len)
{
	if (len != 0)
		neg_put_error(neg, NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID,
			      "STARTTLS has no data");
	else
		neg_put_error(neg, NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY,
			      "TLS is not set up on this server");
}

/* STRUCTURED_REPLY and EXTENDED_HEADERS: mode is what they ask for. */
static void opt_mode(struct nbd_neg *neg, uint32_t opt, uint32_t len,
		     enum nbd_mode mode)
{
	if (mode == NBD_MODE_EXTENDED && !neg->extended) {
		neg_put_error(neg, opt, NBD_REP_ERR_UNSUP, "not supported");
	} else if (len != 0) {
		neg_put_error(neg, opt, NBD_REP_ERR_INVALID,
			      "the option has no data");
	} else if (neg->sess.mode == mode) {
		neg_put_error(neg, opt, NBD_REP_ERR_INVALID,
			      "it is so already");
	} else if (neg->sess.mode == NBD_MODE_EXTENDED) {
		neg_put_error(neg, opt, NBD_REP_ERR_EXT_HEADER_REQD,
			      "extended headers are in use");
	} else {
		neg->sess.mode = (uint8_t)mode;
		neg_put_ack(neg, opt);
	}
}

static void option(struct nbd_neg *neg, uint32_t opt, const uint8_t *p,
		   uint32_t len)
{
	struct neg_input in = { .p = p, .len = len };

	if (!neg->fixed && opt != NBD_OPT_EXPORT_NAME) {
		end(neg, "an option of fixed newstyle without its flag");
		return;
	}
	switch (opt) {
	case NBD_OPT_EXPORT_NAME:
		opt_export_name(neg, p, len);
		break;
	case NBD_OPT_ABORT:
		neg_put_ack(neg, opt);
		end(neg, NULL);
		break;
	case NBD_OPT_LIST:
		opt_list(neg, len);
		break;
	case NBD_OPT_STARTTLS:
		opt_starttls(neg, len);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		opt_info_go(neg, opt, &in);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
		opt_mode(neg, opt, len, NBD_MODE_STRUCTURED);
		break;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		neg_opt_meta(neg, opt, &in);
		break;
	case NBD_OPT_EXTENDED_HEADERS:
		opt_mode(neg, opt, len, NBD_MODE_EXTENDED);
		break;
	default:
		neg_put_error(neg, opt, NBD_REP_ERR_UNSUP,
			      "the option is not known here");
		break;
	}
}

/* --- the machine --------------------------------------------------------- */

static size_t flags_step(struct nbd_neg *neg, const uint8_t *in, size_t len)
{
	be32     b;
	uint32_t flags;

	if (len < sizeof(b))
		return 0;
	memcpy(&b, in, sizeof(b));
	flags = be32_get(b);
	if (flags & ~(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES)) {
		end(neg, "unknown client flags");
		return 0;
	}
	neg->fixed = flags & NBD_HS_FIXED_NEWSTYLE;
	neg->no_zeroes = flags & NBD_HS_NO_ZEROES;
	neg->state = NBD_NEG_OPTIONS;
	return sizeof(b);
}

static size_t option_step(struct nbd_neg *neg, const uint8_t *in, size_t len)
{
	struct nbd_option h;
	uint32_t          opt, data_len;

	if (len < sizeof(h))
		return 0;
	memcpy(&h, in, sizeof(h));
	opt = be32_get(h.opt);
	data_len = be32_get(h.len);
	if (be64_get(h.magic) != NBD_MAGIC_OPTION) {
		end(neg, "not an option");
		return 0;
	}
	if (data_len > NBD_NEG_OPTION_MAX ||
	    (opt == NBD_OPT_EXPORT_NAME && data_len > NBD_STRING_MAX)) {
		end(neg, "an option that is too long");
		return 0;
	}
	if (neg->options == NBD_NEG_OPTIONS_MAX ||
	    neg->option_bytes + sizeof(h) + data_len > NBD_NEG_BYTES_MAX) {
		end(neg, "too many options");
		return 0;
	}
	if (len < sizeof(h) + data_len)
		return 0;
	neg->options++;
	neg->option_bytes += (uint32_t)sizeof(h) + data_len;
	option(neg, opt, in + sizeof(h), data_len);
	return sizeof(h) + data_len;
}

void nbd_neg_init(struct nbd_neg *neg, struct export_source *src, bool extended)
{
	struct nbd_greeting g = {
		.magic = be64_of(NBD_MAGIC_INIT),
		.option_magic = be64_of(NBD_MAGIC_OPTION),
		.flags = be16_of(NBD_HS_FIXED_NEWSTYLE | NBD_HS_NO_ZEROES),
	};

	memset(neg, 0, offsetof(struct nbd_neg, out));
	neg->src = src;
	neg->extended = extended;
	neg_put(neg, &g, sizeof(g));
}

size_t nbd_neg_feed(struct nbd_neg *neg, const uint8_t *in, size_t len)
{
	size_t used = 0;

	while (neg->out_len <= sizeof(neg->out) - NBD_STEP_OUT_MAX) {
		uint8_t state = neg->state;
		size_t  n;

		if (state == NBD_NEG_LISTING) {
			list_entry_step(neg);
			continue;
		}
		if (state == NBD_NEG_FLAGS)
			n = flags_step(neg, in + used, len - used);
		else if (state == NBD_NEG_OPTIONS)
			n = option_step(neg, in + used, len - used);
		else
			break;
		used += n;
		if (n == 0)
			break;
	}
	return used;
}
