/* One node, several trees: it is in memory once, all of them see it, and it
 * stays as long as a tree or a commit needs it.
 *
 * Volumes do not share nodes yet, so the tests make a second volume one of the
 * first one's family, by hand, with the first one's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"
#include "volume/map_load.h"

#define LEAVES 3u

static struct volume  *A, *B;

/* B shows what A has. */
static void share(void)
{
	A = vols_find(V, "a");
	B = vols_find(V, "b");
	assert_null(B->root);
	B->family = A->family;
	B->root_id = A->root_id;
	B->levels = A->levels;
}

/* B is empty again, so that the counts are right. */
static void unshare(void)
{
	node_tree_forget(B);
	B->family = B->id;
	B->root_id = 0;
}

static int setup(void **state)
{
	(void)state;
	one_open(3, NULL);
	assert_int_equal(kit_create(P, V, "a", 100 * MIB), 0);
	assert_int_equal(kit_create(P, V, "b", 100 * MIB), 0);
	for (unsigned i = 0; i < LEAVES; i++)
		put_block("a", i * MIB, (uint8_t)(i + 1));
	kit_check_counts(P, V);
	share();
	return 0;
}

/* Nothing is in memory. */
static void reopen(void)
{
	unshare();
	one_reopen(false);
	assert_int_equal(V->cache.nodes_mem, 0);
	share();
}

static struct mnode *look(struct volume *v, uint64_t leaf)
{
	struct map_pos pos;

	for (unsigned i = 0; i < 1000; i++) {
		enum map_pos_kind k = map_find(v, 0, leaf, 0, &pos);

		if (k == POS_NODE)
			return pos.node;
		assert_int_equal(k, POS_LOADING);
		fake_turn(P);
	}
	fail();
	return NULL;
}

static bool in_lru(const struct mnode *n)
{
	return !list_empty(&n->cached.link);
}

static void test_join_ready(void **state)
{
	uint64_t misses = V->cache.misses;
	struct mnode *a = look(A, 1), *b = look(B, 1);

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(a->node, b->node);
	assert_ptr_equal(a->parent->node, b->parent->node);
	assert_int_equal(a->node->nholders, 2);
	assert_int_equal(V->cache.misses, misses);
	assert_int_equal(V->cache.nodes_mem, LEAVES + 1);
	assert_true(in_lru(a) && in_lru(b));
	assert_int_equal(get_byte("b", 2 * MIB), 3);
	/* What one tree gives back stays for the other. */
	node_tree_forget(A);
	assert_int_equal(b->node->nholders, 1);
	assert_int_equal(V->cache.nodes_mem, 3);
	assert_ptr_equal(look(A, 1)->node, b->node);
	unshare();
	kit_check_counts(P, V);
}

static int told[2];

static void wait_fn(struct node_waiter *w, int res)
{
	told[w->owner == B] = res == 0 ? 1 : res;
	node_unpin(w->node);
}

/* Both trees want leaf 1 at once. */
static void want_both(struct node_waiter *w, struct mnode **n)
{
	struct volume *v[] = { A, B };

	/* The inner node is there. */
	look(A, 0);
	look(B, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct map_pos pos;

		assert_int_equal(map_find(v[i], 0, 1, 0, &pos), POS_LOADING);
		n[i] = pos.node;
		w[i].owner = v[i];
		w[i].node = pos.node;
		w[i].fn = wait_fn;
		node_pin(pos.node);
		list_push(&pos.node->waiters, &w[i].link);
		told[i] = 0;
	}
	assert_ptr_equal(n[0]->node, n[1]->node);
	assert_int_equal(n[0]->node->state, NODE_LOADING);
}

static void test_join_loading(void **state)
{
	struct node_waiter w[2];
	struct mnode *n[2];
	uint64_t misses;

	(void)state;
	reopen();
	want_both(w, n);
	misses = V->cache.misses;
	fake_settle(P);
	assert_int_equal(told[0], 1);
	assert_int_equal(told[1], 1);
	assert_int_equal(V->cache.misses, misses);
	assert_int_equal(n[0]->state, MNODE_READY);
	assert_int_equal(n[1]->state, MNODE_READY);
	assert_true(in_lru(n[0]) && in_lru(n[1]));
	unshare();
	kit_check_counts(P, V);
}

static void test_lost(void **state)
{
	place_t place = look(A, 1)->node->place;
	struct node_waiter w[2];
	struct mnode *n[2];

	(void)state;
	P->blocks[place].lost = true;
	reopen();
	want_both(w, n);
	fake_settle(P);
	assert_int_equal(told[0], -EBADMSG);
	assert_int_equal(told[1], -EBADMSG);
	assert_int_equal(get_byte("b", MIB), -EBADMSG);
	/* Who comes next tries anew. */
	P->blocks[place].lost = false;
	assert_int_equal(get_byte("a", MIB), 2);
	assert_int_equal(get_byte("b", MIB), 2);
	assert_ptr_equal(look(A, 1)->node, look(B, 1)->node);
	unshare();
	kit_check_counts(P, V);
}

/* The volume is forgotten while a node is read for it. */
static void test_forgotten_loading(void **state)
{
	struct map_pos pos;
	struct node *node;

	(void)state;
	reopen();
	look(A, 0);
	assert_int_equal(map_find(A, 0, 1, 0, &pos), POS_LOADING);
	node = pos.node->node;
	node_tree_forget(A);
	assert_int_equal(node->nholders, 0);
	assert_int_equal(V->cache.nodes_mem, 0);
	fake_settle(P);
	assert_int_equal(V->cache.nodes_mem, 0);
	assert_int_equal(get_byte("a", MIB), 2);
	unshare();
	kit_check_counts(P, V);
}

/* Changed in one tree, and nobody shows it any more: it is written. */
static void test_dirty_unheld(void **state)
{
	struct mnode *b = look(B, 1);
	struct node *node = b->node;
	uint32_t id = node->id;

	(void)state;
	put_block("a", MIB, 99);
	assert_false(in_lru(b) || in_lru(look(A, 1)));
	assert_true(node_is_held(b));
	assert_int_equal(get_byte("b", MIB), 99);
	node_tree_forget(A);
	node_tree_forget(B);
	assert_int_equal(node->nholders, 0);
	assert_true(node->dirty);
	assert_ptr_equal(node_find(V, A->family, 0, 1, id), node);
	/* Found again, it is the same. */
	assert_ptr_equal(look(B, 1)->node, node);
	node_tree_forget(B);
	fake_commit(P);
	assert_int_equal(V->cache.nodes_mem, 0);
	assert_null(node_find(V, A->family, 0, 1, id));
	reopen();
	assert_int_equal(get_byte("a", MIB), 99);
	unshare();
	kit_check_counts(P, V);
}

/* A commit has written it: what shows it can be given back. */
static void test_written(void **state)
{
	struct mnode *b = look(B, 1);

	(void)state;
	put_block("a", MIB, 99);
	fake_commit(P);
	assert_true(in_lru(b) && in_lru(look(A, 1)));
	unshare();
	kit_check_counts(P, V);
}

/* Freed in one tree in the middle of a commit: the other shows a HOLE, the
 * commit still writes it, and the counts come out right. */
static void test_freed(void **state)
{
	struct mnode *b = look(B, 1);
	struct node *node = b->node;
	uint32_t id = node->id;

	(void)state;
	node_pin(b);
	put_block("a", MIB, 99);
	P->auto_commit = false;
	assert_true(fake_commit_start(P));
	assert_int_equal(node->commit, MCOMMIT_QUEUED);
	map_unmap_range(A, LEAF_ENTRIES, LEAF_ENTRIES);
	assert_true(node->freed);
	assert_int_equal(node->nholders, 0);
	assert_null(node_find(V, A->family, 0, 1, id));
	assert_int_equal(b->state, MNODE_HOLE);
	assert_null(b->node);
	assert_int_equal(V->cache.nodes_mem, LEAVES);
	/* Its id is used again, before it has been written. */
	put_block("a", 9 * MIB, 7);
	assert_int_equal(look(A, 9)->node->id, id);
	node_unpin(b);
	assert_null(B->root->kids[1]);
	unshare();
	kit_check_counts(P, V);
	assert_int_equal(get_byte("a", MIB), 0);
	assert_int_equal(get_byte("a", 9 * MIB), 7);
}

/* A damaged parent calls something else its child: that does not show it, and
 * does not hide it. */
static void test_another(void **state)
{
	uint32_t id = look(A, 1)->node->id;
	struct mnode *n, *root = look(B, 0)->parent;

	(void)state;
	node_pin(root);
	n = node_new(B, root, 0, 5, id);
	assert_int_equal(n->state, MNODE_FAILED);
	assert_int_equal(n->node->error, -EBADMSG);
	assert_false(n->node->hashed);
	assert_int_equal(look(A, 1)->node->id, id);
	assert_ptr_not_equal(look(A, 1)->node, n->node);
	node_settle(n);
	B->family = B->id;
	n = node_new(B, root, 0, 1, id);
	assert_int_equal(n->state, MNODE_FAILED);
	node_settle(n);
	node_unpin(root);
	unshare();
	kit_check_counts(P, V);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_join_ready),	   TEST(test_join_loading),
		TEST(test_lost),	   TEST(test_forgotten_loading),
		TEST(test_dirty_unheld),   TEST(test_written),
		TEST(test_freed),	   TEST(test_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
