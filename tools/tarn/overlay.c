/* tools/tarn/overlay.c - several streams as one.
 *
 * A layer is zeros beyond its own size: where a volume has shrunk and grown
 * again, what was there before must not show.
 */
#include "tools/tarn/overlay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define NOTHING UINT64_MAX

static int broken(struct overlay *o, const struct overlay_layer *l,
		  const char *what)
{
	snprintf(o->error, sizeof(o->error), "%.300s: %s", l->name, what);
	return -1;
}

/* --- layers -------------------------------------------------------------- */

static uint64_t layer_end(const struct overlay_layer *l)
{
	return l->off_bytes == NOTHING ? NOTHING : l->off_bytes + l->len_bytes;
}

/* The next extent of its stream, or what is beyond it. */
static int layer_read(struct overlay *o, struct overlay_layer *l)
{
	struct stream_event ev;
	int r;

	l->off_bytes = NOTHING;
	if (l->ended)
		return 0;
	do {
		r = input_next(l->in, &ev);
	} while (r > 0 && ev.kind != STREAM_DATA && ev.kind != STREAM_ZERO);
	if (r < 0)
		return broken(o, l, l->in->error);
	l->ended = r == 0;
	if (r > 0) {
		l->off_bytes = ev.off_bytes;
		l->len_bytes = ev.len_bytes;
		l->data = ev.kind == STREAM_DATA ? ev.data : NULL;
	} else if (l->size_bytes < o->size_bytes) {
		l->off_bytes = l->size_bytes;
		l->len_bytes = o->size_bytes - l->size_bytes;
		l->data = NULL;
	}
	return 0;
}

/* What it has below pos is of no interest any more. */
static int layer_forward(struct overlay *o, struct overlay_layer *l)
{
	uint64_t cut;

	while (layer_end(l) <= o->pos_bytes)
		if (layer_read(o, l) < 0)
			return -1;
	if (l->off_bytes >= o->pos_bytes)
		return 0;
	cut = o->pos_bytes - l->off_bytes;
	l->off_bytes += cut;
	l->len_bytes -= cut;
	l->data = l->data != NULL ? l->data + cut : NULL;
	return 0;
}

/* All of it is used up, or lies beyond the end: what is left must be right. */
static int layer_drain(struct overlay *o, struct overlay_layer *l)
{
	while (!l->ended)
		if (layer_read(o, l) < 0)
			return -1;
	return 0;
}

/* --- all of them --------------------------------------------------------- */

/* The newest layer that says what is at pos, and up to where; NULL: none does,
 * and the first that does is there. */
static const struct overlay_layer *winner(const struct overlay *o,
					  uint64_t *ret_end)
{
	const struct overlay_layer *w = NULL;
	uint64_t end = o->size_bytes;

	for (size_t i = o->n; i-- > 0 && w == NULL;) {
		const struct overlay_layer *l = &o->layers[i];

		if (l->off_bytes <= o->pos_bytes)
			w = l;
		end = min_u64(end, w != NULL ? layer_end(l) : l->off_bytes);
	}
	*ret_end = end;
	return w;
}

int overlay_next(struct overlay *o, struct overlay_extent *ret_extent)
{
	const struct overlay_layer *w = NULL;
	uint64_t end = 0;

	while (w == NULL && o->pos_bytes < o->size_bytes) {
		for (size_t i = 0; i < o->n; i++)
			if (layer_forward(o, &o->layers[i]) < 0)
				return -1;
		w = winner(o, &end);
		if (w == NULL)
			o->pos_bytes = end;
	}
	if (w == NULL) {
		for (size_t i = 0; i < o->n; i++)
			if (layer_drain(o, &o->layers[i]) < 0)
				return -1;
		return 0;
	}
	ret_extent->off_bytes = o->pos_bytes;
	ret_extent->len_bytes = end - o->pos_bytes;
	ret_extent->data = w->data;
	o->pos_bytes = end;
	return 1;
}

static int layer_open(struct overlay *o, struct overlay_layer *l)
{
	struct stream_event ev;

	if (input_next(l->in, &ev) <= 0)
		return broken(o, l, l->in->error);
	l->size_bytes = stream_decoder_header(l->in->dec)->size_bytes;
	/* Read when it is asked for. */
	l->off_bytes = l->len_bytes = 0;
	return 0;
}

/* Is layer i based on the one before? */
static int layer_check(struct overlay *o, size_t i)
{
	const struct overlay_layer *l = &o->layers[i];
	const struct stream_header *h = stream_decoder_header(l->in->dec);
	const struct stream_header *b;

	if (h->start_bytes > 0)
		return broken(o, l, "it is only the rest of a stream");
	if (i == 0)
		return 0;
	b = stream_decoder_header(o->layers[i - 1].in->dec);
	if (!uuid_equal(&h->base, &b->target) ||
	    !uuid_equal(&h->volume, &b->volume))
		return broken(o, l, "it is not based on the one before");
	return 0;
}

int overlay_open(struct overlay *o, struct input *inputs,
		 const char *const *names, size_t n)
{
	memset(o, 0, sizeof(*o));
	o->layers = calloc(n, sizeof(*o->layers));
	if (o->layers == NULL)
		abort();
	o->n = n;
	for (size_t i = 0; i < n; i++) {
		o->layers[i].in = &inputs[i];
		o->layers[i].name = names[i];
		if (layer_open(o, &o->layers[i]) < 0 || layer_check(o, i) < 0)
			return -1;
	}
	o->size_bytes = o->layers[n - 1].size_bytes;
	return 0;
}

void overlay_close(struct overlay *o)
{
	free(o->layers);
}
