/* volume/node_load.h - reading map nodes and node table pages.
 *
 * A bounded number of reads is in flight; what does not fit waits in order.
 */
#ifndef TARN_VOLUME_NODE_LOAD_H
#define TARN_VOLUME_NODE_LOAD_H

#include "volume/node_cache.h"

struct tpage;
struct node_io;

struct node_loader {
	struct node_io *ios;       /* all of them, each with a buffer */
	struct list    free;       /* struct node_io */
	struct list    wait_nodes; /* struct node */
	struct list    wait_pages; /* struct tpage: before the nodes */
};

int  node_loader_init(struct volumes *vols);
void node_loader_fini(struct volumes *vols);
/* It is LOADING: look up its entry (reading the table page first if need be)
 * and read it.  What is known to be wrong at once makes it FAILED here;
 * otherwise node_loaded() is called from the loop. */
void node_load_start(struct node *node);
/* Read a table page; table_loaded() is called from the loop. */
void page_load_start(struct tpage *tp);

#endif
