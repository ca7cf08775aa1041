/* The way out: hop limit and frame header. */
#ifndef XVIP_LEAVE_H
#define XVIP_LEAVE_H

#include "maps.h"
#include "parse.h"
#include "csum.h"

/* spend takes one hop off the packet, as every method of IPVS does. It gives 0
 * when none is left. */
static __always_inline int spend(struct xdp_md *ctx, const struct packet *p)
{
	if (p->v6) {
		struct ipv6hdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
		if (!ip || ip->hop_limit <= 1)
			return 0;
		ip->hop_limit--;
		return 1;
	}
	struct iphdr *ip = frame_at(ctx, p->l2_len, sizeof(*ip));
	if (!ip || ip->ttl <= 1)
		return 0;
	ip->ttl--;
	ip->check = csum_hop(ip->check);
	return 1;
}

/* write_l2 writes a frame header. Its callers have seen that
 * the frame is as long as that. */
static __always_inline void write_l2(void *frame, const __u8 *l2, __u8 l2_len)
{
	*(__u64 *)frame = *(__u64 *)l2;
	*(__u32 *)(frame + 8) = *(__u32 *)(l2 + 8);
	*(__u16 *)(frame + 12) = *(__u16 *)(l2 + 12);
	if (l2_len == 14)
		return;
	*(__u32 *)(frame + 14) = *(__u32 *)(l2 + 14);
	if (l2_len == L2_MAX)
		*(__u32 *)(frame + 18) = *(__u32 *)(l2 + 18);
}

static __always_inline int way_out(struct xdp_md *ctx, const struct real *r)
{
	return r->ifindex == ctx->ingress_ifindex && !(r->flags & REAL_REDIRECT) ? FORWARD_TX : FORWARD_REDIRECT;
}

/* change_l2 gives the frame a new header, in place if that is as long as the old
 * one. After it no pointer into the packet is good. */
static __always_inline int change_l2(struct xdp_md *ctx, const struct packet *p, const __u8 *l2, __u8 l2_len)
{
	if (p->l2_len != l2_len && bpf_xdp_adjust_head(ctx, (int)p->l2_len - (int)l2_len))
		return 0;
	void *frame = frame_at(ctx, 0, L2_MAX);
	if (!frame)
		return 0;
	write_l2(frame, l2, l2_len);
	return 1;
}

static __always_inline int leave_to(struct xdp_md *ctx, const struct packet *p, const struct real *r)
{
	return change_l2(ctx, p, r->l2, r->l2_len) ? way_out(ctx, r) : DROP_MALFORMED;
}

#endif
