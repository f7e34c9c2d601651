/* tests/server/test_disk_tls.c - disks over TLS: what proves itself is used,
 * everything else is refused, and nothing is ever spoken in the clear instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_kit.h"

#define REQUESTS 100u
#define CONNECT_NS (5 * NS_PER_S)

/* Authorities and servers' certificates, each in a directory of its own. */
static const char make_certificates[] =
	"set -e; cd \"$0\"; umask 077; exec > openssl.log 2>&1\n"
	"ca() { mkdir -p $1; openssl req -x509 -newkey ec -pkeyopt "
	"ec_paramgen_curve:prime256v1 -nodes -subj /CN=$1 -days 2 "
	"-keyout $1/ca-key.pem -out $1/ca-cert.pem; }\n"
	"server() { mkdir -p $1; cp $2/ca-cert.pem $1/\n"
	"openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
	"-nodes -subj /CN=$1 -keyout $1/server-key.pem -out $1/csr\n"
	"echo subjectAltName=$3 > $1/ext\n"
	"openssl x509 -req -in $1/csr -CA $2/ca-cert.pem "
	"-CAkey $2/ca-key.pem -set_serial $$ -days $4 -extfile $1/ext "
	"-out $1/server-cert.pem; }\n"
	"ca ours; ca theirs; mkdir -p nothing empty; : > empty/ca-cert.pem\n"
	"server good ours DNS:localhost,IP:127.0.0.1 2\n"
	"server name ours DNS:other.example 2\n"
	"server foreign theirs DNS:localhost,IP:127.0.0.1 2\n"
	"server expired ours DNS:localhost,IP:127.0.0.1 -1\n"
	"mkdir -p key key2 key3\n"
	"echo alice:00112233445566778899aabbccddeeff > key/keys.psk\n"
	"echo alice:ff112233445566778899aabbccddeeff > key2/keys.psk\n"
	"echo bob:00112233445566778899aabbccddeeff > key3/keys.psk\n";

static const char *in_dir(const char *name)
{
	static char path[4][160];
	static int  next;
	char	   *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", kit_dir(), name);
	return p;
}

static int make(void **state)
{
	const char *argv[] = { "sh", "-c", make_certificates, NULL, NULL };
	pid_t	    pid;

	(void)state;
	argv[3] = kit_dir();
	pid = kit_spawn(argv);
	for (unsigned i = 0; i < 100 && kit_alive(pid); i++)
		;
	kit_kill(pid);
	return 0;
}

/* nbdkit with TLS set like this, on a port. */
static pid_t start_tcp(const char *tls, const char *certificates,
		       unsigned *ret_port)
{
	char	    port[16];
	char	    dir[200];
	const char *argv[] = { "nbdkit", "-f", "-i", "127.0.0.1", "-p", port,
			       tls, dir, "memory", "16M", NULL };
	pid_t	    pid;

	*ret_port = kit_free_port();
	snprintf(port, sizeof(port), "%u", *ret_port);
	snprintf(dir, sizeof(dir), "--tls-certificates=%s",
		 in_dir(certificates));
	pid = kit_spawn(argv);
	kit_wait_port(*ret_port);
	return pid;
}

static void exercise(struct rig *r)
{
	struct rig_req *q = calloc(REQUESTS, sizeof(*q));
	char	       *out = rig_buf(REQUESTS * 8192);
	char	       *in = rig_buf(REQUESTS * 8192);

	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(out + i * 8192, (int)(i + 1), 8192);
		rig_submit(r, &q[i], DISK_WRITE, i * 8192, 8192,
			   out + i * 8192);
	}
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		rig_submit(r, &q[i], DISK_READ, i * 8192, 8192,
			   in + i * 8192);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	assert_memory_equal(in, out, REQUESTS * 8192);
	memset(in, 0, REQUESTS * 8192);
	assert_int_equal(rig_do(r, DISK_READ, 0, REQUESTS * 8192, in), 0);
	assert_memory_equal(in, out, REQUESTS * 8192);
	assert_int_equal(rig_do(r, DISK_FLUSH, 0, 0, NULL), 0);
	free(q);
	free(out);
	free(in);
}

static void expect(const char *place, const char *ca, bool ok)
{
	struct disk_params params = {
		.connect_timeout_ns = CONNECT_NS,
		.tls_ca_dir = in_dir(ca),
	};
	struct rig r;

	rig_open(&r, place, &params);
	if (ok) {
		rig_wait_ups(&r, 1);
		exercise(&r);
	} else {
		rig_wait_downs(&r, 1);
		print_message("%s\n", r.disk->error_text);
		assert_int_equal(r.ups, 0);
	}
	rig_close(&r);
}

static void expect_tcp(const char *host, const char *certificates,
		       const char *ca, bool ok)
{
	char	 place[100];
	unsigned port;
	pid_t	 pid = start_tcp("--tls=require", certificates, &port);

	snprintf(place, sizeof(place), "nbds://%s:%u/", host, port);
	expect(place, ca, ok);
	kit_kill(pid);
}

static void test_verified(void **state)
{
	(void)state;
	kit_need("nbdkit");
	kit_need("openssl");
	expect_tcp("127.0.0.1", "good", "ours", true);
	expect_tcp("localhost", "good", "ours", true);
}

static void test_not_verified(void **state)
{
	(void)state;
	kit_need("nbdkit");
	kit_need("openssl");
	expect_tcp("127.0.0.1", "good", "theirs", false);
	expect_tcp("127.0.0.1", "foreign", "ours", false);
	expect_tcp("127.0.0.1", "name", "ours", false);
	expect_tcp("localhost", "name", "ours", false);
	expect_tcp("127.0.0.1", "expired", "ours", false);
	/* No authority of ours: the system's are not asked. */
	expect_tcp("127.0.0.1", "good", "nothing", false);
	expect_tcp("127.0.0.1", "good", "empty", false);
	expect_tcp("127.0.0.1", "good", "not-there", false);
}

/* One side wants TLS, the other does not have it, or does not want it. */
static void test_downgrade(void **state)
{
	char	 place[100];
	unsigned port;
	pid_t	 pid;

	(void)state;
	kit_need("nbdkit");
	kit_need("openssl");
	pid = start_tcp("--tls=off", "good", &port);
	snprintf(place, sizeof(place), "nbds://127.0.0.1:%u/", port);
	expect(place, "ours", false);
	kit_kill(pid);
	pid = start_tcp("--tls=require", "good", &port);
	snprintf(place, sizeof(place), "nbd://127.0.0.1:%u/", port);
	expect(place, "ours", false);
	kit_kill(pid);
}

/* Behind a unix socket only a shared key can prove anything. */
static void test_keys(void **state)
{
	char	    sock[160];
	char	    keys[200];
	char	    place[300];
	const char *argv[] = { "nbdkit", "-f", "-U", sock, "--tls=require",
			       keys, "memory", "16M", NULL };
	pid_t	    pid;

	(void)state;
	kit_need("nbdkit");
	snprintf(sock, sizeof(sock), "%s/sock", kit_dir());
	snprintf(keys, sizeof(keys), "--tls-psk=%s/keys.psk", in_dir("key"));
	pid = kit_spawn(argv);
	kit_wait_socket(sock);
	snprintf(place, sizeof(place), "nbds+unix://alice@/?socket=%s", sock);
	expect(place, "key", true);
	expect(place, "ours", false); /* no key there */
	expect(place, "key2", false);
	expect(place, "key3", false);
	snprintf(place, sizeof(place), "nbds+unix://eve@/?socket=%s", sock);
	expect(place, "key", false);
	kit_kill(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verified),
		cmocka_unit_test(test_not_verified),
		cmocka_unit_test(test_downgrade),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, make, NULL);
}
