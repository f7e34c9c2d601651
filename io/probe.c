/* io/probe.c - places_probe(): many places at once, in helper threads.
 *
 *   loop      places_probe() .............................. done(list)
 *   master      \_ tasks, waits for all or the deadline _/
 *   workers         \_ take a task, look, store the result _/ next task
 *
 * A task is a place; a server's list of exports becomes more tasks.  There are
 * as many workers as tasks, up to WORKERS_MAX, and each attempt has a limit of
 * its own, so a dead host holds up one worker for a moment and nobody else.
 *
 * At the deadline the master stops waiting: what has no result is reported as
 * not having answered.  A worker that still hangs (in a name server) finds
 * `abandoned` when it comes back and throws its result away; the shared state
 * is freed by the last holder.
 */
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/disk_impl.h"
#include "io/offload.h"
#include "io/probe.h"

#define WORKERS_MAX 128u
#define TASKS_MAX   4096u
/* What the ends of all disks together may take, at most. */
#define KEPT_BYTES_MAX (512ull << 20)

struct task {
	struct list	    link;   /* in probe.todo */
	struct nbd_dial	    dial;
	unsigned	    place;  /* index of the place it came from */
	unsigned	    export_index; /* in the server's order */
	bool		    listing; /* a server: its result is more tasks */
	bool		    done;
	bool		    silent; /* a listing that worked: no entry */
	struct place_export result;
};

struct probe {
	struct offload	job;         /* the master */
	pthread_mutex_t lock;        /* of everything down to `refs` */
	pthread_cond_t	changed;     /* pending has become 0 */
	struct task   **tasks;       /* TASKS_MAX slots */
	unsigned	ntasks;
	struct list	todo;        /* tasks that nobody works on yet */
	unsigned	pending;     /* tasks without a result */
	unsigned	nworkers;
	uint64_t	kept_bytes;  /* of heads and tails */
	bool		abandoned;   /* results are not wanted any more */
	unsigned	refs;        /* the job's and each worker's */
	uint32_t	want_bytes;
	uint64_t	deadline_ns; /* clock of nbd_dial_now_ns() */
	unsigned	deadline_ms; /* as asked for */
	struct place_list *list;     /* the result, empty at first */
	void (*done)(struct place_list *list, void *arg);
	void *arg;
};

static void export_clear(struct place_export *e)
{
	free(e->head);
	free(e->tail);
	e->head = NULL;
	e->tail = NULL;
}

void place_list_free(struct place_list *list)
{
	if (list == NULL)
		return;
	for (unsigned i = 0; i < list->nexports; i++)
		export_clear(&list->exports[i]);
	free(list->exports);
	free(list);
}

static void probe_free(struct probe *p)
{
	for (unsigned i = 0; i < p->ntasks; i++) {
		export_clear(&p->tasks[i]->result);
		free(p->tasks[i]);
	}
	free(p->tasks);
	place_list_free(p->list);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* p->lock is held; it is released, and p may be gone. */
static void probe_put(struct probe *p)
{
	bool last = --p->refs == 0;

	pthread_mutex_unlock(&p->lock);
	if (last)
		probe_free(p);
}

/* --- tasks (lock held) --------------------------------------------------- */

/* For people: names may be any bytes. */
static void copy_clean(char *out, size_t out_bytes, const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0' && n + 1 < out_bytes; n++) {
		unsigned char c = (unsigned char)text[n];

		out[n] = c < 0x80 && isprint(c) ? (char)c : '?';
	}
	out[n] = '\0';
}

static void *worker_main(void *arg);

/* One worker more, if there is room and need. */
static void add_worker(struct probe *p)
{
	if (p->nworkers >= WORKERS_MAX || list_empty(&p->todo))
		return;
	p->nworkers++;
	p->refs++;
	if (offload_thread(worker_main, p) == 0)
		return;
	p->nworkers--;
	p->refs--;
}

static void finish_task(struct probe *p, struct task *t)
{
	t->done = true;
	assert(p->pending > 0);
	if (--p->pending == 0)
		pthread_cond_signal(&p->changed);
}

/* NULL when there are too many or no memory. */
static struct task *add_task(struct probe *p, const char *place)
{
	struct task *t;

	if (p->ntasks >= TASKS_MAX)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	list_init(&t->link);
	snprintf(t->dial.place, sizeof(t->dial.place), "%s", place);
	snprintf(t->dial.tls_ca_dir, sizeof(t->dial.tls_ca_dir), "%s",
		 DISK_PKI_DIR);
	snprintf(t->result.place, sizeof(t->result.place), "%s", place);
	p->tasks[p->ntasks++] = t;
	p->pending++;
	return t;
}

static void start_task(struct probe *p, struct task *t)
{
	struct place_export *e = &t->result;

	place_host(&t->dial.addr, e->host, sizeof(e->host));
	copy_clean(e->export, sizeof(e->export), t->dial.addr.export);
	list_push(&p->todo, &t->link);
	add_worker(p);
}

static bool add_place(struct probe *p, unsigned place_index, const char *place)
{
	struct task *t = add_task(p, place);

	if (t == NULL)
		return false;
	t->place = place_index;
	t->result.error =
		place_resolve(place, &t->dial.addr, t->result.error_text);
	if (t->result.error < 0) {
		finish_task(p, t);
		return true;
	}
	t->listing = t->dial.addr.kind == PLACE_SERVER;
	start_task(p, t);
	return true;
}

static void add_export(struct probe *p, const struct task *server,
		       unsigned index, const char *name)
{
	char	     place[PLACE_TEXT_BYTES];
	int	     r = place_export_uri(&server->dial.addr, name, place);
	struct task *t = add_task(p, place);

	if (t == NULL)
		return;
	t->place = server->place;
	t->export_index = index;
	t->dial.addr = server->dial.addr;
	t->dial.addr.kind = PLACE_NBD;
	snprintf(t->dial.addr.export, sizeof(t->dial.addr.export), "%s", name);
	if (r == 0) {
		start_task(p, t);
		return;
	}
	t->result.error = -ENAMETOOLONG;
	snprintf(t->result.error_text, sizeof(t->result.error_text),
		 "%.100s: the name of an export is too long to be used",
		 server->dial.place);
	finish_task(p, t);
}

/* --- workers ------------------------------------------------------------- */

static uint64_t attempt_deadline(const struct probe *p)
{
	return min_u64(p->deadline_ns,
		       nbd_dial_now_ns() + DISK_CONNECT_TIMEOUT_NS);
}

static void run_listing(struct probe *p, struct task *t)
{
	struct probe_names names;
	char		   err[PLACE_ERR_BYTES];
	int r = probe_list(&t->dial, attempt_deadline(p), &names, err);

	pthread_mutex_lock(&p->lock);
	if (!p->abandoned) {
		t->silent = r == 0;
		if (r < 0) {
			t->result.error = r;
			snprintf(t->result.error_text,
				 sizeof(t->result.error_text), "%s", err);
		}
		for (unsigned i = 0; r == 0 && i < names.count; i++)
			add_export(p, t, i, names.names[i]);
		finish_task(p, t);
	}
	pthread_mutex_unlock(&p->lock);
	probe_names_free(&names);
}

/* The lock is held.  A result that is too much is replaced by an error. */
static void store(struct probe *p, struct task *t, struct place_export *e)
{
	uint64_t bytes = (uint64_t)e->head_bytes * 2;

	if (p->kept_bytes + bytes > KEPT_BYTES_MAX) {
		export_clear(e);
		e->head_bytes = 0;
		e->error = -ENOMEM;
		snprintf(e->error_text, sizeof(e->error_text),
			 "%.100s: too many disks to look at at once",
			 e->place);
	}
	p->kept_bytes += (uint64_t)e->head_bytes * 2;
	t->result = *e;
	finish_task(p, t);
}

/* e: the task's result so far, copied under the lock. */
static void run_export(struct probe *p, struct task *t, struct place_export e)
{
	probe_export(&t->dial, p->want_bytes, attempt_deadline(p), &e);
	pthread_mutex_lock(&p->lock);
	if (p->abandoned)
		export_clear(&e);
	else
		store(p, t, &e);
	pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
	struct probe *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->abandoned && !list_empty(&p->todo)) {
		struct task *t =
			list_entry(list_pop(&p->todo), struct task, link);
		struct place_export e = t->result;

		pthread_mutex_unlock(&p->lock);
		if (t->listing)
			run_listing(p, t);
		else
			run_export(p, t, e);
		pthread_mutex_lock(&p->lock);
	}
	p->nworkers--;
	probe_put(p);
	return NULL;
}

/* --- the master ---------------------------------------------------------- */

static void wait_for_tasks(struct probe *p)
{
	while (p->pending > 0 && p->nworkers > 0) {
		struct timespec ts;
		uint64_t	now_ns = nbd_dial_now_ns();
		uint64_t	at_ns;

		if (now_ns >= p->deadline_ns)
			return;
		clock_gettime(CLOCK_MONOTONIC, &ts);
		at_ns = (uint64_t)ts.tv_nsec + p->deadline_ns - now_ns;
		ts.tv_sec += (time_t)(at_ns / NS_PER_S);
		ts.tv_nsec = (long)(at_ns % NS_PER_S);
		pthread_cond_timedwait(&p->changed, &p->lock, &ts);
	}
}

static int by_order(const void *a, const void *b)
{
	const struct task *x = *(struct task *const *)a;
	const struct task *y = *(struct task *const *)b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->export_index != y->export_index)
		return x->export_index < y->export_index ? -1 : 1;
	return 0;
}

static void no_answer(const struct probe *p, struct place_export *e)
{
	e->error = -ETIMEDOUT;
	snprintf(e->error_text, sizeof(e->error_text),
		 "%.100s: no answer within %u ms", e->place, p->deadline_ms);
}

static void collect(struct probe *p, struct place_list *list)
{
	list->exports = calloc(p->ntasks + 1, sizeof(list->exports[0]));
	if (list->exports == NULL)
		return;
	qsort(p->tasks, p->ntasks, sizeof(p->tasks[0]), by_order);
	for (unsigned i = 0; i < p->ntasks; i++) {
		struct task	    *t = p->tasks[i];
		struct place_export *e = &list->exports[list->nexports];

		if (t->silent)
			continue;
		*e = t->result;
		t->result.head = NULL; /* moved */
		t->result.tail = NULL;
		if (!t->done)
			no_answer(p, e);
		list->nexports++;
	}
}

static void probe_work(struct offload *job)
{
	struct probe *p = container_of(job, struct probe, job);

	pthread_mutex_lock(&p->lock);
	wait_for_tasks(p);
	p->abandoned = true;
	collect(p, p->list);
	pthread_mutex_unlock(&p->lock);
}

static void probe_done(struct offload *job, bool finished)
{
	struct probe	  *p = container_of(job, struct probe, job);
	struct place_list *list = p->list;

	/* It is never abandoned, and the master always ends. */
	assert(finished);
	p->list = NULL; /* the caller's now */
	p->done(list, p->arg);
}

static void probe_release(struct offload *job)
{
	struct probe *p = container_of(job, struct probe, job);

	pthread_mutex_lock(&p->lock);
	probe_put(p);
}

/* --- starting ------------------------------------------------------------ */

static struct probe *probe_alloc(void)
{
	struct probe	  *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (p == NULL)
		return NULL;
	p->tasks = calloc(TASKS_MAX, sizeof(p->tasks[0]));
	p->list = calloc(1, sizeof(*p->list));
	if (p->tasks == NULL || p->list == NULL) {
		free(p->tasks);
		free(p->list);
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->changed, &attr);
	pthread_condattr_destroy(&attr);
	list_init(&p->todo);
	p->refs = 1; /* the job's */
	p->job.work = probe_work;
	p->job.done = probe_done;
	p->job.release = probe_release;
	return p;
}

/* NOLINTNEXTLINE(readability-function-size): 7 parameters */
int places_probe(struct io *io, const char *const *places, unsigned nplaces,
		 uint32_t want_bytes, uint64_t deadline_ns,
		 void (*done)(struct place_list *list, void *arg), void *arg)
{
	struct probe *p;
	bool	      ok = true;
	int	      r;

	assert(want_bytes > 0 && want_bytes % TARN_BLOCK == 0);
	if (nplaces > TASKS_MAX)
		return -E2BIG;
	p = probe_alloc();
	if (p == NULL)
		return -ENOMEM;
	p->want_bytes = want_bytes;
	p->deadline_ns = nbd_dial_now_ns() + deadline_ns;
	p->deadline_ms = (unsigned)(deadline_ns / NS_PER_MS);
	p->done = done;
	p->arg = arg;

	/* Nobody moves before everything is there. */
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < nplaces && ok; i++)
		ok = add_place(p, i, places[i]);
	r = ok ? offload_start(io, &p->job) : -ENOMEM;
	if (r == 0) {
		pthread_mutex_unlock(&p->lock);
		return 0;
	}
	p->abandoned = true;
	probe_put(p);
	return r;
}
