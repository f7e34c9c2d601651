/* tests/server/nbd_mem.c - exports in memory. */
#include "tests/server/nbd_mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"

#define POLL_NS (2 * NS_PER_MS)
#define USERS_MAX 512

enum { EXP_MEM, EXP_RO, EXP_BIG, EXP_COARSE, EXP_COUNT };
static const char *const names[] = { "mem", "ro", "big", "coarse" };

struct mem_export {
	struct export      exp;
	struct mem_source *m;
	int                which;
};

struct mem_source {
	struct export_source src;
	struct io           *io;
	struct mem_ctl      *ctl;
	struct list          waiting; /* io_req.link in priv.raw */
	struct io_work       work;
	struct io_timer      poll;    /* while requests are held */
	struct mem_export   *users[USERS_MAX];
};

/* --- what the requests do ----------------------------------------------- */

static struct mem_export *of_req(struct export_req *req)
{
	return container_of(req->exp, struct mem_export, exp);
}

static uint64_t size_of(int which)
{
	return which == EXP_BIG ? MEM_BIG_BYTES : MEM_BYTES;
}

static void do_read(struct mem_ctl *ctl, struct export_req *req)
{
	uint64_t skew = req->off_bytes % TARN_BLOCK;
	uint64_t first = req->off_bytes / TARN_BLOCK;
	uint64_t n = bytes_to_blocks_up(skew + req->len_bytes);
	uint8_t *buf = req->buf;

	assert((uintptr_t)buf % TARN_BLOCK == 0);
	/* What was not asked for must not travel. */
	memset(buf, 0xee, n * TARN_BLOCK);
	if (req->holes != NULL)
		memset(req->holes, 0, BITMAP_WORDS(n) * 8);
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *to = buf + i * TARN_BLOCK;

		if (first + i < MEM_BLOCKS && ctl->mapped[first + i])
			memcpy(to, ctl->data + (first + i) * TARN_BLOCK,
			       TARN_BLOCK);
		else if (req->holes != NULL)
			bitmap_set(req->holes, i);
		else
			memset(to, 0, TARN_BLOCK);
	}
}

static int do_write(struct mem_ctl *ctl, struct export_req *req)
{
	uint64_t end = req->off_bytes + req->len_bytes;

	if (end > MEM_BYTES)
		return -ENOSPC;
	for (uint64_t b = req->off_bytes / TARN_BLOCK; b * TARN_BLOCK < end;
	     b++) {
		if (!ctl->mapped[b])
			memset(ctl->data + b * TARN_BLOCK, 0, TARN_BLOCK);
		ctl->mapped[b] = 1;
	}
	memcpy(ctl->data + req->off_bytes, req->buf, req->len_bytes);
	return 0;
}

static void do_unmap(struct mem_ctl *ctl, struct export_req *req)
{
	uint64_t off = min_u64(req->off_bytes, MEM_BYTES);
	uint64_t end = min_u64(req->off_bytes + req->len_bytes, MEM_BYTES);

	for (uint64_t b = off / TARN_BLOCK; b * TARN_BLOCK < end; b++) {
		uint64_t from = max_u64(off, b * TARN_BLOCK);
		uint64_t to = min_u64(end, (b + 1) * TARN_BLOCK);

		memset(ctl->data + from, 0, to - from);
		if (to - from == TARN_BLOCK)
			ctl->mapped[b] = req->flags & VOL_NO_HOLE ? 1 : 0;
	}
}

static bool is_hole(struct mem_ctl *ctl, uint64_t b)
{
	return b >= MEM_BLOCKS || !ctl->mapped[b];
}

/* Bitmap b1 has mark MARKS - 1, the older ones less. */
#define MARKS   100u
#define BITMAPS 20u

/* What a STATUS or DIFF says of a block. */
static struct vol_extent extent_of(struct mem_ctl *ctl, struct export_req *req,
				   uint64_t b)
{
	bool hole = is_hole(ctl, b), changed = false;

	if (req->mark != 0)
		changed = mem_changed(MARKS - (unsigned)req->mark, b);
	if (req->op == VOL_DIFF)
		return (struct vol_extent){ .hole = changed && hole,
					    .changed = changed };
	return (struct vol_extent){ .hole = hole, .changed = changed && hole };
}

static void do_status(struct mem_ctl *ctl, struct export_req *req)
{
	uint64_t pos = req->off_bytes;
	uint64_t end = pos + req->len_bytes;
	uint32_t max = req->extents_max;

	assert(max >= 1);
	if (ctl->extents_max != 0)
		max = min_u32(max, ctl->extents_max);
	req->nextents = 0;
	while (pos < end && req->nextents < max) {
		uint64_t          b = pos / TARN_BLOCK;
		struct vol_extent x = extent_of(ctl, req, b), y = x;
		uint64_t          next = end;

		while (b < MEM_BLOCKS && x.hole == y.hole &&
		       x.changed == y.changed)
			y = extent_of(ctl, req, ++b);
		if (b < MEM_BLOCKS || x.hole != y.hole ||
		    x.changed != y.changed)
			next = min_u64(end, b * TARN_BLOCK);
		x.len_bytes = next - pos;
		req->extents[req->nextents++] = x;
		pos = next;
	}
}

static int carry_out(struct mem_ctl *ctl, struct export_req *req)
{
	if (ctl->fail != 0)
		return ctl->fail;
	switch ((enum vol_op)req->op) {
	case VOL_READ:
		do_read(ctl, req);
		return 0;
	case VOL_WRITE:
		return do_write(ctl, req);
	case VOL_TRIM:
	case VOL_ZERO:
		do_unmap(ctl, req);
		return 0;
	case VOL_STATUS:
	case VOL_DIFF:
		do_status(ctl, req);
		return 0;
	case VOL_FLUSH:
	case VOL_CACHE:
		return 0;
	}
	abort();
}

/* --- queue -------------------------------------------------------------- */

static void finish_all(struct mem_source *m)
{
	struct list batch;

	if (m->ctl->hold) {
		if (!list_empty(&m->waiting) && !io_timer_armed(&m->poll))
			io_timer_arm(m->io, &m->poll,
				     io_now_ns(m->io) + POLL_NS);
		return;
	}
	list_init(&batch);
	list_splice(&batch, &m->waiting);
	while (!list_empty(&batch)) {
		struct list *l = m->ctl->newest_first ? batch.prev : batch.next;
		struct export_req *req =
			container_of(l, struct export_req, priv.raw.io.link);

		list_remove(l);
		req->res = ++m->ctl->done == m->ctl->fail_at ?
				   -EIO :
				   carry_out(m->ctl, req);
		req->done(req);
	}
}

static void work_fn(struct io_work *w)
{
	finish_all(container_of(w, struct mem_source, work));
}

static void poll_fn(struct io_timer *t)
{
	struct mem_source *m = container_of(t, struct mem_source, poll);

	if (m->ctl->gone) {
		for (int i = 0; i < USERS_MAX; i++) {
			struct mem_export *e = m->users[i];

			if (e != NULL && e->exp.gone != NULL)
				e->exp.gone(&e->exp, e->exp.gone_arg);
		}
	}
	finish_all(m);
}

static void check_req(struct mem_export *e, struct export_req *req)
{
	uint64_t size = size_of(e->which);

	assert(req->done != NULL);
	if (req->op == VOL_FLUSH) {
		assert(req->off_bytes == 0 && req->len_bytes == 0);
		return;
	}
	assert(req->off_bytes <= size);
	assert(req->len_bytes <= size - req->off_bytes);
	assert(req->len_bytes > 0);
	if (e->which == EXP_COARSE)
		assert((req->off_bytes | req->len_bytes) % 512 == 0);
	switch ((enum vol_op)req->op) {
	case VOL_READ:
		assert(req->len_bytes <= REQUEST_DATA_MAX && req->buf != NULL);
		assert(req->flags == 0);
		break;
	case VOL_WRITE:
		assert(req->len_bytes <= REQUEST_DATA_MAX && req->buf != NULL);
		assert((req->flags & ~VOL_FUA) == 0);
		assert(e->which != EXP_RO);
		break;
	case VOL_TRIM:
		assert((req->flags & ~VOL_FUA) == 0);
		assert(e->which == EXP_MEM || e->which == EXP_BIG);
		break;
	case VOL_ZERO:
		assert((req->flags & ~(VOL_FUA | VOL_NO_HOLE)) == 0);
		assert(e->which == EXP_MEM || e->which == EXP_BIG);
		break;
	case VOL_STATUS:
	case VOL_DIFF:
		assert((req->flags & ~VOL_ONE) == 0);
		assert(req->extents != NULL && req->extents_max > 0);
		assert(req->mark != 0 || req->op == VOL_STATUS);
		assert(req->mark == 0 || e->which == EXP_RO);
		assert(req->mark < MARKS);
		break;
	case VOL_CACHE:
		assert(e->which != EXP_COARSE);
		break;
	case VOL_FLUSH:
		break;
	}
}

static void mem_submit(struct export_req *req)
{
	struct mem_export *e = of_req(req);
	struct mem_source *m = e->m;
	struct mem_ctl    *ctl = m->ctl;

	check_req(e, req);
	ctl->submitted++;
	if (req->op == VOL_WRITE || req->op == VOL_TRIM || req->op == VOL_ZERO)
		ctl->writes++;
	if (req->op == VOL_FLUSH)
		ctl->flushes++;
	if (req->flags & VOL_FUA)
		ctl->fua++;
	list_init(&req->priv.raw.io.link);
	list_push(&m->waiting, &req->priv.raw.io.link);
	io_defer(m->io, &m->work);
}

/* --- exports ------------------------------------------------------------ */

static void fill_info(int which, struct export_info *info)
{
	bool all = which != EXP_COARSE;

	*info = (struct export_info){
		.size_bytes = size_of(which),
		.block_min = all ? 1 : 512,
		.block_preferred = 4096,
		.read_only = which == EXP_RO,
		.can_trim = all,
		.can_zero = all,
		.can_fast_zero = all,
		.can_fua = all,
		.can_flush = all,
		.can_cache = all,
		.multi_conn = all,
	};
	snprintf(info->name, sizeof(info->name), "%s", names[which]);
	if (which != EXP_COARSE)
		snprintf(info->description, sizeof(info->description),
			 "memory, %s", names[which]);
}

static void mem_info(struct export *exp, struct export_info *ret_info)
{
	fill_info(container_of(exp, struct mem_export, exp)->which, ret_info);
}

static void mem_put(struct export *exp)
{
	struct mem_export *e = container_of(exp, struct mem_export, exp);

	for (int i = 0; i < USERS_MAX; i++) {
		if (e->m->users[i] == e)
			e->m->users[i] = NULL;
	}
	e->m->ctl->users--;
	free(e);
}

static bool mem_has_mark(struct export *exp, uint64_t mark)
{
	struct mem_export *e = container_of(exp, struct mem_export, exp);

	return mark > 0 && mark < MARKS && !e->m->ctl->changed;
}

static const struct export_ops export_ops = {
	.has_mark = mem_has_mark,
	.info = mem_info,
	.submit = mem_submit,
	.put = mem_put,
};

static int find(const char *name)
{
	if (name[0] == 0)
		return EXP_MEM;
	for (int i = 0; i < EXP_COUNT; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -ENOENT;
}

static bool src_next(struct export_source *src, uint64_t *cursor,
		     struct export_info *ret_info)
{
	struct mem_source *m = container_of(src, struct mem_source, src);

	if (*cursor >= EXP_COUNT + m->ctl->list_extra)
		return false;
	fill_info((int)min_u64(*cursor, EXP_RO), ret_info);
	if (*cursor < EXP_COUNT) {
		fill_info((int)*cursor, ret_info);
	} else {
		memset(ret_info->name, 'x', sizeof(ret_info->name) - 1);
		memset(ret_info->description, 'y',
		       sizeof(ret_info->description) - 1);
	}
	(*cursor)++;
	return true;
}

static int src_info(struct export_source *src, const char *name,
		    struct export_info *ret_info)
{
	int which = find(name);

	(void)src;
	if (which < 0)
		return which;
	fill_info(which, ret_info);
	return 0;
}

static int src_bitmap(struct export_source *src, const char *name,
		      const char *bitmap, struct export_bitmap *ret_bitmap)
{
	struct mem_source *m = container_of(src, struct mem_source, src);

	m->ctl->lookups++;
	if (find(name) != EXP_RO)
		return -ENOENT;
	for (unsigned i = 1; i <= BITMAPS; i++) {
		snprintf(ret_bitmap->name, sizeof(ret_bitmap->name), "b%u", i);
		ret_bitmap->mark = MARKS - i;
		if (bitmap == NULL || strcmp(bitmap, ret_bitmap->name) == 0)
			return 0;
	}
	return -ENOENT;
}

static int src_open(struct export_source *src, const char *name,
		    struct export **ret_exp)
{
	struct mem_source *m = container_of(src, struct mem_source, src);
	struct mem_export *e;
	int                which = find(name);

	if (which < 0)
		return which;
	e = calloc(1, sizeof(*e));
	e->exp.ops = &export_ops;
	e->m = m;
	e->which = which;
	m->ctl->users++;
	for (int i = 0; i < USERS_MAX; i++) {
		if (m->users[i] == NULL) {
			m->users[i] = e;
			break;
		}
	}
	*ret_exp = &e->exp;
	return 0;
}

static const struct export_source_ops src_ops = {
	.next = src_next,
	.info = src_info,
	.bitmap = src_bitmap,
	.open = src_open,
};

struct mem_source *mem_source_open(struct io *io, struct mem_ctl *ctl)
{
	struct mem_source *m = calloc(1, sizeof(*m));

	m->src.ops = &src_ops;
	m->io = io;
	m->ctl = ctl;
	list_init(&m->waiting);
	io_work_init(&m->work, work_fn);
	io_timer_init(&m->poll, poll_fn);
	return m;
}

struct export_source *mem_source_src(struct mem_source *m)
{
	return &m->src;
}

void mem_source_close(struct mem_source *m)
{
	assert(list_empty(&m->waiting));
	assert(m->ctl->users == 0);
	io_timer_cancel(m->io, &m->poll);
	io_undefer(&m->work);
	free(m);
}
