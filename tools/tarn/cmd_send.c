/* tools/tarn/cmd_send.c - tarn send: a snapshot as a stream on stdout. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "tools/tarn/send.h"

#define RATE_MIN 4096

static enum cli_exit usage(const struct cli *cli, const char *problem)
{
	out_error(cli, "EINVAL", "%s", problem);
	return CLI_USAGE;
}

enum cli_exit send_wish_options(const struct cli *cli, struct send_wish *w)
{
	char *end;

	w->level = (cli->given & CLI_OPT_NO_COMPRESS) != 0 ? 0
							   : STREAM_LEVEL_DFLT;
	if (w->level == 0 && (cli->given & CLI_OPT_COMPRESS) != 0)
		return usage(cli, "--compress and --no-compress contradict "
				  "each other");
	if (cli->compress != NULL) {
		w->level = (int)strtol(cli->compress, &end, 10);
		if (*end != '\0' || w->level < 1 ||
		    w->level > STREAM_LEVEL_MAX)
			return usage(cli, "--compress: a level is a number "
					  "from 1 (fast) to 19 (small)");
	}
	if (cli->rate != NULL &&
	    (size_parse(cli->rate, &w->rate_bytes_s) < 0 ||
	     w->rate_bytes_s < RATE_MIN))
		return usage(cli, "--rate: give bytes a second, at least 4K, "
				  "as in 50M");
	return CLI_OK;
}

static enum cli_exit wish_read(const struct cli *cli, struct send_wish *w)
{
	enum cli_exit r = send_wish_options(cli, w);

	if (r != CLI_OK)
		return r;
	w->name = cli->args[0];
	w->from = cli->from;
	w->fd = STDOUT_FILENO;
	w->advice = "the stream is not whole: its receiver says how to go on";
	w->resume = cli->resume != NULL;
	if (w->resume && stream_token_parse(cli->resume, &w->token) < 0)
		return usage(cli, "--resume: this is no token of a stream: "
				  "give the one that 'tarn receive' printed");
	if (strchr(w->name, '@') == NULL)
		return usage(cli, "give the snapshot to send as VOL@SNAP: "
				  "'tarn snapshot create' takes one");
	if (w->from != NULL && strpbrk(w->from, "@#") == NULL)
		return usage(cli, "--from: give an older snapshot or "
				  "checkpoint of the volume, as VOL@SNAP or "
				  "VOL#CP");
	if (isatty(STDOUT_FILENO))
		return usage(cli, "a stream is not for terminals: redirect "
				  "it, as in 'tarn send VOL@SNAP > FILE'");
	return CLI_OK;
}

enum cli_exit cmd_send(struct cli *cli)
{
	struct send_wish    w = { 0 };
	struct stream_count count;
	enum cli_exit       r;

	cli->stdout_taken = true;
	signal(SIGPIPE, SIG_IGN);
	r = wish_read(cli, &w);
	return r == CLI_OK ? send_snapshot(cli, &w, &count) : r;
}
