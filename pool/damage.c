/* pool/damage.c - blocks of data that nothing gives any more.
 *
 * That a block is lost is written where it always was: the map names its place
 * and checksum, and what is there does not fit.  So the list is only known
 * damage, and made anew when it has to be:
 *
 *   found   by a read or the cleaner: the map points to it, that is sure;
 *           by a scrub: the volumes find out whether it does (damaged())
 *   kept    in memory, up to POOL_DAMAGE_MAX blocks; of more it is known how
 *           many each segment has.  On disk a bit per segment says that there
 *           are some
 *   again   segments with that bit are scrubbed when the pool is opened; those
 *           with listed blocks when a disk comes back, or a unit was made again
 *   gone    nothing points to it any more (overwritten, deleted), a read gave
 *           it, or a scrub of its segment did not find it lost
 *
 * Its segment is not freed, for the block counts as live; all others in it are
 * moved by the cleaner as ever.  While more domains are away than the redundancy
 * covers, nothing is called lost.
 *
 * The way to fail: a crash before the next commit forgets what was found since
 * the last one, until it is read or scrubbed again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"
#include "pool/scrub.h"

/* The first that is at the place or behind it. */
static uint32_t find(const struct damage *d, place_t place)
{
	uint32_t low = 0, high = d->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (d->list[mid].d.place < place)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void remove_at(struct pool *p, uint32_t i)
{
	struct damage *d = &p->damage;

	d->nsure -= d->list[i].d.sure;
	d->n--;
	memmove(&d->list[i], &d->list[i + 1],
		(d->n - i) * sizeof(d->list[0]));
	d->changes++;
}

static void more_set(struct pool *p, struct segment *s, uint32_t more)
{
	p->damage.more += more;
	p->damage.more -= s->damage_more;
	s->damage_more = more;
}

static void look_set(struct pool *p, struct segment *s, bool look)
{
	p->damage.looks += look;
	p->damage.looks -= s->damage_look;
	s->damage_look = look;
	if (look)
		scrub_kick(p);
}

/* --- found --------------------------------------------------------------- */

/* There is no room for it: how many there are the next scrub says. */
static void found_more(struct pool *p, struct segment *s)
{
	struct damage *d = &p->damage;

	if (s->damage_pass == d->pass && s->damage_counting) {
		more_set(p, s, s->damage_more + 1);
		return;
	}
	if (s->damage_more > 0)
		return;
	more_set(p, s, 1);
	look_set(p, s, true);
}

static void found(struct pool *p, const struct pool_damage *new, uint32_t i)
{
	struct damage *d = &p->damage;

	memmove(&d->list[i + 1], &d->list[i], (d->n - i) * sizeof(d->list[0]));
	d->n++;
	d->list[i].d = *new;
	d->nsure += new->sure;
	d->changes++;
	/* The bit of its segment is to be on disk soon. */
	pool_commit_want(p);
}

void pool_damage_found(struct pool *p, const struct pool_damage *new)
{
	struct damage  *d = &p->damage;
	struct segment *s = pool_seg(p, place_seg(p, new->place));
	uint32_t        i;

	if (s == NULL || !seg_may_live(s) || !pool_running(p) ||
	    pool_domains_lost(p) > p->m || CANARY(lost_not_listed))
		return;
	if (d->list == NULL)
		d->list = calloc(POOL_DAMAGE_MAX, sizeof(d->list[0]));
	i = d->list == NULL ? 0 : find(d, new->place);
	if (i < d->n && d->list[i].d.place == new->place) {
		d->nsure += new->sure && !d->list[i].d.sure;
		d->changes += new->sure && !d->list[i].d.sure;
		d->list[i].d.sure |= new->sure;
	} else if (d->list == NULL || d->n == POOL_DAMAGE_MAX) {
		found_more(p, s);
		return;
	} else {
		found(p, new, i);
	}
	d->list[i].pass = d->pass;
	if (!d->list[i].d.sure && p->client->damaged != NULL)
		p->client->damaged(p->client_arg);
}

/* --- gone ---------------------------------------------------------------- */

void damage_unref(struct pool *p, place_t place, uint32_t n)
{
	uint32_t i = find(&p->damage, place);

	if (CANARY(lost_for_ever))
		return;
	while (i < p->damage.n && p->damage.list[i].d.place - place < n)
		remove_at(p, i);
}

void pool_damage_drop(struct pool *p, place_t place)
{
	damage_unref(p, place, 1);
}

static place_t seg_first(const struct pool *p, const struct segment *s)
{
	return place_make(p, s->no, 0, 0);
}

/* Listed blocks of a segment. */
static uint32_t seg_range(const struct pool *p, const struct segment *s,
			  uint32_t *ret_end)
{
	*ret_end = find(&p->damage, place_make(p, s->no + 1, 0, 0));
	return find(&p->damage, seg_first(p, s));
}

void damage_seg_freed(struct pool *p, struct segment *s)
{
	uint32_t i, end;

	if (s->damage_more > 0)
		more_set(p, s, 0);
	if (s->damage_look)
		look_set(p, s, false);
	for (i = seg_range(p, s, &end); i < end; end--)
		remove_at(p, i);
}

bool damage_in_seg(const struct pool *p, const struct segment *s)
{
	uint32_t end;

	return s->damage_look || s->damage_more > 0 ||
	       seg_range(p, s, &end) < end;
}

/* --- scrubs of a segment -------------------------------------------------- */

void damage_pass_begin(struct pool *p, struct segment *s)
{
	s->damage_pass = ++p->damage.pass;
	s->damage_counting = true;
	if (s->damage_more > 0)
		more_set(p, s, 0);
}

void damage_pass_end(struct pool *p, struct segment *s, bool whole)
{
	uint32_t i, end;

	s->damage_counting = false;
	if (!whole || pool_domains_lost(p) > p->m)
		return;
	look_set(p, s, false);
	for (i = seg_range(p, s, &end); i < end;) {
		if (p->damage.list[i].pass >= s->damage_pass) {
			i++;
			continue;
		}
		remove_at(p, i);
		end--;
	}
}

void damage_look_off(struct pool *p, struct segment *s)
{
	look_set(p, s, false);
}

void damage_seg_loaded(struct pool *p, struct segment *s)
{
	look_set(p, s, true);
}

void damage_seg_made(struct pool *p, struct segment *s)
{
	if (!s->damage_look && damage_in_seg(p, s))
		look_set(p, s, true);
}

void damage_look_again(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++)
		damage_seg_made(p, p->segs[i]);
}

struct segment *damage_next_look(const struct pool *p)
{
	if (p->damage.looks == 0 || pool_domains_lost(p) > p->m)
		return NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (p->segs[i]->damage_look &&
		    p->segs[i]->state == SEG_SEALED && !p->segs[i]->dead)
			return p->segs[i];
	}
	return NULL;
}

/* --- asking --------------------------------------------------------------- */

bool pool_damage_next(const struct pool *p, place_t place,
		      struct pool_damage *ret)
{
	uint32_t i = find(&p->damage, place + 1);

	if (i == p->damage.n)
		return false;
	*ret = p->damage.list[i].d;
	return true;
}

uint64_t pool_damage_count(const struct pool *p, uint64_t *ret_more)
{
	*ret_more = p->damage.more;
	return p->damage.nsure;
}

void damage_fini(struct pool *p)
{
	free(p->damage.list);
	p->damage.list = NULL;
}
