/* io/probe_content.c - what is on a disk, by libblkid.
 *
 * libblkid wants a file: it gets one in memory, as long as the disk and empty
 * but for the pages of head and tail that are not zero.  Every format that
 * libblkid knows has its marks there.
 */
#include <blkid/blkid.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/probe.h"

static bool page_is_zero(const uint8_t *page, size_t len)
{
	return page[0] == 0 && memcmp(page, page + 1, len - 1) == 0;
}

static bool put_pages(int fd, const uint8_t *buf, uint32_t len_bytes,
		      uint64_t off_bytes)
{
	for (uint32_t i = 0; i < len_bytes; i += TARN_BLOCK) {
		size_t len = min_u32(TARN_BLOCK, len_bytes - i);

		if (page_is_zero(buf + i, len))
			continue;
		if (pwrite(fd, buf + i, len, (off_t)(off_bytes + i)) !=
		    (ssize_t)len)
			return false;
	}
	return true;
}

static void ask_blkid(int fd, char *ret_content, size_t content_bytes)
{
	blkid_probe pr = blkid_new_probe();
	const char *word = NULL;
	int	    r;

	if (pr == NULL)
		return;
	if (blkid_probe_set_device(pr, fd, 0, 0) == 0) {
		blkid_probe_enable_superblocks(pr, 1);
		blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE);
		blkid_probe_enable_partitions(pr, 1);
		r = blkid_do_safeprobe(pr);
		if (r == 0 &&
		    blkid_probe_lookup_value(pr, "TYPE", &word, NULL) != 0)
			blkid_probe_lookup_value(pr, "PTTYPE", &word, NULL);
		if (r == -2)
			word = "several formats at once";
		if (word != NULL)
			snprintf(ret_content, content_bytes, "%s", word);
	}
	blkid_free_probe(pr);
}

void probe_content(struct place_export *e)
{
	uint64_t end = e->size_bytes & ~(uint64_t)(TARN_BLOCK - 1);
	int	 fd = memfd_create("probe", MFD_CLOEXEC);

	e->content[0] = '\0';
	if (fd < 0)
		return;
	if (ftruncate(fd, (off_t)e->size_bytes) == 0 &&
	    put_pages(fd, e->head, e->head_bytes, 0) &&
	    (e->tail == NULL ||
	     put_pages(fd, e->tail, e->head_bytes, end - e->head_bytes)))
		ask_blkid(fd, e->content, sizeof(e->content));
	close(fd);
}
