/* server/inventory.c - judging what a probe found.
 *
 *	label of ours, usable       MEMBER
 *	label of ours, otherwise    DAMAGED
 *	libblkid knows a word       FOREIGN
 *	any byte is not zero        FOREIGN ("unknown data": it may be
 *	                            somebody's encrypted disk)
 *	all zeros at both ends      BLANK
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/size.h"
#include "base/util.h"
#include "io/place_parse.h"
#include "server/inventory.h"

struct scan {
	struct io     *io;
	struct io_work work; /* answers a scan of nothing */
	void         (*done)(struct inventory *inv, void *arg);
	void          *arg;
};

const char *found_state_name(enum found_state state)
{
	static const char *const names[] = {
		[FOUND_BLANK] = "blank",     [FOUND_MEMBER] = "member",
		[FOUND_DAMAGED] = "damaged", [FOUND_FOREIGN] = "foreign",
		[FOUND_UNREACHABLE] = "unreachable",
	};

	return names[state];
}

const char *inventory_reason(const char *place, const char *error_text)
{
	size_t len = strlen(place);

	if (strncmp(error_text, place, len) == 0 &&
	    strncmp(error_text + len, ": ", 2) == 0)
		return error_text + len + 2;
	return error_text;
}

/* --- judging ------------------------------------------------------------- */

static bool all_zero(const uint8_t *buf, size_t len_bytes)
{
	if (buf == NULL || len_bytes == 0)
		return true;
	return buf[0] == 0 && memcmp(buf, buf + 1, len_bytes - 1) == 0;
}

static void judge_content(const struct place_export *e, struct found_disk *d)
{
	if (e->head != NULL && e->head_bytes >= LABEL_AREA_BYTES)
		label_summarize(e->head, e->tail, &d->label);
	if (d->label.is_tarn) {
		d->state = d->label.error == 0 ? FOUND_MEMBER : FOUND_DAMAGED;
		return;
	}
	if (e->content[0] != '\0') {
		d->state = FOUND_FOREIGN;
		snprintf(d->content, sizeof(d->content), "%s", e->content);
	} else if (!all_zero(e->head, e->head_bytes) ||
		   !all_zero(e->tail, e->head_bytes)) {
		d->state = FOUND_FOREIGN;
		snprintf(d->content, sizeof(d->content), "unknown data");
	} else {
		d->state = FOUND_BLANK;
	}
}

/* Why it may not become a member without force; d->why stays "" if it may. */
static void judge_use(struct found_disk *d)
{
	char size[SIZE_TEXT_BYTES];

	if (d->read_only)
		snprintf(d->why, sizeof(d->why), "it is read-only");
	else if (d->size_bytes < INVENTORY_DISK_MIN_BYTES)
		snprintf(d->why, sizeof(d->why),
			 "it is too small: %s, and a disk needs at least 32M",
			 size_text(d->size_bytes, size));
	else if (d->size_bytes > DISK_BYTES_MAX)
		snprintf(d->why, sizeof(d->why), "its server says a size of "
						 "more than 2^60 bytes");
	else if (d->state == FOUND_MEMBER)
		snprintf(d->why, sizeof(d->why), "it belongs to pool '%s'",
			 d->label.pool_name);
	else if (d->state == FOUND_DAMAGED)
		snprintf(d->why, sizeof(d->why),
			 "it carries labels of a pool that cannot be used: %s",
			 d->label.error_text);
	else if (d->state == FOUND_FOREIGN)
		snprintf(d->why, sizeof(d->why), "it holds %s", d->content);
	else if (!d->can_flush)
		snprintf(d->why, sizeof(d->why),
			 "its server does not offer FLUSH, so nothing on it "
			 "would survive a power cut for certain");
}

void inventory_judge(const struct place_export *e, struct found_disk *ret)
{
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->place, sizeof(ret->place), "%s", e->place);
	snprintf(ret->host, sizeof(ret->host), "%s", e->host);
	snprintf(ret->export, sizeof(ret->export), "%s", e->export);
	ret->size_bytes = e->size_bytes;
	ret->read_only = e->read_only;
	ret->can_flush = e->can_flush;
	if (e->error != 0) {
		ret->state = FOUND_UNREACHABLE;
		ret->error = e->error;
		snprintf(ret->why, sizeof(ret->why), "%s",
			 e->error_text[0] != '\0'
				 ? inventory_reason(e->place, e->error_text)
				 : strerror(-e->error));
		return;
	}
	judge_content(e, ret);
	judge_use(ret);
	ret->usable = ret->why[0] == '\0';
}

/* --- scanning ------------------------------------------------------------ */

static void finish(struct scan *s, struct place_list *list)
{
	struct inventory *inv = calloc(1, sizeof(*inv));

	if (inv == NULL)
		abort(); /* a few bytes; there is nobody to tell */
	if (list != NULL && list->nexports > 0) {
		inv->disks = calloc(list->nexports, sizeof(inv->disks[0]));
		if (inv->disks != NULL)
			inv->ndisks = list->nexports;
	}
	for (unsigned i = 0; i < inv->ndisks; i++)
		inventory_judge(&list->exports[i], &inv->disks[i]);
	if (list != NULL)
		place_list_free(list);
	s->done(inv, s->arg);
	free(s);
}

static void probed(struct place_list *list, void *arg)
{
	finish(arg, list);
}

static void scanned_nothing(struct io_work *w)
{
	finish(container_of(w, struct scan, work), NULL);
}

int inventory_scan(struct io *io, const char *const *places, unsigned nplaces,
		   uint64_t deadline_ns,
		   void (*done)(struct inventory *inv, void *arg), void *arg)
{
	struct scan *s = calloc(1, sizeof(*s));
	int          r;

	if (s == NULL)
		return -ENOMEM;
	s->io = io;
	s->done = done;
	s->arg = arg;
	io_work_init(&s->work, scanned_nothing);
	if (nplaces == 0) {
		io_defer(io, &s->work);
		return 0;
	}
	r = places_probe(io, places, nplaces, LABEL_AREA_BYTES, deadline_ns,
			 probed, s);
	if (r < 0)
		free(s);
	return r;
}

void inventory_free(struct inventory *inv)
{
	if (inv == NULL)
		return;
	free(inv->disks);
	free(inv);
}

/* --- one disk under two names -------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	if (strcmp(a, b) == 0)
		return true;
	if (stat(a, &sa) < 0 || stat(b, &sb) < 0)
		return false;
	if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode))
		return sa.st_rdev == sb.st_rdev;
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static const char *plain_host(const char *host)
{
	return strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
}

bool inventory_same_place(const char *a, const char *b)
{
	struct place_addr pa, pb;
	char              err[PLACE_ERR_BYTES];

	if (strcmp(a, b) == 0)
		return true;
	if (place_parse(a, &pa, err) < 0 || place_parse(b, &pb, err) < 0 ||
	    pa.kind != pb.kind)
		return false;
	if (pa.kind == PLACE_PATH)
		return same_file(pa.path, pb.path);
	if (strcmp(pa.export, pb.export) != 0)
		return false;
	if (pa.path[0] != '\0' || pb.path[0] != '\0')
		return pa.path[0] != '\0' && pb.path[0] != '\0' &&
		       same_file(pa.path, pb.path);
	place_host(&pa, pa.host, sizeof(pa.host));
	place_host(&pb, pb.host, sizeof(pb.host));
	return strcmp(plain_host(pa.host), plain_host(pb.host)) == 0 &&
	       strcmp(pa.port, pb.port) == 0;
}

bool inventory_same_disk(const struct found_disk *a,
			 const struct found_disk *b)
{
	if (a->label.is_tarn && b->label.is_tarn && a->label.error == 0 &&
	    b->label.error == 0 && uuid_equal(&a->label.disk, &b->label.disk))
		return true;
	return inventory_same_place(a->place, b->place);
}
