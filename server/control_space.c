/* server/control_space.c - where the space is, in the words that all commands
 * use; docs/operations.md explains them.
 *
 *	usable = data + map + free
 *	raw    = usable + parity + reserve
 */
#include "server/tarnd.h"

json_t *ctl_space_json(const struct pool_info *info,
		       const struct volumes_space *space)
{
	uint64_t usable = info->usable_blocks;
	uint64_t parity = usable * info->m / info->k;
	uint64_t data = min_u64(space->mapped_blocks, info->used_blocks);
	uint64_t with = usable + parity;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "logical_bytes",
			 (json_int_t)blocks_to_bytes(space->logical_blocks),
			 "data_bytes", (json_int_t)blocks_to_bytes(data),
			 "map_bytes",
			 (json_int_t)blocks_to_bytes(info->used_blocks - data),
			 "parity_bytes", (json_int_t)blocks_to_bytes(parity),
			 "reserve_bytes",
			 (json_int_t)blocks_to_bytes(
				 info->raw_blocks -
				 min_u64(with, info->raw_blocks)),
			 "rebuild_bytes",
			 (json_int_t)blocks_to_bytes(info->room_blocks));
}

const char *ctl_rebuild_text(const struct pool_info *info, char *ret)
{
	if (info->m == 0)
		snprintf(ret, REBUILD_TEXT_BYTES,
			 "none: without redundancy nothing can be made again");
	else if (info->rebuild_room == POOL_REBUILD_NONE)
		snprintf(ret, REBUILD_TEXT_BYTES,
			 "no space: %u+%u needs all domains that there are; "
			 "after a loss redundancy stays reduced until the "
			 "disks are back", info->k, info->m);
	else if (info->rebuild_room == POOL_REBUILD_SOME)
		snprintf(ret, REBUILD_TEXT_BYTES,
			 "space is kept for that of a small domain, too little "
			 "for that of the largest");
	else
		snprintf(ret, REBUILD_TEXT_BYTES,
			 "space is kept to make again what any one domain "
			 "held");
	return ret;
}
