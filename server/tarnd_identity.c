/* server/tarnd_identity.c - who we are, for the claim on a pool.
 *
 * The same machine may take a pool over at once when the lock of that pool is
 * free, since the operating system gives it back when its holder dies.  That
 * only holds if both look at the same lock.  So "this machine" here means
 * machine id and lock directory together: two servers with different
 * directories, or in containers that share a machine id, are different
 * machines to each other and wait for missed heartbeats.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/prng.h"
#include "server/tarnd.h"

uint64_t tarnd_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

void tarnd_uuid(struct uuid *ret_uuid)
{
	/* Cannot fail for so few bytes once the engine could be opened. */
	if (getrandom(ret_uuid->b, sizeof(ret_uuid->b), 0) !=
	    (ssize_t)sizeof(ret_uuid->b))
		abort();
	ret_uuid->b[6] = (uint8_t)((ret_uuid->b[6] & 0x0f) | 0x40);
	ret_uuid->b[8] = (uint8_t)((ret_uuid->b[8] & 0x3f) | 0x80);
}

/* Mix bytes into an identity: two streams of a seeded generator, each seeded
 * by what came before.  Equal input, equal output; nothing secret here. */
static void mix(struct uuid *id, const void *buf, size_t len_bytes)
{
	const uint8_t *p = buf;
	uint64_t       half[2];

	memcpy(half, id->b, sizeof(half));
	for (size_t i = 0; i < len_bytes; i++) {
		struct prng a, b;

		prng_init(&a, half[0] ^ p[i]);
		prng_init(&b, half[1] + p[i] * 0x9e3779b9ull);
		half[0] = prng_u64(&a);
		half[1] = prng_u64(&b) ^ (half[0] >> 7);
	}
	memcpy(id->b, half, sizeof(half));
}

/* First line of a small file; 0 or -errno. */
static int read_line(const char *path, char *ret_text, size_t text_bytes)
{
	FILE *f = fopen(path, "re");
	int   r = 0;

	if (f == NULL)
		return -errno;
	if (fgets(ret_text, (int)text_bytes, f) == NULL)
		r = -ENODATA;
	fclose(f);
	if (r == 0)
		ret_text[strcspn(ret_text, "\r\n")] = '\0';
	return r == 0 && ret_text[0] == '\0' ? -ENODATA : r;
}

static void read_machine(struct tarnd *t, struct uuid *ret)
{
	char text[256] = "";

	if (read_line("/etc/machine-id", text, sizeof(text)) < 0) {
		memset(text, 0, sizeof(text));
		if (gethostname(text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		tarnd_log(t, "there is no /etc/machine-id: this machine is "
			     "known to pools by its host name '%s'", text);
	}
	mix(ret, text, strlen(text));
}

/* --- the lock ------------------------------------------------------------ */

static int make_dir(const struct tarnd *t, const char *path)
{
	int r;

	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	r = -errno;
	tarnd_log(t, "cannot create the directory %s: %s: choose another with "
		     "--run-dir", path, strerror(-r));
	return r;
}

static int pool_lock(void *arg, const struct uuid *pool)
{
	struct tarnd *t = arg;
	char path[4096 + 64], text[UUID_TEXT_BYTES];
	int  fd, r;

	if (t->lock_fd >= 0) {
		close(t->lock_fd);
		t->lock_fd = -1;
	}
	if (pool == NULL)
		return 0;
	snprintf(path, sizeof(path), "%s/lock/%s", t->cfg->run_dir,
		 uuid_text(pool, text));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		r = -errno;
		tarnd_log(t, "cannot open the lock %s: %s", path,
			  strerror(-r));
		return r;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return r;
	}
	t->lock_fd = fd;
	return 0;
}

int tarnd_identity(struct tarnd *t)
{
	struct pool_owner_params *o = &t->owner;
	struct stat st;
	char path[4096 + 8], text[256] = "";
	int  r;

	t->lock_fd = -1;
	r = make_dir(t, t->cfg->run_dir);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/lock", t->cfg->run_dir);
	r = make_dir(t, path);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0 || faccessat(AT_FDCWD, path, W_OK | X_OK,
					     AT_EACCESS) < 0) {
		r = -errno;
		tarnd_log(t, "cannot make locks in %s: %s: choose another "
			     "directory with --run-dir", path, strerror(-r));
		return r;
	}
	read_machine(t, &o->machine);
	mix(&o->machine, &st.st_dev, sizeof(st.st_dev));
	mix(&o->machine, &st.st_ino, sizeof(st.st_ino));
	if (read_line("/proc/sys/kernel/random/boot_id", text, sizeof(text)) ==
	    0)
		mix(&o->boot, text, strlen(text));
	else
		tarnd_uuid(&o->boot); /* of no known boot: never "the same" */
	tarnd_uuid(&o->instance);
	o->lock = pool_lock;
	o->lock_arg = t;
	return 0;
}
