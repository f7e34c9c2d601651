/* tests/sim/canary.c - see canary.h and base/canary.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "base/util.h"
#include "tests/sim/canary.h"

#ifdef TARN_CANARIES
int tarn_canary;
#endif

static const struct {
	const char *name;
	const char *what;
} canaries[] = {
#define X(name, what) { #name, what },
	CANARIES(X)
#undef X
};

bool canary_choose(const char *name)
{
	if (name == NULL)
		return true;
	if (strcmp(name, "list") == 0) {
		for (unsigned i = 1; i < ARRAY_LEN(canaries); i++)
			printf("%s\t%s\n", canaries[i].name, canaries[i].what);
		exit(0);
	}
	for (int i = 0; i < (int)ARRAY_LEN(canaries); i++) {
		if (strcmp(name, canaries[i].name) != 0)
			continue;
#ifdef TARN_CANARIES
		tarn_canary = i;
		return true;
#else
		fprintf(stderr, "tarn-sim: this build has no canaries; `make "
			"canaries` makes one that has\n");
		return false;
#endif
	}
	fprintf(stderr, "tarn-sim: there is no canary \"%s\"; --canary list "
		"names them\n", name);
	return false;
}
