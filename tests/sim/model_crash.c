/* tests/sim/model_crash.c - what must be true after a crash, and control
 * operations: see model.h.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/model.h"
#include "tests/sim/model_priv.h"

void model_crash(struct model *m, bool power)
{
	m->power = power;
	for (uint32_t i = 1; i < m->nops; i++) {
		struct mop *o = &m->ops[i];

		o->verdict = VERDICT_UNKNOWN;
		if (o->state != MOP_INFLIGHT)
			continue;
		/* What is answered in order and was not answered comes after
		 * all that was. */
		if (o->exact)
			o->from = 2 * m->acks + 1;
		/* It may have failed without our hearing of it. */
		if (m->full)
			o->maybe = true;
	}
	for (unsigned v = 0; v < MODEL_VOLS_MAX; v++) {
		m->vols[v].inflight = 0;
		m->vols[v].vol = NULL;
	}
}

static void judge(struct model *m, uint32_t op, uint8_t verdict,
		  uint64_t block)
{
	struct mop *o = &m->ops[op];

	if (model_doubtful(o, block) || o->state == MOP_FAILED)
		return;
	o->verdict |= verdict;
	if (o->atomic && o->verdict == (VERDICT_SURVIVED | VERDICT_LOST))
		sim_fail(m->sim, "P3: operation %u of volume %s (bytes %llu to "
			 "%llu) is neither whole nor absent; seen at block "
			 "%llu", op, m->vols[o->vol].name,
			 (unsigned long long)o->off_bytes,
			 (unsigned long long)o->end_bytes,
			 (unsigned long long)block);
}

void model_verify(struct model *m, unsigned vol, uint64_t block,
		  const uint8_t *data)
{
	struct mvol   *mv = &m->vols[vol];
	struct mblock *b = &mv->blocks[block];
	uint32_t       bound = m->power ? model_durable_n(m, b) : b->lo;
	struct seen    s = { .block = block, .data = data, .y = TARN_BLOCK };
	struct found   f;

	if ((block + 1) * TARN_BLOCK > mv->size_bytes)
		s.y = (unsigned)(mv->size_bytes - block * TARN_BLOCK);
	b->readers = 0;
	if (!model_find(m, b, &s, bound, &f))
		model_fail_block(m, vol, &s, bound,
				 m->power ? "after the power loss (P1, P4)" :
					    "after the kill (P1, P4)");
	if (f.oldest != 0)
		judge(m, m->vers[f.oldest].op, VERDICT_SURVIVED, block);
	for (uint32_t v = b->top; v != f.newest; v = m->vers[v].prev)
		judge(m, m->vers[v].op, VERDICT_LOST, block);
	if (b->top != 0)
		b->base = m->vers[f.newest != 0 ? f.newest : b->top].n;
	/* A second crash makes nothing surer. */
	b->unsure = f.newest != f.oldest ||
		    (b->unsure && f.newest == b->top);
	b->top = f.newest;
	b->lo = b->base;
}

void model_verify_order(struct model *m)
{
	const struct mop *kept;
	uint64_t          latest = 0;
	uint32_t          survivor = 0;

	for (uint32_t i = 1; i < m->nops; i++) {
		const struct mop *o = &m->ops[i];
		bool there = o->verdict & VERDICT_SURVIVED;

		if (o->state == MOP_DONE &&
		    (o->fua || o->done_no <= m->flushed || !m->power))
			there = true;
		if (there && o->from > latest) {
			latest = o->from;
			survivor = i;
		}
	}
	kept = &m->ops[survivor];
	for (uint32_t i = 1; i < m->nops; i++) {
		struct mop *o = &m->ops[i];

		if ((o->verdict & VERDICT_LOST) && o->to < latest)
			sim_fail(m->sim, "P2: operation %u (volume %s, bytes "
				 "%llu to %llu) was lost and operation %u "
				 "(volume %s, bytes %llu to %llu), which came "
				 "after it, was not", i, m->vols[o->vol].name,
				 (unsigned long long)o->off_bytes,
				 (unsigned long long)o->end_bytes, survivor,
				 m->vols[kept->vol].name,
				 (unsigned long long)kept->off_bytes,
				 (unsigned long long)kept->end_bytes);
		if (o->state == MOP_INFLIGHT) {
			o->state = MOP_DONE;
			o->done_no = ++m->dones;
		}
	}
	/* Recovery has made a commit: all of it is durable. */
	m->flushed = m->dones;
}

/* --- control operations -------------------------------------------------- */

void model_ctl_begin(struct model *m, const struct mctl *ctl)
{
	assert(m->ctl.kind == MCTL_NONE);
	m->ctl = *ctl;
	m->ctl.op = model_new_op(m);
	m->ops[m->ctl.op].vol = ctl->vol;
	m->ops[m->ctl.op].kind = MOP_CONTROL;
	m->ops[m->ctl.op].fua = true;
}

static void resize(struct model *m, struct mvol *v, uint64_t size_bytes)
{
	uint32_t n = (uint32_t)div_up(size_bytes, TARN_BLOCK);

	(void)m;
	v->blocks = realloc(v->blocks, (n + 1ul) * sizeof(v->blocks[0]));
	assert(v->blocks != NULL);
	if (n > v->nblocks)
		memset(v->blocks + v->nblocks, 0,
		       (n - v->nblocks) * sizeof(v->blocks[0]));
	v->nblocks = n;
	v->size_bytes = size_bytes;
}

/* The volume is what the snapshot is; that is durable. */
static void copy_in(struct model *m, unsigned vol)
{
	const struct mop *ctl;
	struct mvol *v = &m->vols[vol];

	resize(m, v, m->ctl.size_bytes);
	for (uint64_t b = 0; b < v->nblocks; b++) {
		uint32_t    op = model_new_op(m);
		struct mop *o = &m->ops[op];

		ctl = &m->ops[m->ctl.op];
		o->kind = MOP_COPY;
		o->vol = (uint8_t)vol;
		o->off_bytes = b * TARN_BLOCK;
		o->end_bytes = (b + 1) * TARN_BLOCK;
		o->fua = true;
		o->state = MOP_DONE;
		o->from = ctl->from;
		o->to = ctl->to;
		o->done_no = ctl->done_no;
		o->src = m->ctl.copies[b].src;
		o->data = m->ctl.copies[b].data;
		model_push(m, vol, b, op);
		v->blocks[b].base = m->vers[v->blocks[b].top].n;
		v->blocks[b].lo = v->blocks[b].base;
	}
}

void model_vol_gone(struct mvol *v)
{
	v->alive = false;
	v->trashed = false;
	free(v->blocks);
	v->blocks = NULL;
	v->nblocks = 0;
}

struct mvol *model_vol_free(struct model *m)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++)
		if (!m->vols[i].alive && !m->vols[i].trashed)
			return &m->vols[i];
	return NULL;
}

static void ctl_apply(struct model *m)
{
	struct mvol *v = &m->vols[m->ctl.vol];

	switch ((enum mctl_kind)m->ctl.kind) {
	case MCTL_CREATE:
		v->alive = true;
		v->nblocks = 0;
		resize(m, v, m->ctl.size_bytes);
		break;
	case MCTL_RESIZE:
		resize(m, v, m->ctl.size_bytes);
		break;
	case MCTL_CLONE:
	case MCTL_PUBLISH:
		v->alive = true;
		v->nblocks = 0;
		copy_in(m, m->ctl.vol);
		break;
	case MCTL_ROLLBACK:
		copy_in(m, m->ctl.vol);
		break;
	case MCTL_RENAME:
		memcpy(v->name, m->ctl.new_name, sizeof(v->name));
		break;
	case MCTL_DELETE:
	case MCTL_PURGE:
		model_vol_gone(v);
		break;
	case MCTL_TRASH:
		v->alive = false;
		v->trashed = true;
		break;
	case MCTL_UNDELETE:
		v->alive = true;
		v->trashed = false;
		memcpy(v->name, m->ctl.new_name, sizeof(v->name));
		break;
	case MCTL_NONE:
		break;
	}
}

static void ctl_end(struct model *m)
{
	free(m->ctl.copies);
	m->ctl.copies = NULL;
	m->ctl.kind = MCTL_NONE;
}

void model_ctl_end(struct model *m, int res)
{
	struct mop *o = &m->ops[m->ctl.op];

	o->state = res == 0 ? MOP_DONE : MOP_FAILED;
	if (res == 0) {
		o->to = 2 * m->acks + 1;
		o->done_no = ++m->dones;
		ctl_apply(m);
	}
	ctl_end(m);
}

void model_ctl_decide(struct model *m, bool happened)
{
	struct mop *o = &m->ops[m->ctl.op];

	o->verdict = happened ? VERDICT_SURVIVED : VERDICT_LOST;
	if (happened)
		ctl_apply(m);
	else
		o->state = MOP_FAILED;
	ctl_end(m);
}

/* --- space --------------------------------------------------------------- */

void model_mapped(struct model *m, unsigned vol, uint64_t *ret_min,
		  uint64_t *ret_max)
{
	struct mvol *v = &m->vols[vol];
	uint64_t     lo = 0, hi = 0;

	for (uint32_t i = 0; i < v->nblocks; i++) {
		uint32_t          t = v->blocks[i].top;
		const struct mop *o = &m->ops[m->vers[t].op];
		bool              sure;

		if (t == 0 && !v->blocks[i].unsure)
			continue;
		sure = t != 0 && o->state == MOP_DONE && !o->maybe &&
		       !v->blocks[i].unsure;
		if (sure && (o->kind == MOP_WRITE || o->src != 0 ||
			     o->data != NULL)) {
			lo++;
			hi++;
		} else if (!sure || o->kind != MOP_TRIM ||
			   o->off_bytes > (uint64_t)i * TARN_BLOCK ||
			   o->end_bytes < (i + 1ull) * TARN_BLOCK) {
			hi++;
		}
	}
	*ret_min = lo;
	*ret_max = hi;
}
