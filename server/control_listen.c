/* server/control_listen.c - the path of the control socket: whose it is.
 *
 *	PATH.lock taken --> a stale socket removed --> bound --> listening
 *
 * PATH.lock is held while we listen, so that of two servers started at once
 * only one replaces a stale socket.  What fails, and then:
 *  - another server has the lock, or somebody answers: -EADDRINUSE;
 *  - there is something else at the path: -EEXIST, it is left alone;
 *  - the end: only a socket that is still ours is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/control.h"

#define BACKLOG      64
/* Times that a path in use is looked at again, with a pause between them. */
#define LISTEN_TRIES 20

/* The holder of the lock removes the file; one that was removed after it was
 * opened here protects nothing. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void lock_path(const struct ctl_listener *l, char *ret, size_t bytes)
{
	snprintf(ret, bytes, "%s.lock", l->path);
}

static void drop_lock(const struct ctl_listener *l)
{
	char path[sizeof(l->path) + 8];

	lock_path(l, path, sizeof(path));
	unlink(path);
}

static int take_lock(struct ctl_listener *l, char *ret_err)
{
	char path[sizeof(l->path) + 8];

	lock_path(l, path, sizeof(path));
	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			    0600);
	if (l->lock_fd < 0) {
		int r = -errno;

		snprintf(ret_err, 256,
			 "control socket: cannot create %s: %s: make its "
			 "directory, or choose another path with --control",
			 path, strerror(-r));
		return r;
	}
	if (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0 ||
	    !same_file(l->lock_fd, path)) {
		snprintf(ret_err, 256,
			 "control socket %s is in use by another server: "
			 "choose another path with --control",
			 l->path);
		return -EADDRINUSE;
	}
	return 0;
}

/* Is somebody listening there?  Then -EADDRINUSE; a stale socket goes. */
static int remove_stale(const struct sockaddr_un *sa, char *ret_err)
{
	struct stat st;
	int         fd, r;

	if (lstat(sa->sun_path, &st) < 0)
		return 0; /* bind() will say what is wrong */
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(ret_err, 256,
			 "control socket %s: there is something else at this "
			 "path: remove it, or choose another with --control",
			 sa->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r = -errno;
		snprintf(ret_err, 256, "control socket: no socket: %s",
			 strerror(-r));
		return r;
	}
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno
								       : 0;
	close(fd);
	if (r == -EACCES || r == -EPERM) {
		snprintf(ret_err, 256,
			 "control socket %s is somebody else's: remove it, or "
			 "choose another with --control", sa->sun_path);
		return r;
	}
	if (r != -ECONNREFUSED) {
		snprintf(ret_err, 256,
			 "control socket %s is in use: another program "
			 "answers there: choose another with --control",
			 sa->sun_path);
		return -EADDRINUSE;
	}
	unlink(sa->sun_path);
	return 0;
}

static int start_listening(struct ctl_listener *l, char *ret_err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	static const struct timespec pause = { .tv_nsec = 50 * NS_PER_MS };
	struct stat st;
	mode_t      mask;
	int         r;

	memcpy(sa.sun_path, l->path, strlen(l->path) + 1);
	r = remove_stale(&sa, ret_err);
	/* A ring outlives its process for a moment, and the socket that it
	 * accepts on with it: a server that was just killed gets the time to
	 * be gone. */
	for (unsigned i = 0; r == -EADDRINUSE && i < LISTEN_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = remove_stale(&sa, ret_err);
	}
	if (r < 0)
		return r;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto err;
	mask = umask(0117);
	r = bind(l->fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(mask);
	if (r < 0 || listen(l->fd, BACKLOG) < 0)
		goto err; /* the next one removes what is there */
	if (lstat(l->path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return 0;

err:
	r = -errno;
	snprintf(ret_err, 256, "control socket %s: cannot listen: %s",
		 l->path, strerror(-r));
	return r;
}

int ctl_listen(struct ctl_listener *l, const char *path, char *ret_err)
{
	int r;

	if (path[0] == '\0' ||
	    strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
		snprintf(ret_err, 256,
			 "control socket: the path must be 1 to 107 bytes "
			 "long: choose another with --control");
		return -ENAMETOOLONG;
	}
	memset(l, 0, sizeof(*l));
	l->fd = -1;
	memcpy(l->path, path, strlen(path) + 1);
	r = take_lock(l, ret_err);
	if (r < 0)
		goto err_lock_fd;
	r = start_listening(l, ret_err);
	if (r < 0)
		goto err_lock;
	return 0;

err_lock:
	drop_lock(l);
	if (l->fd >= 0)
		close(l->fd);
err_lock_fd:
	if (l->lock_fd >= 0)
		close(l->lock_fd);
	return r;
}

void ctl_unlisten(struct ctl_listener *l)
{
	struct stat st;

	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
	drop_lock(l);
	close(l->fd);
	close(l->lock_fd);
}
