/* base/limits.h - every maximum in one place.
 *
 * A limit that is part of the disk format says so; changing one of those is a
 * format change.
 */
#ifndef TARN_BASE_LIMITS_H
#define TARN_BASE_LIMITS_H

/* Format: data units and parity units of a pool. */
#define POOL_K_MAX       16
#define POOL_M_MAX       4
#define POOL_UNITS_MAX   (POOL_K_MAX + POOL_M_MAX)
/* Format: members of a pool, and the length of names in bytes. */
#define POOL_MEMBERS_MAX 256
#define POOL_NAME_MAX    63
#define VOLUME_NAME_MAX  255
/* VOLUME@SNAPSHOT */
#define TREE_NAME_MAX    (2 * VOLUME_NAME_MAX + 1)
#define DOMAIN_NAME_MAX  63
/* Format: payload blocks of one row: 1 MiB that need not be aligned. */
#define ROW_PAYLOAD_MAX  257
#define ROW_HEADER_MAX   2
/* Format: records in one row. */
#define ROW_RECORDS_MAX  257
/* Format: body of one CATALOG record, bytes. */
#define CATALOG_BODY_MAX 4096
/* Format: numbers of claims, labels, commits and rows, at most: counting never
 * comes to an end, and two bits are left for flags. */
#define POOL_NUMBER_MAX  ((1ull << 62) - 1)
/* Format: zone size in blocks, as a power of two: 2 MiB to 64 GiB. */
#define ZONE_SHIFT_MIN   9
#define ZONE_SHIFT_MAX   24
/* Format: a volume, in bytes: three inner levels. */
#define VOLUME_BYTES_MAX (128ull << 40)
/* Format: volumes and snapshots of a pool. */
#define VOLUMES_MAX      65536
/* Largest disk that is accepted: 2^60 bytes, far from any overflow. */
#define DISK_BYTES_MAX   (1ull << 60)
/* Largest request of a client that carries or returns data, bytes. */
#define REQUEST_DATA_MAX (32u << 20)

#endif
