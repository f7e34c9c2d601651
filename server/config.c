/* server/config.c - one table of options, read from flags and from a file. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/util.h"
#include "base/version.h"
#include "server/config.h"

enum option_type {
	OPT_STRING,
	OPT_LIST,   /* several, split at commas and white space */
	OPT_BOOL,
	OPT_SIZE,   /* bytes */
	OPT_NUMBER,
};

struct option_spec {
	const char *name;
	uint8_t     type;  /* enum option_type */
	size_t      off;   /* in struct config */
	uint64_t    min, max; /* of a size or a number */
	const char *arg;   /* what --help calls its value */
	const char *doc;
};

#define FIELD(f) offsetof(struct config, f)

static const struct option_spec options[] = {
	{ "listen", OPT_LIST, FIELD(listen), 0, 0, "ADDR:PORT|unix:PATH",
	  "serve NBD there (several allowed)" },
	{ "control", OPT_STRING, FIELD(control), 0, 0, "PATH",
	  "control socket (default: $TARN_CONTROL or "
	  "/run/tarn/control.sock)" },
	{ "disks", OPT_LIST, FIELD(disks), 0, 0, "PLACE...",
	  "disks: HOST[:PORT], an NBD URI or a path (several allowed)" },
	{ "pool", OPT_STRING, FIELD(pool), 0, 0, "NAME|UUID",
	  "the pool to open (default: the only one on the disks)" },
	{ "run-dir", OPT_STRING, FIELD(run_dir), 0, 0, "DIR",
	  "for locks (default: $TARN_RUN_DIR or /run/tarn)" },
	{ "insecure", OPT_BOOL, FIELD(insecure), 0, 0, NULL,
	  "listen beyond this machine although there is no TLS" },
	{ "tls-ca-dir", OPT_STRING, FIELD(tls_ca_dir), 0, 0, "DIR",
	  "certificates for nbds:// disks" },
	{ "buffers", OPT_SIZE, FIELD(buffers_bytes), 64ull << 20, 1ull << 40,
	  "SIZE", "memory for requests in flight (default: 256M)" },
	{ "node-memory", OPT_SIZE, FIELD(node_memory_bytes), 1ull << 20,
	  1ull << 44, "SIZE", "memory for map nodes (default: 256M)" },
	{ "row-memory", OPT_SIZE, FIELD(row_memory_bytes), 4ull << 20,
	  1ull << 40, "SIZE", "memory for unflushed rows (default: 64M)" },
	{ "cache", OPT_SIZE, FIELD(cache_bytes), 0, 1ull << 44, "SIZE",
	  "memory for cached blocks, and what map nodes leave of theirs "
	  "(default: 128M; 0: none)" },
	{ "commit-log", OPT_SIZE, FIELD(commit_log_bytes), 1ull << 20,
	  1ull << 44, "SIZE", "log that starts a commit (default: 256M)" },
	{ "open-wait", OPT_NUMBER, FIELD(open_wait_s), 0, 86400, "SECONDS",
	  "wait for missing disks before opening without (default: 5)" },
	{ "disk-timeout", OPT_NUMBER, FIELD(disk_timeout_s), 1, 3600,
	  "SECONDS", "limit of a disk's request (default: 4)" },
	{ "rebuild-delay", OPT_NUMBER, FIELD(rebuild_delay_s), 1, 604800,
	  "SECONDS", "wait that long for a disk that is lost before what was "
	  "on it is made again elsewhere (default: 600)" },
	{ "disk-connections", OPT_NUMBER, FIELD(disk_lanes), 1, 64, "N",
	  "connections to one disk, where its server allows several" },
	{ "connections", OPT_NUMBER, FIELD(connections_max), 1, 65536, "N",
	  "NBD clients at once (default: 256)" },
	{ "poll", OPT_NUMBER, FIELD(poll_us), 0, 10000, "MICROSECONDS",
	  "look for work that long before sleeping, if it pays (default: 60)" },
	{ "trash-hours", OPT_NUMBER, FIELD(trash_hours), 0, 87600, "HOURS",
	  "keep deleted volumes so long, unless the space is needed (default: "
	  "24; 0: not at all)" },
	{ "drain", OPT_NUMBER, FIELD(drain_s), 0, 3600, "SECONDS",
	  "let requests end when stopping (default: 5)" },
};

/* What getopt_long() returns: options[i] is OPTION_FIRST + i. */
enum {
	OPTION_CONFIG = 256,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_FIRST,
};

static const struct option_spec *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static void *field(struct config *cfg, const struct option_spec *o)
{
	return (char *)cfg + o->off;
}

/* --- values -------------------------------------------------------------- */

static void list_clear(struct config_list *l)
{
	while (l->n > 0)
		free(l->items[--l->n]);
}

static const char *list_add(struct config_list *l, const char *name,
			    const char *value, char *ret_err)
{
	static const char sep[] = ", \t\r\n";
	const char *p = value + strspn(value, sep);

	if (*p == '\0') {
		snprintf(ret_err, 512, "%s: the value is empty", name);
		return ret_err;
	}
	while (*p != '\0') {
		size_t   len = strcspn(p, sep);
		unsigned max = strcmp(name, "listen") == 0
				       ? CONFIG_LISTEN_MAX
				       : CONFIG_PLACES_MAX;

		if (l->n == max) {
			snprintf(ret_err, 512, "%s: more than %u are given",
				 name, max);
			return ret_err;
		}
		l->items[l->n] = strndup(p, len);
		if (l->items[l->n] == NULL)
			return "out of memory";
		l->n++;
		p += len;
		p += strspn(p, sep);
	}
	return NULL;
}

static const char *set_bool(bool *ret, const char *name, const char *value,
			    char *ret_err)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*ret = strcmp(value, yes[i]) == 0;
			return NULL;
		}
	}
	snprintf(ret_err, 512, "%s: '%.100s' is neither yes nor no", name,
		 value);
	return ret_err;
}

static int parse_number(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (*text == '\0' || strlen(text) > 18)
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	*ret = n;
	return 0;
}

static const char *set_number(struct config *cfg, const struct option_spec *o,
			      const char *value, char *ret_err)
{
	uint64_t n;
	char     lo[SIZE_TEXT_BYTES], hi[SIZE_TEXT_BYTES];
	int      r;

	r = o->type == OPT_SIZE ? size_parse(value, &n)
				: parse_number(value, &n);
	if (r < 0) {
		snprintf(ret_err, 512, "%s: '%.100s' is not a %s", o->name,
			 value, o->type == OPT_SIZE
				? "size: a number, and K, M, G or T"
				: "number");
		return ret_err;
	}
	if (n >= o->min && n <= o->max) {
		*(uint64_t *)field(cfg, o) = n;
		return NULL;
	}
	if (o->type == OPT_SIZE)
		snprintf(ret_err, 512, "%s: %s is not between %s and %s",
			 o->name, value, size_text(o->min, lo),
			 size_text(o->max, hi));
	else
		snprintf(ret_err, 512, "%s: %s is not between %ju and %ju",
			 o->name, value, (uintmax_t)o->min,
			 (uintmax_t)o->max);
	return ret_err;
}

static const char *set_string(char **ret, const char *name, const char *value,
			      char *ret_err)
{
	char *copy;

	if (*value == '\0' || strlen(value) >= 4096) {
		snprintf(ret_err, 512, "%s: the value is %s", name,
			 *value == '\0' ? "empty" : "too long");
		return ret_err;
	}
	copy = strdup(value);
	if (copy == NULL)
		return "out of memory";
	free(*ret);
	*ret = copy;
	return NULL;
}

const char *config_set(struct config *cfg, const char *name, const char *value,
		       char *ret_err)
{
	const struct option_spec *o = find_option(name);

	assert(value != NULL);
	if (o == NULL) {
		snprintf(ret_err, 512, "there is no option '%.64s'", name);
		return ret_err;
	}
	switch ((enum option_type)o->type) {
	case OPT_STRING:
		return set_string(field(cfg, o), name, value, ret_err);
	case OPT_LIST:
		return list_add(field(cfg, o), name, value, ret_err);
	case OPT_BOOL:
		return set_bool(field(cfg, o), name, value, ret_err);
	case OPT_SIZE:
	case OPT_NUMBER:
		return set_number(cfg, o, value, ret_err);
	}
	return NULL;
}

/* --- the file ------------------------------------------------------------ */

struct file_reader {
	struct config *cfg;
	char           err[512]; /* the first problem, "" if none */
};

static int file_entry(void *arg, const char *section, const char *name,
		      const char *value)
{
	struct file_reader *f = arg;
	const char *problem;
	char        err[512];

	if (section[0] == '\0') {
		snprintf(f->err, sizeof(f->err),
			 "this stands in no section: begin with [tarnd]");
		return 0;
	}
	if (strcmp(section, "tarnd") != 0) {
		snprintf(f->err, sizeof(f->err),
			 "[%.64s]: there is no such section, only [tarnd]",
			 section);
		return 0;
	}
	problem = config_set(f->cfg, name, value, err);
	if (problem == NULL)
		return 1;
	snprintf(f->err, sizeof(f->err), "%s", problem);
	return 0;
}

static int read_file(struct config *cfg, const char *path)
{
	struct file_reader f = { .cfg = cfg };
	int line = ini_parse(path, file_entry, &f);

	if (line == 0)
		return 0;
	if (line < 0)
		fprintf(stderr, "tarnd: %s: cannot read it: %s\n", path,
			line == -1 ? strerror(errno) : "out of memory");
	else
		fprintf(stderr, "tarnd: %s:%d: %s\n", path, line,
			f.err[0] != '\0' ? f.err : "this is no 'name = value'");
	return -EINVAL;
}

/* --- flags --------------------------------------------------------------- */

static void print_help(void)
{
	puts("usage: tarnd --listen ADDR:PORT|unix:PATH --disks PLACE... "
	     "[OPTION...]\n\n"
	     "Pool the disks of many hosts and serve thin volumes over NBD.\n");
	printf("  --%-32s %s\n", "config FILE", "read options from [tarnd] in "
						"an INI file");
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		char left[64];

		snprintf(left, sizeof(left), "%s %s", options[i].name,
			 options[i].arg != NULL ? options[i].arg : "");
		printf("  --%-32s %s\n", left, options[i].doc);
	}
	printf("  --%-32s %s\n", "help", "print this");
	printf("  --%-32s %s\n", "version", "print the version");
	puts("\nThe same names are options in the file.  See tarnd(8).");
}

static void make_long_options(struct option *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		ret[i].name = options[i].name;
		ret[i].has_arg = options[i].type != OPT_BOOL;
		ret[i].val = OPTION_FIRST + (int)i;
	}
	ret += ARRAY_LEN(options);
	ret[0] = (struct option){ "config", 1, NULL, OPTION_CONFIG };
	ret[1] = (struct option){ "help", 0, NULL, OPTION_HELP };
	ret[2] = (struct option){ "version", 0, NULL, OPTION_VERSION };
}

static enum config_result usage(const char *problem)
{
	if (problem != NULL)
		fprintf(stderr, "tarnd: %s\n", problem);
	fprintf(stderr, "tarnd: --help lists the options\n");
	return CONFIG_USAGE;
}

/* One flag.  A list given by flags replaces the file's. */
static const char *set_flag(struct config *cfg, const struct option_spec *o,
			    const char *value, uint64_t *reset, char *ret_err)
{
	uint64_t bit = 1ull << (o - options);

	assert(o != NULL && value != NULL);
	if (o->type == OPT_LIST && (*reset & bit) == 0)
		list_clear(field(cfg, o));
	*reset |= bit;
	return config_set(cfg, o->name, value, ret_err);
}

/* First pass: --config, --help, --version and unknown flags. */
static enum config_result scan_flags(struct config *cfg, int argc, char **argv,
				     const struct option *longs)
{
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "-", longs, NULL)) != -1) {
		switch (c) {
		case OPTION_CONFIG:
			if (read_file(cfg, optarg) < 0)
				return CONFIG_USAGE;
			break;
		case OPTION_HELP:
			print_help();
			return CONFIG_DONE;
		case OPTION_VERSION:
			puts("tarnd " TARN_VERSION);
			return CONFIG_DONE;
		case '?':
			return usage(NULL);
		default:
			break;
		}
	}
	return CONFIG_RUN;
}

/* Second pass: everything else. */
static enum config_result read_flags(struct config *cfg, int argc, char **argv,
				     const struct option *longs)
{
	const struct option_spec *disks = find_option("disks");
	const struct option_spec *last = NULL;
	const char *problem = NULL;
	uint64_t reset = 0;
	char err[512];
	int  c;

	optind = 0;
	while (problem == NULL &&
	       (c = getopt_long(argc, argv, "-", longs, NULL)) != -1) {
		if (c >= OPTION_FIRST) {
			last = &options[c - OPTION_FIRST];
			problem = set_flag(cfg, last,
					   optarg != NULL ? optarg : "yes",
					   &reset, err);
		} else if (c == 1 && last == disks) {
			/* --disks A B C */
			problem = set_flag(cfg, disks, optarg, &reset, err);
		} else if (c == 1) {
			snprintf(err, sizeof(err),
				 "'%.100s' is no option: places of disks "
				 "follow --disks", optarg);
			problem = err;
		}
	}
	if (problem == NULL && optind < argc)
		problem = "arguments after -- have no meaning";
	return problem == NULL ? CONFIG_RUN : usage(problem);
}

bool config_listen_is_local(const char *where)
{
	struct in_addr in;
	char   host[128];
	const char *colon;

	if (strncmp(where, "unix:", 5) == 0)
		return true;
	colon = strrchr(where, ':');
	if (colon == NULL || (size_t)(colon - where) >= sizeof(host))
		return false;
	memcpy(host, where, (size_t)(colon - where));
	host[colon - where] = '\0';
	if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &in) == 1 &&
	       (ntohl(in.s_addr) >> 24) == 127;
}

static bool listen_ok(const char *where)
{
	const char *colon = strrchr(where, ':');
	uint64_t    port;

	if (strncmp(where, "unix:", 5) == 0)
		return where[5] != '\0';
	return colon != NULL && parse_number(colon + 1, &port) == 0 &&
	       port > 0 && port < 65536;
}

static enum config_result check(const struct config *cfg)
{
	char err[512];

	if (cfg->listen.n == 0)
		return usage("--listen is missing: say where to serve NBD, as "
			     "in --listen 127.0.0.1:10809");
	for (unsigned i = 0; i < cfg->listen.n; i++) {
		const char *where = cfg->listen.items[i];

		if (!listen_ok(where)) {
			snprintf(err, sizeof(err),
				 "--listen %.200s is neither ADDR:PORT nor "
				 "unix:PATH", where);
			return usage(err);
		}
		if (cfg->insecure || config_listen_is_local(where))
			continue;
		snprintf(err, sizeof(err),
			 "--listen %.200s reaches beyond this machine, and "
			 "there is no TLS yet: listen on 127.0.0.1 or "
			 "unix:PATH, or add --insecure on a network that you "
			 "trust", where);
		return usage(err);
	}
	return CONFIG_RUN;
}

static int set_defaults(struct config *cfg)
{
	const char *control = getenv("TARN_CONTROL");
	const char *run_dir = getenv("TARN_RUN_DIR");

	memset(cfg, 0, sizeof(*cfg));
	cfg->buffers_bytes = 256ull << 20;
	cfg->node_memory_bytes = 256ull << 20;
	cfg->row_memory_bytes = 64ull << 20;
	cfg->cache_bytes = 128ull << 20;
	cfg->open_wait_s = 5;
	cfg->poll_us = 60;
	cfg->drain_s = 5;
	cfg->trash_hours = 24;
	cfg->control = strdup(control != NULL && *control != '\0'
				      ? control : CONFIG_CONTROL_DFLT);
	cfg->run_dir = strdup(run_dir != NULL && *run_dir != '\0'
				      ? run_dir : CONFIG_RUN_DIR_DFLT);
	return cfg->control != NULL && cfg->run_dir != NULL ? 0 : -ENOMEM;
}

enum config_result config_read(struct config *cfg, int argc, char **argv)
{
	struct option longs[ARRAY_LEN(options) + 4] = { 0 };
	enum config_result r;

	if (set_defaults(cfg) < 0)
		return usage("out of memory");
	make_long_options(longs);
	r = scan_flags(cfg, argc, argv, longs);
	if (r == CONFIG_RUN)
		r = read_flags(cfg, argc, argv, longs);
	if (r == CONFIG_RUN)
		r = check(cfg);
	return r;
}

void config_free(struct config *cfg)
{
	list_clear(&cfg->listen);
	list_clear(&cfg->disks);
	free(cfg->control);
	free(cfg->pool);
	free(cfg->run_dir);
	free(cfg->tls_ca_dir);
}
