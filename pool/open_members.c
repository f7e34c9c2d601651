/* pool/open_members.c - what pool the labels describe, and whether enough of
 * it is here.
 *
 * The newest label says how the pool is made and who is a member; each disk is
 * compared with it and becomes that member, or is refused.  Then the domains
 * are counted: so many must be here that the others could not be opened
 * elsewhere without them, and that what is missing can be reconstructed.
 *
 * The ways to fail: a disk is refused, with the reason, and counts as missing;
 * -EAGAIN when too many do; no memory.
 */
#include <errno.h>
#include <string.h>

#include "pool/open.h"

/* --- members ------------------------------------------------------------- */

void open_refuse(struct opener *o, struct open_disk *d, const char *why)
{
	struct member *m = d->member;

	d->refused = true;
	/* At the second reading: it is the member's no more, and is closed when
	 * the pool is open. */
	if (m != NULL && m->disk == d->disk) {
		m->disk = NULL;
		m->state = MEMBER_FAULTED;
		snprintf(m->why, sizeof(m->why), "%s", why);
	}
	pool_log(o->pool, "disk %s is refused: %s", d->disk->place, why);
	if (o->error[0] == '\0')
		snprintf(o->error, sizeof(o->error),
			 "disk %.200s is refused: %.280s", d->disk->place, why);
}

/* --- one identity, two places --------------------------------------------- */

/* Either one disk that can be reached by two ways (two spellings of a place,
 * the default export and its name, two networks), or a copy of a disk.  A copy
 * is never used, and nor is what it was copied from, since nobody can tell which
 * is which.  To tell ways from copies one has to write by one and read by the
 * other; our slot of the lease area is written anyway. */

static void refuse_twins(struct opener *o, struct open_disk *a,
			 struct open_disk *b)
{
	struct open_disk *both[] = { a, b };

	for (unsigned i = 0; i < 2; i++) {
		char why[280];

		snprintf(why, sizeof(why),
			 "disk %.200s carries the same identity; detach one of "
			 "the two",
			 both[1 - i]->disk->place);
		if (!both[i]->refused)
			open_refuse(o, both[i], why);
	}
}

/* May they be one?  Who opens read-only writes nothing, and cannot find out;
 * but of a pool that was closed cleanly nothing is younger than its label, so that
 * either is as good. */
static bool may_be_one(const struct opener *o, const struct open_disk *a,
		       const struct open_disk *b)
{
	if (o->read_only && (a->label->flags & LABEL_FLAG_RELEASED) == 0)
		return false;
	return a->disk->size_bytes == b->disk->size_bytes &&
	       label_compare(a->label, b->label) == 0 &&
	       uuid_equal(&a->label->claim_id, &b->label->claim_id);
}

void open_duplicates_part(struct opener *o)
{
	for (unsigned i = 0; i < o->ndisks; i++) {
		for (unsigned j = i + 1; j < o->ndisks; j++) {
			struct open_disk *a = &o->disks[i], *b = &o->disks[j];

			if (a->label == NULL || b->label == NULL ||
			    !uuid_equal(&a->label->disk, &b->label->disk))
				continue;
			if (!may_be_one(o, a, b))
				refuse_twins(o, a, b);
			else if (a->twin == NULL && b->twin == NULL)
				b->twin = a;
		}
	}
}

/* Is our claim in the lease area that was read from there? */
static bool shows_claim(const struct pool *p, const struct open_disk *d)
{
	struct lease l;

	for (uint32_t s = 0; s < LEASE_SLOTS && d->read_ok[0]; s++) {
		if (lease_validate(d->area[0] + s * TARN_BLOCK, &l) == 0 &&
		    uuid_equal(&l.pool, &p->uuid) && l.claim == p->claim &&
		    uuid_equal(&l.claim_id, &p->claim_id))
			return true;
	}
	return false;
}

bool open_duplicates_judge(struct opener *o)
{
	bool refused = false;

	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];

		if (d->twin == NULL)
			continue;
		if (d->twin->member != NULL)
			d->twin->member->two_ways = false;
		if (!d->refused && !d->twin->refused &&
		    shows_claim(o->pool, d)) {
			pool_log(o->pool, "disk %s is also at %s",
				 d->twin->disk->place, d->disk->place);
			d->refused = true;
			continue;
		}
		refuse_twins(o, d->twin, d);
		refused = true;
	}
	return !refused || open_rule_satisfied(o);
}

/* --- which label counts -------------------------------------------------- */

void open_newest_choose(struct opener *o)
{
	o->newest = NULL;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct label *l = o->disks[i].label;

		if (l != NULL && (o->newest == NULL ||
				  label_compare(l, o->newest) > 0))
			o->newest = l;
	}
}

/* Blocks that it has by the pool's newest label, with which it may differ. */
static uint64_t member_blocks(const struct label *newest,
			      const struct label *l)
{
	for (uint32_t i = 0; i < newest->nmembers; i++) {
		if (uuid_equal(&newest->members[i].uuid, &l->disk))
			return newest->members[i].size_blocks;
	}
	return 0;
}

void open_disk_check(struct opener *o, struct open_disk *d)
{
	const struct label *l = d->label;
	const struct label *n = o->newest;

	if (d->refused || l == NULL)
		return;
	if (d->disk->size_bytes < blocks_to_bytes(l->size_blocks) ||
	    d->disk->size_bytes < blocks_to_bytes(member_blocks(n, l)))
		open_refuse(o, d, "it is smaller than its label says");
	else if (d->disk->read_only && !o->read_only)
		open_refuse(o, d, "it is read-only");
	else if (!label_has_ancestor(n, l->claim, &l->claim_id))
		open_refuse(o, d, "it was changed under another claim and has "
			    "diverged from the other disks");
	else if ((l->ro_compat & ~LABEL_RO_COMPAT_KNOWN) != 0 && !o->read_only)
		open_refuse(o, d, "it has features that this program can only "
			    "read; import the pool with --read-only");
}

int open_identity_take(struct opener *o)
{
	struct pool        *p = o->pool;
	const struct label *l = o->newest;
	int                 r;

	memcpy(p->name, l->name, sizeof(p->name));
	p->uuid = l->pool;
	p->k = l->k;
	p->m = l->m;
	p->zone_shift = l->zone_shift;
	p->row_blocks_max = l->row_blocks;
	p->flags = l->flags & ~(LABEL_FLAG_RELEASED);
	p->created_s = l->created_s;
	p->min_parity = l->min_parity;
	p->last.root_place = l->root_place;
	p->last.root_blocks = l->root_blocks;
	p->last.root_crc = l->root_crc;
	p->last.root_generation = l->root_generation;
	p->last.root_slice = l->root_slice;
	p->last.commit = l->commit;
	p->last.row = l->commit_row;
	memcpy(p->last.root_zones, l->root_zones, sizeof(l->root_zones));
	p->last_claim = l->claim;
	p->nextra = l->nextra;
	memcpy(p->extra, l->extra, sizeof(p->extra));
	p->nancestors = 1;
	p->ancestors[0].claim = l->claim;
	p->ancestors[0].id = l->claim_id;
	for (uint32_t a = 0;
	     a < l->nancestors && p->nancestors < LABEL_ANCESTORS; a++)
		p->ancestors[p->nancestors++] = l->ancestors[a];
	r = pool_setup(p);
	for (uint32_t i = 0; r == 0 && i < l->nmembers; i++) {
		r = member_new(p, i, &l->members[i], &p->members[i]);
		if (r == 0)
			p->nmembers++;
	}
	members_domains(p);
	return r;
}

/* Its own label says that it was being added, so the last label of that, which
 * is the one on it, was not written: nothing is on it, and nobody was told that
 * it is a member, whatever others say.  Why it does not count:
 * membership_change.c. */
static bool has_not_joined(const struct label *l)
{
	return (l->members[l->self].flags & LABEL_MEMBER_JOIN) != 0;
}

static const char *removed_why(const struct label *l)
{
	return has_not_joined(l) ? "it was not yet a disk of the pool when "
				   "adding it was cut off: add it again"
				 : "it was removed from the pool";
}

static void drop_member(struct member *m)
{
	m->removed = true;
	m->in = false;
	m->state = MEMBER_REMOVED;
	m->flags = 0;
	m->zones = 0;
}

void open_disks_attach(struct opener *o)
{
	struct pool *p = o->pool;

	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];

		for (uint32_t n = 0; n < p->nmembers && d->label != NULL; n++) {
			struct member *m = p->members[n];

			if (!uuid_equal(&m->uuid, &d->label->disk) ||
			    d->twin != NULL)
				continue;
			if (m->in && has_not_joined(d->label))
				drop_member(m);
			if (m->removed) {
				if (!d->refused)
					open_refuse(o, d,
						    removed_why(d->label));
				continue;
			}
			d->member = m;
			if (d->refused) {
				m->state = MEMBER_FAULTED;
				snprintf(m->why, sizeof(m->why), "%s",
					 "it was refused when the pool was "
					 "opened");
				continue;
			}
			member_attach(m, d->disk);
			m->epoch = d->disk->epoch;
			m->up_since_ns = io_now_ns(p->io);
			m->state = MEMBER_ONLINE;
			if (!member_is_offline(m) || o->read_only)
				continue;
			m->state = MEMBER_OUT;
			snprintf(m->why, sizeof(m->why), "%s",
				 "it was taken offline");
		}
	}
	members_domains(p);
	for (unsigned i = 0; i < o->ndisks; i++) {
		const struct open_disk *a = o->disks[i].twin;

		if (a != NULL && a->member != NULL)
			a->member->two_ways = true;
	}
}

/* --- the opening rule ---------------------------------------------------- */

struct domain_count {
	uint32_t in;      /* domains that are in by the newest label */
	uint32_t present; /* … all of whose members that are in are here */
	uint32_t missing; /* domains with zones, without a member that is in and
			   * here */
	char     names[300];
};

/* Where every disk is a domain, its name is a UUID, and people want to know
 * where to look: the label knows the host that it was on. */
static int domain_say(const struct pool *p, uint32_t domain, char *buf,
		      size_t size)
{
	const char *name = p->domains[domain].name;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->domain == domain && m->domain_name[0] != '\0' &&
		    (p->flags & LABEL_FLAG_DOMAIN_DISK) != 0)
			return snprintf(buf, size, "disk %s on %s", name,
					m->domain_name);
	}
	return snprintf(buf, size, "%s", name);
}

static void count_domains(const struct pool *p, struct domain_count *c)
{
	size_t len = 0;

	memset(c, 0, sizeof(*c));
	for (uint32_t d = 0; d < p->nvoters; d++) {
		bool in = false, here = true;

		for (uint32_t i = 0; i < p->nmembers; i++) {
			const struct member *m = p->members[i];

			if (m->domain != d)
				continue;
			in |= m->in;
			here &= m->in && m->state == MEMBER_ONLINE;
		}
		c->in += in;
		c->present += in && here;
		c->missing += !here && d < p->ndomains;
		if (in && !here && len < sizeof(c->names) - 120) {
			if (len > 0)
				len += (size_t)snprintf(c->names + len, 3,
							", ");
			len += (size_t)domain_say(p, d, c->names + len,
						  sizeof(c->names) - len);
		}
	}
}

bool open_rule_satisfied(struct opener *o)
{
	struct pool        *p = o->pool;
	struct domain_count c;
	char                refused[sizeof(o->error)];
	uint32_t            r;

	count_domains(p, &c);
	r = min_u32((c.in + 1) / 2, c.in > p->m ? c.in - p->m : 0);
	r = max_u32(r, 1);
	if (o->read_only || o->force) {
		if (c.missing > 0)
			pool_log(p, "%u of %u domains are missing: %s",
				 c.missing, p->ndomains, c.names);
		return true;
	}
	if (c.present > c.in - r && c.missing <= p->m)
		return true;
	snprintf(refused, sizeof(refused), "%s", o->error);
	open_fail(o, -EAGAIN,
		  "pool %s is missing too many disks to be opened safely (%s): "
		  "bring them back, or import it with --read-only, or with "
		  "--force if they are lost for ever%s%s",
		  p->name, c.names[0] != '\0' ? c.names : "too few domains",
		  refused[0] != '\0' ? "; " : "", refused);
	return false;
}
