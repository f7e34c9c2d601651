/* tests/lib/pool_kit.c - see pool_kit.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/label_format.h"
#include "tests/lib/pool_kit.h"
#include "tests/sim/fault.h"
#include "tests/sim/pages.h"

#define ZONE_SHIFT (ZONE_SHIFT_MIN + 1)

struct sim    *sim;
struct volume *vol;

static struct sim_stats stats;
static struct vol_user  user;
static bool             ended;

struct pool *pk_pool(void)
{
	return sim->life->pool;
}

void pk_turn(void)
{
	sim_late_run(sim);
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

void pk_run_for(uint64_t ns)
{
	uint64_t end_ns = sim_now_ns(sim) + ns;

	while (sim_now_ns(sim) < end_ns)
		pk_turn();
}

/* --- lives --------------------------------------------------------------- */

static void ctl_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	ended = true;
}

static void volume_create(uint32_t blocks)
{
	struct vol_ctl ctl = { .name = "v",
			       .size_bytes = (uint64_t)blocks * TARN_BLOCK,
			       .uuid.b[0] = 1, .done = ctl_done };

	ended = false;
	vol_create(sim->life->vols, &ctl);
	pk_until(ended);
}

static void attach(void)
{
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
}

static void choose(struct sim_config *c, const struct pk_pool *is)
{
	uint32_t zones = is->zones != 0 ? is->zones : 40;

	*c = (struct sim_config){
		.k = is->k,
		.m = is->m,
		.ndisks = is->ndisks != 0 ? is->ndisks : is->k + is->m,
		.disks_a_domain = 1,
		.zone_shift = ZONE_SHIFT,
		.row_blocks_max = is->row_blocks_max,
		.disk_blocks = 2 * LABEL_AREA_BLOCKS + (zones << ZONE_SHIFT),
		.node_budget_bytes = is->dirty_nodes > 64 ? 1 << 28 : 1 << 22,
		.dirty_nodes_max = is->dirty_nodes != 0 ? is->dirty_nodes : 64,
		.commit_log_bytes = is->commit_log_bytes != 0 ?
					    is->commit_log_bytes :
					    1 << 23,
		.rows_memory_bytes = 1 << 24,
		.bufs_bytes = 1 << 25,
	};
}

void pk_create(const struct pk_pool *is)
{
	sim = calloc(1, sizeof(*sim));
	assert_non_null(sim);
	sim_current = sim;
	sim->stats = &stats;
	sim->now_ns = 1000 * NS_PER_S;
	choose(&sim->cfg, is);
	prng_init(&sim->rng, 1);
	prng_init(&sim->disk_rng, 2);
	prng_init(&sim->fault_rng, 3);
	if (pages_base == NULL)
		pages_open();
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i] = media_open(sim, i, i, sim->cfg.disk_blocks);
	fault_open(sim);
	assert_int_equal(life_create(sim), LIFE_OK);
	volume_create(is->blocks);
	attach();
}

void pk_close(void)
{
	vol_put(vol, &user);
	vol = NULL;
	assert_int_equal(life_close(sim, UINT64_MAX), LIFE_OK);
}

enum life_end pk_open(void)
{
	const struct life_span span = { .events = UINT64_MAX };
	enum life_end end = life_open(sim, false, &span);

	if (end == LIFE_OK)
		attach();
	return end;
}

void pk_kill_and_open(bool power)
{
	life_kill(sim, power);
	assert_int_equal(pk_open(), LIFE_OK);
}

void pk_exit(int r)
{
	fflush(NULL);
	_exit(r);
}

/* --- requests ------------------------------------------------------------ */

static void req_done(struct vol_req *req)
{
	(void)req;
	ended = true;
}

int pk_try(enum vol_op op, uint32_t block, uint32_t n, void *data)
{
	struct vol_req r = { .vol = vol, .op = (uint8_t)op, .buf = data,
			     .off_bytes = (uint64_t)block * TARN_BLOCK,
			     .len_bytes = (uint64_t)n * TARN_BLOCK,
			     .done = req_done };

	ended = false;
	vol_submit(&r);
	pk_until(ended);
	return r.res;
}

void pk_do(enum vol_op op, uint32_t block, uint32_t n, void *data)
{
	assert_int_equal(pk_try(op, block, n, data), 0);
}

void pk_assert_bytes(const uint8_t *data, uint32_t n, uint8_t byte)
{
	uint8_t want[TARN_BLOCK];

	memset(want, byte, sizeof(want));
	for (uint32_t b = 0; b < n; b++)
		assert_memory_equal(data + (size_t)b * TARN_BLOCK, want,
				    sizeof(want));
}

/* --- disks --------------------------------------------------------------- */

void pk_disk_gone(uint32_t disk, bool gone)
{
	struct sim_media *m = sim->media[disk];

	m->gone = gone;
	if (gone && m->handle != NULL)
		sim_disk_drop(m->handle);
}

void pk_disk_hang(struct sim_media *m, bool hangs)
{
	m->hung = hangs;
	if (!hangs && m->handle != NULL)
		sim_disk_kick(m->handle);
}
