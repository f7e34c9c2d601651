/* A real tarnd over files: what has changed between snapshots, by libnbd and by
 * the control socket. */
#include <errno.h>
#include <libnbd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tarnd_kit.h"

#define MIB  (1u << 20)
#define SIZE (4u * MIB)
#define BITMAP "qemu:dirty-bitmap:"

/* contexts: NULL-ended. */
static struct nbd_handle *attach(const struct world *w, const char *name,
				 const char *const *contexts)
{
	struct nbd_handle *nbd = nbd_create();
	char               path[100];

	assert_non_null(nbd);
	assert_int_equal(nbd_set_export_name(nbd, name), 0);
	for (; *contexts != NULL; contexts++)
		assert_int_equal(nbd_add_meta_context(nbd, *contexts), 0);
	text(path, sizeof(path), "%s/nbd", w->dir);
	if (nbd_connect_unix(nbd, path) < 0)
		fail_msg("%s: %s", name, nbd_get_error());
	return nbd;
}

static void detach(struct nbd_handle *nbd)
{
	nbd_shutdown(nbd, 0);
	nbd_close(nbd);
}

static void fill(struct nbd_handle *nbd, int c, uint64_t off, size_t len)
{
	char *buf = malloc(len);

	memset(buf, c, len);
	assert_int_equal(nbd_pwrite(nbd, buf, len, off, 0), 0);
	free(buf);
}

/* What one request says of a context: "OFFSET+LENGTH=FLAGS " in blocks. */
struct map {
	const char *context;
	char        said[400];
	uint64_t    len; /* covered by the last context */
};

static int map_one(void *arg, const char *context, uint64_t off,
		   uint32_t *entries, size_t n, int *error)
{
	struct map *m = arg;
	uint64_t    start = off;

	(void)error;
	for (size_t i = 0; i < n; i += 2) {
		size_t at = strlen(m->said);

		if (strcmp(context, m->context) == 0)
			text(m->said + at, sizeof(m->said) - at, "%u+%u=%u ",
			     (unsigned)(off / 4096), entries[i] / 4096,
			     entries[i + 1]);
		off += entries[i];
	}
	if (m->len != 0)
		assert_int_equal(m->len, off - start);
	m->len = off - start;
	return 0;
}

static void says(struct nbd_handle *nbd, const char *context, const char *want)
{
	struct map m = { .context = context };

	assert_int_equal(nbd_block_status(nbd, SIZE, 0,
					  (nbd_extent_callback){
						  .callback = map_one,
						  .user_data = &m },
					  0), 0);
	assert_string_equal(m.said, want);
	assert_int_equal(m.len, SIZE);
}

/* v@one, v@two and v@ü:3, with something changed in between. */
static void history(struct world *w)
{
	static const char *const none[] = { NULL };
	struct nbd_handle *v;

	tank_with_volumes(w);
	v = attach(w, "v", none);
	fill(v, 'a', 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@one\"]}");
	fill(v, 'b', 4096, 8192);
	assert_int_equal(nbd_trim(v, 4096, 40960, 0), 0);
	must_do(w, "snapshot.create", "{\"names\":[\"v@two\"]}");
	fill(v, 'c', 2 * MIB, 4096);
	assert_int_equal(nbd_trim(v, 4096, 0, 0), 0);
	must_do(w, "snapshot.create", "{\"names\":[\"v@\u00fc:3\"]}");
	fill(v, 'd', 0, SIZE);
	detach(v);
}

static void test_bitmaps(void **state)
{
	static const char *const plain[] = { "base:allocation", NULL };
	static const char *const both[] = { BITMAP "one", "base:allocation",
					    BITMAP "two", NULL };
	static const char *const odd[] = { BITMAP "\u00fc:3", NULL };
	struct world      *w = *state;
	struct nbd_handle *nbd;

	history(w);
	nbd = attach(w, "v@\u00fc:3", plain);
	says(nbd, plain[0], "0+1=3 1+9=0 10+1=3 11+245=0 256+256=3 512+1=0 "
			    "513+511=3 ");
	detach(nbd);
	nbd = attach(w, "v@\u00fc:3", both);
	says(nbd, both[0], "0+3=1 3+7=0 10+1=1 11+501=0 512+1=1 513+511=0 ");
	says(nbd, both[2], "0+1=1 1+511=0 512+1=1 513+511=0 ");
	says(nbd, both[1], "0+1=2 1+9=0 10+1=2 11+245=0 256+256=3 512+1=0 "
			   "513+511=3 ");
	/* The base goes, its bitmap stays. */
	must_do(w, "snapshot.delete", "{\"name\":\"v@two\"}");
	must_do(w, "snapshot.rename", "{\"name\":\"v@one\",\"new_name\":"
				      "\"eins\"}");
	says(nbd, both[2], "0+1=1 1+511=0 512+1=1 513+511=0 ");
	says(nbd, both[0], "0+3=1 3+7=0 10+1=1 11+501=0 512+1=1 513+511=0 ");
	detach(nbd);
	nbd = attach(w, "v@\u00fc:3", both);
	assert_int_equal(nbd_can_meta_context(nbd, both[0]), 0);
	assert_int_equal(nbd_can_meta_context(nbd, both[1]), 1);
	assert_int_equal(nbd_can_meta_context(nbd, both[2]), 0);
	detach(nbd);
	/* Not younger ones, not itself, and not of a volume. */
	nbd = attach(w, "v@eins", odd);
	assert_int_equal(nbd_can_meta_context(nbd, odd[0]), 0);
	detach(nbd);
	nbd = attach(w, "v@\u00fc:3", odd);
	assert_int_equal(nbd_can_meta_context(nbd, odd[0]), 0);
	detach(nbd);
	nbd = attach(w, "v", odd);
	assert_int_equal(nbd_can_meta_context(nbd, odd[0]), 0);
	detach(nbd);
	must_do(w, "snapshot.create", "{\"names\":[\"v@4\"]}");
	nbd = attach(w, "v@4", odd);
	says(nbd, odd[0], "0+1024=1 ");
	detach(nbd);
}

/* More than one piece. */
static void test_pieces(void **state)
{
	static const char *const none[] = { NULL };
	struct world      *w = *state;
	struct nbd_handle *v;
	char               params[100];
	uint64_t           next = 0;
	unsigned           pieces = 0, n = 0;
	bool               more = true;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	v = attach(w, "v", none);
	for (unsigned i = 0; i < SIZE / 4096; i += 2)
		fill(v, 'x', i * 4096ull, 4096);
	while (more) {
		json_t *r, *x, *extents;
		size_t  i;

		text(params, sizeof(params), "{\"from\":\"v@a\",\"to\":\"v\","
		     "\"offset\":%llu}", (unsigned long long)next);
		r = must(w, "snapshot.diff", params);
		extents = json_object_get(r, "extents");
		assert_in_range(json_array_size(extents), 1, 1000);
		json_array_foreach(extents, i, x) {
			assert_int_equal(json_integer_value(json_object_get(
						 x, "offset")), n * 8192);
			assert_int_equal(json_integer_value(json_object_get(
						 x, "length")), 4096);
			assert_true(json_is_false(json_object_get(x, "zero")));
			n++;
		}
		next = (uint64_t)json_integer_value(json_object_get(r, "next"));
		more = json_is_true(json_object_get(r, "more"));
		pieces++;
		json_decref(r);
	}
	assert_int_equal(n, 512);
	assert_int_equal(next, SIZE);
	assert_int_equal(pieces, 2);
	detach(v);
}

static void test_refused(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\",\"w@b\"]}");
	refused(w, "snapshot.diff", "{\"from\":\"v@b\",\"to\":\"v@a\"}",
		"EINVAL", "older one comes first");
	refused(w, "snapshot.diff", "{\"from\":\"v\",\"to\":\"v@a\"}",
		"EINVAL", "older one comes first");
	refused(w, "snapshot.diff", "{\"from\":\"v\",\"to\":\"v\"}", "EINVAL",
		"itself");
	refused(w, "snapshot.diff", "{\"from\":\"w@b\",\"to\":\"v@b\"}",
		"EINVAL", "not of one volume");
	refused(w, "snapshot.diff", "{\"from\":\"v@c\",\"to\":\"v@b\"}",
		"ENOENT", "'v@c' does not exist");
	refused(w, "snapshot.diff", "{\"from\":\"v@a\",\"to\":\"\"}", "ENOENT",
		"does not exist");
	must_do(w, "snapshot.diff", "{\"from\":\"v@a\",\"to\":\"v@b\"}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_bitmaps), T(test_pieces), T(test_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
