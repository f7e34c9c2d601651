/* The bar: as wide as the terminal, and never wider. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tools/tarn/output.c"
#include "tools/tarn/progress.c"
#include "tools/tarn/table.c"

static void test_line(void **state)
{
	struct progress p = { .what = "sending v@s",
			      .total_bytes = 4ull << 30,
			      .done_bytes = 1ull << 30,
			      .rate = 300 << 20 };
	char line[512];

	(void)state;
	assert_string_equal(progress_line(&p, 80, line),
			    "sending v@s  [######------------------]  25%  "
			    "1.00G of 4.00G  300M/s  0:10 left");
	p.rate = 100000;
	assert_string_equal(progress_line(&p, 0, line),
			    "sending v@s   25%  1.00G of 4.00G  97.6K/s  "
			    "8:56:52 left");
	p.rate = 0;
	assert_non_null(strstr(progress_line(&p, 80, line), "  ? left"));
	p.done_bytes = 5ull << 30; /* it was more than had been thought */
	assert_non_null(strstr(progress_line(&p, 80, line), "#] 100%"));
	p.total_bytes = 0;
	assert_string_equal(progress_line(&p, 80, line),
			    "sending v@s  5.00G  0B/s");
}

static void test_width(void **state)
{
	struct progress p = { .what = "sending \xc3\xa4@\xe2\x82\xac",
			      .total_bytes = 1000 };
	char line[512];

	(void)state;
	for (unsigned columns = 60; columns < 130; columns++) {
		for (p.done_bytes = 0; p.done_bytes <= 1000;
		     p.done_bytes += 50) {
			p.rate = (double)p.done_bytes;
			progress_line(&p, columns, line);
			assert_true(text_width(line) < columns);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
