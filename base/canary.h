/* base/canary.h - bugs that are planted on purpose, so that the simulation can
 * prove that it would find them.
 *
 * CANARY(name) is 0 in every normal build: the compiler removes what hangs
 * from it.  `make canaries` builds with TARN_CANARIES, where it is true while
 * tarn-sim runs with --canary name, and demands that some seed fails.
 */
#ifndef TARN_BASE_CANARY_H
#define TARN_BASE_CANARY_H

#define CANARIES(X) \
	X(none, "no bug at all") \
	X(flush_skips_disk, "a flush leaves the first disk out") \
	X(flush_error_ignored, "a failed flush counts as done") \
	X(sync_covers_less, "a FLUSH waits for what was flushed anyway") \
	X(ack_before_write, "a row is stored when it is submitted") \
	X(fua_unflushed, "FUA is acknowledged like any write") \
	X(cover_off_by_one, "a flush under way covers what ends during it") \
	X(parity_short, "parity leaves out the last sector") \
	X(mark_too_high, "rows say that more is flushed than is") \
	X(unflushed_forgotten, \
	  "what a disk had not flushed is not written again") \
	X(out_unrecorded, "a disk goes out without a label that says so") \
	X(in_too_early, \
	  "a disk that is back is recorded in before a commit has all rows") \
	X(absent_ignored, \
	  "… while rows still go to segments that have no unit for it") \
	X(no_resubmit, "rows are not written to a disk that is back") \
	X(payload_unchecked, "recovery takes torn units for whole") \
	X(padding_unchecked, "padding that did not arrive goes unnoticed") \
	X(label_before_flush, \
	  "the label is written before what it points at is flushed") \
	X(reuse_before_commit, \
	  "segments are reused before the commit that freed them is done") \
	X(scan_from_late, \
	  "a commit forgets rows that were in flight when it froze") \
	X(generation_kept, "a reused segment keeps its generation") \
	X(write_off_kept, \
	  "a segment composed after a restart starts where the old one ended") \
	X(space_unlimited, "a pool takes more than it can hold") \
	X(space_halved, "ENOSPC at half of the usable space") \
	X(unref_lost, "overwritten blocks stay counted as live") \
	X(torn_row_accepted, "recovery accepts rows with too few units") \
	X(gap_skipped, "recovery goes on behind a missing row") \
	X(last_row_lost, "recovery leaves out the last row") \
	X(late_never, "late rows are not written again") \
	X(late_counted_twice, "both copies of a late row count as live") \
	X(late_header_kept, "the copy of a late row says it is elsewhere") \
	X(missing_not_written, \
	  "a commit does not record what a disk lost meanwhile") \
	X(stray_ignored, "zones are used again while writes are on their way") \
	X(stray_unrecorded, "a restart forgets that writes are on their way") \
	X(extra_forgotten, \
	  "what a recovery before the last wrote is forgotten") \
	X(rebuild_unreserved, \
	  "a unit is made again on a zone that no commit has reserved") \
	X(rebuild_unflushed, "a unit made again is given before it is flushed") \
	X(rebuild_unchecked, "a unit is made again of damaged ones") \
	X(rebuild_old_zone, \
	  "the zone that a unit moved from is used again at once") \
	X(rebuild_fills, "rebuild takes the last free zones") \
	X(move_same_domain, \
	  "a unit moves to a domain that its segment is in already") \
	X(move_endless, "units move although no disk has more room") \
	X(remove_full, "a disk is removed while segments have zones of it") \
	X(repairs_forgotten, \
	  "segments that a dead server may have repaired are used again") \
	X(gone_untold, \
	  "zones of a disk that is out are forgotten while it may come back") \
	X(offline_untold, "labels call a disk in that is offline") \
	X(offline_forgotten, "a restart forgets that a disk is offline") \
	X(grow_untold, \
	  "zones behind the old end are used before labels tell of them") \
	X(trim_early, "zones are trimmed before the commit that frees them") \
	X(trim_reused, "zones are used again while they are being trimmed") \
	X(trim_unrecorded, "a restart forgets that trims are on their way") \
	X(no_repair, "recovery does not make damaged rows whole") \
	X(read_unchecked, "blocks are not checked against their checksum") \
	X(scrub_unchecked, "a scrub writes without checking what it composed") \
	X(rebuild_one_try, "a block is rebuilt from the first k units only") \
	X(move_unconditional, "a MOVE overwrites what was written meanwhile") \
	X(copy_forgotten, "a node that a snapshot shows is changed in place") \
	X(shared_freed, "overwriting frees blocks that a snapshot has") \
	X(guard_forgotten, "what the reaper found is dropped before it is used") \
	X(move_one_version, "a MOVE changes one version of a leaf only") \
	X(reap_all, "deleting a snapshot frees blocks that others have") \
	X(birth_not_noted, "inner nodes are not told what changed beneath") \
	X(birth_lost, "a new leaf forgets what was trimmed there") \
	X(leaf_gone, "any trim that empties a leaf trims all of it") \
	X(own_forgotten, \
	  "what a deleted snapshot leaves to a volume is nobody's own") \
	X(reserve_not_counted, "nothing is kept for volumes with a reserve") \
	X(pause_forgotten, "writes of a volume that pauses get ENOSPC") \
	X(mapped_drifts, "a trim does not lower the count of mapped blocks") \
	X(unmap_not_redone, "recovery forgets trims") \
	X(redo_move_blind, "recovery redoes a MOVE like a write") \
	X(catalog_not_redone, "recovery forgets control operations") \
	X(purge_forgets, \
	  "purging a volume leaves its snapshots behind") \
	X(trash_early, "volumes leave the trash before their time") \
	X(branch_not_awaited, \
	  "recovery loads for a clone before it knows what that shows") \
	X(move_unchecked, "a block is moved without looking at its checksum") \
	X(move_one_tip, "a MOVE looks for versions in one volume only") \
	X(prune_any, "a schedule deletes what a person took") \
	X(schedule_flag_lost, "nobody knows that a schedule took it") \
	X(fork_reaped, "a snapshot that several need goes for one of them") \
	X(thin_one_less, \
	  "a fork is thinned of what one of its volumes needs") \
	X(unmap_short, "a trim leaves its last block") \
	X(merge_zeros, "a partial write loses the rest of its block") \
	X(range_unordered, "requests that overlap do not wait for each other") \
	X(node_not_frozen, \
	  "a commit writes nodes as they are, not as they were") \
	X(catalog_not_written, "a commit leaves the catalog out") \
	X(event_not_redone, "recovery forgets events") \
	X(event_not_written, "a commit leaves events out") \
	X(lost_as_zeros, "a block that is lost reads as zeros") \
	X(lost_not_listed, "a block that is lost is not listed") \
	X(lost_for_ever, "a block that was lost stays listed") \
	X(hedge_answers_twice, \
	  "a disk that was not waited for answers, too") \
	X(around_unchecked, \
	  "what is read round a slow disk is not checked") \
	X(node_place_lost, "a commit does not enter where it wrote a node")

enum canary {
#define X(name, what) CANARY_##name,
	CANARIES(X)
#undef X
};

#ifdef TARN_CANARIES
extern int tarn_canary; /* enum canary, set by tarn-sim */
#define CANARY(name) (tarn_canary == CANARY_##name)
#else
#define CANARY(name) 0
#endif

#endif
