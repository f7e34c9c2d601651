/* server/tarnd_watch.c - disks of the open pool that turn up later, perhaps at
 * another place.  A member whose connection only broke comes back by itself;
 * this is for those that were never connected, or have moved.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/tarnd.h"

static bool is_back(uint8_t state)
{
	return state == MEMBER_ONLINE || state == MEMBER_RETURNING ||
	       state == MEMBER_REMOVED;
}

static unsigned members_away(const struct pool *pool)
{
	struct pool_info info;
	unsigned n = 0;

	pool_get_info(pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;

		pool_get_member(pool, i, &m);
		n += !is_back(m.state) && m.state != MEMBER_FAULTED;
	}
	return n;
}

static void look_again(struct tarnd *t)
{
	if (t->hosted.state == HOSTED_OPEN && members_away(t->hosted.pool) > 0)
		hosted_watch(t, false);
}

/* Is d a member that is away, at another place than the one where it was?  Its
 * own connection comes back by itself. */
static bool is_news(const struct pool *pool, const struct pool_info *info,
		    const struct found_disk *d)
{
	struct member_info m;

	if (d->state != FOUND_MEMBER ||
	    !uuid_equal(&d->label.pool, &info->uuid))
		return false;
	for (uint32_t i = 0; i < info->nmembers; i++) {
		pool_get_member(pool, i, &m);
		if (!uuid_equal(&m.uuid, &d->label.disk))
			continue;
		return !is_back(m.state) && m.state != MEMBER_FAULTED &&
		       (m.state == MEMBER_MISSING || m.place[0] == '\0' ||
			!inventory_same_place(m.place, d->place));
	}
	return false;
}

static void offer(struct job *job, struct connect_set *set)
{
	struct tarnd *t = job->t;

	job->ndisks = connect_hand_over(set, job->disks);
	for (unsigned i = 0; i < job->ndisks; i++) {
		tarnd_log(t, "disk %s turned up", job->disks[i].disk->place);
		pool_offer_disk(t->hosted.pool, &job->disks[i]);
	}
}

static void connected(struct connect_set *set, void *arg)
{
	struct job   *job = arg;
	struct tarnd *t = job->t;

	job->disks = calloc(set->nitems + 1, sizeof(job->disks[0]));
	if (job->disks != NULL && t->hosted.state == HOSTED_OPEN)
		offer(job, set);
	look_again(t);
	job_end(job);
}

/* Is it among those that will be connected, by another spelling? */
static bool is_listed(const struct connect_set *set, const char *place)
{
	for (unsigned i = 0; i < set->nitems; i++)
		if (inventory_same_place(set->items[i].place, place))
			return true;
	return false;
}

static void scanned(struct inventory *inv, void *arg)
{
	struct job         *job = arg;
	struct tarnd       *t = job->t;
	struct connect_set *set = &job->set;
	struct pool_info    info;

	job->inv = inv;
	set->items = calloc(inv->ndisks + 1, sizeof(set->items[0]));
	if (t->hosted.state == HOSTED_OPEN && set->items != NULL) {
		pool_get_info(t->hosted.pool, &info);
		for (unsigned i = 0; i < inv->ndisks; i++) {
			const struct found_disk *d = &inv->disks[i];
			struct connect_item *item = &set->items[set->nitems];

			if (!is_news(t->hosted.pool, &info, d) ||
			    is_listed(set, d->place))
				continue;
			set->nitems++;
			memcpy(item->place, d->place, sizeof(item->place));
			memcpy(item->domain, d->host, sizeof(item->domain));
		}
	}
	if (set->nitems > 0) {
		connect_start(set, t, connected, job);
		return;
	}
	look_again(t);
	job_end(job);
}

/* Is `place` one at which a member is online?  Then it need not be looked at.
 */
static bool is_online(const struct pool *pool, uint32_t nmembers,
		      const char *place)
{
	for (uint32_t i = 0; i < nmembers; i++) {
		struct member_info m;

		pool_get_member(pool, i, &m);
		if (m.state == MEMBER_ONLINE && strcmp(m.place, place) == 0)
			return true;
	}
	return false;
}

void job_watch_run(struct job *job)
{
	struct tarnd    *t = job->t;
	struct pool_info info;
	char            *places[TARND_PLACES_MAX];
	unsigned         n = 0;
	int              r;

	if (t->hosted.state != HOSTED_OPEN ||
	    members_away(t->hosted.pool) == 0) {
		job_end(job);
		return;
	}
	pool_get_info(t->hosted.pool, &info);
	for (unsigned i = 0; i < t->nplaces; i++)
		if (!is_online(t->hosted.pool, info.nmembers, t->places[i]))
			places[n++] = t->places[i];
	r = job_set_places(job, places, n, NULL);
	if (r == 0)
		r = inventory_scan(t->io, (const char *const *)job->places,
				   job->nplaces, TARND_SCAN_NS, scanned, job);
	if (r < 0) {
		look_again(t);
		job_end(job);
	}
}
