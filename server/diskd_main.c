/* server/diskd_main.c - tarn-diskd: export files and block devices of this
 * machine over NBD, for a pool or for anybody else.
 *
 * It has no configuration and no state: everything is on the command line.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/version.h"
#include "server/config.h"
#include "server/export_disk.h"
#include "server/nbd.h"
#include "server/sockaddr.h"

#define LISTEN_MAX     16
#define RING_ENTRIES   512
#define BUFFERS_BYTES  ((size_t)256 << 20)
#define DRAIN_NS       (5 * NS_PER_S)
#define EXIT_USAGE     2

struct options {
	const char  *listen[LISTEN_MAX]; /* where, as given */
	unsigned     nlisten;
	const char **names;     /* of the exports, in order; as many as files */
	unsigned     nnames;
	char       **files;     /* paths */
	unsigned     nfiles;
	bool         read_only;
	bool         insecure;  /* listen where others can reach it */
};

struct diskd {
	struct io           *io;
	struct bufpool      *bufs;
	struct export_disks *disks;
	struct nbd_server   *srv;
	struct io_req        signal;   /* poll on the signalfd */
	bool                 stopping;
	bool                 stopped;  /* the server is gone */
};

static const char usage_text[] =
	"Usage: tarn-diskd FILE... --listen WHERE [--listen WHERE]...\n"
	"Export files and block devices of this machine over NBD.\n"
	"\n"
	"  FILE            a file or block device; the last part of its\n"
	"                  path is the export's name, the first is also\n"
	"                  the default export\n"
	"  --listen WHERE  ADDR:PORT, [ADDR6]:PORT or unix:PATH\n"
	"  --name NAME     of the first FILE's export; again for the next\n"
	"  --read-only     refuse to write\n"
	"  --insecure      allow an ADDR that other machines can reach:\n"
	"                  nothing is encrypted, nobody has to log in\n"
	"  --help          show this and exit\n"
	"  --version       show the version and exit\n";

__attribute__((format(printf, 1, 2))) static void complain(const char *fmt, ...)
{
	va_list ap;

	fputs("tarn-diskd: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void log_line(void *arg, const char *line)
{
	(void)arg;
	complain("%s", line);
}

/* --- command line -------------------------------------------------------- */

enum {
	OPT_LISTEN = 256,
	OPT_NAME,
	OPT_READ_ONLY,
	OPT_INSECURE,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "insecure", no_argument, NULL, OPT_INSECURE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* Exit status, or -1 to go on. */
static int option(struct options *o, int opt)
{
	switch (opt) {
	case OPT_LISTEN:
		if (o->nlisten == LISTEN_MAX) {
			complain("--listen may be given %d times at most",
				 LISTEN_MAX);
			return EXIT_USAGE;
		}
		o->listen[o->nlisten++] = optarg;
		return -1;
	case OPT_NAME:
		o->names[o->nnames++] = optarg;
		return -1;
	case OPT_READ_ONLY:
		o->read_only = true;
		return -1;
	case OPT_INSECURE:
		o->insecure = true;
		return -1;
	case OPT_HELP:
		fputs(usage_text, stdout);
		return EXIT_SUCCESS;
	case OPT_VERSION:
		puts("tarn-diskd " TARN_VERSION);
		return EXIT_SUCCESS;
	default: /* getopt has said what is wrong */
		complain("see tarn-diskd --help");
		return EXIT_USAGE;
	}
}

static int check_options(const struct options *o)
{
	char                  err[SOCKADDR_ERR_BYTES];
	struct sockaddr_place place;

	if (o->nfiles == 0) {
		complain("no FILE to export: see tarn-diskd --help");
		return EXIT_USAGE;
	}
	if (o->nlisten == 0) {
		complain("nowhere to listen: add --listen ADDR:PORT or "
			 "--listen unix:PATH");
		return EXIT_USAGE;
	}
	if (o->nnames > o->nfiles) {
		complain("%u names for %u files: give one --name a file at "
			 "most",
			 o->nnames, o->nfiles);
		return EXIT_USAGE;
	}
	for (unsigned i = 0; i < o->nlisten; i++) {
		if (sockaddr_parse(o->listen[i], &place, err) < 0) {
			complain("%s", err);
			return EXIT_USAGE;
		}
		if (!o->insecure && !sockaddr_is_local(&place)) {
			complain("other machines can reach %s, and there is "
				 "no encryption: add --insecure if the "
				 "network is trusted",
				 o->listen[i]);
			return EXIT_USAGE;
		}
	}
	return -1;
}

/* Exit status, or -1 to go on. */
static int parse(struct options *o, int argc, char **argv)
{
	int opt, r;

	o->names = calloc((size_t)argc + 1, sizeof(o->names[0]));
	if (o->names == NULL) {
		complain("no memory");
		return EXIT_FAILURE;
	}
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		r = option(o, opt);
		if (r >= 0)
			return r;
	}
	o->files = argv + optind;
	o->nfiles = (unsigned)(argc - optind);
	return check_options(o);
}

/* --- running ------------------------------------------------------------- */

static void server_closed(void *arg)
{
	struct diskd *d = arg;

	d->stopped = true;
}

static void signal_done(struct io_req *req)
{
	struct diskd           *d = container_of(req, struct diskd, signal);
	struct signalfd_siginfo si;

	if (req->res < 0 || d->stopped)
		return;
	if (read(req->fd, &si, sizeof(si)) == (ssize_t)sizeof(si) &&
	    !d->stopping) {
		d->stopping = true;
		nbd_server_close(d->srv, DRAIN_NS, server_closed, d);
	}
	io_submit(d->io, req);
}

static int watch_signals(struct diskd *d)
{
	sigset_t set;
	int      fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	d->signal.op = IO_POLL;
	d->signal.fd = fd;
	d->signal.len = POLLIN;
	d->signal.done = signal_done;
	io_submit(d->io, &d->signal);
	return 0;
}

static int add_files(struct diskd *d, const struct options *o)
{
	char err[EXPORT_DISK_ERR_BYTES];
	int  r;

	for (unsigned i = 0; i < o->nfiles; i++) {
		r = export_disks_add(d->disks, o->files[i],
				     i < o->nnames ? o->names[i] : NULL, err);
		if (r < 0) {
			complain("%s", err);
			return r;
		}
	}
	return 0;
}

static int start(struct diskd *d, const struct options *o)
{
	struct nbd_server_params params = { .extended_headers = true };
	char                     err[SOCKADDR_ERR_BYTES];
	int                      r;

	r = nbd_server_open(d->io, d->bufs, export_disks_source(d->disks),
			    &params, log_line, NULL, &d->srv);
	if (r < 0) {
		complain("cannot start: %s", strerror(-r));
		return r;
	}
	for (unsigned i = 0; i < o->nlisten; i++) {
		r = nbd_server_listen(d->srv, o->listen[i], err);
		if (r < 0) {
			complain("%s", err);
			return r;
		}
	}
	r = watch_signals(d);
	if (r < 0)
		complain("cannot watch signals: %s", strerror(-r));
	return r;
}

/* Turn the loop until the server has closed. */
static int run(struct diskd *d)
{
	while (!d->stopped) {
		int r = io_run(d->io, UINT64_MAX);

		if (r < 0) {
			complain("the event loop failed: %s", strerror(-r));
			return r;
		}
	}
	return 0;
}

static int serve(struct diskd *d, const struct options *o)
{
	int r = start(d, o);

	if (r < 0) {
		/* Nobody is connected: closing takes a turn or two. */
		if (d->srv != NULL)
			nbd_server_close(d->srv, 0, server_closed, d);
		else
			d->stopped = true;
		(void)run(d);
		return r;
	}
	r = run(d);
	/* The poll on the signalfd is the last thing in flight. */
	io_cancel(d->io, &d->signal);
	while (r == 0 && d->signal.inflight)
		r = io_run(d->io, UINT64_MAX);
	return r;
}

static int serve_with_engine(struct diskd *d, const struct options *o)
{
	int r = bufpool_open(BUFFERS_BYTES, &d->bufs);

	if (r < 0) {
		complain("no memory for buffers");
		return r;
	}
	r = export_disks_open(d->io, o->read_only, &d->disks);
	if (r < 0) {
		complain("no memory");
		goto err_bufs;
	}
	r = add_files(d, o);
	if (r == 0)
		r = serve(d, o);
	export_disks_close(d->disks);
err_bufs:
	bufpool_close(d->bufs);
	return r;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct diskd   d = { 0 };
	int            r = parse(&o, argc, argv);

	if (r < 0) {
		r = io_uring_engine_open(RING_ENTRIES, &d.io);
		io_uring_engine_patient();
		if (r < 0) {
			complain("io_uring is not to be had here (%s): allow "
				 "it in the kernel and in the sandbox",
				 strerror(-r));
		} else {
			r = serve_with_engine(&d, &o);
			io_uring_engine_close(d.io);
		}
		r = r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	free(o.names);
	return r;
}
