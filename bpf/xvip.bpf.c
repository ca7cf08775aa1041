// xvip: what happens to a packet. Parse, service, connection or scheduler,
// forward; every way out is one verdict.
#include "types.h"
#include "verdict.h"
#include "conf.h"
#include "maps.h"
#include "parse.h"
#include "conn.h"
#include "sched.h"
#include "fwd_dr.h"

// schedule picks a real server for a new flow and remembers it.
static __always_inline int schedule(const struct service *s, const struct packet *p, struct conn_bucket *b, __u32 bucket, __u64 sig, __u32 *real)
{
	__u32 len = s->ring_len;

	if (!len)
		return PASS_NO_SERVER;
	__u32 *slot = sched_slot(s, sched_next(s));
	if (!slot)
		return PASS_NO_SERVER;
	*real = *slot;
	if (conn_add(b, bucket, sig, *real, p->dst.proto))
		return PARSED;
	slot = sched_slot(s, (__u32)(sig >> 32) % len);
	if (!slot)
		return PASS_NO_SERVER;
	*real = *slot;
	return PARSED;
}

// choose gives the index of the real server for the packet, or a verdict.
static __always_inline int choose(const struct service *s, const struct packet *p, __u32 *real, __u8 *fresh)
{
	__u64 sig = conn_hash(p);
	__u32 bucket = (__u32)(sig >> 1) & conn_mask;
	struct conn_bucket *b = bpf_map_lookup_elem(&conns, &bucket);

	if (!b)
		return PASS_NO_SERVER;
	struct conn *c = conn_find(b, sig);
	if (c) {
		*real = *(volatile __u32 *)&c->real;
		struct real *r = bpf_map_lookup_elem(&reals, real);
		int ours = r && r->flags & REAL_USED && r->service == s->id && *(volatile __u64 *)&c->sig == sig;
		int again = p->syn && conn_stage(c->state) == CONN_CLOSING; // the client's port is used anew
		if (ours && !again) {
			conn_touch(c, p, conn_now());
			return PARSED;
		}
	}
	if (p->dst.proto == IPPROTO_TCP && !p->syn)
		return PASS_NO_CONNECTION;
	*fresh = 1;
	return schedule(s, p, b, bucket, sig, real);
}

static __always_inline void count(void *map, __u32 index, const struct packet *p, __u8 fresh)
{
	struct counters *c = bpf_map_lookup_elem(map, &index);

	if (!c)
		return;
	c->packets++;
	c->bytes += p->length;
	c->connections += fresh;
}

static __always_inline int process(struct xdp_md *ctx, __u32 *ifindex)
{
	struct packet p = {};
	__u32 index = 0;
	__u8 fresh = 0;

	int v = parse(ctx, &p);
	if (v != PARSED)
		return v;
	struct service *s = bpf_map_lookup_elem(&services, &p.dst);
	if (!s)
		return PASS_NOT_SERVICE;
	if (!(s->flags & SERVICE_ACTIVE))
		return PASS_INACTIVE;
	v = choose(s, &p, &index, &fresh);
	if (v != PARSED)
		return v;
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	if (!r)
		return PASS_NO_SERVER;
	count(&service_stats, s->id, &p, fresh);
	count(&real_stats, index, &p, fresh);
	if (r->flags & REAL_LOCAL)
		return PASS_LOCAL;
	*ifindex = r->ifindex;
	return forward_dr(&p, r, ctx->ingress_ifindex);
}

SEC("xdp")
int xvip(struct xdp_md *ctx)
{
	__u32 ifindex = 0, length = ctx->data_end - ctx->data;
	__u32 v = process(ctx, &ifindex);
	struct counters *c = bpf_map_lookup_elem(&verdicts, &v);

	if (c) {
		c->packets++;
		c->bytes += length;
	}
	if (v == FORWARD_TX)
		return XDP_TX;
	if (v == FORWARD_REDIRECT)
		return bpf_redirect(ifindex, 0);
	return v >= DROP_MALFORMED ? XDP_DROP : XDP_PASS;
}

// Enums that only have constants leave no type behind unless something names
// them; user space is generated from the types.
const enum verdict *type_verdict __attribute__((unused));
const enum service_flags *type_service_flags __attribute__((unused));
const enum real_flags *type_real_flags __attribute__((unused));
const enum conn_stage *type_conn_stage __attribute__((unused));

char _license[] SEC("license") = "GPL";
