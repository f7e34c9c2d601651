/* volume/node_commit.h - the volumes' part of a commit: every dirty node, then
 * every dirty page of node table, node map and catalog.
 *
 *   IDLE --freeze--> FROZEN --write--> NODES --> PAGES --> READY --done--> IDLE
 *
 * freeze() takes the lists of what is dirty; from then on nodes and table
 * pages save their frozen content before they change (node.c,
 * node_table.c).  Pages of node map and catalog are few: they are copied at
 * the freeze.
 */
#ifndef TARN_VOLUME_NODE_COMMIT_H
#define TARN_VOLUME_NODE_COMMIT_H

#include "volume/node_cache.h"

struct node_put;

enum commit_state {
	COMMIT_IDLE,
	COMMIT_FROZEN, /* waits for write() */
	COMMIT_NODES,  /* nodes are handed in, table pages are read */
	COMMIT_PAGES,  /* all nodes have places: pages are handed in */
	COMMIT_READY,  /* pool_commit_ready() was called */
	COMMIT_FAILED,
};

struct node_commit {
	uint8_t     state;       /* enum commit_state */
	struct objpool puts;     /* struct node_put, a hard limit */
	struct list nodes;       /* struct node: not yet handed in */
	uint64_t    nnodes_left; /* nodes without a place */
	struct list unread;      /* struct tpage: not all of it is known */
	struct list pages;       /* struct tpage: complete, to be handed in */
	struct list written;     /* struct tpage: handed in */
	struct list copies;      /* struct node_put: map and catalog pages */
	uint32_t    inflight;    /* puts not done */
	uint32_t    loading;     /* table pages being read */
	struct list waits;       /* struct page_wait, free */
	struct page_wait *waits_mem;
	struct io_work work;     /* goes on in a later turn */
	uint8_t     root[40];    /* struct vols_root as of the freeze */
};

int  node_commit_init(struct volumes *vols);
void node_commit_fini(struct volumes *vols);
/* Nodes that must be written before all of them are clean. */
uint64_t node_commit_backlog(const struct volumes *vols);

/* Operations of struct log_client_ops. */
void vols_commit_freeze(void *arg);
void vols_commit_write(void *arg);
uint32_t vols_commit_root(void *arg, void *buf);
void vols_commit_done(void *arg, int res);
uint64_t vols_commit_blocks(void *arg);

#endif
