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

/* csum_fold32 folds a sum of at most 65,536 words. */
static __always_inline __u16 csum_fold32(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* csum_change gives a checksum after the covered words changed by diff, a one's
 * complement sum of ~old + new. */
static __always_inline __u16 csum_change(__u16 check, __u32 diff) { return ~csum_fold32((__u16)~check + diff); }

/* csum_hop gives the checksum of an IPv4 header that lost one hop: the word it is
 * in gets smaller by 0x0100, so the checksum gets greater by that. */
static __always_inline __u16 csum_hop(__u16 check)
{
	__u32 sum = (__u32)check + bpf_htons(0x0100);

	return sum + (sum >= 0xffff);
}

#endif
