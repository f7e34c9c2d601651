/* Snapshots, offline: a chain that is right is clean, and the state after the
 * log is what was written; what contradicts itself is found; what cannot be
 * read is lost, and no contradiction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/image_builder.h"
#include "tools/check/check.h"

/* --- running ------------------------------------------------------------- */

struct found {
	const char         *text;     /* wanted */
	enum check_severity severity;
	unsigned            hits, worst;
	char                all[32768];
	const struct image *im;
	unsigned            nvolumes, nblocks, wrong;
};

static void report(void *arg, enum check_severity sev, const char *text)
{
	struct found *f = arg;
	size_t len = strlen(f->all);

	snprintf(f->all + len, sizeof(f->all) - len, "  %d %s\n", sev, text);
	f->hits += sev == f->severity && strstr(text, f->text) != NULL;
	if (sev > f->worst)
		f->worst = sev;
}

static const struct img_vol *vol_of(const struct found *f, uint32_t id)
{
	for (unsigned v = 0; v < IMG_VOLS; v++) {
		if (f->im->vols[v].id == id && f->im->vols[v].state == 1)
			return &f->im->vols[v];
	}
	return NULL;
}

static void volume(void *arg, uint32_t id, const char *name, uint64_t size)
{
	struct found *f = arg;
	const struct img_vol *v = vol_of(f, id);
	char want[160];

	snprintf(want, sizeof(want), "%s%s", id == 1 ? "" : "alpha@",
		 v == NULL ? "" : v->name);
	f->nvolumes++;
	f->wrong += v == NULL || strcmp(name, want) != 0 ||
		    size != v->size_blocks * 4096;
}

static void block(void *arg, uint32_t id, uint64_t b, const void *data)
{
	struct found *f = arg;
	const struct img_vol *v = vol_of(f, id);
	uint8_t want[4096];

	f->nblocks++;
	if (v == NULL || v->map[b].seed == 0) {
		f->wrong++;
		return;
	}
	image_pattern(1, b, v->map[b].seed, want);
	f->wrong += data != NULL && memcmp(want, data, 4096) != 0;
}

static int run(struct image *im, struct found *f, bool quick,
	       struct check_report *rep)
{
	struct check_source *disks[POOL_UNITS_MAX];
	struct check_options opt = { .report = report, .volume = volume,
				     .block = block, .arg = f,
				     .quick = quick };

	f->im = im;
	for (uint32_t i = 0; i < im->ndisks; i++)
		disks[i] = &im->disks[i].source;
	return tarn_check_run(disks, im->ndisks, &opt, rep);
}

/* --- what is right ------------------------------------------------------- */

/* Entries of trees that are ready; places, each once, of all trees. */
static unsigned entries(const struct image *im)
{
	unsigned n = 0;

	for (unsigned v = 0; v < IMG_VOLS; v++) {
		for (unsigned b = 0; b < IMG_VOL_BLOCKS; b++)
			n += im->vols[v].state == 1 &&
			     im->vols[v].map[b].place != 0;
	}
	return n;
}

static unsigned places(const struct image *im)
{
	unsigned n = 0;

	for (unsigned s = 1; s < IMG_SEGS; s++)
		n += s == IMG_SEG_COMMIT ? 0 : im->segs[s].live;
	return n;
}

static void check_clean(uint32_t k, uint32_t m, bool closed, bool quick)
{
	struct image *im = image_build_snaps(k, m, closed, NULL, NULL);
	struct found *f = calloc(1, sizeof(*f));
	struct check_report rep;
	int r;

	f->text = "";
	r = run(im, f, quick, &rep);
	if (r != 0)
		print_error("%u+%u: %d\n%s", k, m, r, f->all);
	assert_int_equal(r, 0);
	assert_int_equal(f->wrong, 0);
	assert_int_equal(f->nvolumes, 2);
	assert_int_equal(rep.volumes, 1);
	assert_int_equal(rep.snapshots, 1);
	assert_int_equal(f->nblocks, entries(im));
	assert_int_equal(rep.mapped_blocks, places(im));
	assert_int_equal(rep.log_end, im->row);
	image_free(im);
	free(f);
}

static const struct {
	uint32_t k, m;
} shapes[] = { { 1, 0 }, { 1, 1 }, { 2, 1 }, { 4, 2 } };

static void test_clean(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (unsigned how = 0; how < 4; how++)
			check_clean(shapes[i].k, shapes[i].m, how & 1,
				    how & 2);
	}
}

/* --- what is wrong ------------------------------------------------------- */

struct damage {
	const char *name;
	/* A field, before the checksum is made. */
	enum img_what what;
	uint32_t    id, off, size;
	uint64_t    value;
	/* Or records at the end of the log. */
	void (*fn)(struct image *im);
	const char *text; /* of an error; NULL: it is none */
};

static void damage_hook(struct image *im, enum img_what what, uint64_t id,
			void *buf)
{
	const struct damage *d = im->hook_arg;

	if (d->size != 0 && d->what == what && d->id == id)
		memcpy((uint8_t *)buf + d->off, &d->value, d->size);
}

static void del(struct image *im, uint32_t id)
{
	image_catalog(im, 259, id, NULL, 0);
}

static void reap(struct image *im, uint32_t id, uint64_t cursor)
{
	image_catalog(im, 260, id, &cursor, 8);
}

/* A group of one or two. */
static void snap(struct image *im, uint32_t id, uint32_t v1, uint32_t v2,
		 const char *name)
{
	uint8_t body[96] = { 0 };
	uint16_t len = (uint16_t)strlen(name), n = (uint16_t)(30 + len);

	memcpy(body + 8, &v1, 4);
	memset(body + 12, (int)id, 16);
	memcpy(body + 28, &len, 2);
	memcpy(body + 30, name, len);
	if (v2 != 0) {
		memcpy(body + n, &v2, 4);
		memset(body + n + 4, (int)id + 1, 16);
		n += 22;
	}
	image_catalog(im, 261, id, body, n);
}

static void log_name(struct image *im)
{
	snap(im, 5, 1, 0, "wed");
}

static void log_freed_name(struct image *im)
{
	snap(im, 5, 1, 0, "mon");
	del(im, 5);
}

static void log_twice(struct image *im)
{
	snap(im, 5, 1, 1, "thu");
}

static void log_of_snapshot(struct image *im)
{
	snap(im, 5, 4, 0, "thu");
}

static void log_id(struct image *im)
{
	snap(im, 3, 1, 0, "thu");
}

static void log_unnamed(struct image *im)
{
	snap(im, 5, 1, 0, "");
}

static void log_delete(struct image *im)
{
	del(im, 1);
}

static void log_free(struct image *im)
{
	del(im, 4);
	del(im, 1);
	reap(im, 1, UINT64_MAX);
}

static void log_all(struct image *im)
{
	del(im, 4);
	del(im, 1);
	reap(im, 1, 2);
	reap(im, 4, 3);
	reap(im, 2, UINT64_MAX);
	reap(im, 4, UINT64_MAX);
	reap(im, 1, UINT64_MAX);
}

static void log_back(struct image *im)
{
	reap(im, 2, 1);
}

static void log_write(struct image *im)
{
	im->vols[3].volume = 0;
	image_write(im, IMG_SEG_DATA, 3, 0, 1, 60);
}

#define NODE_ENTRY(id) IMG_PAGE, TABLE_NODES, 32 * (id)
#define SLOT(i)        IMG_PAGE, TABLE_CATALOG, 512 * (i)

static const struct damage damages[] = {
	/* Nodes. */
	{ "node young", NODE_ENTRY(3) + 20, 4, 2,
	  .text = "against snapshot 2 of volume 1: node 3 (level 0, index 2, "
		  "birth 2) is younger, and the one there" },
	{ "node to come", NODE_ENTRY(1) + 20, 4, 2,
	  .text = "snapshot 2 of volume 1: node 1 (level 0, index 0) is of "
		  "birth 2, still to come" },
	{ "node old", NODE_ENTRY(8) + 20, 4, 1,
	  .text = "node 8 (level 0, index 0, birth 1) is not younger" },
	{ "node refs", NODE_ENTRY(3) + 12, 4, 2,
	  .text = "node 3: 2 references counted, 1 found" },
	{ "node leaked", NODE_ENTRY(5) + 12, 4, 1,
	  .text = "node 5 (level 0, index 0, family 0) is in use, but" },
	{ "node of none", IMG_NODE, 9, 8, 4, 2,
	  .text = "node 2 (level 0, index 1, birth 1) is not younger, and" },
	/* Leaves. */
	{ "entry young", IMG_NODE, 8, 8, 4, 3,
	  .text = "against snapshot 2 of volume 1: 1 entries are younger" },
	{ "entry old", IMG_NODE, 8, 6 * 16 + 8, 4, 1,
	  .text = "1 entries are not younger than it" },
	{ "entry crc", IMG_NODE, 8, 12, 4, 1,
	  .text = "1 entries are there with another checksum" },
	{ "entry of the older", IMG_NODE, 10, 38 * 16 + 8, 4, 2,
	  .text = "against snapshot 3 of volume 1: 1 entries are not "
		  "younger" },
	{ "entry birth", IMG_NODE, 10, 28 * 16 + 8, 4, 2,
	  .text = "1 entries are there with another checksum or birth" },
	/* What is below the cursor means nothing, what is not does. */
	{ "gone", IMG_NODE, 6, 0, 4, 9999, .text = NULL },
	{ "not gone", IMG_NODE, 6, 8, 4, 9999,
	  .text = "snapshot 3 of volume 1 points to node 9999" },
	{ "cursor", SLOT(2) + 64, 8, 0,
	  .text = "snapshot 3 of volume 1 points to node 5, which is free" },
	{ "cursor range", SLOT(2) + 64, 8, 600, .text = "cursor is out of" },
	{ "cursor ready", SLOT(1) + 64, 8, 1, .text = "cursor is out of" },
	/* Counts. */
	{ "mapped", SLOT(1) + 56, 8, 7,
	  .text = "snapshot 2 of volume 1: the catalog counts 7 mapped" },
	{ "mapped deleting", SLOT(2) + 56, 8, 7, .text = NULL },
	{ "root mapped", IMG_ROOT, 0, 200 + 4 * 16 + 8 + 16 + 24, 8, 7,
	  .text = "counts 7 mapped" },
	/* Chains. */
	{ "no origin", SLOT(0) + 52, 4, 0,
	  .text = "snapshot 3 of volume 1: no tree derives from it" },
	{ "origin of two", SLOT(0) + 52, 4, 2,
	  .text = "snapshot 2, is the origin of another tree already" },
	{ "origin itself", SLOT(2) + 52, 4, 3, .text = "3, is not older" },
	{ "origin volume", SLOT(2) + 52, 4, 1, .text = "1, is no snapshot" },
	{ "origin none", SLOT(2) + 52, 4, 9, .text = "9, does not exist" },
	{ "birth", SLOT(2) + 48, 4, 1, .text = "snapshot 2, is not older" },
	{ "volume", SLOT(1) + 76, 4, 3, .text = "that is a snapshot itself" },
	{ "no volume", SLOT(1) + 76, 4, 7, .text = "volume does not exist" },
	{ "volume 0", SLOT(1) + 76, 4, 0, .text = "only a snapshot is one" },
	{ "family", SLOT(1) + 40, 4, 2, .text = "is of another volume" },
	{ "head", SLOT(0) + 5, 1, 2, .text = "that volume is being deleted" },
	/* Records. */
	{ "log name", .fn = log_name, .text = "a name that another one has" },
	{ "log freed name", .fn = log_freed_name, .text = NULL },
	{ "log twice", .fn = log_twice, .text = "two snapshots of a volume" },
	{ "log of one", .fn = log_of_snapshot, .text = "of what is no volume" },
	{ "log id", .fn = log_id, .text = "an id that there is" },
	{ "log unnamed", .fn = log_unnamed, .text = "names its snapshots" },
	{ "log delete", .fn = log_delete, .text = "that has snapshots" },
	{ "log free", .fn = log_free, .text = "before its snapshots" },
	{ "log all", .fn = log_all, .text = NULL },
	{ "log back", .fn = log_back, .text = "reaps backwards" },
	{ "log write", .fn = log_write,
	  .text = "writes to snapshot 4 of volume 1" },
};

static unsigned damage_try(const struct damage *d)
{
	struct image *im = image_build_snaps(1, 1, d->what == IMG_PAGE ||
						   d->what == IMG_NODE,
					     damage_hook, (void *)d);
	struct found *f = calloc(1, sizeof(*f));
	struct check_report rep;
	unsigned bad = 0;
	int r;

	if (d->fn != NULL) {
		image_free(im);
		im = image_build_snaps(1, 1, false, NULL, NULL);
		d->fn(im);
	}
	f->severity = CHECK_ERROR;
	f->text = d->text == NULL ? "" : d->text;
	r = run(im, f, false, &rep);
	if ((d->text == NULL) != (r == 0) || (f->hits == 0) != (r == 0)) {
		print_error("%s: %d, wanted \"%s\", found\n%s", d->name, r,
			    f->text, f->all);
		bad = 1;
	}
	if (d->fn == log_all && rep.mapped_blocks != 0) {
		print_error("%s: %llu blocks are left\n", d->name,
			    (unsigned long long)rep.mapped_blocks);
		bad = 1;
	}
	image_free(im);
	free(f);
	return bad;
}

static void test_damages(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
		bad += damage_try(&damages[i]);
	assert_int_equal(bad, 0);
}

/* A node that cannot be had is lost for each tree that has it, and nothing is
 * said about what could not be compared with it. */
static void test_lost(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * IMG_NODES; i++) {
		struct image *im = image_build_snaps(1, 1, i % 2, NULL, NULL);
		struct found *f = calloc(1, sizeof(*f));
		uint64_t place = im->node_place[i / 2];
		struct check_report rep;

		f->severity = CHECK_LOST;
		f->text = "cannot be had";
		for (uint32_t u = 0; u < 2 && place != 0; u++)
			image_at(im, IMG_SEG_COMMIT, u,
				 (uint32_t)(place % IMG_ZONE_BLOCKS))[3] ^= 1;
		run(im, f, false, &rep);
		if (rep.nerrors > 0 || (place != 0) != (f->hits > 0)) {
			print_error("node %u lost:\n%s", i / 2, f->all);
			fail();
		}
		image_free(im);
		free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_damages),
		cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
