/* tools/tarn/input.c - a stream from a file descriptor. */
#include "tools/tarn/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUOTED_BYTES (4 * TREE_NAME_MAX + 3)

bool input_open(struct input *in, const struct cli *cli, const char *path)
{
	bool std = strcmp(path, "-") == 0;

	memset(in, 0, sizeof(*in));
	in->fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0) {
		out_error(cli, strerrorname_np(errno), "cannot open '%s': %s",
			  path, strerror(errno));
		return false;
	}
	if (std && isatty(in->fd)) {
		out_error(cli, "EINVAL", "a stream does not come from a "
			  "terminal: redirect it, as in 'tarn receive < FILE'");
		return false;
	}
	if (stream_decoder_open(&in->dec) < 0)
		abort();
	return true;
}

void input_close(struct input *in)
{
	stream_decoder_close(in->dec);
	if (in->fd > STDIN_FILENO)
		close(in->fd);
}

static int refused(struct input *in)
{
	snprintf(in->error, sizeof(in->error), "%s",
		 stream_decoder_error(in->dec));
	return -1;
}

int input_next(struct input *in, struct stream_event *ret_event)
{
	do {
		size_t  room;
		void   *p = stream_decoder_space(in->dec, &room);
		ssize_t n = read(in->fd, p, room);

		ret_event->kind = STREAM_MORE;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(in->error, sizeof(in->error),
				 "cannot read the stream: %s",
				 strerror(errno));
			return -1;
		}
		if (n == 0)
			return stream_decoder_finish(in->dec) < 0 ? refused(in)
								  : 0;
		if (stream_decoder_fill(in->dec, (size_t)n, ret_event) < 0)
			return refused(in);
	} while (ret_event->kind == STREAM_MORE);
	return 1;
}

/* NAME@NAME, quoted for a shell: names come from the stream, and who reads the
 * advice may paste it. */
static const char *name_quote(const char *volume, char separator,
			      const char *snapshot, char *ret)
{
	char   name[TREE_NAME_MAX + 1];
	size_t n = 0;

	snprintf(name, sizeof(name), "%s%c%s", volume, separator, snapshot);
	ret[n++] = '\'';
	for (const char *p = name; *p != '\0'; p++) {
		ret[n++] = *p;
		if (*p == '\'') {
			memcpy(ret + n, "\\''", 3);
			n += 3;
		}
	}
	ret[n++] = '\'';
	ret[n] = '\0';
	return ret;
}

const char *input_advice(const struct input *in,
			 const struct stream_token *token, char *ret_text)
{
	const struct stream_header *h = stream_decoder_header(in->dec);
	struct stream_token t;
	char text[STREAM_TOKEN_BYTES];
	char target[QUOTED_BYTES], base[QUOTED_BYTES] = "";

	ret_text[0] = '\0';
	if (h == NULL)
		return ret_text;
	if (token != NULL)
		t = *token;
	else if (stream_decoder_token(in->dec, &t) < 0)
		return ret_text;
	if (h->base_kind != STREAM_BASE_NONE)
		name_quote(h->volume_name,
			   h->base_kind == STREAM_BASE_SNAPSHOT ? '@' : '#',
			   h->base_name, base);
	snprintf(ret_text, INPUT_ADVICE_BYTES,
		 "; to go on from offset %ju, send the rest: tarn send "
		 "--resume '%s' %s%s%s", (uintmax_t)t.off_bytes,
		 stream_token_text(&t, text),
		 name_quote(h->volume_name, '@', h->target_name, target),
		 base[0] != '\0' ? " --from " : "", base);
	return ret_text;
}
