/* volume/event_format.h - events on disk: what happened to the pool, as a ring
 * of pages of TABLE_EVENTS and as CATALOG records.
 *
 * A page has 8 entries of 512 bytes.  Entries 0..255 (pages 0..31) are a ring
 * of events of severity 1, entries 256..511 (pages 32..63) one of the others:
 * so what is done every day does not push out what went wrong.
 *        0    8 seq         number of the event, from 1; 0: a free entry
 *        8    8 first_s     when, seconds since 1970
 *       16    8 last_s      when last, if it was repeated
 *       24    4 count       how often, from 1
 *       28    1 severity    1 information, 2 warning, 3 critical
 *       29    1 what_len    1 .. 32
 *       30    1 object_len  0 .. 192
 *       31    1 text_len    0 .. 240
 *       32   16 numbers     2 of le64: what they count, `what` says
 *       48  464 strings     what, object and text, one behind the other, UTF-8
 *                           without control characters; then zeros
 *
 * The body of a CATALOG record 512 is one entry or several, each cut off behind
 * its text.  Applied, an entry takes the place of the one of its ring that has
 * its number; if there is none, of the one with the lowest number, free ones
 * first; or it has no effect, if it is older than all of these.
 */
#ifndef TARN_VOLUME_EVENT_FORMAT_H
#define TARN_VOLUME_EVENT_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endian.h"

#define CATALOG_EVENT   512u
#define EVENTS_A_PAGE   8u
#define EVENT_RING      256u
#define EVENT_RINGS     2u
#define EVENT_SLOTS     (EVENT_RINGS * EVENT_RING)
#define EVENT_PAGES     (EVENT_SLOTS / EVENTS_A_PAGE)

struct event_entry {
	le64    seq;
	le64    first_s;
	le64    last_s;
	le32    count;
	uint8_t severity;
	uint8_t what_len;
	uint8_t object_len;
	uint8_t text_len;
	le64    numbers[2];
	char    strings[464];
};
static_assert(sizeof(struct event_entry) == 512, "event_entry");
#define EVENT_HEAD_BYTES ((uint32_t)offsetof(struct event_entry, strings))

#endif
