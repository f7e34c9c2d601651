/* volume/node_validate.c - every check that stands between the bytes of a disk
 * and the map.  CRCs were checked by the pool; what is here catches what a
 * valid CRC does not: a block of another kind, of a newer format, or made up.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "pool/pool.h"
#include "volume/node_validate.h"

#define BAD(text)                    \
	do {                         \
		*ret_why = (text);   \
		return -EBADMSG;     \
	} while (0)

#define PLACE_MASK ((1ull << PLACE_BITS) - 1)

int leaf_validate(const void *buf, uint32_t *ret_used, const char **ret_why)
{
	const struct leaf_entry *e = buf;
	uint32_t used = 0;

	for (unsigned i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t word;

		memcpy(&word, &e[i], sizeof(word));
		if (word >> PLACE_BITS != 0)
			BAD("leaf: unknown flags");
		if (word != PLACE_NONE)
			used++;
		else if (le32_get(e[i].crc32c) != 0)
			BAD("leaf: CRC of an unmapped block");
	}
	*ret_used = used;
	return 0;
}

int inner_validate(const void *buf, uint64_t nodes_end, uint32_t *ret_used,
		   const char **ret_why)
{
	const struct inner_child *c = buf;
	uint32_t used = 0;

	for (unsigned i = 0; i < INNER_CHILDREN; i++) {
		uint32_t id = le32_get(c[i].node);

		if (id == 0)
			continue;
		if (id >= nodes_end)
			BAD("inner node: child id beyond the node map");
		used++;
	}
	*ret_used = used;
	return 0;
}

int node_entry_validate(const struct node_entry *e, struct node_info *ret_info,
			const char **ret_why)
{
	uint64_t where = le64_get(e->where);

	ret_info->place = le64_get(e->place);
	ret_info->crc = le32_get(e->crc32c);
	ret_info->refs = le32_get(e->refs);
	ret_info->family = le32_get(e->family);
	ret_info->birth = le32_get(e->birth);
	ret_info->level = (uint8_t)(where >> 56);
	ret_info->index = where & ((1ull << 56) - 1);
	if (ret_info->refs == 0)
		return 0;
	if (ret_info->place > PLACE_MASK)
		BAD("node entry: place out of range");
	if (ret_info->level > LEVEL_MAX)
		BAD("node entry: level out of range");
	if (ret_info->index >= levels_to_leaves(LEVEL_MAX - ret_info->level))
		BAD("node entry: index out of range");
	if (ret_info->family == 0)
		BAD("node entry: no family");
	return 0;
}

static int tree_validate(const struct catalog_slot *slot, uint64_t size_bytes,
			 const char **ret_why)
{
	if (slot->levels > LEVEL_MAX)
		BAD("catalog: root level out of range");
	if ((slot->flags &
	     ~(CATALOG_SHRUNK | CATALOG_HIDDEN | CATALOG_HELD |
	       CATALOG_TRASHED | CATALOG_SCHEDULED | CATALOG_PAUSES)) != 0 ||
	    (slot->flags & CATALOG_PAUSES &&
	     (slot->kind != CATALOG_VOLUME || slot->state != CATALOG_READY ||
	      slot->flags & CATALOG_HIDDEN)) ||
	    (slot->flags & CATALOG_HIDDEN && (slot->kind != CATALOG_VOLUME ||
					      slot->state != CATALOG_READY)) ||
	    (slot->flags & (CATALOG_HELD | CATALOG_SCHEDULED) &&
	     (slot->kind != CATALOG_SNAPSHOT || slot->state != CATALOG_READY)))
		BAD("catalog: unknown flags");
	if (slot->flags & CATALOG_TRASHED &&
	    (slot->kind != CATALOG_VOLUME || slot->state != CATALOG_READY ||
	     slot->flags & CATALOG_HIDDEN))
		BAD("catalog: this cannot be in the trash");
	if (size_to_leaves(size_bytes) > levels_to_leaves(slot->levels))
		BAD("catalog: root too low for the size");
	if (le64_get(slot->cursor) > levels_to_leaves(slot->levels))
		BAD("catalog: cursor out of range");
	if (le64_get(slot->mapped) >
	    levels_to_leaves(slot->levels) * LEAF_ENTRIES)
		BAD("catalog: more blocks mapped than there are");
	return 0;
}

static int schedule_validate(const struct catalog_slot *slot,
			     const char **ret_why)
{
	const struct catalog_schedule *s = &slot->schedule;
	bool volume = slot->kind == CATALOG_VOLUME &&
		      slot->state == CATALOG_READY &&
		      (slot->flags & CATALOG_HIDDEN) == 0;
	uint32_t kinds = 0, sum = 0;

	for (unsigned p = 0; p < PERIODS; p++) {
		kinds += le16_get(s->keep[p]) != 0;
		sum += le16_get(s->keep[p]);
	}
	if (!volume && le64_get(slot->reserve) != 0)
		BAD("catalog: a reserve of what is no volume");
	if (kinds == 0 && le32_get(s->last_min) != 0)
		BAD("catalog: the time of no schedule");
	if (slot->flags & CATALOG_SCHEDULED) {
		if (sum != 1 || le32_get(s->last_min) != 0)
			BAD("catalog: a scheduled snapshot of no kind");
	} else if (kinds != 0 && !volume) {
		BAD("catalog: a schedule of what is no volume");
	}
	return 0;
}

static int checkpoint_validate(const struct catalog_slot *slot,
			       const char **ret_why)
{
	if (slot->state != CATALOG_READY)
		BAD("catalog: a checkpoint cannot be in this state");
	if ((slot->flags & ~CATALOG_LOST) != 0)
		BAD("catalog: unknown flags");
	if (slot->levels != 0 || le32_get(slot->root) != 0 ||
	    le32_get(slot->origin) != 0 || le64_get(slot->mapped) != 0 ||
	    le64_get(slot->cursor) != 0 || le64_get(slot->own) != 0)
		BAD("catalog: a checkpoint is a tree");
	return 0;
}

int catalog_slot_validate(const struct catalog_slot *slot,
			  const char **ret_why)
{
	bool ready = slot->state == CATALOG_READY;
	uint64_t size_bytes = le64_get(slot->size_bytes);

	if (le32_get(slot->id) == 0)
		return 0;
	if (slot->kind != CATALOG_VOLUME && slot->kind != CATALOG_SNAPSHOT &&
	    slot->kind != CATALOG_CHECKPOINT)
		BAD("catalog: unknown kind");
	if (!ready && slot->state != CATALOG_DELETING &&
	    slot->state != CATALOG_FORK)
		BAD("catalog: unknown state");
	if ((le32_get(slot->volume) != 0) !=
	    (ready && slot->kind != CATALOG_VOLUME))
		BAD("catalog: a snapshot of no volume, or a volume of one");
	if (slot->state == CATALOG_FORK && slot->kind != CATALOG_SNAPSHOT)
		BAD("catalog: a fork that is no snapshot");
	if (size_bytes == 0 || size_bytes > VOLUME_BYTES_MAX)
		BAD("catalog: size out of range");
	if (le32_get(slot->family) == 0)
		BAD("catalog: no family");
	if (le32_get(slot->birth) == 0)
		BAD("catalog: no birth");
	/* What is deleted has none, or still what was its name. */
	if ((ready || le16_get(slot->name_len) != 0) &&
	    !name_bytes_valid(slot->name, le16_get(slot->name_len)))
		BAD("catalog: bad name");
	if (schedule_validate(slot, ret_why) < 0)
		return -EBADMSG;
	return slot->kind == CATALOG_CHECKPOINT ?
		       checkpoint_validate(slot, ret_why) :
		       tree_validate(slot, size_bytes, ret_why);
}

int vols_root_validate(const void *buf, uint32_t len_bytes,
		       const char **ret_why)
{
	const struct vols_root *r = buf;

	if (len_bytes < VOLS_ROOT_MIN)
		BAD("root of the volumes: too short");
	if (memcmp(r->magic, VOLS_ROOT_MAGIC, sizeof(r->magic)) != 0)
		BAD("root of the volumes: magic");
	if (le32_get(r->next_volume) == 0)
		BAD("root of the volumes: next id");
	if (le32_get(r->nslots) > VOLUMES_MAX)
		BAD("root of the volumes: slots");
	return 0;
}

static int name_body_validate(const uint8_t *body, uint32_t len_bytes,
			      const char **ret_why)
{
	uint32_t name_len;

	if (len_bytes < sizeof(le16))
		BAD("catalog record: too short");
	name_len = body[0] | (uint32_t)body[1] << 8;
	if (name_len > len_bytes - sizeof(le16) ||
	    !name_bytes_valid((const char *)body + sizeof(le16), name_len))
		BAD("catalog record: bad name");
	return 0;
}

static int size_body_validate(uint64_t size_bytes, const char **ret_why)
{
	if (size_bytes == 0 || size_bytes > VOLUME_BYTES_MAX)
		BAD("catalog record: size out of range");
	return 0;
}

void snap_iter_init(struct snap_iter *it, const void *body, uint32_t len_bytes)
{
	le64 created_s;

	memset(it, 0, sizeof(*it));
	memcpy(&created_s, body, sizeof(created_s));
	it->created_s = le64_get(created_s);
	it->pos = (const uint8_t *)body + sizeof(created_s);
	it->end = (const uint8_t *)body + len_bytes;
}

bool snap_iter_next(struct snap_iter *it)
{
	struct catalog_snap e;
	uint32_t len;

	if ((size_t)(it->end - it->pos) < sizeof(e))
		return false;
	memcpy(&e, it->pos, sizeof(e));
	len = le16_get(e.name_len);
	it->volume = le32_get(e.volume);
	it->uuid = e.uuid;
	it->kind = e.kind;
	it->schedule = e.schedule;
	it->pos += sizeof(e);
	if (len > 0) {
		memset(it->name, 0, sizeof(it->name));
		memcpy(it->name, it->pos, len);
	}
	it->pos += len;
	return true;
}

static int snap_body_validate(const uint8_t *body, uint32_t len_bytes,
			      const char **ret_why)
{
	uint32_t at = sizeof(le64);
	bool     named = false;

	if (len_bytes <= at)
		BAD("snapshot record: too short");
	while (at < len_bytes) {
		struct catalog_snap e;
		uint32_t len;

		if (len_bytes - at < sizeof(e))
			BAD("snapshot record: cut off");
		memcpy(&e, body + at, sizeof(e));
		at += sizeof(e);
		if (e.kind != CATALOG_SNAPSHOT && e.kind != CATALOG_CHECKPOINT)
			BAD("snapshot record: unknown kind");
		if (e.schedule > (e.kind == CATALOG_SNAPSHOT ? PERIODS : 0))
			BAD("snapshot record: of no schedule");
		len = le16_get(e.name_len);
		if (len > len_bytes - at)
			BAD("snapshot record: cut off");
		if (len > 0 && !name_bytes_valid((const char *)body + at, len))
			BAD("snapshot record: bad name");
		named |= len > 0;
		if (!named)
			BAD("snapshot record: no name");
		at += len;
	}
	return 0;
}

static int set_body_validate(const struct catalog_set *s, uint32_t len_bytes,
			     const char **ret_why)
{
	if (len_bytes < sizeof(*s))
		BAD("set record: too short");
	if ((s->set ^ s->clear) != CATALOG_HELD ||
	    (s->set & s->clear) != 0)
		BAD("set record: unknown flags");
	return 0;
}

static int thin_body_validate(const struct catalog_thin *t, uint32_t len_bytes,
			      const char **ret_why)
{
	uint64_t next;

	if (len_bytes < sizeof(*t))
		BAD("thin record: too short");
	next = le64_get(t->from);
	if (le64_get(t->upto) <= next)
		BAD("thin record: it goes nowhere");
	if (le32_get(t->nleaves) >
	    (len_bytes - sizeof(*t)) / sizeof(t->leaves[0]))
		BAD("thin record: cut off");
	if (le32_get(t->first_shared) > le32_get(t->nleaves))
		BAD("thin record: it names no such leaf");
	for (uint32_t i = 0; i < le32_get(t->nleaves); i++) {
		uint64_t leaf = le64_get(t->leaves[i].leaf);

		if (leaf < next || leaf >= le64_get(t->upto) ||
		    leaf >= levels_to_leaves(LEVEL_MAX))
			BAD("thin record: leaves out of order");
		next = leaf + 1;
	}
	return 0;
}

static int schedule_body_validate(const struct catalog_schedule *s,
				  uint32_t len_bytes, const char **ret_why)
{
	bool some = false;

	if (len_bytes < sizeof(*s))
		BAD("schedule record: too short");
	for (unsigned p = 0; p < PERIODS; p++)
		some |= le16_get(s->keep[p]) != 0;
	if (!some && le32_get(s->last_min) != 0)
		BAD("schedule record: the time of none");
	return 0;
}

static int props_body_validate(const struct catalog_props *p,
			       uint32_t len_bytes, const char **ret_why)
{
	if (len_bytes < sizeof(*p))
		BAD("properties record: too short");
	if (p->mask == 0 || (p->mask & ~CATALOG_PROPS_ALL) != 0 || p->pause > 1)
		BAD("properties record: unknown ones");
	return 0;
}

static int create_body_validate(const struct catalog_create *c,
				uint32_t len_bytes, const char **ret_why)
{
	uint32_t at = (uint32_t)offsetof(struct catalog_create, name_len);
	struct catalog_props props;

	if (len_bytes < sizeof(*c))
		BAD("create record: too short");
	if (size_body_validate(le64_get(c->size_bytes), ret_why) < 0 ||
	    name_body_validate((const uint8_t *)c + at, len_bytes - at,
			       ret_why) < 0)
		return -EBADMSG;
	return !catalog_create_props(c, len_bytes, &props) ?
		       0 :
		       props_body_validate(&props, sizeof(props), ret_why);
}

bool catalog_create_props(const struct catalog_create *c, uint32_t len_bytes,
			  struct catalog_props *ret_props)
{
	uint32_t at = (uint32_t)sizeof(*c) + le16_get(c->name_len);

	if (len_bytes - at < sizeof(*ret_props))
		return false;
	memcpy(ret_props, (const uint8_t *)c + at, sizeof(*ret_props));
	return true;
}

int catalog_body_validate(uint32_t subtype, const void *body,
			  uint32_t len_bytes, const char **ret_why)
{
	const struct catalog_branch *b = body;
	const struct catalog_receive *rcv = body;
	le64 v;

	switch (subtype) {
	case CATALOG_CREATE:
		return create_body_validate(body, len_bytes, ret_why);
	case CATALOG_PROPS:
		return props_body_validate(body, len_bytes, ret_why);
	case CATALOG_RESIZE:
		if (len_bytes < sizeof(v))
			BAD("resize record: too short");
		memcpy(&v, body, sizeof(v));
		return size_body_validate(le64_get(v), ret_why);
	case CATALOG_RENAME:
	case CATALOG_UNDELETE:
		return name_body_validate(body, len_bytes, ret_why);
	case CATALOG_DELETE:
	case CATALOG_PURGE:
		return 0;
	case CATALOG_REAP:
	case CATALOG_TRASH:
		if (len_bytes < sizeof(v))
			BAD("reap or trash record: too short");
		return 0;
	case CATALOG_SNAP:
		return snap_body_validate(body, len_bytes, ret_why);
	case CATALOG_RECEIVE:
		if (len_bytes < sizeof(*rcv))
			BAD("receive record: too short");
		if (size_body_validate(le64_get(rcv->size_bytes), ret_why) < 0)
			return -EBADMSG;
		return name_body_validate((const uint8_t *)&rcv->name_len,
					  len_bytes -
					  (uint32_t)offsetof(
						  struct catalog_receive,
						  name_len),
					  ret_why);
	case CATALOG_CLONE:
	case CATALOG_ROLLBACK:
	case CATALOG_PUBLISH:
		if (len_bytes < sizeof(*b))
			BAD("clone or rollback record: too short");
		if (subtype != CATALOG_CLONE && le16_get(b->name_len) == 0)
			return 0;
		return name_body_validate((const uint8_t *)&b->name_len,
					  len_bytes -
					  (uint32_t)offsetof(
						  struct catalog_branch,
						  name_len),
					  ret_why);
	case CATALOG_SET:
		return set_body_validate(body, len_bytes, ret_why);
	case CATALOG_SCHEDULE:
		return schedule_body_validate(body, len_bytes, ret_why);
	case CATALOG_THIN:
		return thin_body_validate(body, len_bytes, ret_why);
	default:
		BAD("catalog record: unknown subtype");
	}
}

uint64_t levels_to_leaves(unsigned levels)
{
	return 1ull << (9 * levels);
}

uint64_t size_to_leaves(uint64_t size_bytes)
{
	return div_up(bytes_to_blocks_up(size_bytes), LEAF_ENTRIES);
}

uint8_t size_to_levels(uint64_t size_bytes)
{
	uint64_t leaves = size_to_leaves(size_bytes);
	uint8_t  levels = 0;

	while (levels < LEVEL_MAX && levels_to_leaves(levels) < leaves)
		levels++;
	return levels;
}
