/* Internet checksums, changed as little as the packet is (RFC 1624). */
#ifndef XVIP_CSUM_H
#define XVIP_CSUM_H

#include "types.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* csum_change gives a checksum after the covered words changed by diff, a one's
 * complement sum of ~old + new. */
static __always_inline __u16 csum_change(__u16 check, __u64 diff) { return ~csum_fold((__u64)(__u16)~check + diff); }

#endif
