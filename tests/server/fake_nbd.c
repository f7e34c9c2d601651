/* tests/server/fake_nbd.c - see fake_nbd.h. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/util.h"
#include "fake_nbd.h"

#define CONNS_MAX    32u
#define OPTIONS_MAX  64u
#define PAYLOAD_MAX  (1u << 20)
#define REQUESTS_MAX 100000u
#define CROWD_MAX    1024u

#define OPT_EXPORT_NAME 1u
#define OPT_ABORT	2u
#define OPT_LIST	3u
#define OPT_INFO	6u
#define OPT_GO		7u

#define REP_ACK	       1u
#define REP_SERVER     2u
#define REP_INFO       3u
#define REP_ERR_UNSUP  0x80000001u
#define REP_ERR_ODD    0x8000ffffu
#define REP_ERR_POLICY 0x80000002u

struct conn {
	struct fake_nbd	  *f;
	struct fake_config config; /* as it was at accept() */
	int		   fd;     /* -1: free */
	size_t		   sent_bytes;
	char		  *out;    /* gathers what is sent, if not NULL */
	size_t		   out_bytes; /* in it */
	size_t		   out_cap;   /* its size */
	be64		   first_cookie; /* of all requests */
	unsigned	   requests; /* so far */
	bool		   started; /* thread is to be joined */
	pthread_t	   thread;
};

struct fake_nbd {
	pthread_mutex_t	   lock;   /* of config, conns[].fd, sent_bytes */
	struct fake_config config;
	size_t		   sent_bytes;
	pthread_cond_t	   ended;  /* a connection has */
	int		   listener;
	bool		   stop;
	pthread_t	   thread;
	struct conn	   conns[CONNS_MAX];
	char		   data[PAYLOAD_MAX]; /* of every reply */
};

struct opt_header {
	uint8_t magic[8];
	be32	option;
	be32	len;
};

struct rep_header {
	be64 magic;
	be32 option;
	be32 type;
	be32 len;
};

struct request {
	be32 magic;
	be16 flags;
	be16 type;
	be64 cookie;
	be64 off;
	be32 len;
};

/* --- bytes -------------------------------------------------------------- */

static bool get(struct conn *c, void *buf, size_t len)
{
	return recv(c->fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

static bool send_all(struct conn *c, const char *buf, size_t len)
{
	c->sent_bytes += len;
	return send(c->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void moment(unsigned ms)
{
	struct timespec ts = { 0, ms * 1000000l };

	nanosleep(&ts, NULL);
}

static void gather(struct conn *c, const void *buf, size_t len)
{
	if (c->out == NULL || c->out_cap - c->out_bytes < len) {
		c->out_cap = 2 * (c->out_bytes + len) + 4096;
		c->out = realloc(c->out, c->out_cap);
	}
	if (c->out == NULL)
		abort();
	if (len > 0)
		memcpy(c->out + c->out_bytes, buf, len);
	c->out_bytes += len;
}

static bool put(struct conn *c, const void *buf, size_t len)
{
	const char *p = buf;
	size_t	    cut = c->config.cut_bytes;
	size_t	    split = c->config.split_bytes;
	size_t	    n;

	if (c->out != NULL) {
		gather(c, buf, len);
		return true;
	}
	if (cut > 0 && c->sent_bytes + len > cut) {
		send(c->fd, p, cut - c->sent_bytes, MSG_NOSIGNAL);
		return false;
	}
	if (split <= c->sent_bytes || split > c->sent_bytes + len)
		return send_all(c, p, len);
	n = split - c->sent_bytes;
	if (!send_all(c, p, n))
		return false;
	moment(2);
	return send_all(c, p + n, len - n);
}

/* One by one. */
static bool put_bytes(struct conn *c, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (c->config.fault == FAKE_TRICKLE)
			moment(50);
		if (!put(c, p + i, 1))
			return false;
	}
	return true;
}

static bool drop(struct conn *c, size_t len)
{
	char buf[4096];

	while (len > 0) {
		size_t n = len < sizeof(buf) ? len : sizeof(buf);

		if (!get(c, buf, n))
			return false;
		len -= n;
	}
	return true;
}

/* Until the peer, or the test, ends the connection. */
static bool hang(struct conn *c)
{
	char buf[4096];

	while (recv(c->fd, buf, sizeof(buf), 0) > 0)
		;
	return false;
}

/* --- options ------------------------------------------------------------ */

static bool reply(struct conn *c, uint32_t option, uint32_t type,
		  const void *data, uint32_t len)
{
	enum fake_fault	  fault = c->config.fault;
	struct rep_header h = {
		.magic = be64_of(0x0003e889045565a9ull),
		.option = be32_of(option),
		.type = be32_of(type),
		.len = be32_of(len),
	};

	if (fault == FAKE_BAD_REPLY_MAGIC)
		h.magic = be64_of(1);
	if (fault == FAKE_WRONG_OPTION)
		h.option = be32_of(option + 1);
	if (fault == FAKE_HUGE_REPLY)
		h.len = be32_of(UINT32_MAX);
	return put(c, &h, sizeof(h)) && put(c, data, len);
}

static bool send_info(struct conn *c, uint32_t option)
{
	struct {
		be16 type;
		be64 size;
		be16 flags;
	} export = {
		.size = be64_of(c->config.size_bytes),
		.flags = be16_of(c->config.flags),
	};
	struct {
		be16 type;
		be32 min;
		be32 preferred;
		be32 max;
	} sizes = {
		.type = be16_of(3),
		.min = be32_of(c->config.block_min),
		.preferred = be32_of(c->config.block_preferred),
		.max = be32_of(c->config.block_max),
	};
	uint32_t len = sizeof(export);

	if (c->config.fault == FAKE_NO_INFO)
		return true;
	if (c->config.fault == FAKE_SHORT_INFO)
		len /= 2;
	if (c->config.block_sizes &&
	    !reply(c, option, REP_INFO, &sizes, sizeof(sizes)))
		return false;
	return reply(c, option, REP_INFO, &export, len);
}

/* True if the connection goes on; *ret_go: to requests. */
static bool answer_go(struct conn *c, uint32_t option, bool *ret_go)
{
	char text[4000];

	memset(text, '%', sizeof(text));
	switch (c->config.fault) {
	case FAKE_ENDLESS_INFO:
		while (send_info(c, option))
			;
		return false;
	case FAKE_UNKNOWN_ERROR:
		return reply(c, option, REP_ERR_ODD, NULL, 0);
	case FAKE_LONG_ERROR:
		return reply(c, option, REP_ERR_POLICY, text, sizeof(text));
	default:
		break;
	}
	*ret_go = option == OPT_GO;
	return send_info(c, option) && reply(c, option, REP_ACK, NULL, 0);
}

static bool send_name(struct conn *c, const char *name, uint32_t len)
{
	struct {
		be32 len;
		char name[4096];
	} data = { .len = be32_of(len) };

	memcpy(data.name, name, len);
	return reply(c, OPT_LIST, REP_SERVER, &data, 4 + len);
}

static bool answer_list(struct conn *c)
{
	unsigned count = c->config.fault == FAKE_BIG_LIST ? 1000 : 1;
	char	 name[4096];

	if (c->config.fault == FAKE_ENDLESS_LIST) {
		while (send_name(c, "x", 1))
			;
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "disk%u", i);
		if (i == 1)
			strcpy(name, "odd \n\x1b[31m\xff/?#%&");
		if (i == 2)
			memset(name, 'l', 4000);
		if (i == 3)
			memset(name, '?', 200); /* 600 in a URI */
		if (!send_name(c, name, i == 2	 ? 4000
					: i == 3 ? 200
						 : (uint32_t)strlen(name)))
			return false;
	}
	return reply(c, OPT_LIST, REP_ACK, NULL, 0);
}

static bool greet(struct conn *c)
{
	struct {
		char magic[16];
		be16 flags;
	} hello = { .flags = be16_of(3) };
	char old[152] = "NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53";
	be32 flags;

	memcpy(hello.magic, "NBDMAGICIHAVEOPT", 16);
	switch (c->config.fault) {
	case FAKE_SILENT:
		return hang(c);
	case FAKE_BAD_MAGIC:
		hello.magic[3] ^= 1;
		break;
	case FAKE_OLD_STYLE:
		put(c, old, sizeof(old));
		return hang(c);
	default:
		break;
	}
	return put(c, &hello, sizeof(hello)) && get(c, &flags, sizeof(flags));
}

/* True when requests may come. */
static bool negotiate(struct conn *c)
{
	bool go = false;

	for (unsigned i = 0; i < OPTIONS_MAX && !go; i++) {
		struct opt_header h;
		uint32_t	  option;
		bool		  ok;

		if (!get(c, &h, sizeof(h)) || be32_get(h.len) > PAYLOAD_MAX ||
		    !drop(c, be32_get(h.len)))
			return false;
		if (c->config.fault == FAKE_SILENT_OPTION)
			return hang(c);
		option = be32_get(h.option);
		if (option == OPT_GO || option == OPT_INFO)
			ok = answer_go(c, option, &go);
		else if (option == OPT_LIST)
			ok = answer_list(c);
		else if (option == OPT_ABORT || option == OPT_EXPORT_NAME)
			ok = false;
		else
			ok = reply(c, option, REP_ERR_UNSUP, NULL, 0);
		if (!ok)
			return false;
	}
	return go;
}

/* --- requests ----------------------------------------------------------- */

static bool send_garbage(struct conn *c)
{
	static const uint8_t good[8] = { 0x67, 0x44, 0x66, 0x98 };
	uint32_t	     x = c->config.seed;
	uint8_t		     buf[4096];

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	/* Some of them begin well. */
	if (c->config.seed % 2 == 0)
		memcpy(buf, good, sizeof(good));
	if (c->config.seed % 4 == 0)
		memcpy(buf + 8, &c->first_cookie, 8);
	put(c, buf, sizeof(buf));
	return false;
}

static bool send_reply(struct conn *c, be64 cookie, uint32_t error,
		       uint32_t data_len)
{
	struct {
		be32 magic;
		be32 error;
		be64 cookie;
	} h = {
		.magic = be32_of(0x67446698u),
		.error = be32_of(error),
		.cookie = cookie,
	};
	const char     *data = c->f->data;
	enum fake_fault fault = c->config.fault;

	if (fault == FAKE_WRONG_COOKIE)
		h.cookie = be64_of(be64_get(cookie) + 1000);
	if (fault == FAKE_OTHER_USE)
		h.cookie = be64_of(be64_get(cookie) + (1ull << 32));
	if (fault == FAKE_STALE)
		h.cookie = c->first_cookie;
	if (fault == FAKE_WRONG_MAGIC)
		h.magic = be32_of(1);
	if (fault == FAKE_STRUCTURED)
		h.magic = be32_of(0x668e33efu);
	if (fault == FAKE_BYTES || fault == FAKE_TRICKLE)
		return put_bytes(c, (char *)&h, sizeof(h)) &&
		       put_bytes(c, data, data_len);
	if (!put(c, &h, sizeof(h)))
		return false;
	if (fault == FAKE_HALF_ANSWER || fault == FAKE_CUT_ANSWER) {
		put(c, data, data_len / 2);
		return fault == FAKE_HALF_ANSWER ? hang(c) : false;
	}
	return data_len == 0 || put(c, data, data_len);
}

/* Everything about a request that a good client is bound to. */
static bool well_formed(const struct request *req, const struct conn *c)
{
	uint32_t len = be32_get(req->len);
	uint64_t off = be64_get(req->off);
	uint16_t type = be16_get(req->type);

	if (be32_get(req->magic) != 0x25609513u || be16_get(req->flags) != 0)
		return false;
	if (type == 3)
		return len == 0 && off == 0;
	return type <= 4 && off <= c->config.size_bytes &&
	       len <= c->config.size_bytes - off;
}

/* Like hang(), but read nothing. */
static bool wait_end(struct conn *c)
{
	struct pollfd end = { .fd = c->fd };

	poll(&end, 1, -1);
	return false;
}

/* A request and the data of a write. */
static bool take_request(struct conn *c, struct request *ret)
{
	enum fake_fault fault = c->config.fault;
	bool		write;

	if (!get(c, ret, sizeof(*ret)))
		return false;
	if (be16_get(ret->type) == 2) /* disconnect */
		return false;
	if (!well_formed(ret, c))
		abort();
	if (c->requests++ == 0)
		c->first_cookie = ret->cookie;
	write = be16_get(ret->type) == 1;
	if (!write)
		return true;
	if (fault == FAKE_EARLY || fault == FAKE_DEAF ||
	    fault == FAKE_EARLY_TWICE)
		send_reply(c, ret->cookie, 0, 0);
	if (fault == FAKE_EARLY_TWICE)
		send_reply(c, ret->cookie, 0, 0);
	if (fault == FAKE_DEAF || fault == FAKE_EARLY_TWICE)
		return wait_end(c);
	return drop(c, be32_get(ret->len));
}

static bool answer(struct conn *c, const struct request *req)
{
	uint32_t error = 0;
	uint32_t len = be32_get(req->len);

	if (c->config.fault == FAKE_NO_ANSWER)
		return hang(c);
	if (c->config.fault == FAKE_GARBAGE)
		return send_garbage(c);
	if (c->config.fault == FAKE_EARLY && be16_get(req->type) == 1)
		return true; /* it has been */
	if (c->config.fault == FAKE_ERROR)
		error = c->config.error;
	if (be16_get(req->type) != 0 || error != 0)
		len = 0;
	if (len > PAYLOAD_MAX || !send_reply(c, req->cookie, error, len))
		return false;
	return c->config.fault != FAKE_TWICE ||
	       send_reply(c, req->cookie, error, len);
}

static bool send_gathered(struct conn *c)
{
	char *out = c->out;
	bool  ok;

	c->out = NULL;
	ok = put(c, out, c->out_bytes);
	c->out_bytes = 0;
	free(out);
	return ok;
}

/* As many requests as are to be answered at once. */
static bool serve_crowd(struct conn *c)
{
	struct request reqs[CROWD_MAX];
	unsigned       n = c->config.crowd > 1 ? c->config.crowd : 1;

	for (unsigned i = 0; i < n; i++) {
		if (!take_request(c, &reqs[i]))
			return false;
	}
	if (n == 1)
		return answer(c, &reqs[0]);
	gather(c, NULL, 0);
	while (n > 0 && answer(c, &reqs[n - 1]))
		n--;
	return send_gathered(c) && n == 0;
}

static void *conn_main(void *arg)
{
	struct conn	*c = arg;
	struct fake_nbd *f = c->f;

	if (greet(c) && negotiate(c)) {
		if (c->config.fault == FAKE_UNASKED)
			send_reply(c, be64_of(1), 0, 0);
		for (unsigned i = 0; i < REQUESTS_MAX && serve_crowd(c); i++)
			;
	}
	pthread_mutex_lock(&f->lock);
	f->sent_bytes = c->sent_bytes;
	close(c->fd);
	c->fd = -1;
	pthread_cond_signal(&f->ended);
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* --- the listener ------------------------------------------------------- */

/* A slot whose thread has ended. */
static struct conn *free_conn(struct fake_nbd *f)
{
	struct conn *found = NULL;

	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; i < CONNS_MAX && found == NULL; i++) {
		if (f->conns[i].fd < 0)
			found = &f->conns[i];
	}
	pthread_mutex_unlock(&f->lock);
	if (found != NULL && found->started)
		pthread_join(found->thread, NULL);
	return found;
}

static void *listen_main(void *arg)
{
	struct fake_nbd *f = arg;
	int		 fd;

	while ((fd = accept(f->listener, NULL, NULL)) >= 0) {
		struct conn *c = free_conn(f);

		if (c == NULL) {
			close(fd);
			continue;
		}
		pthread_mutex_lock(&f->lock);
		c->f = f;
		c->config = f->config;
		c->sent_bytes = 0;
		c->requests = 0;
		c->out = NULL;
		c->out_bytes = 0;
		c->fd = fd;
		c->started = true;
		if (f->stop)
			shutdown(fd, SHUT_RDWR);
		pthread_mutex_unlock(&f->lock);
		if (pthread_create(&c->thread, NULL, conn_main, c) != 0)
			abort();
	}
	return NULL;
}

struct fake_config fake_default(enum fake_fault fault)
{
	struct fake_config config = {
		.fault = fault,
		.size_bytes = 1 << 20,
		.flags = 1 | 1 << 2 | 1 << 5, /* FLUSH and TRIM */
		.error = UINT32_MAX,
	};

	return config;
}

struct fake_nbd *fake_start(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct fake_nbd	  *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->ended, NULL);
	f->config = fake_default(FAKE_GOOD);
	memset(f->data, 0xfa, sizeof(f->data));
	for (unsigned i = 0; i < CONNS_MAX; i++)
		f->conns[i].fd = -1;
	unlink(path);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(f->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(f->listener, 64) < 0 ||
	    pthread_create(&f->thread, NULL, listen_main, f) != 0)
		abort();
	return f;
}

void fake_set(struct fake_nbd *f, const struct fake_config *config)
{
	pthread_mutex_lock(&f->lock);
	f->config = *config;
	pthread_mutex_unlock(&f->lock);
}

size_t fake_sent_bytes(struct fake_nbd *f)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	while (f->sent_bytes == 0)
		pthread_cond_wait(&f->ended, &f->lock);
	n = f->sent_bytes;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void fake_stop(struct fake_nbd *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (f->conns[i].fd >= 0)
			shutdown(f->conns[i].fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&f->lock);
	shutdown(f->listener, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listener);
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		if (f->conns[i].started)
			pthread_join(f->conns[i].thread, NULL);
	}
	pthread_cond_destroy(&f->ended);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
