/* tools/tarn/input.h - a stream from a file descriptor. */
#ifndef TARN_TOOLS_TARN_INPUT_H
#define TARN_TOOLS_TARN_INPUT_H

#include "snapshot/stream.h"
#include "tools/tarn/cli.h"

struct input {
	int                    fd;
	struct stream_decoder *dec;
	char                   error[512];
};

/* "-" is stdin.  false: reported. */
bool input_open(struct input *in, const struct cli *cli, const char *path);
void input_close(struct input *in);
/* What comes next.  1; 0: the stream is over, and was whole; -1: in->error is
 * a sentence.  STREAM_MORE never comes out. */
int input_next(struct input *in, struct stream_event *ret_event);
/* How to go on from where the stream broke, as a clause behind a sentence; ""
 * if there is no way.  NULL for the token: the decoder's.  ret_text:
 * INPUT_ADVICE_BYTES; returns it. */
#define INPUT_ADVICE_BYTES 4608
const char *input_advice(const struct input *in,
			 const struct stream_token *token, char *ret_text);

#endif
