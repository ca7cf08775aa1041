/* Which real server takes a new connection. */
#ifndef XVIP_SCHED_H
#define XVIP_SCHED_H

#include "maps.h"
#include "parse.h"
#include "conn.h"

/* How many real servers a scheduler that compares them all looks at. */
#define MAX_COMPARED 1024
#define COMPARED_PART 32

/* The rings are made by user space: for rr every server once, for wrr each as
 * often as its weight, evenly spread. One cursor a service, under a lock, makes
 * the rotation exact on any CPU; fetch-and-add would do, but the oldest kernel
 * we load on (5.10) has none. */
static __always_inline __u32 sched_next(const struct service *s)
{
	__u32 id = s->id, len = s->ring_len, n;
	struct cursor *c = bpf_map_lookup_elem(&cursors, &id);

	if (!c)
		return 0;
	bpf_spin_lock(&c->lock);
	n = c->next;
	if (n >= len)
		n = 0;
	c->next = n + 1;
	bpf_spin_unlock(&c->lock);
	return n;
}

static __always_inline __be32 fold(const __be32 *a, __u8 v6) { return v6 ? a[0] ^ a[1] ^ a[2] ^ a[3] : a[3]; }

/* hash_32 of include/linux/hash.h with 8 bits, as sh and dh of IPVS have it. */
static __always_inline __u32 hash_8(__u32 x) { return (x * 0x61c88647u) >> 24; }

/* sched_hash gives a place of a ring that flows are hashed onto. It has no
 * secret: the other director must come to the same answer. */
static __always_inline __u32 sched_hash(const struct service *s, const struct packet *p)
{
	__u32 port = s->flags & SERVICE_PORT_HASH ? bpf_ntohs(p->sport) : 0;

	if (s->schedule == SCHEDULE_MAGLEV) {
		__u64 h = mix((__u64)p->src[3] << 32 | port);
		if (p->v6)
			h = mix(mix(h ^ ((__u64)p->src[0] << 32 | p->src[1])) ^ p->src[2]);
		return (h >> 32) * s->ring_len >> 32;
	}
	if (s->schedule == SCHEDULE_TARGET)
		return hash_8(bpf_ntohl(fold(p->dst.addr, p->v6)));
	return hash_8(port + bpf_ntohl(fold(p->src, p->v6)));
}

static __always_inline int is_hashed(const struct service *s) { return s->schedule >= SCHEDULE_SOURCE && s->schedule <= SCHEDULE_MAGLEV; }

#define NEVER (~0ull)

/* sched_cost gives what the server in a slot costs under a scheduler that
 * compares (ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sed.c, ip_vs_nq.c, ip_vs_ovf.c of IPVS):
 * the least is taken, the first of equal ones. IPVS compares cost * other weight;
 * weights have 16 bits, so 32 bits of fraction order the quotients the same. */
__noinline __u64 sched_cost(__u32 at, __u32 schedule)
{
	struct slot *slot = bpf_map_lookup_elem(&slots, &at);

	if (!slot)
		return NEVER;
	__u32 index = slot->real;
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	struct load *l = bpf_map_lookup_elem(&loads, &index);
	if (!r || !l || !r->weight)
		return NEVER;
	__u64 busy = ((__u64)l->active << 8) + l->inactive;
	switch (schedule) {
	case SCHEDULE_LC:
		return busy;
	case SCHEDULE_WLC:
		return (busy << 32) / r->weight;
	case SCHEDULE_OVF:
		return l->active <= r->weight ? (1ull << 32) - r->weight : NEVER;
	case SCHEDULE_NQ:
		if (!l->active)
			return 0;
	}
	return (((__u64)l->active + 1) << 32) / r->weight;
}

/* sched_part gives the cheapest of len slots from at on, or NO_REAL. It is a
 * function of its own so that the verifier looks at 32 turns, not at 1024. */
__noinline __u32 sched_part(__u32 at, __u32 len, __u32 schedule)
{
	__u64 least = NEVER;
	__u32 best = NO_REAL;

	for (__u32 i = 0; i < COMPARED_PART; i++) {
		if (i >= len)
			break;
		__u64 cost = sched_cost(at + i, schedule);
		if (cost < least) {
			least = cost;
			best = at + i;
		}
	}
	return best;
}

/* sched_least gives the cheapest slot of a ring, or NO_REAL. */
__noinline __u32 sched_least(__u32 base, __u32 len, __u32 schedule)
{
	__u64 least = NEVER;
	__u32 best = NO_REAL;

	for (__u32 i = 0; i < MAX_COMPARED; i += COMPARED_PART) {
		if (i >= len)
			break;
		__u32 slot = sched_part(base + i, len - i, schedule);
		if (slot == NO_REAL)
			continue;
		__u64 cost = sched_cost(slot, schedule);
		if (cost < least) {
			least = cost;
			best = slot;
		}
	}
	return best;
}

/* sched_slot gives place n of the service's ring. */
static __always_inline struct slot *sched_slot(const struct service *s, __u32 n)
{
	__u32 i = s->ring_base + n;

	return n < s->ring_len ? bpf_map_lookup_elem(&slots, &i) : 0;
}

/* sched_pick gives the real server for a new flow, or NO_REAL. */
static __always_inline __u32 sched_pick(const struct service *s, const struct packet *p)
{
	__u32 n;

	if (is_hashed(s))
		n = sched_hash(s, p);
	else if (s->schedule == SCHEDULE_ROTATE)
		n = sched_next(s);
	else
		n = sched_least(s->ring_base, s->ring_len, s->schedule) - s->ring_base;
	struct slot *slot = sched_slot(s, n);
	return slot ? slot->real : NO_REAL;
}

#define NSEC_PER_SEC 1000000000ull

/* sched_admits takes a token for a new connection out of the bucket of the
 * service, which holds those of one second; each takes a while to come back. */
static __always_inline int sched_admits(const struct service *s)
{
	__u32 id = s->id;
	int admits;

	if (!s->limit)
		return 1;
	struct cursor *c = bpf_map_lookup_elem(&cursors, &id);
	if (!c)
		return 1;
	__u64 now = bpf_ktime_get_ns(), token = NSEC_PER_SEC / s->limit;
	bpf_spin_lock(&c->lock);
	if (c->full - now > NSEC_PER_SEC) /* it has been full, or the entry is older than this boot */
		c->full = now;
	admits = c->full + token <= now + NSEC_PER_SEC;
	if (admits)
		c->full += token;
	else
		c->refused++;
	bpf_spin_unlock(&c->lock);
	return admits;
}

#endif
