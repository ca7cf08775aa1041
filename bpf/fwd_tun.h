/* Tunnelling: the packet travels whole inside another one, as net/netfilter/ipvs/
 * ip_vs_xmit.c makes it: IPIP (RFC 2003, RFC 2473), GRE (RFC 2784), GUE version
 * 0 over UDP without checksum. */
#ifndef XVIP_FWD_TUN_H
#define XVIP_FWD_TUN_H

#include "leave.h"
#include "icmp.h"

#define IPPROTO_IP4_IN 4
#define IPPROTO_IP6_IN 41
#define IPPROTO_GRE_IN 47
#define GRE_LEN 4
#define GUE_LEN 12 /* UDP and GUE */

struct gre {
	__be16 flags, proto;
};

struct gue {
	__be16 source, dest, length, check;
	__u8 version, proto;
	__be16 flags;
};

static __always_inline __u32 shim_len(const struct real *r)
{
	if (r->tunnel == TUNNEL_GRE)
		return GRE_LEN;
	return r->tunnel == TUNNEL_GUE ? GUE_LEN : 0;
}

static __always_inline int outer_is_v4(const struct real *r)
{
	return !r->addr[0] && !r->addr[1] && r->addr[2] == bpf_htonl(0xffff);
}

static __always_inline __u8 inner_proto(__u8 v6) { return v6 ? IPPROTO_IP6_IN : IPPROTO_IP4_IN; }

static __always_inline __u8 outer_proto(const struct real *r, __u8 v6)
{
	if (r->tunnel == TUNNEL_GRE)
		return IPPROTO_GRE_IN;
	return r->tunnel == TUNNEL_GUE ? IPPROTO_UDP : inner_proto(v6);
}

/* write_shim writes what stands between the outer and the inner IP header. */
static __always_inline void write_shim(void *at, const struct real *r, __u8 v6, __u32 length, __be16 source)
{
	if (r->tunnel == TUNNEL_GRE) {
		struct gre *g = at;
		g->flags = 0;
		g->proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	} else if (r->tunnel == TUNNEL_GUE) {
		struct gue *g = at;
		g->source = source;
		g->dest = r->tunnel_port;
		g->length = bpf_htons(length + GUE_LEN);
		g->check = 0;
		g->version = 0;
		g->proto = inner_proto(v6);
		g->flags = 0;
	}
}

/* What the outer header takes over from the inner one. */
struct carried {
	__u32 length; /* of the inner packet */
	__u8 tos, ttl, v6;
	__be16 source; /* UDP port that spreads flows over receive queues */
};

static __always_inline void write_outer4(struct iphdr *ip, const struct real *r, const struct carried *c)
{
	__u32 length = sizeof(*ip) + shim_len(r) + c->length;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = c->tos;
	ip->tot_len = bpf_htons(length);
	ip->id = 0; /* never fragmented: RFC 6864 section 4.1 */
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = c->ttl;
	ip->protocol = outer_proto(r, c->v6);
	ip->check = ~csum_fold32(r->outer_sum + ip->tot_len + bpf_htons((__u32)c->ttl << 8 | ip->protocol) + bpf_htons(c->tos));
	ip->saddr = r->tunnel_source[3];
	ip->daddr = r->addr[3];
}

static __always_inline void write_outer6(struct ipv6hdr *ip, const struct real *r, const struct carried *c)
{
	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)c->tos << 20);
	ip->payload_len = bpf_htons(shim_len(r) + c->length);
	ip->nexthdr = outer_proto(r, c->v6);
	ip->hop_limit = c->ttl;
	__builtin_memcpy(&ip->saddr, r->tunnel_source, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, r->addr, sizeof(ip->daddr));
}

/* spread_port gives a source port that spreads flows over receive queues, by the
 * client's ports and the last word of its address. */
static __always_inline __be16 spread_port(struct xdp_md *ctx, const struct packet *p)
{
	__be32 *ports = frame_at(ctx, p->l4, sizeof(*ports)), *addr = frame_at(ctx, p->l2_len + (p->v6 ? 20 : 12), sizeof(*addr));
	__u32 flow = ports && addr ? *ports ^ *addr : 0;

	return bpf_htons(0x8000 | (mix(flow) & 0x3fff));
}

static __always_inline int carry(struct xdp_md *ctx, struct carried *c, const struct packet *p)
{
	c->v6 = p->v6;
	if (p->v6) {
		struct ipv6hdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return 0;
		c->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		c->tos = bpf_ntohl(*(__be32 *)ip) >> 20;
		c->ttl = ip->hop_limit;
		return 1;
	}
	struct iphdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
	if (!ip)
		return 0;
	c->length = bpf_ntohs(ip->tot_len);
	c->tos = ip->tos;
	c->ttl = ip->ttl;
	return 1;
}

/* An IPv4 header in words: what stands in each is written at once. */
struct words4 {
	__u8 version, tos;
	__be16 length;
	__be32 id, hops; /* and fragment; TTL, protocol, checksum */
	__be32 source, target;
};

/* forward_ipip4 is forward_tun for the usual case, IPv4 in IPv4, at half its cost. */
static __always_inline int forward_ipip4(struct xdp_md *ctx, const struct real *r, __u32 l2_len)
{
	struct iphdr *in = frame_at(ctx, l2_len, sizeof(*in));

	if (!in)
		return DROP_MALFORMED;
	__u32 length = bpf_ntohs(in->tot_len) + sizeof(*in), ttl = in->ttl, tos = in->tos, to = r->l2_len & 31;
	if (length > r->mtu)
		return answer_too_big(ctx, 0, l2_len, r->mtu - sizeof(*in));
	if (ttl <= 1)
		return DROP_TTL;
	ttl--;
	in->ttl = ttl;
	in->check = csum_hop(in->check);
	if (bpf_xdp_adjust_head(ctx, (int)l2_len - (int)(to + sizeof(*in))))
		return DROP_MALFORMED;
	void *frame = frame_at(ctx, 0, L2_MAX);
	struct words4 *out = frame_at(ctx, to, sizeof(*out));
	if (!frame || !out)
		return DROP_MALFORMED;
	write_l2(frame, r->l2, to);
	__u32 hops = bpf_htons(ttl << 8 | IPPROTO_IP4_IN), total = bpf_htons(length);
	__u16 check = ~csum_fold32(r->outer_sum + total + hops + bpf_htons(tos));
	out->version = 0x45;
	out->tos = tos;
	out->length = total;
	out->id = bpf_htonl(0x4000); /* never fragmented: RFC 6864 section 4.1 */
	out->hops = hops | (__u32)check << 16;
	out->source = r->tunnel_source[3];
	out->target = r->addr[3];
	return way_out(ctx, r);
}

/* forward_tun sends the packet that where tells of (pack) to a real server. */
__noinline int forward_tun(struct xdp_md *ctx, __u32 index, __u64 where)
{
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	struct packet here = {}, *p = &here;

	if (!r)
		return DROP_MALFORMED;
	unpack(p, where);
	__u32 outer = (outer_is_v4(r) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + shim_len(r);
	struct carried c = {};

	if (!carry(ctx, &c, p))
		return DROP_MALFORMED;
	if (c.length + outer > r->mtu)
		return answer_too_big(ctx, p->v6, p->l2_len, r->mtu - outer);
	if (c.ttl <= 1 || !spend(ctx, p))
		return DROP_TTL;
	c.ttl--;
	if (r->tunnel == TUNNEL_GUE)
		c.source = spread_port(ctx, p);
	if (bpf_xdp_adjust_head(ctx, (int)p->l2_len - (int)r->l2_len - (int)outer))
		return DROP_MALFORMED;
	void *frame = frame_at(ctx, 0, L2_MAX), *ip;
	if (!frame)
		return DROP_MALFORMED;
	write_l2(frame, r->l2, r->l2_len);
	if (outer_is_v4(r)) {
		ip = frame_at(ctx, r->l2_len, sizeof(struct iphdr) + GUE_LEN);
		if (!ip)
			return DROP_MALFORMED;
		write_outer4(ip, r, &c);
		write_shim(ip + sizeof(struct iphdr), r, c.v6, c.length, c.source);
	} else {
		ip = frame_at(ctx, r->l2_len, sizeof(struct ipv6hdr) + GUE_LEN);
		if (!ip)
			return DROP_MALFORMED;
		write_outer6(ip, r, &c);
		write_shim(ip + sizeof(struct ipv6hdr), r, c.v6, c.length, c.source);
	}
	return way_out(ctx, r);
}

#endif
