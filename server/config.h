/* server/config.h - what tarnd was told: flags and an INI file.
 *
 * Every option has one name; as a flag it is --name VALUE, in the file it is
 * name = VALUE under [tarnd].  A flag wins over the file; a list given by
 * flags replaces the file's.
 */
#ifndef TARN_SERVER_CONFIG_H
#define TARN_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_LISTEN_MAX    16
#define CONFIG_PLACES_MAX    256
#define CONFIG_CONTROL_DFLT  "/run/tarn/control.sock"
#define CONFIG_RUN_DIR_DFLT  "/run/tarn"

/* A list of strings. */
struct config_list {
	char    *items[CONFIG_PLACES_MAX];
	unsigned n;
};

struct config {
	struct config_list listen;  /* ADDR:PORT, unix:PATH */
	struct config_list disks;   /* places */
	char    *control;           /* path of the control socket */
	char    *pool;              /* to open at once: name or UUID; NULL */
	char    *run_dir;           /* locks of this machine */
	char    *tls_ca_dir;        /* for nbds:// disks; NULL: default */
	bool     insecure;          /* TCP beyond this machine without TLS */
	uint64_t buffers_bytes;     /* arena of I/O buffers */
	uint64_t node_memory_bytes; /* map nodes in memory */
	uint64_t row_memory_bytes;  /* rows not yet flushed */
	uint64_t cache_bytes;       /* block cache */
	uint64_t commit_log_bytes;  /* log that starts a commit; 0: default */
	uint64_t open_wait_s;       /* for missing disks, before opening
				     * without them */
	uint64_t disk_timeout_s;    /* of a disk's request; 0: default */
	uint64_t rebuild_delay_s;   /* pool_params.rebuild_delay_ns; 0: default */
	uint64_t disk_lanes;        /* connections to a disk; 0: default */
	uint64_t connections_max;   /* NBD clients; 0: default */
	uint64_t poll_us;           /* the loop, before it sleeps; 0: never */
	uint64_t trash_hours;       /* volumes stay in the trash; 0: none */
	uint64_t drain_s;           /* for clients, at the end */
};

enum config_result {
	CONFIG_RUN,   /* go on */
	CONFIG_DONE,  /* --help or --version was answered: exit 0 */
	CONFIG_USAGE, /* a usage error was reported: exit 2 */
};

/* Fill cfg from defaults, environment ($TARN_CONTROL, $TARN_RUN_DIR), file and
 * flags.  Reports on stdout and stderr.  cfg needs config_free() in any
 * case. */
enum config_result config_read(struct config *cfg, int argc, char **argv);
void config_free(struct config *cfg);

/* Set one option from text.  NULL, or what is wrong with it (a sentence in
 * ret_err, 512 bytes).  Lists grow. */
const char *config_set(struct config *cfg, const char *name, const char *value,
		       char *ret_err);

/* Does `where` (a --listen address) reach no further than this machine? */
bool config_listen_is_local(const char *where);

#endif
