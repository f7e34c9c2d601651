/* volume/event.c - events on their way into the log, and reading them.
 *
 *   told: a pending one of the same kind and object counts it; else it is
 *   pending, as a repeat of a stored one, if there is such --> worth a record?
 *   --> all that are go into one --> applied: they are stored, and no longer
 *   pending
 *
 * A repeat is worth a record when its count has doubled or a minute has passed;
 * otherwise it waits for one that is, so something that happens all the time
 * costs a record a minute.
 *
 * What could not be written is tried again when something else happens or a
 * commit was done, but not before a while has passed, so that a full pool is
 * not kept busy by what it cannot take.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

#define HELD_S         60u
#define BACKOFF_MIN_NS (10 * NS_PER_S)
#define BACKOFF_MAX_NS (600 * NS_PER_S)

static void send_work(struct io_work *w);

int events_init(struct volumes *vols)
{
	struct event_log *log = &vols->events;

	io_work_init(&log->work, send_work);
	log->next_seq = 1;
	log->slots = calloc(EVENT_SLOTS, sizeof(log->slots[0]));
	log->pending = calloc(EVENT_PENDING_MAX, sizeof(log->pending[0]));
	log->body = calloc(1, CATALOG_BODY_MAX);
	return log->slots == NULL || log->pending == NULL || log->body == NULL ?
		       -ENOMEM :
		       0;
}

void events_fini(struct volumes *vols)
{
	struct event_log *log = &vols->events;

	if (log->work.fn != NULL)
		io_undefer(&log->work);
	free(log->slots);
	free(log->pending);
	free(log->body);
}

/* --- pending ------------------------------------------------------------- */

static void pending_remove(struct event_log *log, unsigned i)
{
	log->npending--;
	memmove(&log->pending[i], &log->pending[i + 1],
		(log->npending - i) * sizeof(log->pending[0]));
}

/* Of what is not on its way: the oldest of the least severity. */
static int least(const struct event_log *log)
{
	int found = -1;

	for (unsigned i = 0; i < log->npending; i++)
		if (!log->pending[i].sent &&
		    (found < 0 || log->pending[i].e.severity <
					  log->pending[found].e.severity))
			found = (int)i;
	return found;
}

/* A place at the end; NULL: it is the new one that is lost. */
static struct event_pending *pending_new(struct event_log *log,
					 uint8_t severity)
{
	if (log->npending == EVENT_PENDING_MAX) {
		int i = least(log);

		log->lost++;
		if (i < 0 || log->pending[i].e.severity > severity)
			return NULL;
		pending_remove(log, (unsigned)i);
	}
	return &log->pending[log->npending++];
}

static bool same(const struct vol_event *a, const struct vol_event *b)
{
	return a->severity == b->severity && strcmp(a->what, b->what) == 0 &&
	       strcmp(a->object, b->object) == 0;
}

/* e repeats what is pending, or stored; ret_sent: what is on its way. */
static struct event_pending *pending_find(struct event_log *log,
					  const struct vol_event *e,
					  bool *ret_sent)
{
	*ret_sent = false;
	for (unsigned i = 0; i < log->npending; i++) {
		struct event_pending *p = &log->pending[i];

		if (same(&p->e, e) && !p->sent)
			return p;
		*ret_sent |= p->sent && same(&p->e, e);
	}
	return NULL;
}

/* Counts with the stored one that it repeats. */
static void join(struct event_log *log, struct vol_event *e)
{
	const struct vol_event *s = event_find(log, e);

	if (s == NULL)
		return;
	e->seq = s->seq;
	e->first_s = min_u64(s->first_s, e->first_s);
	e->count += min_u32(s->count, UINT32_MAX - e->count);
}

static void clean(struct vol_event *e)
{
	struct vol_event raw = *e;

	memset(e->what, 0, sizeof(e->what));
	memset(e->object, 0, sizeof(e->object));
	memset(e->text, 0, sizeof(e->text));
	name_quote(raw.what, e->what, sizeof(e->what));
	name_quote(raw.object, e->object, sizeof(e->object));
	name_quote(raw.text, e->text, sizeof(e->text));
}

void vols_event(struct volumes *vols, const struct vol_event *told)
{
	struct event_log *log = &vols->events;
	struct vol_event e = *told;
	struct event_pending *p;
	bool sent;

	assert(e.what[0] != '\0' && e.severity >= EVENT_INFO &&
	       e.severity <= EVENT_CRITICAL);
	clean(&e);
	e.seq = 0;
	e.count = 1;
	e.first_s = e.last_s;
	e.change = ++log->change;
	p = pending_find(log, &e, &sent);
	if (p != NULL) {
		e.seq = p->e.seq;
		e.first_s = p->e.first_s;
		e.count += min_u32(p->e.count, UINT32_MAX - 1);
		p->e = e;
	} else {
		p = pending_new(log, e.severity);
		if (p == NULL)
			return;
		if (!sent)
			join(log, &e);
		p->e = e;
		p->sent = false;
	}
	events_kick(vols);
}

/* --- sending ------------------------------------------------------------- */

static bool worth(const struct event_log *log, const struct vol_event *e)
{
	const struct vol_event *s = e->seq != 0 ? event_find(log, e) : NULL;

	return s == NULL || s->seq != e->seq || log->flush ||
	       e->count / 2 >= s->count || e->last_s - s->last_s >= HELD_S;
}

/* May a page of the table be written that never was?  Beyond what the pool
 * may hold only those that are there already. */
static bool has_room(struct volumes *vols, const struct vol_event *e)
{
	struct event_log *log = &vols->events;
	uint32_t page = event_slot_next(log, e->severity) / EVENTS_A_PAGE;
	uint32_t crc;

	if (log->dirty[page] || pool_table_place(vols->pool, TABLE_EVENTS,
						 page, &crc) != PLACE_NONE)
		return true;
	if (pool_space_reserve(vols->pool, 1, 0) < 0)
		return false;
	pool_space_unreserve(vols->pool, 1);
	return true;
}

/* The record's body, of what is worth it; 0: nothing is. */
static uint32_t fill(struct volumes *vols)
{
	struct event_log *log = &vols->events;
	uint64_t seq = log->next_seq;
	uint32_t bytes = 0;

	for (unsigned i = 0; i < log->npending; i++) {
		struct event_pending *p = &log->pending[i];

		if (CATALOG_BODY_MAX - bytes < sizeof(struct event_entry))
			break;
		/* What was on its way when it came is stored by now, and the
		 * stored one may have been pushed out. */
		if (p->e.seq == 0)
			join(log, &p->e);
		else if (event_find(log, &p->e) == NULL)
			p->e.seq = 0;
		if (!worth(log, &p->e) || !has_room(vols, &p->e))
			continue;
		if (p->e.seq == 0)
			p->e.seq = seq++;
		p->sent = true;
		bytes += event_encode(&p->e, log->body + bytes);
	}
	return bytes;
}

static struct volumes *log_vols(struct event_log *log)
{
	return container_of(log, struct volumes, events);
}

static void sent_apply(struct log_append *a)
{
	struct event_log *log = container_of(a, struct event_log, append);

	events_apply(log_vols(log), a->body, a->rec.n);
}

/* They are stored; or stay pending, without the numbers that they nearly had. */
static void sent_end(struct event_log *log, bool stored)
{
	for (unsigned i = log->npending; i-- > 0;) {
		struct event_pending *p = &log->pending[i];

		if (p->sent && stored) {
			pending_remove(log, i);
			continue;
		}
		if (p->sent && p->e.seq >= log->next_seq)
			p->e.seq = 0;
		p->sent = false;
	}
}

static void say_lost(struct event_log *log, uint64_t now_s)
{
	struct vol_event e = {
		.severity = EVENT_WARNING,
		.what = "events.lost",
		.last_s = now_s,
		.numbers = { log->lost },
	};
	const struct vol_event *before = event_find(log, &e);

	if (before != NULL)
		e.numbers[0] += before->numbers[0];
	log->lost = 0;
	vols_event(log_vols(log), &e);
}

static void sent_done(struct log_append *a)
{
	struct event_log *log = container_of(a, struct event_log, append);
	struct volumes *vols = log_vols(log);
	uint64_t last_s = log->pending[0].e.last_s;

	log->busy = false;
	sent_end(log, a->res == 0);
	if (a->res < 0) {
		log->backoff_ns = min_u64(max_u64(2 * log->backoff_ns,
						  BACKOFF_MIN_NS),
					  BACKOFF_MAX_NS);
		log->retry_ns = io_now_ns(vols->io) + log->backoff_ns;
		return;
	}
	log->backoff_ns = 0;
	log->retry_ns = 0;
	if (log->lost > 0)
		say_lost(log, last_s);
	events_kick(vols);
}

static void send_work(struct io_work *w)
{
	struct event_log *log = container_of(w, struct event_log, work);
	struct volumes *vols = log_vols(log);
	struct log_append *a = &log->append;
	uint32_t bytes;

	if (log->busy || !vols->committed || vols->failed ||
	    io_now_ns(vols->io) < log->retry_ns)
		return;
	bytes = fill(vols);
	if (bytes == 0)
		return;
	memset(a, 0, sizeof(*a));
	a->rec.type = REC_CATALOG;
	a->rec.n = (uint16_t)bytes;
	a->rec.id = CATALOG_EVENT;
	a->body = log->body;
	a->class = LOG_CLIENT;
	a->asked_ns = io_now_ns(vols->io);
	a->apply = sent_apply;
	a->done = sent_done;
	log->busy = true;
	log_append_submit(vols->pool, a);
}

void events_kick(struct volumes *vols)
{
	if (vols->events.npending > 0 && !vols->events.busy)
		io_defer(vols->io, &vols->events.work);
}

void vols_events_flush(struct volumes *vols)
{
	vols->events.flush = true;
	vols->events.retry_ns = 0;
	if (vols->events.npending > 0)
		send_work(&vols->events.work);
}

/* --- reading ------------------------------------------------------------- */

/* What is stored is told by the newer one that is pending. */
static bool is_repeated(const struct event_log *log, uint64_t seq)
{
	for (unsigned i = 0; i < log->npending; i++)
		if (log->pending[i].e.seq == seq)
			return true;
	return false;
}

bool vols_event_next(const struct volumes *vols, uint64_t change,
		     struct vol_event *ret_e)
{
	const struct event_log *log = &vols->events;
	const struct vol_event *next = NULL;
	bool stored = true;

	for (uint32_t i = 0; i < EVENT_SLOTS; i++) {
		const struct vol_event *s = &log->slots[i];

		if (s->seq != 0 && s->change > change &&
		    (next == NULL || s->change < next->change) &&
		    !is_repeated(log, s->seq))
			next = s;
	}
	for (unsigned i = 0; i < log->npending; i++) {
		const struct vol_event *e = &log->pending[i].e;

		if (e->change > change &&
		    (next == NULL || e->change < next->change)) {
			next = e;
			stored = false;
		}
	}
	if (next == NULL)
		return false;
	*ret_e = *next;
	if (!stored)
		ret_e->seq = 0;
	return true;
}
