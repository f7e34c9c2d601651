/* tests/server/test_disk_probe.c - looking at many places at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_kit.h"
#include "fake_nbd.h"
#include "io/probe.h"

#define WANT	    (64u << 10)
#define DEADLINE_NS (2 * NS_PER_S)

static struct place_list *found;

static void on_found(struct place_list *list, void *arg)
{
	(void)arg;
	assert_null(found);
	assert_non_null(list);
	found = list;
}

/* What is at these places; place_list_free() it. */
static struct place_list *look(const char *const *places, unsigned n,
			       uint64_t deadline_ns)
{
	struct io *io;
	uint64_t   end_ns;

	found = NULL;
	assert_int_equal(io_uring_engine_open(8, &io), 0);
	end_ns = io_now_ns(io) + WAIT_NS;
	assert_int_equal(places_probe(io, places, n, WANT, deadline_ns,
				      on_found, NULL),
			 0);
	assert_null(found);
	while (found == NULL) {
		assert_true(io_now_ns(io) < end_ns);
		assert_int_equal(io_run(io, UINT64_MAX), 0);
	}
	io_uring_engine_close(io);
	return found;
}

static char *file(const char *name, uint64_t size)
{
	static char path[8][128];
	static int  next;
	char	   *p = path[next++ % 8];
	int	    fd;

	snprintf(p, sizeof(path[0]), "%s/%s", kit_dir(), name);
	fd = open(p, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return p;
}

static void put(const char *path, uint64_t off, const void *data, size_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, len, (off_t)off), len);
	close(fd);
}

static void test_files(void **state)
{
	const char	  *big = file("big", (1 << 20) + 100);
	const char	  *small = file("small", 8192);
	const char	  *empty = file("empty", 0);
	const char	  *places[] = { big, small, empty, "/dev/null",
					"/no/such/file", "ssh://x" };
	struct place_list *l;
	struct place_export *e;

	(void)state;
	put(big, 0, "first", 5);
	put(big, (1 << 20) - 4, "last", 4); /* of the last whole block */
	l = look(places, ARRAY_LEN(places), DEADLINE_NS);
	assert_int_equal(l->nexports, ARRAY_LEN(places));
	e = &l->exports[0];
	assert_string_equal(e->place, big);
	assert_string_equal(e->host, "local");
	assert_int_equal(e->error, 0);
	assert_int_equal(e->size_bytes, (1 << 20) + 100);
	assert_int_equal(e->head_bytes, WANT);
	assert_memory_equal(e->head, "first", 6);
	assert_memory_equal(e->tail + WANT - 4, "last", 4);
	assert_string_equal(e->content, "");
	assert_true(e->can_flush);
	e = &l->exports[1];
	assert_int_equal(e->error, 0);
	assert_int_equal(e->head_bytes, 8192);
	assert_null(e->tail);
	assert_int_equal(l->exports[2].error, -EINVAL);
	assert_int_equal(l->exports[3].error, -EINVAL);
	assert_int_equal(l->exports[4].error, -ENOENT);
	assert_int_equal(l->exports[5].error, -EINVAL);
	for (unsigned i = 2; i < 6; i++)
		assert_true(strlen(l->exports[i].error_text) > 10);
	place_list_free(l);
}

/* Marks of what may be on a disk, as far as they can be made by hand. */
static void test_content(void **state)
{
	const char *swap = file("swap", 4 << 20);
	const char *luks = file("luks", 4 << 20);
	const char *dos = file("dos", 4 << 20);
	const char *blank = file("blank", 4 << 20);
	const char *places[] = { swap, luks, dos, blank };
	struct place_list *l;
	uint8_t		   mbr[512] = { 0 };
	uint32_t	   version = 1;
	uint32_t	   last = 1023;

	(void)state;
	put(swap, 1024, &version, 4);
	put(swap, 1028, &last, 4);
	put(swap, 4096 - 10, "SWAPSPACE2", 10);
	put(luks, 0, "LUKS\xba\xbe\0\1", 8);
	mbr[446 + 4] = 0x83; /* one partition */
	mbr[446 + 8] = 63;
	mbr[446 + 12] = 100;
	mbr[510] = 0x55;
	mbr[511] = 0xaa;
	put(dos, 0, mbr, sizeof(mbr));
	l = look(places, ARRAY_LEN(places), DEADLINE_NS);
	assert_string_equal(l->exports[0].content, "swap");
	assert_string_equal(l->exports[1].content, "crypto_LUKS");
	assert_string_equal(l->exports[2].content, "dos");
	assert_string_equal(l->exports[3].content, "");
	place_list_free(l);
}

static void test_mkfs(void **state)
{
	const char *ext = file("ext", 8 << 20);
	const char *argv[] = { "mkfs.ext4", "-q", "-F", ext, NULL };
	struct place_list *l;

	(void)state;
	kit_need("mkfs.ext4");
	while (kit_alive(kit_spawn(argv)))
		;
	l = look(&ext, 1, DEADLINE_NS);
	assert_string_equal(l->exports[0].content, "ext4");
	place_list_free(l);
}

/* A host stands for all its exports. */
static void test_server(void **state)
{
	char	    port[16];
	char	    place[64];
	char	    uri[64];
	const char *argv[] = { "nbdkit", "-f", "-i", "127.0.0.1", "-p", port,
			       "file", NULL, NULL };
	char	    dir[160];
	const char *places[] = { place, uri };
	struct place_list *l;
	pid_t	    pid;
	unsigned    number = kit_free_port();

	(void)state;
	kit_need("nbdkit");
	snprintf(port, sizeof(port), "%u", number);
	snprintf(place, sizeof(place), "127.0.0.1:%u", number);
	snprintf(uri, sizeof(uri), "nbd://127.0.0.1:%u/export%%202", number);
	snprintf(dir, sizeof(dir), "dir=%s/exports", kit_dir());
	assert_int_equal(mkdir(dir + 4, 0700), 0);
	file("exports/export1", 1 << 20);
	file("exports/export 2", 2 << 20);
	argv[7] = dir;
	pid = kit_spawn(argv);
	kit_wait_port(number);

	l = look(places, 2, DEADLINE_NS);
	assert_int_equal(l->nexports, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct place_export *e = &l->exports[i];
		struct place_list   *again;
		const char	    *same = e->place;

		assert_int_equal(e->error, 0);
		assert_string_equal(e->host, "127.0.0.1");
		assert_int_equal(e->size_bytes,
				 strchr(e->export, '1') ? 1 << 20 : 2 << 20);
		assert_int_equal(e->head_bytes, WANT);
		/* What it is called opens it. */
		again = look(&same, 1, DEADLINE_NS);
		assert_int_equal(again->nexports, 1);
		assert_int_equal(again->exports[0].error, 0);
		assert_string_equal(again->exports[0].place, e->place);
		place_list_free(again);
	}
	assert_string_equal(l->exports[2].place, uri);
	assert_string_equal(l->exports[2].export, "export 2");
	place_list_free(l);
	kit_kill(pid);
}

/* Servers that do not answer delay nobody else, and not beyond the deadline
 * either. */
static void test_hostile(void **state)
{
	static const enum fake_fault faults[] = {
		FAKE_SILENT,	  FAKE_BAD_MAGIC,    FAKE_OLD_STYLE,
		FAKE_HUGE_REPLY,  FAKE_ENDLESS_INFO, FAKE_NO_INFO,
		FAKE_WRONG_COOKIE, FAKE_NO_ANSWER,   FAKE_HALF_ANSWER,
		FAKE_ERROR,	  FAKE_CUT_ANSWER,
	};
	struct fake_nbd	  *fakes[ARRAY_LEN(faults)];
	char		   places[ARRAY_LEN(faults)][200];
	const char	  *list[ARRAY_LEN(faults) + 1];
	char		   sock[128];
	struct place_list *l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct fake_config config = fake_default(faults[i]);

		snprintf(sock, sizeof(sock), "%s/fake%zu", kit_dir(), i);
		snprintf(places[i], sizeof(places[i]),
			 "nbd+unix:///?socket=%s", sock);
		fakes[i] = fake_start(sock);
		fake_set(fakes[i], &config);
		list[i] = places[i];
	}
	list[ARRAY_LEN(faults)] = file("good", 1 << 20);
	l = look(list, ARRAY_LEN(list), NS_PER_S);
	assert_int_equal(l->nexports, ARRAY_LEN(list));
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		assert_true(l->exports[i].error < 0);
		assert_true(strlen(l->exports[i].error_text) > 10);
		assert_string_equal(l->exports[i].place, places[i]);
	}
	assert_int_equal(l->exports[ARRAY_LEN(faults)].error, 0);
	place_list_free(l);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		fake_stop(fakes[i]);
}

/* Lists without end, and with names that are none. */
static void test_lists(void **state)
{
	char		   sock[128];
	struct nbd_dial	   d;
	struct probe_names names;
	struct fake_config config = fake_default(FAKE_BIG_LIST);
	struct fake_nbd	  *fake;
	char		   err[PLACE_ERR_BYTES];

	(void)state;
	memset(&d, 0, sizeof(d));
	snprintf(sock, sizeof(sock), "%s/lists", kit_dir());
	snprintf(d.place, sizeof(d.place), "nbd+unix:///?socket=%s", sock);
	assert_int_equal(place_parse(d.place, &d.addr, err), 0);
	fake = fake_start(sock);
	fake_set(fake, &config);
	assert_int_equal(probe_list(&d, nbd_dial_now_ns() + 10 * NS_PER_S,
				    &names, err),
			 0);
	assert_int_equal(names.count, PROBE_EXPORTS_MAX);
	assert_true(names.cut);
	assert_string_equal(names.names[0], "disk0");
	assert_string_equal(names.names[2] + 199, "?"); /* not the long one */
	probe_names_free(&names);

	config = fake_default(FAKE_ENDLESS_LIST);
	fake_set(fake, &config);
	assert_int_equal(probe_list(&d, nbd_dial_now_ns() + NS_PER_S / 5,
				    &names, err),
			 -ETIMEDOUT);
	assert_int_equal(names.count, PROBE_EXPORTS_MAX);
	probe_names_free(&names);
	fake_stop(fake);
}

static void test_nothing(void **state)
{
	struct place_list *l;

	(void)state;
	l = look(NULL, 0, DEADLINE_NS);
	assert_int_equal(l->nexports, 0);
	place_list_free(l);
	place_list_free(NULL);
}

static void test_many(void **state)
{
	const char	 **places = calloc(500, sizeof(*places));
	const char	  *one = file("one", 1 << 20);
	struct place_list *l;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		places[i] = one;
	l = look(places, 500, 10 * NS_PER_S);
	assert_int_equal(l->nexports, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(l->exports[i].error, 0);
	place_list_free(l);
	free(places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),	cmocka_unit_test(test_content),
		cmocka_unit_test(test_mkfs),	cmocka_unit_test(test_server),
		cmocka_unit_test(test_hostile), cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_many),	cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
