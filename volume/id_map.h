/* volume/id_map.h - which node ids are in use: a bit each, all in memory.
 *
 * The lowest free id is given out, so that redoing the log gives the same.
 */
#ifndef TARN_VOLUME_ID_MAP_H
#define TARN_VOLUME_ID_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "volume/slab.h"

struct id_map {
	struct slab *slab;
	uint64_t   **pages;  /* NODE_BITS_PAGE bits each */
	bool        *dirty;  /* changed since the last freeze, by page */
	uint32_t     npages;
	uint32_t     cap;    /* room in pages and dirty */
	uint32_t     ndirty;
	uint64_t     hint;   /* no free id is below it */
	uint64_t     used;   /* ids in use, without id 0 */
};

void id_map_init(struct id_map *m, struct slab *slab);
void id_map_fini(struct id_map *m);
/* Take page `page` as read from disk; the buffer becomes the map's.  Pages
 * come in order.  -ENOMEM. */
int  id_map_add_page(struct id_map *m, void *buf);
uint32_t id_alloc(struct id_map *m);
void     id_free(struct id_map *m, uint32_t id);
bool     id_used(const struct id_map *m, uint64_t id);
void     id_map_touch_page(struct id_map *m, uint32_t page);
/* Ids are below it. */
uint64_t id_map_end(const struct id_map *m);

#endif
