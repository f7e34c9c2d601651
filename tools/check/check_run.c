/* tools/check/check_run.c - the steps of a check, one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_tree.h"

int ck_init(struct ck *ck, struct check_source *const *disks, unsigned n,
	    const struct check_options *opt, struct check_report *rep)
{
	memset(ck, 0, sizeof(*ck));
	memset(rep, 0, sizeof(*rep));
	ck->opt = opt;
	ck->rep = rep;
	if (n == 0 || n > 4 * POOL_MEMBERS_MAX)
		return -EINVAL;
	ck->disks = ck_alloc(ck, n, sizeof(*ck->disks));
	ck->io_buf = ck_alloc(ck, CK_IO_BLOCKS, TARN_BLOCK);
	if (ck->disks == NULL || ck->io_buf == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		ck->disks[i].src = disks[i];
		ck->disks[i].member = CK_NO_MEMBER;
	}
	ck->ndisks = n;
	return 0;
}

static void segment_free(struct ck_segment *s)
{
	for (uint32_t i = 0; i < s->nrows; i++)
		ck_row_free(s->rows[i]);
	free(s->rows);
	free(s->owned);
	free(s->live_now);
}

static void table_free(struct ck_table *t)
{
	for (uint32_t i = 0; t->pages != NULL && i < t->npages; i++)
		free(t->pages[i]);
	free(t->pages);
	free(t->lost);
	free(t->refs);
	free(t->index);
}

void ck_fini(struct ck *ck)
{
	ck_layers_free(ck);
	ck_path_free(ck);
	for (uint32_t i = 0; i < ck->nsegs && ck->segs != NULL; i++)
		segment_free(&ck->segs[i]);
	for (uint32_t i = 0; i < ck->nboot; i++)
		segment_free(&ck->boot[i]);
	for (uint32_t i = 0; i < ROOT_KINDS; i++)
		table_free(&ck->tables[i]);
	for (uint32_t i = 0; i < ck->ndisks; i++)
		ck_label_free(ck->disks[i].label);
	free(ck->segs);
	free(ck->boot);
	free(ck->nodes);
	free(ck->vols);
	free(ck->trees);
	free(ck->root);
	free(ck->disks);
	free(ck->io_buf);
}

/* Labels, root and segment table: what tarn-dump needs too. */
int ck_open(struct ck *ck)
{
	int r = ck_labels(ck);

	if (r == 0)
		r = ck_root(ck);
	if (r == 0 && ck->rooted)
		r = ck_table_load(ck, TABLE_SEGMENTS);
	if (r == 0)
		r = ck_segments(ck);
	for (uint32_t kind = 0; kind < ROOT_KINDS && r == 0; kind++) {
		if (ck->rooted && kind != TABLE_SEGMENTS)
			r = ck_table_load(ck, kind);
	}
	return r;
}

static int steps(struct ck *ck)
{
	int r = ck_open(ck);

	if (r < 0 || !ck->rooted)
		return r;
	r = ck_rows_all(ck);
	if (r == 0)
		r = ck_copies(ck);
	if (r < 0)
		return r;
	ck_zones_report(ck);
	ck_own_tables(ck);
	r = ck_map(ck);
	if (r == 0)
		r = ck_log(ck);
	if (r == 0)
		r = ck_data(ck);
	if (r == 0)
		ck_events(ck);
	return r;
}

int tarn_check_run(struct check_source *const *disks, unsigned n,
		   const struct check_options *opt,
		   struct check_report *ret_rep)
{
	struct ck ck;
	int r = ck_init(&ck, disks, n, opt, ret_rep);

	if (r == 0)
		r = steps(&ck);
	if (r == 0)
		r = ck.res;
	ck_fini(&ck);
	if (r < 0)
		return r;
	return ret_rep->ndamage + ret_rep->nlost + ret_rep->nerrors > 0;
}
