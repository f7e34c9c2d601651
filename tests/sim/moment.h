/* tests/sim/moment.h - deaths of the server in moments that are too short, or
 * come too seldom, to be met by chance.
 *
 * A seed chooses one before a death.  Work goes on until it has come, and then
 * the server has some events left to live.  What does not come in time is not
 * waited for: the server dies all the same.
 */
#ifndef TARN_TESTS_SIM_MOMENT_H
#define TARN_TESTS_SIM_MOMENT_H

#include "tests/sim/sim.h"

enum moment {
	MOMENT_NONE,
	/* Trims are under way, and perhaps a commit is, too. */
	MOMENT_TRIM,
	MOMENT_TRIM_COMMIT,
	/* A disk has not flushed rows that a commit is of, and fails to when
	 * the commit has written all that it writes; the server goes on
	 * without that disk, and dies when the commit is done. */
	MOMENT_COMMIT_FLUSH,
	MOMENTS, /* so many can be chosen */
	MOMENT_COMMIT_DONE = MOMENTS /* the last part of that */
};

/* Sets when the life ends. */
void moment_choose(struct sim *sim);
/* A life begins: none is waited for. */
void moment_forget(struct sim *sim);
/* Before each turn: has it come? */
void moment_tick(struct sim *sim);

#endif
