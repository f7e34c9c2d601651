/* tools/check/check_event.c - the history of the pool: pages of events, and
 * records of them in the log.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_state.h"

static const char *text_problem(const char *text, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return "has control characters";
	}
	return NULL;
}

static uint32_t text_bytes(const struct event_entry *e)
{
	return (uint32_t)e->what_len + e->object_len + e->text_len;
}

static const char *entry_problem(const struct event_entry *e)
{
	if (le64_get(e->seq) == 0 || le64_get(e->seq) > POOL_NUMBER_MAX)
		return "has a number out of range";
	if (le32_get(e->count) == 0)
		return "never happened";
	if (e->severity < 1 || e->severity > 3)
		return "has an unknown severity";
	if (e->what_len == 0 || e->what_len > 32 || e->object_len > 192 ||
	    e->text_len > 240)
		return "has a text that is too long";
	return text_problem(e->strings, text_bytes(e));
}

/* Where in its page it is. */
static const char *slot_problem(const struct event_entry *e, uint32_t slot)
{
	const char *why = entry_problem(e);

	if (why != NULL)
		return why;
	if ((e->severity == 1) != (slot < EVENT_RING))
		return "is in the other ring";
	for (uint32_t i = text_bytes(e); i < sizeof(e->strings); i++) {
		if (e->strings[i] != '\0')
			return "has bytes behind its text that are not zero";
	}
	return NULL;
}

static bool is_zero(const struct event_entry *e)
{
	static const struct event_entry zero;

	return memcmp(e, &zero, sizeof(zero)) == 0;
}

static int order_seq(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void seqs_check(struct ck *ck, uint64_t *seqs, uint32_t n)
{
	if (n > 0)
		qsort(seqs, n, sizeof(*seqs), order_seq);
	for (uint32_t i = 1; i < n; i++) {
		if (seqs[i] == seqs[i - 1])
			ck_error(ck, "event %" PRIu64 " is there twice",
				 seqs[i]);
	}
}

void ck_events(struct ck *ck)
{
	uint64_t seqs[EVENT_SLOTS];
	uint32_t n = 0;

	if (ck->tables[TABLE_EVENTS].npages > EVENT_PAGES)
		ck_error(ck, "the table of events has %" PRIu32 " pages, there "
			 "are %u at most", ck->tables[TABLE_EVENTS].npages,
			 EVENT_PAGES);
	for (uint32_t i = 0; i < EVENT_SLOTS; i++) {
		const struct event_entry *e = (const struct event_entry *)
			ck_table_page(ck, TABLE_EVENTS, i / EVENTS_A_PAGE);
		const char *why;

		if (e == NULL || is_zero(&e[i % EVENTS_A_PAGE]))
			continue;
		e += i % EVENTS_A_PAGE;
		why = slot_problem(e, i);
		if (why != NULL)
			ck_error(ck, "event %" PRIu64 " in entry %" PRIu32
				 " %s", le64_get(e->seq), i, why);
		else
			seqs[n++] = le64_get(e->seq);
	}
	seqs_check(ck, seqs, n);
}

const char *ck_event_record(const struct ck_rec *r)
{
	struct event_entry e;
	uint32_t at = 0, head = EVENT_HEAD_BYTES;

	while (at < r->rec.n) {
		const char *why;

		if (r->rec.n - at < head)
			return "has an event that is cut off";
		memcpy(&e, r->body + at, head);
		at += head;
		if (text_bytes(&e) > min_u32(r->rec.n - at,
					     sizeof(e.strings)))
			return "has an event that is cut off";
		memcpy(e.strings, r->body + at, text_bytes(&e));
		at += text_bytes(&e);
		why = entry_problem(&e);
		if (why != NULL)
			return why;
	}
	return NULL;
}
