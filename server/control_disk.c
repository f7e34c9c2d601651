/* server/control_disk.c - disk.discover and disk.list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/place_parse.h"
#include "server/tarnd.h"

/* --- disk.discover ------------------------------------------------------- */

static json_t *pool_of(const struct label_summary *l)
{
	char pool[UUID_TEXT_BYTES], redundancy[32];

	snprintf(redundancy, sizeof(redundancy), "%u+%u", l->k, l->m);
	return json_pack("{s:o, s:s, s:s, s:i, s:b}", "name",
			 ctl_text(l->pool_name), "uuid",
			 uuid_text(&l->pool, pool), "redundancy", redundancy,
			 "disks", (int)l->nmembers, "released", l->clean);
}

static json_t *found_json(const struct found_disk *d)
{
	char    uuid[UUID_TEXT_BYTES];
	json_t *o;

	o = json_pack("{s:o, s:o, s:o, s:I, s:b, s:b, s:s, s:b, s:o}", "place",
		      ctl_text(d->place), "host", ctl_text(d->host), "export",
		      ctl_text(d->export), "size_bytes",
		      (json_int_t)min_u64(d->size_bytes, INT64_MAX),
		      "read_only", d->read_only, "flush", d->can_flush, "state",
		      found_state_name(d->state), "usable", d->usable, "why",
		      ctl_text(d->why));
	if (o == NULL)
		return NULL;
	if (d->state == FOUND_FOREIGN)
		json_object_set_new(o, "holds", ctl_text(d->content));
	if (d->state == FOUND_MEMBER) {
		json_object_set_new(o, "pool", pool_of(&d->label));
		json_object_set_new(o, "uuid",
				    json_string(uuid_text(&d->label.disk,
							  uuid)));
	}
	return o;
}

static bool seen_before(const struct inventory *inv, unsigned i)
{
	for (unsigned j = 0; j < i; j++)
		if (strcmp(inv->disks[i].place, inv->disks[j].place) == 0)
			return true;
	return false;
}

static void scan_ended(struct tarnd *t)
{
	t->scans--;
	tarnd_check_stopped(t);
}

static void discovered(struct inventory *inv, void *arg)
{
	struct ctl_call *call = arg;
	struct tarnd    *t = ctl_arg(call);
	json_t          *a = json_array();
	bool             members = false;

	for (unsigned i = 0; i < inv->ndisks; i++) {
		members |= inv->disks[i].state == FOUND_MEMBER;
		if (!seen_before(inv, i))
			json_array_append_new(a, found_json(&inv->disks[i]));
	}
	inventory_free(inv);
	/* Perhaps one that is missed. */
	if (members)
		hosted_hurry(t);
	ctl_reply(call, json_pack("{s:o}", "disks", a));
	scan_ended(t);
}

/* Start a scan for a call; true if it was started. */
static bool scan_for(struct ctl_call *call, const char *const *places,
		     unsigned n,
		     void (*done)(struct inventory *inv, void *arg))
{
	struct tarnd *t = ctl_arg(call);
	int r;

	if (t->stopping) {
		ctl_fail(call, -ESHUTDOWN, NULL, "the server is stopping");
		return false;
	}
	if (t->scans >= TARND_SCANS_MAX) {
		ctl_fail(call, -EBUSY, NULL,
			 "%u discoveries are under way: try again in a few "
			 "seconds", t->scans);
		return false;
	}
	r = inventory_scan(t->io, places, n, TARND_SCAN_NS, done, call);
	if (r < 0) {
		ctl_fail(call, r, NULL, "cannot look at the disks: %s",
			 strerror(-r));
		return false;
	}
	t->scans++;
	return true;
}

void ctl_disk_discover(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);
	json_t       *given = ctl_strings(call, "places");
	size_t        n = json_array_size(given);
	const char   *places[CTL_ARRAY_MAX];
	struct place_addr addr;
	char          err[PLACE_ERR_BYTES];

	if (n == 0) {
		scan_for(call, (const char *const *)t->places, t->nplaces,
			 discovered);
		return;
	}
	for (size_t i = 0; i < n; i++)
		places[i] = json_string_value(json_array_get(given, i));
	if (!scan_for(call, places, (unsigned)n, discovered))
		return;
	/* Found once, it can be imported from. */
	for (size_t i = 0; i < n; i++)
		if (place_resolve(places[i], &addr, err) == 0)
			tarnd_add_place(t, places[i]);
}

/* --- disk.list ----------------------------------------------------------- */

static const char *member_state_name(enum member_state state)
{
	static const char *const names[] = {
		[MEMBER_ONLINE] = "online",   [MEMBER_SUSPECT] = "suspect",
		[MEMBER_OUT] = "out",         [MEMBER_RETURNING] = "returning",
		[MEMBER_MISSING] = "missing", [MEMBER_FAULTED] = "faulted",
		[MEMBER_REMOVED] = "removed",
	};

	return names[state];
}

static json_t *latency_json(const struct member_latency *l)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "requests",
			 (json_int_t)min_u64(l->requests, INT64_MAX), "p50_us",
			 (json_int_t)l->p50_us, "p99_us",
			 (json_int_t)l->p99_us, "max_us",
			 (json_int_t)l->max_us);
}

static json_t *speed_json(const struct member_info *m)
{
	return json_pack("{s:o, s:o, s:I, s:I, s:b, s:b, s:I, s:I}", "read",
			 latency_json(&m->read_latency), "write",
			 latency_json(&m->write_latency), "read_us",
			 (json_int_t)m->reads_us, "peers_read_us",
			 (json_int_t)m->peers_us, "slow_reads", m->slow_reads,
			 "slow_writes", m->slow, "reads_around",
			 (json_int_t)m->reads_around, "reads_hedged",
			 (json_int_t)m->reads_hedged);
}

/* Out is out; what is different is who wants it so. */
static const char *member_state_text(const struct member_info *m)
{
	return m->offline && m->state == MEMBER_OUT ?
		       "offline" :
		       member_state_name(m->state);
}

static json_t *member_json(const struct pool *pool,
			   const struct pool_info *info, uint32_t i)
{
	struct member_info m;
	char     uuid[UUID_TEXT_BYTES];
	uint64_t zone_bytes = blocks_to_bytes(1ull << info->zone_shift);
	uint64_t used_bytes;
	json_t  *o;

	pool_get_member(pool, i, &m);
	used_bytes = m.zones_used * zone_bytes;
	o = json_pack("{s:s, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I,"
			 " s:I, s:I, s:b, s:b, s:b, s:b, s:o}",
			 "uuid", uuid_text(&m.uuid, uuid), "place",
			 ctl_text(m.place), "domain", ctl_text(m.domain),
			 "state", member_state_text(&m), "size_bytes",
			 (json_int_t)m.size_bytes, "used_bytes",
			 (json_int_t)used_bytes, "zones",
			 (json_int_t)m.zones, "zones_used",
			 (json_int_t)m.zones_used, "zones_quarantined",
			 (json_int_t)m.zones_quarantined, "read_errors",
			 (json_int_t)m.errors_read, "write_errors",
			 (json_int_t)m.errors_write, "checksum_errors",
			 (json_int_t)m.errors_cksum, "draining", m.drains,
			 "leaving", m.leaves, "offline", m.offline, "witness",
			 m.witness, "why",
			 ctl_text(inventory_reason(m.place, m.why)));
	if (o != NULL)
		json_object_set_new(o, "speed", speed_json(&m));
	return o;
}

json_t *ctl_members_json(const struct pool *pool)
{
	struct pool_info info;
	json_t *a = json_array();

	pool_get_info(pool, &info);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;

		pool_get_member(pool, i, &m);
		if (m.state != MEMBER_REMOVED)
			json_array_append_new(a, member_json(pool, &info, i));
	}
	return a;
}

void ctl_disk_list(struct ctl_call *call)
{
	struct hosted *h = ctl_need_pool(call);

	if (h != NULL)
		ctl_reply(call, json_pack("{s:s, s:o}", "pool", h->name,
					  "disks", ctl_members_json(h->pool)));
}

/* --- pool.list ----------------------------------------------------------- */

static json_t *open_pool(const struct tarnd *t)
{
	const struct hosted *h = &t->hosted;
	struct pool_info info;
	char uuid[UUID_TEXT_BYTES], redundancy[32];

	pool_get_info(h->pool, &info);
	snprintf(redundancy, sizeof(redundancy), "%u+%u", info.k, info.m);
	return json_pack("{s:o, s:s, s:s, s:s, s:i, s:i, s:b}", "name",
			 ctl_text(info.name), "uuid",
			 uuid_text(&info.uuid, uuid), "state",
			 ctl_health_name(info.health), "redundancy", redundancy,
			 "disks", (int)info.ndisks, "disks_found",
			 (int)info.ndisks, "open", true);
}

/* The pool of found disk i, unless an earlier one is of the same. */
static json_t *closed_pool(const struct inventory *inv, unsigned i)
{
	const struct label_summary *l = &inv->disks[i].label;
	unsigned found = 0;
	char     uuid[UUID_TEXT_BYTES], redundancy[32];

	if (inv->disks[i].state != FOUND_MEMBER)
		return NULL;
	for (unsigned j = 0; j < inv->ndisks; j++) {
		const struct found_disk *d = &inv->disks[j];

		if (d->state != FOUND_MEMBER ||
		    !uuid_equal(&d->label.pool, &l->pool))
			continue;
		if (j < i)
			return NULL;
		found++;
	}
	snprintf(redundancy, sizeof(redundancy), "%u+%u", l->k, l->m);
	return json_pack("{s:o, s:s, s:s, s:s, s:i, s:i, s:b}", "name",
			 ctl_text(l->pool_name), "uuid",
			 uuid_text(&l->pool, uuid), "state", "closed",
			 "redundancy", redundancy, "disks", (int)l->nmembers,
			 "disks_found", (int)found, "open", false);
}

static void listed(struct inventory *inv, void *arg)
{
	struct ctl_call *call = arg;
	struct tarnd    *t = ctl_arg(call);
	struct hosted   *h = &t->hosted;
	struct pool_info info = { .nmembers = 0 };
	json_t          *a = json_array();

	if (h->state == HOSTED_OPEN) {
		pool_get_info(h->pool, &info);
		json_array_append_new(a, open_pool(t));
	}
	for (unsigned i = 0; i < inv->ndisks; i++) {
		json_t *o;

		if (h->state == HOSTED_OPEN &&
		    uuid_equal(&inv->disks[i].label.pool, &info.uuid))
			continue;
		o = closed_pool(inv, i);
		if (o != NULL)
			json_array_append_new(a, o);
	}
	inventory_free(inv);
	ctl_reply(call, json_pack("{s:o}", "pools", a));
	scan_ended(t);
}

void ctl_pool_list(struct ctl_call *call)
{
	struct tarnd *t = ctl_arg(call);

	scan_for(call, (const char *const *)t->places, t->nplaces, listed);
}
