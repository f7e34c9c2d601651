/* tools/tarn/backup_prune.c - backups that are not kept any more.
 *
 * One on which others are based cannot just be deleted:
 *
 *	it and the next are read as one, and written as a new stream
 *	that is read again, to see that it is right
 *	it takes the place and name of the next
 *	the older one, on which nothing is based now, is deleted
 *
 * Whoever dies in between leaves at most a file .new and one backup too many.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/backup.h"
#include "tools/tarn/overlay.h"

#define BUF_BYTES (1u << 20)

struct fold {
	struct backup_dir     *dir;
	const struct backup   *older, *newer;
	struct input           inputs[2];
	struct overlay         overlay;
	struct stream_encoder *enc;
	FILE                  *out;
	struct progress        progress;
};

int backup_check(const struct backup_dir *d, const struct backup *b,
		 const char *suffix, const char *what, char *ret_why)
{
	struct progress     progress = { .mode = PROGRESS_SILENT };
	const struct stream_header *h;
	struct stream_event ev;
	struct input        in;
	char  text[100];
	int   r = -1;

	if (backup_dir_input(d, b->when, suffix, &in)) {
		snprintf(text, sizeof(text), "%s %s", what, b->when);
		progress_begin(&progress, d->cli, text, 0,
			       b->header.size_bytes);
		while ((r = input_next(&in, &ev)) > 0)
			if (ev.kind != STREAM_HEADER)
				progress_update(&progress,
						ev.off_bytes + ev.len_bytes);
		progress_end(&progress, r == 0);
	}
	if (r == 0) {
		h = stream_decoder_header(in.dec);
		if (!uuid_equal(&h->target, &b->header.target) ||
		    h->start_bytes > 0) {
			snprintf(in.error, sizeof(in.error),
				 "it is another one now");
			r = -1;
		}
	}
	if (r < 0)
		snprintf(ret_why, BACKUP_WHY_BYTES, "%.*s",
			 BACKUP_WHY_BYTES - 1, in.error);
	input_close(&in);
	return r;
}

/* --- folding ------------------------------------------------------------- */

static enum cli_exit fold_fail(const struct fold *f, const char *why)
{
	out_error(f->dir->cli, "EIO",
		  "'%.500s': %s and %s cannot be made one: %.700s; nothing is "
		  "lost, see 'tarn backup verify'", f->dir->path,
		  f->older->when, f->newer->when, why);
	return CLI_FAILED;
}

static int out_write(struct fold *f, const struct stream_out *out)
{
	for (size_t i = 0; i < ARRAY_LEN(out->piece); i++)
		if (out->piece[i].bytes > 0 &&
		    fwrite(out->piece[i].buf, 1, out->piece[i].bytes,
			   f->out) != out->piece[i].bytes)
			return -errno;
	return 0;
}

static int extent_write(struct fold *f, const struct overlay_extent *x)
{
	uint64_t end = x->off_bytes + x->len_bytes;
	struct stream_out out;
	int r;

	if (x->data != NULL)
		r = stream_encode_data(f->enc, x->off_bytes, x->data,
				       x->len_bytes, &out);
	else
		r = stream_encode_zero(f->enc, x->off_bytes, x->len_bytes,
				       &out);
	if (r == 0)
		r = out_write(f, &out);
	if (r == 0 && stream_encoder_mark_due(f->enc, end) &&
	    stream_encode_mark(f->enc, end, &out) == 0)
		r = out_write(f, &out);
	progress_update(&f->progress, end);
	return r;
}

static enum cli_exit fold_write(struct fold *f)
{
	struct overlay_extent x;
	struct stream_out     out;
	int r, w;

	stream_encode_header(f->enc, &out);
	w = out_write(f, &out);
	while (w == 0 && (r = overlay_next(&f->overlay, &x)) != 0) {
		if (r < 0)
			return fold_fail(f, f->overlay.error);
		w = extent_write(f, &x);
	}
	if (w == 0)
		w = stream_encode_end(f->enc, &out);
	if (w == 0)
		w = out_write(f, &out);
	if (w == 0 && fflush(f->out) != 0)
		w = -errno;
	return w < 0 ? fold_fail(f, strerror(-w)) : CLI_OK;
}

/* What the newer one is, with what the older one is based on. */
static void fold_header(const struct fold *f, struct stream_header *ret_h)
{
	const struct stream_header *o = &f->older->header;

	*ret_h = f->newer->header;
	ret_h->base = o->base;
	ret_h->base_kind = o->base_kind;
	ret_h->base_bytes = o->base_bytes;
	memcpy(ret_h->base_name, o->base_name, sizeof(ret_h->base_name));
}

static enum cli_exit fold_read(struct fold *f)
{
	const char *const names[] = { f->older->when, f->newer->when };
	bool opened = true;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!backup_dir_input(f->dir, names[i], BACKUP_SUFFIX,
				      &f->inputs[i]) && opened) {
			opened = false;
			snprintf(f->overlay.error, sizeof(f->overlay.error),
				 "%s", f->inputs[i].error);
		}
	if (!opened || overlay_open(&f->overlay, f->inputs, names,
				    ARRAY_LEN(names)) < 0)
		return fold_fail(f, f->overlay.error);
	return CLI_OK;
}

static enum cli_exit fold_into(struct fold *f, int fd, int level)
{
	struct stream_header h;
	char   what[100], why[BACKUP_WHY_BYTES];
	struct backup made = *f->newer;
	enum cli_exit r;

	fold_header(f, &h);
	if (stream_encoder_open(&h, level, &f->enc) < 0)
		return fold_fail(f, "their headers do not fit together");
	f->out = fdopen(dup(fd), "w");
	if (f->out == NULL || setvbuf(f->out, NULL, _IOFBF, BUF_BYTES) != 0)
		return fold_fail(f, "out of memory");
	snprintf(what, sizeof(what), "folding %s into %s", f->older->when,
		 f->newer->when);
	progress_begin(&f->progress, f->dir->cli, what, 0, h.size_bytes);
	r = fold_write(f);
	progress_end(&f->progress, r == CLI_OK);
	if (r != CLI_OK)
		return r;
	if (backup_check(f->dir, &made, BACKUP_NEW_SUFFIX, "verifying",
			 why) < 0)
		return fold_fail(f, why);
	return CLI_OK;
}

/* The newer one is then based on what the older one is. */
static enum cli_exit fold(struct backup_dir *d, const struct prune *p,
			  int level)
{
	struct fold f = { .dir = d,
			  .older = &d->list[p->older],
			  .newer = &d->list[p->newer],
			  .inputs = { { .fd = -1 }, { .fd = -1 } } };
	enum cli_exit r = fold_read(&f);
	int fd = -1;

	if (r == CLI_OK) {
		fd = backup_dir_create(d, f.newer->when);
		r = fd < 0 ? CLI_FAILED : fold_into(&f, fd, level);
	}
	if (f.out != NULL)
		fclose(f.out);
	stream_encoder_close(f.enc);
	for (size_t i = 0; i < ARRAY_LEN(f.inputs); i++)
		input_close(&f.inputs[i]);
	overlay_close(&f.overlay);
	if (r == CLI_OK)
		return backup_dir_publish(d, f.newer->when, fd);
	backup_dir_drop(d, f.newer->when, fd);
	return r;
}

enum cli_exit backup_prune(struct backup_dir *d, const struct backup_policy *p,
			   int level, unsigned *ret_gone)
{
	enum cli_exit r = backup_dir_load(d);
	struct prune  next;

	*ret_gone = 0;
	while (r == CLI_OK) {
		backups_keep(d->list, d->n, p);
		next = backups_prune_next(d->list, d->n);
		if (next.kind == PRUNE_NOTHING)
			break;
		if (next.kind == PRUNE_FOLD) {
			r = fold(d, &next, level);
		} else {
			r = backup_dir_delete(d, d->list[next.older].when);
			*ret_gone += r == CLI_OK;
		}
		if (r == CLI_OK)
			r = backup_dir_load(d);
	}
	return r;
}
