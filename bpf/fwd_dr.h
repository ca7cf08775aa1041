/* Direct routing: the real server has the virtual address too, so only the
 * frame's header changes, and the hop limit. */
#ifndef XVIP_FWD_DR_H
#define XVIP_FWD_DR_H

#include "leave.h"

static __always_inline int forward_dr(struct xdp_md *ctx, const struct packet *p, const struct real *r)
{
	if (!spend(ctx, p))
		return DROP_TTL;
	return leave_to(ctx, p, r);
}

#endif
