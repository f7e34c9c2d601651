/* pool/label.c - see label.h and label_format.h. */
#include "pool/label.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/segment_format.h"

#define CRC_FROM 12u

uint32_t label_slot(uint64_t claim, uint64_t number)
{
	return (uint32_t)(claim % 4) * 2 + (uint32_t)(number % 2);
}

uint32_t label_slot_off_bytes(uint32_t slot)
{
	assert(slot < LABEL_SLOTS);
	return LABEL_FIRST_BLOCK * TARN_BLOCK + slot * LABEL_SLOT_BYTES;
}

static uint32_t extra_stride(uint32_t k, uint32_t m)
{
	return 8 + 8 * (k + m);
}

uint32_t label_bytes(const struct label *l)
{
	return LABEL_MEMBERS_OFF +
	       l->nmembers * (uint32_t)sizeof(struct label_member) +
	       l->nextra * extra_stride(l->k, l->m);
}

static void member_encode(const struct label_member_info *i, uint8_t *buf)
{
	struct label_member m;

	memset(&m, 0, sizeof(m));
	m.uuid = i->uuid;
	m.size_blocks = le64_of(i->size_blocks);
	m.zones = le32_of(i->zones);
	m.state = i->state;
	m.flags = i->flags;
	m.out_row = le64_of(i->out_row);
	m.out_claim = le64_of(i->out_claim);
	memcpy(m.domain, i->domain, sizeof(i->domain));
	memcpy(buf, &m, sizeof(m));
}

static void put_le32(uint8_t *buf, uint32_t v)
{
	le32 w = le32_of(v);

	memcpy(buf, w.b, sizeof(w.b));
}

static uint32_t get_le32(const uint8_t *buf)
{
	le32 w;

	memcpy(w.b, buf, sizeof(w.b));
	return le32_get(w);
}

static void extras_encode(const struct label *l, uint8_t *buf)
{
	for (uint32_t e = 0; e < l->nextra; e++) {
		put_le32(buf, l->extra[e].segment);
		put_le32(buf + 4, l->extra[e].generation);
		for (uint32_t u = 0; u < l->k + l->m; u++) {
			put_le32(buf + 8 + 8 * u, l->extra[e].zones[u].member);
			put_le32(buf + 12 + 8 * u, l->extra[e].zones[u].zone);
		}
		buf += extra_stride(l->k, l->m);
	}
}

static void header_encode_root(const struct label *l, struct label_header *h)
{
	h->root_place = le64_of(l->root_place);
	h->root_blocks = le32_of(l->root_blocks);
	h->root_crc = le32_of(l->root_crc);
	h->root_segment_generation = le32_of(l->root_generation);
	h->root_slice = le32_of(l->root_slice);
	h->commit = le64_of(l->commit);
	h->commit_row = le64_of(l->commit_row);
	for (uint32_t u = 0; u < POOL_UNITS_MAX; u++) {
		h->root_zones[u].member = le32_of(l->root_zones[u].member);
		h->root_zones[u].zone = le32_of(l->root_zones[u].zone);
	}
}

void label_encode(const struct label *l, uint8_t *buf)
{
	struct label_header h;
	uint32_t            bytes = label_bytes(l);
	uint8_t            *p = buf + LABEL_MEMBERS_OFF;

	assert(bytes <= LABEL_SLOT_BYTES);
	memset(buf, 0, LABEL_SLOT_BYTES);
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, LABEL_MAGIC, sizeof(h.magic));
	h.bytes = le32_of(bytes);
	h.version = le32_of(LABEL_VERSION);
	h.slot = le32_of(label_slot(l->claim, l->number));
	h.compat = le64_of(l->compat);
	h.ro_compat = le64_of(l->ro_compat);
	h.incompat = le64_of(l->incompat);
	h.pool = l->pool;
	h.disk = l->disk;
	h.claim = le64_of(l->claim);
	h.claim_id = l->claim_id;
	h.number = le64_of(l->number);
	memcpy(h.name, l->name, sizeof(l->name));
	h.k = le32_of(l->k);
	h.m = le32_of(l->m);
	h.zone_shift = le32_of(l->zone_shift);
	h.row_blocks = le32_of(l->row_blocks);
	h.flags = le32_of(l->flags);
	h.nmembers = le32_of(l->nmembers);
	h.self = le32_of(l->self);
	h.nancestors = le32_of(l->nancestors);
	h.created_s = le64_of(l->created_s);
	h.size_blocks = le64_of(l->size_blocks);
	h.machine = l->machine;
	h.boot = l->boot;
	h.instance = l->instance;
	h.nextra = le32_of(l->nextra);
	h.min_parity = le32_of(l->min_parity);
	for (uint32_t a = 0; a < l->nancestors; a++) {
		h.ancestors[a].claim = le64_of(l->ancestors[a].claim);
		h.ancestors[a].id = l->ancestors[a].id;
	}
	header_encode_root(l, &h);
	for (uint32_t i = 0; i < l->nmembers; i++) {
		member_encode(&l->members[i], p);
		p += sizeof(struct label_member);
	}
	extras_encode(l, p);
	memcpy(buf, &h, sizeof(h));
	h.crc32c = le32_of(crc32c(0, buf + CRC_FROM, bytes - CRC_FROM));
	memcpy(buf + offsetof(struct label_header, crc32c), &h.crc32c,
	       sizeof(h.crc32c));
}

static bool is_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint8_t        any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

/* A name and the zeros behind it.  It goes into messages and JSON. */
static bool name_valid(const char *name, size_t size)
{
	size_t len = strnlen(name, size);

	for (size_t i = 0; i < len; i++) {
		if ((uint8_t)name[i] < ' ' || name[i] == 0x7f)
			return false;
	}
	return len < size && is_zero(name + len, size - len);
}

/* One disk twice in the table would be opened twice. */
static bool uuid_twice(const struct label *l, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++) {
		if (uuid_equal(&l->members[j].uuid, &l->members[i].uuid))
			return true;
	}
	return false;
}

static const char *decode_members(const struct label_header *h,
				  const uint8_t *p, struct label *l)
{
	uint32_t zone_blocks = 1u << l->zone_shift;
	bool     strict = (l->compat | l->ro_compat) == 0;

	for (uint32_t i = 0; i < l->nmembers; i++) {
		struct label_member        m;
		struct label_member_info *o = &l->members[i];

		memcpy(&m, p + i * sizeof(m), sizeof(m));
		o->uuid = m.uuid;
		o->size_blocks = le64_get(m.size_blocks);
		o->zones = le32_get(m.zones);
		o->state = m.state;
		o->flags = m.flags;
		o->out_row = le64_get(m.out_row);
		o->out_claim = le64_get(m.out_claim);
		memcpy(o->domain, m.domain, sizeof(o->domain));
		if (!name_valid(o->domain, sizeof(o->domain)))
			return "member domain";
		if (uuid_twice(l, i))
			return "member twice";
		if (strict && (!is_zero(m.zero0, sizeof(m.zero0)) ||
			       !is_zero(m.zero1, sizeof(m.zero1))))
			return "reserved bytes of a member";
		if (o->state < LABEL_MEMBER_IN ||
		    o->state > LABEL_MEMBER_REMOVED ||
		    (o->state == LABEL_MEMBER_REMOVED && o->zones != 0))
			return "member state";
		if (strict && (o->flags & ~(LABEL_MEMBER_DRAIN |
					    LABEL_MEMBER_REMOVE |
					    LABEL_MEMBER_GONE |
					    LABEL_MEMBER_OFFLINE |
					    LABEL_MEMBER_JOIN)) != 0)
			return "member flags";
		if ((o->flags & LABEL_MEMBER_OFFLINE) != 0 &&
		    o->state != LABEL_MEMBER_OUT)
			return "a member that is offline and not out";
		if ((o->flags & LABEL_MEMBER_JOIN) != 0 &&
		    o->state != LABEL_MEMBER_REMOVED)
			return "member that joins";
		if (o->size_blocks > DISK_BYTES_MAX / TARN_BLOCK ||
		    2 * LABEL_AREA_BLOCKS +
				    (uint64_t)o->zones * zone_blocks >
			    o->size_blocks)
			return "member size";
	}
	if (!uuid_equal(&l->members[l->self].uuid, &h->disk))
		return "self";
	if (l->members[l->self].size_blocks != l->size_blocks)
		return "size of the disk";
	return NULL;
}

static bool zone_valid(const struct label *l, const struct zone_ref *z)
{
	return z->member == ZONE_NONE ||
	       (z->member < l->nmembers &&
		z->zone < l->members[z->member].zones);
}

static const char *decode_extra(const uint8_t *p, struct label *l)
{
	for (uint32_t e = 0; e < l->nextra; e++) {
		l->extra[e].segment = get_le32(p);
		l->extra[e].generation = get_le32(p + 4);
		if (l->extra[e].segment == 0)
			return "extra segment";
		for (uint32_t u = 0; u < l->k + l->m; u++) {
			struct zone_ref *z = &l->extra[e].zones[u];

			z->member = get_le32(p + 8 + 8 * u);
			z->zone = get_le32(p + 12 + 8 * u);
			if (!zone_valid(l, z))
				return "extra zones";
		}
		p += extra_stride(l->k, l->m);
	}
	return NULL;
}

static const char *decode_root(const struct label_header *h, struct label *l)
{
	l->root_place = le64_get(h->root_place);
	l->root_blocks = le32_get(h->root_blocks);
	l->root_crc = le32_get(h->root_crc);
	l->root_generation = le32_get(h->root_segment_generation);
	l->root_slice = le32_get(h->root_slice);
	l->commit = le64_get(h->commit);
	l->commit_row = le64_get(h->commit_row);
	if (l->root_blocks > ROW_PAYLOAD_MAX || l->root_place >> PLACE_BITS)
		return "root";
	if (l->commit > POOL_NUMBER_MAX || l->commit_row > POOL_NUMBER_MAX)
		return "commit";
	if (l->root_blocks == 0)
		return NULL;
	if (l->root_slice != div_up(l->root_blocks, l->k))
		return "root slice";
	for (uint32_t u = 0; u < l->k + l->m; u++) {
		l->root_zones[u].member = le32_get(h->root_zones[u].member);
		l->root_zones[u].zone = le32_get(h->root_zones[u].zone);
		if (!zone_valid(l, &l->root_zones[u]))
			return "root zones";
	}
	return NULL;
}

static void decode_plain(const struct label_header *h, struct label *l)
{
	l->compat = le64_get(h->compat);
	l->ro_compat = le64_get(h->ro_compat);
	l->incompat = le64_get(h->incompat);
	l->pool = h->pool;
	l->disk = h->disk;
	l->claim = le64_get(h->claim);
	l->claim_id = h->claim_id;
	l->number = le64_get(h->number);
	memcpy(l->name, h->name, sizeof(l->name));
	l->k = le32_get(h->k);
	l->m = le32_get(h->m);
	l->zone_shift = le32_get(h->zone_shift);
	l->row_blocks = le32_get(h->row_blocks);
	l->flags = le32_get(h->flags);
	l->nmembers = le32_get(h->nmembers);
	l->self = le32_get(h->self);
	l->nancestors = le32_get(h->nancestors);
	l->created_s = le64_get(h->created_s);
	l->size_blocks = le64_get(h->size_blocks);
	l->machine = h->machine;
	l->boot = h->boot;
	l->instance = h->instance;
	l->nextra = le32_get(h->nextra);
	l->min_parity = le32_get(h->min_parity);
}

/* Everything whose range other decoding relies on. */
static const char *plain_problem(const struct label *l)
{
	if (!name_valid(l->name, sizeof(l->name)))
		return "name";
	if (l->claim > POOL_NUMBER_MAX || l->number > POOL_NUMBER_MAX)
		return "numbers";
	if (l->k < 1 || l->k > POOL_K_MAX || l->m > POOL_M_MAX)
		return "redundancy";
	if (l->min_parity > l->m)
		return "min_parity";
	if (l->zone_shift < ZONE_SHIFT_MIN || l->zone_shift > ZONE_SHIFT_MAX)
		return "zone_shift";
	if (l->row_blocks < 1 || l->row_blocks > ROW_PAYLOAD_MAX)
		return "row_blocks";
	if (l->nmembers < 1 || l->nmembers > POOL_MEMBERS_MAX ||
	    l->self >= l->nmembers)
		return "members";
	if (l->nancestors > LABEL_ANCESTORS)
		return "ancestors";
	if (l->nextra > LABEL_EXTRA_MAX)
		return "extra";
	return NULL;
}

/* Features that may be ignored would be in the reserved bytes. */
static bool reserved_zero(const struct label_header *h)
{
	return (le64_get(h->compat) | le64_get(h->ro_compat)) != 0 ||
	       (le64_get(h->zero2) == 0 &&
		is_zero(h->zero0, sizeof(h->zero0)) &&
		is_zero(h->zero1, sizeof(h->zero1)));
}

int label_validate(const uint8_t *buf, uint32_t slot, struct label *ret_label,
		   const char **ret_why)
{
	struct label_header h;
	uint32_t            bytes;
	const char         *why;
	const uint8_t      *p = buf + LABEL_MEMBERS_OFF;

	memcpy(&h, buf, sizeof(h));
	*ret_why = "magic";
	if (memcmp(h.magic, LABEL_MAGIC, sizeof(h.magic)) != 0)
		return -ENODATA;
	bytes = le32_get(h.bytes);
	*ret_why = "length";
	if (bytes < LABEL_MEMBERS_OFF || bytes > LABEL_SLOT_BYTES)
		return -EBADMSG;
	*ret_why = "crc32c";
	if (crc32c(0, buf + CRC_FROM, bytes - CRC_FROM) != le32_get(h.crc32c))
		return -EBADMSG;
	memset(ret_label, 0, sizeof(*ret_label));
	decode_plain(&h, ret_label);
	*ret_why = "a newer format version or feature";
	if (le32_get(h.version) != LABEL_VERSION ||
	    (ret_label->incompat & ~LABEL_INCOMPAT_KNOWN) != 0) {
		ret_label->name[POOL_NAME_MAX] = '\0';
		return -ENOTSUP;
	}
	why = plain_problem(ret_label);
	if (why == NULL && !reserved_zero(&h))
		why = "reserved bytes";
	if (why == NULL && (le32_get(h.slot) != slot ||
			    slot != label_slot(ret_label->claim,
					       ret_label->number)))
		why = "slot";
	if (why == NULL && label_bytes(ret_label) != bytes)
		why = "length of lists";
	if (why == NULL)
		why = decode_members(&h, p, ret_label);
	if (why == NULL)
		why = decode_root(&h, ret_label);
	if (why == NULL)
		why = decode_extra(p + ret_label->nmembers *
					       sizeof(struct label_member),
				   ret_label);
	for (uint32_t a = 0; why == NULL && a < ret_label->nancestors; a++) {
		ret_label->ancestors[a].claim = le64_get(h.ancestors[a].claim);
		ret_label->ancestors[a].id = h.ancestors[a].id;
	}
	*ret_why = why;
	return why == NULL ? 0 : -EBADMSG;
}

int label_compare(const struct label *a, const struct label *b)
{
	if (a->claim != b->claim)
		return a->claim < b->claim ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

int label_newest(const uint8_t *head, const uint8_t *tail,
		 struct label **ret_label, unsigned *ret_damaged,
		 const char **ret_why)
{
	const uint8_t *areas[2] = {head, tail};
	struct label  *best = NULL;
	struct label  *l = malloc(sizeof(*l));
	int            res = -ENODATA;

	if (l == NULL)
		return -ENOMEM;
	*ret_damaged = 0;
	*ret_why = "no label";
	for (unsigned i = 0; i < 2 * LABEL_SLOTS; i++) {
		const uint8_t *area = areas[i / LABEL_SLOTS];
		uint32_t       slot = i % LABEL_SLOTS;
		const char    *why;
		int            r;

		if (area == NULL)
			continue;
		r = label_validate(area + label_slot_off_bytes(slot), slot, l,
				   &why);
		if (r == -EBADMSG)
			(*ret_damaged)++;
		if (r == -ENODATA)
			continue;
		/* A label of a newer version decides: nothing older on this
		 * disk may be used. */
		if (r < 0 && res != -ENOTSUP && best == NULL) {
			res = r;
			*ret_why = why;
		}
		if (r == -ENOTSUP) {
			res = r;
			*ret_why = why;
		}
		if (r == 0 && (best == NULL || label_compare(l, best) > 0)) {
			struct label *t = best != NULL ? best
						       : malloc(sizeof(*t));

			if (t == NULL) {
				free(l);
				return -ENOMEM;
			}
			best = l;
			l = t;
		}
	}
	free(l);
	if (best != NULL && res != -ENOTSUP) {
		*ret_label = best;
		*ret_why = NULL;
		return 0;
	}
	free(best);
	return res;
}

bool label_has_ancestor(const struct label *l, uint64_t claim,
			const struct uuid *id)
{
	if (l->claim == claim)
		return uuid_equal(&l->claim_id, id);
	/* Two that tried at once have the same number. */
	for (uint32_t a = 0; a < l->nancestors; a++) {
		if (l->ancestors[a].claim == claim &&
		    uuid_equal(&l->ancestors[a].id, id))
			return true;
	}
	/* Older than all that is remembered: the list is newest first, and
	 * a claim of that age cannot have diverged unseen. */
	return l->nancestors == LABEL_ANCESTORS &&
	       claim < l->ancestors[LABEL_ANCESTORS - 1].claim;
}

void lease_encode(const struct lease *l, uint8_t *buf)
{
	struct lease_slot s;

	memset(&s, 0, sizeof(s));
	memcpy(s.magic, LEASE_MAGIC, sizeof(s.magic));
	s.version = le32_of(LABEL_VERSION);
	s.pool = l->pool;
	s.disk = l->disk;
	s.claim = le64_of(l->claim);
	s.claim_id = l->claim_id;
	s.beat = le64_of(l->beat);
	s.machine = l->machine;
	s.boot = l->boot;
	s.instance = l->instance;
	s.state = le32_of(l->state);
	memcpy(buf, &s, sizeof(s));
	s.crc32c = le32_of(crc32c(0, buf + CRC_FROM, TARN_BLOCK - CRC_FROM));
	memcpy(buf + offsetof(struct lease_slot, crc32c), &s.crc32c,
	       sizeof(s.crc32c));
}

int lease_validate(const uint8_t *buf, struct lease *ret_lease)
{
	struct lease_slot s;

	memcpy(&s, buf, sizeof(s));
	if (memcmp(s.magic, LEASE_MAGIC, sizeof(s.magic)) != 0)
		return -ENODATA;
	if (le32_get(s.version) != LABEL_VERSION ||
	    le64_get(s.claim) > POOL_NUMBER_MAX ||
	    crc32c(0, buf + CRC_FROM, TARN_BLOCK - CRC_FROM) !=
		    le32_get(s.crc32c))
		return -EBADMSG;
	ret_lease->pool = s.pool;
	ret_lease->disk = s.disk;
	ret_lease->claim = le64_get(s.claim);
	ret_lease->claim_id = s.claim_id;
	ret_lease->beat = le64_get(s.beat);
	ret_lease->machine = s.machine;
	ret_lease->boot = s.boot;
	ret_lease->instance = s.instance;
	ret_lease->state = le32_get(s.state);
	return 0;
}

void label_summarize(const void *head, const void *tail,
		     struct label_summary *ret_sum)
{
	struct label *l = NULL;
	unsigned      damaged = 0;
	const char   *why = "";
	int           r = label_newest(head, tail, &l, &damaged, &why);

	memset(ret_sum, 0, sizeof(*ret_sum));
	ret_sum->damaged = damaged > 0;
	if (r == -ENODATA || r == -ENOMEM) {
		ret_sum->error = r == -ENOMEM ? r : 0;
		return;
	}
	ret_sum->is_tarn = true;
	ret_sum->error = r;
	if (r < 0) {
		if (r == -ENOTSUP)
			snprintf(ret_sum->error_text,
				 sizeof(ret_sum->error_text),
				 "its label has %s than this program knows; "
				 "use a newer tarn",
				 why);
		else
			snprintf(ret_sum->error_text,
				 sizeof(ret_sum->error_text),
				 "all of its labels are damaged (%s)", why);
		return;
	}
	ret_sum->pool = l->pool;
	ret_sum->disk = l->disk;
	memcpy(ret_sum->pool_name, l->name, sizeof(l->name));
	ret_sum->k = l->k;
	ret_sum->m = l->m;
	ret_sum->nmembers = l->nmembers;
	ret_sum->claim = l->claim;
	ret_sum->commit_no = l->commit;
	ret_sum->size_bytes = blocks_to_bytes(l->size_blocks);
	ret_sum->clean = (l->flags & LABEL_FLAG_RELEASED) != 0;
	free(l);
}
