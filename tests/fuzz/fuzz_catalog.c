/* Records of the catalog in the log, as hostile disks would have them: the row
 * is whole, and the record says anything.
 *
 * Input: records, each of 3 bytes { kind, volume, n } and n more.  Bits 0..4 of
 * the kind: the subtype is 256 + so much, with 31 it is 512; bit 5: it must be
 * understood; bit 6: the body is that of a record of this subtype which the image
 * has in its log, with n / 2 changes { offset, value } to it, otherwise it is the
 * n bytes; bit 7: it is a WRITE, UNMAP or MOVE instead, with fields of 8 bytes.
 *
 * Such a record is refused, or changes what it says; then the volumes are used,
 * committed and opened again.  What is live is counted right throughout: only a
 * THIN, which is believed what it drops, may spoil that.
 */
#define FAKE_PLACES    16384u
#define FAKE_PAGES_MAX 512u
#include "tests/lib/fake/vol_kit.c"
#include "volume/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB (1ull << 20)
#define HIDDEN "receive/09000000-0000-0000-0000-000000000000"

/* Little memory is quick to get. */
static const struct volumes_params params = { .node_budget_bytes = 4 * MIB };

static int snapshot(struct pool *p, struct volumes *vols, const char *name)
{
	return kit_snapshot(p, vols, &name, 1, NULL);
}

static int control(struct pool *p, struct volumes *vols,
		   void (*op)(struct volumes *, struct vol_ctl *),
		   const char *name, const char *new_name)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->size_bytes = 4 * MIB;
	ctl->now_s = 1000;
	ctl->uuid.b[0] = 9;
	ctl->force = true;
	ctl->schedule.keep[PERIOD_DAY] = 7;
	kit_ctl_run(p, vols, ctl, op);
	r = ctl->res;
	free(ctl);
	return r;
}

static void put(struct pool *p, struct volumes *vols, const char *name,
		uint64_t off)
{
	uint8_t *buf = calloc(1, 8192);

	memset(buf, 1, 8192);
	kit_req(p, vols_find(vols, name), VOL_WRITE, off, 8192, buf, 0);
	free(buf);
}

/* Of everything something: forks behind one another, what is held, scheduled,
 * hidden and in the trash; and in the log after the commit, a record of each
 * kind. */
static struct volumes *image(struct pool *p)
{
	struct volumes *vols = fake_format(p, &params);
	struct vol_event e = { .severity = EVENT_WARNING, .last_s = 1000,
			       .what = "what", .object = "v", .text = "text" };

	vols_trash_start(vols, 1000, 1000);
	kit_create(p, vols, "v", 4 * MIB);
	kit_create(p, vols, "t", 4 * MIB);
	for (unsigned i = 0; i < 4; i++)
		put(p, vols, "v", i * MIB);
	snapshot(p, vols, "v@a");
	control(p, vols, vol_clone, "v@a", "c");
	put(p, vols, "c", 0);
	snapshot(p, vols, "c@a");
	control(p, vols, vol_clone, "c@a", "d");
	control(p, vols, vol_clone, "c@a", "e");
	put(p, vols, "v", MIB);
	snapshot(p, vols, "v@b");
	snapshot(p, vols, "v#p");
	control(p, vols, vol_snapshot_hold, "v@b", NULL);
	put(p, vols, "t", MIB);
	snapshot(p, vols, "t@a");
	fake_settle(p);
	fake_commit(p);
	/* What is redone over it. */
	kit_create(p, vols, "n", 2 * MIB);
	kit_resize(p, vols, "n", 3 * MIB, true);
	control(p, vols, vol_rename, "n", "m");
	kit_delete(p, vols, "v@a", true);
	kit_delete(p, vols, "c@a", true);
	put(p, vols, "d", MIB);
	snapshot(p, vols, "v@c");
	control(p, vols, vol_rollback, "v@b", "old");
	control(p, vols, vol_receive, "v@b", NULL);
	control(p, vols, vol_publish, HIDDEN, "r");
	control(p, vols, vol_receive, "h", NULL);
	control(p, vols, vol_snapshot_release, "v@b", NULL);
	control(p, vols, vol_schedule_set, "v", NULL);
	kit_delete(p, vols, "t", true);
	control(p, vols, vol_undelete, "t", NULL);
	kit_delete(p, vols, "t", true);
	control(p, vols, vol_clone, "v@r", "f");
	kit_delete(p, vols, "m", true);
	control(p, vols, vol_purge, "m", NULL);
	vols_event(vols, &e);
	fake_settle(p);
	return vols;
}

/* --- the log ------------------------------------------------------------- */

static struct fake_row *row_new(struct pool *p)
{
	if (p->nrows + 1 >= p->rows_cap) {
		p->rows_cap = p->rows_cap * 2 + 64;
		p->rows = realloc(p->rows, p->rows_cap * sizeof(p->rows[0]));
	}
	memset(&p->rows[++p->nrows], 0, sizeof(p->rows[0]));
	return &p->rows[p->nrows];
}

/* The first one of the subtype that is there; NULL: none. */
static const struct fake_row *template(const struct pool *p, uint32_t subtype)
{
	for (uint32_t i = 1; i <= p->nrows; i++)
		if (p->rows[i].rec.type == REC_CATALOG &&
		    p->rows[i].rec.id == subtype)
			return &p->rows[i];
	return NULL;
}

static void body_set(struct fake_row *row, const uint8_t *data, uint32_t n,
		     const struct fake_row *like)
{
	uint32_t bytes = like != NULL ? like->rec.n : n;

	row->rec.n = (uint16_t)bytes;
	row->body = calloc(1, bytes + 1u);
	if (like == NULL) {
		memcpy(row->body, data, n);
		return;
	}
	memcpy(row->body, like->body, bytes);
	for (uint32_t i = 0; i + 1 < n && bytes > 0; i += 2)
		row->body[data[i] % bytes] = data[i + 1];
}

static void add_catalog(struct pool *p, const uint8_t head[3],
			const uint8_t *data)
{
	uint32_t subtype = (head[0] & 31) == 31 ? CATALOG_EVENT :
						  256u + (head[0] & 31);
	const struct fake_row *like = (head[0] & 64) != 0 ?
					      template(p, subtype) : NULL;
	uint64_t like_id = like != NULL ? like->rec.block : 0;
	struct fake_row copy = { .body = NULL }, *row;

	if (like != NULL)
		copy = *like; /* the array may move */
	row = row_new(p);
	row->rec.type = REC_CATALOG;
	row->rec.flags = (head[0] & 32) != 0 ? REC_MUST_UNDERSTAND : 0;
	row->rec.id = subtype;
	row->rec.block = head[1] == 0 ? like_id : head[1];
	if (head[1] == 255)
		row->rec.block = UINT64_MAX;
	body_set(row, data, head[2], like != NULL ? &copy : NULL);
	p->hostile |= subtype == CATALOG_THIN;
}

/* One that changes blocks; of a volume of any kind and state. */
static void add_blocks(struct pool *p, const uint8_t head[3],
		       const uint8_t *data)
{
	static const uint8_t types[] = { REC_UNMAP, REC_MOVE };
	struct fake_row *row = row_new(p);
	le64 field[2] = { { { 0 } } };

	memcpy(field, data, head[2] < sizeof(field) ? head[2] : sizeof(field));
	row->rec.type = types[head[0] & 1];
	row->rec.id = head[1];
	row->rec.block = le64_get(field[0]);
	row->rec.ext = le64_get(field[1]);
	if (row->rec.type != REC_MOVE)
		return;
	row->rec.n = 1;
	row->places = calloc(1, sizeof(row->places[0]));
	row->crcs = calloc(1, sizeof(row->crcs[0]));
	row->data = calloc(1, sizeof(row->data[0]));
	row->places[0] = FAKE_PLACES - 1;
	p->hostile = true;
}

static void add_records(struct pool *p, const uint8_t *data, size_t size)
{
	while (size >= 3 && size - 3 >= data[2]) {
		if ((data[0] & 128) != 0)
			add_blocks(p, data, data + 3);
		else
			add_catalog(p, data, data + 3);
		size -= 3u + data[2];
		data += 3u + data[2];
	}
}

/* --- what it has become -------------------------------------------------- */

static void measure_done(struct vol_used *u)
{
	(void)u;
	kit_done = true;
}

static void measure(struct pool *p, struct volume *v)
{
	struct vol_used u = { .vol = v, .done = measure_done };

	kit_done = false;
	vol_used_submit(&u);
	kit_wait(p);
}

static void use_one(struct pool *p, struct volumes *vols, struct volume *v)
{
	char     name[TREE_NAME_MAX + 8];
	uint8_t *buf = aligned_alloc(4096, 2 * MIB);
	uint64_t len = min_u64(v->size_bytes, MIB);

	memset(buf, 0, 2 * MIB);
	measure(p, v);
	kit_req(p, v, VOL_READ, 0, len, buf, 0);
	kit_req(p, v, VOL_READ, v->size_bytes - len, len, buf, 0);
	kit_req(p, v, VOL_WRITE, 0, len, buf, 0);
	kit_req(p, v, VOL_TRIM, len / 2, len / 2, NULL, 0);
	snprintf(name, sizeof(name), "%.255s@new", v->name);
	snapshot(p, vols, name);
	free(buf);
}

static void use(struct pool *p, struct volumes *vols)
{
	struct volume *v = NULL;
	char name[TREE_NAME_MAX + 1];

	for (unsigned n = 0; n < 16; n++) {
		v = vols_next(vols, v);
		if (v == NULL)
			break;
		use_one(p, vols, v);
	}
	for (unsigned n = 0; n < 16; n++) {
		v = vols_at(vols, n);
		if (v == NULL || vol_snap_next(v, NULL) == NULL)
			continue;
		vol_full_name(vol_snap_next(v, NULL), name);
		kit_delete(p, vols, name, true);
	}
	fake_settle(p);
}

static void check(struct pool *p, struct volumes *vols)
{
	if (p->hostile)
		fake_commit(p);
	else
		kit_check_counts(p, vols);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool *p;
	struct volumes *vols;

	if (size > 1000)
		return 0;
	p = fake_pool_new(1);
	vols = image(p);
	add_records(p, data, size);
	fake_crash(p, vols, p->nrows);
	/* The commit's own state is sound: only records can be wrong. */
	if (fake_open(p, &params, &vols) != 0)
		abort();
	check(p, vols);
	use(p, vols);
	check(p, vols);
	fake_crash(p, vols, p->nrows);
	if (fake_open(p, &params, &vols) != 0 && !p->hostile)
		abort();
	fake_crash(p, vols, p->nrows);
	fake_pool_free(p);
	return 0;
}
