/* volume/vol_pause.h - writes that are held while there is no space, for volumes
 * that pause then (vol_props.pause).
 *
 *   a part or span finds no space --> it ends, the request remembers from where
 *   on --> its other parts end --> held, with its range and nothing else but its
 *   caller's memory --> there may be space: it goes on from there
 *                   --> its user leaves, or the volume goes: it ends
 *
 * Held requests keep what is behind them in the same blocks waiting; all else of
 * the volume goes on, and so do other volumes.  They go on in order, and what is
 * in the trash goes for them.  When there was space by the numbers, and the log
 * found none, they wait a while, longer each time.
 */
#ifndef TARN_VOLUME_VOL_PAUSE_H
#define TARN_VOLUME_VOL_PAUSE_H

#include "volume/volume.h"

struct vol_pauses {
	struct list     held;      /* struct vol_req, by when they were */
	bool            wants;     /* some of them lack space */
	struct io_work  work;      /* looks who may go on */
	struct io_timer timer;
	uint64_t        until_ns;  /* nobody goes on before */
	uint64_t        again_ns;  /* the last time it was so long; 0: one has
				    * gone on since */
	vols_pause_watch_fn watch; /* NULL */
	void           *watch_arg;
};

void vol_pauses_init(struct volumes *vols);
void vol_pauses_fini(struct volumes *vols);
/* There may be space, or a reason to end some. */
void vol_pauses_kick(struct volumes *vols);
/* Something of the request found no space for so many blocks; 0: the log had no
 * room.  True: it is going to be held, and goes on at from_bytes (or before,
 * if more of it finds none). */
bool vol_pause_takes(struct vol_req *req, uint64_t from_bytes,
		     uint64_t blocks);
/* All that was under way of it has ended. */
void vol_pause_hold(struct vol_req *req);
/* One that was held ends. */
void vol_pause_end(struct vol_req *req);

#endif
