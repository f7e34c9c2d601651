/* pool/open.h - the state of opening a pool; private to pool/.
 *
 * open.c goes through the steps, open_labels.c reads labels, open_members.c
 * decides from them what the pool is and whether it may be opened.  Only those
 * three include this.
 */
#ifndef TARN_POOL_OPEN_H
#define TARN_POOL_OPEN_H

#include "pool/core.h"

struct open_disk {
	struct disk    *disk;
	char            domain[DOMAIN_NAME_MAX + 1];
	struct label   *label;      /* its newest, or NULL */
	struct member  *member;     /* that it became */
	bool            refused;
	struct open_disk *twin;     /* is taken, and says to be the same disk:
				     * to be found out */
	uint8_t        *area[2];
	struct disk_req reqs[2];
	bool            read_ok[2];
	struct opener  *opener;
};

struct opener {
	struct pool     *pool;
	bool             read_only, force;
	bool             again;     /* second reading of the labels */
	bool             aborted;
	bool             locked_out; /* another process has the lock */
	struct open_disk *disks;
	unsigned         ndisks;
	unsigned         pending;
	struct label    *newest;    /* belongs to one of the disks */
	uint64_t         used_claim, used_number;
	unsigned         closing;
	int              res;
	char             error[512];
	struct io_work   work;
};

/* --- open.c -------------------------------------------------------------- */

/* The end: the disks are closed, then the operation is done with what o->error
 * says, or with this sentence.  Only the first one counts. */
void open_abort(struct opener *o, int res);
void open_fail(struct opener *o, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Every label was read: before the claim, and after it. */
void open_labels_first(struct opener *o);
void open_labels_again(struct opener *o);

/* --- open_labels.c ------------------------------------------------------- */

/* Read all labels; open_labels_first() or …_again() in a later turn. */
void open_labels_read(struct opener *o);
/* One reading less to wait for. */
void open_labels_put(struct opener *o);

/* --- open_members.c ------------------------------------------------------ */

/* The disk is not used, and that is why. */
void open_refuse(struct opener *o, struct open_disk *d, const char *why);
/* o->newest, of the labels that were read; NULL: there are none. */
void open_newest_choose(struct opener *o);
/* Of disks that carry the same identity take the first, if they may be one disk
 * by two ways; else refuse them. */
void open_duplicates_part(struct opener *o);
/* The claim is on the disks: one disk by two ways shows it by both.  Others are
 * refused, also the one that was taken; false: then there are too few, and the
 * opening has failed. */
bool open_duplicates_judge(struct opener *o);
/* Refuse it if it does not go with the newest label. */
void open_disk_check(struct opener *o, struct open_disk *d);
/* What the newest label says becomes the pool's; -ENOMEM. */
int  open_identity_take(struct opener *o);
/* Disks become members. */
void open_disks_attach(struct opener *o);
/* Are enough of them here?  If not, the opening has failed. */
bool open_rule_satisfied(struct opener *o);

#endif
