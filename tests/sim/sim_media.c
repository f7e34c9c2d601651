/* tests/sim/sim_media.c - see sim_media.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_media.h"

struct sim_media *media_open(struct sim *sim, unsigned index, unsigned domain,
			     uint32_t nblocks)
{
	struct sim_media *m = calloc(1, sizeof(*m));

	assert(m != NULL);
	m->sim = sim;
	m->index = index;
	m->domain = domain;
	m->nblocks = nblocks;
	m->slow = 1;
	m->cur = calloc(nblocks, sizeof(m->cur[0]));
	m->dur = calloc(nblocks, sizeof(m->dur[0]));
	m->truth = malloc(nblocks * sizeof(m->truth[0]));
	m->bad = calloc(BITMAP_WORDS((uint64_t)nblocks), sizeof(m->bad[0]));
	m->log_cap = 1024;
	m->log = malloc(m->log_cap * sizeof(m->log[0]));
	assert(m->cur && m->dur && m->truth && m->bad && m->log);
	memset(m->truth, 0xff, nblocks * sizeof(m->truth[0]));
	return m;
}

static void *grown(void *old, size_t size, size_t was, size_t to, int fill)
{
	uint8_t *p = realloc(old, to * size);

	assert(p != NULL);
	memset(p + was * size, fill, (to - was) * size);
	return p;
}

void media_grow(struct sim_media *m, uint32_t nblocks)
{
	uint32_t was = m->nblocks;

	assert(nblocks >= was);
	m->cur = grown(m->cur, sizeof(m->cur[0]), was, nblocks, 0);
	m->dur = grown(m->dur, sizeof(m->dur[0]), was, nblocks, 0);
	m->truth = grown(m->truth, sizeof(m->truth[0]), was, nblocks, 0xff);
	m->bad = grown(m->bad, sizeof(m->bad[0]), BITMAP_WORDS((uint64_t)was),
		       BITMAP_WORDS((uint64_t)nblocks), 0);
	m->nblocks = nblocks;
}

void media_close(struct sim_media *m)
{
	assert(m->handle == NULL);
	for (uint32_t b = 0; b < m->nblocks; b++) {
		page_put(m->cur[b]);
		page_put(m->dur[b]);
		if (m->truth[b] != MEDIA_NO_TRUTH)
			page_put(m->truth[b]);
	}
	for (uint32_t i = m->log_first; i < m->log_len; i++)
		page_put(m->log[i].page);
	for (unsigned i = 0; i < MEDIA_OLDS; i++)
		page_put(m->olds[i].page);
	free(m->cur);
	free(m->dur);
	free(m->truth);
	free(m->bad);
	free(m->log);
	free(m);
}

static void set(page_t *slot, page_t page_ref)
{
	page_t old = *slot;

	*slot = page_ref;
	page_put(old);
}

static void forget_truth(struct sim_media *m, uint32_t block)
{
	if (m->truth[block] != MEDIA_NO_TRUTH) {
		page_put(m->truth[block]);
		m->truth[block] = MEDIA_NO_TRUTH;
		m->ndamaged--;
	}
}

static void forget_bad(struct sim_media *m, uint32_t block)
{
	if (bitmap_test(m->bad, block)) {
		bitmap_clear(m->bad, block);
		m->ndamaged--;
	}
}

static void log_push(struct sim_media *m, struct media_write w)
{
	if (m->log_len == m->log_cap) {
		uint32_t n = m->log_len - m->log_first;

		if (m->log_first < m->log_cap / 2) {
			m->log_cap *= 2;
			m->log = realloc(m->log,
					 m->log_cap * sizeof(m->log[0]));
			assert(m->log != NULL);
		}
		memmove(m->log, m->log + m->log_first, n * sizeof(m->log[0]));
		m->log_first = 0;
		m->log_len = n;
	}
	m->log[m->log_len++] = w;
}

void media_put(struct sim_media *m, uint32_t block, page_t page_ref,
	       uint32_t group)
{
	assert(block < m->nblocks);
	if (m->keep_olds && m->cur[block] != PAGE_ZERO &&
	    chance(&m->sim->disk_rng, 1, 32)) {
		struct media_old *o = &m->olds[m->olds_next++ % MEDIA_OLDS];

		page_put(o->page);
		o->block = block;
		o->page = page_get(m->cur[block]);
	}
	forget_bad(m, block);
	set(&m->cur[block], page_get(page_ref));
	log_push(m, (struct media_write){ block, page_ref, group });
}

/* The write is durable. */
static void settle(struct sim_media *m, const struct media_write *w)
{
	set(&m->dur[w->block], w->page);
	forget_truth(m, w->block);
}

/* The write is half durable.  Over damage that leaves damage, which healing
 * ends as if the write had been dropped. */
static void settle_torn(struct sim_media *m, const struct media_write *w)
{
	set(&m->dur[w->block], w->page);
}

void media_flush(struct sim_media *m, uint64_t upto)
{
	while (m->log_first < m->log_len && m->log_seq < upto) {
		settle(m, &m->log[m->log_first++]);
		m->log_seq++;
	}
}

/* Part new, part what was there before: at a sector's boundary, at any byte,
 * or sector by sector. */
static page_t torn(struct sim_media *m, page_t before, page_t after)
{
	struct prng *rng = &m->sim->disk_rng;
	page_t       p = page_copy_of(page_data(before));
	uint64_t     cut;

	switch (prng_below(rng, 4)) {
	case 0:
		cut = between(rng, 1, 7) * 512;
		memcpy(page_data(p), page_data(after), cut);
		break;
	case 1:
		cut = between(rng, 1, 7) * 512;
		memcpy(page_data(p) + cut, page_data(after) + cut,
		       TARN_BLOCK - cut);
		break;
	case 2:
		cut = between(rng, 1, TARN_BLOCK - 1);
		memcpy(page_data(p), page_data(after), cut);
		break;
	default:
		cut = between(rng, 1, 254);
		for (unsigned s = 0; s < 8; s++)
			if (cut >> s & 1)
				memcpy(page_data(p) + s * 512,
				       page_data(after) + s * 512, 512);
		break;
	}
	return p;
}

enum loss {
	LOSS_KEEP_ALL,
	LOSS_DROP_ALL,
	LOSS_PREFIX,    /* the first ones are kept */
	LOSS_BY_GROUP,  /* each request kept or not */
	LOSS_BY_BLOCK,  /* each block kept, dropped or torn */
	LOSS_MOSTLY_KEPT,
	LOSS_KINDS
};

/* 0 dropped, 1 kept, 2 torn. */
static unsigned fate(struct sim_media *m, enum loss loss, uint32_t i,
		     uint32_t cut, uint32_t salt)
{
	struct prng *rng = &m->sim->disk_rng;
	uint64_t     x;

	switch (loss) {
	case LOSS_KEEP_ALL:
		return 1;
	case LOSS_DROP_ALL:
		return 0;
	case LOSS_PREFIX:
		return i < cut ? 1 : i == cut ? 2 : 0;
	case LOSS_BY_GROUP:
		x = m->log[m->log_first + i].group * 0x9e3779b97f4a7c15ull;
		return ((x >> 32) ^ salt) % 4 != 0;
	case LOSS_BY_BLOCK:
		x = prng_below(rng, 8);
		return x < 4 ? 1 : x < 7 ? 0 : 2;
	case LOSS_MOSTLY_KEPT:
	case LOSS_KINDS:
		break;
	}
	x = prng_below(rng, 32);
	return x > 1 ? 1 : x == 1 ? 0 : 2;
}

static void lose(struct sim_media *m, enum loss loss)
{
	struct sim *sim = m->sim;
	uint32_t    n = m->log_len - m->log_first;
	uint32_t    cut = n > 0 ? (uint32_t)prng_below(&sim->disk_rng, n) : 0;
	uint32_t    salt = (uint32_t)prng_u64(&sim->disk_rng);

	TRACE(sim, 1, m->index, n, "disk %u: loses power with %u unflushed "
	      "blocks, way %u", m->index, n, loss);
	for (uint32_t i = 0; i < n; i++) {
		struct media_write *w = &m->log[m->log_first + i];
		unsigned            f = fate(m, loss, i, cut, salt);
		page_t              p;

		if (f == 1) {
			STAT(sim, blocks_kept);
			settle(m, w);
			continue;
		}
		if (f == 0) {
			STAT(sim, blocks_dropped);
			page_put(w->page);
			continue;
		}
		STAT(sim, blocks_torn);
		p = torn(m, m->dur[w->block], w->page);
		page_put(w->page);
		w->page = p;
		settle_torn(m, w);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t b = m->log[m->log_first + i].block;

		if (m->cur[b] != m->dur[b])
			set(&m->cur[b], page_get(m->dur[b]));
	}
	m->log_seq += n;
	m->log_first = 0;
	m->log_len = 0;
}

void media_power_loss(struct sim_media *m)
{
	enum loss loss = (enum loss)prng_below(&m->sim->disk_rng, LOSS_KINDS);

	lose(m, m->battery ? LOSS_KEEP_ALL : loss);
}

void media_flush_failed(struct sim_media *m)
{
	lose(m, chance(&m->sim->disk_rng, 1, 4) ? LOSS_DROP_ALL :
						  LOSS_BY_GROUP);
}

/* --- damage -------------------------------------------------------------- */

bool media_pick(struct sim_media *m, struct prng *rng, uint32_t from,
		uint32_t to, uint32_t *ret_block)
{
	uint32_t b = (uint32_t)between(rng, from, to - 1);

	for (uint32_t i = 0; i < to - from; i++) {
		if (m->cur[b] != PAGE_ZERO && m->cur[b] == m->dur[b] &&
		    m->truth[b] == MEDIA_NO_TRUTH) {
			*ret_block = b;
			return true;
		}
		if (++b == to)
			b = from;
	}
	return false;
}

bool media_damage(struct sim_media *m, uint32_t block, page_t page)
{
	if (m->cur[block] != m->dur[block]) {
		page_put(page);
		return false;
	}
	if (m->truth[block] == MEDIA_NO_TRUTH) {
		m->truth[block] = page_get(m->dur[block]);
		m->ndamaged++;
	}
	set(&m->dur[block], page_get(page));
	set(&m->cur[block], page);
	return true;
}

void media_phantom(struct sim_media *m, uint32_t block, page_t page)
{
	/* What is there stays; what should be there is the new content.  With
	 * an older write still unflushed there is no simple truth: the write
	 * just happens. */
	if (m->cur[block] != m->dur[block]) {
		media_put(m, block, page, m->groups++);
		return;
	}
	if (m->truth[block] == MEDIA_NO_TRUTH)
		m->ndamaged++;
	else
		page_put(m->truth[block]);
	m->truth[block] = page;
}

void media_make_bad(struct sim_media *m, uint32_t block)
{
	if (!bitmap_test(m->bad, block)) {
		bitmap_set(m->bad, block);
		m->ndamaged++;
	}
}

void media_rot(struct sim_media *m, struct prng *rng, uint32_t block)
{
	page_t   p = page_copy_of(page_data(m->cur[block]));
	uint8_t *d = page_data(p);
	uint64_t at = prng_below(rng, TARN_BLOCK);

	switch (prng_below(rng, 4)) {
	case 0:
		d[at] ^= (uint8_t)(1u << prng_below(rng, 8));
		break;
	case 1:
		memset(d + at / 512 * 512, 0, 512);
		break;
	case 2:
		memset(d, 0xff, TARN_BLOCK);
		break;
	default:
		for (uint64_t i = at; i < TARN_BLOCK && i < at + 32; i++)
			d[i] ^= 0x5a;
		break;
	}
	media_damage(m, block, p);
}

bool media_stale(struct sim_media *m, struct prng *rng)
{
	struct media_old *o = &m->olds[prng_below(rng, MEDIA_OLDS)];
	page_t            p = o->page;

	if (p == PAGE_ZERO || m->cur[o->block] != m->dur[o->block])
		return false;
	o->page = PAGE_ZERO;
	return media_damage(m, o->block, p);
}

page_t media_mended(const struct sim_media *m, uint32_t block)
{
	/* A write over damage has not ended it before it is flushed. */
	return m->truth[block] != MEDIA_NO_TRUTH &&
			       m->cur[block] == m->dur[block] ?
		       m->truth[block] :
		       m->cur[block];
}

void media_heal(struct sim_media *m)
{
	for (uint32_t b = 0; b < m->nblocks && m->ndamaged > 0; b++) {
		page_t t = m->truth[b];

		forget_bad(m, b);
		if (t == MEDIA_NO_TRUTH)
			continue;
		if (m->cur[b] == m->dur[b])
			set(&m->cur[b], page_get(t));
		set(&m->dur[b], page_get(t));
		forget_truth(m, b);
	}
	assert(m->ndamaged == 0);
}

void media_blank(struct sim_media *m)
{
	media_heal(m);
	media_flush(m, media_seq(m));
	for (uint32_t b = 0; b < m->nblocks; b++) {
		set(&m->cur[b], page_get(PAGE_ZERO));
		set(&m->dur[b], page_get(PAGE_ZERO));
	}
}
