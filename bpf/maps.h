/* All maps. They are pinned by name and outlive the daemon. */
#ifndef XVIP_MAPS_H
#define XVIP_MAPS_H

#include "types.h"
#include "verdict.h"

#define MAX_SERVICES 16384
#define MAX_REALS 131072
#define MAX_SLOTS (1 << 20)
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

/* The rings of all services: each slot names a real server. */
PINNED(slots, BPF_MAP_TYPE_ARRAY, MAX_SLOTS, __u32, __u32);

PINNED(reals, BPF_MAP_TYPE_ARRAY, MAX_REALS, __u32, struct real);

/* Where the rotation of each service stands. */
PINNED(cursors, BPF_MAP_TYPE_ARRAY, MAX_SERVICES, __u32, struct cursor);

/* The size is set at load time; a power of two. */
PINNED(conns, BPF_MAP_TYPE_ARRAY, 1024, __u32, struct conn_bucket);

/* Writers of a bucket take the lock of its number; readers take none. */
PINNED(conn_locks, BPF_MAP_TYPE_ARRAY, CONN_LOCKS, __u32, struct conn_lock);

PINNED(service_stats, BPF_MAP_TYPE_PERCPU_ARRAY, MAX_SERVICES, __u32, struct counters);
PINNED(real_stats, BPF_MAP_TYPE_PERCPU_ARRAY, MAX_REALS, __u32, struct counters);
PINNED(verdicts, BPF_MAP_TYPE_PERCPU_ARRAY, VERDICTS, __u32, struct counters);

/* The secret of the connection hash, the same for every program that uses the
 * table. User space writes it once; the program has it as a constant. */
PINNED(secret, BPF_MAP_TYPE_ARRAY, 1, __u32, __u64);

#endif
