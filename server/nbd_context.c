/* server/nbd_context.c - which metadata contexts a client gets.
 *
 * base:allocation is what every export has.  A bitmap says what has changed
 * since an older state of the export; its context is called after it,
 * qemu:dirty-bitmap:NAME.  The export knows names, and gives a mark for each,
 * with which it is asked later.
 *
 * A list shows the nearest bitmap only: tools that back up take the one that
 * there is, and refuse two.  All others can be had by name.
 *
 * Marks are kept between SET and the choice of the export: if another export
 * has the name by then, that says so, and the choice fails.
 */
#include "server/nbd_option.h"

#include <errno.h>
#include <string.h>

#define ALLOCATION "base:allocation"
/* Bitmaps that one option may ask for: each takes a search. */
#define LOOKUPS_MAX 16u

/* One context: its reply's head, id and name. */
#define REPLY_MAX (sizeof(struct nbd_option_reply) + 4 + \
		   sizeof(NBD_BITMAP_PREFIX) + VOLUME_NAME_MAX)
static_assert(NBD_CTX_MAX * REPLY_MAX + sizeof(struct nbd_option_reply) <=
		      NBD_STEP_OUT_MAX,
	      "an answer to LIST_META_CONTEXT fits");

/* What the queries of one option mean. */
struct wanted {
	struct export_source *src;
	const char           *name; /* of the export; NULL: it has none */
	bool                  list;
	bool                  too_many;
	bool                  allocation;
	unsigned              lookups;
	unsigned              nbitmaps;
	struct export_bitmap  bitmaps[NBD_CTX_MAX - 1];
};

/* bitmap NULL: the nearest one. */
static void want_bitmap(struct wanted *w, const char *bitmap)
{
	struct export_bitmap got;

	if (++w->lookups > LOOKUPS_MAX) {
		w->too_many = true;
		return;
	}
	if (w->name == NULL || w->src->ops->bitmap == NULL ||
	    w->src->ops->bitmap(w->src, w->name, bitmap, &got) < 0)
		return;
	for (unsigned i = 0; i < w->nbitmaps; i++)
		if (w->bitmaps[i].mark == got.mark)
			return;
	if (w->nbitmaps == ARRAY_LEN(w->bitmaps))
		w->too_many = true;
	else
		w->bitmaps[w->nbitmaps++] = got;
}

/* Namespace `base`. */
static void base_query(struct wanted *w, const uint8_t *leaf, size_t len)
{
	if ((len == 0 && w->list) ||
	    (len == 10 && memcmp(leaf, "allocation", 10) == 0))
		w->allocation = true;
}

/* Namespace `qemu`. */
static void qemu_query(struct wanted *w, const uint8_t *leaf, size_t len)
{
	static const char kind[] = "dirty-bitmap:";
	const size_t      kind_len = sizeof(kind) - 1;
	char              bitmap[VOLUME_NAME_MAX + 1];

	if (len == 0 && w->list) {
		want_bitmap(w, NULL);
		return;
	}
	if (len < kind_len || memcmp(leaf, kind, kind_len) != 0)
		return;
	leaf += kind_len;
	len -= kind_len;
	if (len == 0 && w->list) {
		want_bitmap(w, NULL);
		return;
	}
	if (len == 0 || len > VOLUME_NAME_MAX || memchr(leaf, 0, len) != NULL)
		return;
	memcpy(bitmap, leaf, len);
	bitmap[len] = '\0';
	want_bitmap(w, bitmap);
}

/* Unknown namespaces mean nothing.  False: the query is malformed. */
static bool query(struct wanted *w, const uint8_t *q, uint32_t len)
{
	static const struct {
		const char *name; /* of the namespace */
		void (*query)(struct wanted *w, const uint8_t *leaf,
			      size_t len);
	} namespaces[] = {
		{ "base", base_query },
		{ "qemu", qemu_query },
	};
	const uint8_t *colon = memchr(q, ':', len);
	size_t         ns_len;

	if (colon == NULL)
		return false;
	ns_len = (size_t)(colon - q);
	for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
		if (strlen(namespaces[i].name) == ns_len &&
		    memcmp(namespaces[i].name, q, ns_len) == 0)
			namespaces[i].query(w, colon + 1, len - ns_len - 1);
	}
	return true;
}

static void queries(struct wanted *w, struct neg_input *in)
{
	uint32_t count = neg_get_be32(in);

	if (count == 0 && w->list && !in->bad) {
		w->allocation = true;
		want_bitmap(w, NULL);
	}
	/* Bounded by the option's length: each query has 4 bytes at least. */
	for (uint32_t i = 0; i < count && !in->bad && !w->too_many; i++) {
		uint32_t       len;
		const uint8_t *q = neg_get_string(in, &len);

		if (q != NULL && !query(w, q, len))
			in->bad = true;
	}
}

static void put_context(struct nbd_neg *neg, uint32_t opt, uint32_t id,
			const char *prefix, const char *name)
{
	size_t prefix_len = strlen(prefix), len = strlen(name);

	neg_put_reply(neg, opt, NBD_REP_META_CONTEXT, 4 + prefix_len + len);
	neg_put_be32(neg, opt == NBD_OPT_SET_META_CONTEXT ? id : 0);
	neg_put(neg, prefix, prefix_len);
	neg_put(neg, name, len);
}

/* An id on the wire is the context's number + 1. */
static void answer(struct nbd_neg *neg, uint32_t opt, const struct wanted *w)
{
	if (w->allocation)
		put_context(neg, opt, NBD_CTX_ALLOCATION + 1, ALLOCATION, "");
	for (unsigned i = 0; i < w->nbitmaps; i++)
		put_context(neg, opt, NBD_CTX_BITMAP + i + 1,
			    NBD_BITMAP_PREFIX, w->bitmaps[i].name);
	neg_put_ack(neg, opt);
}

static void keep(struct nbd_neg *neg, const struct wanted *w)
{
	neg->meta = w->allocation ? 1u << NBD_CTX_ALLOCATION : 0;
	for (unsigned i = 0; i < w->nbitmaps; i++) {
		neg->meta |= 1u << (NBD_CTX_BITMAP + i);
		neg->meta_marks[NBD_CTX_BITMAP + i] = w->bitmaps[i].mark;
	}
	neg->meta_set = true;
	memcpy(neg->meta_name, w->name, strlen(w->name) + 1);
}

void neg_opt_meta(struct nbd_neg *neg, uint32_t opt, struct neg_input *in)
{
	struct wanted      w = { .src = neg->src,
				 .list = opt == NBD_OPT_LIST_META_CONTEXT };
	struct export_info info;
	char               name[TREE_NAME_MAX + 1];
	uint32_t           name_len;
	const uint8_t     *p = neg_get_string(in, &name_len);
	int                r;

	if (!w.list)
		neg->meta_set = false;
	if (neg->sess.mode == NBD_MODE_SIMPLE) {
		neg_put_error(neg, opt, NBD_REP_ERR_INVALID,
			      "ask for structured replies first");
		return;
	}
	if (!in->bad && neg_name_of(p, name_len, name))
		w.name = name;
	queries(&w, in);
	if (w.too_many) {
		neg_put_error(neg, opt, NBD_REP_ERR_TOO_BIG,
			      "these are too many bitmaps at once");
		return;
	}
	if (in->bad || in->len != 0) {
		neg_put_error(neg, opt, NBD_REP_ERR_INVALID,
			      "the option or one of its queries is malformed");
		return;
	}
	r = w.name != NULL ? neg->src->ops->info(neg->src, name, &info) :
			     -ENOENT;
	if (r < 0) {
		neg_put_open_error(neg, opt, r);
		return;
	}
	answer(neg, opt, &w);
	if (!w.list)
		keep(neg, &w);
}

uint32_t neg_contexts_for(const struct nbd_neg *neg, const char *name)
{
	return neg->meta_set && strcmp(neg->meta_name, name) == 0 ? neg->meta :
								    0;
}

bool neg_contexts_take(struct nbd_neg *neg, const char *name)
{
	struct nbd_session *s = &neg->sess;

	s->contexts = neg_contexts_for(neg, name);
	memcpy(s->marks, neg->meta_marks, sizeof(s->marks));
	for (unsigned i = NBD_CTX_BITMAP; i < NBD_CTX_MAX; i++)
		if (s->contexts & 1u << i &&
		    !s->exp->ops->has_mark(s->exp, s->marks[i]))
			return false;
	return true;
}
