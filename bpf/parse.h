/* From the frame to the few fields that forwarding needs. */
#ifndef XVIP_PARSE_H
#define XVIP_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "types.h"
#include "verdict.h"

/* What a packet does to its connection; REPLY is added for one of the server's. */
enum event { EVENT_NONE, EVENT_SYN, EVENT_FIN, EVENT_RST, EVENT_REPLY = 4, EVENTS = 8 };

enum packet_kind {
	SEGMENT,        /* has a transport header */
	LATER_FRAGMENT, /* has none: only src, dst.addr and id are known */
	RELATED,        /* an ICMP error: the addresses and ports are those of the flow it quotes */
};

/* No pointer into the frame is kept: the verifier would follow every one of
 * them through all that comes between parsing and leaving. */
struct packet {
	__be32 src[4];          /* the client */
	struct service_key dst; /* what a service is looked up by */
	__be32 id;              /* of a fragment */
	__u32 length;           /* of the IP packet, octets: what IPVS counts */
	__u16 l2_len;           /* octets before the IP header */
	__u16 l4;               /* octets before the transport header, or that of ICMP */
	__u16 quote_l4;         /* RELATED: octets before the quoted ports */
	__be16 sport;
	__u8 kind; /* enum packet_kind */
	__u8 v6;
	__u8 first; /* the first of several fragments */
	__u8 event; /* enum event: what it does to its connection */
};

/* Where things are in the frame, in one word: functions that the verifier looks at
 * once and alone take no pointers on the oldest kernels. */
static __always_inline __u64 pack(const struct packet *p)
{
	return (__u64)p->l2_len | (__u64)p->l4 << 8 | (__u64)p->quote_l4 << 20 | (__u64)p->kind << 32 | (__u64)p->v6 << 34 | (__u64)p->dst.proto << 40;
}

static __always_inline void unpack(struct packet *p, __u64 word)
{
	p->l2_len = word & 0xff;
	p->l4 = word >> 8 & 0xfff;
	p->quote_l4 = word >> 20 & 0xfff;
	p->kind = word >> 32 & 3;
	p->v6 = word >> 34 & 1;
	p->dst.proto = word >> 40 & 0xff;
}

#define PARSED (-1)
#define IPPROTO_ICMP6 58

/* frame_at gives len octets of the frame from offset on, or nothing when it ends
 * before. */
static __always_inline void *frame_at(struct xdp_md *ctx, __u32 offset, __u32 len)
{
	asm volatile("" : "+r"(ctx)); /* or clang makes one pointer of ctx and the offset of a field */
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *at = data + (offset & 0xfff);

	return at + len <= end ? at : 0;
}

static __always_inline void *frame_end(struct xdp_md *ctx)
{
	asm volatile("" : "+r"(ctx));
	return (void *)(long)ctx->data_end;
}

static __always_inline void set_v4(__be32 *to, __be32 addr)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = addr;
}

static __always_inline void set_v6(__be32 *to, const struct in6_addr *addr)
{
	to[0] = addr->s6_addr32[0];
	to[1] = addr->s6_addr32[1];
	to[2] = addr->s6_addr32[2];
	to[3] = addr->s6_addr32[3];
}

static __always_inline int same_addr(const __be32 *a, const __be32 *b)
{
	return a[3] == b[3] && a[2] == b[2] && a[1] == b[1] && a[0] == b[0];
}

static __always_inline int parse_tcp(struct tcphdr *tcp, void *end, struct packet *p)
{
	if ((void *)(tcp + 1) > end)
		return DROP_MALFORMED;
	p->sport = tcp->source;
	p->dst.port = tcp->dest;
	if (tcp->rst)
		p->event = EVENT_RST;
	else if (tcp->fin)
		p->event = EVENT_FIN;
	else if (tcp->syn && !tcp->ack)
		p->event = EVENT_SYN;
	return PARSED;
}

static __always_inline int parse_udp(struct udphdr *udp, void *end, struct packet *p)
{
	if ((void *)(udp + 1) > end)
		return DROP_MALFORMED;
	p->sport = udp->source;
	p->dst.port = udp->dest;
	return PARSED;
}

/* The common header and the type of the first chunk (RFC 9260 section 3). */
struct sctp {
	__be16 source, dest;
	__be32 tag, checksum;
	__u8 type;
} __attribute__((packed));

enum { SCTP_INIT = 1, SCTP_ABORT = 6, SCTP_SHUTDOWN = 7, SCTP_SHUTDOWN_ACK = 8, SCTP_SHUTDOWN_COMPLETE = 14 };

static __always_inline int parse_sctp(struct sctp *s, void *end, struct packet *p)
{
	if ((void *)(s + 1) > end)
		return DROP_MALFORMED;
	p->sport = s->source;
	p->dst.port = s->dest;
	if (s->type == SCTP_INIT)
		p->event = EVENT_SYN;
	else if (s->type == SCTP_SHUTDOWN || s->type == SCTP_SHUTDOWN_ACK || s->type == SCTP_SHUTDOWN_COMPLETE)
		p->event = EVENT_FIN;
	else if (s->type == SCTP_ABORT)
		p->event = EVENT_RST;
	return PARSED;
}

static __always_inline int parse_l4(struct packet *p, void *l4, void *end)
{
	switch (p->dst.proto) {
	case IPPROTO_TCP:
		return parse_tcp(l4, end, p);
	case IPPROTO_UDP:
		return parse_udp(l4, end, p);
	case IPPROTO_SCTP:
		return parse_sctp(l4, end, p);
	}
	return PASS_NOT_SERVICE;
}

/* The ports of a quoted packet, which went from the service to the client. */
static __always_inline int parse_quoted(struct packet *p, __u8 proto, __be16 *ports, void *end)
{
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_SCTP)
		return PASS_NOT_SERVICE;
	if ((void *)(ports + 4) > end)
		return PASS_NOT_SERVICE;
	p->dst.proto = proto;
	p->dst.port = ports[0];
	p->sport = ports[1];
	p->kind = RELATED;
	return PARSED;
}

enum { ICMP_UNREACHABLE = 3, ICMP_QUENCH = 4, ICMP_EXCEEDED = 11, ICMP_PARAMETER = 12 };

/* The first eight octets of ICMP are the same in both versions (RFC 792, RFC 4443). */
struct icmp {
	__u8 type, code;
	__be16 check;
	__be32 rest;
};

static __always_inline int parse_icmp4(struct packet *p, __be32 to, struct icmp *icmp, void *end)
{
	struct iphdr *q = (void *)(icmp + 1);

	if ((void *)(q + 1) > end)
		return PASS_NOT_SERVICE;
	if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_QUENCH && icmp->type != ICMP_EXCEEDED && icmp->type != ICMP_PARAMETER)
		return PASS_NOT_SERVICE;
	if (q->saddr != to || q->ihl < 5 || q->frag_off & bpf_htons(0x1fff))
		return PASS_NOT_SERVICE;
	set_v4(p->src, q->daddr);
	__u32 length = (q->ihl * 4) & 0x3c;
	p->quote_l4 = p->l4 + sizeof(*icmp) + length;
	return parse_quoted(p, q->protocol, (void *)q + length, end);
}

static __always_inline int parse_icmp6(struct packet *p, struct icmp *icmp, void *end)
{
	struct ipv6hdr *q = (void *)(icmp + 1);

	if ((void *)(q + 1) > end || icmp->type == 0 || icmp->type > 4)
		return PASS_NOT_SERVICE;
	set_v6(p->src, &q->saddr);
	if (!same_addr(p->src, p->dst.addr))
		return PASS_NOT_SERVICE;
	set_v6(p->src, &q->daddr);
	p->quote_l4 = p->l4 + sizeof(*icmp) + sizeof(*q);
	return parse_quoted(p, q->nexthdr, (void *)(q + 1), end);
}

/* frame_lacks says that the frame is shorter than the packet from l3 on claims. */
static __always_inline int frame_lacks(struct xdp_md *ctx, const struct packet *p, void *l3, void *end)
{
	if (p->length <= (__u64)(end - l3))
		return 0;
	return !multi_buffer || p->l2_len + p->length > bpf_xdp_get_buff_len(ctx);
}

static __always_inline int parse_v4(struct xdp_md *ctx, struct packet *p, struct iphdr *ip, void *end)
{
	void *l4 = ip + 1;

	if ((void *)(ip + 1) > end || ip->ihl < 5)
		return DROP_MALFORMED;
	p->length = bpf_ntohs(ip->tot_len);
	if (frame_lacks(ctx, p, ip, end))
		return DROP_MALFORMED;
	set_v4(p->src, ip->saddr);
	set_v4(p->dst.addr, ip->daddr);
	p->dst.proto = ip->protocol;
	p->l4 = p->l2_len + sizeof(*ip);
	if (ip->ihl != 5) {
		__u32 length = (ip->ihl * 4) & 0x3c;
		l4 = (void *)ip + length;
		p->l4 = p->l2_len + length;
	}
	if (ip->frag_off & bpf_htons(0x3fff)) { /* more fragments, or an offset */
		p->id = ip->id;
		p->first = 1;
		if (ip->frag_off & bpf_htons(0x1fff)) {
			p->kind = LATER_FRAGMENT;
			return PARSED;
		}
	}
	if (ip->protocol == IPPROTO_ICMP)
		return parse_icmp4(p, ip->daddr, l4, end);
	return parse_l4(p, l4, end);
}

/* Extension headers (RFC 8200 section 4). */
struct extension {
	__u8 next, length;
	__be16 offset; /* of a fragment */
	__be32 id;
};

enum { NEXT_HOP_BY_HOP = 0, NEXT_ROUTING = 43, NEXT_FRAGMENT = 44, NEXT_AH = 51, NEXT_OPTIONS = 60 };
#define MAX_EXTENSIONS 6

static __always_inline int is_extension(__u8 next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT || next == NEXT_AH || next == NEXT_OPTIONS;
}

/* What skip_extensions gives: the identification of a fragment in the upper half,
 * then the offset of what follows, the next header, and these. */
enum { SKIP_FRAGMENT = 1, SKIP_LATER = 2, SKIP_SHORT = 4, SKIP_MANY = 8 };

/* skip_extensions goes from offset at of the frame, where a header of type next
 * begins, to the transport header. */
__noinline __u64 skip_extensions(struct xdp_md *ctx, __u32 at, __u32 next)
{
	__u32 flags = 0;
	__u64 id = 0;

	for (int i = 0; i < MAX_EXTENSIONS && is_extension(next); i++) {
		struct extension *e = frame_at(ctx, at, sizeof(*e));
		__u32 length = 8;

		if (!e)
			return SKIP_SHORT;
		if (next == NEXT_FRAGMENT) {
			id = e->id;
			flags |= e->offset & bpf_htons(0xfff8) ? SKIP_LATER : SKIP_FRAGMENT;
		} else if (next == NEXT_AH) {
			length = (e->length + 2) * 4;
		} else {
			length = (e->length + 1) * 8;
		}
		next = e->next;
		at += length;
		if (flags & SKIP_LATER)
			break;
	}
	if (is_extension(next) && !(flags & SKIP_LATER))
		flags |= SKIP_MANY;
	if (at > 0xfff)
		return SKIP_SHORT;
	return id << 32 | at << 16 | next << 8 | flags;
}

static __always_inline int parse_v6(struct xdp_md *ctx, struct packet *p, struct ipv6hdr *ip, void *end)
{
	void *l4 = ip + 1;

	if ((void *)(ip + 1) > end)
		return DROP_MALFORMED;
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (frame_lacks(ctx, p, ip, end))
		return DROP_MALFORMED;
	p->v6 = 1;
	set_v6(p->src, &ip->saddr);
	set_v6(p->dst.addr, &ip->daddr);
	p->l4 = p->l2_len + sizeof(*ip);
	p->dst.proto = ip->nexthdr;
	if (is_extension(ip->nexthdr)) {
		__u64 skipped = skip_extensions(ctx, p->l4, ip->nexthdr);
		if (skipped & (SKIP_SHORT | SKIP_MANY))
			return skipped & SKIP_SHORT ? DROP_MALFORMED : PASS_NOT_SERVICE;
		p->id = skipped >> 32;
		p->first = skipped & (SKIP_FRAGMENT | SKIP_LATER) ? 1 : 0;
		p->l4 = skipped >> 16 & 0xfff;
		p->dst.proto = skipped >> 8 & 0xff;
		if (skipped & SKIP_LATER) {
			p->kind = LATER_FRAGMENT;
			return PARSED;
		}
		l4 = frame_at(ctx, p->l4, 0);
		end = frame_end(ctx);
		if (!l4)
			return DROP_MALFORMED;
	}
	if (p->dst.proto == IPPROTO_ICMP6)
		return parse_icmp6(p, l4, end);
	return parse_l4(p, l4, end);
}

struct vlan {
	__be16 tci, proto;
};

static __always_inline int is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* parse gives PARSED, or the verdict of a packet that goes no further. */
static __always_inline int parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return PASS_NOT_IP;
	__be16 proto = eth->h_proto;
	void *l3 = eth + 1;
	p->l2_len = sizeof(*eth);
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan *tag = l3;

		if (!is_vlan(proto))
			break;
		if ((void *)(tag + 1) > end)
			return PASS_NOT_IP;
		proto = tag->proto;
		l3 = tag + 1;
		p->l2_len += sizeof(*tag);
	}
	if (proto == bpf_htons(ETH_P_IP))
		return parse_v4(ctx, p, l3, end);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_v6(ctx, p, l3, end);
	return PASS_NOT_IP;
}

/* is_martian says that no client can have the source: none, loopback, multicast,
 * reserved, or the service's own. */
static __always_inline int is_martian(const struct packet *p)
{
	__u8 first = (__u8)p->src[3];

	if (p->v6) {
		first = (__u8)p->src[0];
		if (first == 0xff || (!p->src[0] && !p->src[1] && (!p->src[2] || p->src[2] == bpf_htonl(0xffff))))
			return 1;
	} else if (!first || first == 127 || first >= 224) {
		return 1;
	}
	return same_addr(p->src, p->dst.addr);
}

#endif
