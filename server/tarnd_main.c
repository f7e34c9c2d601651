/* server/tarnd_main.c - tarnd(8). */
#include <stdlib.h>
#include <unistd.h>

#include "server/tarnd.h"

int main(int argc, char **argv)
{
	struct config cfg;
	struct tarnd *t;
	int           code;

	switch (config_read(&cfg, argc, argv)) {
	case CONFIG_DONE:
		config_free(&cfg);
		return 0;
	case CONFIG_USAGE:
		config_free(&cfg);
		return 2;
	case CONFIG_RUN:
		break;
	}
	t = calloc(1, sizeof(*t));
	/* What a start that failed had made goes with the process. */
	if (t == NULL || tarnd_start(t, &cfg) < 0)
		_exit(1);
	code = tarnd_run(t);
	free(t);
	config_free(&cfg);
	return code;
}
