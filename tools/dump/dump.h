/* tools/dump/dump.h - printing what is on a pool's disks, in the words of
 * docs/disk-format.md.
 *
 * Uses the decoder of the check; what cannot be decoded is said, the rest goes
 * on.  Everything is printed to stdout, a line for each thing.
 */
#ifndef TARN_TOOLS_DUMP_DUMP_H
#define TARN_TOOLS_DUMP_DUMP_H

#include "tools/check/check_state.h"

void dump_labels(struct ck *ck);
void dump_leases(struct ck *ck);
/* The rest needs ck_open() to have come to the root: each returns 0, or 1 when
 * there is no such thing (said on stderr). */
int  dump_root(struct ck *ck);
int  dump_segments(struct ck *ck);
/* One segment: its entry and rows; rows: with their records. */
int  dump_segment(struct ck *ck, uint32_t no, bool records);
int  dump_volumes(struct ck *ck);
int  dump_events(struct ck *ck);
int  dump_node(struct ck *ck, uint32_t id);
int  dump_place(struct ck *ck, uint64_t place);

/* Text from a disk, in quotes, up to the first NUL: nothing in it moves a
 * cursor. */
void dump_text(const char *text, uint32_t len_bytes);
/* "segment S unit U block O (0xPLACE)". */
struct ck_text dump_place_text(const struct ck *ck, uint64_t place);
/* Name of a segment's state. */
const char *dump_seg_state(uint8_t state);

#endif
