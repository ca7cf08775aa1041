/* All maps. They are pinned by name and outlive the daemon. */
#ifndef XVIP_MAPS_H
#define XVIP_MAPS_H

#include "types.h"
#include "verdict.h"

#define MAX_SERVICES 16384
#define MAX_REALS 131072
#define MAX_SLOTS (1 << 22)
#define CONN_LOCKS 1024

#define PINNED(name, kind, n, k, v)                    \
	struct {                                       \
		__uint(type, kind);                    \
		__uint(max_entries, n);                \
		__uint(pinning, LIBBPF_PIN_BY_NAME);   \
		__type(key, k);                        \
		__type(value, v);                      \
	} name SEC(".maps")

PINNED(services, BPF_MAP_TYPE_HASH, MAX_SERVICES, struct service_key, struct service);

/* One bit for a hash of each address that has services. Most packets to others,
 * and replies of NAT, need look no further: not into a big, cold table. */
#define SERVED_BITS 16
struct served {
	__u64 word[1 << (SERVED_BITS - 6)];
};
PINNED(served, BPF_MAP_TYPE_ARRAY, 1, __u32, struct served);

static __always_inline int is_served(const __be32 *addr)
{
	__u32 zero = 0, bit = addr[3] * 0x9e3779b1u >> (32 - SERVED_BITS);
	struct served *s = bpf_map_lookup_elem(&served, &zero);

	return s && s->word[bit >> 6] >> (bit & 63) & 1;
}

/* The rings of all services. */
PINNED(slots, BPF_MAP_TYPE_ARRAY, MAX_SLOTS, __u32, struct slot);

PINNED(reals, BPF_MAP_TYPE_ARRAY, MAX_REALS, __u32, struct real);

/* Real servers reached by NAT, as their replies name them: index of reals. */
PINNED(replies, BPF_MAP_TYPE_HASH, MAX_REALS, struct service_key, __u32);

/* Where the rotation of each service stands. */
PINNED(cursors, BPF_MAP_TYPE_ARRAY, MAX_SERVICES, __u32, struct cursor);

/* The size of these two is set at load time; a power of two. */
PINNED(conns, BPF_MAP_TYPE_ARRAY, 1024, __u32, struct conn_bucket);
PINNED(peers, BPF_MAP_TYPE_ARRAY, 1024, __u32, struct peer_bucket);

/* Writers of a bucket take the lock of its number; readers take none. */
PINNED(conn_locks, BPF_MAP_TYPE_ARRAY, CONN_LOCKS, __u32, struct conn_lock);

PINNED(templates, BPF_MAP_TYPE_LRU_HASH, 65536, struct template_key, struct template);
PINNED(fragments, BPF_MAP_TYPE_LRU_HASH, 65536, struct fragment_key, struct fragment);

PINNED(loads, BPF_MAP_TYPE_ARRAY, MAX_REALS, __u32, struct load);
PINNED(real_stats, BPF_MAP_TYPE_PERCPU_ARRAY, MAX_REALS, __u32, struct counters);
/* What servers that left had counted: a service counts the sum. */
PINNED(service_stats, BPF_MAP_TYPE_ARRAY, MAX_SERVICES, __u32, struct counters);
PINNED(verdicts, BPF_MAP_TYPE_PERCPU_ARRAY, VERDICTS, __u32, struct counters);

/* The host's routes, the longest prefixes first, if they are few enough; else
 * none, and the kernel is asked for each packet. */
#define MAX_WAYS 16
PINNED(ways, BPF_MAP_TYPE_ARRAY, MAX_WAYS, __u32, struct way);

PINNED(settings, BPF_MAP_TYPE_ARRAY, 1, __u32, struct setting_set);

static __always_inline struct setting_set *the_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/* The secret of the connection hash, the same for every program that uses the
 * table. User space writes it once; the program has it as a constant. */
PINNED(secret, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64);

/* The daemon that runs hears of neighbours that replies miss. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} missing_neighbours SEC(".maps");

#endif
