/* server/tarnd_exports.c - NBD: the listeners, and what they offer.
 *
 * The NBD server sees one source for as long as it lives; behind it are the
 * volumes and snapshots of the open pool, or nothing.
 */
#include <errno.h>
#include <string.h>

#include "server/tarnd.h"

#define RETRY_NS NS_PER_S

static struct export_source *current(struct export_source *src)
{
	struct tarnd *t = container_of(src, struct tarnd, exports);

	return t->hosted.state == HOSTED_OPEN ? t->hosted.source : NULL;
}

static bool exports_next(struct export_source *src, uint64_t *cursor,
			 struct export_info *ret_info)
{
	struct export_source *s = current(src);

	return s != NULL && s->ops->next(s, cursor, ret_info);
}

static int exports_info(struct export_source *src, const char *name,
			struct export_info *ret_info)
{
	struct export_source *s = current(src);

	return s != NULL ? s->ops->info(s, name, ret_info) : -ENOENT;
}

static int exports_bitmap(struct export_source *src, const char *name,
			  const char *bitmap, struct export_bitmap *ret_bitmap)
{
	struct export_source *s = current(src);

	return s != NULL ? s->ops->bitmap(s, name, bitmap, ret_bitmap) :
			   -ENOENT;
}

static int exports_open(struct export_source *src, const char *name,
			struct export **ret_exp)
{
	struct export_source *s = current(src);

	return s != NULL ? s->ops->open(s, name, ret_exp) : -ENOENT;
}

static const struct export_source_ops exports_ops = {
	.next = exports_next,
	.info = exports_info,
	.bitmap = exports_bitmap,
	.open = exports_open,
};

static void nbd_log(void *arg, const char *line)
{
	tarnd_log(arg, "nbd: %s", line);
}

static void nbd_closed(void *arg)
{
	struct tarnd *t = arg;

	t->nbd_closing = false;
	hosted_end_step(t);
	tarnd_check_stopped(t);
}

int tarnd_nbd_start(struct tarnd *t)
{
	struct nbd_server_params params = {
		.connections_max = (unsigned)t->cfg->connections_max,
		.extended_headers = true,
	};
	char err[200];
	int  r;

	if (t->nbd_closing)
		return -EBUSY;
	r = nbd_server_open(t->io, t->bufs, &t->exports, &params, nbd_log, t,
			    &t->nbd);
	if (r < 0) {
		tarnd_log(t, "cannot start the NBD server: %s", strerror(-r));
		return r;
	}
	for (unsigned i = 0; i < t->cfg->listen.n; i++) {
		r = nbd_server_listen(t->nbd, t->cfg->listen.items[i], err);
		if (r < 0) {
			tarnd_log(t, "%s", err);
			tarnd_nbd_stop(t, 0);
			return r;
		}
	}
	return 0;
}

void tarnd_nbd_stop(struct tarnd *t, uint64_t drain_ns)
{
	struct nbd_server *srv = t->nbd;

	io_timer_cancel(t->io, &t->nbd_retry);
	if (srv == NULL)
		return;
	t->nbd = NULL;
	t->nbd_closing = true;
	nbd_server_close(srv, drain_ns, nbd_closed, t);
}

void tarnd_nbd_restart(struct tarnd *t)
{
	if (t->stopping || t->nbd != NULL)
		return;
	if (tarnd_nbd_start(t) < 0)
		io_timer_arm(t->io, &t->nbd_retry,
			     io_now_ns(t->io) + RETRY_NS);
}

static void nbd_retry(struct io_timer *timer)
{
	tarnd_nbd_restart(container_of(timer, struct tarnd, nbd_retry));
}

void tarnd_exports_init(struct tarnd *t)
{
	t->exports.ops = &exports_ops;
	io_timer_init(&t->nbd_retry, nbd_retry);
}
