/* tools/check/check_label_decode.c - from a label slot's bytes to a label.
 *
 * Pure.  Written after pool/label_format.h alone.  Every count is bounded
 * before it is used, every field that has a range is checked against it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

static struct ck_zone zone_get(const le32 *member, const le32 *zone)
{
	return (struct ck_zone){ .member = le32_get(*member),
				 .zone = le32_get(*zone) };
}

static bool all_zero(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len > 0 && *p == 0) {
		p++;
		len--;
	}
	return len == 0;
}

/* Ends, has no control characters, and zeros behind it. */
static bool name_ok(const char *name, size_t size)
{
	size_t i = 0;

	for (; i < size && name[i] != '\0'; i++) {
		if ((unsigned char)name[i] < 32 || name[i] == 127)
			return false;
	}
	return i < size && all_zero(name + i, size - i);
}

/* Bytes that mean nothing as long as there are no features. */
static bool reserved_ok(const struct label_header *h)
{
	const struct label_member *m = (const struct label_member *)(h + 1);

	if (le64_get(h->compat) != 0 || le64_get(h->ro_compat) != 0)
		return true;
	for (uint32_t i = 0; i < le32_get(h->nmembers); i++) {
		if (!all_zero(m[i].zero0, sizeof(m[i].zero0)) ||
		    !all_zero(m[i].zero1, sizeof(m[i].zero1)))
			return false;
	}
	return le64_get(h->zero2) == 0 &&
	       all_zero(h->zero0, sizeof(h->zero0)) &&
	       all_zero(h->zero1, sizeof(h->zero1));
}

static const char *numbers_problem(const struct label_header *h)
{
	if (le64_get(h->claim) > POOL_NUMBER_MAX ||
	    le64_get(h->number) > POOL_NUMBER_MAX ||
	    le64_get(h->commit) > POOL_NUMBER_MAX ||
	    le64_get(h->commit_row) > POOL_NUMBER_MAX)
		return "a number is out of range";
	return NULL;
}

static const char *header_problem(const struct label_header *h, uint32_t slot)
{
	uint32_t bytes = le32_get(h->bytes);
	uint64_t nr = le64_get(h->number);
	uint32_t k = le32_get(h->k), m = le32_get(h->m);
	uint32_t shift = le32_get(h->zone_shift);

	if (le32_get(h->slot) != slot)
		return "it belongs into another slot";
	if (le64_get(h->claim) % 4 * 2 + nr % 2 != slot)
		return "its claim and number belong into another slot";
	if (k < 1 || k > POOL_K_MAX || m > POOL_M_MAX)
		return "k+m is out of range";
	if (shift < ZONE_SHIFT_MIN || shift > ZONE_SHIFT_MAX)
		return "the zone size is out of range";
	if (le32_get(h->row_blocks) < 1 ||
	    le32_get(h->row_blocks) > ROW_PAYLOAD_MAX)
		return "the row size is out of range";
	if (le32_get(h->min_parity) > m)
		return "min_parity is more than m";
	if (le32_get(h->nmembers) < 1 ||
	    le32_get(h->nmembers) > POOL_MEMBERS_MAX)
		return "the number of members is out of range";
	if (le32_get(h->self) >= le32_get(h->nmembers))
		return "this disk is not in the member table";
	if (le32_get(h->nancestors) > LABEL_ANCESTORS)
		return "too many ancestors";
	if (le32_get(h->nextra) > LABEL_EXTRA_MAX)
		return "too many extra segments";
	if (LABEL_MEMBERS_OFF +
		    le32_get(h->nmembers) * sizeof(struct label_member) +
		    le32_get(h->nextra) * 8ull * (1 + k + m) !=
	    bytes)
		return "its length is not that of its tables";
	if (!name_ok(h->name, sizeof(h->name)))
		return "the pool's name is no name";
	if (!reserved_ok(h))
		return "reserved bytes are not zero";
	if (le32_get(h->root_blocks) > ROW_PAYLOAD_MAX ||
	    le64_get(h->root_place) >> PLACE_BITS != 0)
		return "the root is out of range";
	if (le32_get(h->root_blocks) > 0 &&
	    le32_get(h->root_slice) != div_up(le32_get(h->root_blocks), k))
		return "the root's slice does not fit its blocks";
	if (le64_get(h->size_blocks) > DISK_BYTES_MAX / TARN_BLOCK ||
	    le64_get(h->size_blocks) < 2 * LABEL_AREA_BLOCKS)
		return "the size of the disk is out of range";
	return numbers_problem(h);
}

static const char *member_decode(const struct label_member *m, uint32_t shift,
				 struct ck_member *ret)
{
	ret->uuid = m->uuid;
	ret->size_blocks = le64_get(m->size_blocks);
	ret->zones = le32_get(m->zones);
	ret->state = m->state;
	ret->flags = m->flags;
	ret->out_row = le64_get(m->out_row);
	ret->out_claim = le64_get(m->out_claim);
	ret->disk = CK_NO_DISK;
	memcpy(ret->domain, m->domain, sizeof(m->domain));
	if (!name_ok(m->domain, sizeof(m->domain)))
		return "a domain's name is no name";
	if (m->state != LABEL_MEMBER_IN && m->state != LABEL_MEMBER_OUT &&
	    m->state != LABEL_MEMBER_REMOVED)
		return "a member's state is unknown";
	if (m->state == LABEL_MEMBER_REMOVED && ret->zones != 0)
		return "a disk that was removed has zones";
	if ((m->flags & LABEL_MEMBER_OFFLINE) != 0 &&
	    m->state != LABEL_MEMBER_OUT)
		return "a disk that is offline is not recorded out";
	if ((m->flags & LABEL_MEMBER_JOIN) != 0 &&
	    m->state != LABEL_MEMBER_REMOVED)
		return "a disk that is being added is a member";
	if (ret->size_blocks > DISK_BYTES_MAX / TARN_BLOCK ||
	    2ull * LABEL_AREA_BLOCKS + ((uint64_t)ret->zones << shift) >
		    ret->size_blocks)
		return "a member has more zones than fit on it";
	return NULL;
}

static void header_decode(const struct label_header *h, struct ck_label *l)
{
	l->compat = le64_get(h->compat);
	l->ro_compat = le64_get(h->ro_compat);
	l->incompat = le64_get(h->incompat);
	l->pool = h->pool;
	l->disk = h->disk;
	l->claim.no = le64_get(h->claim);
	l->claim.id = h->claim_id;
	l->number = le64_get(h->number);
	memcpy(l->name, h->name, sizeof(l->name));
	l->k = le32_get(h->k);
	l->m = le32_get(h->m);
	l->zone_shift = le32_get(h->zone_shift);
	l->row_blocks = le32_get(h->row_blocks);
	l->flags = le32_get(h->flags);
	l->min_parity = le32_get(h->min_parity);
	l->nmembers = le32_get(h->nmembers);
	l->self = le32_get(h->self);
	l->nancestors = le32_get(h->nancestors);
	l->nextra = le32_get(h->nextra);
	l->created_s = le64_get(h->created_s);
	l->size_blocks = le64_get(h->size_blocks);
	l->root_place = le64_get(h->root_place);
	l->root_blocks = le32_get(h->root_blocks);
	l->root_crc = le32_get(h->root_crc);
	l->root_generation = le32_get(h->root_segment_generation);
	l->root_slice = le32_get(h->root_slice);
	l->commit = le64_get(h->commit);
	l->commit_row = le64_get(h->commit_row);
	l->machine = h->machine;
	l->boot = h->boot;
	l->instance = h->instance;
	for (uint32_t i = 0; i < l->nancestors; i++) {
		l->ancestors[i].no = le64_get(h->ancestors[i].claim);
		l->ancestors[i].id = h->ancestors[i].id;
	}
	for (uint32_t i = 0; i < POOL_UNITS_MAX; i++)
		l->root_zones[i] = zone_get(&h->root_zones[i].member,
					    &h->root_zones[i].zone);
}

static bool zones_ok(const struct ck_label *l, const struct ck_zone *z)
{
	for (uint32_t u = 0; u < l->k + l->m; u++) {
		if (z[u].member != CK_NO_MEMBER &&
		    (z[u].member >= l->nmembers ||
		     z[u].zone >= l->members[z[u].member].zones))
			return false;
	}
	return true;
}

static const char *tables_decode(const uint8_t *buf, struct ck_label *l)
{
	const uint8_t *p = buf + LABEL_MEMBERS_OFF;

	for (uint32_t i = 0; i < l->nmembers; i++) {
		const char *why = member_decode(
			(const struct label_member *)p, l->zone_shift,
			&l->members[i]);

		if (why != NULL)
			return why;
		for (uint32_t j = 0; j < i; j++) {
			if (uuid_equal(&l->members[j].uuid,
				       &l->members[i].uuid))
				return "a disk is in the member table twice";
		}
		p += sizeof(struct label_member);
	}
	for (uint32_t i = 0; i < l->nextra; i++) {
		struct ck_extra *x = &l->extra[i];
		const le32 *v = (const le32 *)p;

		x->segment = le32_get(v[0]);
		x->generation = le32_get(v[1]);
		for (uint32_t u = 0; u < l->k + l->m; u++)
			x->zones[u] = zone_get(&v[2 + 2 * u], &v[3 + 2 * u]);
		if (x->segment == 0 || !zones_ok(l, x->zones))
			return "an extra segment is in no zones that exist";
		p += 8ull * (1 + l->k + l->m);
	}
	if (l->root_blocks > 0 && !zones_ok(l, l->root_zones))
		return "the root is in no zones that exist";
	if (!uuid_equal(&l->members[l->self].uuid, &l->disk))
		return "the member table has another disk in its place";
	if (l->members[l->self].size_blocks != l->size_blocks)
		return "it gives two sizes for the disk";
	return NULL;
}

void ck_label_free(struct ck_label *l)
{
	if (l == NULL)
		return;
	free(l->members);
	free(l->extra);
	free(l);
}

int ck_label_decode(const uint8_t *buf, uint32_t slot,
		    struct ck_label **ret_label, const char **why)
{
	const struct label_header *h = (const struct label_header *)buf;
	uint32_t bytes = le32_get(h->bytes);
	struct ck_label *l;

	*why = "no label";
	if (memcmp(h->magic, LABEL_MAGIC, sizeof(h->magic)) != 0)
		return -ENODATA;
	*why = "its length is out of range";
	if (bytes < LABEL_MEMBERS_OFF || bytes > LABEL_SLOT_BYTES)
		return -EBADMSG;
	*why = "its checksum is wrong";
	if (crc32c(0, buf + 12, bytes - 12) != le32_get(h->crc32c))
		return -EBADMSG;
	*why = "its version is newer than this program";
	if (le32_get(h->version) != LABEL_VERSION)
		return le32_get(h->version) > LABEL_VERSION ? -ENOTSUP :
							      -EBADMSG;
	*why = "it has features that this program does not know";
	if ((le64_get(h->incompat) & ~LABEL_INCOMPAT_KNOWN) != 0)
		return -ENOTSUP;
	*why = header_problem(h, slot);
	if (*why != NULL)
		return -EBADMSG;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	header_decode(h, l);
	l->members = calloc(l->nmembers, sizeof(*l->members));
	l->extra = calloc(l->nextra + 1, sizeof(*l->extra));
	if (l->members == NULL || l->extra == NULL) {
		ck_label_free(l);
		return -ENOMEM;
	}
	*why = tables_decode(buf, l);
	if (*why != NULL) {
		ck_label_free(l);
		return -EBADMSG;
	}
	*ret_label = l;
	return 0;
}
