/* The connection table: buckets of one cache line, four flows each.
 *
 * A flow begins on probation. It is established from its second packet on that
 * is no SYN; nothing new pushes an established flow out. So a flood of SYNs from
 * made-up addresses fights for the probation entries among itself.
 *
 * A flow has two buckets. It is in the first one unless that had no room, which
 * at half the table's size happens to one in twenty; so the table can be filled.
 *
 * Every change of who has an entry and of its stage is made under the bucket's
 * lock and counted in loads, so the counts are those of the table. */
#ifndef XVIP_CONN_H
#define XVIP_CONN_H

#include "conf.h"
#include "maps.h"
#include "parse.h"

/* Stages, as far as the client's packets show them; the states of
 * net/netfilter/ipvs/ip_vs_proto_tcp.c in INPUT_ONLY. */
enum conn_stage {
	TCP_NEW,         /* SYN_RECV */
	TCP_ESTABLISHED,
	TCP_FIN,         /* FIN_WAIT */
	TCP_CLOSED,      /* CLOSE: a reset was seen */
	UDP_NEW,         /* one packet so far */
	UDP_ESTABLISHED,
	SCTP_NEW,
	SCTP_ESTABLISHED,
	SCTP_CLOSING,
	STAGES,
};

/* A word is a tag and four bits of stage. A tag is eight bits of generation and
 * twenty of the index of reals: an entry whose server has gone is known by it
 * when the place is taken again. */
#define STAGE_BITS 4
#define STAGE_MASK 15u
#define INDEX_MASK 0xfffffu

static __always_inline __u32 word_tag(__u32 word) { return word >> STAGE_BITS; }
static __always_inline __u32 word_stage(__u32 word) { return word & STAGE_MASK; }
static __always_inline __u32 make_word(__u32 tag, __u32 stage) { return tag << STAGE_BITS | stage; }

static __always_inline __u32 conn_now(void) { return (__u32)(bpf_jiffies64() >> tick_shift); }

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* conn_hash is keyed: nobody outside can aim flows at one bucket. Never 0. high and
 * low are the client's address, ports its port and the service's. */
static __always_inline __u64 conn_hash(__u32 service, __u64 high, __u64 low, __u32 ports)
{
	__u64 h = mix(((__u64)service << 32 | ports) ^ conn_secret);

	if (high || low >> 32 != bpf_htonl(0xffff)) {
		h = mix(h ^ high);
		return mix(h ^ low) | 1;
	}
	return mix(h ^ (__u32)low) | 1;
}

static __always_inline __u64 addr_high(const __be32 *a) { return (__u64)a[0] << 32 | a[1]; }
static __always_inline __u64 addr_low(const __be32 *a) { return (__u64)a[2] << 32 | a[3]; }
static __always_inline __u32 both_ports(__be16 client, __be16 service) { return (__u32)service << 16 | client; }

static __always_inline __u64 conn_sig(__u32 service, const struct packet *p)
{
	return conn_hash(service, addr_high(p->src), addr_low(p->src), both_ports(p->sport, p->dst.port));
}

/* The two buckets of a flow. */
static __always_inline __u32 conn_index(__u64 sig) { return (__u32)(sig >> 1) & conn_mask; }
static __always_inline __u32 conn_second(__u64 sig) { return (conn_index(sig) ^ ((__u32)(sig >> 32) | 1)) & conn_mask; }

/* differs is 0 for equal numbers, else 1, without a branch. */
static __always_inline __u32 differs(__u64 a, __u64 b)
{
	__u64 x = a ^ b;

	asm volatile("" : "+r"(x)); /* or clang makes a branch of it again */
	return (x | -x) >> 63;
}

/* conn_in says whether the bucket has the flow, and sets c to its entry. Which
 * way it is in nobody can predict, the processor as little as the verifier. */
static __always_inline int conn_in(struct conn_bucket *b, __u64 sig, struct conn **c)
{
	__u32 one = differs(b->way[1].sig, sig) ^ 1, two = differs(b->way[2].sig, sig) ^ 1, three = differs(b->way[3].sig, sig) ^ 1;
	__u32 at = one | two << 1 | three * 3;

	*c = &b->way[at & (CONN_WAYS - 1)];
	return (*c)->sig == sig;
}

/* conn_find gives the flow's entry, or none. */
static __always_inline struct conn *conn_find(__u64 sig)
{
	__u32 index = conn_index(sig);
	struct conn_bucket *b = bpf_map_lookup_elem(&conns, &index);
	struct conn *c;

	if (!b)
		return 0;
	if (conn_in(b, sig, &c))
		return c;
	index = conn_second(sig);
	b = bpf_map_lookup_elem(&conns, &index);
	return b && conn_in(b, sig, &c) ? c : 0;
}

static __always_inline __u32 first_stage(__u8 proto)
{
	if (proto == IPPROTO_UDP)
		return UDP_NEW;
	return proto == IPPROTO_SCTP ? SCTP_NEW : TCP_NEW;
}

#define STEP(none, syn, fin, rst, r_none, r_fin, r_rst)                                                                   \
	{                                                                                                                 \
		[EVENT_NONE] = none, [EVENT_SYN] = syn, [EVENT_FIN] = fin, [EVENT_RST] = rst, [EVENT_REPLY] = r_none,     \
		[EVENT_REPLY | EVENT_SYN] = r_none, [EVENT_REPLY | EVENT_FIN] = r_fin, [EVENT_REPLY | EVENT_RST] = r_rst, \
	}

/* The stage that follows; a reply establishes nothing, or a flood of SYNs would. */
static const __u8 steps[16][EVENTS] = {
	[TCP_NEW] = STEP(TCP_ESTABLISHED, TCP_NEW, TCP_FIN, TCP_CLOSED, TCP_NEW, TCP_FIN, TCP_CLOSED),
	[TCP_ESTABLISHED] = STEP(TCP_ESTABLISHED, TCP_ESTABLISHED, TCP_FIN, TCP_CLOSED, TCP_ESTABLISHED, TCP_FIN, TCP_CLOSED),
	[TCP_FIN] = STEP(TCP_FIN, TCP_FIN, TCP_FIN, TCP_CLOSED, TCP_FIN, TCP_FIN, TCP_CLOSED),
	[TCP_CLOSED] = STEP(TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED, TCP_CLOSED),
	[UDP_NEW] = STEP(UDP_ESTABLISHED, UDP_NEW, UDP_NEW, UDP_NEW, UDP_NEW, UDP_NEW, UDP_NEW),
	[UDP_ESTABLISHED] = STEP(UDP_ESTABLISHED, UDP_ESTABLISHED, UDP_ESTABLISHED, UDP_ESTABLISHED, UDP_ESTABLISHED, UDP_ESTABLISHED, UDP_ESTABLISHED),
	[SCTP_NEW] = STEP(SCTP_ESTABLISHED, SCTP_NEW, SCTP_CLOSING, SCTP_CLOSING, SCTP_NEW, SCTP_CLOSING, SCTP_CLOSING),
	[SCTP_ESTABLISHED] = STEP(SCTP_ESTABLISHED, SCTP_ESTABLISHED, SCTP_CLOSING, SCTP_CLOSING, SCTP_ESTABLISHED, SCTP_CLOSING, SCTP_CLOSING),
	[SCTP_CLOSING] = STEP(SCTP_CLOSING, SCTP_CLOSING, SCTP_CLOSING, SCTP_CLOSING, SCTP_CLOSING, SCTP_CLOSING, SCTP_CLOSING),
};

/* Whether IPVS would call it active; UDP never is. */
static __always_inline int is_active(__u32 stage)
{
	return stage <= TCP_ESTABLISHED || stage == SCTP_NEW || stage == SCTP_ESTABLISHED;
}

static __always_inline int is_held(__u32 stage)
{
	return stage == TCP_ESTABLISHED || stage == UDP_ESTABLISHED || stage == SCTP_ESTABLISHED;
}

/* load_add counts an entry of that word in (+1) or out (-1). */
static __always_inline int load_add(__u32 word, __u32 n)
{
	__u32 index = word_tag(word) & INDEX_MASK;
	struct real *r = bpf_map_lookup_elem(&reals, &index);
	struct load *l = bpf_map_lookup_elem(&loads, &index);

	if (!r || !l || r->tag != word_tag(word)) /* the server has left, and its counts */
		return 0;
	if (is_active(word_stage(word)))
		__sync_fetch_and_add(&l->active, n);
	else
		__sync_fetch_and_add(&l->inactive, n);
	return 0;
}

static __always_inline struct conn_lock *conn_lock_of(__u32 index)
{
	__u32 i = index & (CONN_LOCKS - 1);

	return bpf_map_lookup_elem(&conn_locks, &i);
}

/* conn_move_in changes the stage of an entry that still is what the caller saw. */
__noinline int conn_move_in(__u32 index, __u64 sig, __u32 word, __u32 stage)
{
	__u32 to = (word & ~STAGE_MASK) | (stage & STAGE_MASK), moved = 0;
	struct conn_bucket *b = bpf_map_lookup_elem(&conns, &index);
	struct conn_lock *l = conn_lock_of(index);
	struct conn *c;

	if (!l || !b || !conn_in(b, sig, &c))
		return 0;
	bpf_spin_lock(&l->lock);
	if (c->sig == sig && c->word == word) {
		c->word = to;
		moved = 1;
	}
	bpf_spin_unlock(&l->lock);
	if (moved) {
		load_add(word, -1);
		load_add(to, 1);
	}
	return moved;
}

__noinline int conn_move(__u64 sig, __u32 word, __u32 stage)
{
	return conn_move_in(conn_index(sig), sig, word, stage) || conn_move_in(conn_second(sig), sig, word, stage);
}

/* conn_touch follows the flow's state; a store only when something changed. */
static __always_inline void conn_touch(struct conn *c, __u64 sig, __u32 word, __u32 event)
{
	__u32 now = conn_now(), stage = steps[word & STAGE_MASK][event & (EVENTS - 1)];

	if (c->seen != now)
		c->seen = now;
	if (stage != word_stage(word))
		conn_move(sig, word, stage);
}

static __always_inline int conn_expired(const struct setting_set *set, __u32 word, __u32 seen, __u32 now)
{
	__u32 idle = now - seen;

	/* Another CPU's clock may have put seen just ahead of now. */
	return idle > set->timeouts[word_stage(word)] && idle < 1u << 31;
}

/* Ranks order candidates for replacement: the higher, the better. */
#define RANK_HELD 0ull                /* never */
#define RANK_PROBATION 1ull           /* and its idle ticks: all but established ones */
#define RANK_EXPIRED (1ull << 40)     /* and its idle ticks */
#define RANK_FREE (1ull << 62)
#define RANK_SAME (1ull << 63)

static __always_inline __u64 conn_rank(const struct setting_set *set, const struct conn *c, __u64 sig, __u32 now)
{
	__u32 idle = now - c->seen;

	if (!c->sig)
		return RANK_FREE;
	if (c->sig == sig)
		return RANK_SAME;
	if (idle >= 1u << 31)
		idle = 0;
	if (conn_expired(set, c->word, c->seen, now))
		return RANK_EXPIRED + idle;
	return is_held(word_stage(c->word)) ? RANK_HELD : RANK_PROBATION + idle;
}

/* A place is a bucket and a way. */
#define NO_PLACE 0xffffffffu

/* conn_worth gives the rank of the best candidate in a bucket, and its way. */
static __always_inline __u64 conn_worth(const struct setting_set *set, const struct conn_bucket *b, __u64 sig, __u32 now, __u32 *way)
{
	__u64 best = 0;

#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++) {
		__u64 rank = conn_rank(set, &b->way[i], sig, now);
		if (rank > best) {
			best = rank;
			*way = i;
		}
	}
	return best;
}

/* conn_better gives that of a flow's two buckets which has the better candidate,
 * as far as one sees without a lock. */
static __always_inline __u32 conn_better(const struct setting_set *set, __u64 sig, __u32 now)
{
	__u32 first = conn_index(sig), second = conn_second(sig), way;
	struct conn_bucket *a = bpf_map_lookup_elem(&conns, &first), *b = bpf_map_lookup_elem(&conns, &second);

	if (!a || !b)
		return first;
	__u64 worth = conn_worth(set, a, sig, now, &way);
	return worth >= RANK_EXPIRED || worth >= conn_worth(set, b, sig, now, &way) ? first : second;
}

/* conn_add remembers a flow and gives its place. It gives NO_PLACE when both
 * buckets are full of established flows: then the caller must choose by hash, so
 * that the flow stays put. */
__noinline __u32 conn_add(__u64 sig, __u32 word)
{
	struct setting_set *set = the_settings();
	__u32 now = conn_now();

	if (!set)
		return NO_PLACE;
	__u32 index = conn_better(set, sig, now), way = 0, gone = 0, had = 0;
	for (int i = 0; i < 2; i++) {
		struct conn_bucket *b = bpf_map_lookup_elem(&conns, &index);
		struct conn_lock *l = conn_lock_of(index);
		if (!b || !l)
			return NO_PLACE;
		bpf_spin_lock(&l->lock);
		__u64 worth = conn_worth(set, b, sig, now, &way);
		if (worth >= RANK_PROBATION) {
			volatile struct conn *c = &b->way[way & (CONN_WAYS - 1)];
			had = c->sig != 0;
			gone = c->word;
			c->sig = 0; /* readers see no entry, never a mixed one */
			c->word = word;
			c->seen = now;
			c->sig = sig;
		}
		bpf_spin_unlock(&l->lock);
		if (worth >= RANK_PROBATION) {
			if (had)
				load_add(gone, -1);
			load_add(word, 1);
			return index * CONN_WAYS + (way & (CONN_WAYS - 1));
		}
		index = index == conn_index(sig) ? conn_second(sig) : conn_index(sig);
	}
	return NO_PLACE;
}

/* conn_full_in says that a bucket is full of established flows. */
__noinline int conn_full_in(__u32 index)
{
	struct conn_bucket *b = bpf_map_lookup_elem(&conns, &index);
	struct setting_set *set = the_settings();
	__u32 now = conn_now(), held = 0;

	if (!b || !set)
		return 0;
#pragma unroll
	for (int i = 0; i < CONN_WAYS; i++)
		held += conn_rank(set, &b->way[i], 0, now) == RANK_HELD;
	return held == CONN_WAYS;
}

/* conn_full says that there was no room to remember the flow. */
static __always_inline int conn_full(__u64 sig) { return conn_full_in(conn_index(sig)) && conn_full_in(conn_second(sig)); }

/* peer_set says who the flow in a place is, for those who list it. */
static __always_inline void peer_set(__u32 place, __u32 service, const struct packet *p)
{
	__u32 index = place / CONN_WAYS;
	struct peer_bucket *b = bpf_map_lookup_elem(&peers, &index);

	if (!b)
		return;
	struct peer *who = &b->way[place % CONN_WAYS];
	__builtin_memcpy(who->src, p->src, sizeof(who->src));
	who->sport = p->sport;
	who->dport = p->dst.port;
	who->service = service;
}

#endif
