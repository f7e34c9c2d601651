/* server/nbd_option.h - reading an option's data and writing its answers.
 * Private to server/nbd_negotiate.c and nbd_context.c.
 */
#ifndef TARN_SERVER_NBD_OPTION_H
#define TARN_SERVER_NBD_OPTION_H

#include "server/nbd_proto.h"

/* Room in out that one step may need: the longest are INFO with a name and a
 * description, and all contexts with long names. */
#define NBD_STEP_OUT_MAX 3072u
/* Before the name of a bitmap. */
#define NBD_BITMAP_PREFIX "qemu:dirty-bitmap:"

/* --- output: there is room for all of one step --------------------------- */

void neg_put(struct nbd_neg *neg, const void *p, size_t len);
void neg_put_be16(struct nbd_neg *neg, uint16_t v);
void neg_put_be32(struct nbd_neg *neg, uint32_t v);
/* The head of a reply; len bytes of data follow. */
void neg_put_reply(struct nbd_neg *neg, uint32_t opt, uint32_t type,
		   size_t len);
void neg_put_ack(struct nbd_neg *neg, uint32_t opt);
void neg_put_error(struct nbd_neg *neg, uint32_t opt, uint32_t type,
		   const char *text);
/* What info() or open() of the source said. */
void neg_put_open_error(struct nbd_neg *neg, uint32_t opt, int r);

/* --- input --------------------------------------------------------------- */

/* The unread rest of an option's data.  Reading past its end sets bad and
 * gives zeros, so one check at the end is enough. */
struct neg_input {
	const uint8_t *p;   /* next byte */
	size_t         len; /* bytes left */
	bool           bad; /* something was missing */
};

const uint8_t *neg_get_bytes(struct neg_input *in, size_t n);
uint32_t neg_get_be32(struct neg_input *in);
uint16_t neg_get_be16(struct neg_input *in);
/* A string with its length before it; NULL (and bad) when it is longer than
 * what is left or than a string may be. */
const uint8_t *neg_get_string(struct neg_input *in, uint32_t *ret_len);
/* Turn a name from the wire into a C string (TREE_NAME_MAX + 1 bytes).  False
 * if no export can have that name. */
bool neg_name_of(const uint8_t *p, size_t len, char *ret_name);

/* --- nbd_context.c ------------------------------------------------------- */

/* LIST_META_CONTEXT and SET_META_CONTEXT. */
void neg_opt_meta(struct nbd_neg *neg, uint32_t opt, struct neg_input *in);
/* The contexts that hold if `name` is chosen now. */
uint32_t neg_contexts_for(const struct nbd_neg *neg, const char *name);
/* sess.exp was opened by that name: the contexts go into sess.  False: it is
 * not the export that they were asked for. */
bool neg_contexts_take(struct nbd_neg *neg, const char *name);

#endif
