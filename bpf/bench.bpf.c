// Measuring tools: a feeder that stands before a program under test, and a
// ladder of small programs that mark what a step costs at least. They are
// loaded by `xvip bench` only.
#include "types.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#define FRAME_MAX 96
#define FLOW_PORTS 16384

// Where the frame to feed has the client.
enum shape { FROM_CLIENT4, TO_CLIENT4, FROM_CLIENT6 };

// The frame to feed and how many flows to make of it.
struct feed {
	__u32 length;
	__u32 flows;
	__u32 shape; // enum shape
	__u8 frame[FRAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct feed);
} feeds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps");

// BPF_PROG_TEST_RUN hands the same buffer to every repetition. The feeder puts
// the frame back, gives it the source of the next flow, and goes on to the
// program under test.
SEC("xdp")
int feeder(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct feed *f = bpf_map_lookup_elem(&feeds, &zero);
	__u64 *turn = bpf_map_lookup_elem(&turns, &zero);

	if (!f || !turn || !f->flows)
		return XDP_ABORTED;
	int grown = (int)(ctx->data_end - ctx->data) - (int)f->length;
	if (grown && bpf_xdp_adjust_head(ctx, grown))
		return XDP_ABORTED;
	__u8 *p = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (p + 64 > end)
		return XDP_ABORTED;
	__builtin_memcpy(p, f->frame, 64);
	__u64 flow = *turn % f->flows;
	*turn += 1;
	__be32 client = bpf_htonl(0x0a000001 + (__u32)(flow / FLOW_PORTS));
	__be16 port = bpf_htons(1024 + flow % FLOW_PORTS);
	if (f->shape == FROM_CLIENT4) {
		*(__be32 *)(p + 26) = client;
		*(__be16 *)(p + 34) = port;
	} else if (f->shape == TO_CLIENT4) {
		*(__be32 *)(p + 30) = client;
		*(__be16 *)(p + 36) = port;
	} else {
		if (p + 80 > end)
			return XDP_ABORTED;
		__builtin_memcpy(p + 64, f->frame + 64, 16);
		*(__be32 *)(p + 34) = client;
		*(__be16 *)(p + 54) = port;
	}
	bpf_tail_call(ctx, &subject, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int rung_bare(struct xdp_md *ctx) { return XDP_TX; }

// A program that grows the frame has the feeder shrink it again.
SEC("xdp")
int rung_grow(struct xdp_md *ctx) { return bpf_xdp_adjust_head(ctx, -20) ? XDP_ABORTED : XDP_TX; }

// What the rungs share: a service, real servers, counters, a ring, two flow tables.
struct rung_flow {
	__be32 src, dst;
	__be32 ports;
	__u32 proto;
};

struct rung_key {
	__be32 addr;
	__be16 port;
	__u8 proto, pad;
};

struct rung_real {
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

struct rung_count {
	__u64 packets, bytes;
};

struct rung_conn {
	__u64 sig;
	__u32 real, seen;
};

struct rung_line {
	struct rung_conn way[CONN_WAYS];
};

#define RUNG_REALS 128
#define RUNG_RING 65537
#define RUNG_LINES (1 << 19)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct rung_key);
	__type(value, __u32);
} rung_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RUNG_REALS);
	__type(key, __u32);
	__type(value, struct rung_real);
} rung_reals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RUNG_REALS);
	__type(key, __u32);
	__type(value, struct rung_count);
} rung_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RUNG_RING);
	__type(key, __u32);
	__type(value, __u32);
} rung_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2000000);
	__type(key, struct rung_flow);
	__type(value, struct rung_conn);
} rung_lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RUNG_LINES);
	__type(key, __u32);
	__type(value, struct rung_line);
} rung_lines SEC(".maps");

enum rung { RUNG_SERVICE, RUNG_HASH, RUNG_LRU, RUNG_LINE };

static __always_inline __u64 rung_mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static __always_inline __u32 pick_lru(const struct rung_flow *f)
{
	struct rung_conn *c = bpf_map_lookup_elem(&rung_lru, f);

	if (!c) {
		struct rung_conn fresh = {.real = f->ports & (RUNG_REALS - 1), .sig = bpf_ktime_get_ns()};
		bpf_map_update_elem(&rung_lru, f, &fresh, BPF_ANY);
		return fresh.real;
	}
	return c->real;
}

static __always_inline __u32 pick_line(__u64 h)
{
	__u32 line = h & (RUNG_LINES - 1), now = bpf_ktime_get_ns() >> 30, oldest = 0;
	struct rung_line *l = bpf_map_lookup_elem(&rung_lines, &line);

	if (!l)
		return 0;
#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++) {
		if (l->way[i].sig == h) {
			if (l->way[i].seen != now)
				l->way[i].seen = now;
			return l->way[i].real;
		}
		if (l->way[i].seen < l->way[oldest & (CONN_WAYS - 1)].seen)
			oldest = i;
	}
	struct rung_conn *c = &l->way[oldest & (CONN_WAYS - 1)];
	c->sig = h;
	c->real = h >> 32 & (RUNG_REALS - 1);
	c->seen = now;
	return c->real;
}

static __always_inline int climb(struct xdp_md *ctx, enum rung rung)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	struct rung_key key = {.addr = ip->daddr, .port = tcp->dest, .proto = ip->protocol};
	__u32 *first = bpf_map_lookup_elem(&rung_services, &key);
	if (!first)
		return XDP_PASS;
	struct rung_flow flow = {.src = ip->saddr, .dst = ip->daddr, .ports = *(__be32 *)tcp, .proto = ip->protocol};
	__u64 h = rung_mix((__u64)flow.src << 32 | flow.ports);
	__u32 real = *first;
	if (rung == RUNG_HASH) {
		__u32 slot = (h >> 16) % RUNG_RING;
		__u32 *r = bpf_map_lookup_elem(&rung_ring, &slot);
		real = r ? *r : 0;
	} else if (rung == RUNG_LRU) {
		real = pick_lru(&flow);
	} else if (rung == RUNG_LINE) {
		real = pick_line(h);
	}
	struct rung_real *r = bpf_map_lookup_elem(&rung_reals, &real);
	struct rung_count *n = bpf_map_lookup_elem(&rung_counts, &real);
	if (!r || !n)
		return XDP_DROP;
	n->packets++;
	n->bytes += end - data;
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, r->mac, ETH_ALEN);
	return XDP_TX;
}

SEC("xdp")
int rung_service(struct xdp_md *ctx) { return climb(ctx, RUNG_SERVICE); }

SEC("xdp")
int rung_hash(struct xdp_md *ctx) { return climb(ctx, RUNG_HASH); }

SEC("xdp")
int rung_lru_table(struct xdp_md *ctx) { return climb(ctx, RUNG_LRU); }

SEC("xdp")
int rung_line_table(struct xdp_md *ctx) { return climb(ctx, RUNG_LINE); }

const enum shape *type_shape __attribute__((unused));

char _license[] SEC("license") = "GPL";
