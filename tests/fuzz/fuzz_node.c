/* What a commit wrote for the volumes, as hostile disks would have it: the
 * CRCs are right and the content is anything.
 *
 * The input patches a small good image (root, node map, catalog with volumes,
 * snapshots, clones, checkpoints and what is being received, node table, inner
 * nodes and leaves that they share) and the catalog's records in the log after
 * it: records of 4 bytes { what, offset, value }.  Then the volumes are opened,
 * read, written, trimmed, resized, snapshotted, rolled back, cloned, cleaned,
 * deleted and committed.  All of it may fail; none of it may crash or hang.
 */
#define FAKE_PLACES    16384u
#define FAKE_PAGES_MAX 512u
#include "tests/lib/fake/vol_kit.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB (1ull << 20)

static int snapshot(struct pool *p, struct volumes *vols, const char *name)
{
	return kit_snapshot(p, vols, &name, 1, NULL);
}

static int branch(struct pool *p, struct volumes *vols,
		  void (*op)(struct volumes *, struct vol_ctl *),
		  const char *name, const char *new_name)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	ctl->new_name = new_name;
	ctl->size_bytes = 4 * MIB;
	ctl->uuid.b[0] = 9;
	ctl->force = true;
	kit_ctl_run(p, vols, ctl, op);
	r = ctl->res;
	free(ctl);
	return r;
}

#define HIDDEN "receive/09000000-0000-0000-0000-000000000000"

static void tell(struct volumes *vols, uint8_t severity, const char *object)
{
	struct vol_event e = { .severity = severity, .last_s = 1000,
			       .what = "what", .text = "text" };

	snprintf(e.object, sizeof(e.object), "%s", object);
	vols_event(vols, &e);
}

static struct volumes *image(struct pool *p)
{
	struct volumes *vols = fake_format(p, NULL);
	uint8_t *buf = calloc(1, 8192);

	kit_create(p, vols, "v", 4 * MIB);
	kit_create(p, vols, "w", 600 * MIB);
	memset(buf, 1, 8192);
	kit_req(p, vols_find(vols, "v"), VOL_WRITE, MIB - 4096, 8192, buf, 0);
	kit_req(p, vols_find(vols, "w"), VOL_WRITE, 599 * MIB, 4096, buf, 0);
	snapshot(p, vols, "v@a");
	kit_req(p, vols_find(vols, "v"), VOL_WRITE, MIB, 4096, buf, 0);
	snapshot(p, vols, "v@b");
	kit_req(p, vols_find(vols, "v"), VOL_TRIM, 0, MIB, NULL, 0);
	snapshot(p, vols, "w@a");
	snapshot(p, vols, "v#p");
	branch(p, vols, vol_clone, "v@a", "c");
	kit_req(p, vols_find(vols, "c"), VOL_WRITE, MIB, 4096, buf, 0);
	snapshot(p, vols, "c@a");
	branch(p, vols, vol_rollback, "v@a", "old");
	kit_req(p, vols_find(vols, "v"), VOL_WRITE, 3 * MIB, 4096, buf, 0);
	branch(p, vols, vol_receive, "c@a", NULL);
	tell(vols, EVENT_INFO, "v");
	tell(vols, EVENT_WARNING, "w");
	fake_settle(p);
	fake_commit(p);
	/* What is redone over it. */
	kit_req(p, vols_find(vols, HIDDEN), VOL_WRITE, MIB, 4096, buf, 0);
	branch(p, vols, vol_publish, HIDDEN, "b");
	branch(p, vols, vol_clone, "c@b", "d");
	branch(p, vols, vol_rollback, "v@b", NULL);
	branch(p, vols, vol_receive, "e", NULL);
	snapshot(p, vols, "v@c");
	kit_req(p, vols_find(vols, "v"), VOL_WRITE, 2 * MIB, 4096, buf, 0);
	kit_delete(p, vols, "v@a", false);
	kit_delete(p, vols, "w@a", false);
	kit_delete(p, vols, "w", false);
	tell(vols, EVENT_INFO, "v");
	tell(vols, EVENT_CRITICAL, "c");
	free(buf);
	fake_settle(p);
	return vols;
}

/* A page of events. */
static struct fake_block *event_page(struct pool *p, bool warnings)
{
	return &p->blocks[p->committed_tables[TABLE_EVENTS]
				  .place[warnings ? EVENT_PAGES / 2 : 0]];
}

/* The n-th block that may be patched. */
static struct fake_block *target(struct pool *p, unsigned n)
{
	static const enum table_kind kinds[] = { TABLE_NODES, TABLE_NODE_MAP,
						 TABLE_CATALOG };
	const struct node_entry *e;

	if (n < 3)
		return &p->blocks[p->committed_tables[kinds[n]].place[0]];
	e = (const void *)p->blocks[p->committed_tables[TABLE_NODES].place[0]]
		    .data;
	for (unsigned i = 0, k = 3; i < NODES_A_PAGE; i++) {
		uint64_t place = le64_get(e[i].place);

		if (place != 0 && place < FAKE_PLACES &&
		    p->blocks[place].data != NULL && k++ == n)
			return &p->blocks[place];
	}
	return NULL;
}

static void block_seal(struct pool *p, struct fake_block *b)
{
	uint32_t old = b->crc;

	b->crc = crc32c(0, b->data, TARN_BLOCK);
	for (unsigned k = 0; k < TABLE_KINDS; k++)
		for (uint32_t i = 0; i < p->committed_tables[k].npages; i++)
			if (p->committed_tables[k].crc[i] == old)
				p->committed_tables[k].crc[i] = b->crc;
}

/* The n-th record of the catalog behind the commit. */
static void record_patch(struct pool *p, unsigned n, unsigned off,
			 uint8_t value)
{
	for (uint32_t i = p->commit_row + 1; i <= p->nrows; i++) {
		struct fake_row *row = &p->rows[i];

		if (row->rec.type != REC_CATALOG || n-- > 0)
			continue;
		if (off < 8)
			row->rec.block = (row->rec.block & ~0xffull) | value;
		else if (off < 16)
			row->rec.id = CATALOG_CREATE +
				      value % (CATALOG_OP_LAST + 2 -
					       CATALOG_CREATE);
		else if (row->rec.n > 0)
			row->body[off % row->rec.n] = value;
		return;
	}
}

static void patch(struct pool *p, const uint8_t *data, size_t size)
{
	for (; size >= 4; data += 4, size -= 4) {
		unsigned what = data[0] % 32;
		unsigned off = (data[1] | (unsigned)data[2] << 8) % TARN_BLOCK;
		struct fake_block *b;

		if (what == 15) {
			p->root[off % 64] = data[3];
			continue;
		}
		if (what >= 16) {
			record_patch(p, what - 16, off, data[3]);
			continue;
		}
		if (what == 14) {
			b = event_page(p, (data[0] & 32) != 0);
			b->data[off] = data[3];
			block_seal(p, b);
			continue;
		}
		/* Nodes first: their CRC is in the table page. */
		b = target(p, what);
		if (b == NULL)
			continue;
		b->data[off] = data[3];
		if (what >= 3) {
			struct fake_block *t = target(p, 0);
			struct node_entry *e = (void *)t->data;
			uint32_t crc = crc32c(0, b->data, TARN_BLOCK);

			for (unsigned i = 0; i < NODES_A_PAGE; i++)
				if (le32_get(e[i].crc32c) == b->crc)
					e[i].crc32c = le32_of(crc);
			block_seal(p, t);
		}
		block_seal(p, b);
	}
}

static bool reloc_ended;

static void reloc_done(struct reloc *r)
{
	(void)r;
	reloc_ended = true;
}

/* As the cleaner would have it. */
static void clean(struct pool *p)
{
	uint32_t n = min_u32(p->nrows, 6);

	for (uint32_t i = 0; i < n; i++) {
		struct reloc r = { .rec = p->rows[i].rec, .done = reloc_done };

		if (r.rec.type != REC_WRITE || r.rec.n == 0)
			continue;
		r.n = r.rec.n;
		r.place = p->rows[i].places[0];
		reloc_ended = false;
		p->client->relocate(p->client_arg, &r);
		for (unsigned t = 0; t < 100000 && !reloc_ended; t++)
			fake_turn(p);
		assert(reloc_ended);
	}
}

static void measure_done(struct vol_used *u)
{
	(void)u;
	kit_done = true;
}

/* What would deleting it free? */
static void measure(struct pool *p, struct volume *v)
{
	struct vol_used u = { .vol = v, .done = measure_done };

	kit_done = false;
	vol_used_submit(&u);
	kit_wait(p);
}

static void use_snapshots(struct pool *p, struct volumes *vols,
			  struct volume *v, uint8_t *buf)
{
	struct volume *s = vol_snap_next(v, NULL);
	char     name[TREE_NAME_MAX + 1];
	unsigned n = 0;
	uint32_t id;

	snprintf(name, sizeof(name), "%.255s@new", v->name);
	snapshot(p, vols, name);
	branch(p, vols, vol_clone, name, "clone");
	for (; s != NULL && n < 4; s = vol_snap_after(v, id), n++) {
		uint64_t len = min_u64(s->size_bytes, MIB);

		id = s->id;
		measure(p, s);
		kit_req(p, s, VOL_READ, 0, len, buf, 0);
		kit_req(p, s, VOL_READ, s->size_bytes - len, len, buf, 0);
		s = vol_snap_after(v, id - 1);
		if (s == NULL || s->id != id || n % 2 == 1)
			continue;
		vol_full_name(s, name);
		kit_delete(p, vols, name, true);
	}
	if (s != NULL) {
		vol_full_name(s, name);
		branch(p, vols, vol_rollback, name, NULL);
	}
}

static void read_events(const struct volumes *vols)
{
	struct vol_event e = { .change = 0 };
	unsigned n = 0;

	while (vols_event_next(vols, e.change, &e)) {
		assert(e.what[0] != '\0' && e.count > 0);
		n++;
	}
	assert(n <= EVENT_SLOTS + EVENT_PENDING_MAX);
}

static void use(struct pool *p, struct volumes *vols)
{
	uint8_t *buf = aligned_alloc(4096, 2 * MIB);
	unsigned n = 0;
	struct volume *v = vols_next(vols, NULL);

	memset(buf, 0, 2 * MIB);
	for (; v != NULL && n < 4; v = vols_next(vols, v), n++) {
		uint64_t len = min_u64(v->size_bytes, MIB);
		struct vol_extent x[4];
		struct vol_req st = { .vol = v, .op = VOL_STATUS,
				      .len_bytes = v->size_bytes,
				      .flags = VOL_ONE,
				      .extents = x, .extents_max = 4 };

		measure(p, v);
		kit_req(p, v, VOL_READ, 0, len, buf, 0);
		kit_req(p, v, VOL_WRITE, 0, len, buf, 0);
		kit_req(p, v, VOL_READ, v->size_bytes - len, len, buf, 0);
		kit_submit(p, &st);
		kit_req(p, v, VOL_TRIM, len / 2, len / 2, NULL, 0);
		kit_req(p, v, VOL_ZERO, 100, len - 100, NULL, 0);
		kit_resize(p, vols, v->name, v->size_bytes + MIB, false);
		use_snapshots(p, vols, v, buf);
		v = vols_at(vols, n); /* another object, if rolled back */
		if (v == NULL)
			break;
		kit_req(p, v, VOL_WRITE, 4096, 4096, buf, 0);
		if (n == 1)
			kit_delete(p, vols, v->name, true);
		if (v->gone || v->state != CATALOG_READY)
			break;
	}
	branch(p, vols, vol_publish, HIDDEN, "last");
	tell(vols, EVENT_WARNING, "w");
	read_events(vols);
	for (uint64_t i = 0; i < 3000 && !list_empty(&p->io.deferred); i++)
		fake_turn(p);
	fake_commit(p);
	clean(p);
	fake_commit(p);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool *p;
	struct volumes *vols;

	if (size > 400)
		return 0;
	p = fake_pool_new(1);
	vols = image(p);
	p->hostile = true;
	patch(p, data, size);
	fake_crash(p, vols, p->nrows);
	if (fake_open(p, NULL, &vols) == 0) {
		use(p, vols);
		fake_crash(p, vols, p->nrows);
	}
	fake_pool_free(p);
	return 0;
}
