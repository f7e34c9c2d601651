/* Judging disks: what may be taken, what may not, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "server/inventory.h"
#include "tests/lib/work_dir.h"

static uint8_t head[LABEL_AREA_BYTES], tail[LABEL_AREA_BYTES];

/* A good blank disk. */
static struct place_export blank(void)
{
	struct place_export e = {
		.place = "nbd://host/x",
		.host = "host",
		.export = "x",
		.size_bytes = 1ull << 30,
		.can_flush = true,
		.head = head,
		.tail = tail,
		.head_bytes = LABEL_AREA_BYTES,
	};

	memset(head, 0, sizeof(head));
	memset(tail, 0, sizeof(tail));
	return e;
}

static void judged(const struct place_export *e, enum found_state state,
		   bool usable, const char *says)
{
	struct found_disk d;

	inventory_judge(e, &d);
	assert_int_equal(d.state, state);
	assert_int_equal(d.usable, usable);
	if (strstr(d.why, says) == NULL)
		fail_msg("'%s' does not say '%s'", d.why, says);
	assert_string_equal(d.place, e->place);
}

static void test_judge(void **state)
{
	struct place_export e = blank();

	(void)state;
	judged(&e, FOUND_BLANK, true, "");
	e.can_flush = false;
	judged(&e, FOUND_BLANK, false, "FLUSH");
	e = blank();
	e.read_only = true;
	judged(&e, FOUND_BLANK, false, "read-only");
	e = blank();
	e.size_bytes = INVENTORY_DISK_MIN_BYTES - 1;
	judged(&e, FOUND_BLANK, false, "too small");
	e.size_bytes = INVENTORY_DISK_MIN_BYTES;
	judged(&e, FOUND_BLANK, true, "");
	e.size_bytes = UINT64_MAX;
	judged(&e, FOUND_BLANK, false, "2^60");
	e = blank();
	strcpy(e.content, "ext4");
	judged(&e, FOUND_FOREIGN, false, "it holds ext4");
}

static void test_unknown_data(void **state)
{
	struct place_export e = blank();

	(void)state;
	head[0] = 1;
	judged(&e, FOUND_FOREIGN, false, "unknown data");
	e = blank();
	head[sizeof(head) - 1] = 0x80;
	judged(&e, FOUND_FOREIGN, false, "unknown data");
	e = blank();
	tail[sizeof(tail) - 1] = 1;
	judged(&e, FOUND_FOREIGN, false, "unknown data");
	/* Labels of ours that cannot be used are not "blank" either. */
	e = blank();
	memcpy(head + 65536, "TARNLBL\1", 8);
	assert_true(head[65536] != 0);
	{
		struct found_disk d;

		inventory_judge(&e, &d);
		assert_false(d.usable);
		assert_true(d.state == FOUND_DAMAGED ||
			    d.state == FOUND_FOREIGN);
	}
}

static void test_unreachable(void **state)
{
	struct place_export e = blank();

	(void)state;
	e.error = -ECONNREFUSED;
	e.head = e.tail = NULL;
	e.head_bytes = 0;
	e.size_bytes = 0;
	judged(&e, FOUND_UNREACHABLE, false, strerror(ECONNREFUSED));
	/* A sentence that begins with the place does not say it twice. */
	strcpy(e.error_text, "nbd://host/x: no route");
	judged(&e, FOUND_UNREACHABLE, false, "no route");
	{
		struct found_disk d;

		inventory_judge(&e, &d);
		assert_string_equal(d.why, "no route");
	}
	/* A small disk has no tail. */
	e = blank();
	e.tail = NULL;
	e.head_bytes = 4096;
	e.size_bytes = 4096;
	judged(&e, FOUND_BLANK, false, "too small");
}

static bool same(const char *a, const char *b)
{
	static struct found_disk da, db;

	snprintf(da.place, sizeof(da.place), "%s", a);
	snprintf(db.place, sizeof(db.place), "%s", b);
	assert_int_equal(inventory_same_disk(&da, &db),
			 inventory_same_disk(&db, &da));
	return inventory_same_disk(&da, &db);
}

static void test_same(void **state)
{
	char dir[80], a[96], b[96], c[96], ua[160], ub[160];

	(void)state;
	assert_true(same("nbd://h/x", "nbd://h/x"));
	assert_true(same("nbd://h/x", "nbd://H:10809/x"));
	assert_true(same("nbd://h/x", "nbd://h/%78"));
	assert_true(same("nbd://localhost/x", "nbd://127.0.0.1/x"));
	assert_false(same("nbd://h/x", "nbd://h/y"));
	assert_false(same("nbd://h/x", "nbd://g/x"));
	assert_false(same("nbd://h/x", "nbd://h:1/x"));
	assert_false(same("nbd://h/x", "/x"));
	assert_false(same("not a : place", "nbd://h/x"));

	assert_int_equal(work_dir_make(dir, sizeof(dir)), 0);
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	snprintf(c, sizeof(c), "%s/c", dir);
	close(open(a, O_WRONLY | O_CREAT, 0600));
	assert_int_equal(symlink(a, b), 0);
	assert_int_equal(link(a, c), 0);
	assert_true(same(a, b));
	assert_true(same(a, c));
	snprintf(ua, sizeof(ua), "nbd+unix:///x?socket=%s", a);
	snprintf(ub, sizeof(ub), "nbd+unix:///x?socket=%s", b);
	assert_true(same(ua, ub));
	snprintf(ub, sizeof(ub), "nbd+unix:///y?socket=%s", b);
	assert_false(same(ua, ub));
	assert_false(same(ua, "nbd://h/x"));
	unlink(c);
	assert_false(same(a, c));
	assert_int_equal(work_dir_remove(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_unknown_data),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
