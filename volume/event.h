/* volume/event.h - the history of a pool: what vols_event() was told, in the
 * log and in a ring of pages.
 *
 *   vols_event() --> pending --> CATALOG record --> apply: the ring --> pages,
 *   with the next commit
 *
 * Nothing waits for an event.  One record is in flight at a time, with as many
 * as fit; what cannot be stored now (the pool is full, suspended, being opened
 * or read-only) stays pending; when there are too many of these, the oldest
 * that matters least is lost, and counted.
 */
#ifndef TARN_VOLUME_EVENT_H
#define TARN_VOLUME_EVENT_H

#include "pool/pool.h"
#include "volume/event_format.h"
#include "volume/volume.h"

#define EVENT_PENDING_MAX 64u

struct event_pending {
	struct vol_event e;     /* e.seq: of the stored one that it repeats */
	bool             sent;  /* in the record in flight */
};

struct event_log {
	struct vol_event *slots;   /* EVENT_SLOTS; seq 0: free */
	struct event_pending *pending; /* in order of arrival */
	unsigned          npending;
	uint64_t          next_seq;
	uint64_t          change;  /* of the last event that came or changed */
	uint64_t          lost;    /* since that was last said */
	bool              dirty[EVENT_PAGES];
	uint32_t          ndirty;
	struct log_append append;
	bool              busy;    /* append is in flight */
	bool              flush;   /* hold nothing back */
	uint64_t          retry_ns; /* not before, engine's clock */
	uint64_t          backoff_ns;
	uint8_t          *body;    /* CATALOG_BODY_MAX */
	struct io_work    work;
};

/* -ENOMEM. */
int  events_init(struct volumes *vols);
void events_fini(struct volumes *vols);
/* Something may be stored now that could not be before. */
void events_kick(struct volumes *vols);

/* --- event_ring.c: what is stored ---------------------------------------- */

/* The bytes of an entry, at most sizeof(struct event_entry); returns how many.
 * ret need not be aligned. */
uint32_t event_encode(const struct vol_event *e, uint8_t *ret);
/* The entry at p, of at most len_bytes: how many it has, or -EBADMSG with what
 * is wrong (a constant string). */
int  event_decode(const uint8_t *p, uint32_t len_bytes,
		  struct vol_event *ret_e, const char **ret_why);
/* The stored one that e repeats; NULL. */
const struct vol_event *event_find(const struct event_log *log,
				   const struct vol_event *e);
/* What a record does.  What is malformed has no effect. */
void events_apply(struct volumes *vols, const void *body, uint32_t len_bytes);
/* Bytes of a page (4096), as of now. */
void events_encode_page(const struct event_log *log, uint32_t page, void *buf);
/* Take a page as read; entries that make no sense are left out. */
void events_decode_page(struct event_log *log, uint32_t page, const void *buf);
/* All pages are taken. */
void events_loaded(struct event_log *log);
/* Write that page with the next commit.  -EINVAL: there is none. */
int  events_touch_page(struct event_log *log, uint32_t page);
/* Where an event that is stored next goes. */
uint32_t event_slot_next(const struct event_log *log, uint8_t severity);

#endif
