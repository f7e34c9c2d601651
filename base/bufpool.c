/* base/bufpool.c - the buddy method over one mapped arena.
 *
 * The arena is 2^top blocks.  A piece of order o is 2^o blocks and starts at a
 * multiple of 2^o; its buddy is the piece whose index differs in bit o alone.
 * Free pieces of one order are in a doubly linked list by block index, newest
 * first, so that memory that was just used is used again while it is in cache.
 * `avail` has bit o set iff the list of order o is not empty, so a fitting
 * piece is found without looking; splitting and joining walk the orders once:
 * O(log n), no search.
 *
 * What we know of a piece is kept beside the arena, not in it: an arena page
 * that no buffer has used is never touched.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bufpool.h"
#include "base/util.h"

#define ORDERS 32
#define NIL    UINT32_MAX

enum piece_state {
	PIECE_NONE, /* inside a larger piece: not the first block of one */
	PIECE_FREE,
	PIECE_USED,
};

struct piece {
	uint32_t next;  /* block index in the free list, or NIL */
	uint32_t prev;  /* likewise; NIL: first of its list */
	uint8_t  order; /* log2 of its blocks, unless PIECE_NONE */
	uint8_t  state; /* enum piece_state */
};

struct bufpool {
	uint8_t      *arena;        /* 2^top blocks */
	struct piece *pieces;       /* one for each block of the arena */
	uint32_t      heads[ORDERS]; /* first free one of each order, or NIL */
	uint32_t      avail;        /* bit o: heads[o] != NIL */
	unsigned      top;          /* log2 of the arena's blocks */
	size_t        used_bytes;   /* given out, rounded sizes */
};

static void free_push(struct bufpool *p, uint32_t i, unsigned order)
{
	struct piece *c = &p->pieces[i];
	uint32_t      head = p->heads[order];

	c->state = PIECE_FREE;
	c->order = (uint8_t)order;
	c->prev = NIL;
	c->next = head;
	if (head != NIL)
		p->pieces[head].prev = i;
	p->heads[order] = i;
	p->avail |= 1u << order;
}

static void free_remove(struct bufpool *p, uint32_t i)
{
	struct piece *c = &p->pieces[i];

	assert(c->state == PIECE_FREE);
	if (c->prev != NIL)
		p->pieces[c->prev].next = c->next;
	else
		p->heads[c->order] = c->next;
	if (c->next != NIL)
		p->pieces[c->next].prev = c->prev;
	if (p->heads[c->order] == NIL)
		p->avail &= ~(1u << c->order);
	c->state = PIECE_NONE;
}

/* log2 of the blocks that hold len_bytes > 0, rounded up. */
static unsigned order_of(size_t len_bytes)
{
	size_t last = (len_bytes - 1) >> TARN_BLOCK_SHIFT;

	return last == 0 ? 0 : log2_floor(last) + 1;
}

int bufpool_open(size_t arena_bytes, struct bufpool **ret_pool)
{
	unsigned        top = order_of(arena_bytes == 0 ? 1 : arena_bytes);
	struct bufpool *p;

	if (top >= ORDERS)
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->top = top;
	p->pieces = calloc((size_t)1 << top, sizeof(p->pieces[0]));
	if (p->pieces == NULL)
		goto err_pool;
	p->arena = mmap(NULL, (size_t)TARN_BLOCK << top,
			PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->arena == MAP_FAILED)
		goto err_pieces;
	for (unsigned o = 0; o < ORDERS; o++)
		p->heads[o] = NIL;
	free_push(p, 0, top);
	*ret_pool = p;
	return 0;

err_pieces:
	free(p->pieces);
err_pool:
	free(p);
	return -ENOMEM;
}

void bufpool_close(struct bufpool *p)
{
	if (p == NULL)
		return;
	assert(p->used_bytes == 0);
	bufpool_abandon(p);
}

void bufpool_abandon(struct bufpool *p)
{
	munmap(p->arena, bufpool_arena_bytes(p));
	free(p->pieces);
	free(p);
}

void *bufpool_get(struct bufpool *p, size_t len_bytes)
{
	unsigned order, have;
	uint32_t fits, i;

	assert(len_bytes > 0);
	order = order_of(len_bytes);
	if (order > p->top)
		return NULL;
	fits = p->avail & ~((1u << order) - 1);
	if (fits == 0)
		return NULL;
	have = (unsigned)__builtin_ctz(fits);
	i = p->heads[have];
	free_remove(p, i);
	while (have > order) {
		have--;
		free_push(p, i + (1u << have), have);
	}
	p->pieces[i].state = PIECE_USED;
	p->pieces[i].order = (uint8_t)order;
	p->used_bytes += (size_t)TARN_BLOCK << order;
	return p->arena + ((size_t)i << TARN_BLOCK_SHIFT);
}

void bufpool_put(struct bufpool *p, void *buf)
{
	size_t   off_bytes;
	uint32_t i;
	unsigned order;

	if (buf == NULL)
		return;
	off_bytes = (size_t)((uint8_t *)buf - p->arena);
	assert(off_bytes < bufpool_arena_bytes(p));
	assert(off_bytes % TARN_BLOCK == 0);
	i = (uint32_t)(off_bytes >> TARN_BLOCK_SHIFT);
	assert(p->pieces[i].state == PIECE_USED);
	order = p->pieces[i].order;
	p->used_bytes -= (size_t)TARN_BLOCK << order;
	p->pieces[i].state = PIECE_NONE;
	while (order < p->top) {
		uint32_t      buddy = i ^ (1u << order);
		struct piece *b = &p->pieces[buddy];

		if (b->state != PIECE_FREE || b->order != order)
			break;
		free_remove(p, buddy);
		i &= ~(1u << order);
		order++;
	}
	free_push(p, i, order);
}

size_t bufpool_used_bytes(const struct bufpool *p)
{
	return p->used_bytes;
}

size_t bufpool_arena_bytes(const struct bufpool *p)
{
	return (size_t)TARN_BLOCK << p->top;
}
