/* Later fragments have no ports: they follow the first one. */
#ifndef XVIP_FRAGMENT_H
#define XVIP_FRAGMENT_H

#include "maps.h"
#include "parse.h"

static __always_inline void fragment_key_of(struct fragment_key *k, const struct packet *p)
{
	__builtin_memcpy(k->src, p->src, sizeof(k->src));
	__builtin_memcpy(k->dst, p->dst.addr, sizeof(k->dst));
	k->id = p->id;
	k->proto = p->dst.proto;
}

static __noinline int fragment_add(const struct packet *p, __u32 tag, __u32 reply)
{
	struct fragment_key k;
	struct fragment f = {.tag = tag, .reply = reply};

	fragment_key_of(&k, p);
	return bpf_map_update_elem(&fragments, &k, &f, BPF_ANY);
}

static __always_inline struct fragment *fragment_find(const struct packet *p)
{
	struct fragment_key k;

	fragment_key_of(&k, p);
	return bpf_map_lookup_elem(&fragments, &k);
}

#endif
