/* tests/server/fake_nbd.h - an NBD server in threads of the test, over a unix
 * socket, that breaks the protocol in one chosen way.
 */
#ifndef TARN_TESTS_SERVER_FAKE_NBD_H
#define TARN_TESTS_SERVER_FAKE_NBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_fault {
	FAKE_GOOD, /* none */
	/* While the connection is made: */
	FAKE_SILENT,          /* accepts and says nothing */
	FAKE_BAD_MAGIC,       /* wrong first words */
	FAKE_OLD_STYLE,       /* the protocol of before 2011, size 0 */
	FAKE_SILENT_OPTION,   /* does not answer the first option */
	FAKE_BAD_REPLY_MAGIC, /* of an option reply */
	FAKE_WRONG_OPTION,    /* replies to another option */
	FAKE_HUGE_REPLY,      /* an option reply of 2^32-1 bytes */
	FAKE_ENDLESS_INFO,    /* never comes to the end of its information */
	FAKE_UNKNOWN_ERROR,   /* an error reply that nobody has defined */
	FAKE_LONG_ERROR,      /* an error reply with 4000 bytes of text */
	FAKE_NO_INFO,         /* agrees without saying a size */
	FAKE_SHORT_INFO,      /* half an information */
	FAKE_ENDLESS_LIST,    /* exports without end */
	FAKE_BIG_LIST,        /* 1000 of them, some with odd names */
	/* In answer to a request: */
	FAKE_WRONG_COOKIE,
	FAKE_WRONG_MAGIC,
	FAKE_STRUCTURED,  /* a reply of a kind that was not agreed on */
	FAKE_TWICE,	  /* the same reply two times */
	FAKE_UNASKED,	  /* a reply before any request */
	FAKE_NO_ANSWER,
	FAKE_HALF_ANSWER, /* half the data, then nothing */
	FAKE_CUT_ANSWER,  /* half the data, then the end */
	FAKE_ERROR,       /* config.error */
	FAKE_STALE,       /* the first request's cookie, always */
	FAKE_OTHER_USE,   /* a cookie that differs in its upper half */
	FAKE_BYTES,       /* one byte at a time */
	FAKE_TRICKLE,     /* likewise, one each 50 ms */
	FAKE_EARLY,       /* to a write before its data has been read */
	FAKE_DEAF,        /* likewise, and then nothing is read any more */
	FAKE_EARLY_TWICE, /* two times, and then nothing is read any more */
	FAKE_GARBAGE,     /* bytes by chance */
};

struct fake_nbd;

struct fake_config {
	enum fake_fault fault;
	uint64_t size_bytes;
	uint16_t flags;       /* transmission flags */
	bool	 block_sizes; /* say the following: */
	uint32_t block_min;
	uint32_t block_preferred;
	uint32_t block_max;
	size_t	 cut_bytes;   /* end each connection after so many bytes have
			       * been sent; 0: never */
	size_t	 split_bytes; /* wait a moment after so many; 0: do not */
	uint32_t error;       /* of FAKE_ERROR; 2^32-1 by default */
	uint32_t seed;        /* of FAKE_GARBAGE */
	unsigned crowd;       /* > 1: so many requests are answered with one
			       * send, the last one first */
};

/* A disk of 1 MiB that reads as bytes of 0xfa, listening on `path`. */
struct fake_nbd *fake_start(const char *path);
/* For connections made from now on. */
void fake_set(struct fake_nbd *f, const struct fake_config *config);
struct fake_config fake_default(enum fake_fault fault);
/* Bytes sent to the last connection, which is about to end. */
size_t fake_sent_bytes(struct fake_nbd *f);
void   fake_stop(struct fake_nbd *f);

#endif
