/* tests/sim/model.c - chains of versions: see model.h.
 *
 * A chain may be cut below a version that covers its whole block and that
 * nothing can take back any more.  A block that was never touched, or whose
 * chain ends, is zeros below.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/model.h"
#include "tests/sim/model_priv.h"

/* P3: a write of up to so much is whole or absent. */
#define ATOMIC_BYTES (1u << 20)
#define WORD_STEP 0x9e3779b97f4a7c15ull

struct model *model_open(struct sim *sim)
{
	struct model *m = calloc(1, sizeof(*m));

	assert(m != NULL);
	m->sim = sim;
	m->ops_cap = 4096;
	m->ops = calloc(m->ops_cap, sizeof(m->ops[0]));
	m->vers_cap = 65536;
	m->vers = malloc(m->vers_cap * sizeof(m->vers[0]));
	assert(m->ops != NULL && m->vers != NULL);
	m->nops = 1;
	m->nvers = 1;
	return m;
}

/* --- stamps -------------------------------------------------------------- */

static uint64_t stamp(const struct model *m, uint32_t op, uint64_t block)
{
	return (uint64_t)op << 40 | (uint64_t)m->ops[op].vol << 32 |
	       (uint32_t)block;
}

void model_stamp_text(const struct model *m, const uint8_t *data,
		      unsigned byte, char *text, size_t text_bytes)
{
	unsigned i = byte / 8;
	uint64_t w, s;

	memcpy(&w, data + i * 8ul, 8);
	s = w - i * WORD_STEP;
	if (w == 0)
		snprintf(text, text_bytes, "zeros");
	else if (s >> 40 < m->nops)
		snprintf(text, text_bytes, "operation %llu of volume #%u, "
			 "block %u", (unsigned long long)(s >> 40),
			 (unsigned)(s >> 32) & 0xff, (unsigned)s);
	else
		snprintf(text, text_bytes, "%016llx, nothing that was ever "
			 "written", (unsigned long long)w);
}

/* Bytes [lo, hi) of block `block` as op writes them. */
static void fill_part(const struct model *m, uint32_t op, uint64_t block,
		      uint8_t *dst, unsigned lo, unsigned hi)
{
	uint64_t s = stamp(m, op, block);
	uint64_t words[TARN_BLOCK / 8];

	if (lo == 0 && hi == TARN_BLOCK && (uintptr_t)dst % 8 == 0) {
		uint64_t *w = (uint64_t *)(void *)dst;

		for (unsigned i = 0; i < TARN_BLOCK / 8; i++)
			w[i] = s + i * WORD_STEP;
		return;
	}
	for (unsigned i = lo / 8; i < (hi + 7) / 8; i++)
		words[i] = s + i * WORD_STEP;
	memcpy(dst, (uint8_t *)words + lo, hi - lo);
}

void model_fill(struct model *m, uint32_t op, void *buf)
{
	const struct mop *o = &m->ops[op];
	uint8_t          *dst = buf;
	uint64_t          at = o->off_bytes;

	while (at < o->end_bytes) {
		uint64_t block = at / TARN_BLOCK;
		uint64_t stop = min_u64(o->end_bytes,
					(block + 1) * TARN_BLOCK);

		fill_part(m, op, block, dst, (unsigned)(at % TARN_BLOCK),
			  (unsigned)(stop - block * TARN_BLOCK));
		dst += stop - at;
		at = stop;
	}
}

static bool zeros(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Mostly one operation has written all of it, and its number says enough. */
struct mcopy model_copy(const struct model *m, const uint8_t *data)
{
	struct mcopy c = { .src = 0 };
	uint64_t first, w;
	uint8_t *copy;

	if (zeros(data, TARN_BLOCK))
		return c;
	memcpy(&first, data, sizeof(first));
	for (unsigned i = 1; i < TARN_BLOCK / 8; i++) {
		memcpy(&w, data + i * 8ul, sizeof(w));
		if (w == first + i * WORD_STEP)
			continue;
		copy = malloc(TARN_BLOCK);
		assert(copy != NULL);
		memcpy(copy, data, TARN_BLOCK);
		c.data = copy;
		return c;
	}
	c.src = (uint32_t)(first >> 40);
	if (c.src >= m->nops)
		sim_fail(m->sim, "a snapshot holds %016llx, nothing that was "
			 "ever written", (unsigned long long)first);
	return c;
}

/* Are bytes [lo, hi) of data, a whole block, as op wrote them? */
static bool same(const struct model *m, uint32_t op, uint64_t block,
		 const uint8_t *data, unsigned lo, unsigned hi)
{
	uint64_t diff = 0, s;

	if (m->ops[op].data != NULL)
		return memcmp(data + lo, m->ops[op].data + lo, hi - lo) == 0;
	if (m->ops[op].kind == MOP_COPY)
		op = m->ops[op].src;
	if (m->ops[op].kind != MOP_WRITE)
		return zeros(data + lo, hi - lo);
	s = stamp(m, op, block);
	if (lo == 0 && hi == TARN_BLOCK) {
		const uint64_t *w = (const uint64_t *)(const void *)data;

		for (unsigned i = 0; i < TARN_BLOCK / 8; i++)
			diff |= w[i] ^ (s + i * WORD_STEP);
		return diff == 0;
	}
	for (unsigned i = lo; i < hi; i++) {
		uint64_t w = s + i / 8 * WORD_STEP;

		if (data[i] != (uint8_t)(w >> (i % 8 * 8)))
			return false;
	}
	return true;
}

/* --- versions ------------------------------------------------------------ */

/* What of the block, in bytes, the operation covers. */
static void cover(const struct mop *o, uint64_t block, unsigned *lo,
		  unsigned *hi)
{
	uint64_t start = block * TARN_BLOCK;

	*lo = o->off_bytes > start ? (unsigned)(o->off_bytes - start) : 0;
	*hi = o->end_bytes < start + TARN_BLOCK ?
		      (unsigned)(o->end_bytes - start) :
		      TARN_BLOCK;
}

static bool covers_all(const struct mop *o, uint64_t block)
{
	unsigned lo, hi;

	cover(o, block, &lo, &hi);
	return lo == 0 && hi == TARN_BLOCK;
}

/* Without effect, for certain. */
static bool dead(const struct mop *o)
{
	return o->state == MOP_FAILED && !o->maybe;
}

/* A trim of a part of a block need not do anything to it. */
bool model_doubtful(const struct mop *o, uint64_t block)
{
	return o->maybe || (o->kind == MOP_TRIM && !covers_all(o, block));
}

/* Can what was seen in bytes [x, y) be what version v and its elders make?
 * certain: v itself has had its effect. */
static bool match(const struct model *m, uint32_t v, const struct seen *s,
		  unsigned x, unsigned y, bool certain)
{
	while (x < y && v != 0) {
		const struct mver *ver = &m->vers[v];
		const struct mop  *o = &m->ops[ver->op];
		unsigned           lo, hi;

		v = ver->prev;
		if (dead(o))
			continue;
		if (!certain && model_doubtful(o, s->block) &&
		    match(m, v, s, x, y, false))
			return true;
		certain = false;
		cover(o, s->block, &lo, &hi);
		lo = max_u32(lo, x);
		hi = min_u32(hi, y);
		if (lo >= hi)
			continue;
		if (!same(m, ver->op, s->block, s->data, lo, hi))
			return false;
		if (!match(m, v, s, x, lo, false))
			return false;
		x = hi;
	}
	return x >= y || zeros(s->data + x, y - x);
}

bool model_find(const struct model *m, const struct mblock *b,
		const struct seen *s, uint32_t bound, struct found *f)
{
	uint32_t v = b->top;

	f->any = false;
	for (;;) {
		const struct mver *ver = &m->vers[v];
		bool               solid;

		if (v == 0) {
			if (zeros(s->data + s->x, s->y - s->x)) {
				f->newest = f->any ? f->newest : 0;
				f->oldest = 0;
				f->any = true;
			}
			return f->any;
		}
		solid = !dead(&m->ops[ver->op]);
		if (solid && match(m, v, s, s->x, s->y, true)) {
			f->newest = f->any ? f->newest : v;
			f->oldest = v;
			f->any = true;
		}
		if (solid && ver->n <= bound &&
		    !model_doubtful(&m->ops[ver->op], s->block))
			return f->any;
		v = ver->prev;
	}
}

uint32_t model_durable_n(const struct model *m, const struct mblock *b)
{
	for (uint32_t v = b->top; v != 0; v = m->vers[v].prev) {
		const struct mver *ver = &m->vers[v];
		const struct mop  *o = &m->ops[ver->op];

		if (ver->n <= b->base)
			return ver->n;
		if (o->state == MOP_DONE &&
		    (o->fua || o->done_no <= m->flushed))
			return ver->n;
	}
	return 0;
}

/* Forget what nothing can bring back. */
static void prune(struct model *m, struct mblock *b, uint64_t block)
{
	uint32_t bound = min_u32(model_durable_n(m, b), b->lo);

	for (uint32_t v = b->top; v != 0; v = m->vers[v].prev) {
		struct mver      *ver = &m->vers[v];
		const struct mop *o = &m->ops[ver->op];

		if (ver->n <= bound && o->state == MOP_DONE &&
		    !model_doubtful(o, block) && covers_all(o, block)) {
			ver->prev = 0;
			return;
		}
	}
}

void model_push(struct model *m, unsigned vol, uint64_t block, uint32_t op)
{
	struct mblock *b = &m->vols[vol].blocks[block];
	struct mver   *ver;

	if (m->nvers == m->vers_cap) {
		m->vers_cap *= 2;
		m->vers = realloc(m->vers, m->vers_cap * sizeof(m->vers[0]));
		assert(m->vers != NULL);
	}
	if (b->readers == 0 && b->top != 0)
		prune(m, b, block);
	ver = &m->vers[m->nvers];
	ver->op = op;
	ver->prev = b->top;
	ver->n = b->top != 0 ? m->vers[b->top].n + 1 : b->base + 1;
	b->unsure = false;
	b->top = m->nvers++;
}

/* --- requests ------------------------------------------------------------ */

uint32_t model_new_op(struct model *m)
{
	struct mop *o;

	if (m->nops == m->ops_cap) {
		m->ops_cap *= 2;
		m->ops = realloc(m->ops, m->ops_cap * sizeof(m->ops[0]));
		assert(m->ops != NULL);
	}
	o = &m->ops[m->nops];
	memset(o, 0, sizeof(*o));
	o->from = 2 * m->acks + 1;
	o->to = UINT64_MAX;
	o->state = MOP_INFLIGHT;
	return m->nops++;
}

uint32_t model_begin(struct model *m, unsigned vol, enum mop_kind kind,
		     uint64_t off_bytes, uint64_t len_bytes, bool fua)
{
	uint32_t    op = model_new_op(m);
	struct mop *o = &m->ops[op];
	uint64_t    first = off_bytes / TARN_BLOCK;
	uint64_t    end = div_up(off_bytes + len_bytes, TARN_BLOCK);

	o->off_bytes = off_bytes;
	o->end_bytes = off_bytes + len_bytes;
	o->vol = (uint8_t)vol;
	o->kind = (uint8_t)kind;
	o->fua = fua;
	o->atomic = kind == MOP_WRITE && len_bytes <= ATOMIC_BYTES;
	o->exact = o->atomic && !fua;
	o->maybe = kind == MOP_TRIM && m->full;
	for (uint64_t b = first; b < end; b++)
		model_push(m, vol, b, op);
	m->vols[vol].inflight++;
	return op;
}

static void raise_lo(struct model *m, struct mblock *b, uint32_t op)
{
	for (uint32_t v = b->top; v != 0 && m->vers[v].n > b->lo;
	     v = m->vers[v].prev)
		if (m->vers[v].op == op)
			b->lo = m->vers[v].n;
}

void model_end(struct model *m, uint32_t op, int res)
{
	struct mop  *o = &m->ops[op];
	struct mvol *vol = &m->vols[o->vol];
	uint64_t     end = div_up(o->end_bytes, TARN_BLOCK);

	assert(o->state == MOP_INFLIGHT && vol->inflight > 0);
	vol->inflight--;
	if (res != 0) {
		o->state = MOP_FAILED;
		o->maybe = !o->atomic;
		if (res == -ENOSPC)
			m->full = true;
		return;
	}
	o->state = MOP_DONE;
	o->done_no = ++m->dones;
	o->maybe = o->maybe || (o->kind == MOP_TRIM && m->full);
	if (o->exact) {
		o->from = 2 * ++m->acks;
		o->to = o->from;
	} else {
		o->to = 2 * m->acks + 1;
	}
	for (uint64_t b = o->off_bytes / TARN_BLOCK; b < end; b++)
		raise_lo(m, &vol->blocks[b], op);
}

void model_read_begin(struct model *m, unsigned vol, uint64_t off_bytes,
		      uint64_t len_bytes, uint32_t *lo)
{
	struct mvol *v = &m->vols[vol];
	uint64_t     end = div_up(off_bytes + len_bytes, TARN_BLOCK);

	for (uint64_t b = off_bytes / TARN_BLOCK; b < end; b++) {
		*lo++ = v->blocks[b].lo;
		v->blocks[b].readers++;
	}
	v->inflight++;
}

void model_fail_block(struct model *m, unsigned vol, const struct seen *s,
		      uint32_t bound, const char *when)
{
	const struct mblock *b = &m->vols[vol].blocks[s->block];
	char                 is[120], line[200];
	unsigned             byte = s->x;

	for (uint32_t v = b->top; v != 0; v = m->vers[v].prev) {
		const struct mop *o = &m->ops[m->vers[v].op];

		sim_print(m->sim, "  version %u%s: operation %u, kind %u, "
			  "state %u, bytes %llu..%llu, order %llu..%lld, done "
			  "as %llu (flushed %llu)%s%s", m->vers[v].n,
			  m->vers[v].n == bound ? " (oldest allowed)" : "",
			  m->vers[v].op, o->kind, o->state,
			  (unsigned long long)o->off_bytes,
			  (unsigned long long)o->end_bytes,
			  (unsigned long long)o->from, (long long)o->to,
			  (unsigned long long)o->done_no,
			  (unsigned long long)m->flushed,
			  o->fua ? " fua" : "", o->maybe ? " maybe" : "");
	}
	/* The first byte that the newest version does not explain. */
	while (byte < s->y && b->top != 0 &&
	       match(m, b->top, s, byte, byte + 1, false))
		byte++;
	model_stamp_text(m, s->data, byte < s->y ? byte : s->x, is,
			 sizeof(is));
	snprintf(line, sizeof(line), "%s: volume %s block %llu byte %u", when,
		 m->vols[vol].name, (unsigned long long)s->block, byte);
	sim_fail(m->sim, "%s holds %s (versions allowed: %u to %u)", line, is,
		 bound, b->top ? m->vers[b->top].n : b->base);
}

void model_read_end(struct model *m, unsigned vol, uint64_t off_bytes,
		    uint64_t len_bytes, const uint32_t *lo,
		    const uint8_t *buf)
{
	struct mvol *v = &m->vols[vol];
	uint64_t     first = off_bytes / TARN_BLOCK;
	uint64_t     end_bytes = off_bytes + len_bytes;
	uint64_t     end = div_up(end_bytes, TARN_BLOCK);

	assert(v->inflight > 0);
	v->inflight--;
	for (uint64_t i = first; i < end; i++) {
		struct mblock *b = &v->blocks[i];
		uint64_t       start = i * TARN_BLOCK;
		struct seen    s = { .block = i, .y = TARN_BLOCK };
		struct found   f;

		b->readers--;
		if (buf == NULL)
			continue;
		s.data = buf + (i - first) * TARN_BLOCK;
		if (off_bytes > start)
			s.x = (unsigned)(off_bytes - start);
		if (end_bytes < start + TARN_BLOCK)
			s.y = (unsigned)(end_bytes - start);
		if (!model_find(m, b, &s, lo[i - first], &f))
			model_fail_block(m, vol, &s, lo[i - first],
					 "a read was wrong");
		/* What was seen must not go away. */
		if (f.oldest != 0)
			b->lo = max_u32(b->lo, m->vers[f.oldest].n);
	}
	STAT_ADD(m->sim, blocks_verified, end - first);
}

void model_check_hole(struct model *m, unsigned vol, uint64_t block,
		      uint32_t lo)
{
	static const uint8_t nothing[TARN_BLOCK];
	const struct mblock *b = &m->vols[vol].blocks[block];
	const struct seen    s = { .block = block,
				   .data = nothing,
				   .y = TARN_BLOCK };
	struct found         f;

	if (!model_find(m, b, &s, lo, &f))
		model_fail_block(m, vol, &s, lo,
				 "a hole was reported where data is");
}

uint64_t model_flush_begin(const struct model *m)
{
	return m->dones;
}

void model_flushed(struct model *m, uint64_t mark)
{
	m->flushed = max_u64(m->flushed, mark);
}
