/* pool/segment.c - the table of segments: zones, capacity, live counts.
 *
 *   FREE -> NEXT -> OPENABLE -> OPEN -> SEALING -> SEALED -> FREE
 *                                                    |
 *                                       QUARANTINED <-+-> FREE
 *
 * A running commit takes free zones together (NEXT); they become OPENABLE
 * when it is done, and only those are ever opened, so that recovery knows
 * where to look.  A sealed segment in which nothing lives is freed by a
 * commit: its zones may go into NEXT segments of that same commit, since they
 * are opened only once it is durable.
 */
#include "base/canary.h"
#include "pool/segment_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"

/* Blocks that tables may grow by before the next write is refused. */
#define TABLES_MARGIN 16u

/* --- slots --------------------------------------------------------------- */

int segs_init(struct pool *p)
{
	p->segs_cap = 64;
	p->segs = calloc(p->segs_cap, sizeof(*p->segs));
	return p->segs != NULL ? 0 : -ENOMEM;
}

void segs_fini(struct pool *p)
{
	if (p->segs == NULL)
		return;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		free(p->segs[i]->idx.buf);
		free(p->segs[i]->seal_writes);
		free(p->segs[i]);
	}
	free(p->segs);
	p->segs = NULL;
	p->nsegs = 0;
}

static int segs_grow(struct pool *p, uint32_t no)
{
	uint32_t         cap = p->segs_cap;
	struct segment **segs;

	if (no > UINT32_MAX / 2)
		return -ENOMEM;
	while (cap <= no)
		cap *= 2;
	if (cap == p->segs_cap)
		return 0;
	segs = realloc(p->segs, (size_t)cap * sizeof(*segs));
	if (segs == NULL)
		return -ENOMEM;
	p->segs = segs;
	p->segs_cap = cap;
	return 0;
}

struct segment *seg_slot(struct pool *p, uint32_t no)
{
	assert(no >= 1);
	if (segs_grow(p, no) < 0)
		return NULL;
	while (p->nsegs < no) {
		struct segment *s = calloc(1, sizeof(*s));

		if (s == NULL)
			return NULL;
		s->no = p->nsegs + 1;
		s->state = SEG_FREE;
		p->segs[++p->nsegs] = s;
	}
	return p->segs[no];
}

/* --- zones --------------------------------------------------------------- */

static void zone_take(struct pool *p, const struct zone_ref *z)
{
	struct member *m = p->members[z->member];

	assert(!bitmap_test(m->zone_map, z->zone));
	bitmap_set(m->zone_map, z->zone);
	m->zones_used++;
}

void seg_zone_take(struct pool *p, struct segment *s, uint32_t u,
		   const struct zone_ref *z)
{
	s->zones[u] = *z;
	zone_take(p, z);
}

void seg_zone_put(struct pool *p, struct segment *s, uint32_t u)
{
	struct member *m = seg_member(p, s, u);

	if (m == NULL)
		return;
	assert(bitmap_test(m->zone_map, s->zones[u].zone));
	bitmap_clear(m->zone_map, s->zones[u].zone);
	m->zones_used--;
	s->zones[u].member = ZONE_NONE;
}

void seg_free_zones(struct pool *p, struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++)
		seg_zone_put(p, s, u);
	if (s->dead)
		p->sealed_dead--;
	s->dead = false;
	s->state = SEG_FREE;
	/* A commit that is under way and may give the zones to another segment
	 * must not say that this one has them too. */
	s->frozen_state = SEG_DISK_FREE;
	s->frozen_index_off = 0;
	s->live = 0;
	s->live_frozen = 0;
	s->missing = 0;
	s->write_off = 0;
	s->scan_from = 0;
	s->index_off = 0;
	s->victim = false;
	s->stray = false;
	s->miscounted = false;
	s->clean_vain = 0;
	s->claim = 0;
}

static uint32_t member_free_zones(const struct member *m)
{
	return m->in && m->state == MEMBER_ONLINE ? m->zones - m->zones_used
						  : 0;
}

/* The member of a domain with the most free zones; NULL if none has any. */
static struct member *domain_best(const struct pool *p, uint32_t domain)
{
	struct member *best = NULL;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->domain == domain && member_free_zones(m) > 0 &&
		    (best == NULL ||
		     member_free_zones(m) > member_free_zones(best)))
			best = m;
	}
	return best;
}

static uint32_t domain_free(const struct pool *p, uint32_t domain)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->domain == domain)
			n += member_free_zones(p->members[i]);
	}
	return n;
}

/* The k+m domains with the most free zones, or as many as there are. */
static uint32_t pick_domains(const struct pool *p, uint32_t *ret_domains)
{
	bool     used[POOL_MEMBERS_MAX] = {false};
	uint32_t n = 0;

	while (n < p->units) {
		uint32_t best = 0, best_free = 0;

		for (uint32_t d = 0; d < p->ndomains; d++) {
			uint32_t f = used[d] ? 0 : domain_free(p, d);

			if (f > best_free) {
				best = d;
				best_free = f;
			}
		}
		if (best_free == 0)
			break;
		used[best] = true;
		ret_domains[n++] = best;
	}
	return n;
}

static uint32_t domains_in(const struct pool *p)
{
	bool     there[POOL_MEMBERS_MAX] = {false};
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->in)
			continue;
		n += !there[m->domain];
		there[m->domain] = true;
	}
	return n;
}

static struct segment *free_slot(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (p->segs[i]->state == SEG_FREE && p->segs[i]->pins == 0 &&
		    p->segs[i]->tables == 0)
			return p->segs[i];
	}
	return seg_slot(p, p->nsegs + 1);
}

static bool seg_compose(struct pool *p, enum seg_state state)
{
	uint32_t        domains[POOL_UNITS_MAX];
	uint32_t        n = pick_domains(p, domains);
	struct segment *s;

	/* With fewer domains than units, the rest of the units is absent and
	 * made when disks are back; never below what a row needs, and never
	 * because a domain that is there is merely full. */
	if (n < p->k + p->min_parity || n < min_u32(p->units, domains_in(p)))
		return false;
	s = free_slot(p);
	if (s == NULL)
		return false;
	if (!CANARY(generation_kept) || s->generation == 0)
		s->generation++;
	s->state = (uint8_t)state;
	s->claim = p->claim;
	s->frozen_state = SEG_DISK_OPENABLE;
	s->frozen_index_off = 0;
	s->live_frozen = 0;
	s->missing = 0;
	/* A segment that was free when the pool was opened still has those of
	 * its entry in the table. */
	if (!CANARY(write_off_kept))
		s->write_off = 0;
	s->scan_from = 0;
	s->index_off = 0;
	for (uint32_t i = 0; i < p->units; i++) {
		/* Rotate, so that parity moves over the disks. */
		uint32_t       u = (i + s->no) % p->units;
		struct member *m;

		if (i >= n) {
			s->zones[u].member = ZONE_NONE;
			s->zones[u].zone = 0;
			s->missing |= 1u << u;
			continue;
		}
		m = domain_best(p, domains[i]);
		s->zones[u].member = m->index;
		s->zones[u].zone = (uint32_t)bitmap_next_clear(
			m->zone_map, 0, m->zones);
		zone_take(p, &s->zones[u]);
	}
	if (state == SEG_OPENABLE)
		segs_openable_add(p, s);
	return true;
}

uint32_t segs_compose(struct pool *p, uint32_t n, enum seg_state state)
{
	uint32_t done = 0;

	while (done < n && seg_compose(p, state))
		done++;
	return done;
}

/* --- capacity ------------------------------------------------------------ */

/* design, section 5, Capacity: the largest r with
 * sum over domains of min(z_i, r) >= (k+m) * r. */
static uint32_t capacity(const struct pool *p, const uint32_t *zones,
			 uint32_t units)
{
	uint32_t lo = 0, hi = UINT32_MAX / 2;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;
		uint64_t sum = 0;

		for (uint32_t d = 0; d < p->ndomains; d++)
			sum += min_u32(zones[d], mid);
		if (sum >= (uint64_t)units * mid)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/* Segments that the disks that are in can hold, or their free zones.  With
 * fewer domains than units, segments have as many units as there are domains
 * (too few domains: design, section 5). */
static uint32_t capacity_now(const struct pool *p, bool only_free)
{
	uint32_t zones[POOL_MEMBERS_MAX] = {0};
	uint32_t n = domains_in(p);

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->in)
			zones[m->domain] += only_free ? member_free_zones(m)
						      : m->zones;
	}
	if (n < p->k + p->min_parity)
		return 0;
	return capacity(p, zones, min_u32(n, p->units));
}

/* With every disk that the pool has. */
static uint32_t capacity_whole(const struct pool *p)
{
	uint32_t zones[POOL_MEMBERS_MAX] = {0};

	for (uint32_t i = 0; i < p->nmembers; i++)
		zones[p->members[i]->domain] += p->members[i]->zones;
	return capacity(p, zones, p->units);
}

void segs_capacity(struct pool *p)
{
	uint32_t row = 1 + (uint32_t)div_up(p->row_blocks_max, p->k);
	uint32_t index = 2 + p->zone_blocks / 128;
	uint32_t avail;

	/* Full rows, as the cleaner writes them, less the index and the end
	 * that its longest run may leave unused. */
	avail = p->zone_blocks - index - (uint32_t)div_up(64, p->k) - 2;
	p->seg_data_blocks =
		(uint32_t)((uint64_t)avail * p->row_blocks_max / row);
	p->segs_possible = capacity_whole(p);
	p->segs_now = capacity_now(p, false);
	p->quarantined = 0;
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->quarantined += quarantine_holds(p, p->segs[i]);
}

uint32_t segs_free_possible(const struct pool *p)
{
	return capacity_now(p, true);
}

/* Segments that one commit may need.  That many zones are never listed as
 * openable: a recovery that cannot trust the last owner uses none that it
 * could open.  And as many openable ones are kept for the next commit. */
uint32_t segs_reserve(const struct pool *p)
{
	uint64_t commit = p->client->commit_blocks(p->client_arg) +
			  p->tables_total + seg_pages(p) + 16;

	return 1 + (uint32_t)div_up(commit, p->seg_data_blocks);
}

/* With those a recovery commits and its cleaner begins. */
uint32_t segs_unlisted(const struct pool *p)
{
	return segs_reserve(p) + 2;
}

static uint64_t usable_of(const struct pool *p, uint32_t segs)
{
	/* Never listed: for a recovery and its first cleaning.  Listed: for a
	 * commit and the cleaner.  And what is open, partly filled. */
	uint32_t reserve = 11 + p->segs_possible / 32;

	return segs <= reserve ? 0
			       : (uint64_t)(segs - reserve) *
					 p->seg_data_blocks;
}

/* Blocks of tables that a commit has superseded are not counted twice. */
static uint64_t used_blocks(const struct pool *p)
{
	return p->live_total + p->tables_total -
	       min_u64(p->tables_total, p->commit.nold);
}

void pool_space(const struct pool *p, uint64_t *ret_usable,
		uint64_t *ret_used)
{
	*ret_usable = usable_of(p, p->segs_possible);
	*ret_used = used_blocks(p);
}

int pool_space_reserve(struct pool *p, uint64_t blocks)
{
	/* While disks are out or zones in quarantine, no more than fits
	 * without them. */
	uint32_t segs = min_u32(p->segs_possible, p->segs_now);
	uint64_t usable = usable_of(p, segs - min_u32(segs, p->quarantined));

	if (CANARY(space_halved))
		usable /= 2;
	if (CANARY(space_unlimited))
		usable *= 2;
	if (used_blocks(p) + p->reserved + blocks + TABLES_MARGIN > usable)
		return -ENOSPC;
	p->reserved += blocks;
	return 0;
}

void pool_space_unreserve(struct pool *p, uint64_t blocks)
{
	assert(p->reserved >= blocks);
	p->reserved -= blocks;
}

/* --- opening ------------------------------------------------------------- */

bool seg_writable(const struct pool *p, const struct segment *s)
{
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m == NULL || !m->in)
			return false;
	}
	return true;
}

static uint32_t seg_units_in(const struct pool *p, const struct segment *s)
{
	uint32_t n = 0;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		n += m != NULL && m->in;
	}
	return n;
}

bool seg_has_room(const struct pool *p, const struct segment *s,
		  uint32_t unit_blocks, uint32_t index_bytes)
{
	uint64_t index = bytes_to_blocks_up((uint64_t)s->idx.bytes +
					    index_bytes);

	return s->write_off + unit_blocks + index <= p->zone_blocks;
}

uint32_t segs_openable_whole(const struct pool *p)
{
	/* While a domain is lost there are no whole ones to be had. */
	if (p->partial == 0 || pool_domains_lost(p) > 0)
		return p->openable;
	return p->openable - p->partial;
}

void segs_openable_add(struct pool *p, struct segment *s)
{
	s->state = SEG_OPENABLE;
	p->openable++;
	p->partial += s->missing != 0;
}

void segs_openable_take(struct pool *p, struct segment *s)
{
	assert(s->state == SEG_OPENABLE && p->openable > 0);
	p->openable--;
	p->partial -= s->missing != 0;
	assert(p->partial <= p->openable);
}

uint32_t segs_keep(const struct pool *p, enum log_class class)
{
	if (class == LOG_CLIENT)
		return segs_reserve(p) + 2; /* two are the cleaner's */
	return class == LOG_CLEANER ? segs_reserve(p) - 1 : 0;
}

void seg_open(struct pool *p, struct segment *s, enum log_class class)
{
	segs_openable_take(p, s);
	s->state = SEG_OPEN;
	s->class = (uint8_t)class;
	s->idx.bytes = (uint32_t)sizeof(struct seg_index_header);
	s->idx.nrows = 0;
	s->scan_from = 0;
}

static struct segment *seg_open_next(struct pool *p, enum log_class class)
{
	struct segment *best = NULL;
	bool            best_whole = false;

	if (p->openable <= segs_keep(p, class))
		return NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		bool            whole;

		if (s->state != SEG_OPENABLE ||
		    seg_units_in(p, s) < p->k + p->min_parity)
			continue;
		whole = seg_writable(p, s);
		if (best == NULL || (whole && !best_whole)) {
			best = s;
			best_whole = whole;
		}
	}
	if (best == NULL)
		return NULL;
	/* What is written to a partial one lacks redundancy, although all
	 * disks are there: rather wait for a commit that lists whole ones. */
	if (!best_whole && class != LOG_COMMIT && pool_domains_lost(p) == 0 &&
	    commit_pending(p))
		return NULL;
	seg_open(p, best, class);
	return best;
}

/* When nothing may be opened for it, the cleaner may share the segment that
 * commits write to, as long as a commit fits behind it: it is about to free
 * more than it takes. */
static struct segment *seg_share(struct pool *p, uint32_t unit_blocks,
				 uint32_t index_bytes)
{
	struct segment *s = p->open[LOG_COMMIT][0];
	uint64_t commit = p->client->commit_blocks(p->client_arg) +
			  p->tables_total + seg_pages(p) + 16;

	/* A commit's rows have one block of header for each 16 at worst. */
	if (s == NULL || p->openable == 0 ||
	    !seg_has_room(p, s,
			  unit_blocks +
				  (uint32_t)min_u64(2 * commit / p->k,
						    p->zone_blocks),
			  index_bytes))
		return NULL;
	return s;
}

/* One open segment per class keeps a small pool whole; a wide pool has
 * several, used in turn, so that all its disks work at once. */
uint32_t segs_open_max(const struct pool *p, enum log_class class)
{
	if (class != LOG_CLIENT)
		return 1;
	return min_u32(OPEN_SEGS_MAX, max_u32(1, p->ndomains / p->units));
}

const struct segment *seg_only_open(const struct pool *p, enum log_class class)
{
	if (p->open[class][SEG_ASIDE] != NULL)
		return p->open[class][SEG_ASIDE];
	return segs_open_max(p, class) == 1 ? p->open[class][0] : NULL;
}

struct segment *seg_for_row(struct pool *p, enum log_class class,
			    uint32_t unit_blocks, uint32_t index_bytes)
{
	uint32_t nopen = segs_open_max(p, class);
	struct segment *aside =
		late_segment(p, class, unit_blocks, index_bytes);

	if (aside != NULL)
		return aside;
	for (uint32_t tries = 0; tries < nopen; tries++) {
		uint32_t        i = p->open_next[class]++ % nopen;
		struct segment *s = p->open[class][i];

		if (s != NULL && (!seg_has_room(p, s, unit_blocks,
						index_bytes) ||
				  (!seg_writable(p, s) &&
				   seg_units_in(p, s) <
					   p->k + p->min_parity))) {
			p->open[class][i] = NULL;
			seg_seal(p, s);
			s = NULL;
		}
		if (s == NULL) {
			s = seg_open_next(p, class);
			p->open[class][i] = s;
		}
		if (s != NULL)
			return s;
	}
	return class == LOG_CLEANER ? seg_share(p, unit_blocks, index_bytes)
				    : NULL;
}

/* --- live blocks --------------------------------------------------------- */

void seg_check_dead(struct pool *p, struct segment *s)
{
	if (s->state != SEG_SEALED || s->live != 0 || s->tables != 0)
		return;
	if (!s->dead) {
		s->dead = true;
		p->sealed_dead++;
		cleaner_unstick(p);
	}
	commit_consider(p);
}

bool seg_may_live(const struct segment *s)
{
	return s->state == SEG_OPENABLE || s->state == SEG_OPEN ||
	       s->state == SEG_SEALING || s->state == SEG_SEALED;
}

static uint32_t live_max(const struct pool *p)
{
	return p->zone_blocks * p->k;
}

/* The map points to what cannot be: damage, or made up. */
static void place_wrong(struct pool *p, place_t place, uint32_t n)
{
	if (p->lost_blocks == 0)
		pool_log(p, "the map of a volume points to places that do not "
			    "exist (first: %llx): check the pool with "
			    "tarn-check",
			 (unsigned long long)place);
	p->lost_blocks += n;
}

/* The map and the segment table do not agree about what lives in s, so nobody
 * can know when nothing lives in it: it keeps a block that is never taken off,
 * and so it is never freed. */
static void miscounted(struct pool *p, struct segment *s)
{
	if (!s->miscounted)
		pool_log(p, "segment %u: its live blocks were counted wrong; "
			    "it is not used again",
			 s->no);
	s->miscounted = true;
	if (s->live > 0)
		return;
	s->live = 1;
	p->live_total++;
	if (s->dead)
		p->sealed_dead--;
	s->dead = false;
}

void pool_place_ref(struct pool *p, place_t place, uint32_t n)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	/* Nothing new is placed in a segment that was found dead. */
	assert(s != NULL && !s->dead);
	if (n > live_max(p) - s->live) {
		/* The table gave it more than there are. */
		n = live_max(p) - s->live;
		miscounted(p, s);
	}
	s->live += n;
	p->live_total += n;
}

void pool_place_unref(struct pool *p, place_t place, uint32_t n)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	if (s == NULL || !seg_may_live(s)) {
		place_wrong(p, place, n);
		return;
	}
	if (CANARY(unref_lost) && n > 1)
		return;
	if (s->live < n)
		miscounted(p, s);
	if (s->miscounted)
		n = min_u32(n, s->live - 1);
	s->live -= n;
	p->live_total -= n;
	seg_check_dead(p, s);
}

void seg_frozen_unref(struct pool *p, place_t place)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	if (s == NULL || !seg_may_live(s))
		return; /* pool_place_unref() says so */
	if (s->live_frozen > 0)
		s->live_frozen--;
	else
		miscounted(p, s);
}

void seg_unpin(struct pool *p, struct segment *s)
{
	assert(s->pins > 0);
	s->pins--;
	if (s->pins == 0)
		seg_check_dead(p, s);
}

/* --- table pages --------------------------------------------------------- */

uint64_t segs_max(const struct pool *p)
{
	uint64_t zones = 0;

	/* Each has a zone; those without are few (being read, or quarantined
	 * by a recovery). */
	for (uint32_t i = 0; i < p->nmembers; i++)
		zones += p->members[i]->zones;
	return min_u64(zones + 4 * LABEL_EXTRA_MAX, UINT32_MAX / 4);
}

uint32_t seg_pages(const struct pool *p)
{
	return (uint32_t)div_up(p->nsegs, seg_entries_per_page(p->k, p->m));
}

static void entry_encode(const struct pool *p, struct segment *s,
			 uint8_t *buf)
{
	struct seg_entry e;

	s->missing_frozen = s->missing;

	memset(&e, 0, sizeof(e));
	e.generation = le32_of(s->generation);
	e.state = s->frozen_state;
	/* One that was found to be counted wrong never becomes free. */
	e.live = le32_of(max_u32(min_u32(s->live_frozen, live_max(p)),
				 s->miscounted));
	e.scan_from = le32_of(s->scan_from);
	e.missing = le32_of(s->missing);
	e.index_off = le32_of(s->frozen_index_off);
	e.claim = le64_of(s->claim |
			  (seg_is_stray(p, s) && !CANARY(stray_unrecorded) ?
				   SEG_CLAIM_STRAY : 0));
	memcpy(buf, &e, sizeof(e));
	buf += sizeof(e);
	for (uint32_t u = 0; u < p->units; u++) {
		struct seg_zone z = {.member = le32_of(s->zones[u].member),
				     .zone = le32_of(s->zones[u].zone)};

		memcpy(buf + u * sizeof(z), &z, sizeof(z));
	}
}

void seg_page_encode(const struct pool *p, uint32_t page, uint8_t *buf)
{
	uint32_t               per = seg_entries_per_page(p->k, p->m);
	uint32_t               stride = seg_entry_stride(p->k, p->m);
	uint32_t               first = 1 + page * per;
	struct seg_page_header h;
	uint32_t               n = 0;

	memset(buf, 0, TARN_BLOCK);
	while (n < per && first + n <= p->commit.nsegments) {
		entry_encode(p, p->segs[first + n],
			     buf + sizeof(h) + n * stride);
		n++;
	}
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, SEG_PAGE_MAGIC, sizeof(h.magic));
	h.page = le32_of(page);
	h.nentries = le32_of(n);
	h.pool = p->uuid;
	memcpy(buf, &h, sizeof(h));
}

static const char *entry_zones(struct pool *p, struct segment *s,
			       const uint8_t *buf)
{
	for (uint32_t u = 0; u < p->units; u++) {
		struct seg_zone z;

		memcpy(&z, buf + u * sizeof(z), sizeof(z));
		s->zones[u].member = le32_get(z.member);
		s->zones[u].zone = le32_get(z.zone);
		if (s->zones[u].member == ZONE_NONE)
			continue;
		if (s->zones[u].member >= p->nmembers ||
		    s->zones[u].zone >=
			    p->members[s->zones[u].member]->zones)
			return "a zone out of range";
		if (bitmap_test(p->members[s->zones[u].member]->zone_map,
				s->zones[u].zone))
			return "a zone that two segments own";
		zone_take(p, &s->zones[u]);
	}
	return NULL;
}

static const char *entry_decode(struct pool *p, uint32_t no,
				const uint8_t *buf)
{
	struct segment  *s = seg_slot(p, no);
	struct seg_entry e;

	if (s == NULL)
		return "too little memory";
	memcpy(&e, buf, sizeof(e));
	s->generation = le32_get(e.generation);
	s->live = le32_get(e.live);
	s->missing = le32_get(e.missing);
	s->scan_from = le32_get(e.scan_from);
	s->index_off = le32_get(e.index_off);
	s->claim = le64_get(e.claim) & ~SEG_CLAIM_STRAY;
	s->write_off = p->zone_blocks;
	if (s->scan_from > p->zone_blocks || s->index_off >= p->zone_blocks)
		return "an offset out of range";
	switch (e.state) {
	case SEG_DISK_FREE:
		s->state = SEG_FREE;
		s->live = 0;
		s->missing = 0;
		s->claim = 0;
		for (uint32_t u = 0; u < p->units; u++)
			s->zones[u].member = ZONE_NONE;
		return NULL;
	case SEG_DISK_OPENABLE:
		s->state = SEG_OPENABLE;
		break;
	case SEG_DISK_SEALED:
		s->state = SEG_SEALED;
		break;
	case SEG_DISK_QUARANTINED:
		s->state = SEG_QUARANTINED;
		break;
	default:
		return "an unknown state";
	}
	if (s->live > live_max(p))
		return "an impossible live count";
	if (s->live > 0 && s->state == SEG_QUARANTINED)
		return "live blocks in a quarantined segment";
	if (s->missing >> p->units != 0)
		return "a missing unit that there is not";
	/* The index is smaller than the rows that it lists: one that is not
	 * is not looked at, for it would have to fit into memory. */
	if (s->index_off < p->zone_blocks / 2 - 1)
		s->index_off = 0;
	/* Nobody knows how long ago that was. */
	if (le64_get(e.claim) & SEG_CLAIM_STRAY)
		seg_stray_mark(p, s);
	p->live_total += s->live;
	return entry_zones(p, s, buf + sizeof(e));
}

int seg_page_decode(struct pool *p, uint32_t page, uint32_t nsegments,
		    const uint8_t *buf, const char **ret_why)
{
	uint32_t               per = seg_entries_per_page(p->k, p->m);
	uint32_t               stride = seg_entry_stride(p->k, p->m);
	struct seg_page_header h;
	uint32_t               n;

	memcpy(&h, buf, sizeof(h));
	n = le32_get(h.nentries);
	*ret_why = "it is not a segment page";
	if (memcmp(h.magic, SEG_PAGE_MAGIC, sizeof(h.magic)) != 0 ||
	    le32_get(h.page) != page || !uuid_equal(&h.pool, &p->uuid) ||
	    n != min_u32(per, nsegments - page * per))
		return -EBADMSG;
	for (uint32_t i = 0; i < n; i++) {
		*ret_why = entry_decode(p, 1 + page * per + i,
					buf + sizeof(h) + i * stride);
		if (*ret_why != NULL)
			return -EBADMSG;
	}
	return 0;
}
