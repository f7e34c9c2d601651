/* server/bgjob_note.h - how far jobs were when they were seen first, to tell
 * how fast they are.
 */
#ifndef TARN_SERVER_BGJOB_NOTE_H
#define TARN_SERVER_BGJOB_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#define BGJOB_NOTES 64u

struct bgjob_note {
	char     id[64];   /* "": free */
	uint64_t seen_ns;  /* engine's clock */
	uint64_t done;     /* then */
	bool     there;    /* it is still there */
};

#endif
