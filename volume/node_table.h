/* volume/node_table.h - the node table: where every node is, by node id.
 *
 * A page need not be in memory to be changed: a page object may know only
 * some of its entries (`have`); the others are read before a commit writes
 * it.  Pages that a commit is going to write are frozen with it: the first
 * change after that leaves the frozen content in a buffer of its own.
 */
#ifndef TARN_VOLUME_NODE_TABLE_H
#define TARN_VOLUME_NODE_TABLE_H

#include "volume/node_cache.h"
#include "volume/node_validate.h"

struct tpage {
	struct cached cached;
	struct tpage *hash_next;
	struct volumes *vols;
	uint32_t      page;
	uint8_t      *data;           /* 4096 bytes */
	uint64_t      have[2];        /* entries of data that are known */
	uint8_t      *frozen;         /* as of the freeze, if data moved on */
	uint64_t      frozen_have[2]; /* entries of frozen that are known */
	bool          complete;       /* all entries are known (of both) */
	bool          loading;
	bool          dirty;          /* for the next commit */
	bool          commit;         /* the commit under way will write it, or
				       * is writing it */
	bool          written;        /* the commit under way has written it */
	struct list   dirty_link;
	struct list   commit_link;
	struct list   waiters;        /* loading: struct node_waiter */
	struct list   io_link;        /* loading: waiting for an I/O slot */
};

struct node_table {
	struct objpool tpages;
	struct tpage **buckets;       /* TABLE_BUCKETS, chained */
	struct list    dirty;         /* struct tpage */
	uint64_t       ndirty;
};

int  node_table_init(struct volumes *vols);
void node_table_fini(struct volumes *vols);

/* The object of a page, made if need be.  NULL: out of memory. */
struct tpage *table_page(struct volumes *vols, uint32_t page);
/* Is the entry of node `id` known? */
bool table_entry_known(const struct tpage *tp, uint32_t id);
/* Its bytes (as of now, not as frozen). */
const struct node_entry *table_entry(const struct tpage *tp, uint32_t id);
/* Read what is not known of a page; w->fn is called when that is over. */
void table_wait(struct tpage *tp, struct node_waiter *w);
/* Reading is over (node_load.c): buf has the page as it is on disk. */
void table_loaded(struct tpage *tp, const void *buf, int res);

/* A node was made (or freed: refs 0). */
void table_set(struct volumes *vols, uint32_t id, const struct node_entry *e);
/* The next commit gives this node a place: it writes its page.  e: the entry as
 * it is now, in case the page is not in memory. */
void table_touch(struct volumes *vols, uint32_t id,
		 const struct node_entry *e);
/* The next commit writes this page. -ENOMEM. */
int  table_touch_page(struct volumes *vols, uint32_t page);
/* The commit under way gave node `id` a place; live: the node is still the
 * one that was frozen. */
void table_placed(struct volumes *vols, uint32_t id, place_t place,
		  uint32_t crc, bool live);
/* A page that cannot be read: the entries that are not known are lost, what
 * they named reads as an error from now on. */
void table_give_up(struct tpage *tp);
/* Give a clean, complete page back (the LRU list's). */
void tpage_drop(struct tpage *tp);
/* Into the LRU list if nothing needs it. */
void tpage_settle(struct tpage *tp);

#endif
