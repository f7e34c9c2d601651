/* pool/pool.c - making and ending a pool object, failing, looking at it. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pool/scrub.h"

#define DEFAULT_ROWS_MEMORY (64ull << 20)
#define DEFAULT_COMMIT_LOG  (256ull << 20)
#define DEFAULT_GRACE_NS    (2 * NS_PER_S)
#define DEFAULT_REBUILD_NS  (600 * NS_PER_S)
#define DEFAULT_INTERVAL_NS (2 * NS_PER_S)
#define DEFAULT_TIMEOUT_NS  (15 * NS_PER_S)

static void fail_work_fn(struct io_work *w);

void pool_log(struct pool *p, const char *fmt, ...)
{
	char    line[512];
	va_list ap;

	if (p->params.log == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	p->params.log(p->params.arg, line);
}

int pool_new(struct io *io, const struct pool_params *params,
	     struct pool **ret_pool)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->io = io;
	p->params = *params;
	if (p->params.rows_memory_bytes == 0)
		p->params.rows_memory_bytes = DEFAULT_ROWS_MEMORY;
	if (p->params.commit_log_bytes == 0)
		p->params.commit_log_bytes = DEFAULT_COMMIT_LOG;
	if (p->params.member_grace_ns == 0)
		p->params.member_grace_ns = DEFAULT_GRACE_NS;
	if (p->params.rebuild_delay_ns == 0)
		p->params.rebuild_delay_ns = DEFAULT_REBUILD_NS;
	if (p->params.lease_interval_ns == 0)
		p->params.lease_interval_ns = DEFAULT_INTERVAL_NS;
	if (p->params.lease_timeout_ns == 0)
		p->params.lease_timeout_ns = DEFAULT_TIMEOUT_NS;
	p->client = params->client;
	p->client_arg = params->client_arg;
	p->state = POOL_ST_NEW;
	io_work_init(&p->fail_work, fail_work_fn);
	flush_init(p);
	reads_init(p);
	list_init(&p->late_disks);
	close_init(p);
	*ret_pool = p;
	return 0;
}

/* What needs the geometry: once it is known. */
int pool_setup(struct pool *p)
{
	int r;

	p->units = p->k + p->m;
	p->zone_blocks = 1u << p->zone_shift;
	p->geom.pool = p->uuid;
	p->geom.k = p->k;
	p->geom.m = p->m;
	p->geom.zone_blocks = p->zone_blocks;
	stripe_init(&p->stripe, p->k, p->m);
	p->members = calloc(POOL_MEMBERS_MAX, sizeof(*p->members));
	p->domains = calloc(POOL_MEMBERS_MAX, sizeof(*p->domains));
	if (p->members == NULL || p->domains == NULL)
		return -ENOMEM;
	r = bufpool_open(4 * p->params.rows_memory_bytes, &p->row_bufs);
	if (r == 0)
		r = hedges_init(p);
	if (r == 0)
		r = log_init(p);
	if (r == 0)
		r = label_writer_init(p);
	if (r == 0)
		r = segs_init(p);
	if (r == 0)
		r = commit_init(p);
	if (r == 0)
		r = cleaner_init(p);
	if (r == 0)
		r = rebuild_init(p);
	if (r == 0)
		r = change_init(p);
	if (r == 0)
		r = scrub_init(p);
	if (r == 0)
		r = owner_init(p);
	return r;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	opener_free(p);
	close_fini(p);
	io_undefer(&p->fail_work);
	io_undefer(&p->flush_work);
	io_timer_cancel(p->io, &p->reads_timer);
	io_timer_cancel(p->io, &p->quarantine_timer);
	hedges_fini(p);
	damage_fini(p);
	cleaner_fini(p);
	rebuild_fini(p);
	change_fini(p);
	scrub_fini(p);
	owner_fini(p);
	commit_fini(p);
	label_writer_fini(p);
	log_fini(p);
	for (uint32_t i = 0; i < p->nmembers; i++)
		member_free(p->members[i]);
	segs_fini(p);
	tables_fini(p);
	if (p->row_bufs != NULL)
		bufpool_close(p->row_bufs);
	free(p->members);
	free(p->domains);
	free(p);
}

/* --- failing ------------------------------------------------------------- */

void pool_fail(struct pool *p, int res, const char *fmt, ...)
{
	va_list ap;

	if (p->state == POOL_ST_FAILED || p->state == POOL_ST_CLOSED)
		return;
	va_start(ap, fmt);
	vsnprintf(p->fail_why, sizeof(p->fail_why), fmt, ap);
	va_end(ap);
	pool_log(p, "pool %s has stopped: %s", p->name, p->fail_why);
	p->fail_res = res;
	p->failed_from = p->state;
	p->state = POOL_ST_FAILED;
	p->lease_until_ns = 0;
	owner_stop(p);
	io_defer(p->io, &p->fail_work);
}

static void fail_work_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, fail_work);
	int          res = p->fail_res == -EROFS ? -EROFS : -ESHUTDOWN;

	change_stop(p);
	if (p->rows_mem != NULL)
		log_fail_all(p, res);
	flush_fail_all(p, res);
	reads_fail_all(p, res);
	if (commit_running(p)) {
		p->commit.state = COMMIT_IDLE;
		p->client->commit_done(p->client_arg, res);
	}
	if (p->failed_from == POOL_ST_OPENING)
		opener_abort(p, p->fail_res, p->fail_why);
	else if (p->failed_from == POOL_ST_CLOSING)
		close_abort(p);
	else if (p->params.failed != NULL)
		p->params.failed(p->params.arg, p->fail_res, p->fail_why);
}

/* --- looking ------------------------------------------------------------- */

static void health(const struct pool *p, struct pool_info *i)
{
	uint32_t lost = pool_domains_lost(p), away = pool_domains_away(p);

	if (p->state == POOL_ST_FAILED) {
		i->health = POOL_FAILED;
		snprintf(i->why, sizeof(i->why), "%s", p->fail_why);
		snprintf(i->action, sizeof(i->action),
			 "Find out which server serves the pool now; then "
			 "restart this one.");
	} else if (p->state == POOL_ST_READ_ONLY) {
		i->health = POOL_READ_ONLY;
		snprintf(i->why, sizeof(i->why),
			 "It was imported read-only: nothing is written.");
		snprintf(i->action, sizeof(i->action),
			 "Export it and import it without --read-only to "
			 "write again.");
	} else if (p->state == POOL_ST_OPENING) {
		i->health = POOL_SUSPENDED;
		snprintf(i->why, sizeof(i->why), "It is being opened. %s",
			 p->owner != NULL ? owner_text(p) : "");
	} else if (lost > p->m - p->min_parity && away > 0) {
		i->health = POOL_SUSPENDED;
		snprintf(i->why, sizeof(i->why),
			 "%u domains are gone and the redundancy %u+%u covers "
			 "%u: writes wait.",
			 lost, p->k, p->m, p->m);
		snprintf(i->action, sizeof(i->action),
			 "Bring back the disks that are named below; it goes "
			 "on by itself.");
	} else if (lost > 0 || i->segments_degraded > 0) {
		i->health = POOL_DEGRADED;
		snprintf(i->why, sizeof(i->why),
			 away > 0 ? "%u domain(s) are gone. Everything works, "
				    "with less redundancy."
				  : "Data written while a disk was away is "
				    "being made whole again.",
			 away);
		if (away > 0)
			snprintf(i->action, sizeof(i->action),
				 "Bring back the disks that are named below.");
	} else {
		i->health = POOL_ONLINE;
	}
}

static void count_segments(const struct pool *p, struct pool_info *i)
{
	for (uint32_t n = 1; n <= p->nsegs; n++) {
		const struct segment *s = p->segs[n];

		/* What a sealed one held last, a recovery may need until the
		 * commit that frees it is durable; and what was made again is
		 * not there for it before. */
		i->segments_degraded +=
			(s->missing != 0 || s->regained) &&
			(s->live + s->tables > 0 || s->state == SEG_SEALED);
		switch ((enum seg_state)s->state) {
		case SEG_FREE:
			break;
		case SEG_NEXT:
		case SEG_OPENABLE:
			i->segments_free++;
			break;
		case SEG_OPEN:
		case SEG_SEALING:
			i->segments_open++;
			break;
		case SEG_SEALED:
			i->segments_sealed++;
			i->segments_quarantined += seg_must_quarantine(p, s);
			break;
		case SEG_QUARANTINED:
			if (quarantine_is_safe(p, s))
				i->segments_trimmed++;
			else
				i->segments_quarantined++;
			break;
		case SEG_RESERVED:
			break;
		}
	}
	i->segments_free += segs_free_possible(p);
	i->segments = p->segs_possible;
}

static void rebuild_info_get(const struct pool *p, struct pool_info *i)
{
	struct rebuild_info r;

	if (p->rebuild == NULL)
		return;
	rebuild_status(p, &r);
	i->rebuild_units = r.units;
	i->rebuild_blocks = r.blocks;
	i->rebuild_damaged = r.damaged;
	i->rebuild_wait_ns = r.waiting_ns;
	i->rebuild_running = r.running;
	i->rebuild_stuck = r.stuck;
	i->move_units = r.moves;
	i->move_blocks = r.moves * p->zone_blocks;
}

void pool_get_info(const struct pool *p, struct pool_info *i)
{
	uint64_t more;

	*i = p->counters;
	memcpy(i->name, p->name, sizeof(i->name));
	i->uuid = p->uuid;
	i->k = p->k;
	i->m = p->m;
	i->zone_shift = p->zone_shift;
	i->domain_disk = (p->flags & LABEL_FLAG_DOMAIN_DISK) != 0;
	i->nmembers = p->nmembers;
	i->claim = p->claim;
	i->taken_over = p->owner != NULL && owner_took_over(p);
	i->created_s = p->created_s;
	i->flushed_row = p->flushed_row;
	i->stable_row = p->stable_row;
	i->commit_row = p->last.row;
	i->damaged_blocks = pool_damage_count(p, &more);
	i->damaged_blocks += more;
	i->lost_blocks = p->lost_blocks + i->damaged_blocks;
	if (p->members == NULL || p->segs == NULL)
		return;
	count_segments(p, i);
	rebuild_info_get(p, i);
	pool_space(p, &i->usable_blocks, &i->used_blocks);
	i->room_blocks = pool_space_rebuild(p);
	i->rebuild_room = (uint8_t)pool_rebuild_room(p);
	i->reserved_blocks = p->reserved;
	i->kept_blocks = p->kept;
	i->available_blocks = pool_space_available(p);
	for (uint32_t n = 0; n < p->nmembers; n++) {
		if (p->members[n]->removed)
			continue;
		i->ndisks++;
		i->raw_blocks += p->members[n]->size_blocks;
	}
	health(p, i);
}

uint64_t pool_members_mark(const struct pool *p)
{
	uint64_t mark = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];
		bool slow = m->state == MEMBER_ONLINE && late_member_slow(p, m);

		mark = mark * 0x9e3779b97f4a7c15ull + m->state + slow * 64ull +
		       member_is_offline(m) * 16ull +
		       32 * (uint64_t)(m->speed.state == SPEED_SLOW) +
		       128 * (m->errors_read + m->errors_write +
			      m->errors_cksum);
	}
	return mark;
}

/* Zones that are merely listed to be opened next hold nothing; those in
 * quarantine, nothing that lives. */
static void count_zones(const struct pool *p, uint32_t n,
			struct member_info *ret)
{
	ret->zones_used = p->members[n]->zones_used;
	for (uint32_t i = 1; p->segs != NULL && i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];
		uint32_t zones = 0;

		if (s->state != SEG_OPENABLE && s->state != SEG_NEXT &&
		    s->state != SEG_QUARANTINED)
			continue;
		for (uint32_t u = 0; u < p->units; u++)
			zones += s->zones[u].member == n;
		ret->zones_used -= zones;
		if (s->state == SEG_QUARANTINED)
			ret->zones_quarantined += zones;
	}
}

static void latency_get(const struct latency *l, struct member_latency *ret)
{
	ret->requests = l->requests;
	ret->p50_us = latency_us(l, 500);
	ret->p99_us = latency_us(l, 990);
	ret->max_us = latency_max_us(l);
}

static void member_speed(const struct member *m, struct member_info *ret)
{
	latency_get(&m->speed.read, &ret->read_latency);
	latency_get(&m->speed.write, &ret->write_latency);
	ret->slow_reads = m->speed.state == SPEED_SLOW && !m->removed;
	ret->reads_us = speed_us(m);
	ret->peers_us = speed_peers_us(m);
	ret->reads_around = m->speed.around;
	ret->reads_hedged = m->speed.hedged;
}

void pool_get_member(const struct pool *p, uint32_t n,
		     struct member_info *ret)
{
	const struct member *m;

	assert(n < p->nmembers);
	m = p->members[n];
	memset(ret, 0, sizeof(*ret));
	ret->uuid = m->uuid;
	if (m->disk != NULL)
		snprintf(ret->place, sizeof(ret->place), "%s", m->disk->place);
	snprintf(ret->domain, sizeof(ret->domain), "%s", m->domain_name);
	ret->state = m->state;
	ret->drains = member_drains(m);
	ret->leaves = (m->flags & LABEL_MEMBER_REMOVE) != 0;
	ret->witness = member_is_witness(m);
	ret->offline = member_is_offline(m);
	ret->size_bytes = blocks_to_bytes(m->size_blocks);
	ret->zones = m->zones;
	count_zones(p, n, ret);
	ret->errors_read = m->errors_read;
	ret->errors_write = m->errors_write;
	ret->errors_cksum = m->errors_cksum;
	ret->repaired = m->repaired;
	ret->slow = m->state == MEMBER_ONLINE && late_member_slow(p, m);
	member_speed(m, ret);
	snprintf(ret->why, sizeof(ret->why), "%s",
		 m->state == MEMBER_MISSING && m->why[0] == '\0'
			 ? "it was not found"
			 : m->why);
}
