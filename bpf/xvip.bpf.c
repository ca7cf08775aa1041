// xvip: what happens to a packet. Parse, service, connection or scheduler,
// forward; every way out is one verdict.
#include "types.h"
#include "verdict.h"
#include "conf.h"
#include "maps.h"
#include "parse.h"
#include "sample.h"
#include "conn.h"
#include "sched.h"
#include "choose.h"
#include "fwd_dr.h"
#include "fwd_tun.h"
#include "fwd_nat.h"
#include "fragment.h"
#include "sweep.h"

static __always_inline int has_setting(__u32 flag)
{
	struct setting_set *s = the_settings();

	return s && s->flags & flag;
}

static __always_inline struct service *find_service(const struct packet *p)
{
	if (!is_served(p->dst.addr))
		return 0;
	struct service *s = bpf_map_lookup_elem(&services, &p->dst);

	if (s || !has_setting(SETTING_ANY_PORT))
		return s;
	struct service_key any = p->dst;
	any.port = 0;
	return bpf_map_lookup_elem(&services, &any);
}

static __always_inline void count_in(__u32 index, const struct packet *p, __u8 fresh)
{
	struct counters *c = bpf_map_lookup_elem(&real_stats, &index);

	if (!c)
		return;
	c->packets++;
	c->bytes += p->length;
	c->connections += fresh;
}

static __always_inline void count_out(__u32 index, const struct packet *p)
{
	struct counters *c = bpf_map_lookup_elem(&real_stats, &index);

	if (!c)
		return;
	c->packets_out++;
	c->bytes_out += p->length;
}

static __always_inline int forward(struct xdp_md *ctx, const struct packet *p, const struct real *r, __u32 index)
{
	if (r->flags & REAL_LOCAL)
		return PASS_LOCAL;
	if (!(r->flags & REAL_RESOLVED))
		return DROP_NO_NEXT_HOP;
	if (r->method == METHOD_DR)
		return forward_dr(ctx, p, r);
	if (r->flags & REAL_IPIP4 && !p->v6)
		return forward_ipip4(ctx, r, p->l2_len);
	if (r->method == METHOD_TUN)
		return forward_tun(ctx, index, pack(p));
	return forward_nat(ctx, index, pack(p));
}

static __always_inline __u64 to_interface(__u32 verdict, __u32 ifindex) { return verdict | (__u64)ifindex << 32; }

// reply is for packets to nobody here: one of a real server, perhaps.
static __always_inline __u64 reply(struct xdp_md *ctx, const struct packet *p)
{
	if (!has_setting(SETTING_NAT))
		return PASS_NOT_SERVICE;
	__u32 index = find_reply(p);
	if (index == NO_REAL)
		return PASS_NOT_SERVICE;
	count_out(index, p);
	if (p->first)
		fragment_add(p, tag_of(index), 1);
	return send_reply(ctx, index, pack(p));
}

static __always_inline __u64 later_fragment(struct xdp_md *ctx, const struct packet *p)
{
	struct fragment *f = fragment_find(p);

	if (!f)
		return PASS_FRAGMENT;
	__u32 index = f->tag & INDEX_MASK;
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	if (!r || r->tag != f->tag)
		return PASS_FRAGMENT;
	if (f->reply) {
		count_out(index, p);
		return send_reply(ctx, index, pack(p));
	}
	count_in(index, p, 0);
	__u32 ifindex = r->ifindex;
	return to_interface(forward(ctx, p, r, index), ifindex);
}

// process gives the verdict, and in the upper half the interface to redirect to.
static __always_inline __u64 process(struct xdp_md *ctx)
{
	struct packet p = {};
	struct choice c = {};

	int v = parse(ctx, &p);
	if (v != PARSED)
		return v;
	if (p.kind == LATER_FRAGMENT)
		return later_fragment(ctx, &p);
	struct service *s = find_service(&p);
	if (!s)
		return reply(ctx, &p);
	if (!(s->flags & SERVICE_ACTIVE))
		return PASS_INACTIVE;
	if (is_martian(&p))
		return DROP_MARTIAN;
	v = choose(s, &p, &c);
	if (v != PARSED)
		return v;
	struct real *r = bpf_map_lookup_elem(&reals, &c.index);
	if (!r)
		return PASS_NO_SERVER;
	count_in(c.index, &p, c.fresh);
	if (p.first)
		fragment_add(&p, r->tag, 0);
	__u32 ifindex = r->ifindex;
	return to_interface(forward(ctx, &p, r, c.index), ifindex);
}

static __always_inline int act(struct xdp_md *ctx, __u32 verdict, __u32 ifindex)
{
	if (verdict == FORWARD_TX)
		return XDP_TX;
	if (verdict == FORWARD_REDIRECT)
		return bpf_redirect(ifindex, 0);
	if (verdict == ANSWER_TOO_BIG)
		return has_setting(SETTING_TX_REDIRECT) ? bpf_redirect(ctx->ingress_ifindex, 0) : XDP_TX;
	return verdict >= DROP_MALFORMED ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int xvip(struct xdp_md *ctx)
{
	__u32 length = frame_length(ctx);
	__u64 out = process(ctx);
	__u32 v = (__u32)out;
	struct counters *c = bpf_map_lookup_elem(&verdicts, &v);

	if (c) {
		c->packets++;
		c->bytes += length;
	}
	if (v >= DROP_MALFORMED)
		sample_drop(ctx, v, length);
	return act(ctx, v, out >> 32);
}

// Enums that only have constants leave no type behind unless something names
// them; user space is generated from the types.
const enum verdict *type_verdict __attribute__((unused));
const enum service_flags *type_service_flags __attribute__((unused));
const enum schedule *type_schedule __attribute__((unused));
const enum real_flags *type_real_flags __attribute__((unused));
const enum conn_stage *type_conn_stage __attribute__((unused));
const enum way_flags *type_way_flags __attribute__((unused));
const enum setting *type_setting __attribute__((unused));
const struct missing *type_missing __attribute__((unused));
const struct sample *type_sample __attribute__((unused));
const struct sample_turn *type_sample_turn __attribute__((unused));

char _license[] SEC("license") = "GPL";
