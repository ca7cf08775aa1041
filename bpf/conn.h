/* The connection table: buckets of one cache line, four flows each.
 *
 * A flow begins on probation. It is established from its second packet on that
 * is no SYN; nothing new pushes an established flow out. So a flood of SYNs from
 * made-up addresses fights for the probation entries among itself. */
#ifndef XVIP_CONN_H
#define XVIP_CONN_H

#include "conf.h"
#include "maps.h"
#include "parse.h"

/* The state of a connection: two bits of stage, and 30 bits of when it was last
 * seen, in ticks of 2^27 ns (about 134 ms). */
enum conn_stage {
	CONN_NEW = 0,
	CONN_ESTABLISHED = 1,
	CONN_CLOSING = 2,
};

#define CONN_TIME_BITS 30
#define CONN_TIME_MASK ((1u << CONN_TIME_BITS) - 1)
#define CONN_TICK_SHIFT 27

static __always_inline __u32 conn_now(void)
{
	return (__u32)(bpf_ktime_get_ns() >> CONN_TICK_SHIFT) & CONN_TIME_MASK;
}

static __always_inline __u32 conn_stage(__u32 state) { return state >> CONN_TIME_BITS; }
static __always_inline __u32 conn_state(__u32 stage, __u32 now) { return stage << CONN_TIME_BITS | now; }
static __always_inline __u32 conn_idle(__u32 state, __u32 now) { return (now - state) & CONN_TIME_MASK; }

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* conn_hash is keyed: nobody outside can aim flows at one bucket. Never 0. */
static __always_inline __u64 conn_hash(const struct packet *p)
{
	__u64 h = mix(((__u64)p->dst.addr << 32 | (__u32)p->dst.port << 16 | p->dst.proto) ^ conn_secret);

	return mix(h ^ ((__u64)p->src << 32 | p->sport)) | 1;
}

/* conn_limit gives how many idle ticks a flow is remembered. */
static __always_inline __u32 conn_limit(__u32 stage, __u8 proto)
{
	__u32 s = proto == IPPROTO_UDP ? timeout_udp : timeout_tcp;

	if (stage == CONN_NEW)
		s = timeout_new;
	else if (stage == CONN_CLOSING)
		s = timeout_fin;
	return s * 15 / 2;
}

/* conn_find gives the flow's entry, or none. */
static __always_inline struct conn *conn_find(struct conn_bucket *b, __u64 sig)
{
#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++)
		if (b->way[i].sig == sig)
			return &b->way[i];
	return 0;
}

/* conn_touch follows the flow's state; a store only when something changed. */
static __always_inline void conn_touch(struct conn *c, const struct packet *p, __u32 now)
{
	__u32 stage = conn_stage(c->state);

	if (p->fin || p->rst)
		stage = CONN_CLOSING;
	else if (stage == CONN_NEW && !p->syn)
		stage = CONN_ESTABLISHED;
	__u32 state = conn_state(stage, now);
	if (c->state != state)
		c->state = state;
}

/* conn_rank orders candidates for replacement: the higher, the better; 0 is
 * never. Free ones first, expired ones, then probation by age. */
static __always_inline __u64 conn_rank(__u64 sig, __u32 state, __u8 proto, __u32 now)
{
	__u32 stage = conn_stage(state), idle = conn_idle(state, now);

	if (!sig)
		return ~0ull;
	if (idle > conn_limit(stage, proto))
		return 1ull << 40 | idle;
	return stage == CONN_ESTABLISHED ? 0 : 1ull + idle;
}

/* conn_add remembers a flow. It gives 0 when the bucket is full of established
 * flows: then the caller must choose by hash, so that the flow stays put. */
static __always_inline int conn_add(struct conn_bucket *b, __u32 index, __u64 sig, __u32 real, __u8 proto)
{
	__u32 lock_index = index & (CONN_LOCKS - 1), now = conn_now(), best = 0;
	struct conn_lock *l = bpf_map_lookup_elem(&conn_locks, &lock_index);
	__u64 best_rank = 0;

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 rank = conn_rank(b->way[i].sig, b->way[i].state, proto, now);
		if (b->way[i].sig == sig)
			rank = ~0ull;
		if (rank > best_rank) {
			best_rank = rank;
			best = i;
		}
	}
	if (best_rank) {
		volatile struct conn *c = &b->way[best & (CONN_WAYS - 1)];
		c->sig = 0; /* readers see no entry, never a mixed one */
		c->real = real;
		c->state = conn_state(CONN_NEW, now);
		c->sig = sig;
	}
	bpf_spin_unlock(&l->lock);
	return best_rank != 0;
}

#endif
