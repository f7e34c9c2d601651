/* volume/event_ring.c - the stored events: entries, records and pages.
 *
 * Which place an event takes follows from what is stored, so redoing the log
 * gives the same.  What cannot be understood is left out: the history is not
 * worth a pool that does not open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* Repeats are counted for so long, seconds. */
#define REPEAT_S 3600u

static uint32_t ring_of(uint8_t severity)
{
	return severity == EVENT_INFO ? 0 : EVENT_RING;
}

/* --- bytes --------------------------------------------------------------- */

uint32_t event_encode(const struct vol_event *e, uint8_t *ret)
{
	size_t what = strlen(e->what), object = strlen(e->object);
	size_t text = strlen(e->text);
	struct event_entry h = {
		.seq = le64_of(e->seq),
		.first_s = le64_of(e->first_s),
		.last_s = le64_of(e->last_s),
		.count = le32_of(e->count),
		.severity = e->severity,
		.what_len = (uint8_t)what,
		.object_len = (uint8_t)object,
		.text_len = (uint8_t)text,
		.numbers = { le64_of(e->numbers[0]), le64_of(e->numbers[1]) },
	};

	memcpy(h.strings, e->what, what);
	memcpy(h.strings + what, e->object, object);
	memcpy(h.strings + what + object, e->text, text);
	memcpy(ret, &h, EVENT_HEAD_BYTES + what + object + text);
	return (uint32_t)(EVENT_HEAD_BYTES + what + object + text);
}

static const char *head_problem(const struct event_entry *h)
{
	if (le64_get(h->seq) == 0 || le64_get(h->seq) > POOL_NUMBER_MAX)
		return "event: its number is out of range";
	if (le32_get(h->count) == 0)
		return "event: it never happened";
	if (h->severity < EVENT_INFO || h->severity > EVENT_CRITICAL)
		return "event: unknown severity";
	if (h->what_len == 0 || h->what_len > EVENT_WHAT_MAX ||
	    h->object_len > EVENT_OBJECT_MAX || h->text_len > EVENT_TEXT_MAX)
		return "event: a text is too long";
	return NULL;
}

int event_decode(const uint8_t *p, uint32_t len_bytes,
		 struct vol_event *ret_e, const char **ret_why)
{
	struct event_entry h;
	uint32_t bytes;

	*ret_why = "event: cut off";
	if (len_bytes < EVENT_HEAD_BYTES)
		return -EBADMSG;
	memcpy(&h, p, EVENT_HEAD_BYTES);
	*ret_why = head_problem(&h);
	if (*ret_why != NULL)
		return -EBADMSG;
	bytes = (uint32_t)h.what_len + h.object_len + h.text_len;
	*ret_why = "event: cut off";
	if (bytes > len_bytes - EVENT_HEAD_BYTES)
		return -EBADMSG;
	p += EVENT_HEAD_BYTES;
	*ret_why = "event: control characters, or no UTF-8";
	if (!text_bytes_valid((const char *)p, h.what_len) ||
	    !text_bytes_valid((const char *)p + h.what_len, h.object_len) ||
	    !text_bytes_valid((const char *)p + h.what_len + h.object_len,
			      h.text_len))
		return -EBADMSG;
	memset(ret_e, 0, sizeof(*ret_e));
	ret_e->seq = le64_get(h.seq);
	ret_e->first_s = le64_get(h.first_s);
	ret_e->last_s = le64_get(h.last_s);
	ret_e->count = le32_get(h.count);
	ret_e->severity = h.severity;
	for (unsigned i = 0; i < 2; i++)
		ret_e->numbers[i] = le64_get(h.numbers[i]);
	memcpy(ret_e->what, p, h.what_len);
	memcpy(ret_e->object, p + h.what_len, h.object_len);
	memcpy(ret_e->text, p + h.what_len + h.object_len, h.text_len);
	return (int)(EVENT_HEAD_BYTES + bytes);
}

/* --- the ring ------------------------------------------------------------ */

const struct vol_event *event_find(const struct event_log *log,
				   const struct vol_event *e)
{
	const struct vol_event *ring = &log->slots[ring_of(e->severity)];
	const struct vol_event *found = NULL;

	for (uint32_t i = 0; i < EVENT_RING; i++) {
		const struct vol_event *s = &ring[i];

		if (s->seq != 0 && s->severity == e->severity &&
		    (found == NULL || s->seq > found->seq) &&
		    e->last_s >= s->first_s &&
		    e->last_s - s->first_s < REPEAT_S &&
		    strcmp(s->what, e->what) == 0 &&
		    strcmp(s->object, e->object) == 0)
			found = s;
	}
	return found;
}

/* The one with the lowest number; free ones have none. */
uint32_t event_slot_next(const struct event_log *log, uint8_t severity)
{
	uint32_t first = ring_of(severity), lowest = first;

	for (uint32_t i = first; i < first + EVENT_RING; i++)
		if (log->slots[i].seq < log->slots[lowest].seq)
			lowest = i;
	return lowest;
}

static void apply_one(struct event_log *log, const struct vol_event *e)
{
	uint32_t first = ring_of(e->severity);
	uint32_t slot = event_slot_next(log, e->severity);

	if (log->slots[slot].seq > e->seq)
		return;
	for (uint32_t i = first; i < first + EVENT_RING; i++)
		if (log->slots[i].seq == e->seq)
			slot = i;
	log->slots[slot] = *e;
	log->slots[slot].change = ++log->change;
	/* It was seen while it was pending. */
	for (unsigned i = 0; i < log->npending; i++)
		if (log->pending[i].sent && log->pending[i].e.seq == e->seq)
			log->slots[slot].change = log->pending[i].e.change;
	log->next_seq = max_u64(log->next_seq, e->seq + 1);
	events_touch_page(log, slot / EVENTS_A_PAGE);
}

void events_apply(struct volumes *vols, const void *body, uint32_t len_bytes)
{
	const uint8_t *p = body;
	struct vol_event e;
	const char *why;
	int bytes;

	while (len_bytes > 0) {
		bytes = event_decode(p, len_bytes, &e, &why);
		if (bytes < 0)
			return;
		apply_one(&vols->events, &e);
		p += bytes;
		len_bytes -= (uint32_t)bytes;
	}
}

/* --- pages --------------------------------------------------------------- */

void events_encode_page(const struct event_log *log, uint32_t page, void *buf)
{
	uint8_t *p = buf;

	memset(buf, 0, TARN_BLOCK);
	for (uint32_t i = 0; i < EVENTS_A_PAGE; i++) {
		const struct vol_event *e =
			&log->slots[page * EVENTS_A_PAGE + i];

		if (e->seq != 0)
			event_encode(e, p + i * sizeof(struct event_entry));
	}
}

void events_decode_page(struct event_log *log, uint32_t page, const void *buf)
{
	const uint8_t *p = buf;

	for (uint32_t i = 0; i < EVENTS_A_PAGE; i++) {
		uint32_t slot = page * EVENTS_A_PAGE + i;
		struct vol_event e;
		const char *why;

		if (event_decode(p + i * sizeof(struct event_entry),
				 sizeof(struct event_entry), &e, &why) < 0 ||
		    ring_of(e.severity) != slot / EVENT_RING * EVENT_RING)
			continue;
		log->slots[slot] = e;
		log->next_seq = max_u64(log->next_seq, e.seq + 1);
	}
}

static int order_time(const void *a, const void *b)
{
	const struct vol_event *const *x = a, *const *y = b;

	if ((*x)->last_s != (*y)->last_s)
		return (*x)->last_s < (*y)->last_s ? -1 : 1;
	return (*x)->seq < (*y)->seq ? -1 : (*x)->seq > (*y)->seq;
}

void events_loaded(struct event_log *log)
{
	struct vol_event *all[EVENT_SLOTS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < EVENT_SLOTS; i++)
		if (log->slots[i].seq != 0)
			all[n++] = &log->slots[i];
	if (n > 0)
		qsort(all, n, sizeof(all[0]), order_time);
	for (uint32_t i = 0; i < n; i++)
		all[i]->change = ++log->change;
}

int events_touch_page(struct event_log *log, uint32_t page)
{
	if (page >= EVENT_PAGES)
		return -EINVAL;
	log->ndirty += !log->dirty[page];
	log->dirty[page] = true;
	return 0;
}
