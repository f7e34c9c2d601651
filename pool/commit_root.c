/* pool/commit_root.c - the root of a commit: the one row that leads to all.
 *
 * It is a blob of the places of the tables' index pages, the segments that are
 * needed to read those, and what the client adds; written as a row that holds
 * nothing else, so that a label with its place and checksum is enough to find
 * it.  The format: root_format.h.
 *
 * The ways to fail: it does not fit its row, there is no memory for it, or it
 * cannot be written; the pool stops then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/commit.h"
#include "pool/scrub.h"

#define CRC_FROM        12u

static uint8_t *put_refs(uint8_t *b, const struct page_ref *refs, uint32_t n)
{
	if (n > 0)
		memcpy(b, refs, n * sizeof(*refs));
	return b + n * sizeof(*refs);
}

static void mark_boot(const struct pool *p, uint64_t *map,
		      const struct page_ref *refs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		place_t place = le64_get(refs[i].place);

		if (place != PLACE_NONE)
			bitmap_set(map, place_seg(p, place));
	}
}

/* Segments that are needed to read the segment table. */
static uint64_t *boot_map(const struct pool *p)
{
	uint64_t *map = calloc(BITMAP_WORDS((size_t)p->nsegs + 1),
			       sizeof(*map));

	if (map == NULL)
		return NULL;
	for (unsigned k = 0; k < TABLE_KINDS; k++)
		mark_boot(p, map, p->tables[k].index, p->tables[k].nindex);
	mark_boot(p, map, p->tables[TABLE_SEGMENTS].refs,
		  p->tables[TABLE_SEGMENTS].npages);
	return map;
}

static uint8_t *put_boot(const struct pool *p, uint8_t *b, const uint8_t *end,
			 const uint64_t *map, uint32_t *ret_n)
{
	uint32_t bytes = 8 + 8 * p->units;
	uint32_t n = 0;

	for (uint64_t i = bitmap_next_set(map, 1, p->nsegs + 1ull);
	     i <= p->nsegs;
	     i = bitmap_next_set(map, i + 1, p->nsegs + 1ull)) {
		const struct segment *s = p->segs[i];
		le32                  v[2 + 2 * POOL_UNITS_MAX];

		if ((size_t)(end - b) < bytes)
			return NULL;
		v[0] = le32_of(s->no);
		v[1] = le32_of(s->generation);
		for (uint32_t u = 0; u < p->units; u++) {
			v[2 + 2 * u] = le32_of(s->zones[u].member);
			v[3 + 2 * u] = le32_of(s->zones[u].zone);
		}
		memcpy(b, v, bytes);
		b += bytes;
		n++;
	}
	*ret_n = n;
	return b;
}

/* Bytes of the root, or -ENOSPC when it does not fit its row. */
static int root_build(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct root_header h;
	uint8_t           *b = c->root_buf + sizeof(h);
	const uint8_t     *end = c->root_buf +
			     (size_t)ROW_PAYLOAD_MAX * TARN_BLOCK -
			     ROOT_CLIENT_MAX;
	uint64_t          *map = boot_map(p);
	uint32_t           nboot, client;

	if (map == NULL)
		return -ENOMEM;
	memset(c->root_buf, 0, (size_t)ROW_PAYLOAD_MAX * TARN_BLOCK);
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, ROOT_MAGIC, sizeof(h.magic));
	h.pool = p->uuid;
	h.row = le64_of(c->row);
	h.commit = le64_of(c->number);
	h.claim = le64_of(p->claim);
	h.nsegments = le32_of(c->nsegments);
	h.scrub = le32_of(scrub_word(p));
	for (unsigned k = 0; k < TABLE_KINDS; k++) {
		struct table *t = &p->tables[k];

		h.kinds[k].npages = le32_of(t->npages);
		h.kinds[k].nindex = le32_of(t->nindex);
		if (t->nindex * sizeof(*t->index) > (size_t)(end - b)) {
			free(map);
			return -ENOSPC;
		}
		b = put_refs(b, t->index, t->nindex);
	}
	b = put_boot(p, b, end, map, &nboot);
	free(map);
	if (b == NULL)
		return -ENOSPC;
	client = p->client->commit_root(p->client_arg, b);
	assert(client <= ROOT_CLIENT_MAX);
	b += round_up(client, 8);
	h.nboot = le32_of(nboot);
	h.client_bytes = le32_of(client);
	h.bytes = le32_of((uint32_t)(b - c->root_buf));
	memcpy(c->root_buf, &h, sizeof(h));
	return (int)(b - c->root_buf);
}

static void root_apply(struct log_append *a)
{
	struct pool       *p = container_of(a, struct pool, commit.root_append);
	struct commit     *c = &p->commit;
	struct commit_ref *n = &p->next;
	struct row        *row = a->row;
	/* The second root of this commit replaces the first. */
	const struct commit_ref *before = c->rooted ? n : &p->last;

	for (uint32_t i = 0; i < c->root_blocks; i++)
		table_count(p, log_append_place(a, i), 1);
	for (uint32_t i = 0; i < before->root_blocks; i++)
		commit_old_add(p, root_block_place(p, before, i));
	c->rooted = true;
	memset(n, 0, sizeof(*n));
	n->root_place = log_append_place(a, 0);
	n->root_blocks = c->root_blocks;
	n->root_crc = c->root_crc;
	n->root_generation = row->seg->generation;
	n->root_slice = row->slice_blocks;
	n->commit = c->number;
	n->row = c->row;
	for (uint32_t u = 0; u < p->units; u++)
		n->root_zones[u] = row->seg->zones[u];
}

/* The row of a root holds nothing else, so block i is in unit i / slice. */
place_t root_block_place(const struct pool *p, const struct commit_ref *r,
			 uint32_t i)
{
	uint32_t unit = p->k == 1 ? 0 : i / r->root_slice;
	uint32_t in_slice = p->k == 1 ? i : i % r->root_slice;

	return place_make(p, place_seg(p, r->root_place), unit,
			  place_off(p, r->root_place) + in_slice);
}

static void root_done(struct log_append *a)
{
	struct pool *p = container_of(a, struct pool, commit.root_append);

	p->commit.puts--;
	if (a->res < 0)
		pool_fail(p, a->res, "a commit could not be written: %s",
			  strerror(-a->res));
	commit_step(p);
}

void commit_root_send(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct log_append *a = &c->root_append;
	int                bytes = root_build(p);
	uint8_t           *crc_at = c->root_buf +
			      offsetof(struct root_header, crc32c);
	le32               crc;

	if (bytes < 0) {
		pool_fail(p, bytes, "the root of a commit does not fit");
		return;
	}
	c->root_bytes = (uint32_t)bytes;
	c->root_blocks = (uint32_t)bytes_to_blocks_up(c->root_bytes);
	c->root_crc = crc32c(0, c->root_buf + CRC_FROM,
			     c->root_bytes - CRC_FROM);
	crc = le32_of(c->root_crc);
	memcpy(crc_at, &crc, sizeof(crc));
	c->root_iov.iov_base = c->root_buf;
	c->root_iov.iov_len = (size_t)c->root_blocks * TARN_BLOCK;
	memset(a, 0, sizeof(*a));
	a->rec.type = REC_ROOT;
	a->rec.n = (uint16_t)c->root_blocks;
	a->rec.block = c->number;
	a->iov = &c->root_iov;
	a->niov = 1;
	a->class = LOG_COMMIT;
	a->apply = root_apply;
	a->done = root_done;
	c->puts++;
	p->counters.commit_blocks += c->root_blocks;
	log_append_submit(p, a);
}
