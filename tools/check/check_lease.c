/* tools/check/check_lease.c - the lease slots at the start of a disk.
 *
 * A stopped pool may have anything here that a server left behind when it
 * died; what cannot be explained is damage, and a claim that is newer than
 * every label is worth knowing.
 */
#include <inttypes.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

static const char *lease_problem(const struct lease_slot *l,
				 const struct ck_label *label)
{
	const uint8_t *p = (const uint8_t *)l;
	uint32_t state = le32_get(l->state);

	if (memcmp(l->magic, LEASE_MAGIC, sizeof(l->magic)) != 0)
		return "it has no magic number";
	if (crc32c(0, p + 12, TARN_BLOCK - 12) != le32_get(l->crc32c))
		return "its checksum is wrong";
	if (le32_get(l->version) != 1)
		return "its version is not known";
	if (!uuid_equal(&l->pool, &label->pool) ||
	    !uuid_equal(&l->disk, &label->disk))
		return "it belongs to another pool or disk";
	if (state < LEASE_HELD || state > LEASE_TRYING)
		return "its state is unknown";
	return NULL;
}

void ck_leases(struct ck *ck, uint32_t disk, const uint8_t *area)
{
	const struct ck_disk *d = &ck->disks[disk];

	for (uint32_t s = 0; s < LEASE_SLOTS; s++) {
		const uint8_t *p = area + (size_t)s * TARN_BLOCK;
		const struct lease_slot *l = (const struct lease_slot *)p;
		const char *why;

		if (p[0] == 0 && memcmp(p, p + 1, TARN_BLOCK - 1) == 0)
			continue;
		why = lease_problem(l, d->label);
		if (why != NULL) {
			/* Heartbeats are not flushed: one may be torn. */
			ck_info(ck, "disk %s: lease slot %" PRIu32 " is not "
				"valid: %s", d->src->name, s, why);
			continue;
		}
		if (le64_get(l->claim) > d->label->claim.no)
			ck_info(ck, "disk %s: lease slot %" PRIu32 " names "
				"claim %" PRIu64 ", newer than its label's "
				"%" PRIu64 ": somebody was about to take the "
				"pool over", d->src->name, s,
				le64_get(l->claim), d->label->claim.no);
		else if (le32_get(l->state) == LEASE_HELD &&
			 le64_get(l->claim) == d->label->claim.no)
			ck_verbose(ck, "disk %s: lease slot %" PRIu32 " of "
				   "claim %" PRIu64 " is held, beat %" PRIu64
				   ": the pool is in use, or was not closed",
				   d->src->name, s, le64_get(l->claim),
				   le64_get(l->beat));
	}
}
