/* From the frame to the few fields that forwarding needs. */
#ifndef XVIP_PARSE_H
#define XVIP_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "types.h"
#include "verdict.h"

struct packet {
	struct ethhdr *eth;
	__be32 src;
	__be16 sport;
	__u8 syn, fin, rst;
	struct service_key dst; /* what a service is looked up by */
	__u32 length;           /* of the IP packet, octets: what IPVS counts */
};

#define PARSED (-1)

static __always_inline int parse_tcp(struct tcphdr *tcp, void *end, struct packet *p)
{
	if ((void *)(tcp + 1) > end)
		return DROP_MALFORMED;
	p->sport = tcp->source;
	p->dst.port = tcp->dest;
	p->syn = tcp->syn && !tcp->ack;
	p->fin = tcp->fin;
	p->rst = tcp->rst;
	return PARSED;
}

static __always_inline int parse_udp(struct udphdr *udp, void *end, struct packet *p)
{
	if ((void *)(udp + 1) > end)
		return DROP_MALFORMED;
	p->sport = udp->source;
	p->dst.port = udp->dest;
	p->syn = p->fin = p->rst = 0;
	return PARSED;
}

/* parse gives PARSED, or the verdict of a packet that goes no further. */
static __always_inline int parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(eth + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return PASS_NOT_IP;
	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return DROP_MALFORMED;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return PASS_NOT_SERVICE;
	if (ip->ihl != 5)
		return PASS_OPTIONS;
	if (ip->frag_off & bpf_htons(0x3fff)) /* more fragments, or an offset */
		return PASS_FRAGMENT;
	p->eth = eth;
	p->src = ip->saddr;
	p->length = bpf_ntohs(ip->tot_len);
	if (p->length > (__u64)(end - (void *)ip))
		return DROP_MALFORMED;
	p->dst.addr = ip->daddr;
	p->dst.proto = ip->protocol;
	p->dst.pad = 0;
	if (ip->protocol == IPPROTO_TCP)
		return parse_tcp((void *)(ip + 1), end, p);
	return parse_udp((void *)(ip + 1), end, p);
}

#endif
