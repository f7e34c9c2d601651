/* server/control.h - the control socket: JSON-RPC 2.0, one message a line.
 *
 *	control_session.c  sans-I/O: bytes in, calls out, replies in, bytes out
 *	control_call.c     a call's parameters and its answer
 *	control.c          connections on the engine
 *	control_listen.c   the path of the unix socket
 *	control_*.c        the methods
 *
 * Rules of use
 *  - A method's run() gets a struct ctl_call and must end it, now or later,
 *    by exactly one of ctl_reply() and ctl_fail().  Both free the call.
 *  - A client that goes away does not stop its calls; their answers are
 *    dropped.
 *  - Everything is bounded: a message, its nesting, connections, calls in
 *    flight, output that a client does not read.
 */
#ifndef TARN_SERVER_CONTROL_H
#define TARN_SERVER_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "io/io.h"

/* One message with its newline, bytes. */
#define CTL_LINE_MAX         65536u
/* Nesting of a message: an object in an array in params is 4. */
#define CTL_DEPTH_MAX        16
/* A string in params, bytes; elements of an array in params. */
#define CTL_STRING_MAX       4096u
#define CTL_ARRAY_MAX        256u
#define CTL_CONNECTIONS_MAX  64u
/* Calls in flight of one connection. */
#define CTL_SESSION_CALLS    16u
/* Input is not looked at while so many bytes of output wait. */
#define CTL_OUT_HIGH         (1u << 20)

enum ctl_code {
	CTL_PARSE_ERROR = -32700,
	CTL_INVALID_REQUEST = -32600,
	CTL_NO_METHOD = -32601,
	CTL_INVALID_PARAMS = -32602,
	CTL_FAILED = -32000, /* the operation: data says more */
};

struct ctl_call;
struct ctl_core;
struct ctl_session;

enum ctl_type {
	CTL_STRING,
	CTL_BOOL,
	CTL_UINT,    /* an integer, 0 to 2^63 - 1 */
	CTL_STRINGS, /* an array of strings */
};

struct ctl_param {
	const char *name; /* NULL ends an array of them */
	uint8_t     type; /* enum ctl_type */
	bool        required;
};

struct ctl_method {
	const char             *name;   /* "noun.verb" */
	void                  (*run)(struct ctl_call *call);
	const struct ctl_param *params; /* NULL: none */
	bool                    changes; /* something: who called is logged */
	const char             *doc;    /* one sentence */
};

/* --- calls --------------------------------------------------------------- */

struct ctl_call {
	struct list              link;    /* in session->calls */
	struct ctl_session      *session; /* NULL: the client has gone */
	struct ctl_core         *core;
	const struct ctl_method *method;
	json_t                  *id;      /* to be echoed */
	json_t                  *params;  /* checked object; may be NULL */
	struct list              parked;  /* the methods': waits to be run
					   * again */
	bool                     was_parked;
};

/* The core's arg: what the methods work on. */
void *ctl_arg(const struct ctl_call *call);
/* Parameters by name; absent ones give NULL, false, dflt, NULL. */
const char *ctl_string(const struct ctl_call *call, const char *name);
bool ctl_bool(const struct ctl_call *call, const char *name);
uint64_t ctl_uint(const struct ctl_call *call, const char *name, uint64_t dflt);
json_t *ctl_strings(const struct ctl_call *call, const char *name);

/* Ends the call well; takes the reference to result (NULL: out of memory). */
void ctl_reply(struct ctl_call *call, json_t *result);
/* Ends the call badly: err is a negative errno, object what it is about ("pool
 * tank"; may be NULL), the rest one sentence. */
void ctl_fail(struct ctl_call *call, int err, const char *object,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for a parameter that makes no sense (CTL_INVALID_PARAMS). */
void ctl_bad_param(struct ctl_call *call, const char *name, const char *fmt,
		   ...) __attribute__((format(printf, 3, 4)));

/* A JSON string of any bytes: what is not UTF-8 or is a control character is
 * written as \xNN. */
json_t *ctl_text(const char *text);

/* --- the core: what there is to call, sans-I/O --------------------------- */

struct ctl_core {
	const struct ctl_method *methods;
	unsigned                 nmethods;
	void                    *arg;
	unsigned                 ncalls;   /* in flight, of all sessions */
	uint64_t                 calls_ever;
	uint64_t                 errors_ever; /* calls answered by an error */
	/* One line for the operator; may be NULL. */
	void (*log)(void *arg, const char *line);
	/* A call of a method that changes something ended well; may be NULL. */
	void (*changed)(void *arg, const struct ctl_call *call,
			json_t *result);
};

struct ctl_session {
	struct ctl_core *core;
	char            *in;      /* CTL_LINE_MAX bytes */
	size_t           in_len;  /* received and not yet handled, bytes */
	char            *out;     /* replies, to be taken by the owner */
	size_t           out_len, out_cap; /* bytes */
	struct list      calls;   /* struct ctl_call in flight */
	unsigned         ncalls;
	uid_t            uid;     /* of the client, for the log */
	bool             running; /* inside ctl_session_run() */
	bool             ended;   /* no more input after a fatal error */
	/* A call ended outside of ctl_session_run(): there may be output, or
	 * room for more input. */
	void (*wake)(struct ctl_session *s);
};

/* -ENOMEM. */
int ctl_session_init(struct ctl_session *s, struct ctl_core *core,
		     void (*wake)(struct ctl_session *s));
/* Calls in flight go on without it. */
void ctl_session_fini(struct ctl_session *s);
/* Where to put received bytes; 0 when no input is wanted now. */
size_t ctl_session_space(struct ctl_session *s, char **ret_buf);
void ctl_session_received(struct ctl_session *s, size_t len_bytes);
/* Handle the complete messages that are there, as far as the limits go. */
void ctl_session_run(struct ctl_session *s);
/* Take all output so far: bytes, to be freed by the caller. */
size_t ctl_session_take(struct ctl_session *s, char **ret_buf);

/* For control_call.c. */
void ctl_session_send(struct ctl_session *s, json_t *message);
void ctl_call_end(struct ctl_call *call);
/* NULL if params fit the method, or what is wrong (in ret_err, 256 bytes). */
const char *ctl_params_problem(const struct ctl_method *m, json_t *params,
			       char *ret_err);

/* --- the socket ---------------------------------------------------------- */

/* A path that we listen at, and that no other server does. */
struct ctl_listener {
	int   fd;        /* listening */
	int   lock_fd;   /* PATH.lock, locked */
	char  path[108];
	dev_t dev;       /* of our socket, so that no other is unlinked at the
			  * end */
	ino_t ino;
};

/* As ctl_server_open() says. */
int ctl_listen(struct ctl_listener *l, const char *path, char *ret_err);
/* Close, and remove the socket. */
void ctl_unlisten(struct ctl_listener *l);

struct ctl_server;

struct ctl_server_stats {
	uint64_t connections;      /* open now */
	uint64_t connections_ever;
	uint64_t refused;          /* over the limit */
	uint64_t cut;              /* did not read its replies, or idle */
};

/* Listen at path, mode 0660.  A stale socket is replaced; -EADDRINUSE when
 * somebody listens there, or holds PATH.lock.  ret_err: 256 bytes, a
 * sentence.  core must outlive the server. */
int ctl_server_open(struct io *io, struct ctl_core *core, const char *path,
		    struct ctl_server **ret_srv, char *ret_err);
/* Stop listening, send what waits (at most drain_ns), close, unlink the
 * socket, then done() and free. */
void ctl_server_close(struct ctl_server *srv, uint64_t drain_ns,
		      void (*done)(void *arg), void *arg);
void ctl_server_stats(const struct ctl_server *srv,
		      struct ctl_server_stats *ret_stats);

#endif
