/* tools/dump/dump_event.c - what happened, as of the commit. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/dump/dump.h"

void dump_text(const char *text, uint32_t len_bytes)
{
	putchar('"');
	for (uint32_t i = 0; i < len_bytes && text[i] != '\0'; i++)
		putchar((unsigned char)text[i] < 0x20 || text[i] == 0x7f ?
				'?' : text[i]);
	putchar('"');
}

static void entry_print(const struct event_entry *e, uint32_t slot)
{
	uint32_t left = sizeof(e->strings);
	uint32_t lens[] = { e->what_len, e->object_len, e->text_len };
	const char *p = e->strings;

	printf("entry %" PRIu32 ": event %" PRIu64 ", severity %u, first %"
	       PRIu64 ", last %" PRIu64 ", count %" PRIu32 ", numbers %" PRIu64
	       " %" PRIu64 ":", slot, le64_get(e->seq), e->severity,
	       le64_get(e->first_s), le64_get(e->last_s), le32_get(e->count),
	       le64_get(e->numbers[0]), le64_get(e->numbers[1]));
	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		uint32_t n = min_u32(lens[i], left);

		putchar(' ');
		dump_text(p, n);
		p += n;
		left -= n;
	}
	putchar('\n');
}

int dump_events(struct ck *ck)
{
	for (uint32_t i = 0; i < EVENT_SLOTS; i++) {
		const struct event_entry *e = (const struct event_entry *)
			ck_table_page(ck, TABLE_EVENTS, i / EVENTS_A_PAGE);

		if (e != NULL && le64_get(e[i % EVENTS_A_PAGE].seq) != 0)
			entry_print(&e[i % EVENTS_A_PAGE], i);
	}
	return 0;
}
