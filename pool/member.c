/* pool/member.c - the states of a member.
 *
 *            error, connection lost           grace over, redundancy allows,
 *   ONLINE ------------------------> SUSPECT --labels say OUT--> OUT
 *      ^                               |                          |
 *      |   back, its label is right:   |      back, label right:  |
 *      |   write again what is not     |   labels, on it, too     v
 *      +------- flushed ---------------+<--------------------- RETURNING
 *
 * While a member is suspect, rows that have a unit on it are not stored and
 * wait; that ends with its return or, at most member_grace_ns later (at once
 * for who has waited for other disks for WAIT_MAX_NS before), with the
 * record that it is out, which is flushed on the others before anything is
 * acknowledged without it (design, section 5, Order 3).
 *
 * When more domains are lost than the redundancy covers, suspects stay
 * suspects: the pool is suspended until disks come back.
 *
 * A member that comes back after it was out is written to at once, when it has
 * proved with a label that it takes writes.  The labels call it out until a
 * commit says what it lacks: membership.c.  If it goes away before it has its
 * label, it is out as before, and the labels wait for it no more.
 *
 * Of a pool that is open read-only nothing is recorded or written: a member is
 * suspect while it is away, and online when it is back and its label is right.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

/* Who has waited for so long already waits for no disk that went away. */
#define WAIT_MAX_NS (5 * NS_PER_S)
#define RETRY_MIN_S 5u
#define RETRY_MAX_S 600u
#define VERIFY_BYTES (LABEL_FIRST_BLOCK * TARN_BLOCK + LABEL_SLOTS * LABEL_SLOT_BYTES)

static void grace_fn(struct io_timer *t);
static void retry_fn(struct io_timer *t);
static void member_verify(struct member *m);

bool member_usable(const struct member *m)
{
	return m->disk != NULL && m->disk->up && m->state == MEMBER_ONLINE;
}

bool member_readable(const struct member *m)
{
	return m->disk != NULL && m->disk->up &&
	       (m->state == MEMBER_ONLINE || m->state == MEMBER_SUSPECT) &&
	       m->epoch == m->disk->epoch;
}

/* Who only reads may read what is on it. */
static bool stays_out(const struct member *m)
{
	return member_is_offline(m) && !m->pool->read_only;
}

static void set_why(struct member *m, const char *why)
{
	snprintf(m->why, sizeof(m->why), "%s", why);
}

/* What was written since the last good flush is unknown: write it again. */
static void member_forget_unflushed(struct member *m)
{
	struct pool *p = m->pool;

	list_for_each(l, &p->rows) {
		struct row *row = list_entry(l, struct row, link);

		for (uint32_t u = 0; u < p->units; u++) {
			struct row_unit *unit = &row->units[u];

			if (unit->member == m->index &&
			    unit->state == UNIT_WRITTEN &&
			    unit->cover > m->flush_done)
				unit->state = UNIT_IDLE;
		}
	}
}

static void member_resubmit(struct member *m)
{
	struct pool *p = m->pool;

	list_for_each(l, &p->rows) {
		struct row *row = list_entry(l, struct row, link);

		for (uint32_t u = 0; u < p->units; u++) {
			if (row->units[u].member == m->index &&
			    row->units[u].state == UNIT_IDLE)
				log_unit_submit(row, u);
		}
	}
}

static uint64_t oldest_of(const struct list *appends, uint64_t oldest_ns)
{
	list_for_each(l, appends) {
		const struct log_append *a =
			list_entry(l, struct log_append, link);

		if (a->asked_ns != 0)
			oldest_ns = min_u64(oldest_ns, a->asked_ns);
	}
	return oldest_ns;
}

/* When was asked what waits longest for rows to be stored or flushed?  What has
 * no place yet waits for space, or for these. */
static uint64_t oldest_wait_ns(const struct pool *p)
{
	uint64_t oldest_ns = oldest_of(&p->fua, io_now_ns(p->io));

	list_for_each(l, &p->syncs)
		oldest_ns = min_u64(
			oldest_ns,
			list_entry(l, struct log_sync, link)->asked_ns);
	list_for_each(l, &p->rows)
		oldest_ns = oldest_of(&list_entry(l, struct row, link)->appends,
				      oldest_ns);
	return oldest_ns;
}

/* How long to wait for it: an answer that says no will not change by waiting.
 * And nobody waits for one disk after the other, for each as long as if it were
 * the only one. */
static uint64_t grace_end_ns(const struct member *m)
{
	const struct pool *p = m->pool;
	uint64_t           now_ns = io_now_ns(p->io);

	if (m->disk->up)
		return now_ns;
	return max_u64(now_ns, min_u64(now_ns + p->params.member_grace_ns,
				       oldest_wait_ns(p) + WAIT_MAX_NS));
}

/* From now on it is not known what it has of what was not flushed. */
static void member_suspect(struct member *m)
{
	struct pool *p = m->pool;

	m->state = MEMBER_SUSPECT;
	m->grace_over = false;
	if (!CANARY(unflushed_forgotten))
		member_forget_unflushed(m);
	late_member_lost(p, m);
	rebuild_member_lost(p, m);
	recover_member_lost(p, m);
	change_disk_lost(p, m);
}

void member_error(struct member *m, int res)
{
	struct pool *p = m->pool;

	if (res == -ECANCELED || p->state == POOL_ST_CLOSED)
		return;
	if (m->state != MEMBER_ONLINE)
		return;
	m->errors_write++;
	if (!m->disk->up || m->epoch != m->disk->epoch)
		set_why(m, m->disk->error_text[0] != '\0'
				   ? m->disk->error_text
				   : "the connection was lost");
	else
		snprintf(m->why, sizeof(m->why), "a write or flush failed: %s",
			 strerror(-res));
	pool_log(p, "disk %s is suspect: %s", m->disk->place, m->why);
	member_suspect(m);
	io_timer_arm(p->io, &m->grace, grace_end_ns(m));
	label_writer_kick(p);
}

/* --- out ----------------------------------------------------------------- */

static void unit_set_missing(struct row *row, uint32_t u)
{
	row->units[u].state = UNIT_MISSING;
	row->seg->missing |= 1u << u;
}

/* It is recorded out on all others: rows go on without it. */
static void member_out_done(struct label_waiter *w)
{
	struct member *m = container_of(w, struct member, waiter);
	struct pool   *p = m->pool;

	m->going_out = false;
	if (w->res < 0)
		return;
	m->in = false;
	m->lacking = false;
	m->state = MEMBER_OUT;
	m->dirty = false;
	m->out_since_ns = io_now_ns(p->io);
	m->rebuild_now = false;
	pool_log(p, "disk %s is recorded out: %s",
		 m->disk != NULL ? m->disk->place : "(missing)", m->why);
	list_for_each(l, &p->rows) {
		struct row *row = list_entry(l, struct row, link);

		for (uint32_t u = 0; u < p->units; u++) {
			struct row_unit *unit = &row->units[u];

			if (unit->member != m->index)
				continue;
			if (unit->state == UNIT_IDLE)
				unit_set_missing(row, u);
			else if (unit->state == UNIT_WRITTEN &&
				 unit->cover > m->flush_done)
				unit_set_missing(row, u);
		}
	}
	/* log_row_check_stored() defers what follows; the list stays. */
	list_for_each(l, &p->rows)
		log_row_check_stored(list_entry(l, struct row, link));
	flush_advance(p);
	segs_capacity(p);
	log_kick(p);
	rebuild_hope(p);
	change_zones_freed(p);
	label_writer_kick(p);
	member_resolve_suspects(p);
	if (m->disk != NULL && m->disk->up && !member_is_offline(m))
		io_timer_arm(p->io, &m->retry,
			     io_now_ns(p->io) + m->retry_s * NS_PER_S);
}

static void member_go_out(struct member *m)
{
	struct pool *p = m->pool;

	m->going_out = true;
	/* Of the time when it was out before, nothing is known to be on it. */
	if (!m->lacking) {
		m->out_row = p->flushed_row;
		m->out_claim = p->claim;
	}
	m->waiter.done = member_out_done;
	if (CANARY(out_unrecorded)) {
		m->waiter.res = 0;
		member_out_done(&m->waiter);
		return;
	}
	label_write(p, &m->waiter);
	label_writer_kick(p);
}

void member_take_out(struct member *m)
{
	struct pool *p = m->pool;

	assert(member_is_offline(m) && !m->coming_in);
	set_why(m, "it was taken offline");
	io_timer_cancel(p->io, &m->grace);
	io_timer_cancel(p->io, &m->retry);
	if (!m->in || m->going_out)
		return;
	pool_log(p, "disk %s is taken offline",
		 m->disk != NULL ? m->disk->place : "(missing)");
	if (m->state == MEMBER_ONLINE)
		member_suspect(m);
	member_go_out(m);
}

void member_resolve_suspects(struct pool *p)
{
	if (!pool_running(p) || p->claim == 0)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->state == MEMBER_SUSPECT && m->grace_over && m->in &&
		    !m->leaving &&
		    !m->going_out && !m->verifying && member_out_allowed(p, m))
			member_go_out(m);
	}
}

static void grace_fn(struct io_timer *t)
{
	struct member *m = container_of(t, struct member, grace);

	if (m->state != MEMBER_SUSPECT || m->going_out)
		return;
	m->grace_over = true;
	member_resolve_suspects(m->pool);
	if (m->state == MEMBER_SUSPECT && !m->going_out && m->disk != NULL &&
	    m->disk->up && !m->verifying)
		/* Cannot do without it: try it again. */
		io_timer_arm(m->pool->io, &m->retry,
			     io_now_ns(m->pool->io) + NS_PER_S);
}

/* --- back ---------------------------------------------------------------- */

static void member_online(struct member *m)
{
	struct pool *p = m->pool;

	m->state = MEMBER_ONLINE;
	m->grace_over = false;
	m->why[0] = '\0';
	io_timer_cancel(p->io, &m->grace);
	if (!CANARY(no_resubmit))
		member_resubmit(m);
	m->dirty = true;
	label_writer_kick(p);
	member_resolve_suspects(p);
	flush_want(p);
	starve_hope(p);
	damage_look_again(p);
	rebuild_hope(p);
	reads_hope(p);
	quarantine_start(p);
	change_zones_freed(p);
	change_disk_back(p, m);
}

static void member_in_done(struct label_waiter *w)
{
	struct member *m = container_of(w, struct member, waiter);

	m->coming_in = false;
	if (w->res < 0 || m->state != MEMBER_RETURNING)
		return;
	m->in = true;
	member_lacks(m, m->pool->next_row - 1);
	pool_log(m->pool, "disk %s is back", m->disk->place);
	member_online(m);
	/* It may have gone away again while its label was being written. */
	if (!m->disk->up || m->epoch != m->disk->epoch)
		member_error(m, -ENOTCONN);
	segs_capacity(m->pool);
	seg_seal_degraded(m->pool);
	pool_commit_want(m->pool);
	rebuild_hope(m->pool);
	cleaner_kick(m->pool);
}

void member_in_undo(struct member *m)
{
	assert(m->state == MEMBER_RETURNING && m->coming_in);
	m->coming_in = false;
	list_remove(&m->waiter.link);
	m->state = MEMBER_OUT;
	label_writer_kick(m->pool);
	if (m->disk->up)
		io_timer_arm(m->pool->io, &m->retry,
			     io_now_ns(m->pool->io) + m->retry_s * NS_PER_S);
}

static void member_refuse(struct member *m, const char *why)
{
	set_why(m, why);
	pool_log(m->pool, "disk %s is refused: %s", m->disk->place, why);
	m->retry_s = min_u32(m->retry_s * 2, RETRY_MAX_S);
	io_timer_arm(m->pool->io, &m->retry,
		     io_now_ns(m->pool->io) + m->retry_s * NS_PER_S);
	/* Its grace may have ended while its label was being read. */
	member_resolve_suspects(m->pool);
}

/* Of a pool that is only read nothing is recorded. */
static void member_back_to_read(struct member *m)
{
	m->state = MEMBER_ONLINE;
	m->why[0] = '\0';
	pool_log(m->pool, "disk %s is back", m->disk->place);
	reads_hope(m->pool);
}

static void member_back(struct member *m)
{
	struct pool *p = m->pool;

	m->epoch = m->disk->epoch;
	m->up_since_ns = io_now_ns(p->io);
	if (p->state == POOL_ST_READ_ONLY) {
		member_back_to_read(m);
		return;
	}
	if (m->in && !m->going_out) {
		pool_log(p, "disk %s is back, writing again what it missed",
			 m->disk->place);
		member_online(m);
		return;
	}
	if (m->going_out)
		return; /* retry_fn comes back to it once it is out */
	if ((m->flags & LABEL_MEMBER_GONE) != 0) {
		member_refuse(m, "it is being removed");
		return;
	}
	m->state = MEMBER_RETURNING;
	m->coming_in = true;
	m->waiter.done = member_in_done;
	label_write(p, &m->waiter);
	label_writer_kick(p);
}

/* Does the pool look after its disks?  While it is being opened nobody does
 * before there is a claim. */
static bool looks_after(const struct pool *p)
{
	return p->state == POOL_ST_READ_ONLY ||
	       (pool_running(p) && p->claim != 0);
}

/* Is the label's claim one that ours comes from? */
static bool claim_known(const struct pool *p, const struct label *l)
{
	for (uint32_t a = 0; a < p->nancestors; a++) {
		if (p->ancestors[a].claim == l->claim &&
		    uuid_equal(&p->ancestors[a].id, &l->claim_id))
			return true;
	}
	return false;
}

static void verify_done(struct disk_req *req)
{
	struct member *m = container_of(req, struct member, verify_req);
	struct pool   *p = m->pool;
	struct label  *l = NULL;
	unsigned       damaged;
	const char    *why = NULL;
	int            r;

	m->verifying = false;
	if (!looks_after(p) || stays_out(m))
		return;
	if (req->disk != m->disk) {
		/* It was exchanged meanwhile (disk_offer.c). */
		member_verify(m);
		return;
	}
	if (req->res < 0 || !m->disk->up) {
		if (m->disk->up)
			member_refuse(m, "its label cannot be read");
		else /* the next UP tries again */
			member_resolve_suspects(p);
		return;
	}
	r = label_newest(m->verify_buf, NULL, &l, &damaged, &why);
	if (r < 0)
		member_refuse(m, "it no longer has the label of this pool");
	else if (!uuid_equal(&l->pool, &p->uuid) ||
		 !uuid_equal(&l->disk, &m->uuid))
		member_refuse(m, "another disk answers at its place");
	else if (p->state == POOL_ST_READ_ONLY && l->claim > p->last_claim)
		member_refuse(m, "another server has claimed the pool since it "
				 "was opened");
	else if (p->state != POOL_ST_READ_ONLY && l->claim > p->claim)
		pool_fail(p, -ESTALE,
			  "another server has claimed the pool (disk %s)",
			  m->disk->place);
	else if (l->claim != p->claim && !claim_known(p, l))
		member_refuse(m, "it was changed under another claim and has "
				 "diverged");
	else
		member_back(m);
	free(l);
}

static void member_verify(struct member *m)
{
	if (m->verifying || m->disk == NULL || !m->disk->up || m->leaving ||
	    stays_out(m))
		return;
	if (m->disk->size_bytes < blocks_to_bytes(m->size_blocks)) {
		member_refuse(m, "it is smaller than its label says");
		return;
	}
	if (m->disk->read_only && m->pool->state != POOL_ST_READ_ONLY) {
		member_refuse(m, "it has become read-only");
		return;
	}
	if (m->verify_buf == NULL) {
		m->verify_buf = aligned_alloc(TARN_BLOCK, VERIFY_BYTES);
		if (m->verify_buf == NULL) {
			member_refuse(m, "out of memory");
			return;
		}
	}
	m->verifying = true;
	m->verify_req.op = DISK_READ;
	m->verify_req.off_bytes = 0;
	m->verify_req.len_bytes = VERIFY_BYTES;
	m->verify_req.buf = m->verify_buf;
	m->verify_req.done = verify_done;
	disk_submit(m->disk, &m->verify_req);
}

static void retry_fn(struct io_timer *t)
{
	struct member *m = container_of(t, struct member, retry);

	if (!looks_after(m->pool) || m->going_out || m->coming_in ||
	    m->disk == NULL || !m->disk->up || m->state == MEMBER_ONLINE)
		return;
	m->retry_s = min_u32(m->retry_s * 2, RETRY_MAX_S);
	member_verify(m);
}

void member_try(struct member *m)
{
	m->retry_s = RETRY_MIN_S;
	if (m->state != MEMBER_OUT)
		return;
	set_why(m, "it is not back yet");
	member_verify(m);
}

static void member_down(struct member *m)
{
	if (m->pool->state != POOL_ST_READ_ONLY) {
		member_error(m, -ENOTCONN);
	} else if (m->state == MEMBER_ONLINE) {
		m->state = MEMBER_SUSPECT;
		set_why(m, m->disk->error_text);
		pool_log(m->pool, "disk %s is away: %s", m->disk->place,
			 m->why);
	}
}

void member_event(struct disk *d, enum disk_event ev, void *arg)
{
	struct member *m = arg;
	struct pool   *p = m->pool;

	if (!looks_after(p) || m->disk != d || m->removed)
		return;
	if (m->joining) {
		change_disk_lost(p, m);
		return;
	}
	change_disk_lost(p, m);
	if (m->leaving)
		return;
	/* Whoever writes labels would wait for it. */
	if (m->coming_in)
		member_in_undo(m);
	if (ev == DISK_EV_DOWN) {
		member_down(m);
		return;
	}
	if (m->state == MEMBER_ONLINE && m->epoch == d->epoch)
		return;
	/* Up again before anybody noticed that it was down. */
	if (m->state == MEMBER_ONLINE)
		member_down(m);
	m->retry_s = RETRY_MIN_S;
	member_verify(m);
}

void member_attach(struct member *m, struct disk *d)
{
	m->disk = d;
	d->event = member_event;
	d->event_arg = m;
}

/* --- life ---------------------------------------------------------------- */

static uint32_t domain_index(struct pool *p, const char *name)
{
	for (uint32_t d = 0; d < p->nvoters; d++) {
		if (strcmp(p->domains[d].name, name) == 0)
			return d;
	}
	assert(p->nvoters < POOL_MEMBERS_MAX);
	snprintf(p->domains[p->nvoters].name, sizeof(p->domains[0].name),
		 "%s", name);
	return p->nvoters++;
}

static void member_domain(struct member *m)
{
	struct pool *p = m->pool;
	char         text[UUID_TEXT_BYTES];

	if (m->removed || m->joining)
		m->domain = DOMAIN_NONE;
	else if (p->flags & LABEL_FLAG_DOMAIN_DISK)
		m->domain = domain_index(p, uuid_text(&m->uuid, text));
	else
		m->domain = domain_index(p, m->domain_name);
}

void members_domains(struct pool *p)
{
	p->nvoters = 0;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->zones > 0)
			member_domain(p->members[i]);
	}
	p->ndomains = p->nvoters;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->zones == 0)
			member_domain(p->members[i]);
	}
}

bool member_is_witness(const struct member *m)
{
	return m->zones == 0 && !m->removed;
}

int member_new(struct pool *p, uint32_t index,
	       const struct label_member_info *info, struct member **ret_m)
{
	struct member *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	m->pool = p;
	m->index = index;
	m->uuid = info->uuid;
	m->size_blocks = info->size_blocks;
	m->zones = info->zones;
	m->zones_labelled = info->zones;
	m->zones_next = info->zones;
	m->in = info->state == LABEL_MEMBER_IN;
	m->out_row = info->out_row;
	m->out_claim = info->out_claim;
	m->state = m->in ? MEMBER_MISSING : MEMBER_OUT;
	m->retry_s = RETRY_MIN_S;
	m->out_since_ns = io_now_ns(p->io);
	memcpy(m->domain_name, info->domain, sizeof(m->domain_name));
	m->flags = info->flags;
	if (info->state == LABEL_MEMBER_REMOVED) {
		m->removed = true;
		m->state = MEMBER_REMOVED;
		m->flags = 0;
	}
	m->domain = DOMAIN_NONE;
	io_timer_init(&m->grace, grace_fn);
	io_timer_init(&m->retry, retry_fn);
	trim_init(m);
	m->zone_map = calloc(BITMAP_WORDS((size_t)m->zones) + 1,
			     sizeof(*m->zone_map));
	m->label_buf = aligned_alloc(TARN_BLOCK, LABEL_SLOT_BYTES);
	m->lease_buf = aligned_alloc(TARN_BLOCK,
				     (LEASE_SLOTS + 1) * TARN_BLOCK);
	if (m->zone_map == NULL || m->label_buf == NULL ||
	    m->lease_buf == NULL) {
		member_free(m);
		return -ENOMEM;
	}
	*ret_m = m;
	return 0;
}

void member_free(struct member *m)
{
	if (m == NULL)
		return;
	io_timer_cancel(m->pool->io, &m->grace);
	io_timer_cancel(m->pool->io, &m->retry);
	trim_fini(m);
	free(m->zone_map);
	free(m->label_buf);
	free(m->lease_buf);
	free(m->verify_buf);
	free(m);
}
