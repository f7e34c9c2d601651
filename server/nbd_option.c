/* server/nbd_option.c - see nbd_option.h. */
#include "server/nbd_option.h"

#include <errno.h>
#include <string.h>

/* --- output -------------------------------------------------------------- */

void neg_put(struct nbd_neg *neg, const void *p, size_t len)
{
	assert(neg->out_len + len <= sizeof(neg->out));
	memcpy(neg->out + neg->out_len, p, len);
	neg->out_len += (uint32_t)len;
}

void neg_put_be16(struct nbd_neg *neg, uint16_t v)
{
	be16 b = be16_of(v);

	neg_put(neg, &b, sizeof(b));
}

void neg_put_be32(struct nbd_neg *neg, uint32_t v)
{
	be32 b = be32_of(v);

	neg_put(neg, &b, sizeof(b));
}

void neg_put_reply(struct nbd_neg *neg, uint32_t opt, uint32_t type,
		   size_t len)
{
	struct nbd_option_reply r = {
		.magic = be64_of(NBD_MAGIC_OPTION_REPLY),
		.opt = be32_of(opt),
		.type = be32_of(type),
		.len = be32_of((uint32_t)len),
	};

	neg_put(neg, &r, sizeof(r));
}

void neg_put_ack(struct nbd_neg *neg, uint32_t opt)
{
	neg_put_reply(neg, opt, NBD_REP_ACK, 0);
}

void neg_put_error(struct nbd_neg *neg, uint32_t opt, uint32_t type,
		   const char *text)
{
	size_t len = strlen(text);

	neg_put_reply(neg, opt, type, len);
	neg_put(neg, text, len);
}

/* --- input --------------------------------------------------------------- */

const uint8_t *neg_get_bytes(struct neg_input *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->bad || n > in->len) {
		in->bad = true;
		return NULL;
	}
	in->p += n;
	in->len -= n;
	return p;
}

uint32_t neg_get_be32(struct neg_input *in)
{
	const uint8_t *p = neg_get_bytes(in, 4);
	be32           v;

	if (p == NULL)
		return 0;
	memcpy(&v, p, sizeof(v));
	return be32_get(v);
}

uint16_t neg_get_be16(struct neg_input *in)
{
	const uint8_t *p = neg_get_bytes(in, 2);
	be16           v;

	if (p == NULL)
		return 0;
	memcpy(&v, p, sizeof(v));
	return be16_get(v);
}

const uint8_t *neg_get_string(struct neg_input *in, uint32_t *ret_len)
{
	uint32_t len = neg_get_be32(in);

	if (len > NBD_STRING_MAX)
		in->bad = true;
	*ret_len = len;
	return neg_get_bytes(in, len);
}

bool neg_name_of(const uint8_t *p, size_t len, char *ret_name)
{
	if (len > TREE_NAME_MAX || memchr(p, 0, len) != NULL)
		return false;
	memcpy(ret_name, p, len);
	ret_name[len] = 0;
	return true;
}

void neg_put_open_error(struct nbd_neg *neg, uint32_t opt, int r)
{
	if (r == -ENOENT)
		neg_put_error(neg, opt, NBD_REP_ERR_UNKNOWN,
			      "there is no such export");
	else if (r == -ESHUTDOWN)
		neg_put_error(neg, opt, NBD_REP_ERR_SHUTDOWN,
			      "the server is going down");
	else if (r == -EBUSY)
		neg_put_error(neg, opt, NBD_REP_ERR_POLICY,
			      "the export is busy; try again later");
	else
		neg_put_error(neg, opt, NBD_REP_ERR_POLICY,
			      "the export cannot be opened now");
}
