/* Keys and values of the maps. User space has them generated from here (bpf2go). */
#ifndef XVIP_TYPES_H
#define XVIP_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* A virtual service as packets name it. Network byte order; an IPv4 address is
 * the IPv4-mapped IPv6 one (RFC 4291 section 2.5.5.2). Port 0 is every port. */
struct service_key {
	__be32 addr[4];
	__be16 port;
	__u8 proto;
	__u8 pad;
};

enum service_flags {
	SERVICE_ACTIVE = 1,     /* the gate: the virtual address is ours */
	SERVICE_STATELESS = 2,  /* the ring alone answers; no connection is kept */
	SERVICE_ONE_PACKET = 4, /* every packet is scheduled */
	SERVICE_PORT_HASH = 8,  /* sh-port, mh-port: the source port is hashed too */
};

/* How a service picks a slot of its ring. */
enum schedule {
	SCHEDULE_ROTATE, /* rr, wrr, fo: the ring in turn */
	SCHEDULE_SOURCE, /* sh */
	SCHEDULE_TARGET, /* dh */
	SCHEDULE_MAGLEV, /* mh */
	SCHEDULE_LC,     /* those below look at every slot */
	SCHEDULE_WLC,
	SCHEDULE_SED,
	SCHEDULE_NQ,
	SCHEDULE_OVF,
};

/* ring_base and ring_len change in one write of the whole value, so no packet
 * sees half of a new ring. */
struct service {
	__u32 id;    /* index of cursors */
	__u32 flags; /* enum service_flags */
	__u32 ring_base;
	__u32 ring_len;
	__u32 persistence; /* ticks; 0: none */
	__u32 limit;       /* new connections a second; 0: no limit */
	__be32 mask[4];    /* persistence: the network of a client */
	__u8 schedule;     /* enum schedule */
	__u8 prefix;       /* for reading back */
	__u8 ipvs_flags;   /* for reading back */
	__u8 pad;
	__u32 persistence_seconds; /* for reading back */
	__u8 scheduler[8];         /* name, for reading back */
};

#define NO_REAL 0xffffffffu

/* One place of a ring. A stateless service has no memory of its flows, so a slot
 * that got another server says what it had before: NO_REAL when it did not
 * move, SLOT_SETTLED when flows without memory have had their time. */
struct slot {
	__u32 real;
	__u32 before;
};

#define SLOT_SETTLED 0xfffffffeu

enum real_flags {
	REAL_USED = 1,     /* the entry is taken */
	REAL_RESOLVED = 2, /* l2 and ifindex are good */
	REAL_LOCAL = 4,    /* this host: up the stack */
	/* The way out is a veth. Frames that XDP_TX queues there reach a peer
	 * without an XDP program only when something else wakes it
	 * (drivers/net/veth.c, veth_xdp_flush); redirected ones are flushed. */
	REAL_REDIRECT = 8,
	REAL_IPIP4 = 16, /* reached through IPv4 in which an IPv4 packet needs nothing else */
};

/* Numbered as dataplane.Method. */
enum method { METHOD_NAT, METHOD_DR, METHOD_TUN, METHOD_LOCAL };

/* Numbered as IP_VS_CONN_F_TUNNEL_TYPE_* (include/uapi/linux/ip_vs.h). */
enum tunnel { TUNNEL_IPIP, TUNNEL_GUE, TUNNEL_GRE };

#define L2_MAX 22 /* Ethernet with two VLAN tags */

/* A real server of one service. What every packet needs is the first line. */
struct real {
	__u8 l2[L2_MAX]; /* the frame's header towards it: MACs, tags, EtherType */
	__u8 l2_len;     /* 14, 18 or 22 */
	__u8 method;     /* enum method */
	__u32 ifindex;   /* the device below any VLAN */
	__u32 flags;     /* enum real_flags */
	__u32 service;   /* id */
	__u32 tag;       /* generation and index; see conn.h */
	__u16 mtu;       /* octets of IP packet on the way out */
	__be16 port;     /* 0: the client's */
	__u16 diff_addr; /* NAT: one's complement sum of what the addresses change */
	__u16 diff_port; /* and of what the ports change */
	__be32 addr[4];
	/* The second line. */
	__be32 tunnel_source[4];
	__be32 vaddr[4]; /* NAT: what replies get as their source */
	__be16 vport;    /* 0: the server's */
	__be16 tunnel_port;
	__u8 tunnel; /* enum tunnel */
	__u8 proto;
	__u8 pad[2];
	__u32 next; /* NAT: another one with the same address, port and protocol; NO_REAL ends */
	__u32 weight;
	__u32 order; /* place in the configuration */
	__u16 outer_sum; /* TUN in IPv4: of the outer header but for length, TOS and TTL */
	__u16 spare[5];
};

/* How many connections the table has for a real server, as IPVS divides them. */
struct load {
	__u32 active;
	__u32 inactive;
};

struct counters {
	__u64 connections;
	__u64 packets;
	__u64 bytes;
	__u64 packets_out; /* NAT: replies */
	__u64 bytes_out;
};

struct cursor {
	struct bpf_spin_lock lock;
	__u32 next;
	/* The bucket of the limit of new connections: when it is full again, in
	 * nanoseconds of CLOCK_MONOTONIC, and how many found it empty. */
	__u64 full;
	__u64 refused;
};

/* One connection: a 64-bit keyed hash stands for the flow. */
struct conn {
	__u64 sig;  /* 0: free */
	__u32 word; /* tag of the real server and stage; see conn.h */
	__u32 seen; /* ticks */
};

#define CONN_WAYS 4

/* One cache line. */
struct conn_bucket {
	struct conn way[CONN_WAYS];
};

/* Who the flow is, for people and for templates; packets do not look here. */
struct peer {
	__be32 src[4];
	__be16 sport;
	__be16 dport;
	__u32 service; /* id */
};

struct peer_bucket {
	struct peer way[CONN_WAYS];
};

struct conn_lock {
	struct bpf_spin_lock lock;
};

/* Persistence: the server that a client network had last. */
struct template_key {
	__be32 src[4];
	__u32 service; /* id */
};

struct template {
	__u32 tag;
	__u32 seen; /* ticks */
};

/* Fragments of one datagram; IPv4 has 16 bits of identification. */
struct fragment_key {
	__be32 src[4];
	__be32 dst[4];
	__be32 id;
	__u32 proto;
};

struct fragment {
	__u32 tag;
	__u32 reply; /* NAT: it comes from the real server */
};

/* What only some packets have to know. */
struct setting_set {
	__u32 flags; /* enum setting */
	__u32 timeouts[16]; /* idle ticks that a connection is remembered, by stage (conn.h) */
};

enum setting {
	SETTING_ANY_PORT = 1,    /* some service is on all ports */
	SETTING_NAT = 2,         /* some real server is reached by NAT */
	SETTING_TX_REDIRECT = 4, /* answers leave by redirect; see REAL_REDIRECT */
};

enum way_flags {
	WAY_USED = 1,
	WAY_KNOWN = 2, /* through a router whose MAC is known */
};

/* A route of this host, for replies of NAT; IPv4 as IPv4-mapped. */
struct way {
	__be32 net[4];
	__be32 mask[4];
	__u8 l2[L2_MAX];
	__u8 l2_len;
	__u8 flags; /* enum way_flags */
	__u32 ifindex;
	__u32 mtu; /* octets of IP packet */
};

/* A neighbour the program missed. Network byte order. */
struct missing {
	__be32 addr[4];
	__u32 ifindex;
	__u32 pad;
};

#endif
