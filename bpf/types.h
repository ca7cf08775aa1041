/* Keys and values of the maps. User space has them generated from here (bpf2go). */
#ifndef XVIP_TYPES_H
#define XVIP_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* A virtual service as packets name it. Network byte order. */
struct service_key {
	__be32 addr;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

enum service_flags {
	SERVICE_ACTIVE = 1, /* the gate: the virtual address is ours */
};

/* ring_base and ring_len change in one write of the whole value, so no packet
 * sees half of a new ring. */
struct service {
	__u32 id;    /* index of cursors and service_stats */
	__u32 flags; /* enum service_flags */
	__u32 ring_base;
	__u32 ring_len;
	__u8 scheduler[8]; /* name, for reading back */
};

enum real_flags {
	REAL_USED = 1,     /* the entry is taken */
	REAL_RESOLVED = 2, /* dst, src and ifindex are good */
	REAL_LOCAL = 4,    /* this host: up the stack */
	/* The way out is a veth. Frames that XDP_TX queues there reach a peer
	 * without an XDP program only when something else wakes it
	 * (drivers/net/veth.c, veth_xdp_flush); redirected ones are flushed. */
	REAL_REDIRECT = 8,
};

/* A real server of one service. What a packet needs stands first. */
struct real {
	__u8 dst[6]; /* MAC of the next hop */
	__u8 src[6]; /* MAC of the interface towards it */
	__u32 ifindex;
	__u32 flags;   /* enum real_flags */
	__u32 service; /* id */
	/* For reading back. */
	__be32 addr;
	__u32 weight;
	__u32 order; /* place in the configuration */
	__be16 port;
	__u8 method;
	__u8 pad;
};

struct counters {
	__u64 connections;
	__u64 packets;
	__u64 bytes;
};

struct cursor {
	struct bpf_spin_lock lock;
	__u32 next;
};

/* One connection: a 64-bit keyed hash stands for the flow. */
struct conn {
	__u64 sig;   /* 0: free */
	__u32 real;  /* index of reals */
	__u32 state; /* see conn.h */
};

#define CONN_WAYS 4

/* One cache line. */
struct conn_bucket {
	struct conn way[CONN_WAYS];
};

struct conn_lock {
	struct bpf_spin_lock lock;
};

#endif
