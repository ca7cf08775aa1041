/* Answers to clients whose packets do not fit into a tunnel. */
#ifndef XVIP_ICMP_H
#define XVIP_ICMP_H

#include "csum.h"
#include "parse.h"

/* How much of the packet is quoted: header and ports for IPv4 (RFC 792), more for
 * IPv6 (RFC 4443 section 3.2 wants as much as fits; stacks read the same ports). */
#define QUOTE4 28
#define QUOTE6 64

struct pseudo6 {
	struct in6_addr src, dst;
	__be32 length, next;
};

/* turn_frame swaps the MACs of a frame and moves tags and EtherType to its new head. */
static __always_inline void turn_frame(__u8 *to, const __u8 *from, __u32 l2_len)
{
	__u8 old[L2_MAX];

#pragma unroll
	for (int i = 0; i < L2_MAX; i++)
		old[i] = from[i];
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++) {
		to[i] = old[ETH_ALEN + i];
		to[ETH_ALEN + i] = old[i];
	}
	to[12] = old[12];
	to[13] = old[13];
	if (l2_len > 14)
#pragma unroll
		for (int i = 14; i < 18; i++)
			to[i] = old[i];
	if (l2_len > 18)
#pragma unroll
		for (int i = 18; i < 22; i++)
			to[i] = old[i];
}

/* answer gives the frame its length and its new head: grow octets before the
 * quoted packet, of which quote are kept. */
static __always_inline int answer(struct xdp_md *ctx, __u32 l2_len, __u32 quote, __u32 grow)
{
	int frame = multi_buffer ? bpf_xdp_get_buff_len(ctx) : ctx->data_end - ctx->data, want = l2_len + quote;

	if (frame < want || bpf_xdp_adjust_tail(ctx, want - frame) || bpf_xdp_adjust_head(ctx, -(int)grow))
		return 0;
	__u8 *head = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (head + 48 + L2_MAX > end)
		return 0;
	if (grow == 28)
		turn_frame(head, head + 28, l2_len);
	else
		turn_frame(head, head + 48, l2_len);
	return 1;
}

static __always_inline int answer4(struct xdp_md *ctx, __u32 l2_len, __u32 mtu)
{
	if (!answer(ctx, l2_len, QUOTE4, sizeof(struct iphdr) + sizeof(struct icmp)))
		return DROP_TOO_BIG;
	struct iphdr *ip = (void *)(long)ctx->data + (l2_len & 31);
	struct icmp *icmp = (void *)(ip + 1);
	struct iphdr *q = (void *)(icmp + 1);
	if ((void *)(q + 1) + 8 > (void *)(long)ctx->data_end)
		return DROP_TOO_BIG;
	__builtin_memset(ip, 0, sizeof(*ip) + sizeof(*icmp));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*icmp) + QUOTE4);
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = q->daddr;
	ip->daddr = q->saddr;
	ip->check = ~csum_fold(bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0));
	icmp->type = ICMP_UNREACHABLE;
	icmp->code = 4; /* fragmentation needed */
	icmp->rest = bpf_htonl(mtu);
	icmp->check = ~csum_fold(bpf_csum_diff(0, 0, (void *)icmp, sizeof(*icmp) + QUOTE4, 0));
	return ANSWER_TOO_BIG;
}

static __always_inline int answer6(struct xdp_md *ctx, __u32 l2_len, __u32 mtu)
{
	struct pseudo6 ps = {.length = bpf_htonl(sizeof(struct icmp) + QUOTE6), .next = bpf_htonl(IPPROTO_ICMP6)};

	if (!answer(ctx, l2_len, QUOTE6, sizeof(struct ipv6hdr) + sizeof(struct icmp)))
		return DROP_TOO_BIG;
	struct ipv6hdr *ip = (void *)(long)ctx->data + (l2_len & 31);
	struct icmp *icmp = (void *)(ip + 1);
	struct ipv6hdr *q = (void *)(icmp + 1);
	if ((void *)q + QUOTE6 > (void *)(long)ctx->data_end)
		return DROP_TOO_BIG;
	__builtin_memset(ip, 0, sizeof(*ip) + sizeof(*icmp));
	ip->version = 6;
	ip->payload_len = bpf_htons(sizeof(*icmp) + QUOTE6);
	ip->nexthdr = IPPROTO_ICMP6;
	ip->hop_limit = 64;
	ps.src = q->daddr;
	ps.dst = q->saddr;
	ip->saddr = ps.src;
	ip->daddr = ps.dst;
	icmp->type = 2; /* packet too big */
	icmp->rest = bpf_htonl(mtu);
	__s64 sum = bpf_csum_diff(0, 0, (void *)&ps, sizeof(ps), 0);
	icmp->check = ~csum_fold(bpf_csum_diff(0, 0, (void *)icmp, sizeof(*icmp) + QUOTE6, sum));
	return ANSWER_TOO_BIG;
}

/* answer_too_big turns the packet into "too big, at most mtu octets" from the
 * virtual address to the client. */
__noinline int answer_too_big(struct xdp_md *ctx, __u32 v6, __u32 l2_len, __u32 mtu)
{
	return v6 ? answer6(ctx, l2_len, mtu) : answer4(ctx, l2_len, mtu);
}

#endif
