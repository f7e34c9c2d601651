/* pool/membership.c - which disks count, and for what.
 *
 * A disk is `in` when segments are composed of its zones and rows are written
 * to it.  What the labels say of it is another matter when it comes back:
 *
 *   OUT --back--> in and lacking --label of a commit that has all--> in
 *   labels: out        out                                           in
 *
 * A disk that comes back lacks rows of the time when it was out.  Until a
 * commit has them, they are part of the log that a recovery reads, and the
 * segment table on the disks does not say that they are not whole.  So the
 * labels go on saying that it is out.  What that prevents:
 *
 *   1. 2+1, disks A, B and C.  C goes out, row 7 is written to A and B, flushed
 *      and acknowledged; no later row says that it is flushed.
 *   2. C comes back, and a label says that it is in.
 *   3. Before the commit that says what C lacks is done, the server dies, and
 *      A is lost.
 *   4. By the label one domain of three is missing, which is allowed: the pool
 *      is opened with B and C.  There is one unit of row 7 only, so the log
 *      ends at row 6, silently.
 *
 * The rule: of a row that the newest commit does not hold, no more units are
 * lacking than there are domains that the labels call out.  A lacking member is
 * therefore recorded in by the label
 *  - that shows a commit with all rows up to lacks_row, the last that had got
 *    its place when the member came back (at opening: the end of the log);
 *  - while no row can be placed that would lack a unit for it all the same.
 *    Segments that were composed with too few domains have absent units, and
 *    commits have to write to them for a while although the domains are back.
 *    A row in one that has more absent units than there are domains out,
 *    besides those that it is on, raises lacks_row; and while there are such
 *    segments that may be written to, no lacking member is recorded in.
 *
 * Meanwhile a lacking member counts as lost: another may not go out in its
 * stead, and its answer alone holds no lease (owner.c), for somebody else can
 * open the pool without it.  If it fails again, it is out since the same row as
 * before, for it is not known what it has of that time.
 *
 * The way to fail: there is no room for whole segments, and those with absent
 * units have to be kept for commits.  Then the pool stays degraded.
 */
#include "base/canary.h"
#include "pool/core.h"

/* --- domains ------------------------------------------------------------- */

bool domain_in(const struct pool *p, uint32_t domain)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->domain == domain && p->members[i]->in)
			return true;
	}
	return false;
}

/* A domain of which some disks stay, and others are drained, lacks none: while
 * those that stay do not answer, segments are not composed without it. */
bool domain_lacks_disk(const struct pool *p, uint32_t domain)
{
	bool stays = false, drains = false;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->domain != domain)
			continue;
		if (!m->in)
			return true;
		stays |= !member_drains(m);
		drains |= member_drains(m);
	}
	return drains && !stays;
}

static uint32_t domains_without(const struct pool *p, bool lacking)
{
	uint32_t lost = 0;

	for (uint32_t d = 0; d < p->ndomains; d++) {
		bool bad = false;

		for (uint32_t i = 0; i < p->nmembers; i++) {
			const struct member *m = p->members[i];

			if (m->domain != d)
				continue;
			/* What is out and to be removed is not waited for. */
			if (!lacking && !m->in &&
			    (m->flags & LABEL_MEMBER_REMOVE) != 0)
				continue;
			bad |= !m->in || m->going_out ||
			       m->state != MEMBER_ONLINE ||
			       (lacking && m->lacking);
		}
		lost += bad;
	}
	return lost;
}

uint32_t pool_domains_away(const struct pool *p)
{
	return domains_without(p, false);
}

uint32_t pool_domains_lost(const struct pool *p)
{
	return domains_without(p, true);
}

bool member_out_allowed(const struct pool *p, const struct member *out)
{
	uint32_t lost = 0, whole = 0, in = 0, need;

	for (uint32_t d = 0; d < p->nvoters; d++) {
		bool bad = false, any_in = false;

		for (uint32_t i = 0; i < p->nmembers; i++) {
			const struct member *m = p->members[i];

			if (m->domain != d)
				continue;
			any_in |= m->in && !m->lacking;
			bad |= !m->in || m->lacking || m->going_out || m == out;
		}
		lost += bad && d < p->ndomains;
		whole += !bad;
		in += any_in;
	}
	/* design, section 5, Opening: r = max(1, min(ceil(n/2), n - m)) */
	need = min_u32((in + 1) / 2, in > p->m ? in - p->m : 0);
	need = max_u32(need, 1);
	return lost <= p->m - p->min_parity && whole >= need;
}

/* --- lacking members ----------------------------------------------------- */

static bool any_lacking(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->lacking)
			return true;
	}
	return false;
}

/* Does a row in s lack more than the labels say, if they call just these
 * domains out? */
static bool seg_is_short(const struct pool *p, const struct segment *s,
			 const bool *out)
{
	bool     on[DOMAINS_MAX] = {false};
	uint32_t absent = 0, allowed = 0;

	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		absent += m == NULL;
		if (m != NULL)
			on[m->domain] = true;
	}
	for (uint32_t d = 0; d < p->ndomains; d++)
		allowed += out[d] && !on[d];
	return absent > allowed;
}

/* The rows of the time when it was out are no longer part of the log. */
static bool lack_is_covered(const struct pool *p, const struct member *m,
			    const struct commit_ref *c)
{
	/* After a clean close there is no log. */
	return c->row >= m->lacks_row || (p->flags & LABEL_FLAG_RELEASED) != 0;
}

static bool may_be_placed_in(const struct segment *s)
{
	return s->state == SEG_NEXT || s->state == SEG_OPENABLE ||
	       s->state == SEG_OPEN;
}

/* Can more be placed that would lack too much, if the labels called only those
 * out that are out, or that c does not cover? */
static bool lacks_go_on(const struct pool *p, const struct commit_ref *c)
{
	bool out[DOMAINS_MAX] = {false};

	if ((p->flags & LABEL_FLAG_RELEASED) != 0 || CANARY(absent_ignored))
		return false;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		out[m->domain] |= !m->in || m->going_out ||
				  (m->lacking && !lack_is_covered(p, m, c));
	}
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if (s->missing != 0 && may_be_placed_in(s) &&
		    seg_is_short(p, s, out))
			return true;
	}
	return false;
}

/* Without it the labels call one domain less out: see the rule above.  So until
 * a commit has all rows that lack a unit for it, and no more can be placed, it
 * stays. */
bool member_may_be_forgotten(struct pool *p, struct member *m)
{
	bool out[DOMAINS_MAX] = {false};

	if (m->in)
		return true;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *o = p->members[i];

		out[o->domain] |= o != m && (!o->in || o->going_out);
	}
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if (s->missing != 0 && may_be_placed_in(s) &&
		    seg_is_short(p, s, out)) {
			m->forget_row = 0;
			return false;
		}
	}
	if (m->forget_row == 0)
		m->forget_row = p->next_row;
	return p->last.row >= m->forget_row - 1;
}

void members_recorded(const struct pool *p, const struct commit_ref *c,
		      bool *ret_in)
{
	bool on = any_lacking(p) && lacks_go_on(p, c);

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		ret_in[i] = (m->in || m->joining) && !m->going_out &&
			    (!m->lacking ||
			     (lack_is_covered(p, m, c) && !on));
		if (CANARY(offline_untold) && member_is_offline(m))
			ret_in[i] = true;
		if (CANARY(in_too_early))
			ret_in[i] = (m->in || m->coming_in) && !m->going_out;
	}
}

void member_lacks(struct member *m, uint64_t row)
{
	m->lacking = true;
	m->lacks_row = row;
}

void members_lack_placed(struct pool *p, const struct row *row)
{
	bool out[DOMAINS_MAX] = {false};

	if (row->seg->missing == 0 || !any_lacking(p))
		return;
	for (uint32_t i = 0; i < p->nmembers; i++)
		out[p->members[i]->domain] |= !p->members[i]->in;
	if (!seg_is_short(p, row->seg, out) || CANARY(absent_ignored))
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->lacking)
			p->members[i]->lacks_row = row->no;
	}
}

bool members_lack_labelled(struct pool *p, const struct label *l)
{
	bool any = false;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (!m->lacking || l->members[i].state != LABEL_MEMBER_IN)
			continue;
		m->lacking = false;
		any = true;
	}
	return any;
}

bool commit_ends_lack(const struct pool *p)
{
	struct commit_ref next = {.row = POOL_NUMBER_MAX};

	return any_lacking(p) && !lacks_go_on(p, &next);
}
