/* Direct routing: the real server has the virtual address too, so only the
 * Ethernet header changes. */
#ifndef XVIP_FWD_DR_H
#define XVIP_FWD_DR_H

#include "maps.h"
#include "parse.h"

static __always_inline int forward_dr(const struct packet *p, const struct real *r, __u32 ingress)
{
	if (!(r->flags & REAL_RESOLVED))
		return DROP_NO_NEXT_HOP;
	__builtin_memcpy(p->eth->h_dest, r->dst, ETH_ALEN);
	__builtin_memcpy(p->eth->h_source, r->src, ETH_ALEN);
	return r->ifindex == ingress && !(r->flags & REAL_REDIRECT) ? FORWARD_TX : FORWARD_REDIRECT;
}

#endif
