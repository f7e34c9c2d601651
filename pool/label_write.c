/* pool/label_write.c - making labels durable.
 *
 * One attempt at a time: a new label number, the content of this moment, both
 * areas of every member that is in or coming in (the content may call it out
 * all the same: membership.c), then a flush of each.
 * Who asked before the attempt started is told when it is done; who asked
 * later has the next one.
 *
 * A disk that is being removed has its label, which says so, first of all, and
 * one that is being added has its last of all: membership_change.c says why.
 *
 * A member that fails on the way is suspect; the attempt waits until it is
 * back (then its label is written) or is going out (then the attempt starts
 * again with a new number and that content).  A number once tried is never
 * used again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

enum label_io {
	LABEL_IO_NONE,    /* not a target of this attempt */
	LABEL_IO_NEEDED,  /* to be written when the member is usable */
	LABEL_IO_WRITING,
	LABEL_IO_FLUSHING,
	LABEL_IO_DONE,
};

static void label_step(struct pool *p);

static bool is_target(const struct member *m)
{
	if (m->leaving)
		return m->in && !m->labelled;
	return (m->in || m->coming_in || m->joining) && !m->going_out &&
	       !m->removed;
}

static bool labelled_others(const struct pool *p, const struct member *but)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m != but && m->label_state != LABEL_IO_NONE &&
		    m->label_state != LABEL_IO_DONE)
			return false;
	}
	return true;
}

/* May it have its label before others that still lack theirs? */
static bool has_turn(const struct pool *p, const struct member *m)
{
	if (m->joining)
		return labelled_others(p, m);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *o = p->members[i];

		if (o != m && o->leaving && o->label_state != LABEL_IO_NONE &&
		    o->label_state != LABEL_IO_DONE)
			return false;
	}
	return true;
}

static bool is_writable(const struct member *m)
{
	return m->disk != NULL && m->disk->up && m->epoch == m->disk->epoch &&
	       (m->state == MEMBER_ONLINE || m->state == MEMBER_RETURNING);
}

/* Do labels written now call it REMOVED? */
static bool is_none(const struct member *m)
{
	return m->leaving || m->removed || (m->joining && !m->announced);
}

static void fill_members(const struct pool *p, const struct commit_ref *c,
			 struct label *l)
{
	bool in[POOL_MEMBERS_MAX];

	members_recorded(p, c, in);
	l->nmembers = p->nmembers;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member      *m = p->members[i];
		struct label_member_info *o = &l->members[i];

		o->uuid = m->uuid;
		o->size_blocks = m->size_blocks;
		o->zones = c == &p->next && !CANARY(grow_untold)
				   ? m->zones_next
				   : m->zones_labelled;
		o->flags = m->flags;
		if (CANARY(offline_forgotten))
			o->flags &= (uint8_t)~LABEL_MEMBER_OFFLINE;
		if (m->joining && !m->announced)
			o->flags |= LABEL_MEMBER_JOIN;
		o->state = in[i] ? LABEL_MEMBER_IN : LABEL_MEMBER_OUT;
		o->out_row = in[i] ? 0 : m->out_row;
		o->out_claim = in[i] ? 0 : m->out_claim;
		memcpy(o->domain, m->domain_name, sizeof(o->domain));
		if (!is_none(m))
			continue;
		o->zones = 0;
		o->state = LABEL_MEMBER_REMOVED;
		o->flags &= (uint8_t)~LABEL_MEMBER_OFFLINE;
	}
}

static void fill_commit(const struct commit_ref *c, struct label *l)
{
	l->root_place = c->root_place;
	l->root_blocks = c->root_blocks;
	l->root_crc = c->root_crc;
	l->root_generation = c->root_generation;
	l->root_slice = c->root_slice;
	l->commit = c->commit;
	l->commit_row = c->row;
	memcpy(l->root_zones, c->root_zones, sizeof(l->root_zones));
}

static void label_fill(struct pool *p, struct label *l)
{
	const struct commit_ref *c = p->next_valid ? &p->next : &p->last;

	memset(l, 0, sizeof(*l));
	l->pool = p->uuid;
	l->claim = p->claim;
	l->claim_id = p->claim_id;
	l->number = p->labels.number;
	memcpy(l->name, p->name, sizeof(l->name));
	l->k = p->k;
	l->m = p->m;
	l->zone_shift = p->zone_shift;
	l->row_blocks = p->row_blocks_max;
	l->flags = p->flags;
	l->created_s = p->created_s;
	l->min_parity = p->min_parity;
	l->machine = p->params.owner.machine;
	l->boot = p->params.owner.boot;
	l->instance = p->params.owner.instance;
	l->nancestors = p->nancestors;
	memcpy(l->ancestors, p->ancestors, sizeof(l->ancestors));
	fill_members(p, c, l);
	fill_commit(c, l);
	/* The commit's own table lists them. */
	if (p->next_valid)
		return;
	l->nextra = p->nextra;
	memcpy(l->extra, p->extra, sizeof(l->extra));
}

static void label_io_done(struct member *m, int res)
{
	struct pool *p = m->pool;

	assert(p->labels.pending > 0 && m->label_pending > 0);
	p->labels.pending--;
	m->label_pending--;
	if (res < 0) {
		m->label_state = LABEL_IO_NEEDED;
		member_error(m, res);
		/* Came back, or came, and failed before it was in: nobody waits
		 * for the labels that say so any more. */
		if (m->joining)
			change_disk_lost(p, m);
		else if (m->coming_in)
			member_in_undo(m);
	}
	label_step(p);
}

static void label_head_done(struct disk_req *req)
{
	label_io_done(container_of(req, struct member, label_req[0]),
		      req->res);
}

static void label_tail_done(struct disk_req *req)
{
	label_io_done(container_of(req, struct member, label_req[1]),
		      req->res);
}

/* i: 0 the head area (and the flush), 1 the tail area. */
static void label_submit(struct member *m, unsigned i, enum disk_op op,
			 uint64_t off_bytes, uint32_t len_bytes)
{
	struct disk_req *req = &m->label_req[i];

	req->op = (uint8_t)op;
	req->off_bytes = off_bytes;
	req->len_bytes = len_bytes;
	req->buf = len_bytes != 0 ? m->label_buf : NULL;
	req->done = i == 0 ? label_head_done : label_tail_done;
	m->pool->labels.pending++;
	m->label_pending++;
	disk_submit(m->disk, req);
}

static void label_write_member(struct member *m)
{
	struct pool  *p = m->pool;
	struct label *l = p->labels.label;
	uint32_t      slot = label_slot(l->claim, l->number);
	uint32_t      len;

	l->self = m->index;
	l->disk = m->uuid;
	/* With what the label says of it: its size may have changed since. */
	l->size_blocks = l->members[m->index].size_blocks;
	label_encode(l, m->label_buf);
	len = (uint32_t)round_up(label_bytes(l), TARN_BLOCK);
	m->label_state = LABEL_IO_WRITING;
	m->labelled |= m->joining;
	label_submit(m, 0, DISK_WRITE, label_slot_off_bytes(slot), len);
	label_submit(m, 1, DISK_WRITE,
		     blocks_to_bytes(l->size_blocks - LABEL_AREA_BLOCKS) +
			     label_slot_off_bytes(slot),
		     len);
}

static void attempt_start(struct pool *p)
{
	struct label_writer *w = &p->labels;

	w->running = true;
	w->attempt = w->tickets;
	w->number++;
	label_fill(p, w->label);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		m->label_state = is_target(m) ? LABEL_IO_NEEDED : LABEL_IO_NONE;
	}
	label_step(p);
}

static void attempt_done(struct pool *p)
{
	struct label_writer *w = &p->labels;
	struct list          done;

	w->running = false;
	if (members_lack_labelled(p, w->label))
		member_resolve_suspects(p);
	list_init(&done);
	list_for_each_safe(l, tmp, &w->waiters) {
		struct label_waiter *lw =
			list_entry(l, struct label_waiter, link);

		if (lw->ticket <= w->attempt) {
			list_remove(&lw->link);
			list_push(&done, &lw->link);
		}
	}
	for (;;) {
		struct list         *l = list_pop(&done);
		struct label_waiter *lw;

		if (l == NULL)
			break;
		lw = list_entry(l, struct label_waiter, link);
		lw->res = 0;
		lw->done(lw);
	}
	if (!list_empty(&w->waiters) && !w->running)
		label_writer_kick(p);
}

/* Who is a target differs from what the label being written says. */
static bool content_changed(const struct pool *p)
{
	if (p->labels.label->nmembers != p->nmembers)
		return true;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];
		bool gone = p->labels.label->members[i].state ==
			    LABEL_MEMBER_REMOVED;

		if (gone != is_none(m))
			return true;
		/* It has what it needs. */
		if (m->leaving && m->labelled &&
		    m->label_state == LABEL_IO_DONE)
			continue;
		if ((m->label_state != LABEL_IO_NONE) != is_target(m))
			return true;
	}
	return false;
}

static void label_step(struct pool *p)
{
	struct label_writer *w = &p->labels;
	bool                 waiting = false, later = false;

	if (!w->running || !pool_running(p))
		return;
	if (content_changed(p)) {
		if (w->pending == 0)
			attempt_start(p);
		return;
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->label_state != LABEL_IO_NEEDED)
			continue;
		if (!has_turn(p, m)) {
			later = true;
			continue;
		}
		waiting = true;
		if (is_writable(m) && m->label_pending == 0)
			label_write_member(m);
	}
	if (w->pending > 0 || waiting)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->label_state == LABEL_IO_WRITING) {
			m->label_state = LABEL_IO_FLUSHING;
			label_submit(m, 0, DISK_FLUSH, 0, 0);
		} else if (m->label_state == LABEL_IO_FLUSHING) {
			m->label_state = LABEL_IO_DONE;
			m->labelled |= m->leaving &&
				       w->label->members[i].state ==
					       LABEL_MEMBER_REMOVED;
		}
	}
	if (w->pending > 0)
		return;
	if (later)
		io_defer(p->io, &w->work);
	else
		attempt_done(p);
}

static void label_work_fn(struct io_work *work)
{
	struct pool         *p = container_of(work, struct pool, labels.work);
	struct label_writer *w = &p->labels;

	if (!pool_running(p)) {
		for (;;) {
			struct list         *l = list_pop(&w->waiters);
			struct label_waiter *lw;

			if (l == NULL)
				return;
			lw = list_entry(l, struct label_waiter, link);
			lw->res = -ESHUTDOWN;
			lw->done(lw);
		}
	}
	if (w->running)
		label_step(p);
	else if (!list_empty(&w->waiters))
		attempt_start(p);
}

void label_write(struct pool *p, struct label_waiter *lw)
{
	/* One that waits already (a disk came back a second time) waits for
	 * this label instead. */
	if (lw->link.next != NULL)
		list_remove(&lw->link);
	lw->ticket = ++p->labels.tickets;
	list_push(&p->labels.waiters, &lw->link);
	io_defer(p->io, &p->labels.work);
}

void label_writer_kick(struct pool *p)
{
	io_defer(p->io, &p->labels.work);
}

int label_writer_init(struct pool *p)
{
	list_init(&p->labels.waiters);
	io_work_init(&p->labels.work, label_work_fn);
	p->labels.label = calloc(1, sizeof(*p->labels.label));
	return p->labels.label != NULL ? 0 : -ENOMEM;
}

void label_writer_fini(struct pool *p)
{
	if (p->labels.label == NULL)
		return;
	io_undefer(&p->labels.work);
	free(p->labels.label);
	p->labels.label = NULL;
}
