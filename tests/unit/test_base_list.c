/* The list against an array that does the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/list.h"
#include "base/prng.h"

#define ITEMS 32

struct item {
	int         value;
	struct list link;
};

static void same(struct list *l, struct item *const *want, int n)
{
	struct list *back = l;
	int          i = 0;

	list_for_each(it, l) {
		assert_true(i < n);
		assert_ptr_equal(list_entry(it, struct item, link), want[i]);
		assert_ptr_equal(it->prev, back);
		back = it;
		i++;
	}
	assert_int_equal(i, n);
	assert_ptr_equal(l->prev, back);
	assert_int_equal(list_empty(l), n == 0);
}

static void test_random(void **state)
{
	struct item  items[ITEMS];
	struct item *want[ITEMS];
	struct list  l;
	struct prng  rng;
	int          n = 0;

	(void)state;
	prng_init(&rng, 3);
	list_init(&l);
	for (int i = 0; i < ITEMS; i++)
		list_init(&items[i].link);
	for (int step = 0; step < 20000; step++) {
		struct item *x = &items[prng_below(&rng, ITEMS)];
		unsigned     what = prng_below(&rng, 4);
		int          at = 0;

		if (what == 3 && n > 0) {
			assert_ptr_equal(list_pop(&l), &want[0]->link);
			assert_true(list_empty(&want[0]->link));
			memmove(want, want + 1,
				(size_t)--n * sizeof(want[0]));
		} else if (!list_empty(&x->link)) {
			while (want[at] != x)
				at++;
			list_remove(&x->link);
			memmove(want + at, want + at + 1,
				(size_t)(--n - at) * sizeof(want[0]));
		} else if (what == 0) {
			list_push_front(&l, &x->link);
			memmove(want + 1, want, (size_t)n++ * sizeof(want[0]));
			want[0] = x;
		} else {
			list_push(&l, &x->link);
			want[n++] = x;
		}
		same(&l, want, n);
	}
}

static void test_splice(void **state)
{
	struct item  items[6];
	struct item *want[6];
	struct list  a, b;

	(void)state;
	list_init(&a);
	list_init(&b);
	for (int i = 0; i < 6; i++) {
		list_push(i < 3 ? &a : &b, &items[i].link);
		want[i] = &items[i];
	}
	list_splice(&a, &b);
	same(&a, want, 6);
	same(&b, want, 0);
	list_splice(&a, &b); /* nothing */
	same(&a, want, 6);
	list_splice(&b, &a);
	same(&b, want, 6);
	list_remove(&items[0].link);
	list_remove(&items[0].link); /* harmless */
	same(&b, want + 1, 5);
	assert_ptr_equal(list_first(&b, struct item, link), &items[1]);
	list_for_each_safe(it, tmp, &b)
		list_remove(it);
	same(&b, want, 0);
	assert_null(list_pop(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_splice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
