/* tests/sim/work_event.c - things happen and are recorded; after a crash the
 * history is what it was.
 *
 * The server says of no event when it is stored, so the oracle looks: an event
 * that was seen in the history was applied, so its row is stable, and survives a
 * kill; it survives a power loss if that row was flushed.  Of each ring the
 * newest EVENT_RING are there, without a gap.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/work_priv.h"
#include "volume/volumes.h"

static bool is_warning(uint64_t no)
{
	return no % 4 == 0;
}

static uint8_t severity_of(uint64_t no)
{
	if (!is_warning(no))
		return EVENT_INFO;
	return no % 8 == 0 ? EVENT_CRITICAL : EVENT_WARNING;
}

void event_open(struct sim *sim)
{
	struct eventer *w = &sim->work->eventer;

	prng_init(&w->rng, sim->seed ^ 0xe7e47);
	w->events = calloc(MEVENTS_MAX, sizeof(w->events[0]));
}

/* What event `no` says, but for the time; 0: the one that is repeated. */
static void make(uint64_t no, struct vol_event *ret_e)
{
	memset(ret_e, 0, sizeof(*ret_e));
	ret_e->severity = no == 0 ? EVENT_WARNING : severity_of(no);
	ret_e->numbers[0] = no;
	ret_e->numbers[1] = no * 0x9e3779b97f4a7c15ull;
	snprintf(ret_e->what, sizeof(ret_e->what), "sim.%u", (unsigned)no % 7);
	snprintf(ret_e->object, sizeof(ret_e->object), "object %llu",
		 (unsigned long long)no);
	if (no != 0)
		snprintf(ret_e->text, sizeof(ret_e->text), "%.*s",
			 (int)(no % 200), "It happened. It happened. It "
			 "happened. It happened. It happened. It happened. It "
			 "happened. It happened. It happened. It happened. It "
			 "happened. It happened. It happened. It happened. ");
}

static void tell(struct sim *sim, uint64_t no)
{
	struct vol_event e;

	make(no, &e);
	e.last_s = 1700000000 + sim_now_ns(sim) / NS_PER_S;
	vols_event(sim->life->vols, &e);
	STAT(sim, events);
}

static bool is_loss(const struct vol_event *s)
{
	return strcmp(s->what, "events.lost") == 0;
}

static uint64_t number(const struct vol_event *s)
{
	return is_loss(s) ? 0 : s->numbers[0];
}

/* Is it what was told? */
static void judge(struct sim *sim, const struct vol_event *s)
{
	const struct eventer *w = &sim->work->eventer;
	struct vol_event e;

	if (is_loss(s))
		return;
	make(s->numbers[0], &e);
	if (s->numbers[0] > w->told || s->numbers[1] != e.numbers[1] ||
	    s->severity != e.severity || strcmp(s->what, e.what) != 0 ||
	    strcmp(s->object, e.object) != 0 || strcmp(s->text, e.text) != 0)
		sim_fail(sim, "event %llu (%s, %s) is not what was told",
			 (unsigned long long)s->seq, s->what, s->object);
	if (s->count > (s->numbers[0] == 0 ? w->repeated : 1))
		sim_fail(sim, "event %llu (%s) was counted %u times",
			 (unsigned long long)s->seq, s->object, s->count);
}

static const struct vol_event *stored(struct sim *sim, uint64_t seq)
{
	const struct event_log *log = &sim->life->vols->events;

	for (uint32_t i = 0; i < EVENT_SLOTS; i++)
		if (log->slots[i].seq == seq)
			return &log->slots[i];
	return NULL;
}

/* Those that were stored since the last look. */
static void look(struct sim *sim)
{
	struct eventer *w = &sim->work->eventer;
	uint64_t end = sim->life->vols->events.next_seq;
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	for (; w->seen + 1 < end; w->seen++) {
		const struct vol_event *s = stored(sim, w->seen + 1);
		struct mevent *m = &w->events[w->n];

		/* Pushed out already, by so many at once. */
		if (s == NULL || w->n == MEVENTS_MAX)
			continue;
		judge(sim, s);
		m->seq = s->seq;
		m->no = number(s);
		m->row = info.stable_row;
		m->warning = s->severity != EVENT_INFO;
		w->n++;
	}
}

void event_act(struct sim *sim)
{
	struct eventer *w = &sim->work->eventer;
	uint64_t n = 1;

	if (!chance(&w->rng, 1, 30))
		return;
	look(sim);
	if (chance(&w->rng, 1, 30))
		n = between(&w->rng, 20, 60);
	for (uint64_t i = 0; i < n; i++) {
		if (chance(&w->rng, 1, 4)) {
			w->repeated++;
			tell(sim, 0);
		} else {
			tell(sim, ++w->told);
		}
	}
}

void event_close(struct sim *sim)
{
	look(sim);
	vols_events_flush(sim->life->vols);
}

/* It was seen, and is gone. */
static void missing(struct sim *sim, const struct mevent *m)
{
	if (sim->model->power && m->row > sim->flushed_row)
		return;
	sim_fail(sim, "event %llu (number %llu), which was stored in row %llu "
		 "or before, is gone after the %s",
		 (unsigned long long)m->seq, (unsigned long long)m->no,
		 (unsigned long long)m->row,
		 sim->model->power ? "power loss" : "kill");
}

void event_verify(struct sim *sim)
{
	struct eventer *w = &sim->work->eventer;
	uint64_t last = sim->life->vols->events.next_seq - 1;
	uint64_t newer[2] = { 0, 0 };

	while (w->n > 0 && w->events[w->n - 1].seq > last)
		missing(sim, &w->events[--w->n]);
	w->seen = min_u64(w->seen, last);
	look(sim);
	for (unsigned i = w->n; i-- > 0;) {
		const struct mevent *m = &w->events[i];
		const struct vol_event *s;

		if (newer[m->warning]++ >= EVENT_RING)
			continue;
		s = stored(sim, m->seq);
		if (s == NULL || number(s) != m->no)
			sim_fail(sim, "event %llu (number %llu) is %s, and "
				 "younger ones are there",
				 (unsigned long long)m->seq,
				 (unsigned long long)m->no,
				 s == NULL ? "gone" : "another one");
		judge(sim, s);
		STAT(sim, events_verified);
	}
}
