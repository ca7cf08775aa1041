/* NAT, as LVS has it: towards the server the destination changes, from the
 * server the source; the client's address and port stay. The director must be
 * the way back. */
#ifndef XVIP_FWD_NAT_H
#define XVIP_FWD_NAT_H

#include "leave.h"
#include "choose.h"

/* One translation: which address, port and checksum change, and how. */
struct rewrite {
	__be32 addr[4];
	__be16 port;    /* 0: stays */
	__u16 diff;     /* addresses */
	__u16 diff_port;
	__u8 reply;     /* the source changes, not the destination */
};

static __always_inline int rewrite_addr(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	if (p->v6) {
		struct ipv6hdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return 0;
		__builtin_memcpy(w->reply ? &ip->saddr : &ip->daddr, w->addr, sizeof(ip->saddr));
		return 1;
	}
	struct iphdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
	if (!ip)
		return 0;
	if (w->reply)
		ip->saddr = w->addr[3];
	else
		ip->daddr = w->addr[3];
	ip->check = csum_change(ip->check, w->diff);
	return 1;
}

static __always_inline int rewrite_tcp(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	struct tcphdr *tcp = frame_at(ctx, p->l4, sizeof(*tcp));

	if (!tcp)
		return 0;
	if (w->port && w->reply)
		tcp->source = w->port;
	else if (w->port)
		tcp->dest = w->port;
	tcp->check = csum_change(tcp->check, (__u64)w->diff + w->diff_port);
	return 1;
}

static __always_inline int rewrite_udp(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	struct udphdr *udp = frame_at(ctx, p->l4, sizeof(*udp));

	if (!udp)
		return 0;
	if (w->port && w->reply)
		udp->source = w->port;
	else if (w->port)
		udp->dest = w->port;
	if (!udp->check) /* none was made */
		return 1;
	udp->check = csum_change(udp->check, (__u64)w->diff + w->diff_port);
	if (!udp->check)
		udp->check = 0xffff;
	return 1;
}

/* rewrite_quoted_addr: the quoted packet went the other way, so there it is the
 * other end that changes. */
static __always_inline int rewrite_quoted_addr(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	if (p->v6) {
		struct ipv6hdr *q = frame_at(ctx, p->l4 + sizeof(struct icmp), sizeof(*q));
		if (!q)
			return 0;
		__builtin_memcpy(w->reply ? &q->daddr : &q->saddr, w->addr, sizeof(q->saddr));
		return 1;
	}
	struct iphdr *q = frame_at(ctx, p->l4 + sizeof(struct icmp), sizeof(*q));
	if (!q)
		return 0;
	if (w->reply)
		q->daddr = w->addr[3];
	else
		q->saddr = w->addr[3];
	q->check = csum_change(q->check, w->diff);
	return 1;
}

/* rewrite_quote changes an ICMP error. In IPv4 the quoted header's checksum makes
 * up for its address, and only the port shows in the checksum of ICMP. */
static __always_inline int rewrite_quote(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	struct icmp *icmp = frame_at(ctx, p->l4, sizeof(*icmp));
	__be16 *ports = frame_at(ctx, p->quote_l4, 2 * sizeof(*ports));
	__u64 diff = w->diff_port;

	if (!icmp || !ports || !rewrite_quoted_addr(ctx, p, w))
		return 0;
	if (p->v6)
		diff += (__u64)w->diff + w->diff; /* quoted, and in the pseudo header */
	if (w->port && w->reply)
		ports[1] = w->port;
	else if (w->port)
		ports[0] = w->port;
	icmp->check = csum_change(icmp->check, diff);
	return 1;
}

static __always_inline int rewrite_packet(struct xdp_md *ctx, const struct packet *p, const struct rewrite *w)
{
	if (!rewrite_addr(ctx, p, w))
		return 0;
	if (p->kind == RELATED)
		return rewrite_quote(ctx, p, w);
	if (p->kind == LATER_FRAGMENT)
		return 1;
	return p->dst.proto == IPPROTO_TCP ? rewrite_tcp(ctx, p, w) : rewrite_udp(ctx, p, w);
}

/* forward_nat sends the packet that where tells of (pack) to a real server. */
__noinline int forward_nat(struct xdp_md *ctx, __u32 index, __u64 where)
{
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	struct packet here = {}, *p = &here;

	if (!r)
		return DROP_MALFORMED;
	unpack(p, where);
	struct rewrite w = {.port = r->port, .diff = r->diff_addr, .diff_port = r->diff_port};
	if (!spend(ctx, p))
		return DROP_TTL;
	__builtin_memcpy(w.addr, r->addr, sizeof(w.addr));
	if (!rewrite_packet(ctx, p, &w))
		return DROP_MALFORMED;
	return leave_to(ctx, p, r);
}

/* way_of gives the first of the host's routes that fits a client, or none. */
static __always_inline struct way *way_of(const __be32 *to)
{
	for (__u32 i = 0; i < MAX_WAYS; i++) {
		__u32 at = i;
		struct way *w = bpf_map_lookup_elem(&ways, &at);

		if (!w || !(w->flags & WAY_USED))
			return 0;
		if ((to[3] & w->mask[3]) == w->net[3] && (to[2] & w->mask[2]) == w->net[2] && (to[1] & w->mask[1]) == w->net[1] &&
		    (to[0] & w->mask[0]) == w->net[0])
			return w;
	}
	return 0;
}

/* leave_by sends the packet to the router of a route, or gives 0 when the kernel
 * must be asked. */
static __always_inline __u64 leave_by(struct xdp_md *ctx, const struct packet *p)
{
	__be32 to[4];
	__u32 length;

	if (p->v6) {
		struct ipv6hdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return 0;
		set_v6(to, &ip->daddr);
		length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	} else {
		struct iphdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return 0;
		set_v4(to, ip->daddr);
		length = bpf_ntohs(ip->tot_len);
	}
	struct way *w = way_of(to);
	if (!w || !(w->flags & WAY_KNOWN) || length > w->mtu)
		return 0;
	__u32 ifindex = w->ifindex;
	if (!change_l2(ctx, p, w->l2, w->l2_len))
		return DROP_MALFORMED;
	return FORWARD_REDIRECT | (__u64)ifindex << 32;
}

/* route_out asks the kernel's tables for the way to a client (net/core/filter.c,
 * bpf_xdp_fib_lookup) and gives the frame that header. The packet's addresses
 * are already those that leave. */
static __always_inline __u64 route_out(struct xdp_md *ctx, const struct packet *p)
{
	struct bpf_fib_lookup f = {.ifindex = ctx->ingress_ifindex};

	if (p->v6) {
		struct ipv6hdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return DROP_MALFORMED;
		f.family = 10; /* AF_INET6 */
		f.tot_len = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		__builtin_memcpy(f.ipv6_src, &ip->saddr, sizeof(f.ipv6_src));
		__builtin_memcpy(f.ipv6_dst, &ip->daddr, sizeof(f.ipv6_dst));
	} else {
		struct iphdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip)
			return DROP_MALFORMED;
		f.family = 2; /* AF_INET */
		f.tot_len = bpf_ntohs(ip->tot_len);
		f.ipv4_src = ip->saddr;
		f.ipv4_dst = ip->daddr;
	}
	long rc = bpf_fib_lookup(ctx, &f, sizeof(f), 0);
	if (rc == BPF_FIB_LKUP_RET_NO_NEIGH) {
		struct missing m = {.ifindex = f.ifindex};
		if (p->v6)
			__builtin_memcpy(m.addr, f.ipv6_dst, sizeof(m.addr));
		else
			set_v4(m.addr, f.ipv4_dst); /* the gateway, if there is one */
		bpf_ringbuf_output(&missing_neighbours, &m, sizeof(m), 0);
		return DROP_NO_NEXT_HOP;
	}
	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return DROP_TOO_BIG;
	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return DROP_NO_ROUTE;
	if (p->l2_len != sizeof(struct ethhdr) && bpf_xdp_adjust_head(ctx, (int)p->l2_len - (int)sizeof(struct ethhdr)))
		return DROP_MALFORMED;
	struct ethhdr *eth = frame_at(ctx, 0, sizeof(*eth));
	if (!eth)
		return DROP_MALFORMED;
	__builtin_memcpy(eth->h_dest, f.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, f.smac, ETH_ALEN);
	eth->h_proto = p->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return FORWARD_REDIRECT | (__u64)f.ifindex << 32;
}

/* send_reply gives a server's packet the virtual address and sends it on. It
 * gives the verdict, and in the upper half the interface. */
__noinline __u64 send_reply(struct xdp_md *ctx, __u32 index, __u64 where)
{
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	struct packet here = {}, *p = &here;

	if (!r)
		return DROP_MALFORMED;
	unpack(p, where);
	struct rewrite w = {.port = r->port ? r->vport : 0, .diff = ~r->diff_addr, .diff_port = ~r->diff_port, .reply = 1};
	if (!spend(ctx, p))
		return DROP_TTL;
	__builtin_memcpy(w.addr, r->vaddr, sizeof(w.addr));
	if (!rewrite_packet(ctx, p, &w))
		return DROP_MALFORMED;
	__u64 out = leave_by(ctx, p);
	return out ? out : route_out(ctx, p);
}

/* How many services may share one address and port of a real server. */
#define MAX_SHARED 8

/* answers_here gives whether the client's connection is with that server, and
 * follows the connection if event says what its packet does. */
static __always_inline int answers_here(__u32 index, __u64 high, __u64 low, __u32 ports, __u32 event)
{
	struct real *r = bpf_map_lookup_elem(&reals, &index);

	if (!r)
		return 0;
	if (r->vport)
		ports = both_ports((__be16)ports, r->vport);
	__u64 sig = conn_hash(r->service, high, low, ports);
	struct conn *c = conn_find(sig);
	if (!c)
		return 0;
	__u32 word = *(volatile __u32 *)&c->word;
	if (word_tag(word) != r->tag || *(volatile __u64 *)&c->sig != sig)
		return 0;
	if (event != EVENTS)
		conn_touch(c, sig, word, event | EVENT_REPLY);
	return 1;
}

/* answers is the same as a call, for all servers but the first. */
__noinline int answers(__u32 index, __u64 high, __u64 low, __u32 ports, __u32 event)
{
	return answers_here(index, high, low, ports, event);
}

/* find_reply gives the index of the real server that a reply comes from, or
 * NO_REAL: then the packet is the server's own business. */
static __always_inline __u32 find_reply(const struct packet *p)
{
	struct service_key k = {.port = p->sport, .proto = p->dst.proto};
	__u32 event = p->kind == RELATED ? EVENTS : p->event, ports = both_ports(p->dst.port, p->sport);

	__builtin_memcpy(k.addr, p->src, sizeof(k.addr));
	__u32 *first = bpf_map_lookup_elem(&replies, &k);
	if (!first) {
		k.port = 0;
		first = bpf_map_lookup_elem(&replies, &k);
	}
	if (!first)
		return NO_REAL;
	__u32 index = *first;
	__u64 high = addr_high(p->dst.addr), low = addr_low(p->dst.addr);
	if (answers_here(index, high, low, ports, event))
		return index;
	for (int i = 1; i < MAX_SHARED; i++) {
		struct real *r = bpf_map_lookup_elem(&reals, &index);
		if (!r)
			break;
		index = r->next;
		if (answers(index, high, low, ports, event))
			return index;
	}
	return NO_REAL;
}

#endif
