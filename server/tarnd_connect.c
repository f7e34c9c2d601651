/* server/tarnd_connect.c - connecting several disks at once.
 *
 *	disk_open() each --> first event of each, or the deadline --> done()
 *
 * A disk that is not up by then is closed; its error says why.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/place.h"
#include "server/tarnd.h"

static void disk_closed(void *arg)
{
	struct tarnd *t = arg;

	assert(t->disks_closing > 0);
	t->disks_closing--;
	tarnd_check_stopped(t);
}

static void ignore_event(struct disk *d, enum disk_event ev, void *arg)
{
	(void)d;
	(void)ev;
	(void)arg;
}

void tarnd_close_disk(struct tarnd *t, struct disk *d)
{
	/* Whoever listened before may be gone. */
	d->event = ignore_event;
	d->event_arg = NULL;
	t->disks_closing++;
	disk_close(d, disk_closed, t);
}

static void drop(struct connect_item *item, const char *why)
{
	snprintf(item->error, sizeof(item->error), "%s",
		 inventory_reason(item->place, why));
	tarnd_close_disk(item->set->t, item->disk);
	item->disk = NULL;
}

static void all_answered(struct io_work *w)
{
	struct connect_set *set = container_of(w, struct connect_set, work);

	io_timer_cancel(set->t->io, &set->timer);
	for (unsigned i = 0; i < set->nitems; i++) {
		struct connect_item *item = &set->items[i];

		if (item->disk == NULL || item->disk->up)
			continue;
		drop(item, item->disk->error_text[0] != '\0'
				   ? item->disk->error_text
				   : "it did not answer in time");
	}
	set->done(set, set->arg);
}

static void out_of_time(struct io_timer *timer)
{
	struct connect_set *set =
		container_of(timer, struct connect_set, timer);

	io_defer(set->t->io, &set->work);
}

static void answered(struct connect_item *item)
{
	struct connect_set *set = item->set;

	if (item->answered)
		return;
	item->answered = true;
	assert(set->pending > 0);
	if (--set->pending == 0)
		io_defer(set->t->io, &set->work);
}

static void disk_event(struct disk *d, enum disk_event ev, void *arg)
{
	(void)d;
	(void)ev;
	answered(arg);
}

void connect_start(struct connect_set *set, struct tarnd *t,
		   void (*done)(struct connect_set *set, void *arg), void *arg)
{
	struct disk_params params = {
		.timeout_ns = t->cfg->disk_timeout_s * NS_PER_S,
		.lanes = (unsigned)t->cfg->disk_lanes,
		.tls_ca_dir = t->cfg->tls_ca_dir,
	};

	set->t = t;
	set->done = done;
	set->arg = arg;
	set->pending = 1;
	io_timer_init(&set->timer, out_of_time);
	io_work_init(&set->work, all_answered);
	for (unsigned i = 0; i < set->nitems; i++) {
		struct connect_item *item = &set->items[i];

		item->set = set;
		item->disk = NULL;
		if (disk_open(t->io, item->place, &params, disk_event, item,
			      &item->disk, item->error) == 0)
			set->pending++;
		else
			item->answered = true;
	}
	io_timer_arm(t->io, &set->timer, io_now_ns(t->io) + TARND_CONNECT_NS);
	if (--set->pending == 0)
		io_defer(t->io, &set->work);
}

void connect_fini(struct connect_set *set)
{
	for (unsigned i = 0; i < set->nitems; i++)
		if (set->items[i].disk != NULL)
			drop(&set->items[i], "it was not wanted");
	free(set->items);
	set->items = NULL;
	set->nitems = 0;
}

unsigned connect_hand_over(struct connect_set *set, struct pool_disk *ret)
{
	unsigned n = 0;

	for (unsigned i = 0; i < set->nitems; i++) {
		struct connect_item *item = &set->items[i];

		if (item->disk == NULL)
			continue;
		if (!item->disk->up) {
			drop(item, item->disk->error_text);
			continue;
		}
		item->disk->event = ignore_event;
		ret[n].disk = item->disk;
		ret[n].domain = item->domain;
		n++;
		item->disk = NULL;
	}
	return n;
}
