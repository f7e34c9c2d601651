/* tools/tarn/connect.c - to the server's NBD exports. */
#include "tools/tarn/connect.h"

#include <stdio.h>
#include <string.h>

enum cli_exit connect_find(const struct cli *cli, char *ret_listen)
{
	enum cli_exit r;
	json_t     *info = rpc_call(cli, "server.info", NULL, &r), *a;
	const char *best = "";

	if (info == NULL)
		return r;
	a = json_object_get(info, "listen");
	for (size_t i = json_array_size(a); i-- > 0;) {
		const char *s = json_string_value(json_array_get(a, i));

		if (s != NULL && (strncmp(best, "unix:", 5) != 0 ||
				  strncmp(s, "unix:", 5) == 0))
			best = s;
	}
	if (best[0] == '\0') {
		out_error(cli, "ENOTCONN",
			  "the server listens nowhere for NBD: start it with "
			  "--listen");
		r = CLI_FAILED;
	}
	snprintf(ret_listen, LISTEN_BYTES, "%s", best);
	json_decref(info);
	return r;
}

const char *connect_error(void)
{
	const char *why = nbd_get_error();

	return why != NULL ? why : "out of memory";
}

/* HOST:PORT, [HOST]:PORT, with the address of this machine for "all". */
static int connect_tcp(struct nbd_handle *nbd, const char *listen,
		       char *ret_why, size_t why_bytes)
{
	const char *colon = strrchr(listen, ':');
	char        host[256];
	const char *h = host;
	size_t      n = colon != NULL ? (size_t)(colon - listen) : 0;

	if (n == 0 || n >= sizeof(host)) {
		snprintf(ret_why, why_bytes,
			 "'%.100s' is no address to connect to", listen);
		return -1;
	}
	memcpy(host, listen, n);
	host[n] = '\0';
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		h++;
	}
	if (strcmp(h, "0.0.0.0") == 0)
		h = "127.0.0.1";
	else if (strcmp(h, "::") == 0)
		h = "::1";
	return nbd_connect_tcp(nbd, h, colon + 1);
}

int connect_nbd(struct nbd_handle *nbd, const char *listen, char *ret_why,
		size_t why_bytes)
{
	int r;

	ret_why[0] = '\0';
	if (strncmp(listen, "unix:", 5) == 0)
		r = nbd_connect_unix(nbd, listen + 5);
	else
		r = connect_tcp(nbd, listen, ret_why, why_bytes);
	if (r < 0 && ret_why[0] == '\0')
		snprintf(ret_why, why_bytes, "%s", connect_error());
	return r;
}
